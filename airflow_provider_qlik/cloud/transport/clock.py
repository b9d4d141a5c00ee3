"""The offset of this machine's clock from Qlik Cloud's, which counts where a sign-in is signed with the time.

An assertion says from when to when it is valid, by the clock of its signer. If that clock is off by more than the
room in these times, Qlik Cloud refuses every sign-in. The Date header of its responses is its own time to the second,
so the difference is measured there and added from then on. It is kept by tenant: one request is enough for all clients
of the process, and if the clock is set meanwhile, the next refusal measures it again.
"""

from __future__ import annotations

import logging
from datetime import datetime

CLOCK_TOLERANCE = 30.0
"""Seconds by which a clock may be off before anything is corrected; well within the room that assertions leave."""

_log = logging.getLogger(__name__)
_offsets: dict[str, float] = {}


def clock_offset(url: str) -> float:
    """Return the seconds to add to this machine's clock to get the tenant's, 0 while it is not known to be off."""
    return _offsets.get(url, 0.0)


def measured_offset(server_time: datetime | None, sent_at: float, arrived_at: float) -> float | None:
    """Return by how many seconds the server's clock is ahead of this machine's, None if the response has no date.

    *sent_at* and *arrived_at* are by this machine's clock, in seconds since 1970. The server read its clock at some
    moment between the two, and cut it to the second: what that explains is no offset.
    """
    if server_time is None:
        return None
    lowest, highest = server_time.timestamp() - arrived_at, server_time.timestamp() + 1 - sent_at
    return 0.0 if lowest <= 0 <= highest else (lowest + highest) / 2


def correct_clock(url: str, offset: float | None) -> bool:
    """Remember how far the clock is off for a tenant; return True if that differs from what was known."""
    if offset is None or abs(offset - clock_offset(url)) <= CLOCK_TOLERANCE:
        return False
    _offsets[url] = offset if abs(offset) > CLOCK_TOLERANCE else 0.0
    if _offsets[url]:
        clause = clock_error(offset)
        _log.warning(
            "%s: set it. Until then assertions for %s are signed by its time.", clause[0].upper() + clause[1:], url
        )
    return True


def clock_error(offset: float) -> str:
    """Return the clause that says by how much the clock is off. *offset* is in seconds."""
    direction = "behind" if offset > 0 else "ahead of"
    return f"the clock of this machine is {abs(offset):.0f} s {direction} Qlik Cloud's"


def forget_offsets() -> None:
    """Forget the offsets of all tenants."""
    _offsets.clear()
