"""What all operators share that start a run: written once against `RunAdapter`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from airflow_provider_qlik.compat import deferral_failures, deferral_timed_out, give_retry_policy
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
    message,
    name_map_index,
    push,
    read_event,
    safety_net,
)
from airflow_provider_qlik.lifecycle.starting import StartsItsRun
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.links import LINK_KEY, QlikRunLink
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import checked_flag, checked_limit, checked_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore
    from airflow_provider_qlik.runs import Outcome, Run

RUN_KEY = "qlik_run"
ONE_DAY = 24 * 60 * 60


class QlikRunOperator(StartsItsRun, BaseOperator):
    """Starts a run of Qlik Cloud once, waits for it, and tells how it ended. Use one of the subclasses.

    :param qlik_conn_id: the Airflow connection.
    :param wait_for_completion: False: the task succeeds as soon as the run has started.
    :param deferrable: wait in the triggerer and hold no worker; Airflow's ``[operators] default_deferrable`` decides
        where it is not given.
    :param poll_interval: seconds between two looks at the run, at least.
    :param max_poll_interval: seconds up to which that grows: a run is looked at again after a twentieth of its age.
    :param timeout: seconds to wait for the run to end, or None for no limit. An `execution_timeout` that is shorter
        counts, also while deferred.
    :param cancel_on_kill: cancel the run when the task is killed on its worker or while it is deferred (cleared, marked
        failed or as success), when ``dag.test()`` is interrupted, or when the time for waiting is up. A run that
        cannot be looked at is not cancelled: a retry resumes it.
    :param durable: a retry takes up the run of the try before, if that lost sight of it (Airflow 3.3 and later); a
        user's clear starts anew. On older Airflow the marker does the same for tasks.
    :param match_timeout: seconds within which a started run must show up, where Qlik does not say which one it is.
    :param unknown_outcome_timeout: seconds within which a run must show up whose start got no answer, so that nobody knows
        whether there is one. If none does, the task fails for good, and nothing is started again.
    :param settle: seconds for which a run must be the only one that can be ours, where nothing but the time tells: for
        sharing tasks, automations with inputs, and tasks of a tenant that shows no markers. Three times as long for
        a run that has ended by then.

    What it returns (XCom): kind, ids, state, status, times, seconds, reason and link of the run, name and space of what
    ran where the user may read them, as plain JSON. The
    run's id is in the XCom ``run_id``, and the link to Qlik's page in ``qlik_link``, as soon as it has started.

    A run that fails or is cancelled fails the task, with Qlik's own reason.
    """

    template_fields: Sequence[str] = ("qlik_conn_id",)
    operator_extra_links = (QlikRunLink(),)
    fail_on_warnings = False
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
        settle: float | timedelta = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        give_retry_policy(self)
        self.qlik_conn_id = qlik_conn_id
        self.wait_for_completion = checked_flag("wait_for_completion", wait_for_completion)
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else checked_flag("deferrable", deferrable)
        )
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.max_poll_interval = checked_seconds("max_poll_interval", max_poll_interval)
        self.timeout = checked_limit("timeout", timeout)
        self.cancel_on_kill = checked_flag("cancel_on_kill", cancel_on_kill)
        self.durable = checked_flag("durable", durable)
        self.match_timeout = checked_seconds("match_timeout", match_timeout)
        self.unknown_outcome_timeout = checked_seconds("unknown_outcome_timeout", unknown_outcome_timeout)
        self.settle = checked_seconds("settle", settle)
        self.link: str | None = None

    # What a kind of run may add, besides `parameters` and `prepare`.

    def on_error(self, error: Exception) -> None:
        """Says what an error means that came before or while waiting, where it is not a failure."""

    def verdict(self, result: Outcome) -> str | None:
        """Why an ended run fails the task, or None if it does not."""
        if self.fail_on_warnings and (why := result.failure_by_warnings()):
            return why
        return None if result.succeeded else result.failure

    def collect(self, hook: QlikCloudHook, result: Outcome) -> Mapping[str, Any]:
        """What is fetched of a run that does not fail the task, as further members of what the task returns."""
        return {}

    # What all share.

    def execute(self, context: Context) -> dict[str, Any]:
        """Starts the run; waits here, or defers."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, RunWait

        name_map_index(context, self.resource_label)
        self._memory = checkpoint = self._checkpoint(context)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            self._hook = hook
            polling = False
            try:
                self._left = left = checkpoint.load()
                self._run = self._take_up(hook, checkpoint, left)
                self._left = None
                self._run = run = self._run or self._start(hook, context, checkpoint, left)
                deadline = deadline_in(self.timeout, self.execution_timeout) if self.wait_for_completion else None
                self._show(hook, run, context, deadline)
                if not self.wait_for_completion:
                    checkpoint.done()
                    return self._returned(run.to_json(), link=self.link)
                if self.deferrable:
                    self._defer(run, deadline, checkpoint)
                watch = RunWait(
                    ADAPTERS[self.kind], RunSelector.of(run), log_callback(self.log), seen=run, deadline=deadline
                )
                polling = True
                flow = watch.until_end(self.poll_interval, self.max_poll_interval)
                ended = hook.run_flow(flow, ONE_TRY, deadline=deadline)
            except (QlikCloudError, InvalidArgumentError) as error:
                self.on_error(error)
                self._give_up(hook, self._run, error, checkpoint)
            except KeyboardInterrupt:
                # `dag.test()` and `airflow tasks test` run the task in the process that is interrupted: nobody kills
                # it. Done while the hook is open, since `on_kill` signs in as its client does.
                self.on_kill()
                raise
            except Exception:
                run_left = self._run
                if polling and run_left is not None and checkpoint.lasts:
                    # It came of looking at the run, and tells nothing about the run. A retry resumes it.
                    write(self.log, logging.ERROR, f"The wait has failed. {self._going_on(run_left, checkpoint)}")
                elif run_left is not None and self.cancel_on_kill and self._cancel(hook, run_left):
                    # Whatever it was, what this try has started is not left behind.
                    checkpoint.cancelled()
                raise
            return self._tell(hook, ended, checkpoint)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.resource_label)
        ours, checkpoint = self._pushed(context), self._checkpoint(context)
        self.link = self._pulled(context, LINK_KEY)
        waited = read_event(event, self._going_on(ours, checkpoint) if ours is not None else "")
        with QlikCloudHook(self.qlik_conn_id) as hook:
            other = ours is not None and waited.run is not None and ours.id != waited.run.id
            if ours is not None and waited.run is not None and other and not waited.run.takes_over_from(ours):
                self._wait_on(hook, context, ours, waited.run, checkpoint)
            if waited.run is None or waited.error is not None:
                # What was pushed at the start knows who does the work, which a trigger that saw nothing does not.
                known = ours or waited.run
                if waited.run is not None and (waited.run.worker is not None or other):
                    known = waited.run
                self._give_up(hook, known, waited.exception(), checkpoint)
            return self._tell(hook, waited.run, checkpoint)

    def _wait_on(
        self, hook: QlikCloudHook, context: Context, ours: Run, other: Run, checkpoint: CheckpointStore
    ) -> NoReturn:
        """Defer again after an event that told of another run: until the first deadline, and not without end.

        After a clear, the trigger of the try before may still fire, and Airflow hands us its event.
        """
        from airflow_provider_qlik.runs import WaitTimeoutError

        deferral = Deferral.from_json(self._pulled(context, RUN_KEY), self.timeout, self.execution_timeout)
        deferral = deferral.after_foreign_event()
        told = f"An event told of {other}, which is not the run of this try, {ours}"
        if deferral.over:
            self._give_up(hook, ours, WaitTimeoutError(f"Gave up waiting: the time is up. {told}"), checkpoint)
        if deferral.exhausted:
            why = f"Gave up waiting: {deferral.foreign_events} events told of other runs than that of this try"
            fail_with(f"{why}, the last of {other}. {self._going_on(ours, checkpoint)}")
        write(self.log, logging.INFO, f"{told}: still waiting for ours")
        push(context, RUN_KEY, {**ours.to_json(), **deferral.to_json()})
        self._defer(ours, deferral.deadline, checkpoint)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Goes on after a deferral. If that timed out, its run is not left behind.

        If it failed otherwise, the run may be well: a retry resumes it.
        """
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except deferral_failures() as failure:
            run, checkpoint = self._pushed(context), self._checkpoint(context)
            self.link = self._pulled(context, LINK_KEY)
            if run is not None and not deferral_timed_out(failure) and checkpoint.lasts:
                write(self.log, logging.ERROR, f"The trigger has failed. {self._going_on(run, checkpoint)}")
            elif run is not None and self.cancel_on_kill:
                with QlikCloudHook(self.qlik_conn_id) as hook:
                    if self._cancel(hook, run):
                        checkpoint.cancelled()
            raise

    def _checkpoint(self, context: Context) -> CheckpointStore:
        from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore

        return CheckpointStore(context, self.durable, self.asked())

    def _show(self, hook: QlikCloudHook, run: Run, context: Context, deadline: datetime | None) -> None:
        from airflow_provider_qlik.runs import ADAPTERS

        self.link = hook.get_conn().tenant.url + ADAPTERS[run.kind].page(run)
        write(self.log, logging.INFO, f"Started: {run}. {self.link}")
        push(context, "run_id", run.id)
        push(context, LINK_KEY, self.link)
        push(context, RUN_KEY, {**run.to_json(), **Deferral(deadline).to_json()})

    def _pulled(self, context: Context, key: str) -> Any:
        task_instance = context["ti"]
        return task_instance.xcom_pull(task_ids=task_instance.task_id, key=key, map_indexes=task_instance.map_index)

    def _pushed(self, context: Context) -> Run | None:
        """The run that this try has started, as it pushed it then."""
        from airflow_provider_qlik.runs import Run

        given = self._pulled(context, RUN_KEY)
        try:
            return Run.from_json(given) if isinstance(given, Mapping) else None
        except (KeyError, TypeError, ValueError):
            return None

    def _defer(self, run: Run, deadline: datetime | None, checkpoint: CheckpointStore) -> NoReturn:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=run.resource_id,
                run_id=run.id,
                status=run.status,
                unconfirmed_since=as_text(run.unconfirmed_since),
                marker=run.marker,
                adopted=run.adopted,
                cancel_on_kill=self.cancel_on_kill,
                remembered=checkpoint.lasts,
                poll_interval=self.poll_interval,
                max_poll_interval=self.max_poll_interval,
                deadline=as_text(deadline),
                qlik_conn_id=self.qlik_conn_id,
            ),
            method_name="execute_complete",
            timeout=safety_net(deadline),
        )
        raise AssertionError("defer() does not return")

    def _tell(self, hook: QlikCloudHook, run: Run, checkpoint: CheckpointStore) -> dict[str, Any]:
        """What the task returns, or the failure that says why."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError

        self._run = None
        result = explained(hook, run, log_callback(self.log))
        self.link = result.link
        if why := self.verdict(result):
            checkpoint.forget()
            fail_with(f"{why}. {result.link}")
        write(self.log, logging.INFO, f"{result.message}. {result.link}")
        try:
            collected = self.collect(hook, result)
        except Exception as error:
            expected = isinstance(error, (QlikCloudError, InvalidArgumentError))
            # The run is done and well. A retry that remembers it only fetches again; one that does not would run again.
            if not checkpoint.lasts:
                text = f"The run succeeded, but not what comes after it: {message(error)}"
                if expected:
                    fail_for_good(text)
                raise AirflowFailException(message(text)) from error
            if expected:
                fail(error)
            raise
        checkpoint.done()
        return self._returned(described(hook, result), **collected)

    def _returned(self, run: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return what the task returns, fit to be stored. Texts of the run are cut, paths of files are not."""
        returned: dict[str, Any] = {**storable_json(run, MESSAGE_LENGTH), **storable_json(more)}
        return returned

    def _give_up(self, hook: QlikCloudHook, run: Run | None, error: Exception, checkpoint: CheckpointStore) -> NoReturn:
        """Fails the task for a wait that cannot go on.

        Only where the time is up is its run cancelled. All other errors tell that the run cannot be looked at, or not
        which one it is, and the run itself may be well: it stays what a retry resumes, or a clear replaces.
        """
        from airflow_provider_qlik.runs import AmbiguousRunError, WaitTimeoutError

        self._run = None
        if run is None or run.ended:
            fail(error)
        if isinstance(error, WaitTimeoutError) and self.cancel_on_kill and self._cancel(hook, run):
            checkpoint.cancelled()
            fail(error)
        if isinstance(error, AmbiguousRunError):
            # It lists the runs, and says that none was cancelled.
            fail(error)
        fail(error, self._going_on(run, checkpoint))

    def _going_on(self, run: Run, checkpoint: CheckpointStore) -> str:
        """Return what follows an error that leaves the run alone."""
        whose = "was started by somebody else" if run.adopted else "was not cancelled"
        then = (
            " A retry resumes it, a clear of this task starts a new run."
            if checkpoint.lasts and not run.adopted
            else ""
        )
        where = f" Look at it in Qlik Cloud: {self.link}." if self.link else ""
        return f"The run may still be going on, and {whose}.{then}{where} {run}"
