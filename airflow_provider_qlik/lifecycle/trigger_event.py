"""The event by which the trigger resumes its task: one small JSON object, checked when it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.runs import ADAPTERS, Run, RunError, errors
from airflow_provider_qlik.runs.chain_links import TaskChain
from airflow_provider_qlik.text import MESSAGE_LENGTH, REASON_LENGTH, storable, storable_json

VERSION = 1


class InvalidEventError(Exception):
    """An event that this version cannot read: missing, of another version, or damaged."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """The result of a wait: an ended run, or an error with the run as it was last seen, if it was seen.

    `link` is Qlik's page about an ended run. `chain` is what is known of the chain of a task, if that was waited for.
    """

    run: Run | None
    error: str | None = None
    error_type: str | None = None
    link: str | None = None
    chain: TaskChain | None = None

    @classmethod
    def ended(cls, run: Run, link: str | None = None) -> Self:
        """Return the event for a run that has ended."""
        return cls(run, link=link)

    @classmethod
    def interrupted(cls, error: QlikCloudError | InvalidArgumentError, run: Run | None) -> Self:
        """Return the event for a wait that ended before the run did."""
        return cls(run, str(error), type(error).__name__)

    def exception(self) -> RunError:
        """Return the error that ended the wait, by its type and text."""
        kind = getattr(errors, self.error_type or "", RunError)
        return kind(self.error) if isinstance(kind, type) and issubclass(kind, RunError) else RunError(self.error)

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON that every database can store, with no text beyond `MESSAGE_LENGTH`."""
        event: dict[str, Any] = {
            "version": VERSION,
            "run": self.run.to_json() if self.run else None,
            "error": self.error,
            "error_type": self.error_type,
            "link": self.link,
        }
        if self.chain is not None:
            event["chain"] = self.chain.to_json()
        storable_event: dict[str, Any] = storable_json(event, MESSAGE_LENGTH)
        return storable_event

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the event that `to_json` wrote. Raises InvalidEventError for anything else."""
        if not isinstance(value, Mapping):
            raise InvalidEventError(
                f"The trigger sent {_shown(value)} in place of an event, so it is not known how the run ended"
            )
        if value.get("version") != VERSION:
            raise InvalidEventError(
                f"The event of the trigger has version {_shown(value.get('version'))} and this package reads version"
                f" {VERSION}, so it is not known how the run ended. Worker and triggerer have different versions of"
                " airflow-provider-qlik: install the same one on both"
            )
        try:
            event = cls(
                Run.from_json(value["run"]) if value["run"] is not None else None,
                value["error"],
                value["error_type"],
                # Triggers of earlier versions do not send it.
                value.get("link"),
                TaskChain.from_json(value["chain"]) if value.get("chain") is not None else None,
            )
            if not all(isinstance(text, str | None) for text in (event.error, event.error_type, event.link)):
                raise ValueError("error, error_type and link are texts")
            if event.run is not None and event.run.kind not in ADAPTERS:
                raise ValueError(f"{event.run.kind!r} is no kind of run")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidEventError(
                f"The event of the trigger cannot be read ({_shown(error)}), so it is not known how the run ended:"
                f" {_shown(dict(value))}"
            ) from error
        if event.error is None and (event.run is None or not event.run.ended):
            raise InvalidEventError(f"The event of the trigger has no ended run: {_shown(dict(value))}")
        return event


def _shown(value: object) -> str:
    return storable(repr(value), REASON_LENGTH)
