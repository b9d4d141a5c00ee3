"""JSON Patch (RFC 6902) without `test`, which Qlik does not list for tasks."""

from __future__ import annotations

import copy
from typing import Any

from airflow_provider_qlik.sandbox.errors import ApiError

OPERATIONS = ("add", "remove", "replace", "move", "copy")


def patched(document: Any, operations: list[dict[str, Any]]) -> Any:
    """Return the document after all operations. Raises ApiError (400) for an operation that cannot be applied."""
    result = copy.deepcopy(document)
    for place, operation in enumerate(operations):
        where = f"body[{place}]"
        name, path = operation["op"], _parts(operation["path"], f"{where}.path")
        if name in ("move", "copy"):
            if not isinstance(operation.get("from"), str):
                raise ApiError(400, "Bad request", f"{where}.from is missing")
            source = _parts(operation["from"], f"{where}.from")
            if name == "move" and path[: len(source)] == source and path != source:
                raise ApiError(400, "Bad request", f"{where} would move a value into itself")
            value = copy.deepcopy(_at(result, source, f"{where}.from"))
            if name == "move":
                result = _removed(result, source, f"{where}.from")
            result = _added(result, path, value, f"{where}.path")
            continue
        if name == "remove":
            result = _removed(result, path, f"{where}.path")
            continue
        if "value" not in operation:
            raise ApiError(400, "Bad request", f"{where}.value is missing")
        if name == "replace":
            _at(result, path, f"{where}.path")
            result = _removed(result, path, f"{where}.path")
        result = _added(result, path, copy.deepcopy(operation["value"]), f"{where}.path")
    return result


def _parts(pointer: str, where: str) -> list[str]:
    """Return the parts of a JSON pointer (RFC 6901)."""
    if pointer and not pointer.startswith("/"):
        raise ApiError(400, "Bad request", f"{where} must begin with a slash, but is {pointer!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _at(document: Any, parts: list[str], where: str) -> Any:
    for part in parts:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isascii() and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            raise ApiError(400, "Bad request", f"{where} does not exist at {part!r}")
    return document


def _added(document: Any, parts: list[str], value: Any, where: str) -> Any:
    if not parts:
        return value
    holder, last = _at(document, parts[:-1], where), parts[-1]
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list) and last == "-":
        holder.append(value)
    elif isinstance(holder, list) and last.isascii() and last.isdigit() and int(last) <= len(holder):
        holder.insert(int(last), value)
    else:
        raise ApiError(400, "Bad request", f"{where} does not exist at {last!r}")
    return document


def _removed(document: Any, parts: list[str], where: str) -> Any:
    if not parts:
        return None
    _at(document, parts, where)
    holder, last = _at(document, parts[:-1], where), parts[-1]
    del holder[last if isinstance(holder, dict) else int(last)]
    return document
