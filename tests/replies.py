"""Responses of Qlik Cloud, valid and damaged in every way, for property tests."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from airflow_provider_qlik.cloud.call import Call, Tier
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.reading import type_of
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.operations import FUNCTIONS
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.operations import OPERATIONS

TIMES = int(os.environ.get("QLIK_EXAMPLES_TIMES", "1"))
"""The factor for the number of examples, which then differ each time: for searches of hours, not for each commit."""

SECRET = "planted-execution-token-c0ffee"
IDS = ("r1", "r2", "r3")
MARKER, OTHER_MARKER = "airflow-0123456789abcdef", "airflow-fedcba9876543210"
WORDS = (
    *("RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "queued", "finished", "failed", "stopped", "must stop"),
    *("RELOADING", "in-progress", "successful", "cancelling", "NEW WORD", "aborted", ""),
)
MOMENTS = (
    *("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.878521494Z", "2026-01-02T04:04:09+01:00", "2026-01-02T03:05:00"),
    *("9999-12-31T00:00:00Z", "9999-12-31T00:00:00-12:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", ""),
    *("1753-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z", "n/a", "2026-01-02T03:04:60Z", "2026-01-02T24:00:00Z"),
    *("Fri, 02 Jan 2026 03:04:05 GMT", "9999-12-31T23:59:60Z", "9999-12-31T24:00:00Z"),
)
DATES = (
    *("Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 03:04:05 -0000", "Fri, 31 Dec 9999 23:59:59 -1200"),
    *("Fri, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 02 Jan 2026 03:04:05 +9999", "01 Jan 100 00:00 +2359"),
    *("Fri, 02 Jan 2026 03:04:05 +999999999999999999", "Fri, 32 Jan 2026 25:61:61 GMT", "yesterday", "", ","),
)
LINKS: tuple[Any, ...] = (
    *(
        None,
        "",
        "?page=2",
        "/api/v1/tasks?page=2&sort=+a",
        "http://[::1",
        "https://[evil]/?page=3",
        "//",
        "%",
        "?=&&=;",
    ),
    *("https://elsewhere.example/x?next=%FF%00&next=2", {"href": "?page=2"}, {"href": None}, {"href": 5}, [], {}),
)
_USUAL: dict[str, tuple[Any, ...]] = {
    "id": IDS,
    "workflowID": (None, *IDS),
    "status": (*WORDS, None) * 2 + ("a\x00b",),
    "triggeredBy": (None, MARKER, OTHER_MARKER, MARKER[:20], "somebody"),
    "state": ("available", "disabled", "Disabled", "Completed", "Enabled"),
    "statusCode": (None, "VALID", "IN_PROGRESS", "NO_RECIPIENTS"),
    "enabled": (True, False, None),
    "reloadId": (None, "reload"),
    "runMode": ("triggered", "manual"),
    "name": ("wanted", "Wanted", None),
    "resourceId": (*IDS, None),
    "workerType": ("reloads", "automations", "", None, "something"),
    "workerId": (*IDS, None, "a/b"),
    "errors": (None, [{"title": "no table", "detail": "sales"}], []),
    "error": (None, "no connection", [{"message": "no"}, 5], {"deep": [[]]}),
}
"""Usual values of the members that matter to runs, few enough for values to coincide."""


def examples(count: int) -> settings:
    """Return the settings for a number of examples, the same each time unless `QLIK_EXAMPLES_TIMES` is set."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


def call_of(operation: str) -> Call[Any]:
    """Return a call of an operation, with the response type that its function declares."""
    described = OPERATIONS[operation]
    return Call(
        operation=operation,
        method=described.method,
        path="/api/v1/x",
        response_type=response_type_of(operation),
        tier=Tier.ONE,
    )


def response_type_of(operation: str) -> Any:
    """Return the type as which the client reads the response of an operation; NoneType for a streamed file."""
    (answer,) = get_args(get_type_hints(FUNCTIONS[operation])["return"])
    return NoneType if answer is Download else answer


def about_the_call(call: Call[Any], body: Any) -> Any:
    """Return a JSON body with the ids of the call, so that it is accepted as the response to it."""
    ids = {_alias(call.response_type, member): id for member, id in call.about}
    if call.items_about:
        listed, shape = _list_of(call.response_type)
        item_ids = {_alias(shape, member): id for member, id in call.items_about}
        body = {**body, listed: [{**item, **item_ids} for item in body[listed]]}
    return {**body, **ids} if ids else body


def _alias(shape: type[Shape], member: str) -> str:
    return shape.model_fields[member].alias or member


def _list_of(page: type[Shape]) -> tuple[str, type[Shape]]:
    """Return the name of the list on a page and the shape of its items."""
    shape = _shape_in(page.model_fields["data"].annotation)
    assert shape is not None
    return _alias(page, "data"), shape


def _shape_in(annotation: Any) -> type[Shape] | None:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    return next(filter(None, map(_shape_in, get_args(annotation))), None)


# Complete responses


def whole(shape: type[Shape]) -> dict[str, Any]:
    """Return a response with every member of a shape, secrets first, so that any part of the text contains them."""
    members = {
        member.alias or name: _whole(type_of(member), member.alias or name)
        for name, member in shape.model_fields.items()
        if name != "server_time"
    }
    return dict(sorted(members.items(), key=lambda member: member[1] != SECRET))


def _whole(annotation: Any, name: str) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _whole(inner[0], name)
    if origin in {Union, UnionType}:
        return _whole(next(one for one in reversed(inner) if one is not NoneType), name)
    if origin is list:
        return [_whole(inner[0], name)]
    if origin is dict:
        return {"key": "text"}
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return whole(annotation)
    if annotation is str:
        return "2026-01-02T03:04:05Z" if name.endswith("Time") else {"id": "r1", "href": "?page=2"}.get(name, "text")
    return {bool: True, int: 3, float: 1.5, datetime: "2026-01-02T03:04:05Z", SecretStr: SECRET}.get(
        annotation, ["anything"]
    )


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each member in a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*place, key)
        yield from _places(inner, (*place, key))


# Damage

HUGE, DIGITS, DEEP, SURROGATE = "@huge@", "@digits@", "@deep@", "@surrogate@"
_RAW = {
    f'"{HUGE}"': "1e400",
    f'"{DIGITS}"': "9" * 5000,
    f'"{DEEP}"': "[" * 150 + "]" * 150,
    SURROGATE: "\\ud800",
}
"""Placeholders for JSON that `json.dumps` cannot write."""

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value, with numbers that JSON does not have."""

_NAMED = re.compile(rb'"(executionToken|access_token)"')
_REMOVED = object()
EACH_ODD: tuple[Any, ...] = (
    *(_REMOVED, None, True, -1, 10**30, float("nan"), float("-inf"), "", "x", "\x00", [], {}, [None], {"id": 1}),
    *(HUGE, DIGITS, DEEP, SURROGATE, "9999-12-31T23:59:59-12:00", "http://[::1"),
)
odd = st.sampled_from((*EACH_ODD, 0, " ", [[]], f"x{SURROGATE}", "2026-13-45T99:99:99Z", "9" * 400, *MOMENTS, *LINKS))


_SAID = odd.filter(lambda given: given is not _REMOVED) | anything


@st.composite
def values(draw: st.DrawFn, shape: type[Shape]) -> Any:
    """Return JSON like that of a shape, possibly with a few members that are invalid or missing."""
    value = _usual(draw, whole(shape))
    if issubclass(shape, Page):
        listed = shape.model_fields["data"].alias or "data"
        item = value[listed][0]
        items = [_usual(draw, item) for _ in range(draw(st.integers(0, 3)))]
        # Invalid items, and one that is listed twice.
        value[listed] = items + draw(st.sampled_from(([], [], [None], [{}], [17, "x"], deepcopy(items[:1]))))
        value["links"] = {"next": deepcopy(draw(st.sampled_from(LINKS)))}
    for _ in range(draw(st.sampled_from((0, 0, 1, 2, 3)))):
        *way, last = draw(st.sampled_from([*_places(value), ("unheard of",)]))
        _put(value, way, last, draw(odd | anything))
    return value


def _usual(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    varied: dict[str, Any] = json.loads(json.dumps(value))
    for name in varied:
        usual = MOMENTS if name.endswith(("Time", "At")) else _USUAL.get(name)
        if usual:
            varied[name] = deepcopy(draw(st.sampled_from(usual)))
    return varied


def _put(value: Any, way: list[Any], last: Any, given: Any) -> None:
    for key in way:
        value = value[key]
    if given is not _REMOVED:
        value[last] = deepcopy(given)
    elif isinstance(value, dict):
        value.pop(last, None)


def with_one_damage(shape: type[Shape]) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    """Yield each path of a complete response, with a body for each invalid value at that path."""
    yield from (((), written(given)) for given in EACH_ODD if given is not _REMOVED)
    text = json.dumps(whole(shape))
    for place in _places(json.loads(text)):
        for given in EACH_ODD:
            value = json.loads(text)
            *way, last = place
            _put(value, way, last, given)
            yield place, written(value)


def written(value: Any) -> bytes:
    """Return a JSON value as bytes, with the placeholders replaced."""
    text = json.dumps(value)
    for mark, raw in _RAW.items():
        text = text.replace(mark, raw)
    return text.encode()


@st.composite
def bodies(draw: st.DrawFn, answer: Any) -> bytes:
    """Return the body of a response: a valid one, one like it, any JSON, any bytes, or a part of these."""
    how = draw(st.sampled_from(("near", "near", "near", "cut", "spoilt", "twice", "any JSON", "any bytes", "nothing")))
    if how == "nothing":
        return b""
    if how == "any bytes":
        return draw(st.binary(max_size=40))
    near = isinstance(answer, type) and issubclass(answer, Shape) and how != "any JSON"
    body = written(draw(values(answer)) if near else draw(_SAID))
    place = draw(st.integers(0, len(body))) if how in {"cut", "spoilt"} else 0
    if how == "cut":
        return body[:place]
    if how == "spoilt":
        spoils = (b"\xff", b"\x00", b'"', b"\xed\xa0\x80", b"}", b"NaN")
        body = body[:place] + draw(st.sampled_from(spoils)) + body[place:]
        # A secret whose name is damaged cannot be recognised.
        return body if _NAMED.search(body) else body.replace(SECRET.encode(), b"something")
    if how == "twice" and body.startswith(b"{") and len(body) > 2:
        # Members that occur twice, first with an invalid value.
        return b'{"id": [], "status": 5, "data": "x", "links": 0, ' + body[1:]
    return body


@st.composite
def headers(draw: st.DrawFn) -> dict[str, str]:
    """Return headers in lower case, some of them invalid."""
    anyhow = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=12)
    choices = {
        "content-type": st.sampled_from(("application/json", "text/html; charset=utf-8", "text/plain", "")) | anyhow,
        "date": st.sampled_from(DATES) | anyhow,
        "retry-after": st.sampled_from(("1", "0", "-5", "1e308", "1e400", "nan", "9" * 30, *DATES)) | anyhow,
        "location": st.just("https://elsewhere.example/"),
    }
    names = draw(st.sets(st.sampled_from(sorted(choices)), max_size=3))
    return {name: draw(choices[name]) for name in sorted(names)}


ERROR_BODIES = st.builds(
    lambda members, trace: {"errors": [members], "traceId": trace},
    st.dictionaries(st.sampled_from(("code", "title", "detail", "context", "meta", "traceId")), _SAID),
    _SAID,
) | st.dictionaries(st.sampled_from(("errors", "error", "error_description", "traceId")), _SAID)


@st.composite
def replies(draw: st.DrawFn, answer: Any, healthy: bool = False) -> Reply:
    """Return a response to a call with a response type; with *healthy*, more of them are valid."""
    if healthy and draw(st.integers(0, 3)):
        near = isinstance(answer, type) and issubclass(answer, Shape)
        body = json.dumps(_usual_value(draw, answer)).encode() if near else b"a log\nof two lines"
        return Reply(200, {"date": DATES[0]}, body)
    status = draw(
        st.sampled_from((200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 425, 429, 500, 503, 599))
    )
    if status < 400:
        return Reply(status, draw(headers()), draw(bodies(answer)))
    members = draw(ERROR_BODIES)
    others = (b"<html>", b"", b"\xff", f'{{"executionToken": "{SECRET}", '.encode())
    return Reply(status, draw(headers()), draw(st.sampled_from((written(members), *others))))


def _usual_value(draw: st.DrawFn, answer: type[Shape]) -> dict[str, Any]:
    value = _usual(draw, whole(answer))
    if issubclass(answer, Page):
        listed = answer.model_fields["data"].alias or "data"
        value[listed] = [_usual(draw, value[listed][0]) for _ in range(draw(st.integers(0, 3)))]
        value["links"] = {"next": draw(st.sampled_from(LINKS[:4]))}
    return value
