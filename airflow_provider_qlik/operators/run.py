"""What all operators share that start a run: written once against `RunKind`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from airflow_provider_qlik.arguments import checked_limit, checked_seconds
from airflow_provider_qlik.compat import deferral_failures, give_retry_policy
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.links import LINK_KEY, QlikRunLink
from airflow_provider_qlik.memory import Memory
from airflow_provider_qlik.operators.starting import StartsItsRun
from airflow_provider_qlik.triggers.runs import QlikRunTrigger
from airflow_provider_qlik.waiting import (
    as_text,
    deadline_in,
    explained,
    fail,
    fail_with,
    name_map_index,
    read_event,
    safety_net,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
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
    :param longest_poll_interval: seconds up to which that grows: a run is looked at again after a twentieth of its age.
    :param timeout: seconds to wait for the run to end, or None for no limit. An `execution_timeout` that is shorter
        counts, also while deferred.
    :param cancel_on_kill: cancel the run when the task is killed on its worker or while it is deferred (cleared, marked
        failed or as success), or gives up waiting.
    :param durable: a retry takes up the run of the try before, if that lost sight of it (Airflow 3.3 and later); a
        user's clear starts anew. On older Airflow the marker does the same for tasks.
    :param find_timeout: seconds within which a started run must show up, where Qlik does not say which one it is.
    :param unanswered_timeout: seconds within which a run must show up whose start got no answer, so that nobody knows
        whether there is one. If none does, the task fails for good, and nothing is started again.
    :param settle: seconds for which a run must be the only one that can be ours, where nothing but the time tells: for
        sharing tasks, automations with inputs, and tasks of a tenant that shows no markers. Three times as long for
        a run that has ended by then.

    What it returns (XCom): kind, ids, state, status, times, seconds, reason and link of the run, as plain JSON. The
    run's id is in the XCom ``run_id``, and the link to Qlik's page in ``qlik_link``, as soon as it has started.

    A run that fails or is cancelled fails the task, with Qlik's own reason.
    """

    template_fields: Sequence[str] = ("qlik_conn_id",)
    operator_extra_links = (QlikRunLink(),)
    ui_color = "#d6f0dd"

    def __init__(
        self,
        *,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | timedelta = 15.0,
        longest_poll_interval: float | timedelta = 60.0,
        timeout: float | timedelta | None = ONE_DAY,
        cancel_on_kill: bool = True,
        durable: bool = True,
        find_timeout: float | timedelta = 300.0,
        unanswered_timeout: float | timedelta = 60.0,
        settle: float | timedelta = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        give_retry_policy(self)
        self.qlik_conn_id = qlik_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.longest_poll_interval = checked_seconds("longest_poll_interval", longest_poll_interval)
        self.timeout = checked_limit("timeout", timeout)
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable
        self.find_timeout = checked_seconds("find_timeout", find_timeout)
        self.unanswered_timeout = checked_seconds("unanswered_timeout", unanswered_timeout)
        self.settle = checked_seconds("settle", settle)
        self.link: str | None = None

    # What a kind of run may add, besides `parameters` and `prepare`.

    def on_error(self, error: Exception) -> None:
        """Says what an error means that came before or while waiting, where it is not a failure."""

    def verdict(self, result: Outcome) -> str | None:
        """Why an ended run fails the task, or None if it does not."""
        return None if result.succeeded else result.message

    def collect(self, hook: QlikCloudHook, result: Outcome) -> Mapping[str, Any]:
        """What is fetched of a run that does not fail the task, as further members of what the task returns."""
        return {}

    # What all share.

    def execute(self, context: Context) -> dict[str, Any]:
        """Starts the run; waits here, or defers."""
        from airflow_provider_qlik.cloud import InvalidArgument, QlikCloudError
        from airflow_provider_qlik.cloud.retry import ONE_TRY
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import KINDS, Wanted, Watch

        name_map_index(context, self.target_label)
        self._memory = memory = Memory(context, self.durable)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            self._hook = hook
            try:
                self._left = left = memory.recall()
                self._run = self._take_up(hook, memory, left)
                self._left = None
                self._run = run = self._run or self._start(hook, context, memory, left)
                self._show(hook, run, context)
                if not self.wait_for_completion:
                    memory.forget()
                    return {**run.to_json(), "link": self.link}
                deadline = deadline_in(self.timeout, self.execution_timeout)
                if self.deferrable:
                    self._defer(run, deadline)
                watch = Watch(KINDS[self.kind], Wanted.of(run), self.log.log, seen=run, deadline=deadline)
                ended = hook.run_flow(watch.until_end(self.poll_interval, self.longest_poll_interval), ONE_TRY)
            except (QlikCloudError, InvalidArgument) as error:
                self.on_error(error)
                self._give_up(hook, self._run, error, memory)
            except Exception:
                # Whatever it was, what this try has started is not left behind.
                if self._run is not None and self.cancel_on_kill and self._cancel(hook, self._run):
                    memory.cancelled()
                raise
            return self._tell(hook, ended, memory)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.target_label)
        waited, memory = read_event(event), Memory(context, self.durable)
        ours = self._pushed(context)
        self.link = self._pulled(context, LINK_KEY)
        other = ours is not None and waited.run is not None and ours.id != waited.run.id
        if ours is not None and waited.run is not None and other and not waited.run.takes_over_from(ours):
            # After a clear, the trigger of the try before may still fire, and Airflow hands us its event.
            self.log.info("An event told of %s, which is not the run of this try: still waiting for ours", waited.run)
            self._defer(ours, deadline_in(self.timeout, self.execution_timeout))
        with QlikCloudHook(self.qlik_conn_id) as hook:
            if waited.run is None or waited.error is not None:
                # What was pushed at the start knows who does the work, which a trigger that saw nothing does not.
                known = waited.run if waited.run is not None and waited.run.worker is not None else ours or waited.run
                self._give_up(hook, known, waited.exception(), memory)
            return self._tell(hook, waited.run, memory)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Goes on after a deferral. If that failed or timed out, its run is not left behind."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except deferral_failures():
            run = self._pushed(context)
            if run is not None and self.cancel_on_kill:
                with QlikCloudHook(self.qlik_conn_id) as hook:
                    if self._cancel(hook, run):
                        Memory(context, self.durable).cancelled()
            raise

    def _show(self, hook: QlikCloudHook, run: Run, context: Context) -> None:
        from airflow_provider_qlik.runs import KINDS

        self.link = hook.get_conn().tenant.url + KINDS[run.kind].page(run)
        self.log.info("Started: %s. %s", run, self.link)
        context["ti"].xcom_push(key="run_id", value=run.id)
        context["ti"].xcom_push(key=LINK_KEY, value=self.link)
        context["ti"].xcom_push(key=RUN_KEY, value=run.to_json())

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

    def _defer(self, run: Run, deadline: datetime | None) -> NoReturn:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=run.resource_id,
                run_id=run.id,
                status=run.status,
                alone_since=as_text(run.alone_since),
                marker=run.marker,
                adopted=run.adopted,
                cancel_on_kill=self.cancel_on_kill,
                poll_interval=self.poll_interval,
                longest_poll_interval=self.longest_poll_interval,
                deadline=as_text(deadline),
                qlik_conn_id=self.qlik_conn_id,
            ),
            method_name="execute_complete",
            timeout=safety_net(deadline),
        )
        raise AssertionError("defer() does not return")

    def _tell(self, hook: QlikCloudHook, run: Run, memory: Memory) -> dict[str, Any]:
        """What the task returns, or the failure that says why."""
        from airflow_provider_qlik.cloud import InvalidArgument, QlikCloudError

        self._run = None
        result = explained(hook, run, self.log.log)
        self.link = result.link
        if why := self.verdict(result):
            memory.forget()
            fail_with(f"{why}. {result.link}")
        self.log.info("%s. %s", result.message, result.link)
        try:
            collected = self.collect(hook, result)
        except Exception as error:
            # The run is done and well. A retry that remembers it only fetches again; one that does not would run again.
            if not memory.lasts:
                raise AirflowFailException(f"The run succeeded, but not what comes after it: {error}") from error
            if isinstance(error, (QlikCloudError, InvalidArgument)):
                fail(error)
            raise
        memory.forget()
        return {**result.to_json(), **collected}

    def _give_up(self, hook: QlikCloudHook, run: Run | None, error: Exception, memory: Memory) -> NoReturn:
        """Fails the task for a wait that cannot go on; what it started is not left behind."""
        from airflow_provider_qlik.runs import AmbiguousRun

        # Where it is not known which run is ours, none is cancelled.
        cancels = run is not None and not run.ended and self.cancel_on_kill and not isinstance(error, AmbiguousRun)
        if cancels and run is not None and self._cancel(hook, run):
            memory.cancelled()
        self._run = None
        fail(error)
