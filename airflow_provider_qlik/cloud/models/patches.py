"""JSON Patch, as several families take it. https://www.rfc-editor.org/rfc/rfc6902"""

from __future__ import annotations

from typing import Annotated, Any

from airflow_provider_qlik.cloud.models.members import Nullable
from airflow_provider_qlik.cloud.models.shape import Shape


class PatchOperation(Shape):
    """One operation of RFC 6902; a family adds the operations and paths that it documents."""

    value: Annotated[Any, Nullable()] = None
