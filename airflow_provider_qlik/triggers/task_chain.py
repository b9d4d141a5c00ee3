"""The trigger that waits for the run of a task and for its chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik.triggers.cancellation import RunCancellation
from airflow_provider_qlik.triggers.run import ARGUMENTS, QlikRunTrigger
from airflow_provider_qlik.validation import checked_seconds

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
    from airflow_provider_qlik.runs import MatchTimeouts, Run

CANCEL_TIME = 60.0
"""Seconds for which a cancelled chain is watched for runs that Qlik Cloud still starts."""


class ChainCancellation(RunCancellation):
    """The cancellation of a trigger's run and of the active runs of its chain."""

    async def _send_cancel(self, hook: QlikCloudHook, run_id: str, cleared: bool) -> None:
        from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
        from airflow_provider_qlik.runs import Run, RunState
        from airflow_provider_qlik.runs.chain_cancelling import cancel_chain
        from airflow_provider_qlik.triggers.cancellation import MAX_ATTEMPTS, MAX_PAUSES

        trigger = self._trigger
        try:
            await super()._send_cancel(hook, run_id, cleared)
        finally:
            run = Run(
                kind=trigger.kind,
                resource_id=trigger.resource_id,
                id=run_id,
                state=RunState.ACTIVE,
                status=trigger.status or "",
            )
            retry_policy = RetryPolicy(max_attempts=MAX_ATTEMPTS, max_total_wait=MAX_PAUSES, high_priority=True)
            timeouts = trigger.timeouts() if isinstance(trigger, QlikTaskChainTrigger) else None
            if timeouts is not None:
                await hook.arun_flow(cancel_chain(run, timeouts, self._log.write, CANCEL_TIME), retry_policy)


class QlikTaskChainTrigger(QlikRunTrigger):
    """Wait for the run of a task, then for its chain, and fire once: when the chain has ended, or cannot be followed.

    Its state is the run of the first task: a triggerer that is restarted finds the runs of the chain again.

    :param match_timeout: seconds within which a run that Qlik Cloud starts in the chain must show up.
    :param settle_time: seconds for which a run must be the only candidate, where only its time identifies it.

    All other arguments are those of `QlikRunTrigger`. `cancel_on_kill` applies to the runs of the chain as well.
    """

    argument_names: ClassVar[tuple[str, ...]] = (*ARGUMENTS, "match_timeout", "settle_time")
    cancellation_type: ClassVar[type[RunCancellation]] = ChainCancellation

    def __init__(self, *, match_timeout: float = 300.0, settle_time: float = 20.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.match_timeout = checked_seconds("match_timeout", match_timeout)
        self.settle_time = checked_seconds("settle_time", settle_time)

    def timeouts(self) -> MatchTimeouts:
        """Return how long the runs of the chain are searched for."""
        from airflow_provider_qlik.runs import MatchTimeouts

        return MatchTimeouts.of(self.match_timeout, self.settle_time)

    async def _follow(self, hook: QlikCloudHook, run: Run) -> RunEvent:
        """Follow the chain of the ended run, and return the event: with its links, and the error if there is one."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
        from airflow_provider_qlik.runs.task_chain import ChainWait

        wait = ChainWait(
            run,
            self.timeouts(),
            self.log_writer.write,
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval or self.poll_interval,
            deadline=self._deadline(),
        )
        try:
            return RunEvent(run, chain=await self._run_until_deadline(hook, wait.until_end(), wait.timed_out))
        except (QlikCloudError, InvalidArgumentError) as error:
            return RunEvent(run, str(error), type(error).__name__, chain=wait.chain)
