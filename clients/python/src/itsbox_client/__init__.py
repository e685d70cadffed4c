"""Python client of itsbox: simulated Arm machines whose GIC ITS is guarded by an emulation of pKVM's ITS hardening.

``Client`` blocks, ``AsyncClient`` is awaited; they are the same otherwise. Start with ``client.sessions.create()``.
"""

__version__ = "0.1.0"

from itsbox_client._async.batch import AsyncBatch
from itsbox_client._async.client import AsyncClient
from itsbox_client._async.session import AsyncSession
from itsbox_client._sync.batch import Batch
from itsbox_client._sync.client import Client
from itsbox_client._sync.session import Session
from itsbox_client.commands import RawCommand
from itsbox_client.journal import Finding, Journal
from itsbox_client.models import CommandRecord, Event, Gap, MemoryMap, ScenarioRun, SessionInfo, Snapshot, Violation
from itsbox_client.plan import Pending
from itsbox_client.problems import (
    BatchError,
    Conflict,
    Forbidden,
    InternalError,
    ItsboxError,
    NotFound,
    PayloadTooLarge,
    Problem,
    ProtocolError,
    QueueError,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    ServiceUnavailable,
    SessionCrashed,
    SessionNotFound,
    SnapshotNotFound,
    TransportError,
    Unauthorized,
    UnexpectedOutcome,
    ValidationProblem,
)
from itsbox_client.results import BatchResult, CommandResult, OpResult
from itsbox_client.retry import NO_RETRIES, RetryPolicy

__all__ = [
    "NO_RETRIES",
    "AsyncBatch",
    "AsyncClient",
    "AsyncSession",
    "Batch",
    "BatchError",
    "BatchResult",
    "Client",
    "CommandRecord",
    "CommandResult",
    "Conflict",
    "Event",
    "Finding",
    "Forbidden",
    "Gap",
    "InternalError",
    "ItsboxError",
    "Journal",
    "MemoryMap",
    "NotFound",
    "OpResult",
    "PayloadTooLarge",
    "Pending",
    "Problem",
    "ProtocolError",
    "QueueError",
    "QuotaExceeded",
    "RateLimited",
    "RawCommand",
    "RequestTimeout",
    "RetryPolicy",
    "ScenarioRun",
    "ServiceUnavailable",
    "Session",
    "SessionCrashed",
    "SessionInfo",
    "SessionNotFound",
    "Snapshot",
    "SnapshotNotFound",
    "TransportError",
    "Unauthorized",
    "UnexpectedOutcome",
    "ValidationProblem",
    "Violation",
]
