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
from itsbox.host.attacks import SetUpFails
from itsbox.host.attacks_defects import alive

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["EARLY_VPE", "early_vpe", "forged_vte", "unchecked_virtual", "vpt_in_hyp"]

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
    host.needs_virtual()
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
    host.needs_virtual()
    victim = host.hyp_page(14)
    at = victim + _OTHER // 8
    host.map_own(_DEVICE + 1)
    host.say("Map a vPE honestly, so that there is an entry.")
    host.vmapp(8, host.pages(_VPT_PAGES, SIZE_64K))
    entry = host.table_entry(TABLE_VPES, 8)
    host.show("The victim: the byte with the virtual LPI's bit, before.", at, 4)
    if entry is None:
        raise SetUpFails("the vPE's entry cannot be found")
    host.say("Edit the entry: VPT_base is now the hypervisor's memory.")
    host.store(
        entry, VTE.STRUCT.pack(*VTE(valid=1, vpt_size=_VPT_SIZE, vpt_addr=victim, rd_base=host.rd_base()).encode())
    )
    host.say("Raise a virtual interrupt: one bit, chosen by its vINTID, is set there.")
    _raise(host, _DEVICE + 1, 8, 0, _OTHER)
    host.show("The same byte, after: one bit.", at, 4)


EARLY_VPE: Final = 12
"""The vPE that ``early_vpe`` maps."""


def early_vpe(host: HostileHost) -> None:
    """Before the switch-over: a guest is created, with a vPE whose pending table is the host's memory."""
    host.needs_virtual()
    host.say("While the kernel is still trusted a guest is created: a vPE, with a pending table in the host's memory.")
    host.vmapp(EARLY_VPE, host.pages(_VPT_PAGES, SIZE_64K))


def unchecked_virtual(host: HostileHost) -> None:
    """15: virtual commands pass unlooked at: VMAPTI and VMOVI for unmapped vPEs, VMAPP anywhere, VMOVP for absent ITSs."""
    host.needs_virtual()
    host.needs_own(_DEVICE + 2)
    host.say("Map events to vPEs that nobody mapped, by VMAPTI and by VMOVI, and raise them.")
    _raise(host, _DEVICE + 2, EARLY_VPE + 1, 1)
    _raise(host, _DEVICE + 2, EARLY_VPE)
    host.post(VMOVI(device_id=_DEVICE + 2, event_id=0, vpe_id=EARLY_VPE + 2, d=0, doorbell_intid=1023))
    host.msi(_DEVICE + 2, 0)
    host.say("A vPE in a guest's memory, and one in the hypervisor's, and an event of each.")
    for n, vpt in enumerate((host.guest_page(5), host.hyp_page(14))):
        host.vmapp(EARLY_VPE + 3 + n, vpt)
        _raise(host, _DEVICE + 2, EARLY_VPE + 3 + n, 2 + n, _OTHER)
    host.say("A virtual INTID beyond the pending table, and VSYNC.")
    _raise(host, _DEVICE + 2, EARLY_VPE, 4, FIRST_LPI + 0x8_0000)
    host.post(VSYNC(vpe_id=EARLY_VPE))
    if host.typer.vmovp:
        return
    host.say("Move the vPE, for sixteen ITSs, most of which do not exist; then see whether honest traffic passes.")
    host.leave(VMOVP(sequence_number=1, its_list=0xFFFF, vpe_id=EARLY_VPE, rd_base=host.rd_base(1)))
    alive(host, _DEVICE + 3)
