"""The tenant as an ASGI application: routing, faults, authentication, rate limits, validation, and handlers."""

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
from airflow_provider_qlik.sandbox.fault_responses import Connections, fault_response, send_fault_response
from airflow_provider_qlik.sandbox.faults import Fault, Faults
from airflow_provider_qlik.sandbox.operations import ApiRequest, Json, Operation
from airflow_provider_qlik.sandbox.paths import deprecation_headers, has_path, proxy_not_found, tier_on
from airflow_provider_qlik.sandbox.permissions import check_permissions
from airflow_provider_qlik.sandbox.rate_limits import RateLimiter
from airflow_provider_qlik.sandbox.request_log import Entry, RequestLog, masked
from airflow_provider_qlik.sandbox.schemas import check
from airflow_provider_qlik.sandbox.state.access import Access
from airflow_provider_qlik.sandbox.state.clock import Clock
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.times import http_date

CONTROL_PREFIX = "/sandbox/"

_LOGGED_HEADERS = ("user-agent", "accept", "content-type")

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The hosts to which the control API responds; another one belongs to a web page that uses the user's browser."""


class _MalformedBody(str):
    """A body that is not valid JSON."""


class TenantApp:
    """One tenant: its state, credentials, rate limits, faults and request log."""

    def __init__(self, connections: Connections, speed: float = 1.0) -> None:
        self._connections = connections
        self._speed = speed
        self._control = Control(self)
        self._routes = [
            (operation, operation.method, compile_path(path)[0]) for operation in OPERATIONS for path in operation.paths
        ]
        self.access = Access()
        self.reset()

    def reset(self) -> None:
        """Restore the initial state: content, clock, rate limits, faults, request log and credentials."""
        self.tenant_state = TenantState(Clock(self._speed))
        self.rate_limiter = RateLimiter()
        self.faults = Faults()
        self.request_log = RequestLog()
        self.access.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        # The server logs every exception as an error; a client that disconnects and a shutdown are none.
        with suppress(asyncio.CancelledError, ClientDisconnect):
            request = Request(scope, receive)
            raw = await request.body()
            path: str = scope["path"]
            self.tenant_state.chains.advance()
            if path.startswith(CONTROL_PREFIX):
                response = _refuse_foreign_host(request) or await self._control.handle(
                    path.removeprefix(CONTROL_PREFIX), raw
                )
                await response(scope, receive, send)
            else:
                await self._serve(request, raw, send)

    async def _serve(self, http_request: Request, raw: bytes, send: Send) -> None:
        scope, receive = http_request.scope, http_request.receive
        operation, params = self._route(http_request.method, _encoded_path(scope))
        if not has_path(self.tenant_state.switches, scope["path"]):
            operation = None
        request = self._read(http_request, raw, params)
        entry = self._log_request(http_request, request, operation)
        fault = self.faults.take(entry.method, entry.path, entry.operation)
        if fault:
            entry.fault = fault.number
            await asyncio.sleep(fault.delay)
        with self.tenant_state.clock.frozen():
            self.tenant_state.chains.advance()
            if fault is None:
                response = self._execute(operation, request, entry)
            else:
                true_response = self._execute(operation, request, entry) if fault.is_carried_out else None
                response = self._fault_response(fault, true_response, operation)
            entry.credential = request.credential or self._credential(request)
            response.headers["date"] = http_date(self.tenant_state.now)
            response.headers.update(deprecation_headers(self.tenant_state.switches, request.path))
        if fault and fault.reset:
            self._connections.disconnect(scope.get("client"), True)
            await (
                receive()
            )  # until the connection is closed: the server logs an application that returns early as an error
            return
        if fault is None or fault.trickle != "headers":
            entry.status = response.status_code
        if fault is None:
            await response(scope, receive, send)
        else:
            await send_fault_response(fault, response, self._connections, scope, receive, send)

    def _route(self, method: str, path: str) -> tuple[Operation | None, dict[str, str]]:
        for operation, operation_method, pattern in self._routes:
            if operation_method == method and (found := pattern.match(path)):
                return operation, {name: unquote(value) for name, value in found.groupdict().items()}
        return None, {}

    def _read(self, http_request: Request, raw: bytes, params: dict[str, str]) -> ApiRequest:
        return ApiRequest(
            tenant_state=self.tenant_state,
            access=self.access,
            path=http_request.scope["path"],
            params=params,
            query=parse_qsl(_raw_query(http_request), keep_blank_values=True),
            headers=http_request.headers,
            body=_parse(raw, http_request.headers),
            base_url=str(http_request.base_url).rstrip("/"),
        )

    def _log_request(self, http_request: Request, request: ApiRequest, operation: Operation | None) -> Entry:
        entry = Entry(
            time=self.tenant_state.now,
            operation=operation.name if operation else None,
            method=http_request.method,
            path=request.path,
            query=request.query,
            raw_query=_raw_query(http_request),
            headers={name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers},
            body=masked(request.body),
        )
        self.request_log.entries.append(entry)
        return entry

    def _execute(self, operation: Operation | None, request: ApiRequest, entry: Entry) -> Response:
        response = self._respond(operation, request)
        entry.carried_out = response.status_code < 400
        return response

    def _credential(self, request: ApiRequest) -> str | None:
        """Return a short name of the credentials where a fault prevented their check; None if they are invalid."""
        with suppress(ApiError):
            return self.access.identify(request.headers.get("authorization"), self.tenant_state.now).credential
        return None

    def _respond(self, operation: Operation | None, request: ApiRequest) -> Response:
        try:
            if operation is None:
                if self.tenant_state.switches.no_route != "qlik":
                    return proxy_not_found(self.tenant_state.switches)
                raise ApiError(404, "Not found", f"there is no path {request.path}")
            if operation.needs_credentials:
                request.identity = self.access.identify(request.headers.get("authorization"), self.tenant_state.now)
                request.credential = request.identity.credential
            self._check_rate_limit(operation, request)
            if request.identity is not None:
                check_permissions(operation, request)
            if isinstance(request.body, _MalformedBody):
                raise ApiError(400, "Bad request", "the body is not JSON")
            if operation.body and (request.body is not None or operation.is_body_required):
                check(request.body, {"type": "object", **operation.body})
            return operation.handler(request)
        except ApiError as error:
            return self._error_response(operation, error)

    def _check_rate_limit(self, operation: Operation, request: ApiRequest) -> None:
        if operation.tier is None:
            return
        user = request.identity.user.id if request.identity else operation.name
        tier = tier_on(request.path, operation.method, operation.tier)
        seconds = self.rate_limiter.acquire(user, tier, self.tenant_state.now)
        if seconds:
            headers = {}
            if self.tenant_state.switches.retry_after == "seconds":
                headers = {"retry-after": str(seconds)}
            elif self.tenant_state.switches.retry_after == "date":
                headers = {"retry-after": http_date(self.tenant_state.clock.later(seconds))}
            raise ApiError(429, "Too many requests", "the rate limit is exceeded", code="HTTP-429", headers=headers)

    def _error_response(self, operation: Operation | None, error: ApiError) -> Response:
        switches = self.tenant_state.switches
        body = error_body(
            operation.family if operation else None,
            error,
            self.tenant_state.now,
            switches.sharing_error_form,
            switches.scheduling_error_form,
        )
        return Json(body, error.status, error.headers)

    def _fault_response(self, fault: Fault, response: Response | None, operation: Operation | None) -> Response:
        return fault_response(
            fault,
            response,
            lambda error: self._error_response(operation, error),
            operation.family if operation else None,
            self.tenant_state.now,
        )


def _refuse_foreign_host(request: Request) -> Response | None:
    """Return a 403 for a control request whose Host or Origin is not the sandbox's own, else None."""
    port = (request.scope.get("server") or ("", 80))[1]
    own_hosts = {f"{host}:{port}" for host in _LOOPBACK_HOSTS} | (set(_LOOPBACK_HOSTS) if port == 80 else set())
    hosts = [request.headers.get("host", "")]
    if "origin" in request.headers:
        hosts.append(request.headers["origin"].removeprefix("http://"))
    foreign = [host for host in hosts if host.lower() not in own_hosts]
    if not foreign:
        return None
    reason = f"the control API responds to the hosts {', '.join(sorted(own_hosts))} only, not to {foreign[0]!r}"
    return Json({"error": reason}, 403)


def _encoded_path(scope: Scope) -> str:
    """Return the path as it was sent: an encoded slash is part of a segment, not a separator."""
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
        return _MalformedBody(raw.decode(errors="replace"))
