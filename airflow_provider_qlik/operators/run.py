"""The base class of all operators that run something in Qlik Cloud, whatever its kind."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_qlik.compat import deferral_failures, deferral_timed_out
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
from airflow_provider_qlik.lifecycle.lineage import OpenLineageMethods
from airflow_provider_qlik.lifecycle.resources import ResourceArguments
from airflow_provider_qlik.lifecycle.retry_policy import set_retry_policy
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.lifecycle.xcom import RUN_KEY, pull, pull_run, push, push_run
from airflow_provider_qlik.links.run import LINK_KEY, QlikRunLink
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import checked_flag, checked_limit, checked_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.lifecycle import RunLifecycle
    from airflow_provider_qlik.lifecycle.start_request import StartRequest
    from airflow_provider_qlik.runs import Outcome, Run

ONE_DAY = 24 * 60 * 60


class QlikRunOperator(ResourceArguments, OpenLineageMethods, BaseOperator):
    """Start a run of Qlik Cloud once, wait for it, and return its outcome. Use one of the subclasses.

    :param qlik_conn_id: the Airflow connection.
    :param wait_for_completion: False: the task succeeds as soon as the run has started.
    :param deferrable: wait in the triggerer and hold no worker; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poll_interval: seconds between two polls, at least.
    :param max_poll_interval: seconds up to which the interval grows: it is a twentieth of the run's age.
    :param timeout: seconds to wait for the run to end, or None for no limit. A shorter `execution_timeout` applies
        instead, also while deferred.
    :param cancel_on_kill: cancel the run when the task is killed on its worker or while it is deferred (cleared, marked
        failed or success), when ``dag.test()`` is interrupted, or when the time-out is reached. A run that cannot be
        polled is not cancelled: a retry resumes it.
    :param durable: a retry resumes the run of the previous attempt if that did not see it end (Airflow 3.3 and later);
        a user's clear starts a new run. On older Airflow the marker does the same for tasks.
    :param match_timeout: seconds within which a started run must show up, where Qlik does not say which one it is.
    :param unknown_outcome_timeout: seconds within which a run must show up whose start got no response, so that it is
        unknown if there is one. If none does, the task fails and is not retried, and nothing is started again.
    :param settle_time: seconds for which a run must be the only candidate, where it is recognised by its time alone:
        sharing tasks, automations with inputs, and tasks of a tenant that shows no markers. Three times as long for a
        run that has ended by then.

    The return value (XCom) is plain JSON: kind, ids, state, status, times, seconds, reason and link of the run, and
    the name and space of the resource where the user may read them. The run's id is in the XCom ``run_id``, and the
    link to Qlik's page in ``qlik_link``, as soon as the run has started.

    A run that fails or is cancelled fails the task, with Qlik's own reason.
    """

    template_fields: Sequence[str] = ("qlik_conn_id",)
    operator_extra_links = (QlikRunLink(),)
    fail_on_warnings = False
    updates_apps = True
    ui_color = "#d6f0dd"

    def __init__(
        self,
        *,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | timedelta = 15.0,
        max_poll_interval: float | timedelta = 60.0,
        timeout: float | timedelta | None = ONE_DAY,
        cancel_on_kill: bool = True,
        durable: bool = True,
        match_timeout: float | timedelta = 300.0,
        unknown_outcome_timeout: float | timedelta = 60.0,
        settle_time: float | timedelta = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        set_retry_policy(self)
        self.qlik_conn_id = qlik_conn_id
        self.wait_for_completion = checked_flag("wait_for_completion", wait_for_completion)
        self.deferrable = checked_deferrable(deferrable)
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.max_poll_interval = checked_seconds("max_poll_interval", max_poll_interval)
        self.timeout = checked_limit("timeout", timeout)
        self.cancel_on_kill = checked_flag("cancel_on_kill", cancel_on_kill)
        self.durable = checked_flag("durable", durable)
        self.match_timeout = checked_seconds("match_timeout", match_timeout)
        self.unknown_outcome_timeout = checked_seconds("unknown_outcome_timeout", unknown_outcome_timeout)
        self.settle_time = checked_seconds("settle_time", settle_time)
        self.link: str | None = None
        self._lifecycle: RunLifecycle | None = None

    # Hooks for the operator of one kind of run

    def parameters(self) -> Mapping[str, Any]:
        """Return what the start takes beyond the id. Raises InvalidArgumentError that names the argument."""
        return {}

    def prepare(self, hook: QlikCloudHook) -> None:
        """Check, before anything is started, that the steps after the run can be done."""

    def on_error(self, error: Exception) -> None:
        """Handle an error from before or during the wait that is not a failure, such as by skipping the task."""

    def verdict(self, outcome: Outcome) -> str | None:
        """Return why an ended run fails the task, or None if it does not."""
        return outcome.verdict(self.fail_on_warnings)

    def collect(self, hook: QlikCloudHook, outcome: Outcome) -> Mapping[str, Any]:
        """Fetch further members of the return value, of a run that does not fail the task."""
        return {}

    def after_failure(self, hook: QlikCloudHook, outcome: Outcome) -> str:
        """Handle an ended run that fails the task, such as by saving its log. Return what to add to the message."""
        return ""

    def trigger(self, **arguments: Any) -> QlikRunTrigger:
        """Return the trigger that waits for the run."""
        return QlikRunTrigger(**arguments)

    # Called by Airflow

    def execute(self, context: Context) -> dict[str, Any]:
        """Start or resume the run, and wait for it here, or defer. Return the outcome."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.resource_label)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            lifecycle = self._lifecycle = self._new_lifecycle(hook, context)
            try:
                run = lifecycle.resume() or lifecycle.start(self._start_request(hook, context))
                deadline = deadline_in(self.timeout, self.execution_timeout) if self.wait_for_completion else None
                self._publish_run(lifecycle, run, context, deadline)
                if not self.wait_for_completion:
                    lifecycle.checkpoint.mark_completed()
                    return {**storable_json(run.to_json(), MESSAGE_LENGTH), "link": storable_json(self.link)}
                if self.deferrable:
                    self._defer(run, deadline, lifecycle)
                ended = lifecycle.wait(run, self.poll_interval, self.max_poll_interval, deadline)
            except (QlikCloudError, InvalidArgumentError) as error:
                self.on_error(error)
                lifecycle.fail(error, lifecycle.run)
            except KeyboardInterrupt:
                # `dag.test()` and `airflow tasks test` run the task in the process that is interrupted: nothing else
                # calls `on_kill`. Called while the hook is open, since `on_kill` uses the credentials of its client.
                self.on_kill()
                raise
            except Exception:
                lifecycle.handle_unexpected_error()
                raise
            return self._finish(lifecycle, ended, context)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the outcome of the run when the trigger has fired, or fail the task."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.resource_label)
        hook, own = QlikCloudHook(self.qlik_conn_id), pull_run(context)
        self.note_run(own, pull(context, LINK_KEY))
        lifecycle = self._new_lifecycle(hook, context)
        result = read_event(event, lifecycle.active_run_notice(own) if own is not None else "")
        with hook:
            foreign = own is not None and result.run is not None and own.id != result.run.id
            if own is not None and result.run is not None and foreign and not result.run.takes_over_from(own):
                self._defer_again(context, own, result.run, lifecycle)
            if result.run is None or result.error is not None:
                # The run of the XCom knows its worker, which the run of a trigger that saw no response does not.
                run = own or result.run
                if result.run is not None and (result.run.worker is not None or foreign):
                    run = result.run
                lifecycle.fail(result.exception(), run)
            return self._finish(lifecycle, result.run, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral. If that has timed out, cancel the run.

        If the trigger has failed otherwise, the run may be well: a retry resumes it.
        """
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except deferral_failures() as failure:
            run = pull_run(context)
            self.note_run(run, pull(context, LINK_KEY))
            with QlikCloudHook(self.qlik_conn_id) as hook:
                lifecycle = self._new_lifecycle(hook, context)
                if run is not None and not deferral_timed_out(failure) and lifecycle.checkpoint.enabled:
                    write(self.log, logging.ERROR, f"The trigger has failed. {lifecycle.active_run_notice(run)}")
                elif run is not None and self.cancel_on_kill:
                    lifecycle.cancel(run)
            raise

    def on_kill(self) -> None:
        """Cancel the run, if `cancel_on_kill`, without waiting for its end."""
        if self._lifecycle is not None:
            self._lifecycle.cancel_on_signal()

    # Steps

    def _new_lifecycle(self, hook: QlikCloudHook, context: Context) -> RunLifecycle:
        from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore
        from airflow_provider_qlik.runs import MatchTimeouts

        search = MatchTimeouts.of(self.match_timeout, self.settle_time, self.unknown_outcome_timeout)
        return self.lifecycle_type()(
            self.kind,
            hook,
            CheckpointStore(context, self.durable, self.identity()),
            self.log,
            cancel_on_kill=self.cancel_on_kill,
            search=search,
            link=self.link,
        )

    def lifecycle_type(self) -> type[RunLifecycle]:
        """Return the class that starts, waits for and cancels the run."""
        from airflow_provider_qlik.lifecycle.lifecycle import RunLifecycle

        return RunLifecycle

    def _start_request(self, hook: QlikCloudHook, context: Context) -> StartRequest:
        """Read the rendered arguments, look the resource up, and check what comes after the run."""
        from airflow_provider_qlik.lifecycle.start_request import StartRequest, start_marker, was_cleared

        parameters = self.parameters()
        resource_id = self.resolve_resource(hook)
        self.prepare(hook)
        cleared = was_cleared(context, self.retries)
        return StartRequest(resource_id, start_marker(context), parameters, cleared=cleared, durable=self.durable)

    def _publish_run(self, lifecycle: RunLifecycle, run: Run, context: Context, deadline: datetime | None) -> None:
        """Log the run, and push its id, its link and what `execute_complete` needs."""
        from airflow_provider_qlik.runs import ADAPTERS

        lifecycle.link = lifecycle.hook.get_conn().tenant.url + ADAPTERS[run.kind].page(run)
        self.note_run(run, lifecycle.link)
        write(self.log, logging.INFO, f"Started: {run}. {self.link}")
        push(context, "run_id", run.id)
        push(context, LINK_KEY, self.link)
        push_run(context, run, Deferral(deadline))

    def _defer(self, run: Run, deadline: datetime | None, lifecycle: RunLifecycle) -> NoReturn:
        from airflow_provider_qlik.runs import RunSelector

        self.defer(
            trigger=self.trigger(
                kind=self.kind,
                **selector_arguments(RunSelector.of(run)),
                status=run.status,
                cancel_on_kill=self.cancel_on_kill,
                has_checkpoint=lifecycle.checkpoint.enabled,
                poll_interval=self.poll_interval,
                max_poll_interval=self.max_poll_interval,
                deadline=as_text(deadline),
                qlik_conn_id=self.qlik_conn_id,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(deadline),
        )
        raise AssertionError("defer() does not return")

    def _defer_again(self, context: Context, own: Run, foreign: Run, lifecycle: RunLifecycle) -> NoReturn:
        """Defer again after an event of another run, see `lifecycle.deferral`."""
        from airflow_provider_qlik.cloud import QlikCloudError

        deferral = Deferral.from_json(pull(context, RUN_KEY), self.timeout, self.execution_timeout)
        event = f"A trigger event was for {foreign}, which is not the run of this attempt, {own}"
        try:
            deferral = deferral.after_foreign_event(event)
        except QlikCloudError as error:
            lifecycle.fail(error, own)
        write(self.log, logging.INFO, f"{event}. The wait continues")
        push_run(context, own, deferral)
        self._defer(own, deferral.deadline, lifecycle)

    def _finish(self, lifecycle: RunLifecycle, run: Run, context: Context) -> dict[str, Any]:
        """Return the outcome of an ended run, or fail the task with the reason."""
        from airflow_provider_qlik.lifecycle.asset_events import add_run_facts

        outcome = lifecycle.outcome(run)
        self.note_run(outcome.run, outcome.link)
        if failure := self.verdict(outcome):
            failure += self.after_failure(lifecycle.hook, outcome)
        value = lifecycle.finish(outcome, failure, lambda: self.collect(lifecycle.hook, outcome))
        add_run_facts(context, self.outlets, value, self.log)
        return value
