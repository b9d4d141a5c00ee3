"""Puts deferred tasks into Airflow's database, without running any: `python -m chaos.deferred < waits.json`.

It reads the mapped Dag, the path of a trigger, its queue and the arguments of each wait as JSON, and prints the id of
the Dag run and how many tasks wait then. It uses what Airflow itself uses when a task defers; a worker for each of a
thousand would take a quarter of an hour. The Dag must be paused where a scheduler is at work.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def main() -> None:
    """Read the waits, and defer a task for each."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    arguments = json.load(sys.stdin)
    run = trigger_dag(dag_id=arguments["dag_id"], triggered_by=DagRunTriggeredByType.CLI, run_id="deferred")
    assert run is not None
    now = datetime.now(UTC)
    with create_session() as session:
        instances = session.scalars(
            select(TaskInstance)
            .where(TaskInstance.dag_id == arguments["dag_id"], TaskInstance.run_id == run.run_id)
            .order_by(TaskInstance.map_index)
        ).all()
        waits = arguments["waits"]
        if len(instances) < len(waits):
            raise SystemExit(f"{len(instances)} tasks are there for {len(waits)} waits")
        for instance, kwargs in zip(instances, waits, strict=False):
            trigger = Trigger(classpath=arguments["trigger"], kwargs=kwargs, queue=arguments.get("queue"))
            session.add(trigger)
            session.flush()
            instance.trigger_id = trigger.id
            instance.state = TaskInstanceState.DEFERRED
            instance.next_method = "execute_complete"
            instance.next_kwargs = {}
            instance.start_date = now
            instance.try_number = 1
            instance.dag_run.state = DagRunState.RUNNING
    print(run.run_id, len(waits))


if __name__ == "__main__":
    main()
