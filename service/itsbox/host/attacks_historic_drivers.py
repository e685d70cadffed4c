"""Defects that drivers of the ITS had, seeded into the built-in one: each a driver's day on which one comes to light.

The list is docs/explanation/historic-defects.md; the defects themselves are rows of ``host.seeded``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import COMMAND_SIZE, SYNC
from itsbox.arch.its_registers import TABLE_DEVICES, ite_bytes
from itsbox.arch.its_tables import L1_ENTRY_SIZE
from itsbox.arch.values import FIRST_LPI, SIZE_64K
from itsbox.host.findings import DEVICE, judge

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "compares_wrapped", "ite_mask", "itt_too_short", "level_1_off_by_one", "queue_never_wraps",
    "queue_not_cleaned", "queue_too_long",
    "unmapped_vsync", "vpe_table_assumed",
]  # fmt: skip

_PER_EVENT: Final = 2
"""Commands for each event: MAPTI, SYNC."""


def _fill_up(host: HostileHost, device_id: int, left: int) -> None:
    """Have the driver map one big device, so that few slots are left before the queue wraps."""
    used = host.known.its[0].write_offset // COMMAND_SIZE
    host.say("The driver maps a device with so many events that the queue is nearly through.")
    host.drive("map_device", device_id=device_id, events=(SIZE_64K // COMMAND_SIZE - used - left) // _PER_EVENT)


def compares_wrapped(host: HostileHost) -> None:
    """The ITS is off when the driver's queue wraps.

    A right driver sees that nothing is read and counts each command as timed out. The seeded one takes an offset behind the
    wrap for one that has been passed long ago: it believes commands done that nobody has read.
    """
    _fill_up(host, DEVICE, 20)
    host.say("Switch the ITS off: it reads no more commands. The driver maps a device with 20 events.")
    host.enable(False)
    result = host.drive("map_device", device_id=DEVICE + 1, events=20) or {}
    host.enable(True)
    judge(host, "a command that was not read has timed out: 1 MAPD and 20 MAPTI.", result.get("timeouts", 21) == 21)


def unmapped_vsync(host: HostileHost) -> None:
    """A vPE is mapped and unmapped, on GICv4.1 and an ITS that stops at errors.

    A right driver sends no VSYNC behind the VMAPP that unmaps. The seeded one does, for a vPE that is gone, and the queue
    stops there.
    """
    host.say("The driver makes a vPE and frees it.")
    host.drive("map_vpe", vpe_id=1)
    result = host.drive("unmap_vpe", vpe_id=1) or {}
    host.stuck = not judge(host, "nothing is sent for a vPE that is gone.", not result.get("timeouts"))


def vpe_table_assumed(host: HostileHost) -> None:
    """A guest gets its first vPE, and a device of the host is forwarded to it.

    A right driver adds the level-2 page of the vPE table first. The seeded one takes it to be there: the VMAPP writes nowhere,
    and nothing reaches the guest.
    """
    host.say("The driver makes a vPE and forwards a device's event to it.")
    result = host.drive("map_vpe", vpe_id=1)
    if result is None or "error" in result:
        return
    host.drive("map_device", device_id=DEVICE, events=1)
    if not (host.drive("map_vlpi", device_id=DEVICE, event_id=0, vpe_id=1, virtual_intid=FIRST_LPI + 4) or {}).get(
        "error"
    ):
        host.say("The device sends it.")
        host.stuck = not judge(host, "an event that is forwarded arrives.", host.msi(DEVICE, 0))


def ite_mask(host: HostileHost) -> None:
    """The driver allocates a translation table.

    A right driver reads the bytes of an entry from four bits of GITS_TYPER. The seeded one reads five, the last of which
    belongs to ID_bits: every table is more than twice as long as it need be, or with other ID_bits would be right by chance.
    """
    host.say("The driver maps a device with 512 events.")
    host.drive("map_device", device_id=DEVICE, events=512)
    device = host.known.its[0].devices.get(DEVICE)
    enough = 512 * ite_bytes(host.typer)
    judge(host, "the table is not twice as long as its entries.", device is None or device.itt_bytes < 2 * enough)


def queue_never_wraps(host: HostileHost) -> None:
    """The driver comes to the end of its queue.

    A right driver goes on at its start. The seeded one writes its commands into the memory behind, and offsets into
    GITS_CWRITER that no slot has: nothing is read any more.
    """
    _fill_up(host, DEVICE, 20)
    host.say("The driver maps a device with 20 events.")
    result = host.drive("map_device", device_id=DEVICE + 1, events=20) or {}
    host.stuck = not judge(host, "every command is read.", not result.get("timeouts", 1))


def queue_too_long(host: HostileHost) -> None:
    """The driver programmed GITS_CBASER.Size with the number of pages; its queue wraps.

    A right driver and its ITS wrap together. With the seeded one the ITS goes on behind the driver's queue, and takes the 128
    slots of one page for commands before it begins again.
    """
    _fill_up(host, DEVICE, 20)
    host.say("Announce harmless commands up to the last slot; then wrap.")
    while host.write_offset != SIZE_64K - COMMAND_SIZE:
        host.write_offset = host.put(SYNC(rd_base=host.rd_base()))
    host.ring(host.write_offset)
    host.put(SYNC(rd_base=host.rd_base()))
    records = getattr(host.ring(0), "commands", ())
    moved = host.box.phase != "deprivileging"
    host.stuck = not moved
    judge(host, "one command is announced and one is read.", len(records) <= 1 and moved)


def itt_too_short(host: HostileHost) -> None:
    """A device asks for 24 vectors, and another's translation table lies behind its own.

    A right driver makes place for 32 entries. The seeded one has place for 16, rounded up to the pool's 256 bytes: the
    second device's empty table wipes the entries of the first one's last events.
    """
    host.say("The driver maps a device with 24 events, then another.")
    host.drive("map_device", device_id=DEVICE, events=24)
    host.drive("map_device", device_id=DEVICE + 1, events=1)
    host.say("The first device sends its last event.")
    host.stuck = not judge(host, "the events of one device are no other's business.", host.msi(DEVICE, 23))


def level_1_off_by_one(host: HostileHost) -> None:
    """The driver maps a device whose DeviceID is the first that level 1 does not reach.

    A right driver fails with ENOMEM. The seeded one writes a level-1 entry behind the end of the table, into memory that is
    used for something else or nobody's yet.
    """
    host.say("The driver maps the first device behind the end of level 1.")
    reach = host.per_page(TABLE_DEVICES) * (SIZE_64K // L1_ENTRY_SIZE)
    result = host.drive("map_device", device_id=reach, events=1)
    judge(host, "a device that level 1 does not reach cannot be had.", result is not None and "error" in result)


def queue_not_cleaned(host: HostileHost) -> None:
    """The ITS does not see the CPUs' caches; GITS_CBASER.Shareability, which does not stick, says so.

    A right driver cleans each command to memory. The seeded one does not look, and the ITS reads what was there before: it
    passes zeros as commands that it does not know.
    """
    host.say("The driver maps a device; the device sends its event.")
    host.drive("map_device", device_id=DEVICE, events=1)
    host.stuck = not judge(host, "an event that was mapped arrives.", host.msi(DEVICE, 0))
