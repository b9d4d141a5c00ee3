"""Time runs out for deferred tasks: by the trigger's own deadline, and by Airflow's."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import PlannedTask, add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import AIRFLOWS_LIMIT, NO_TRIGGERER, OWN_LIMIT
from chaos.scene import DagRun, Scene

OWN_TIMEOUT, AIRFLOW_TIMEOUT = "The wait timed out", "TaskDeferralTimeout"


def act(scene: Scene) -> None:
    """Let the time run out: the runs never end."""
    with scene.tenant("chaos_timeouts") as tenant:
        add_to_tenant(tenant, [*OWN_LIMIT, *AIRFLOWS_LIMIT, *NO_TRIGGERER], Script(end=None))
        with scene.triggerer("triggerer-timeouts", "timeouts"):
            own_run, airflow_run = scene.start("chaos_own_timeout"), scene.start("chaos_airflows_timeout")
            scene.wait(lambda: own_run.ended() and airflow_run.ended(), 180)
            scene.pause(3)
            scene.action = "The deadline (timeout) of a deferred task expires in its trigger"
            check_group(scene, tenant, own_run, OWN_LIMIT, OWN_TIMEOUT)
            scene.action = "Airflow's own deferral time-out expires first, while a triggerer runs"
            check_group(scene, tenant, airflow_run, AIRFLOWS_LIMIT, AIRFLOW_TIMEOUT)
            scene.action = "Airflow's own deferral time-out expires, and no triggerer runs"
            check_group(scene, tenant, airflow_run, NO_TRIGGERER, AIRFLOW_TIMEOUT)


def check_group(scene: Scene, tenant: Tenant, run: DagRun, tasks: Sequence[PlannedTask], why: str) -> None:
    """Check the outcome of a group whose logs contain *why*."""
    runs = runs_of(tenant, tasks)
    logs = [run.log(task) for task in tasks]
    other = AIRFLOW_TIMEOUT if why == OWN_TIMEOUT else OWN_TIMEOUT
    scene.expect("tasks of Airflow", f"{len(tasks)} failed", run.tally(tasks))
    scene.expect(f"logs that contain {why!r}", len(tasks), sum(why in log for log in logs))
    scene.expect(f"logs that contain {other!r}", 0, sum(other in log for log in logs))
    scene.expect("tasks by number of runs in the tenant", f"{len(tasks)} with 1", tally_run_counts(runs))
    scene.expect("runs cancelled", len(tasks), count_cancelled(runs))
    scene.expect("active runs", 0, sum(each["active"] for runs in runs for each in runs))
