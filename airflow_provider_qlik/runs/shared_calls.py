"""Making equal calls of several flows once.

The polls of one resource often need the same page of the same list. `with_shared_calls` runs one flow after the other
and gives each the responses that an earlier one has received. A flow that repeats a call wants to know what has
changed since, so a repeated call is answered only by a response that is later than all the flow has received.
"""

from __future__ import annotations

from copy import copy
from typing import Any, TypeVar

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, FlowDriver

T = TypeVar("T")


class SharedCalls:
    """The calls that several flows have made and their responses, numbered in the order of arrival.

    :param max_calls: calls after which only an unlimited flow may make further ones.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._responses: dict[Call[Any], list[tuple[int, Any]]] = {}
        self._calls = 0

    @property
    def spent(self) -> bool:
        """Return True if no further calls are to be made."""
        return self._calls >= self._max_calls

    def response(self, call: Call[Any], after: int) -> tuple[int, Any] | None:
        """Return number and value of the first response to a call that came after number *after*, None if none has."""
        return next((numbered for numbered in self._responses.get(call, ()) if numbered[0] > after), None)

    def add(self, call: Call[Any], response: Any) -> tuple[int, Any]:
        """Keep a response, or the error that came in its place; return its number and itself."""
        self._calls += 1
        self._responses.setdefault(call, []).append((self._calls, response))
        return self._calls, response


class CallBudgetError(Exception):
    """A flow needs a further call, and no further calls are to be made."""


def with_shared_calls(flow: Flow[T], shared: SharedCalls, *, unlimited: bool = True) -> Flow[T | Exception]:
    """Return the result of a flow of reads, or its error; calls that have a response in *shared* are not made again.

    Raises CallBudgetError before a call that is not to be made, unless the flow is *unlimited*.
    """
    driver, made, latest = FlowDriver(flow), set[Call[Any]](), 0
    try:
        for step in driver:
            with driver:
                if not isinstance(step, Call):
                    driver.response = yield step
                    continue
                numbered = shared.response(step, latest if step in made else 0)
                if numbered is None:
                    if shared.spent and not unlimited:
                        raise CallBudgetError
                    try:
                        numbered = shared.add(step, (yield step))
                    except QlikCloudError as error:
                        numbered = shared.add(step, error)
                made.add(step)
                number, response = numbered
                latest = max(latest, number)
                if isinstance(response, QlikCloudError):
                    # An error collects notes and a traceback on its way, so each flow gets its own copy.
                    raise copy(response)
                driver.response = response
    except (QlikCloudError, InvalidArgumentError) as error:
        return error
    return driver.result
