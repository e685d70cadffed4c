"""What one op touched: the only things that the invariants are evaluated on afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from itsbox.oracle.pages import PageState
    from itsbox.oracle.view import Command
    from itsbox.oracle.world import Key

__all__ = ["Part", "Touched"]


class Part:
    """Parts of ``Touched``, one bit each: what an invariant looks at, and what an op left behind."""

    PAGES: Final = 1
    EXTENTS: Final = 2
    L1: Final = 4
    NODES: Final = 8
    REDISTRIBUTORS: Final = 16
    SWAPPED: Final = 32
    WALKS: Final = 64
    OWNERS: Final = 256  # pages that became the hypervisor's or a guest's, or ceased to be
    QUEUE: Final = 128  # what is known of the host's queues: kept by the oracle itself


@dataclass(slots=True)
class Touched:
    """Collected while an op runs, cleared when it has been judged.

    pages: frame -> its state before the op, for every page whose ownership, sharing or pins changed.
    entries: (ITS, command, reason) of device and vPE table entries that the ITS wrote and nobody has looked at yet.
    extents: keys of the ITTs, VPTs and tables that hardware began to use, with the command that did it.
    l1: (ITS, table, slot) of the hardware's level-1 entries that the hypervisor wrote.
    hyp_reads: what the hypervisor read of host memory in this trap, in order; acted: index of a read on which it then changed
    pages -> those, as they were before; raced: what the host wrote of it meanwhile, with the read's index; swapped: reads of
    what had been acted on and was another thing by then.
    redistributors: CPUs whose LPI tables or EnableLPIs changed; nodes: ITSs whose registers changed.
    host_walks: pages of entries that a device's write was translated with although the host can edit them.
    """

    pages: dict[int, PageState] = field(default_factory=dict)
    entries: list[tuple[int, Command, str]] = field(default_factory=list)
    extents: dict[Key, Command | None] = field(default_factory=dict)
    l1: dict[tuple[int, int, int], None] = field(default_factory=dict)
    hyp_reads: list[tuple[int, int]] = field(default_factory=list)
    acted: dict[int, dict[int, PageState]] = field(default_factory=dict)
    raced: list[tuple[int, int, int]] = field(default_factory=list)
    swapped: list[tuple[int, int]] = field(default_factory=list)
    redistributors: dict[int, None] = field(default_factory=dict)
    nodes: dict[int, None] = field(default_factory=dict)
    host_walks: list[int] = field(default_factory=list)

    def parts(self) -> int:
        """What there is to judge: bits of ``Part``. Entries that nobody has looked at yet are extents to be."""
        parts = Part.PAGES if self.pages else 0
        if self.extents or self.entries:
            parts |= Part.EXTENTS
        if self.l1:
            parts |= Part.L1
        if self.nodes:
            parts |= Part.NODES
        if self.redistributors:
            parts |= Part.REDISTRIBUTORS
        if self.swapped:
            parts |= Part.SWAPPED
        if self.host_walks:
            parts |= Part.WALKS
        return parts

    def clear_reads(self) -> None:
        """Forget what the hypervisor read: the trap is over."""
        self.hyp_reads.clear()
        self.acted.clear()
        self.raced.clear()

    def clear(self) -> None:
        """Forget everything: the next op begins."""
        self.clear_reads()
        self.pages.clear()
        self.entries.clear()
        self.extents.clear()
        self.l1.clear()
        self.swapped.clear()
        self.redistributors.clear()
        self.nodes.clear()
        self.host_walks.clear()
