"""Workers are killed at the three moments that matter: before an answer, before it is kept, and while waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.airflow import kill_worker
from chaos.crowd import One, asked_to_stop, counted, fill, log_texts, runs_of
from chaos.features import STORE
from chaos.plan import UNANSWERED, UNTOLD, WAITING
from chaos.relay import relay
from chaos.scene import DagRun, Scene

BEFORE_THE_ANSWER = "The workers are killed (SIGKILL) after the tenant has started the runs, before its answers arrive"
BEFORE_IT_IS_KEPT = (
    "The workers are killed when the answers are there, before Airflow (its API server is frozen) could keep the run"
)
WHILE_WAITING = "The workers are killed while they wait for their runs"
EVERYONE = [*UNANSWERED, *UNTOLD, *WAITING]


def act(scene: Scene) -> None:
    """After the retry, one run was started in all."""
    with scene.tenant("chaos_waiting") as tenant, relay(tenant.url) as first, relay(tenant.url) as second:
        fill(tenant, EVERYONE, Script(run=3600))
        scene.airflow.connect("chaos_unanswered", host=first.url, password=tenant.api_key)
        scene.airflow.connect("chaos_untold", host=second.url, password=tenant.api_key)
        first.set("holding")
        second.set("holding")
        with scene.triggerer("triggerer-workers", "workers"):
            run = scene.start("chaos_workers")
            scene.until("all runs are started", lambda: started(tenant, EVERYONE), 180)
            scene.until("those that wait have been polled", lambda: polled(tenant, WAITING))
            instances = run.instances()
            pids = {each["task_id"]: each["pid"] for each in instances}
            # On a machine that is very busy Airflow may have begun a second one by itself.
            killed = {each["task_id"]: each["try_number"] for each in instances}
            kill(pids, UNANSWERED)
            if UNTOLD:
                scene.airflow.freeze("api-server")
                try:
                    second.set("open")
                    scene.pause(2)
                    kill(pids, UNTOLD)
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
            scene.done = BEFORE_THE_ANSWER
            poll(scene, tenant, run, UNANSWERED, killed, knew=0)
            if UNTOLD:
                scene.done = BEFORE_IT_IS_KEPT
                # Without a store nothing is to be kept: what a try knew is up to the moment.
                poll(scene, tenant, run, UNTOLD, killed, knew=0 if STORE else None)
            scene.done = WHILE_WAITING
            poll(scene, tenant, run, WAITING, killed, knew=len(WAITING))


def started(tenant: Tenant, ones: Sequence[One]) -> bool:
    """Whether the tenant has started a run of each."""
    return all(tenant.runs(one.name) for one in ones)


def polled(tenant: Tenant, ones: Sequence[One]) -> bool:
    """Whether each was asked about often enough: once or twice before its start, and then by polls."""
    told = log_texts(tenant, ones)
    return all(told[one.name] >= 5 for one in ones)


def kill(pids: dict[str, int], ones: Sequence[One]) -> None:
    """The workers of these tasks are killed."""
    for one in ones:
        kill_worker(pids[one.name])


def all_wait_again(run: DagRun, killed: Mapping[str, int]) -> bool:
    """Whether a later try than the killed one waits for the run of each."""
    for each in run.instances():
        if each["try_number"] <= killed[each["task_id"]] or each["state"] not in ("deferred", "running"):
            return False
    # Those that wait on workers say when they do.
    waiting = all("Resuming" in run.log(one) for one in WAITING)
    return waiting and run.tally([*UNANSWERED, *UNTOLD]) == f"{len(UNANSWERED) + len(UNTOLD)} deferred"


def poll(
    scene: Scene, tenant: Tenant, run: DagRun, ones: Sequence[One], killed: Mapping[str, int], knew: int | None
) -> None:
    """Add the rows of a group. *knew*: tries that must have known their runs when they were killed; None: any."""
    kinds, runs = ", ".join(one.kind.replace("_", " ") for one in ones), runs_of(tenant, ones)
    told = sum("Started: " in run.log(one, tries=killed[one.name]) for one in ones)
    later = sum(each["try_number"] > killed[each["task_id"]] for each in run.instances(ones))
    if knew is not None:
        scene.expect("killed tries that knew their runs", knew, told)
    scene.expect(f"tasks of Airflow ({kinds})", f"{len(ones)} success", run.tally(ones))
    scene.expect("tasks in a later try", len(ones), later)
    scene.expect("runs of each in the tenant", f"{len(ones)} with 1", counted(runs))
    scene.expect("runs asked to stop", 0, asked_to_stop(runs))
