"""An HTTP server for tests: it records raw requests and sends prepared responses."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Seen:
    """One request as it was received: `target` is path and query, still encoded."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True, strict_parsing="?" in self.target)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A response to send; a body that is not bytes is sent as JSON. A header whose value is None is not sent."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)


def refused_by_qlik(status: int, code: str = "X-1", title: str = "No", headers: dict[str, str] | None = None) -> Answer:
    """Return a response in the form of Qlik Cloud's own errors: without that, it counts as an intermediary's."""
    return Answer(status, {"errors": [{"code": code, "title": title}], "traceId": "abc123"}, headers or {})


class Listener:
    """The requests that the server has received, and its responses: one after the other, the last one repeatedly."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self._answers: list[Answer | Callable[[Seen], Answer]] = [Answer(404)]

    def answers(self, *answers: Answer | Callable[[Seen], Answer]) -> None:
        self.seen.clear()
        self._answers = list(answers)

    def answer(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Answer) else answer(seen)


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    """Run a listener on a free port of 127.0.0.1 in the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One packet for a response: in two, the second waits 40 ms for the first to be confirmed.
        wbufsize = 65536
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = listener.answer(Seen(self.command, self.path, headers, body))
            sent = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, *_: Any) -> None:
            """Write no access log."""

    class Server(ThreadingHTTPServer):
        def get_request(self) -> Any:
            connection, address = super().get_request()
            # The handshake is left to the thread of the request: one that fails must not end the server.
            return (tls.wrap_socket(connection, True, do_handshake_on_connect=False) if tls else connection), address

        def handle_error(self, *_: Any) -> None:
            """Ignore a broken connection: the client that closed it is the one under test."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener = Listener(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
