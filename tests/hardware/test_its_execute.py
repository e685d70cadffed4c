"""What each physical command does, and each of its predicates at the limit."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import (
    CLEAR,
    DISCARD,
    INT,
    INV,
    INVALL,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    SYNC,
    VMAPP,
)
from itsbox.arch.layout import Layout
from itsbox.ops import Delivered, MmioWrite, Msi, Store
from tests.rig import Rig

DEVICE = 16


@pytest.fixture
def rig() -> Rig:
    """A machine with four collections and a device of 32 events."""
    rig = Rig().set_up()
    rig.post(*(MAPC(icid=n, rd_base=n, valid=1) for n in range(4)))
    rig.post(MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    return rig


def mapti(event_id: int = 0, intid: int = 8192, icid: int = 0, device_id: int = DEVICE) -> MAPTI:
    """A MAPTI for the device."""
    return MAPTI(device_id=device_id, event_id=event_id, intid=intid, icid=icid)


def test_a_mapped_event_fires_where_its_collection_points(rig: Rig) -> None:
    """INT makes the LPI pending at the collection's redistributor; CLEAR takes it back."""
    rig.post(mapti(event_id=5, intid=8200, icid=2), INT(device_id=DEVICE, event_id=5))
    assert rig.pending(2) == [8200]
    rig.post(CLEAR(device_id=DEVICE, event_id=5))

    assert rig.pending(2) == []


def test_mapi_maps_the_event_to_its_own_number(rig: Rig) -> None:
    """MAPI uses the EventID as INTID."""
    rig.post(MAPD(device_id=3, size=13, itt_addr=Rig.ITT + 0x1_0000, valid=1), MAPI(device_id=3, event_id=8195, icid=1))

    assert rig.machine.state()["events"]["3"] == {"8195": {"intid": 8195, "icid": 1}}


def test_discard_unmaps_the_event_and_withdraws_the_lpi(rig: Rig) -> None:
    """After DISCARD the event is unmapped and nothing is pending."""
    rig.post(mapti(), INT(device_id=DEVICE, event_id=0), DISCARD(device_id=DEVICE, event_id=0))

    assert rig.pending(0) == []
    assert rig.verdicts(INT(device_id=DEVICE, event_id=0)) == ["error: INT_UNMAPPED_INTERRUPT"]


def test_movi_takes_a_pending_lpi_along(rig: Rig) -> None:
    """MOVI moves the pending state once: not lost, not doubled."""
    rig.post(mapti(), INT(device_id=DEVICE, event_id=0), MOVI(device_id=DEVICE, event_id=0, icid=3))

    assert (rig.pending(0), rig.pending(3)) == ([], [8192])
    rig.post(CLEAR(device_id=DEVICE, event_id=0))
    assert rig.pending(3) == []


def test_movall_moves_everything_and_merges(rig: Rig) -> None:
    """MOVALL adds the source's LPIs to the target's and leaves the source empty."""
    rig.post(mapti(0, 8192, 0), mapti(1, 8193, 1), mapti(2, 9000, 0))
    rig.post(*(INT(device_id=DEVICE, event_id=n) for n in range(3)), MOVALL(rd_base1=0, rd_base2=1))

    assert (rig.pending(0), rig.pending(1)) == ([], [8192, 8193, 9000])


def test_a_device_that_is_mapped_again_has_new_translations(rig: Rig) -> None:
    """MAPD of a mapped device replaces its ITT; with a smaller Size old events are out of range."""
    rig.post(mapti(event_id=20), MAPD(device_id=DEVICE, size=3, itt_addr=Rig.ITT, valid=1))

    assert rig.verdicts(INT(device_id=DEVICE, event_id=20)) == ["error: INT_ID_OOR"]


def test_an_unmapped_collection_drops_events_until_it_is_mapped(rig: Rig) -> None:
    """MAPC with V=0 keeps the ITEs: events are dropped, and delivered again after V=1."""
    rig.post(mapti(), MAPC(icid=0, rd_base=0, valid=0))
    assert rig.verdicts(INT(device_id=DEVICE, event_id=0)) == ["error: INT_ITE_INVALID"]
    rig.post(MAPC(icid=0, rd_base=1, valid=1), INT(device_id=DEVICE, event_id=0))

    assert rig.pending(1) == [8192]


def test_an_lpi_is_lost_where_lpis_are_off() -> None:
    """With EnableLPIs clear INT and MOVALL change nothing, and the command counts as executed."""
    rig = Rig().set_up(lpis_on=[0])
    rig.post(MAPC(icid=1, rd_base=1, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))

    assert rig.verdicts(mapti(icid=1), INT(device_id=DEVICE, event_id=0)) == ["executed", "executed"]
    assert rig.pending(1) == []


def test_an_lpi_beyond_propbaser_idbits_is_lost() -> None:
    """An INTID that GICR_PROPBASER.IDbits does not cover is dropped, although the ITS has it."""
    rig = Rig().set_up(id_bits=13)
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(mapti(0, 16383), mapti(1, 16384))
    rig.post(INT(device_id=DEVICE, event_id=0), INT(device_id=DEVICE, event_id=1))

    assert rig.pending(0) == [16383]


LIMITS = [
    (MAPD(device_id=0xFFFF, size=4, itt_addr=Rig.ITT, valid=1), None),
    (MAPD(device_id=0x1_0000, size=4, itt_addr=Rig.ITT, valid=1), "MAPD_DEVICE_OOR"),
    (MAPD(device_id=1, size=15, itt_addr=Rig.ITT, valid=1), None),
    (MAPD(device_id=1, size=16, itt_addr=Rig.ITT, valid=1), "MAPD_ITTSIZE_OOR"),
    (MAPD(device_id=1, size=31, itt_addr=0, valid=0), "MAPD_ITTSIZE_OOR"),
    (MAPC(icid=0x1FFF, rd_base=3, valid=1), None),
    (MAPC(icid=0x2000, rd_base=3, valid=1), "MAPC_COLLECTION_OOR"),
    (MAPC(icid=5, rd_base=4, valid=1), "MAPC_PROCNUM_OOR"),
    (MAPC(icid=5, rd_base=4, valid=0), None),
    (MAPC(icid=5, rd_base=0x1_0000, valid=1), None),
    (mapti(event_id=31), None),
    (mapti(event_id=32), "MAPTI_ID_OOR"),
    (mapti(intid=8191), "MAPTI_PHYSICALID_OOR"),
    (mapti(intid=65535), None),
    (mapti(intid=65536), "MAPTI_PHYSICALID_OOR"),
    (mapti(icid=0x1FFF), None),
    (mapti(icid=0x2000), "MAPTI_COLLECTION_OOR"),
    (mapti(device_id=17), "MAPTI_UNMAPPED_DEVICE"),
    (mapti(device_id=0x1_0000), "MAPTI_DEVICE_OOR"),
    (MAPI(device_id=DEVICE, event_id=31, icid=0), "MAPI_PHYSICALID_OOR"),
    (INT(device_id=DEVICE, event_id=31), "INT_UNMAPPED_INTERRUPT"),
    (INT(device_id=DEVICE, event_id=32), "INT_ID_OOR"),
    (CLEAR(device_id=17, event_id=0), "CLEAR_UNMAPPED_DEVICE"),
    (DISCARD(device_id=0xFFFF_FFFF, event_id=0), "DISCARD_DEVICE_OOR"),
    (INV(device_id=DEVICE, event_id=0), "INV_UNMAPPED_INTERRUPT"),
    (MOVI(device_id=DEVICE, event_id=0, icid=1), "MOVI_UNMAPPED_INTERRUPT"),
    (MOVALL(rd_base1=3, rd_base2=3), None),
    (MOVALL(rd_base1=0, rd_base2=4), "MOVALL_PROCNUM_OOR"),
    (MOVALL(rd_base1=0x1_0000, rd_base2=0), "MOVALL_PROCNUM_OOR"),
    (SYNC(rd_base=77), None),
    (INVALL(icid=77), None),
    (VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=0), "UNKNOWN_COMMAND"),
]


@pytest.mark.parametrize("command, error", LIMITS, ids=repr)
def test_each_predicate_at_its_limit(rig: Rig, command: Layout, error: str | None) -> None:
    """A command at a limit is executed; one beyond it has no effect and its own error."""
    before = rig.machine.state()
    verdict = rig.verdicts(command)

    assert verdict == ["executed" if error is None else f"error: {error}"]
    assert error is None or before == rig.machine.state()


def test_policy_stall_checks_what_qemu_lets_pass() -> None:
    """Under policy stall INVALL of an unmapped collection is an architected error."""
    rig = Rig(error_policy="stall").set_up()

    assert rig.verdicts(INVALL(icid=7)) == ["stalled: INVALL_UNMAPPED_COLLECTION"]


def test_a_message_is_delivered_as_int_would(rig: Rig) -> None:
    """A device's write sets the LPI pending; an unmapped event, another DeviceID or a disabled ITS drops it."""
    rig.post(mapti(event_id=3, intid=8195, icid=1))

    assert rig.machine.apply(Msi(DEVICE, 3)) == Delivered(True)
    assert rig.pending(1) == [8195]
    assert rig.machine.apply(Msi(DEVICE, 4)) == Delivered(False)
    assert rig.machine.apply(Msi(DEVICE + 1, 3)) == Delivered(False)
    rig.gits(0, 0, size=4)
    assert rig.machine.apply(Msi(DEVICE, 3)) == Delivered(False)


@pytest.mark.parametrize("size, arrives", [(1, False), (2, True), (4, True), (8, True)])
def test_a_cpu_can_write_the_translater_in_16_and_32_bits(rig: Rig, size: int, arrives: bool) -> None:
    """A host write to GITS_TRANSLATER carries DeviceID 0; 64 bits count as their low half, 8 bits are ignored."""
    rig.post(MAPD(device_id=0, size=4, itt_addr=Rig.ITT + 0x1_0000, valid=1), mapti(device_id=0, event_id=2))
    rig.machine.apply(MmioWrite(rig.map.translater, size, 2))

    assert bool(rig.pending(0)) == arrives


def test_a_corrupted_entry_is_an_error_not_a_crash(rig: Rig) -> None:
    """A virtual ITE on a GICv3, or a CTE that names no redistributor, ends the command without effect."""
    rig.post(mapti())
    rig.machine.apply(Store(Rig.ITT, (1).to_bytes(8, "little")))
    assert rig.verdicts(INT(device_id=DEVICE, event_id=0)) == ["error: INT_ITE_INVALID"]
    rig.post(mapti())
    rig.machine.apply(Store(Rig.COLLECTIONS, (1 | 99 << 1).to_bytes(8, "little")))

    assert rig.verdicts(INT(device_id=DEVICE, event_id=0)) == ["error: INT_TGT_OOR"]
