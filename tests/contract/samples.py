"""Bodies made from the schemas of a contract: with all that is declared, with the least, with what nobody declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.contract.openapi import Contract, Place

NEW_WORD, NEW_NUMBER = "A new word", 99
"""What stands for a member of an enumeration that came after the contract."""
NEW_MEMBERS: dict[str, Any] = {
    "newMember": {"with": [1, None, "text"], "and": None},
    "newNull": None,
    "newText": "text",
}
"""What objects have that came after the contract."""

ESSENTIAL = {"AutomationRunBase": ("id", "status"), "SharingTaskExecution": ("id", "status")}
"""By schema, what a run cannot be without, although the contract requires nothing of it: whoever waits for a run must
know which it is and how it is. One that does not say is left out of a list, and read on its own it is an error."""

_BY_PATTERN = {"^CHO-[0-9]{3}$": "CHO-000"}


@dataclass(frozen=True)
class Style:
    """How a body is made.

    `optional`: what becomes of members that are not required. `null`: members that may be null are. `extra`: objects
    have `NEW_MEMBERS`. `new_words`: enumerations hold a new word. `form`: which of several forms, from the end if
    negative. The whole of a body always has its members, so that lists have items.
    """

    optional: str = "there"
    null: bool = False
    extra: bool = False
    new_words: bool = False
    form: int = -1


STYLES = {
    "in full": Style(),
    "in its first form": Style(form=0),
    "with the least": Style(optional="missing"),
    "with optional members null": Style(optional="null"),
    "with nullable members null": Style(null=True),
    "with new members": Style(extra=True),
    "with new members and the least": Style(optional="missing", extra=True),
    "with new words": Style(new_words=True),
    "with new words and new members in its first form": Style(new_words=True, extra=True, form=0),
}


def sample(contract: Contract, schema: Place, style: Style = STYLES["in full"], *, at_top: bool = True) -> Any:
    """Return a value by a schema. Lists have two items, or one where they must differ."""
    node = contract.at(schema)
    if "$ref" in node:
        parts = node["$ref"].removeprefix("#/").split("/")
        return sample(contract, tuple(part.replace("~1", "/") for part in parts), style, at_top=at_top)
    if "allOf" in node:
        samples = [
            sample(contract, (*schema, "allOf", index), style, at_top=at_top) for index in range(len(node["allOf"]))
        ]
        # A later part may add no more than a remark to a member.
        return {name: member for part in reversed(samples) for name, member in part.items()}
    for keyword in ("oneOf", "anyOf"):
        if keyword in node:
            index = style.form % len(node[keyword])
            return sample(contract, (*schema, keyword, index), style, at_top=at_top)
    if "enum" in node:
        if style.new_words:
            return NEW_NUMBER if isinstance(node["enum"][0], int) else NEW_WORD
        return node["enum"][-1]
    kinds = node.get("type", "object")
    if style.null and "null" in kinds and not isinstance(kinds, str):
        return None
    kind = kinds if isinstance(kinds, str) else next(one for one in kinds if one != "null")
    if kind == "object":
        return _object(contract, schema, node, style, at_top)
    if kind == "array":
        count = 1 if node.get("uniqueItems") else 2
        return [sample(contract, (*schema, "items"), style, at_top=False)] * count if "items" in node else []
    text = "2018-10-30T07:06:22.123Z" if node.get("format") == "date-time" else "17"
    if schema[-1] == "timestamp":
        text = "2018-10-30T07:06:22.123Z"
    text = _BY_PATTERN.get(node.get("pattern", ""), text)
    return {"string": text, "integer": 17, "number": 1.5, "boolean": True}[kind]


def _object(contract: Contract, schema: Place, node: dict[str, Any], style: Style, at_top: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    needed = {*node.get("required", ()), *ESSENTIAL.get(str(schema[-1]), ())}
    for name in node.get("properties", ()):
        if at_top or style.optional == "there" or name in needed:
            made[name] = sample(contract, (*schema, "properties", name), style, at_top=False)
        elif style.optional == "null":
            made[name] = None
    return {**made, **NEW_MEMBERS} if style.extra and "properties" in node else made


def written_back(contract: Contract, schema: Place, said: Any) -> Any:
    """Return what is to be sent where a value was read: without read-only members, and declared ones that are null."""
    if isinstance(said, list):
        return [written_back(contract, (*part, "items"), item) for item in said for part in _holding(contract, schema)]
    if not isinstance(said, dict):
        return said
    declared = _declared(contract, schema)
    back = {}
    for name, member in said.items():
        places = declared.get(name, [])
        if places and (member is None or contract.word(places, "readOnly")):
            continue
        back[name] = written_back(contract, places[0], member) if places else member
    return back


def _holding(contract: Contract, schema: Place) -> list[Place]:
    return [part for part in contract.branches(schema) if "items" in contract.at(part)][:1]


def _declared(contract: Contract, schema: Place) -> dict[str, list[Place]]:
    declared: dict[str, list[Place]] = {}
    for part in contract.branches(schema):
        for name in contract.at(part).get("properties", ()):
            declared.setdefault(name, []).append((*part, "properties", name))
    return declared
