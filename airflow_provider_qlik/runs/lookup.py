"""Names in place of ids: looked up when a task runs, matched exactly.

Two texts that look the same may be written in two ways (an "ü" as one character or as two): names are compared in
Unicode's normal form NFC. Qlik's search for names is a "contains" over what it has stored, and nobody says in which
form that compares. So a name with such a character is searched for by its longest part without one.

A personal space has no name and no id in the list of spaces: `items` takes ``personal`` in place of an id, and what is
in it has no space id, or an empty one. It is named "Personal" here, in any letter case; a space of that very name, if
there is one, comes first. A user only sees the personal space of his own, but for administrators: twins are told apart
by id then.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_qlik.cloud.api import automations, catalog, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Flow
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.pages import all_items
from airflow_provider_qlik.validation import InvalidArgumentError

MAX_CANDIDATES = 10
PERSONAL = "personal"
"""What Qlik calls the personal space of whoever asks, in place of its id."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a look-up has found: name, id and the space that it is in (None: the personal one, or not known)."""

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
    # The filter compares exactly, in a form that nobody has written down: both are tried.
    for written in dict.fromkeys((name, _normal(name), unicodedata.normalize("NFD", name))):
        filtered = automations.list(filter=f"name eq {json.dumps(written, ensure_ascii=False)}", limit=200)
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
    """Return what a search for a part of a name finds that name by, in whichever form it is stored."""
    # Characters that can be written in two ways part the name.
    same = "".join(each if unicodedata.normalize("NFD", each) == each else "\0" for each in _normal(name))
    longest = max((part.strip() for part in re.split("\0", same)), key=len)
    return longest or _normal(name)


def _exact(name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    return [each for each in candidates if each.name is not None and _normal(each.name) == _normal(name) and each.id]


def _only_with_spaces(argument: str, name: str, candidates: Sequence[Candidate]) -> Flow[str]:
    """Return the id of the only one; where there are several, the error tells the space of each."""
    exact = _exact(name, candidates)
    spaces: dict[str, str | None] = {}
    if len(exact) > 1 and any(each.space_id for each in exact):
        try:
            spaces = {item.id: item.name for item in (yield from all_items(catalog.spaces(limit=100)))}
        except QlikCloudError:
            # The ids of the spaces tell them apart as well.
            spaces = {}
    return _only(argument, name, candidates, lambda each: _in_space(each, spaces))


def _in_space(candidate: Candidate, spaces: dict[str, str | None]) -> str:
    if not candidate.space_id or candidate.space_id == PERSONAL:
        return f"{candidate.id} in the personal space"
    space = spaces.get(candidate.space_id)
    return f"{candidate.id} in space {repr(space) if space else candidate.space_id}"


def _only(argument: str, name: str, candidates: Sequence[Candidate], shown: Any = lambda each: each.id) -> str:
    exact = _exact(name, candidates)
    if len(exact) == 1:
        return str(exact[0].id)
    if exact:
        listed = _listed(shown(each) for each in exact)
        space = " or name the space" if argument in {"app_name", "automation_name"} else ""
        raise InvalidArgumentError(argument, name, f"{len(exact)} have that name: {listed}; give the id{space}")
    near = [f"{each.name!r} is {each.id}" for each in candidates]
    hint = f"; what comes near: {_listed(near, '; ')}" if near else ""
    raise InvalidArgumentError(argument, name, f"nothing that this user can see has exactly that name{hint}")


def _listed(texts: Iterable[str], between: str = ", ") -> str:
    listed = [*texts]
    more = f" and {len(listed) - MAX_CANDIDATES} more" if len(listed) > MAX_CANDIDATES else ""
    return between.join(listed[:MAX_CANDIDATES]) + more
