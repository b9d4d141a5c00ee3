"""Deferral to the trigger, for operators and sensors.

A deferred task is two halves that run in different processes: `execute` defers, `execute_complete` gets the trigger's
event. What the second half must know of the first is in an XCom (`Deferral`).

The event may be a foreign one, about another run: after a clear, the trigger of the previous attempt may still fire,
and Airflow hands its event to the new attempt. Neither to fail nor to take the other run for our own would be right,
so the task defers again, with the first deadline: `Deferral.after_foreign_event`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from airflow.providers.common.compat.sdk import AirflowException, conf

from airflow_provider_qlik.lifecycle.failures import with_advice
from airflow_provider_qlik.text import printable
from airflow_provider_qlik.validation import checked_flag, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
    from airflow_provider_qlik.runs import RunSelector

LABEL_LENGTH = 200
"""Characters of the label of a mapped task instance, before the note that it was cut."""
MAX_LABEL = 250
"""Characters that Airflow's column for such a label has."""
MAX_FOREIGN_EVENTS = 10
"""Trigger events of other runs after which a wait fails; each makes the task defer again."""
DEFERRAL_TIMEOUT_MARGIN = timedelta(minutes=5)
"""Time from the trigger's own deadline, which it reports in an event, to Airflow's deferral time-out."""


def name_map_index(context: Context, label: str) -> None:
    """Set the label of a mapped task instance, unless its Dag has a `map_index_template`."""
    mapped = context["ti"].map_index not in {None, -1}
    if mapped and not context.get("map_index_template"):
        values = cast("dict[str, Any]", context)
        values["map_index_template"] = "{{ qlik_label }}"
        values["qlik_label"] = printable(label, LABEL_LENGTH)[:MAX_LABEL]


def checked_deferrable(deferrable: bool | None) -> bool:
    """Return the argument `deferrable` of an operator or sensor, checked; the default is Airflow's."""
    if deferrable is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return checked_flag("deferrable", deferrable)


def deadline_in(seconds: float | None, *others: timedelta | None) -> datetime | None:
    """Return the moment at which the shortest of the limits is reached, or None if there is no limit."""
    limits = [timedelta(seconds=seconds)] if seconds is not None else []
    limits += [limit for limit in others if limit is not None]
    return datetime.now(UTC) + min(limits) if limits else None


def deferral_timeout(deadline: datetime | None) -> timedelta | None:
    """Return Airflow's deferral time-out: later than the deadline, since the trigger can say more about the run."""
    return None if deadline is None else deadline - datetime.now(UTC) + DEFERRAL_TIMEOUT_MARGIN


class Deferral(NamedTuple):
    """The deadline of a deferred wait and the number of foreign events so far, handed from deferral to deferral.

    Stored in an XCom, since ``dag.test()`` loses the arguments of ``defer(kwargs=…)``.
    """

    deadline: datetime | None
    foreign_events: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, to be merged with the other members of the XCom."""
        return {"deadline": as_text(self.deadline), "foreign_events": self.foreign_events}

    @classmethod
    def from_json(cls, pushed: object, seconds: float | None, *others: timedelta | None) -> Deferral:
        """Return the deferral that `to_json` wrote. If it is missing, the wait begins now, with these limits."""
        try:
            text = pushed["deadline"]  # type: ignore[index]  # whatever it is
            deadline = None if text is None else checked_moment("deadline", text)
            count = int(pushed["foreign_events"])  # type: ignore[index]
        except (LookupError, TypeError, ValueError):
            return cls(deadline_in(seconds, *others))
        return cls(deadline, count)

    def after_foreign_event(self, event: str) -> Deferral:
        """Return the deferral after one more foreign event, which *event* describes in a sentence.

        Raises WaitTimeoutError if the deadline has passed, and ForeignEventsError after `MAX_FOREIGN_EVENTS`.
        """
        from airflow_provider_qlik.runs.errors import ForeignEventsError, WaitTimeoutError

        count = self.foreign_events + 1
        if self.deadline is not None and self.deadline <= datetime.now(UTC):
            raise WaitTimeoutError(f"The wait timed out. {event}")
        if count > MAX_FOREIGN_EVENTS:
            raise ForeignEventsError(f"{count} trigger events were for other runs, so the wait has ended. {event}")
        return self._replace(foreign_events=count)


def selector_arguments(selector: RunSelector) -> dict[str, Any]:
    """Return the arguments of `QlikRunTrigger` that say which run to wait for."""
    return {
        "resource_id": selector.resource_id,
        "run_id": selector.run_id,
        "started_after": as_text(selector.started_after),
        "unconfirmed_since": as_text(selector.unconfirmed_since),
        "marker": selector.marker,
        "adopted": selector.adopted,
    }


def as_text(moment: datetime | None) -> str | None:
    """Return a moment as a trigger argument: ISO 8601 text."""
    return moment.isoformat() if moment else None


def read_event(event: Mapping[str, Any] | None, advice: str = "") -> RunEvent:
    """Return the trigger's event, checked. An invalid one fails the task: it must not pass for a success.

    *advice* follows the text of the error.
    """
    from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent

    try:
        return RunEvent.from_json(event)
    except InvalidEventError as error:
        raise AirflowException(with_advice(error, advice)) from None
