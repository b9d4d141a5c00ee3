"""How answers are read: leniently, and what is nested in long lists when it is looked at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from functools import cache, cached_property
from typing import Any, ClassVar, cast, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, to_json

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.models.lenient import repaired
from airflow_provider_qlik.cloud.models.problems import forms, problem_in

READING = {"reading": True}
"""The context of whatever reads an answer."""


def reading(info: ValidationInfo) -> bool:
    """Whether an answer is read; else something is made or written, by stricter rules."""
    return bool(info.context and info.context.get("reading"))


def checked_where_written(as_it_comes: CoreSchema, checked: CoreSchema) -> CoreSchema:
    """A schema that leaves out a check where it is read from JSON, without running any Python to find out."""
    return core_schema.lax_or_strict_schema(
        core_schema.json_or_python_schema(as_it_comes, checked), checked, strict=True
    )


class LazyMember:
    """Marks a nested shape, or list of shapes, that few look at: it is read when somebody does.

    Until then it is kept as the plain JSON that came. Whatever looks at it (the member itself, comparing, showing,
    writing) finds it as if it had been read at once. What makes no sense in it is left out for whoever looks at it, as
    in all that is read; written, shown or compared, it is as it came. Made in Python or from what is to be sent, it is
    checked at once.

    *essential*: where nothing of it can be read, that is an InvalidResponseError at the look, and not None.
    """

    def __init__(self, *, essential: bool = False) -> None:
        self.essential = essential

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        member = _Member.of(source)

        def written(value: Any, write: core_schema.SerializerFunctionWrapHandler) -> Any:
            if not member.is_unread(value):
                return write(value)
            try:
                read = member.read(value)
            except ValidationError:
                return value
            return write(read)

        schema: dict[str, Any] = {**checked_where_written(core_schema.any_schema(), handler(source))}
        schema["serialization"] = core_schema.wrap_serializer_function_ser_schema(written)
        return cast(CoreSchema, schema)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema["strict_schema"])


class _Member:
    """What a marked member may hold, by its annotation: a shape or a list of shapes."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._is_list = any(get_origin(one) is list for one in (annotation, *get_args(annotation)))

    @classmethod
    @cache
    def of(cls, annotation: Any) -> _Member:
        return cls(annotation)

    @cached_property
    def _reader(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._annotation)

    def read(self, plain: Any) -> Any:
        # As text, since pydantic reads some of it by other rules where it is plain Python.
        return self.read_text(to_json(plain))

    def read_text(self, text: bytes) -> Any:
        return self._reader.validate_json(text, strict=False, context=READING)

    def is_unread(self, value: Any) -> bool:
        if value is None or isinstance(value, BaseModel):
            return False
        if self._is_list and isinstance(value, list):
            # One look is enough: what came as JSON holds no shapes, what was read nothing else.
            return bool(value) and not isinstance(value[0], BaseModel)
        return True


class _Look:
    """A member as its shape gives it: read when it is first looked at."""

    def __init__(self, name: str, alias: str, annotation: Any, essential: bool) -> None:
        self._name, self._alias, self._essential = name, alias, essential
        self.member = _Member.of(annotation)

    def __get__(self, shape: BaseModel | None, owner: type) -> Any:
        if shape is None or self._name not in vars(shape):
            # The same as for any other member of pydantic's, which the class itself does not have.
            raise AttributeError(self._name)
        value = vars(shape)[self._name]
        if not self.member.is_unread(value):
            return value
        try:
            read = self.member.read(value)
        except ValidationError:
            # Not kept: what is written back is what came.
            return self._read_leniently(value, owner)
        vars(shape)[self._name] = read
        return read

    def _read_leniently(self, value: Any, owner: type) -> Any:
        try:
            return repaired(self.member.read_text, value)[0]
        except ValidationError as error:
            if not self._essential:
                return None
            problem = problem_in(error, self._alias)
        raise InvalidResponseError(f"expected {owner.__name__}, but {problem}", to_json(value).decode())

    def __set__(self, shape: BaseModel, value: Any) -> None:
        # With this, Python asks here before it looks into what the shape holds. Shapes are frozen: nobody comes here.
        raise AttributeError(self._name)


class LazyModel(BaseModel):
    """What can have members that are read when they are looked at, and behaves as if they had been read at once."""

    _when_looked_at: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        marked = {
            name: (member, mark.essential)
            for name, member in cls.model_fields.items()
            for mark in member.metadata
            if isinstance(mark, LazyMember)
        }
        cls._when_looked_at = tuple(marked)
        forms.add(cls.__name__)
        for name, (member, essential) in marked.items():
            type.__setattr__(cls, name, _Look(name, member.alias or name, member.annotation, essential))

    def _poll(self) -> None:
        """All of it is read, but for what cannot be."""
        for name in self._when_looked_at:
            with suppress(InvalidResponseError):
                getattr(self, name, None)

    def __eq__(self, other: object) -> bool:
        self._poll()
        if isinstance(other, LazyModel):
            other._poll()
        return super().__eq__(other)

    def __hash__(self) -> int:
        self._poll()
        return hash((type(self), *(vars(self).get(name) for name in type(self).model_fields)))

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        self._poll()
        yield from super().__iter__()

    def __repr_args__(self) -> Any:
        self._poll()
        return super().__repr_args__()
