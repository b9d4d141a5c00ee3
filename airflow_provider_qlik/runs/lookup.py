"""Looking up ids by name. Names are matched exactly, when a task runs.

Two texts that look the same may be encoded differently (an "ü" as one character or as two), so names are compared in
Unicode's normal form NFC. Qlik's search for names is a "contains" over what it has stored, and no document says in
which form it compares. So a name with such a character is searched for by its longest part without one.

A personal space has no name and no id in the list of spaces: `items` takes ``personal`` in place of an id, and the
items in it have no space id, or an empty one. It is named "Personal" here, in any letter case; a space of that very
name has precedence. Users see no personal space but their own. Administrators see all of them: items of the same name
are then distinguished by id.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from airflow_provider_qlik.cloud.api import automations, catalog, sharing_tasks, tasks
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.cloud.pages import all_items
from airflow_provider_qlik.validation import InvalidArgumentError

MAX_CANDIDATES = 10
"""Candidates that an error message lists, at most."""
PERSONAL = "personal"
"""Stands in place of an id for the personal space of the user who sends the request."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that a look-up has found: name, id and its space (None: the personal space, or unknown)."""

    name: str | None
    id: str | None
    space_id: str | None = None


def space_id(name: str) -> Flow[str]:
    """Return the id of the space of that name, or "personal" for the personal space.

    Raises InvalidArgumentError, with the candidates, if there is none or several.
    """
    found = yield from all_items(catalog.spaces(name=_searchable(name), limit=100))
    candidates = [Candidate(item.name, item.id) for item in found]
    if name.strip().casefold() == PERSONAL and not _exact(name, candidates):
        return PERSONAL
    return _only("space_name", name, candidates)


def app_id(name: str, space_name: str | None = None) -> Flow[str]:
    """Return the id of the app of that name, in a space if one is named. Raises as `space_id`."""
    space = (yield from space_id(space_name)) if space_name else None
    call = catalog.items(resource_type="app", name=_searchable(name), space_id=space, limit=100)
    found = yield from all_items(call)
    # The search for names is a "contains", and an item's own id is not the app's.
    candidates = [Candidate(item.name, item.resource_id, item.space_id) for item in found]
    return (yield from _only_with_spaces("app_name", name, candidates))


def automation_id(name: str, space_name: str | None = None) -> Flow[str]:
    """Return the id of the automation of that name, in a space if one is named. Raises as `space_id`."""
    space = (yield from space_id(space_name)) if space_name else None
    found: list[Any] = []
    # The filter compares exactly, in a normal form that is not documented, so both are tried.
    for variant in dict.fromkeys((name, _normal(name), unicodedata.normalize("NFD", name))):
        filtered = automations.list(filter=f"name eq {json.dumps(variant, ensure_ascii=False)}", limit=200)
        found += yield from all_items(filtered)
    candidates = [
        Candidate(item.name, item.id, item.space_id)
        for item in {item.id: item for item in found}.values()
        if space is None or (item.space_id or PERSONAL) == space
    ]
    return (yield from _only_with_spaces("automation_name", name, candidates))


def task_id(name: str, app: str) -> Flow[str]:
    """Return the id of the task of that name that works on an app. Raises as `space_id`."""
    found = yield from all_items(tasks.list(resource_id=app, limit=100))
    return _only("qlik_task_name", name, [Candidate(item.name, item.id) for item in found])


def sharing_task_id(name: str, app: str | None = None) -> Flow[str]:
    """Return the id of the sharing task of that name, of an app if one is known. Raises as `space_id`."""
    found = yield from all_items(sharing_tasks.list(app_id=app, limit=100))
    candidates = [Candidate(item.name, item.id, item.space_id) for item in found]
    return (yield from _only_with_spaces("sharing_task_name", name, candidates))


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _searchable(name: str) -> str:
    """Return the part of a name by which a "contains" search finds the name in any normal form."""
    # Characters that can be encoded in two ways separate the parts.
    parts = "".join(
        character if unicodedata.normalize("NFD", character) == character else "\0" for character in _normal(name)
    )
    longest = max((part.strip() for part in re.split("\0", parts)), key=len)
    return longest or _normal(name)


def _exact(name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    return [
        candidate
        for candidate in candidates
        if candidate.name is not None and _normal(candidate.name) == _normal(name) and candidate.id
    ]


def _only_with_spaces(argument: str, name: str, candidates: Sequence[Candidate]) -> Flow[str]:
    """Return the id of the only exact match; if there are several, the error lists the space of each."""
    exact = _exact(name, candidates)
    spaces: dict[str, str | None] = {}
    if len(exact) > 1 and any(candidate.space_id for candidate in exact):
        try:
            spaces = {item.id: item.name for item in (yield from all_items(catalog.spaces(limit=100)))}
        except QlikCloudError:
            # The error then lists the ids of the spaces.
            spaces = {}
    return _only(argument, name, candidates, lambda candidate: _in_space(candidate, spaces))


def _in_space(candidate: Candidate, spaces: dict[str, str | None]) -> str:
    if not candidate.space_id or candidate.space_id == PERSONAL:
        return f"{candidate.id} in the personal space"
    space = spaces.get(candidate.space_id)
    return f"{candidate.id} in space {repr(space) if space else candidate.space_id}"


def _only(argument: str, name: str, candidates: Sequence[Candidate], shown: Any = attrgetter("id")) -> str:
    exact = _exact(name, candidates)
    if len(exact) == 1:
        return str(exact[0].id)
    if exact:
        listed = _listed(shown(candidate) for candidate in exact)
        space = " or name the space" if argument in {"app_name", "automation_name"} else ""
        raise InvalidArgumentError(argument, name, f"{len(exact)} have that name: {listed}; give the id{space}")
    near = [f"{candidate.name!r} is {candidate.id}" for candidate in candidates]
    hint = f"; similar names: {_listed(near, '; ')}" if near else ""
    raise InvalidArgumentError(argument, name, f"nothing that this user can see has exactly that name{hint}")


def _listed(texts: Iterable[str], between: str = ", ") -> str:
    listed = [*texts]
    more = f" and {len(listed) - MAX_CANDIDATES} more" if len(listed) > MAX_CANDIDATES else ""
    return between.join(listed[:MAX_CANDIDATES]) + more
