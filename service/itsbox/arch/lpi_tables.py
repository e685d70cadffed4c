"""The LPI configuration and pending tables: one byte and one bit per LPI.

Both are architected (IHI 0069H.b, "LPI Configuration tables", "LPI Pending tables") and serve physical LPIs (GICR_PROPBASER,
GICR_PENDBASER) as well as virtual ones (VCONF and VPT of a vPE). ``id_bits`` is everywhere the register's field: bits minus one.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.layout import Layout, bits, layout
from itsbox.arch.values import FIRST_LPI

MIN_ID_BITS: Final = 13
"""Least value of an IDbits field, 14 bits, for which there is any LPI at all."""

PENDING_RESERVED_BYTES: Final = FIRST_LPI // 8
"""The first 1 KB of a pending table, which belongs to the redistributor (IMPLEMENTATION DEFINED)."""


# fmt: off

@layout(words=(8,), match=0b10, match_mask=0b10, spec="IHI 0069H.b, LPI Configuration tables")
class LPIConfig(Layout):
    """Configuration of one LPI. Bit 1 is RES1."""

    enable:   int = bits(0, 0,    arm="Enable")
    priority: int = bits(0, 7, 2, arm="Priority", shift=2, doc="the priority's low two bits are zero")

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
