"""What the oracle remembers: extents by page, copies for snapshots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itsbox.oracle.world import Extent, RecordedTable, Use, World

ITT = (Use.ITT, 0, 7)


def test_an_extent_is_found_by_each_of_its_pages() -> None:
    """A table of three pages is found by each of them, and by no other."""
    world = World()
    world.put(ITT, Extent(0x4000_0F00, 0x2000, True))

    assert [pfn for pfn, _, _ in world.users(range(0x3FFFF, 0x40005))] == [0x40000, 0x40001, 0x40002]


def test_a_new_extent_takes_the_place_of_the_old() -> None:
    """A device that is mapped anew is found at its new place only."""
    world = World()
    world.put(ITT, Extent(0x4000_0000, 0x1000, True))
    world.put(ITT, Extent(0x4100_0000, 0x1000, True))

    assert not list(world.users([0x40000]))
    assert [key for _, key, _ in world.users([0x41000])] == [ITT]


def test_two_extents_may_share_a_page() -> None:
    """Forgetting one leaves the other."""
    world = World()
    other = (Use.ITT, 0, 8)
    world.put(ITT, Extent(0x4000_0000, 0x100, True))
    world.put(other, Extent(0x4000_0100, 0x100, True))
    world.put(ITT, None)

    assert [key for _, key, _ in world.users([0x40000])] == [other]


def test_a_table_that_rests_is_found_again() -> None:
    """With its table an ITS loses sight of its devices, not of vPEs nor of another ITS's devices; with it they come back."""
    world = World()
    extent, other = Extent(0x4000_0000, 0x100, True), Extent(0x4100_0000, 0x100, True)
    for key in (ITT, (Use.ITT, 1, 7), (Use.VPT, 0, 7)):
        world.put(key, extent)
    world.rest(Use.ITT, 0, 0x4200_0000)
    world.wake(Use.ITT, 0, 0x4300_0000)
    assert set(world.extents) == {(Use.ITT, 1, 7), (Use.VPT, 0, 7)}

    world.put(ITT, other)
    world.rest(Use.ITT, 0, 0x4300_0000)
    world.wake(Use.ITT, 0, 0x4200_0000)
    assert world.extents[ITT] == extent
    world.rest(Use.ITT, 0, 0x4200_0000)
    world.wake(Use.ITT, 0, 0x4300_0000)
    assert world.extents[ITT] == other


def test_level_1_is_found_by_address() -> None:
    """An address inside level 1 of a two-level table finds it; flat tables have none."""
    world = World()
    indirect = RecordedTable(0x4200_0000, 0x1_0000, "device", True, 0x1_0000, 8192)
    world.record_table(0, 0, indirect)
    world.record_table(0, 1, indirect._replace(addr=0x4300_0000, indirect=False))

    assert world.table_at(0x4200_FFF8) == ((0, 0), indirect)
    assert world.table_at(0x4201_0000) is None
    assert world.table_at(0x4300_0000) is None


STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(1, 0x3000)))),
    max_size=30,
)  # fmt: skip


@given(STEPS, STEPS)
def test_a_snapshot_does_not_see_later_changes(
    before: list[tuple[int, object]], after: list[tuple[int, object]]
) -> None:
    """What ``state`` gave is what ``set_state`` takes back, whatever happened in between, in this world or another."""

    def play(world: World, steps: list[tuple[int, object]]) -> None:
        for device_id, place in steps:
            extent = Extent(0x4000_0000 + place[0] * 0x800, place[1], True) if isinstance(place, tuple) else None
            world.put((Use.ITT, 0, device_id), extent)
            world.give(0x40000 + device_id, "queue" if extent else None)

    world, other = World(), World()
    play(world, before)
    saved = world.state()
    copy = [dict(part) for part in saved]
    other.set_state(saved)
    play(world, after)
    play(other, after)

    assert [dict(part) for part in saved] == copy
    assert world.state() == other.state()
    world.set_state(saved)
    assert [dict(part) for part in world.state()] == copy


@given(STEPS)
def test_the_index_is_exact(steps: list[tuple[int, object]]) -> None:
    """``mapped`` finds exactly the pages of the extents, and ``in_block`` keeps nothing else, after any sequence of changes."""
    world = World()
    for device_id, place in steps:
        extent = Extent(0x4000_0000 + place[0] * 0x800, place[1], True) if isinstance(place, tuple) else None
        world.put((Use.ITT, 0, device_id), extent)
    expected: dict[int, set[object]] = {}
    for key, extent in world.extents.items():
        for pfn in extent.pages:
            expected.setdefault(pfn, set()).add(key)

    frames = range(0x3FFF0, 0x40100)
    assert {pfn: found for pfn in frames if (found := {key for key, _ in world.mapped(pfn)})} == expected
    assert {key for keys in world.in_block.values() for key in keys} == set(world.extents)


def test_a_table_ends_where_memory_ends() -> None:
    """Of a table that a wrong ITS takes for gigabytes only what lies in memory counts."""
    world = World(end=0x4010_0000)
    for addr, length in ((0x400F_0000, 1 << 40), (0x4020_0000, 1 << 40)):
        world.put(ITT, Extent(addr, length, True))
        assert len(world.in_block) == 1
    world.put(ITT, Extent(0x400F_0000, 0x1_0000, True))
    assert world.extents[ITT].length == 0x1_0000


def test_a_restore_knows_level_1_again() -> None:
    """The frames of level 1 go with the tables that are recorded."""
    world, other = World(), World()
    indirect = RecordedTable(0x4200_0000, 0x1_0000, "device", True, 0x1_0000, 8192)
    empty = world.state()
    world.record_table(0, 0, indirect)
    taken = world.state()
    other.set_state(taken)
    assert other.level_1 == world.level_1 == set(range(0x42000, 0x42010))
    other.set_state(empty)
    assert other.level_1 == set()
    world.level_1 = {1}
    world.set_state(world.state())
    assert world.level_1 == {1}  # the same tables: nothing to find anew


def test_an_extent_covers_its_pages() -> None:
    """From the page of its first byte to the page of its last, and no further."""
    extent = Extent(0x4000_0FFF, 0x1001, True)  # its last byte is the last of a page
    assert [pfn for pfn in range(0x3FFFF, 0x40004) if extent.covers(pfn)] == [0x40000, 0x40001]
    assert list(extent.pages) == [0x40000, 0x40001]
