"""The LPI configuration and pending tables: one byte and one bit per LPI.

Both are architected (IHI 0069H.b, "LPI Configuration tables", "LPI Pending tables") and serve physical LPIs (GICR_PROPBASER,
GICR_PENDBASER) as well as virtual ones (VCONF and VPT of a vPE). ``id_bits`` is everywhere the register's field: bits minus one.

The first 1 KB of a pending table is the redistributor's own. On GICv4.1 this project's redistributors keep there what a vPE has
beside its virtual LPIs: pending virtual SGIs at the bits of their INTIDs, their configuration, and whether the default doorbell
was asked for (decision record "Where a vPE's own state lives").
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.layout import Layout, bits, layout
from itsbox.arch.values import FIRST_LPI

MIN_ID_BITS: Final = 13
"""Least value of an IDbits field, 14 bits, for which there is any LPI at all."""

PENDING_RESERVED_BYTES: Final = FIRST_LPI // 8
"""The first 1 KB of a pending table, which belongs to the redistributor (IMPLEMENTATION DEFINED)."""

VSGIS: Final = 16
"""Virtual SGIs of a vPE: vINTIDs 0 to 15."""
VSGI_CONFIG_OFFSET: Final = 0x10
"""Where in a virtual pending table the configuration of virtual SGI 0 lies; one byte each (GICv4.1, this project's own)."""
VPE_FLAGS_OFFSET: Final = 0x20
"""Where in a virtual pending table the ``VPEFlags`` byte lies (GICv4.1, this project's own)."""
VPE_STATE_BYTES: Final = 0x40
"""Bytes of a virtual pending table, from its start, that hold a vPE's own state (GICv4.1, this project's own)."""

_OWN: Final = "IMPLEMENTATION DEFINED; this project's own"


# fmt: off

@layout(words=(8,), match=0b10, match_mask=0b10, spec="IHI 0069H.b, LPI Configuration tables")
class LPIConfig(Layout):
    """Configuration of one LPI. Bit 1 is RES1."""

    enable:   int = bits(0, 0,    arm="Enable")
    priority: int = bits(0, 7, 2, arm="Priority", shift=2, doc="the priority's low two bits are zero")


@layout(words=(8,), since="GICv4.1", spec=_OWN)
class VSGIConfig(Layout):
    """Configuration of one virtual SGI, as VSGI set it."""

    enable:   int = bits(0, 0,    arm="Enable")
    group:    int = bits(0, 1,    arm="Group")
    priority: int = bits(0, 7, 4, arm="Priority", shift=4, doc="the upper four bits of the priority")


@layout(words=(8,), since="GICv4.1", spec=_OWN)
class VPEFlags(Layout):
    """What a redistributor remembers of a vPE that left it."""

    doorbell: int = bits(0, 0, arm="Doorbell", doc="the default doorbell is asked for and has not rung since")

# fmt: on


def intid_limit(id_bits: int) -> int:
    """First INTID that ``id_bits`` does not reach."""
    return 2 << id_bits


def config_offset(intid: int) -> int:
    """Byte offset of an LPI's configuration: the table begins with INTID 8192."""
    return intid - FIRST_LPI


def config_table_bytes(id_bits: int) -> int:
    """Bytes of a configuration table; 0 when there is no LPI."""
    return max(0, intid_limit(id_bits) - FIRST_LPI)


def pending_place(intid: int) -> tuple[int, int]:
    """(byte offset, bit number) of an INTID's pending bit: the table begins with INTID 0."""
    return intid >> 3, intid & 7


def pending_table_bytes(id_bits: int) -> int:
    """Bytes of a pending table, its reserved first 1 KB included."""
    return intid_limit(id_bits) >> 3
