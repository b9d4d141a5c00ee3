"""Statistics that harm nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def harmless(count: Callable[[str, float], object]) -> Callable[[str, float], None]:
    """The same, but no error of it reaches those whose doings are counted."""
    told = False

    def counted(name: str, number: float) -> None:
        nonlocal told
        try:
            count(name, number)
        except Exception:  # whatever a store of statistics raises: what is counted has happened, and goes on
            if not told:
                told = True
                log.warning("Statistics cannot be kept; this is not said again.", exc_info=True)

    return counted
