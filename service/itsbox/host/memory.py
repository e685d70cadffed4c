"""The host kernel's memory: whole pages by order, as from a buddy allocator, and the pool that small ITTs come from.

The driver takes its memory from the first half of RAM; the rest is left untouched for whoever drives the machine by hand
(docs/reference/driver.md). All state is lists of integers, so a snapshot of the driver is a copy of it.

The ITT pool is a kernel ``gen_pool`` of whole pages in granules of 256 bytes (Linux, irq-gic-v3-its.c): the first ITT in
each fresh page is page-aligned and the next ones are not. The seed's hang hangs on that.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.smccc import Errno
from itsbox.arch.values import PAGE_SIZE, align_down, align_up
from itsbox.hardware.profile import MemoryMap
from itsbox.host.errors import KernelError
from itsbox.host.ranges import Ranges, give, take

__all__ = ["MAX_PAGE_ORDER", "alloc_itt", "alloc_pages", "free_itt", "free_pages", "order_of", "pages_at_boot"]

MAX_PAGE_ORDER: Final = 10
"""The largest allocation that the kernel's page allocator serves: 2^10 pages, 4 MiB."""

_KERNEL_IMAGE: Final = 2 << 20
"""Where the kernel itself lies, at the start of RAM."""
_ORDERS: Final = 32


def order_of(size: int) -> int:
    """The least order whose 2^order pages hold ``size`` bytes."""
    return max(0, (align_up(size, PAGE_SIZE) // PAGE_SIZE - 1).bit_length())


def pages_at_boot(where: MemoryMap) -> list[list[int]]:
    """The free lists of a booted kernel: per order the addresses of free blocks, each aligned to its size."""
    free: list[list[int]] = [[] for _ in range(_ORDERS)]
    addr = where.ram + _KERNEL_IMAGE
    end = align_down(where.ram + where.ram_bytes // 2, PAGE_SIZE)
    while addr < end:
        order = _ORDERS - 1
        while addr % (PAGE_SIZE << order) or addr + (PAGE_SIZE << order) > end:
            order -= 1
        free[order].append(addr)
        addr += PAGE_SIZE << order
    return free


def alloc_pages(free: list[list[int]], order: int) -> int:
    """Take 2^order pages, aligned to their size: the smallest block that will do, at the lowest address.

    Raises:
        KernelError: ENOMEM.
    """
    source = order
    while source < _ORDERS and not free[source]:
        source += 1
    if order > MAX_PAGE_ORDER or source == _ORDERS:
        raise KernelError(Errno.ENOMEM, f"no memory for {1 << order} pages")
    addr = free[source].pop(0)
    while source > order:
        source -= 1
        insort(free[source], addr + (PAGE_SIZE << source))
    return addr


def free_pages(free: list[list[int]], addr: int, order: int) -> None:
    """Give 2^order pages back; a free buddy is merged."""
    while order < _ORDERS - 1:
        size = PAGE_SIZE << order
        buddy = addr - size if addr % (2 * size) else addr + size
        if buddy not in free[order]:
            break
        free[order].remove(buddy)
        addr = min(addr, buddy)
        order += 1
    insort(free[order], addr)


def alloc_itt(pool: dict[int, Ranges], pages: list[list[int]], size: int) -> int:
    """Take an ITT of ``size`` bytes: whole pages from one page on, otherwise granules of the pool, newest page first.

    Raises:
        KernelError: ENOMEM.
    """
    if size >= PAGE_SIZE:
        return alloc_pages(pages, order_of(size))
    size = align_up(size, ITT_ALIGNMENT)
    for page in reversed(pool):
        offset = take(pool[page], size, best_fit=True)
        if offset is not None:
            return page + offset
    page = alloc_pages(pages, 0)
    pool[page] = [[size, PAGE_SIZE - size]]
    return page


def free_itt(pool: dict[int, Ranges], pages: list[list[int]], addr: int, size: int) -> None:
    """Give an ITT back. The pool keeps its pages for good, as a ``gen_pool`` does."""
    if size >= PAGE_SIZE:
        free_pages(pages, addr, order_of(size))
    else:
        page = align_down(addr, PAGE_SIZE)
        give(pool[page], addr - page, align_up(size, ITT_ALIGNMENT))
