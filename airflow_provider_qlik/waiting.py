"""What operators and sensors share: deferring to the trigger, and telling how a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_qlik.arguments import InvalidArgument

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.events import Event
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Outcome, Run
    from airflow_provider_qlik.runs.find import Say

SAFETY_NET = timedelta(minutes=5)  # so much later than the trigger's own deadline is that of Airflow


def name_map_index(context: Context, label: str) -> None:
    """Gives a mapped task instance a name to be known by, unless the Dag has one for it."""
    mapped = context["ti"].map_index not in {None, -1}
    if mapped and not context.get("map_index_template"):
        values = cast("dict[str, Any]", context)
        values["map_index_template"], values["qlik_label"] = "{{ qlik_label }}", label


def deadline_in(seconds: float | None, *others: timedelta | None) -> datetime | None:
    """The moment when the earliest of the limits is reached, None if there is none."""
    limits = [timedelta(seconds=seconds)] if seconds is not None else []
    limits += [limit for limit in others if limit is not None]
    return datetime.now(UTC) + min(limits) if limits else None


def safety_net(deadline: datetime | None) -> timedelta | None:
    """Airflow's own deferral time-out for a deadline: a little later, since the trigger can say what it saw."""
    return None if deadline is None else deadline - datetime.now(UTC) + SAFETY_NET


def as_text(moment: datetime | None) -> str | None:
    """A moment as a trigger argument."""
    return moment.isoformat() if moment else None


def explained(hook: QlikCloudHook, run: Run, say: Say) -> Outcome:
    """How an ended run came out; its Qlik log is written into the task's log."""
    from airflow_provider_qlik.cloud.retry import Patience
    from airflow_provider_qlik.runs import KINDS, outcome

    flow = outcome(KINDS[run.kind], run, hook.get_conn().tenant.url, say)
    return hook.run_flow(flow, Patience(tries=3, budget=30.0))


def read_event(given: Mapping[str, Any] | None) -> Event:
    """The trigger's event. Fails the task if it is none: nothing may pass for a success that is not known to be one."""
    from airflow_provider_qlik.events import Event, UnusableEvent

    try:
        return Event.from_json(given)
    except UnusableEvent as error:
        raise AirflowException(str(error)) from error


def fail_with(why: str) -> NoReturn:
    """Fails the task in a way that a retry may mend: with a new run."""
    raise AirflowException(why)


def fail(error: Exception) -> NoReturn:
    """Fails the task for an error of this package: for good where no retry can mend it.

    A run that may have been started and was not found is never started again by a retry.
    """
    from airflow_provider_qlik.cloud import QlikCloudError
    from airflow_provider_qlik.runs import WaitTimedOut

    mends = isinstance(error, WaitTimedOut) or (isinstance(error, QlikCloudError) and error.transient)
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, InvalidArgument) or not mends:
        raise AirflowFailException(f"{error}{notes}") from error
    raise AirflowException(f"{error}{notes}") from error
