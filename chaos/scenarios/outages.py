"""The tenant is unavailable for five minutes, in three ways, and then refuses requests by 429 for two."""

from __future__ import annotations

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Script
from chaos.bulk import add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import EARLY_DEFERRED, EARLY_ON_WORKERS, LATE_DEFERRED, LATE_ON_WORKERS
from chaos.relay import Mode, relay
from chaos.scene import DagRun, Scene

EARLY, LATE = [*EARLY_DEFERRED, *EARLY_ON_WORKERS], [*LATE_DEFERRED, *LATE_ON_WORKERS]
ALL_TASKS = [*EARLY, *LATE]
NOW, LATER = 3600, 36_000
OUTAGES: tuple[tuple[Mode, str], ...] = (
    ("refusing", "connections are refused"),
    ("resetting", "connections are reset"),
    ("silent", "connections are accepted, and no response arrives"),
)
UNAVAILABLE_FOR, LIMITED_FOR, RETRY_AFTER = 100.0, 120.0, 20
NOTICED_WITHIN = 60


def act(scene: Scene) -> None:
    """Check that no wait ends early, and no end is missed: half of the runs end while the tenant is away."""
    with sandbox.serve() as tenant, relay(tenant.url) as wire, scene.triggerer("triggerer-outages", "outages"):
        time_outs = {"connect_timeout": 5, "read_timeout": 5}
        scene.airflow.connect("chaos_outages", host=wire.url, password=tenant.api_key, extra=time_outs)
        add_to_tenant(tenant, EARLY, Script(run=NOW))
        add_to_tenant(tenant, LATE, Script(run=LATER))
        run = scene.start("chaos_outages")
        scene.until("all wait", lambda: all_wait(run), 240)
        scene.pause(10)
        for mode, words in OUTAGES:
            scene.action = (
                f"The tenant is unavailable for {3 * UNAVAILABLE_FOR:.0f} s, in three ways;"
                f" for these {UNAVAILABLE_FOR:.0f} s {words}"
            )
            wire.set(mode)
            scene.pause(2)  # what was on its way arrives
            request_count = len(tenant.request_log())
            if mode == "resetting":
                tenant.advance(NOW)
            scene.expect("waits that ended", 0, run.ended_within(UNAVAILABLE_FOR))
            scene.expect("requests that arrived", 0, len(tenant.request_log()) - request_count)
        scene.action = (
            f"The tenant is available, and responds to each request with 429 and Retry-After {RETRY_AFTER} s,"
            f" for {LIMITED_FOR:.0f} s"
        )
        tenant.fault(status=429, code="HTTP-429", retry_after=RETRY_AFTER, times=None)
        request_count = len(tenant.request_log())
        wire.set("open")
        scene.expect("waits that ended", 0, run.ended_within(LIMITED_FOR))
        requests = len(tenant.request_log()) - request_count
        at_most = round(len(ALL_TASKS) * (LIMITED_FOR / RETRY_AFTER + 2))
        scene.expect(f"requests of {len(ALL_TASKS)} waits", f"at most {at_most}", requests, 0 < requests <= at_most)
        scene.action = "The tenant works normally again"
        tenant.clear_faults()
        took = scene.wait(lambda: run.ended(EARLY), 180)
        words = "seconds until the tasks of the runs that ended meanwhile have ended"
        scene.expect(words, f"at most {NOTICED_WITHIN}", f"{took:.0f}", took <= NOTICED_WITHIN)
        scene.expect("these tasks", f"{len(EARLY)} success", run.tally(EARLY))
        states = f"{len(LATE_DEFERRED)} deferred, {len(LATE_ON_WORKERS)} running"
        scene.expect("tasks with active runs", states, run.tally(LATE))
        tenant.advance(LATER)
        scene.wait(lambda: run.ended(), 120)
        runs = runs_of(tenant, ALL_TASKS)
        scene.expect("tasks of Airflow in the end", f"{len(ALL_TASKS)} success", run.tally())
        scene.expect("tasks by number of runs in the tenant", f"{len(ALL_TASKS)} with 1", tally_run_counts(runs))
        scene.expect("runs cancelled", 0, count_cancelled(runs))


def all_wait(run: DagRun) -> bool:
    """Return True if those that defer are deferred, and the others have started their runs."""
    started = all("Started: " in run.log(task) for task in [*EARLY_ON_WORKERS, *LATE_ON_WORKERS])
    return started and run.waits([*EARLY_DEFERRED, *LATE_DEFERRED])
