"""The abstract state: what its changes change and leave alone, and the tree that people read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from itsbox.oracle.abstract import (
    HOST_ALONE,
    PARTS,
    Abstract,
    AbstractIts,
    AbstractLpis,
    AbstractPage,
    AbstractTable,
    Regions,
    as_tree,
    page_at,
    part_tree,
)

REGIONS = Regions(ram=range(0x40, 0x80), hyp=range(0x70, 0x78), guest=range(0x60, 0x68))
SHARED, HYP, GUEST = AbstractPage("host", "hyp"), AbstractPage("hyp"), AbstractPage("guest")
ITS = AbstractIts(
    host_queue=0x4100_0000,
    host_bytes=0x2000,
    consumed=64,
    devices={0x1A: (0x4800_0000, 4)},
    vpes={0x2B: (0x4801_0000, 13, 0x4802_0000)},
    level_2={(1, 3): (0x4_8010, 16)},
    waiting=True,
    stopped=frozenset({0x4_80AB}),
    host_cwriter=96,
    hw_queue=0x4200_0000,
    tables=(AbstractTable(1, 0x4_9000, 2, 0x4_9ABC), AbstractTable(4, 0x4_A000, 1, 0)),
    enabled=False,
)
ITS_TREE = {
    "host queue": "0x41000000 0x2000",
    "hardware queue": "0x42000000",
    "consumed": 64,
    "host cwriter": 96,
    "enabled": False,
    "devices": {"0x1a": "0x48000000 size 4"},
    "vpes": {"0x2b": "0x48010000 size 13 0x48020000"},
    "waiting": True,
    "stopped": {"0x480ab": "held"},
    "level 2": {"type 1 entry 3": "16 pages at 0x48010"},
    "tables": {"type 1": "2 pages at 0x49000 copy 0x49abc", "type 4": "1 pages at 0x4a000 copy 0x0"},
}
LPIS = AbstractLpis(True, 0x4900_000F, 0x4901_0000, 0x4902_000E, 0x4903_0000)
STATE = Abstract(
    phase="deprivileged",
    pages={0x41: AbstractPage("host", "hyp", 2), 0x42: HYP, 0x43: AbstractPage("host", "guest"), 0x60: HOST_ALONE},
    its={0: ITS},
    registers={(0, "CTLR"): 0x1F, (1, "BASER0"): 0x2F},
    lpis={1: LPIS},
    finalised=frozenset({0}),
    quiesced={1: 0x1B},
    taken=frozenset({2}),
    held={3: (range(0x4_9000, 0x4_900E), range(0x4_9010, 0x4_9020))},
    resident={2: range(0x4_9030, 0x4_9033)},
    alive={0x1001: (0x44, 0x4A)},
    donated={0x4B: 0x1001},
    tracked={0x4C: 2},
)
TREES: dict[str, Any] = {
    "phase": "deprivileged",
    "pages": {"0x41": "host shared with hyp pins=2", "0x42": "hyp", "0x43": "host shared with guest", "0x60": "host"},
    "its": {"0": ITS_TREE},
    "registers": {"ITS 0 CTLR": "0x1f", "ITS 1 BASER0": "0x2f"},
    "lpis": {
        "CPU 1": {
            "enable_lpis": True, "propbaser": "0x4900000f", "pendbaser": "0x49010000", "vpropbaser": "0x4902000e",
            "vpendbaser": "0x49030000",
        },
    },
    "finalised": {"CPU 0": True},
    "quiesced": {"ITS 1": "0x1b"},
    "taken": {"CPU 2": True},
    "held": {"CPU 3": {"configuration": "14 pages at 0x49000", "pending": "16 pages at 0x49010"}},
    "resident": {"CPU 2": "3 pages at 0x49030"},
    "alive": {"0x1001": ["0x44", "0x4a"]},
    "donated": {"0x4b": "0x1001"},
    "tracked": {"0x4c": 2},
}  # fmt: skip


# ---------------------------------------------------------------- pages


def test_a_page_at_reset_is_its_regions() -> None:
    """The hypervisor's carve-out, the guest's, and all else the host's, each up to its border."""
    places = (0x6F, 0x70, 0x77, 0x78, 0x5F, 0x60, 0x67, 0x68, 0x1000)
    owners = ("host", "hyp", "hyp", "host", "host", "guest", "guest", "host", "host")

    assert [REGIONS.at_reset(pfn) for pfn in places] == [AbstractPage(owner) for owner in owners]
    assert AbstractPage("host", None, 0) == HOST_ALONE


def test_a_page_is_what_the_map_says_or_as_at_reset() -> None:
    """The map comes first, in a carve-out too."""
    state = Abstract("trusted", {0x41: SHARED, 0x70: HOST_ALONE}, {}, {}, {})

    assert [page_at(state, REGIONS, pfn) for pfn in (0x41, 0x42, 0x70, 0x71, 0x61)] == [
        SHARED, HOST_ALONE, HOST_ALONE, HYP, GUEST,
    ]  # fmt: skip


def test_changed_pages_are_kept_unless_they_are_as_at_reset() -> None:
    """Equality is meaningful: a page that came back leaves the map, one that was not in it stays out."""
    state = Abstract("trusted", {0x41: SHARED, 0x42: HYP, 0x43: SHARED}, {}, {}, {})
    changes = {0x41: HOST_ALONE, 0x44: HOST_ALONE, 0x42: GUEST, 0x60: HYP, 0x61: GUEST, 0x45: SHARED}

    after = state.with_pages(changes, REGIONS)

    assert after == Abstract("trusted", {0x42: GUEST, 0x43: SHARED, 0x60: HYP, 0x45: SHARED}, {}, {}, {})
    assert state.pages == {0x41: SHARED, 0x42: HYP, 0x43: SHARED}


# ---------------------------------------------------------------- other changes


@pytest.mark.parametrize(
    "change, tracked",
    [
        (1, {0x41: 2, 0x42: 3, 0x43: 1, 0x50: 1}),
        (-1, {0x42: 1, 0x50: 1}),
        (-2, {0x50: 1}),
        (0, {0x41: 1, 0x42: 2, 0x50: 1}),
    ],
)
def test_objects_are_counted_for_each_frame(change: int, tracked: dict[int, int]) -> None:
    """More or fewer for the frames of a range; what nothing holds is not kept, and other frames stay."""
    state = Abstract("trusted", {}, {}, {}, {}, tracked={0x41: 1, 0x42: 2, 0x50: 1})

    after = state.with_tracked(range(0x41, 0x44), change)

    assert after == Abstract("trusted", {}, {}, {}, {}, tracked=tracked)
    assert state.tracked == {0x41: 1, 0x42: 2, 0x50: 1}


def test_records_registers_and_redistributors_change_alone() -> None:
    """What is named changes, of one ITS or CPU; all the rest is the same."""
    other, cpu = AbstractIts(0x4300_0000, 0x1000, 32), AbstractLpis(False, 1, 2)
    state = Abstract("trusted", {}, {0: ITS, 1: other}, {(0, "CTLR"): 1, (1, "CTLR"): 2}, {0: cpu, 1: LPIS})

    assert state.with_its(1, consumed=96, enabled=False) == Abstract(
        "trusted", {}, {0: ITS, 1: AbstractIts(0x4300_0000, 0x1000, 96, enabled=False)}, state.registers, state.lpis
    )
    assert state.with_registers(1, CTLR=3, CBASER=4) == Abstract(
        "trusted", {}, state.its, {(0, "CTLR"): 1, (1, "CTLR"): 3, (1, "CBASER"): 4}, state.lpis
    )
    assert state.with_lpis(0, enable_lpis=True, pendbaser=7) == Abstract(
        "trusted", {}, state.its, state.registers, {0: AbstractLpis(True, 1, 7, 0, 0), 1: LPIS}
    )


# ---------------------------------------------------------------- for people


@pytest.mark.parametrize("name", [part.name for part in fields(Abstract)])
def test_each_part_is_shown(name: str) -> None:
    """With keys that people know, frames and addresses as hexadecimal."""
    assert part_tree(name, getattr(STATE, name)) == TREES[name]


def test_the_state_is_shown_part_by_part() -> None:
    """The whole tree, in the order of the parts."""
    tree = as_tree(STATE)

    assert tree == TREES
    assert list(tree) == list(PARTS) == list(TREES)


def test_what_is_no_state_is_shown_as_it_is() -> None:
    """A part without a form of its own stays what it is."""
    assert as_tree("trusted") == "trusted"
    assert part_tree("phase", "trusted") == "trusted"
