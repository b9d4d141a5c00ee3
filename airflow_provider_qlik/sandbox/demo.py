"""Content of the demo tenant."""

from __future__ import annotations

from airflow_provider_qlik.sandbox.state.script import Script, SharingScript
from airflow_provider_qlik.sandbox.tenant import Tenant


def fill(tenant: Tenant) -> list[str]:
    """Add the demo content, and return a line for each resource: name, id, and what its runs do."""
    sales = tenant.add_task("Reload sales", "demo-sales", "app-sales")
    tenant.script(sales, Script(wait=2, run=20, log=("Connected", "Fields found: 12", "Reload finished")))
    finance = tenant.add_task("Reload finance", "demo-finance", "app-finance")
    tenant.script(finance, Script(run=10, end="FAILED", error="Table 'ledger' not found", log=("Connected",)))
    endless = tenant.add_task("Reload that never ends", "demo-endless", "app-endless")
    tenant.script(endless, Script(end=None))
    mail = tenant.add_automation("Send mail", "demo-mail", "triggered")
    tenant.script(mail, Script(wait=1, run=5, log=("Mail sent",)))
    export = tenant.add_automation("Export data", "demo-export")
    tenant.script(export, Script(run=15, end="finished with warnings", log=("3 rows were skipped",)))
    north, south = tenant.add_app("North", "demo-north"), tenant.add_app("South", "demo-south")
    tenant.script(north, Script(wait=1, run=12, log=("Connected", "Reload finished")))
    report = tenant.add_sharing_task("Weekly report", "demo-report", ("user-sandbox", "chef@sandbox.example"), north)
    tenant.script(report, SharingScript([Script(run=6), Script(run=9)], delivery=2))
    for resource_id in (sales, finance, export, north, south, report):
        tenant.add_run(resource_id, started_ago=86_400, script=Script(run=60))
    return [
        f"task           Reload sales ({sales}): succeeds after 22 s",
        f"task           Reload finance ({finance}): fails after 10 s",
        f"task           Reload that never ends ({endless}): until it is cancelled",
        f"automation     Send mail ({mail}): in run mode triggered, takes inputs, finishes after 6 s",
        f"automation     Export data ({export}): finishes with warnings after 15 s",
        f"app            North ({north}): a reload succeeds after 13 s",
        f"app            South ({south}): a reload succeeds after 1 s",
        f"sharing task   Weekly report ({report}): one pdf for each of two recipients, after 6 and 9 s",
    ]
