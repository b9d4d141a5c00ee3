"""Faults on demand: failures between a tenant and its clients."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

Reset = Literal["before", "after"]
FaultResponse = Literal["html", "truncated", "cut", "nonsense", "empty", "other_run"]
Encoding = Literal["gzip"]
Trickle = Literal["headers", "body"]

UNCHANGED: Final = "unchanged"
"""The content type of a fault that leaves the header as it is; None removes the header."""

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Gateway</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """A failure that the next matching requests meet; see `Tenant.fault`."""

    number: int
    method: str | None = None
    path: str = "*"
    operation: str | None = None
    times: int | None = 1
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | str | None = None
    code: str | None = None
    delay: float = 0.0
    reset: Reset | None = None
    response: FaultResponse | None = None
    cut_at: int | None = None
    carried_out: bool | None = None
    content_type: str | None = UNCHANGED
    body_base64: str | None = None
    encoding: Encoding | None = None
    padded_to: int | None = None
    trickle: Trickle | None = None
    interval: float = 0.5

    def __post_init__(self) -> None:
        self.method = self.method.upper() if self.method else None
        self.headers = dict(self.headers or {})
        for name, values in (
            ("reset", Reset),
            ("response", FaultResponse),
            ("encoding", Encoding),
            ("trickle", Trickle),
        ):
            if getattr(self, name) not in (None, *get_args(values)):
                raise ValueError(f"fault {name}: {getattr(self, name)!r} is not one of {get_args(values)}")
        if self.cut_at is not None and (self.response != "cut" or self.cut_at < 0):
            raise ValueError(f"fault cut_at: {self.cut_at!r} is a number of bytes from 0, for response='cut' only")
        if self.times is not None and self.times < 1:
            raise ValueError(f"fault times: {self.times!r} is not a number from 1 or None")
        if self.padded_to is not None and self.padded_to < 0:
            raise ValueError(f"fault padded_to: {self.padded_to!r} is not a number of bytes from 0")
        if self.interval <= 0:
            raise ValueError(f"fault interval: {self.interval!r} is not a number of seconds above 0")
        if self.body_base64 is not None:
            self.body = base64.b64decode(self.body_base64, validate=True)

    @property
    def is_carried_out(self) -> bool:
        """Return True if the operation is carried out in spite of the fault."""
        if self.carried_out is not None:
            return self.carried_out
        # A status and an HTML page come from a proxy that has not passed the request on.
        return self.reset != "before" and self.status is None and self.response != "html"

    @property
    def extra_headers(self) -> dict[str, str]:
        """Return the headers that the fault adds to the response."""
        return self.headers | ({} if self.retry_after is None else {"retry-after": str(self.retry_after)})

    def matches(self, method: str, path: str, operation: str | None) -> bool:
        """Return True if the fault applies to such a request."""
        return (
            (self.method is None or self.method == method)
            and fnmatchcase(path, self.path)
            and (self.operation is None or self.operation == operation)
        )


class Faults:
    """The pending faults, oldest first."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._count = 0

    def add(self, **members: Any) -> int:
        """Add a fault, and return its number."""
        self._count += 1
        self._pending.append(Fault(number=self._count, **members))
        return self._count

    def clear(self) -> None:
        """Remove all faults."""
        self._pending.clear()

    def take(self, method: str, path: str, operation: str | None) -> Fault | None:
        """Return the oldest fault that matches the request and count its use; None if there is none."""
        for fault in self._pending:
            if fault.matches(method, path, operation):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._pending.remove(fault)
                return fault
        return None
