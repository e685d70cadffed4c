"""The validity ladders of the ITS: from an id in a command to the table entry it names, in one place per table.

A lookup answers the entry or the ``Cause`` of the failure, from which ``arch.its_errors`` makes the command's error.
``Cause.MEMORY_FAULT`` is none of Arm's: the table lies in missing memory, and the queue stalls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from itsbox.arch.its_errors import Cause
from itsbox.arch.its_registers import GITS_BASER, baser_address, baser_page_size
from itsbox.arch.its_tables import (
    CTE,
    CTE_PTA,
    DTE,
    ITE,
    L1_ENTRY_SIZE,
    entries_per_page,
    event_count,
    flat_entries,
    two_level_entries,
)
from itsbox.arch.lpi_tables import intid_limit
from itsbox.memory.interconnect import Initiator, Shape, Why

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.memory.interconnect import Interconnect

__all__ = [
    "EMPTY",
    "Table",
    "Walker",
    "entry_address",
    "lookup_collection",
    "lookup_device",
    "lookup_event",
    "lookup_redistributor",
    "store_entry",
    "store_ite",
    "table_of",
]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the ITS took it from GITS_BASER when it was enabled.

    base: physical address; entry_bytes; entries: how many ids it covers (0 when not Valid); indirect: two-level, then
    per_page entries in each level-2 page of page_bytes.
    """

    base: int
    entry_bytes: int
    entries: int
    indirect: bool
    per_page: int
    page_bytes: int


EMPTY: Final = Table(0, 8, 0, False, 1, 4096)

_ITE: Final = Shape(ITE.STRUCT, (8, 4))
_NO_ITE: Final = bytes(ITE.SIZE)
# A name in a module is found sooner than one in a class.
_ITS: Final = Initiator.ITS
_WHY_DTE: Final = Why.DTE
_WHY_CTE: Final = Why.CTE
_WHY_ITE: Final = Why.ITE
_KNOWN: Final = 1024  # few devices are busy at a time, and there are few redistributors


# Registers and entries are read again each time; only taking the same word apart again is saved.
@lru_cache(maxsize=_KNOWN)
def table_of(word: int, id_bits: int) -> Table:
    """The table that a GITS_BASER describes, for IDs of ``id_bits`` bits, minus one."""
    register = GITS_BASER.decode(word)
    if not register.valid:
        return EMPTY
    page, entry = baser_page_size(register), register.entry_size + 1
    covers = two_level_entries if register.indirect else flat_entries
    return Table(
        base=baser_address(register),
        entry_bytes=entry,
        entries=min(covers(register.size + 1, page, entry), intid_limit(id_bits)),
        indirect=bool(register.indirect),
        per_page=entries_per_page(page, entry),
        page_bytes=page,
    )


@lru_cache(maxsize=_KNOWN)
def _decode_device(word: int) -> DTE:
    return DTE.decode(word)


@lru_cache(maxsize=_KNOWN)
def _decode_collection(word: int) -> CTE:
    return CTE.decode(word)


@lru_cache(maxsize=_KNOWN)
def _decode_address_collection(word: int) -> CTE_PTA:
    return CTE_PTA.decode(word)


class Walker(Protocol):
    """Who walks a table: an ITS, or a redistributor its vPE table (GICv4.1)."""

    @property
    def interconnect(self) -> Interconnect:
        """Where memory answers."""
        ...

    @property
    def initiator(self) -> int:
        """Who it is on the bus (``Initiator``)."""
        ...

    def l2_page(self, raw: int, page_bytes: int) -> int | None:
        """Address of the level-2 page that a level-1 entry names, or None when it is not valid."""
        ...


def entry_address(walker: Walker, table: Table, index: int) -> int | Cause | None:
    """Physical address of entry ``index``; None behind an invalid level-1 entry; ``Cause.MEMORY_FAULT``."""
    if not table.indirect:
        return table.base + index * table.entry_bytes
    l1_index, l2_index = divmod(index, table.per_page)
    slot = table.base + l1_index * L1_ENTRY_SIZE
    raw = walker.interconnect.read(walker.initiator, slot, L1_ENTRY_SIZE, Why.L1_ENTRY)
    if raw is None:
        return Cause.MEMORY_FAULT
    page = walker.l2_page(raw, table.page_bytes)
    return None if page is None else page + l2_index * table.entry_bytes


def store_entry(its: Its, table: Table, index: int, word: int, why: str) -> Cause | None:
    """Write an 8-byte entry. A write behind an invalid level-1 entry is swallowed and counts as done."""
    address = entry_address(its, table, index)
    if not isinstance(address, int):
        return address
    return None if its.interconnect.write(_ITS, address, 8, word, why) else Cause.MEMORY_FAULT


def lookup_device(its: Its, device_id: int) -> DTE | Cause:
    """The valid device table entry of a DeviceID."""
    table = its.device_table
    if device_id >= table.entries:
        return Cause.DEVICE_OOR
    if table.indirect:
        walked = entry_address(its, table, device_id)
        if not isinstance(walked, int):
            return walked or Cause.UNMAPPED_DEVICE
        address = walked
    else:
        address = table.base + device_id * table.entry_bytes
    word = its.interconnect.read(_ITS, address, 8, _WHY_DTE)
    if word is None:
        return Cause.MEMORY_FAULT
    entry = _decode_device(word)
    return entry if entry.valid else Cause.UNMAPPED_DEVICE


def lookup_event(its: Its, device_id: int, event_id: int) -> tuple[int, ITE] | Cause:
    """The valid ITE of an event, with the physical address where it lies."""
    dte = lookup_device(its, device_id)
    if not isinstance(dte, DTE):
        return dte
    if event_id >= event_count(dte.size):
        return Cause.ID_OOR
    address = dte.itt_addr + event_id * its.ite_bytes
    words = its.interconnect.unpack(_ITS, address, _ITE, _WHY_ITE)
    if words is None:
        return Cause.MEMORY_FAULT
    ite = ITE.decode(*words)
    return (address, ite) if ite.valid else Cause.UNMAPPED_INTERRUPT


def store_ite(its: Its, address: int, ite: ITE | None) -> Cause | None:
    """Write an ITE, or zeros for None."""
    data = _NO_ITE if ite is None else ITE.STRUCT.pack(*ite.encode())
    return None if its.interconnect.store(_ITS, address, data, _WHY_ITE) else Cause.MEMORY_FAULT


def lookup_collection(its: Its, icid: int) -> CTE | CTE_PTA | Cause:
    """The valid collection table entry of an ICID."""
    table = its.collection_table
    if icid >= table.entries:
        return Cause.COLLECTION_OOR
    if table.indirect:
        walked = entry_address(its, table, icid)
        if not isinstance(walked, int):
            return walked or Cause.UNMAPPED_COLLECTION
        address = walked
    else:
        address = table.base + icid * table.entry_bytes
    word = its.interconnect.read(_ITS, address, 8, _WHY_CTE)
    if word is None:
        return Cause.MEMORY_FAULT
    entry = _decode_address_collection(word) if its.typer.pta else _decode_collection(word)
    return entry if entry.valid else Cause.UNMAPPED_COLLECTION


def lookup_redistributor(its: Its, icid: int) -> int | Cause:
    """The index of the redistributor that an ICID points at; where RDbase is an address, a message goes there."""
    entry = lookup_collection(its, icid)
    if isinstance(entry, Cause):
        return entry
    if its.typer.pta:
        its.message(entry.rd_base)
        target = its.redistributor_of(entry.rd_base)
        return Cause.PROCNUM_OOR if target is None else target
    return entry.rd_base if entry.rd_base < len(its.redistributors) else Cause.PROCNUM_OOR
