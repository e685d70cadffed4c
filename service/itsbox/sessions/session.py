"""One session: a machine with an identity, one lock, a numbered history and an end.

Everything that changes the machine goes through ``run`` and its neighbours, one request at a time. A long batch is run in
slices, so other sessions are served meanwhile; the lock is held across slices, so nobody sees a batch interleaved with
another. Wall time exists here (idle clock, expiry) and never reaches the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from itsbox import events
from itsbox.events import Event, EventType
from itsbox.machine import Machine, Snapshot
from itsbox.ops import Done, Drive, Fill, Op, Outcome, Store
from itsbox.oracle.violations import Violation
from itsbox.sessions.budget import MemoryBudget
from itsbox.sessions.errors import CapExceeded, ModelCrash, SessionCrashed, SessionNotFound, SnapshotNotFound
from itsbox.sessions.feed import Feed
from itsbox.sessions.ids import IdSource
from itsbox.sessions.limits import Limits
from itsbox.sessions.port import Engine, JournalPage, SnapshotRecord
from itsbox.sessions.ring import EventRing
from itsbox.sessions.runs import Part, Result, Run, Stamp, Totals, stops_at

__all__ = ["SLICE", "Session"]

#: Ops, or commands that they made the ITS look at, between two points where other sessions get their turn.
SLICE: Final = 1000

_RESTORED: Final[Result] = (Done(), ())
_NO_STOPS: Final[frozenset[str]] = frozenset()

_log = structlog.get_logger("itsbox.sessions")


class Session:
    """A machine that clients drive.

    Invariant: ``ring.head`` never decreases, and every event that the machine made is in the ring once ``lock`` is free.
    Owned by: the SessionHost that opened it.
    """

    __slots__ = (
        "_commands",
        "_engine",
        "_hash",
        "_ids",
        "_limits",
        "_totals",
        "_turn",
        "born",
        "budget",
        "crash",
        "ended",
        "epoch",
        "feed",
        "id",
        "idle_timeout_s",
        "lock",
        "machine",
        "metadata",
        "ring",
        "stamp",
    )

    def __init__(
        self,
        sid: str,
        machine: Machine,
        history: list[Event],
        *,
        engine: Engine,
        limits: Limits,
        ids: IdSource,
        totals: Totals,
        now: float,
        metadata: dict[str, str],
        idle_timeout_s: int,
    ) -> None:
        self.id = sid
        self.machine = machine
        self.metadata = metadata
        self.idle_timeout_s = idle_timeout_s
        self.stamp = Stamp(now, now)
        self.epoch = 1
        self.crash: str | None = None
        self.ended: str | None = None
        self.lock = asyncio.Lock()
        self.ring = EventRing(limits.events_kept)
        self.feed = Feed(self.ring, lambda: self.epoch, limits.subscribers_per_session)
        self.budget = MemoryBudget(limits.session_memory_bytes)
        self._engine = engine
        self._limits = limits
        self._ids = ids
        self._totals = totals
        self._turn = SLICE  # ops and commands left before others get their turn
        self._commands = 0  # commands that the running request has made the machine look at
        self._hash: tuple[int, int, str] | None = None
        self._publish(history)  # what happened while the machine booted
        #: ``seq`` when the machine stood ready: all that happens to the session comes after it.
        self.born = self.seq

    # ---------------------------------------------------------------- looking

    @property
    def state(self) -> str:
        """``running``, ``crashed`` or ``closed``."""
        return "closed" if self.ended else "crashed" if self.crash else "running"

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self.ring.head

    @property
    def expires_at(self) -> float:
        """When the session ends if nobody uses it, in seconds since 1970."""
        return min(self.stamp.used + self.idle_timeout_s, self.stamp.created + self._limits.lifetime_s)

    @property
    def touched_pages(self) -> int:
        """Pages in the machine's page table."""
        return len(self.machine.memory.pages)

    def state_hash(self) -> str | None:
        """The machine's state hash, computed once per state; None if the machine has crashed."""
        if self.crash:
            return None
        step = self.machine.step
        if self._hash is None or self._hash[:2] != (self.epoch, step):
            self._hash = (self.epoch, step, self.machine.state_hash())
        return self._hash[2]

    def touch(self, now: float) -> None:
        """Somebody used the session: the idle clock starts anew."""
        self.stamp.used = now
        self.stamp.warned = False

    def require_running(self) -> None:
        """Raise unless the machine can be driven."""
        if self.ended:  # while the request was waiting for the lock
            raise SessionNotFound(f"session {self.id} has ended: {self.ended}", ended=self.ended)
        if self.crash:
            raise SessionCrashed(
                f"session {self.id} crashed; its journal and events can still be read", incident=self.crash
            )

    # ---------------------------------------------------------------- driving

    async def run(self, ops: Sequence[Op], stops: frozenset[str] = frozenset()) -> Run:
        """Execute ops in order, up to and including the first whose outcome ``stops`` names.

        Raises: ``CapExceeded`` (413) before anything runs, if the stores do not fit, or with ``executed`` if the machine
        itself took too much memory or looked at too many commands; ``SessionCrashed``; ``ModelCrash``.
        """
        return await self.run_parts(((None, ops),), stops)

    async def run_one(self, op: Op) -> tuple[Outcome, Sequence[Violation], int, int]:
        """Execute one op: its outcome and violations, then ``seq`` and ``step``. Raises as ``run``.

        A batch of one, without the bookkeeping of slices and parts: most requests are this.
        """
        async with self.lock:
            if self.ended or self.crash:
                self.require_running()
            ops = (op,)
            if self.budget.left < 0 or isinstance(op, Store | Fill):
                await self._check_memory(ops)
            results: list[Result] = []
            self._turn = SLICE
            try:
                self._slice(ops, 0, results, _NO_STOPS)
            finally:
                await self._engine.journal.append(self.id, ops)
            outcome, found = results[0]
            return outcome, found, self.ring.head, self.machine.log.step

    async def record(self, ops: Sequence[Op]) -> None:
        """Note ops that the machine had executed before it was this session's, so that the journal leads to its state."""
        await self._engine.journal.append(self.id, ops)

    async def run_parts(self, parts: Sequence[Part], stops: frozenset[str]) -> Run:
        """Execute parts in order, each from its snapshot if it names one; a restore counts as an op that was executed.

        Raises as ``run``, and ``SnapshotNotFound`` before anything runs.
        """
        async with self.lock:
            self.require_running()
            records = {name: await self.snapshot_record(name) for name, _ in parts if name is not None}
            for _, ops in parts:
                await self._check_memory(ops)
            results: list[Result] = []
            self._turn, self._commands = SLICE, 0
            for name, ops in parts:
                if name is not None:
                    await self._go_back(records[name])
                    results.append(_RESTORED)
                if await self._run_part(ops, results, stops):
                    break
            return Run(results, self.ring.head, self.machine.step)

    async def _run_part(self, ops: Sequence[Op], results: list[Result], stops: frozenset[str]) -> bool:
        """Execute ops in slices; True when the request is to stop. Appends to ``results``; commits to the journal."""
        before = len(results)
        try:
            while (done := len(results) - before) < len(ops):
                if self._turn <= 0:
                    await self._between_slices(len(results))
                if self._slice(ops, done, results, stops):
                    return True
        finally:
            # The op that was running when the model failed belongs to the journal too: it is the one that matters.
            executed = len(results) - before + bool(self.crash)
            if executed:
                await self._engine.journal.append(self.id, ops[:executed])
        return False

    def _slice(self, ops: Sequence[Op], start: int, results: list[Result], stops: frozenset[str]) -> bool:
        """Execute ops from ``start`` until it is the others' turn; True when the request is to stop."""
        machine = self.machine
        apply, violations = machine.apply, machine.violations
        writable = machine.memory.writable
        pages_before, known, before = len(writable), len(violations), len(results)
        turn, commands, log = self._turn, 0, machine.log
        try:
            for op in ops[start : start + turn]:
                outcome = apply(op)
                found: Sequence[Violation] = ()
                if len(violations) != known:
                    found = violations[known:]
                    known = len(violations)
                    self._totals.violations += len(found)
                results.append((outcome, found))
                if stops and stops_at(outcome, found, stops):
                    return True
                looked_at = len(getattr(outcome, "commands", ()))
                commands += looked_at
                turn -= 1 + looked_at
                if turn <= 0 or (
                    type(op) is Drive and turn <= len(log.items)
                ):  # of a driver call, events tell the length
                    turn = 0
                    break
        except Exception as error:
            raise self._crashed(ops[start + len(results) - before], error) from error
        finally:
            self._turn = turn
            self._commands += commands
            self._publish(machine.take_events())
            self._totals.ops += len(results) - before
            self.budget.spend(len(writable) - pages_before)
        return False

    def _crashed(self, op: Op | None, error: Exception) -> ModelCrash:
        """Mark the session and log the one line that says why."""
        incident = self._ids.next()
        self.crash = incident
        self._totals.crashes += 1
        _log.error(
            "the machine model failed",
            incident=incident,
            session=self.id,
            step=self.machine.step,
            op=repr(op),
            exc_info=error,
        )
        self.emit(events.SESSION_CRASHED, type(error).__name__)
        return ModelCrash(incident)

    async def _check_memory(self, ops: Sequence[Op]) -> None:
        """Raise ``CapExceeded`` if the ops' stores and fills do not fit."""
        if not self.budget.fits(self.machine, ops):
            await self._count_memory()
            self.budget.check(self.machine, ops)

    async def _count_memory(self) -> None:
        snapshots = await self._engine.snapshots.list(self.id)
        self.budget.count(self.machine, [record.snapshot.image.pages for record in snapshots])

    async def _between_slices(self, executed: int) -> None:
        """Let others run; stop a batch of too many commands, or whose commands made the machine write beyond the cap."""
        await asyncio.sleep(0)
        self._turn = SLICE
        most = self._limits.commands_per_request
        if self._commands > most:
            why = "the ops have made the ITS look at more commands than those of one request may"
            raise CapExceeded("commands_per_request", most, self._commands, why, status=413, executed=executed)
        if self.budget.left < 0:
            await self._count_memory()
            if self.budget.left < 0:
                raise self.budget.refusal("the machine has written more memory than it may", executed=executed)

    # ---------------------------------------------------------------- snapshots

    async def take_snapshot(self, now: float) -> SnapshotRecord:
        """Freeze the machine as it is. Raises ``CapExceeded`` (429) when the session keeps as many as it may."""
        async with self.lock:
            self.require_running()
            in_use = len(await self._engine.snapshots.list(self.id))
            limit = self._limits.snapshots_per_session
            if in_use >= limit:
                raise CapExceeded(
                    "snapshots_per_session", limit, in_use, "the session keeps as many snapshots as it may", status=429
                )
            snapshot = self.freeze()
            state_hash = self.state_hash() or ""
            record = SnapshotRecord(self._ids.next(), snapshot, state_hash, self.seq, self.machine.step, now)
            await self._engine.snapshots.put(self.id, record)
            return record

    async def snapshot_record(self, snapshot_id: str) -> SnapshotRecord:
        """One of the session's snapshots. Raises ``SnapshotNotFound``."""
        record = await self._engine.snapshots.get(self.id, snapshot_id)
        if record is None:
            raise SnapshotNotFound(f"session {self.id} has no snapshot {snapshot_id}")
        return record

    async def snapshots(self) -> Sequence[SnapshotRecord]:
        """All snapshots of the session, oldest first."""
        return await self._engine.snapshots.list(self.id)

    async def forget_snapshot(self, snapshot_id: str) -> None:
        """Drop a snapshot; nothing happens if it is not there."""
        await self._engine.snapshots.delete(self.id, snapshot_id)

    async def forget_snapshots(self) -> None:
        """Drop all snapshots."""
        await self._engine.snapshots.drop(self.id)

    def freeze(self) -> Snapshot:
        """The machine's snapshot; a failure of the model crashes the session."""
        try:
            return self.machine.snapshot()
        except Exception as error:
            raise self._crashed(None, error) from error

    async def restore(self, snapshot_id: str) -> None:
        """Make the machine what it was at a snapshot. ``seq`` goes on, the epoch grows, the journal starts anew."""
        async with self.lock:
            self.require_running()
            await self._go_back(await self.snapshot_record(snapshot_id))

    async def _go_back(self, record: SnapshotRecord) -> None:
        try:
            self.machine.restore(record.snapshot)
        except Exception as error:
            raise self._crashed(None, error) from error
        self.epoch += 1
        await self._engine.journal.restart(self.id, record.id)
        self._publish(self.machine.take_events())
        self.emit(events.SESSION_RESTORED, record.id, self.epoch, record.state_hash)

    # ---------------------------------------------------------------- history

    async def journal(self, after: int, limit: int) -> JournalPage:
        """Ops since the start or the last restore."""
        return await self._engine.journal.read(self.id, after, limit)

    def emit(self, kind: EventType, *values: object) -> None:
        """Add an event of the session itself."""
        self._publish([(kind, self.machine.step, *values)])

    def _publish(self, new: list[Event]) -> None:
        if new:
            self._totals.events += len(new)
            self.ring.extend(new)
            self.feed.publish()

    def end(self, reason: str) -> None:
        """Say why, once, and let the streams run out."""
        if self.ended is None:
            self.emit(events.SESSION_CLOSED, reason)
            self.ended = reason
            self.feed.close()
