"""This package's trigger, which notes when each wait got its first answer; and one that only sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qlik.cloud.call import Poll
from airflow_provider_qlik.triggers.run import QlikRunTrigger

NOTES = Path("first-answers")
"""A line for each wait, with the kind of its run and the moment; in the folder that the triggerer runs in."""

_noted: set[Any] = set()


def note_first_answers() -> None:
    """Record the first response to each poll from now on."""
    from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher

    submit = Dispatcher.submit

    def noted(dispatcher: Dispatcher, poll: Poll[Any, Any]) -> asyncio.Future[Any]:
        answered = submit(dispatcher, poll)
        if poll.key not in _noted:
            answered.add_done_callback(lambda _: _note(poll))
        return answered

    Dispatcher.submit = noted  # type: ignore[assignment,method-assign]


def _note(poll: Poll[Any, Any]) -> None:
    if poll.key not in _noted:
        _noted.add(poll.key)
        with NOTES.open("a") as notes:
            notes.write(f"{poll.source.name} {time.time()}\n")


class Noting(QlikRunTrigger):
    """The same, but for the notes."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait as it always does."""
        if not _noted:
            _noted.add(None)
            note_first_answers()
        async for event in super().run():
            yield event


class Sleeping(BaseTrigger):
    """Knows when the end will be: what Airflow itself takes for so many triggers, whatever they do."""

    def __init__(self, end_at: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.end_at = end_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"end_at": self.end_at}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleeps, then fires."""
        await asyncio.sleep(self.end_at - time.time())
        yield TriggerEvent({})  # type: ignore[no-untyped-call]
