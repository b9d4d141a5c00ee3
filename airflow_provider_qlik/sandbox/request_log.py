"""What was asked of the tenant, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

_SECRETS = frozenset({"client_secret", "client_assertion", "access_token", "executionToken", "token"})


@dataclass(slots=True)
class Entry:
    """One request: what was asked, by whom, what was answered, and whether it was carried out."""

    time: datetime
    """When it arrived, by the tenant's clock."""
    operation: str | None
    """The contract's operationId, or `token`, `execute_automation`, `get_me`, …; None: no such route."""
    method: str
    path: str
    query: list[tuple[str, str]]
    """The decoded pairs, in order."""
    raw_query: str
    headers: dict[str, str]
    """`user-agent`, `accept` and `content-type`, as far as sent."""
    body: Any = None
    """The parsed body with every secret replaced by `***`."""
    status: int | None = None
    """The status answered; None: the connection was dropped."""
    carried_out: bool = False
    """Whether the operation ran, whatever the caller was told."""
    fault: int | None = None
    """The number of the fault that hit it."""
    credential: str | None = None
    """Who asked: `api_key`, `client`, `user:<id>`, `execution_token`; None: nobody the tenant knows."""

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON can carry it."""
        return asdict(self) | {"time": self.time.isoformat()}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Entry:
        """The entry that `to_json` wrote."""
        entry = cls(**members)
        entry.time = datetime.fromisoformat(members["time"])
        entry.query = [(name, value) for name, value in members["query"]]
        return entry


@dataclass(slots=True)
class RequestLog:
    """All requests since the start or the last clearing, oldest first."""

    entries: list[Entry] = field(default_factory=list)

    def select(self, operation: str | None, method: str | None, path: str | None) -> list[Entry]:
        """The entries that fit; `path` is a pattern with `*`."""
        return [
            entry
            for entry in self.entries
            if (operation is None or entry.operation == operation)
            and (method is None or entry.method == method.upper())
            and (path is None or fnmatchcase(entry.path, path))
        ]


def masked(body: Any) -> Any:
    """The body with every secret in it replaced."""
    if isinstance(body, dict):
        return {name: "***" if name in _SECRETS else masked(value) for name, value in body.items()}
    if isinstance(body, list):
        return [masked(item) for item in body]
    return body
