"""The commands that list apps, automations, tasks and sharing tasks."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from airflow_provider_qlik.cli.output import Progress, print_rows
from airflow_provider_qlik.cli.session import open_hook
from airflow_provider_qlik.cloud.api import automations, catalog, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.models.automations import Automation
from airflow_provider_qlik.cloud.models.catalog import Item
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.sharing_tasks import SharingTask
from airflow_provider_qlik.cloud.models.tasks import Task
from airflow_provider_qlik.runs import lookup

ItemT = TypeVar("ItemT", Automation, Item, SharingTask, Task)
Row: TypeAlias = dict[str, Any]


def list_apps(args: Namespace) -> int:
    """Print the apps that the user may see."""

    def call(space: str | None) -> Call[Page[Item]]:
        return catalog.items(resource_type="app", name=args.name, space_id=space, limit=100)

    # The list itself keeps the apps of the space: the personal one has no id in the items.
    return _print(args, "apps", call, _app, None)


def list_automations(args: Namespace) -> int:
    """Print the automations that the user may see."""
    return _print(args, "automations", lambda _: automations.list(limit=100), _automation, _automation_space)


def list_tasks(args: Namespace) -> int:
    """Print the tasks that the user may see."""
    return _print(args, "tasks", lambda _: tasks.list(resource_id=args.app_id, limit=100), _task, _task_space)


def list_sharing_tasks(args: Namespace) -> int:
    """Print the sharing tasks that the user may see."""

    def call(_: str | None) -> Call[Page[SharingTask]]:
        return sharing_tasks.list(app_id=args.app_id, limit=100)

    return _print(args, "sharing tasks", call, _sharing_task, lambda item: item.space_id)


def _print(
    args: Namespace,
    noun: str,
    call: Callable[[str | None], Call[Page[ItemT]]],
    row: Callable[[ItemT], Row],
    space_of: Callable[[ItemT], str | None] | None,
) -> int:
    """Print a row for each item of a list that has `--name` in its name and lies in `--space`.

    :param space_of: returns the id of an item's space; None if the list has those of the space alone.
    """
    with open_hook(args) as hook, Progress(noun, args.verbose) as progress:
        space = hook.run_flow(lookup.space_id(args.space)) if args.space is not None else None
        items: Iterable[ItemT] = progress.through(hook.iterate(call(space)))
        if space is not None and space_of is not None:
            items = _in_space(items, space, space_of)
        if args.name is not None:
            part = args.name.casefold()
            items = (item for item in items if part in (item.name or "").casefold())
        rows = [row(item) for item in islice(items, args.limit)]
    print_rows(rows, args.output)
    return 0


def _in_space(items: Iterable[ItemT], space: str, space_of: Callable[[ItemT], str | None]) -> Iterator[ItemT]:
    return (item for item in items if (space_of(item) or lookup.PERSONAL) == space)


def _app(item: Item) -> Row:
    return {"id": item.resource_id, "name": item.name, "space_id": item.space_id or None, "updated_at": item.updated_at}


def _automation(automation: Automation) -> Row:
    return {
        "id": automation.id,
        "name": automation.name,
        "state": automation.state,
        "run_mode": automation.run_mode,
        "space_id": _automation_space(automation),
        "last_run_at": automation.last_run_at,
        "last_run_status": automation.last_run_status,
    }


def _automation_space(automation: Automation) -> str | None:
    return automation.space_id or None


def _task(task: Task) -> Row:
    return {
        "id": task.id,
        "name": task.name,
        "enabled": task.enabled,
        "resource_id": task.resource_id,
        "space_id": _task_space(task),
        "disabled_code": task.metadata.disabled_code if task.metadata else None,
    }


def _task_space(task: Task) -> str | None:
    return (task.metadata.space_id if task.metadata else None) or None


def _sharing_task(task: SharingTask) -> Row:
    return {
        "id": task.id,
        "name": task.name,
        "type": task.type,
        "enabled": task.enabled,
        "app_id": task.app_id,
        "space_id": task.space_id or None,
        "last_execution_at": task.last_execution_date,
    }
