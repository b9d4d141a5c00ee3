"""What all shapes share: read leniently, write strictly."""

from __future__ import annotations

import codecs
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    SecretStr,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.models.lenient import decoded, has_nul, repaired
from airflow_provider_qlik.cloud.models.problems import problem_in
from airflow_provider_qlik.cloud.models.reading import READING, LazyModel, checked_where_written, reading
from airflow_provider_qlik.masking import masked, secrets_in, texts_in
from airflow_provider_qlik.text import storable
from airflow_provider_qlik.validation import InvalidArgumentError, checked_json


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


_END_OF_WRAPPER = re.compile(r'"\s*\}\s*\Z')


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire, without the wire: status, headers in lower case, body.

    Of a log only the end may have been kept: `left_out` counts the bytes before that.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)
    left_out: int = 0

    @property
    def server_time(self) -> datetime | None:
        """The server's clock, to the second, if the reply says."""
        return http_date(self.headers.get("date", ""))

    @property
    def text(self) -> str:
        """Return the body as text that can be stored: bytes that are no text, and NUL, are shown as escapes."""
        in_utf_16 = len(self.content) > 2 and self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if in_utf_16:
            text = self.content.decode("utf-16", "replace")
        else:
            text = self.content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "backslashreplace")
        return storable(text, len(text))

    @property
    def log_text(self) -> str:
        """Return the body as the text of a log: where only its end was kept, from the beginning of a line on."""
        if not self.left_out:
            return self.text
        text = self.text
        # Where the log is wrapped in JSON, the wrapper's beginning is gone, and the line ends are still escaped.
        wrapped = _END_OF_WRAPPER.sub("", text)
        if wrapped != text and "\n" not in wrapped:
            _, _, lines = wrapped.partition("\\n")
            with suppress(ValueError):
                text = json.loads(f'"{lines}"')
        else:
            text = text.partition("\n")[2] or text
        return f"[{self.left_out:,} bytes before this are left out]\n{storable(text, len(text))}"


@dataclass(frozen=True, slots=True)
class Needed:
    """Marks a member that Qlik requires in what it is sent. An answer may leave it out all the same."""


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """Marks a member that Qlik sets; it is never sent."""


@dataclass(frozen=True, slots=True)
class Nullable:
    """Marks a member in which null says something: None is sent as null where it was given."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """Marks a member, or what it holds, with the documented words; others are sent, too, with a warning."""

    known: tuple[str | int, ...]


class Shape(LazyModel):
    """A JSON object of Qlik's, in snake_case, with Qlik's names as aliases.

    Made in Python it is strict: no wrong types, nothing missing that Qlik requires. Read from an answer (`from_reply`)
    it keeps members it does not know, and takes a number written as a string for a number. Words outside a documented
    list are kept in both: Qlik adds words before its documents do (see `OneOf`).
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

    _nesting: ClassVar[tuple[str, ...]] = ()
    """The members that may hold more than one text, number or time."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        cls._nesting = tuple(name for name, member in cls.model_fields.items() if _may_nest(member.annotation))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what is in it that must not be shown.

        That are the members described as secrets, and texts below names of secrets (`masking`) in all that is as it
        came, which nobody has described.
        """
        found: list[str] = []
        self._find_secrets(found)
        return tuple(dict.fromkeys(found))

    def _find_secrets(self, found: list[str]) -> None:
        if self.__pydantic_extra__:
            secrets_in(self.__pydantic_extra__, found)
        members = vars(self)
        for name in self._nesting:
            value = members.get(name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                texts_in(value.get_secret_value(), found)
            elif isinstance(value, dict):
                secrets_in(value, found)
            else:
                for item in value if isinstance(value, list) else (value,):
                    if isinstance(item, Shape):
                        item._find_secrets(found)
                    elif isinstance(item, dict):
                        secrets_in(item, found)

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            hidden = value if name is None or isinstance(value, (BaseModel, SecretStr)) else masked({name: value})[name]
            yield name, hidden

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        """Return the shape in a reply's body. Raises InvalidResponseError when it holds none.

        What makes no sense in it, and can be done without, is None or left out: see `lenient`.
        """
        problem = "it holds NUL"
        if not has_nul(reply.content):
            try:
                return cls._read(reply.content)
            except ValidationError as error:
                problem = problem_in(error)
        try:
            value = decoded(reply.content)
        except ValueError:
            raise InvalidResponseError(f"expected {cls.__name__}, but {problem}", reply.text) from None
        try:
            return cls._read_leniently(value)
        except ValidationError as error:
            problem = problem_in(error)
        except (ValueError, RecursionError):
            problem = "it cannot be written as JSON"
        raise InvalidResponseError(f"expected {cls.__name__}, but {problem}", reply.text)

    @classmethod
    def _read(cls, content: bytes) -> Self:
        return cls.model_validate_json(content, strict=False, context=READING)

    @classmethod
    def _read_leniently(cls, value: Any) -> Self:
        """Return the shape in plain JSON, without what makes no sense in it. Raises ValidationError."""
        return repaired(cls._read, value)[0]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The shape in plain JSON that Qlik gave. Raises InvalidResponseError when it is none."""
        return cls.from_reply(Reply(200, content=json.dumps(value).encode()))


def _may_nest(annotation: Any) -> bool:
    inner = get_args(annotation)
    return any(map(_may_nest, inner)) if inner else annotation not in {str, int, float, bool, NoneType, datetime}


ShapeT = TypeVar("ShapeT", bound=Shape)


def json_of(shape: BaseModel) -> dict[str, Any]:
    """Return a shape as plain JSON with Qlik's names; members that are None are left out.

    A null stays where it says something (`Nullable`), and in all that this package does not describe: unknown members
    and free-form JSON.
    """
    return _without_nothing(shape, shape.model_dump(by_alias=True, mode="json"))


def body_of(shape: type[ShapeT], argument: str, given: ShapeT | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON to send for a shape or a mapping with Qlik's names, checked strictly; read-only members are left out.

    What was read from Qlik can be written back: unknown members, nulls in them, and unknown words stay as they came. A
    word that Qlik's documents do not list is logged as a warning, once per member and word.

    Raises InvalidArgumentError that names the argument and the member.
    """
    if isinstance(given, BaseModel) and not isinstance(given, shape):
        # What an answer holds is more than can be written; a masked secret must not be written back.
        raise InvalidArgumentError(argument, None, f"must be {shape.__name__} or a mapping, not {type(given).__name__}")
    plain: Any = json_of(given) if isinstance(given, BaseModel) else checked_json(argument, given)
    try:
        checked = shape.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        raise InvalidArgumentError(argument, None, problem_in(error)) from None
    _warn_of_unknown_words(checked, argument)
    return _without_read_only(checked, json_of(checked))


def bodies_of(shape: type[ShapeT], argument: str, given: Sequence[ShapeT | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The JSON to send for a list of shapes or mappings, each checked like a body.

    Raises InvalidArgumentError for one that stands alone in place of a list, and whatever `body_of` raises.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise InvalidArgumentError(
            argument, None, f"must be a list of {shape.__name__} or mappings, even for a single one"
        )
    return [body_of(shape, f"{argument}[{place}]", one) for place, one in enumerate(given)]


def _as_read(shape: BaseModel) -> dict[str, Any]:
    """Return the members of a shape as it holds them: what can be read is read, all else is as it came."""
    if isinstance(shape, LazyModel):
        shape._poll()
    return vars(shape)


def _inner(value: Any, dumped: Any) -> list[tuple[BaseModel, dict[str, Any]]]:
    """Return the shapes directly in the value of a member, each with the JSON that was made of it."""
    if isinstance(value, BaseModel):
        return [(value, dumped)]
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [pair for one in zip(value, dumped, strict=True) for pair in _inner(*one)]
    if isinstance(value, dict) and isinstance(dumped, dict):
        return [pair for name in value if name in dumped for pair in _inner(value[name], dumped[name])]
    return []


def _without_nothing(shape: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a shape, in place, without the described members that are None."""
    members = _as_read(shape)
    for name, member in type(shape).model_fields.items():
        key = member.alias or name
        if dumped.get(key, _MISSING) is None:
            if not (name in shape.model_fields_set and _marked(member, Nullable)):
                del dumped[key]
        elif key in dumped:
            for inner, plain in _inner(members.get(name), dumped[key]):
                _without_nothing(inner, plain)
    return dumped


def _without_read_only(shape: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a shape, in place, without the members that only Qlik sets."""
    members = _as_read(shape)
    for name, member in type(shape).model_fields.items():
        key = member.alias or name
        if _marked(member, ReadOnly):
            dumped.pop(key, None)
        elif key in dumped:
            for inner, plain in _inner(members.get(name), dumped[key]):
                _without_read_only(inner, plain)
    return dumped


_MISSING = object()


def _marked(member: FieldInfo, mark: type) -> bool:
    return any(isinstance(one, mark) for one in member.metadata)


MAX_WARNINGS = 500
"""How many unknown words are logged by one process, at most: what sends new ones without end fills no memory."""

_log = logging.getLogger(__name__)
_warned: set[tuple[str, str, str | int]] = set()


def _warn_of_unknown_words(shape: BaseModel, argument: str, at: tuple[str, ...] = ()) -> None:
    """Warn of each word in a shape that Qlik's documents do not list, once per member and word."""
    known = _words(type(shape))
    for name, member in type(shape).model_fields.items():
        value = getattr(shape, name)
        here = (*at, member.alias or name)
        for place, one in enumerate(value) if isinstance(value, list) else ((None, value),):
            where = here if place is None else (*here, str(place))
            if isinstance(one, BaseModel):
                _warn_of_unknown_words(one, argument, where)
            elif name in known and isinstance(one, (str, int)) and one not in known[name]:
                _warn_once((type(shape).__name__, here[-1], one), f"{argument}: {'.'.join(where)}", known[name])


def _warn_once(key: tuple[str, str, str | int], where: str, known: tuple[str | int, ...]) -> None:
    if key in _warned or len(_warned) >= MAX_WARNINGS:
        return
    _warned.add(key)
    _log.warning(
        "%s is %.200r, which is none of the words in Qlik Cloud's documents (%s). It is sent as it is, and Qlik Cloud"
        " may refuse it. This is said once for each word",
        where,
        key[2],
        ", ".join(map(repr, known)),
    )


@cache
def _words(shape: type[BaseModel]) -> dict[str, tuple[str | int, ...]]:
    """Return the documented words of those members that have any."""
    found = {
        name: next(_marks(OneOf, member.annotation, member.metadata), None)
        for name, member in shape.model_fields.items()
    }
    return {name: mark.known for name, mark in found.items() if mark is not None}


def _marks(kind: type[OneOf], annotation: Any, metadata: Iterable[Any] = ()) -> Iterator[OneOf]:
    """Yield the marks of one kind at an annotation, and at what it holds."""
    yield from (mark for mark in metadata if isinstance(mark, kind))
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        yield from _marks(kind, annotation, more)
    else:
        for inner in get_args(annotation):
            yield from _marks(kind, inner)


def one_of(*known: str | int) -> OneOf:
    """Return the mark for documented words: any word may be read and written, others than these with a warning."""
    return OneOf(known)


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


FIRST_YEAR = 1980
"""The first year that a moment in a response can have. Earlier ones stand for "never": 1753-01-01 is the first day of
SQL Server's calendar, year 1 that of Go's and .NET's, 1970 that of Unix."""

_USUAL_MOMENT = re.compile(r"(?:19[89]\d|[2-9]\d{3})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", re.ASCII)
_LEAP_SECOND = re.compile(r"(\d\d:\d\d):60(?!\d)", re.ASCII)
_END_OF_DAY = re.compile(r"(?<=[Tt ])24:00(?=$|[Zz+-]|:00(?:\.0*)?(?:$|[Zz+-]))", re.ASCII)


def _moment(given: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> datetime | None:
    if isinstance(given, str):
        if _USUAL_MOMENT.fullmatch(given):
            # What nearly all look like is read in one go: long lists are full of them.
            try:
                return datetime.fromisoformat(given)
            except ValueError:
                pass  # the 30th of February
        # Services in Go write year 1 for "never"; an empty text says the same.
        if not given.strip() or given.startswith("0001-01-01"):
            return None
    elif not isinstance(given, (datetime, NoneType)) and not reading(info):
        raise ValueError("must be a datetime or an ISO 8601 text")
    return _read_moment(given, check) if reading(info) else _in_utc(check(given))


def _read_moment(given: Any, check: ValidatorFunctionWrapHandler) -> datetime | None:
    """Return the moment that a value in a response tells, or None: a time that cannot be read is no time."""
    later = timedelta()
    if isinstance(given, str):
        given, leap_seconds = _LEAP_SECOND.subn(r"\1:59", given.strip())
        given, ends_of_day = _END_OF_DAY.subn("00:00", given)
        later = timedelta(seconds=leap_seconds, days=ends_of_day)
    try:
        moment = _in_utc(check(given))
    except ValidationError:
        moment = http_date(given) if isinstance(given, str) else None
    if moment is None or moment.year < FIRST_YEAR:
        return None
    try:
        return moment + later
    except OverflowError:
        return moment


Moment = Annotated[
    Annotated[datetime, Strict(False)] | None,
    WrapValidator(_moment),
    PlainSerializer(_as_text, when_used="json"),
]
"""A moment as an aware UTC datetime, or None."""

_MOMENT: TypeAdapter[datetime | None] = TypeAdapter(Moment)


def moment_in(text: str | None) -> datetime | None:
    """The moment that a text of Qlik's tells, if it tells one."""
    return _MOMENT.validate_python(text, context=READING)
