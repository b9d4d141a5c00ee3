"""Asking Qlik Cloud to stop something, until it has surely been asked."""

from __future__ import annotations

from typing import TypeVar

from airflow_provider_qlik.cloud.call import Call, Flow, ask, pause
from airflow_provider_qlik.cloud.errors import QlikCloudError

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts of a cancel whose outcome is unknown."""


def insist(call: Call[T]) -> Flow[T]:
    """Return the response to a cancel, which is sent again as long as nobody knows whether it was executed.

    A POST is not repeated elsewhere, since it might start something twice. To stop something twice is to stop it once,
    and a cancel that got lost would leave a run behind. Raises what Qlik Cloud answers, or the last error.
    """
    for seconds in PAUSES:
        try:
            return (yield from ask(call))
        except QlikCloudError as error:
            if not error.may_have_happened:
                raise
        yield from pause(seconds)
    return (yield from ask(call))
