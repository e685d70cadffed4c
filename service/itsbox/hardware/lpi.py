"""LPIs in memory: pending bits, configuration bytes, and which pending LPI comes first.

Both tables lie in RAM and are read and written there each time (profile ``tables_in_ram``), so that software which edits
them is seen at once, as on QEMU.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from itsbox.arch.lpi_tables import (
    PENDING_RESERVED_BYTES,
    LPIConfig,
    config_offset,
    intid_limit,
    pending_place,
    pending_table_bytes,
)
from itsbox.arch.values import PAGE_SIZE, SPURIOUS_INTID
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from collections.abc import Iterator

    from itsbox.memory.interconnect import Interconnect

__all__ = [
    "IDLE",
    "assign_pending",
    "best_virtual",
    "highest_pending",
    "pending_intids",
    "priority_of",
    "table_bits",
]

IDLE: Final = 0x100
"""Lower than every priority: of no interrupt."""
_GICR: Final = Initiator.GICR
_FEW: Final = 8  # so many are looked at one by one
_NO: Final = 0xFF
# For each configuration byte its priority, or _NO when it disables; for each byte of a pending table eight bytes, _NO where a
# bit is clear.
_PRIORITIES: Final = bytes(c.priority if c.enable else _NO for c in map(LPIConfig.decode, range(256)))
_ABSENT: Final = [bytes(0 if byte >> bit & 1 else _NO for bit in range(8)) for byte in range(256)]
_LEVELS: Final = sorted(set(_PRIORITIES) - {_NO})

_NON_ZERO: Final = re.compile(rb"[^\x00]")


def assign_pending(interconnect: Interconnect, table: int, intid: int, level: bool, why: str) -> bool:
    """Set or clear one bit of a pending table (LPI or vLPI) in memory.

    table: its physical address; why: ``Why.PENDING`` or ``Why.VPT``.
    Returns whether the bit changed; a bit in missing memory cannot.
    """
    offset, bit = pending_place(intid)
    byte = interconnect.read(_GICR, table + offset, 1, why)
    if byte is None or bool(byte >> bit & 1) == level:
        return False
    return interconnect.write(_GICR, table + offset, 1, byte ^ 1 << bit, why)


def table_bits(raw: bytes, first_byte: int = 0) -> Iterator[int]:
    """The numbers of the set bits of a table, ascending; ``raw`` starts at byte ``first_byte`` of it."""
    for match in _NON_ZERO.finditer(raw):
        byte = raw[match.start()]
        number = 8 * (first_byte + match.start())
        while byte:
            if byte & 1:
                yield number
            byte >>= 1
            number += 1


def pending_intids(interconnect: Interconnect, table: int, id_bits: int, why: str) -> list[int]:
    """Every INTID of at least 8192 whose bit is set, ascending; id_bits: INTID bits minus one."""
    first = PENDING_RESERVED_BYTES
    length = pending_table_bytes(id_bits) - first
    if length <= 0:
        return []
    raw = interconnect.load(_GICR, table + first, length, why)
    return [] if raw is None else list(table_bits(raw, first))


def priority_of(interconnect: Interconnect, config_table: int, intid: int, why: str = Why.CONFIG) -> int:
    """The priority of an LPI, or ``IDLE`` when it is disabled or its configuration lies in missing memory."""
    byte = interconnect.read(_GICR, config_table + config_offset(intid), 1, why)
    if byte is None:
        return IDLE
    config = LPIConfig.decode(byte)
    return config.priority if config.enable else IDLE


def best_virtual(interconnect: Interconnect, table: int, config_table: int, id_bits: int) -> tuple[int, int]:
    """(priority, INTID) of the best pending enabled vLPI in a vPE's tables, or (``IDLE``, 0); ties to the lowest INTID.

    A queue may ask for this once per command with every vLPI pending, so many are compared at once: one byte for each INTID,
    its priority or 0xFF, and then the first byte of the lowest value.
    """
    reserved = PENDING_RESERVED_BYTES
    length = pending_table_bytes(id_bits) - reserved
    raw = interconnect.load(_GICR, table + reserved, length, Why.VPT) if length > 0 else None
    bits = int.from_bytes(raw or b"", "little")
    if raw is None or not bits:
        return IDLE, 0
    if bits.bit_count() <= _FEW:
        pending = table_bits(raw, reserved)
        best = min((priority_of(interconnect, config_table, intid, Why.VCONF), intid) for intid in pending)
        return best if best[0] != IDLE else (IDLE, 0)
    low, high = ((bits & -bits).bit_length() - 1) // 8, (bits.bit_length() - 1) // 8
    first, count = 8 * (reserved + low), 8 * (high + 1 - low)
    config = _config_bytes(interconnect, config_table + config_offset(first), count)
    absent = b"".join([_ABSENT[byte] for byte in raw[low : high + 1]])
    both = int.from_bytes(absent, "little") | int.from_bytes(config.translate(_PRIORITIES), "little")
    candidates = both.to_bytes(count, "little")
    for priority in _LEVELS:
        at = candidates.find(priority)
        if at >= 0:
            return priority, first + at
    return IDLE, 0


def _config_bytes(interconnect: Interconnect, addr: int, length: int) -> bytes:
    """A piece of a configuration table, page by page: zeros, which disable, where no memory answers."""
    pieces = []
    while length:
        run = min(length, PAGE_SIZE - addr % PAGE_SIZE)
        pieces.append(interconnect.load(_GICR, addr, run, Why.VCONF) or bytes(run))
        addr, length = addr + run, length - run
    return b"".join(pieces)


def highest_pending(
    interconnect: Interconnect, pending: list[int], config_table: int, id_bits: int, why: str = Why.CONFIG
) -> int:
    """The pending, enabled LPI of the highest priority (lowest value; ties to the lowest INTID), or 1023."""
    best, best_priority = int(SPURIOUS_INTID), IDLE
    limit = intid_limit(id_bits)
    for intid in pending:
        if intid >= limit:
            break
        priority = priority_of(interconnect, config_table, intid, why)
        if priority < best_priority:
            best, best_priority = intid, priority
    return best
