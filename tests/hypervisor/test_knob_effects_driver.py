"""What the knobs of the host driver do: a preset is a kernel too."""

from __future__ import annotations

from typing import Any

from itsbox.arch.its_registers import GITS_CBASER
from itsbox.ops import Drive, Drove
from tests.hypervisor.box import VALID, Box
from tests.hypervisor.shown import shows


def drive(box: Box, call: str, **args: Any) -> dict[str, Any]:
    """Ask the driver for something; its result."""
    outcome = box.machine.apply(Drive(call, args))
    assert isinstance(outcome, Drove), outcome
    result: dict[str, Any] = outcome.result
    return result


@shows("driver_handover")
def test_how_far_the_drivers_part_goes() -> None:
    """Before patch 6 nothing is handed over; from then on the driver goes on with a queue of its own."""
    for preset in ("forward", "rfc-v1@5"):
        assert drive(Box(preset, session={"start": "host"}), "deprivilege")["its"] == []
    box = Box("rfc-v1@6", session={"start": "host"})
    (its,) = drive(box, "deprivilege")["its"]

    assert int(its["host_queue"], 16) != GITS_CBASER.decode(box.hardware(GITS_CBASER)).physical_address


@shows("driver_itt_alignment")
def test_how_translation_tables_are_placed() -> None:
    """Linux packs small ones into a page; Android's kernel takes whole pages, because its hypervisor insists."""

    def offsets(preset: str) -> list[int]:
        box = Box(preset)
        for device_id in (1, 2):
            drive(box, "map_device", device_id=device_id, events=2)
        devices = box.machine.state()["devices"]
        return [int(device["itt"], 16) & 0xFFF for device in devices.values()]

    assert offsets("strict") == [0, 0x100]
    assert offsets("android-6.12") == [0, 0]


@shows("driver_table_free")
def test_what_is_freed_when_the_take_over_fails() -> None:
    """RFC: the first page of each copy of level 1; the rest is lost to the kernel. v2: all of it."""

    def lost(value: str) -> int:
        box = Box("strict", driver_table_free=value, session={"start": "host"})
        level_1 = int(box.machine.tables("device", "hw")["base"], 16)
        box.machine.memory.write(level_1 + 8 * 100, 8, box.map.hyp | VALID)  # a level-2 page that cannot be taken
        before = free_pages_of(box)
        assert drive(box, "deprivilege")["its"][0]["error"] == "EPERM"
        return before - free_pages_of(box)

    # The redistributors' private state, one page each, went over; the copy of level 1 has 16 pages.
    assert lost("whole") == 4
    assert lost("first_page") == 4 + 15


def free_pages_of(box: Box) -> int:
    """Pages that the driver's allocator has left."""
    return sum(len(blocks) << order for order, blocks in enumerate(box.machine.driver._state.pages))
