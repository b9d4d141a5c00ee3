"""The command that checks a connection: one line for each fact."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_qlik.cli.output import print_rows
from airflow_provider_qlik.cli.session import CommandHook, open_hook
from airflow_provider_qlik.cloud.api import automations, catalog, sharing_tasks, tasks, users
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.users import User
from airflow_provider_qlik.cloud.transport import deprecations
from airflow_provider_qlik.cloud.transport.clock import clock_error, measured_offset
from airflow_provider_qlik.cloud.transport.credentials import ApiKey, Credentials, Impersonation
from airflow_provider_qlik.cloud.transport.paths import tasks_path_of
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.tasks_api import AUTO

NOT_SAID = "Qlik Cloud does not say"


def check(args: Namespace) -> int:
    """Print what works with a connection. Returns 1 if the sign-in does not."""
    hook = open_hook(args)
    works, message = hook.test_connection()
    facts = [("connection", hook.qlik_conn_id if args.host is None else args.host), ("sign-in", message)]
    if works:
        with hook:
            facts += _facts(hook)
    print_rows([{"fact": fact, "value": value} for fact, value in facts], args.output)
    return 0 if works else 1


def _facts(hook: CommandHook) -> Iterator[tuple[str, str]]:
    client = hook.get_conn()
    tenant, credentials, _ = client.settings
    yield "roles", _roles(hook.call(users.me()))
    yield "scopes", _scopes(credentials)
    # The apps come first: their list needs no search for its path, which would spoil the measurement of the clock.
    clock = NOT_SAID
    for name, call in _lists().items():
        sent_at = time.time()
        try:
            page = hook.call(call, ONE_ATTEMPT)
        except QlikCloudError as error:
            yield name, f"cannot be listed: {error}"
            continue
        yield name, "can be listed"
        if name != "tasks" and clock == NOT_SAID:
            clock = _clock(measured_offset(page.server_time, sent_at, time.time()))
    yield "tasks API", _tasks_api(tasks_path_of(tenant), tenant.tasks_path)
    yield "deprecations", _deprecations(deprecations.seen())
    yield "clock", clock


def _lists() -> Mapping[str, Call[Page[Any]]]:
    return {
        "apps": catalog.items(resource_type="app", limit=1),
        "automations": automations.list(limit=1),
        "tasks": tasks.list(limit=1),
        "sharing tasks": sharing_tasks.list(limit=1),
    }


def _roles(user: User) -> str:
    """Return the names of the roles that the user has in the tenant."""
    if user.assigned_roles is None:
        return NOT_SAID
    names = [role.get("name") if isinstance(role, Mapping) else role for role in user.assigned_roles]
    return ", ".join(str(name) for name in names if name) or "none in the tenant; roles in spaces are not shown"


def _scopes(credentials: Credentials) -> str:
    """Return the scopes as far as they are known: no response of Qlik Cloud has those of a token."""
    if isinstance(credentials, ApiKey):
        return "all that the user may do (an API key has no scopes)"
    scope = None if isinstance(credentials, Impersonation) else credentials.scope
    return f"requested: {scope}" if scope else "all scopes of the OAuth client (none was requested)"


def _tasks_api(path: str | None, setting: str) -> str:
    if path is None:
        return "could not be found out"
    return f"{path} ({'found by a request' if setting == AUTO else 'set in the connection'})"


def _deprecations(seen: Mapping[str, deprecations.Deprecation]) -> str:
    """Return the operations of this check that Qlik Cloud has announced to remove."""
    texts = []
    for operation, deprecation in seen.items():
        when = f"until {deprecation.sunset}" if deprecation.sunset else "without a date"
        texts.append(f"{operation} ({when}{', see ' + deprecation.link if deprecation.link else ''})")
    return "; ".join(texts) or "none for the requests of this check"


def _clock(offset: float | None) -> str:
    if offset is None:
        return NOT_SAID
    return clock_error(offset) if offset else "within a second of Qlik Cloud's"
