"""Builds the response that a fault describes, and sends it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from itertools import chain, repeat
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_qlik.sandbox.errors import ApiError, Family
from airflow_provider_qlik.sandbox.faults import HTML, UNCHANGED, Fault
from airflow_provider_qlik.sandbox.operations import Json, Streamed, Text, take_bytes
from airflow_provider_qlik.sandbox.state.times import stamp

Address = tuple[str, int] | None

_WITHOUT_BODY = (204, 304)
_PAD_BLOCK = 1024 * 1024
"""Bytes of padding that are compressed at a time."""
_IDS = {"id", "taskId", "appId", "automationId", "resourceId", "workerId", "reloadId", "sharingTaskID", "workflowID"}
"""The members that identify the subject of a response."""
_ENDS: dict[Family, tuple[str, str]] = {
    "tasks": ("SUCCEEDED", "endedAt"),
    "automations": ("finished", "stopTime"),
    "reloads": ("SUCCEEDED", "endTime"),
    "sharing-tasks": ("successful", "endTime"),
}
"""For each kind of run the status of success, and the member that holds the end time."""


class Connections(Protocol):
    """The connections of the server, below HTTP."""

    def disconnect(self, peer: Address, with_reset: bool) -> None:
        """Close the connection to a peer: with a reset (True), or after the data sent so far (False)."""

    def write(self, peer: Address, data: bytes) -> None:
        """Send raw bytes to a peer."""


def fault_response(
    fault: Fault,
    response: Response | None,
    refusal: Callable[[ApiError], Response],
    family: Family | None,
    now: datetime,
) -> Response:
    """Return the response that a fault puts in place of *response* (None: the operation was not carried out).

    refusal: makes an error in the form of the operation's family.
    """
    status = fault.status or (response.status_code if response else 200)
    may_have_body = 200 if status == 204 else status
    if fault.response == "html":
        response = Response(HTML, may_have_body, media_type="text/html")
    elif fault.response == "nonsense":
        response = Json([42, "nonsense"], may_have_body)
    elif fault.response == "empty":
        response = Response(b"", status, media_type="application/json")
    elif isinstance(fault.body, str):
        response = Text(fault.body, may_have_body)
    elif isinstance(fault.body, bytes):
        response = Response(fault.body, may_have_body, media_type="application/octet-stream")
    elif fault.body is not None:
        response = Json(fault.body, may_have_body)
    elif response is None or fault.status is not None:
        error = ApiError(status, "Fault", "injected by tenant.fault()", code=fault.code or "")
        response = refusal(error) if status >= 400 else Response(b"", status)
    if fault.response == "other_run":
        response = _of_other_resource(response, family, now)
    response = _pad_and_compress(fault, response)
    if fault.response == "truncated":
        _truncate(response)
    response.headers.update(fault.extra_headers)
    if fault.content_type is None:
        del response.headers["content-type"]
    elif fault.content_type != UNCHANGED:
        response.headers["content-type"] = fault.content_type
    return response


def _of_other_resource(response: Response, family: Family | None, now: datetime) -> Response:
    """Return the same response with other ids, about runs that have succeeded."""
    try:
        content = json.loads(bytes(response.body))
    except ValueError:
        return response
    end = _ENDS.get(family) if family else None
    return Json(_with_other_ids(content, end, stamp(now, 3)), response.status_code)


def _with_other_ids(content: Any, end: tuple[str, str] | None, now: str) -> Any:
    if isinstance(content, list):
        return [_with_other_ids(item, end, now) for item in content]
    if not isinstance(content, dict):
        return content
    members = {
        name: sha256(value.encode(errors="surrogatepass")).hexdigest()[:24]
        if name in _IDS and isinstance(value, str)
        else _with_other_ids(value, end, now)
        for name, value in content.items()
    }
    if end is not None and isinstance(members.get("status"), str):
        members |= {"status": end[0], end[1]: now}
    return members


def _pad_and_compress(fault: Fault, response: Response) -> Response:
    if fault.padded_to is None and fault.encoding is None:
        return response
    if isinstance(response, Streamed):
        response = response.buffered()
    body = bytes(response.body)
    padding = max(0, (fault.padded_to or 0) - len(body))
    if fault.encoding == "gzip":
        response.headers["content-encoding"] = "gzip"
        response.body = _gzipped(body, padding)
    else:
        response.body = body + b" " * padding
    response.headers["content-length"] = str(len(response.body))
    return response


def _gzipped(body: bytes, padding: int) -> bytes:
    """Return the body and so many blanks in gzip form, without ever holding them."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [compressor.compress(body), compressor.flush(zlib.Z_FULL_FLUSH)]
    checksum = zlib.crc32(body)
    block = b" " * _PAD_BLOCK
    blocks, rest = divmod(padding, _PAD_BLOCK)
    # After a full flush the state is that of the beginning, so one compressed block can be repeated.
    parts += repeat(compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH), blocks)
    for _ in range(blocks):
        checksum = zlib.crc32(block, checksum)
    parts += [compressor.compress(block[:rest]), compressor.flush()]
    checksum = zlib.crc32(block[:rest], checksum)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    size = (len(body) + padding) & 0xFFFFFFFF
    return header + b"".join(parts) + checksum.to_bytes(4, "little") + size.to_bytes(4, "little")


def _truncate(response: Response) -> None:
    if isinstance(response, Streamed):
        response.truncate()
    else:
        response.body = response.body[: len(response.body) // 2]
        response.headers["content-length"] = str(len(response.body))


async def send_fault_response(
    fault: Fault, response: Response, connections: Connections, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send a response in the way that the fault describes."""
    if fault.response == "cut":
        await _send_partial_body(response, fault.cut_at, connections, scope, receive, send)
    elif fault.trickle == "headers":
        await _trickle_headers(response, fault.interval, connections, scope, receive)
    elif fault.trickle == "body":
        await _trickle_body(response, fault.interval, receive, send)
    else:
        await response(scope, receive, send)


async def _send_partial_body(
    response: Response, size: int | None, connections: Connections, scope: Scope, receive: Receive, send: Send
) -> None:
    """Announce the whole body, send `size` bytes or half of it, and disconnect."""
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    if isinstance(response, Streamed):
        async for chunk in take_bytes(response.size // 2 if size is None else size, response.body_iterator):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    else:
        body = bytes(response.body)
        beginning = body[: len(body) // 2 if size is None else size]
        await send({"type": "http.response.body", "body": beginning, "more_body": True})
    connections.disconnect(scope.get("client"), False)
    await receive()


async def _trickle_headers(
    response: Response, interval: float, connections: Connections, scope: Scope, receive: Receive
) -> None:
    """Send the status line and headers byte by byte, with a last header that never ends."""
    lines = [b"HTTP/1.1 %d OK" % response.status_code]
    lines += [name + b": " + value for name, value in response.raw_headers]
    for byte in _endless_bytes(b"\r\n".join([*lines, b"x-trickle: "]), b"a"):
        connections.write(scope.get("client"), byte)
        if await _disconnects_within(interval, receive):
            return


async def _trickle_body(response: Response, interval: float, receive: Receive, send: Send) -> None:
    """Send the headers without a length, then the body byte by byte, followed by blanks."""
    if isinstance(response, Streamed):
        response = response.buffered()
    headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
    status = 200 if response.status_code in _WITHOUT_BODY else response.status_code
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for byte in _endless_bytes(bytes(response.body), b" "):
        await send({"type": "http.response.body", "body": byte, "more_body": True})
        if await _disconnects_within(interval, receive):
            return


def _endless_bytes(beginning: bytes, rest: bytes) -> Iterator[bytes]:
    return chain((beginning[index : index + 1] for index in range(len(beginning))), repeat(rest))


async def _disconnects_within(seconds: float, receive: Receive) -> bool:
    """Return True if the client disconnects within so many seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(receive(), seconds)
        return True
    return False
