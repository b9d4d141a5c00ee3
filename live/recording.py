"""A client that records responses, errors and the requests of flows included.

The models are not enough: they leave out what they cannot read, and an error has no body. So raw responses are
recorded, at the one place that all of them pass.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from airflow_provider_qlik.cloud import Call, Client, Credentials, Tenant
from live.comparison import Findings, described_by

T = TypeVar("T")

KEPT = 40
"""Responses of each operation that are kept, half of them the first, half the latest. All are compared, but a long wait
must not fill the memory."""
HEADERS = ("deprecation", "sunset", "qlik-api-version")
"""Headers of responses that are reported, with their values: these are Qlik's own."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the response to it.

    `operation` is the contract's name for it, which tells the two paths of tasks apart. `body` is its JSON, None where
    it is none. `at` is the moment of the monotonic clock when the response had come, in seconds.
    """

    operation: str
    call: Call[Any] = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    at: float

    @property
    def succeeded(self) -> bool:
        """Return True if the request was carried out."""
        return 200 <= self.status < 300

    @property
    def items(self) -> list[dict[str, Any]]:
        """The objects of the list in the response; none where it is no list."""
        found = self.body if isinstance(self.body, dict) and self.succeeded else {}
        listed = next((found[name] for name in ("data", "sharingTasks", "executions") if name in found), None)
        return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


@dataclass(slots=True)
class Recording:
    """The responses of one tenant, and how they differ from what this package expects."""

    findings: Findings = field(default_factory=Findings)
    counts: dict[str, Counter[int]] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    _kept: dict[str, list[Exchange]] = field(default_factory=dict)

    def add(self, call: Call[Any], response: httpx.Response) -> None:
        """Keep a response, and compare it if it succeeded."""
        contract = described_by(call.method, call.path)
        name = contract.id if contract else call.operation
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            body = None
        exchange = Exchange(name, call, response.status_code, response.headers, body, time.monotonic())
        kept = self._kept.setdefault(name, [])
        kept.append(exchange)
        if len(kept) > KEPT:
            del kept[KEPT // 2]
        self.counts.setdefault(name, Counter())[response.status_code] += 1
        self.requests[name] = (
            f"{call.method} {contract.template}" if contract else f"{call.method}, not in the contract here"
        )
        for header in HEADERS:
            if header in response.headers:
                self.headers.setdefault(name, {}).setdefault(header, set()).add(response.headers[header])
        if exchange.succeeded:
            self.findings.compare(name, contract, call.response_type, body)

    def of(self, *operations: str) -> Iterator[Exchange]:
        """Yield what is kept of some operations, by the contract's names, oldest first."""
        for name in operations:
            yield from self._kept.get(name, ())


class RecordingClient(Client):
    """A client of the package whose responses are recorded."""

    def __init__(self, tenant: Tenant, credentials: Credentials, recording: Recording) -> None:
        self.recording = recording
        super().__init__(tenant, credentials)

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        self.recording.add(call, response)
        return super()._read(call, response)
