"""The kernel's memory: aligned blocks of pages, and the pool of small ITTs."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.values import PAGE_SIZE
from itsbox.hardware.profile import PROFILES
from itsbox.host.errors import KernelError
from itsbox.host.memory import (
    MAX_PAGE_ORDER,
    alloc_itt,
    alloc_pages,
    free_itt,
    free_pages,
    order_of,
    pages_at_boot,
)
from itsbox.host.ranges import Ranges

_WHERE = PROFILES["virt-gicv3"].memory_map(64)


def test_all_memory_lies_in_the_first_half_of_ram() -> None:
    """The kernel's free memory begins after its image and ends at half of RAM, whatever the machine's size."""
    for ram_mib in (64, 65, 256, 4096):
        where = PROFILES["virt-gicv3"].memory_map(ram_mib)
        blocks = [(addr, PAGE_SIZE << order) for order, free in enumerate(pages_at_boot(where)) for addr in free]
        assert min(addr for addr, _ in blocks) > where.ram
        assert max(addr + size for addr, size in blocks) <= where.ram + where.ram_bytes // 2
        assert all(addr % size == 0 for addr, size in blocks)


@settings(derandomize=True, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=80))
def test_blocks_never_overlap_and_come_back_whole(steps: list[tuple[int, bool]]) -> None:
    """Random allocations are aligned and disjoint; once all are freed the free lists are those of the boot."""
    free = pages_at_boot(_WHERE)
    at_boot = copy.deepcopy(free)
    taken: list[tuple[int, int]] = []
    for order, giving in steps:
        if giving and taken:
            free_pages(free, *taken.pop(order % len(taken)))
            continue
        if not any(free[order:]):
            with pytest.raises(KernelError, match="ENOMEM"):
                alloc_pages(free, order)
            continue
        addr = alloc_pages(free, order)
        assert addr % (PAGE_SIZE << order) == 0
        assert all(addr + (PAGE_SIZE << order) <= other or other + (PAGE_SIZE << size) <= addr for other, size in taken)
        taken.append((addr, order))
    for addr, order in taken:
        free_pages(free, addr, order)
    assert free == at_boot


def test_the_kernel_serves_no_more_than_four_mebibytes_at_once() -> None:
    """Above MAX_PAGE_ORDER there is no memory, however much is free."""
    with pytest.raises(KernelError, match="ENOMEM"):
        alloc_pages(pages_at_boot(_WHERE), MAX_PAGE_ORDER + 1)


def test_the_first_itt_of_a_page_is_page_aligned_and_the_next_are_not() -> None:
    """Sixteen small ITTs fill a page 256 bytes apart; the seventeenth begins a new page, page-aligned."""
    pages = pages_at_boot(_WHERE)
    pool: dict[int, Ranges] = {}
    itts = [alloc_itt(pool, pages, 256) for _ in range(17)]
    assert [itt % PAGE_SIZE for itt in itts] == [256 * n for n in range(16)] + [0]


def test_a_freed_slot_is_used_again_before_a_new_page() -> None:
    """An ITT goes where it fits most tightly in the newest page that has room."""
    pages = pages_at_boot(_WHERE)
    pool: dict[int, Ranges] = {}
    first = alloc_itt(pool, pages, 256)
    alloc_itt(pool, pages, 512)
    free_itt(pool, pages, first, 256)
    assert alloc_itt(pool, pages, 256) == first


def test_an_itt_whose_size_is_no_power_of_two_takes_whole_granules() -> None:
    """Twelve-byte entries make 384-byte tables: the next one still begins at a multiple of 256."""
    pages = pages_at_boot(_WHERE)
    pool: dict[int, Ranges] = {}
    alloc_itt(pool, pages, 384)
    assert alloc_itt(pool, pages, 256) % PAGE_SIZE == 512


def test_an_itt_of_a_page_or_more_has_pages_of_its_own() -> None:
    """From one page on an ITT does not come from the pool, and its pages are given back."""
    pages = pages_at_boot(_WHERE)
    pool: dict[int, Ranges] = {}
    at_boot = copy.deepcopy(pages)
    itt = alloc_itt(pool, pages, PAGE_SIZE + 1)
    assert itt % (2 * PAGE_SIZE) == 0
    assert not pool
    free_itt(pool, pages, itt, PAGE_SIZE + 1)
    assert pages == at_boot


@pytest.mark.parametrize("size, order", [(1, 0), (4096, 0), (4097, 1), (8192, 1), (65536, 4), (65537, 5)])
def test_orders_are_rounded_up(size: int, order: int) -> None:
    """The least 2^order pages that hold the bytes."""
    assert order_of(size) == order
