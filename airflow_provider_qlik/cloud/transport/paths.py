"""On which of two paths a tenant has what Qlik moves: the Tasks API, and the start of an automation with inputs.

Which path it is must be found out, must not be found out a thousand times, and above all must not become a second
start. So a path is looked for with requests that cannot start anything, before the call itself; what was found holds
for the tenant in this process, whatever thread or event loop asks; and one look at a time is under way, for whose end
all others wait. What does not work: to send a start to one path and, after some 404, to the other. A proxy answers 404,
too, and the start may have been carried out behind it.

**Tasks** (`tasks_api` is "auto"). ``GET /api/scheduling/tasks?limit=1`` is sent once:

- A response that is Qlik's own word (a list, or a refusal such as 400 or 403 in Qlik's error form: the user may not
  list, but the service is there to say so) means that the path is there.
- 404, 405, 410 and 501 mean that it is not there, since nothing but the list itself was requested: a 404 that a later
  call gets for a single task concerns that task, and changes nothing here. Then v1 is probed the same way, for a
  gateway that finds nothing may find nothing at all. v1 is used if it answers with Qlik's word: for good if the first
  response was in Qlik's form, and for ten minutes if it was in another, such as a page of a proxy.
- Anything else says nothing: pages with another status, 401, 429, 5xx, a time-out, no connection. Nothing is
  remembered then, and nothing of the call was sent: a call that reads fails with that error, which passes or does not,
  as if it had met it itself; for a call that changes something it is one that surely was not carried out. The next call
  looks again.

Two processes may find different paths while Qlik migrates a tenant. That is harmless: tasks, runs and their ids are the
same on both, and a start goes to one path only.

On the scheduling path calls count in Tier 1 and Tier 2, as everywhere; on v1 all of them in a tier of their own. So the
tier of a call is known when its path is.

**The start of an automation with inputs** (`actions/execute`). v1 is documented, and deprecated with all of
``/api/v1/automations`` (to be removed on or after 30 November 2027); whether ``/api/workflows/automations`` has it, no
document says. There is no safe question: a GET may start a triggered automation, and what Qlik answers for a path that
there is not, is unknown. If that is no error in Qlik's form, a start that was tried on the successor first would be one
of which nobody knows whether it happened, for each run on each tenant without it. So v1 is used until Qlik itself says,
in its own form, that it is not there (404, 405 or 410, which surely started nothing; the automation was read just
before). Then the start goes to the successor, and if it succeeds there, all others do.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from dataclasses import replace
from typing import NamedTuple, TypeAlias, TypeVar

from airflow_provider_qlik.cloud.call import EXECUTE_ROOT, TASKS_ROOT, Call, Tier
from airflow_provider_qlik.cloud.errors import ConnectError, IntermediaryResponseError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Await, Flow, pause
from airflow_provider_qlik.cloud.models.tasks import TaskList
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT, RetryPolicy, send_with_retries
from airflow_provider_qlik.cloud.transport.tenant import V1_EXECUTE, WORKFLOWS_EXECUTE, Tenant
from airflow_provider_qlik.tasks_api import AUTO, SCHEDULING_TASKS, V1_TASKS
from airflow_provider_qlik.validation import InvalidArgumentError

T = TypeVar("T")

NOT_THERE = frozenset({404, 405, 410, 501})
"""Statuses by which a path that takes no id is said not to be there."""
INTERMEDIARY_TTL = 600.0
"""Seconds for which a path counts as missing because an intermediary says so: it may be unblocked."""

_Key: TypeAlias = tuple[str, str]
"""The address of a tenant, and the root whose path is meant."""


class _Found(NamedTuple):
    path: str
    until: float
    """The moment of the monotonic clock from which it is not known any more."""


_found: dict[_Key, _Found] = {}
_Outcome: TypeAlias = str | QlikCloudError | None
"""The end of a probe: the path, the error, or None if it was interrupted."""
_probes: dict[_Key, Future[_Outcome]] = {}
# The thread of a probe does not live on in a child process: flows there would wait for its end for ever.
os.register_at_fork(after_in_child=_probes.clear)


def forget(url: str | None = None) -> None:
    """Forget the paths of a tenant, or of all tenants: the next call probes again."""
    for key in [key for key in _found if url in {None, key[0]}]:
        _found.pop(key, None)


def remember(url: str, tasks_path: str) -> None:
    """Note where a tenant has its tasks, for this process."""
    _note((url, TASKS_ROOT), tasks_path)


def tasks_path_of(tenant: Tenant) -> str | None:
    """Return the path at which a tenant has its Tasks API; None if the setting is `AUTO` and no call has probed it."""
    return tenant.tasks_path if tenant.tasks_path != AUTO else _known(tenant, TASKS_ROOT)


def tier_of(tenant: Tenant, tier: Tier) -> Tier:
    """Return the tier in which reads of *tier* count on this tenant: for tasks it depends on their path."""
    return _tier(tenant.tasks_path if tenant.tasks_path != AUTO else _tasks_path(tenant), "GET", tier)


def sent(call: Call[T], tenant: Tenant, retry_policy: RetryPolicy) -> Flow[T]:
    """Return the flow that sends a call, with retries, to the path where the tenant has it; it probes for that first.

    Raises InvalidArgumentError, before anything is sent, for a call that this tenant does not have since it has Tasks
    v1.
    """
    if not call.path.startswith((TASKS_ROOT, EXECUTE_ROOT)):
        return send_with_retries(call, retry_policy)
    if call.path.startswith(EXECUTE_ROOT):
        return _executed(call, tenant, retry_policy)
    path = tenant.tasks_path if tenant.tasks_path != AUTO else _known(tenant, TASKS_ROOT)
    return (
        _sent_after_probe(call, tenant, retry_policy)
        if path is None
        else send_with_retries(_at(call, tenant, path), retry_policy)
    )


def _known(tenant: Tenant, root: str) -> str | None:
    found = _found.get((tenant.url, root))
    return None if found is None or found.until <= time.monotonic() else found.path


def _tasks_path(tenant: Tenant) -> str:
    return _known(tenant, TASKS_ROOT) or SCHEDULING_TASKS


def _note(key: _Key, path: str, seconds: float = math.inf) -> None:
    _found[key] = _Found(path, time.monotonic() + seconds)


def _tier(path: str, method: str, tier: Tier) -> Tier:
    if tier is not Tier.TASKS or path != SCHEDULING_TASKS:
        return tier
    return Tier.ONE if method == "GET" else Tier.TWO


def _at(call: Call[T], tenant: Tenant, path: str) -> Call[T]:
    """Return a call of tasks as it is on that path. Raise InvalidArgumentError for one that is not there."""
    if call.scheduling_only and path == V1_TASKS:
        if tenant.tasks_path != AUTO:
            why = f"must be {SCHEDULING_TASKS!r} or 'auto' for {call.operation}, which Tasks v1 does not have"
            raise InvalidArgumentError("tasks_api", tenant.tasks_path, why)
        raise InvalidArgumentError(
            "tasks_api",
            None,
            f"this tenant has no Scheduling API ({SCHEDULING_TASKS}), and {call.operation} is part of that alone:"
            f" nothing was sent to {tenant.url}",
        )
    tier = _tier(path, call.method, call.tier)
    return replace(call, path=call.path.replace(TASKS_ROOT, path, 1), tier=tier)


# Tasks


def _sent_after_probe(call: Call[T], tenant: Tenant, retry_policy: RetryPolicy) -> Flow[T]:
    try:
        path = yield from _single_probe((tenant.url, TASKS_ROOT), lambda: _probe_tasks(tenant, retry_policy))
    except QlikCloudError as error:
        if call.method == "GET" or not error.outcome_unknown:
            raise
        unsent = ConnectError(
            f"The request was not sent, since nothing says where the tenant has its Tasks API (set tasks_api of the"
            f" connection if this lasts): {error}"
        )
        unsent.connection = error.connection
        raise unsent from None
    return (yield from send_with_retries(_at(call, tenant, path), retry_policy))


def _probe_tasks(tenant: Tenant, retry_policy: RetryPolicy) -> Flow[str]:
    attempt = 0
    while True:
        attempt += 1
        path, seconds = SCHEDULING_TASKS, math.inf
        missing = yield from _absence(SCHEDULING_TASKS, retry_policy)
        if missing is not None:
            path, seconds = V1_TASKS, math.inf if isinstance(missing, StatusError) else INTERMEDIARY_TTL
            if (yield from _absence(V1_TASKS, retry_policy)) is not None:
                # Neither is there, so the path is not at fault: the tenant is away, or something is in between.
                if not missing.transient or attempt >= retry_policy.max_attempts:
                    raise missing
                yield from pause(retry_policy.pause_after(attempt, missing, random.random()))
                continue
        _note((tenant.url, TASKS_ROOT), path, seconds)
        return path


def _absence(path: str, retry_policy: RetryPolicy) -> Flow[QlikCloudError | None]:
    """Return the error that says that a list of tasks is not there, None if it is. Raise what says neither."""
    tier = _tier(path, "GET", Tier.TASKS)
    poll = Call(
        operation="list_tasks", method="GET", path=path, response_type=TaskList, tier=tier, query=(("limit", "1"),)
    )
    try:
        try:
            yield from send_with_retries(poll, ONE_ATTEMPT)
        except QlikCloudError as error:
            if _is_missing(error) or not error.transient or retry_policy.max_attempts < 2:
                raise
            # By its status alone a page counts as passing. What does pass is outlasted as for any other call.
            yield from pause(retry_policy.pause_after(1, error, random.random()))
            yield from send_with_retries(poll, replace(retry_policy, max_attempts=retry_policy.max_attempts - 1))
    except QlikCloudError as error:
        if _is_missing(error):
            return error
        if isinstance(error, StatusError) and not error.transient and not error.credentials_refused:
            return None
        raise
    return None


def _is_missing(error: QlikCloudError) -> bool:
    return isinstance(error, (StatusError, IntermediaryResponseError)) and error.status in NOT_THERE


def _single_probe(key: _Key, poll: Callable[[], Flow[str]]) -> Flow[str]:
    """Return the path that this flow finds, or another flow whose probe is in flight.

    A failed probe fails all flows that waited for it: a thousand of them must not probe one after the other. Refused
    credentials are those of one user, so the others probe for themselves.
    """
    while True:
        mine: Future[_Outcome] = Future()
        mine.set_running_or_notify_cancel()  # so that a waiting flow that is cancelled does not cancel it
        theirs = _probes.setdefault(key, mine)
        if theirs is mine:
            return (yield from _published(key, mine, poll()))
        yield Await(theirs)
        if not theirs.done():
            return (yield from poll())
        outcome = theirs.result()
        if isinstance(outcome, str):
            return outcome
        if outcome is not None and not getattr(outcome, "credentials_refused", False):
            raise copy(outcome)


def _published(key: _Key, mine: Future[_Outcome], poll: Flow[str]) -> Flow[str]:
    """Run a probe, return its path, and pass its end to the flows that wait for it."""
    outcome: _Outcome = None
    try:
        outcome = yield from poll
        return outcome
    except QlikCloudError as error:
        outcome = error
        raise
    finally:
        if _probes.get(key) is mine:
            del _probes[key]
        mine.set_result(outcome)


# The start of an automation with inputs


def _executed(call: Call[T], tenant: Tenant, retry_policy: RetryPolicy) -> Flow[T]:
    known = _known(tenant, EXECUTE_ROOT)
    try:
        return (yield from send_with_retries(_execute_at(call, known or V1_EXECUTE), retry_policy))
    except StatusError as error:
        if known is not None or error.outcome_unknown or error.status not in NOT_THERE:
            raise
        refusal = error
    try:
        value = yield from send_with_retries(_execute_at(call, WORKFLOWS_EXECUTE), retry_policy)
    except StatusError as error:
        if error.outcome_unknown or error.status not in NOT_THERE:
            raise
        # Neither path has it, so the automation itself is missing: raise the refusal of the documented path.
        raise refusal from None
    _note((tenant.url, EXECUTE_ROOT), WORKFLOWS_EXECUTE)
    return value


def _execute_at(call: Call[T], path: str) -> Call[T]:
    return replace(call, path=call.path.replace(EXECUTE_ROOT, path, 1))
