"""What an operator or sensor is about, by id or by name: written once for both.

Each class is mixed into an operator and a sensor, which take its arguments in constructors of their own: Airflow looks
for them there. It loads nothing of `cloud/` or `runs/`: Dag files import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_qlik.arguments import InvalidArgument, checked_id

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook


def literal(given: object) -> bool:
    """Whether a value is final when a Dag is parsed: no template, and no result of another task."""
    return isinstance(given, str) and "{{" not in given and "{%" not in given


class Target:
    """What is run or waited for. A subclass names its arguments and says how they lead to an id.

    `id_argument` is the id itself; `name_argument` the name that can be given in its place; `within` the arguments that
    only say where to look for that name.
    """

    kind: ClassVar[str]
    id_argument: ClassVar[str]
    name_argument: ClassVar[str | None] = None
    within: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """The names of all arguments that say what is meant; all may be templates."""
        return (cls.id_argument, *((cls.name_argument,) if cls.name_argument else ()), *cls.within)

    def check_target(self) -> None:
        """Raises InvalidArgument for what is wrong already when the Dag is parsed."""
        self._check_which()
        for name in self.arguments():
            given = getattr(self, name)
            if literal(given):
                (checked_id if name.endswith("_id") else _checked_name)(name, given)

    @property
    def target_label(self) -> str:
        """What a user calls it: for the names of mapped task instances."""
        return str(self._given_name or getattr(self, self.id_argument))

    def find_target(self, hook: QlikCloudHook) -> str:
        """The id, looked up by name where that was given.

        Raises InvalidArgument for a bad id, and for a name that none or several have, with the candidates.
        """
        self._check_which()
        by_id = getattr(self, self.id_argument)
        if by_id is not None:
            return checked_id(self.id_argument, by_id)
        return self._look_up(hook, _checked_name(str(self.name_argument), self._given_name))

    @property
    def _given_name(self) -> str | None:
        return getattr(self, self.name_argument) if self.name_argument else None

    def _check_which(self) -> None:
        by_id, by_name = getattr(self, self.id_argument), self._given_name
        either = " or ".join(filter(None, (self.id_argument, self.name_argument)))
        if by_id is not None and by_name is not None:
            raise InvalidArgument(str(self.name_argument), by_name, f"give {either}, not both")
        if by_id is None and by_name is None:
            raise InvalidArgument(self.id_argument, None, f"give {either}")
        for name in self.within if by_id is not None else ():
            if getattr(self, name) is not None:
                allowed = f"goes with {self.name_argument}, not with {self.id_argument}"
                raise InvalidArgument(name, getattr(self, name), allowed)

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        raise NotImplementedError

    def _app(self, hook: QlikCloudHook, app_id: str | None, app_name: str | None, space_name: str | None) -> str | None:
        """The id of the app that a name is looked for in, if one was given."""
        from airflow_provider_qlik.runs import names

        if app_id is not None and app_name is not None:
            raise InvalidArgument("app_name", app_name, "give app_id or app_name, not both")
        if app_id is not None:
            return checked_id("app_id", app_id)
        if app_name is None:
            return None
        return hook.run_flow(names.app_id(_checked_name("app_name", app_name), space_name))


def _checked_name(argument: str, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise InvalidArgument(argument, "None" if given is None else given, "a name is a text that is not empty")
    return given


class TaskTarget(Target):
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
        if self.qlik_task_name is not None and self.app_id is None and self.app_name is None:
            raise InvalidArgument("app_id", None, "a task's name needs its app: give app_id or app_name")

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import names

        app = self._app(hook, self.app_id, self.app_name, self.space_name)
        return hook.run_flow(names.task_id(name, str(app)))


class AutomationTarget(Target):
    """An automation: `automation_id`, or `automation_name` with or without `space_name`."""

    kind: ClassVar[str] = "automation"
    id_argument: ClassVar[str] = "automation_id"
    name_argument: ClassVar[str | None] = "automation_name"
    within: ClassVar[tuple[str, ...]] = ("space_name",)

    automation_id: str | None
    automation_name: str | None
    space_name: str | None

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import names

        return hook.run_flow(names.automation_id(name, self.space_name))


class AppTarget(Target):
    """An app: `app_id`, or `app_name` with or without `space_name`."""

    kind: ClassVar[str] = "reload"
    id_argument: ClassVar[str] = "app_id"
    name_argument: ClassVar[str | None] = "app_name"
    within: ClassVar[tuple[str, ...]] = ("space_name",)

    app_id: str | None
    app_name: str | None
    space_name: str | None

    def _look_up(self, hook: QlikCloudHook, name: str) -> str:
        from airflow_provider_qlik.runs import names

        return hook.run_flow(names.app_id(name, self.space_name))


class SharingTaskTarget(Target):
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
        from airflow_provider_qlik.runs import names

        app = self._app(hook, self.app_id, self.app_name, self.space_name)
        return hook.run_flow(names.sharing_task_id(name, app))


class ReloadTaskTarget(Target):
    """A reload task: `reload_task_id`. They have no names."""

    kind: ClassVar[str] = "reload_task"
    id_argument: ClassVar[str] = "reload_task_id"

    reload_task_id: str | None
