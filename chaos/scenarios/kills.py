"""A Dag run with a thousand deferred tasks is marked failed: Qlik's limit decides how soon all runs are cancelled."""

from __future__ import annotations

import json
from collections import Counter

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import THOUSAND
from chaos.report import tally
from chaos.scene import DagRun, Scene

ENDLESS = Script(end=None)
TRIGGER = "airflow_provider_qlik.triggers.run.QlikRunTrigger"
CANCELLED_WITHIN = 400.0
"""Seconds: 500 cancels in the first five minutes, the other 500 when the next five minutes begin."""
FEW = 20


def act(scene: Scene) -> None:
    """Cancel a thousand runs within what Tier 2 allows."""
    with scene.tenant("chaos_thousand") as tenant, scene.triggerer("triggerer-kills", "kills"):
        add_to_tenant(tenant, THOUSAND)
        run = defer(scene, tenant)
        took = scene.until("all wait", lambda: run.waits(count=len(THOUSAND)), 300, every=5)
        scene.write_log(f"{len(THOUSAND)} tasks are deferred after {took:.0f} s")
        scene.pause(10)
        tenant.clear_request_log()
        scene.action = f"A Dag run with {len(THOUSAND)} deferred tasks (mapped) is marked failed"
        scene.airflow.mark_run(run.dag_id, run.id, "failed")
        took = scene.wait(lambda: not tenant.active(), CANCELLED_WITHIN, every=5)
        scene.write_log(f"{len(tenant.active())} runs are active after {took:.0f} s")
        runs = runs_of(tenant, THOUSAND)
        within = f"active runs {CANCELLED_WITHIN:.0f} s later"
        scene.expect(within, 0, sum(each["active"] for runs in runs for each in runs))
        scene.expect("runs cancelled", len(THOUSAND), count_cancelled(runs))
        cancels = Counter(entry.path for entry in tenant.request_log("stop_automation_run") if entry.carried_out)
        scene.expect("runs cancelled more than once", 0, sum(count > 1 for count in cancels.values()))
        refused = limited(tenant)
        scene.expect("cancels refused by the limit (429)", f"at most {FEW}", refused, refused <= FEW)
        scene.expect("tasks of Airflow", f"{len(THOUSAND)} failed", run.tally())
        scene.expect("tasks by number of runs in the tenant", f"{len(THOUSAND)} with 1", tally_run_counts(runs))
        scene.write_log(f"requests: {tally(entry.status for entry in tenant.request_log())}")


def defer(scene: Scene, tenant: Tenant) -> DagRun:
    """Start all runs, and defer a task for each."""
    dag_id = "chaos_thousand"
    common = {"kind": "automation", "cancel_on_kill": True, "poll_interval": 120.0, "qlik_conn_id": dag_id}
    waits = [
        {**common, "resource_id": task.name, "run_id": tenant.add_run(task.name, started_ago=5, script=ENDLESS)}
        for task in THOUSAND
    ]
    scene.until(f"Dag {dag_id} is parsed", lambda: scene.airflow.knows(dag_id), 180)
    arguments = {"dag_id": dag_id, "queue": "kills", "trigger": TRIGGER, "waits": waits}
    run_id = scene.airflow.do("chaos.deferred", stdin=json.dumps(arguments)).split()[-2]
    return DagRun(scene, dag_id, run_id)


def limited(tenant: Tenant) -> int:
    """Return how many requests were refused by the rate limit."""
    return sum(entry.status == 429 for entry in tenant.request_log())
