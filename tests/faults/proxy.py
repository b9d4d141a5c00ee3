"""A TCP proxy between Airflow and Qlik Cloud, whose connections can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Forwards bytes to a tenant. While it is cut, it refuses connections, and the open ones are closed."""

    def __init__(self, url: str) -> None:
        self._tenant = (urlsplit(url).hostname, urlsplit(url).port)
        self._ends: list[socket.socket] = []
        self._port = 0
        self.restore()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def restore(self) -> None:
        """Accept connections again, at the same address."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._cut = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self, seconds: float | None = None) -> None:
        """Close and refuse every connection, for so many seconds or until `restore`."""
        if not self._cut:
            self._cut = True
            for end in (self._listener, *self._ends):
                _close(end)
            self._ends.clear()
        if seconds is not None:
            threading.Timer(seconds, self.restore).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                tenant = socket.create_connection(self._tenant)
                self._ends += (caller, tenant)
                for source, sink in ((caller, tenant), (tenant, caller)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _close(sink)


def _close(end: socket.socket) -> None:
    # Closing alone does not wake a thread that reads from it.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Run a proxy to a tenant until the block ends."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.cut()
