"""What cannot be held in memory."""

from __future__ import annotations


class Download:
    """The answer of a call whose body is a file: to be streamed to where it is wanted, never read as a whole.

    A call says so by ``answer is Download``. A client's `download` fetches it, its `call` does not.
    """
