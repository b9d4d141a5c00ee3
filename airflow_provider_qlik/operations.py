"""All operations of Qlik Cloud by name, and a check of the arguments that they are called with.

Standard library only: Dag files import this each time they are parsed. The arguments of each operation are in
`operation_table`; `cloud.operations` has the functions, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_qlik.operation_table import TABLE
from airflow_provider_qlik.validation import InvalidArgumentError

RELOAD_TASKS_DEPRECATED = (
    "Qlik Cloud has deprecated reload tasks and may remove them any day since 29 September 2026: use tasks, which have"
    " schedules, runs and a start (operations tasks.*, QlikRunTaskOperator, QlikTaskRunSensor)."
)
"""The warning that users of reload tasks get."""
CREATES = (
    "tasks.create",
    "tasks.create_reload_on_schedule",
    "tasks.create_reload_after_task",
    "tasks.create_reload_on_dataset_update",
    "automations.create",
    "reload_tasks.create",
    "sharing_tasks.create",
)
"""The operations that create an object which may exist already, see `runs.existing`."""
_SECRETS = {"execution_token"}


class Operation(NamedTuple):
    """The arguments and the result of an operation.

    `required` and `optional` hold the names of its arguments with their types, in JSON's words: "string", "integer",
    "boolean", "object", "object of strings", "array of objects", or several of these with "or". `result` is "list"
    (in pages), "object", "text", "file" or "nothing".
    """

    method: str
    result: str
    required: Mapping[str, str]
    optional: Mapping[str, str]

    @property
    def pages(self) -> bool:
        """True if the result is a list in pages."""
        return self.result == "list"

    @property
    def arguments(self) -> dict[str, str]:
        """All arguments with their types, the required ones first."""
        return {**self.required, **self.optional}


OPERATIONS: dict[str, Operation] = {name: Operation(*row) for name, row in TABLE.items()}
"""All operations by module and function, such as "tasks.start"."""


def check(operation: object, arguments: object, *, rendered: bool = False) -> None:
    """Check that an operation can be called with these arguments.

    Templates and results of other Airflow tasks pass, unless *rendered*. Raises InvalidArgumentError that says what is
    allowed, and which name was probably meant.
    """
    if not rendered and _is_unrendered(operation):
        return
    described = named(operation)
    if not rendered and _is_unrendered(arguments):
        return
    if not isinstance(arguments, Mapping):
        raise InvalidArgumentError("arguments", "None" if arguments is None else arguments, "must be a mapping")
    for name in arguments:
        if name not in described.arguments:
            takes = ", ".join(described.arguments) or "no arguments"
            raise InvalidArgumentError(
                "arguments", name, f"{operation} takes {takes}{_suggestion(name, described.arguments)}"
            )
    missing = [name for name in described.required if name not in arguments]
    if missing:
        raise InvalidArgumentError("arguments", None, f"{operation} needs {' and '.join(missing)}")
    for name, value in arguments.items():
        kind = described.arguments[name]
        if not (value is None and name in described.optional) and not _fits(value, kind, rendered):
            shown = None if name in _SECRETS else "None" if value is None else value
            raise InvalidArgumentError(name, shown, f"{operation} takes {_article(kind)} {kind} here")


def named(operation: object) -> Operation:
    """Return the operation of that name. Raises InvalidArgumentError that lists the names."""
    if isinstance(operation, str) and operation in OPERATIONS:
        return OPERATIONS[operation]
    family = str(operation).partition(".")[0]
    of_family = [name for name in OPERATIONS if name.startswith(f"{family}.")]
    families = dict.fromkeys(name.partition(".")[0] for name in OPERATIONS)
    allowed = f"one of {', '.join(of_family)}" if of_family else f"an operation of {', '.join(families)}"
    shown = "None" if operation is None else operation
    raise InvalidArgumentError("operation", shown, allowed + _suggestion(operation, OPERATIONS))


def _suggestion(name: object, known_names: Iterable[str]) -> str:
    """Return the names that were probably meant: with all these words, or one with similar words, in any order.

    So "start" is "tasks.start" or "reloads.start", "id" is "task_id", "start_task" is "tasks.start".
    """
    from difflib import get_close_matches

    words = _words(str(name))
    by_words = {" ".join(_words(known)): known for known in known_names}
    # A typing error comes first, however many names have the words themselves.
    likely = [by_words[close] for close in get_close_matches(" ".join(words), by_words, n=1, cutoff=0.9)]
    if not likely:
        likely = [known for known in known_names if words and set(words) <= set(_words(known))]
    if not 1 <= len(likely) <= 3:
        likely = [by_words[close] for close in get_close_matches(" ".join(words), by_words, n=1)]
    return f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else ""


def _words(name: str) -> list[str]:
    return sorted(re.findall(r"[a-z0-9]+", name.lower()))


def _is_unrendered(value: object) -> bool:
    """Return True if a value is known only when the task runs: a template, or the result of another task."""
    return (
        any(delimiter in value for delimiter in ("{{", "{%")) if isinstance(value, str) else hasattr(value, "resolve")
    )


def _fits(value: object, kind: str, rendered: bool) -> bool:
    if not rendered and _is_unrendered(value):
        return True
    return any(_is_a(value, option, rendered) for option in kind.split(" or "))


def _is_a(value: object, kind: str, rendered: bool) -> bool:
    kind, _, inner = kind.partition(" of ")
    item_kind = inner.removesuffix("s")
    if kind == "array":
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            return False
        return all(_fits(item, item_kind, rendered) for item in value)
    if kind == "object" and inner:
        return isinstance(value, Mapping) and all(_fits(item, item_kind, rendered) for item in value.values())
    if kind == "object":
        # A model of `cloud/models` is accepted, too.
        return isinstance(value, Mapping) or hasattr(value, "model_dump")
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool}[kind])


def _article(kind: str) -> str:
    return "an" if kind[0] in "aio" else "a"
