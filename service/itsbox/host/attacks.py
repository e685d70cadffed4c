"""A hostile host: what every attack program is written with.

An attacker here is a kernel that has booted honestly, knows all that its own driver knew, and turns on the hypervisor. It has a
host's means and no others: registers, loads and stores, hypercalls, messages of devices. A program is one function over a
``HostileHost``; it explains each step, looks at what it finds instead of assuming a preset, goes on when it is refused, and
tries its attack to the end. The same program runs under every preset.

Two things the attacker does so that one refusal does not end it: a refused access simply has no effect, and a command that
blocks the queue is replaced by a harmless SYNC and the queue is tried again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_commands import COMMAND_SIZE, MAPD, MAPTI, NO_DOORBELL, SYNC, VMAPP, VMAPP_V41
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_TYPER,
    TABLE_VPES,
    baser_address,
    baser_page_size,
)
from itsbox.arch.its_tables import (
    ITT_ALIGNMENT,
    L1_ENTRY_SIZE,
    L1Entry,
    entries_per_page,
    flat_offset,
    itt_bytes,
    l1_index,
    l2_index,
)
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE, SIZE_64K, align_up
from itsbox.host.attacks_box import AttackEnds, Box, CannotBePlayed, Driven, SetUpFails, Step, Tamper, told
from itsbox.host.state import DriverState, restored
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import (
    Ack,
    Acked,
    Bytes,
    Clean,
    Delivered,
    Done,
    Drive,
    Drove,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Msi,
    Panicked,
    Store,
    Value,
    Verdict,
)

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout, Register
    from itsbox.ops import Op, Outcome

__all__ = ["EVENT_BITS", "AttackEnds", "Box", "CannotBePlayed", "Driven", "HostileHost", "SetUpFails", "Step", "Tamper"]

EVENT_BITS: Final = 4
"""MAPD's Size field for most devices: 32 events."""
_ITE_BYTES: Final = 16  # at most


@dataclass(slots=True)
class HostileHost:
    """A kernel turned hostile, on one machine.

    known: what its driver knows; before: what it knew before the switch-over; write_offset: where in the queue the next
    command goes; refusals: reasons met so far, each once, in order; stuck: honest traffic does not pass any more.
    turn: of the hypervisor's reads of host memory while ``racing``, the one before which another CPU of the host stores, 0 for
    none; reads: how many of them there were. itt_offset: where in a page this version accepts translation tables, once known.
    """

    box: Box
    turn: int = 0
    reads: int = 0
    itt_offset: int | None = None
    steps: list[Step] = field(default_factory=list)
    refusals: dict[str, None] = field(default_factory=dict)
    known: DriverState = field(default_factory=DriverState)
    before: DriverState = field(default_factory=DriverState)
    write_offset: int = 0
    stuck: bool = False
    _why: str = ""
    _next_page: int = 0

    def __post_init__(self) -> None:
        where = self.box.map
        # The driver takes its memory from the first half of RAM; from there up to the guest all is free.
        self._next_page = align_up(where.ram + where.ram_bytes // 2, SIZE_64K)
        self.look_back()
        self.before = self.known

    # ---------------------------------------------------------------- telling and doing

    def say(self, text: str) -> None:
        """Explain the ops that follow."""
        self._why = text

    def do(self, op: Op) -> Outcome:
        """Carry an op out, with the explanation given last.

        Raises:
            AttackEnds: the hypervisor panicked; nothing can follow.
        """
        outcome = self.box.apply(op)
        reason = getattr(outcome, "reason", None)
        if reason is not None:
            self.refusals[reason.value] = None
        for record in getattr(outcome, "commands", ()):
            if record[3] == Verdict.REFUSED and record[5] is not None:
                self.refusals[record[5].value] = None
        self.steps.append(Step(self._why, op, told(outcome), self.box.step))
        if isinstance(outcome, Panicked):
            raise AttackEnds(outcome.reason.sentence)
        return outcome

    def show(self, text: str, addr: int, length: int = 16) -> bytes:
        """Look at memory as it is, past stage 2, and note what is there."""
        data = self.box.physical(addr, length) or b""
        self.steps.append(Step(text, None, f"{addr:#x}: {data.hex(' ', 4)}", self.box.step))
        return data

    # ---------------------------------------------------------------- memory and hypercalls

    def pages(self, count: int = 1, align: int = PAGE_SIZE) -> int:
        """Address of untouched host memory that the driver has never used."""
        addr = align_up(self._next_page, align)
        self._next_page = addr + count * PAGE_SIZE
        return addr

    def hyp_page(self, n: int = 0) -> int:
        """A page of the hypervisor's; 64 KB apart."""
        return self.box.map.hyp + n * SIZE_64K

    def guest_page(self, n: int = 0) -> int:
        """A page of the protected guest's; 64 KB apart."""
        return self.box.map.guest + n * SIZE_64K

    def load(self, addr: int, length: int) -> bytes | None:
        """Load, or None if that was not allowed."""
        outcome = self.do(Load(addr, length))
        return outcome.data if isinstance(outcome, Bytes) else None

    def store(self, addr: int, data: bytes) -> bool:
        """Store, and clean where the ITS does not see the CPUs' caches; whether that was allowed."""
        done = isinstance(self.do(Store(addr, data)), Done)
        if done and self.known.its and self.known.its[0].needs_flushing:
            self.do(Clean(addr, len(data)))
        return done

    def fill(self, addr: int, length: int, byte: int = 0) -> bool:
        """Fill; whether that was allowed."""
        return isinstance(self.do(Fill(addr, length, byte)), Done)

    def hvc(self, function: str | int, *args: int) -> int | None:
        """Call the hypervisor: 0 for success, a negative error number, or None if there is no such call."""
        outcome = self.do(Hvc(function, args))
        if not isinstance(outcome, HvcReturn) or outcome.x0:
            return None
        return outcome.x1 - (1 << 64) if outcome.x1 >> 63 else outcome.x1

    def give_away(self, addr: int, pages: int = 1) -> bool:
        """Donate host pages to a protected guest; whether they are the guest's now."""
        pfn = addr >> PAGE_SHIFT
        return self.hvc("__pkvm_host_donate_guest", pfn, pfn, pages) == 0

    # ---------------------------------------------------------------- registers

    def read(self, addr: int, size: int = 8) -> int:
        """Read a register; what is refused reads as zero."""
        outcome = self.do(MmioRead(addr, size))
        if isinstance(outcome, Value):
            return outcome.value
        return getattr(outcome, "value", None) or 0

    def write(self, addr: int, value: int, size: int = 8) -> bool:
        """Write a register; whether that was let through as a whole."""
        return isinstance(self.do(MmioWrite(addr, size, value)), Done)

    def gits(self, register: type[Register], n: int = 0) -> int:
        """Address of a register of the ITS."""
        return self.box.map.its + register.OFFSET + n * (register.STRIDE or 0)

    def gicr(self, register: type[Register], cpu: int = 0) -> int:
        """Address of a register of a redistributor."""
        return self.box.map.gicr + cpu * self.box.map.gicr_stride + register.OFFSET

    def enable(self, enabled: bool) -> bool:
        """Write GITS_CTLR.Enabled."""
        return self.write(self.gits(GITS_CTLR), int(enabled), 4)

    def baser(self, kind: int) -> tuple[int, GITS_BASER] | None:
        """(n, value as the host reads it) of the table of a type."""
        for n in range(GITS_BASER.COUNT):
            value = GITS_BASER.decode(self.read(self.gits(GITS_BASER, n)))
            if value.type == kind:
                return n, value
        return None

    # ---------------------------------------------------------------- the command queue

    def look_back(self) -> None:
        """Recall what the driver knows: its queue, its copies of tables, its devices."""
        state = self.box.driver.state()
        if state:
            self.known = restored(DriverState, state)
        if self.known.its:
            self.write_offset = self.known.its[0].write_offset

    @property
    def queue(self) -> int:
        """Address of the queue that the host writes."""
        return self.known.its[0].queue

    @property
    def queue_bytes(self) -> int:
        """Bytes of the queue that the host writes."""
        return SIZE_64K

    def slot(self, offset: int) -> int:
        """Address of a queue slot by its byte offset."""
        return self.queue + offset % self.queue_bytes

    def put(self, command: Layout, offset: int | None = None) -> int:
        """Write a command into the queue without announcing it; returns the offset behind it."""
        at = self.write_offset if offset is None else offset
        self.store(self.slot(at), command.STRUCT.pack(*command.encode()))
        return (at + COMMAND_SIZE) % self.queue_bytes

    def ring(self, offset: int) -> Outcome:
        """Move GITS_CWRITER."""
        return self.do(MmioWrite(self.gits(GITS_CWRITER), 4, offset))

    def creadr(self) -> int:
        """GITS_CREADR.Offset as the host reads it."""
        return GITS_CREADR.decode(self.read(self.gits(GITS_CREADR))).offset

    def post(self, *commands: Layout) -> list[str]:
        """Send commands one by one, each with a CWRITER write of its own; what became of each.

        The words are those of ``Verdict``, or "lost" for a command that nobody looked at.
        """
        verdicts = []
        for command in commands:
            end = self.put(command)
            outcome = self.ring(end)
            records = getattr(outcome, "commands", ())
            verdicts.append(records[-1][3] if records else "lost")
            start, self.write_offset = self.write_offset, end
            if self.creadr() != end:
                self.unblock(start, end)
        return verdicts

    def leave(self, command: Layout) -> None:
        """Send a command, and leave it where it is if the ITS waits at it; what the hypervisor refuses is replaced."""
        start, end = self.write_offset, self.put(command)
        records = getattr(self.ring(end), "commands", ())
        self.write_offset = end
        if self.creadr() != end and not any(record[3] == Verdict.STALLED for record in records):
            self.unblock(start, end)

    def unblock(self, start: int, end: int) -> None:
        """Replace what does not pass by a harmless command, and try again."""
        why = self._why
        self.say("The queue does not move: replace the command by a harmless SYNC and try again.")
        self.put(SYNC(rd_base=self.rd_base()), start)
        self.do(MmioWrite(self.gits(GITS_CWRITER), 4, end | 1))  # Retry, for an ITS that stalled
        self.stuck = self.creadr() != end
        self.say(why)

    def rd_base(self, cpu: int = 0) -> int:
        """How commands name a CPU's redistributor: by its number, or where GITS_TYPER.PTA is 1 by its address."""
        return self.known.its[0].collections[cpu]

    # ---------------------------------------------------------------- devices and the driver

    def map_own(self, device_id: int, size: int = EVENT_BITS) -> int | None:
        """Map a device with a translation table in a page of the host's own; its address, or None if it was not to be.

        Versions differ in the addresses that they accept: page aligned ones, all others, or any. What is accepted is remembered.
        """
        page = self.pages(align_up(itt_bytes(size, _ITE_BYTES), PAGE_SIZE) // PAGE_SIZE + 1)
        for offset in (self.itt_offset,) if self.itt_offset is not None else (ITT_ALIGNMENT, 0):
            command = MAPD(device_id=device_id, size=size, itt_addr=page + offset, valid=1)
            if self.post(command) == [Verdict.EXECUTED]:
                self.itt_offset = offset
                return page + offset
        return None

    def needs_own(self, device_id: int, size: int = EVENT_BITS) -> int:
        """As ``map_own``, for an attack that stands on it.

        Raises:
            SetUpFails: no device can be mapped.
        """
        itt = self.map_own(device_id, size)
        if itt is None:
            raise SetUpFails(f"device {device_id:#x} cannot be mapped honestly")
        return itt

    def needs_virtual(self) -> None:
        """Raises CannotBePlayed on an ITS without virtual LPIs."""
        if not self.typer.virtual:
            raise CannotBePlayed(
                "this ITS has no virtual LPIs (GITS_TYPER.Virtual is 0): take profile virt-gicv4 or later"
            )

    def map_at(self, device_id: int, page: int, size: int = EVENT_BITS) -> list[str]:
        """Map a device with a table in a given page, at each alignment that some version accepts; what became of it."""
        command = MAPD(device_id=device_id, size=size, itt_addr=page + ITT_ALIGNMENT, valid=1)
        return self.post(command, command.replace(itt_addr=page))

    @property
    def typer(self) -> GITS_TYPER:
        """What the ITS supports."""
        return GITS_TYPER.decode(self.known.its[0].typer)

    def vmapp(self, vpe_id: int, vpt: int, *, valid: int = 1, size: int = 15) -> str:
        """Map or unmap a vPE in the layout that this ITS has, its level-2 page added first; what became of it."""
        self.needs_virtual()
        self.cover(TABLE_VPES, vpe_id)
        plain = VMAPP(vpe_id=vpe_id, rd_base=self.rd_base(), valid=valid, vpt_size=size, vpt_addr=vpt)
        if not self.typer.vmapp:
            return self.post(plain)[0]
        vconf = self.pages(SIZE_64K // PAGE_SIZE, SIZE_64K) if valid else 0
        return self.post(
            VMAPP_V41(
                alloc=1, ptz=0, vconf_addr=vconf, default_doorbell=NO_DOORBELL, vpe_id=vpe_id, rd_base=self.rd_base(),
                valid=valid, vpt_size=size, vpt_addr=vpt,
            )
        )[0]  # fmt: skip

    def without_hypervisor(self, device_id: int, event_id: int = 0) -> None:
        """Where there is no hypervisor pages do not change hands; the same attack aims at a guest's page from the start."""
        if self.box.phase == "trusted":
            self.say("Without a hypervisor no page changes hands: put the table into a guest's page from the start.")
            self.map_at(device_id, self.guest_page(2))
            self.post(MAPTI(device_id=device_id, event_id=event_id, intid=FIRST_LPI + 0x111, icid=0))

    def msi(self, device_id: int, event_id: int) -> bool:
        """A device of the host writes a message; whether it arrived."""
        outcome = self.do(Msi(device_id, event_id))
        return isinstance(outcome, Delivered) and outcome.delivered

    def ack(self, cpu: int) -> int:
        """Acknowledge; the INTID."""
        outcome = self.do(Ack(cpu))
        return outcome.intid if isinstance(outcome, Acked) else 1023

    def drive(self, call: str, **args: Any) -> Any:
        """Have the honest driver do something; its result, or None if it died of an abort."""
        outcome = self.do(Drive(call, args))
        self.look_back()
        return outcome.result if isinstance(outcome, Drove) else None

    def deprivilege(self) -> None:
        """Go through the switch-over honestly; under ``off`` nothing changes."""
        self.before = self.known
        self.say("The kernel has booted; it gives up its privileges as the driver does.")
        offset = self.write_offset
        self.drive("deprivilege")
        self.write_offset = offset  # the driver does not know what was posted behind its back

    # ---------------------------------------------------------------- tables

    def table_entry(self, kind: int, ident: int) -> int | None:
        """Address of the entry of an id in the table of a type, as far as the host can find out."""
        found = self.baser(kind)
        if found is None:
            return None
        n, value = found
        base = self.known.its[0].basers[n].base or baser_address(value)
        entry_bytes, page_bytes = value.entry_size + 1, baser_page_size(value)
        if not value.indirect:
            return base + flat_offset(ident, entry_bytes)
        slot = self.l1_slot(kind, ident)
        raw = None if slot is None else self.load(slot, L1_ENTRY_SIZE)
        entry = None if raw is None else L1Entry.decode(int.from_bytes(raw, "little"))
        if entry is None or not entry.valid:
            return None
        return entry.address + l2_index(ident, page_bytes, entry_bytes) * entry_bytes

    def l1_slot(self, kind: int, ident: int) -> int | None:
        """Address of the level-1 entry, in the host's own copy, that covers an id of a two-level table."""
        found = self.baser(kind)
        if found is None or not found[1].indirect:
            return None
        n, value = found
        base = self.known.its[0].basers[n].base or baser_address(value)
        return base + L1_ENTRY_SIZE * l1_index(ident, baser_page_size(value), value.entry_size + 1)

    def cover(self, kind: int, ident: int) -> None:
        """Make sure that a two-level table covers an id: add a zeroed level-2 page, as the driver would."""
        slot = self.l1_slot(kind, ident)
        raw = None if slot is None else self.load(slot, L1_ENTRY_SIZE)
        if slot is not None and raw is not None and not any(raw):
            page = self.pages(SIZE_64K // PAGE_SIZE, SIZE_64K)
            self.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=page, valid=1).encode()))

    def per_page(self, kind: int) -> int:
        """Entries in one level-2 page of the table of a type."""
        found = self.baser(kind)
        return entries_per_page(baser_page_size(found[1]), found[1].entry_size + 1) if found else 1

    # ---------------------------------------------------------------- races

    @contextmanager
    def racing(self, tamper: Tamper, *, again: bool = False, slots: bool = False) -> Iterator[None]:
        """Let another CPU of the host act in the middle of the hypervisor's work, once.

        tamper: what it makes of the bytes that the hypervisor reads; its store lands just before the ``turn``th read outside the
        carve-outs, if stage 2 lets the host write there at that moment. again: count only reads of what this op has read before;
        slots: only reads of the queue.
        """
        bus, may = self.box.interconnect, self.box.ownership.host_may
        before, at = bus.watch, self.box.step
        seen: list[tuple[int, int]] = []

        def interposed(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
            nonlocal at
            if at != self.box.step:
                at = self.box.step
                seen.clear()
            if initiator == Initiator.HYP and not is_write and addr < self.box.map.guest:
                counts = not again or any(addr < low + size and low < addr + length for low, size in seen)
                counts = counts and (not slots or 0 <= addr - self.queue < self.queue_bytes)
                seen.append((addr, length))
                self.reads += counts
                if counts and self.reads == self.turn and may(addr >> PAGE_SHIFT):
                    was = self.box.physical(addr, length) or b""
                    bus.store(Initiator.HOST, addr, tamper(addr, was), Why.HOST)
            if before is not None:
                before(initiator, is_write, addr, length, why)

        bus.watch = interposed
        try:
            yield
        finally:
            bus.watch = before
