# Generated from _async/session.py by tools/generate_sync.py: edit that one.
"""One session: a simulated machine, driven as its host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from itsbox_client import endpoints, ops
from itsbox_client._sync.batch import Batch
from itsbox_client._sync.connection import Connection
from itsbox_client._sync.events import EventStream, follow, history
from itsbox_client._sync.its import Its
from itsbox_client._sync.registers import Gicr, Gits
from itsbox_client.faces import DriverCalls, Hypercalls
from itsbox_client.journal import Journal, Program
from itsbox_client.models import MemoryMap, Restored, SessionInfo, Snapshot, Violation
from itsbox_client.ops import Op
from itsbox_client.problems import ItsboxError
from itsbox_client.results import (
    AckResult,
    BatchResult,
    DriverResult,
    HvcResult,
    LoadResult,
    MsiResult,
    OpResult,
    ReadResult,
    WriteResult,
)
from itsbox_client.stream import StreamPosition

__all__ = ["Session"]

R = TypeVar("R", bound=OpResult)


class Session:
    """A simulated machine.

    As a context manager it ends the session on leaving, unless ``keep`` is true. Every method that asks the service takes
    ``request_timeout``, seconds without an answer; the default is the client's, or that of ``with_timeout``. What the machine
    does is a result; what is raised is said in ``itsbox_client.problems``.
    """

    def __init__(self, connection: Connection, info: SessionInfo, *, keep: bool) -> None:
        self._connection = connection
        #: The session as the service last described it.
        self.info = info
        #: Whether leaving the block leaves the session alone.
        self.keep = keep
        #: The ops that led to the machine's state, once ``record`` was called.
        self.journal: Journal | None = None
        self.its = Its(self)
        self.gits = Gits(self)
        self.hvc: Hypercalls[HvcResult] = Hypercalls(self._hvc)
        self.driver: DriverCalls[DriverResult] = DriverCalls(self._driver)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.info.profile} {self.info.phase}>"

    @property
    def id(self) -> str:
        """The session's id."""
        return self.info.id

    @property
    def map(self) -> MemoryMap:
        """Where things are in the machine."""
        return self.info.map

    def with_timeout(self, request_timeout: float) -> Session:
        """This session with another default for ``request_timeout``.

        For calls that take none themselves: ``its.mapd(...)``, ``gits.ctlr``, ``hvc`` and ``driver``.
        """
        other = Session(self._connection.with_timeout(request_timeout), self.info, keep=True)
        other.journal = self.journal
        return other

    def gicr(self, cpu: int) -> Gicr:
        """The registers of a CPU's redistributor."""
        return Gicr(self, cpu)

    # ---------------------------------------------------------------------------------------------- lifetime

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.keep:
            return
        try:
            self.kill()
        except ItsboxError as failure:
            if error is None:
                raise
            # The block's own exception is the one to see.
            error.add_note(f"and session {self.id} could not be ended: {failure}")

    def refresh(self, *, request_timeout: float | None = None) -> SessionInfo:
        """Ask how the session is now; ``info`` is that from then on."""
        self.info = self._connection.call(endpoints.get_session(self.id), request_timeout)
        return self.info

    def update(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        idle_timeout_s: int | None = None,
        request_timeout: float | None = None,
    ) -> SessionInfo:
        """Change the session's metadata or idle timeout."""
        call = endpoints.patch_session(self.id, metadata, idle_timeout_s)
        self.info = self._connection.call(call, request_timeout)
        return self.info

    def kill(self, *, request_timeout: float | None = None) -> None:
        """End the session; ending it twice is no error."""
        self._connection.call(endpoints.delete_session(self.id), request_timeout)

    # --------------------------------------------------------------------------------------------------- ops

    def mmio_read(self, addr: int, size: int, *, request_timeout: float | None = None) -> ReadResult:
        """The host reads ``size`` bytes (1, 2, 4 or 8) of a device register."""
        return self._one(ops.mmio_read(addr, size), request_timeout)

    def mmio_write(self, addr: int, size: int, value: int, *, request_timeout: float | None = None) -> WriteResult:
        """The host writes ``size`` bytes (1, 2, 4 or 8) of a device register."""
        return self._one(ops.mmio_write(addr, size, value), request_timeout)

    def load(self, addr: int, length: int, *, request_timeout: float | None = None) -> LoadResult:
        """The host loads ``length`` bytes of memory."""
        return self._one(ops.load(addr, length), request_timeout)

    def store(self, addr: int, data: bytes, *, request_timeout: float | None = None) -> OpResult:
        """The host stores bytes to memory."""
        return self._one(ops.store(addr, data), request_timeout)

    def fill(self, addr: int, length: int, byte: int = 0, *, request_timeout: float | None = None) -> OpResult:
        """The host fills ``length`` bytes of memory with one byte."""
        return self._one(ops.fill(addr, length, byte), request_timeout)

    def msi(self, device_id: int, event_id: int, *, request_timeout: float | None = None) -> MsiResult:
        """A device signals an event: it writes the EventID to GITS_TRANSLATER."""
        return self._one(ops.msi(device_id, event_id), request_timeout)

    def ack(self, cpu: int, *, request_timeout: float | None = None) -> AckResult:
        """A CPU acknowledges its highest-priority pending LPI."""
        return self._one(ops.ack(cpu), request_timeout)

    def clean(self, addr: int, length: int, *, request_timeout: float | None = None) -> OpResult:
        """The host cleans memory to the point of coherency."""
        return self._one(ops.clean(addr, length), request_timeout)

    def run(
        self,
        program: Iterable[Op[Any] | Mapping[str, Any]],
        *,
        stop_on: Iterable[str] = (),
        hash: bool = False,
        request_timeout: float | None = None,
    ) -> BatchResult:
        """Run ops in one request: values of ``itsbox_client.ops``, or JSON objects as journals hold them.

        All or nothing as to validation; with ``stop_on`` (``abort``, ``violation``, ...) it ends after the first op that does so.
        """
        sent = [item if isinstance(item, Op) else ops.from_wire(item) for item in program]
        call = endpoints.batch(self.id, sent, stop_on, hash=hash)
        outcome = self._connection.call(call, request_timeout)
        if self.journal is not None:
            for result in outcome.results:
                self.journal.record(result.op, result.violations)
        return outcome

    def batch(self, *, stop_on: Iterable[str] = (), hash: bool = False, request_timeout: float | None = None) -> Batch:
        """Collect ops within a block and send them as one request when it ends."""
        return Batch(self, stop_on, request_timeout, hash=hash)

    def record(self) -> Journal:
        """Keep a journal of the ops from now on; see ``itsbox_client.journal``."""
        if self.journal is None:
            self.journal = Journal()
        return self.journal

    def _one(self, op: Op[R], request_timeout: float | None = None) -> R:
        result = self._connection.call(endpoints.single(self.id, op), request_timeout)
        if self.journal is not None:
            self.journal.record(op.wire, result.violations)
        return result

    def _hvc(self, function: str | int, args: tuple[int, ...]) -> HvcResult:
        return self._one(ops.hvc(function, *args))

    def _driver(self, call: str, args: Mapping[str, Any]) -> DriverResult:
        return self._one(ops.driver(call, args))

    # ----------------------------------------------------------------------------------------------- looking

    def state(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """The decoded tables: devices, collections, events, vpes, pending, vpending; numbers and numeric keys are ints."""
        return self._connection.call(endpoints.state(self.id), request_timeout)

    def registers(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Every register with value, decoded fields and what the host may do with it."""
        return self._connection.call(endpoints.view(self.id, "registers"), request_timeout)

    def queues(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """The host's command queue and the hardware's; ``host`` is None before the switch-over."""
        return self._connection.call(endpoints.view(self.id, "queues"), request_timeout)

    def tables(self, kind: str, *, view: str | None = None, request_timeout: float | None = None) -> dict[str, Any]:
        """The ``device``, ``collection`` or ``vpe`` table, as ``host`` or ``hw`` has it, or the ``diff`` of both."""
        return self._connection.call(endpoints.view(self.id, f"tables/{kind}", view=view), request_timeout)

    def pages(
        self, addr: int | None = None, length: int | None = None, *, request_timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Owner, state, pins and use of pages: runs of pages that have all of it alike."""
        return self._connection.call(endpoints.pages(self.id, addr, length), request_timeout)

    def physical(self, addr: int, length: int, *, request_timeout: float | None = None) -> bytes:
        """Up to 64 KiB as they are in RAM, past stage 2: for people and tests, not for the host."""
        return self._connection.call(endpoints.physical(self.id, addr, length), request_timeout)

    def violations(self, *, request_timeout: float | None = None) -> tuple[Violation, ...]:
        """What the oracle objected to so far."""
        return self._connection.call(endpoints.violations(self.id), request_timeout)

    def diagnosis(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Why the command queue does not move."""
        return self._connection.call(endpoints.view(self.id, "diagnosis"), request_timeout)

    def events(
        self,
        *,
        types: Iterable[str] | None = None,
        after: int = 0,
        follow_live: bool = True,
        idle_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> EventStream:
        """The session's events behind number ``after``, of the named ``types``, then the live ones.

        Each is given out once, whatever happens to the connection; a ``Gap`` stands where history is gone. Ends when the session
        does, or after ``idle_timeout`` silent seconds. With ``follow_live`` False it ends at the newest event instead.
        """
        position = StreamPosition(after, types)
        if follow_live:
            return EventStream(follow(self._connection, self.id, position, idle_timeout, request_timeout))
        return EventStream(history(self._connection, self.id, position, request_timeout))

    def service_journal(self, *, request_timeout: float | None = None) -> Program | None:
        """Every op that the session was given by anybody since its start, as JSON objects.

        None if that is not known any more: the oldest were dropped, or a snapshot was restored since.
        """
        program: list[Mapping[str, Any]] = []
        while True:
            page = self._connection.call(endpoints.journal_page(self.id, len(program)), request_timeout)
            if page.snapshot is not None or (page.ops and page.first != len(program) + 1):
                return None
            program += page.ops
            if len(program) >= page.head or not page.ops:
                return tuple(program)

    # --------------------------------------------------------------------------------------------- snapshots

    def snapshot(self, *, request_timeout: float | None = None) -> Snapshot:
        """Keep the machine as it is now."""
        kept = self._connection.call(endpoints.create_snapshot(self.id), request_timeout)
        if self.journal is not None:
            self.journal.mark(kept.id)
        return kept

    def snapshots(self, *, request_timeout: float | None = None) -> tuple[Snapshot, ...]:
        """The snapshots that the session keeps."""
        return self._connection.call(endpoints.list_snapshots(self.id), request_timeout)

    def delete_snapshot(self, snapshot: Snapshot | str, *, request_timeout: float | None = None) -> None:
        """Keep a snapshot no longer."""
        self._connection.call(endpoints.delete_snapshot(self.id, _snapshot_id(snapshot)), request_timeout)

    def restore(self, snapshot: Snapshot | str, *, request_timeout: float | None = None) -> Restored:
        """Make the machine what it was; its events go on, in a new epoch."""
        wanted = _snapshot_id(snapshot)
        restored = self._connection.call(endpoints.restore(self.id, wanted), request_timeout)
        if self.journal is not None:
            self.journal.rewind(wanted)
        return restored

    def fork(
        self,
        count: int = 1,
        *,
        snapshot: Snapshot | str | None = None,
        keep: bool = False,
        request_timeout: float | None = None,
    ) -> list[Session]:
        """New sessions whose machines equal this one as it is, or as it was at a snapshot."""
        source = None if snapshot is None else _snapshot_id(snapshot)
        infos = self._connection.call(endpoints.fork(self.id, count, source), request_timeout)
        forks = [Session(self._connection, info, keep=keep) for info in infos]
        if self.journal is not None:
            for child in forks:
                child.journal = self.journal.branch(source)
        return forks


def _snapshot_id(snapshot: Snapshot | str) -> str:
    return snapshot if isinstance(snapshot, str) else snapshot.id
