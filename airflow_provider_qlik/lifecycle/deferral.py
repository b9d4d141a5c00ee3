"""What operators and sensors share: deferring to the trigger, and telling how a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_qlik.text import MESSAGE_LENGTH, printable, shortened, storable_json
from airflow_provider_qlik.validation import InvalidArgumentError, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
    from airflow_provider_qlik.runs import Outcome, Run
    from airflow_provider_qlik.runs.matching import LogCallback

LABEL_LENGTH = 200
"""Characters of the label of a mapped task instance before it is said that it was cut."""
MAX_LABEL = 250
"""Characters that Airflow's column for such a label has."""
MAX_FOREIGN_EVENTS = 10
"""Events that may tell of another run before the wait ends: each makes the task defer again."""
SAFETY_NET = timedelta(minutes=5)  # so much later than the trigger's own deadline is that of Airflow


def name_map_index(context: Context, label: str) -> None:
    """Gives a mapped task instance a name to be known by, unless the Dag has one for it."""
    mapped = context["ti"].map_index not in {None, -1}
    if mapped and not context.get("map_index_template"):
        values = cast("dict[str, Any]", context)
        values["map_index_template"] = "{{ qlik_label }}"
        values["qlik_label"] = printable(label, LABEL_LENGTH)[:MAX_LABEL]


def push(context: Context, key: str, value: Any) -> None:
    """Push an XCom that every database can store, with no text beyond `MESSAGE_LENGTH`."""
    context["ti"].xcom_push(key=key, value=storable_json(value, MESSAGE_LENGTH))


def deadline_in(seconds: float | None, *others: timedelta | None) -> datetime | None:
    """The moment when the earliest of the limits is reached, None if there is none."""
    limits = [timedelta(seconds=seconds)] if seconds is not None else []
    limits += [limit for limit in others if limit is not None]
    return datetime.now(UTC) + min(limits) if limits else None


def safety_net(deadline: datetime | None) -> timedelta | None:
    """Airflow's own deferral time-out for a deadline: a little later, since the trigger can say what it saw."""
    return None if deadline is None else deadline - datetime.now(UTC) + SAFETY_NET


class Deferral(NamedTuple):
    """What the two halves of a deferral share: the moment that the wait ends at, and how many foreign events came.

    A foreign event tells of another run: after a clear, the trigger of the try before may still fire, and Airflow
    hands its event to this try, which defers again. It is kept in an XCom, since ``dag.test()`` loses what is given to
    ``defer(kwargs=…)``.
    """

    deadline: datetime | None
    foreign_events: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, to be merged with what else is in the XCom."""
        return {"deadline": as_text(self.deadline), "foreign_events": self.foreign_events}

    @classmethod
    def from_json(cls, pushed: object, seconds: float | None, *others: timedelta | None) -> Deferral:
        """Return what `to_json` wrote. Where that is not there, the wait begins now, with the limits given."""
        try:
            given = pushed["deadline"]  # type: ignore[index]  # whatever it is
            deadline = None if given is None else checked_moment("deadline", given)
            count = int(pushed["foreign_events"])  # type: ignore[index]
        except (LookupError, TypeError, ValueError):
            return cls(deadline_in(seconds, *others))
        return cls(deadline, count)

    @property
    def over(self) -> bool:
        """Whether the moment has passed."""
        return self.deadline is not None and self.deadline <= datetime.now(UTC)

    @property
    def exhausted(self) -> bool:
        """Whether too many foreign events have come to defer once more."""
        return self.foreign_events > MAX_FOREIGN_EVENTS

    def after_foreign_event(self) -> Deferral:
        """Return what is to be kept when another foreign event has come."""
        return self._replace(foreign_events=self.foreign_events + 1)


def as_text(moment: datetime | None) -> str | None:
    """A moment as a trigger argument."""
    return moment.isoformat() if moment else None


def explained(hook: QlikCloudHook, run: Run, write_log: LogCallback) -> Outcome:
    """How an ended run came out; its Qlik log is written into the task's log."""
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
    from airflow_provider_qlik.runs import ADAPTERS, outcome

    flow = outcome(ADAPTERS[run.kind], run, hook.get_conn().tenant.url, write_log)
    return hook.run_flow(flow, RetryPolicy(max_attempts=3, max_total_wait=30.0))


def described(hook: QlikCloudHook, result: Outcome) -> dict[str, Any]:
    """Return the JSON of a run that succeeded, with the name and space of what ran where the user may know them.

    One attempt: for a name nobody waits.
    """
    from dataclasses import replace

    from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
    from airflow_provider_qlik.runs import ADAPTERS

    run = hook.run_flow(ADAPTERS[result.run.kind].described(result.run), ONE_TRY)
    return replace(result, run=run).to_json()


def read_event(given: Mapping[str, Any] | None, more: str = "") -> RunEvent:
    """The trigger's event. Fails the task if it is none: nothing may pass for a success that is not known to be one.

    *more* follows what the error says.
    """
    from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent

    try:
        return RunEvent.from_json(given)
    except InvalidEventError as error:
        raise AirflowException(_sentences(error, more)) from None


def message(error: object) -> str:
    """Return what an error says, with its notes, as Airflow can store it and a terminal can show it.

    Its lines stay lines, other control characters become escapes; it has `MESSAGE_LENGTH` characters at most.
    """
    text = " ".join([str(error), *map(str, getattr(error, "__notes__", ()))]).replace("\r\n", "\n")
    return "\n".join(printable(line, len(line)) for line in shortened(text, MESSAGE_LENGTH).split("\n"))


def _sentences(error: Exception, more: str) -> str:
    # What follows must not be cut off with a long error: it says what is to be done.
    return f"{message(error).rstrip('.')}. {message(more)}" if more else message(error)


# What the functions below raise hides what it came of ("from None"): an expected error is one exception in the task's
# log, not a chain of them.


def fail_with(why: str) -> NoReturn:
    """Fails the task in a way that a retry may mend: with a new run."""
    raise AirflowException(message(why)) from None


def fail_for_good(why: object) -> NoReturn:
    """Fail the task so that Airflow does not try it again."""
    raise AirflowFailException(message(why)) from None


def skip(why: object) -> NoReturn:
    """Skip the task."""
    raise AirflowSkipException(message(why)) from None


def time_out(why: object) -> NoReturn:
    """Fail a sensor whose time is up."""
    raise AirflowSensorTimeout(message(why)) from None


def fail(error: Exception, more: str = "") -> NoReturn:
    """Fails the task for an error of this package: for good where no retry can mend it. *more* follows what it says.

    A run that may have been started and was not found is never started again by a retry.
    """
    from airflow_provider_qlik.cloud import QlikCloudError
    from airflow_provider_qlik.runs import WaitTimeoutError

    mends = isinstance(error, WaitTimeoutError) or (isinstance(error, QlikCloudError) and error.transient)
    lasting = isinstance(error, InvalidArgumentError) or not mends
    failure: Any = (AirflowFailException if lasting else AirflowException)(_sentences(error, more))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        # For `QlikRetryPolicy`, also in a process that gets the failure without what it came of.
        failure.retry_after = seconds
    raise failure from None
