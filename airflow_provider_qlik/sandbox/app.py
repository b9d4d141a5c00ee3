"""The tenant as an ASGI application: the way of every request from its arrival to its answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from airflow_provider_qlik.sandbox.access import Access
from airflow_provider_qlik.sandbox.api import OPERATIONS
from airflow_provider_qlik.sandbox.clock import Clock
from airflow_provider_qlik.sandbox.control import Control
from airflow_provider_qlik.sandbox.errors import Refused, error_body
from airflow_provider_qlik.sandbox.faults import Fault, Faults
from airflow_provider_qlik.sandbox.faulty import Wire, faulty_response, send_faulty
from airflow_provider_qlik.sandbox.journal import Entry, Journal, masked
from airflow_provider_qlik.sandbox.limits import Meter
from airflow_provider_qlik.sandbox.operations import Asked, Json, Operation
from airflow_provider_qlik.sandbox.paths import deprecation_headers, has_path, nobody_there, tier_on
from airflow_provider_qlik.sandbox.rights import check_rights
from airflow_provider_qlik.sandbox.shapes import check
from airflow_provider_qlik.sandbox.times import http_date
from airflow_provider_qlik.sandbox.world import World

CONTROL_PREFIX = "/sandbox/"

_TOLD_HEADERS = ("user-agent", "accept", "content-type")

_OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The names under which the control API answers; another one is that of a web page that uses the user's browser."""


class _Malformed(str):
    """A body that is not the JSON it should be."""


class TenantApp:
    """One tenant: its content, who may ask, and all that tests can turn about it."""

    def __init__(self, wire: Wire, speed: float = 1.0) -> None:
        self._wire = wire
        self._speed = speed
        self._control = Control(self)
        self._routes = [
            (operation, operation.method, compile_path(path)[0]) for operation in OPERATIONS for path in operation.paths
        ]
        self.access = Access()
        self.reset()

    def reset(self) -> None:
        """Back to how everything was at the start."""
        self.world = World(Clock(self._speed))
        self.meter = Meter()
        self.faults = Faults()
        self.journal = Journal()
        self.access.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # The server takes anything raised for a mistake: not so a caller who has gone, or its own end.
        with suppress(asyncio.CancelledError, ClientDisconnect):
            request = Request(scope, receive)
            raw = await request.body()
            path: str = scope["path"]
            if path.startswith(CONTROL_PREFIX):
                answer = _why_foreign(request) or await self._control.answer(path.removeprefix(CONTROL_PREFIX), raw)
                await answer(scope, receive, send)
            else:
                await self._serve(request, raw, send)

    async def _serve(self, request: Request, raw: bytes, send: Send) -> None:
        scope, receive = request.scope, request.receive
        operation, params = self._find(request.method, _encoded_path(scope))
        if not has_path(self.world.switches, scope["path"]):
            operation = None
        asked = self._read(request, raw, params)
        entry = self._enter(request, asked, operation)
        fault = self.faults.take(entry.method, entry.path, entry.operation)
        if fault:
            entry.fault = fault.number
            await asyncio.sleep(fault.delay)
        with self.world.clock.held():
            if fault is None:
                response = self._carry_out(operation, asked, entry)
            else:
                happened = self._carry_out(operation, asked, entry) if fault.is_carried_out else None
                response = self._faulty(fault, happened, operation)
            entry.credential = asked.credential or self._credential(asked)
            response.headers["date"] = http_date(self.world.now)
            response.headers.update(deprecation_headers(self.world.switches, asked.path))
        if fault and fault.reset:
            self._wire.hang_up(scope.get("client"), True)
            await receive()  # until the connection is gone: an application that returns early is an error
            return
        if fault is None or fault.trickle != "headers":
            entry.status = response.status_code
        if fault is None:
            await response(scope, receive, send)
        else:
            await send_faulty(fault, response, self._wire, scope, receive, send)

    def _find(self, method: str, path: str) -> tuple[Operation | None, dict[str, str]]:
        for operation, operation_method, pattern in self._routes:
            if operation_method == method and (found := pattern.match(path)):
                return operation, {name: unquote(value) for name, value in found.groupdict().items()}
        return None, {}

    def _read(self, request: Request, raw: bytes, params: dict[str, str]) -> Asked:
        return Asked(
            world=self.world,
            access=self.access,
            path=request.scope["path"],
            params=params,
            query=parse_qsl(_raw_query(request), keep_blank_values=True),
            headers=request.headers,
            body=_parse(raw, request.headers),
            base_url=str(request.base_url).rstrip("/"),
        )

    def _enter(self, request: Request, asked: Asked, operation: Operation | None) -> Entry:
        entry = Entry(
            time=self.world.now,
            operation=operation.name if operation else None,
            method=request.method,
            path=asked.path,
            query=asked.query,
            raw_query=_raw_query(request),
            headers={name: asked.headers[name] for name in _TOLD_HEADERS if name in asked.headers},
            body=masked(asked.body),
        )
        self.journal.entries.append(entry)
        return entry

    def _carry_out(self, operation: Operation | None, asked: Asked, entry: Entry) -> Response:
        response = self._answer(operation, asked)
        entry.carried_out = response.status_code < 400
        return response

    def _credential(self, asked: Asked) -> str | None:
        """Who asks, where a fault keeps the question from being answered."""
        with suppress(Refused):
            return self.access.identify(asked.headers.get("authorization"), self.world.now).credential
        return None

    def _answer(self, operation: Operation | None, asked: Asked) -> Response:
        try:
            if operation is None:
                if self.world.switches.no_route != "qlik":
                    return nobody_there(self.world.switches)
                raise Refused(404, "Not found", f"there is no {asked.path}")
            if operation.needs_credentials:
                asked.identity = self.access.identify(asked.headers.get("authorization"), self.world.now)
                asked.credential = asked.identity.credential
            self._keep_limit(operation, asked)
            if asked.identity is not None:
                check_rights(operation, asked)
            if isinstance(asked.body, _Malformed):
                raise Refused(400, "Bad request", "the body is not JSON")
            if operation.body and (asked.body is not None or operation.is_body_required):
                check(asked.body, {"type": "object", **operation.body})
            return operation.handler(asked)
        except Refused as refused:
            return self._refusal(operation, refused)

    def _keep_limit(self, operation: Operation, asked: Asked) -> None:
        if operation.tier is None:
            return
        user = asked.identity.user.id if asked.identity else operation.name
        tier = tier_on(asked.path, operation.method, operation.tier)
        seconds = self.meter.wait(user, tier, self.world.now)
        if seconds:
            headers = {}
            if self.world.switches.retry_after == "seconds":
                headers = {"retry-after": str(seconds)}
            elif self.world.switches.retry_after == "date":
                headers = {"retry-after": http_date(self.world.clock.later(seconds))}
            raise Refused(429, "Too many requests", "the rate limit is exceeded", code="HTTP-429", headers=headers)

    def _refusal(self, operation: Operation | None, refused: Refused) -> Response:
        switches = self.world.switches
        body = error_body(
            operation.family if operation else None,
            refused,
            self.world.now,
            switches.sharing_error_form,
            switches.scheduling_error_form,
        )
        return Json(body, refused.status, refused.headers)

    def _faulty(self, fault: Fault, response: Response | None, operation: Operation | None) -> Response:
        return faulty_response(
            fault,
            response,
            lambda refused: self._refusal(operation, refused),
            operation.family if operation else None,
            self.world.now,
        )


def _why_foreign(request: Request) -> Response | None:
    """Return a refusal of a control request that came by another name than the sandbox's own, else None."""
    port = (request.scope.get("server") or ("", 80))[1]
    own = {f"{host}:{port}" for host in _OWN_HOSTS} | (set(_OWN_HOSTS) if port == 80 else set())
    hosts = [request.headers.get("host", "")]
    if "origin" in request.headers:
        hosts.append(request.headers["origin"].removeprefix("http://"))
    foreign = [host for host in hosts if host.lower() not in own]
    if not foreign:
        return None
    why = f"the control API answers requests to {', '.join(sorted(own))} only, and not to {foreign[0]!r}"
    return Json({"error": why}, 403)


def _encoded_path(scope: Scope) -> str:
    """Return the path as it was sent: an encoded slash is part of a segment, and no separator."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.decode("latin-1").partition("?")[0]


def _raw_query(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _parse(raw: bytes, headers: Headers) -> Any:
    if not raw:
        return None
    try:
        if "form" in headers.get("content-type", ""):
            return dict(parse_qsl(raw.decode(), keep_blank_values=True))
        return json.loads(raw)
    except ValueError:
        return _Malformed(raw.decode(errors="replace"))
