"""The session of a command: the hook of its connection, and the resource that its options name."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from airflow_provider_qlik.cloud.errors import InvalidArgumentError
from airflow_provider_qlik.compat import connection_outside_a_task
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.connection_parser import StoredConnection
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.lifecycle.resources import (
    AppArguments,
    AutomationArguments,
    ResourceArguments,
    SharingTaskArguments,
    TaskArguments,
)
from airflow_provider_qlik.masking import masked_text
from airflow_provider_qlik.runs import ADAPTERS
from airflow_provider_qlik.runs.adapter import ListedRunAdapter

API_KEY_VARIABLE = "QLIK_API_KEY"
CLIENT_SECRET_VARIABLE = "QLIK_CLIENT_SECRET"

KINDS: dict[str, type[ResourceArguments]] = {
    "task": TaskArguments,
    "automation": AutomationArguments,
    "app": AppArguments,
    "sharing-task": SharingTaskArguments,
}
"""The arguments that name a resource, by the kinds of `definition.KINDS`."""


class CommandError(Exception):
    """An error of a command. The message is one sentence for the user."""


class UsageError(CommandError):
    """Options that do not go together."""


class CommandHook(QlikCloudHook):
    """The hook of a command: it takes the connection from Airflow's database and secrets backends, or from options."""

    def __init__(self, connection_id: str, stored: StoredConnection | None = None) -> None:
        super().__init__(connection_id)
        self._of_options = stored

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Return the connection. Raises InvalidArgumentError that says why it was not found."""
        connection, failures = connection_outside_a_task(conn_id)
        if connection is None:
            reasons = "".join(f"; {_first_line(error)}" for error in failures)
            raise InvalidArgumentError("--conn-id", conn_id, f"Airflow has no such connection{reasons}")
        return connection

    def _stored(self) -> StoredConnection:
        return self._of_options or super()._stored()


def open_hook(args: Namespace) -> CommandHook:
    """Return the hook for the options of a command. Raises UsageError, and CommandError for an unset variable."""
    if args.host is None:
        for option in ("api_key_env", "client_id", "client_secret_env"):
            if getattr(args, option) is not None:
                raise UsageError(f"{_flag(option)} needs --host")
        return CommandHook(args.conn_id or DEFAULT_CONNECTION_ID)
    if args.conn_id is not None:
        raise UsageError("Give --conn-id or --host, not both")
    if args.client_id is None:
        if args.client_secret_env is not None:
            raise UsageError("--client-secret-env needs --client-id")
        key = _from_environment("--api-key-env", args.api_key_env, API_KEY_VARIABLE)
        return CommandHook("--host", StoredConnection(args.host, None, None, key, {}))
    if args.api_key_env is not None:
        raise UsageError("Give --api-key-env or --client-id, not both")
    secret = _from_environment("--client-secret-env", args.client_secret_env, CLIENT_SECRET_VARIABLE)
    extra = {"auth_type": "client_credentials"}
    return CommandHook("--host", StoredConnection(args.host, None, args.client_id, secret, extra))


def _from_environment(option: str, name: str | None, default: str) -> str:
    value = os.environ.get(name or default, "").strip()
    if not value:
        # The given name is not repeated: it may be the key itself, by mistake.
        variable = f"variable {default}" if name is None else "such variable"
        raise CommandError(
            f"The environment has no {variable}, or it is empty. {option} takes the name of an environment variable,"
            " never the key or secret itself"
        )
    return value


def adapter_of(args: Namespace) -> ListedRunAdapter[Any]:
    """Return the adapter for the runs of `--kind`."""
    adapter = ADAPTERS[KINDS[args.kind].kind]
    assert isinstance(adapter, ListedRunAdapter), adapter
    return adapter


def resource_id(hook: QlikCloudHook, args: Namespace) -> str:
    """Return the id of the resource that `--kind`, `--id`, `--name` and the options beside a name stand for.

    Raises UsageError, InvalidArgumentError that names the option, and QlikCloudError.
    """
    arguments = KINDS[args.kind]()
    options = {"space_name": "space", "app_id": "app_id", "app_name": "app_name"}
    options |= {arguments.id_argument: "id", str(arguments.name_argument): "name"}
    used = {options[argument] for argument in arguments.arguments()}
    if args.id is None and args.name is None:
        raise UsageError("Give --id or --name")
    for option in ("name", "space", "app_id", "app_name"):
        if getattr(args, option) is None:
            continue
        if option not in used:
            raise UsageError(f"{_flag(option)} has no meaning with --kind {args.kind}")
        if args.id is not None:
            raise UsageError(f"{_flag(option)} has no meaning beside --id")
    for argument in arguments.arguments():
        setattr(arguments, argument, getattr(args, options[argument]))
    try:
        return arguments.resolve_resource(hook)
    except InvalidArgumentError as error:
        flag = _flag(options.get(error.argument, error.argument))
        raise InvalidArgumentError(flag, error.value, error.allowed) from None


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _first_line(error: Exception) -> str:
    return f"{masked_text(str(error).strip().partition(chr(10))[0])} ({type(error).__name__})"
