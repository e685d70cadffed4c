"""The vPE table of GICv4.1: 32-byte entries, read by the ITS (GITS_BASER2) and by the redistributors (GICR_VPROPBASER).

Both name the same memory when software did as it should. They are looked up each on its own, because nothing makes them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from itsbox.arch.dist_registers import GICD_TYPER2
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import VTE, VTE_V41
from itsbox.hardware.its_lookup import Table, Walker, entry_address
from itsbox.memory.interconnect import Why

if TYPE_CHECKING:
    from itsbox.hardware.profile import Profile

__all__ = ["VTES", "AnyVTE", "decode_narrow", "decode_wide", "lookup_vte", "read_vte", "store_vte", "vpe_id_bits"]

AnyVTE: TypeAlias = VTE | VTE_V41
"""A vPE table entry of either version; what GICv4.0 has, both have."""

VTES: Final = (VTE, VTE_V41)
"""The same for ``isinstance``, which answers for these at once; asked about an enumeration (``Cause``) it takes a detour."""

_ZERO = VTE_V41.decode(0, 0, 0, 0)
_KNOWN = 1024  # few vPEs are busy at a time


# Entries are read again for each use; only taking the same bytes apart again is saved.
@lru_cache(maxsize=_KNOWN)
def decode_narrow(word: int) -> VTE:
    """Take the 8 bytes of a GICv4.0 entry apart."""
    return VTE.decode(word)


@lru_cache(maxsize=_KNOWN)
def decode_wide(raw: bytes) -> VTE_V41:
    """Take the 32 bytes of an entry apart."""
    return VTE_V41.decode(*VTE_V41.STRUCT.unpack(raw))


def vpe_id_bits(profile: Profile) -> int:
    """Width of a vPEID, minus one: 16 bits where GICD_TYPER2 does not say otherwise."""
    typer2 = GICD_TYPER2.decode(profile.gicd_typer2)
    return typer2.vid if typer2.vil else 15


def read_vte(walker: Walker, address: int) -> VTE_V41 | None:
    """The entry at an address, valid or not; None where no memory answers."""
    raw = walker.interconnect.load(walker.initiator, address, VTE_V41.SIZE, Why.VTE)
    return None if raw is None else decode_wide(raw)


def lookup_vte(walker: Walker, table: Table, vpe_id: int) -> VTE_V41 | Cause:
    """The valid entry of a vPEID in a table."""
    if vpe_id >= table.entries:
        return Cause.VCPU_OOR
    address = entry_address(walker, table, vpe_id)
    if not isinstance(address, int):
        return address or Cause.VCPU_INVALID
    entry = read_vte(walker, address)
    if entry is None:
        return Cause.MEMORY_FAULT
    return entry if entry.valid else Cause.VCPU_INVALID


def store_vte(walker: Walker, address: int, entry: VTE_V41 = _ZERO) -> Cause | None:
    """Write an entry, or zeros."""
    data = VTE_V41.STRUCT.pack(*entry.encode())
    return None if walker.interconnect.store(walker.initiator, address, data, Why.VTE) else Cause.MEMORY_FAULT
