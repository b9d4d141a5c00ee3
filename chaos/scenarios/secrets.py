"""Tokens are revoked and the secret is rotated while tasks wait; the connection is kept in Airflow's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.crowd import POLLED_WITHIN, asked_to_stop, counted, fill, log_texts, runs_of
from chaos.plan import DEFERRED, HELD
from chaos.scene import DagRun, Scene

EVERYONE = [*DEFERRED, *HELD]
LATER = 36_000
CONNECTION = "chaos_secrets"


def act(scene: Scene) -> None:
    """The waits of both modes go on, and end rightly."""
    with scene.tenant(CONNECTION, login="", extra={}) as tenant:
        fill(tenant, EVERYONE, Script(run=LATER))
        first = tenant.client_secret
        scene.airflow.change(
            CONNECTION, login=tenant.client_id, password=first, extra={"auth_type": "client_credentials"}
        )
        with scene.triggerer("triggerer-secrets", "secrets"):
            run = scene.start("chaos_secrets")
            scene.until("all wait", lambda: run.waits(DEFERRED) and all("Started: " in run.log(one) for one in HELD))
            scene.pause(10)
            scene.done = "All tokens are revoked; the secret holds"
            tenant.revoke_tokens()
            tenant.clear_request_log()
            look_at_the_waits(scene, tenant, run)
            scene.done = "The secret is rotated, the connection in Airflow gets the new one, all tokens are revoked"
            second = tenant.rotate("client_secret")
            scene.airflow.change(CONNECTION, password=second)
            tenant.revoke_tokens()
            tenant.clear_request_log()
            look_at_the_waits(scene, tenant, run)
            tenant.advance(LATER)
            scene.wait(lambda: run.ended(), 120)
        runs = runs_of(tenant, EVERYONE)
        scene.done = "Both"
        scene.expect("tasks of Airflow in the end", f"{len(EVERYONE)} success", run.tally())
        scene.expect("runs of each in the tenant", f"{len(EVERYONE)} with 1", counted(runs))
        scene.expect("runs asked to stop", 0, asked_to_stop(runs))
        secrets = [tenant.api_key, first, second]
        scene.expect("log files of Airflow with a secret in them", 0, files_with(scene.airflow.home, secrets))


def look_at_the_waits(scene: Scene, tenant: Tenant, run: DagRun) -> None:
    """Whether the tokens were refused, and the tenant then answers about all runs, in both modes."""
    scene.wait(lambda: len(log_texts(tenant, EVERYONE)) == len(EVERYONE), POLLED_WITHIN)
    refused = sum(entry.status == 401 for entry in tenant.request_log())
    scene.expect("requests refused with 401", "some", refused, refused > 0)
    scene.expect("runs that the tenant tells about after that", len(EVERYONE), len(log_texts(tenant, EVERYONE)))
    states = f"{len(DEFERRED)} deferred, {len(HELD)} running"
    scene.expect("tasks of Airflow", states, run.tally())


def files_with(home: Path, secrets: Sequence[str]) -> int:
    """How many of all log files below the folder hold one of the secrets."""
    return sum(any(secret.encode() in path.read_bytes() for secret in secrets) for path in home.rglob("*.log*"))
