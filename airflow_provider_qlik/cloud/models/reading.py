"""How answers are read: leniently, and what is nested in long lists when it is looked at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from functools import cache, cached_property
from typing import Any, ClassVar, cast, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, to_json

from airflow_provider_qlik.cloud.errors import UnreadableAnswer

READING = {"reading": True}
"""The context of whatever reads an answer."""


def reading(info: ValidationInfo) -> bool:
    """Whether an answer is read; else something is made or written, by stricter rules."""
    return bool(info.context and info.context.get("reading"))


def problem_in(error: ValidationError, member: str = "") -> str:
    """The one problem that tells a user most, and the member it is in, below *member* if that is given."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    # Where several forms are allowed, the one that was meant got furthest; our own rules say most.
    problem = max(problems, key=lambda problem: (len(problem["loc"]), problem["type"] == "value_error"))
    # The names of those forms tell a user nothing.
    where = ".".join(filter(None, (member, *map(_member, problem["loc"]))))
    said = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


_FORMS = {"str"}
"""The names of shapes, and of what may stand in place of one: pydantic puts them between the members."""


def _member(part: int | str) -> str:
    return "" if part in _FORMS or "[" in str(part) else str(part)


def checked_where_written(as_it_comes: CoreSchema, checked: CoreSchema) -> CoreSchema:
    """A schema that leaves out a check where it is read from JSON, without running any Python to find out."""
    return core_schema.lax_or_strict_schema(
        core_schema.json_or_python_schema(as_it_comes, checked), checked, strict=True
    )


class ReadWhenLookedAt:
    """Marks a nested shape, or list of shapes, that few look at: it is read when somebody does.

    Until then it is kept as the plain JSON that came. Whatever looks at it (the member itself, comparing, showing,
    writing) finds it as if it had been read at once. What makes no sense in it is an UnreadableAnswer at the first look
    at this member, and not for the whole list that it came in; written, shown or compared, it is as it came. Made in
    Python or from what is to be sent, it is checked at once.
    """

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
        return self._reader.validate_json(to_json(plain), strict=False, context=READING)

    def is_unread(self, value: Any) -> bool:
        if value is None or isinstance(value, BaseModel):
            return False
        if self._is_list and isinstance(value, list):
            # One look is enough: what came as JSON holds no shapes, what was read nothing else.
            return bool(value) and not isinstance(value[0], BaseModel)
        return True


class _Look:
    """A member as its shape gives it: read when it is first looked at."""

    def __init__(self, name: str, alias: str, annotation: Any) -> None:
        self._name, self._alias, self.member = name, alias, _Member.of(annotation)

    def __get__(self, shape: BaseModel | None, owner: type) -> Any:
        if shape is None or self._name not in vars(shape):
            # The same as for any other member of pydantic's, which the class itself does not have.
            raise AttributeError(self._name)
        value = vars(shape)[self._name]
        if not self.member.is_unread(value):
            return value
        try:
            read = self.member.read(value)
        except ValidationError as error:
            problem = problem_in(error, self._alias)
            raise UnreadableAnswer(f"expected {owner.__name__}, but {problem}", to_json(value).decode()) from None
        vars(shape)[self._name] = read
        return read

    def __set__(self, shape: BaseModel, value: Any) -> None:
        # With this, Python asks here before it looks into what the shape holds. Shapes are frozen: nobody comes here.
        raise AttributeError(self._name)


class Unfolding(BaseModel):
    """What can have members that are read when they are looked at, and behaves as if they had been read at once."""

    _when_looked_at: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        marked = {
            name: member
            for name, member in cls.model_fields.items()
            if any(isinstance(mark, ReadWhenLookedAt) for mark in member.metadata)
        }
        cls._when_looked_at = tuple(marked)
        _FORMS.add(cls.__name__)
        for name, member in marked.items():
            type.__setattr__(cls, name, _Look(name, member.alias or name, member.annotation))

    def _look(self) -> None:
        """All of it is read, but for what cannot be."""
        for name in self._when_looked_at:
            with suppress(UnreadableAnswer):
                getattr(self, name, None)

    def __eq__(self, other: object) -> bool:
        self._look()
        if isinstance(other, Unfolding):
            other._look()
        return super().__eq__(other)

    def __hash__(self) -> int:
        self._look()
        return hash((type(self), *(vars(self).get(name) for name in type(self).model_fields)))

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        self._look()
        yield from super().__iter__()

    def __repr_args__(self) -> Any:
        self._look()
        return super().__repr_args__()
