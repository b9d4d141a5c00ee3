"""Deferral to the trigger, outcomes and failures of tasks, for operators and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    conf,
)

from airflow_provider_qlik.text import MESSAGE_LENGTH, printable, shortened
from airflow_provider_qlik.validation import InvalidArgumentError, checked_flag, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
    from airflow_provider_qlik.runs import Outcome, Run
    from airflow_provider_qlik.runs.adapter import LogCallback

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

    A foreign event is about another run: after a clear, the trigger of the previous attempt may still fire, and Airflow
    hands its event to this attempt, which defers again. Stored in an XCom, since ``dag.test()`` loses the arguments of
    ``defer(kwargs=…)``.
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

    @property
    def expired(self) -> bool:
        """True if the deadline has passed."""
        return self.deadline is not None and self.deadline <= datetime.now(UTC)

    @property
    def has_too_many_events(self) -> bool:
        """True if more foreign events have come than `MAX_FOREIGN_EVENTS`."""
        return self.foreign_events > MAX_FOREIGN_EVENTS

    def after_foreign_event(self) -> Deferral:
        """Return the deferral with one more foreign event."""
        return self._replace(foreign_events=self.foreign_events + 1)


def as_text(moment: datetime | None) -> str | None:
    """Return a moment as a trigger argument: ISO 8601 text."""
    return moment.isoformat() if moment else None


def explained(hook: QlikCloudHook, run: Run, write_log: LogCallback) -> Outcome:
    """Return the outcome of an ended run, and write its log into the task's log. Raises QlikCloudError."""
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
    from airflow_provider_qlik.runs import ADAPTERS, outcome

    flow = outcome(ADAPTERS[run.kind], run, hook.get_conn().tenant.url, write_log)
    return hook.run_flow(flow, RetryPolicy(max_attempts=3, max_total_wait=30.0))


def described(hook: QlikCloudHook, result: Outcome) -> dict[str, Any]:
    """Return the JSON of a run that succeeded, with the name and space of its resource where the user may read them.

    Sent once, without retries: the name is a convenience and must not delay the task.
    """
    from dataclasses import replace

    from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
    from airflow_provider_qlik.runs import ADAPTERS

    run = hook.run_flow(ADAPTERS[result.run.kind].described(result.run), ONE_TRY)
    return replace(result, run=run).to_json()


def read_event(event: Mapping[str, Any] | None, advice: str = "") -> RunEvent:
    """Return the trigger's event, checked. An invalid one fails the task: it must not pass for a success.

    *advice* follows the text of the error.
    """
    from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent

    try:
        return RunEvent.from_json(event)
    except InvalidEventError as error:
        raise AirflowException(_sentences(error, advice)) from None


def message(error: object) -> str:
    """Return the text of an error, with its notes, as Airflow can store it and a terminal can show it.

    Its lines stay lines, other control characters become escapes; it has `MESSAGE_LENGTH` characters at most.
    """
    text = " ".join([str(error), *map(str, getattr(error, "__notes__", ()))]).replace("\r\n", "\n")
    return "\n".join(printable(line, len(line)) for line in shortened(text, MESSAGE_LENGTH).split("\n"))


def _sentences(error: Exception, advice: str) -> str:
    # The advice must not be cut off with a long error.
    return f"{message(error).rstrip('.')}. {message(advice)}" if advice else message(error)


# The functions below raise "from None": an expected error is one exception in the task's log, not a chain of them.


def fail_with(why: str) -> NoReturn:
    """Fail the task so that Airflow retries it, with a new run."""
    raise AirflowException(message(why)) from None


def fail_for_good(why: object) -> NoReturn:
    """Fail the task so that Airflow does not retry it."""
    raise AirflowFailException(message(why)) from None


def skip(why: object) -> NoReturn:
    """Skip the task."""
    raise AirflowSkipException(message(why)) from None


def time_out(why: object) -> NoReturn:
    """Fail a sensor that has reached its time-out."""
    raise AirflowSensorTimeout(message(why)) from None


def fail(error: Exception, advice: str = "") -> NoReturn:
    """Fail the task for an error of this package, without retries if the error is permanent.

    *advice* follows the text of the error. A run that may have been started and was not found is never started again
    by a retry.
    """
    from airflow_provider_qlik.cloud import QlikCloudError
    from airflow_provider_qlik.runs import WaitTimeoutError

    may_pass = isinstance(error, WaitTimeoutError) or (isinstance(error, QlikCloudError) and error.transient)
    permanent = isinstance(error, InvalidArgumentError) or not may_pass
    failure: Any = (AirflowFailException if permanent else AirflowException)(_sentences(error, advice))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        # For `QlikRetryPolicy`, also in a process that gets the failure without its cause.
        failure.retry_after = seconds
    raise failure from None
