"""``its_shadow_tables``: the page in which the host tells the hypervisor about its command queue and tables.

The host driver fills one zeroed page and names it in ``__pkvm_init_its_emulation``; the hypervisor takes the page from the
host before it reads a word of it. The layout is that of the series (patch 5, RFC of 10 March 2026):

======  =====================  ==========================================================================
offset  field                  meaning
======  =====================  ==========================================================================
0       ``tables[8]``          one ``its_baser`` of 32 bytes for each GITS_BASER<n>
256     ``cmd_shadow``         the new queue, written by the host from now on: the *host queue*
264     ``cmd_original``       the queue that GITS_CBASER names: the *hardware queue*
272     ``cmdq_len``           bytes of either queue
======  =====================  ==========================================================================

Naming trap: the series calls "shadow" the copy that the host keeps and "original" what hardware reads. This project says
``host_queue``/``hw_queue`` and ``host_l1``/``hw_l1``, and the series' names only here and in the hypercall.

Pointers: the kernel passes kernel virtual addresses and EL2 converts them with ``kern_hyp_va``. In this machine the
linear maps of host and hypervisor are the identity, so a pointer *is* the physical address (decision record 0100).
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from itsbox.arch.layout import Layout, bits, layout
from itsbox.arch.values import SIZE_64K

__all__ = [
    "CMD_QUEUE_BYTES",
    "HOST_TABLES_BYTES",
    "ITS_BASER_SLOTS",
    "PRIVATE_STATE_PAGES",
    "HostTables",
    "its_baser",
    "its_shadow_tables",
    "kern_hyp_va",
]

ITS_BASER_SLOTS: Final = 8
"""GITS_BASER_NR_REGS."""
CMD_QUEUE_BYTES: Final = SIZE_64K
"""ITS_CMD_QUEUE_SZ: what the driver allocates for either queue."""
PRIVATE_STATE_PAGES: Final = {"one_page": 1, "two_pages": 2}
"""Pages of private state that the host donates, by knob ``private_state``."""


# fmt: off

@layout(words=(64, 64, 64, 32, 32), spec="pKVM ITS hardening RFC, patch 5, struct its_baser")
class its_baser(Layout):  # noqa: N801 - the series' name
    """One table as the host driver knows it."""

    base:   int = bits(0, 63, 0, doc="level 1 (or the flat table) that hardware reads: hw_l1")
    shadow: int = bits(1, 63, 0, doc="the host's copy of level 1, 0 for a flat table: host_l1")
    val:    int = bits(2, 63, 0, doc="GITS_BASER<n> as the driver last read it")
    order:  int = bits(3, 31, 0, doc="the table has 2^order pages of 4 KB")
    psz:    int = bits(4, 31, 0, doc="page size of the ITS, in bytes: 4096, 16384 or 65536")


@layout(words=3, spec="pKVM ITS hardening RFC, patch 5, struct its_shadow_tables, after its tables")
class its_shadow_tables(Layout):  # noqa: N801 - the series' name
    """The queues; follows the eight ``its_baser``."""

    cmd_shadow:   int = bits(0, 63, 0, doc="the host queue: 64 KB, zeroed, not a copy of the live one")
    cmd_original: int = bits(1, 63, 0, doc="the hardware queue: the address in GITS_CBASER")
    cmdq_len:     int = bits(2, 63, 0, doc="bytes of each queue")

# fmt: on

_QUEUES_AT: Final = ITS_BASER_SLOTS * its_baser.SIZE
HOST_TABLES_BYTES: Final = _QUEUES_AT + its_shadow_tables.SIZE
_ROWS: Final = Struct("<" + its_baser.STRUCT.format.lstrip("<") * ITS_BASER_SLOTS)


def kern_hyp_va(pointer: int) -> int:
    """Physical address behind a kernel pointer: the linear maps are the identity in this machine."""
    return pointer


class HostTables(NamedTuple):
    """The page's content: ``tables`` has one row for each GITS_BASER<n>; a table that is not Valid is all zeros."""

    tables: tuple[its_baser, ...]
    cmd_shadow: int
    cmd_original: int
    cmdq_len: int

    @classmethod
    def decode(cls, page: bytes) -> HostTables:
        """Read the page; ``page`` has at least ``HOST_TABLES_BYTES`` bytes."""
        flat = _ROWS.unpack_from(page)
        width = len(its_baser.FIELDS)
        rows = tuple(its_baser.decode(*flat[n : n + width]) for n in range(0, len(flat), width))
        queues = its_shadow_tables.decode(*its_shadow_tables.STRUCT.unpack_from(page, _QUEUES_AT))
        return cls(rows, queues.cmd_shadow, queues.cmd_original, queues.cmdq_len)

    def encode(self) -> bytes:
        """The bytes to store at the start of the zeroed page; missing tables are zeros."""
        empty = its_baser(base=0, shadow=0, val=0, order=0, psz=0)
        rows = [*self.tables, *[empty] * (ITS_BASER_SLOTS - len(self.tables))]
        queues = its_shadow_tables(cmd_shadow=self.cmd_shadow, cmd_original=self.cmd_original, cmdq_len=self.cmdq_len)
        packed = b"".join(its_baser.STRUCT.pack(*row.encode()) for row in rows)
        return packed + its_shadow_tables.STRUCT.pack(*queues.encode())
