"""A proxy responds with web pages in place of the tenant, to every request, for two minutes."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.sandbox import Script, Tenant
from chaos.bulk import add_to_tenant, count_cancelled, runs_of, tally_run_counts
from chaos.plan import PAGES_DEFERRED, PAGES_ON_WORKERS, PAGES_STARTED_DEFERRED, PAGES_STARTED_ON_WORKERS
from chaos.report import tally
from chaos.scene import Scene

WAITING, STARTED = [*PAGES_DEFERRED, *PAGES_ON_WORKERS], [*PAGES_STARTED_DEFERRED, *PAGES_STARTED_ON_WORKERS]
LATER = 36_000
PAGES_FOR = 120.0
PAGE = "<!DOCTYPE html><html><title>Access denied</title><body>Blocked by the proxy</body></html>"
STARTS = ("start_task", "create_automation_run", "create_reload", "execute_sharing_task")


def act(scene: Scene) -> None:
    """Check that no wait ends early and no start is repeated; those of the second Dag succeed, but get a page."""
    with scene.tenant("chaos_pages", login="", extra={}) as tenant, scene.triggerer("triggerer-pages", "pages"):
        oauth = {"login": tenant.client_id, "extra": {"auth_type": "client_credentials"}}
        scene.airflow.change("chaos_pages", password=tenant.client_secret, **oauth)
        add_to_tenant(tenant, [*WAITING, *STARTED], Script(run=LATER))
        run = scene.start("chaos_pages")
        scene.until(
            "all wait",
            lambda: run.waits(PAGES_DEFERRED) and all("Started: " in run.log(task) for task in PAGES_ON_WORKERS),
            240,
        )
        scene.action = (
            "A proxy responds to starts with web pages (403) after forwarding them, then to all requests,"
            f" for {PAGES_FOR:.0f} s"
        )
        tenant.clear_request_log()
        page: dict[str, Any] = {"status": 403, "body": PAGE, "content_type": "text/html", "times": None}
        for operation in STARTS:
            tenant.fault(operation=operation, carried_out=True, **page)
        starts = scene.start("chaos_pages_starts")
        scene.until("all starts are carried out", lambda: len(sent(tenant)) >= len(STARTED), 180)
        tenant.fault(**page)
        tenant.revoke_tokens()
        ended = run.ended_within(PAGES_FOR) + starts.ended_within(0)
        scene.expect("waits that ended", 0, ended)
        tenant.clear_faults()
        scene.action = "The proxy is gone"
        scene.wait(lambda: starts.waits(PAGES_STARTED_DEFERRED), 90)
        # Where a trigger fires before the scheduler has heard of the deferral, Airflow itself fails the task.
        scene.pause(10)
        tenant.advance(LATER)
        scene.wait(lambda: run.ended() and starts.ended(), 180)
        for of, tasks, words in ((run, WAITING, "that waited"), (starts, STARTED, "that started meanwhile")):
            runs = runs_of(tenant, tasks)
            scene.expect(f"tasks of Airflow {words}", f"{len(tasks)} success", of.tally())
            scene.expect(
                f"tasks {words}, by number of runs in the tenant", f"{len(tasks)} with 1", tally_run_counts(runs)
            )
            scene.expect(f"cancelled runs of tasks {words}", 0, count_cancelled(runs))
        scene.expect("starts sent meanwhile", f"{len(STARTED)}", str(len(sent(tenant))))
        pages = tally(entry.status for entry in tenant.request_log() if entry.fault is not None)
        scene.write_log(f"responses with pages: {pages}")


def sent(tenant: Tenant) -> list[str]:
    """Return the paths of the starts that have arrived since the request log was cleared."""
    return [entry.path for entry in tenant.request_log(method="POST") if entry.operation in STARTS]
