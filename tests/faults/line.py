"""The line between Airflow and Qlik Cloud, which can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Line:
    """Passes on what is sent to a tenant. While it is cut, nobody can connect, and who was connected is no more."""

    def __init__(self, url: str) -> None:
        self._tenant = (urlsplit(url).hostname, urlsplit(url).port)
        self._ends: list[socket.socket] = []
        self._port = 0
        self.mend()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        """Lets everybody connect, at the address from before."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._cut = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self, seconds: float | None = None) -> None:
        """Refuses every connection, for so many seconds or until `mend`."""
        if not self._cut:
            self._cut = True
            for end in (self._listener, *self._ends):
                _close(end)
            self._ends.clear()
        if seconds is not None:
            threading.Timer(seconds, self.mend).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                tenant = socket.create_connection(self._tenant)
                self._ends += (caller, tenant)
                for source, sink in ((caller, tenant), (tenant, caller)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _close(sink)


def _close(end: socket.socket) -> None:
    # Closing alone wakes nobody who waits for it.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """A line to a tenant until the block ends."""
    line = Line(url)
    try:
        yield line
    finally:
        line.cut()
