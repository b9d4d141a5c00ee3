"""Triggerers are killed and stopped; their waits continue in another triggerer."""

from __future__ import annotations

from collections.abc import Sequence

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
from chaos.plan import ALONE, FAILING, LONG, PAIR, SHORT, WATCHED
from chaos.report import tally
from chaos.scene import DagRun, Scene

NOW, LATER = 3600, 36_000
STOPS_WITHIN = 4.0


def act_on_one(scene: Scene) -> None:
    """Kill one triggerer with fifty waits; a third of the runs end while there is none."""
    all_tasks = [*ALONE, *WATCHED]
    scene.action = f"The triggerer is killed (SIGKILL) with {len(all_tasks)} waits of all kinds, and started again"
    with scene.tenant("chaos_one", oauth=True) as tenant:
        add_to_tenant(tenant, SHORT, Script(run=NOW))
        add_to_tenant(tenant, LONG, Script(run=LATER))
        add_to_tenant(tenant, FAILING, Script(run=LATER, end="FAILED", error="no such table"))
        add_to_tenant(tenant, WATCHED)
        for task in WATCHED:
            tenant.add_run(task.name, started_ago=5, script=Script(run=LATER))
        with scene.triggerer("triggerer-alone", "alone"):
            run = scene.start("chaos_one_triggerer")
            scene.until("all wait", lambda: run.waits(all_tasks), 240)
            scene.pause(5)
            scene.airflow.kill("triggerer-alone")
            before = len(tenant.request_log())
            tenant.advance(NOW)
            scene.pause(10)
            scene.expect("requests while there is no triggerer", 0, len(tenant.request_log()) - before)
        with scene.triggerer("triggerer-alone-again", "alone"):
            scene.wait(lambda: run.ended(SHORT), 90)
            scene.expect("tasks whose runs had ended meanwhile", f"{len(SHORT)} success", run.tally(SHORT))
            others = [*LONG, *FAILING, *WATCHED]
            scene.expect("tasks with active runs", f"{len(others)} deferred", run.tally(others))
            check_the_end(scene, tenant, run, all_tasks, FAILING)


def act_on_two(scene: Scene) -> None:
    """Stop one of two triggerers in order, start it again, and then kill the other."""
    with scene.tenant("chaos_two") as tenant:
        add_to_tenant(tenant, PAIR, Script(run=LATER))
        idle = seconds_to_stop_an_idle_one(scene)
        before = scene.airflow.triggerers()
        with scene.triggerer("triggerer-first", "pair"), scene.triggerer("triggerer-second", "pair"):
            scene.until("both triggerers are at work", lambda: scene.airflow.triggerers() >= before + 2)
            run = scene.start("chaos_two_triggerers")
            scene.until("all wait", lambda: run.waits(PAIR), 180)
            scene.action = f"One of two triggerers is stopped (SIGTERM), with {len(PAIR)} waits between them"
            scene.write_log(f"they wait in triggerers {tally(holders(run))}")
            scene.expect("triggerers that hold waits before the stop", 2, len(set(holders(run))))
            longer = scene.airflow.terminate("triggerer-first") - idle
            words = "additional seconds to stop, compared with a triggerer without waits"
            scene.expect(words, f"at most {STOPS_WITHIN:g}", f"{longer:.1f}", longer <= STOPS_WITHIN)
            scene.wait(lambda: len(set(holders(run))) == 1, 90)
            scene.expect("triggerers that hold waits", 1, len(set(holders(run))))
            check_the_move(scene, tenant, run)
            with scene.triggerer("triggerer-third", "pair"):
                scene.pause(15)
                scene.action = f"Another is started, and the one with all {len(PAIR)} waits is killed (SIGKILL)"
                lost = holders(run)[0]
                scene.airflow.kill("triggerer-second")
                scene.wait(lambda: lost not in holders(run), 90)
                scene.expect("waits held by the killed triggerer", 0, holders(run).count(lost))
                check_the_move(scene, tenant, run)
                check_the_end(scene, tenant, run, PAIR, ())


def seconds_to_stop_an_idle_one(scene: Scene) -> float:
    """Return the seconds that Airflow itself takes to stop a triggerer."""
    before = scene.airflow.triggerers()
    scene.airflow.start_triggerer("triggerer-idle", "pair")
    scene.until("the triggerer is at work", lambda: scene.airflow.triggerers() > before)
    scene.pause(5)
    took = scene.airflow.terminate("triggerer-idle")
    scene.write_log(f"a triggerer without waits stops within {took:.1f} s")
    return took


def holders(run: DagRun) -> list[str]:
    """Return the id of the triggerer of each wait."""
    return [str((each["trigger"] or {}).get("triggerer_id")) for each in run.instances()]


def check_the_move(scene: Scene, tenant: Tenant, run: DagRun) -> None:
    """Check that the remaining triggerer polls each of the runs."""
    tenant.clear_request_log()
    scene.wait(lambda: len(count_reads(tenant, PAIR)) == len(PAIR), POLLED_WITHIN)
    scene.expect("runs that the remaining triggerer polls", len(PAIR), len(count_reads(tenant, PAIR)))
    scene.expect("tasks of Airflow", f"{len(PAIR)} deferred", run.tally())
    scene.expect("runs cancelled", 0, count_cancelled(runs_of(tenant, PAIR)))


def check_the_end(
    scene: Scene, tenant: Tenant, run: DagRun, all_tasks: Sequence[PlannedTask], failing: Sequence[PlannedTask]
) -> None:
    """Check the final states, when all runs have ended."""
    tenant.advance(LATER)
    scene.wait(run.ended, 180)
    states = f"{len(all_tasks) - len(failing)} success" + (f", {len(failing)} failed" if failing else "")
    runs = runs_of(tenant, all_tasks)
    scene.expect("tasks of Airflow in the end", states, run.tally(all_tasks))
    if failing:
        scene.expect("tasks whose runs fail in Qlik Cloud", f"{len(failing)} failed", run.tally(failing))
    scene.expect("tasks by number of runs in the tenant", f"{len(all_tasks)} with 1", tally_run_counts(runs))
    scene.expect("runs cancelled in the end", 0, count_cancelled(runs))
