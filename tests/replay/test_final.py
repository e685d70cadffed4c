"""The end of a replay: like is compared with like, by rules over registers and dumps."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.arch.its_tables import L1Entry
from itsbox.ops import MmioRead
from itsbox.replay import places
from itsbox.replay.final import compare_memory, compare_registers, compare_state, region_ops, register_ops, table_ops
from itsbox.replay.trace import End, Head, Region

RAM = 0x4000_0000
HEAD = Head("s", "S", "7", False, 4, 2, 256, 0x800_0000, 0x808_0000, 0x80A_0000, 0x4_0000, RAM, 1)
ITT0 = RAM + places.ITT
VALID, INDIRECT = 1 << 63, 1 << 62
FLAT: dict[str, int] = {
    "GITS_BASER0": VALID | RAM + places.DEVICE_TABLE | 1,  # two 4 KiB pages: 1024 devices
    "GITS_BASER1": VALID | RAM + places.COLLECTION_TABLE,
    "GITS_BASER2": VALID | RAM + places.VPE_TABLE,
    "GICR0_PENDBASER": RAM + places.PENDING,
    "GICR1_PENDBASER": RAM + places.PENDING + places.SLOT_BYTES,
}


def end(registers: dict[str, int] | None = None, memory: tuple[Region, ...] = (), **state: Any) -> End:
    """A final state."""
    whole = {"devices": {}, "collections": {}, "events": {}, "pending": {}, "vpes": {}, "vpending": {}, **state}
    return End(9, FLAT if registers is None else registers, {region.name: region for region in memory}, whole)


def differences(recorded: End, head: Head = HEAD, **state: Any) -> list[str]:
    """Where the machine's state differs from the recorded one."""
    return [difference.where for difference in compare_state(head, recorded, state)[0]]


def device(itt: int = ITT0, size: int = 4) -> dict[str, Any]:
    """A device's decoded entry."""
    return {"size": size, "itt": hex(itt)}


EVENT = {"intid": 8192, "icid": 0}


def test_equal_states_do_not_differ() -> None:
    """Every table, with addresses in either notation and VPTs by slot or by address."""
    recorded = end(
        devices={"8": device()}, collections={"0": {"rd": 1}}, events={"8": {"3": EVENT}}, pending={"1": [8192]},
        vpes={"2": {"rd": 0, "vptsize": 15, "vpt": "0x48010000"}}, vpending={"1": [8200]},
    )  # fmt: skip

    found = differences(
        recorded, devices={"8": {"size": 4, "itt": "0x0047000000"}}, collections={"0": {"rd": 1}}, events={"8": {"3": EVENT}},
        pending={"1": [8192]}, vpes={"2": {"rd": 0, "vptsize": 15, "vpt": "0x48010000"}}, vpending={"0x48010000": [8200]},
    )  # fmt: skip

    assert found == []


@pytest.mark.parametrize(
    "recorded, state, where",
    [
        (end(devices={"8": device()}), {}, "devices 8"),
        (end(), {"devices": {"1023": device()}}, "devices 1023"),
        (end(devices={"8": device()}), {"devices": {"8": device(size=5)}}, "devices 8"),
        (end(collections={"1": {"rd": 0}}), {"collections": {"1": {"rd": 1}}}, "collections 1"),
        (end(devices={"8": device()}, events={"8": {"0": EVENT}}), {"devices": {"8": device()}}, "events 8/0"),
        (end(devices={"8": device()}), {"devices": {"8": device()}, "events": {"8": {"5460": EVENT}}}, "events 8/5460"),
        (end(pending={"0": [8192, 8193]}), {"pending": {"0": [8193]}}, "pending 0/8192"),
        (end(), {"pending": {"1": [65535]}}, "pending 1/65535"),
        (end(), {"vpes": {"0": {"rd": 0, "vptsize": 1, "vpt": "0x0"}}}, "vpes 0"),
    ],
)
def test_a_difference_in_any_table_is_found(recorded: End, state: dict[str, Any], where: str) -> None:
    """Missing here, missing there, or other fields."""
    assert where in differences(recorded, **state)


@pytest.mark.parametrize(
    "recorded, state",
    [
        # beyond the table that the register describes
        (end(devices={"1024": device()}), {}),
        # the dump was shorter than the table
        (end(memory=(Region("device_table", 0, 4096, ()),)), {"devices": {"512": device()}}),
        # no dump of a one-page table: it reached 512 devices at least
        (end({**FLAT, "GITS_BASER0": VALID | RAM + places.DEVICE_TABLE | 2 << 8}), {"devices": {"512": device()}}),
        # a device's ITT outside of the recorder's slots, and the end of a slot
        (end(devices={"8": device(RAM)}), {"devices": {"8": device(RAM)}, "events": {"8": {"0": EVENT}}}),
        (end(devices={"8": device(size=15)}), {"devices": {"8": device(size=15)}, "events": {"8": {"5461": EVENT}}}),
        # INTIDs that no dump holds, or that are no LPIs
        (end(pending={"0": [100]}), {"pending": {"0": [65536]}}),
        # a pending table elsewhere
        (end({**FLAT, "GICR0_PENDBASER": RAM}), {"pending": {"0": [8192]}}),
        # a virtual pending table that no recorded vPE names
        (end(), {"vpending": {"0x48000000": [8192]}}),
    ],
)
def test_what_the_dumps_did_not_cover_is_not_compared(recorded: End, state: dict[str, Any]) -> None:
    """The recorded state is cut where the recorder looked no further."""
    assert differences(recorded, **state) == []


@pytest.mark.parametrize("value", [0, RAM + places.DEVICE_TABLE, VALID | RAM, VALID | RAM + places.COLLECTION_TABLE])
def test_a_table_that_has_moved_is_left_out_and_named(value: int) -> None:
    """Then the registers speak of other memory than the recording."""
    recorded = end({**FLAT, "GITS_BASER0": value}, devices={"8": device()})

    found, skipped = compare_state(HEAD, recorded, {})

    assert found == []
    assert [text.partition(":")[0] for text in skipped] == ["devices", "events"]


def level1(*pages: int) -> Region:
    """A dump of level-1 entries."""
    raw = b"".join(L1Entry.STRUCT.pack(*L1Entry(address=page, valid=int(page != 0)).encode()) for page in pages)
    return Region("device_table", RAM + places.DEVICE_TABLE, 4096, ((0, raw),))


def test_a_two_level_table_is_compared_where_its_level_1_is_as_recorded() -> None:
    """Behind an entry that was overwritten lies other memory."""
    l2 = RAM + places.DEVICE_TABLE_L2
    two_level = {**FLAT, "GITS_BASER0": VALID | INDIRECT | RAM + places.DEVICE_TABLE}
    intact = end(two_level, (level1(l2, l2 + 0x1000),))
    broken = end(two_level, (level1(0, l2 + 0x1000),))

    assert differences(intact, devices={"0": device(), "600": device(), "1024": device()}) == [
        "devices 0",
        "devices 600",
    ]
    assert differences(broken, devices={"0": device(), "600": device()}) == ["devices 600"]


def test_a_table_that_lost_its_second_level_is_left_out() -> None:
    """The dump is of the level-2 pages, the register now speaks of a flat table."""
    recorded = end(memory=(Region("device_table_l2", RAM + places.DEVICE_TABLE_L2, 8192, ()),))

    assert differences(recorded, devices={"0": device()}) == []


def test_a_client_is_compared_whole_but_for_its_guests() -> None:
    """Its tables were followed from the registers; what its guests acknowledged is unknown."""
    client = HEAD._replace(client=True)
    recorded = end({}, devices={"99999": device(RAM)}, vpending={"0": [1]})

    found, skipped = compare_state(client, recorded, {"vpending": {"0x48000000": [8192]}})

    assert [difference.where for difference in found] == ["devices 99999"]
    assert [text.partition(":")[0] for text in skipped] == ["vpending"]


def test_registers_are_read_where_the_map_says() -> None:
    """By name: the ITS's, and a redistributor's with its CPU."""
    recorded = end({"GITS_CTLR": 1, "GITS_BASER7": 0, "GICR1_CTLR": 3, "GICR0_VPENDBASER": 0})

    assert register_ops(HEAD, recorded) == [
        ("GITS_CTLR", MmioRead(0x808_0000, 4)),
        ("GITS_BASER7", MmioRead(0x808_0138, 8)),
        ("GICR1_CTLR", MmioRead(0x80E_0000, 4)),
        ("GICR0_VPENDBASER", MmioRead(0x80C_0078, 8)),
    ]
    values: dict[str, int | None] = {"GITS_CTLR": 1, "GITS_BASER7": 5, "GICR1_CTLR": None, "GICR0_VPENDBASER": 0}
    found = [(d.where, d.expected, d.got) for d in compare_registers("s", recorded, values)]
    assert found == [("GITS_BASER7", "0x0", "0x5"), ("GICR1_CTLR", "0x3", "nothing")]


@pytest.mark.parametrize("name", ["GITS_NOTHING", "GICRx_CTLR", "ICC_IAR1"])
def test_a_name_that_is_no_register_is_refused(name: str) -> None:
    """A recording of something else must not pass in silence."""
    with pytest.raises(ValueError, match=name):
        register_ops(HEAD, end({name: 0}))


def test_memory_differs_at_the_first_row() -> None:
    """A region without a dump was all zero; the row of 16 bytes that differs is shown."""
    recorded = end(memory=(Region("itt0", ITT0, 64, ((32, b"\x11" * 16),)),))
    same = {"itt0": (ITT0, bytes(32) + b"\x11" * 16 + bytes(16)), "itt1": (0, bytes(64))}
    other = {"itt0": (ITT0, bytes(64)), "itt1": (0x100, bytes(20) + b"\x01" + bytes(43))}

    assert list(compare_memory("s", recorded, same)) == []
    assert [(d.where, d.expected[:4], d.got[8:10]) for d in compare_memory("s", recorded, other)] == [
        ("itt0 at 0x47000020", "1111", "00"),
        ("itt1 at 0x110", "0000", "01"),
    ]


def test_the_fixed_regions_are_those_of_the_recorder() -> None:
    """Eight ITTs, a pending table for each CPU and, with virtual LPIs, eight VPTs; tables as far as they were dumped."""
    assert [name for name, _ in region_ops(HEAD)] == [
        *(f"itt{n}" for n in range(8)), "pending0", "pending1", *(f"vpt{n}" for n in range(8)),
    ]  # fmt: skip
    assert [name for name, _ in region_ops(HEAD._replace(gic=3, cpus=1))] == [
        *(f"itt{n}" for n in range(8)),
        "pending0",
    ]
    dumped = end(memory=(Region("device_table", 1, 2, ()), Region("itt3", 3, 4, ()), Region("vpe_table_l2", 5, 6, ())))
    assert [(name, op.addr, op.length) for name, op in table_ops(dumped)] == [
        ("device_table", 1, 2),
        ("vpe_table_l2", 5, 6),
    ]
