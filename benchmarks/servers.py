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
    """Run a module as a server until the block ends, and yield the URL that it prints when it listens."""
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
    """Run a sandbox tenant at the speed of real time, and yield its handle."""
    with serving(*SANDBOX) as url:
        yield Tenant(url)


def port_of(url: str) -> int:
    """Return the port of a URL of `serving`."""
    return int(url.rstrip("/").rpartition(":")[2])
