"""The part of the handle that adds content to a tenant: resources, runs, and scripts for future runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from airflow_provider_qlik.sandbox.control_client import ControlClient
from airflow_provider_qlik.sandbox.state.script import Script, SharingScript


class TenantContent(ControlClient):
    """Add tasks, automations, apps, sharing tasks and runs to a tenant."""

    def add_task(
        self,
        name: str = "Task",
        id: str | None = None,
        resource_id: str | None = None,
        worker: str = "reloads",
        **members: Any,
    ) -> str:
        """Add an enabled task, and return its id.

        resource_id: the app or automation it works on; default: a new app or automation.
        worker: the `workerType` of its runs: "reloads", "automations" (`resource_id` is an automation), or
            another word for a worker that the API does not show.
        members: members of the task as the API has them, such as `enabled=False` or `metadata={…}`.
        """
        return str(self._call("add_task", name=name, id=id, resource_id=resource_id, worker=worker, members=members))

    def add_automation(
        self,
        name: str = "Automation",
        id: str | None = None,
        run_mode: Literal["manual", "scheduled", "triggered", "webhook"] = "manual",
        **members: Any,
    ) -> str:
        """Add an automation, and return its id.

        members: members of the automation as the API has them, such as `maxConcurrentRuns=1`.
        """
        return str(self._call("add_automation", name=name, id=id, run_mode=run_mode, members=members))

    def add_app(
        self,
        name: str = "App",
        id: str | None = None,
        space_id: str | None = None,
        owner_id: str | None = None,
        datasets: Iterable[str] = (),
    ) -> str:
        """Add an app, and return its id. Several apps may have the same name.

        space_id: default: the owner's personal space. owner_id: default: the tenant's first user.
        datasets: ids of the datasets of pipelines that the app reads.
        """
        arguments = {"space_id": space_id, "owner_id": owner_id, "datasets": list(datasets)}
        return str(self._call("add_app", name=name, id=id, **arguments))

    def add_space(
        self, name: str = "Space", id: str | None = None, type: Literal["shared", "managed", "data"] = "shared"
    ) -> str:
        """Add a space of the first user, and return its id. id: default: a new one."""
        return str(self._call("add_space", name=name, id=id, type=type))

    def add_reload_task(self, app_id: str, id: str | None = None, **members: Any) -> str:
        """Add an enabled reload task of an app, which recurs daily, and return its id.

        members: members of the reload task as the API has them, such as `state="Disabled"` or `nextExecutionTime=…`.
        """
        return str(self._call("add_reload_task", app_id=app_id, id=id, members=members))

    def execute_reload_task(self, id: str, *, started_ago: float = 0.0) -> str:
        """Add the reload that the schedule started, and return its id; this sets `lastExecutionTime`.

        The reload takes the next script of the app. Raises SandboxError if the reload task is not enabled.

        id: the reload task.
        started_ago: sandbox seconds since the start of the reload.
        """
        return str(self._call("execute_reload_task", id=id, started_ago=started_ago))

    def add_sharing_task(
        self,
        name: str = "Report",
        id: str | None = None,
        recipients: Iterable[str] = ("user-sandbox",),
        app_id: str | None = None,
        **members: Any,
    ) -> str:
        """Add an enabled sharing task that makes one pdf named `report` for each recipient, and return its id.

        recipients: ids of users and e-mail addresses.
        app_id: the app its reports are made from; default: a new app.
        members: members of the sharing task as the API has them, such as `enabled=False` or `statusCode=…`.
        """
        return str(
            self._call(
                "add_sharing_task",
                name=name,
                id=id,
                recipients=list(recipients),
                app_id=app_id,
                members=members,
            )
        )

    def add_run(
        self,
        resource_id: str,
        *,
        started_ago: float = 3600.0,
        script: Script | None = None,
        triggered_by: str = "schedule",
        context: str = "api_async",
        origin: str = "external",
        id: str | None = None,
        inputs: Any = None,
        by: str | None = None,
    ) -> str:
        """Add a run of a task, automation or app that another user started, and return its id.

        The run of a sharing task is an execution for its first recipient.

        started_ago: sandbox seconds since its start. Its script counts from there, so that the run may have ended.
        script: default: one that succeeds after a second.
        triggered_by: the `triggeredBy` of a run of a task.
        context, inputs: the context and the inputs of a run of an automation.
        origin: the `type` of a reload.
        by: the id of the user who started it; default: a user other than the caller.
        """
        members = script.to_json() if script else None
        return str(
            self._call(
                "add_run",
                resource_id=resource_id,
                started_ago=started_ago,
                script=members,
                triggered_by=triggered_by,
                context=context,
                origin=origin,
                id=id,
                inputs=inputs,
                by=by,
            )
        )

    def add_execution(
        self,
        task_id: str,
        *,
        started_ago: float = 3600.0,
        script: Script | SharingScript | None = None,
        reload_id: str | None = None,
        workflow_id: str | None = None,
        id: str | None = None,
    ) -> str:
        """Add an execution of a sharing task that the caller did not start, and return its id.

        started_ago: sandbox seconds since its request.
        script: its script; of a `SharingScript`, that of the first recipient.
        reload_id: the app reload that triggered it; default: another user did.
        workflow_id: the workflow it belongs to; default: a new one.
        """
        return str(
            self._call(
                "add_execution",
                task_id=task_id,
                started_ago=started_ago,
                script=script.to_json() if script else None,
                reload_id=reload_id,
                workflow_id=workflow_id,
                id=id,
            )
        )

    def script(self, resource_id: str, *scripts: Script | SharingScript) -> None:
        """Queue scripts for the next runs of a resource; the last one applies to all further runs.

        A run of a task takes the task's script, or else its app's. For a sharing task a `SharingScript` has a script
        for each recipient's execution; a `Script` applies to all of them.
        """
        self._call("script", resource_id=resource_id, scripts=[script.to_json() for script in scripts])
