"""What the programs of seeded defects have in common: how they judge what they see, and what they look at.

Most defects break no isolation: the machine merely does something else than it should. Such a program says in a step of its
own what is right and whether it was so. It plays on any machine: without its defect every step ends as it should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import MAPTI, NO_DOORBELL, VMAPTI
from itsbox.arch.its_registers import GITS_BASER, TABLE_DEVICES
from itsbox.arch.lpi_tables import pending_place
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE
from itsbox.host.attacks import Step

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout
    from itsbox.host.attacks import HostileHost

__all__ = [
    "DEVICE", "NOT_SO", "SO", "event", "flat_device_table", "is_pending", "judge", "release", "virtual_event",
]  # fmt: skip

SO: Final = "it is so"
NOT_SO: Final = "it is not so"

DEVICE: Final = 0x150


def judge(host: HostileHost, what_is_right: str, right: bool) -> bool:
    """Note what a right machine does and whether this one did."""
    host.steps.append(Step(f"Right is: {what_is_right}", None, SO if right else NOT_SO, host.box.step))
    return right


def event(device_id: int, event_id: int, icid: int = 0) -> MAPTI:
    """An event that goes to an LPI of its own; the collections are the driver's, one for each CPU."""
    return MAPTI(device_id=device_id, event_id=event_id, intid=FIRST_LPI + 0x1C0 + event_id % 32, icid=icid)


def virtual_event(device_id: int, event_id: int, vpe_id: int) -> Layout:
    """An event that goes to a vLPI."""
    return VMAPTI(
        device_id=device_id,
        event_id=event_id,
        vpe_id=vpe_id,
        virtual_intid=FIRST_LPI + 0x40,
        doorbell_intid=NO_DOORBELL,
    )


def is_pending(host: HostileHost, table: int, intid: int) -> bool:
    """Whether a bit of a pending table is set, as memory has it."""
    offset, bit = pending_place(intid)
    byte = host.show(f"The byte of INTID {intid} in the pending table.", table + offset, 1)
    return bool(byte and byte[0] >> bit & 1)


def release(host: HostileHost, addr: int) -> bool:
    """A page that is used no more goes to a guest, where there is a hypervisor to move it; whether it went."""
    host.say("The page of the table is not needed any more: stop sharing it, and give it to a guest.")
    host.hvc("__pkvm_host_unshare_hyp", addr >> PAGE_SHIFT)
    return host.give_away(addr >> PAGE_SHIFT << PAGE_SHIFT)


def flat_device_table(host: HostileHost, table: int) -> int:
    """Name a fresh flat device table of one page, the ITS off meanwhile; how many devices it has.

    Where the register is not let change, the table stays what it was; 0.
    """
    found = host.baser(TABLE_DEVICES)
    if found is None:
        return 0
    n, value = found
    host.fill(table, PAGE_SIZE)
    host.enable(False)
    wanted = value.replace(size=0, page_size=0, indirect=0, physical_address=table, valid=1)
    host.write(host.gits(GITS_BASER, n), wanted.word())
    host.enable(True)
    changed = GITS_BASER.decode(host.read(host.gits(GITS_BASER, n))).physical_address == table
    return PAGE_SIZE // (value.entry_size + 1) if changed else 0
