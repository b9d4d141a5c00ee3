"""The client of the control API, for a tenant in this process or another one."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 30


class SandboxError(ValueError):
    """The control API refused a command; the message says which argument is wrong and why."""


class ControlClient:
    """Sends commands to the tenant at a URL, under `/sandbox/…`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _call(self, command: str, **arguments: Any) -> Any:
        # One connection per command, so that a handle is safe in threads and after a fork.
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("POST", f"/sandbox/{command}", json.dumps(arguments))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status == 400:
            raise SandboxError(json.loads(text)["error"])
        if response.status != 200:
            raise SandboxError(f"{self.url}/sandbox/{command} responded {response.status}: {text[:200]!r}")
        return json.loads(text)
