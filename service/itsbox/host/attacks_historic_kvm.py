"""Defects that Linux KVM's model of the ITS had, seeded: each an honest or careless host's program that brings one to light.

The list is docs/explanation/historic-defects.md; the defects themselves are rows of ``hardware.seeded``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itsbox.arch.its_commands import DISCARD, MAPD, MOVALL
from itsbox.arch.its_registers import TABLE_DEVICES
from itsbox.arch.its_tables import itt_bytes
from itsbox.arch.values import FIRST_LPI, PAGE_SIZE, SIZE_64K
from itsbox.host.attacks import EVENT_BITS
from itsbox.host.findings import DEVICE, event, flat_device_table, is_pending, judge, release, virtual_event
from itsbox.ops import Verdict

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "any_device", "any_intid", "any_size", "discard_keeps_ite", "discard_keeps_vlpi", "mapd_keeps_dte", "missing_itt",
    "movall_takes_all", "stale_tables", "target_by_affinity",
]  # fmt: skip

_ITE_BYTES = 12


def any_device(host: HostileHost) -> None:
    """A DeviceID behind the end of the device table, which is the last thing before the guest's memory.

    A right ITS compares the DeviceID and refuses the MAPD. The seeded one writes its entry where the id points: into the
    guest's first page, or where a two-level table is in force, behind an entry that lies behind level 1.
    """
    host.say("Name a device table of one page, the last before the guest's memory.")
    entries = flat_device_table(host, host.guest_page() - PAGE_SIZE)
    device_id = entries + 5 if entries else host.per_page(TABLE_DEVICES) * (SIZE_64K // 8) + 5
    host.say("Map a device five ids behind the end of the table.")
    verdict = host.post(MAPD(device_id=device_id, size=EVENT_BITS, itt_addr=host.pages(), valid=1))[0]
    host.show("The guest's first bytes.", host.guest_page(), 64)
    judge(host, "a DeviceID that the table does not reach is refused.", verdict != Verdict.EXECUTED)


def mapd_keeps_dte(host: HostileHost) -> None:
    """A device is unmapped and its translation table's page given to a guest; then the device sends once more.

    In a right ITS the device is gone. The seeded one still has its entry, and reads and writes the page that is the
    guest's now. No check of commands helps: the hypervisor released the page because MAPD with V=0 was carried out.
    """
    itt = host.map_own(DEVICE)
    if itt is None:
        return
    host.say("Map an event of the device, then unmap the device.")
    host.post(event(DEVICE, 0), MAPD(device_id=DEVICE, size=EVENT_BITS, itt_addr=itt, valid=0))
    release(host, itt)
    host.say("The device sends its event, and one more event is mapped.")
    arrived = host.msi(DEVICE, 0)
    host.post(event(DEVICE, 1))
    host.show("The page of the table.", itt, 32)
    judge(host, "a device that was unmapped reaches nobody.", not arrived)


def discard_keeps_ite(host: HostileHost) -> None:
    """An event is discarded, and its device sends it once more.

    A right ITS drops the message. The seeded one only withdrew what was pending: the event still goes to its LPI.
    """
    host.map_own(DEVICE)
    host.say("Map an event and discard it.")
    host.post(event(DEVICE, 0), DISCARD(device_id=DEVICE, event_id=0))
    host.say("The device sends it.")
    judge(host, "an event that was discarded reaches nobody.", not host.msi(DEVICE, 0))


def discard_keeps_vlpi(host: HostileHost) -> None:
    """An event of a vPE is pending when it is discarded.

    A right ITS withdraws the vLPI. The seeded one leaves it pending in the vPE's table: the guest takes an interrupt of a
    device that it no longer has.
    """
    vpt = host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K)
    host.say("Map a vPE, and an event of a device to a vLPI of it.")
    host.vmapp(1, vpt)
    host.map_own(DEVICE)
    host.post(virtual_event(DEVICE, 0, 1))
    host.say("The device sends the event; nobody has taken it when it is discarded.")
    host.msi(DEVICE, 0)
    host.post(DISCARD(device_id=DEVICE, event_id=0))
    judge(host, "nothing of a discarded event stays pending.", not is_pending(host, vpt, FIRST_LPI + 0x40))


def movall_takes_all(host: HostileHost) -> None:
    """What is pending on CPU 0 moves to CPU 1 while something is pending on CPU 2.

    A right ITS leaves the third CPU alone. The seeded one does not ask whose an LPI is and moves that too.
    """
    host.map_own(DEVICE)
    host.say("An event is pending on CPU 2.")
    command = event(DEVICE, 0, icid=2)
    host.post(command)
    host.msi(DEVICE, 0)
    host.say("Move everything from CPU 0 to CPU 1.")
    host.post(MOVALL(rd_base1=host.rd_base(0), rd_base2=host.rd_base(1)))
    wrong = is_pending(host, host.known.cpus[1].pending_table, command.intid)
    judge(host, "MOVALL takes only what is pending at its source.", not wrong)


def target_by_affinity(host: HostileHost) -> None:
    """An event goes to the collection of CPU 17, whose affinity is 1.1.

    A right ITS finds the redistributor by the number in MAPC. The seeded one takes it for the lowest affinity level and
    delivers to CPU 1.
    """
    host.map_own(DEVICE)
    cpu = len(host.known.cpus) - 3
    host.say(f"Map an event to the collection of CPU {cpu}; the device sends it.")
    command = event(DEVICE, 0, icid=cpu)
    host.post(command)
    arrived = host.msi(DEVICE, 0)
    right = is_pending(host, host.known.cpus[cpu].pending_table, command.intid)
    judge(host, "an LPI is pending at the CPU that its collection names.", right or not arrived)


def missing_itt(host: HostileHost) -> None:
    """A device's translation table lies where there is no memory.

    A right ITS stops at the MAPTI that it cannot carry out. The seeded one says that it did, and the event is lost later.
    """
    host.say("Map a device whose table is below RAM, and an event of it.")
    host.post(MAPD(device_id=DEVICE, size=EVENT_BITS, itt_addr=host.box.map.ram - SIZE_64K, valid=1))
    verdict = host.post(event(DEVICE, 0))[0]
    judge(host, "a translation entry that cannot be written is not said to be there.", verdict != Verdict.EXECUTED)


def any_intid(host: HostileHost) -> None:
    """An event is mapped to INTID 3, a software generated interrupt.

    A right ITS refuses it. The seeded one writes the entry; the event can never arrive.
    """
    host.map_own(DEVICE)
    host.say("Map an event to an INTID that is no LPI.")
    verdict = host.post(event(DEVICE, 0).replace(intid=3))[0]
    judge(host, "only LPIs can be mapped.", verdict != Verdict.EXECUTED)


def stale_tables(host: HostileHost) -> None:
    """The device table is replaced, as a kernel that was started anew does; then a device of the old one sends.

    A right ITS reads the new, empty table. The seeded one goes on with the first, whose page may be somebody else's by now.
    """
    host.map_own(DEVICE)
    host.say("Map an event.")
    host.post(event(DEVICE, 0))
    host.say("Switch the ITS off, name an empty device table, and switch it on.")
    if not flat_device_table(host, host.pages()):
        return
    host.say("The device sends its event.")
    judge(host, "a device that is not in the table reaches nobody.", not host.msi(DEVICE, 0))


def any_size(host: HostileHost) -> None:
    """MAPD says 17 EventID bits where the ITS has 16; its table fills all that was checked for 16.

    A right ITS refuses the Size. The seeded one takes it, and the upper half of the table is the guest's memory.
    """
    bits = host.typer.id_bits
    itt = host.guest_page() - itt_bytes(bits, _ITE_BYTES)
    host.say("Map a device with one EventID bit more than the ITS has; half of its table would be the guest's.")
    verdict = host.post(MAPD(device_id=DEVICE, size=bits + 1, itt_addr=itt, valid=1))[0]
    host.say("Map the first event of the upper half.")
    host.post(event(DEVICE, 2 << bits))
    host.show("The guest's first bytes.", host.guest_page())
    judge(host, "a Size beyond GITS_TYPER.ID_bits is refused.", verdict != Verdict.EXECUTED)
