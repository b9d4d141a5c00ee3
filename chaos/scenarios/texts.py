"""Texts that PostgreSQL cannot store come from Qlik to a triggerer: it survives, and unrelated waits continue."""

from __future__ import annotations

from airflow_provider_qlik.sandbox import Script
from chaos.bulk import add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import HEALTHY, NEXT, ODD_FAILING, ODD_NAMED, ODD_WATCHED
from chaos.scene import DagRun, Scene

ODD = "no such table\x00 caf\ud83d"
SHOWN = "\\x00"
NOW, LATER = 3600, 36_000
TRIGGERER = "triggerer-texts"


def act(scene: Scene) -> None:
    """Let runs fail with odd texts, and check the triggerer and the unrelated waits."""
    odd = [*ODD_FAILING, *ODD_NAMED, *ODD_WATCHED]
    scene.action = (
        f"{len(odd)} of {len(odd) + len(HEALTHY)} deferred waits end with texts that contain NUL and a lone surrogate:"
        " error messages, logs, names, who started a run"
    )
    with scene.tenant("chaos_texts") as tenant:
        add_to_tenant(tenant, ODD_FAILING, Script(run=NOW, end="FAILED", error=ODD, log=("Started", ODD)), name=ODD)
        add_to_tenant(tenant, ODD_NAMED, Script(run=NOW, log=("Started", ODD)), name=ODD)
        add_to_tenant(tenant, ODD_WATCHED, name=ODD)
        add_to_tenant(tenant, HEALTHY, Script(run=LATER))
        add_to_tenant(tenant, NEXT, Script(run=30))
        for task in ODD_WATCHED:
            tenant.add_run(task.name, started_ago=5, triggered_by=ODD, script=Script(run=NOW, log=(ODD,)))
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
            scene.expect("unrelated waits", f"{len(HEALTHY)} deferred", run.tally(HEALTHY))
            after = scene.start("chaos_texts_next")
            scene.wait(after.ended, 120)
            scene.expect("new tasks on the same triggerer", f"{len(NEXT)} success", after.tally())
            tenant.advance(LATER)
            scene.wait(run.ended, 90)
            scene.expect("unrelated waits in the end", f"{len(HEALTHY)} success", run.tally(HEALTHY))
            runs = runs_of(tenant, [*odd, *HEALTHY])
            scene.expect("tasks by number of runs in the tenant", f"{len(runs)} with 1", tally_run_counts(runs))
            scene.expect("runs cancelled", 0, count_cancelled(runs))
            scene.expect("'Traceback' in the log of the triggerer", 0, scene.airflow.log(TRIGGERER).count("Traceback"))


def logs_with(run: DagRun, text: str) -> int:
    """Return how many logs of the failed tasks hold a text."""
    return sum(text in run.log(task) for task in ODD_FAILING)
