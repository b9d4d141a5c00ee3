"""Cuts a family out of a contract: its operations, and the components that they refer to.

python -m tests.contract.trim FULL.openapi.yaml "Scheduling tasks" > tests/contract/scheduling.openapi.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def trimmed(document: dict[str, Any], *tags: str) -> dict[str, Any]:
    """Return the document with the operations that have one of the tags, and nothing that they do not need."""
    paths: dict[str, Any] = {}
    for template, item in document["paths"].items():
        operations = {key: node for key, node in item.items() if _has_tag(node, tags)}
        if operations:
            paths[template] = {"parameters": item.get("parameters", []), **operations}
    components: dict[str, Any] = {"securitySchemes": document["components"]["securitySchemes"]}
    waiting = [*_references(paths)]
    while waiting:
        kind, name = waiting.pop()
        if name not in components.setdefault(kind, {}):
            components[kind][name] = document["components"][kind][name]
            waiting += _references(components[kind][name])
    in_order = {
        kind: {name: node for name, node in nodes.items() if name in components[kind]}
        for kind, nodes in document["components"].items()
        if kind in components
    }
    kept = {tag["name"]: tag for tag in document["tags"] if tag["name"] in tags}
    return {**document, "tags": [*kept.values()], "paths": paths, "components": in_order}


def _has_tag(node: Any, tags: tuple[str, ...]) -> bool:
    return isinstance(node, dict) and bool({*node.get("tags", ())} & {*tags})


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            _, _, kind, name = value["$ref"].split("/")
            yield kind, name
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


class _Plain(yaml.SafeDumper):
    """Writes everything out, so that a part can be read without looking for anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    full = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    yaml.dump(trimmed(full, *sys.argv[2:]), sys.stdout, _Plain, sort_keys=False, allow_unicode=True, width=120)
