"""What all operators share that start a run: written once against `RunKind`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_qlik.arguments import checked_id, checked_limit, checked_seconds
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.triggers.runs import QlikRunTrigger
from airflow_provider_qlik.waiting import as_text, deadline_in, explained, fail, read_event, safety_net

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Run

ONE_DAY = 24 * 60 * 60


class QlikRunOperator(BaseOperator):
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

    What it returns (XCom): kind, ids, state, status, times, seconds, reason and link of the run, as plain JSON. The
    run's id is in the XCom ``run_id`` as soon as it has started, for the sensors.

    A run that fails or is cancelled fails the task, with Qlik's own reason.
    """

    kind: ClassVar[str]
    resource_argument: ClassVar[str]

    template_fields: Sequence[str] = ("qlik_conn_id",)
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
        self._run: Run | None = None

    @property
    def resource_id(self) -> str:
        """The id of what is run. Raises InvalidArgument that names the argument."""
        return checked_id(self.resource_argument, getattr(self, self.resource_argument))

    def execute(self, context: Context) -> dict[str, Any]:
        """Starts the run; waits here, or defers."""
        from airflow_provider_qlik.cloud import InvalidArgument, QlikCloudError
        from airflow_provider_qlik.cloud.retry import ONE_TRY
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import KINDS, Wanted, Watch

        kind = KINDS[self.kind]
        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                self._run = run = self._start(hook, marker(context))
                link = hook.get_conn().tenant.url + kind.page(run)
                self.log.info("Started: %s. %s", run, link)
                context["ti"].xcom_push(key="run_id", value=run.id)
                if not self.wait_for_completion:
                    return {**run.to_json(), "link": link}
                deadline = deadline_in(self.timeout, self.execution_timeout)
                if self.deferrable:
                    self._defer(run, deadline)
                watch = Watch(kind, Wanted.of(run), self.log.log, deadline=deadline)
                ended = hook.run_flow(watch.until_end(self.poll_interval), ONE_TRY)
            except (QlikCloudError, InvalidArgument) as error:
                self._give_up(hook, self._run, error)
            return self._tell(hook, ended)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

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

    def _start(self, hook: QlikCloudHook, mark: str) -> Run:
        from airflow_provider_qlik.runs import KINDS, Search

        kind, resource_id = KINDS[self.kind], self.resource_id
        intent = hook.run_flow(kind.intend(resource_id, mark))
        self.log.info("Starting %s %s, marked %s", kind.name, resource_id, mark)
        return hook.run_flow(kind.start(intent, Search(give_up=self.find_timeout), self.log.log))

    def _defer(self, run: Run, deadline: datetime | None) -> NoReturn:
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=run.resource_id,
                run_id=run.id,
                alone_since=as_text(run.alone_since),
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
        self._run = None
        result = explained(hook, run, self.log.log)
        if not result.succeeded:
            raise AirflowException(f"{result.message}. {result.link}")
        self.log.info("%s. %s", result.message, result.link)
        return result.to_json()

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

        try:
            asked = hook.run_flow(KINDS[run.kind].cancel(run), Patience(tries=2, budget=4.0))
        except QlikCloudError as error:
            self.log.error("%s could not be cancelled and may still be going on: %s", run, error)
        else:
            self.log.info("Asked Qlik Cloud to stop %s", asked)


def marker(context: Context) -> str:
    """What a start of this task is marked with: the same for its retries, another after a clear."""
    task_instance = context["ti"]
    names = ("dag_id", "run_id", "task_id", "map_index", "max_tries")
    identity = "\n".join(str(getattr(task_instance, name, "")) for name in names)
    # Short and plain: nobody knows which characters and lengths Qlik takes here.
    return "airflow-" + hashlib.sha256(identity.encode()).hexdigest()[:16]
