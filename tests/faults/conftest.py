from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

# Airflow reads its settings when it is first imported, and these are there.
import tests.provider.conftest  # noqa: F401
from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud.call import Pause, Poll
from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher
from airflow_provider_qlik.cloud.polling.rate_limiter import RateLimiter
from airflow_provider_qlik.cloud.transport.auth import forget_tokens
from airflow_provider_qlik.runs import visibility
from tests.faults.line import Line, line_to
from tests.faults.words import SPEED


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[sandboxes.Tenant]:
    with sandboxes.serve(speed=SPEED) as tenant:
        yield tenant


@pytest.fixture
def tenant(_sandbox: sandboxes.Tenant) -> sandboxes.Tenant:
    _sandbox.reset()
    forget_tokens()
    return _sandbox


@pytest.fixture
def line(tenant: sandboxes.Tenant) -> Iterator[Line]:
    with line_to(tenant.url) as line:
        yield line


@pytest.fixture(autouse=True)
def _as_fast_as_the_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the package wait for a sixtieth of the time, and give up on what is not there after a moment."""
    seconds: Any = vars(Pause)["seconds"]
    submit, pause = Dispatcher.submit, RateLimiter.pause

    def submit_sooner(dispatcher: Dispatcher, poll: Poll) -> Any:
        return submit(
            dispatcher,
            replace(
                poll,
                min_delay=poll.min_delay / SPEED,
                max_delay=poll.max_delay / SPEED,
            ),
        )

    def pause_shorter(limiter: RateLimiter, seconds: float) -> None:
        pause(limiter, seconds / SPEED)

    monkeypatch.setattr(
        Pause,
        "seconds",
        property(lambda step: seconds.__get__(step) / SPEED, seconds.__set__),
    )
    monkeypatch.setattr(Dispatcher, "submit", submit_sooner)
    monkeypatch.setattr(RateLimiter, "pause", pause_shorter)
    # Long enough for what passes on a busy machine; what lasts is given a shorter time where it is set up.
    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=5))
