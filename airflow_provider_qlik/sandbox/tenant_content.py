"""The part of the handle that fills a tenant: what it holds, what will run, and what has run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from airflow_provider_qlik.sandbox.control_client import Asking
from airflow_provider_qlik.sandbox.state.script import Script, Sharing


class Content(Asking):
    """Puts tasks, automations, apps, sharing tasks and runs into a tenant."""

    def add_task(
        self,
        name: str = "Task",
        id: str | None = None,
        resource_id: str | None = None,
        worker: str = "reloads",
        **members: Any,
    ) -> str:
        """The id of a new, enabled task.

        resource_id: the app or automation it works on; a made-up app (or a new automation) if not given.
        worker: the `workerType` of its runs: "reloads", "automations" (`resource_id` is an automation), or
            another word, behind which there is nothing to be found.
        members: members of the task as the API has them, such as `enabled=False` or `metadata={…}`.
        """
        return str(self._ask("add_task", name=name, id=id, resource_id=resource_id, worker=worker, members=members))

    def add_automation(
        self,
        name: str = "Automation",
        id: str | None = None,
        run_mode: Literal["manual", "scheduled", "triggered", "webhook"] = "manual",
        **members: Any,
    ) -> str:
        """The id of a new automation.

        members: members of the automation as the API has them, such as `maxConcurrentRuns=1`.
        """
        return str(self._ask("add_automation", name=name, id=id, run_mode=run_mode, members=members))

    def add_app(
        self,
        name: str = "App",
        id: str | None = None,
        space_id: str | None = None,
        owner_id: str | None = None,
        datasets: Iterable[str] = (),
    ) -> str:
        """The id of a new app, which is in its owner's personal space if none is given.

        A name may be given twice. The owner is the tenant's first user if not given.
        datasets: ids of the datasets of pipelines that the app reads.
        """
        told = {"space_id": space_id, "owner_id": owner_id, "datasets": list(datasets)}
        return str(self._ask("add_app", name=name, id=id, **told))

    def add_space(
        self, name: str = "Space", id: str | None = None, type: Literal["shared", "managed", "data"] = "shared"
    ) -> str:
        """The id of a new space."""
        return str(self._ask("add_space", name=name, id=id, type=type))

    def add_reload_task(self, app_id: str, id: str | None = None, **members: Any) -> str:
        """The id of a new, enabled reload task of an app, which recurs daily.

        members: members of the reload task as the API has them, such as `state="Disabled"` or `nextExecutionTime=…`.
        """
        return str(self._ask("add_reload_task", app_id=app_id, id=id, members=members))

    def execute_reload_task(self, id: str, *, ago: float = 0.0) -> str:
        """The id of the reload that the schedule set off so many seconds ago; it sets `lastExecutionTime`.

        The reload follows the next script of the app.
        """
        return str(self._ask("execute_reload_task", id=id, ago=ago))

    def add_sharing_task(
        self,
        name: str = "Report",
        id: str | None = None,
        recipients: Iterable[str] = ("user-sandbox",),
        app_id: str | None = None,
        **members: Any,
    ) -> str:
        """The id of a new, enabled sharing task, which makes one pdf called `report` for each recipient.

        recipients: ids of users and e-mail addresses.
        app_id: the app its reports are made from; a new one if not given.
        members: members of the sharing task as the API has them, such as `enabled=False` or `statusCode=…`.
        """
        return str(
            self._ask(
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
        """The id of a new run of a task, automation or app that somebody else started so many seconds ago.

        It has ended or is active as its script, counted from its start, has it. The run of a sharing task is an
        execution for its first recipient.
        by: the id of the user who started it, without one that of a stranger.
        triggered_by: for a run of a task. context, inputs: for a run of an automation. origin: the `type` of a reload.
        """
        members = script.to_json() if script else None
        return str(
            self._ask(
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
        script: Script | Sharing | None = None,
        reload_id: str | None = None,
        workflow_id: str | None = None,
        id: str | None = None,
    ) -> str:
        """The id of a new execution of a sharing task that the caller did not ask for.

        started_ago: seconds since it was set off; 0.0: just now, as that of somebody else in the same minute.
        script: what it does; of a `Sharing`, what stands for the first recipient.
        reload_id: the app reload that set it off, where somebody else did not.
        workflow_id: the workflow it belongs to; one of its own if not given.
        """
        return str(
            self._ask(
                "add_execution",
                task_id=task_id,
                started_ago=started_ago,
                script=script.to_json() if script else None,
                reload_id=reload_id,
                workflow_id=workflow_id,
                id=id,
            )
        )

    def script(self, resource_id: str, *scripts: Script | Sharing) -> None:
        """Queue scripts for the next runs of a task, automation, app or sharing task; the last one stays.

        A run of a task takes the task's script, or else its app's. For a sharing task a `Sharing` says what each
        recipient's execution does; a `Script` stands for all of them.
        """
        self._ask("script", resource_id=resource_id, scripts=[script.to_json() for script in scripts])
