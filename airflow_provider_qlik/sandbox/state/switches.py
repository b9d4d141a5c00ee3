"""Where Qlik Cloud is not known well enough: how the sandbox behaves there.

docs/sandbox.md says of each switch what Qlik documents and what is assumed.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from airflow_provider_qlik.sandbox.errors import SchedulingErrorForm, SharingErrorForm
from airflow_provider_qlik.sandbox.state.times import Fineness


@dataclass(frozen=True, slots=True)
class Switches:
    """How the tenant behaves where Qlik's documents are silent; the defaults are the likely answers."""

    show_after: float = 0.0
    """Seconds until a started task run shows up in lists, `last` and its log; likewise for automation runs
    whose start does not answer the run (execute, retry)."""
    waiting_task_run: Literal["RUNNING", "hidden"] = "RUNNING"
    """How a task run shows while it waits."""
    start_reply: Literal["seen", "documented", "empty"] = "seen"
    """What starting a task answers: the form seen in the wild, `{message}`, or no body."""
    echo_source: bool = True
    """Whether `source` shows as a run's `triggeredBy`; otherwise that says `manual`."""
    tasks_paths: Literal["both", "v1", "scheduling"] = "both"
    """Where the tenant has its tasks: under both paths (documented), or while and after Qlik migrates under one of them
    (assumed)."""
    execute_paths: Literal["both", "v1", "workflows"] = "v1"
    """Where a triggered automation is started with inputs. v1 is documented; whether the successor exists is not."""
    no_route: Literal["qlik", "text", "page"] = "qlik"
    """The form of the 404 for a path that there is not: an error of Qlik's, plain text, or a web page. Undocumented."""
    deprecated_paths: str = ""
    """A pattern with `*`: responses on these paths carry `Deprecation`, `Sunset` and `Link`. That is documented, their
    forms are not."""
    sunset: str = "2027-11-30"
    """The day that `Sunset` tells; empty: no such header."""
    sunset_form: Literal["http_date", "iso_date", "iso_time", "epoch", "nonsense"] = "http_date"
    """How `Sunset` tells it: as RFC 8594, as an ISO date or time, as RFC 9745 tells dates, or as no date at all."""
    source_limit: int | None = None
    """Characters of `source` that are accepted; None: any number."""
    source_cut: bool = False
    """Whether a longer `source` is cut to the limit, in place of being refused."""
    competing_runs: int = 0
    """Runs that nobody asked for that begin in the same second as each run of a task, automation or sharing task that
    is started through the API."""
    competing_by: Literal["caller", "others"] = "caller"
    """Who starts the competing runs of an automation run: the same user elsewhere, or another one."""
    competing_context: str = "api_async"
    """The context that competing runs of an automation run report."""
    executed_by: Literal["caller", "owner", "absent"] = "caller"
    """Whom `executedById` shows for an automation run that was started by the execution token: who called, the owner
    of the automation, or nobody. "User who set it off" is documented, but not who that is there."""
    competing_moment: Literal["before", "after"] = "before"
    """Whether competing runs begin just before or just after the run."""
    disabled_start: Literal["refused", "accepted", "ignored"] = "refused"
    """What becomes of starting a disabled task or sharing task; `ignored` answers as if it had started. A
    disabled automation is refused unless this says `accepted`."""
    running_start: Literal["parallel", "refused", "ignored"] = "parallel"
    """What becomes of starting a task or sharing task that runs already."""
    cancelled_task_status: str = "FAILED"
    """The status word of a task run whose worker was cancelled."""
    log_form: Literal["accept", "json", "text", "text_json"] = "accept"
    """A task run's log: as the Accept header asks, JSON, plain text, or JSON that calls itself text/plain."""
    running_log: Literal["so_far", "missing"] = "so_far"
    """The log of a task run that has not ended: the lines so far, or 404."""
    resource_id_required: bool = False
    """Whether listing tasks without `resourceId` is refused with 400."""
    patch_reply: Literal["task", "nothing"] = "task"
    """What patching a task answers: 200 with the task, or 204. Both are documented; not which one comes."""
    last_run_lag: float = 0.0
    """Seconds by which `metadata.orchestration.lastRun` of a task is behind its runs; nothing says how many."""
    edges: Literal["to_root", "downstream"] = "to_root"
    """Where the edges of a task graph lead: to the task asked for, as in the example, or to what is set off."""
    v1_filter: Literal["ignored", "refused"] = "ignored"
    """What becomes of `filter` in the list of tasks at `/api/v1/tasks`, which does not document it."""
    scheduling_error_form: SchedulingErrorForm = "bare"
    """Where the code CHO-… of a refusal stands; no document shows it."""
    task_times: Fineness = "milliseconds"
    """How finely times of task runs and reloads are told (cut, not rounded)."""
    automation_times: Literal["microseconds", "seconds"] = "seconds"
    """How finely times of automation runs are told; either way with six digits, as the documents show."""
    run_clock_skew: float = 0.0
    """Seconds by which the times of runs are ahead of the clock that the answers tell."""
    automation_start_time: Literal["begun", "created"] = "begun"
    """Whether `startTime` of an automation run is set when it begins to work or when it is made."""
    api_context: str = "api_async"
    """The context that an automation run started with the context `api` reports."""
    run_inputs: Literal["recorded", "ignored", "refused"] = "ignored"
    """What becomes of `inputs` sent with the creation of an automation run."""
    execute_reply: Literal["message", "empty"] = "message"
    """What executing a triggered automation answers: a small JSON object, or no body."""
    stop_ended: Literal["accepted", "refused"] = "accepted"
    """What stopping an automation run that has ended answers: 204, or 400."""
    error_form: Literal["objects", "strings", "object"] = "objects"
    """The form of an automation run's `error`: a list of objects, a list of strings, or one object."""
    duration_form: Literal["integer", "string"] = "integer"
    """The form of `duration` in automation lists."""
    cancel_reply: Literal[202, 204] = 202
    """The status that cancelling a reload answers."""
    pending_reload: Literal["refused", "queued"] = "refused"
    """What becomes of a reload of an app that has one which has not ended: 429 with a code of the Reloads family,
    or QUEUED until the other one has ended."""
    reload_marker: Literal["shown", "hidden", "refused"] = "shown"
    """Whether a reload shows the `resourceType` and `resourceId` that it was started with, shows none, or is refused
    with 400 because of them."""
    reload_show_after: float = 0.0
    """Seconds until a started reload shows up in lists and by its id."""
    reload_tasks: Literal["deprecated", "supported", "removed"] = "deprecated"
    """The Reload tasks family: as it is since 29 September 2026 [documented] (creating one is 410 TASKS-011, changing
    or deleting a migrated one 400 TASKS-001; reads answer [assumed]), as it was before, or gone (410 to everything)."""
    reload_task_times: Fineness = "seconds"
    """How finely `lastExecutionTime` of reload tasks is told."""
    sharing_show_after: float = 0.0
    """Seconds until an execution of a sharing task shows up in lists and by its id."""
    workflow_id: Literal["present", "absent"] = "present"
    """Whether executions tell the `workflowID` that they share with those of the same execute."""
    execution_start_time: Literal["created", "begun"] = "created"
    """Whether `startTime` of an execution is set when it is made or when it begins to work."""
    sharing_times: Fineness = "milliseconds"
    """How finely times of executions are told."""
    cancelled_sharing_task: str = "CANCELLED"
    """The `statusCode` of a sharing task that was cancelled, once nothing of it is at work."""
    file_type: Literal["right", "octet-stream", "absent"] = "right"
    """The content type of a downloaded file: its own, application/octet-stream, or none."""
    file_length: Literal["told", "untold"] = "told"
    """Whether a download tells its length beforehand."""
    sharing_error_form: SharingErrorForm = "full"
    """The error body of sharing tasks: with all members, with codes alone, or an empty object."""
    next_link: Literal["absolute", "relative", "other_host", "loop"] = "absolute"
    """The form of `links.next.href` where there is a next page; `loop` names the same page again."""
    last_link: Literal["absent", "null", "empty", "null_href"] = "absent"
    """The form of `links.next` on a last page: absent, null, an empty href, a null href."""
    empty_page: bool = False
    """Whether an empty page that has a next one comes after each page that has a next one."""
    plus_in_sort: Literal["strict", "lenient"] = "strict"
    """Whether a `+` sent unencoded in `sort`, which arrives as a space, is refused or understood."""
    elsewhere: str = "http://elsewhere.invalid"
    """The other host of `next_link="other_host"` and `users_me="redirect_elsewhere"`."""
    expiry: Literal["expires_in", "expires_at", "both"] = "expires_in"
    """How a token reply tells when the token expires: in seconds, as an ISO time, or both."""
    client: Literal["trusted", "untrusted", "disabled"] = "trusted"
    """The OAuth client: trusted to impersonate, not trusted, or disabled."""
    users_me: Literal["redirect", "direct", "redirect_elsewhere"] = "redirect"
    """What `GET /users/me` answers: a 301 to the user, the user, or a 301 to another host."""
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    """How a rate limit refusal tells when to come back."""

    def set(self, changes: dict[str, Any]) -> Switches:
        """These switches with changes; unknown names and impossible values are refused by name."""
        allowed = _types()
        for name, value in changes.items():
            if name not in allowed:
                raise ValueError(f"no such switch: {name}; there are {', '.join(sorted(allowed))}")
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
