"""What all sensors share that wait for a run: written once against `RunAdapter`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_qlik.compat import give_retry_policy, rescheduled
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.lifecycle.deferral import (
    Deferral,
    as_text,
    deadline_in,
    described,
    explained,
    fail,
    fail_for_good,
    fail_with,
    name_map_index,
    push,
    read_event,
    safety_net,
    skip,
    time_out,
)
from airflow_provider_qlik.lifecycle.resources import ResourceArguments, literal
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.links import LINK_KEY, QlikRunLink
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import InvalidArgumentError, checked_flag, checked_id, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import SensorCheckpoint
    from airflow_provider_qlik.runs import Outcome, Run, RunSelector, RunWait

DEFERRAL_KEY = "qlik_deferral"
"""The XCom that holds what the two halves of a deferral share."""


class QlikRunSensor(ResourceArguments, BaseSensorOperator):
    """Waits for a run of Qlik Cloud that somebody else started, and starts and cancels nothing. Use a subclass.

    :param run_id: the run to wait for.
    :param started_after: the first run begun at or after this moment (a datetime, or ISO 8601 text; without a zone it
        is UTC), for what Qlik itself schedules. With neither this nor run_id it waits for the last run there is.
    :param qlik_conn_id: the Airflow connection.
    :param deferrable: wait in the triggerer and hold no worker; Airflow's ``[operators] default_deferrable`` decides
        where it is not given.

    `poke_interval`, `timeout` (seconds), `mode`, `soft_fail` and the others are Airflow's own. With
    `exponential_backoff` and `max_wait` the interval of a deferred wait grows with the age of the run, up to that.
    With ``mode="reschedule"`` the sensor sticks to the run that it has seen on Airflow 3.3 and later; earlier ones have
    no place to keep it, so give `run_id` or `started_after` there.

    A run that failed or was cancelled fails the task for good, with Qlik's own reason (with `soft_fail` it is skipped).
    What it returns (XCom) is what the operators return.
    """

    template_fields: Sequence[str] = ("run_id", "started_after", "qlik_conn_id")
    operator_extra_links = (QlikRunLink(),)
    fail_on_warnings = False
    ui_color = "#e3f3ec"

    def __init__(
        self,
        *,
        run_id: str | None = None,
        started_after: datetime | str | None = None,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        give_retry_policy(self)
        if run_id is not None and started_after is not None:
            raise InvalidArgumentError("started_after", started_after, "give run_id or started_after, not both")
        if literal(run_id):
            checked_id("run_id", run_id)
        self.run_id = run_id
        self.started_after = started_after
        self.qlik_conn_id = qlik_conn_id
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else checked_flag("deferrable", deferrable)
        )
        self.link: str | None = None
        self._watch: RunWait | None = None

    def verdict(self, result: Outcome) -> str | None:
        """Why an ended run fails the task, or None if it does not."""
        if self.fail_on_warnings and (why := result.failure_by_warnings()):
            return why
        return None if result.succeeded else result.failure

    def selector(self, hook: QlikCloudHook) -> RunSelector:
        """The run that is meant. Raises InvalidArgumentError that names the argument."""
        from airflow_provider_qlik.runs import RunSelector

        after = self.started_after
        if self.run_id is not None:
            self.run_id = checked_id("run_id", self.run_id)
        started_after = None if after is None else checked_moment("started_after", after)
        return RunSelector(resource_id=self.resolve_resource(hook), run_id=self.run_id, started_after=started_after)

    def execute(self, context: Context) -> Any:
        """Waits here by poking, or defers."""
        name_map_index(context, self.resource_label)
        if not self.deferrable:
            return self._poke_on(context)
        try:
            selector = self._find_wanted()
        except AirflowFailException as error:
            # As Airflow does it for a sensor that pokes.
            if self.soft_fail or self.never_fail:
                skip(error)
            raise
        deferral = Deferral(deadline_in(self.timeout, self.execution_timeout))
        push(context, DEFERRAL_KEY, {"resource_id": selector.resource_id, **deferral.to_json()})
        self._defer(selector, deferral.deadline)
        return None

    def _poke_on(self, context: Context) -> Any:
        """Poke as Airflow does it, and forget the run when the wait is over."""
        try:
            result = super().execute(context)
        except Exception as end:
            if not rescheduled(end):
                self._seen_run(context).forget()
            raise
        self._seen_run(context).forget()
        return result

    def _seen_run(self, context: Context) -> SensorCheckpoint:
        from airflow_provider_qlik.lifecycle.checkpoint import SensorCheckpoint

        return SensorCheckpoint(context, self.reschedule, self.asked("run_id"))

    def _defer(self, selector: RunSelector, deadline: datetime | None) -> None:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=selector.resource_id,
                run_id=selector.run_id,
                started_after=as_text(selector.started_after),
                poll_interval=max(self.poke_interval, 0.1),
                max_poll_interval=(
                    self.max_wait.total_seconds() if self.exponential_backoff and self.max_wait else None
                ),
                deadline=as_text(deadline),
                qlik_conn_id=self.qlik_conn_id,
            ),
            method_name="execute_complete",
            timeout=safety_net(deadline),
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Looks once. A look that gets no answer for a passing reason is no failure."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        seen_run = self._seen_run(context)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                # Kept from poke to poke, so that it says changes only and sticks to the run it has seen.
                self._watch = self._watch or self._begin(hook, seen_run)
                run = hook.run_flow(self._watch.poll(), ONE_TRY)
            except (QlikCloudError, InvalidArgumentError) as error:
                if self._watch is None and isinstance(error, QlikCloudError) and error.transient:
                    # A name could not be looked up just now.
                    write(self.log, logging.WARNING, f"{error}. Asking again at the next poke")
                    return PokeReturnValue(False)
                fail(error)
            if run is None:
                seen_run.keep(self._watch.run, self._watch.refused_since)
                return PokeReturnValue(False)
            return PokeReturnValue(True, self._tell(hook, run, context))

    def _begin(self, hook: QlikCloudHook, seen_run: SensorCheckpoint) -> RunWait:
        """Return the wait, for the run that an earlier poke has seen if there is one."""
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, RunWait

        seen = seen_run.load()
        selector = self.selector(hook) if seen.run is None else RunSelector.of(seen.run)
        kind, write_log = ADAPTERS[self.kind], log_callback(self.log)
        # Where nothing is kept from one poke to the next, a refusal could never be seen to last.
        lasts = timedelta(0) if self.reschedule and not seen_run.lasts else None
        return RunWait(kind, selector, write_log, seen=seen.run, refused_since=seen.refused_since, refusal_lasts=lasts)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import WaitTimeoutError

        name_map_index(context, self.resource_label)
        waited = read_event(event)
        if waited.run is not None:
            self._check_event(context, waited.run)
        if waited.run is None or waited.error is not None:
            error = waited.exception()
            if isinstance(error, WaitTimeoutError):
                time_out(error)
            fail(error)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            return self._tell(hook, waited.run, context)

    def _check_event(self, context: Context, run: Run) -> None:
        """Defer again where an event tells of a run that was not asked for: until the first deadline, at most.

        After a clear, the trigger of the try before may still fire, and Airflow hands us its event.
        """
        from airflow_provider_qlik.runs import RunSelector

        task_instance = context["ti"]
        pushed = task_instance.xcom_pull(
            task_ids=task_instance.task_id, key=DEFERRAL_KEY, map_indexes=task_instance.map_index
        )
        if not isinstance(pushed, Mapping) or not isinstance(pushed.get("resource_id"), str):
            return
        run_id = None if self.run_id is None else checked_id("run_id", self.run_id)
        after = None if self.started_after is None else checked_moment("started_after", self.started_after)
        selector = RunSelector(resource_id=pushed["resource_id"], run_id=run_id, started_after=after)
        if (
            (run.kind, run.resource_id) == (self.kind, selector.resource_id)
            and run_id in {None, run.id}
            and not (after is not None and run.began_before(after))
        ):
            return
        deferral = Deferral.from_json(pushed, self.timeout, self.execution_timeout).after_foreign_event()
        told = f"An event told of {run} of {run.kind} {run.resource_id}, which this try does not wait for"
        if deferral.over:
            time_out(f"Gave up waiting for {selector} of {self.kind} {selector.resource_id}: the time is up. {told}")
        if deferral.exhausted:
            why = f"Gave up waiting for {selector} of {self.kind} {selector.resource_id}"
            fail_with(f"{why}: {deferral.foreign_events} events told of other runs. {told}")
        write(self.log, logging.INFO, f"{told}: still waiting for {selector}")
        push(context, DEFERRAL_KEY, {"resource_id": selector.resource_id, **deferral.to_json()})
        self._defer(selector, deferral.deadline)

    def _find_wanted(self) -> RunSelector:
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                return self.selector(hook)
            except (QlikCloudError, InvalidArgumentError) as error:
                fail(error)

    def _tell(self, hook: QlikCloudHook, run: Run, context: Context) -> dict[str, Any]:
        result = explained(hook, run, log_callback(self.log))
        self.link = result.link
        push(context, LINK_KEY, self.link)
        if why := self.verdict(result):
            fail_for_good(f"{why}. {result.link}")
        write(self.log, logging.INFO, f"{result.message}. {result.link}")
        returned: dict[str, Any] = storable_json(described(hook, result), MESSAGE_LENGTH)
        return returned
