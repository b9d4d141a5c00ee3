"""The errors of Qlik Cloud and of the way there, as one tree.

Two properties decide what follows from an error: `transient` (it may pass, so the request may be worth another attempt)
and `outcome_unknown` (the request may have been executed all the same).
"""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_qlik.cloud.error_codes import NOTHING_DONE, advice_about
from airflow_provider_qlik.masking import masked_text
from airflow_provider_qlik.text import REASON_LENGTH, storable
from airflow_provider_qlik.validation import InvalidArgumentError

__all__ = [
    "BadRequestError",
    "ConflictError",
    "ConnectError",
    "ForbiddenError",
    "IntermediaryResponseError",
    "InvalidArgumentError",
    "InvalidResponseError",
    "NoResponseError",
    "NotFoundError",
    "QlikCloudError",
    "ServerError",
    "StatusError",
    "TooManyRequestsError",
    "UnauthorizedError",
]


TOKEN_PATH = "/oauth/token"


class QlikCloudError(Exception):
    """The base of all errors of Qlik Cloud and of the way there.

    `sent_at` is the moment of the monotonic clock when the request was sent, where it waited for a token or a slot.
    `connection` is the id of the Airflow connection whose client sent the request, if it has one: messages name it.
    """

    sent_at: float | None = None
    connection: str | None = None

    @property
    def outcome_unknown(self) -> bool:
        """Return True if the request may have been executed all the same."""
        return False

    @property
    def transient(self) -> bool:
        """Return True if the same request may succeed a little later."""
        return False

    @property
    def retry_after(self) -> float | None:
        """Return the seconds to wait before the next attempt, None if Qlik Cloud says nothing of it."""
        return None


class ConnectError(QlikCloudError):
    """No connection, or no token: the request was certainly not sent."""

    @property
    def transient(self) -> bool:
        return True


class NoResponseError(QlikCloudError):
    """The request was sent and no response came (time-out, reset): it may have been executed."""

    @property
    def outcome_unknown(self) -> bool:
        return True

    @property
    def transient(self) -> bool:
        return True


class InvalidResponseError(QlikCloudError):
    """An invalid response: cut off, of another shape, about another resource. Shows its first 200 characters.

    :param what: what is wrong with it, and the request in parentheses.
    :param excerpt: the body, of which the beginning is shown without secrets.
    """

    def __init__(self, what: str, excerpt: str = "") -> None:
        self.what = storable(what)
        self.excerpt = storable(masked_text(excerpt[:2000])[:200])
        super().__init__(f"{self.what}. The response begins {self.excerpt!r}" if excerpt else self.what)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.excerpt), self.__dict__

    @property
    def outcome_unknown(self) -> bool:
        return True

    @property
    def transient(self) -> bool:
        return True


class IntermediaryResponseError(InvalidResponseError):
    """A response that is not in Qlik Cloud's form: a proxy, firewall or load balancer answered in its place.

    Its `status` says nothing about the request: a read is repeated, and any other request may have been executed.
    `retry_after` is in seconds, as for `StatusError`.
    """

    def __init__(self, what: str, excerpt: str = "", status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(what, excerpt)
        self.status = status
        self._retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.excerpt, self.status, self._retry_after), self.__dict__

    @property
    def retry_after(self) -> float | None:
        return self._retry_after


class StatusError(QlikCloudError):
    """A refusal by Qlik Cloud: status, its own code, title and detail, the trace id for its support, and the request.

    `retry_after` is in seconds. The subclasses name the common statuses.
    """

    by_status: ClassVar[dict[int, type[StatusError]]] = {}
    statuses: ClassVar[tuple[int, ...]] = ()
    meaning: ClassVar[str] = "Qlik Cloud refused the request and gave no reason"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        StatusError.by_status.update(dict.fromkeys(cls.statuses, cls))

    def __init__(
        self,
        *,
        status: int,
        method: str,
        path: str,
        code: str | None = None,
        title: str | None = None,
        detail: str | None = None,
        trace_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.method = method
        self.path = path
        self.code = _bounded(code)
        self.title = _bounded(title)
        self.detail = _bounded(detail)
        self.trace_id = _bounded(trace_id)
        self._retry_after = retry_after
        super().__init__(status, method, path)

    def __str__(self) -> str:
        # The reason comes first: task logs cut long lines. Then what to do, then what Qlik's support asks for.
        return " ".join(filter(None, (f"{self.reason}.", self.advice, f"({self.request})")))

    @property
    def request(self) -> str:
        """Return the status, the request, Qlik Cloud's code and its trace id, which Qlik's support asks for."""
        tags = [f"code {self.code}"] if self.code else []
        tags += [f"trace id {self.trace_id}"] if self.trace_id else []
        return ", ".join([f"HTTP {self.status} for {self.method} {self.path}", *tags])

    @property
    def reason(self) -> str:
        """Return Qlik Cloud's title and detail, or the meaning of the status where it gives neither."""
        text = ": ".join(part.rstrip(" .:") for part in (self.title, self.detail) if part and part.strip(" .:"))
        return text or self.meaning

    @property
    def advice(self) -> str:
        """Return a sentence that says what the user can do; empty where no advice is known."""
        of_connection = f" of the connection {self.connection!r}" if self.connection else ""
        if about_code := advice_about(self.code, self.status, f"the user{of_connection}"):
            return about_code
        if self.signing_in and self.credentials_refused:
            return f"The sign-in was refused: check the client id and the secret or key{of_connection}."
        if self.status == 401:
            return f"Check the API key or OAuth client{of_connection}: it may be wrong, expired or revoked."
        if self.status == 403:
            return f"Check the roles and OAuth scopes of the user{of_connection}."
        if self.status == 404:
            return f"Check the id, the tenant, and whether the user{of_connection} may see it."
        return ""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), {**self.__dict__}), self.__dict__

    @property
    def retry_after(self) -> float | None:
        return self._retry_after

    @property
    def rate_limited(self) -> bool:
        """Return True for Qlik's rate limit, and False for a 429 of another meaning, such as "a reload is pending"."""
        return self.status == 429 and self.code in {None, "", "429", "HTTP-429"}

    @property
    def signing_in(self) -> bool:
        """Return True if the sign-in before the request was refused, and the request itself was not sent."""
        return self.path == TOKEN_PATH

    @property
    def credentials_refused(self) -> bool:
        """Return True if other credentials might help: after a 401, or a permanent refusal of the sign-in."""
        return self.status == 401 or (self.signing_in and self.status in {400, 403})

    @property
    def outcome_unknown(self) -> bool:
        unavailable = self.status == 503 and self.retry_after is not None
        not_executed = self.signing_in or unavailable or self.code in NOTHING_DONE
        return (self.status >= 500 or self.status in {408, 425}) and not not_executed

    @property
    def transient(self) -> bool:
        # A read is refused with a 429 for one reason only, whichever code a gateway gives it.
        too_many = self.status == 429 and (self.rate_limited or self.method == "GET")
        return too_many or self.status in {408, 425} or self.status >= 500


def _rebuild(kind: type[StatusError], members: dict[str, object]) -> StatusError:
    members["retry_after"] = members.pop("_retry_after", None)
    # These are restored from the state afterwards.
    for name in ("__notes__", "sent_at", "connection"):
        members.pop(name, None)
    return kind(**members)  # type: ignore[arg-type]


def _bounded(text: str | None) -> str | None:
    return None if text is None else storable(text, REASON_LENGTH)


class BadRequestError(StatusError):
    """400: the request is invalid."""

    statuses = (400,)
    meaning = "Qlik Cloud could not use the request and gave no reason"


class UnauthorizedError(StatusError):
    """401: the credentials are missing, wrong or expired, and a fresh token did not help."""

    statuses = (401,)
    meaning = "Qlik Cloud refused the credentials"


class ForbiddenError(StatusError):
    """403: the user may not do this, or a quota is used up."""

    statuses = (403,)
    meaning = "Qlik Cloud does not allow this to the user"


class NotFoundError(StatusError):
    """404: the resource does not exist, or the user may not see it."""

    statuses = (404,)
    meaning = "The resource does not exist, or the user may not see it"


class ConflictError(StatusError):
    """409: the state of the resource does not allow the request."""

    statuses = (409,)
    meaning = "The state of the resource does not allow the request"


class TooManyRequestsError(StatusError):
    """429: a rate limit; with another code than HTTP-429 something else, see `rate_limited`."""

    statuses = (429,)
    meaning = "Qlik Cloud's rate limit is exceeded"


class ServerError(StatusError):
    """500 and above: the service failed."""

    statuses = (500, 501, 502, 503, 504)
    meaning = "Qlik Cloud failed to handle the request"
