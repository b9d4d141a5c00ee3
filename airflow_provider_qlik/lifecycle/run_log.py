"""The complete log of a run as a file in Airflow's object storage. Not imported when a Dag file is parsed.

The log in the task's log is bounded (`runs.outcome`), and read into memory. The file is streamed: no more than a part
of it is ever in memory, and it gets its name when it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qlik.cloud.errors import NotFoundError
from airflow_provider_qlik.cloud.transport.download import LOG_IN_JSON, Sink
from airflow_provider_qlik.cloud.transport.log_body import LogText
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.lifecycle.file_names import FIELDS, FileNames
from airflow_provider_qlik.lifecycle.object_storage import Folder
from airflow_provider_qlik.runs import ADAPTERS
from airflow_provider_qlik.runs.capabilities import HasLogFile

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Run

MAX_ATTEMPTS = 3
"""Attempts to read a log that is not there: no document says how soon after the end of a run it is."""
MISSING_PAUSE = 2.0
"""Seconds between two of these attempts."""


def save_log(hook: QlikCloudHook, run: Run, folder: Folder, retry_policy: RetryPolicy | None = None) -> str:
    """Save the log of an ended run as ``<kind>-<run id>.log``, and return its path. A file of that name is replaced.

    Raises QlikCloudError, or AirflowException for an error of the storage.
    """
    adapter = ADAPTERS[run.kind]
    assert isinstance(adapter, HasLogFile), run.kind
    name = FileNames("{task}-{run}.log").make({**FIELDS, "task": run.kind, "run": run.id})
    in_json = adapter.log_file_type == LOG_IN_JSON
    write_to = partial(_writing, folder, name, (run.log or "") if in_json else None)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            hook.get_conn().download(adapter.log_file(run), write_to, retry_policy, file_type=adapter.log_file_type)
            break
        except NotFoundError:
            if attempt == MAX_ATTEMPTS:
                raise
        time.sleep(MISSING_PAUSE)
    return str(folder.path / name)


@contextmanager
def _writing(folder: Folder, name: str, fallback: str | None) -> Iterator[Sink]:
    """Open the file of a log. With a *fallback*, the log may be a member of a JSON object, and be missing there."""
    with folder.writing(name) as file:
        if fallback is None:
            yield file
            return
        text = LogText(file, fallback)
        yield text
        text.finish()
