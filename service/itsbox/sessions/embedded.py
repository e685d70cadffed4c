"""The default engine: everything in this process, nothing survives it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from itsbox.ops import Op, Store
from itsbox.sessions.limits import Limits
from itsbox.sessions.port import JournalPage, SnapshotRecord

__all__ = ["EmbeddedEngine"]


class _OpLog:
    """One session's ops. Invariant: ``ops`` are the numbers ``dropped + 1`` to ``dropped + len(ops)``."""

    __slots__ = ("dropped", "ops", "origin", "store_bytes")

    def __init__(self, origin: str | None) -> None:
        self.origin = origin
        self.ops: deque[Op] = deque()
        self.dropped = 0
        self.store_bytes = 0


class _MemoryJournal:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._logs: dict[str, _OpLog] = {}

    async def append(self, sid: str, ops: Sequence[Op]) -> None:
        log = self._logs.get(sid)
        if log is None:
            log = self._logs[sid] = _OpLog(None)
        log.ops.extend(ops)
        for op in ops:
            if type(op) is Store:
                log.store_bytes += len(op.data)
        limits = self._limits
        while len(log.ops) > limits.journal_ops_kept or log.store_bytes > limits.journal_bytes_kept:
            oldest = log.ops.popleft()
            log.dropped += 1
            if type(oldest) is Store:
                log.store_bytes -= len(oldest.data)

    async def restart(self, sid: str, origin: str | None) -> None:
        self._logs[sid] = _OpLog(origin)

    async def read(self, sid: str, after: int, limit: int) -> JournalPage:
        log = self._logs.get(sid) or _OpLog(None)
        skip = min(max(after - log.dropped, 0), len(log.ops))
        ops = tuple(islice(log.ops, skip, skip + limit))
        return JournalPage(log.dropped + skip + 1, ops, log.dropped + len(log.ops), log.origin)

    async def drop(self, sid: str) -> None:
        self._logs.pop(sid, None)


class _MemorySnapshots:
    def __init__(self) -> None:
        self._kept: dict[str, dict[str, SnapshotRecord]] = {}

    async def put(self, sid: str, record: SnapshotRecord) -> None:
        self._kept.setdefault(sid, {})[record.id] = record

    async def get(self, sid: str, snapshot_id: str) -> SnapshotRecord | None:
        return self._kept.get(sid, {}).get(snapshot_id)

    async def list(self, sid: str) -> Sequence[SnapshotRecord]:
        return tuple(self._kept.get(sid, {}).values())

    async def delete(self, sid: str, snapshot_id: str) -> None:
        self._kept.get(sid, {}).pop(snapshot_id, None)

    async def drop(self, sid: str) -> None:
        self._kept.pop(sid, None)


class EmbeddedEngine:
    """Journal and snapshots in dictionaries."""

    def __init__(self, limits: Limits) -> None:
        self.journal = _MemoryJournal(limits)
        self.snapshots = _MemorySnapshots()
