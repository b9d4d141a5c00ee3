"""The handle on a sandbox tenant."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from airflow_provider_qlik.sandbox.faults import UNCHANGED, Encoding, FaultyAnswer, Reset, Trickle
from airflow_provider_qlik.sandbox.request_log import Entry
from airflow_provider_qlik.sandbox.tenant_content import Content


class Member(NamedTuple):
    """A user of the tenant, who signs in with an API key."""

    id: str
    api_key: str


class Tenant(Content):
    """Steers a sandbox tenant over HTTP, from the process it runs in or from another one.

    url: what `serve()` or `python -m airflow_provider_qlik.sandbox` told.
    """

    # Credentials

    @property
    def api_key(self) -> str:
        """The user's API key, as it holds now."""
        return str(self._ask("credentials")["api_key"])

    @property
    def client_id(self) -> str:
        """The id of the OAuth client."""
        return str(self._ask("credentials")["client_id"])

    @property
    def client_secret(self) -> str:
        """The secret of the OAuth client, as it holds now."""
        return str(self._ask("credentials")["client_secret"])

    @property
    def user_id(self) -> str:
        """The id of the user whom the API key stands for and whom the client may impersonate."""
        return str(self._ask("credentials")["user_id"])

    @property
    def user_subject(self) -> str:
        """The subject of the same user."""
        return str(self._ask("credentials")["user_subject"])

    @property
    def private_key(self) -> str:
        """The OAuth client's RSA key (2048 bits, for RS256 and RS512) as PEM; made when first asked for."""
        return str(self._ask("key_pair", kind="rsa")["private_key"])

    @property
    def key_id(self) -> str:
        """The `kid` of `private_key`."""
        return str(self._ask("key_pair", kind="rsa")["key_id"])

    @property
    def ec_private_key(self) -> str:
        """The OAuth client's P-384 key (for ES384) as PEM; made when first asked for."""
        return str(self._ask("key_pair", kind="ec")["private_key"])

    @property
    def ec_key_id(self) -> str:
        """The `kid` of `ec_private_key`."""
        return str(self._ask("key_pair", kind="ec")["key_id"])

    def add_user(self, name: str = "Somebody", id: str | None = None, roles: Iterable[str] = ()) -> Member:
        """A new user, who may do what Qlik's documents say of their roles; the tenant's first users may do everything.

        roles: of the tenant: `TenantAdmin`, `AnalyticsAdmin`, `AutomationCreator`.
        """
        return Member(**self._ask("add_user", name=name, id=id, roles=list(roles)))

    def give_role(self, space_id: str, user_id: str, role: str) -> None:
        """Give a user a role in a space, by Qlik's name for it, such as `producer` ("Can edit")."""
        self._ask("give_role", space_id=space_id, user_id=user_id, role=role)

    def rotate(self, what: Literal["api_key", "client_secret"]) -> str:
        """The new API key or client secret; the old one no longer holds."""
        return str(self._ask("rotate", what=what))

    def revoke_tokens(self) -> None:
        """Let no OAuth token hold that was given out so far."""
        self._ask("revoke_tokens")

    def set_token_lifetime(self, seconds: float) -> None:
        """Let tokens given out from now on expire after so many sandbox seconds."""
        self._ask("set_token_lifetime", seconds=seconds)

    # Behaviour

    def switch(self, **switches: Any) -> None:
        """Turn switches; see `Switches` for what there is."""
        self._ask("switch", switches=switches)

    def set_limits(self, **limits: float) -> None:
        """Set rate limits: requests a minute for `tier_1`, `tier_2`, `tasks`, and `reloads`, for
        starting and cancelling reloads.

        They are counted over a `window` of 300 sandbox seconds: with `tier_1=3` fifteen requests pass in five
        minutes, with `tier_1=3, window=60` three in one. Besides, all users together have half of each limit for each
        of `tenant_users` (1000).
        """
        self._ask("set_limits", limits=limits)

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
        answer: FaultyAnswer | None = None,
        cut_at: int | None = None,
        carried_out: bool | None = None,
        content_type: str | None = UNCHANGED,
        encoding: Encoding | None = None,
        padded_to: int | None = None,
        trickle: Trickle | None = None,
        interval: float = 0.5,
    ) -> int:
        """The number of a new fault, which the next requests that match will meet.

        method, path, operation: which requests; the path is a pattern with `*`, operations are named as in
            `Entry`.
        times: how many of them; None: all until `clear_faults()`.
        status, body, headers: the answer in place of the true one; a status alone brings an error body in Qlik's
            form. A body is JSON, text (`text/plain`) or bytes.
        content_type: the Content-Type header in place of the usual one; None sends none. A page of something in
            between is, for example, `status=403, body="<html>…", content_type="Text/HTML"`.
        retry_after: the header's value, in seconds or as an HTTP date. code: the error code in that body.
        delay: REAL seconds before anything happens.
        reset: drop the connection "before" the operation is carried out, or "after" it was.
        answer: "html" (a gateway's page), "truncated" (half the JSON, as long as announced), "cut" (half
            of what was announced, then the connection ends), "nonsense" (JSON of another shape), "empty",
            "another" (the true answer with the ids of a stranger in place of its own, and every run ended well).
        cut_at: after how many bytes of the body "cut" ends the connection, in place of half of them.
        carried_out: whether the operation happens all the same; unless given, it does not with a status,
            "html" and reset "before", and does otherwise.
        encoding: "gzip" compresses the body; `answer="truncated"` then cuts the compressed bytes.
        padded_to: fill the body up with blanks, which JSON ignores, to so many bytes before it is compressed.
        trickle: send one byte at a time, every `interval` REAL seconds, until the caller hangs up: from the status
            line on ("headers"), or of the body only ("body"). It does not end by itself.
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
            "answer": answer,
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
        return int(self._ask("fault", members=members))

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self._ask("clear_faults")

    # Truth

    def runs(self, resource_id: str) -> list[dict[str, Any]]:
        """Every run of a task, automation, app or sharing task as it really stands, oldest first, hidden ones too.

        Those of an app are its reloads, those of a sharing task its executions.
        """
        return list(self._ask("runs", resource_id=resource_id))

    def reloads(self) -> list[dict[str, Any]]:
        """Every reload as it really stands."""
        return list(self._ask("reloads"))

    def active(self) -> list[dict[str, Any]]:
        """Every task run, automation run, reload and execution that has not ended."""
        return list(self._ask("active"))

    def file_sha256(self, execution_id: str, alias: str) -> str:
        """The SHA-256 of a file that an execution makes, in hexadecimal digits, whether it is there already or not."""
        return str(self._ask("file_sha256", execution_id=execution_id, alias=alias))

    def request_log(
        self, operation: str | None = None, method: str | None = None, path: str | None = None
    ) -> list[Entry]:
        """The requests so far that fit, oldest first; `path` is a pattern with `*`."""
        entries = self._ask("request_log", operation=operation, method=method, path=path)
        return [Entry.from_json(members) for members in entries]

    def clear_request_log(self) -> None:
        """Forget the requests so far."""
        self._ask("clear_request_log")

    # Time

    def now(self) -> datetime:
        """The tenant's time, aware and in UTC."""
        return datetime.fromisoformat(self._ask("now"))

    def advance(self, seconds: float) -> datetime:
        """The tenant's time after a jump forward by so many seconds."""
        return datetime.fromisoformat(self._ask("advance", seconds=seconds))

    def set_speed(self, speed: float) -> None:
        """Let so many sandbox seconds pass in one real second; 0 holds the time still."""
        self._ask("set_speed", speed=speed)

    def reset(self) -> None:
        """Make everything as at the start: content, switches, faults, limits, journal, time, secrets."""
        self._ask("reset")
