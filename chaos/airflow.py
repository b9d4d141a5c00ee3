"""A real Airflow: its services, and what a user can do through its REST API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import httpx

from chaos import features
from chaos.services import Services

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
"""The terminal states of a task instance."""


class Airflow(Services):
    """The services of an Airflow, with the actions of a user through its REST API and database."""

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the response of the REST API. Raises httpx.HTTPError."""
        assert self._api is not None, "Airflow has not been started"
        response = self._api.request(method, path, json=body, params=query)
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {response.status_code} {response.text[:500]}",
                request=response.request,
                response=response,
            )
        return response.json() if response.content else None

    def knows(self, dag_id: str) -> bool:
        """Return True if a Dag has been parsed."""
        try:
            self.ask("GET", f"/dags/{dag_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return False
            raise
        return True

    def connect(self, connection_id: str, **members: Any) -> None:
        """Add a Qlik Cloud connection to the metadata database."""
        body = {"connection_id": connection_id, "conn_type": "qlik_cloud", **members}
        body["extra"] = json.dumps(body.get("extra", {}))
        self.ask("POST", "/connections", body)

    def change(self, connection_id: str, **members: Any) -> None:
        """Change some members of a connection."""
        changes = {**members, **({"extra": json.dumps(members["extra"])} if "extra" in members else {})}
        body = {"connection_id": connection_id, "conn_type": "qlik_cloud", **changes}
        self.ask(
            "PATCH",
            f"/connections/{connection_id}",
            body,
            update_mask=list(members) if features.API_SERVER else ",".join(members),
        )

    def run(self, dag_id: str) -> str:
        """Start a run of a Dag, and return its id."""
        body = {"logical_date": None} if features.API_SERVER else {}
        return str(self.ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def instances(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        """Return the task instances of a run, as the REST API shows them."""
        response = self.ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)
        return list(response["task_instances"])

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task instance, as a user does."""
        body = {"new_state": state, **({} if features.API_SERVER else {"dry_run": False})}
        self.ask("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", body)

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a whole Dag run, as a user does."""
        self.ask("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str]) -> None:
        """Clear task instances, as a user does."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self.ask("POST", f"/dags/{dag_id}/clearTaskInstances", {**body, "reset_dag_runs": True})

    def triggerers(self) -> int:
        """Return how many triggerers have ever sent a heartbeat."""
        return self._count("select count(*) from job where job_type = 'TriggererJob'")

    def triggerers_alive(self) -> int:
        """Return how many triggerers have a recent heartbeat."""
        return self._count(
            "select count(*) from job where job_type = 'TriggererJob' and state = 'running'"
            " and latest_heartbeat > now() - interval '30 seconds'"
        )

    def _count(self, query: str) -> int:
        """Return the single number that a query gives. The REST API of Airflow 2 does not show jobs."""
        import psycopg2

        with closing(psycopg2.connect(self._database)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0])

    def log_of(self, dag_id: str, run_id: str, task_id: str, names: str) -> str:
        """Return the contents of those log files of a task whose names match a pattern."""
        folder = self.logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob(names)) if path.is_file())
