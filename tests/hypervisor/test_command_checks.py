"""Checks of physical commands beyond what the knobs show: targets by address, collections, moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.its_commands import MAPC, MAPD, MAPI, MOVI, SYNC
from itsbox.hardware.profile import PROFILES
from itsbox.hypervisor.tracking import Key, Tracking
from itsbox.machine import Machine, MachineConfig
from tests.hypervisor.box import VALID, Box

PTA = 1 << 19


def by_address() -> Box:
    """A machine on which RDbase is a redistributor's address (GITS_TYPER.PTA)."""
    config = MachineConfig.make(hardening="strict", start="bare", oracle="off")
    virt = PROFILES["virt-gicv3"]
    box = Box(session={"start": "bare"})
    box.machine = Machine(replace(config, profile=replace(virt, its_typer=virt.its_typer | PTA)))
    tables = box.program()
    box.finalise()
    assert getattr(box.hand_over(tables), "errno", "") is None
    return box


def test_a_target_may_be_an_address() -> None:
    """Only the frames of redistributors pass: anything else would be a bus message to a place of the host's choice."""
    box = by_address()
    frames = [(box.map.gicr + cpu * box.map.gicr_stride) >> 16 for cpu in range(4)]
    assert box.verdicts(*(SYNC(rd_base=frame) for frame in frames)) == ["executed"] * 4

    wrong = (0, 1, frames[0] + 1, frames[3] + 2, box.map.hyp >> 16, box.map.its >> 16)
    assert set(box.verdicts(*(SYNC(rd_base=base) for base in wrong))) == {"rd_base_unknown"}
    assert set(box.verdicts(*(MAPC(icid=0, rd_base=base, valid=1) for base in wrong))) == {"rd_base_unknown"}


def test_the_other_event_commands() -> None:
    """MAPI takes its EventID for the INTID; MOVI needs a collection."""
    box = Box()
    box.verdicts(MAPD(device_id=1, size=13, itt_addr=box.page(0), valid=1))
    assert box.verdicts(
        MAPI(device_id=1, event_id=8192, icid=0), MAPI(device_id=1, event_id=8191, icid=0),
        MAPI(device_id=1, event_id=16384, icid=0), MOVI(device_id=1, event_id=8192, icid=1),
        MOVI(device_id=1, event_id=8192, icid=9000), MOVI(device_id=2, event_id=0, icid=1),
    ) == ["executed", "intid_range", "event_id_range", "executed", "icid_range", "device_not_mapped"]  # fmt: skip


def test_a_two_level_collection_table_is_mirrored_by_any_command() -> None:
    """Strict: MAPC and MAPI of a collection behind a new level-2 page take that page."""
    box = Box(session={"start": "bare"})
    tables = box.program(collections=1)
    box.finalise()
    assert getattr(box.hand_over(tables), "errno", "") is None
    assert box.verdicts(MAPD(device_id=1, size=13, itt_addr=box.page(5), valid=1)) == ["executed"]
    command = MAPI(device_id=1, event_id=8192, icid=8192)
    assert box.verdicts(command) == ["l1_entry_invalid"]
    box.add_l2(1, box.page(40) | VALID, "collection")

    assert box.verdicts(command) == ["executed"]
    assert box.describe(box.page(40))[0] == "hyp"
    assert box.verdicts(MAPC(icid=16384, rd_base=0, valid=1)) == ["l1_entry_invalid"]


def test_devices_are_not_asked_for_where_mapd_is_not_watched() -> None:
    """Strict with mapd_check off keeps no records: ranges and level 1 are what is left to check."""
    box = Box("strict", mapd_check="off")
    box.verdicts(MAPD(device_id=1, size=3, itt_addr=box.page(0), valid=1))

    assert box.verdicts(MAPI(device_id=1, event_id=8192, icid=0)) == ["error"]
    assert box.verdicts(MAPI(device_id=65536, event_id=8192, icid=0)) == ["device_id_range"]
    box.add_l2(1, box.page(1) | VALID)
    assert box.verdicts(MOVI(device_id=8192, event_id=0, icid=0)) == ["error"]
    assert box.describe(box.page(1))[0] == "hyp"


def test_an_unmapping_that_names_a_million_pages_looks_at_those_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RFC goes by the command's Size, of which it checks nothing: the host must not buy hours with one command."""
    box = Box("rfc-v1", itt_alignment="none")
    assert box.verdicts(MAPD(device_id=1, size=4, itt_addr=box.page(0), valid=1)) == ["executed"]
    asked: list[int] = []
    holders = Tracking.holders

    def counted(tracking: Tracking, pfn: int) -> list[Key]:
        asked.append(pfn)
        return holders(tracking, pfn)

    monkeypatch.setattr(Tracking, "holders", counted)

    assert box.verdicts(MAPD(device_id=2, size=27, itt_addr=box.page(0), valid=0)) == ["error"]

    assert len(asked) < 10
    assert box.describe(box.page(0)) == ("host", "OWNED", 0)
