from __future__ import annotations

import pytest

from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Fill, Load, MmioRead, MmioWrite, Store
from itsbox.sessions.budget import UNIFORM_BYTES, MemoryBudget, kept_bytes
from itsbox.sessions.errors import CapExceeded

PAGE = 4096
RAM = 0x4000_0000


def machine() -> Machine:
    """A small bare machine."""
    return Machine(MachineConfig.make(hardening="off"))


def check(budget: MemoryBudget, of: Machine, *ops: Store | Fill | Load | MmioRead | MmioWrite) -> None:
    """Do as a session does: account, apply, spend."""
    if not budget.fits(of, ops):
        budget.count(of, [])
        budget.check(of, ops)
    before = len(of.memory.writable)
    for op in ops:
        of.apply(op)
    budget.spend(len(of.memory.writable) - before)


def test_a_page_that_is_written_counts_once() -> None:
    """Writing the same pages again needs no more memory."""
    of, budget = machine(), MemoryBudget(4 * PAGE)
    for _ in range(5):
        check(budget, of, Store(RAM, b"x" * 4 * PAGE))

    with pytest.raises(CapExceeded) as refused:
        check(budget, of, Store(RAM + 4 * PAGE, b"x"))

    assert refused.value.cap == "session_memory_bytes"
    assert refused.value.status == 413
    assert of.apply(Load(RAM + 4 * PAGE, 1)).data == b"\0"  # type: ignore[union-attr]


def test_a_store_beyond_ram_needs_nothing() -> None:
    """What does not land does not count, however long it is."""
    of, budget = machine(), MemoryBudget(2 * PAGE)

    check(budget, of, Store(0x1_0000_0000, b"x" * 100 * PAGE), Fill(0, RAM, 1))


def test_filled_pages_are_cheap_but_not_free() -> None:
    """A filled page is shared by all who have it; its table entry counts."""
    of, budget = machine(), MemoryBudget(20 * PAGE)
    check(budget, of, Fill(RAM, 200 * PAGE, 0xFF))

    assert kept_bytes([of.memory.pages]) == 200 * UNIFORM_BYTES

    with pytest.raises(CapExceeded):
        check(budget, of, Fill(RAM, 1 << 28, 0xFF))


def test_a_fill_of_the_whole_address_space_is_counted_not_walked_for_ever() -> None:
    """Only the part that is RAM matters."""
    of, budget = machine(), MemoryBudget(1 << 30)

    check(budget, of, Fill(0, (1 << 64) - 1, 0))


def test_pages_of_snapshots_count_until_they_are_dropped() -> None:
    """A page that is copied because a snapshot shares it is kept twice."""
    of, budget = machine(), MemoryBudget(6 * PAGE)
    check(budget, of, Store(RAM, b"x" * 4 * PAGE))
    snapshot = of.snapshot()
    again = Store(RAM, b"y" * 4 * PAGE)

    assert not budget.fits(of, [again])
    budget.count(of, [snapshot.image.pages])
    with pytest.raises(CapExceeded):
        budget.check(of, [again])


def test_a_session_over_its_cap_can_still_be_read() -> None:
    """What the machine wrote itself is seen afterwards; reads go on, writes do not."""
    of, budget = machine(), MemoryBudget(PAGE)
    of.apply(Store(RAM, b"x" * 3 * PAGE))

    check(budget, of, Load(RAM, 4), MmioRead(0x0808_0000, 4))
    budget.spend(1)
    with pytest.raises(CapExceeded):
        check(budget, of, MmioWrite(0x0808_0000, 4, 1))
