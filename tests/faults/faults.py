"""What can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What goes wrong. `how` names it for the stage; `answer` is what `Tenant.fault` is told.

    lasts: whether every request of the moment meets it; else no more than `most`. refuses_cancels: whether cancels do.
    operation: what it meets in place of the requests of the moment; for "token" a new token is needed at that moment.
    arguments, connection, switches: of the operator, of the Airflow connection's extra, of the tenant.
    """

    name: str
    how: str = "answer"
    answer: Mapping[str, Any] = field(default_factory=dict)
    lasts: bool = False
    refuses_cancels: bool = False
    operation: str | None = None
    most: int = 99
    seconds: float | None = None
    run_ends: str = "SUCCEEDED"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


LATE_RUNS = {"show_after": 3.0, "reload_show_after": 3.0, "sharing_show_after": 3.0}

# What may go wrong with a request.

NOT_CARRIED_OUT = (
    Fault("reset before", answer={"reset": "before"}),
    Fault("status 500", answer={"status": 500}),
    Fault("status 502 as a web page", answer={"status": 502, "answer": "html"}),
    Fault("status 503", answer={"status": 503}),
    Fault("status 200 as a web page", answer={"answer": "html"}),
)
"""The request was not carried out, and its sender cannot know."""
CARRIED_OUT = (
    Fault("reset after", answer={"reset": "after"}),
    Fault("truncated JSON", answer={"answer": "truncated"}),
    Fault("cut body", answer={"answer": "cut"}),
    Fault("nonsense JSON", answer={"answer": "nonsense"}),
    Fault("empty body", answer={"answer": "empty"}),
    Fault("slow answer", answer={"delay": 0.2}, connection={"read_timeout": 0.12}),
)
"""It was carried out, and its sender cannot know."""
CARRIED_OUT_ALL_THE_SAME = (
    Fault("status 500 for what was carried out", answer={"status": 500, "carried_out": True}),
    Fault("web page for what was carried out", answer={"answer": "html", "carried_out": True}),
    Fault("reset after, and the run shows late", answer={"reset": "after"}, switches=LATE_RUNS),
)
TURNED_AWAY = (
    Fault("status 503 with Retry-After", answer={"status": 503, "retry_after": 1}),
    Fault("status 429 with Retry-After", answer={"status": 429, "code": "HTTP-429", "retry_after": 1}),
    Fault("status 429", answer={"status": 429, "code": "HTTP-429"}),
)
"""It surely was not carried out, and may be asked again."""
EXPIRED = Fault("token expired", answer={"status": 401}, most=1, connection={"auth_type": "client_credentials"})
HIDDEN = Fault("status 404 for a short time", answer={"status": 404})
REFUSED_AT_TIMES = (
    Fault("status 401 for a short time", answer={"status": 401}),
    Fault("status 403 for a short time", answer={"status": 403}),
)
HIDDEN_ONCE = Fault("status 404 of what never ran", answer={"status": 404}, most=1)
NO_CONNECTION = Fault("no connection", how="line", seconds=0.04)
PASSING = (*NOT_CARRIED_OUT, *CARRIED_OUT, *TURNED_AWAY)
A_FEW = (NOT_CARRIED_OUT[0], NOT_CARRIED_OUT[2], CARRIED_OUT[2], CARRIED_OUT[3], *TURNED_AWAY[1:])

# Something in between answers, which is never Qlik's word, whatever its status and type.

PAGE = "<!DOCTYPE html><html><title>Request rejected</title></html>"
PAGE_ANSWERS: dict[str, dict[str, Any]] = {
    "400 as a web page": {"status": 400, "body": PAGE, "content_type": "text/html"},
    "401 as a web page": {"status": 401, "body": PAGE, "content_type": "Text/HTML; charset=utf-8"},
    "403 as a web page": {"status": 403, "body": PAGE, "content_type": "text/html; charset=utf-8"},
    "404 as a web page": {"status": 404, "body": PAGE, "content_type": "TEXT/HTML"},
    "409 as a page without a type": {"status": 409, "body": PAGE, "content_type": None},
    "429 as a web page": {"status": 429, "body": PAGE, "content_type": "text/html"},
    "499 with nothing": {"status": 499, "body": "", "content_type": None},
}
MORE_PAGE_ANSWERS: dict[str, dict[str, Any]] = {
    "407 as plain text": {"status": 407, "body": "Proxy Authentication Required"},
    "413 as a page in UTF-16": {"status": 413, "body": b"\xff\xfe<\x00h\x00>\x00", "content_type": "text/html"},
    "403 as JSON of another form": {"status": 403, "body": {"message": "Forbidden", "connectionId": "x"}},
    "421 with nothing": {"status": 421, "body": ""},
    "425 as JSON that is none": {"status": 425, "body": PAGE, "content_type": "application/json"},
    "520 as a web page": {"status": 520, "body": PAGE, "content_type": "text/html"},
}
PAGES = tuple(Fault(f"status {name}", answer=answer) for name, answer in PAGE_ANSWERS.items())
MORE_PAGES = tuple(Fault(f"status {name}", answer=answer) for name, answer in MORE_PAGE_ANSWERS.items())
PAGES_FOR_WHAT_WAS_CARRIED_OUT = tuple(
    Fault(f"status {name} for what was carried out", answer={**answer, "carried_out": True})
    for name, answer in {**PAGE_ANSWERS, **MORE_PAGE_ANSWERS}.items()
)

# An answer that comes byte by byte never breaks off by itself.

IN_TIME = {"request_timeout": 0.2}
TRICKLES = (
    Fault("trickling headers", answer={"trickle": "headers", "interval": 0.02}, connection=IN_TIME),
    Fault("trickling body", answer={"trickle": "body", "interval": 0.02}, connection=IN_TIME),
)
TRICKLES_FOR_NOTHING = tuple(
    Fault(f"{fault.name}, not carried out", answer={**fault.answer, "carried_out": False}, connection=IN_TIME)
    for fault in TRICKLES
)

# An answer about somebody else, as where answers are out of step on a kept connection.

OF_ANOTHER = Fault("answer about another run", answer={"answer": "another"})
OF_ANOTHER_ONCE = replace(OF_ANOTHER, name="answer about another run, once", most=1)
OF_ANOTHER_FOR_GOOD = Fault(
    "answers about another run for good", answer={"answer": "another"}, lasts=True, arguments={"timeout": 0.2}
)

# What meets Qlik's sign-in, and what meets a cancel.

WITH_TOKENS = {"auth_type": "client_credentials"}
SIGN_IN_MEETS = (
    Fault("sign-in met by a 401 web page", answer=PAGE_ANSWERS["401 as a web page"]),
    Fault("sign-in met by a 200 web page", answer={"body": PAGE, "content_type": "text/HTML", "carried_out": False}),
    Fault("sign-in met by a 400 page without a type", answer={"status": 400, "body": PAGE, "content_type": None}),
    Fault("sign-in trickles", answer={"trickle": "body", "interval": 0.02}, connection=IN_TIME),
)
SIGN_IN_FAULTS = tuple(
    replace(fault, operation="token", connection={**fault.connection, **WITH_TOKENS}) for fault in SIGN_IN_MEETS
)
NO_SIGN_IN = replace(
    SIGN_IN_FAULTS[0], name="sign-in met by web pages for good", lasts=True, arguments={"timeout": 0.2}
)
CANCEL_PAGES: dict[str, dict[str, Any]] = {
    "status 200 as a web page": {"body": PAGE, "content_type": "Text/HTML", "carried_out": False},
    "status 404 as a web page": PAGE_ANSWERS["404 as a web page"],
    "status 409 as a page without a type": PAGE_ANSWERS["409 as a page without a type"],
}
CANCELS_MET = tuple(
    Fault(f"cancel met by {name}", answer=answer, arguments={"timeout": 0.2}) for name, answer in CANCEL_PAGES.items()
)
CANCELS_MET_FOR_GOOD = tuple(replace(fault, name=f"{fault.name}, for good", lasts=True) for fault in CANCELS_MET)

# What may go wrong for good.

KEY_REVOKED = Fault("status 401 for good", answer={"status": 401}, lasts=True, refuses_cancels=True)
NOT_ALLOWED = Fault("status 403 for good", answer={"status": 403}, lasts=True)
NOT_THERE = Fault("status 404 for good", answer={"status": 404}, lasts=True, arguments={"match_timeout": 0.3})
OUTAGE = Fault("outage", answer={"status": 503}, lasts=True, arguments={"timeout": 0.2, "match_timeout": 0.3})
LINE_CUT = Fault("no connection for good", how="line", arguments={"timeout": 0.2})

# Other people.

RIVAL_WITH_MARKERS = Fault("rival where markers show", how="rival")
RIVAL_WITHOUT_MARKERS = Fault("rival where no markers show", how="rival", switches={"echo_source": False})
RIVAL_FOR_OURS = Fault("reset before, and a competing run where markers show", how="rival for ours")
PENDING = Fault("reload of somebody else", how="pending")
LATE = Fault("run shows late", how="switches", switches=LATE_RUNS)

# What happens to the worker, the triggerer and the task.

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
RUN_FAILS = Fault("status 403 for the log of a run that fails", answer={"status": 403}, run_ends="FAILED")
