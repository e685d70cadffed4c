"""The oracle of one machine: listens while an op runs, judges what it touched when it ends.

The machine calls ``begin(op)`` before an op and ``end(op, outcome)`` after it; ``watch`` is the interconnect's ear,
``page_changing`` the ownership map's, ``message`` the bus's. ``end`` answers the violations of the op, none in the common case.

One fact is reported once: violations of one op that share bucket and page are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.hypercalls import find_hypercall
from itsbox.arch.its_registers import GITS_TRANSLATER, register_at
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER, REGISTERS_V41
from itsbox.arch.redist_registers import register_at as gicr_register_at
from itsbox.arch.register_map import Place as RegisterPlace
from itsbox.arch.values import PAGE_SHIFT
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import (
    Ack,
    Clean,
    Done,
    Drive,
    Fill,
    Hvc,
    Load,
    MmioRead,
    MmioWrite,
    Msi,
    Op,
    Outcome,
    Store,
)
from itsbox.oracle.dma import Dma, Finding
from itsbox.oracle.invariants import concerned
from itsbox.oracle.pages import Whose
from itsbox.oracle.provenance import Provenance, table_of
from itsbox.oracle.scene import Broken, Scene
from itsbox.oracle.touched import Part, Touched
from itsbox.oracle.violations import Kind, Place, Rule, Violation, bucket_of, op_brief
from itsbox.oracle.world import Extent, Use, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from itsbox.hardware.profile import MemoryMap
    from itsbox.memory.interconnect import Watch
    from itsbox.oracle.lockstep import Lockstep
    from itsbox.oracle.records import HostQueue, Records
    from itsbox.oracle.view import Command, Gicr, Node, View

__all__ = ["MAX_PER_OP", "Oracle"]

MAX_PER_OP: Final = 64
"""Violations kept of one op, beside the first of each kind: a turn of the queue could bring thousands of the same."""

_NONE: Final[tuple[Violation, ...]] = ()
_DEPRIVILEGED: Final = "deprivileged"
_PASSIVE: Final = frozenset({MmioRead, Load, Store, Fill, Clean, Ack})
"""Ops that change bytes at most: the DMA check has seen all there is to see of them."""
_ITS_FRAMES: Final = 0x3_0000


class Oracle:
    """Judges one machine. ``violations`` holds those of the running op.

    Invariant: between ops ``touched`` is empty and ``dma.deprivileged`` says what the machine's phase says.
    Owned by: the machine.
    """

    __slots__ = (
        "_gicr_end", "_gicrs", "_kinds", "_nodes", "_op", "_phase", "_queues", "_scene", "_seen", "_step", "dma",
        "lockstep", "map", "records", "touched", "view", "violations", "who", "world",
    )  # fmt: skip

    def __init__(self, where: MemoryMap, view: View, records: Records, lockstep: Lockstep | None = None) -> None:
        self.map = where
        self.view = view
        self.records = records
        self.lockstep = lockstep
        self.world = World(end=where.ram + where.ram_bytes)
        self.touched = Touched()
        self.who = Provenance(view, self.world, self.touched)
        translaters = tuple(base + GITS_TRANSLATER.OFFSET for base in where.its_nodes or (where.its,))
        self.dma = Dma(view, self.world, self.who, self.touched, self._report, translaters=translaters)
        self.who.before = self.dma.settle
        self.violations: list[Violation] = []
        self._seen: set[tuple[str, int]] = set()
        self._kinds: set[str] = set()
        self._op: Op = Drive("reset", {})
        self._step = 0
        self._queues: tuple[HostQueue, ...] = ()
        self._scene = Scene(self.world, view, self.who, records, self.touched, self._place, self._op, Done())
        self._phase = view.phase()
        self._nodes: tuple[Node, ...] = view.nodes()
        self._gicrs: tuple[Gicr, ...] = view.gicrs()
        self._gicr_end = where.gicr + where.gicr_stride * len(self._gicrs)

    # ---------------------------------------------------------------- the ears

    def watch(self) -> Watch:
        """For ``Interconnect.watch``."""
        return self.dma.watch()

    def page_changing(self, pfn: int) -> None:
        """For ``Ownership.watch``: a page's state or pins are about to change."""
        if pfn not in self.touched.pages:
            self.touched.pages[pfn] = self.view.pages.page(pfn)
        self.dma.forget_page(pfn)
        self.dma.acted(pfn)

    def message(self, initiator: int, addr: int, why: str) -> None:
        """A bus message to a physical address (RDbase with PTA = 1)."""
        self.dma.message(initiator, addr)

    # ---------------------------------------------------------------- ops

    def begin(self, op: Op, step: int) -> None:
        """An op begins; ``step`` is the machine's."""
        self._op = self.dma.op = op
        self._step = step

    def end(self, op: Op, outcome: Outcome) -> Sequence[Violation]:
        """An op ended: the violations of the op, in the order in which they were found.

        Raises:
            SpecMismatch: in lock-step, the machine did something else than the specification says: a defect of ours.
        """
        if self.lockstep is not None:
            self.lockstep.compare(op, outcome)
        kind = type(op)
        if kind not in _PASSIVE and (kind is not Msi or self.touched.host_walks):
            self._look_around(op, outcome)
        elif self.touched.hyp_reads:
            self.touched.clear_reads()
        if not self.violations:
            return _NONE
        found, self.violations = self.violations, []
        self._seen.clear()
        self._kinds.clear()
        return found

    def _look_around(self, op: Op, outcome: Outcome) -> None:
        """What did an op that can change more than bytes do? A device's write changes no register."""
        touched, before, registers = self.touched, self._queues, type(op) is not Msi
        if registers:
            self._registers()
        parts = touched.parts()
        if registers and self.dma.deprivileged:
            self._queues = self.records.queues()
            if self._queues != before:
                parts |= Part.QUEUE
        if parts:
            self._scene.before = before
            self._judge(op, outcome, parts)
        if parts & ~Part.QUEUE:
            touched.clear()
        elif touched.hyp_reads:
            touched.clear_reads()

    def _judge(self, op: Op, outcome: Outcome, parts: int) -> None:
        """Evaluate the invariants on what the op touched: ``parts`` says what there is of it."""
        scene, changed = self._scene, []
        if parts != Part.QUEUE:
            self.dma.settle()
            page = self.view.pages.page
            changed = [(pfn, before, page(pfn)) for pfn, before in self.touched.pages.items()]
            if any(was.whose != now.whose and max(was.whose, now.whose) > Whose.SHARED for _, was, now in changed):
                parts |= Part.OWNERS
            if parts & (Part.OWNERS | Part.L1):
                self.who.settle(changed)
        scene.op, scene.outcome, scene.changed = op, outcome, changed
        scene.deprivileged, scene.queues = self.dma.deprivileged, self._queues
        scene.half = bool(parts & Part.NODES) and self._is_half_write(op)
        for invariant in concerned(parts):
            for broken in invariant(scene):
                self._object(broken)

    def _registers(self) -> None:
        """Follow the phase and the registers that say what memory hardware uses."""
        phase = self.view.phase()
        if phase != self._phase:
            self._phase = phase
            self.dma.deprivileged = phase == _DEPRIVILEGED
            self.dma.forget_all()
        if not self.view.registers_moved():
            return
        nodes = self.view.nodes()
        if nodes != self._nodes:
            for number, (old, new) in enumerate(zip(self._nodes, nodes, strict=True)):
                if old != new:
                    self._note_node(number, old, new)
            self._nodes = nodes
        gicrs = self.view.gicrs()
        if gicrs != self._gicrs:
            for cpu, (was, now) in enumerate(zip(self._gicrs, gicrs, strict=True)):
                if was != now:
                    self._note_gicr(cpu, now)
            self._gicrs = gicrs

    def _note_node(self, number: int, old: Node, new: Node) -> None:
        self.touched.nodes[number] = None
        for n, (was, value) in enumerate(zip(old.baser, new.baser, strict=True)):
            before, table = table_of(was), table_of(value)
            if before is not None and before != table:
                self.dma.forget_entries()
                for kind in _ENTRIES.get(before.use, ()):
                    self.world.rest(kind, number, before.addr)
            if table is not None and before != table:
                for kind in _ENTRIES.get(table.use, ()):
                    self.world.wake(kind, number, table.addr)
            key = (Use.TABLE, number, n)
            in_use = table is not None and not table.indirect and new.enabled
            self.world.put_ranged(key, Extent(table.addr, table.length, True) if table and in_use else None)
            if in_use:
                self.touched.extents[key] = None

    def _note_gicr(self, cpu: int, gicr: Gicr) -> None:
        self.touched.redistributors[cpu] = None
        prop, pend = GICR_PROPBASER.decode(gicr.propbaser), GICR_PENDBASER.decode(gicr.pendbaser)
        id_bits = min(prop.id_bits, self.view.id_bits)
        config = Extent(prop.physical_address, config_table_bytes(id_bits) or 1, False)
        pending = Extent(pend.physical_address, pending_table_bytes(id_bits), True)
        for kind, extent in ((Use.CONFIG, config), (Use.PENDING, pending)):
            key = (kind, cpu, 0)
            self.world.put_ranged(key, extent if gicr.enable_lpis else None)
            if gicr.enable_lpis:
                self.touched.extents[key] = None

    # ---------------------------------------------------------------- verdicts

    def _report(self, finding: Finding) -> None:
        """The DMA check objects."""
        # While a command is being fetched, the one before it may still be on record.
        command = None if finding.why == Why.COMMAND else self.view.executing()[1]
        verb = {"read": "reads", "write": "writes", "message": "sends"}[finding.access]
        doing = f", while carrying out {command[1]}" if command is not None and command[1] else ""
        place = "to" if finding.access == "message" else "at"
        detail = f"{_WHO[finding.initiator]} {verb} {finding.noun} {place} {finding.addr:#x}, {_OWNER[finding.whose]}{doing}."
        access = (Initiator.NAMES[finding.initiator], finding.access, finding.why)
        self._add(finding.rule, detail, (finding.addr, finding.length), finding.why, access=access, command=command)

    def _object(self, broken: Broken) -> None:
        """An invariant objects."""
        detail = f"{broken.detail[:-1]} ({broken.addr:#x})."
        self._add(broken.rule, detail, (broken.addr, broken.length), broken.table, command=broken.command)

    def _add(
        self,
        rule: Rule,
        detail: str,
        where: tuple[int, int],
        table: str,
        *,
        access: tuple[str | None, str | None, str | None] = (None, None, None),
        command: Command | None = None,
    ) -> None:
        """Add a violation unless the op has it already. ``where``: address and bytes; ``access``: who, how, why."""
        pfn = where[0] >> PAGE_SHIFT
        page = self.view.pages.page(pfn)
        kind = Kind(
            oracle=rule.oracle,
            rule=rule.name,
            op=(command[1] or "unknown command") if command is not None else self._op_kind(self._op),
            site=self._site(command is not None),
            owner=Whose.NAMES[page.whose],
            table=table,
            phase=self._phase,
        )
        bucket = bucket_of(tuple(kind))
        if (bucket, pfn) in self._seen or (len(self.violations) >= MAX_PER_OP and bucket in self._kinds):
            return
        self._seen.add((bucket, pfn))
        self._kinds.add(bucket)
        use = self.world.own.get(pfn, "") if page.whose == Whose.HYP else ""
        self.violations.append(
            Violation(
                rule=rule,
                detail=detail,
                step=self._step,
                op=op_brief(self._op),
                command=command,
                initiator=access[0],
                access=access[1],
                why=access[2],
                places=(Place(*where, Whose.NAMES[page.whose], page.state, page.pins, use),),
                kind=kind,
            )
        )

    def _site(self, command: bool) -> str:
        """Who let it through: bare hardware, the host's own queue, the hypervisor's queue, or a trap."""
        if not self.dma.deprivileged:
            return "hardware"
        if command:
            return "hw_queue" if self.world.queues else "host_queue"
        return "trap"

    def _op_kind(self, op: Op) -> str:
        """What an op is, without its addresses and ids."""
        if isinstance(op, MmioWrite):
            return f"{self._register(op.addr)} write {op.size}"
        if isinstance(op, MmioRead):
            return f"{self._register(op.addr)} read {op.size}"
        if isinstance(op, Hvc):
            known = find_hypercall(op.function)
            return f"hvc {op.function if known is None else known.name}"
        if isinstance(op, Drive):
            return f"driver {op.call}"
        return type(op).__name__.lower()

    def _place(self, addr: int) -> RegisterPlace | None:
        """The register of an ITS or a redistributor at an address."""
        where = self.map
        for base in where.its_nodes or (where.its,):
            if base <= addr < base + _ITS_FRAMES and not where.gicr <= addr < self._gicr_end:
                return register_at(addr - base)
        if where.gicr <= addr < self._gicr_end:
            return gicr_register_at((addr - where.gicr) % where.gicr_stride, REGISTERS_V41)
        return None

    def _is_half_write(self, op: Op) -> bool:
        place = self._place(op.addr) if isinstance(op, MmioWrite) and op.size < 8 else None
        return place is not None and place.register.WIDTH == 64

    def _register(self, addr: int) -> str:
        """The name of the register at an address; elements of an array share one."""
        place = self._place(addr)
        if place is not None:
            return place.register.NAME
        return "memory" if addr >= self.map.ram else "reserved"

    # ---------------------------------------------------------------- snapshots

    def state(self) -> tuple[Any, ...]:
        """What a snapshot keeps; not to be changed."""
        return (self.world.state(), self._phase, self._nodes, self._gicrs, self._queues)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        world, self._phase, self._nodes, self._gicrs, self._queues = state
        self.world.set_state(world)
        self.dma.deprivileged = self._phase == _DEPRIVILEGED
        self.dma.forget_all()
        self.touched.clear()
        self.violations = []
        if self.lockstep is not None:
            self.lockstep.resume()


_ENTRIES: Final = {"device": (Use.ITT,), "vpe": (Use.VPT, Use.VCONF)}
"""Use of a table to the extents that its entries make."""
_WHO: Final = ("The host", "The hypervisor", "The ITS", "A redistributor", "A device")
_OWNER: Final = (
    "the host's memory",
    "memory that the host shares",
    "the hypervisor's memory",
    "a guest's memory",
    "a device",
    "where nothing answers",
)
