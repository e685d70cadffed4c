"""The registers of an ITS that has been taken over: what the host reads and what its writes do.

Each emulated register is a ``Row``: where it lies, how to read it as the host sees it, and how to write it. Which rows there are
follows from the knobs (a guard that is off leaves its register to forwarding), and so does who may pass to a row: the three
strategies of knob ``access_width``. What has no row is decided by ``policy``.

A write that is refused leaves no trace: it is judged before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.arch.memory_attributes import INNER_SHAREABLE
from itsbox.arch.values import align_down, is_aligned
from itsbox.arch.words import high_half, low_half, with_high_half, with_low_half
from itsbox.hypervisor.el2 import El2, El2Stop
from itsbox.hypervisor.plan import undo
from itsbox.hypervisor.pumps import PUMPS, settle
from itsbox.hypervisor.queue import CommandQueue
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.arch.layout import Register
    from itsbox.hypervisor.its_state import ItsState

__all__ = ["ItsEmulation", "Row"]

Read: TypeAlias = Callable[[], int]
Write: TypeAlias = Callable[[int], "Reason | None"]


class Row(NamedTuple):
    """An emulated register: its bytes [start, end), and its two functions; a write of None is not for the host."""

    start: int
    end: int
    read: Read
    write: Write | None


class ItsEmulation:
    """One ITS behind the hypervisor.

    ``read`` and ``write`` answer None where no row stands for the access: it is then for ``policy`` to say.
    dropped: why the last write to GITS_CWRITER was dropped as a whole, and its value, for diagnosis; None if it was not.
    """

    __slots__ = ("_access", "_pump", "_rows", "dropped", "el2", "queue", "state")

    def __init__(self, el2: El2, state: ItsState) -> None:
        self.el2 = el2
        self.state = state
        self.queue = CommandQueue(el2, state)
        self._pump = PUMPS[el2.knobs["submission"]]
        self._access = _ACCESS[el2.knobs["access_width"]]
        #: Offset of each aligned word of a register -> the register's row.
        self._rows = {word: row for row in self._make_rows() for word in range(row.start, row.end, 4)}
        self.dropped: tuple[Reason, int] | None = None

    # ---------------------------------------------------------------- the port

    def row(self, offset: int) -> Row | None:
        """The row whose register holds the byte at ``offset``."""
        return self._rows.get(align_down(offset, 4))

    def read(self, offset: int, size: int) -> int | Reason | None:
        """Read ``size`` bytes: a value, or why not."""
        row = self.row(offset)
        return None if row is None else self._access(row, offset, size, None)

    def write(self, offset: int, size: int, value: int) -> int | Reason | None:
        """Write ``size`` bytes: 0 when done, or why not."""
        row = self.row(offset)
        if row is None:
            return None
        done = self._access(row, offset, size, value)
        if row.start == GITS_CWRITER.OFFSET:
            self.dropped = (done, value) if isinstance(done, Reason) and done in _DROPS else None
        return done

    def _make_rows(self) -> list[Row]:
        knobs = self.el2.knobs
        host_view = knobs["register_view"] == "host"
        rows: list[Row] = []
        if knobs["ctlr_guard"] == "on":
            width = 8 if knobs["register_width"] == "wide" else 4
            rows.append(Row(GITS_CTLR.OFFSET, GITS_CTLR.OFFSET + width, self._read_ctlr, self._write_ctlr))
        if knobs["cbaser_guard"] == "on":
            read = self._view_cbaser if host_view else self._hardware(GITS_CBASER)
            rows.append(_row(GITS_CBASER, 0, read, self._write_cbaser))
        if knobs["queue_shadowing"] == "on":
            shown = self._view_cwriter if host_view else self._hardware(GITS_CWRITER)
            rows.append(_row(GITS_CWRITER, 0, shown, self._write_cwriter))
            if host_view:
                rows.append(_row(GITS_CREADR, 0, self._view_creadr, None))
        if knobs["baser_guard"] == "on":
            for n, _ in GITS_BASER.elements():
                read = self._baser_view(n) if host_view else self._hardware(GITS_BASER, n)
                rows.append(_row(GITS_BASER, n, read, self._baser_writer(n)))
        return rows

    # ---------------------------------------------------------------- hardware

    def _hardware(self, register: type[Register], n: int = 0) -> Read:
        """A read of the hardware's register."""
        bus, at, size = self.el2.bus, self.state.base + register.OFFSET + n * register.STRIDE, register.SIZE
        return lambda: bus.read(at, size)

    def _read_ctlr(self) -> int:
        return self.el2.bus.read(self.state.base + GITS_CTLR.OFFSET, 4)

    def _changeable(self) -> Reason | None:
        """Whether the queue and the tables may be named anew: disabled and quiescent."""
        ctlr = GITS_CTLR.decode(self._read_ctlr())
        if ctlr.enabled:
            return Reason.ITS_ENABLED
        return None if ctlr.quiescent else Reason.ITS_NOT_QUIESCENT

    # ---------------------------------------------------------------- GITS_CTLR

    def _write_ctlr(self, value: int) -> Reason | None:
        """Enabling waits for quiescence. A queue that was written while disabled is worked off now."""
        now, wanted = GITS_CTLR.decode(self._read_ctlr()), GITS_CTLR.decode(value)
        if wanted.enabled and not now.enabled and not now.quiescent:
            return Reason.ITS_NOT_QUIESCENT
        if self.el2.knobs["ctlr_bits"] == "enabled_only":
            wanted = now.replace(enabled=wanted.enabled)
        self.el2.bus.write(self.state.base + GITS_CTLR.OFFSET, 4, wanted.word())
        self.state.enabled = bool(wanted.enabled)
        if wanted.enabled and self.el2.knobs["submission"] == "runs":
            settle(self.queue)
            return self._pump(self.queue, self.state.host_cwriter)
        return None

    # ---------------------------------------------------------------- the queue's registers

    def _view_cbaser(self) -> int:
        """The hardware's attributes around the host's queue."""
        now = GITS_CBASER.decode(self._hardware(GITS_CBASER)())
        return now.replace(physical_address=self.state.host_queue).word()

    def _view_cwriter(self) -> int:
        return self.state.host_cwriter  # Offset is stored in place, and Retry reads as zero

    def _view_creadr(self) -> int:
        """The host's position, and whether the ITS stalled there."""
        stalled = GITS_CREADR.decode(self._hardware(GITS_CREADR)()).stalled
        return GITS_CREADR(stalled=stalled, offset=self.state.consumed).word()

    def _write_cwriter(self, value: int) -> Reason | None:
        """New commands, or a stalled one again."""
        state, written = self.state, GITS_CWRITER.decode(value)
        knobs = self.el2.knobs
        outside = written.offset >= state.host_bytes
        if knobs["queue_bound"] == ">" and written.offset == state.host_bytes:
            outside = False
        if outside or (knobs["access_width"] == "halves" and written.word() != value):
            return Reason.QUEUE_OFFSET
        if written.offset >= state.host_bytes and knobs["submission"] != "batch":
            raise El2Stop(Reason.EL2_HANG)  # a loop that waits for an offset which is never reached
        state.host_cwriter = written.offset
        if knobs["submission"] == "runs" and not state.enabled:
            return None
        return self._pump(self.queue, value)

    def _write_cbaser(self, value: int) -> Reason | None:
        """The queue stays where it is; a write starts it anew."""
        state, knobs = self.state, self.el2.knobs
        denied = self._changeable()
        if denied is not None:
            return denied
        wanted, recorded = GITS_CBASER.decode(value), GITS_CBASER.decode(state.cbaser)
        if knobs["base_writes"] == "exact":
            shown = GITS_CBASER.decode(self._view_cbaser())
            if _differs(wanted, shown, ("size", "physical_address", "valid")):
                return Reason.CBASER_CHANGED
            wanted = recorded
        else:
            wanted = GITS_CBASER.decode(self._force(value, recorded, ("size", "physical_address")))
        bus, base = self.el2.bus, state.base
        bus.write(base + GITS_CBASER.OFFSET, 8, wanted.word())
        undo(self.el2, state, state.stalled_plans)
        state.stalled_plans, state.inflight = (), ()
        state.consumed = state.hw_offset = 0
        if knobs["cbaser_reset"] == "both":
            state.host_cwriter = 0
            bus.write(base + GITS_CWRITER.OFFSET, 8, 0)
            now = GITS_CBASER.decode(bus.read(base + GITS_CBASER.OFFSET, 8))
            state.needs_flush = now.shareability != INNER_SHAREABLE
        return None

    # ---------------------------------------------------------------- GITS_BASER<n>

    def _baser_view(self, n: int) -> Read:
        """The hardware's register, with the host's copy of level 1 as its address."""
        table, hardware = self.state.table(n), self._hardware(GITS_BASER, n)
        if table is None or not table.host_l1:
            return hardware
        shown = GITS_BASER.decode(table.host_value).physical_address
        return lambda: GITS_BASER.decode(hardware()).replace(physical_address=shown).word()

    def _baser_writer(self, n: int) -> Write:
        return lambda value: self._write_baser(n, value)

    def _write_baser(self, n: int, value: int) -> Reason | None:
        """The table stays where it is."""
        denied = self._changeable()
        if denied is not None:
            return denied
        wanted, recorded = GITS_BASER.decode(value), GITS_BASER.decode(self.state.base_values[n])
        if self.el2.knobs["base_writes"] == "exact":
            shown = GITS_BASER.decode(self._baser_view(n)())
            fields = ("size", "page_size", "physical_address", "indirect", "valid")
            if (wanted.valid or shown.valid) and _differs(wanted, shown, fields):
                return Reason.BASER_CHANGED
            return None  # what it says is so already
        if wanted.indirect != recorded.indirect:
            return Reason.BASER_INDIRECT
        forced = self._force(value, recorded, ("size", "page_size", "physical_address"))
        self.el2.bus.write(self.state.base + GITS_BASER.OFFSET + n * GITS_BASER.STRIDE, 8, forced)
        return None

    def _force(self, value: int, recorded: Register, names: tuple[str, ...]) -> int:
        """``value`` with the named fields of ``recorded`` in their place; with knob ``base_mask`` ``buggy``, only added."""
        kept = 0
        for name in names:
            kept |= recorded.FIELDS[name].in_place
        if self.el2.knobs["base_mask"] == "correct":
            value &= ~kept
        return value | recorded.word() & kept


_DROPS: Final = (Reason.QUEUE_OFFSET, Reason.ACCESS_WIDTH)


def _row(register: type[Register], n: int, read: Read, write: Write | None) -> Row:
    start = register.OFFSET + n * register.STRIDE
    return Row(start, start + register.SIZE, read, write)


def _differs(one: Any, other: Any, names: tuple[str, ...]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)


# ---------------------------------------------------------------- widths


def _any_width(row: Row, offset: int, size: int, value: int | None) -> int | Reason:
    """The RFC: whatever touches the register is taken for the whole of it."""
    if value is None:
        return row.read() & (1 << 8 * size) - 1
    if not is_aligned(offset, 8) and row.start >= GITS_BASER.OFFSET:
        raise El2Stop(Reason.EL2_FAULT)  # its handler stores 64 bits at the host's offset, to device memory
    return (row.write(value) or 0) if row.write else Reason.REGISTER_READ_ONLY


def _bounded(row: Row, offset: int, size: int, value: int | None) -> int | Reason:
    """v2 and Android: misaligned and too wide accesses are dropped; the rest as before."""
    if not is_aligned(offset, size) or size > row.end - row.start:
        return Reason.ACCESS_WIDTH
    return _any_width(row, offset, size, value)


def _halves(row: Row, offset: int, size: int, value: int | None) -> int | Reason:
    """The architecture: the whole register, or an aligned half of a 64-bit one (IHI 0069H.b, register accesses)."""
    width = row.end - row.start
    if size == width and offset == row.start:
        if value is None:
            return row.read()
    elif width == 8 and size == 4 and is_aligned(offset, 4):
        low = offset == row.start
        now = row.read()
        if value is None:
            return low_half(now) if low else high_half(now)
        value = with_low_half(now, value) if low else with_high_half(now, value)
    else:
        return Reason.ACCESS_WIDTH
    return (row.write(value) or 0) if row.write else Reason.REGISTER_READ_ONLY


_ACCESS: Final[dict[str, Callable[[Row, int, int, int | None], int | Reason]]] = {
    "any": _any_width,
    "bounded": _bounded,
    "halves": _halves,
}
