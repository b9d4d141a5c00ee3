"""Faults on demand: what goes wrong between the tenant and who asks it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

Reset = Literal["before", "after"]
FaultyAnswer = Literal["html", "truncated", "cut", "nonsense", "empty", "another"]
Encoding = Literal["gzip"]
Trickle = Literal["headers", "body"]

UNCHANGED: Final = "unchanged"
"""The content type of a fault that leaves the header as it is; None removes the header."""

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Gateway</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """What happens to the next requests that match; see `Tenant.fault`."""

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
    answer: FaultyAnswer | None = None
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
        for name, words in (("reset", Reset), ("answer", FaultyAnswer), ("encoding", Encoding), ("trickle", Trickle)):
            if getattr(self, name) not in (None, *get_args(words)):
                raise ValueError(f"fault {name}: {getattr(self, name)!r} is not one of {get_args(words)}")
        if self.cut_at is not None and (self.answer != "cut" or self.cut_at < 0):
            raise ValueError(f"fault cut_at: {self.cut_at!r} is a number of bytes from 0, for the answer 'cut' alone")
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
        """Whether the operation happens all the same."""
        if self.carried_out is not None:
            return self.carried_out
        # A status and an HTML page come from something in between, which has not asked the tenant.
        return self.reset != "before" and self.status is None and self.answer != "html"

    @property
    def extra_headers(self) -> dict[str, str]:
        """The headers it puts on the answer."""
        return self.headers | ({} if self.retry_after is None else {"retry-after": str(self.retry_after)})

    def hits(self, method: str, path: str, operation: str | None) -> bool:
        """Whether such a request gets it."""
        return (
            (self.method is None or self.method == method)
            and fnmatchcase(path, self.path)
            and (self.operation is None or self.operation == operation)
        )


class Faults:
    """The faults that are still to happen, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._count = 0

    def add(self, **members: Any) -> int:
        """The number of the new fault."""
        self._count += 1
        self._waiting.append(Fault(number=self._count, **members))
        return self._count

    def clear(self) -> None:
        """Let nothing more go wrong."""
        self._waiting.clear()

    def take(self, method: str, path: str, operation: str | None) -> Fault | None:
        """The fault that hits this request, used up once more."""
        for fault in self._waiting:
            if fault.hits(method, path, operation):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._waiting.remove(fault)
                return fault
        return None
