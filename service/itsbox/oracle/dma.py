"""The DMA check: every access of the ITS and the redistributors, judged before it lands.

``watch`` is on the path of every access to memory, so the common case is one look-up: for each direction, initiator and reason,
the bytes at an address that were judged good, of which nothing has changed since. Everything else goes to ``look``, which asks
``TABLE`` who owns each page, who may make the access, and how long and where it may be. It remembers good answers and reports
bad ones. Evidence is built for those only, and of one access only the gravest thing is said: whose memory it is comes first.

``watch`` also notes what the invariants need and nobody else sees: device and vPE table entries that the ITS writes, level-1
entries that the hypervisor writes, and host slots that change between two reads of one trap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from itsbox.arch.its_commands import MAPD, VMAPP, VMAPP_V41
from itsbox.arch.its_tables import L1_ENTRY_SIZE, itt_bytes
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, align_down, is_aligned
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive, MmioWrite, Msi, Op
from itsbox.oracle.dma_table import TABLE, Row
from itsbox.oracle.pages import Whose
from itsbox.oracle.rules import (
    DEPUTY,
    DEVICE_FRAME,
    FOREIGN_COMMAND,
    FOREIGN_READ,
    FOREIGN_WRITE,
    HOST_ENTRY,
    MESSAGE,
    MISALIGNED,
    OUTSIDE_TABLE,
    WRONG_INITIATOR,
    WRONG_KIND,
    WRONG_SIZE,
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

_HYP: Final = Initiator.HYP
_NOTED: Final = frozenset({Why.DTE, Why.VTE})
"""Each write of these is looked at: it says what memory is used from now on."""
_MOST_PLACES: Final = 1 << 16
"""Places that are remembered at most, of each direction, initiator and reason: twice the slots of the longest queue."""


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


_Places: TypeAlias = dict[str, dict[int, int]]
"""Reason -> address -> bytes of the last access there that was good."""


class Dma:
    """The judge of one machine's memory traffic.

    deprivileged: whether the rules for an untrusted host apply (the oracle keeps it in step with the phase); op: the op that
    is running; reads, writes: reason -> addresses of pages whose owner is right; places: for reading and for writing, by
    initiator, what is good there; sizes: reason -> bytes of one object and of the largest access on this machine; hyp_reads,
    hyp_writes: frames that the hypervisor may touch; shared: frames that it reads although they are the host's; judged: every
    frame that is in one of these sets; translaters: the address of each ITS's GITS_TRANSLATER.

    Invariant: a page is in one of the sets, and a place in ``places``, only while its ownership is what it was when judged; a
    place of a translation entry only while in addition no device's entry was written since.
    """

    __slots__ = (
        "deprivileged", "hyp_reads", "hyp_writes", "judged", "op", "places", "reads", "report", "shared", "sizes", "touched",
        "translaters", "view", "who", "world", "writes",
    )  # fmt: skip

    def __init__(
        self,
        view: View,
        world: World,
        who: Provenance,
        touched: Touched,
        report: Report,
        *,
        translaters: tuple[int, ...],
    ) -> None:
        self.view = view
        self.world = world
        self.who = who
        self.touched = touched
        self.report = report
        self.translaters = translaters
        self.deprivileged = False
        self.op: Op | None = None
        self.sizes = {why: (row.unit.of(view), (row.most or row.unit).of(view)) for why, row in TABLE.items()}
        self.reads: dict[str, set[int]] = {why: set() for why in TABLE}
        self.writes: dict[str, set[int]] = {why: set() for why in TABLE}
        self.places: tuple[tuple[_Places, ...], ...] = tuple(
            tuple({why: {} for why in TABLE} for _ in Initiator.NAMES) for _ in (self.reads, self.writes)
        )
        self.judged: set[int] = set()
        self.hyp_reads: set[int] = set()
        self.hyp_writes: set[int] = set()
        self.shared: set[int] = set()

    # ---------------------------------------------------------------- the hot path

    def watch(self) -> Watch:
        """The function for ``Interconnect.watch``: a closure, since attribute look-ups cost more than the check."""
        (reads, writes), look, hyp, host = self.places, self.look, self.hyp, self.host
        read_in_trap = self.touched.hyp_reads

        def watch(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
            if initiator > _HYP:
                try:
                    known = (writes if is_write else reads)[initiator][why][addr]
                except KeyError:
                    known = 0
                if known != length:
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
            page = pfn << PAGE_SHIFT
            for pages, places in zip((self.reads, self.writes), self.places, strict=True):
                for why, addresses in pages.items():
                    if page in addresses:
                        addresses.discard(page)
                        _forget(places, why)
            for frames in (self.hyp_reads, self.hyp_writes, self.shared):
                frames.discard(pfn)

    def forget_entries(self) -> None:
        """Which memory is a translation table may have changed: judge each entry again."""
        for places in self.places:
            _forget(places, Why.ITE)

    def forget_all(self) -> None:
        """The phase changed: judge everything again."""
        self.judged.clear()
        for known in (*self.reads.values(), *self.writes.values(), self.hyp_reads, self.hyp_writes, self.shared):
            known.clear()
        for places in self.places:
            for why in TABLE:
                _forget(places, why)

    # ---------------------------------------------------------------- devices

    def look(self, initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        """Judge an access: the owner of each page, then the access itself. Remember what is good."""
        row = TABLE[why]
        known = (self.writes if is_write else self.reads)[why]
        fine = landed = True
        for base in range(align_down(addr, PAGE_SIZE), addr + length, PAGE_SIZE):
            if base in known:
                continue
            pfn = base >> PAGE_SHIFT
            page = self.view.pages.page(pfn)
            if page.whose >= Whose.DEVICE:
                landed = False
            if page.whose == Whose.MISSING:
                continue
            rule = self._judge(pfn, page, is_write, why, row)
            if rule is None:
                self.judged.add(pfn)
                known.add(base)
                continue
            fine = False
            low, high = max(addr, base), min(addr + length, base + PAGE_SIZE)
            access = "write" if is_write else "read"
            self.report(Finding(rule, row.noun, initiator, access, why, low, high - low, page.whose))
        if not landed:
            return
        if is_write and why in _NOTED:
            self._note_write(why)
        if not fine:
            return
        rule = self._misfit(why, initiator, is_write, addr, length)
        if rule is not None:
            access = "write" if is_write else "read"
            whose = self.view.pages.page(addr >> PAGE_SHIFT).whose
            self.report(Finding(rule, row.noun, initiator, access, why, addr, length, whose))
        elif not is_write or why not in _NOTED:
            places = self.places[is_write][initiator][why]
            if len(places) >= _MOST_PLACES:
                places.clear()
            places[addr] = length

    def _judge(self, pfn: int, page: PageState, is_write: bool, why: str, row: Row) -> Rule | None:
        """Whether a page has the right owner."""
        whose = page.whose
        if whose <= Whose.SHARED:
            host = row.host if row.host is not None else not self.view.pta
            if not self.deprivileged or host:
                return None
            if self._translates():
                self.touched.host_walks.append(pfn << PAGE_SHIFT)
            return HOST_ENTRY
        if whose == Whose.DEVICE:
            return DEVICE_FRAME
        use = self.who.use_of(pfn) if whose == Whose.HYP else None
        if use == row.use:
            return None
        if use is not None:
            return WRONG_USE
        if is_write:
            return FOREIGN_WRITE
        return FOREIGN_COMMAND if why == Why.COMMAND else FOREIGN_READ

    def _translates(self) -> bool:
        """Whether the op is a write to GITS_TRANSLATER: a device's, or a CPU's that covers the register."""
        op = self.op
        if type(op) is MmioWrite:
            return any(op.addr <= at < op.addr + op.size for at in self.translaters)
        return type(op) is Msi

    def _misfit(self, why: str, initiator: int, is_write: bool, addr: int, length: int) -> Rule | None:
        """Judge who makes an access to memory whose owner is right, and its direction, size and place."""
        row, (unit, most) = TABLE[why], self.sizes[why]
        if initiator not in (row.writers if is_write else row.readers):
            reverse = initiator in (row.readers if is_write else row.writers)
            return WRONG_KIND if reverse else WRONG_INITIATOR
        if most > unit:
            return None if length <= most else WRONG_SIZE
        if length != unit and all(length != size for _, size in row.parts):
            return WRONG_SIZE
        if not self.deprivileged:
            return None
        if not row.tabled:
            return None if is_aligned(addr, unit) else MISALIGNED
        self.settle()
        return self._misplaced(row, unit, addr, length)

    def _misplaced(self, row: Row, unit: int, addr: int, length: int) -> Rule | None:
        """Whether a translation entry, or a part of one, lies in a translation table, at a place where one begins."""
        inside = False
        for key, table in self.world.mapped(addr >> PAGE_SHIFT):
            offset = addr - table.addr
            if key[0] == Use.ITT and 0 <= offset <= table.length - length:
                inside = True
                if (offset % unit, length) in ((0, unit), *row.parts):
                    return None
        return MISALIGNED if inside else OUTSIDE_TABLE

    def _note_write(self, why: str) -> None:
        """An entry that says what memory is used from now on was written."""
        self.forget_entries()
        node, command = self.view.executing()
        if command is not None:
            self.touched.entries.append((node, command, why))

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
            length = config_table_bytes(c.vpt_size) or 1
            self.world.put(vconf, Extent(c.vconf_addr, length, False) if c.valid else None)
            self.touched.extents[vconf] = command

    # ---------------------------------------------------------------- CPUs

    def hyp(self, is_write: bool, addr: int, length: int) -> None:
        """An access of the hypervisor: it must not act on memory that is neither its own nor shared with it."""
        known, noted = (self.hyp_writes, self.world.level_1) if is_write else (self.hyp_reads, self.shared)
        notable = False
        for pfn in range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1):
            if pfn not in known:
                self._look_hyp(is_write, addr, length, pfn)
            if pfn in noted:
                notable = True
        if notable:
            if is_write:
                self._note_l1(addr, length)
            elif type(self.op) is not Drive:
                self._note_read(addr, length)  # the driver's stores lie between traps, not inside one

    def _look_hyp(self, is_write: bool, addr: int, length: int, pfn: int) -> None:
        """Judge one page of an access of the hypervisor."""
        whose = self.view.pages.page(pfn).whose
        if whose == Whose.GUEST or (is_write and whose == Whose.HOST and self.deprivileged):
            low = max(addr, pfn << PAGE_SHIFT)
            high = min(addr + length, pfn + 1 << PAGE_SHIFT)
            access = "write" if is_write else "read"
            self.report(Finding(DEPUTY, "memory", Initiator.HYP, access, Why.HYP, low, high - low, whose))
            return
        self.judged.add(pfn)
        (self.hyp_writes if is_write else self.hyp_reads).add(pfn)
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
            if addr < low + size and low < addr + length and self._stands(index):
                touched.swapped.append((addr, length))
        touched.hyp_reads.append((addr, length))

    def acted(self, pfn: int) -> None:
        """The hypervisor is about to change a page: it acts on what it read of host memory last."""
        touched = self.touched
        if touched.hyp_reads:
            pages = touched.acted.setdefault(len(touched.hyp_reads) - 1, {})
            if pfn not in pages:
                pages[pfn] = self.view.pages.page(pfn)

    def _stands(self, index: int) -> bool:
        """Whether a page is still another than before the hypervisor acted on a read: what it took back does not count."""
        page = self.view.pages.page
        return any(page(pfn) != before for pfn, before in self.touched.acted.get(index, {}).items())

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


def _forget(places: tuple[_Places, ...], why: str) -> None:
    """Forget what is known of accesses for one reason, whoever makes them."""
    for known in places:
        known[why].clear()
