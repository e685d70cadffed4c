"""The known defects of the RFC, each made visible: what an honest or a hostile host meets because of it.

The numbers are those of ``hypervisor.knob_table.DEFECTS``. Where a defect opens a way into memory the program is an attack;
where it only stops honest traffic, the program is that traffic, and the verdict is ``wedged``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import COMMAND_SIZE, INV, MAPD, MAPTI, SYNC
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    IMPLEMENTATION_DEFINED,
    TABLE_DEVICES,
)
from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE, SIZE_64K
from itsbox.arch.words import low_half
from itsbox.host.attacks import EVENT_BITS

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "alive", "batch_with_bad_command", "commands_in_flight", "half_registers", "impdef_registers", "level_1_mask", "many_tables",
    "map_three_events", "new_level_2", "page_aligned_table", "queue_bound", "shared_itt_page", "size_beyond_id_bits",
    "stale_queue", "suspend_and_resume", "vpe_honest",
]  # fmt: skip

_DEVICE: Final = 0x120
_TRACKED: Final = 520
"""More pages than one page of private state can track."""


def _delivers(host: HostileHost, device_id: int, event_id: int = 0) -> bool:
    """Map an event of a device and have the device send it; whether it arrives."""
    host.post(
        MAPTI(device_id=device_id, event_id=event_id, intid=FIRST_LPI + 0x180 + event_id, icid=0),
        SYNC(rd_base=host.rd_base()),
    )
    return host.msi(device_id, event_id)


def alive(host: HostileHost, device_id: int = _DEVICE) -> None:
    """Honest traffic by hand: a device, an event, a message. The host is stuck if it does not arrive."""
    host.say("Does honest traffic pass? Map a device and an event, and let the device send it.")
    host.stuck = not (host.map_own(device_id) is not None and _delivers(host, device_id))


def map_three_events(host: HostileHost) -> None:
    """1: what the mail reports: the driver maps a device and three events, and its log shows what became of that."""
    host.say("The driver maps its first device and three events.")
    result = host.drive("map_device", device_id=0x10, events=3)
    host.say("The device sends the first.")
    host.stuck = result is None or bool(result["timeouts"]) or not host.msi(0x10, 0)


def new_level_2(host: HostileHost) -> None:
    """2: a DeviceID beyond the first level-2 page; the host adds a page, which must reach the hardware's level 1."""
    device_id = 3 * host.per_page(TABLE_DEVICES) + 1
    host.say("Add a zeroed level-2 page to level 1, as the driver does for a new range of DeviceIDs.")
    host.cover(TABLE_DEVICES, device_id)
    alive(host, device_id)


def level_1_mask(host: HostileHost) -> None:
    """7: a DeviceID whose own number is the index of a level-1 entry that was just added: whose page is taken then."""
    host.say("Add a level-2 page as level-1 entry 7.")
    host.cover(TABLE_DEVICES, 7 * host.per_page(TABLE_DEVICES))
    alive(host, 7)


def suspend_and_resume(host: HostileHost) -> None:
    """3: the driver suspends and resumes: it writes CBASER and every BASER again, with the addresses that it knows."""
    host.say("Suspend and resume, as the driver does.")
    host.drive("suspend")
    host.drive("resume")
    alive(host)


def queue_bound(host: HostileHost) -> None:
    """4: GITS_CWRITER is written with the queue's very length."""
    host.say("Map a device honestly: its MAPD stays in the queue's memory.")
    host.map_own(_DEVICE + 9)
    host.say("Write GITS_CWRITER with the length of the queue: no slot has that offset.")
    host.write(host.gits(GITS_CWRITER), host.queue_bytes)
    alive(host)


def vpe_honest(host: HostileHost) -> None:
    """6: an honest VMAPP, its pending table in the host's memory, and its end."""
    host.needs_virtual()
    host.say("Map a vPE with a pending table of 64 KB, then unmap it as the driver does, with no address.")
    mapped = host.vmapp(2, host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K))
    unmapped = host.vmapp(2, 0, valid=0, size=0)
    host.stuck = (mapped, unmapped) != ("executed", "executed")


def shared_itt_page(host: HostileHost) -> None:
    """9: two small devices whose translation tables share a page, as the driver's pool lays them out."""
    page = host.pages(1)
    host.say("Map two devices whose tables lie in one page.")
    first = host.post(MAPD(device_id=_DEVICE + 1, size=1, itt_addr=page + ITT_ALIGNMENT, valid=1))
    second = host.post(MAPD(device_id=_DEVICE + 2, size=1, itt_addr=page + 2 * ITT_ALIGNMENT, valid=1))
    host.say("Unmap the first; the second lives on. May its page be given away?")
    host.post(MAPD(device_id=_DEVICE + 1, size=1, itt_addr=page + ITT_ALIGNMENT, valid=0))
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    host.give_away(page)
    host.say("Use the second.")
    host.post(MAPTI(device_id=_DEVICE + 2, event_id=0, intid=FIRST_LPI + 0x190, icid=0))
    host.stuck = first == ["executed"] and second != ["executed"]


def batch_with_bad_command(host: HostileHost) -> None:
    """11: one CWRITER write announces a good command and a bad one behind it."""
    known = host.map_own(_DEVICE + 8)
    offset_in_page = (known or 0) % PAGE_SIZE
    start = host.write_offset
    host.say("Announce two commands at once: an honest MAPD, and one whose table is the hypervisor's.")
    good = MAPD(device_id=_DEVICE + 4, size=EVENT_BITS, itt_addr=host.pages(2) + offset_in_page, valid=1)
    bad = MAPD(device_id=_DEVICE + 5, size=EVENT_BITS, itt_addr=host.hyp_page(15) + offset_in_page, valid=1)
    offset = host.put(bad, host.put(good))
    host.ring(offset)
    host.say("Replace the bad one and announce again: is the good one done, once?")
    host.put(SYNC(rd_base=host.rd_base()), (start + COMMAND_SIZE) % host.queue_bytes)
    host.ring(offset)
    host.write_offset = offset
    host.stuck = host.creadr() != offset or not _delivers(host, _DEVICE + 4)


def size_beyond_id_bits(host: HostileHost) -> None:
    """10: a Size beyond GITS_TYPER.ID_bits, which hardware refuses, then the same MAPD as it should be."""
    itt = host.pages(4) + (host.needs_own(_DEVICE + 10) % PAGE_SIZE)
    host.say(
        "MAPD with a Size beyond GITS_TYPER.ID_bits; with 31 the table's bytes are 0 where they are computed in 32 bits."
    )
    for size in (host.typer.id_bits + 1, 31):
        host.post(MAPD(device_id=_DEVICE + 11, size=size, itt_addr=itt, valid=1))
    host.say("The driver sees its mistake and maps the device as it should be, with the same table.")
    right = host.post(MAPD(device_id=_DEVICE + 11, size=EVENT_BITS, itt_addr=itt, valid=1))
    host.stuck = right != ["executed"] or not _delivers(host, _DEVICE + 11)


def page_aligned_table(host: HostileHost) -> None:
    """1: a device whose translation table begins a page, as the first one of a fresh page does."""
    host.say("Map a device whose translation table begins a page.")
    first = host.post(MAPD(device_id=_DEVICE + 12, size=EVENT_BITS, itt_addr=host.pages(2), valid=1))
    host.stuck = first != ["executed"] or not _delivers(host, _DEVICE + 12)


def half_registers(host: HostileHost) -> None:
    """13: registers in halves, and the neighbour of GITS_CTLR, GITS_IIDR."""
    host.say("Read GITS_IIDR alone, then write the high half of GITS_CTLR's doubleword.")
    before = host.read(host.gits(GITS_IIDR), 4)
    host.write(host.gits(GITS_CTLR) + 4, 0, 4)
    host.read(host.gits(GITS_CTLR), 8)
    host.say("CBASER and BASER0 in halves, as a 32-bit kernel does.")
    host.enable(False)
    for register, n in ((GITS_CBASER, 0), (GITS_BASER, 0)):
        at = host.gits(register, n)
        value = host.read(at)
        host.write(at + 4, value >> 32, 4)
        host.write(at, low_half(value), 4)
    host.enable(True)
    host.ring(0)
    host.write_offset = 0
    alive(host)
    host.stuck |= before == 0


def many_tables(host: HostileHost) -> None:
    """16: more translation tables than one page of private state can track, each in a page of its own."""
    host.say(f"Map {_TRACKED} devices, each with a table in a page of its own.")
    done = 0
    for n in range(_TRACKED):
        if host.map_own(0x400 + n, 1) is None:
            break
        done += 1
    host.stuck = done < _TRACKED


def stale_queue(host: HostileHost) -> None:
    """18: the ITS does not see the CPUs' caches; what the hypervisor wrote must reach it all the same."""
    alive(host)


def commands_in_flight(host: HostileHost) -> None:
    """19: commands wait in the queue while the switch-over happens, and more come before they are carried out.

    A hypervisor that will not take over a busy queue is right, and then nothing is lost; one that does must not lose any.
    """
    host.say("Disable the ITS and leave commands waiting in the queue.")
    itt = host.pages(2) + ITT_ALIGNMENT
    host.enable(False)
    offset = host.put(MAPD(device_id=_DEVICE + 7, size=EVENT_BITS, itt_addr=itt, valid=1))
    offset = host.put(MAPTI(device_id=_DEVICE + 7, event_id=0, intid=FIRST_LPI + 0x1A0, icid=0), offset)
    host.ring(offset)
    host.before = host.known
    host.say("Go through the switch-over.")
    result = host.drive("deprivilege") or {}
    if any("error" in its for its in result.get("its", ())):
        return
    host.say("Announce one more command, then enable the ITS: are those that waited carried out?")
    host.write_offset = host.put(SYNC(rd_base=host.rd_base()), offset)
    host.ring(host.write_offset)
    host.enable(True)
    host.stuck = not host.msi(_DEVICE + 7, 0)


def impdef_registers(host: HostileHost) -> None:
    """21: IMPLEMENTATION DEFINED registers, which on a GIC-600 lock translations and hide errors."""
    host.say("Write and read the IMPLEMENTATION DEFINED windows.")
    for window in IMPLEMENTATION_DEFINED:
        for at in (window.start, window.start + 8, window.start + 0x10):
            host.write(host.box.map.its + at, (1 << 64) - 1)
            host.read(host.box.map.its + at)
    host.say("An unmapped device must still be reported, or at least do nothing.")
    host.post(INV(device_id=0x7F, event_id=0))
    host.write(host.box.map.its + 0xFFE0, 0xFFFF_FFFF, 4)
