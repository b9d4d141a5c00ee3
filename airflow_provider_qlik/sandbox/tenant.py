"""The handle on a sandbox tenant."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from airflow_provider_qlik.sandbox.faults import UNCHANGED, Encoding, FaultResponse, Reset, Trickle
from airflow_provider_qlik.sandbox.request_log import Entry
from airflow_provider_qlik.sandbox.tenant_content import TenantContent


class TenantUser(NamedTuple):
    """A user of the tenant, who signs in with an API key."""

    id: str
    api_key: str


class Tenant(TenantContent):
    """Control a sandbox tenant over HTTP, from the process it runs in or from another one.

    url: the one that `serve()` or `python -m airflow_provider_qlik.sandbox` reports.
    """

    # Credentials

    @property
    def api_key(self) -> str:
        """Return the current API key of the user."""
        return str(self._call("credentials")["api_key"])

    @property
    def client_id(self) -> str:
        """Return the id of the OAuth client."""
        return str(self._call("credentials")["client_id"])

    @property
    def client_secret(self) -> str:
        """Return the current secret of the OAuth client."""
        return str(self._call("credentials")["client_secret"])

    @property
    def user_id(self) -> str:
        """Return the id of the user who owns the API key, and whom the client may impersonate."""
        return str(self._call("credentials")["user_id"])

    @property
    def user_subject(self) -> str:
        """Return the subject of the same user."""
        return str(self._call("credentials")["user_subject"])

    @property
    def private_key(self) -> str:
        """Return the OAuth client's RSA key (2048 bits, for RS256 and RS512) as PEM, generated on first use."""
        return str(self._call("key_pair", kind="rsa")["private_key"])

    @property
    def key_id(self) -> str:
        """Return the `kid` of `private_key`."""
        return str(self._call("key_pair", kind="rsa")["key_id"])

    @property
    def ec_private_key(self) -> str:
        """Return the OAuth client's P-384 key (for ES384) as PEM, generated on first use."""
        return str(self._call("key_pair", kind="ec")["private_key"])

    @property
    def ec_key_id(self) -> str:
        """Return the `kid` of `ec_private_key`."""
        return str(self._call("key_pair", kind="ec")["key_id"])

    def add_user(self, name: str = "Somebody", id: str | None = None, roles: Iterable[str] = ()) -> TenantUser:
        """Add a user with the permissions that Qlik documents for their roles, and return the id and API key.

        The first users of the tenant have all permissions.

        id: default: a new one.
        roles: roles in the tenant: `TenantAdmin`, `AnalyticsAdmin`, `AutomationCreator`.
        """
        return TenantUser(**self._call("add_user", name=name, id=id, roles=list(roles)))

    def grant_role(self, space_id: str, user_id: str, role: str) -> None:
        """Grant a user a role in a space, by Qlik's name for it, such as `producer` ("Can edit")."""
        self._call("grant_role", space_id=space_id, user_id=user_id, role=role)

    def rotate(self, credential: Literal["api_key", "client_secret"]) -> str:
        """Replace the API key or the client secret, and return the new one. The old one becomes invalid."""
        return str(self._call("rotate", credential=credential))

    def revoke_tokens(self) -> None:
        """Revoke all OAuth tokens issued so far."""
        self._call("revoke_tokens")

    def set_token_lifetime(self, seconds: float) -> None:
        """Set the lifetime of the tokens issued from now on, in sandbox seconds."""
        self._call("set_token_lifetime", seconds=seconds)

    # Behaviour

    def switch(self, **switches: Any) -> None:
        """Set switches; see `Switches` for their names and values. Raises SandboxError for an unknown one."""
        self._call("switch", switches=switches)

    def set_limits(self, **limits: float) -> None:
        """Set rate limits in requests per minute: `tier_1`, `tier_2`, `tasks`, and `reloads` (starts and cancels).

        Requests are counted over a `window` of 300 sandbox seconds: `tier_1=3` allows fifteen requests in five
        minutes, `tier_1=3, window=60` allows three in one minute. In addition, all users together have half of each
        limit for each of `tenant_users` (1000).
        """
        self._call("set_limits", limits=limits)

    def fault(
        self,
        method: str | None = None,
        path: str = "*",
        *,
        operation: str | None = None,
        times: int | None = 1,
        status: int | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        retry_after: int | str | None = None,
        code: str | None = None,
        delay: float = 0.0,
        reset: Reset | None = None,
        response: FaultResponse | None = None,
        cut_at: int | None = None,
        carried_out: bool | None = None,
        content_type: str | None = UNCHANGED,
        encoding: Encoding | None = None,
        padded_to: int | None = None,
        trickle: Trickle | None = None,
        interval: float = 0.5,
    ) -> int:
        """Add a fault that the next matching requests meet, and return its number.

        Of several faults that match a request, the oldest one applies.

        method, path, operation: the requests that it matches; the path is a pattern with `*`, operations are named as
            in `Entry`.
        times: the number of requests; None: all until `clear_faults()`.
        status, body, headers: the response in place of the true one; a status alone has an error body in Qlik's
            form. A body is JSON, text (`text/plain`) or bytes.
        content_type: the Content-Type header in place of the usual one; None: no such header. The page of a proxy
            is, for example, `status=403, body="<html>…", content_type="Text/HTML"`.
        retry_after: the Retry-After header, in seconds or as an HTTP date.
        code: the error code in the error body.
        delay: real seconds before the request is handled.
        reset: reset the connection "before" the operation is carried out, or "after" it.
        response: the form of the response: "html" (a gateway's page), "truncated" (half the JSON, with a matching
            length), "cut" (half of the announced body, then the connection ends), "nonsense" (JSON of another shape),
            "empty", "other_run" (the true response with other ids, and with every run succeeded).
        cut_at: the bytes of the body that are sent before "cut" ends the connection; default: half of them.
        carried_out: True if the operation is carried out; default: False with a status, "html" or reset "before",
            and True otherwise.
        encoding: "gzip" compresses the body; `response="truncated"` then cuts the compressed bytes.
        padded_to: the bytes to which the body is padded with blanks, which JSON ignores, before it is compressed.
        trickle: send the response one byte at a time until the client disconnects: from the status line on
            ("headers"), or the body only ("body"). It does not end by itself.
        interval: real seconds between two bytes of `trickle`.

        Raises SandboxError for a value that is not possible.
        """
        members = {
            "method": method,
            "path": path,
            "operation": operation,
            "times": times,
            "status": status,
            "body": body,
            "headers": headers or {},
            "retry_after": retry_after,
            "code": code,
            "delay": delay,
            "reset": reset,
            "response": response,
            "cut_at": cut_at,
            "carried_out": carried_out,
            "content_type": content_type,
            "encoding": encoding,
            "padded_to": padded_to,
            "trickle": trickle,
            "interval": interval,
        }
        if isinstance(body, bytes):
            members |= {"body": None, "body_base64": base64.b64encode(body).decode()}
        return int(self._call("fault", members=members))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("clear_faults")

    # Snapshots

    def runs(self, resource_id: str) -> list[dict[str, Any]]:
        """Return a snapshot of every run of a resource, oldest first, hidden ones included.

        resource_id: a task, automation, app (its runs are reloads) or sharing task (its runs are executions).

        Each snapshot has the members `id`, `status`, `active`, `started_by`, `via`, `created_at`, `ended_at` and
        `cancel_requested_at` (times as ISO text or None), and others by its `kind`.
        """
        return list(self._call("runs", resource_id=resource_id))

    def reloads(self) -> list[dict[str, Any]]:
        """Return a snapshot of every reload."""
        return list(self._call("reloads"))

    def active(self) -> list[dict[str, Any]]:
        """Return a snapshot of every task run, automation run, reload and execution that has not ended."""
        return list(self._call("active"))

    def file_sha256(self, execution_id: str, alias: str) -> str:
        """Return the SHA-256 of a file of an execution, in hexadecimal digits; the file need not exist yet."""
        return str(self._call("file_sha256", execution_id=execution_id, alias=alias))

    def request_log(
        self, operation: str | None = None, method: str | None = None, path: str | None = None
    ) -> list[Entry]:
        """Return the logged requests that match, oldest first.

        operation: a name as in `Entry.operation`. method: an HTTP method. path: a pattern with `*`.
        """
        entries = self._call("request_log", operation=operation, method=method, path=path)
        return [Entry.from_json(members) for members in entries]

    def clear_request_log(self) -> None:
        """Clear the request log."""
        self._call("clear_request_log")

    # Time

    def now(self) -> datetime:
        """Return the tenant's time, aware and in UTC."""
        return datetime.fromisoformat(self._call("now"))

    def advance(self, seconds: float) -> datetime:
        """Advance the tenant's clock by so many sandbox seconds, and return its new time."""
        return datetime.fromisoformat(self._call("advance", seconds=seconds))

    def set_speed(self, speed: float) -> None:
        """Set the speed of the clock: the sandbox seconds that pass in one real second; 0 stops it."""
        self._call("set_speed", speed=speed)

    def reset(self) -> None:
        """Restore the initial state: content, switches, faults, rate limits, request log, clock and credentials."""
        self._call("reset")
