"""Texts that PostgreSQL cannot store come from Qlik to a triggerer: it lives, and so do the waits beside them."""

from __future__ import annotations

from airflow_provider_qlik.sandbox import Script
from chaos.crowd import asked_to_stop, counted, fill, runs_of
from chaos.plan import HEALTHY, NEXT, ODD_FAILING, ODD_NAMED, ODD_WATCHED
from chaos.scene import DagRun, Scene

ODD = "no such table\x00 caf\ud83d"
SHOWN = "\\x00"
NOW, LATER = 3600, 36_000
TRIGGERER = "triggerer-texts"


def act(scene: Scene) -> None:
    """Let runs fail with odd texts, and look at the triggerer and at the waits that have nothing to do with them."""
    odd = [*ODD_FAILING, *ODD_NAMED, *ODD_WATCHED]
    scene.done = (
        f"{len(odd)} of {len(odd) + len(HEALTHY)} deferred waits end with texts that hold NUL and half an emoji:"
        " error messages, logs, names, who started a run"
    )
    with scene.tenant("chaos_texts") as tenant:
        fill(tenant, ODD_FAILING, Script(run=NOW, end="FAILED", error=ODD, log=("Started", ODD)), name=ODD)
        fill(tenant, ODD_NAMED, Script(run=NOW, log=("Started", ODD)), name=ODD)
        fill(tenant, ODD_WATCHED, name=ODD)
        fill(tenant, HEALTHY, Script(run=LATER))
        fill(tenant, NEXT, Script(run=30))
        for one in ODD_WATCHED:
            tenant.add_run(one.name, started_ago=5, triggered_by=ODD, script=Script(run=NOW, log=(ODD,)))
        with scene.triggerer(TRIGGERER, "texts"):
            run = scene.start("chaos_texts")
            scene.until("all wait", lambda: run.waits([*odd, *HEALTHY]), 240)
            scene.pause(5)
            triggerers = scene.airflow.triggerers_alive()
            tenant.advance(NOW)
            scene.wait(lambda: run.ended(odd) or TRIGGERER in scene.airflow.died(), 120)
            scene.pause(40)  # so long does a triggerer count as alive after its last heartbeat
            scene.expect("triggerers that died", 0, int(TRIGGERER in scene.airflow.died()))
            alive = scene.airflow.triggerers_alive()
            scene.expect("triggerers with a heartbeat", f"at least {triggerers}", alive, alive >= triggerers)
            scene.expect("tasks whose runs failed", f"{len(ODD_FAILING)} failed", run.tally(ODD_FAILING))
            named = [*ODD_NAMED, *ODD_WATCHED]
            scene.expect("tasks whose runs succeeded under such names", f"{len(named)} success", run.tally(named))
            scene.expect("logs of failed tasks that show the NUL as \\x00", len(ODD_FAILING), logs_with(run, SHOWN))
            scene.expect("waits beside them", f"{len(HEALTHY)} deferred", run.tally(HEALTHY))
            after = scene.start("chaos_texts_next")
            scene.wait(after.ended, 120)
            scene.expect("tasks that the same triggerer takes up afterwards", f"{len(NEXT)} success", after.tally())
            tenant.advance(LATER)
            scene.wait(run.ended, 90)
            scene.expect("waits beside them in the end", f"{len(HEALTHY)} success", run.tally(HEALTHY))
            runs = runs_of(tenant, [*odd, *HEALTHY])
            scene.expect("runs of each in the tenant", f"{len(runs)} with 1", counted(runs))
            scene.expect("runs asked to stop", 0, asked_to_stop(runs))
            scene.expect("'Traceback' in the log of the triggerer", 0, scene.airflow.log(TRIGGERER).count("Traceback"))


def logs_with(run: DagRun, text: str) -> int:
    """Return how many logs of the failed tasks hold a text."""
    return sum(text in run.log(one) for one in ODD_FAILING)
