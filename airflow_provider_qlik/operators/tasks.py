"""The operator that runs tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.deferral import deadline_in
from airflow_provider_qlik.lifecycle.resources import TaskArguments
from airflow_provider_qlik.operators.logged_run import QlikLoggedRunOperator
from airflow_provider_qlik.validation import InvalidArgumentError, checked_flag, checked_word

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.lifecycle import RunLifecycle
    from airflow_provider_qlik.lifecycle.start_request import StartRequest
    from airflow_provider_qlik.lifecycle.task_chain import TaskChainLifecycle
    from airflow_provider_qlik.runs import Outcome, Run
    from airflow_provider_qlik.triggers.run import QlikRunTrigger


class QlikRunTaskOperator(TaskArguments, QlikLoggedRunOperator):
    """Run a task of Qlik Cloud, such as one that reloads an app.

    :param qlik_task_id: the id of the task in Qlik Cloud (`task_id` is Airflow's own).
    :param qlik_task_name: its name instead, with its app.
    :param app_id: the app of the task, beside its name.
    :param app_name: the name of that app instead.
    :param space_name: the space of that app, beside its name.
    :param wait_for_chain: wait also for the tasks that Qlik Cloud starts when this one has ended, and for those that
        follow from them. The table of these runs is in the log, and in the return value as ``chain``. `timeout` covers
        the whole chain, and `cancel_on_kill` also cancels its active runs that are certainly part of it. A run of the
        chain must show up within `match_timeout`. Needs the Scheduling API of Qlik Cloud.
    :param fail_on_chain: fail if ``any`` link of the chain failed, or ``never``. A link has failed if its run failed or
        was cancelled, if no run showed up although its condition was met, or if it is not known which run it is. A task
        that is disabled, that the user may not see, or whose condition was not met is no failure.

    All other parameters are those of `QlikLoggedRunOperator` (`log_to`) and `QlikRunOperator`. The response to a start
    does not name its run: the run is recognised by the marker that the start carries.
    """

    template_fields: Sequence[str] = (*TaskArguments.arguments(), *QlikLoggedRunOperator.template_fields)

    def __init__(
        self,
        *,
        qlik_task_id: str | None = None,
        qlik_task_name: str | None = None,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        wait_for_chain: bool = False,
        fail_on_chain: str = "any",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.qlik_task_id = qlik_task_id
        self.qlik_task_name = qlik_task_name
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.wait_for_chain = checked_flag("wait_for_chain", wait_for_chain)
        self.fail_on_chain = checked_word("fail_on_chain", fail_on_chain, ("any", "never"))
        self.check_resource()
        if self.wait_for_chain and not self.wait_for_completion:
            raise InvalidArgumentError("wait_for_chain", None, "needs wait_for_completion=True")
        self._chain_failure: str | None = None
        self._chain_value: Mapping[str, Any] = {}
        self._event: Mapping[str, Any] | None = None

    def lifecycle_type(self) -> type[RunLifecycle]:
        """Return the class that starts, waits for and cancels the run, and its chain if that is waited for."""
        if not self.wait_for_chain:
            return super().lifecycle_type()
        from airflow_provider_qlik.lifecycle.task_chain import TaskChainLifecycle

        return TaskChainLifecycle

    def trigger(self, **arguments: Any) -> QlikRunTrigger:
        """Return the trigger that waits for the run, and for its chain if that is waited for."""
        if not self.wait_for_chain:
            return super().trigger(**arguments)
        from airflow_provider_qlik.triggers.task_chain import QlikTaskChainTrigger

        return QlikTaskChainTrigger(match_timeout=self.match_timeout, settle_time=self.settle_time, **arguments)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the outcome of the run and its chain when the trigger has fired, or fail the task."""
        self._event = event
        return super().execute_complete(context, event)

    def verdict(self, outcome: Outcome) -> str | None:
        """Return why an ended run, or its chain, fails the task; None if neither does."""
        return super().verdict(outcome) or self._chain_failure

    def collect(self, hook: QlikCloudHook, outcome: Outcome) -> Mapping[str, Any]:
        """Return the links of the chain, if that was waited for, and the path of the saved log."""
        return {**super().collect(hook, outcome), **self._chain_value}

    def _new_lifecycle(self, hook: QlikCloudHook, context: Context) -> RunLifecycle:
        lifecycle = super()._new_lifecycle(hook, context)
        if self.wait_for_chain:
            from airflow_provider_qlik.lifecycle.task_chain import TaskChainLifecycle, chain_of

            if isinstance(lifecycle, TaskChainLifecycle):
                lifecycle.chain = chain_of(self._event)
        return lifecycle

    def _start_request(self, hook: QlikCloudHook, context: Context) -> StartRequest:
        request = super()._start_request(hook, context)
        if self.wait_for_chain:
            from airflow_provider_qlik.lifecycle.task_chain import check_chain

            check_chain(hook, request.resource_id, self.log)
        return request

    def _finish(self, lifecycle: RunLifecycle, run: Run, context: Context) -> dict[str, Any]:
        """Return the outcome of an ended run with its chain, or fail the task with the reason of either."""
        if self.wait_for_chain:
            from airflow_provider_qlik.lifecycle.task_chain import TaskChainLifecycle

            if isinstance(lifecycle, TaskChainLifecycle):
                if lifecycle.chain is None:
                    self._follow_chain(lifecycle, run)
                self._chain_failure = lifecycle.finish_chain(self.fail_on_chain == "any")
                self._chain_value = lifecycle.chain_value()
        return super()._finish(lifecycle, run, context)

    def _follow_chain(self, lifecycle: TaskChainLifecycle, run: Run) -> None:
        """Wait for the chain on this worker, after an event of a trigger that waited for the run alone.

        Airflow keeps the trigger of a task whose Dag is changed while it is deferred.
        """
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError

        try:
            deadline = deadline_in(self.timeout, self.execution_timeout)
            lifecycle.follow(run, self.poll_interval, self.max_poll_interval, deadline)
        except (QlikCloudError, InvalidArgumentError) as error:
            lifecycle.fail(error, run)
