"""Defects that other software had, as far as they can exist on this machine: mistakes of drivers that make an ITS run wild.

A driver's mistake is not an attack, but behind a hypervisor it must end no worse than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import COMMAND_SIZE, MAPD, MAPTI, SYNC
from itsbox.arch.its_registers import GITS_CBASER, GITS_CWRITER
from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.values import FIRST_LPI, SIZE_64K

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["itt_rounded_down", "queue_one_page_too_long"]

_DEVICE: Final = 0x150
_VECTORS: Final = 24


def queue_one_page_too_long(host: HostileHost) -> None:
    """CBASER.Size is programmed as pages, not pages minus one: the driver wraps one page before the ITS does.

    The queue is the last thing before the guest's memory. When the driver wraps, the ITS goes on into the guest's first page
    and takes it for 128 commands.
    """
    queue = host.box.map.guest - SIZE_64K
    value = GITS_CBASER.decode(host.read(host.gits(GITS_CBASER)))
    host.say("Fill a queue of 64 KB, the last in host memory, with harmless commands.")
    host.store(queue, SYNC.STRUCT.pack(*SYNC(rd_base=0).encode()) * (SIZE_64K // COMMAND_SIZE))
    host.say("Program it with Size = 16, which is 17 pages.")
    host.enable(False)
    host.write(host.gits(GITS_CBASER), value.replace(physical_address=queue, size=16, valid=1).word())
    host.write(host.gits(GITS_CWRITER), 0)
    host.enable(True)
    host.say("Use it up to its last slot, then wrap as a driver does that believes in 64 KB.")
    host.ring(SIZE_64K - COMMAND_SIZE)
    host.ring(COMMAND_SIZE)
    host.show("What the ITS took for commands.", host.box.map.guest, 2 * COMMAND_SIZE)


def itt_rounded_down(host: HostileHost) -> None:
    """A translation table is allocated for the vectors asked for, but MAPD's Size rounds up to a power of two.

    24 vectors of 12 bytes need 288 bytes; the ITS believes in 32. The table is the last thing before the guest's memory.
    """
    itt = host.box.map.guest - ITT_ALIGNMENT
    host.say("Map a device whose table ends behind the host's last page.")
    host.post(MAPD(device_id=_DEVICE, size=(_VECTORS - 1).bit_length() - 1, itt_addr=itt, valid=1))
    host.say("Map its last event.")
    host.post(MAPTI(device_id=_DEVICE, event_id=_VECTORS - 1, intid=FIRST_LPI + 0x1C0, icid=0))
    host.show("The guest's first bytes.", host.box.map.guest, 32)
