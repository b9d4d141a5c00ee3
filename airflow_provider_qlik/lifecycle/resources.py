"""The arguments of operators and sensors that name a resource, by id or by name.

Each class is mixed into an operator and a sensor, which take its arguments in constructors of their own, where Airflow
looks for them. It imports nothing of `cloud/` or `runs/`, since Dag files import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_qlik.validation import InvalidArgumentError, checked_id, checked_name

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook


def literal(value: object) -> bool:
    """Return True if a value is final when the Dag is parsed: no template, and no result of another task."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    return isinstance(value, int | float)


class ResourceArguments:
    """The resource that is run or waited for. A subclass names its arguments and looks up the id.

    `id_argument` is the id itself; `name_argument` the name that can be given instead; `within` the arguments that say
    where to look for that name. Beside an id these are ignored: they may come from a Dag's `default_args`, which
    Airflow passes to each operator that has an argument of that name.
    """

    kind: ClassVar[str]
    id_argument: ClassVar[str]
    name_argument: ClassVar[str | None] = None
    within: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """Return the names of all arguments that name the resource; all may be templates."""
        return (cls.id_argument, *((cls.name_argument,) if cls.name_argument else ()), *cls.within)

    def identity(self, *more: str) -> dict[str, str | None]:
        """Return the arguments that name the resource, for comparison with those of an earlier attempt."""
        values = {name: getattr(self, name) for name in (*self.arguments(), *more)}
        return {"kind": self.kind, **{name: None if value is None else str(value) for name, value in values.items()}}

    def check_resource(self) -> None:
        """Check the arguments when the Dag is parsed, except for templates. Raises InvalidArgumentError."""
        self._check_which()
        for name in self._used_arguments:
            value = getattr(self, name)
            if literal(value):
                _check(name, value)

    def read_resource(self) -> None:
        """Replace the rendered arguments by the texts that they stand for, and check them.

        Raises InvalidArgumentError.
        """
        self._check_which()
        for name in self._used_arguments:
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, _check(name, value))

    @property
    def resource_label(self) -> str:
        """The name or id of the resource, for the labels of mapped task instances."""
        name = self._name_value
        return str(name if name is not None else getattr(self, self.id_argument))

    def resolve_resource(self, hook: QlikCloudHook) -> str:
        """Return the id of the resource, looked up if its name was given.

        Raises InvalidArgumentError for an invalid id, and for a name that no resource or several have, with the
        candidates; raises QlikCloudError.
        """
        self.read_resource()
        by_id = getattr(self, self.id_argument)
        return str(by_id) if by_id is not None else self._look_up(hook, str(self._name_value))

    @property
    def _name_value(self) -> str | None:
        return getattr(self, self.name_argument) if self.name_argument else None

    @property
    def _used_arguments(self) -> tuple[str, ...]:
        """The names of the arguments that are used: the id alone if it is given."""
        return (self.id_argument,) if getattr(self, self.id_argument) is not None else self.arguments()

    def _check_which(self) -> None:
        by_id, by_name = getattr(self, self.id_argument), self._name_value
        either = " or ".join(filter(None, (self.id_argument, self.name_argument)))
        if by_id is not None and by_name is not None:
            raise InvalidArgumentError(str(self.name_argument), by_name, f"give {either}, not both")
        if by_id is None and by_name is None:
            raise InvalidArgumentError(self.id_argument, None, f"give {either}")

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        raise NotImplementedError

    def _app(self, hook: QlikCloudHook, app_id: str | None, app_name: str | None, space_name: str | None) -> str | None:
        """Return the id of the app in which a name is looked up, or None if no app was given."""
        from airflow_provider_qlik.runs import lookup

        if app_id is not None and app_name is not None:
            raise InvalidArgumentError("app_name", app_name, "give app_id or app_name, not both")
        if app_id is not None or app_name is None:
            return app_id
        return hook.run_flow(lookup.app_id(app_name, space_name))


def _check(argument: str, value: object) -> str:
    return checked_id(argument, value) if argument.endswith("_id") else checked_name(argument, value)


class TaskArguments(ResourceArguments):
    """A task: `qlik_task_id`, or `qlik_task_name` with its app: `app_id`, or `app_name` (and `space_name`)."""

    kind: ClassVar[str] = "task"
    id_argument: ClassVar[str] = "qlik_task_id"
    name_argument: ClassVar[str | None] = "qlik_task_name"
    within: ClassVar[tuple[str, ...]] = ("app_id", "app_name", "space_name")

    qlik_task_id: str | None
    qlik_task_name: str | None
    app_id: str | None
    app_name: str | None
    space_name: str | None

    def _check_which(self) -> None:
        super()._check_which()
        if self.qlik_task_id is None and self.app_id is None and self.app_name is None:
            raise InvalidArgumentError("app_id", None, "a task's name needs its app: give app_id or app_name")

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import lookup

        app = self._app(hook, self.app_id, self.app_name, self.space_name)
        return hook.run_flow(lookup.task_id(name, str(app)))


class AutomationArguments(ResourceArguments):
    """An automation: `automation_id`, or `automation_name` with or without `space_name`."""

    kind: ClassVar[str] = "automation"
    id_argument: ClassVar[str] = "automation_id"
    name_argument: ClassVar[str | None] = "automation_name"
    within: ClassVar[tuple[str, ...]] = ("space_name",)

    automation_id: str | None
    automation_name: str | None
    space_name: str | None

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import lookup

        return hook.run_flow(lookup.automation_id(name, self.space_name))


class AppArguments(ResourceArguments):
    """An app: `app_id`, or `app_name` with or without `space_name`."""

    kind: ClassVar[str] = "reload"
    id_argument: ClassVar[str] = "app_id"
    name_argument: ClassVar[str | None] = "app_name"
    within: ClassVar[tuple[str, ...]] = ("space_name",)

    app_id: str | None
    app_name: str | None
    space_name: str | None

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import lookup

        return hook.run_flow(lookup.app_id(name, self.space_name))


class SharingTaskArguments(ResourceArguments):
    """A sharing task: `sharing_task_id`, or `sharing_task_name` with or without its app (`app_id` or `app_name`)."""

    kind: ClassVar[str] = "sharing_task"
    id_argument: ClassVar[str] = "sharing_task_id"
    name_argument: ClassVar[str | None] = "sharing_task_name"
    within: ClassVar[tuple[str, ...]] = ("app_id", "app_name", "space_name")

    sharing_task_id: str | None
    sharing_task_name: str | None
    app_id: str | None
    app_name: str | None
    space_name: str | None

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import lookup

        app = self._app(hook, self.app_id, self.app_name, self.space_name)
        return hook.run_flow(lookup.sharing_task_id(name, app))


class ReloadTaskArguments(ResourceArguments):
    """A reload task: `reload_task_id`. They have no names."""

    kind: ClassVar[str] = "reload_task"
    id_argument: ClassVar[str] = "reload_task_id"

    reload_task_id: str | None


KIND_NAMES = tuple(
    arguments.kind
    for arguments in (TaskArguments, AutomationArguments, AppArguments, SharingTaskArguments, ReloadTaskArguments)
)
"""The kinds of run, as `runs.ADAPTERS` names them: here so that a trigger can be made without loading `runs/`."""
