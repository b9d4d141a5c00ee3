"""Switches for the behaviour of Qlik Cloud that is not documented or not known.

docs/sandbox.md says of each switch what Qlik documents and what is assumed.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from airflow_provider_qlik.sandbox.errors import SchedulingErrorForm, SharingErrorForm
from airflow_provider_qlik.sandbox.state.times import TimePrecision


@dataclass(frozen=True, slots=True)
class Switches:
    """The behaviour of the tenant where Qlik's documents are silent; the defaults are the likely behaviour."""

    show_after: float = 0.0
    """Seconds until a started task run is visible in lists, `last` and its log; likewise for automation runs
    whose start does not return the run (execute, retry)."""
    waiting_task_run: Literal["RUNNING", "hidden"] = "RUNNING"
    """The status of a task run while it waits; `hidden`: it is not shown until it begins to work."""
    start_response: Literal["observed", "documented", "empty"] = "observed"
    """The response to the start of a task: the observed form, `{message}`, or no body."""
    echo_source: bool = True
    """True if `source` is shown as the `triggeredBy` of a run; otherwise that is `manual`."""
    chained_triggered_by: Literal["task_id", "run_id", "word", "absent"] = "task_id"
    """The `triggeredBy` of a run that the end of another task started: the id of that task or of its run, a word that
    names neither, or nothing."""
    chain_delay: float = 0.0
    """Seconds from the end of a run to the start of the runs of the tasks that wait for it."""
    tasks_paths: Literal["both", "v1", "scheduling"] = "both"
    """The paths of tasks: both (documented), or one of them while and after Qlik migrates (assumed)."""
    execute_paths: Literal["both", "v1", "workflows"] = "v1"
    """The path on which a triggered automation is started with inputs. v1 is documented; its successor is not."""
    no_route: Literal["qlik", "text", "page"] = "qlik"
    """The form of the 404 for an unknown path: an error of Qlik's, plain text, or a web page. Undocumented."""
    deprecated_paths: str = ""
    """A pattern with `*` of the paths whose responses have the headers `Deprecation`, `Sunset` and `Link`. The headers
    are documented, but not their forms."""
    sunset: str = "2027-11-30"
    """The date in `Sunset`; empty: no such header."""
    sunset_form: Literal["http_date", "iso_date", "iso_time", "epoch", "nonsense"] = "http_date"
    """The form of `Sunset`: RFC 8594, an ISO date or time, the date form of RFC 9745, or no date at all."""
    source_limit: int | None = None
    """Maximum length of `source` in characters; None: unlimited."""
    source_truncated: bool = False
    """True if a longer `source` is truncated to the limit; otherwise it is refused."""
    competing_runs: int = 0
    """The number of competing runs that begin in the same second as each run of a task, automation or sharing task
    that is started through the API."""
    competing_by: Literal["caller", "others"] = "caller"
    """The user who starts the competing runs of an automation run: the caller (in another client), or another user."""
    competing_context: str = "api_async"
    """The context that competing runs of an automation run report."""
    executed_by: Literal["caller", "owner", "absent"] = "caller"
    """The user in `executedById` of an automation run that was started with the execution token: the caller, the owner
    of the automation, or none. Documented is that it is the user who started the run, but not who that is here."""
    competing_moment: Literal["before", "after"] = "before"
    """The time at which competing runs begin: just before the run or just after it."""
    disabled_start: Literal["refused", "accepted", "ignored"] = "refused"
    """The effect of starting a disabled task or sharing task; `ignored`: the response is that of a start. The start of
    a disabled automation is refused unless the value is `accepted`."""
    running_start: Literal["parallel", "refused", "ignored"] = "parallel"
    """The effect of starting a task or sharing task that is already running."""
    cancelled_task_status: str = "FAILED"
    """The status of a task run whose worker was cancelled."""
    log_form: Literal["accept", "json", "text", "text_json"] = "accept"
    """The form of a task run's log: by the Accept header, JSON, plain text, or JSON with the type text/plain."""
    running_log: Literal["partial", "missing"] = "partial"
    """The log of a task run that has not ended: the lines so far, or 404."""
    resource_id_required: bool = False
    """True if listing tasks without `resourceId` is refused with 400."""
    patch_response: Literal["task", "no_content"] = "task"
    """The response to a patch of a task: 200 with the task, or 204. Both are documented, but not when."""
    last_run_lag: float = 0.0
    """Seconds by which `metadata.orchestration.lastRun` of a task is stale; their number is not documented."""
    edges: Literal["to_root", "downstream"] = "to_root"
    """The direction of edges in a task graph: to the requested task, as in the example, or downstream."""
    v1_filter: Literal["ignored", "refused"] = "ignored"
    """The effect of `filter` in the list of tasks at `/api/v1/tasks`, which does not document it."""
    scheduling_error_form: SchedulingErrorForm = "bare"
    """The member of an error that holds the code CHO-…; no document shows it."""
    task_times: TimePrecision = "milliseconds"
    """The precision of the times of task runs and reloads (truncated)."""
    automation_times: Literal["microseconds", "seconds"] = "seconds"
    """The precision of the times of automation runs; always with six digits, as documented."""
    run_clock_skew: float = 0.0
    """Seconds by which the times of runs are ahead of the Date header."""
    automation_start_time: Literal["started", "created"] = "started"
    """The time in `startTime` of an automation run: when it starts to work, or when it is created."""
    api_context: str = "api_async"
    """The context that an automation run started with the context `api` reports."""
    run_inputs: Literal["recorded", "ignored", "refused"] = "ignored"
    """The effect of `inputs` sent with the creation of an automation run."""
    execute_response: Literal["message", "empty"] = "message"
    """The response to executing a triggered automation: a small JSON object, or no body."""
    stop_ended: Literal["accepted", "refused"] = "accepted"
    """The response to stopping an automation run that has ended: 204, or 400."""
    error_form: Literal["objects", "strings", "object"] = "objects"
    """The form of an automation run's `error`: a list of objects, a list of strings, or one object."""
    duration_form: Literal["integer", "string"] = "integer"
    """The form of `duration` in automation lists."""
    cancel_response: Literal[202, 204] = 202
    """The status of the response to cancelling a reload."""
    pending_reload: Literal["refused", "queued"] = "refused"
    """The effect of starting a reload of an app while another one is pending: 429 with a code of the Reloads family,
    or QUEUED until the other one has ended."""
    reload_marker: Literal["shown", "hidden", "refused"] = "shown"
    """The effect of `resourceType` and `resourceId` in the request for a reload: the reload shows them, it hides them,
    or the request is refused with 400."""
    reload_show_after: float = 0.0
    """Seconds until a started reload is visible in lists and by its id."""
    reload_tasks: Literal["deprecated", "supported", "removed"] = "deprecated"
    """The Reload tasks family: as it is since 29 September 2026 [documented] (creating one is 410 TASKS-011, changing
    or deleting a migrated one 400 TASKS-001; reads succeed [assumed]), as it was before, or removed (410 for all)."""
    reload_task_times: TimePrecision = "seconds"
    """The precision of `lastExecutionTime` of reload tasks."""
    sharing_show_after: float = 0.0
    """Seconds until an execution of a sharing task is visible in lists and by its id."""
    workflow_id: Literal["present", "absent"] = "present"
    """The member `workflowID`, which the executions of one execute share: shown or not."""
    execution_start_time: Literal["created", "started"] = "created"
    """The time in `startTime` of an execution: when it is created, or when it starts to work."""
    sharing_times: TimePrecision = "milliseconds"
    """The precision of the times of executions."""
    cancelled_sharing_task: str = "CANCELLED"
    """The `statusCode` of a sharing task that was cancelled, once all its executions have ended."""
    file_type: Literal["specific", "octet-stream", "absent"] = "specific"
    """The content type of a downloaded file: that of its type, application/octet-stream, or none."""
    file_length: Literal["present", "absent"] = "present"
    """The Content-Length of a download: sent or not."""
    sharing_error_form: SharingErrorForm = "full"
    """The error body of sharing tasks: with all members, with codes alone, or an empty object."""
    next_link: Literal["absolute", "relative", "other_host", "loop"] = "absolute"
    """The form of `links.next.href` if there is a next page; `loop` links to the same page again."""
    last_link: Literal["absent", "null", "empty", "null_href"] = "absent"
    """The form of `links.next` on a last page: absent, null, an empty href, a null href."""
    empty_page: bool = False
    """True if an empty page follows each page that has a next one."""
    plus_in_sort: Literal["strict", "lenient"] = "strict"
    """The effect of an unencoded `+` in `sort`, which arrives as a space: `strict` refuses it, `lenient` accepts it."""
    other_host: str = "http://elsewhere.invalid"
    """The base URL of the other host of `next_link="other_host"` and `users_me="redirect_other_host"`."""
    expiry: Literal["expires_in", "expires_at", "both"] = "expires_in"
    """The form of a token's expiry: in seconds, as an ISO time, or both."""
    client: Literal["trusted", "untrusted", "disabled"] = "trusted"
    """The OAuth client: trusted to impersonate, not trusted, or disabled."""
    users_me: Literal["redirect", "direct", "redirect_other_host"] = "redirect"
    """The response of `GET /users/me`: a 301 to the user, the user, or a 301 to another host."""
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    """The form of `Retry-After` in a 429 of the rate limits."""

    def set(self, changes: dict[str, Any]) -> Switches:
        """Return the switches with changes. Raises ValueError for an unknown name or an impossible value."""
        allowed = _types()
        for name, value in changes.items():
            if name not in allowed:
                raise ValueError(f"there is no switch {name}, only {', '.join(sorted(allowed))}")
            if not _fits(value, allowed[name]):
                raise ValueError(f"switch {name}: {value!r} is not one of {_choices(allowed[name])}")
        return replace(self, **changes)


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Switches)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind) and not isinstance(value, bool)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _choices(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(repr(choice) for choice in get_args(kind))
    return str(getattr(kind, "__name__", kind))
