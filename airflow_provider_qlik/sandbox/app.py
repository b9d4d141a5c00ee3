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

from airflow_provider_qlik.sandbox.api import OPERATIONS
from airflow_provider_qlik.sandbox.control import Control
from airflow_provider_qlik.sandbox.errors import ApiError, error_body
from airflow_provider_qlik.sandbox.faults import Fault, Faults
from airflow_provider_qlik.sandbox.faulty_responses import Wire, faulty_response, send_faulty
from airflow_provider_qlik.sandbox.operations import ApiRequest, Json, Operation
from airflow_provider_qlik.sandbox.paths import deprecation_headers, has_path, nobody_there, tier_on
from airflow_provider_qlik.sandbox.permissions import check_rights
from airflow_provider_qlik.sandbox.rate_limits import Meter
from airflow_provider_qlik.sandbox.request_log import Entry, RequestLog, masked
from airflow_provider_qlik.sandbox.schemas import check
from airflow_provider_qlik.sandbox.state.access import Access
from airflow_provider_qlik.sandbox.state.clock import Clock
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.times import http_date

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
        self.tenant_state = TenantState(Clock(self._speed))
        self.meter = Meter()
        self.faults = Faults()
        self.request_log = RequestLog()
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
        if not has_path(self.tenant_state.switches, scope["path"]):
            operation = None
        request = self._read(request, raw, params)
        entry = self._enter(request, request, operation)
        fault = self.faults.take(entry.method, entry.path, entry.operation)
        if fault:
            entry.fault = fault.number
            await asyncio.sleep(fault.delay)
        with self.tenant_state.clock.held():
            if fault is None:
                response = self._carry_out(operation, request, entry)
            else:
                happened = self._carry_out(operation, request, entry) if fault.is_carried_out else None
                response = self._faulty(fault, happened, operation)
            entry.credential = request.credential or self._credential(request)
            response.headers["date"] = http_date(self.tenant_state.now)
            response.headers.update(deprecation_headers(self.tenant_state.switches, request.path))
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

    def _read(self, request: Request, raw: bytes, params: dict[str, str]) -> ApiRequest:
        return ApiRequest(
            tenant_state=self.tenant_state,
            access=self.access,
            path=request.scope["path"],
            params=params,
            query=parse_qsl(_raw_query(request), keep_blank_values=True),
            headers=request.headers,
            body=_parse(raw, request.headers),
            base_url=str(request.base_url).rstrip("/"),
        )

    def _enter(self, request: Request, request: ApiRequest, operation: Operation | None) -> Entry:
        entry = Entry(
            time=self.tenant_state.now,
            operation=operation.name if operation else None,
            method=request.method,
            path=request.path,
            query=request.query,
            raw_query=_raw_query(request),
            headers={name: request.headers[name] for name in _TOLD_HEADERS if name in request.headers},
            body=masked(request.body),
        )
        self.request_log.entries.append(entry)
        return entry

    def _carry_out(self, operation: Operation | None, request: ApiRequest, entry: Entry) -> Response:
        response = self._answer(operation, request)
        entry.carried_out = response.status_code < 400
        return response

    def _credential(self, request: ApiRequest) -> str | None:
        """Who asks, where a fault keeps the question from being answered."""
        with suppress(ApiError):
            return self.access.identify(request.headers.get("authorization"), self.tenant_state.now).credential
        return None

    def _answer(self, operation: Operation | None, request: ApiRequest) -> Response:
        try:
            if operation is None:
                if self.tenant_state.switches.no_route != "qlik":
                    return nobody_there(self.tenant_state.switches)
                raise ApiError(404, "Not found", f"there is no {request.path}")
            if operation.needs_credentials:
                request.identity = self.access.identify(request.headers.get("authorization"), self.tenant_state.now)
                request.credential = request.identity.credential
            self._keep_limit(operation, request)
            if request.identity is not None:
                check_rights(operation, request)
            if isinstance(request.body, _Malformed):
                raise ApiError(400, "Bad request", "the body is not JSON")
            if operation.body and (request.body is not None or operation.is_body_required):
                check(request.body, {"type": "object", **operation.body})
            return operation.handler(request)
        except ApiError as refused:
            return self._refusal(operation, refused)

    def _keep_limit(self, operation: Operation, request: ApiRequest) -> None:
        if operation.tier is None:
            return
        user = request.identity.user.id if request.identity else operation.name
        tier = tier_on(request.path, operation.method, operation.tier)
        seconds = self.meter.wait(user, tier, self.tenant_state.now)
        if seconds:
            headers = {}
            if self.tenant_state.switches.retry_after == "seconds":
                headers = {"retry-after": str(seconds)}
            elif self.tenant_state.switches.retry_after == "date":
                headers = {"retry-after": http_date(self.tenant_state.clock.later(seconds))}
            raise ApiError(429, "Too many requests", "the rate limit is exceeded", code="HTTP-429", headers=headers)

    def _refusal(self, operation: Operation | None, refused: ApiError) -> Response:
        switches = self.tenant_state.switches
        body = error_body(
            operation.family if operation else None,
            refused,
            self.tenant_state.now,
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
            self.tenant_state.now,
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
