"""The faults of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault. `how` selects what the stage does; `response` holds the arguments of `Tenant.fault`.

    lasts: True if every request of the moment meets it; otherwise `max_requests` do at most.
    refuses_cancels: True if cancels meet it, too.
    operation: the operation that meets it instead of the requests of the moment; for "token" a new token is needed.
    arguments, connection, switches: of the operator, of the Airflow connection's extra, of the tenant.
    """

    name: str
    how: str = "response"
    response: Mapping[str, Any] = field(default_factory=dict)
    lasts: bool = False
    refuses_cancels: bool = False
    operation: str | None = None
    max_requests: int = 99
    seconds: float | None = None
    run_ends: str = "SUCCEEDED"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


LATE_RUNS = {"show_after": 3.0, "reload_show_after": 3.0, "sharing_show_after": 3.0}

# Faults of a single request.

NOT_CARRIED_OUT = (
    Fault("reset before", response={"reset": "before"}),
    Fault("status 500", response={"status": 500}),
    Fault("status 502 as a web page", response={"status": 502, "response": "html"}),
    Fault("status 503", response={"status": 503}),
    Fault("status 200 as a web page", response={"response": "html"}),
)
"""The request was not carried out, but its outcome is unknown to the client."""
CARRIED_OUT = (
    Fault("reset after", response={"reset": "after"}),
    Fault("truncated JSON", response={"response": "truncated"}),
    Fault("cut body", response={"response": "cut"}),
    Fault("nonsense JSON", response={"response": "nonsense"}),
    Fault("empty body", response={"response": "empty"}),
    Fault("slow response", response={"delay": 0.2}, connection={"read_timeout": 0.12}),
)
"""The request was carried out, but its outcome is unknown to the client."""
CARRIED_OUT_DESPITE_ERROR = (
    Fault("status 500, but carried out", response={"status": 500, "carried_out": True}),
    Fault("web page, but carried out", response={"response": "html", "carried_out": True}),
    Fault("reset after, and the run appears late", response={"reset": "after"}, switches=LATE_RUNS),
)
REPEATABLE = (
    Fault("status 503 with Retry-After", response={"status": 503, "retry_after": 1}),
    Fault("status 429 with Retry-After", response={"status": 429, "code": "HTTP-429", "retry_after": 1}),
    Fault("status 429", response={"status": 429, "code": "HTTP-429"}),
)
"""The request certainly was not carried out, and may be repeated."""
EXPIRED = Fault(
    "token expired", response={"status": 401}, max_requests=1, connection={"auth_type": "client_credentials"}
)
HIDDEN = Fault("status 404 for a short time", response={"status": 404})
REFUSED_BRIEFLY = (
    Fault("status 401 for a short time", response={"status": 401}),
    Fault("status 403 for a short time", response={"status": 403}),
)
HIDDEN_ONCE = Fault("status 404 of what never ran", response={"status": 404}, max_requests=1)
NO_CONNECTION = Fault("no connection", how="connection", seconds=0.04)
TRANSIENT = (*NOT_CARRIED_OUT, *CARRIED_OUT, *REPEATABLE)
A_FEW = (NOT_CARRIED_OUT[0], NOT_CARRIED_OUT[2], CARRIED_OUT[2], CARRIED_OUT[3], *REPEATABLE[1:])

# Responses of a proxy, which never count as Qlik's, whatever their status and type.

PAGE = "<!DOCTYPE html><html><title>Request rejected</title></html>"
PAGE_RESPONSES: dict[str, dict[str, Any]] = {
    "400 as a web page": {"status": 400, "body": PAGE, "content_type": "text/html"},
    "401 as a web page": {"status": 401, "body": PAGE, "content_type": "Text/HTML; charset=utf-8"},
    "403 as a web page": {"status": 403, "body": PAGE, "content_type": "text/html; charset=utf-8"},
    "404 as a web page": {"status": 404, "body": PAGE, "content_type": "TEXT/HTML"},
    "409 as a page without a type": {"status": 409, "body": PAGE, "content_type": None},
    "429 as a web page": {"status": 429, "body": PAGE, "content_type": "text/html"},
    "499 with nothing": {"status": 499, "body": "", "content_type": None},
}
MORE_PAGE_RESPONSES: dict[str, dict[str, Any]] = {
    "407 as plain text": {"status": 407, "body": "Proxy Authentication Required"},
    "413 as a page in UTF-16": {"status": 413, "body": b"\xff\xfe<\x00h\x00>\x00", "content_type": "text/html"},
    "403 as JSON of another form": {"status": 403, "body": {"message": "Forbidden", "connectionId": "x"}},
    "421 with nothing": {"status": 421, "body": ""},
    "425 as JSON that is none": {"status": 425, "body": PAGE, "content_type": "application/json"},
    "520 as a web page": {"status": 520, "body": PAGE, "content_type": "text/html"},
}
PAGES = tuple(Fault(f"status {name}", response=response) for name, response in PAGE_RESPONSES.items())
MORE_PAGES = tuple(Fault(f"status {name}", response=response) for name, response in MORE_PAGE_RESPONSES.items())
PAGES_CARRIED_OUT = tuple(
    Fault(f"status {name}, but carried out", response={**response, "carried_out": True})
    for name, response in {**PAGE_RESPONSES, **MORE_PAGE_RESPONSES}.items()
)

# Responses that arrive byte by byte and never end.

IN_TIME = {"request_timeout": 0.2}
TRICKLES = (
    Fault("trickling headers", response={"trickle": "headers", "interval": 0.02}, connection=IN_TIME),
    Fault("trickling body", response={"trickle": "body", "interval": 0.02}, connection=IN_TIME),
)
TRICKLES_NOT_CARRIED_OUT = tuple(
    Fault(f"{fault.name}, not carried out", response={**fault.response, "carried_out": False}, connection=IN_TIME)
    for fault in TRICKLES
)

# Responses about another run, as when a kept connection is out of step.

ABOUT_ANOTHER_RUN = Fault("response about another run", response={"response": "other_run"})
ABOUT_ANOTHER_RUN_ONCE = replace(ABOUT_ANOTHER_RUN, name="response about another run, once", max_requests=1)
ABOUT_ANOTHER_RUN_PERMANENTLY = Fault(
    "response about another run, permanent", response={"response": "other_run"}, lasts=True, arguments={"timeout": 0.2}
)

# Faults of token requests and of cancels.

WITH_TOKENS = {"auth_type": "client_credentials"}
SIGN_IN_RESPONSES = (
    Fault("sign-in met by a 401 web page", response=PAGE_RESPONSES["401 as a web page"]),
    Fault("sign-in met by a 200 web page", response={"body": PAGE, "content_type": "text/HTML", "carried_out": False}),
    Fault("sign-in met by a 400 page without a type", response={"status": 400, "body": PAGE, "content_type": None}),
    Fault("sign-in trickles", response={"trickle": "body", "interval": 0.02}, connection=IN_TIME),
)
SIGN_IN_FAULTS = tuple(
    replace(fault, operation="token", connection={**fault.connection, **WITH_TOKENS}) for fault in SIGN_IN_RESPONSES
)
NO_SIGN_IN = replace(
    SIGN_IN_FAULTS[0], name="sign-in met by web pages, permanent", lasts=True, arguments={"timeout": 0.2}
)
CANCEL_PAGES: dict[str, dict[str, Any]] = {
    "status 200 as a web page": {"body": PAGE, "content_type": "Text/HTML", "carried_out": False},
    "status 404 as a web page": PAGE_RESPONSES["404 as a web page"],
    "status 409 as a page without a type": PAGE_RESPONSES["409 as a page without a type"],
}
CANCEL_FAULTS = tuple(
    Fault(f"cancel met by {name}", response=response, arguments={"timeout": 0.2})
    for name, response in CANCEL_PAGES.items()
)
PERMANENT_CANCEL_FAULTS = tuple(replace(fault, name=f"{fault.name}, permanent", lasts=True) for fault in CANCEL_FAULTS)

# Permanent faults.

KEY_REVOKED = Fault("status 401, permanent", response={"status": 401}, lasts=True, refuses_cancels=True)
NOT_ALLOWED = Fault("status 403, permanent", response={"status": 403}, lasts=True)
NOT_THERE = Fault("status 404, permanent", response={"status": 404}, lasts=True, arguments={"match_timeout": 0.3})
OUTAGE = Fault("outage", response={"status": 503}, lasts=True, arguments={"timeout": 0.2, "match_timeout": 0.3})
LINE_CUT = Fault("no connection, permanent", how="connection", arguments={"timeout": 0.2})

# Runs of other users.

COMPETING_WITH_MARKERS = Fault("competing run where markers show", how="competing")
COMPETING_WITHOUT_MARKERS = Fault(
    "competing run where no markers show", how="competing", switches={"echo_source": False}
)
COMPETING_AND_RESET = Fault("reset before, and a competing run where markers show", how="competing and reset")
PENDING = Fault("reload of somebody else", how="pending")
LATE = Fault("run appears late", how="switches", switches=LATE_RUNS)

# Faults of the worker, the triggerer and the task.

KILLED = Fault("worker killed", how="killed")
ENDED = Fault("ended by a user", how="ended")
ENDED_ALONE = Fault("ended by a user, without cancel_on_kill", how="ended", arguments={"cancel_on_kill": False})
CLEARED = Fault("cleared by a user", how="cleared")
TRIGGERER_LOST = Fault("triggerer lost", how="triggerer lost")
OUT_OF_TIME = Fault("out of time", how="nothing", arguments={"timeout": 0.2})
OUT_OF_TIME_ALONE = Fault(
    "out of time, without cancel_on_kill", how="nothing", arguments={"timeout": 0.2, "cancel_on_kill": False}
)
AIRFLOW_FAILS = Fault("no way to Airflow's database", how="airflow fails")
DEFERRAL_FAILED = Fault("deferral timed out", how="deferral failed")
RUN_FAILS = Fault("status 403 for the log of a run that fails", response={"status": 403}, run_ends="FAILED")
