"""An oracle on a stage: a view that a test sets up by hand, so that each rule can be shown alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from itsbox.arch.its_commands import MAPD, VMAPP
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, baser_stored_address
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER
from itsbox.arch.values import PAGE_SHIFT, pages_of
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Done, MmioWrite, Op, Outcome
from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.log_format import FORMAT, head_from_line, page_text
from itsbox.oracle.log_view import LogView
from itsbox.oracle.oracle import Oracle
from itsbox.oracle.records import HostQueue, NoRecords
from itsbox.oracle.view import Gicr, Node
from itsbox.oracle.violations import Violation

MAP = {
    "gicd": 0x0800_0000, "its": 0x0808_0000, "translater": 0x0809_0040, "gicr": 0x080A_0000, "gicr_stride": 0x2_0000,
    "ram": 0x4000_0000, "ram_bytes": 0x1000_0000, "hyp": 0x4FF0_0000, "hyp_bytes": 0x10_0000,
    "guest": 0x4FE0_0000, "guest_bytes": 0x10_0000,
}  # fmt: skip
HYP, GUEST, HOST = 0x4FF0_3000, 0x4FE0_2000, 0x4800_0000
QUEUE, L1, L2, FLAT = 0x4100_0000, 0x4200_0000, 0x4300_0000, 0x4400_0000
PAGE64 = 0x1_0000
CWRITER = MmioWrite(MAP["its"] + 0x88, 4, 0x20)


class Notes(NoRecords):
    """Records that a test writes."""

    def __init__(self) -> None:
        self.pin_counts: dict[int, int] = {}
        self.itts: dict[int, frozenset[int]] = {}
        self.vpes: set[int] | None = None
        self.queue: HostQueue | None = None
        self.more: tuple[HostQueue, ...] = ()
        self.passed: set[tuple[int, int, int, int]] | None = None

    def pins(self, pfn: int) -> int | None:
        """As the test says."""
        return self.pin_counts.get(pfn)

    def itt(self, node: int, device_id: int, pages: range) -> frozenset[int] | None:
        """As the test says."""
        return self.itts.get(device_id)

    def vpe(self, node: int, vpe_id: int) -> bool | None:
        """As the test says."""
        return None if self.vpes is None else vpe_id in self.vpes

    def queues(self) -> tuple[HostQueue, ...]:
        """As the test says."""
        return (() if self.queue is None else (self.queue,)) + self.more

    def looked(self) -> Collection[tuple[int, int, int, int]] | None:
        """As the test says."""
        return self.passed


class Stage:
    """One oracle, its view, and the moves of a machine."""

    def __init__(self, *, pta: int = 0, vmapp: int = 0, phase: str = "deprivileged") -> None:
        self.view = LogView(head_from_line({"format": FORMAT, "map": MAP, "cpus": 4, "pta": pta, "vmapp": vmapp}))
        self.notes = Notes()
        self.oracle = Oracle(self.view.map, self.view, self.notes)
        self.watch = self.oracle.watch()
        self.step = 0
        if phase != "trusted":
            self.view.now = phase
            self.op(CWRITER)

    # ---------------------------------------------------------------- ops

    def begin(self, op: Op = CWRITER) -> None:
        """An op begins."""
        self.step += 1
        self.current = op
        self.oracle.begin(op, self.step)

    def end(self, outcome: Outcome | None = None) -> Sequence[Violation]:
        """The op ends; what the oracle says."""
        return self.oracle.end(self.current, Done() if outcome is None else outcome)

    def op(self, op: Op = CWRITER) -> Sequence[Violation]:
        """An op in which nothing happens but what was set up."""
        self.begin(op)
        return self.end()

    # ---------------------------------------------------------------- what may happen inside an op

    def its(
        self, why: str, addr: int, *, write: bool = False, length: int | None = None, command: Layout | None = None,
        by: int | None = None,
    ) -> None:  # fmt: skip
        """Hardware touches memory, maybe while carrying a command out: one object, and who does such things, unless said."""
        row = TABLE[why]
        if command is not None:
            words: Any = command.encode()
            self.view.command = (0, command.NAME, words)
        size = row.unit.of(self.view) if length is None else length
        self.watch(min(row.readers) if by is None else by, write, addr, size, why)
        self.view.command = None

    def hyp(self, addr: int, *, write: bool = False, length: int = 8) -> None:
        """The hypervisor touches memory."""
        self.watch(Initiator.HYP, write, addr, length, Why.HYP)

    def host(self, addr: int, length: int = 8) -> None:
        """The host stores."""
        self.watch(Initiator.HOST, True, addr, length, Why.HOST)

    def pages(self, addr: int, length: int, text: str) -> None:
        """Pages get a new state."""
        for pfn in pages_of(addr, length):
            self.oracle.page_changing(pfn)
            self.view.set_page(pfn, page_text(text))

    def map_device(self, device_id: int, itt: int, size: int = 4, *, valid: int = 1) -> None:
        """The ITS carries a MAPD out, its entry going to the device table's level-2 page."""
        self.its(Why.DTE, L2, write=True, command=MAPD(device_id=device_id, size=size, itt_addr=itt, valid=valid))

    def map_vpe(self, vpe_id: int, vpt: int) -> None:
        """The ITS carries a VMAPP out."""
        self.its(Why.VTE, L2, write=True, command=VMAPP(vpe_id=vpe_id, rd_base=0, valid=1, vpt_size=15, vpt_addr=vpt))

    # ---------------------------------------------------------------- registers

    def node(
        self, *, enabled: bool = True, queue: int = QUEUE, table: int = L1, indirect: int = 1, size: int = 0
    ) -> None:
        """Registers of the ITS: a queue of 64 KB and a device table with pages of 64 KB."""
        cbaser = GITS_CBASER.decode(0).replace(valid=1, physical_address=queue, size=15)
        baser = GITS_BASER.decode(0x0107_0000_0000_0200).replace(
            valid=1, physical_address=baser_stored_address(table, PAGE64), size=size, indirect=indirect
        )
        self.view._nodes = (Node(enabled, cbaser.word(), (baser.word(), *(0,) * 7)),)
        self.view.moved = True

    def gicr(self, cpu: int, *, on: bool, prop: int = HOST, pend: int = HOST + PAGE64) -> None:
        """LPI registers of one redistributor."""
        rows = list(self.view._gicrs)
        rows[cpu] = Gicr(
            on,
            GICR_PROPBASER.decode(0).replace(physical_address=prop, id_bits=15).word(),
            GICR_PENDBASER.decode(0).replace(physical_address=pend).word(),
        )
        self.view._gicrs = tuple(rows)
        self.view.moved = True

    def level_1(self, index: int, page: int, *, valid: int = 1) -> None:
        """A level-1 entry of the hardware's table."""
        self.view._words[L1 + index * L1_ENTRY_SIZE] = L1Entry(address=page, valid=valid).encode()[0]

    def taken_over(self) -> None:
        """The switch-over as it should be: queue, level 1 and its one level-2 page become the hypervisor's in one op."""
        self.node()
        self.level_1(0, L2)
        self.op()
        self.begin()
        for addr in (QUEUE, L1, L2):
            self.pages(addr, PAGE64, "hyp OWNED")
        assert not self.end()


def kinds(violations: Sequence[Violation]) -> list[tuple[str, str]]:
    """(oracle, rule) of each."""
    return [(violation.oracle, violation.rule.name) for violation in violations]


def pfn(addr: int) -> int:
    """Frame of an address."""
    return addr >> PAGE_SHIFT
