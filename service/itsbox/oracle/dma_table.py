"""The DMA surface as data: for each reason to touch memory, who may, how, and whose memory (docs/explanation/dma-surface.md).

**Whose.** Under every preset and in every phase, memory of the hypervisor or of a guest that is not the ITS's own *for that use*
is out of bounds, for reading as for writing. Host memory is never a violation while the host is trusted, which under ``off``
is always. After deprivilege the rows say which structures must have left the host's reach, because a host that can still
write them decides what the ITS does next: the command queue, level-1 entries, device and vPE tables, and the collection table
where an entry holds an address (GITS_TYPER.PTA = 1). Translation tables, pending and configuration tables may stay host memory:
what the host writes there reaches its own interrupts only (docs/explanation/dma-surface.md 2, note 1).

**How.** ``readers`` and ``writers`` say who may read and write: an ITS only reads its queue and its level-1 tables, a
redistributor only reads configuration, and translation tables are the ITS's alone. An access is one ``unit``, or where the row
has ``most`` any number of bytes up to the whole table. Who, how and how much hold in every phase: the host has no means to
change them. Alignment and ``tabled`` are what a host with the tables in its hands decides, so they hold after deprivilege.

**Registers are no memory.** The table demands an owner, and only memory has one that could own it for that use. So a queue, table
or entry in the frames of the GIC is a violation in every phase, under ``off`` too: a BASER that names the distributor makes the
ITS program it behind everybody's back. Missing memory answers nobody and leaks nothing, so it is never a violation.

Two readings:

* That host memory is pinned while hardware uses it is not asked here, access by access. H5, H6 and H11 ask it, of the op
  that maps the structure or changes the page.
* A virtual pending table may be host memory (pinned, where the hypervisor checks virtual commands): what the host writes there
  reaches vPEs that it runs itself. The pages of a protected guest are the guest's, and so out of bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_tables import CTE, DTE, L1_ENTRY_SIZE, VTE, VTE_V41
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.memory.interconnect import Initiator, Why
from itsbox.oracle.pages import PageUse

if TYPE_CHECKING:
    from itsbox.oracle.view import View

__all__ = ["TABLE", "Row", "Size"]

_ITS: Final = frozenset({Initiator.ITS})
_GICR: Final = frozenset({Initiator.GICR})
_BOTH: Final = _ITS | _GICR
_NOBODY: Final[frozenset[int]] = frozenset()


class Size(NamedTuple):
    """A number of bytes that depends on the machine.

    text: for the reference page; of: the bytes on a machine.
    """

    text: str
    of: Callable[[View], int]


class Row(NamedTuple):
    """One reason to touch memory.

    use: the use that hypervisor-owned memory must have to be the ITS's own here; host: whether host memory will do after
    deprivilege (None: only while RDbase is a number, PTA = 0); noun: what is touched, for sentences; readers, writers: who
    may (``Initiator``); unit: bytes of one object, which lies at a multiple of its size; most: bytes of the largest access, if
    more than one object may be read at once; source: which registers and commands put its address there; tabled: the unit is
    counted from the start of its table, and there must be one; parts: (offset, bytes) of the pieces of a unit that may be
    accessed alone.
    """

    use: str
    host: bool | None
    noun: str
    readers: frozenset[int]
    writers: frozenset[int]
    unit: Size
    most: Size | None
    source: str
    tabled: bool = False
    parts: tuple[tuple[int, int], ...] = ()


def _fixed(size: int) -> Size:
    return Size(str(size), lambda _view: size)


_BYTE: Final = _fixed(1)
_BITS: Final = Size("2^(IDbits+1) / 8", lambda view: pending_table_bytes(view.id_bits))
_BYTES: Final = Size("2^(IDbits+1) - 8192", lambda view: config_table_bytes(view.id_bits))
_VTE_SIZE: Final = Size(
    f"{VTE.SIZE}; GICv4.1 {VTE_V41.SIZE}", lambda view: VTE_V41.SIZE if view.vmapp_v41 else VTE.SIZE
)

TABLE: Final[dict[str, Row]] = {
    Why.COMMAND: Row(
        PageUse.QUEUE, False, "a command", _ITS, _NOBODY, _fixed(COMMAND_SIZE), None,
        "GITS_CBASER, GITS_CWRITER",
    ),
    Why.L1_ENTRY: Row(
        PageUse.L1, False, "a level-1 entry", _BOTH, _NOBODY, _fixed(L1_ENTRY_SIZE), None,
        "GITS_BASER<n> with Indirect, GICR_VPROPBASER",
    ),
    Why.DTE: Row(
        PageUse.DEVICE, False, "a device table entry", _ITS, _ITS, _fixed(DTE.SIZE), None,
        "GITS_BASER<n> of devices, level-1 entry, MAPD",
    ),
    Why.CTE: Row(
        PageUse.COLLECTION, None, "a collection table entry", _ITS, _ITS, _fixed(CTE.SIZE), None,
        "GITS_BASER<n> of collections, level-1 entry, MAPC",
    ),
    Why.VTE: Row(
        PageUse.VPE, False, "a vPE table entry", _BOTH, _ITS, _VTE_SIZE, None,
        "GITS_BASER<n> of vPEs, GICR_VPROPBASER, level-1 entry, VMAPP",
    ),
    Why.ITE: Row(
        PageUse.ITT, True, "an interrupt translation entry", _ITS, _ITS,
        Size("ITT_entry_size", lambda view: view.ite_bytes), None, "MAPD ITT_addr, Size", tabled=True,
        parts=((0, 8), (8, 4)),
    ),
    Why.PENDING: Row(
        PageUse.PENDING, True, "an LPI's pending bit", _GICR, _GICR, _BYTE, _BITS,
        "GICR_PENDBASER, EnableLPIs",
    ),
    Why.CONFIG: Row(
        PageUse.CONFIG, True, "an LPI's configuration", _GICR, _NOBODY, _BYTE, _BYTES,
        "GICR_PROPBASER, EnableLPIs",
    ),
    Why.VPT: Row(
        PageUse.VPT, True, "a virtual LPI's pending bit", _GICR, _GICR, _BYTE, _BITS,
        "VMAPP VPT_addr, GICR_VPENDBASER",
    ),
    Why.VCONF: Row(
        PageUse.VCONF, True, "a virtual LPI's configuration", _GICR, _NOBODY, _BYTE, _BYTES,
        "VMAPP VCONF_addr, GICR_VPROPBASER",
    ),
}  # fmt: skip
