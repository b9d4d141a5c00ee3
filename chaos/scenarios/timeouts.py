"""Time runs out for deferred tasks: by the trigger's own deadline, and by Airflow's."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.crowd import One, asked_to_stop, counted, fill, runs_of
from chaos.plan import AIRFLOWS_LIMIT, NO_TRIGGERER, OWN_LIMIT
from chaos.scene import DagRun, Scene

OURS, THEIRS = "Gave up waiting", "TaskDeferralTimeout"


def act(scene: Scene) -> None:
    """The runs go on for ever, so that the time must run out."""
    with scene.tenant("chaos_timeouts") as tenant:
        fill(tenant, [*OWN_LIMIT, *AIRFLOWS_LIMIT, *NO_TRIGGERER], Script(end=None))
        with scene.triggerer("triggerer-timeouts", "timeouts"):
            ours, theirs = scene.start("chaos_own_timeout"), scene.start("chaos_airflows_timeout")
            scene.wait(lambda: ours.ended() and theirs.ended(), 180)
            scene.pause(3)
            scene.done = "The deadline of a deferred task comes (timeout), which its trigger keeps"
            poll(scene, tenant, ours, OWN_LIMIT, OURS)
            scene.done = "Airflow's own deferral time-out comes before that, with a triggerer at work"
            poll(scene, tenant, theirs, AIRFLOWS_LIMIT, THEIRS)
            scene.done = "Airflow's own deferral time-out comes, and there is no triggerer"
            poll(scene, tenant, theirs, NO_TRIGGERER, THEIRS)


def poll(scene: Scene, tenant: Tenant, run: DagRun, ones: Sequence[One], why: str) -> None:
    """What became of a group, whose logs say *why*."""
    runs = runs_of(tenant, ones)
    logs = [run.log(one) for one in ones]
    other = THEIRS if why == OURS else OURS
    scene.expect("tasks of Airflow", f"{len(ones)} failed", run.tally(ones))
    scene.expect(f"logs that say {why!r}", len(ones), sum(why in log for log in logs))
    scene.expect(f"logs that say {other!r}", 0, sum(other in log for log in logs))
    scene.expect("runs of each in the tenant", f"{len(ones)} with 1", counted(runs))
    scene.expect("runs asked to stop", len(ones), asked_to_stop(runs))
    scene.expect("runs that go on", 0, sum(each["active"] for runs in runs for each in runs))
