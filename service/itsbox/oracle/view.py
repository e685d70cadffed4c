"""The oracle's view of the concrete machine: pure reads of what hardware is and of who owns which page.

``View`` is a port. On-line it is ``abstraction.MachineView``; off-line it is rebuilt from a log (``checker``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from itsbox.oracle.pages import Pages

__all__ = ["Command", "Gicr", "Node", "TableRegister", "View"]

Command = tuple[int, "str | None", tuple[int, int, int, int]]
"""(slot, name, words) of the command that an ITS is carrying out."""


class TableRegister(NamedTuple):
    """GITS_BASER<n>, taken apart: type, address and bytes of level 1 or the flat table, and what hardware makes of them."""

    type: int
    valid: bool
    indirect: bool
    addr: int
    length: int
    page_bytes: int
    entry_bytes: int


class Node(NamedTuple):
    """Registers of an ITS: GITS_CTLR.Enabled, GITS_CBASER and GITS_BASER<n> as hardware has them."""

    enabled: bool
    cbaser: int
    baser: tuple[int, ...]


class Gicr(NamedTuple):
    """LPI registers of a redistributor."""

    enable_lpis: bool
    propbaser: int
    pendbaser: int


class View(Protocol):
    """What the oracle may ask about the machine.

    pages: ownership; pta: RDbase is an address; vmapp_v41: VMAPP has its GICv4.1 layout; ite_bytes: size of an ITE; id_bits:
    INTID bits minus one.
    """

    pages: Pages
    pta: bool
    vmapp_v41: bool
    ite_bytes: int
    id_bits: int

    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""

    def executing(self) -> tuple[int, Command | None]:
        """(ITS, command) that is being carried out; the command is None when there is none."""

    def nodes(self) -> tuple[Node, ...]:
        """Every ITS."""

    def registers_moved(self) -> bool:
        """Whether a register that says what memory hardware uses was written since this was last asked."""

    def gicrs(self) -> tuple[Gicr, ...]:
        """Every redistributor."""

    def is_redistributor(self, addr: int) -> bool:
        """Whether an address is the RD frame of a redistributor."""

    def guards_redistributors(self) -> bool:
        """Whether the redistributors' frames are the hypervisor's."""

    def maps_device(self, node: int, device_id: int, pfn: int) -> bool:
        """Whether the device table, as it is in memory now, gives the device a translation table that touches a frame."""

    def level_2(self, word: int, page_bytes: int) -> int | None:
        """Address of the level-2 page that hardware makes of a level-1 entry, or None for one that is not Valid."""

    def word(self, addr: int) -> int | None:
        """Eight bytes of memory as hardware sees them, or None where nothing answers."""

    def words(self, addr: int, length: int) -> Iterator[tuple[int, int]]:
        """(index, doubleword) of the doublewords of a range that are not zero."""
