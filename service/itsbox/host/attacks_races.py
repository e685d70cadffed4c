"""Races between check and use: A13, the race at every read, and the double fetch.

Another CPU of the host stores into memory that the hypervisor is about to read. Each program is played once for each such read,
on a machine of its own (``Scenario.races``): what was harmless when the hypervisor looked becomes hostile just before that read.
A hypervisor that reads each word once, into memory of its own, cannot be raced: whatever it reads is what it checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_commands import (
    COMMAND_SIZE,
    INT,
    MAPC,
    MAPD,
    MAPTI,
    OPCODE_MASK,
    SYNC,
    VMAPP,
    VMAPP_V41,
)
from itsbox.arch.its_registers import GITS_CBASER, TABLE_COLLECTIONS, TABLE_DEVICES, TABLE_VPES
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry
from itsbox.arch.values import FIRST_LPI, PAGE_SIZE, SIZE_64K
from itsbox.host.attacks import EVENT_BITS
from itsbox.host.attacks_itts import itt_in_hyp_page
from itsbox.host.attacks_takeover import finalise, hand_over, two_level_collections
from itsbox.ops import Done

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout
    from itsbox.host.attacks import HostileHost, Tamper

__all__ = ["every_read", "level_1_and_slot_twice", "queue_slot", "set_up_races"]

_DEVICE: Final = 0x90
_VICTIM: Final = 8
_VPT_PAGES: Final = 16


def _bytes(command: Layout) -> bytes:
    return command.STRUCT.pack(*command.encode())


def _map(device_id: int, itt: int) -> MAPD:
    return MAPD(device_id=device_id, size=EVENT_BITS, itt_addr=itt, valid=1)


def _event(device_id: int) -> MAPTI:
    return MAPTI(device_id=device_id, event_id=0, intid=FIRST_LPI + 0x133, icid=0)


def _hostile(host: HostileHost) -> Tamper:
    """What another CPU stores: the same commands, entries and pointers, with the hypervisor's memory in them."""
    victim = host.hyp_page(_VICTIM)
    vmapp: Any = VMAPP_V41 if host.typer.vmapp else VMAPP

    def command(data: bytes) -> bytes:
        words = MAPD.STRUCT.unpack(data)
        opcode = words[0] & OPCODE_MASK
        if opcode == MAPD.MATCH:
            mapd = MAPD.decode(*words)
            return _bytes(mapd.replace(itt_addr=victim + mapd.itt_addr % PAGE_SIZE))
        if opcode == VMAPP.MATCH:
            return _bytes(vmapp.decode(*words).replace(vpt_addr=victim))
        if opcode == MAPC.MATCH:
            return _bytes(MAPC.decode(*words).replace(rd_base=host.rd_base() + len(host.known.cpus) * SIZE_64K))
        return data

    def pointer(data: bytes) -> bytes:
        """A level-1 entry or an address: it names the victim now."""
        word = int.from_bytes(data, "little")
        where, entry = host.box.map, L1Entry.decode(word)
        if not where.ram <= entry.address < where.ram + where.ram_bytes:
            return data
        return _bytes(L1Entry(address=victim, valid=entry.valid))

    def tamper(addr: int, data: bytes) -> bytes:
        in_queue = host.known.its[0].queue <= addr < host.known.its[0].queue + SIZE_64K
        size, change = (COMMAND_SIZE, command) if in_queue else (L1_ENTRY_SIZE, pointer)
        whole = len(data) - len(data) % size
        pieces = [change(data[at : at + size]) for at in range(0, whole, size)]
        return b"".join(pieces) + data[whole:]

    return tamper


def _undisguised(host: HostileHost) -> None:
    """Where nobody checks there is nobody to race with."""
    host.say("There is no hypervisor that looks at commands: the hostile one needs no disguise.")
    itt_in_hyp_page(host)


def _announce(host: HostileHost, *commands: Layout) -> None:
    """Several commands with one write of GITS_CWRITER; what stays in the way is replaced, all of it."""
    start = offset = host.write_offset
    for command in commands:
        offset = host.put(command, offset)
    host.ring(offset)
    host.write_offset = offset
    if host.creadr() != offset:
        host.say("It does not pass: replace all of it by harmless commands, and try again.")
        for n in range(len(commands)):
            host.put(SYNC(rd_base=host.rd_base()), start + n * COMMAND_SIZE)
        host.unblock(start, offset)


def _cover(host: HostileHost, kind: int, ident: int) -> None:
    """Name a fresh level-2 page for an id, as a driver does, whatever is there."""
    slot = host.l1_slot(kind, ident)
    if slot is not None:
        host.store(slot, _bytes(L1Entry(address=host.pages(16, SIZE_64K), valid=1)))


def _itt(host: HostileHost) -> int:
    """A fresh table at an alignment that this version accepts."""
    if host.itt_offset is None:
        host.needs_own(_DEVICE + 15)
    return host.pages(2) + (host.itt_offset or 0)


def _to_the_last_slots(host: HostileHost) -> None:
    """Fill the queue with harmless commands up to its last two slots."""
    sync = _bytes(SYNC(rd_base=host.rd_base()))
    end = host.queue_bytes - 2 * COMMAND_SIZE
    while host.write_offset < end:
        count = min(256, (end - host.write_offset) // COMMAND_SIZE)
        host.store(host.slot(host.write_offset), sync * count)
        host.write_offset += count * COMMAND_SIZE
        host.ring(host.write_offset)


def queue_slot(host: HostileHost) -> None:
    """A13: another CPU changes a queue slot between the hypervisor's check and its use, the first of a batch or a later one."""
    if host.box.phase == "trusted":
        _undisguised(host)
        return
    itts = [_itt(host) for _ in range(3)]
    host.say("Announce three devices at once; one of the slots becomes hostile while it is read.")
    with host.racing(_hostile(host), slots=True):
        _announce(host, *(_map(_DEVICE + n, itt) for n, itt in enumerate(itts)))
    host.say("Use the devices, in case the exchange went through.")
    for n in range(len(itts)):
        host.post(_event(_DEVICE + n))
    host.show("The victim, after.", host.hyp_page(_VICTIM), 32)


def level_1_and_slot_twice(host: HostileHost) -> None:
    """20: whatever the hypervisor reads a second time, after it has been checked, is something else by then."""
    if host.box.phase == "trusted":
        _undisguised(host)
        return
    device_id = host.per_page(TABLE_DEVICES) + 1
    itt = _itt(host)
    host.say("Add a level-2 page and map a device that needs it; what is read once more becomes hostile before that.")
    _cover(host, TABLE_DEVICES, device_id)
    with host.racing(_hostile(host), again=True):
        _announce(host, _map(device_id, itt))
    host.say("Use the device.")
    host.post(_event(device_id))
    host.show("The victim, after.", host.hyp_page(_VICTIM), 32)


def set_up_races(host: HostileHost) -> None:
    """Before the switch-over: tables of every kind in two levels, a device and a vPE in them."""
    two_level_collections(host)
    host.say("A device and a vPE from before the switch-over.")
    host.needs_own(_DEVICE + 8)
    host.post(_event(_DEVICE + 8))
    host.vmapp(1, host.pages(_VPT_PAGES, SIZE_64K))
    host.itt_offset = None


def every_read(host: HostileHost) -> None:
    """A host store at every point where the hypervisor reads host memory: switch-over, commands, level 1, the queue's restart."""
    tamper = _hostile(host)
    host.say("The switch-over, by hand: another CPU changes what the hypervisor is about to read.")
    with host.racing(tamper):
        finalise(host)
        answer = hand_over(host)
    if answer is None:
        _undisguised(host)
        return
    if answer:
        return  # a take-over that is refused leaves an ITS that nobody can use, and nothing to race for
    itts = [_itt(host) for _ in range(5)]
    far, vpe = 2 * host.per_page(TABLE_DEVICES) + 3, 2 * host.per_page(TABLE_VPES)
    icid = host.per_page(TABLE_COLLECTIONS) + 1
    host.say("One batch of MAPDs, and MAPC and VMAPP, each with a level-2 page of its own.")
    for kind, ident in ((TABLE_DEVICES, far), (TABLE_COLLECTIONS, icid)):
        _cover(host, kind, ident)
    with host.racing(tamper):
        _announce(host, _map(_DEVICE, itts[0]), _map(far, itts[1]), MAPC(icid=icid, rd_base=host.rd_base(), valid=1))
        host.vmapp(vpe, host.pages(_VPT_PAGES, SIZE_64K))
    host.say("Is a command taken that is announced while the ITS is off?")
    host.enable(False)
    end = host.put(SYNC(rd_base=host.rd_base()))
    waits = isinstance(host.ring(end), Done)
    host.write_offset = end
    if waits:
        host.say(
            "It waits. Announce a MAPD too: it is read when the ITS is enabled, and the queue starts anew thereafter."
        )
        end = host.put(_map(_DEVICE + 1, itts[2]))
        with host.racing(tamper):
            host.ring(end)
            host.enable(True)
            host.enable(False)
            host.write(host.gits(GITS_CBASER), host.read(host.gits(GITS_CBASER)))
    host.enable(True)
    host.write_offset = host.creadr()
    host.say("A batch around the end of the queue.")
    _to_the_last_slots(host)
    with host.racing(tamper):
        sync = SYNC(rd_base=host.rd_base())
        _announce(host, sync, _map(_DEVICE + 2, itts[3]), _map(_DEVICE + 3, itts[4]))
    host.say("Use the devices, in case an exchange went through.")
    for device_id in (*range(_DEVICE, _DEVICE + 4), far):
        host.post(_event(device_id), INT(device_id=device_id, event_id=0))
        host.msi(device_id, 0)
    host.show("The victim, after.", host.hyp_page(_VICTIM), 32)
