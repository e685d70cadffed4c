"""What one op touched: the only things that the invariants are evaluated on afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itsbox.oracle.pages import PageState
    from itsbox.oracle.view import Command
    from itsbox.oracle.world import Key

__all__ = ["Touched"]


@dataclass(slots=True)
class Touched:
    """Collected while an op runs, cleared when it has been judged.

    pages: frame -> its state before the op, for every page whose ownership, sharing or pins changed.
    entries: (ITS, command, reason) of device and vPE table entries that the ITS wrote and nobody has looked at yet.
    extents: keys of the ITTs, VPTs and tables that hardware began to use, with the command that did it.
    l1: (ITS, table, slot) of the hardware's level-1 entries that the hypervisor wrote.
    hyp_reads: what the hypervisor read of host memory in this trap, in order; acted: index of the reads on which it then
    changed pages; raced: what the host wrote of it meanwhile, with the read's index; swapped: reads of what had been acted on
    and was another thing by then.
    redistributors: CPUs whose LPI tables or EnableLPIs changed; nodes: ITSs whose registers changed.
    host_walks: pages of entries that a device's write was translated with although the host can edit them.
    """

    pages: dict[int, PageState] = field(default_factory=dict)
    entries: list[tuple[int, Command, str]] = field(default_factory=list)
    extents: dict[Key, Command | None] = field(default_factory=dict)
    l1: dict[tuple[int, int, int], None] = field(default_factory=dict)
    hyp_reads: list[tuple[int, int]] = field(default_factory=list)
    acted: set[int] = field(default_factory=set)
    raced: list[tuple[int, int, int]] = field(default_factory=list)
    swapped: list[tuple[int, int]] = field(default_factory=list)
    redistributors: dict[int, None] = field(default_factory=dict)
    nodes: dict[int, None] = field(default_factory=dict)
    host_walks: list[int] = field(default_factory=list)

    def any(self) -> bool:
        """Whether there is anything to judge."""
        return bool(
            self.pages
            or self.entries
            or self.extents
            or self.l1
            or self.nodes
            or self.redistributors
            or self.swapped
            or self.host_walks
        )

    def clear_reads(self) -> None:
        """Forget what the hypervisor read: the trap is over."""
        self.hyp_reads.clear()
        self.acted.clear()
        self.raced.clear()

    def clear(self) -> None:
        """Forget everything: the next op begins."""
        self.clear_reads()
        for part in (
            self.pages, self.entries, self.extents, self.l1, self.swapped, self.redistributors, self.nodes, self.host_walks,
        ):  # fmt: skip
            part.clear()
