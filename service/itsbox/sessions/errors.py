"""What a session layer can answer instead of a result: one class per problem type.

These are the client's mistakes, the service's caps, and our own defects. What the simulated machine does, or its hypervisor
refuses, is never here (ARCHITECTURE.md).
"""

from __future__ import annotations

__all__ = [
    "CapExceeded",
    "InvalidField",
    "ModelCrash",
    "NotYetPossible",
    "SessionCrashed",
    "SessionError",
    "SessionNotFound",
    "SnapshotNotFound",
]


class SessionError(Exception):
    """Base: ``status`` is the HTTP status that fits, ``kind`` the stable last part of the problem type."""

    status = 400
    kind = "bad-request"
    title = "Bad request"

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        #: Extension members of the problem, JSON-like.
        self.members = members


class SessionNotFound(SessionError):
    """No such session, or it has ended: ``ended`` says how, as long as the service remembers."""

    status = 404
    kind = "session-not-found"
    title = "No such session"


class SnapshotNotFound(SessionError):
    """The session has no snapshot of that id."""

    status = 404
    kind = "snapshot-not-found"
    title = "No such snapshot"


class SessionCrashed(SessionError):
    """The session's machine met a defect of ours earlier; it can be looked at, but not driven."""

    status = 409
    kind = "session-crashed"
    title = "The session has crashed"


class NotYetPossible(SessionError):
    """The request is well formed but the session is not in a state for it."""

    status = 409
    kind = "conflict"
    title = "Not possible in this state"


class InvalidField(SessionError):
    """A value that the schema cannot judge is wrong: ``field`` names it, dotted from the body's top."""

    status = 422
    kind = "invalid-request"
    title = "The request is not valid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class CapExceeded(SessionError):
    """A cap said no. ``status`` is 413 for what is too large, 429 for what is too many."""

    kind = "cap-exceeded"
    title = "A cap is reached"

    def __init__(self, cap: str, limit: int, in_use: int, detail: str, *, status: int, **members: object) -> None:
        super().__init__(f"{detail} (cap {cap}: {limit})", cap=cap, limit=limit, in_use=in_use, **members)
        self.status = status
        self.cap = cap


class ModelCrash(SessionError):
    """A defect of the model: logged once under ``incident``; the session is crashed from now on."""

    status = 500
    kind = "model-crash"
    title = "A defect of the service"

    def __init__(self, incident: str) -> None:
        super().__init__(
            "The machine model failed; the session is crashed, its journal is kept.",
            incident=incident,
        )
        self.incident = incident
