"""Use the hook in tasks of one's own, to list what no operator lists. Its calls are those of `cloud.api`.

Required permissions: to see the automations and tasks that are listed.
"""

from __future__ import annotations

from datetime import datetime

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import DAG, task

HAS_ASYNC_TASKS = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 2)


@task
def disabled_automations() -> list[str]:
    """Return the names of the automations that cannot run."""
    # Imported here: a Dag file is parsed again and again.
    from airflow_provider_qlik.cloud.api import automations
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

    with QlikCloudHook() as hook:
        found = hook.iterate(automations.list(limit=200))
        return [str(automation.name) for automation in found if automation.state == "disabled"]


with DAG(dag_id="qlik_hook_in_task", schedule=None, start_date=datetime(2026, 1, 1), tags=["qlik"]) as dag:
    disabled = disabled_automations()

    if HAS_ASYNC_TASKS:

        @task
        async def last_runs(task_ids: list[str]) -> dict[str, str]:
            """Return the status of the last run of each task, requested at the same time."""
            import asyncio

            from airflow_provider_qlik.cloud.api import tasks
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

            async with QlikCloudHook() as hook:
                runs = await asyncio.gather(*(hook.acall(tasks.last_run(task_id)) for task_id in task_ids))
            return {task_id: str(run.status) for task_id, run in zip(task_ids, runs, strict=True)}

        last_runs(["demo-task", "demo-nightly"])
