"""What is wrong with a value, as a user should read it."""

from __future__ import annotations

from pydantic import ValidationError

forms = {"str"}
"""The names of shapes, and of what may stand in place of one: pydantic puts them between the members."""


def problem_in(error: ValidationError, member: str = "") -> str:
    """Return the one problem that tells a user most, and the member it is in, below *member* if that is given."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    # Where several forms are allowed, the one that was meant got furthest; our own rules say most.
    problem = max(problems, key=lambda problem: (len(problem["loc"]), problem["type"] == "value_error"))
    # The names of those forms tell a user nothing.
    where = ".".join(filter(None, (member, *map(_member, problem["loc"]))))
    said = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


def _member(part: int | str) -> str:
    return "" if part in forms or "[" in str(part) else str(part)
