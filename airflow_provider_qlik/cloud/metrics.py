"""Metrics that never fail the calls and waits that they count."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def never_failing(count: Callable[[str, float], object]) -> Callable[[str, float], None]:
    """Return *count* without its errors: the first one is logged, and no caller gets any."""
    logged = False

    def counted(name: str, number: float) -> None:
        nonlocal logged
        try:
            count(name, number)
        except Exception:  # whatever a metrics backend raises: what it should count has happened, and goes on
            if not logged:
                logged = True
                log.warning("Metrics cannot be recorded. This is logged once.", exc_info=True)

    return counted
