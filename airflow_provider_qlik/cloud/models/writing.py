"""Request bodies: shapes are checked strictly, lose the members that only Qlik sets, and may have unknown words."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from airflow_provider_qlik.cloud.models.members import Nullable, OneOf, ReadOnly
from airflow_provider_qlik.cloud.models.problems import problem_in
from airflow_provider_qlik.cloud.models.reading import KeptAsJson
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.validation import InvalidArgumentError, checked_json

ShapeT = TypeVar("ShapeT", bound=Shape)


def json_of(shape: BaseModel) -> dict[str, Any]:
    """Return a shape as plain JSON with Qlik's names, without the members that are None.

    A null stays where it has a meaning (`Nullable`), in unknown members, and in free-form JSON.
    """
    return _without_nulls(shape, shape.model_dump(by_alias=True, mode="json"))


def body_of(shape: type[ShapeT], argument: str, value: ShapeT | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON to send for a shape or a mapping with Qlik's names, checked, without its read-only members.

    An object from a response can be written back: unknown members, nulls in them, and unknown words are unchanged. A
    word that Qlik's documentation does not list is logged as a warning, once per member and word.

    Raises InvalidArgumentError that names the argument and the member.
    """
    if isinstance(value, BaseModel) and not isinstance(value, shape):
        # A response has members that cannot be written; a masked secret must not be written back.
        raise InvalidArgumentError(argument, None, f"must be {shape.__name__} or a mapping, not {type(value).__name__}")
    plain: Any = json_of(value) if isinstance(value, BaseModel) else checked_json(argument, value)
    try:
        checked = shape.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        raise InvalidArgumentError(argument, None, problem_in(error)) from None
    _warn_of_unknown_words(checked, argument)
    return _without_read_only(checked, json_of(checked))


def bodies_of(shape: type[ShapeT], argument: str, value: Sequence[ShapeT | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the JSON to send for a list of shapes or mappings, each checked by `body_of`.

    Raises InvalidArgumentError for a single one in place of a list, and the errors of `body_of`.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidArgumentError(
            argument, None, f"must be a list of {shape.__name__} or mappings, even for a single one"
        )
    return [body_of(shape, f"{argument}[{place}]", item) for place, item in enumerate(value)]


def _inner(value: Any, dumped: Any) -> list[tuple[BaseModel, dict[str, Any]]]:
    """Return the shapes in the value of a member, each with its JSON."""
    if isinstance(value, BaseModel):
        return [(value, dumped)]
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [pair for item, plain in zip(value, dumped, strict=True) for pair in _inner(item, plain)]
    if isinstance(value, dict) and isinstance(dumped, dict):
        return [pair for name in value if name in dumped for pair in _inner(value[name], dumped[name])]
    return []


def _without_nulls(shape: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """Remove the declared members that are None from the JSON of a shape, in place, and return it."""
    for name, member in type(shape).model_fields.items():
        key = member.alias or name
        if dumped.get(key, _MISSING) is None:
            if not (name in shape.model_fields_set and _marked(member, Nullable)):
                del dumped[key]
        elif key in dumped:
            inner = _inner(vars(shape).get(name), dumped[key])
            for mark in member.metadata:
                if isinstance(mark, KeptAsJson) and not inner:
                    read = mark.read(dumped[key])
                    dumped[key] = to_jsonable_python(read, by_alias=True)
                    inner = _inner(read, dumped[key])
            for inner_shape, plain in inner:
                _without_nulls(inner_shape, plain)
    return dumped


def _without_read_only(shape: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """Remove the members that only Qlik sets from the JSON of a shape, in place, and return it."""
    for name, member in type(shape).model_fields.items():
        key = member.alias or name
        if _marked(member, ReadOnly):
            dumped.pop(key, None)
        elif key in dumped:
            for inner, plain in _inner(vars(shape).get(name), dumped[key]):
                _without_read_only(inner, plain)
    return dumped


_MISSING = object()


def _marked(member: FieldInfo, mark: type) -> bool:
    return any(isinstance(item, mark) for item in member.metadata)


MAX_WARNINGS = 500
"""Unknown words that a process warns about, at most: a caller that sends new ones without end must not fill memory."""

_log = logging.getLogger(__name__)
_warned: set[tuple[str, str, str | int]] = set()


def _warn_of_unknown_words(shape: BaseModel, argument: str, at: tuple[str, ...] = ()) -> None:
    """Log a warning for each word in a shape that Qlik's documentation does not list, once per member and word."""
    documented = _words(type(shape))
    for name, member in type(shape).model_fields.items():
        value = getattr(shape, name)
        here = (*at, member.alias or name)
        for place, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            where = here if place is None else (*here, str(place))
            if isinstance(item, BaseModel):
                _warn_of_unknown_words(item, argument, where)
            elif name in documented and isinstance(item, (str, int)) and item not in documented[name]:
                _warn_once((type(shape).__name__, here[-1], item), f"{argument}: {'.'.join(where)}", documented[name])


def _warn_once(key: tuple[str, str, str | int], where: str, documented: tuple[str | int, ...]) -> None:
    if key in _warned or len(_warned) >= MAX_WARNINGS:
        return
    _warned.add(key)
    _log.warning(
        "%s is %.200r, which is none of the words in Qlik Cloud's documentation (%s). It is sent unchanged, and Qlik"
        " Cloud may refuse it. This warning is logged once for each word",
        where,
        key[2],
        ", ".join(map(repr, documented)),
    )


@cache
def _words(shape: type[BaseModel]) -> dict[str, tuple[str | int, ...]]:
    """Return the documented words by member, for the members that have any."""
    found = {
        name: next(_marks(OneOf, member.annotation, member.metadata), None)
        for name, member in shape.model_fields.items()
    }
    return {name: mark.documented for name, mark in found.items() if mark is not None}


def _marks(kind: type[OneOf], annotation: Any, metadata: Iterable[Any] = ()) -> Iterator[OneOf]:
    """Yield the marks of one class in an annotation, at any depth."""
    yield from (mark for mark in metadata if isinstance(mark, kind))
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        yield from _marks(kind, annotation, more)
    else:
        for inner in get_args(annotation):
            yield from _marks(kind, inner)
