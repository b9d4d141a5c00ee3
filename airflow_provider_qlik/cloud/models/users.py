"""The shapes of the Users family that are needed here."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.cloud.models.shape import Shape


class User(Shape):
    """A user of the tenant."""

    id: str
    name: str | None = None
    email: str | None = None
    status: str | None = None
    assigned_roles: list[Any] | None = None
