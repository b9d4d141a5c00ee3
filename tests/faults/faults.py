"""What can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What goes wrong. `how` names it for the stage; `answer` is what `Tenant.fault` is told.

    lasts: whether every request of the moment meets it; else no more than `most`. refuses_cancels: whether cancels do.
    arguments, connection, switches: of the operator, of the Airflow connection's extra, of the tenant.
    """

    name: str
    how: str = "answer"
    answer: Mapping[str, Any] = field(default_factory=dict)
    lasts: bool = False
    refuses_cancels: bool = False
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
EXPIRED = Fault("token expired", answer={"status": 401}, most=1, connection={"sign_in": "client_credentials"})
HIDDEN = Fault("status 404 for a short time", answer={"status": 404})
HIDDEN_ONCE = Fault("status 404 of what never ran", answer={"status": 404}, most=1)
NO_CONNECTION = Fault("no connection", how="line", seconds=0.04)
PASSING = (*NOT_CARRIED_OUT, *CARRIED_OUT, *TURNED_AWAY)
A_FEW = (NOT_CARRIED_OUT[0], NOT_CARRIED_OUT[2], CARRIED_OUT[2], CARRIED_OUT[3], *TURNED_AWAY[1:])

# What may go wrong for good.

KEY_REVOKED = Fault("status 401 for good", answer={"status": 401}, lasts=True, refuses_cancels=True)
NOT_ALLOWED = Fault("status 403 for good", answer={"status": 403}, lasts=True)
NOT_THERE = Fault("status 404 for good", answer={"status": 404}, lasts=True, arguments={"find_timeout": 0.3})
OUTAGE = Fault("outage", answer={"status": 503}, lasts=True, arguments={"timeout": 0.2, "find_timeout": 0.3})
LINE_CUT = Fault("no connection for good", how="line", arguments={"timeout": 0.2})

# Other people.

RIVAL_WITH_MARKERS = Fault("rival where markers show", how="rival")
RIVAL_WITHOUT_MARKERS = Fault("rival where no markers show", how="rival", switches={"echo_source": False})
RIVAL_FOR_OURS = Fault("reset before, and a rival where markers show", how="rival for ours")
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
