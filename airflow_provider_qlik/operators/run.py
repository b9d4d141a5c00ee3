"""What all operators share that start a run: written once against `RunKind`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_qlik.arguments import checked_limit, checked_seconds
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.links import LINK_KEY, QlikRunLink
from airflow_provider_qlik.targets import Target
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

ONE_DAY = 24 * 60 * 60


class QlikRunOperator(Target, BaseOperator):
    """Starts a run of Qlik Cloud once, waits for it, and tells how it ended. Use one of the subclasses.

    :param qlik_conn_id: the Airflow connection.
    :param wait_for_completion: False: the task succeeds as soon as the run has started.
    :param deferrable: wait in the triggerer and hold no worker; Airflow's ``[operators] default_deferrable`` decides
        where it is not given.
    :param poll_interval: seconds between two looks at the run.
    :param timeout: seconds to wait for the run to end, or None for no limit. An `execution_timeout` that is shorter
        counts, also while deferred.
    :param cancel_on_kill: cancel the run when the task is killed on its worker, or gives up waiting.
    :param find_timeout: seconds within which a started run must show up, where Qlik does not say which one it is.
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
        timeout: float | timedelta | None = ONE_DAY,
        cancel_on_kill: bool = True,
        find_timeout: float | timedelta = 300.0,
        settle: float | timedelta = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.qlik_conn_id = qlik_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.timeout = checked_limit("timeout", timeout)
        self.cancel_on_kill = cancel_on_kill
        self.find_timeout = checked_seconds("find_timeout", find_timeout)
        self.settle = checked_seconds("settle", settle)
        self.link: str | None = None
        self._run: Run | None = None

    # What a kind of run may add.

    def parameters(self) -> Mapping[str, Any]:
        """What the start is told beyond the id. Raises InvalidArgument that names the argument."""
        return {}

    def on_error(self, error: Exception) -> None:
        """Says what an error means that came before or while waiting, where it is not a failure."""

    def prepare(self, hook: QlikCloudHook) -> None:
        """Makes sure, before anything is started, that what comes after the run can be done."""

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
        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                self._run = run = self._start(hook, context)
                self._show(hook, run, context)
                if not self.wait_for_completion:
                    return {**run.to_json(), "link": self.link}
                deadline = deadline_in(self.timeout, self.execution_timeout)
                if self.deferrable:
                    self._defer(run, deadline)
                watch = Watch(KINDS[self.kind], Wanted.of(run), self.log.log, deadline=deadline)
                ended = hook.run_flow(watch.until_end(self.poll_interval), ONE_TRY)
            except (QlikCloudError, InvalidArgument) as error:
                self.on_error(error)
                self._give_up(hook, self._run, error)
            return self._tell(hook, ended)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        name_map_index(context, self.target_label)
        waited = read_event(event)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            if waited.run is None or waited.error is not None:
                self._give_up(hook, waited.run, waited.exception())
            return self._tell(hook, waited.run)

    def on_kill(self) -> None:
        """Cancels the run, if `cancel_on_kill`. Asks and does not wait: a worker that is killed has seconds left."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        if self._run is not None and self.cancel_on_kill:
            with QlikCloudHook(self.qlik_conn_id) as hook:
                self._cancel(hook, self._run)

    def _start(self, hook: QlikCloudHook, context: Context) -> Run:
        from airflow_provider_qlik.runs import KINDS, Search

        kind, mark, parameters = KINDS[self.kind], start_marker(context), self.parameters()
        resource_id = self.find_target(hook)
        self.prepare(hook)
        intent = hook.run_flow(kind.intend(resource_id, mark))
        self.log.info("Starting %s %s, marked %s", kind.name, resource_id, mark)
        search = Search(give_up=self.find_timeout, settle=self.settle, settle_unsure=3 * self.settle)
        return hook.run_flow(kind.start(intent, search, self.log.log, parameters=parameters))

    def _show(self, hook: QlikCloudHook, run: Run, context: Context) -> None:
        from airflow_provider_qlik.runs import KINDS

        self.link = hook.get_conn().tenant.url + KINDS[run.kind].page(run)
        self.log.info("Started: %s. %s", run, self.link)
        context["ti"].xcom_push(key="run_id", value=run.id)
        context["ti"].xcom_push(key=LINK_KEY, value=self.link)

    def _defer(self, run: Run, deadline: datetime | None) -> NoReturn:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=run.resource_id,
                run_id=run.id,
                alone_since=as_text(run.alone_since),
                adopted=run.adopted,
                poll_interval=self.poll_interval,
                deadline=as_text(deadline),
                qlik_conn_id=self.qlik_conn_id,
            ),
            method_name="execute_complete",
            timeout=safety_net(deadline),
        )
        raise AssertionError("defer() does not return")

    def _tell(self, hook: QlikCloudHook, run: Run) -> dict[str, Any]:
        """What the task returns, or the failure that says why."""
        from airflow_provider_qlik.cloud import InvalidArgument, QlikCloudError

        self._run = None
        result = explained(hook, run, self.log.log)
        self.link = result.link
        if why := self.verdict(result):
            fail_with(f"{why}. {result.link}")
        self.log.info("%s. %s", result.message, result.link)
        try:
            return {**result.to_json(), **self.collect(hook, result)}
        except (QlikCloudError, InvalidArgument) as error:
            fail(error)

    def _give_up(self, hook: QlikCloudHook, run: Run | None, error: Exception) -> NoReturn:
        """Fails the task for a wait that cannot go on; what it started is not left behind."""
        from airflow_provider_qlik.runs import AmbiguousRun

        # Where it is not known which run is ours, none is cancelled.
        if run is not None and not run.ended and self.cancel_on_kill and not isinstance(error, AmbiguousRun):
            self._cancel(hook, run)
        self._run = None
        fail(error)

    def _cancel(self, hook: QlikCloudHook, run: Run) -> None:
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.retry import Patience
        from airflow_provider_qlik.runs import KINDS

        if run.adopted:
            self.log.info("%s was started by somebody else: it is left alone", run)
            return
        try:
            asked = hook.run_flow(KINDS[run.kind].cancel(run), Patience(tries=2, budget=4.0))
        except QlikCloudError as error:
            self.log.error("%s could not be cancelled and may still be going on: %s", run, error)
        else:
            self.log.info("Asked Qlik Cloud to stop %s", asked)


def start_marker(context: Context) -> str:
    """What a start of this task is marked with: the same for its retries, another after a clear."""
    from airflow_provider_qlik.runs import marker

    task_instance = context["ti"]
    names = ("dag_id", "run_id", "task_id", "map_index", "max_tries")
    return marker(*(str(getattr(task_instance, name, "")) for name in names))
