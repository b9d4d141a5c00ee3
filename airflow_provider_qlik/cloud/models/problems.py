"""Validation errors as text for the user."""

from __future__ import annotations

from pydantic import ValidationError

forms = {"str"}
"""The names of shapes and of other members of unions, which pydantic inserts into the path of a problem."""


def problem_in(error: ValidationError, member: str = "") -> str:
    """Return the most informative problem with the path of its member, below *member* if that is set."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    # Of a union, the form that was meant has the deepest problem; the messages of our own checks say most.
    problem = max(problems, key=lambda problem: (len(problem["loc"]), problem["type"] == "value_error"))
    # The names of union members are of no use to the user.
    where = ".".join(filter(None, (member, *map(_member, problem["loc"]))))
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _member(part: int | str) -> str:
    return "" if part in forms or "[" in str(part) else str(part)
