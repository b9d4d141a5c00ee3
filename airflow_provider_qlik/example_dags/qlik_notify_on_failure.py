"""Run an automation, such as one that sends a mail, when a task fails or the Dag is late.

The automation is in run mode "triggered" and has the input blocks ``what`` and ``why``.

Required permissions: to own the automation; "Can edit" in the shared space of the app.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.notifications.automation import QlikAutomationNotifier
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator

with DAG(dag_id="qlik_notify_on_failure", schedule=None, start_date=datetime(2026, 1, 1), tags=["qlik"]) as dag:
    QlikReloadAppOperator(
        task_id="sales",
        app_id="demo-app",
        poll_interval=1,
        on_failure_callback=QlikAutomationNotifier(
            automation_id="demo-mail", inputs={"what": "{{ ti.task_id }} has failed", "why": "{{ exception }}"}
        ),
    )

# A Dag of its own: `dag.test()` of Airflow 3.3.2 ends with an error in a Dag that has a deadline.
late: dict[str, Any] = {}
try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]
except ImportError:
    pass  # Airflow before 3.2
else:
    late["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=2),
        callback=AsyncCallback(
            QlikAutomationNotifier,
            kwargs={
                "automation_id": "demo-mail",
                "inputs": {"what": "{{ dag_run.dag_id }} is late", "why": "due at {{ deadline.deadline_time }}"},
            },
        ),
    )

with DAG(dag_id="qlik_notify_when_late", schedule=None, start_date=datetime(2026, 1, 1), tags=["qlik"], **late):
    QlikReloadAppOperator(task_id="sales", app_id="demo-app", poll_interval=1)
