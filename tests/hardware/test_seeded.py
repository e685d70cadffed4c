"""Seeded defects at the ITS itself: each does its one thing wrongly, everything else rightly, and only where it is named."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import DISCARD, INV, MAPC, MAPD, MAPI, MAPTI, MOVALL, SYNC
from itsbox.arch.its_registers import GITS_BASER, GITS_CTLR, GITS_CWRITER
from itsbox.arch.its_tables import CTE, DTE
from itsbox.hardware.its import Its
from itsbox.hardware.seeded import ITS_DEFECTS, its_with
from itsbox.ops import Delivered, MmioWrite, Msi
from tests.rig import Rig

DEVICE = MAPD(device_id=7, size=4, itt_addr=Rig.ITT, valid=1)
COLLECTION = MAPC(icid=0, rd_base=0, valid=1)
EVENT = MAPTI(device_id=7, event_id=1, intid=8200, icid=0)
FLAT_ENTRIES = 65536
"""Of the rig's device table: as many as there are DeviceIDs."""


def rig_with(*defects: str, indirect: int = 0) -> Rig:
    """A rig whose ITS has some defects, tables programmed."""
    return Rig(quirks=dict.fromkeys(defects, True)).set_up(indirect=indirect)


def verdicts(rig: Rig, *commands: object) -> list[str]:
    """What became of commands."""
    return [str(record[3]) for record in rig.post(*commands)]  # type: ignore[arg-type]


def arrives(rig: Rig, event_id: int = 1) -> bool:
    """Whether a message of the device does."""
    outcome = rig.machine.apply(Msi(7, event_id))
    return isinstance(outcome, Delivered) and outcome.delivered


def again(rig: Rig) -> None:
    """Switch the ITS off and on, which makes it look at its registers."""
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)


def test_a_machine_without_defects_has_a_plain_its() -> None:
    """Nothing of this is in its way; a quirk that is false seeds nothing."""
    assert its_with(()) is Its
    assert {type(node) for node in Rig(quirks={"stale_tables": False}).machine.its} == {Its}
    assert type(Rig(quirks={"stale_tables": True}).machine.its[0]) is not Its


@pytest.mark.parametrize("name", ITS_DEFECTS)
def test_a_defect_says_who_had_it_and_sits_somewhere(name: str) -> None:
    """Its row has an origin, a sentence, and exactly one place where it is wrong."""
    defect = ITS_DEFECTS[name]
    places = (defect.commands or None, defect.tables, defect.queue, defect.stalls, defect.unread, defect.profile)

    assert defect.origin
    assert defect.doc.endswith(".")
    assert sum(place is not None for place in places) == 1


@pytest.mark.parametrize("name", ITS_DEFECTS)
def test_a_machine_with_a_defect_can_be_saved_and_restored(name: str) -> None:
    """Same state, same hash, before commands and after."""
    rig = rig_with(name)
    saved, before = rig.machine.snapshot(), rig.machine.state_hash()
    first = verdicts(rig, DEVICE, COLLECTION, EVENT, SYNC(rd_base=0))
    after = rig.machine.state_hash()
    rig.machine.restore(saved)
    rig.cwriter = 0

    assert rig.machine.state_hash() == before
    assert verdicts(rig, DEVICE, COLLECTION, EVENT, SYNC(rd_base=0)) == first
    assert rig.machine.state_hash() == after


@pytest.mark.parametrize("name", sorted(ITS_DEFECTS.keys() - {"baser_without_type", "ite_overlap"}))
def test_what_is_not_the_defect_is_right(name: str) -> None:
    """An honest device, collection and event are mapped, and the device's message arrives at CPU 0."""
    rig = rig_with(name)

    assert verdicts(rig, DEVICE, COLLECTION, EVENT) == ["executed"] * 3
    assert arrives(rig)
    assert rig.machine.redistributors[0].pending() == [8200]


def test_defects_add_up() -> None:
    """Two at once: the entry stays, and so does the device."""
    rig = rig_with("discard_keeps_ite", "mapd_keeps_dte")
    rig.post(DEVICE, COLLECTION, EVENT, DISCARD(device_id=7, event_id=1), DEVICE.replace(valid=0))

    assert arrives(rig)


def test_tables_that_survive_are_state() -> None:
    """What an ITS believes of its tables depends on what they were: two machines with the same registers differ."""
    rig, other = rig_with("stale_tables"), rig_with("stale_tables")
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    old = rig.gits(GITS_BASER.OFFSET)
    rig.gits(GITS_BASER.OFFSET, GITS_BASER.decode(old).replace(physical_address=Rig.DEVICES_L2).word())
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)
    rig.post(DEVICE)

    assert rig.machine.physical(Rig.DEVICES + 56, 8) != bytes(8)
    assert rig.machine.physical(Rig.DEVICES_L2 + 56, 8) == bytes(8)
    rig.machine.restore(rig.machine.snapshot())
    assert rig.machine.its[0].device_table.base == Rig.DEVICES
    assert other.machine.state_hash() != rig.machine.state_hash()


def test_later_tables_stay_what_they_were_behind_one_that_is_not_valid() -> None:
    """``stale_parameters``: with the device table withdrawn a new collection table is not read."""
    rig = rig_with("stale_parameters")
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    rig.gits(GITS_BASER.OFFSET, 0)
    rig.gits(
        GITS_BASER.OFFSET + 8,
        GITS_BASER.decode(rig.gits(GITS_BASER.OFFSET + 8)).replace(physical_address=Rig.VPES).word(),
    )
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)

    assert rig.machine.its[0].collection_table.base == Rig.COLLECTIONS
    assert rig.machine.its[0].device_table.entries == 0


@pytest.mark.parametrize("name, device_id, lands", [
    ("table_bound_off_by_one", FLAT_ENTRIES, True),
    ("table_bound_off_by_one", FLAT_ENTRIES + 1, False),
    ("device_id_unbounded", FLAT_ENTRIES + 1000, True),
])  # fmt: skip
def test_a_device_behind_the_table(name: str, device_id: int, lands: bool) -> None:
    """One past the end with > for >=, anything without a bound; the entry is where the id points."""
    rig = rig_with(name)
    rig.post(DEVICE.replace(device_id=device_id))
    entry = rig.machine.physical(Rig.DEVICES + 8 * device_id, 8)

    assert (entry == DTE.STRUCT.pack(*DTE(valid=1, size=4, itt_addr=Rig.ITT).encode())) == lands


def test_a_level_2_entry_by_the_wrong_size() -> None:
    """``entry_size_wrong``: a page of 64 KB has 9362 entries of seven bytes, but index 8192 and up are behind its end."""
    rig = rig_with("entry_size_wrong", indirect=2)
    rig.post(DEVICE.replace(device_id=8192))

    assert rig.machine.physical(Rig.DEVICES_L2 + 0x1_0000, 8) != bytes(8)
    rig.post(DEVICE.replace(device_id=9362))
    assert rig.machine.physical(Rig.DEVICES_L2 + 0x1_0000, 16)[8:] == bytes(8)


@pytest.mark.parametrize("name, command", [
    ("size_unbounded", DEVICE.replace(size=16)),
    ("event_id_unbounded", EVENT.replace(event_id=32)),
    ("intid_unbounded", EVENT.replace(intid=3)),
    ("missing_itt_accepted", EVENT.replace(device_id=9)),
    ("rd_base_off_by_one", COLLECTION.replace(icid=9, rd_base=4)),
])  # fmt: skip
def test_what_should_be_refused_is_carried_out(name: str, command: object) -> None:
    """Each with its check gone, and refused with any other defect."""
    missing = MAPD(device_id=9, size=4, itt_addr=Rig.NOWHERE, valid=1)
    other = "discard_keeps_ite"

    assert verdicts(rig_with(name), DEVICE, missing, COLLECTION, command)[-1] == "executed"
    assert verdicts(rig_with(other), DEVICE, missing, COLLECTION, command)[-1] != "executed"


def test_other_limits_stay_where_one_is_gone() -> None:
    """A redistributor beyond the one more, a collection, a device that is not mapped."""
    off_by_one, unbounded = rig_with("rd_base_off_by_one"), rig_with("event_id_unbounded")

    assert verdicts(off_by_one, COLLECTION.replace(rd_base=5)) == ["error"]
    assert verdicts(unbounded, EVENT, DEVICE, EVENT.replace(icid=0xFFFF), EVENT.replace(intid=3)) == [
        "error", "executed", "error", "error",
    ]  # fmt: skip


def test_a_collection_may_point_nowhere() -> None:
    """``rd_base_off_by_one``: the entry says CPU 4 of 4, and messages to it are lost, not answered by another CPU."""
    rig = rig_with("rd_base_off_by_one")
    rig.post(DEVICE, COLLECTION.replace(rd_base=4), EVENT)

    assert CTE.decode(int.from_bytes(rig.machine.physical(Rig.COLLECTIONS, 8) or b"", "little")).rd_base == 4
    assert not arrives(rig)


def test_movall_empties_every_redistributor() -> None:
    """``movall_takes_all``: what CPU 2 had pending is CPU 1's, and what CPU 1 had stays."""
    rig = rig_with("movall_takes_all")
    rig.post(DEVICE, COLLECTION.replace(rd_base=2), EVENT)
    assert arrives(rig)
    rig.post(MOVALL(rd_base1=0, rd_base2=1))

    assert [gicr.pending() for gicr in rig.machine.redistributors] == [[], [8200], [], []]


def test_mapi_looks_for_an_intid_that_it_does_not_have() -> None:
    """``mapi_as_mapti``: with a number in the reserved field the event goes there, without one it is refused."""
    rig = rig_with("mapi_as_mapti")
    rig.post(DEVICE.replace(size=13), COLLECTION)

    assert verdicts(rig, MAPI(device_id=7, event_id=8192, icid=0)) == ["error"]


def test_the_queue_goes_on_behind_its_end() -> None:
    """``queue_never_wraps``: slot 2048 of 2048 is read, and the last offset that GITS_CREADR can say is 2^20 - 32."""
    rig = rig_with("queue_never_wraps")
    rig.post(*[SYNC(rd_base=0)] * 2047)
    rig.machine.apply(MmioWrite(rig.map.its + GITS_CWRITER.OFFSET, 8, Rig.QUEUE_BYTES + 64))

    assert rig.creadr == Rig.QUEUE_BYTES + 64
    rig.machine.apply(MmioWrite(rig.map.its + GITS_CWRITER.OFFSET, 8, 32))
    assert rig.creadr == 32


def test_stalling_and_going_on_are_exchanged() -> None:
    """``stall_mixed_up``: an error stops the queue; a table in missing memory does not."""
    bad = INV(device_id=7, event_id=3)
    missing = MAPD(device_id=9, size=4, itt_addr=Rig.NOWHERE, valid=1)

    assert verdicts(rig_with("stall_mixed_up"), DEVICE, bad, COLLECTION) == ["executed", "stalled"]
    assert verdicts(rig_with("stall_mixed_up"), missing, EVENT.replace(device_id=9), COLLECTION)[-1] == "executed"


def test_a_later_enable_does_not_repair_the_bound() -> None:
    """What the ITS believes is worked out each time from the registers, not from what it believed before."""
    rig = rig_with("table_bound_off_by_one")
    again(rig)
    again(rig)

    assert rig.machine.its[0].device_table.entries == FLAT_ENTRIES + 1
