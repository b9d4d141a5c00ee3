"""Users clear and mark tasks that are deferred; each of their runs is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import PlannedTask, add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import CLEARED, MANY_AUTOMATIONS, MANY_TASKS, MARKED_FAILED, MARKED_SUCCESS, SUCCEEDED
from chaos.report import tally
from chaos.scene import Scene

ENDLESS, LATER = Script(end=None), 3600


def act(scene: Scene) -> None:
    """Clear and mark sixty tasks one by one, then mark a Dag run of three hundred."""
    with scene.triggerer("triggerer-users", "users"):
        with scene.tenant("chaos_users") as tenant:
            one_by_one(scene, tenant, "chaos_users", "API key")
        with scene.tenant("chaos_users_oauth", oauth=True) as tenant:
            one_by_one(scene, tenant, "chaos_users_oauth", "OAuth")
        with scene.tenant("chaos_many") as tenant:
            all_at_once(scene, tenant)


def one_by_one(scene: Scene, tenant: Tenant, dag_id: str, auth: str) -> None:
    """Mark twenty tasks failed and twenty success, clear twenty, and clear some that had succeeded, too."""
    waiting = [*MARKED_FAILED, *MARKED_SUCCESS, *CLEARED]
    # Not at once: where a trigger fires before the scheduler has heard of the deferral, Airflow itself fails the task.
    add_to_tenant(tenant, SUCCEEDED, Script(run=40), Script(run=LATER))
    add_to_tenant(tenant, [*MARKED_FAILED, *MARKED_SUCCESS], ENDLESS)
    add_to_tenant(tenant, CLEARED, ENDLESS, Script(run=LATER))
    run = scene.start(dag_id)
    scene.until("all wait", lambda: run.waits(waiting) and run.ended(SUCCEEDED), 300)
    scene.pause(5)
    for task in MARKED_FAILED:
        run.mark(task, "failed")
    for task in MARKED_SUCCESS:
        run.mark(task, "success")
    run.clear([*CLEARED, *SUCCEEDED])
    scene.wait(lambda: run.waits([*CLEARED, *SUCCEEDED], tries=2), 180)
    took = scene.wait(lambda: all(map(ended, first_runs(tenant, waiting))), 60)
    scene.pause(5)  # as above: their triggers are about to fire
    scene.write_log(f"no run is active {took:.0f} s after all cleared tasks wait again")
    for tasks, state in ((MARKED_FAILED, "failed"), (MARKED_SUCCESS, "success")):
        scene.action = f"{len(tasks)} deferred tasks are marked {state}, one by one ({auth})"
        runs = runs_of(tenant, tasks)
        scene.expect("tasks of Airflow", f"{len(tasks)} {state}", run.tally(tasks))
        scene.expect("tasks by number of runs in the tenant", f"{len(tasks)} with 1", tally_run_counts(runs))
        scene.expect("runs cancelled", len(tasks), count_cancelled(runs))
        scene.expect("active runs", 0, sum(each["active"] for runs in runs for each in runs))
    scene.action = f"{len(CLEARED)} deferred tasks are cleared at once ({auth})"
    runs = runs_of(tenant, CLEARED)
    scene.expect("tasks of Airflow", f"{len(CLEARED)} deferred", run.tally(CLEARED))
    scene.expect("tasks by number of runs in the tenant", f"{len(CLEARED)} with 2", tally_run_counts(runs))
    scene.expect("old runs cancelled and ended", len(CLEARED), sum(map(is_cancelled, first_runs(tenant, CLEARED))))
    scene.expect("new runs cancelled", 0, count_cancelled([each[1:] for each in runs]))
    tenant.advance(LATER)
    scene.wait(lambda: run.ended(), 120)
    scene.expect("tasks of Airflow in the end", f"{len(CLEARED)} success", run.tally(CLEARED))
    scene.action = f"{len(SUCCEEDED)} tasks that had succeeded are cleared ({auth})"
    scene.expect("tasks of Airflow", f"{len(SUCCEEDED)} success", run.tally(SUCCEEDED))
    scene.expect(
        "tasks by number of runs in the tenant",
        f"{len(SUCCEEDED)} with 2",
        tally_run_counts(runs_of(tenant, SUCCEEDED)),
    )
    scene.expect("runs cancelled", 0, count_cancelled(runs_of(tenant, SUCCEEDED)))
    scene.action = f"After these actions ({auth})"
    scene.expect("active runs in the tenant", 0, len(tenant.active()))


def all_at_once(scene: Scene, tenant: Tenant) -> None:
    """Mark a Dag run with three hundred deferred mapped tasks failed."""
    many = [*MANY_TASKS, *MANY_AUTOMATIONS]
    scene.action = f"A Dag run with {len(many)} deferred tasks (mapped) is marked failed"
    add_to_tenant(tenant, many, ENDLESS)
    run = scene.start("chaos_many")
    took = scene.until("all wait", lambda: run.waits(count=len(many)), 600)
    scene.write_log(f"{len(many)} tasks are deferred after {took:.0f} s")
    scene.pause(10)
    scene.airflow.mark_run(run.dag_id, run.id, "failed")
    took = scene.wait(lambda: not tenant.active(), 180)
    scene.write_log(f"no run is active after {took:.0f} s")
    runs = runs_of(tenant, many)
    scene.expect("tasks of Airflow", f"{len(many)} failed", run.tally())
    scene.expect("tasks by number of runs in the tenant", f"{len(many)} with 1", tally_run_counts(runs))
    scene.expect("runs cancelled", len(many), count_cancelled(runs))
    scene.expect("active runs in the tenant", 0, sum(each["active"] for runs in runs for each in runs))
    refused = tally(entry.status for entry in tenant.request_log() if entry.status is not None and entry.status >= 400)
    scene.write_log(f"requests refused: {refused}")


def first_runs(tenant: Tenant, tasks: Sequence[PlannedTask]) -> list[dict[str, Any]]:
    """Return the first run of each task."""
    return [runs[0] for runs in runs_of(tenant, tasks)]


def ended(run: dict[str, Any]) -> bool:
    """Return True if a run has ended."""
    return not run["active"]


def is_cancelled(run: dict[str, Any]) -> bool:
    """Return True if a run was cancelled and has ended."""
    return run["cancel_requested_at"] is not None and ended(run)
