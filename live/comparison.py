"""Differences of a response from the models of this package and from the contract: names, types and words, no values.

A value belongs to the tenant's owner. The name of a member belongs to Qlik, as long as the object around it is one that
a model describes; below an unknown member, and in free-form JSON such as inputs, even names may be a customer's, so
nothing below these is looked at. The one kind of value that is told is a word where Qlik lists the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr

from airflow_provider_qlik.cloud.models.automations import AutomationRun
from airflow_provider_qlik.cloud.models.members import OneOf
from airflow_provider_qlik.cloud.models.reading import type_of
from airflow_provider_qlik.cloud.models.reloads import Reload
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution
from airflow_provider_qlik.cloud.models.tasks import TaskLastRun, TaskRun
from airflow_provider_qlik.runs import ADAPTERS

# The contract is stored with the tests that compare this package with it.
from tests.contract.openapi import Contract, Operation, Place, contract, scheduling

UNKNOWN, MISSING, NULL, TYPE, WORD = "unknown", "missing", "null", "type", "word"

_NAME = re.compile(r"[A-Za-z_$@][\w$@.:-]{0,63}", re.ASCII)
_WORD = re.compile(r"\w[\w .:/-]{0,39}", re.ASCII)
_STATUSES = {
    TaskRun: "task",
    TaskLastRun: "task",
    AutomationRun: "automation",
    Reload: "reload",
    SharingTaskExecution: "sharing_task",
}
"""Shapes whose `status` is a word of that kind of run, and not one of a list at the model."""

Option = tuple[Any, tuple[Any, ...]]
"""One of the types that a member may have, and the marks at it."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A place of an operation's responses where they are not as described.

    `kind` is one of the constants of this module. `detail` is a JSON type (unknown), who requires it (missing, null),
    the JSON type and the one that was expected (type), or the word.
    """

    operation: str
    kind: str
    path: str
    detail: str


@dataclass(slots=True)
class Findings:
    """All differences, with the number of times that each was observed."""

    counts: dict[Difference, int] = field(default_factory=dict)

    def compare(self, operation: str, described: Operation | None, answer: Any, body: Any) -> None:
        """Add how the JSON of a response differs from the model that reads it, and from the contract if that has it."""
        if not (isinstance(answer, type) and issubclass(answer, Shape)) or not isinstance(body, dict):
            return
        places: list[Place] = []
        if described is not None and (media := described.responses.get(described.success)):
            places = [schema for kind, schema in media.items() if "json" in kind]
        walk = _Walk(self, operation, described.contract if described else None)
        walk.poll(body, [(answer, ())], places, "$")

    def of(self, *kinds: str) -> list[tuple[Difference, int]]:
        """Return the differences of some kinds, sorted by operation and path."""
        return sorted((found, count) for found, count in self.counts.items() if found.kind in kinds)

    def add(self, found: Difference) -> None:
        """Count a difference once more."""
        self.counts[found] = self.counts.get(found, 0) + 1


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk through a response, beside the model and the contract at the same time."""

    findings: Findings
    operation: str
    contract: Contract | None

    def poll(self, value: Any, options: Sequence[Option], places: Sequence[Place], path: str) -> None:
        self._type(value, options, places, path)
        places = [part for place in places for part in self._branches(place, value)]
        if isinstance(value, dict):
            shapes = [kind for kind, _ in options if isinstance(kind, type) and issubclass(kind, Shape)]
            if shapes:
                self._object(
                    value, min(shapes, key=lambda shape: len(value.keys() - _members(shape).keys())), places, path
                )
            else:
                for inner in _held(options, dict):
                    for item in value.values():
                        self.poll(item, inner, (), f"{path}.*")
        elif isinstance(value, list):
            items = [(*place, "items") for place in places if "items" in self._at(place)]
            for inner in _held(options, list):
                for item in value:
                    self.poll(item, inner, items, f"{path}[]")
        elif value is not None and not isinstance(value, (bool, float)):
            self._word(value, {word for _, marks in options for word in _words(marks)}, places, path)

    def _object(self, value: dict[str, Any], shape: type[Shape], places: Sequence[Place], path: str) -> None:
        members = _members(shape)
        declared: dict[str, list[Place]] = {}
        for place in places:
            for name in self._at(place).get("properties", ()):
                declared.setdefault(name, []).append((*place, "properties", name))
        self._required(value, shape, places, declared, path)
        for name, inner in value.items():
            here = f"{path}.{shown_name(name)}"
            if name not in members:
                note = ", which the contract has" if name in declared else ""
                self._add(UNKNOWN, here, json_type(inner) + note)
            elif name == "status" and shape in _STATUSES and isinstance(inner, str):
                if not ADAPTERS[_STATUSES[shape]].status_map.knows(inner):
                    self._add(WORD, here, shown_word(inner))
            else:
                self.poll(inner, members[name], declared.get(name, ()), here)

    def _required(
        self,
        value: dict[str, Any],
        shape: type[Shape],
        places: Sequence[Place],
        declared: dict[str, list[Place]],
        path: str,
    ) -> None:
        required = {name: "the contract" for place in places for name in self._at(place).get("required", ())}
        for name, member in shape.model_fields.items():
            if member.is_required():
                required[member.alias or name] = "this package"
        for name, by in required.items():
            if name not in value:
                self._add(MISSING, f"{path}.{name}", by)
            elif value[name] is None and not self._may_be_null(declared.get(name, ())):
                self._add(NULL, f"{path}.{name}", by)

    def _type(self, value: Any, options: Sequence[Option], places: Sequence[Place], path: str) -> None:
        """Note a value of another JSON type than the model or the contract has for it."""
        if value is None or value == []:
            return  # a matter of what is required; and some services write an empty object as an empty list
        observed, expected = json_type(value), {name for annotation, _ in options for name in _json_types(annotation)}
        if observed not in expected:
            self._add(TYPE, path, f"{observed}, not {' or '.join(sorted(expected - {'null'}))} as in the model")
        elif places and not all(self._may_be(place, value) for place in places):
            self._add(TYPE, path, f"{observed}, not as in the contract")

    def _may_be_null(self, places: Sequence[Place]) -> bool:
        return bool(places) and self.contract is not None and not any(self.contract.problems(p, None) for p in places)

    def _word(self, value: str | int, known: set[str | int], places: Sequence[Place], path: str) -> None:
        for place in places:
            known |= {word for word in self._at(place).get("enum", ()) if word is not None}
        if known and value not in known:
            self._add(WORD, path, shown_word(str(value)))

    def _branches(self, place: Place, value: Any) -> Iterator[Place]:
        """Yield the schemas that surely hold for a value: of alternatives only the one that its JSON type leaves."""
        node = self._at(place)
        yield place
        if "$ref" in node:
            target = tuple(part.replace("~1", "/").replace("~0", "~") for part in node["$ref"][2:].split("/"))
            yield from self._branches(target, value)
        for index in range(len(node.get("allOf", ()))):
            yield from self._branches((*place, "allOf", index), value)
        for keyword in ("anyOf", "oneOf"):
            fitting = [
                (*place, keyword, index)
                for index in range(len(node.get(keyword, ())))
                if self._may_be((*place, keyword, index), value)
            ]
            if len(fitting) == 1:
                yield from self._branches(fitting[0], value)

    def _may_be(self, place: Place, value: Any) -> bool:
        declared: set[str] = set()
        assert self.contract is not None
        for branch in self.contract.branches(place):
            said = self._at(branch).get("type", ())
            declared |= {said} if isinstance(said, str) else {*said}
        return not declared or bool(declared & _JSON_SCHEMA_TYPES[json_type(value)])

    def _at(self, place: Place) -> dict[str, Any]:
        assert self.contract is not None
        node = self.contract.at(place)
        return node if isinstance(node, dict) else {}

    def _add(self, kind: str, path: str, detail: str) -> None:
        self.findings.add(Difference(self.operation, kind, path, detail))


_JSON_SCHEMA_TYPES = {
    "object": {"object"},
    "list": {"array"},
    "text": {"string"},
    "boolean": {"boolean"},
    "integer": {"integer", "number"},
    "number": {"number"},
    "null": {"null"},
}


def json_type(value: Any) -> str:
    """Return the type of a JSON value, in words."""
    if value is None:
        return "null"
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "text"), (list, "list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def shown_name(name: str) -> str:
    """Return the name of a member; of what does not look like one, only that it is none."""
    return name if _NAME.fullmatch(name) else "(an unusual name)"


def shown_word(word: str) -> str:
    """Return a word of an enumeration as it is; of what does not look like one, only that it is none."""
    return word if _WORD.fullmatch(word) else "(empty)" if not word else f"(no word: {len(word)} characters)"


@cache
def described_by(method: str, path: str) -> Operation | None:
    """Return the operation of the contract behind a request, None for one that it does not describe."""
    fitting = [
        operation
        for document in (contract(), scheduling())
        for operation in document.operations.values()
        if operation.method == method and operation.ids_in(path) is not None
    ]
    # A word such as `settings` may stand where another operation has an id.
    return min(fitting, key=lambda operation: operation.template.count("{"), default=None)


@cache
def _members(shape: type[Shape]) -> dict[str, list[Option]]:
    """Return what each member of a shape may hold, by Qlik's name and by ours, which is read as well."""
    found: dict[str, list[Option]] = {}
    for name, member in shape.model_fields.items():
        found[name] = found[member.alias or name] = list(_options(type_of(member), tuple(member.metadata)))
    return found


def _options(annotation: Any, marks: tuple[Any, ...] = ()) -> Iterator[Option]:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        yield from _options(annotation, (*marks, *more))
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _options(one, marks)
    else:
        yield annotation, marks


def _held(options: Sequence[Option], container: type) -> Iterator[list[Option]]:
    """Yield what the lists or mappings among the options hold; nothing for free-form JSON."""
    for annotation, _ in options:
        origin: Any = get_origin(annotation)
        if origin is container:
            yield list(_options(get_args(annotation)[-1]))


@cache
def _json_types(annotation: Any) -> frozenset[str]:
    """Return the JSON types that a member of a model may have; all of them for free-form JSON."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return frozenset({"object"})
    kind = get_origin(annotation) or annotation
    return frozenset(_JSON_TYPES.get(kind, _JSON_SCHEMA_TYPES))


_JSON_TYPES: dict[Any, tuple[str, ...]] = {
    dict: ("object",),
    list: ("list",),
    str: ("text",),
    SecretStr: ("text",),
    datetime: ("text",),
    bool: ("boolean",),
    int: ("integer",),
    float: ("integer", "number"),
    NoneType: ("null",),
}


def _words(marks: Sequence[Any]) -> Iterator[str | int]:
    for mark in marks:
        if isinstance(mark, OneOf):
            yield from mark.documented
