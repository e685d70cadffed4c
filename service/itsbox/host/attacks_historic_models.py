"""Defects that QEMU's and gem5's models of the ITS had, seeded: each a program that brings one to light.

The list is docs/explanation/historic-defects.md; the defects themselves are rows of ``hardware.seeded``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import COMMAND_SIZE, INT, INV, MAPC, MAPD, MAPI, SYNC
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CWRITER, TABLE_COLLECTIONS, TABLE_DEVICES
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.values import FIRST_LPI, PAGE_SIZE, SIZE_64K
from itsbox.host.attacks import EVENT_BITS
from itsbox.host.findings import DEVICE, event, flat_device_table, judge
from itsbox.ops import Verdict

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout
    from itsbox.host.attacks import HostileHost

__all__ = [
    "any_event", "baser_without_type", "entry_size", "ite_overlap", "mapi_as_mapti", "one_more_entry",
    "one_more_target", "queue_runs_on", "stale_command", "stale_parameters", "stall_mixed_up",
]  # fmt: skip

_MANY_EVENT_BITS: Final = 13
_PAGEFUL: Final = 7
"""MAPD's Size of a table that fits a page: 256 events."""


def one_more_target(host: HostileHost) -> None:
    """MAPC with an RDbase that equals the number of CPUs.

    A right ITS refuses it. The seeded one maps the collection, to a redistributor that there is not: behind the end of an
    array in an implementation in C, nowhere here.
    """
    cpus = len(host.known.cpus)
    host.say(f"Map a collection to CPU {cpus}; the last one is {cpus - 1}.")
    verdict = host.post(MAPC(icid=cpus, rd_base=cpus, valid=1))[0]
    judge(host, "RDbase must name a redistributor that there is.", verdict != Verdict.EXECUTED)


def one_more_entry(host: HostileHost) -> None:
    """A DeviceID equal to the number of entries of the device table, which is the last thing before the guest's memory.

    A right ITS refuses it. The seeded one compares with > instead of >=, and writes the entry into the guest's first bytes.
    """
    host.say("Name a device table of one page, the last before the guest's memory.")
    entries = flat_device_table(host, host.guest_page() - PAGE_SIZE)
    host.say("Map the first device that the table does not reach.")
    device_id = entries or 2 << host.typer.devbits
    verdict = host.post(MAPD(device_id=device_id, size=EVENT_BITS, itt_addr=host.pages(), valid=1))[0]
    host.show("The guest's first bytes.", host.guest_page())
    judge(host, "the first id that a table does not reach is refused.", verdict != Verdict.EXECUTED)


def entry_size(host: HostileHost) -> None:
    """A two-level device table, one of whose level-2 pages is the last thing before the guest's memory.

    A right ITS finds an entry by the entries that a page holds. The seeded one believes in entries of seven bytes when it
    divides, and of eight when it multiplies: it takes another level-2 page, and an index behind the end of that. The
    hypervisor checked the page that the architecture names.
    """
    per_page = host.per_page(TABLE_DEVICES)
    wrongly = SIZE_64K // (SIZE_64K // per_page - 1)
    slot = host.l1_slot(TABLE_DEVICES, 2 * per_page)
    if slot is None:
        return
    host.say("Add the 64 KB before the guest's memory as level-2 page 2, and map a device in it.")
    page = host.guest_page() - SIZE_64K
    host.fill(page, SIZE_64K)
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=page, valid=1).encode()))
    _map(host, 2 * per_page)
    host.say("Map a device of level-2 page 3.")
    device_id = 2 * wrongly + per_page
    host.cover(TABLE_DEVICES, device_id)
    before = host.show("The guest's first bytes.", host.guest_page())
    _map(host, device_id)
    after = host.show("The guest's first bytes, after.", host.guest_page())
    judge(host, "the entry of a device lies in the level-2 page that its DeviceID names.", before == after)


def _map(host: HostileHost, device_id: int) -> None:
    page = host.pages(2)
    host.map_at(device_id, page)


def stale_parameters(host: HostileHost) -> None:
    """The device table is withdrawn and the collection table replaced; then a collection is mapped.

    A right ITS writes the entry into the new table. The seeded one stopped reading the registers at the first that is not
    Valid, and writes it into the old table, whose page may be somebody else's by now.
    """
    devices, collections = host.baser(TABLE_DEVICES), host.baser(TABLE_COLLECTIONS)
    if devices is None or collections is None:
        return
    table = host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K)
    host.say("Switch the ITS off, withdraw the device table, name a new collection table, and switch it on.")
    host.enable(False)
    withdrawn = host.write(host.gits(GITS_BASER, devices[0]), devices[1].replace(valid=0).word())
    named = collections[1].replace(physical_address=table).word()
    replaced = host.write(host.gits(GITS_BASER, collections[0]), named)
    host.enable(True)
    if not (withdrawn and replaced and host.read(host.gits(GITS_BASER, collections[0])) == named):
        return
    host.say("Map a collection.")
    host.post(MAPC(icid=0, rd_base=host.rd_base(), valid=1))
    entry = host.show("Its entry in the new table.", table, collections[1].entry_size + 1)
    judge(host, "an entry is written into the table that the register names.", any(entry))


def mapi_as_mapti(host: HostileHost) -> None:
    """MAPI, whose INTID is its EventID.

    A right ITS maps the event to the LPI of the same number. The seeded one looks for an INTID in a field that MAPI does not
    have, finds none that is an LPI, and refuses an honest command.
    """
    host.say("Map a device with more than 8192 events, and one of them to the LPI of its own number.")
    host.map_own(DEVICE, _MANY_EVENT_BITS)
    host.post(MAPI(device_id=DEVICE, event_id=FIRST_LPI + 5, icid=0))
    host.say("The device sends it.")
    host.stuck = not judge(host, "MAPI maps an event to its own number.", host.msi(DEVICE, FIRST_LPI + 5))


def any_event(host: HostileHost) -> None:
    """An EventID beyond the device's Size; the translation table lies in the last page before the guest's memory.

    A right ITS refuses the MAPTI. The seeded one writes the entry where the EventID points, into the guest's first page.
    """
    host.say("Map a device with 256 events whose table is in the last page before the guest's memory.")
    host.map_at(DEVICE, host.guest_page() - PAGE_SIZE, _PAGEFUL)
    host.say("Map event 350.")
    verdict = host.post(event(DEVICE, 350))[0]
    host.show("The guest's memory.", host.guest_page() + 96, 32)
    judge(host, "an EventID beyond the device's Size is refused.", verdict != Verdict.EXECUTED)


def stale_command(host: HostileHost) -> None:
    """The first half of the queue lies where there is no memory; its last command is an INT.

    A right ITS takes what it cannot read for no command (or stops, quirk ``queue_fault``). The seeded one carries out what
    was left in its buffer: the INT again.
    """
    host.map_own(DEVICE)
    host.post(event(DEVICE, 0))
    half = host.box.map.ram
    host.say("Name a queue of two pages, the first of which is below RAM; SYNCs, and an INT at its end.")
    host.store(
        half,
        _packed(SYNC(rd_base=host.rd_base())) * (PAGE_SIZE // COMMAND_SIZE - 1)
        + _packed(INT(device_id=DEVICE, event_id=0)),
    )
    if not _move_queue(host, half - PAGE_SIZE, 2 * PAGE_SIZE):
        return
    host.say("Ring up to the last slot, then once around.")
    host.ring(2 * PAGE_SIZE - COMMAND_SIZE)
    records = getattr(host.ring(COMMAND_SIZE), "commands", ())
    judge(host, "a command that cannot be read is none.", not records or records[-1][1] is None or records[-1][0] != 0)


def stall_mixed_up(host: HostileHost) -> None:
    """An INV of an event that is not mapped: an error, and nothing more.

    A right ITS of this kind goes on with the next command. The seeded one stops there, as it should at a table that it cannot
    read, and there it would go on.
    """
    host.map_own(DEVICE)
    host.say("Invalidate an event that is not mapped.")
    verdict = host.post(INV(device_id=DEVICE, event_id=3))[0]
    judge(host, "an error does not stop the queue (error policy ignore).", verdict != Verdict.STALLED)


def ite_overlap(host: HostileHost) -> None:
    """An honest event.

    In a right ITS it arrives. The seeded one wrote the second part of its entry over the first, where the collection is: the
    event goes to a collection that there is not.
    """
    host.say("Map a device and an event; the device sends it.")
    host.map_own(DEVICE)
    host.post(event(DEVICE, 0))
    host.stuck = not judge(host, "an event that was mapped arrives.", host.msi(DEVICE, 0))


def queue_runs_on(host: HostileHost) -> None:
    """The queue wraps. It is the last thing before the guest's memory, where the host may put it there.

    A right ITS goes on at the queue's start. The seeded one goes on behind its end and takes whatever lies there for
    commands, up to the largest offset that GITS_CREADR can say. Behind a hypervisor that is the hypervisor's own memory.
    """
    host.say("Put the queue before the guest's memory.")
    moved = _move_queue(host, host.guest_page() - SIZE_64K, SIZE_64K)
    host.say("Fill the queue up to its last slot with harmless commands, then wrap.")
    if moved:
        host.store(host.guest_page() - SIZE_64K, _packed(SYNC(rd_base=host.rd_base())) * (SIZE_64K // COMMAND_SIZE))
    else:
        host.store(host.queue, _packed(SYNC(rd_base=host.rd_base())) * (SIZE_64K // COMMAND_SIZE))
    host.ring(SIZE_64K - COMMAND_SIZE)
    records = getattr(host.ring(0), "commands", ())
    judge(host, "the command behind the queue's last is its first.", len(records) <= 1)


def baser_without_type(host: HostileHost) -> None:
    """An honest driver on an ITS whose GITS_BASER<n> say that there are no tables.

    A right ITS tells the Type of each table, and the driver gives it memory. The seeded one says nothing, gets none, and has no
    place for a device.
    """
    host.say("The driver maps a device; the device sends its event.")
    host.drive("map_device", device_id=DEVICE, events=1)
    host.stuck = not judge(host, "an event that was mapped arrives.", host.msi(DEVICE, 0))


def _packed(command: Layout) -> bytes:
    return command.STRUCT.pack(*command.encode())


def _move_queue(host: HostileHost, queue: int, length: int) -> bool:
    """Name another queue, the ITS off meanwhile; whether it is in force."""
    value = GITS_CBASER.decode(host.read(host.gits(GITS_CBASER)))
    host.enable(False)
    host.write(
        host.gits(GITS_CBASER), value.replace(physical_address=queue, size=length // PAGE_SIZE - 1, valid=1).word()
    )
    moved = GITS_CBASER.decode(host.read(host.gits(GITS_CBASER))).physical_address == queue
    if moved:
        host.write(host.gits(GITS_CWRITER), 0)
    host.enable(True)
    return moved
