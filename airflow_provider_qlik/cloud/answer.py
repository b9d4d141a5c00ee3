"""From a response to a value or an error. No I/O here.

The first question is who answered. Between this package and Qlik Cloud stand proxies, firewalls, load balancers and
Qlik's own edge, and all of them answer in Qlik's place at times: with a web page, a plain text or nothing, and with any
status. Nothing follows from such a response: a read is repeated, and a request that changes something may have been
executed or not. Only what is in Qlik Cloud's own form is Qlik Cloud's word: below 400 the documented body, from 400 on
JSON in one of its error forms.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    TOKEN_PATH,
    CouldNotConnect,
    IntermediaryResponse,
    Refused,
    ServerFailed,
    UnreadableAnswer,
)
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Reply, Shape, http_date

T = TypeVar("T")

ONE_DAY = 24 * 60 * 60.0
"""Seconds that a response may ask to wait, at most."""
MOST_ERRORS = 10
"""How many of the errors in one response are read."""
INTERMEDIARY_STATUSES = frozenset({407, 421, 425, 499, *range(520, 531)})
"""Statuses that only something in between gives: no service of Qlik Cloud does, whatever the body looks like."""
_HTML = re.compile(rb"\s*+(?:\xef\xbb\xbf)?\s*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def read(call: Call[T], path: str, reply: Reply) -> T:
    """Return the value that a response to a call holds.

    Raises Refused where Qlik Cloud refused the call, IntermediaryResponse where something else answered, and
    UnreadableAnswer for a response that makes no sense or is about something else than the call.
    """
    request = f"HTTP {reply.status} for {call.method} {path}"
    if reply.status >= 400:
        raise refusal(call.method, path, reply)
    if not 200 <= reply.status < 300:
        raise IntermediaryResponse(f"The response leads elsewhere and was not followed ({request})", "", reply.status)
    if is_web_page(reply):
        raise intermediary(call.method, path, reply)
    answer: Any = call.answer
    if answer is type(None):
        return cast(T, None)
    if answer is str:
        return cast(T, reply.log_text)
    assert issubclass(answer, Shape), answer
    try:
        value = answer.from_reply(reply)
    except UnreadableAnswer as error:
        raise UnreadableAnswer(f"The response makes no sense: {error.what} ({request})", error.excerpt) from None
    return cast(T, _about_the_call(call, value, request))


def _about_the_call(call: Call[Any], value: Any, request: str) -> Any:
    """Return the value if it is about what the call asked for. Raises UnreadableAnswer if it is about something else.

    Two responses can change places: on a connection that is used by two processes, or behind a proxy that is out of
    step. A success of somebody else's run would then pass for ours. Of a list, single items about something else are
    left out; if all of them are, the whole list is somebody else's.
    """
    for member, asked in call.about:
        told = getattr(value, member, None)
        if not _same(asked, told):
            raise UnreadableAnswer(f"The response is about {member} {told!r}, not {asked!r} ({request})")
    if call.items_about and isinstance(value, Page) and value.data:
        about = [
            item for item in value.data if all(_same(asked, getattr(item, m, None)) for m, asked in call.items_about)
        ]
        if not about:
            member, asked = call.items_about[0]
            told = getattr(value.data[0], member, None)
            raise UnreadableAnswer(f"The list is about {member} {told!r}, not {asked!r} ({request})")
        if len(about) < len(value.data):
            return value.model_copy(update={"data": about})
    return value


def _same(asked: str, told: object) -> bool:
    # Ids are compared as Qlik Cloud does, which takes a GUID in either letter case. What is not told says nothing.
    return told is None or not isinstance(told, str) or told.strip().casefold() == asked.casefold()


def is_web_page(reply: Reply) -> bool:
    """Return True for HTML, whatever the status, the letter case of the content type, or the lack of one."""
    content_type = reply.headers.get("content-type", "").strip().lower()
    return content_type.startswith(("text/html", "application/xhtml")) or _HTML.match(reply.content) is not None


def refusal(method: str, path: str, reply: Reply) -> Refused | IntermediaryResponse | CouldNotConnect:
    """Return the error for a response with a status of 400 or above, with all that its body tells.

    For a sign-in that something in between answered it is CouldNotConnect: the call itself was not sent yet.
    """
    body = _error_body(reply, path)
    if body is None:
        between = intermediary(method, path, reply)
        return CouldNotConnect(f"Could not sign in. {between}") if path == TOKEN_PATH else between
    errors = list(_errors(body))
    titles = [each for each in map(_title, errors) if each]
    kind = Refused.by_status.get(reply.status, ServerFailed if reply.status >= 500 else Refused)
    first = errors[0] if errors else {}
    details = [_detail(first)] if len(titles) <= 1 else []
    return kind(
        status=reply.status,
        method=method,
        path=path,
        code=_text(first.get("code")),
        title="; ".join(dict.fromkeys(titles if len(titles) <= 1 else map(_whole, errors))) or None,
        detail="; ".join(filter(None, details)) or None,
        trace_id=_text(body.get("traceId")) or _text(first.get("traceId")),
        retry_after=retry_after(reply),
    )


def intermediary(method: str, path: str, reply: Reply) -> IntermediaryResponse:
    """Return the error for a response that is not Qlik Cloud's."""
    what = "a web page" if is_web_page(reply) else "no error of Qlik Cloud's" if reply.content.strip() else "nothing"
    return IntermediaryResponse(
        f"Something between Airflow and Qlik Cloud answered in its place, with {what}: check proxies and firewalls if"
        f" this lasts (HTTP {reply.status} for {method} {path})",
        reply.text[:2000].strip(),
        reply.status,
        retry_after(reply),
    )


def _error_body(reply: Reply, path: str) -> Mapping[str, Any] | None:
    """Return the JSON of a response that has one of Qlik Cloud's error forms, None for anything else.

    The forms: ``{errors: [{code, title, …}], traceId}``, either of which may be missing, and for the token endpoint
    OAuth's ``{error, error_description}``. The content type is only trusted to say that it is a web page: services
    written in Go send JSON as text/plain.
    """
    if reply.status in INTERMEDIARY_STATUSES or is_web_page(reply):
        return None
    try:
        body = json.loads(reply.text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    errors = body.get("errors")
    if isinstance(errors, list) and any(isinstance(error, dict) and error for error in errors):
        return body
    if path == TOKEN_PATH and isinstance(body.get("error"), str):
        return {"errors": [{"code": body["error"], "title": body.get("error_description")}], **body}
    return body if isinstance(body.get("traceId"), str) and body["traceId"] else None


def _errors(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    errors = body.get("errors")
    for error in errors[:MOST_ERRORS] if isinstance(errors, list) else ():
        if isinstance(error, dict):
            yield error


def _title(error: Mapping[str, Any]) -> str | None:
    return _text(error.get("title")) or _text(error.get("message"))


def _detail(error: Mapping[str, Any]) -> str | None:
    """Return what an error says beyond its title: Tasks put the true reason into `inner`, however deep."""
    parts = [_text(error.get("detail")), _text(error.get("context"))]
    inner, depth = error.get("inner"), 0
    while isinstance(inner, dict) and depth < MOST_ERRORS:
        parts += [_title(inner), _text(inner.get("detail"))]
        inner, depth = inner.get("inner"), depth + 1
    parts.append(_text(inner))
    return ": ".join(dict.fromkeys(filter(None, parts))) or None


def _whole(error: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (_title(error), _detail(error), _text(error.get("code")))))


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return str(value).strip() or None


def retry_after(reply: Reply) -> float | None:
    """Return the seconds that a response asks to wait, from Retry-After as seconds or as a date, None if it does not.

    Never more than a day: what asks for years is mistaken, and no clock could wait for it.
    """
    given = reply.headers.get("retry-after", "").strip()
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        pass
    else:
        return min(max(0.0, seconds), ONE_DAY) if math.isfinite(seconds) else None
    moment = http_date(given)
    if moment is None:
        return None
    # Both dates by the server's clock: ours may be off.
    return min(max(0.0, (moment - (reply.server_time or datetime.now(UTC))).total_seconds()), ONE_DAY)
