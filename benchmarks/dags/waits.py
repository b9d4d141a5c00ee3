"""Many tasks for the benchmark to put into the state of waiting; none of them is ever run."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk import DAG

MOST = 1000


class Waits(BaseOperator):
    """Is deferred from the start."""

    def __init__(self, *, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number


with DAG("waits", schedule=None) as dag:
    Waits.partial(task_id="waits").expand(number=list(range(MOST)))
