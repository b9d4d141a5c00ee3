"""What the tenant says when it refuses."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Literal

from airflow_provider_qlik.sandbox.times import stamp

Family = Literal[
    "tasks", "automations", "reloads", "reload-tasks", "sharing-tasks", "items", "spaces", "users", "oauth"
]
SharingErrorForm = Literal["full", "code", "empty"]


class Refused(Exception):
    """A request that the tenant turns down, with the status it answers."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        code: str = "",
        headers: dict[str, str] | None = None,
    ):
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.code = code
        self.headers = headers or {}


def error_body(
    family: Family | None, refused: Refused, now: datetime, sharing_form: SharingErrorForm = "full"
) -> dict[str, Any]:
    """The error body in the family's shape: Tasks has numbers for codes, the others have words.

    sharing_form: how much of it Sharing tasks tell, where nothing is compulsory.
    """
    if family == "sharing-tasks" and sharing_form == "empty":
        return {}
    error: dict[str, Any]
    if family == "tasks" and not refused.code:
        error = {
            "code": refused.status,
            "title": refused.title,
            "context": refused.detail,
            "inner": None,
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
