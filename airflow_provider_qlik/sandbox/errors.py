"""The errors of the API, in the form of each family."""

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
"""The member with the code CHO-… of an error: of a bare result object, `errors[].result`, or `errors[].code`."""


class ApiError(Exception):
    """A request that the tenant refuses, with the status of its response."""

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
        """The `value` of an error with a code CHO-…"""


def error_body(
    family: Family | None,
    error: ApiError,
    now: datetime,
    sharing_form: SharingErrorForm = "full",
    scheduling_form: SchedulingErrorForm = "bare",
) -> dict[str, Any]:
    """Return the error body in the form of the family: codes are numbers in Tasks, words in the other families.

    sharing_form: the members that an error of Sharing tasks has, where none is compulsory.
    scheduling_form: the member that holds the code of the scheduler, which no document shows.
    """
    if family == "tasks" and error.code.startswith("CHO-") and scheduling_form != "code":
        return _scheduler_refusal(error, now, scheduling_form)
    if family == "sharing-tasks" and sharing_form == "empty":
        return {}
    entry: dict[str, Any]
    if family == "tasks" and not error.code:
        entry = {
            "code": error.status,
            "title": error.title,
            "context": error.detail,
            "timestamp": stamp(now, 9),
        }
    else:
        code = error.code or f"{(family or 'http').upper()}-{error.status}"
        entry = {"code": code, "title": error.title, "detail": error.detail, "meta": {}}
        if family == "sharing-tasks":
            entry["meta"] = {"httpCode": error.status}
            if sharing_form == "code":
                return {"errors": [{"code": code}]}
    return {"errors": [entry], "traceId": secrets.token_hex(16)}


def _scheduler_refusal(error: ApiError, now: datetime, form: SchedulingErrorForm) -> dict[str, Any]:
    """Return an error of the scheduler, in the form observed for accepted starts, or wrapped."""
    result = {
        "status_code": error.status,
        "code": error.code,
        "title": error.title,
        "context": error.detail,
        "timestamp": stamp(now, 9),
        "value": error.value,
    }
    trace_id = secrets.token_hex(16)
    if form == "bare":
        return {**result, "traceId": trace_id}
    entry = {"code": error.status, "title": error.title, "context": error.detail, "timestamp": stamp(now, 9)}
    return {"errors": [{**entry, "result": result}], "traceId": trace_id}
