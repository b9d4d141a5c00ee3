"""The base class of the operators whose runs have a log that can be saved."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.failures import message
from airflow_provider_qlik.lifecycle.resources import literal
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.lifecycle.xcom import push
from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.validation import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.lifecycle import RunLifecycle
    from airflow_provider_qlik.runs import Outcome

LOG_PATH = "log_path"
"""The XCom, and the member of the return value, that holds the path of the saved log."""


class QlikLoggedRunOperator(QlikRunOperator):
    """Start a run that has a log, and save that log completely. Use one of the subclasses.

    :param log_to: a folder for the complete log of the run, also of one that failed: a path, or an address that
        Airflow's object storage knows, such as ``s3://connection@bucket/logs/{{ ds }}``; ``~`` is the home folder of
        the worker's user. The file is ``<kind>-<run id>.log``; its path is in the return value as ``log_path``, in the
        XCom ``log_path``, and in the message of a failure. Without it only the end of the log is in the task's log.

    If the log of a run that succeeded cannot be saved, the task fails. That of a run that failed does not hide why.
    """

    template_fields: Sequence[str] = ("log_to", *QlikRunOperator.template_fields)

    def __init__(self, *, log_to: str | PathLike[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log_to = log_to
        self._task_context: Context | None = None
        if log_to is not None and not self.wait_for_completion:
            reason = "a run has a log when it has ended: leave it out, or set wait_for_completion to True"
            raise InvalidArgumentError("log_to", None, reason)
        if literal(log_to) and not str(log_to).strip():
            raise InvalidArgumentError("log_to", None, "the path is empty. Give the path or address of a folder")

    def prepare(self, hook: QlikCloudHook) -> None:
        """Check that the log can be written."""
        super().prepare(hook)
        if self.log_to is not None:
            from airflow_provider_qlik.lifecycle.object_storage import Folder

            Folder("log_to", str(self.log_to)).check_writable()

    def collect(self, hook: QlikCloudHook, outcome: Outcome) -> Mapping[str, Any]:
        """Save the log of the run. Return its path as ``log_path``."""
        path = self._save_log(hook, outcome)
        return {**super().collect(hook, outcome), **({} if path is None else {LOG_PATH: path})}

    def after_failure(self, hook: QlikCloudHook, outcome: Outcome) -> str:
        """Save the log of a run that fails the task. Return where it is, or why it could not be saved."""
        from airflow_provider_qlik.cloud.transport.retry import RetryPolicy

        try:
            path = self._save_log(hook, outcome, RetryPolicy(max_attempts=3, max_total_wait=30.0))
        except Exception as error:  # of Qlik Cloud or of the storage: the reason of the run counts
            text = f"The log of the run could not be saved: {message(error)}"
            write(self.log, logging.WARNING, text)
            return f". {text}".rstrip(".")
        return "" if path is None else f". Its complete log: {path}"

    def _new_lifecycle(self, hook: QlikCloudHook, context: Context) -> RunLifecycle:
        self._task_context = context
        return super()._new_lifecycle(hook, context)

    def _save_log(self, hook: QlikCloudHook, outcome: Outcome, retry_policy: RetryPolicy | None = None) -> str | None:
        if self.log_to is None:
            return None
        from airflow_provider_qlik.lifecycle.object_storage import Folder
        from airflow_provider_qlik.lifecycle.run_log import save_log

        path = save_log(hook, outcome.run, Folder("log_to", str(self.log_to)), retry_policy)
        write(self.log, logging.INFO, f"Saved the complete log of {outcome.run.kind} run {outcome.run.id}: {path}")
        if self._task_context is not None:
            push(self._task_context, LOG_PATH, path)
        return path
