"""Qlik Cloud's error codes: where they stand in a response, and what a user can do about each.

A code may stand in three places. Most services put it into ``errors[].code``. Tasks put the HTTP status there as a
number, and their own code, if they tell it, into the title, the result or an inner error. The bare result object
``{status_code, code, context, value}`` has it at the top. `ADVICE` is the only table of what codes mean; each of its
codes is explained in docs/troubleshooting.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SUCCESSOR = "use a task of the Tasks API with a schedule instead (POST /api/scheduling/tasks)"
_NOTHING_MADE = "Nothing was made, so"

ADVICE: Mapping[str, str] = {
    "CHO-001": "Check the ids, the lengths of name and description, and the words in the body: one is not valid.",
    "CHO-003": "Check the id of the app, and that {user} may see and reload it.",
    "CHO-004": "The task that was to be followed has been deleted meanwhile: name another one.",
    "CHO-013": f"{_NOTHING_MADE} try again; tell Qlik's support the trace id if it goes on.",
    "CHO-014": "An app has at most 10 tasks: delete one that is not needed any more, or change one.",
    "CHO-015": "Check that {user} may see the app of the task that is to be followed.",
    "CHO-016": "Check the id of the task that is to be followed: it is no UUID, or no task of this tenant.",
    "CHO-017": "Check recurrence and time zone, and that the end is in the future and after the start.",
    "CHO-018": "The number of tasks that {user} may have is used up: delete one, or ask an administrator for more.",
    "CHO-024": f"Qlik Cloud's scheduler is away. {_NOTHING_MADE} try again.",
    "CHO-030": "The app uses no dataset of a pipeline, so nothing can start it: give the task a schedule instead.",
    "CHO-031": "The app has such a task already, enabled or not: use or change that one (existingTaskId).",
    "TASKS-001": f"The reload task was migrated and cannot be changed any more: {_SUCCESSOR}.",
    "TASKS-011": f"Qlik Cloud has removed reload tasks: {_SUCCESSOR}.",
    "RELOADS-003": "Check that {user} may reload the app: its owner, or a role in its space that may.",
    "RELOADS-013": "The quota of reloads is used up: reload less often, or ask an administrator for more.",
    "RELOADS-*": "A reload of the app is pending already: wait for it (if_pending='wait'), or try again when it ended.",
    "HTTP-429": "Send fewer requests at a time: lower rate_limit_share in the connection, or poll less often.",
    "CSRF-*": "Qlik Cloud took the request for one of a browser: check that no proxy adds cookies or removes the"
    " Authorization header, and that the host of the connection is the tenant's own.",
}
"""Advice to the user about a refusal, one sentence for each code; ``{user}`` stands for whose credentials were sent.

`CSRF-*` stands for all codes of its family, and `RELOADS-*` for those with which a start is put off (status 429): the
number of that one is nowhere written.
"""

NOTHING_DONE = frozenset({"CHO-024"})
"""Codes of a status from 500 on that say for sure that nothing was executed: what was asked may be sent again."""

_FAMILIES = re.compile(r"\b(?:CHO|TASKS|RELOADS)-\d{3}\b")
"""Codes that are recognized wherever they stand. Of other families only the member `code` is read.

A title may name anything.
"""
_SPECIFIC = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*-\d+")
MAX_DEPTH = 10
"""How deep inner errors are read."""


def advice_about(code: str | None, status: int, user: str) -> str:
    """Return the sentence of advice about a code, empty where none is known.

    :param user: whose credentials were sent, as words to put into the sentence.
    """
    sentence = ADVICE.get(code or "")
    if sentence is None and code is not None:
        family = code.partition("-")[0]
        if family == "CSRF" or (family == "RELOADS" and status == 429):
            sentence = ADVICE[f"{family}-*"]
    return sentence.replace("{user}", user) if sentence else ""


def code_of(errors: list[Mapping[str, Any]]) -> str | None:
    """Return the code that tells most about a refusal, from anywhere in its errors; None if there is none.

    A service's code comes before one that repeats the HTTP status (`HTTP-400`, `400`), one with advice before others.
    """
    found = [code for error in errors for code in _codes(error, MAX_DEPTH)]
    specific = [code for code in found if _SPECIFIC.fullmatch(code) and not code.startswith("HTTP-")]
    with_advice = [code for code in specific if code in ADVICE]
    by_status = [code for code in found if code.startswith("HTTP-")]
    return next(iter([*with_advice, *specific, *by_status, *found]), None)


def is_bare_result(body: Mapping[str, Any], status: int) -> bool:
    """Return True for a refusal in the form of the scheduler's result object: {status_code, code, context, value}."""
    code = body.get("code")
    if not isinstance(code, str):
        return False
    return _FAMILIES.fullmatch(code) is not None or (body.get("status_code") == status and bool(code))


def _codes(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        code = value.get("code")
        if isinstance(code, (str, int)) and not isinstance(code, bool) and str(code).strip():
            yield str(code).strip()
        for name in ("title", "message", "result", "value", "inner"):
            yield from _codes(value.get(name), depth - 1)
    elif isinstance(value, list) and depth:
        for item in value[:MAX_DEPTH]:
            yield from _codes(item, depth - 1)
    elif isinstance(value, str):
        yield from _FAMILIES.findall(value[:2000])
