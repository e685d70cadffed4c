"""GITS_TYPER.PTA = 1: RDbase is the address of an RD frame, and the ITS sends messages to addresses."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPTI, MOVALL, SYNC
from itsbox.arch.its_registers import GITS_TYPER, TABLE_COLLECTIONS
from itsbox.arch.its_tables import CTE_PTA, rd_frame
from itsbox.hardware.profile import PROFILES
from itsbox.host.attacks import HostileHost
from itsbox.machine import Machine, MachineConfig

PTA = "virt-gicv3-pta"


def _host(hardening: str = "off") -> HostileHost:
    return HostileHost(Machine(MachineConfig.make(profile=PTA, hardening=hardening, start="host")))


def test_the_profile_differs_from_its_sibling_in_one_bit() -> None:
    """PTA is GITS_TYPER bit 19, and nothing else of the machine changes."""
    ours, sibling = PROFILES[PTA], PROFILES["virt-gicv3"]

    assert GITS_TYPER.decode(ours.its_typer) == GITS_TYPER.decode(sibling.its_typer).replace(pta=1)
    assert ours.memory_map(64) == sibling.memory_map(64)


def test_a_redistributor_is_named_by_its_frame() -> None:
    """Bits [51:16] of a frame's address name it; its second frame, a number, and a frame too many name none."""
    profile = PROFILES[PTA]
    where = profile.memory_map(64)
    names = [where.gicr + cpu * where.gicr_stride >> 16 for cpu in range(5)]

    assert [profile.redistributor_at(name, 4) for name in names] == [0, 1, 2, 3, None]
    assert profile.redistributor_at(names[0] + 1, 4) is None
    assert profile.redistributor_at(0, 4) is None
    assert [rd_frame(name) for name in names[:2]] == [where.gicr, where.gicr + where.gicr_stride]


def test_the_driver_names_frames_and_interrupts_arrive() -> None:
    """Linux writes the frame's address >> 16 into MAPC; the entry keeps it in place, and messages reach their CPU."""
    host = _host()
    where = host.box.map
    names = [where.gicr + cpu * where.gicr_stride >> 16 for cpu in range(4)]

    assert [host.known.its[0].collections[cpu] for cpu in range(4)] == names
    entry = host.box.physical(host.table_entry(TABLE_COLLECTIONS, 1) or 0, 8) or b""
    assert CTE_PTA.decode(int.from_bytes(entry, "little")) == CTE_PTA(valid=1, rd_base=names[1])
    host.map_own(0x40)
    host.post(MAPTI(device_id=0x40, event_id=0, intid=8300, icid=1), SYNC(rd_base=names[1]))
    assert host.msi(0x40, 0)
    assert not host.box.violations


@pytest.mark.parametrize("command", [SYNC, MOVALL])
def test_commands_that_name_an_address_send_a_message_there(command: type) -> None:
    """SYNC and MOVALL go to the address that they name, whatever is there; the oracle objects with that address."""
    host = _host()
    victim = host.hyp_page(3)
    wrong, right = victim >> 16, host.known.its[0].collections[0]
    host.post(SYNC(rd_base=wrong) if command is SYNC else MOVALL(rd_base1=right, rd_base2=wrong))

    found = [(v.rule.name, v.wire()["addresses"][0]["addr"]) for v in host.box.violations]

    assert found == [("message", hex(victim))]


def test_an_interrupt_goes_where_its_collection_says() -> None:
    """MAPC believes an address; each interrupt of the collection is then a message to it, and arrives nowhere."""
    host = _host()
    victim = host.guest_page()
    assert host.post(MAPC(icid=7, rd_base=victim >> 16, valid=1)) == ["executed"]
    host.map_own(0x40)
    host.post(MAPTI(device_id=0x40, event_id=0, intid=8300, icid=7))
    assert not host.box.violations

    assert host.post(INT(device_id=0x40, event_id=0)) == ["error"]
    assert host.box.violations[0].rule.name == "message"
    assert not host.msi(0x40, 0)
