"""The seam to whatever keeps sessions: what one process keeps in memory, a cluster keeps elsewhere.

Above this port there is one ``SessionHost``; below it one engine. The rules that an engine may rely on, and that live above
the port so that they exist once:

* A record of the journal is one request's ops. Appending it is the commit point: no answer is given before.
* Applying may overlap appending; if appending fails, the machine's state is dropped, never guessed.
* Events are a pure function of the journal, so an engine need not keep them.
* Snapshots are immutable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from itsbox.machine import Snapshot
from itsbox.ops import Op

__all__ = ["Engine", "Journal", "JournalPage", "SnapshotRecord", "Snapshots"]


class JournalPage(NamedTuple):
    """Ops ``first`` .. ``first + len(ops) - 1`` of a journal that has ``head`` ops; ``origin`` is what it starts from."""

    first: int
    ops: Sequence[Op]
    head: int
    origin: str | None


class Journal(Protocol):
    """The ops of each session since its creation or its last restore, in order, bounded."""

    async def append(self, sid: str, ops: Sequence[Op]) -> None:
        """Commit one request's ops."""

    async def restart(self, sid: str, origin: str | None) -> None:
        """Forget the ops: from now on the journal starts from the snapshot ``origin``."""

    async def read(self, sid: str, after: int, limit: int) -> JournalPage:
        """At most ``limit`` ops behind op number ``after`` (numbers start at 1), from the oldest that is kept."""

    async def drop(self, sid: str) -> None:
        """Forget the session."""


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A snapshot and what its session was when it was taken. ``taken_at``: seconds since 1970."""

    id: str
    snapshot: Snapshot
    state_hash: str
    seq: int
    step: int
    taken_at: float


class Snapshots(Protocol):
    """The snapshots of each session, by id, oldest first."""

    async def put(self, sid: str, record: SnapshotRecord) -> None:
        """Keep a snapshot."""

    async def get(self, sid: str, snapshot_id: str) -> SnapshotRecord | None:
        """One snapshot, or None."""

    async def list(self, sid: str) -> Sequence[SnapshotRecord]:
        """All of a session."""

    async def delete(self, sid: str, snapshot_id: str) -> None:
        """Forget one; nothing happens if it is not there."""

    async def drop(self, sid: str) -> None:
        """Forget all of a session."""


class Engine(Protocol):
    """What a SessionHost needs from below."""

    @property
    def journal(self) -> Journal:
        """Where ops are committed."""

    @property
    def snapshots(self) -> Snapshots:
        """Where snapshots are kept."""
