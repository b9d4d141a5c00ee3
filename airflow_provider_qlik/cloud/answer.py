"""From what came back to a value or an error. No I/O here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import Refused, ServerFailed, UnreadableAnswer, without_secrets
from airflow_provider_qlik.cloud.models.shape import Reply, Shape, http_date, writable

T = TypeVar("T")

ONE_DAY = 24 * 60 * 60.0


def read(call: Call[T], path: str, reply: Reply) -> T:
    """The answer of a call. Raises Refused for a status of 400 and above, UnreadableAnswer for nonsense."""
    if reply.status >= 400:
        raise refusal(call.method, path, reply)
    if not 200 <= reply.status < 300:
        raise UnreadableAnswer(
            f"{call.method} {path} was answered with status {reply.status}, which sends us elsewhere: not followed"
        )
    if reply.headers.get("content-type", "").startswith("text/html"):
        # No operation gives a web page: it is from something in between, whatever status that puts on it.
        raise UnreadableAnswer(f"{call.method} {path} was answered with {reply.status}: a web page", reply.text)
    answer: Any = call.answer
    if answer is type(None):
        return cast(T, None)
    if answer is str:
        return cast(T, reply.text)
    assert issubclass(answer, Shape), answer
    try:
        return cast(T, answer.from_reply(reply))
    except UnreadableAnswer as error:
        raise UnreadableAnswer(
            f"{call.method} {path} was answered with {reply.status}: {error.what}", error.excerpt
        ) from None


def refusal(method: str, path: str, reply: Reply) -> Refused:
    """The error for a refusing reply, with all that its body tells, whichever of Qlik's shapes that has."""
    said = _first_error(reply.content)
    # Only what refuses is shown: what signs in and comes with another status may hold a token.
    title = _text(said.get("title")) or (_excerpt(reply) if not said and reply.status >= 400 else None)
    kind = Refused.by_status.get(reply.status, ServerFailed if reply.status >= 500 else Refused)
    return kind(
        status=reply.status,
        method=method,
        path=path,
        code=_text(said.get("code")),
        title=title,
        detail=_text(said.get("detail") or said.get("context")),
        trace_id=_text(said.get("traceId")),
        retry_after=retry_after(reply),
    )


def _first_error(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict):
        return {}
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    if not first and isinstance(body.get("error"), str):
        # The shape of OAuth errors.
        first = {"code": body["error"], "title": body.get("error_description")}
    return {**first, "traceId": body.get("traceId") or first.get("traceId")} if first or body.get("traceId") else {}


def _text(value: object) -> str | None:
    if not isinstance(value, (str, int, float)):
        return None
    return writable(str(value)).strip() or None


def _excerpt(reply: Reply) -> str | None:
    return without_secrets(reply.text.strip())[:200] or None


def retry_after(reply: Reply) -> float | None:
    """The seconds that a reply asks to wait, from Retry-After as seconds or as a date, or None if it does not say.

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
