"""Doorbells of vPEs: the LPI that rings when a vPE that is not resident has something to do.

On GICv4.0 a redistributor cannot be told about a doorbell's configuration, so Linux maps doorbells, as they are needed, to
events of a proxy device and sends INV, CLEAR and MOVI to those. There is a slot for each CPU; who comes late takes somebody's.
With DirectLPI registers there is no proxy, and on GICv4.1 doorbells are part of the vPE (INVDB).
"""

from __future__ import annotations

from itsbox.arch.its_commands import CLEAR, DISCARD, INV, INVDB, MAPTI, MOVI, VSYNC
from itsbox.arch.its_registers import GITS_TYPER
from itsbox.arch.redist_registers import GICR_CLRLPIR, GICR_SYNCR
from itsbox.host.devices import sync
from itsbox.host.gicv4 import proxy_device
from itsbox.host.kernel import Kernel
from itsbox.host.lpis import invalidate_directly, write_config
from itsbox.host.queue import post
from itsbox.host.state import Event, ItsDevice, ItsNode, Vpe

__all__ = ["clear_doorbell", "enable_doorbell", "leave_proxy", "move_doorbell"]


def enable_doorbell(kernel: Kernel, vpe: Vpe, *, enable: bool) -> None:
    """Unmask or mask a doorbell (its_vpe_unmask_irq, its_vpe_4_1_unmask_irq)."""
    write_config(kernel, kernel.state.property_table, vpe.doorbell, enable=enable)
    vpe.doorbell_enabled = enable
    if kernel.state.has_rvpeid:
        for its in kernel.state.its:
            if GITS_TYPER.decode(its.typer).vmapp:
                post(kernel, its, INVDB(vpe_id=vpe.vpe_id), VSYNC(vpe_id=vpe.vpe_id))
                break
    elif kernel.state.direct_lpi:
        invalidate_directly(kernel, Event(lpi=vpe.doorbell, cpu=vpe.cpu))
    else:
        its, proxy, slot = _slot(kernel, vpe)
        post(kernel, its, INV(device_id=proxy.device_id, event_id=slot), sync(its, vpe.cpu))


def clear_doorbell(kernel: Kernel, vpe: Vpe) -> None:
    """Clear a doorbell that rang before the vPE became resident (its_vpe_set_irqchip_state). GICv4.1 needs none of it."""
    if kernel.state.has_rvpeid:
        return
    if kernel.state.direct_lpi:
        _clear_directly(kernel, vpe)
    else:
        its, proxy, slot = _slot(kernel, vpe)
        post(kernel, its, CLEAR(device_id=proxy.device_id, event_id=slot), sync(its, vpe.cpu))


def move_doorbell(kernel: Kernel, vpe: Vpe, source: int) -> None:
    """The vPE has moved from ``source`` to ``vpe.cpu``: take its doorbell along (its_vpe_db_proxy_move)."""
    if kernel.state.has_rvpeid:
        return
    if kernel.state.direct_lpi:
        _clear_directly(kernel, vpe, source)
        return
    mapped = vpe.proxy_slot is not None
    its, proxy, slot = _slot(kernel, vpe)
    # A slot that was taken only now is mapped to the new CPU already, and moved there all the same.
    leaves = source if mapped else vpe.cpu
    post(kernel, its, MOVI(device_id=proxy.device_id, event_id=slot, icid=vpe.cpu), sync(its, leaves))


def leave_proxy(kernel: Kernel, vpe: Vpe) -> None:
    """Give a slot of the proxy device up (its_vpe_db_proxy_unmap)."""
    state, slot = kernel.state, vpe.proxy_slot
    if slot is None:
        return
    its, proxy = proxy_device(kernel)
    post(kernel, its, DISCARD(device_id=proxy.device_id, event_id=slot), sync(its, vpe.cpu))
    # Empty slots are not tracked; the next one to come takes this one, unless its own is empty as well.
    if state.next_victim in state.proxy_slots:
        state.next_victim = slot
    state.proxy_slots.pop(slot, None)
    vpe.proxy_slot = None


def _slot(kernel: Kernel, vpe: Vpe) -> tuple[ItsNode, ItsDevice, int]:
    """The vPE's event of the proxy device; it is mapped first if need be (its_vpe_db_proxy_map_locked)."""
    state = kernel.state
    its, proxy = proxy_device(kernel)
    if vpe.proxy_slot is not None:
        return its, proxy, vpe.proxy_slot
    slot = state.next_victim
    if slot in state.proxy_slots:
        leave_proxy(kernel, state.vpes[state.proxy_slots[slot]])
    state.proxy_slots[slot] = vpe.vpe_id
    vpe.proxy_slot = slot
    state.next_victim = (slot + 1) % proxy.capacity
    command = MAPTI(device_id=proxy.device_id, event_id=slot, intid=vpe.doorbell, icid=vpe.cpu)
    post(kernel, its, command, sync(its, vpe.cpu))
    return its, proxy, slot


def _clear_directly(kernel: Kernel, vpe: Vpe, cpu: int | None = None) -> None:
    rd_base = kernel.state.cpus[vpe.cpu if cpu is None else cpu].rd_base
    kernel.write(rd_base, GICR_CLRLPIR(intid=vpe.doorbell))
    kernel.poll(lambda: not kernel.read(rd_base, GICR_SYNCR).busy)
