"""How much memory a session may still take, answered cheaply before each request and exactly when it matters.

What counts is what the process really keeps: each distinct page that the machine or one of its snapshots holds, once. A
page that is filled with one byte is shared by all who have it and counts as ``UNIFORM_BYTES``, for its table entry.
Counting is a walk over every page, so ``left`` is kept as a lower bound and only a request that it cannot answer pays for
the walk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE
from itsbox.machine import Machine
from itsbox.ops import Ack, Clean, Fill, Load, MmioRead, Op, Store
from itsbox.sessions.errors import CapExceeded

__all__ = ["MemoryBudget", "kept_bytes"]

UNIFORM_BYTES: Final = 256

_READS: Final = (MmioRead, Load, Ack, Clean)

_Pages = Mapping[int, bytes | bytearray]


def kept_bytes(tables: Iterable[_Pages]) -> int:
    """Bytes that page tables keep together: distinct pages once, entries of uniform pages by their cost."""
    own: set[int] = set()
    uniform = 0
    for pages in tables:
        for page in pages.values():
            if isinstance(page, bytes):  # only a page filled with one byte is immutable by type
                uniform += 1
            else:
                own.add(id(page))
    return len(own) * PAGE_SIZE + uniform * UNIFORM_BYTES


def _quick_need(ops: Sequence[Op]) -> int | None:
    """An upper bound for a batch without fills: two pages a store and what it carries. None if there are fills."""
    total = 0
    for op in ops:
        if type(op) is Store:
            total += 2 * PAGE_SIZE + len(op.data)
        elif type(op) is Fill:
            return None
    return total


def _need(machine: Machine, ops: Sequence[Op]) -> int:
    """Bytes that the stores and fills of a batch add, but for what the ops between them do."""
    memory = machine.memory
    writable = memory.writable
    own: set[int] = set()
    uniform = 0
    for op in ops:
        if type(op) is Store:
            length = len(op.data)
        elif type(op) is Fill:
            length = op.length
        else:
            continue
        low, high = max(op.addr, memory.base), min(op.addr + length, memory.end)
        if low >= high:
            continue  # not RAM: nothing lands
        first, last = low >> PAGE_SHIFT, (high - 1) >> PAGE_SHIFT
        if type(op) is Fill:
            uniform += last - first + 1
            own.update(pfn for pfn in (first, last) if pfn not in writable)
        else:
            own.update(pfn for pfn in range(first, last + 1) if pfn not in writable)
    return len(own) * PAGE_SIZE + uniform * UNIFORM_BYTES


class MemoryBudget:
    """The memory account of one session.

    Invariant: ``left`` is never more than what is really left.
    """

    __slots__ = ("cap", "left")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.left = 0

    def fits(self, machine: Machine, ops: Sequence[Op]) -> bool:
        """Whether the ops surely fit; False means that it takes a ``count`` to know."""
        need = _quick_need(ops)
        return self.left >= 0 and (_need(machine, ops) if need is None or need > self.left else need) <= self.left

    def count(self, machine: Machine, snapshots: Iterable[_Pages]) -> None:
        """Walk the pages and set ``left`` to what is left."""
        self.left = self.cap - kept_bytes([machine.memory.pages, *snapshots])

    def check(self, machine: Machine, ops: Sequence[Op]) -> None:
        """After a ``count``: raise ``CapExceeded`` if these ops do not fit. Nothing has run by then.

        A session that is over its cap already (the machine's own writes are seen only afterwards) may still be read.
        """
        need = _need(machine, ops)
        if need > self.left and (need or any(type(op) not in _READS for op in ops)):
            raise self.refusal(f"these ops would keep {need} more bytes of memory")

    def spend(self, pages: int) -> None:
        """Note that the machine has made this many pages its own."""
        self.left -= pages * PAGE_SIZE

    def refusal(self, why: str, **members: object) -> CapExceeded:
        """The 413 of this cap."""
        return CapExceeded("session_memory_bytes", self.cap, self.cap - self.left, why, status=413, **members)
