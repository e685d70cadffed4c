"""Tables as they are in memory, whoever wrote them last: read past the interconnect, so that nobody hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from itsbox.arch.its_tables import DTE, L1_ENTRY_SIZE, itt_bytes

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.memory.physmem import PhysMem

__all__ = ["translation_table", "word_at", "words_at"]


def word_at(memory: PhysMem, addr: int) -> int | None:
    """Eight bytes as hardware sees them, or None where nothing answers."""
    return memory.read(addr, 8) if memory.contains(addr, 8) else None


def words_at(memory: PhysMem, addr: int, length: int) -> Iterator[tuple[int, int]]:
    """(index, doubleword) of the doublewords of a range that are not zero; what of it is missing memory has none."""
    low, high = max(addr, memory.base), min(addr + length, memory.end)
    if low < high:
        for index, word in enumerate(memoryview(memory.load(low, high - low)).cast("Q"), (low - addr) // 8):
            if word:
                yield index, word


def translation_table(its: Its, memory: PhysMem, device_id: int) -> tuple[int, int]:
    """Address and bytes of the table that a device's entry gives it now; (0, 0) if it gives it none."""
    table = its.current_table("device")
    if device_id >= table.entries:
        return 0, 0
    base, index = table.base, device_id
    if table.indirect:
        slot, index = divmod(device_id, table.per_page)
        page = its.l2_page(word_at(memory, table.base + slot * L1_ENTRY_SIZE) or 0, table.page_bytes)
        if page is None:
            return 0, 0
        base = page
    device = DTE.decode(word_at(memory, base + index * table.entry_bytes) or 0)
    return (device.itt_addr, itt_bytes(device.size, its.ite_bytes)) if device.valid else (0, 0)
