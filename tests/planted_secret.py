"""A search for secrets in everything that can be seen, in every test that imports `nothing_shows_a_secret`.

What signs a client in, each token it gets and each execution token that comes over the wire is planted, wherever a test
has it from. What shows is noted as it is, before Airflow masks anything: log records of all loggers and levels, XComs,
arguments of triggers, events, rendered templates, errors with their causes and notes, and how objects look.

Nothing of Airflow is loaded here: what a test has loaded of it is watched.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.transport import async_client, client, token_request
from airflow_provider_qlik.cloud.transport import base_client as wire
from airflow_provider_qlik.cloud.transport.credential_rotation import CredentialRotation
from airflow_provider_qlik.cloud.transport.token_cache import SharedToken
from airflow_provider_qlik.validation import InvalidArgumentError

SHORTEST = 16
"""Characters of a secret that is searched for: what tests call "key" or "secret" for short stands in many texts."""
BESIDE = 60
"""Characters shown before and after a hit."""
MASKING = "MaskSecret"
"""The message by which Airflow's task runner tells its supervisor what to mask, which Airflow logs at DEBUG: the one
thing that is left out."""

_TOKENS = re.compile(r'"(?:executionToken|access_token)"\s*:\s*"([^"]+)"')
_ENTRY_POINTS = ("execute", "execute_complete", "resume_execution", "poke", "on_kill", "test_connection")
_AIRFLOW_SIDE = ("operators", "sensors", "triggers", "hooks", "notifications", "links")


class Search:
    """What was planted, and what was seen where."""

    def __init__(self) -> None:
        self._planted: dict[str, None] = {}
        self._seen: dict[tuple[str, str], None] = {}

    def plant(self, *secrets: object) -> None:
        """Searches for these from now on, and in what was seen before."""
        for secret in secrets:
            if isinstance(secret, SecretStr):
                secret = secret.get_secret_value()
            if isinstance(secret, str):
                # Of a key in PEM form each line gives it away.
                lines = [line.strip() for line in secret.splitlines() if "-----" not in line]
                self._planted.update(dict.fromkeys(line for line in lines if len(line) >= SHORTEST))

    def note(self, place: str, *shown: object) -> None:
        """That these were to be seen at a place."""
        if getattr(_now, "noting", False):
            return  # what objects do to be shown is not what a test does
        _now.noting = True
        try:
            for one in shown:
                for text in _texts(one):
                    self._seen[place, text] = None
        finally:
            _now.noting = False

    @property
    def planted(self) -> list[str]:
        """The secrets searched for."""
        return list(self._planted)

    @property
    def places(self) -> set[str]:
        """Where anything was seen."""
        return {place for place, _ in list(self._seen)}

    def hits(self) -> list[str]:
        """Where a secret was to be seen, with what stands beside it."""
        if not self._planted:
            return []
        secrets = re.compile(any_of(self.planted))
        found: dict[str, str] = {}
        for place, text in list(self._seen):
            hit = secrets.search(text)
            if hit:
                before, after = text[: hit.start()][-BESIDE:], text[hit.end() :][:BESIDE]
                found.setdefault(place, f"{place}: {before}<SECRET>{after}")
        return list(found.values())


def any_of(texts: list[str]) -> str:
    """Return a pattern of any of these texts, which takes the longest one at a place.

    It branches where they differ, so that a place is left after a few characters. A plain alternation would try each
    text at each place: with the thousand secrets of a thousand automations that takes longer than the test.
    """
    first, last = min(texts), max(texts)
    different = (place for place, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) == 2)
    prefix = first[: next(different, len(first))]
    tails: dict[str, list[str]] = {}
    for text in texts:
        tail = text[len(prefix) :]
        tails.setdefault(tail[:1], []).append(tail)
    ends_here = bool(tails.pop("", None))
    branches = "|".join(any_of(group) for group in tails.values())
    return re.escape(prefix) + (f"(?:{branches})" + "?" * ends_here if branches else "")


_searches: list[Search] = []
_now = threading.local()


def note(place: str, *shown: object) -> None:
    """That these were to be seen at a place, for the search that is on, if any."""
    if _searches:
        _searches[-1].note(place, *shown)


def plant(*secrets: object) -> None:
    """Searches for these, too."""
    if _searches:
        _searches[-1].plant(*secrets)


@contextmanager
def searching() -> Iterator[Search]:
    """A search that notes all that shows until the block ends; one inside another has it all for itself."""
    search = Search()
    with pytest.MonkeyPatch.context() as patch:
        _watch_logs(patch)
        _watch_clients(patch)
        for name in [name for name in sys.modules if name.startswith("airflow_provider_qlik.")]:
            if name.split(".")[1] in _AIRFLOW_SIDE:
                _watch_module(patch, sys.modules[name])
        _searches.append(search)
        try:
            yield search
        finally:
            _searches.remove(search)


@pytest.fixture(autouse=True)
def nothing_shows_a_secret() -> Iterator[Search]:
    """Fails a test in which a secret was to be seen, and says where."""
    with searching() as search:
        yield search
    hits = search.hits()
    assert not hits, "a secret shows in\n" + "\n".join(hits)


def _texts(shown: object) -> list[str]:
    if isinstance(shown, str):
        return [shown]
    if isinstance(shown, BaseException):
        # With causes, contexts and notes, as it would stand in a log.
        return ["".join(traceback.format_exception(shown)), repr(shown)]
    return [repr(shown), str(shown)]


_Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def _wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, wrap: _Wrap) -> None:
    """Puts a wrapper around a method, unless a search further out has done so."""
    original = getattr(owner, name)
    if not hasattr(vars(owner).get(name), "watched"):
        wrapper: Any = functools.wraps(original)(wrap(original))
        wrapper.watched = True
        patch.setattr(owner, name, wrapper)


# Logs


def _watch_logs(patch: pytest.MonkeyPatch) -> None:
    is_enabled = logging.Logger.isEnabledFor

    def handle(original: Callable[..., Any]) -> Callable[..., Any]:
        def noting(self: logging.Logger, record: logging.LogRecord) -> None:
            _note_record(record)
            if is_enabled(self, record.levelno):
                original(self, record)

        return noting

    _wrap(patch, logging.Logger, "isEnabledFor", lambda _: lambda self, level: True)
    _wrap(patch, logging.Logger, "handle", handle)
    structlog: Any = sys.modules.get("structlog._base")
    if structlog is not None:
        _wrap(patch, structlog.BoundLoggerBase, "_process_event", _noting_events)
    for name in ("airflow._shared.logging.structlog", "airflow.sdk._shared.logging.structlog"):
        if name in sys.modules:
            patch.setitem(sys.modules[name].PER_LOGGER_LEVELS, "", logging.DEBUG)


def _note_record(record: logging.LogRecord) -> None:
    place = f"the log of {record.name}"
    try:
        note(place, record.getMessage())
    except (TypeError, ValueError, KeyError):
        note(place, str(record.msg))
    note(place, record.args or "")
    if record.exc_info and record.exc_info[1]:
        note(f"{place}, its exc_info", record.exc_info[1])
    usual = vars(logging.makeLogRecord({}))
    extras = {name: given for name, given in vars(record).items() if name not in usual}
    if extras:
        note(f"{place}, its extras", extras)


def _noting_events(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, method: str, event: Any, members: dict[str, Any]) -> Any:
        name = members.get("logger_name") or self._context.get("logger_name") or getattr(self._logger, "name", None)
        place = f"the log of {name or 'a bound logger'}"
        shown = {key: given for key, given in members.items() if type(given).__name__ != MASKING}
        note(place, str(event), shown, dict(self._context))
        error = members.get("exc_info")
        error = sys.exc_info()[1] if error is True else error[1] if isinstance(error, tuple) else error
        if isinstance(error, BaseException):
            note(f"{place}, its exc_info", error)
        return original(self, method, event, members)

    return noting


# Clients


def _watch_clients(patch: pytest.MonkeyPatch) -> None:
    _wrap(patch, CredentialRotation, "use", _planting_credentials)
    _wrap(patch, wire.BaseClient, "__init__", _noting_how_it_looks)
    _wrap(patch, wire.BaseClient, "_read", _noting_answers)
    _wrap(patch, token_request, "read_token", _planting_tokens)
    _wrap(patch, QlikCloudError, "__init__", _noting_errors)
    _wrap(patch, InvalidArgumentError, "__init__", _noting_errors)
    for name in ("call", "run_flow", "download"):
        _wrap(patch, client.Client, name, functools.partial(_noting_what_is_raised, f"Client.{name}"))
    for name in ("call", "run_flow"):
        noting = functools.partial(_noting_what_is_raised_async, f"AsyncClient.{name}")
        _wrap(patch, async_client.AsyncClient, name, noting)


def _planting_credentials(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, credentials: Any) -> None:
        plant(*(getattr(credentials, name, None) for name in ("key", "client_secret", "private_key")))
        original(self, credentials)
        note("how credentials look", credentials, self.auth)

    return noting


def _noting_how_it_looks(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, tenant: Any, credentials: Any, **arguments: Any) -> None:
        original(self, tenant, credentials, **arguments)
        note("how a client looks", self, self._http)
        note("how a tenant looks", tenant)

    return noting


def _noting_answers(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, call: Any, response: Any) -> Any:
        plant(*_TOKENS.findall(response.text))
        note("how a call looks", call)
        answer = original(self, call, response)
        note("how an answer looks", answer)
        if hasattr(answer, "model_dump"):
            note("an answer as JSON", answer.model_dump_json())
        return answer

    return noting


def _planting_tokens(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(response: Any, *arguments: Any) -> Any:
        plant(*_TOKENS.findall(response.text))
        token = original(response, *arguments)
        note("how a token looks", token, SharedToken._all, *map(vars, SharedToken._all.values()))
        return token

    return noting


def _noting_errors(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        note(f"the text of {type(self).__name__}", str(self), repr(self))

    return noting


def _noting_what_is_raised(place: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*arguments: Any, **named: Any) -> Any:
        try:
            return original(*arguments, **named)
        except BaseException as error:
            note(f"what {place} raised", error)
            raise

    return noting


def _noting_what_is_raised_async(place: str, original: Callable[..., Any]) -> Callable[..., Any]:
    async def noting(*arguments: Any, **named: Any) -> Any:
        try:
            return await original(*arguments, **named)
        except BaseException as error:
            note(f"what {place} raised", error)
            raise

    return noting


# Operators, sensors, triggers, hooks


def _watch_module(patch: pytest.MonkeyPatch, module: Any) -> None:
    for cls in [
        each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__
    ]:
        for name in _ENTRY_POINTS:
            if name in vars(cls) and not hasattr(cls, "serialize"):
                _wrap(patch, cls, name, functools.partial(_noting_a_task, f"{cls.__name__}.{name}"))
        if hasattr(cls, "serialize") and "run" in vars(cls):
            _wrap(patch, cls, "__init__", functools.partial(_noting_arguments, cls.__name__))
            _wrap(patch, cls, "serialize", functools.partial(_noting_rows, cls.__name__))
            _wrap(patch, cls, "run", functools.partial(_noting_events_fired, cls.__name__))
        if "_parsed" in vars(cls):
            _wrap(patch, cls, "_parsed", _planting_connections)


def _noting_a_task(place: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            returned = original(self, *arguments, **named)
            note(f"what {place} returned", returned)
            return returned
        except BaseException as error:
            note(f"what {place} raised", error)
            if hasattr(error, "trigger"):
                note(f"what {place} deferred with", error.trigger.serialize(), vars(error))
            raise
        finally:
            note(f"how {type(self).__name__} looks", self)
            for field in getattr(self, "template_fields", ()):
                note(f"the rendered {field} of {type(self).__name__}", getattr(self, field, None))

    return noting


def _noting_arguments(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, *arguments: Any, **named: Any) -> None:
        note(f"the arguments of {name}", arguments, named)
        original(self, *arguments, **named)

    return noting


def _noting_rows(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any) -> Any:
        row = original(self)
        note(f"the row of {name}", row)
        return row

    return noting


def _noting_events_fired(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    async def noting(self: Any) -> Any:
        try:
            async for event in original(self):
                note(f"the event of {name}", event.payload, event)
                yield event
        except BaseException as error:
            note(f"what {name}.run raised", error)
            raise

    return noting


def _planting_connections(original: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, stored: Any) -> Any:
        plant(stored._fields["password"], (stored._fields["extra"] or {}).get("private_key"))
        note("how a stored connection looks", stored)
        try:
            return original(self, stored)
        finally:
            note("how a hook looks", self)

    return noting
