"""Questions that Qlik's documentation leaves open and the responses of a tenant can answer.

A question is shown in the report. Its function reads the recorded responses and returns the answer in words, or None if
they do not answer it. Answers name forms, statuses and words of Qlik's, never values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_qlik.cloud.transport.paths import NOT_THERE
from airflow_provider_qlik.tasks_api import SCHEDULING_TASKS, V1_TASKS
from live.comparison import json_type, shown_name, shown_word
from live.recording import Exchange, Recording
from live.runs import RealRun


@dataclass(frozen=True, slots=True)
class Observations:
    """The data for the answers: the responses, the real runs, and the URL of the tenant."""

    recording: Recording
    runs: list[RealRun]
    url: str

    def of(self, *operations: str) -> list[Exchange]:
        """Return the responses of some operations, by the contract's names, refusals included."""
        return list(self.recording.of(*operations))

    def items(self, *operations: str) -> list[dict[str, Any]]:
        """Return the items of the lists that some operations returned."""
        return [item for exchange in self.of(*operations) for item in exchange.items]

    def run(self, kind: str) -> RealRun | None:
        """Return the real run of a kind, None if there was none or it was not found."""
        return next((real for real in self.runs if real.kind == kind and real.run is not None), None)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the function that answers it."""

    text: str
    answer: Callable[[Observations], str | None]


TASK_LISTS = ("list_scheduling_tasks", "list_tasks")
TASK_RUNS = ("list_scheduling_task_runs", "list_task_runs")
TASK_STARTS = ("start_scheduling_task", "start_task")


def _statuses(*operations: str) -> Callable[[Observations], str | None]:
    """Return a function that returns the statuses of the responses of some operations."""

    def answer(observations: Observations) -> str | None:
        counts = Counter(exchange.status for exchange in observations.of(*operations))
        return ", ".join(f"HTTP {status}, {_times(count)}" for status, count in sorted(counts.items())) or None

    return answer


def _is_there(operation: str, path: str) -> Callable[[Observations], str | None]:
    def answer(observations: Observations) -> str | None:
        statuses = {exchange.status for exchange in observations.of(operation)}
        if not statuses:
            return None
        there = any(status < 500 and status not in NOT_THERE for status in statuses)
        return f"{'yes' if there else 'no'}: {path} returns HTTP {_listed(map(str, statuses))}"

    return answer


def _without_app(observations: Observations) -> str | None:
    found = [
        exchange
        for exchange in observations.of("list_reloads")
        if not any(n == "appId" for n, _ in exchange.call.query)
    ]
    return f"HTTP {_listed(str(exchange.status) for exchange in found)}" if found else None


def _reload_tasks(observations: Observations) -> str | None:
    answer = _statuses("list_reload_tasks", "get_reload_task")(observations)
    found = {item.get("id"): item for item in observations.items("list_reload_tasks")}
    migrated = sum(item.get("migrated") is True for item in found.values())
    return f"{answer}; {migrated} of {len(found)} listed are marked as migrated" if answer else None


def _last_run_in_list(observations: Observations) -> str | None:
    tasks = observations.items("list_scheduling_tasks")
    having = sum(bool(_at(task, "metadata", "orchestration", "lastRun")) for task in tasks)
    return f"in {having} of {len(tasks)} listed" if tasks else None


def _last_run_after_end(observations: Observations) -> str | None:
    real = observations.run("task")
    reads = [exchange for exchange in observations.of("get_scheduling_task") if exchange.succeeded]
    if real is None or real.run is None or not real.run.ended or not reads or reads[-1].at < real.began:
        return None
    shown = _at(reads[-1].body, "metadata", "orchestration", "lastRun")
    if not isinstance(shown, dict) or shown.get("id") != real.run.id:
        return "no: directly after the end it did not show this run"
    return "yes: as ended" if shown.get("endedAt") else "in part: directly after the end it showed the run as active"


def _never_ran(observations: Observations) -> str | None:
    empty = {
        exchange.call.path.rsplit("/runs", 1)[0]
        for exchange in observations.of(*TASK_RUNS)
        if exchange.succeeded and not exchange.items
    }
    last = observations.of("get_last_scheduling_task_run", "get_last_task_run")
    statuses = {exchange.status for exchange in last if exchange.call.path.rsplit("/runs", 1)[0] in empty}
    return f"HTTP {_listed(map(str, statuses))}" if statuses else None


def _source_shown(observations: Observations) -> str | None:
    real = observations.run("task")
    if real is None or real.run is None:
        return None
    shown = real.run.triggered_by or ""
    if real.marker in shown:
        return "yes: whole" if shown == real.marker else "yes: among other text"
    if real.run.shows_marker(real.marker):
        return f"in part: cut to {len(shown)} characters"
    return f"no: it shows {f'another text of {len(shown)} characters' if shown else 'nothing'}"


def _found_by_filter(observations: Observations) -> str | None:
    real = observations.run("task")
    if real is None or real.run is None:
        return None
    filtered = [
        exchange
        for exchange in observations.of("list_scheduling_tasks")
        if any(name == "filter" and real.marker in value for name, value in exchange.call.query)
    ]
    if not filtered:
        return None
    if not filtered[-1].succeeded:
        return f"refused with HTTP {filtered[-1].status}"
    found = any(task.get("id") == real.run.resource_id for task in filtered[-1].items)
    return f"{'yes' if found else 'no'}, tasks on the page: {len(filtered[-1].items)}"


def _shown_after(observations: Observations) -> str | None:
    real = observations.run("task")
    starts = [exchange for exchange in observations.of(*TASK_STARTS) if exchange.succeeded]
    if real is None or real.run is None or not starts:
        return None
    reads = [exchange for exchange in observations.of(*TASK_RUNS) if exchange.at > starts[-1].at]
    for number, exchange in enumerate(reads, 1):
        if any(item.get("id") == real.run.id for item in exchange.items):
            return f"after {exchange.at - starts[-1].at:.1f} s, in list number {number} after the start"
    return None


def _start_response(observations: Observations) -> str | None:
    forms = set()
    for exchange in observations.of(*TASK_STARTS):
        if exchange.succeeded:
            members = _listed(map(shown_name, exchange.body)) if isinstance(exchange.body, dict) else "no object"
            forms.add(f"HTTP {exchange.status} with {members}")
    return _listed(forms) or None


def _reload_marker(observations: Observations) -> str | None:
    real = observations.run("reload")
    if real is None or real.run is None:
        return None
    for exchange in reversed(observations.of("get_reload", "create_reload")):
        if exchange.succeeded and isinstance(exchange.body, dict) and exchange.body.get("id") == real.run.id:
            shown = exchange.body.get("resourceId")
            if shown == real.marker:
                return "yes"
            refused = any(exchange.status == 400 for exchange in observations.of("create_reload"))
            return "no: refused with HTTP 400" if refused else f"no: {'another text' if shown else 'nothing'} is shown"
    return None


def _forms_of(member: str, *operations: str) -> Callable[[Observations], str | None]:
    """Return a function that returns the formats of a moment in lists, with a 9 for each digit."""

    def answer(observations: Observations) -> str | None:
        values = [item[member] for item in observations.items(*operations) if item.get(member) is not None]
        return _listed({_form(value) for value in values}) or None

    return answer


def _types_of(member: str, *operations: str) -> Callable[[Observations], str | None]:
    def answer(observations: Observations) -> str | None:
        found = {json_type(item[member]) for item in observations.items(*operations) if member in item}
        return _listed(found) or None

    return answer


def _error_form(observations: Observations) -> str | None:
    single = [exchange.body for exchange in observations.of("get_automation_run") if isinstance(exchange.body, dict)]
    errors = [item["error"] for item in (*observations.items("list_automation_runs"), *single) if item.get("error")]
    forms = {
        f"list of {_listed({json_type(one) for one in error})}" if isinstance(error, list) else json_type(error)
        for error in errors
    }
    return _listed(forms) or None


_STATUS_LISTS = {
    "tasks": (*TASK_RUNS, "list_scheduling_resource_runs", "list_resource_task_runs"),
    "automations": ("list_automation_runs",),
    "reloads": ("list_reloads",),
    "sharing tasks": ("list_sharing_task_executions",),
}


def _status_words(observations: Observations) -> str | None:
    found = {kind: _words_in(observations, "status", *operations) for kind, operations in _STATUS_LISTS.items()}
    return "; ".join(f"{kind}: {_listed(words)}" for kind, words in found.items() if words) or None


def _words_in(observations: Observations, member: str, *operations: str) -> set[str]:
    return {shown_word(item[member]) for item in observations.items(*operations) if isinstance(item.get(member), str)}


def _words_of(member: str, *operations: str) -> Callable[[Observations], str | None]:
    return lambda observations: _listed(_words_in(observations, member, *operations)) or None


def _context_of_own_run(observations: Observations) -> str | None:
    real = observations.run("automation")
    return shown_word(real.run.origin) if real and real.run and real.run.origin else None


def _log_type(observations: Observations) -> str | None:
    logs = observations.of("get_scheduling_task_run_log", "get_task_run_log")
    types = {log.headers.get("content-type", "none").partition(";")[0].strip() for log in logs if log.succeeded}
    return _listed(map(shown_word, types)) or None


def _next_links(observations: Observations) -> str | None:
    own = urlsplit(observations.url).netloc
    forms = set()
    for name in observations.recording.counts:
        for exchange in observations.of(name):
            href = _at(exchange.body, "links", "next", "href") if exchange.items else None
            if isinstance(href, str) and href:
                host = urlsplit(href).netloc
                forms.add("relative" if not host else "absolute, own host" if host == own else "absolute, another host")
    return _listed(forms) or None


def _me(observations: Observations) -> str | None:
    found = [exchange for exchange in observations.of("get_me") if exchange.succeeded]
    if not found:
        return None
    return "the user directly" if found[-1].call.path.endswith("/me") else "a redirect to the page of the user"


QUESTIONS = (
    Question(
        f"Does the tenant have the Scheduling API, {SCHEDULING_TASKS}?",
        _is_there("list_scheduling_tasks", SCHEDULING_TASKS),
    ),
    Question(f"Does Tasks v1, {V1_TASKS}, still exist?", _is_there("list_tasks", V1_TASKS)),
    Question("Do reads of the deprecated reload tasks still succeed, and are reload tasks migrated?", _reload_tasks),
    Question("May this user list the runs of automations?", _statuses("list_automation_runs")),
    Question(
        "What is the response of the list of reloads without an app (documented for tenant administrators)?",
        _without_app,
    ),
    Question("What is the response of GET /api/v1/users/me?", _me),
    Question(
        "Does the list of tasks contain the last run of each (metadata.orchestration.lastRun)?", _last_run_in_list
    ),
    Question("Does the last run that a task contains show the end of a run at once?", _last_run_after_end),
    Question("What is the response for the last run of a task that never ran?", _never_ran),
    Question("Does a task run show the source that it was started with as triggeredBy?", _source_shown),
    Question("Does a filter on lastTriggeredBy find a task by the source of its last run?", _found_by_filter),
    Question("How soon does a started run of a task show in the list of its runs?", _shown_after),
    Question("What is the response to the start of a task?", _start_response),
    Question("Does a reload show the resourceId that it was started with?", _reload_marker),
    Question("Which status words do runs have?", _status_words),
    Question("Which words for its context do runs of automations have?", _words_of("context", "list_automation_runs")),
    Question("Which context has the run of an automation that was started through the API?", _context_of_own_run),
    Question("In which form are the times of task runs?", _forms_of("startedAt", *TASK_RUNS)),
    Question("In which form are the times of automation runs?", _forms_of("startTime", "list_automation_runs")),
    Question("Of which type is the duration in the list of automations?", _types_of("duration", "list_automations")),
    Question("In which form is the error of an automation run?", _error_form),
    Question(
        "Do executions of a sharing task show the workflow that they share (workflowID)?",
        _types_of("workflowID", "list_sharing_task_executions"),
    ),
    Question("Which content type has the log of a task run?", _log_type),
    Question("In which form are the links to the next page of a list?", _next_links),
)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _form(value: object) -> str:
    if not isinstance(value, str):
        return json_type(value)
    form = re.sub(r"\d", "9", value)
    return form if re.fullmatch(r"[9TZ:.+ -]{1,40}", form) else "another text"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(texts))
