"""The DMA check: every access of the ITS and the redistributors, judged before it lands.

``watch`` is on the path of every access to memory, so the common case is one look-up: the sets ``reads`` and ``writes`` hold,
for each reason, the frames that were judged good and whose ownership has not changed since. Everything else goes to ``look``,
which asks who owns each page (``TABLE``), remembers good answers and reports bad ones. Evidence is built for those only.

``watch`` also notes what the invariants need and nobody else sees: device and vPE table entries that the ITS writes, level-1
entries that the hypervisor writes, and host slots that change between two reads of one trap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from itsbox.arch.its_commands import MAPD, VMAPP, VMAPP_V41
from itsbox.arch.its_tables import L1_ENTRY_SIZE, itt_bytes
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.values import PAGE_SHIFT
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive, Msi, Op
from itsbox.oracle.dma_table import TABLE, Row
from itsbox.oracle.pages import Whose
from itsbox.oracle.rules import (
    DEPUTY,
    FOREIGN_COMMAND,
    FOREIGN_READ,
    FOREIGN_WRITE,
    HOST_ENTRY,
    MESSAGE,
    WRONG_USE,
)
from itsbox.oracle.violations import Rule
from itsbox.oracle.world import Extent, Use

if TYPE_CHECKING:
    from itsbox.memory.interconnect import Watch
    from itsbox.oracle.pages import PageState
    from itsbox.oracle.provenance import Provenance
    from itsbox.oracle.touched import Touched
    from itsbox.oracle.view import Command, View
    from itsbox.oracle.world import World

__all__ = ["Dma", "Finding", "Report"]

_NEVER_KNOWN: Final = frozenset({Why.DTE, Why.VTE})  # writes of these are noted each time


class Finding(NamedTuple):
    """A bad access.

    rule; noun: what was touched; initiator: an ``Initiator``; access: "read", "write" or "message"; why: the interconnect's
    reason; addr, length: the bytes; whose: the class of their page.
    """

    rule: Rule
    noun: str
    initiator: int
    access: str
    why: str
    addr: int
    length: int
    whose: int


Report: TypeAlias = Callable[[Finding], None]


class Dma:
    """The judge of one machine's memory traffic.

    deprivileged: whether the rules for an untrusted host apply (the oracle keeps it in step with the phase); op: the op that
    is running; reads, writes: reason -> frames known to be good; entries: those where the ITS may write device and vPE
    entries, which are noted each time; hyp_reads, hyp_writes: the same for the hypervisor; shared:
    frames that it reads although they are the host's; judged: every frame that is in one of these.

    Invariant: a frame is in one of the sets only while its ownership is what it was when judged.
    """

    __slots__ = (
        "deprivileged", "entries", "hyp_reads", "hyp_writes", "judged", "op", "reads", "report", "shared", "touched",
        "view", "who", "world", "writes",
    )  # fmt: skip

    def __init__(self, view: View, world: World, who: Provenance, touched: Touched, report: Report) -> None:
        self.view = view
        self.world = world
        self.who = who
        self.touched = touched
        self.report = report
        self.deprivileged = False
        self.op: Op | None = None
        self.reads: dict[str, set[int]] = {why: set() for why in TABLE}
        self.writes: dict[str, set[int]] = {why: set() for why in TABLE}
        self.judged: set[int] = set()
        self.entries: set[int] = set()
        self.hyp_reads: set[int] = set()
        self.hyp_writes: set[int] = set()
        self.shared: set[int] = set()

    @property
    def _known(self) -> tuple[set[int], ...]:
        """Every set of frames that were judged good."""
        return (
            *self.reads.values(), *self.writes.values(), self.entries, self.hyp_reads, self.hyp_writes, self.shared,
        )  # fmt: skip

    # ---------------------------------------------------------------- the hot path

    def watch(self) -> Watch:
        """The function for ``Interconnect.watch``: a closure, since attribute look-ups cost more than the check."""
        reads, writes, look, hyp, host = self.reads, self.writes, self.look, self.hyp, self.host
        read_in_trap = self.touched.hyp_reads

        def watch(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
            if initiator > Initiator.HYP:
                if addr >> 12 not in (writes if is_write else reads)[why] or (addr & 0xFFF) + length > 0x1000:
                    look(initiator, is_write, addr, length, why)
            elif initiator:
                hyp(is_write, addr, length)
            elif is_write and read_in_trap:
                host(addr, length)

        return watch

    def forget_page(self, pfn: int) -> None:
        """Ownership of a page changed: judge it again."""
        if pfn in self.judged:
            self.judged.discard(pfn)
            for known in self._known:
                known.discard(pfn)

    def forget_all(self) -> None:
        """The phase changed: judge everything again."""
        self.judged.clear()
        for known in self._known:
            known.clear()

    # ---------------------------------------------------------------- devices

    def look(self, initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        """Judge an access page by page, and remember the pages that are good."""
        row = TABLE[why]
        known = (self.writes if is_write else self.reads)[why]
        for pfn in range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1):
            if pfn in known or (is_write and pfn in self.entries and why in _NEVER_KNOWN):
                continue
            page = self.view.pages.page(pfn)
            rule = self._judge(pfn, page, is_write, why, row)
            if rule is not None:
                low = max(addr, pfn << PAGE_SHIFT)
                high = min(addr + length, pfn + 1 << PAGE_SHIFT)
                access = "write" if is_write else "read"
                self.report(Finding(rule, row.noun, initiator, access, why, low, high - low, page.whose))
                continue
            self.judged.add(pfn)
            (self.entries if is_write and why in _NEVER_KNOWN else known).add(pfn)
        if is_write and why in _NEVER_KNOWN:
            node, command = self.view.executing()
            if command is not None:
                self.touched.entries.append((node, command, why))

    def _judge(self, pfn: int, page: PageState, is_write: bool, why: str, row: Row) -> Rule | None:
        whose = page.whose
        if whose <= Whose.SHARED:
            host = row.host if row.host is not None else not self.view.pta
            if not self.deprivileged or host:
                return None
            if type(self.op) is Msi:
                self.touched.host_walks.append(pfn << PAGE_SHIFT)
            return HOST_ENTRY
        if whose >= Whose.DEVICE:
            return None
        use = self.who.use_of(pfn) if whose == Whose.HYP else None
        if use == row.use:
            return None
        if use is not None:
            return WRONG_USE
        if is_write:
            return FOREIGN_WRITE
        return FOREIGN_COMMAND if why == Why.COMMAND else FOREIGN_READ

    def settle(self) -> None:
        """Take note of the entries that the ITS has written since this was last called, the last one of each object."""
        entries = self.touched.entries
        if entries:
            for node, command, why in entries:
                self.entry_written(node, command, why)
            entries.clear()

    def entry_written(self, node: int, command: Command, why: str) -> None:
        """Remember what memory the ITS will use from now on, because of the command that wrote an entry."""
        _, name, words = command
        if why == Why.DTE and name == "MAPD":
            self._note_device(node, MAPD.decode(*words), command)
        elif why == Why.VTE and name == "VMAPP":
            layout = VMAPP_V41 if self.view.vmapp_v41 else VMAPP
            self._note_vpe(node, layout.decode(*words), command)

    def _note_device(self, node: int, c: MAPD, command: Command) -> None:
        key = (Use.ITT, node, c.device_id)
        itt = Extent(c.itt_addr, itt_bytes(c.size, self.view.ite_bytes), True) if c.valid else None
        self.world.put(key, itt)
        self.touched.extents[key] = command

    def _note_vpe(self, node: int, c: VMAPP | VMAPP_V41, command: Command) -> None:
        vpt = (Use.VPT, node, c.vpe_id)
        self.world.put(vpt, Extent(c.vpt_addr, pending_table_bytes(c.vpt_size), True) if c.valid else None)
        self.touched.extents[vpt] = command
        if isinstance(c, VMAPP_V41):
            vconf = (Use.VCONF, node, c.vpe_id)
            length = max(1, config_table_bytes(c.vpt_size))
            self.world.put(vconf, Extent(c.vconf_addr, length, False) if c.valid else None)
            self.touched.extents[vconf] = command

    # ---------------------------------------------------------------- CPUs

    def hyp(self, is_write: bool, addr: int, length: int) -> None:
        """An access of the hypervisor: it must not act on memory that is neither its own nor shared with it."""
        frames = range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1)
        known = self.hyp_writes if is_write else self.hyp_reads
        if not known.issuperset(frames):
            self._look_hyp(is_write, addr, length, known)
        if is_write:
            if not self.world.level_1.isdisjoint(frames):
                self._note_l1(addr, length)
        elif (
            frames[0] in self.shared and type(self.op) is not Drive
        ):  # the driver's stores lie between traps, not inside one
            self._note_read(addr, length)

    def _look_hyp(self, is_write: bool, addr: int, length: int, known: set[int]) -> None:
        for pfn in range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1):
            if pfn in known:
                continue
            whose = self.view.pages.page(pfn).whose
            if whose == Whose.GUEST or (is_write and whose == Whose.HOST and self.deprivileged):
                low = max(addr, pfn << PAGE_SHIFT)
                high = min(addr + length, pfn + 1 << PAGE_SHIFT)
                access = "write" if is_write else "read"
                self.report(Finding(DEPUTY, "memory", Initiator.HYP, access, Why.HYP, low, high - low, whose))
                continue
            self.judged.add(pfn)
            known.add(pfn)
            if whose == Whose.SHARED:
                self.shared.add(pfn)

    def _note_l1(self, addr: int, length: int) -> None:
        found = self.world.table_at(addr)
        if found is not None:
            (node, n), table = found
            first = (addr - table.addr) // L1_ENTRY_SIZE
            last = (addr + length - 1 - table.addr) // L1_ENTRY_SIZE
            for slot in range(first, last + 1):
                self.touched.l1[node, n, slot] = None

    def _note_read(self, addr: int, length: int) -> None:
        """Note a read of host memory, and whether it is of what was acted on and has changed since."""
        touched = self.touched
        for low, size, index in touched.raced:
            if index in touched.acted and addr < low + size and low < addr + length:
                touched.swapped.append((addr, length))
        touched.hyp_reads.append((addr, length))

    def acted(self) -> None:
        """The hypervisor changes a page: it acts on what it read of host memory last."""
        if self.touched.hyp_reads:
            self.touched.acted.add(len(self.touched.hyp_reads) - 1)

    def host(self, addr: int, length: int) -> None:
        """A store of the host while a trap runs: a race if it hits what the trap has read."""
        for index, (low, size) in enumerate(self.touched.hyp_reads):
            if addr < low + size and low < addr + length:
                first, last = max(addr, low), min(addr + length, low + size)
                self.touched.raced.append((first, last - first, index))

    def message(self, initiator: int, addr: int) -> None:
        """A bus message: it may go to a redistributor's frame only."""
        if not self.view.is_redistributor(addr):
            whose = self.view.pages.page(addr >> PAGE_SHIFT).whose
            self.report(Finding(MESSAGE, "a message", initiator, "message", Why.RD_BASE, addr, 4, whose))
