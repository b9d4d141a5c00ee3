"""What all sensors share that wait for a run: written once against `RunKind`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_qlik.arguments import InvalidArgument, checked_id, checked_moment
from airflow_provider_qlik.compat import give_retry_policy
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.links import LINK_KEY, QlikRunLink
from airflow_provider_qlik.targets import Target, literal
from airflow_provider_qlik.triggers.runs import QlikRunTrigger
from airflow_provider_qlik.waiting import (
    as_text,
    deadline_in,
    explained,
    fail,
    name_map_index,
    read_event,
    safety_net,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Outcome, Run, Wanted, Watch


class QlikRunSensor(Target, BaseSensorOperator):
    """Waits for a run of Qlik Cloud that somebody else started, and starts and cancels nothing. Use a subclass.

    :param run_id: the run to wait for.
    :param started_after: the first run begun at or after this moment (a datetime, or ISO 8601 text; without a zone it
        is UTC), for what Qlik itself schedules. With neither this nor run_id it waits for the last run there is.
    :param qlik_conn_id: the Airflow connection.
    :param deferrable: wait in the triggerer and hold no worker; Airflow's ``[operators] default_deferrable`` decides
        where it is not given.

    `poke_interval`, `timeout` (seconds), `mode`, `soft_fail` and the others are Airflow's own. With
    `exponential_backoff` and `max_wait` the interval of a deferred wait grows with the age of the run, up to that.

    A run that failed or was cancelled fails the task for good, with Qlik's own reason (with `soft_fail` it is skipped).
    What it returns (XCom) is what the operators return.
    """

    template_fields: Sequence[str] = ("run_id", "started_after", "qlik_conn_id")
    operator_extra_links = (QlikRunLink(),)
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
            raise InvalidArgument("started_after", started_after, "give run_id or started_after, not both")
        if literal(run_id):
            checked_id("run_id", run_id)
        self.run_id = run_id
        self.started_after = started_after
        self.qlik_conn_id = qlik_conn_id
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.link: str | None = None
        self._watch: Watch | None = None

    def verdict(self, result: Outcome) -> str | None:
        """Why an ended run fails the task, or None if it does not."""
        return None if result.succeeded else result.message

    def wanted(self, hook: QlikCloudHook) -> Wanted:
        """The run that is meant. Raises InvalidArgument that names the argument."""
        from airflow_provider_qlik.runs import Wanted

        after = self.started_after
        run_id = None if self.run_id is None else checked_id("run_id", self.run_id)
        started_after = None if after is None else checked_moment("started_after", after)
        return Wanted(resource_id=self.find_target(hook), run_id=run_id, started_after=started_after)

    def execute(self, context: Context) -> Any:  # noqa: RET503 (defer() does not return)
        """Waits here by poking, or defers."""
        name_map_index(context, self.target_label)
        if not self.deferrable:
            return super().execute(context)
        try:
            wanted = self._find_wanted()
        except AirflowFailException as error:
            # As Airflow does it for a sensor that pokes.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        deadline = deadline_in(self.timeout, self.execution_timeout)
        self.defer(
            trigger=QlikRunTrigger(
                kind=self.kind,
                resource_id=wanted.resource_id,
                run_id=wanted.run_id,
                started_after=as_text(wanted.started_after),
                poll_interval=max(self.poke_interval, 0.1),
                longest_poll_interval=(
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
        from airflow_provider_qlik.cloud import InvalidArgument, QlikCloudError
        from airflow_provider_qlik.cloud.retry import ONE_TRY
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import KINDS, Watch

        # Kept from poke to poke, so that it says changes only and sticks to the run it has seen.
        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                self._watch = self._watch or Watch(KINDS[self.kind], self.wanted(hook), self.log.log)
                run = hook.run_flow(self._watch.look(), ONE_TRY)
            except (QlikCloudError, InvalidArgument) as error:
                if self._watch is None and isinstance(error, QlikCloudError) and error.transient:
                    # A name could not be looked up just now.
                    self.log.warning("%s. Asking again at the next poke", error)
                    return PokeReturnValue(False)
                fail(error)
            return PokeReturnValue(run is not None, self._tell(hook, run, context) if run else None)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tells how the run ended, when the trigger has fired."""
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.runs import WaitTimedOut

        name_map_index(context, self.target_label)
        waited = read_event(event)
        if waited.run is None or waited.error is not None:
            error = waited.exception()
            if isinstance(error, WaitTimedOut):
                raise AirflowSensorTimeout(str(error))
            fail(error)
        with QlikCloudHook(self.qlik_conn_id) as hook:
            return self._tell(hook, waited.run, context)

    def _find_wanted(self) -> Wanted:
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                return self.wanted(hook)
            except (QlikCloudError, InvalidArgument) as error:
                fail(error)

    def _tell(self, hook: QlikCloudHook, run: Run, context: Context) -> dict[str, Any]:
        result = explained(hook, run, self.log.log)
        self.link = result.link
        context["ti"].xcom_push(key=LINK_KEY, value=self.link)
        if why := self.verdict(result):
            raise AirflowFailException(f"{why}. {result.link}")
        self.log.info("%s. %s", result.message, result.link)
        return result.to_json()
