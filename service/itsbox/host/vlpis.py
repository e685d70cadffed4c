"""Events that are forwarded to a guest: a device's interrupt becomes a virtual LPI of a vPE (its_vlpi_map and its kin)."""

from __future__ import annotations

from itsbox.arch.its_commands import DISCARD, MAPTI, NO_DOORBELL, VMAPTI, VMOVI, VSYNC
from itsbox.arch.its_registers import GITS_TYPER
from itsbox.host.devices import mask, sync
from itsbox.host.kernel import Kernel
from itsbox.host.lpis import write_config
from itsbox.host.queue import post
from itsbox.host.state import Event, ItsDevice, Vpe
from itsbox.host.vpes import ensure_mapped, release_mapping

__all__ = ["forward", "unforward"]


def forward(kernel: Kernel, place: int, device: ItsDevice, event_id: int, *, vpe: Vpe, virtual_intid: int) -> None:
    """Forward an event to a vPE, disabled: DISCARD, SYNC, VMAPTI, VSYNC; or VMOVI, VSYNC if it is forwarded already.

    ``place``: which ITS the device is on. A vPE that moves keeps its virtual INTID, whatever is asked for.
    """
    its, event = kernel.state.its[place], device.events[event_id]
    ensure_mapped(kernel, place)
    doorbell = _doorbell(kernel, place, vpe)
    if event.vpe is not None:
        _count(kernel, place, event, -1)
        event.vpe = vpe.vpe_id
        _count(kernel, place, event, 1)
        move = VMOVI(device_id=device.device_id, event_id=event_id, vpe_id=vpe.vpe_id, d=1, doorbell_intid=doorbell)
        post(kernel, its, move, VSYNC(vpe_id=vpe.vpe_id))
        return
    write_config(kernel, kernel.state.virtual_property_table, virtual_intid, enable=False)
    post(kernel, its, DISCARD(device_id=device.device_id, event_id=event_id), sync(its, event.cpu))
    event.vpe, event.virtual_intid, event.enabled = vpe.vpe_id, virtual_intid, False
    _count(kernel, place, event, 1)
    command = VMAPTI(
        device_id=device.device_id,
        event_id=event_id,
        vpe_id=vpe.vpe_id,
        virtual_intid=virtual_intid,
        doorbell_intid=doorbell,
    )
    post(kernel, its, command, VSYNC(vpe_id=vpe.vpe_id))


def unforward(kernel: Kernel, place: int, device: ItsDevice, event_id: int) -> None:
    """Take an event back: DISCARD, MAPTI, INV, each with SYNC; it is the host's again, and enabled (its_vlpi_unmap)."""
    its, event = kernel.state.its[place], device.events[event_id]
    post(kernel, its, DISCARD(device_id=device.device_id, event_id=event_id), sync(its, event.cpu))
    _count(kernel, place, event, -1)
    event.vpe, event.virtual_intid = None, None
    command = MAPTI(device_id=device.device_id, event_id=event_id, intid=event.lpi, icid=event.cpu)
    post(kernel, its, command, sync(its, event.cpu))
    mask(kernel, its, device, event_id, enable=True)
    release_mapping(kernel, place)


def _doorbell(kernel: Kernel, place: int, vpe: Vpe) -> int:
    """The doorbell that an event rings: the vPE's, but on GICv4.1, which has default doorbells, none of its own."""
    return NO_DOORBELL if GITS_TYPER.decode(kernel.state.its[place].typer).vmapp else vpe.doorbell


def _count(kernel: Kernel, place: int, event: Event, change: int) -> None:
    """Keep count of the events that an ITS forwards to a vPE."""
    if event.vpe is not None:
        vlpis = kernel.state.vpes[event.vpe].vlpis
        vlpis[place] = vlpis.get(place, 0) + change
