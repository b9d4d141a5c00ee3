"""Tenants in processes of their own, so that what is measured is the caller alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_qlik.sandbox import Tenant

SANDBOX = ("airflow_provider_qlik.sandbox", "--port", "0")


@contextmanager
def serving(*module: str) -> Iterator[str]:
    """The URL of a server that is run as a module, says `url http://…` when it listens, and ends with the block."""
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = next((found[1] for line in server.stdout if (found := re.search(r"^url\s+(http\S+)", line))), None)
            if url is None:
                raise RuntimeError(f"{' '.join(command)} did not say where it listens")
            yield url
        finally:
            server.terminate()


@contextmanager
def sandbox() -> Iterator[Tenant]:
    """A handle on a sandbox tenant at the speed of real time."""
    with serving(*SANDBOX) as url:
        yield Tenant(url)


def port_of(url: str) -> int:
    """The port of a URL of `serving`."""
    return int(url.rstrip("/").rpartition(":")[2])
