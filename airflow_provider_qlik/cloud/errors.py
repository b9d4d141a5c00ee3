"""What can go wrong between us and Qlik Cloud, as one tree."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_qlik.arguments import InvalidArgument
from airflow_provider_qlik.masking import masked_text

__all__ = [
    "BadRequest",
    "Conflict",
    "CouldNotConnect",
    "Forbidden",
    "InvalidArgument",
    "NoAnswer",
    "NotFound",
    "QlikCloudError",
    "Refused",
    "ServerFailed",
    "TooManyRequests",
    "Unauthorized",
    "UnreadableAnswer",
]


TOKEN_PATH = "/oauth/token"


def without_secrets(text: str) -> str:
    """Return the text (JSON or part of it, a form, headers) with the values of secrets replaced, by their names."""
    return masked_text(text)


class QlikCloudError(Exception):
    """Anything that Qlik Cloud, or the way there, did to us. The subclasses tell what.

    `sent_at` is the moment of the monotonic clock when it was asked, where that was later than when it was wanted.
    """

    sent_at: float | None = None

    @property
    def may_have_happened(self) -> bool:
        """Whether what was asked may have been carried out all the same."""
        return False

    @property
    def transient(self) -> bool:
        """Whether the same question may well be answered a little later."""
        return False

    @property
    def retry_after(self) -> float | None:
        """The seconds that Qlik asked us to wait, if it did."""
        return None


class CouldNotConnect(QlikCloudError):
    """No connection, or nothing that signs in: the request surely did not arrive."""

    @property
    def transient(self) -> bool:
        return True


class NoAnswer(QlikCloudError):
    """The request was sent and nothing came back (time-out, reset): it may have been carried out."""

    @property
    def may_have_happened(self) -> bool:
        return True

    @property
    def transient(self) -> bool:
        return True


class UnreadableAnswer(QlikCloudError):
    """An answer that makes no sense: HTML, cut off, or of another shape. Shows its first 200 characters."""

    def __init__(self, what: str, excerpt: str = "") -> None:
        self.what = what
        self.excerpt = without_secrets(excerpt)[:200]
        super().__init__(f"{what}; the answer begins {self.excerpt!r}" if excerpt else what)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.excerpt), self.__dict__

    @property
    def may_have_happened(self) -> bool:
        return True

    @property
    def transient(self) -> bool:
        return True


class Refused(QlikCloudError):
    """Qlik Cloud said no: status, its own code, title and detail, the trace id for its support, and what was asked.

    `retry_after` is in seconds. The subclasses name the common statuses.
    """

    by_status: ClassVar[dict[int, type[Refused]]] = {}
    statuses: ClassVar[tuple[int, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Refused.by_status.update(dict.fromkeys(cls.statuses, cls))

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
        self.code = code
        self.title = title
        self.detail = detail
        self.trace_id = trace_id
        self._retry_after = retry_after
        what = ": ".join(part for part in (title, detail) if part) or "no reason given"
        tags = [f"code {code}"] if code else []
        tags += [f"trace id {trace_id}"] if trace_id else []
        super().__init__(
            f"{method} {path} was refused with {status}: {what}" + (f" ({', '.join(tags)})" if tags else "")
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), {**self.__dict__}), self.__dict__

    @property
    def retry_after(self) -> float | None:
        return self._retry_after

    @property
    def rate_limited(self) -> bool:
        """Whether this is Qlik's rate limit, and not a 429 that says something else, such as "a reload is pending"."""
        return self.status == 429 and self.code in {None, "", "429", "HTTP-429"}

    @property
    def signing_in(self) -> bool:
        """Whether it was not the request that was refused, but the sign-in before it was sent."""
        return self.path == TOKEN_PATH

    @property
    def credentials_refused(self) -> bool:
        """Whether other credentials might help: a 401, or a sign-in that was refused for good."""
        return self.status == 401 or (self.signing_in and self.status in {400, 403})

    @property
    def may_have_happened(self) -> bool:
        turned_away = self.signing_in or (self.status == 503 and self.retry_after is not None)
        return (self.status >= 500 or self.status in {408, 425}) and not turned_away

    @property
    def transient(self) -> bool:
        # What is merely read is refused with a 429 for one reason only, whatever a gateway calls it.
        too_many = self.status == 429 and (self.rate_limited or self.method == "GET")
        return too_many or self.status in {408, 425} or self.status >= 500


def _rebuild(kind: type[Refused], members: dict[str, object]) -> Refused:
    members["retry_after"] = members.pop("_retry_after", None)
    # What was noted on its way is put back afterwards.
    for name in ("__notes__", "sent_at"):
        members.pop(name, None)
    return kind(**members)  # type: ignore[arg-type]


class BadRequest(Refused):
    """400: Qlik did not understand what was asked, or it is not allowed like that."""

    statuses = (400,)


class Unauthorized(Refused):
    """401: the credentials are missing, wrong or expired, and a fresh token did not help."""

    statuses = (401,)


class Forbidden(Refused):
    """403: the user may not do this, or a quota is used up."""

    statuses = (403,)


class NotFound(Refused):
    """404: no such thing, or none that this user can see."""

    statuses = (404,)


class Conflict(Refused):
    """409: the thing is in a state that rules this out."""

    statuses = (409,)


class TooManyRequests(Refused):
    """429: a rate limit; with another code than HTTP-429 something else, see `rate_limited`."""

    statuses = (429,)


class ServerFailed(Refused):
    """500 and above: the service or a proxy failed."""

    statuses = (500, 501, 502, 503, 504)
