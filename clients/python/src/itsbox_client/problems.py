"""Everything that the client raises.

Three families, which never mix: the service could not be reached or understood (``TransportError``, ``ProtocolError``);
it answered that the request was wrong or cannot be served (``Problem`` and its kinds, by the ``type`` of RFC 9457); the
*machine* did something else than the caller said it must (``UnexpectedOutcome``). What a machine does is otherwise never an
exception: a refusal, an abort, a stalled queue are results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itsbox_client.results import OpResult

__all__ = [
    "BatchError",
    "Conflict",
    "Forbidden",
    "InternalError",
    "ItsboxError",
    "NotFound",
    "PayloadTooLarge",
    "Problem",
    "ProtocolError",
    "QueueError",
    "QuotaExceeded",
    "RateLimited",
    "RequestTimeout",
    "ServiceUnavailable",
    "SessionCrashed",
    "SessionNotFound",
    "SnapshotNotFound",
    "TransportError",
    "Unauthorized",
    "UnexpectedOutcome",
    "ValidationProblem",
    "problem_from",
]


class ItsboxError(Exception):
    """Base of everything that the client raises on purpose."""


class TransportError(ItsboxError):
    """The service could not be reached, or the connection was lost before the answer came."""


class RequestTimeout(TransportError):
    """No answer within ``request_timeout``."""


class ProtocolError(ItsboxError):
    """The answer is not what the contract says: another server, or a proxy's page."""


class QueueError(ItsboxError):
    """The command queue cannot take the command: not set up, full, or its place not known within a batch."""


class BatchError(ItsboxError):
    """A result of a batch was asked for before the batch was sent, or of an op that a batch did not reach."""


class UnexpectedOutcome(ItsboxError):
    """An op ended otherwise than its caller required; ``result`` is what came of it."""

    def __init__(self, message: str, result: OpResult) -> None:
        super().__init__(message)
        self.result = result


class Problem(ItsboxError):
    """The service answered with a problem (RFC 9457); ``members`` holds its extension members."""

    def __init__(self, status: int, members: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(members.get("type", "about:blank"))
        self.title = str(members.get("title", ""))
        self.detail = str(members.get("detail") or "")
        self.instance = members.get("instance")
        #: Seconds that the service asks to wait before another try, if it said so.
        self.retry_after = retry_after
        self.members = {k: v for k, v in members.items() if k not in {"type", "title", "status", "detail", "instance"}}
        super().__init__(f"{status} {self.title or 'problem'}" + (f": {self.detail}" if self.detail else ""))


class NotFound(Problem):
    """There is no such thing."""


class SessionNotFound(NotFound):
    """There is no such session: it never was, was ended, or expired."""

    @property
    def ended(self) -> str | None:
        """How it ended, for as long as the service remembers."""
        found = self.members.get("ended")
        return None if found is None else str(found)


class SnapshotNotFound(NotFound):
    """There is no such snapshot."""


class Unauthorized(Problem):
    """The service wants an API key, or another one."""


class Forbidden(Problem):
    """This key may not do that, or the request came from a host or origin that is not allowed."""


class ValidationProblem(Problem):
    """The request is not of the contract's form; nothing was done."""

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What is wrong, and where."""
        found = self.members.get("errors", [])
        return list(found) if isinstance(found, list) else []

    @property
    def index(self) -> int | None:
        """In a batch, the position of the first op that is malformed."""
        found = self.members.get("index")
        return found if isinstance(found, int) else None


class Conflict(Problem):
    """The request does not fit the present state, or an Idempotency-Key was used for another request."""


class PayloadTooLarge(Problem):
    """The body, or the number of ops in it, is over the limit."""


class RateLimited(Problem):
    """Too many requests; ``retry_after`` says when to try again."""


class QuotaExceeded(Problem):
    """A cap of the service is reached: too many (429) or too large (413). ``GET /v1/limits`` shows all caps."""

    @property
    def cap(self) -> str:
        """The cap's name."""
        return str(self.members.get("cap", ""))

    @property
    def limit(self) -> int | None:
        """What the cap allows."""
        found = self.members.get("limit")
        return found if isinstance(found, int) else None

    @property
    def in_use(self) -> int | None:
        """How much was in use, or asked for, when it was reached."""
        found = self.members.get("in_use")
        return found if isinstance(found, int) else None

    @property
    def holders(self) -> list[str]:
        """Ids of what holds it, as far as the service names them."""
        found = self.members.get("holders", [])
        return [str(item) for item in found] if isinstance(found, list) else []


class ServiceUnavailable(Problem):
    """The service is starting, stopping or overloaded."""


class InternalError(Problem):
    """A defect of the service; ``instance`` finds it in its log."""


class SessionCrashed(Problem):
    """A defect of the service ended this session's machine; its journal is kept."""


#: By the last part of the problem's ``type``.
_BY_TYPE: Mapping[str, type[Problem]] = {
    "session-not-found": SessionNotFound,
    "snapshot-not-found": SnapshotNotFound,
    "session-crashed": SessionCrashed,
    "cap-exceeded": QuotaExceeded,
    "rate-limited": RateLimited,
}

#: For a type that is not above, by status.
_BY_STATUS: Mapping[int, type[Problem]] = {
    400: ValidationProblem,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: PayloadTooLarge,
    422: ValidationProblem,
    429: RateLimited,
    500: InternalError,
    503: ServiceUnavailable,
}


def problem_from(status: int, members: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """The exception for an answer of 400 and above."""
    slug = str(members.get("type", "")).rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1].replace("_", "-")
    kind = _BY_TYPE.get(slug) or _BY_STATUS.get(status, Problem)
    return kind(status, members, retry_after)
