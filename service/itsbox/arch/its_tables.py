"""Entries of the ITS's tables in memory, and where in a table an entry lies.

Only the level-1 entry is architected (IHI 0069H.b, "The ITS tables"). Device, collection, vPE and translation entries
are private to an implementation. ``DTE``, ``CTE``, ``VTE`` and ``ITE`` have QEMU's layout, measured from memory dumps of
its model, so that recorded final memory can be compared; ``VTE_V41`` is this project's own, for GICv4.1, where a vPE
entry also names the configuration table and the default doorbell. In every format all-zero means invalid, as the
architecture demands.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.layout import Layout, bits, layout

L1_ENTRY_SIZE: Final = 8
ITT_ALIGNMENT: Final = 256

_QEMU: Final = "IMPLEMENTATION DEFINED; the layout of QEMU's model"


# fmt: off

@layout(words=1, spec="IHI 0069H.b, Two-level tables, level 1 entry")
class L1Entry(Layout):
    """Level-1 entry of a two-level table: the address of one level-2 page."""

    address: int = bits(0, 51, 12, arm="Physical_Address", shift=12, doc="bits below the page size are RES0")
    valid:   int = bits(0, 63,     arm="Valid")


@layout(words=1, name="L1Entry", spec="QEMU's reading of a level 1 entry")
class L1Entry_QEMU(Layout):
    """Level-1 entry as QEMU's model reads it: the low bits count, bit 51 does not."""

    address: int = bits(0, 50, 0, arm="Physical_Address")
    valid:   int = bits(0, 63,    arm="Valid")


@layout(words=1, spec=_QEMU)
class DTE(Layout):
    """Device table entry."""

    valid:    int = bits(0,  0,    arm="Valid")
    size:     int = bits(0,  5, 1, arm="ITT_size", doc="EventID bits, minus one")
    itt_addr: int = bits(0, 49, 6, arm="ITT_base", shift=8, doc="256-byte aligned")


@layout(words=1, spec=_QEMU)
class CTE(Layout):
    """Collection table entry."""

    valid:   int = bits(0,  0,    arm="Valid")
    rd_base: int = bits(0, 16, 1, arm="RDbase", doc="processor number")


@layout(words=1, name="CTE", spec="IMPLEMENTATION DEFINED; this project's own")
class CTE_PTA(Layout):
    """Collection table entry where GITS_TYPER.PTA is 1: RDbase is an address."""

    valid:   int = bits(0,  0,     arm="Valid")
    rd_base: int = bits(0, 51, 16, arm="RDbase", doc="frame address >> 16")


@layout(words=(64, 32), spec=_QEMU)
class ITE(Layout):
    """Interrupt translation entry, twelve bytes."""

    valid:          int = bits(0,  0,     arm="Valid")
    physical:       int = bits(0,  1,     arm="Type", values={0: "virtual", 1: "physical"})
    intid:          int = bits(0, 25,  2, arm="INTID", doc="pINTID, or vINTID of a virtual entry")
    icid:           int = bits(0, 47, 32, arm="ICID", doc="physical entries")
    vpe_id:         int = bits(0, 63, 48, arm="vPEID", doc="virtual entries")
    doorbell_intid: int = bits(1, 23,  0, arm="Dbell_pINTID", doc="1023: none; physical entries hold 1023 too")


@layout(words=1, since="GICv4", spec=_QEMU)
class VTE(Layout):
    """vPE table entry of GICv4.0."""

    valid:    int = bits(0,  0,     arm="Valid")
    vpt_size: int = bits(0,  5,  1, arm="VPT_size", doc="vINTID bits, minus one")
    vpt_addr: int = bits(0, 41,  6, arm="VPT_base", shift=16, doc="64 KB aligned")
    rd_base:  int = bits(0, 57, 42, arm="RDbase", doc="processor number")


@layout(words=4, since="GICv4.1", name="VTE", spec="IMPLEMENTATION DEFINED; this project's own")
class VTE_V41(Layout):
    """vPE table entry of GICv4.1."""

    valid:            int = bits(0,  0,     arm="Valid")
    vpt_size:         int = bits(0,  5,  1, arm="VPT_size", doc="vINTID bits, minus one")
    rd_base:          int = bits(0, 51, 16, arm="RDbase", doc="processor number, or frame address >> 16")
    its_map:          int = bits(0, 63, 52, arm="IMPLEMENTATION DEFINED", doc="ITSs of the machine that map the vPE, a bit each")
    vpt_addr:         int = bits(1, 51, 16, arm="VPT_base", shift=16, doc="64 KB aligned")
    vconf_addr:       int = bits(2, 51, 16, arm="VCONF_base", shift=16, doc="64 KB aligned")
    default_doorbell: int = bits(3, 31,  0, arm="Default_Doorbell_pINTID", doc="1023: none")

# fmt: on


def rd_frame(rd_base: int) -> int:
    """Address of the RD frame that an RDbase names where GITS_TYPER.PTA is 1: it holds bits [51:16]."""
    return rd_base << 16


def entries_per_page(page_size: int, entry_size: int) -> int:
    """Entries in one page. A tail too short for an entry stays unused (5461 entries of 12 bytes in 64 KB)."""
    return page_size // entry_size


def flat_entries(pages: int, page_size: int, entry_size: int) -> int:
    """Entries of a flat table; none straddles a page."""
    return pages * entries_per_page(page_size, entry_size)


def l1_entries(pages: int, page_size: int) -> int:
    """Level-1 entries of a two-level table."""
    return pages * page_size // L1_ENTRY_SIZE


def two_level_entries(pages: int, page_size: int, entry_size: int) -> int:
    """Entries that a two-level table can reach when every level-1 entry is valid."""
    return l1_entries(pages, page_size) * entries_per_page(page_size, entry_size)


def l1_index(ident: int, page_size: int, entry_size: int) -> int:
    """Index of the level-1 entry for a DeviceID, ICID or vPEID."""
    return ident // entries_per_page(page_size, entry_size)


def l2_index(ident: int, page_size: int, entry_size: int) -> int:
    """Index inside the level-2 page."""
    return ident % entries_per_page(page_size, entry_size)


def l2_address(entry: L1Entry, page_size: int) -> int:
    """Address of the level-2 page; bits below the page size are RES0 and do not count."""
    return entry.address & -page_size


def level_2_page(word: int, page_size: int, *, as_qemu: bool) -> int | None:
    """Address of the level-2 page that an entry names, or None when it is not valid; ``as_qemu``: its low bits count."""
    if as_qemu:
        seen = L1Entry_QEMU.decode(word)
        return seen.address if seen.valid else None
    entry = L1Entry.decode(word)
    return l2_address(entry, page_size) if entry.valid else None


def flat_offset(ident: int, entry_size: int) -> int:
    """Byte offset of an entry in a flat table whose entries lie back to back."""
    return ident * entry_size


def paged_offset(ident: int, page_size: int, entry_size: int) -> int:
    """Byte offset of an entry in a flat table whose entries do not straddle pages.

    The same as ``flat_offset`` when the entry size is a power of two.
    """
    page, index = divmod(ident, entries_per_page(page_size, entry_size))
    return page * page_size + index * entry_size


def event_count(size: int) -> int:
    """EventIDs of a device whose MAPD has ``size``, which is bits minus one."""
    return 2 << size


def itt_bytes(size: int, ite_size: int) -> int:
    """Bytes that the ITS owns from ITT_addr on after a MAPD with ``size`` (IHI 0069H.b, MAPD)."""
    return event_count(size) * ite_size
