"""The contract, as tests ask it: what an operation takes and gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

HERE = Path(__file__).parent
_URI = "urn:contract"
_METHODS = ("get", "post", "put", "patch", "delete")

_FORMATS = FormatChecker(formats=())
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

Place = tuple[str | int, ...]
"""Where something is: in the contract, or in a JSON value."""


@dataclass(frozen=True)
class Parameter:
    """A declared parameter of a query."""

    name: str
    required: bool
    schema: Place


@dataclass(frozen=True)
class Operation:
    """An operation of the contract; `request`, `responses` and `otherwise` locate the schemas of its bodies."""

    id: str
    family: str
    method: str
    template: str
    tier: int | str
    idempotent: bool
    parameters: dict[str, Parameter]
    request: Place | None
    request_required: bool
    responses: dict[int, dict[str, Place]]
    otherwise: dict[str, Place] | None
    contract: Contract = field(repr=False, compare=False)

    @property
    def success(self) -> int:
        """The status that says it worked; of several the one that comes with a body."""
        return min(status for status in self.responses if 200 <= status < 300)

    def ids_in(self, path: str) -> dict[str, str] | None:
        """The path parameters of a path as it was sent, still encoded, or None where the template does not fit."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.template))
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None


@_FORMATS.checks("date-time", raises=ValueError)
def _is_a_moment(value: object) -> bool:
    # Without this jsonschema wants one more package, and lets everything pass where that is missing.
    return not isinstance(value, str) or bool(_RFC_3339.fullmatch(value) and datetime.fromisoformat(value))


class Contract:
    """The OpenAPI document with its operations and validators."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._registry: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(document))
        self.operations = {
            node["operationId"]: self._operation(template, method, node)
            for template, item in document["paths"].items()
            for method, node in item.items()
            if method in _METHODS
        }

    def family(self, *names: str) -> list[Operation]:
        """The operations of some families, in the order of the contract."""
        return [operation for operation in self.operations.values() if operation.family in names]

    def problems(self, schema: Place, value: Any) -> list[str]:
        """What is wrong with a value, formats included."""
        return [f"{error.json_path}: {error.message}" for error in self._errors(schema, value)]

    def problems_beside_words(self, schema: Place, value: Any) -> list[str]:
        """What is wrong with a value, but for words that are not in the list of those that may stand there."""
        wrong = [error for error in self._errors(schema, value) if not _is_about_a_word(error)]
        return [f"{error.json_path}: {error.message}" for error in wrong]

    def _errors(self, schema: Place, value: Any) -> Iterator[ValidationError]:
        validator = Draft202012Validator(
            {"$ref": _URI + "#" + "".join(f"/{_escaped(str(part))}" for part in schema)},
            registry=self._registry,
            format_checker=_FORMATS,
        )
        yield from validator.iter_errors(value)

    def at(self, place: Place) -> Any:
        """What stands at a place of the contract."""
        node: Any = self._document
        for part in place:
            node = node[part]
        return node

    def members(self, schema: Place, value: Any, at: Place = ()) -> Iterator[tuple[Place, list[Place], bool]]:
        """Each member of a value, with the schemas declared for it and whether its object declares any members."""
        parts = list(self.branches(schema))
        if isinstance(value, dict):
            declared: dict[str, list[Place]] = {}
            for part in parts:
                for name in self.at(part).get("properties", ()):
                    declared.setdefault(name, []).append((*part, "properties", name))
            for name, member in value.items():
                yield (*at, name), declared.get(name, []), bool(declared)
                for inner in declared.get(name, ()):
                    yield from self.members(inner, member, (*at, name))
        elif isinstance(value, list):
            for part in parts:
                if "items" in self.at(part):
                    for index, item in enumerate(value):
                        yield from self.members((*part, "items"), item, (*at, index))

    def word(self, schemas: list[Place], keyword: str) -> Any:
        """What a keyword says in the first of these schemas, or what they refer to, that has it."""
        found = (self.at(part).get(keyword) for schema in schemas for part in self.branches(schema))
        return next((value for value in found if value is not None), None)

    def branches(self, schema: Place) -> Iterator[Place]:
        """Yield a schema and all that it refers to or consists of."""
        yield schema
        node = self.at(schema)
        if "$ref" in node:
            yield from self.branches(_target(node["$ref"]))
        for keyword in ("allOf", "anyOf", "oneOf"):
            for index in range(len(node.get(keyword, ()))):
                yield from self.branches((*schema, keyword, index))

    def _located(self, place: Place) -> Place:
        node = self.at(place)
        return self._located(_target(node["$ref"])) if "$ref" in node else place

    def _operation(self, template: str, method: str, node: dict[str, Any]) -> Operation:
        base: Place = ("paths", template, method)
        parameters = {}
        for index in range(len(node.get("parameters", ()))):
            place = self._located((*base, "parameters", index))
            said = self.at(place)
            if said["in"] == "query":
                parameters[said["name"]] = Parameter(said["name"], said.get("required", False), (*place, "schema"))
        request = None
        if "requestBody" in node:
            request = (*self._located((*base, "requestBody")), "content", "application/json", "schema")
        responses = {}
        for status in node["responses"]:
            place = self._located((*base, "responses", status))
            media = self.at(place).get("content", {})
            responses[status] = {kind: (*place, "content", kind, "schema") for kind in media}
        otherwise = responses.pop("default", None)
        return Operation(
            id=node["operationId"],
            family=node["tags"][0],
            method=method.upper(),
            template=template,
            tier=node["x-rate-limit"]["tier"],
            idempotent=node["x-idempotent"],
            parameters=parameters,
            request=request,
            request_required=node.get("requestBody", {}).get("required", False),
            responses={int(status): schemas for status, schemas in responses.items()},
            otherwise=otherwise,
            contract=self,
        )


def _is_about_a_word(error: ValidationError) -> bool:
    """Return True if a value has but a word that is not listed, in one of the forms that it may have."""
    if error.validator == "enum":
        return True
    forms: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        forms.setdefault(inner.schema_path[0], []).append(inner)
    return any(all(map(_is_about_a_word, inner)) for inner in forms.values())


def _target(reference: str) -> Place:
    parts = reference.removeprefix("#/").split("/")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


@cache
def contract() -> Contract:
    """The contract of early 2026 beside this module: 49 operations."""
    return _read("qlik-cloud.openapi.yaml")


@cache
def scheduling() -> Contract:
    """The part of the contract of November 2026 that is about `/api/scheduling/tasks`, as `trim` cuts it out."""
    return _read("scheduling.openapi.yaml")


def _read(name: str) -> Contract:
    return Contract(yaml.safe_load((HERE / name).read_text(encoding="utf-8")))


def example(name: str) -> Any:
    """A documented body, such as ``create_task.request``; a new copy each time."""
    return json.loads((HERE / "examples" / f"{name}.json").read_text(encoding="utf-8"))


def has_example(name: str) -> bool:
    """Return True if the reference shows that body."""
    return (HERE / "examples" / f"{name}.json").is_file()
