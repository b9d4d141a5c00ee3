"""The base class of all sensors that wait for a run in Qlik Cloud, whatever its kind."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_qlik.compat import rescheduled
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.lifecycle.deferral import (
    Deferral,
    as_text,
    checked_deferrable,
    deadline_in,
    deferral_timeout,
    name_map_index,
    read_event,
    selector_arguments,
)
from airflow_provider_qlik.lifecycle.failures import fail, fail_for_good, skip, time_out
from airflow_provider_qlik.lifecycle.finishing import explain, log_success, return_value
from airflow_provider_qlik.lifecycle.lineage import OpenLineageMethods
from airflow_provider_qlik.lifecycle.resources import ResourceArguments, literal
from airflow_provider_qlik.lifecycle.retry_policy import set_retry_policy
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.lifecycle.xcom import push
from airflow_provider_qlik.links.run import LINK_KEY, QlikRunLink
from airflow_provider_qlik.sensors.starting import (
    can_start_in_triggerer,
    pull_deferral,
    push_deferral,
    start_trigger_args,
)
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import InvalidArgumentError, checked_flag, checked_id, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import SensorCheckpoint
    from airflow_provider_qlik.runs import Outcome, Run, RunSelector, RunWait


class QlikRunSensor(ResourceArguments, OpenLineageMethods, BaseSensorOperator):
    """Wait for a run of Qlik Cloud that somebody else started; start and cancel nothing. Use one of the subclasses.

    :param run_id: the run to wait for.
    :param started_after: wait for the first run that began at or after this moment (a datetime, or ISO 8601 text;
        without a zone it is UTC), for what Qlik itself schedules. With neither this nor run_id the sensor waits for the
        last run there is.
    :param qlik_conn_id: the Airflow connection.
    :param deferrable: wait in the triggerer and hold no worker; the default is Airflow's ``[operators]
        default_deferrable``.
    :param start_from_trigger: with `deferrable` and literal ids, use no worker until the run has ended (Airflow 3.3 and
        later, see docs/design.md). False: a worker looks the resource up and defers.

    `poke_interval`, `timeout` (seconds), `mode`, `soft_fail` and the others are Airflow's own. With
    `exponential_backoff` and `max_wait` the interval of a deferred wait grows with the age of the run up to `max_wait`.
    With ``mode="reschedule"`` on Airflow 3.3 and later the sensor stays with the first run that it has seen; earlier
    versions cannot store it, so give `run_id` or `started_after` there.

    A run that failed or was cancelled fails the task without retries, with Qlik's own reason (with `soft_fail` the task
    is skipped). The return value (XCom) is that of the operators.
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
        start_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        set_retry_policy(self)
        if run_id is not None and started_after is not None:
            raise InvalidArgumentError("started_after", started_after, "give run_id or started_after, not both")
        if literal(run_id):
            checked_id("run_id", run_id)
        self.run_id = run_id
        self.started_after = started_after
        self.qlik_conn_id = qlik_conn_id
        self.deferrable = checked_deferrable(deferrable)
        self._may_start_in_triggerer = checked_flag("start_from_trigger", start_from_trigger)
        self.link: str | None = None
        self._wait: RunWait | None = None

    def check_resource(self) -> None:
        """Check the arguments when the Dag is parsed. Let Airflow start the sensor in the triggerer if it can."""
        super().check_resource()
        self._plan_start(self._may_start_in_triggerer)

    def _plan_start(self, wanted: bool) -> None:
        self.start_from_trigger = wanted and can_start_in_triggerer(self)
        self.start_trigger_args = start_trigger_args(self) if self.start_from_trigger else None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. A cluster policy may change a task, and the arguments of its trigger must follow."""
        super().__setattr__(name, value)
        if name not in {"start_from_trigger", "start_trigger_args"} and self.__dict__.get("start_from_trigger"):
            self._plan_start(wanted=True)

    def verdict(self, outcome: Outcome) -> str | None:
        """Return why an ended run fails the task, or None if it does not."""
        return outcome.verdict(self.fail_on_warnings)

    def selector(self, hook: QlikCloudHook) -> RunSelector:
        """Return the selector of the run. Raises InvalidArgumentError that names the argument."""
        from airflow_provider_qlik.runs import RunSelector

        after = self.started_after
        if self.run_id is not None:
            self.run_id = checked_id("run_id", self.run_id)
        started_after = None if after is None else checked_moment("started_after", after)
        return RunSelector(resource_id=self.resolve_resource(hook), run_id=self.run_id, started_after=started_after)

    def execute(self, context: Context) -> Any:
        """Wait by poking, or defer. Return the outcome."""
        name_map_index(context, self.resource_label)
        if not self.deferrable:
            return self._poke_until_end(context)
        try:
            selector = self._look_up_selector()
        except AirflowFailException as error:
            # As Airflow does it for a sensor that pokes.
            if self.soft_fail or self.never_fail:
                skip(error)
            raise
        deferral = Deferral(deadline_in(self.timeout, self.execution_timeout))
        push_deferral(context, selector.resource_id, deferral)
        self._defer(selector, deferral.deadline)
        return None

    def _poke_until_end(self, context: Context) -> Any:
        """Poke as Airflow does it, and delete the checkpoint when the wait has ended."""
        try:
            result = super().execute(context)
        except Exception as end:
            if not rescheduled(end):
                self._checkpoint(context).delete()
            raise
        self._checkpoint(context).delete()
        return result

    def _checkpoint(self, context: Context) -> SensorCheckpoint:
        from airflow_provider_qlik.lifecycle.checkpoint import SensorCheckpoint

        return SensorCheckpoint(context, self.reschedule, self.identity("run_id"))

    def _defer(self, selector: RunSelector, deadline: datetime | None) -> None:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                **selector_arguments(selector),
                deadline=as_text(deadline),
                **self.polling_arguments(),
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(deadline),
        )

    def polling_arguments(self) -> dict[str, Any]:
        """Return the arguments of `QlikRunTrigger` that say how to poll."""
        longest = self.max_wait if self.exponential_backoff else None
        return {
            "poll_interval": max(self.poke_interval, 0.1),
            "max_poll_interval": longest.total_seconds() if longest else None,
            "qlik_conn_id": self.qlik_conn_id,
        }

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. A poll that fails for a transient reason does not fail the task."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        checkpoint = self._checkpoint(context)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                # Reused by the next pokes, so that only changes are logged and the sensor stays with its run.
                self._wait = self._wait or self._new_wait(hook, checkpoint)
                run = hook.run_flow(self._wait.poll(), ONE_ATTEMPT)
            except (QlikCloudError, InvalidArgumentError) as error:
                if self._wait is None and isinstance(error, QlikCloudError) and error.transient:
                    # The lookup of a name has failed.
                    write(self.log, logging.WARNING, f"{error}. The next poke tries again")
                    return PokeReturnValue(False)
                fail(error)
            if run is None:
                checkpoint.save(self._wait.run, self._wait.refused_since)
                return PokeReturnValue(False)
            return PokeReturnValue(True, self._finish(hook, run, context))

    def _new_wait(self, hook: QlikCloudHook, checkpoint: SensorCheckpoint) -> RunWait:
        """Return a wait, for the run that an earlier poke has seen if there is one."""
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, RunWait

        state = checkpoint.load()
        selector = self.selector(hook) if state.run is None else RunSelector.of(state.run)
        # If nothing is stored between two pokes, no refusal could be seen to last: the first one ends the wait.
        refusal_timeout = timedelta(0) if self.reschedule and not checkpoint.enabled else None
        return RunWait(
            ADAPTERS[self.kind],
            selector,
            log_callback(self.log),
            known_run=state.run,
            refused_since=state.refused_since,
            refusal_timeout=refusal_timeout,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the outcome of the run when the trigger has fired, or fail the task."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.resource_label)
        result = read_event(event)
        if result.run is not None:
            self._check_event(context, result.run)
        if result.run is None or result.error is not None:
            self._fail(result.exception())
        with QlikCloudHook(self.qlik_conn_id) as hook:
            return self._finish(hook, result.run, context)

    def _fail(self, error: Exception) -> NoReturn:
        """Fail the task because of an error that ended the deferred wait."""
        from airflow_provider_qlik.runs import WaitTimeoutError

        if isinstance(error, WaitTimeoutError):
            time_out(error)
        fail(error)

    def _check_event(self, context: Context, run: Run) -> None:
        """Defer again if an event is for a run that this sensor does not wait for, see `lifecycle.deferral`."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.runs import RunSelector

        pushed = pull_deferral(self, context)
        if pushed is None:
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
        deferral = Deferral.from_json(pushed, self.timeout, self.execution_timeout)
        event = (
            f"A trigger event was for {run} of {run.kind} {run.resource_id}; this attempt waits for {selector} of"
            f" {self.kind} {selector.resource_id}"
        )
        try:
            deferral = deferral.after_foreign_event(event)
        except QlikCloudError as error:
            self._fail(error)
        write(self.log, logging.INFO, f"{event}. The wait continues")
        push_deferral(context, selector.resource_id, deferral)
        self._defer(selector, deferral.deadline)

    def _look_up_selector(self) -> RunSelector:
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                return self.selector(hook)
            except (QlikCloudError, InvalidArgumentError) as error:
                fail(error)

    def _finish(self, hook: QlikCloudHook, run: Run, context: Context) -> dict[str, Any]:
        """Return the outcome of an ended run, or fail the task with the reason."""
        from airflow_provider_qlik.lifecycle.asset_events import add_run_facts

        outcome = explain(hook, run, self.log)
        self.note_run(outcome.run, outcome.link)
        push(context, LINK_KEY, self.link)
        if failure := self.verdict(outcome):
            fail_for_good(f"{failure}. {outcome.link}")
        log_success(outcome, self.log)
        value = return_value(hook, outcome)
        add_run_facts(context, self.outlets, value, self.log)
        return value
