"""A trigger that records the time of the first response to each wait, and one that only sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qlik.cloud.flow import Poll
from airflow_provider_qlik.triggers.run import QlikRunTrigger

RECORDS = Path("first-responses")
"""A file in the working directory of the triggerer: a line for each wait, with the kind of its run and the time."""

_recorded: set[Any] = set()


def record_first_responses() -> None:
    """Record the first response to each poll from now on."""
    from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher

    submit = Dispatcher.submit

    def submit_and_record(dispatcher: Dispatcher, poll: Poll[Any, Any]) -> asyncio.Future[Any]:
        response = submit(dispatcher, poll)
        if poll.key not in _recorded:
            response.add_done_callback(lambda _: _record(poll))
        return response

    Dispatcher.submit = submit_and_record  # type: ignore[assignment,method-assign]


def _record(poll: Poll[Any, Any]) -> None:
    if poll.key not in _recorded:
        _recorded.add(poll.key)
        with RECORDS.open("a") as records:
            records.write(f"{poll.source.name} {time.time()}\n")


class RecordingTrigger(QlikRunTrigger):
    """The trigger of this package, with records of first responses."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait as the trigger of this package does."""
        if not _recorded:
            _recorded.add(None)
            record_first_responses()
        async for event in super().run():
            yield event


class SleepingTrigger(BaseTrigger):
    """A trigger that sleeps until a time that it knows: it shows the costs of Airflow itself."""

    def __init__(self, end_at: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.end_at = end_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"end_at": self.end_at}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, then fire."""
        await asyncio.sleep(self.end_at - time.time())
        yield TriggerEvent({})  # type: ignore[no-untyped-call]
