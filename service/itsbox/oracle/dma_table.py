"""The DMA surface as data: for each reason to touch memory, whose memory it may be (docs/explanation/dma-surface.md).

Under every preset and in every phase, memory of the hypervisor or of a guest that is not the ITS's own *for that use* is out of
bounds, for reading as for writing. Host memory is never a violation while the host is trusted, which under ``off`` is always.
After deprivilege the rows say which structures must have left the host's reach, because a host that can still write them
decides what the ITS does next: the command queue, level-1 entries, device and vPE tables, and the collection table where an
entry holds an address (GITS_TYPER.PTA = 1). Translation tables, pending and configuration tables may stay host memory: what
the host writes there reaches its own interrupts only (docs/explanation/dma-surface.md 2, note 1).

Missing memory answers nobody and leaks nothing, so it is never a violation.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from itsbox.memory.interconnect import Why
from itsbox.oracle.pages import PageUse

__all__ = ["TABLE", "Row"]


class Row(NamedTuple):
    """One reason to touch memory.

    use: the use that hypervisor-owned memory must have to be the ITS's own here; host: whether host memory will do after
    deprivilege (None: only while RDbase is a number, PTA = 0); noun: what is touched, for sentences; size, alignment: of
    the object, for the reference page; source: which registers and commands put its address there.
    """

    use: str
    host: bool | None
    noun: str
    size: str
    alignment: str
    source: str


TABLE: Final[dict[str, Row]] = {
    Why.COMMAND: Row(
        PageUse.QUEUE, False, "a command", "(Size+1) * 4 KB", "64 KB",
        "GITS_CBASER, GITS_CWRITER",
    ),
    Why.L1_ENTRY: Row(
        PageUse.L1, False, "a level-1 entry", "8 bytes of (Size+1) * Page_Size", "page",
        "GITS_BASER<n> with Indirect",
    ),
    Why.DTE: Row(
        PageUse.DEVICE, False, "a device table entry", "Entry_Size", "page",
        "GITS_BASER<n> of devices, level-1 entry, MAPD",
    ),
    Why.CTE: Row(
        PageUse.COLLECTION, None, "a collection table entry", "Entry_Size", "page",
        "GITS_BASER<n> of collections, level-1 entry, MAPC",
    ),
    Why.VTE: Row(
        PageUse.VPE, False, "a vPE table entry", "Entry_Size", "page",
        "GITS_BASER<n> of vPEs, level-1 entry, VMAPP",
    ),
    Why.ITE: Row(
        PageUse.ITT, True, "an interrupt translation entry", "2^(Size+1) * ITT_entry_size", "256 bytes",
        "MAPD ITT_addr, Size",
    ),
    Why.PENDING: Row(
        PageUse.PENDING, True, "an LPI's pending bit", "2^(IDbits+1) / 8", "64 KB",
        "GICR_PENDBASER, EnableLPIs",
    ),
    Why.CONFIG: Row(
        PageUse.CONFIG, True, "an LPI's configuration", "2^(IDbits+1) - 8192", "4 KB",
        "GICR_PROPBASER, EnableLPIs",
    ),
    Why.VPT: Row(
        PageUse.VPT, True, "a virtual LPI's pending bit", "2^(VPT_size+1) / 8", "64 KB",
        "VMAPP VPT_addr, GICR_VPENDBASER",
    ),
    Why.VCONF: Row(
        PageUse.VCONF, True, "a virtual LPI's configuration", "2^(VPT_size+1) - 8192", "64 KB",
        "VMAPP VCONF_addr, GICR_VPROPBASER",
    ),
}  # fmt: skip
