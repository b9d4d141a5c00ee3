"""Reading responses: leniently, and nested objects only when they are accessed.

A page of 100 tasks has thousands of nested objects, and hardly any caller accesses one of them. To build all of them
would take most of the time that a poll of a list takes. So a member with the mark `LazyMember` stays plain JSON until
it is accessed.
"""

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
"""The pydantic context for reading a response."""


def reading(info: ValidationInfo) -> bool:
    """Return True if a response is read; else an object is created or written, by stricter rules."""
    return bool(info.context and info.context.get("reading"))


def checked_where_written(as_it_comes: CoreSchema, checked: CoreSchema) -> CoreSchema:
    """Return a schema that applies a check only outside of responses, without running Python to decide that."""
    return core_schema.lax_or_strict_schema(
        core_schema.json_or_python_schema(as_it_comes, checked), checked, strict=True
    )


class LazyMember:
    """Marks a nested shape, or list of shapes, that is read on first access.

    Until then it stays plain JSON. Access, comparison, representation and serialization behave as if it had been read
    at once. Invalid members in it are left out on access, as everywhere in a response; in comparison, representation
    and serialization an invalid member stays plain JSON. Created in Python or for a request, it is checked at once.

    :param essential: True if access raises InvalidResponseError where nothing can be read; False if it returns None.
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
    """The type of a marked member, by its annotation: a shape or a list of shapes."""

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
        # As JSON text, since pydantic has other rules for Python objects.
        return self.read_text(to_json(plain))

    def read_text(self, text: bytes) -> Any:
        return self._reader.validate_json(text, strict=False, context=READING)

    def is_unread(self, value: Any) -> bool:
        if value is None or isinstance(value, BaseModel):
            return False
        if self._is_list and isinstance(value, list):
            # The first item is enough: plain JSON has no shapes, a list that was read has nothing else.
            return bool(value) and not isinstance(value[0], BaseModel)
        return True


class _LazyDescriptor:
    """The attribute of a lazy member, which reads it on first access."""

    def __init__(self, name: str, alias: str, annotation: Any, essential: bool) -> None:
        self._name, self._alias, self._essential = name, alias, essential
        self.member = _Member.of(annotation)

    def __get__(self, shape: BaseModel | None, owner: type) -> Any:
        if shape is None or self._name not in vars(shape):
            # As for every other member in pydantic: the class itself has no such attribute.
            raise AttributeError(self._name)
        value = vars(shape)[self._name]
        if not self.member.is_unread(value):
            return value
        try:
            read = self.member.read(value)
        except ValidationError:
            # Not kept, so that the original JSON is written back.
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
        # Makes this a data descriptor, which has precedence over the instance dictionary. Shapes are frozen, so it is
        # never called.
        raise AttributeError(self._name)


class LazyModel(BaseModel):
    """A model with lazy members, which behaves as if they had been read at once."""

    _lazy_members: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        marked = {
            name: (member, mark.essential)
            for name, member in cls.model_fields.items()
            for mark in member.metadata
            if isinstance(mark, LazyMember)
        }
        cls._lazy_members = tuple(marked)
        forms.add(cls.__name__)
        for name, (member, essential) in marked.items():
            type.__setattr__(cls, name, _LazyDescriptor(name, member.alias or name, member.annotation, essential))

    def _read_all(self) -> None:
        """Read all lazy members that are valid."""
        for name in self._lazy_members:
            with suppress(InvalidResponseError):
                getattr(self, name, None)

    def __eq__(self, other: object) -> bool:
        self._read_all()
        if isinstance(other, LazyModel):
            other._read_all()
        return super().__eq__(other)

    def __hash__(self) -> int:
        self._read_all()
        return hash((type(self), *(vars(self).get(name) for name in type(self).model_fields)))

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        self._read_all()
        yield from super().__iter__()

    def __repr_args__(self) -> Any:
        self._read_all()
        return super().__repr_args__()
