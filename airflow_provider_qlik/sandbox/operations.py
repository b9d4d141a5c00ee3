"""What an operation is, and what one request for it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from airflow_provider_qlik.sandbox.access import Access, Identity
from airflow_provider_qlik.sandbox.errors import Family, Refused
from airflow_provider_qlik.sandbox.limits import Tier
from airflow_provider_qlik.sandbox.shapes import Shape
from airflow_provider_qlik.sandbox.world import World


@dataclass(slots=True)
class Asked:
    """One request, read and parsed."""

    world: World
    access: Access
    path: str
    params: dict[str, str]
    query: list[tuple[str, str]]
    headers: Headers
    body: Any
    base_url: str
    identity: Identity | None = None
    credential: str | None = None
    """A short name of who asks, for the journal."""

    @property
    def caller(self) -> Identity:
        """Who asks; only operations that need credentials may wonder."""
        if self.identity is None:
            raise Refused(401, "Unauthorized", "nobody is signed in")
        return self.identity

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)


Handler = Callable[[Asked], Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: where it is, how it is limited and checked, and what answers it."""

    name: str
    method: str
    paths: tuple[str, ...]
    family: Family
    tier: Tier | None
    handler: Handler
    body: Shape | None = None
    is_body_required: bool = True
    needs_credentials: bool = True


def ok(body: Any, status: int = 200) -> Response:
    """An answer with a JSON body."""
    return JSONResponse(body, status)


def nothing(status: int = 204) -> Response:
    """An answer without a body."""
    return Response(status_code=status)
