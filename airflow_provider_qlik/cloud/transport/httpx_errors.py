"""Errors and log lines of httpx, as those of this package.

httpx, TLS and the system raise many kinds of error, and some of their texts show addresses or headers. All of them
become an error of this package here, and the only distinction that counts is made: whether the request may have been
executed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import ConnectError, InvalidResponseError, NoResponseError, QlikCloudError
from airflow_provider_qlik.text import REASON_LENGTH, storable
from airflow_provider_qlik.validation import InvalidArgumentError

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


_sending: ContextVar[bool] = ContextVar("qlik_cloud_sending", default=False)


class _WithoutInfo(logging.Filter):
    """Keeps httpx from logging a line for each request of this package, of which a wait has thousands."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not _sending.get()


_without_info = _WithoutInfo()


@contextmanager
def translated_errors(call: Call[Any], request: httpx.Request) -> Iterator[None]:
    """Raise an error of this package in place of whatever httpx, TLS or the system raises in the block."""
    logging.getLogger("httpx").addFilter(_without_info)  # does nothing the second time
    token = _sending.set(True)
    request_line = f"{call.method} {request.url.raw_path.decode().partition('?')[0]}"
    host = request.url.host
    try:
        yield
    except (QlikCloudError, InvalidArgumentError):
        raise
    except httpx.HTTPError as error:
        cause = _cause(error)
        # Every other failing request is the one that signs in, before this call was sent.
        signing_in = getattr(error, "_request", None) not in (None, request)
        if signing_in:
            raise ConnectError(f"Could not sign in at {host} ({cause}, before {request_line})") from None
        if isinstance(error, _NOT_SENT):
            raise ConnectError(
                f"Could not connect to {host} ({cause}): check the tenant's address, proxies and the network. Nothing"
                f" was sent ({request_line})"
            ) from None
        if isinstance(error, httpx.DecodingError):
            raise InvalidResponseError(f"The response cannot be decoded: {error} ({request_line})") from None
        raise NoResponseError(
            f"No response came from {host} ({cause}): the request may have been executed ({request_line})"
        ) from None
    except (httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        # Errors of the HTTP library, TLS and the system for odd input must not escape as they are.
        raise NoResponseError(
            f"The request to {host} failed ({_cause(error)}): it may have been executed ({request_line})"
        ) from None
    finally:
        _sending.reset(token)


def _cause(error: BaseException) -> str:
    text = storable(str(error), REASON_LENGTH)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
