"""What all shapes share: read leniently, write strictly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import NoneType
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from airflow_provider_qlik.arguments import InvalidArgument, checked_json
from airflow_provider_qlik.cloud.errors import UnreadableAnswer
from airflow_provider_qlik.cloud.models.reading import READING, Unfolding, checked_where_written, problem_in, reading


def writable(text: str) -> str:
    """The text; a half of a character, which JSON can hold and nothing can be written with, is shown as such."""
    return text.encode("utf-8", "backslashreplace").decode()


def http_date(text: str) -> datetime | None:
    """The moment in a header such as Date, in UTC, if there is one in it."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire, without the wire: status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)

    @property
    def server_time(self) -> datetime | None:
        """The server's clock, to the second, if the reply says."""
        return http_date(self.headers.get("date", ""))

    @property
    def text(self) -> str:
        """The body as text; bytes that are none are shown as such."""
        return self.content.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Needed:
    """Marks a member that Qlik requires in what it is sent. An answer may leave it out all the same."""


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """Marks a member that Qlik sets; it is never sent."""


class Shape(Unfolding):
    """A JSON object of Qlik's, in snake_case, with Qlik's names as aliases.

    Made in Python it is strict: no wrong types, no word outside a documented list. Read from an answer (`from_reply`)
    it keeps members it does not know, takes any word, and a number written as a string for a number.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        frozen=True,
        strict=True,
        coerce_numbers_to_str=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        needed = [
            (name, member.alias or name)
            for name, member in cls.model_fields.items()
            if any(isinstance(mark, Needed) for mark in member.metadata)
        ]

        def has_what_is_needed(shape: Self, info: ValidationInfo) -> Self:
            missing = [] if reading(info) else [shown for name, shown in needed if getattr(shape, name) is None]
            if missing:
                raise ValueError(f"{' and '.join(missing)} must be given")
            return shape

        if not needed:
            return schema
        return checked_where_written(schema, core_schema.with_info_after_validator_function(has_what_is_needed, schema))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is in it that must not be shown."""
        return ()

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """The shape in a reply's body. Raises UnreadableAnswer when it holds none."""
        try:
            return cls.model_validate_json(reply.content, strict=False, context=READING)
        except ValidationError as error:
            raise UnreadableAnswer(f"expected {cls.__name__}, but {problem_in(error)}", reply.text) from None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The shape in plain JSON that Qlik gave. Raises UnreadableAnswer when it is none."""
        return cls.from_reply(Reply(200, content=json.dumps(value).encode()))


ShapeT = TypeVar("ShapeT", bound=Shape)


def body_of(shape: type[ShapeT], argument: str, given: ShapeT | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON to send for a shape or a mapping with Qlik's names, checked strictly; read-only members are left out.

    Raises InvalidArgument that names the argument and the member.
    """
    if isinstance(given, BaseModel) and not isinstance(given, shape):
        # What an answer holds is more than can be written; a masked secret must not be written back.
        raise InvalidArgument(argument, None, f"must be {shape.__name__} or a mapping, not {type(given).__name__}")
    if isinstance(given, BaseModel):
        plain: Any = given.model_dump(by_alias=True, exclude_none=True, mode="json")
    else:
        plain = checked_json(argument, given)
    try:
        checked = shape.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        raise InvalidArgument(argument, None, problem_in(error)) from None
    return _without_read_only(checked, checked.model_dump(by_alias=True, exclude_none=True, mode="json"))


def bodies_of(shape: type[ShapeT], argument: str, given: Sequence[ShapeT | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The JSON to send for a list of shapes or mappings, each checked like a body.

    Raises InvalidArgument for one that stands alone in place of a list, and whatever `body_of` raises.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise InvalidArgument(argument, None, f"must be a list of {shape.__name__} or mappings, even for a single one")
    return [body_of(shape, f"{argument}[{place}]", one) for place, one in enumerate(given)]


def _without_read_only(shape: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    for name, member in type(shape).model_fields.items():
        key = member.alias or name
        value = getattr(shape, name)
        if any(isinstance(mark, ReadOnly) for mark in member.metadata):
            dumped.pop(key, None)
        elif isinstance(value, BaseModel) and key in dumped:
            dumped[key] = _without_read_only(value, dumped[key])
        elif isinstance(value, list) and key in dumped:
            dumped[key] = [
                _without_read_only(item, plain) if isinstance(item, BaseModel) else plain
                for item, plain in zip(value, dumped[key], strict=True)
            ]
    return dumped


def one_of(*known: str | int) -> AfterValidator:
    """A check for documented words: any word may be read, only these are written."""

    def check(given: Any, info: ValidationInfo) -> Any:
        if not reading(info) and given not in known:
            raise ValueError(f"must be one of {', '.join(map(repr, known))}, not {given!r}")
        return given

    return AfterValidator(check)


def at_most(count: int) -> AfterValidator:
    """A check for how many items may be written; any number may be read."""

    def check(given: Any, info: ValidationInfo) -> Any:
        if not reading(info) and given is not None and len(given) > count:
            raise ValueError(f"has at most {count} items, not {len(given)}")
        return given

    return AfterValidator(check)


def _nothing(given: Any, info: ValidationInfo) -> Any:
    return None if given == [] and reading(info) else given


PERHAPS_EMPTY = BeforeValidator(_nothing)
"""For an object that may be empty: services in PHP, as automations seem to be, write that as an empty list."""


def _in_utc(given: datetime | None) -> datetime | None:
    if given is None:
        return None
    try:
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        # A day at the end of time, for "never ends".
        return given.replace(tzinfo=UTC)


def _as_text(moment: datetime | None) -> str | None:
    """As Qlik writes it: with milliseconds, if that says it all."""
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond and moment.microsecond % 1000 == 0 else "auto"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


Id = Annotated[str, Field(min_length=1)]
"""An id without which a thing cannot be asked for again."""


def _finite(given: float | None) -> float | None:
    return None if given is None or not math.isfinite(given) else given


Number = Annotated[float | None, AfterValidator(_finite)]
"""A number, or None, also for those that JSON does not have and some services write all the same: NaN, Infinity."""


_USUAL_MOMENT = re.compile(r"(?!0001-01-01)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", re.ASCII)


def _moment(given: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> datetime | None:
    if isinstance(given, str):
        if _USUAL_MOMENT.fullmatch(given):
            # What nearly all look like is read in one go: long lists are full of them.
            try:
                return datetime.fromisoformat(given)
            except ValueError:
                pass  # the 30th of February: pydantic says it better
        # Services in Go write year 1 for "never"; an empty text says the same.
        if not given.strip() or given.startswith("0001-01-01"):
            return None
    elif not isinstance(given, (datetime, NoneType)) and not reading(info):
        raise ValueError("must be a datetime or an ISO 8601 text")
    return _in_utc(check(given))


Moment = Annotated[
    Annotated[datetime, Strict(False)] | None,
    WrapValidator(_moment),
    PlainSerializer(_as_text, when_used="json"),
]
"""A moment as an aware UTC datetime, or None."""

_MOMENT: TypeAdapter[datetime | None] = TypeAdapter(Moment)


def moment_in(text: str | None) -> datetime | None:
    """The moment that a text of Qlik's tells, if it tells one."""
    try:
        return _MOMENT.validate_python(text, context=READING)
    except ValidationError:
        return None
