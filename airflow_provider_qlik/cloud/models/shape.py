"""The base class of all shapes: JSON objects that are read leniently and written strictly."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import NoneType
from typing import Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.models.lenient import decoded, has_nul, repaired
from airflow_provider_qlik.cloud.models.members import Needed
from airflow_provider_qlik.cloud.models.moments import http_date
from airflow_provider_qlik.cloud.models.problems import forms, problem_in
from airflow_provider_qlik.cloud.models.reading import READING, checked_where_written, reading
from airflow_provider_qlik.masking import masked, secrets_in, texts_in
from airflow_provider_qlik.text import storable

_END_OF_WRAPPER = re.compile(r'"\s*\}\s*\Z')


@dataclass(frozen=True, slots=True)
class Reply:
    """A response without its transport: status, headers in lower case, body.

    Of a long log only the end is kept: `left_out` counts the bytes before that.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)
    left_out: int = 0

    @property
    def server_time(self) -> datetime | None:
        """Return the server's clock, to the second, None if the response has no date."""
        return http_date(self.headers.get("date", ""))

    @property
    def text(self) -> str:
        """Return the body as text that can be stored: invalid bytes, and NUL, are shown as escapes."""
        in_utf_16 = len(self.content) > 2 and self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if in_utf_16:
            text = self.content.decode("utf-16", "replace")
        else:
            text = self.content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "backslashreplace")
        return storable(text, len(text))

    @property
    def log_text(self) -> str:
        """Return the body as the text of a log; if only its end was kept, from the beginning of a line."""
        if not self.left_out:
            return self.text
        text = self.text
        # If the log is a member of a JSON object, the beginning of the object is lost, and line ends are still escaped.
        wrapped = _END_OF_WRAPPER.sub("", text)
        if wrapped != text and "\n" not in wrapped:
            _, _, lines = wrapped.partition("\\n")
            with suppress(ValueError):
                text = json.loads(f'"{lines}"')
        else:
            text = text.partition("\n")[2] or text
        return f"[{self.left_out:,} bytes before this are left out]\n{storable(text, len(text))}"


class Shape(BaseModel):
    """A JSON object of Qlik Cloud, with members in snake_case and Qlik's names as aliases.

    Created in Python it is strict: types must be right, and members that Qlik requires must be set. Read from a
    response (`from_reply`), it keeps unknown members, and accepts a number that is written as a string. Undocumented
    words are kept in both cases, since Qlik adds words before its documentation does (see `OneOf`).
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

        def check_needed_members(shape: Self, info: ValidationInfo) -> Self:
            missing = [] if reading(info) else [shown for name, shown in needed if getattr(shape, name) is None]
            if missing:
                raise ValueError(f"{' and '.join(missing)} must be given")
            return shape

        if not needed:
            return schema
        return checked_where_written(
            schema, core_schema.with_info_after_validator_function(check_needed_members, schema)
        )

    _nesting: ClassVar[tuple[str, ...]] = ()
    """The members that may hold more than a single text, number or moment."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        forms.add(cls.__name__)
        cls._nesting = tuple(name for name, member in cls.model_fields.items() if _may_nest(member.annotation))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the texts that must not be shown.

        These are the members declared as secrets, and texts below names of secrets (`masking`) in free-form JSON and
        unknown members.
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
        """Return the shape in the body of a response. Raises InvalidResponseError if there is none.

        Invalid members that are not required become None or are left out, see `lenient`.
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
        """Return the shape of plain JSON, without its invalid members. Raises ValidationError."""
        return repaired(cls._read, value)[0]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the shape of plain JSON from Qlik Cloud. Raises InvalidResponseError if it is not valid."""
        return cls.from_reply(Reply(200, content=json.dumps(value).encode()))

    @classmethod
    def from_member(cls, value: Any) -> Self | None:
        """Return the shape of a member that is marked `KeptAsJson`, None if it has no value or an invalid one."""
        if value is None or isinstance(value, cls):
            return value
        with suppress(InvalidResponseError):
            return cls.from_json(value)
        return None


def _may_nest(annotation: Any) -> bool:
    inner = get_args(annotation)
    return any(map(_may_nest, inner)) if inner else annotation not in {str, int, float, bool, NoneType, datetime}
