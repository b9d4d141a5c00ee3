"""Workers are killed at three moments: before a response, before the run is stored, and while they wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import PlannedTask, add_to_tenant, count_cancelled, count_reads, runs_of, tally_run_counts
from chaos.features import STORE
from chaos.plan import UNANSWERED, UNSTORED, WAITING
from chaos.relay import relay
from chaos.scene import DagRun, Scene
from chaos.services import kill_worker

BEFORE_THE_RESPONSE = (
    "The workers are killed (SIGKILL) after the tenant has started the runs, before its responses arrive"
)
BEFORE_IT_IS_STORED = (
    "The workers are killed when the responses have arrived, before Airflow (its API server is frozen)"
    " could store the run"
)
WHILE_WAITING = "The workers are killed while they wait for their runs"
ALL_TASKS = [*UNANSWERED, *UNSTORED, *WAITING]


def act(scene: Scene) -> None:
    """Check that each retry resumes: one run was started in all."""
    with scene.tenant("chaos_waiting") as tenant, relay(tenant.url) as first, relay(tenant.url) as second:
        add_to_tenant(tenant, ALL_TASKS, Script(run=3600))
        scene.airflow.connect("chaos_unanswered", host=first.url, password=tenant.api_key)
        scene.airflow.connect("chaos_unstored", host=second.url, password=tenant.api_key)
        first.set("holding")
        second.set("holding")
        with scene.triggerer("triggerer-workers", "workers"):
            run = scene.start("chaos_workers")
            scene.until("all runs are started", lambda: started(tenant, ALL_TASKS), 180)
            scene.until("those that wait have been polled", lambda: polled(tenant, WAITING))
            instances = run.instances()
            pids = {each["task_id"]: each["pid"] for each in instances}
            # On a very busy machine Airflow may have begun a second try by itself.
            killed = {each["task_id"]: each["try_number"] for each in instances}
            kill(pids, UNANSWERED)
            if UNSTORED:
                scene.airflow.freeze("api-server")
                try:
                    second.set("open")
                    scene.pause(2)
                    kill(pids, UNSTORED)
                finally:
                    scene.airflow.thaw("api-server")
            first.set("open")
            kill(pids, WAITING)
            scene.write_log("killed: waiting for the retries")
            scene.wait(lambda: all_wait_again(run, killed), 150)
            # Not at once: a trigger that fires before the scheduler has heard of the deferral fails the try.
            scene.pause(5)
            tenant.advance(7200)
            scene.wait(run.ended, 90)
            scene.action = BEFORE_THE_RESPONSE
            check_group(scene, tenant, run, UNANSWERED, killed, knew=0)
            if UNSTORED:
                scene.action = BEFORE_IT_IS_STORED
                # Without a store there is nothing to freeze: a try may have logged its run or not.
                check_group(scene, tenant, run, UNSTORED, killed, knew=0 if STORE else None)
            scene.action = WHILE_WAITING
            check_group(scene, tenant, run, WAITING, killed, knew=len(WAITING))


def started(tenant: Tenant, tasks: Sequence[PlannedTask]) -> bool:
    """Return True if the tenant has started a run of each task."""
    return all(tenant.runs(task.name) for task in tasks)


def polled(tenant: Tenant, tasks: Sequence[PlannedTask]) -> bool:
    """Return True if each was read five times: once or twice before its start, and then by polls."""
    reads = count_reads(tenant, tasks)
    return all(reads[task.name] >= 5 for task in tasks)


def kill(pids: dict[str, int], tasks: Sequence[PlannedTask]) -> None:
    """Kill the workers of these tasks."""
    for task in tasks:
        kill_worker(pids[task.name])


def all_wait_again(run: DagRun, killed: Mapping[str, int]) -> bool:
    """Return True if a later try than the killed one waits for the run of each task."""
    for each in run.instances():
        if each["try_number"] <= killed[each["task_id"]] or each["state"] not in ("deferred", "running"):
            return False
    # Tasks that wait on workers log it.
    waiting = all("Resuming" in run.log(task) for task in WAITING)
    return waiting and run.tally([*UNANSWERED, *UNSTORED]) == f"{len(UNANSWERED) + len(UNSTORED)} deferred"


def check_group(
    scene: Scene, tenant: Tenant, run: DagRun, tasks: Sequence[PlannedTask], killed: Mapping[str, int], knew: int | None
) -> None:
    """Add the rows of a group. *knew*: the number of tries that must have logged their runs before they were killed;
    None: any.
    """
    kinds, runs = ", ".join(task.kind.replace("_", " ") for task in tasks), runs_of(tenant, tasks)
    knew_run = sum("Started: " in run.log(task, tries=killed[task.name]) for task in tasks)
    later = sum(each["try_number"] > killed[each["task_id"]] for each in run.instances(tasks))
    if knew is not None:
        scene.expect("killed tries that had logged their runs", knew, knew_run)
    scene.expect(f"tasks of Airflow ({kinds})", f"{len(tasks)} success", run.tally(tasks))
    scene.expect("tasks in a later try", len(tasks), later)
    scene.expect("tasks by number of runs in the tenant", f"{len(tasks)} with 1", tally_run_counts(runs))
    scene.expect("runs cancelled", 0, count_cancelled(runs))
