"""The SessionHost: opens, finds, lists, forks and ends sessions. It exists once, above whatever engine keeps them."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from itsbox import events
from itsbox.events import Event
from itsbox.machine import Machine, MachineConfig, Snapshot
from itsbox.sessions.boots import Boots
from itsbox.sessions.embedded import EmbeddedEngine
from itsbox.sessions.errors import CapExceeded, InvalidField, SessionNotFound
from itsbox.sessions.ids import IdSource
from itsbox.sessions.limits import Limits
from itsbox.sessions.port import Engine
from itsbox.sessions.runs import Totals
from itsbox.sessions.session import Session
from itsbox.sessions.times import timestamp

__all__ = ["SessionHost"]

#: Ids of ended sessions whose reason is remembered, for an honest 404.
_ENDED_KEPT: Final = 1024
#: How long before its end a session says so, at most; never more than a third of its idle timeout.
_WARNING_S: Final = 30.0


class SessionHost:
    """All sessions of this process.

    limits: the caps; engine: where journals and snapshots are kept; clock: seconds since 1970.
    Invariant: ``_sessions`` is in id order, which is the order of creation.
    """

    def __init__(
        self,
        limits: Limits,
        engine: Engine | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self.engine = engine or EmbeddedEngine(limits)
        self.clock = clock
        self.created = 0
        self.totals = Totals()
        self.ended: OrderedDict[str, str] = OrderedDict()
        self._boots = Boots()
        self._ids = IdSource(clock)
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    # ---------------------------------------------------------------- opening

    def create(
        self,
        config: MachineConfig,
        metadata: Mapping[str, str] | None = None,
        idle_timeout_s: int | None = None,
    ) -> Session:
        """A new machine in a new session. Raises ``CapExceeded`` (429)."""
        self.room_for(1)
        machine, boot = self._boots.machine(config)
        return self._open(machine, boot, metadata or {}, self._idle_timeout(idle_timeout_s))

    def adopt(self, machine: Machine) -> Session:
        """A session around a machine that somebody has driven already. Raises ``CapExceeded`` (429)."""
        self.room_for(1)
        return self._open(machine, machine.take_events(), {}, self.limits.idle_timeout_s)

    async def fork(self, session: Session, count: int, snapshot_id: str | None) -> list[Session]:
        """``count`` sessions that start as this one is now, or was at a snapshot; pages are shared until written.

        Raises ``SnapshotNotFound``, ``CapExceeded`` (429, none is made) and, without a snapshot, ``SessionCrashed``.
        """
        async with session.lock:
            if snapshot_id is None:
                session.require_running()
                snapshot: Snapshot = session.freeze()
            else:
                snapshot = (await session.snapshot_record(snapshot_id)).snapshot
            self.room_for(count)
            children = [
                self._open(Machine.fork(snapshot), [], session.metadata, session.idle_timeout_s) for _ in range(count)
            ]
            session.emit(events.SESSION_FORKED, [child.id for child in children], snapshot_id)
            return children

    def _open(
        self, machine: Machine, history: list[Event], metadata: Mapping[str, str], idle_timeout_s: int
    ) -> Session:
        session = Session(
            self._ids.next(),
            machine,
            history,
            engine=self.engine,
            limits=self.limits,
            ids=self._ids,
            totals=self.totals,
            now=self.clock(),
            metadata=dict(metadata),
            idle_timeout_s=idle_timeout_s,
        )
        self._sessions[session.id] = session
        self.created += 1
        config = machine.config
        session.emit(events.SESSION_CREATED, session.id, config.profile.name, config.hardening.preset)
        return session

    def room_for(self, count: int) -> None:
        """Raise ``CapExceeded`` (429) if so many more sessions would be too many."""
        in_use, limit = len(self._sessions), self.limits.sessions
        if in_use + count > limit:
            raise CapExceeded(
                "sessions",
                limit,
                in_use,
                f"{count} more session(s) would be too many; end one, or wait for one to be idle long enough",
                status=429,
            )

    def _idle_timeout(self, asked: int | None) -> int:
        if asked is None:
            return self.limits.idle_timeout_s
        if asked > self.limits.idle_timeout_max_s:
            raise InvalidField("idle_timeout_s", f"must be at most {self.limits.idle_timeout_max_s}")
        return asked

    # ---------------------------------------------------------------- finding

    def find(self, sid: str) -> Session:
        """A session by id; its idle clock starts anew. Raises ``SessionNotFound``."""
        session = self._sessions.get(sid)
        if session is None:
            reason = self.ended.get(sid)
            if reason is None:
                raise SessionNotFound(f"there is no session {sid}")
            raise SessionNotFound(f"session {sid} has ended: {reason}", ended=reason)
        session.touch(self.clock())
        return session

    def page(
        self, after: str, limit: int, state: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> tuple[list[Session], str | None]:
        """Sessions in the order of creation behind the cursor ``after``, and the cursor of the next page or None."""
        ids = list(self._sessions)
        found: list[Session] = []
        for sid in ids[bisect_right(ids, after) :]:
            session = self._sessions[sid]
            if (state is None or session.state == state) and all(
                session.metadata.get(key) == value for key, value in (metadata or {}).items()
            ):
                if len(found) == limit:
                    return found, found[-1].id
                found.append(session)
        return found, None

    def change(self, session: Session, metadata: Mapping[str, str] | None, idle_timeout_s: int | None) -> None:
        """Replace the metadata, the idle timeout, or both."""
        if idle_timeout_s is not None:
            session.idle_timeout_s = self._idle_timeout(idle_timeout_s)
        if metadata is not None:
            session.metadata = dict(metadata)

    # ---------------------------------------------------------------- ending

    async def close(self, sid: str, reason: str) -> None:
        """End a session, after the request that it is serving; nothing happens if there is none."""
        session = self._sessions.get(sid)
        if session is None:
            return
        async with session.lock:
            if self._sessions.pop(sid, None) is None:
                return
            session.end(reason)
            await self.engine.journal.drop(sid)
            await self.engine.snapshots.drop(sid)
            self.ended[sid] = reason
            if len(self.ended) > _ENDED_KEPT:
                self.ended.popitem(last=False)

    async def sweep(self) -> None:
        """End the sessions whose time is up and warn those whose end is near. An attached stream counts as use."""
        now = self.clock()
        for session in tuple(self._sessions.values()):
            if session.feed.subscribers or session.lock.locked():
                session.touch(now)
            left = session.expires_at - now
            if left <= 0:
                old = now - session.stamp.created >= self.limits.lifetime_s
                reason = f"older than {self.limits.lifetime_s} s" if old else f"idle for {session.idle_timeout_s} s"
                await self.close(session.id, reason)
            elif left <= min(_WARNING_S, session.idle_timeout_s / 3) and not session.stamp.warned:
                session.stamp.warned = True
                session.emit(events.SESSION_EXPIRING, timestamp(session.expires_at))

    async def close_all(self, reason: str) -> None:
        """End every session."""
        for sid in tuple(self._sessions):
            await self.close(sid, reason)
