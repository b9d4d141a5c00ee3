"""Tokens are revoked and the secret is rotated while tasks wait; the connection is kept in Airflow's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import POLLED_WITHIN, add_to_tenant, count_cancelled, count_reads, runs_of, tally_run_counts
from chaos.plan import DEFERRED, ON_WORKERS
from chaos.scene import DagRun, Scene

ALL_TASKS = [*DEFERRED, *ON_WORKERS]
LATER = 36_000
CONNECTION = "chaos_secrets"


def act(scene: Scene) -> None:
    """Check that the waits of both modes go on, and end in the right state."""
    with scene.tenant(CONNECTION, login="", extra={}) as tenant:
        add_to_tenant(tenant, ALL_TASKS, Script(run=LATER))
        first = tenant.client_secret
        scene.airflow.change(
            CONNECTION, login=tenant.client_id, password=first, extra={"auth_type": "client_credentials"}
        )
        with scene.triggerer("triggerer-secrets", "secrets"):
            run = scene.start("chaos_secrets")
            scene.until(
                "all wait", lambda: run.waits(DEFERRED) and all("Started: " in run.log(task) for task in ON_WORKERS)
            )
            scene.pause(10)
            scene.action = "All tokens are revoked; the secret is still valid"
            tenant.revoke_tokens()
            tenant.clear_request_log()
            check_waits(scene, tenant, run)
            scene.action = "The secret is rotated, Airflow's connection gets the new one, and all tokens are revoked"
            second = tenant.rotate("client_secret")
            scene.airflow.change(CONNECTION, password=second)
            tenant.revoke_tokens()
            tenant.clear_request_log()
            check_waits(scene, tenant, run)
            tenant.advance(LATER)
            scene.wait(lambda: run.ended(), 120)
        runs = runs_of(tenant, ALL_TASKS)
        scene.action = "Both"
        scene.expect("tasks of Airflow in the end", f"{len(ALL_TASKS)} success", run.tally())
        scene.expect("tasks by number of runs in the tenant", f"{len(ALL_TASKS)} with 1", tally_run_counts(runs))
        scene.expect("runs cancelled", 0, count_cancelled(runs))
        secrets = [tenant.api_key, first, second]
        scene.expect("log files of Airflow with a secret in them", 0, files_with(scene.airflow.home, secrets))


def check_waits(scene: Scene, tenant: Tenant, run: DagRun) -> None:
    """Check that the tokens were refused, and that all runs are polled again afterwards, in both modes."""
    scene.wait(lambda: len(count_reads(tenant, ALL_TASKS)) == len(ALL_TASKS), POLLED_WITHIN)
    refused = sum(entry.status == 401 for entry in tenant.request_log())
    scene.expect("requests refused with 401", "some", refused, refused > 0)
    scene.expect("runs polled successfully after that", len(ALL_TASKS), len(count_reads(tenant, ALL_TASKS)))
    states = f"{len(DEFERRED)} deferred, {len(ON_WORKERS)} running"
    scene.expect("tasks of Airflow", states, run.tally())


def files_with(home: Path, secrets: Sequence[str]) -> int:
    """Return how many of all log files below the folder hold one of the secrets."""
    return sum(any(secret.encode() in path.read_bytes() for secret in secrets) for path in home.rglob("*.log*"))
