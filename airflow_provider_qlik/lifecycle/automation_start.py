"""The start of an automation that nobody waits for, such as by a notifier.

The start has a time limit, since a callback of a Dag runs in a process that Airflow ends after a time, and it may be
ended at any step. What the user is told depends on the step: before the POST nothing was started, after it the
automation may run. So `AutomationStart` keeps track of that.

Not imported when a Dag file is parsed: it imports `cloud/` and `runs/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import NoResponseError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, FlowDriver
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.runs import STARTABLE_ADAPTERS, Run, lookup
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.errors import NotStartedError, before_start
from airflow_provider_qlik.runs.starting import start_only

MAX_ATTEMPTS = 3
"""Attempts of one request, where it may be repeated."""


class AutomationStart:
    """Start an automation once, by its id or name, without waiting for its run.

    :param automation_id: the automation; None if its name is given.
    :param automation_name: its name.
    :param space_name: the space of the automation, beside its name.
    :param inputs: the values of its input blocks, as plain JSON; None starts it without inputs.
    :param timeout: seconds for all requests together.
    """

    def __init__(
        self,
        *,
        automation_id: str | None,
        automation_name: str | None,
        space_name: str | None,
        inputs: Mapping[str, Any] | None,
        timeout: float,
    ) -> None:
        self.automation_id = automation_id
        self._name = automation_name
        self._space_name = space_name
        self._parameters = {} if inputs is None else {"inputs": inputs}
        self._timeout = timeout
        self._sent = False

    @property
    def retry_policy(self) -> RetryPolicy:
        """The attempts and pauses of each request, so that all of them fit into the time limit."""
        return RetryPolicy(max_attempts=MAX_ATTEMPTS, max_total_wait=self._timeout / 2, high_priority=True)

    def flow(self, write_log: LogCallback) -> Flow[Run | None]:
        """Start the automation. Return its run, or None if the response does not contain it, as with inputs.

        Raises QlikCloudError, and InvalidArgumentError for a name that no automation or several have.
        """
        if self.automation_id is None:
            self.automation_id = yield from before_start(lookup.automation_id(str(self._name), self._space_name))
        adapter = STARTABLE_ADAPTERS["automation"]
        driver = FlowDriver(start_only(adapter, self.automation_id, write_log, self._parameters))
        for step in driver:
            with driver:
                starts = isinstance(step, Call) and not step.repeatable
                self._sent = self._sent or starts
                try:
                    driver.response = yield step
                except QlikCloudError as error:
                    if starts and not error.outcome_unknown:
                        self._sent = False
                    raise
        return driver.result

    def timed_out(self) -> QlikCloudError:
        """Return the error of a start that was interrupted at the time limit."""
        text = f"Qlik Cloud has not answered within {self._timeout:g} s"
        return NoResponseError(text) if self._sent else NotStartedError(text)
