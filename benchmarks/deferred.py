"""Puts deferred tasks into Airflow's database, without running any: `python -m benchmarks.deferred < waits.json`.

It reads the path of a trigger and the arguments of each wait as JSON, and says how many tasks wait then. It uses what
Airflow itself uses when a task defers; a worker for each would take a quarter of an hour.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def main() -> None:
    """Does that."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    told = json.load(sys.stdin)
    run = trigger_dag(dag_id="waits", triggered_by=DagRunTriggeredByType.CLI, run_id="measured")
    assert run is not None
    now = datetime.now(UTC)
    with create_session() as session:
        instances = session.scalars(
            select(TaskInstance).where(TaskInstance.dag_id == "waits").order_by(TaskInstance.map_index)
        ).all()
        waits = told["waits"]
        if len(instances) < len(waits):
            raise SystemExit(f"{len(instances)} tasks are there for {len(waits)} waits")
        for instance, arguments in zip(instances, waits, strict=False):
            trigger = Trigger(classpath=told["trigger"], kwargs=arguments)
            session.add(trigger)
            session.flush()
            instance.trigger_id = trigger.id
            instance.state = TaskInstanceState.DEFERRED
            instance.next_method = "execute_complete"
            instance.next_kwargs = {}
            instance.start_date = now
            instance.try_number = 1
    print(len(waits))


if __name__ == "__main__":
    main()
