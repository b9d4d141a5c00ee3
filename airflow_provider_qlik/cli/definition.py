"""The commands and their options.

Airflow 3.2 and later imports this module at every `airflow` command, whichever it is: it imports nothing but the
standard library, and what a command needs is imported when it runs. Airflow 2.11 to 3.1 has no commands of providers.
There, `__main__` builds a parser from the same tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.cli.cli_config import GroupCommand

_COMMANDS = "airflow_provider_qlik.cli.commands"


class Option(NamedTuple):
    """An option: its flags, and the arguments that `argparse` and Airflow's `Arg` have in common."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """A command, and the function of `commands` that it calls."""

    name: str
    help: str
    function: str
    options: tuple[Option, ...]

    @property
    def path(self) -> str:
        """Return the import path of the function."""
        return f"{_COMMANDS}.{self.function}"


class Group(NamedTuple):
    """A group of commands."""

    name: str
    help: str
    commands: tuple[Command, ...]


def _option(*flags: str, **settings: Any) -> Option:
    return Option(flags, settings)


def count(text: str) -> int:
    """Return the whole number from 1 in an argument. Raises ValueError."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def seconds(text: str) -> float:
    """Return the number of seconds above 0 in an argument. Raises ValueError."""
    if not 0 < (number := float(text)) < float("inf"):
        raise ValueError(text)
    return number


KINDS = ("task", "automation", "app", "sharing-task")
"""The kinds of resource whose runs the commands show."""

_VERBOSE = _option("-v", "--verbose", help="Show progress and the log of this package", action="store_true")
_CONNECTION = (
    _option("--conn-id", help="The Airflow connection (default: qlik_cloud_default)", metavar="ID"),
    _option("--host", help="The address of a tenant, in place of an Airflow connection", metavar="URL"),
    _option(
        "--api-key-env",
        help="With --host: the environment variable that holds the API key (default: QLIK_API_KEY)",
        metavar="NAME",
    ),
    _option("--client-id", help="With --host: the id of an OAuth client, in place of an API key", metavar="ID"),
    _option(
        "--client-secret-env",
        help="With --client-id: the environment variable that holds its secret (default: QLIK_CLIENT_SECRET)",
        metavar="NAME",
    ),
    _VERBOSE,
)
_OUTPUT = _option(
    "-o",
    "--output",
    help="The form of the output: table (default), json, yaml or plain",
    metavar="FORM",
    choices=("table", "json", "yaml", "plain"),
    default="table",
)
_SPACE = _option("--space", help="The name of the space", metavar="NAME")
_LIMIT = _option("--limit", help="List so many at most (default: all)", type=count, metavar="N")
_NAME_PART = _option("--name", help="List those whose names contain this", metavar="TEXT")
_APP_ID = _option("--app-id", help="The id of the app", metavar="ID")
_RUN_OF = (
    _option("--kind", help="What is run: " + ", ".join(KINDS), choices=KINDS, required=True, metavar="KIND"),
    _option("--id", help="The id of the task, automation, app or sharing task", metavar="ID"),
    _option("--name", help="Its exact name, in place of the id; a task needs its app as well", metavar="NAME"),
    _SPACE,
    _option("--app-id", help="With the name of a task or sharing task: the id of its app", metavar="ID"),
    _option("--app-name", help="The name of that app, in place of its id", metavar="NAME"),
)
_LAST_RUN = _option("--run-id", help="The id of the run (default: the last run)", metavar="ID")

COMMANDS: tuple[Command | Group, ...] = (
    Command("check", "Show who signs in, with which rights, and what works", "check", (*_CONNECTION, _OUTPUT)),
    Group(
        "apps",
        "Apps",
        (Command("list", "List apps", "list_apps", (*_CONNECTION, _OUTPUT, _NAME_PART, _SPACE, _LIMIT)),),
    ),
    Group(
        "automations",
        "Automations",
        (Command("list", "List automations", "list_automations", (*_CONNECTION, _OUTPUT, _NAME_PART, _SPACE, _LIMIT)),),
    ),
    Group(
        "tasks",
        "Tasks",
        (Command("list", "List tasks", "list_tasks", (*_CONNECTION, _OUTPUT, _NAME_PART, _SPACE, _APP_ID, _LIMIT)),),
    ),
    Group(
        "sharing-tasks",
        "Sharing tasks (reports)",
        (
            Command(
                "list",
                "List sharing tasks",
                "list_sharing_tasks",
                (*_CONNECTION, _OUTPUT, _NAME_PART, _SPACE, _APP_ID, _LIMIT),
            ),
        ),
    ),
    Group(
        "runs",
        "Runs of tasks, automations, apps (reloads) and sharing tasks",
        (
            Command(
                "list",
                "List the runs of a resource, latest first",
                "list_runs",
                (
                    *_CONNECTION,
                    _OUTPUT,
                    *_RUN_OF,
                    _option("--limit", help="List so many at most (default: 20)", type=count, default=20, metavar="N"),
                ),
            ),
            Command("log", "Print the log of a run", "show_log", (*_CONNECTION, *_RUN_OF, _LAST_RUN)),
            Command(
                "cancel",
                "Cancel a run",
                "cancel_run",
                (
                    *_CONNECTION,
                    *_RUN_OF,
                    _option("--run-id", help="The id of the run", required=True, metavar="ID"),
                    _option("-y", "--yes", help="Do not ask for confirmation", action="store_true"),
                ),
            ),
            Command(
                "watch",
                "Wait for the end of a run; the exit code tells how it ended",
                "watch_run",
                (
                    *_CONNECTION,
                    _OUTPUT,
                    *_RUN_OF,
                    _LAST_RUN,
                    _option("--timeout", help="Wait so many seconds at most", type=seconds, metavar="SECONDS"),
                    _option(
                        "--poll-interval",
                        help="The seconds between two looks at the run (default: 5)",
                        type=seconds,
                        default=5.0,
                        metavar="SECONDS",
                    ),
                ),
            ),
        ),
    ),
    Command(
        "sandbox",
        "Run a tenant of Qlik Cloud in this process, for tests and demonstrations, until Ctrl-C",
        "serve_sandbox",
        (
            _option("--port", help="The port of 127.0.0.1; 0: any free one (default: 8080)", type=int, default=8080),
            _option("--speed", help="Sandbox seconds in one real second (default: 1)", type=float, default=1.0),
            _option("--demo", help="Add a few tasks, automations and apps", action="store_true"),
            _VERBOSE,
        ),
    ),
)
NAME = "qlik"
HELP = "Qlik Cloud: check a connection, list what can be run, see and cancel runs"


def get_qlik_cli_commands() -> list[GroupCommand]:
    """Return the group of commands `airflow qlik`, as Airflow 3.2 and later asks for it in the provider info."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    argument: Any = Arg  # it has no types

    def action(command: Command) -> ActionCommand:
        return ActionCommand(
            name=command.name,
            help=command.help,
            func=lazy_load_command(command.path),
            args=[argument(flags=option.flags, **option.settings) for option in command.options],
        )

    def converted(command: Command | Group) -> ActionCommand | GroupCommand:
        if isinstance(command, Command):
            return action(command)
        return GroupCommand(command.name, command.help, [action(inner) for inner in command.commands])

    return [GroupCommand(NAME, HELP, [converted(command) for command in COMMANDS])]
