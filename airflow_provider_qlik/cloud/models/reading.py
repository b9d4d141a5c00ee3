"""How answers are read: leniently, and what is nested in long lists when it is looked at."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, from_json, to_json

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
    # Between the members stand the names of those forms, which tell a user nothing.
    parts = (member, *(str(part) for part in problem["loc"] if part != "str" and "[" not in str(part)))
    where = ".".join(filter(None, parts))
    said = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


class ReadWhenLookedAt:
    """Marks a nested shape, or a list of shapes, that an answer's reader need not look into: most do not.

    When it is read, its JSON is kept as text, and becomes shapes when somebody looks at the member, compares, shows or
    writes the whole. What makes no sense inside of it is an UnreadableAnswer then, and for this one thing, not for the
    list that it came in; shown, compared or written, it is as it came. Made in Python or written it is checked at once.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def written(value: Any, write: core_schema.SerializerFunctionWrapHandler) -> Any:
            if type(value) is not bytes:
                return write(value)
            try:
                return write(_read(source, value))
            except ValidationError:
                return from_json(value)

        at_once = handler(source)
        a_list = any(get_origin(one) is list for one in (source, *get_args(source)))
        # Nothing else that is read from JSON is of bytes: they tell that it has not been looked at.
        later = core_schema.nullable_schema(
            core_schema.no_info_after_validator_function(
                to_json, core_schema.list_schema() if a_list else core_schema.dict_schema()
            )
        )
        return core_schema.lax_or_strict_schema(
            core_schema.json_or_python_schema(later, at_once),
            at_once,
            serialization=core_schema.wrap_serializer_function_ser_schema(written),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema["strict_schema"])  # type: ignore[typeddict-item]


@cache
def _reader(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _read(annotation: Any, text: bytes) -> Any:
    return _reader(annotation).validate_json(text, strict=False, context=READING)


class _Look:
    """A member as its shape gives it: read when it is first looked at."""

    def __init__(self, name: str, alias: str, annotation: Any) -> None:
        self._name, self._alias, self._annotation = name, alias, annotation

    def __get__(self, shape: BaseModel | None, owner: type) -> Any:
        try:
            value = vars(shape)[self._name]
        except (KeyError, TypeError):
            # The same as for any other member of pydantic's, which the class itself does not have.
            raise AttributeError(self._name) from None
        if type(value) is not bytes:
            return value
        try:
            read = _read(self._annotation, value)
        except ValidationError as error:
            raise UnreadableAnswer(
                f"expected {owner.__name__}, but {problem_in(error, self._alias)}", value.decode()
            ) from None
        vars(shape)[self._name] = read
        return read

    def __set__(self, shape: BaseModel, value: Any) -> None:
        # It has to be there, or what the shape keeps would come before this.
        vars(shape)[self._name] = value


class Unfolding(BaseModel):
    """What can have members that are read when they are looked at, and behaves as if it had been read at once."""

    _when_looked_at: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        marked = {
            name: member
            for name, member in cls.model_fields.items()
            if any(isinstance(mark, ReadWhenLookedAt) for mark in member.metadata)
        }
        cls._when_looked_at = tuple(marked)
        for name, member in marked.items():
            type.__setattr__(cls, name, _Look(name, member.alias or name, member.annotation))

    def _look(self) -> None:
        """All of it is read, but for what cannot be."""
        for name in self._when_looked_at:
            try:
                getattr(self, name, None)
            except UnreadableAnswer:
                pass

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
        for name, value in super().__iter__():
            yield name, from_json(value) if type(value) is bytes else value

    def __repr_args__(self) -> Any:
        self._look()
        for name, value in super().__repr_args__():
            yield name, from_json(value) if type(value) is bytes else value
