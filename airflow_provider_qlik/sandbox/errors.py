"""What the tenant says when it refuses."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Literal

from airflow_provider_qlik.sandbox.state.times import stamp

Family = Literal[
    "tasks", "automations", "reloads", "reload-tasks", "sharing-tasks", "items", "spaces", "users", "oauth"
]
SharingErrorForm = Literal["full", "code", "empty"]
SchedulingErrorForm = Literal["bare", "result", "code"]
"""Where the code CHO-… of a refusal stands: in a bare result object, in `errors[].result`, or in `errors[].code`."""


class ApiError(Exception):
    """A request that the tenant turns down, with the status it answers."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        code: str = "",
        headers: dict[str, str] | None = None,
        value: dict[str, Any] | None = None,
    ):
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.code = code
        self.headers = headers or {}
        self.value = value
        """What a refusal with a code CHO-… tells beside it."""


def error_body(
    family: Family | None,
    refused: ApiError,
    now: datetime,
    sharing_form: SharingErrorForm = "full",
    scheduling_form: SchedulingErrorForm = "bare",
) -> dict[str, Any]:
    """The error body in the family's shape: Tasks has numbers for codes, the others have words.

    sharing_form: how much of it Sharing tasks tell, where nothing is compulsory.
    scheduling_form: where the codes of the scheduler stand, which no document shows.
    """
    if family == "tasks" and refused.code.startswith("CHO-") and scheduling_form != "code":
        return _scheduler_refusal(refused, now, scheduling_form)
    if family == "sharing-tasks" and sharing_form == "empty":
        return {}
    error: dict[str, Any]
    if family == "tasks" and not refused.code:
        error = {
            "code": refused.status,
            "title": refused.title,
            "context": refused.detail,
            "timestamp": stamp(now, 9),
        }
    else:
        code = refused.code or f"{(family or 'http').upper()}-{refused.status}"
        error = {"code": code, "title": refused.title, "detail": refused.detail, "meta": {}}
        if family == "sharing-tasks":
            error["meta"] = {"httpCode": refused.status}
            if sharing_form == "code":
                return {"errors": [{"code": code}]}
    return {"errors": [error], "traceId": secrets.token_hex(16)}


def _scheduler_refusal(refused: ApiError, now: datetime, form: SchedulingErrorForm) -> dict[str, Any]:
    """Return a refusal of the scheduler, in the form that its accepted starts were seen in, or wrapped."""
    result = {
        "status_code": refused.status,
        "code": refused.code,
        "title": refused.title,
        "context": refused.detail,
        "timestamp": stamp(now, 9),
        "value": refused.value,
    }
    trace_id = secrets.token_hex(16)
    if form == "bare":
        return {**result, "traceId": trace_id}
    error = {"code": refused.status, "title": refused.title, "context": refused.detail, "timestamp": stamp(now, 9)}
    return {"errors": [{**error, "result": result}], "traceId": trace_id}
