"""Credentials that do not hold are saved in Airflow's connection while tasks wait; the old ones are still valid."""

from __future__ import annotations

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import (
    POLLED_WITHIN,
    PlannedTask,
    add_to_tenant,
    count_cancelled,
    count_reads,
    runs_of,
    tally_run_counts,
)
from chaos.plan import MISTYPED_DEFERRED, MISTYPED_MARKED, MISTYPED_ON_WORKERS, ROTATED_DEFERRED, ROTATED_ON_WORKERS
from chaos.scene import DagRun, Scene

WAITING = [*MISTYPED_DEFERRED, *MISTYPED_ON_WORKERS]
MISTYPED = [*WAITING, *MISTYPED_MARKED]
ROTATED = [*ROTATED_DEFERRED, *ROTATED_ON_WORKERS]
LATER = 36_000
HALF = 180.0
"""Seconds of each half of the time with a mistyped key."""
APART = 20.0
"""Seconds between the rotation of a secret in the tenant and in Airflow."""


def act(scene: Scene) -> None:
    """Save a mistyped key for six minutes, and rotate a secret in the tenant some seconds before Airflow knows."""
    with (
        scene.tenant("chaos_mistyped") as tenant,
        scene.tenant("chaos_rotated", login="", extra={}) as other,
        scene.triggerer("triggerer-keys", "keys"),
    ):
        add_to_tenant(tenant, MISTYPED, Script(run=LATER))
        add_to_tenant(other, ROTATED, Script(run=LATER))
        oauth = {"login": other.client_id, "extra": {"auth_type": "client_credentials"}}
        scene.airflow.change("chaos_rotated", password=other.client_secret, **oauth)
        run, rotated = scene.start("chaos_mistyped"), scene.start("chaos_rotated")
        scene.until("all wait", lambda: all_wait(run, rotated), 300)
        scene.pause(10)
        scene.action = f"A mistyped key is saved in the connection for {2 * HALF:.0f} s; the old one is still valid"
        right = tenant.api_key
        scene.airflow.change("chaos_mistyped", password=f"{right}typo")
        scene.expect("waits that ended in the first half", 0, run.ended_within(HALF))
        for task in MISTYPED_MARKED:
            run.mark(task, "failed")
        scene.wait(lambda: count_cancelled(runs_of(tenant, MISTYPED_MARKED)) == len(MISTYPED_MARKED), 30)
        stopped = count_cancelled(runs_of(tenant, MISTYPED_MARKED))
        scene.expect("cancelled runs of the tasks marked failed meanwhile", len(MISTYPED_MARKED), stopped)
        scene.expect("waits that ended in the second half", 0, run.ended_within(HALF, WAITING))
        check_polls(scene, tenant)
        scene.action = "The right key is saved again"
        scene.airflow.change("chaos_mistyped", password=right)
        check_polls(scene, tenant)
        check_the_end(scene, tenant, run)
        scene.action = (
            f"The secret is rotated in the tenant and all tokens are revoked; Airflow's connection gets the new one"
            f" {APART:.0f} s later"
        )
        secret = other.rotate("client_secret")
        other.revoke_tokens()
        scene.expect("waits that ended until then", 0, rotated.ended_within(APART))
        scene.airflow.change("chaos_rotated", password=secret)
        other.clear_request_log()
        scene.wait(lambda: len(count_reads(other, ROTATED)) == len(ROTATED), POLLED_WITHIN)
        scene.expect("runs polled successfully after that", len(ROTATED), len(count_reads(other, ROTATED)))
        other.advance(LATER)
        scene.wait(rotated.ended, 120)
        runs = runs_of(other, ROTATED)
        scene.expect("tasks of Airflow in the end", f"{len(ROTATED)} success", rotated.tally())
        scene.expect("tasks by number of runs in the tenant", f"{len(ROTATED)} with 1", tally_run_counts(runs))
        scene.expect("runs cancelled", 0, count_cancelled(runs))


def all_wait(run: DagRun, rotated: DagRun) -> bool:
    """Return True if all deferrable tasks are deferred and the others have started their runs."""
    started = all("Started: " in of.log(task) for of, held in tasks_on_workers(run, rotated) for task in held)
    return started and run.waits([*MISTYPED_DEFERRED, *MISTYPED_MARKED]) and rotated.waits(ROTATED_DEFERRED)


def tasks_on_workers(run: DagRun, rotated: DagRun) -> list[tuple[DagRun, list[PlannedTask]]]:
    """Return the tasks that wait on workers, with their Dag runs."""
    return [(run, MISTYPED_ON_WORKERS), (rotated, ROTATED_ON_WORKERS)]


def check_polls(scene: Scene, tenant: Tenant) -> None:
    """Check that the tenant still responds to polls of every run."""
    tenant.clear_request_log()
    scene.wait(lambda: len(count_reads(tenant, WAITING)) == len(WAITING), POLLED_WITHIN)
    scene.expect("runs polled successfully", len(WAITING), len(count_reads(tenant, WAITING)))


def check_the_end(scene: Scene, tenant: Tenant, run: DagRun) -> None:
    """Check the final states, when all runs have ended."""
    tenant.advance(LATER)
    scene.wait(run.ended, 120)
    runs = runs_of(tenant, WAITING)
    scene.expect("tasks of Airflow in the end", f"{len(WAITING)} success", run.tally(WAITING))
    scene.expect("tasks by number of runs in the tenant", f"{len(WAITING)} with 1", tally_run_counts(runs))
    scene.expect("runs cancelled", 0, count_cancelled(runs))
