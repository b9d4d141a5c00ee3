"""Turns a response into a value or an error. No I/O here.

The first question is who responded. Between this package and Qlik Cloud stand proxies, firewalls, load balancers and
Qlik's own edge, and all of them respond in Qlik's place at times: with a web page, a plain text or nothing, and with
any status. Nothing follows from such a response: a read is repeated, and a request that changes something may have been
executed or not. So only a response in Qlik Cloud's own form is taken for one of Qlik Cloud: below 400 the documented
body, from 400 on JSON in one of its error forms. What does not work: the status alone. A proxy that is being restarted
responds with 404 or 403, and a wait would end although its run goes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.error_codes import MAX_DEPTH, code_of, is_bare_result
from airflow_provider_qlik.cloud.errors import (
    TOKEN_PATH,
    ConnectError,
    IntermediaryResponseError,
    InvalidResponseError,
    ServerError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.moments import http_date
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.masking import is_secret, masked_text
from airflow_provider_qlik.text import MESSAGE_LENGTH, shortened

T = TypeVar("T")

ONE_DAY = 24 * 60 * 60.0
"""Seconds of a Retry-After header, at most."""
MAX_ERRORS = 10
"""The number of errors that are read from one response."""
MAX_TEXTS = 6
"""The number of texts that are taken from the other members of an error, beside its title and detail."""
MAX_TEXT = 300
"""Characters of each of those texts, so that none hides the others."""
INTERMEDIARY_STATUSES = frozenset({407, 421, 425, 499, *range(520, 531)})
"""Statuses that no service of Qlik Cloud responds with, whatever the body looks like."""
_HTML = re.compile(rb"\s*+(?:\xef\xbb\xbf)?\s*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def read(call: Call[T], path: str, reply: Reply) -> T:
    """Return the value that a response to a call holds.

    Raises StatusError if Qlik Cloud refused the call, IntermediaryResponseError if something in between responded, and
    InvalidResponseError for a response that cannot be read or is about another resource than the call.
    """
    request = f"HTTP {reply.status} for {call.method} {path}"
    if reply.status >= 400:
        raise refusal(call.method, path, reply)
    if not 200 <= reply.status < 300:
        raise IntermediaryResponseError(
            f"The response is a redirect that is not followed ({request})", "", reply.status
        )
    if is_web_page(reply):
        raise intermediary(call.method, path, reply)
    response_type: Any = call.response_type
    if response_type is type(None):
        return cast(T, None)
    if response_type is str:
        return cast(T, reply.log_text)
    assert issubclass(response_type, Shape), response_type
    try:
        value = response_type.from_reply(reply)
    except InvalidResponseError as error:
        raise InvalidResponseError(f"The response makes no sense: {error.what} ({request})", error.excerpt) from None
    return cast(T, _about_the_call(call, value, request))


def _about_the_call(call: Call[Any], value: Any, request: str) -> Any:
    """Return the value if it is about the resource that the call names, else raise InvalidResponseError.

    Two responses can change places: on a connection that is used by two processes, or behind a proxy that is out of
    step. The success of another run would then pass for that of this one. Of a list, single items about another
    resource are dropped; if all of them are, the whole list belongs to another request.
    """
    for member, expected in call.about:
        actual = getattr(value, member, None)
        if not _same(expected, actual):
            raise InvalidResponseError(f"The response is about {member} {actual!r}, not {expected!r} ({request})")
    if call.items_about and isinstance(value, Page) and value.data:
        items = [
            item
            for item in value.data
            if all(_same(expected, getattr(item, name, None)) for name, expected in call.items_about)
        ]
        if not items:
            member, expected = call.items_about[0]
            actual = getattr(value.data[0], member, None)
            raise InvalidResponseError(f"The list is about {member} {actual!r}, not {expected!r} ({request})")
        if len(items) < len(value.data):
            return value.model_copy(update={"data": items})
    return value


def _same(expected: str, actual: object) -> bool:
    # Ids are compared as Qlik Cloud does, which takes a GUID in either letter case. A missing member proves nothing.
    return actual is None or not isinstance(actual, str) or actual.strip().casefold() == expected.casefold()


def is_web_page(reply: Reply) -> bool:
    """Return True for HTML, whatever the status, the letter case of the content type, or the lack of one."""
    content_type = reply.headers.get("content-type", "").strip().lower()
    return content_type.startswith(("text/html", "application/xhtml")) or _HTML.match(reply.content) is not None


def refusal(method: str, path: str, reply: Reply) -> StatusError | IntermediaryResponseError | ConnectError:
    """Return the error for a response with a status of 400 or above, with all reasons in its body.

    It is ConnectError for a sign-in whose response came from something in between: the call itself was not sent yet.
    """
    body = _error_body(reply, path)
    if body is None:
        error = intermediary(method, path, reply)
        return ConnectError(f"Could not sign in. {error}") if path == TOKEN_PATH else error
    errors = list(_errors(body))
    first = errors[0] if errors else {}
    if len(errors) <= 1:
        title, detail = _title(first), _detail(first)
    else:
        title, detail = "; ".join(dict.fromkeys(filter(None, map(_summary, errors)))) or None, None
    error_type = StatusError.by_status.get(reply.status, ServerError if reply.status >= 500 else StatusError)
    return error_type(
        status=reply.status,
        method=method,
        path=path,
        code=code_of(errors),
        title=title,
        detail=detail,
        trace_id=_text(body.get("traceId")) or _text(first.get("traceId")),
        retry_after=retry_after(reply),
    )


def intermediary(method: str, path: str, reply: Reply) -> IntermediaryResponseError:
    """Return the error for a response that is not Qlik Cloud's."""
    body = "a web page" if is_web_page(reply) else "no error of Qlik Cloud's" if reply.content.strip() else "nothing"
    return IntermediaryResponseError(
        f"Something between Airflow and Qlik Cloud answered in its place, with {body}: check proxies and firewalls if"
        f" this lasts (HTTP {reply.status} for {method} {path})",
        reply.text[:2000].strip(),
        reply.status,
        retry_after(reply),
    )


def _error_body(reply: Reply, path: str) -> Mapping[str, Any] | None:
    """Return the JSON of a response that has one of Qlik Cloud's error forms, None for anything else.

    The forms: ``{errors: [{code, title, …}], traceId}``, either of which may be missing, the scheduler's bare result
    ``{status_code, code, context, value}``, and for the token endpoint OAuth's ``{error, error_description}``. The
    content type is only trusted to say that it is a web page: services written in Go send JSON as text/plain.
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
    if is_bare_result(body, reply.status):
        return {"errors": [body], "traceId": body.get("traceId")}
    if path == TOKEN_PATH and isinstance(body.get("error"), str):
        return {"errors": [{"code": body["error"], "title": body.get("error_description")}], **body}
    return body if isinstance(body.get("traceId"), str) and body["traceId"] else None


def _errors(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    errors = body.get("errors")
    for error in errors[:MAX_ERRORS] if isinstance(errors, list) else ():
        if isinstance(error, dict):
            yield error


_SENTENCES = ("title", "message", "detail", "details", "reason", "description", "error", "context")
"""The members of an error, or of an object in it, whose value is a sentence."""
_OMITTED_MEMBERS = frozenset(
    {"code", "timestamp", "traceid", "httpcode", "status", "statuscode", "status_code", "links", "href", "stack"}
)
"""Members that do not help a reader, or stand in the message already."""


def _title(error: Mapping[str, Any]) -> str | None:
    return _text(error.get("title")) or _text(error.get("message"))


def _detail(error: Mapping[str, Any]) -> str | None:
    """Return the reasons that an error has beside its title: Tasks put the true reason into `inner`, however deep.

    `meta`, `result` and the `value` of a bare result may have any shape: their texts are shown with the names they have
    there, except below the name of a secret.
    """
    parts = [_text(error.get("detail")), _text(error.get("context"))]
    parts += [text for name in ("inner", "result", "value", "meta") for text in _texts(error.get(name), MAX_DEPTH)]
    title = _title(error)
    return ": ".join(_different(parts[: MAX_TEXTS + 2], title)) or None


def _texts(value: object, depth: int, name: str = "") -> Iterator[str]:
    """Yield the texts in any JSON, those that are sentences first, each no longer than `MAX_TEXT`."""
    if isinstance(value, Mapping) and depth:
        sentences = [member for member in _SENTENCES if member in value]
        for member in (*sentences, *(other for other in value if other not in sentences)):
            member = str(member)
            if is_secret(member) or member.lower() in _OMITTED_MEMBERS:
                continue
            unnamed = member in _SENTENCES or member in {"inner", "result", "value", "meta", "errors"}
            yield from _texts(value[member], depth - 1, "" if unnamed else member)
    elif isinstance(value, list) and depth:
        for item in value[:MAX_ERRORS]:
            yield from _texts(item, depth - 1, name)
    elif isinstance(value, str) and (text := _text(value)):
        yield shortened(f"{name}: {text}" if name else text, MAX_TEXT)


def _different(parts: Iterable[str | None], title: str | None) -> list[str]:
    """Return the texts, each once, without those that only repeat the title."""
    return [part for part in dict.fromkeys(parts) if part and part != title]


def _summary(error: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (_title(error), _detail(error), _text(error.get("code")))))


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # One line, without secrets. Cut before it is searched for them: no reason has megabytes.
    words = " ".join(str(value)[:MESSAGE_LENGTH].split())
    return masked_text(words) or None


def retry_after(reply: Reply) -> float | None:
    """Return the seconds of the Retry-After header, which may also be a date; None if there is none.

    Never more than a day: a longer time is a mistake, and no timer could wait for it.
    """
    header = reply.headers.get("retry-after", "").strip()
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return min(max(0.0, seconds), ONE_DAY) if math.isfinite(seconds) else None
    moment = http_date(header)
    if moment is None:
        return None
    # Both dates by the server's clock: that of this machine may be off.
    return min(max(0.0, (moment - (reply.server_time or datetime.now(UTC))).total_seconds()), ONE_DAY)
