"""Where commands are put in the ring."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox_client import commands as its
from itsbox_client.problems import QueueError
from itsbox_client.queue import HostQueue

BASE, SIZE = 0x4100_0000, 0x1_0000


def _sync(n: int) -> its.SYNC:
    return its.SYNC(rd_base=n)


def test_a_command_goes_to_the_write_pointer() -> None:
    """One command is one store, and GITS_CWRITER moves by one slot."""
    placed = HostQueue(BASE, SIZE, cwriter=0x400, creadr=0x400).place([_sync(1)])

    assert placed.stores == ((BASE + 0x400, its.encode(_sync(1))),)
    assert (placed.slots, placed.cwriter) == ((32,), 0x420)


def test_commands_that_reach_the_end_go_on_at_the_base() -> None:
    """A run that wraps is two stores; slots count from 0 again."""
    placed = HostQueue(BASE, SIZE, cwriter=SIZE - 0x20, creadr=SIZE - 0x20).place([_sync(1), _sync(2), _sync(3)])

    assert placed.stores == (
        (BASE + SIZE - 0x20, its.encode(_sync(1))),
        (BASE, its.encode(_sync(2)) + its.encode(_sync(3))),
    )
    assert (placed.slots, placed.cwriter) == ((2047, 0, 1), 0x40)


def test_the_last_slot_alone_wraps_to_offset_zero() -> None:
    """After the last slot GITS_CWRITER is 0, with no store at the base."""
    placed = HostQueue(BASE, SIZE, cwriter=SIZE - 0x20, creadr=0x100).place([_sync(1)])

    assert (len(placed.stores), placed.slots, placed.cwriter) == (1, (2047,), 0)


def test_an_empty_ring_takes_one_command_less_than_it_has_slots() -> None:
    """One slot stays free, or a full ring would look empty."""
    queue = HostQueue(BASE, SIZE, cwriter=0, creadr=0)

    assert queue.free == 2047
    with pytest.raises(QueueError, match="2048 commands for a queue with room for 2047"):
        queue.place([_sync(1)] * 2048)


def test_a_ring_that_does_not_drain_is_full_behind_the_read_pointer() -> None:
    """Commands never overtake what the ITS has not read."""
    assert HostQueue(BASE, SIZE, cwriter=0x3E0, creadr=0x400).free == 0


@settings(derandomize=True)
@given(st.integers(0, 127), st.integers(0, 127), st.data())
def test_what_is_placed_stays_within_the_ring_and_off_unread_slots(write: int, read: int, data: st.DataObject) -> None:
    """Whatever the pointers, commands go to free slots, in order, and the pointer ends behind the last."""
    size = 128 * 32
    queue = HostQueue(BASE, size, write * 32, read * 32)
    count = data.draw(st.integers(0, queue.free))

    placed = queue.place([_sync(n) for n in range(count)])

    unread = {(read + n) % 128 for n in range((write - read) % 128)}
    assert not unread & set(placed.slots)
    assert placed.slots == tuple((write + n) % 128 for n in range(count))
    assert placed.cwriter == (write + count) % 128 * 32
    assert all(addr >= BASE and addr + len(chunk) <= BASE + size for addr, chunk in placed.stores)


def test_the_host_queue_is_used_once_there_is_one() -> None:
    """After the switch-over the host has its own queue; before it, the hardware's is the host's too."""
    hw = {"base": 0x100, "size": SIZE, "cwriter": 64, "creadr": 32}
    host = {"base": 0x200, "size": SIZE, "cwriter": 96, "creadr": 96}

    assert HostQueue.from_view({"host": None, "hw": hw}) == HostQueue(0x100, SIZE, 64, 32)
    assert HostQueue.from_view({"host": host, "hw": hw}) == HostQueue(0x200, SIZE, 96, 96)


def test_without_a_queue_there_is_a_plain_error() -> None:
    """A machine at reset has none; the error says what to do."""
    with pytest.raises(QueueError, match="GITS_CBASER is not valid"):
        HostQueue.from_view({"host": None, "hw": {"base": 0, "size": 0, "cwriter": 0, "creadr": 0}})
