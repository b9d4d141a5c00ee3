"""The OpenLineage facets of operators and sensors.

Airflow's OpenLineage provider calls the three `get_openlineage_facets_on_…` methods where it is installed. It does so
in a process that was forked off the task's, which it kills after ten seconds, and which shares the pipe to Airflow's
supervisor with the task. So they send nothing, neither to Qlik Cloud nor to Airflow: a request that is cut off there
would leave its response to the next request of the task. All they know is what the task has noted (`note_run`) and,
when a task resumes after its deferral, the event of the trigger.

Datasets: a task that returns any loses the inlets and outlets that its Dag declares, since Airflow takes either the one
or the other. So only a task that declares none reports the app that it has reloaded.

Airflow's own job type facet is "TASK" for every task, so the kind of job in Qlik Cloud is in a facet of this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik.text import storable

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_qlik.runs import Run

_MEMBERS = ("kind", "resource_id", "run_id", "status", "state")
FACET = "qlikCloudRun"
"""The name of the facet of this package. `RunFacet` classes of others have the names of the OpenLineage standard."""


class OpenLineageMethods:
    """The methods of an operator or sensor that Airflow's OpenLineage provider calls.

    `updates_apps` is True for operators: a sensor has seen the reload of an app, and has not updated it.
    """

    updates_apps: ClassVar[bool] = False
    link: str | None = None
    inlets: Any
    outlets: Any
    _noted_run: Mapping[str, Any] | None = None

    def note_run(self, run: Run | None, link: str | None) -> None:
        """Keep the link to Qlik's page, and the run as it was last seen if there is one."""
        self.link = link
        if run is not None:
            self._noted_run = {**run.to_json(), "link": link}

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return what is known before the task runs; after a deferral that includes the run."""
        return self._lineage(self._noted_run or _resumed_run())

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the run of a task that has succeeded or was skipped, and the app that it has reloaded."""
        return self._lineage(self._noted_run, self._datasets(self._noted_run))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the run of a task that has failed, with Qlik's own reason."""
        return self._lineage(self._noted_run)

    def _job(self) -> dict[str, Any]:
        """Return the members of this package's facet that are known without a run."""
        id_argument = getattr(self, "id_argument", None)
        resource_id = getattr(self, id_argument) if id_argument else None
        return {
            "jobType": str(getattr(self, "kind", "call")).upper(),
            "resourceId": None if resource_id is None else storable(str(resource_id)),
            "operation": getattr(self, "operation", None),
        }

    def _lineage(
        self, run: Mapping[str, Any] | None, outputs: list[Any] | None = None
    ) -> OperatorLineage[Any, Any] | None:
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage
        except ImportError:
            return None
        return OperatorLineage(outputs=outputs or [], run_facets=_facets(self._job(), run))

    def _datasets(self, run: Mapping[str, Any] | None) -> list[Any]:
        """Return the app that the run has reloaded, if it succeeded and the task declares no inlets and outlets."""
        if not self.updates_apps or self.inlets or self.outlets or run is None or run["state"] != "succeeded":
            return []
        app_id, worker = run["resource_id"] if run["kind"] == "reload" else None, run["worker"]
        if worker is not None and "reload" in worker["type"].casefold():
            app_id = worker["resource_id"]
        if not app_id or not run["link"]:
            return []
        from airflow_provider_qlik.assets.uri import asset_uri, openlineage_dataset
        from airflow_provider_qlik.lifecycle.asset_events import host_of

        return [openlineage_dataset(asset_uri(host_of(run["link"]), "apps", "app_id", app_id))]


def _resumed_run() -> Mapping[str, Any] | None:
    """Return the run in the event that resumes this task; None if there is none or it cannot be read.

    Checked loosely: an event that `execute_complete` refuses fails the task there, with the reason.
    """
    from airflow_provider_qlik.compat import trigger_event

    event = trigger_event()
    run = event.get("run") if isinstance(event, Mapping) else None
    if not isinstance(run, Mapping) or not all(isinstance(run.get(name), str) for name in _MEMBERS):
        return None
    link = event.get("link")
    return {"reason": None, **run, "link": link if isinstance(link, str) else None}


def _facets(job: dict[str, Any], run: Mapping[str, Any] | None) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import ErrorMessageRunFacet, ExternalQueryRunFacet

    from airflow_provider_qlik.lifecycle.asset_events import host_of

    if run is None:
        return {FACET: _facet_class()(**job)}
    link = run["link"]
    seen = {name: run[name] for name in ("status", "state")}
    facets: dict[str, Any] = {FACET: _facet_class()(**{**job, "resourceId": run["resource_id"], **seen, "link": link})}
    if link:
        facets["externalQuery"] = ExternalQueryRunFacet(externalQueryId=run["run_id"], source=host_of(link))
    if run["state"] in {"failed", "cancelled"}:
        # Where Airflow knows the exception of the task, it puts that in place of this one.
        why = f": {run['reason']}" if run["reason"] else ""
        text = storable(f"The run ended as '{run['status']}'{why}")
        facets["errorMessage"] = ErrorMessageRunFacet(message=text, programmingLanguage="Qlik")
    return facets


@cache
def _facet_class() -> Any:
    """Return the class of this package's facet. Its base class is there only with the OpenLineage provider."""
    import attrs
    from airflow.providers.common.compat.openlineage.facet import RunFacet

    @attrs.define
    class QlikCloudRunFacet(RunFacet):
        """The job in Qlik Cloud that a task runs or waits for, and its run as far as it is known."""

        # Spelled as OpenLineage spells its members.
        jobType: str
        resourceId: str | None = None
        operation: str | None = None
        status: str | None = None
        state: str | None = None
        link: str | None = None

    return QlikCloudRunFacet
