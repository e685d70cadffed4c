"""Distinct types for things that are all ``int``, page and alignment arithmetic, and the INTID ranges.

A decoded field is a plain int; it becomes a ``DeviceId`` or a ``PhysAddr`` where code has decided that it is one.
Sources: IHI 0069H.b, "INTIDs"; pKVM runs with 4 KB pages.
"""

from __future__ import annotations

from typing import Final, NewType

PhysAddr = NewType("PhysAddr", int)
"""A physical address; the host's IPA is the same number (identity stage 2)."""
Pfn = NewType("Pfn", int)
"""Number of a 4 KB page frame."""
DeviceId = NewType("DeviceId", int)
EventId = NewType("EventId", int)
CollectionId = NewType("CollectionId", int)
VpeId = NewType("VpeId", int)
Intid = NewType("Intid", int)

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
SIZE_16K: Final = 1 << 14
SIZE_64K: Final = 1 << 16

ADDRESS_BITS: Final = 52
"""Physical addresses of the architecture are at most 52 bits wide."""
WORD_MASK: Final = (1 << 64) - 1

FIRST_PPI: Final = Intid(16)
FIRST_SPI: Final = Intid(32)
LAST_SPI: Final = Intid(1019)
SPURIOUS_INTID: Final = Intid(1023)
"""No interrupt pending; as a doorbell, no doorbell."""
FIRST_LPI: Final = Intid(8192)


def pfn_of(pa: int) -> Pfn:
    """Frame that holds a physical address."""
    return Pfn(pa >> PAGE_SHIFT)


def pa_of(pfn: int) -> PhysAddr:
    """Address of the first byte of a frame."""
    return PhysAddr(pfn << PAGE_SHIFT)


def is_aligned(value: int, alignment: int) -> bool:
    """Tell whether ``value`` is a multiple of ``alignment``, a power of two."""
    return not value & (alignment - 1)


def align_down(value: int, alignment: int) -> int:
    """Greatest multiple of ``alignment``, a power of two, that is not above ``value``."""
    return value & -alignment


def align_up(value: int, alignment: int) -> int:
    """Least multiple of ``alignment``, a power of two, that is not below ``value``."""
    return (value + alignment - 1) & -alignment


def pages_of(pa: int, length: int) -> range:
    """Frames touched by ``length`` bytes from ``pa``; none for a length of 0."""
    if length <= 0:
        return range(0)
    return range(pa >> PAGE_SHIFT, ((pa + length - 1) >> PAGE_SHIFT) + 1)


def is_lpi(intid: int) -> bool:
    """Tell whether an INTID lies in the range of LPIs."""
    return intid >= FIRST_LPI
