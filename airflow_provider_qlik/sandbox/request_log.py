"""The requests that the tenant received, and their outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

_SECRETS = frozenset({"client_secret", "client_assertion", "access_token", "executionToken", "token"})


@dataclass(slots=True)
class Entry:
    """One request: its contents, its caller, the status of its response, and its effect."""

    time: datetime
    """The time of its arrival, by the tenant's clock."""
    operation: str | None
    """The contract's operationId, or `token`, `execute_automation`, `get_me`, …; None: no such route."""
    method: str
    path: str
    query: list[tuple[str, str]]
    """The decoded pairs, in order."""
    raw_query: str
    headers: dict[str, str]
    """The headers `user-agent`, `accept` and `content-type`, if sent."""
    body: Any = None
    """The parsed body with every secret replaced by `***`."""
    status: int | None = None
    """The status of the response; None: the connection was dropped."""
    carried_out: bool = False
    """True if the operation was carried out, also if the response says otherwise."""
    fault: int | None = None
    """The number of the fault that it met."""
    credential: str | None = None
    """The credentials: `api_key`, `client`, `user:<id>`, `execution_token`; None: none that are valid."""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain JSON."""
        return asdict(self) | {"time": self.time.isoformat()}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Entry:
        """Return the entry that `to_json` wrote."""
        entry = cls(**members)
        entry.time = datetime.fromisoformat(members["time"])
        entry.query = [(name, value) for name, value in members["query"]]
        return entry


@dataclass(slots=True)
class RequestLog:
    """All requests since the start or the last clearing, oldest first."""

    entries: list[Entry] = field(default_factory=list)

    def select(self, operation: str | None, method: str | None, path: str | None) -> list[Entry]:
        """Return the entries that match; `path` is a pattern with `*`."""
        return [
            entry
            for entry in self.entries
            if (operation is None or entry.operation == operation)
            and (method is None or entry.method == method.upper())
            and (path is None or fnmatchcase(entry.path, path))
        ]


def masked(body: Any) -> Any:
    """Return the body with every secret in it replaced."""
    if isinstance(body, dict):
        return {name: "***" if name in _SECRETS else masked(value) for name, value in body.items()}
    if isinstance(body, list):
        return [masked(item) for item in body]
    return body
