"""Dags start when runs of automations end: at once, once for each end, and also while no triggerer was there."""

from __future__ import annotations

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.airflow import ENDED
from chaos.plan import WATCH_INTERVAL, WATCHED_AUTOMATION, WATCHED_AUTOMATIONS
from chaos.scene import Scene

STARTS_WITHIN = WATCH_INTERVAL + 10
"""Seconds from the end of a run to the start of the Dag: one poll interval, and what Airflow takes."""
OBSERVED_FOR = 60
# Jitter shortens an interval by up to a fifth.
LISTS = round(OBSERVED_FOR / (WATCH_INTERVAL * 0.8)) + 1
DAG, DAG_OF_MANY, TRIGGERER = "chaos_after_one", "chaos_after_many", "triggerer-watchers"


def act(scene: Scene) -> None:
    """End runs one by one, ten in a row, and some while the triggerer is killed; count the polls of all watchers."""
    with scene.tenant("chaos_watchers") as tenant:
        for automation in (WATCHED_AUTOMATION, *WATCHED_AUTOMATIONS):
            tenant.add_automation(automation, id=automation)
            # Ended before the first poll: it starts nothing.
            tenant.add_run(automation, started_ago=3600, script=Script(run=60, end="finished"))
        for dag in (DAG, DAG_OF_MANY):
            scene.until(f"Dag {dag} is parsed", lambda dag=dag: scene.airflow.knows(dag), 180)  # type: ignore[misc]
        scene.airflow.start_triggerer(TRIGGERER)
        try:
            scene.until("the watchers poll", lambda: len(tenant.request_log("list_automations")) > 2, 180)
            scene.pause(2 * WATCH_INTERVAL)
            scene.action = f"{len(WATCHED_AUTOMATIONS) + 1} automations are watched, and none runs"
            check_polls(scene, tenant)
            scene.expect("Dag runs", 0, len(dag_runs(scene, DAG)) + len(dag_runs(scene, DAG_OF_MANY)))
            scene.action = "A run ends"
            ended = {end_run(tenant)}
            took = scene.wait(lambda: len(dag_runs(scene, DAG)) == 1, 60, every=0.5)
            words = "seconds until the Dag starts"
            scene.expect(words, f"at most {STARTS_WITHIN:g}", f"{took:.1f}", took <= STARTS_WITHIN)
            scene.action = "Ten runs end in a row"
            ended |= {end_run(tenant) for _ in range(10)}
            check_handed_over(scene, ended)
            scene.action = "The triggerer is killed (SIGKILL), three runs end, and it is started again"
            scene.airflow.kill(TRIGGERER)
            ended |= {end_run(tenant) for _ in range(3)}
            scene.pause(5)
            scene.airflow.start_triggerer(TRIGGERER)
            check_handed_over(scene, ended)
            scene.expect("Dag runs of the other automations", 0, len(dag_runs(scene, DAG_OF_MANY)))
        finally:
            if TRIGGERER in scene.airflow.services:
                scene.airflow.kill(TRIGGERER)


def end_run(tenant: Tenant) -> str:
    """Let a run of the automation end now, and return its id."""
    return str(tenant.add_run(WATCHED_AUTOMATION, started_ago=30, script=Script(run=29, end="finished")))


def check_polls(scene: Scene, tenant: Tenant) -> None:
    """Check that all watchers together cost one request of the list for each poll interval."""
    tenant.clear_request_log()
    scene.pause(OBSERVED_FOR)
    reads = tenant.request_log(method="GET")
    lists = sum(entry.operation == "list_automations" for entry in reads)
    scene.expect(f"requests of the list in {OBSERVED_FOR} s", f"at most {LISTS:g}", lists, 1 <= lists <= LISTS)
    # Single polls that check the list.
    scene.expect("other requests", "at most twice as many", len(reads) - lists, len(reads) - lists <= 2 * LISTS)


def check_handed_over(scene: Scene, ended: set[str]) -> None:
    """Check that each end was handed to a Dag run, and that these have succeeded."""
    scene.wait(lambda: handed_over(scene) >= ended, 120)
    scene.expect("ends handed to Dag runs, by the ids of the runs", len(ended), len(handed_over(scene) & ended))
    scene.wait(lambda: all(run["state"] in ENDED for run in dag_runs(scene, DAG)), 60)
    failed = sum(run["state"] != "success" for run in dag_runs(scene, DAG))
    scene.expect("Dag runs that did not succeed", 0, failed)


def dag_runs(scene: Scene, dag_id: str) -> list[dict[str, str]]:
    """Return the runs of a Dag."""
    return list(scene.airflow.ask("GET", f"/dags/{dag_id}/dagRuns", limit=100)["dag_runs"])


def handed_over(scene: Scene) -> set[str]:
    """Return the ids of the runs in the events that have started runs of the Dag."""
    ids: set[str] = set()
    for run in dag_runs(scene, DAG):
        path = f"/dags/{DAG}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
        for event in scene.airflow.ask("GET", path)["asset_events"]:
            ids |= {str(ended["run_id"]) for ended in event["extra"]["payload"]["runs"]}
    return ids
