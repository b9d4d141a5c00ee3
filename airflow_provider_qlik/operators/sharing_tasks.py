"""Runs of Qlik Cloud's sharing tasks: reports and subscriptions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.file_names import FILE_NAME, FileNames, checked_pattern
from airflow_provider_qlik.lifecycle.resources import SharingTaskArguments
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.validation import checked_text, checked_word

if TYPE_CHECKING:
    from airflow_provider_qlik.cloud.models.sharing_executions import SharingExecutionFile, SharingTaskExecution
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Outcome

FAIL_ON = ("any", "all", "never")
ENDINGS = {"image": "png"}


def why_failed(outcome: Outcome, fail_on: str) -> str | None:
    """Return why a run fails the Airflow task, by the outcome of its executions; None if it does not."""
    counts = dict(outcome.run.counts or {})
    succeeded = counts.get("succeeded", 0)
    total = sum(counts.values())
    fails = {"any": succeeded < total, "all": succeeded == 0, "never": False}[fail_on]
    how = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"{outcome.failure} (of {total} executions: {how})" if fails else None


class QlikRunSharingTaskOperator(SharingTaskArguments, QlikRunOperator):
    """Run a sharing task: make its reports, one execution for each recipient, and wait for all of them.

    :param sharing_task_id: the id of the sharing task.
    :param sharing_task_name: its name instead.
    :param app_id: the app of the sharing task, beside its name.
    :param app_name: the name of that app instead.
    :param space_name: the space of that app, beside its name.
    :param fail_on: fail the task if ``any`` execution fails or is cancelled, only if ``all`` do, or ``never``.
    :param download_to: a folder for the files of the run: a path, or an address that Airflow's object storage knows,
        such as ``s3://connection@bucket/reports``; ``~`` is the home folder of the worker's user. Without it no file is
        downloaded.
    :param file_name: how the files are named: a pattern with ``{task}``, ``{recipient}``, ``{execution}``, ``{alias}``,
        ``{number}`` (from 1, for the run), ``{type}`` (the ending) and ``{run}``. Long names are shortened, the second
        of two equal names gets its number, and a file that is there already is replaced.

    All other parameters are those of `QlikRunOperator`. The return value also has the counts of executions by state
    (``counts``), their ids (``parts``) and the paths of the files (``files``).
    """

    template_fields: Sequence[str] = (
        *SharingTaskArguments.arguments(),
        "download_to",
        "file_name",
        *QlikRunOperator.template_fields,
    )

    def __init__(
        self,
        *,
        sharing_task_id: str | None = None,
        sharing_task_name: str | None = None,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        fail_on: str = "any",
        download_to: str | None = None,
        file_name: str = FILE_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sharing_task_id = sharing_task_id
        self.sharing_task_name = sharing_task_name
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.fail_on = checked_word("fail_on", fail_on, FAIL_ON)
        self.download_to = download_to
        self.file_name = file_name
        self.check_resource()
        if isinstance(file_name, str) and "{{" not in file_name:
            checked_pattern(file_name)

    def read_resource(self) -> None:
        """Replace the rendered arguments by the texts that they stand for, `download_to` and `file_name` included."""
        for name in ("download_to", "file_name"):
            value = getattr(self, name)
            # A path of `pathlib` or of Airflow's object storage is as good as a text.
            if isinstance(value, int | float):
                setattr(self, name, checked_text(name, value, "a text, or a whole number that stands for its digits"))
        super().read_resource()

    def prepare(self, hook: QlikCloudHook) -> None:
        """Check that the files can be written."""
        checked_pattern(self.file_name)
        if self.download_to is not None:
            from airflow_provider_qlik.lifecycle.object_storage import Folder

            Folder("download_to", str(self.download_to)).check_writable()

    def verdict(self, outcome: Outcome) -> str | None:
        """Return why the run fails the task according to `fail_on`, or None."""
        return why_failed(outcome, self.fail_on)

    def collect(self, hook: QlikCloudHook, outcome: Outcome) -> Mapping[str, Any]:
        """Download the files of the run. Return their paths as ``files``."""
        if self.download_to is None:
            return {"files": []}
        from airflow_provider_qlik.cloud.api import sharing_tasks
        from airflow_provider_qlik.lifecycle.object_storage import Folder

        folder = Folder("download_to", str(self.download_to))
        paths: list[str] = []
        for execution_id, file, name in self._files(hook, outcome):
            call = sharing_tasks.execution_file(outcome.run.resource_id, execution_id, str(file.file_alias))
            hook.get_conn().download(call, partial(folder.writing, name), file_type=file.type)
            paths.append(str(folder.path / name))
            write(self.log, logging.INFO, f"Downloaded a file of execution {execution_id}: {paths[-1]}")
        return {"files": paths}

    def _files(self, hook: QlikCloudHook, outcome: Outcome) -> Iterator[tuple[str, SharingExecutionFile, str]]:
        """Yield the execution, the file and the name of each file of the run, each file once."""
        from airflow_provider_qlik.cloud.api import sharing_tasks

        task_id, names = outcome.run.resource_id, FileNames(self.file_name)
        task_name = hook.call(sharing_tasks.get(task_id)).name or task_id
        # An execution that is on two pages of the list is one execution.
        executions = [hook.call(sharing_tasks.execution(task_id, part)) for part in dict.fromkeys(outcome.run.parts)]
        number = 0
        for execution in sorted(executions, key=lambda execution: (_recipient(execution), execution.id)):
            aliases: set[str | None] = set()
            for file in execution.files or ():
                if not file.file_alias:
                    text = f"A file has no alias and cannot be downloaded. Execution {execution.id}"
                    write(self.log, logging.WARNING, text)
                if not file.file_alias or file.file_alias in aliases:
                    continue
                aliases.add(file.file_alias)
                number += 1
                fields = {
                    "task": task_name,
                    "recipient": _recipient(execution),
                    "execution": execution.id,
                    "alias": file.file_alias,
                    "number": number,
                    "type": ENDINGS.get(file.type or "", file.type or "bin"),
                    "run": outcome.run.id,
                }
                yield execution.id, file, names.make(fields)


def _recipient(execution: SharingTaskExecution) -> str:
    """Return the recipient of an execution: the user's name or id."""
    user = execution.target_user
    return (user and user.value) or execution.owner_id or ""
