from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

# Airflow reads its settings when it is first imported, and these are there.
import tests.provider.conftest  # noqa: F401
from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud.flow import Pause, Poll
from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher
from airflow_provider_qlik.cloud.polling.rate_limiter import RateLimiter
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens
from airflow_provider_qlik.runs import visibility
from tests.faults.dimensions import SPEED
from tests.faults.proxy import Proxy, proxy_to


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
def proxy(tenant: sandboxes.Tenant) -> Iterator[Proxy]:
    with proxy_to(tenant.url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _as_fast_as_the_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the waits of the package by SPEED, and shorten the time after which a refusal is permanent."""
    seconds: Any = vars(Pause)["seconds"]
    submit, pause = Dispatcher.submit, RateLimiter.pause

    def submit_sooner(dispatcher: Dispatcher, poll: Poll[Any, Any]) -> Any:
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
    # Long enough for transient errors on a busy machine; permanent errors get a shorter time where they are set up.
    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=5))
