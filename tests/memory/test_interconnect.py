"""The one way to memory: bounds, the watcher, and the view of agents that are not coherent."""

from __future__ import annotations

from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.memory.interconnect import Initiator, Interconnect, NonCoherentInterconnect, Shape, Why
from itsbox.memory.physmem import PhysMem

BASE = 0x4000_0000
SIZE = 16 * 4096
HOST, ITS = Initiator.HOST, Initiator.ITS
ENTRY = Shape(Struct("<QI"), (8, 4))


@pytest.fixture(params=[Interconnect, NonCoherentInterconnect])
def bus(request: pytest.FixtureRequest) -> Interconnect:
    """Both kinds of interconnect, over the same RAM."""
    kind: type[Interconnect] = request.param
    return kind(PhysMem(BASE, SIZE))


@pytest.mark.parametrize("addr", [BASE - 1, BASE + SIZE - 7, BASE + SIZE, 0, 1 << 51, (1 << 64) - 8])
def test_missing_memory_fails_the_transaction(bus: Interconnect, addr: int) -> None:
    """An access that is not wholly RAM reads None, writes False, and changes nothing."""
    before = bus.mem.digest()

    assert bus.read(ITS, addr, 8, Why.DTE) is None
    assert bus.load(ITS, addr, 8, Why.DTE) is None
    assert bus.unpack(ITS, addr, ENTRY, Why.DTE) is None
    assert not bus.write(ITS, addr, 8, 1, Why.DTE)
    assert not bus.store(ITS, addr, b"12345678", Why.DTE)
    assert not bus.fill(ITS, addr, 8, 1, Why.DTE)
    assert before == bus.mem.digest()


def test_the_watcher_hears_each_access_before_it_lands(bus: Interconnect) -> None:
    """Initiator, direction, address, length and reason are named while memory still has the old bytes."""
    heard = []
    bus.watch = lambda *access: heard.append((*access, bus.mem.read(BASE, 1)))
    bus.write(ITS, BASE, 1, 7, Why.DTE)

    assert heard[-1] == (ITS, True, BASE, 1, Why.DTE, 0)


def test_an_entry_comes_in_by_the_accesses_of_its_shape(bus: Interconnect) -> None:
    """The watcher hears of each access, in order, also where no memory answers."""
    heard: list[tuple[int, bool, int, int, str]] = []
    bus.watch = lambda *access: heard.append(access)
    bus.unpack(ITS, BASE + 24, ENTRY, Why.ITE)
    bus.unpack(ITS, BASE + SIZE - 8, ENTRY, Why.ITE)

    places = [(BASE + 24, 8), (BASE + 32, 4), (BASE + SIZE - 8, 8), (BASE + SIZE, 4)]
    assert heard == [(ITS, False, addr, size, Why.ITE) for addr, size in places]


@given(st.booleans(), st.integers(-16, 2 * 4096), st.binary(max_size=40), st.booleans())
def test_every_way_of_reading_sees_the_same_bytes(coherent: bool, offset: int, data: bytes, cleaned: bool) -> None:
    """Wherever a store lands, ``read`` and ``unpack`` answer what ``load`` answers, for the host and for the ITS."""
    bus = (Interconnect if coherent else NonCoherentInterconnect)(PhysMem(BASE, 2 * 4096))
    bus.store(HOST, BASE + max(0, offset), data, Why.HOST)
    if cleaned:
        bus.clean(BASE, 4096)
    for initiator in (HOST, ITS):
        for addr in range(BASE + offset - 12, BASE + offset + 44):
            raw = bus.load(initiator, addr, 12, Why.ITE)
            assert bus.unpack(initiator, addr, ENTRY, Why.ITE) == (None if raw is None else ENTRY.struct.unpack(raw))
            for size in (1, 2, 4, 8):
                raw = bus.load(initiator, addr, size, Why.DTE)
                expected = None if raw is None else int.from_bytes(raw, "little")
                assert bus.read(initiator, addr, size, Why.DTE) == expected


@given(st.integers(-16, 2 * 4096 + 16), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_a_write_is_a_store_of_its_bytes(offset: int, size: int, twice: bool) -> None:
    """In a page that exists and in one that does not, across pages and at the ends of RAM."""
    written, stored = (Interconnect(PhysMem(BASE, 2 * 4096)) for _ in range(2))
    data = bytes(range(0x81, 0x81 + size))
    done = [
        (
            written.write(ITS, BASE + offset, size, int.from_bytes(data, "little"), Why.DTE),
            stored.store(ITS, BASE + offset, data, Why.DTE),
        )
        for _ in range(1 + twice)
    ]
    inside = 0 <= offset <= 2 * 4096 - size

    assert done == [(inside, inside)] * (1 + twice)
    assert written.mem.load(BASE, 2 * 4096) == stored.mem.load(BASE, 2 * 4096)
    assert not inside or written.load(ITS, BASE + offset, size, Why.DTE) == data


def test_a_coherent_device_sees_a_store_at_once() -> None:
    """Without a cache model the ITS reads what the host has just stored."""
    bus = Interconnect(PhysMem(BASE, SIZE))
    bus.write(HOST, BASE, 8, 5, Why.HOST)

    assert bus.read(ITS, BASE, 8, Why.COMMAND) == 5


def test_a_missing_clean_is_visible() -> None:
    """The ITS sees memory as of the last clean; the host sees its own store."""
    bus = NonCoherentInterconnect(PhysMem(BASE, SIZE))
    bus.write(HOST, BASE + 60, 8, 0xAABB_CCDD_1122_3344, Why.HOST)

    assert bus.read(HOST, BASE + 60, 8, Why.HOST) == 0xAABB_CCDD_1122_3344
    assert bus.read(ITS, BASE + 60, 8, Why.COMMAND) == 0


def test_a_clean_publishes_the_lines_it_covers() -> None:
    """Only the cleaned 64-byte lines become visible to the ITS."""
    bus = NonCoherentInterconnect(PhysMem(BASE, SIZE))
    bus.store(HOST, BASE, b"\xff" * 128, Why.HOST)
    bus.clean(BASE, 1)

    assert b"\xff" * 64 + bytes(64) == bus.load(ITS, BASE, 128, Why.COMMAND)


def test_stale_lines_are_state() -> None:
    """What a snapshot keeps of the cache model brings the same view back."""
    bus = NonCoherentInterconnect(PhysMem(BASE, SIZE))
    bus.write(HOST, BASE, 8, 5, Why.HOST)
    kept = bus.state()
    bus.clean(BASE, 8)
    bus.set_state(kept)

    assert bus.read(ITS, BASE, 8, Why.COMMAND) == 0
