"""Devices and their events as Linux maps, moves, masks and frees them (Linux, irq-gic-v3-its.c).

A command that times out changes nothing here: the kernel does not look at the result and goes on, and so its idea of what is
mapped may differ from the ITS's. That is what the seed's hang is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from itsbox.arch.its_commands import CLEAR, DISCARD, INT, INV, MAPD, MAPTI, MOVI, SYNC, VSYNC
from itsbox.arch.its_registers import GITS_TYPER, TABLE_DEVICES, ite_bytes
from itsbox.arch.its_tables import ITT_ALIGNMENT
from itsbox.arch.smccc import Errno
from itsbox.arch.values import PAGE_SIZE, align_up
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.lpis import alloc_lpis, invalidate_directly, write_config
from itsbox.host.memory import alloc_itt, free_itt
from itsbox.host.queue import post
from itsbox.host.ranges import give
from itsbox.host.state import Event, ItsDevice, ItsNode
from itsbox.host.tables import ensure_entry

__all__ = [
    "clear", "create_device", "discard", "free_device", "invalidate", "map_event", "mask", "move_event", "pick_cpu",
    "retrigger", "routed_to", "sync",
]  # fmt: skip

_MIN_ITES: Final = 2
"""A MAPD cannot say less than one EventID bit."""


def sync(its: ItsNode, cpu: int) -> SYNC:
    """SYNC for the collection of a CPU."""
    return SYNC(rd_base=its.collections[cpu])


def completion(its: ItsNode, event: Event) -> SYNC | VSYNC:
    """What waits for INT, CLEAR or INV of an event: it depends on whom the event goes to."""
    return sync(its, event.cpu) if event.vpe is None else VSYNC(vpe_id=event.vpe)


def create_device(kernel: Kernel, its: ItsNode, device_id: int, vectors: int, *, with_lpis: bool = True) -> ItsDevice:
    """Give a device its ITT and its LPIs, and map it (its_create_device). ``vectors`` is rounded up to a power of two.

    Raises:
        KernelError: ENOMEM, and nothing is kept (but a new level-2 page, as in the kernel).
    """
    state = kernel.state
    ensure_entry(kernel, its, TABLE_DEVICES, device_id)
    fitting = 1 << vectors.bit_length() - 1
    vectors = 1 << (vectors - 1).bit_length()
    capacity = max(vectors, _MIN_ITES)
    places = fitting if kernel.version.itt_rounds_down else capacity
    size = max(places * _ite_bytes(kernel, its), ITT_ALIGNMENT)
    if kernel.version.itt_page_aligned:
        size = align_up(size, PAGE_SIZE)
    itt = alloc_itt(state.itt_pool, state.pages, size)
    device = ItsDevice(device_id=device_id, itt=itt, itt_bytes=size, capacity=capacity)
    if with_lpis:
        try:
            device.lpi_base, device.lpis = alloc_lpis(kernel, vectors)
        except KernelError as error:
            free_itt(state.itt_pool, state.pages, itt, size)
            raise KernelError(Errno.ENOMEM, error.detail) from error
    kernel.port.fill(itt, size, 0)
    kernel.port.clean(itt, size)
    its.devices[device_id] = device
    _send_mapd(kernel, its, device, valid=True)
    return device


def _ite_bytes(kernel: Kernel, its: ItsNode) -> int:
    typer = GITS_TYPER.decode(its.typer)
    # The next bit is the lowest of ID_bits.
    return ite_bytes(typer) + (16 * (typer.id_bits % 2) if kernel.version.ite_bit_more else 0)


def free_device(kernel: Kernel, its: ItsNode, device: ItsDevice) -> None:
    """Discard what is still mapped, unmap the device, free its LPIs and its ITT (its_irq_domain_free)."""
    for event_id in sorted(device.events):
        discard(kernel, its, device, event_id)
    _send_mapd(kernel, its, device, valid=False)
    del its.devices[device.device_id]
    if device.lpis:
        give(kernel.state.lpis, device.lpi_base, device.lpis)
    free_itt(kernel.state.itt_pool, kernel.state.pages, device.itt, device.itt_bytes)


def map_event(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int, cpu: int) -> Event:
    """Route an event to its LPI at a CPU; it begins masked (its_irq_domain_activate)."""
    event = device.events[event_id] = Event(lpi=device.lpi_base + event_id, cpu=cpu)
    kernel.state.cpus[cpu].lpi_count += 1
    command = MAPTI(device_id=device.device_id, event_id=event_id, intid=event.lpi, icid=cpu)
    post(kernel, its, command, sync(its, cpu))
    return event


def move_event(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int, cpu: int) -> bool:
    """Route an event to another CPU; False if it is there already (its_set_affinity).

    The SYNC waits for the CPU that the event leaves, as Linux has it.
    """
    event = device.events[event_id]
    if event.cpu == cpu:
        return False
    command = MOVI(device_id=device.device_id, event_id=event_id, icid=cpu)
    post(kernel, its, command, sync(its, event.cpu))
    kernel.state.cpus[event.cpu].lpi_count -= 1
    kernel.state.cpus[cpu].lpi_count += 1
    event.cpu = cpu
    return True


def discard(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int) -> None:
    """Shut an event down: mask it if it is not masked, and remove its translation (its_irq_domain_deactivate)."""
    event = device.events[event_id]
    if event.enabled:
        mask(kernel, its, device, event_id, enable=False)
    post(kernel, its, DISCARD(device_id=device.device_id, event_id=event_id), sync(its, event.cpu))
    kernel.state.cpus[event.cpu].lpi_count -= 1
    del device.events[event_id]


def mask(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int, *, enable: bool) -> None:
    """Mask or, with ``enable``, unmask: change the configuration byte and have it read again (lpi_update_config)."""
    state, event = kernel.state, device.events[event_id]
    if event.virtual_intid is None:
        write_config(kernel, state.property_table, event.lpi, enable=enable)
    else:
        write_config(kernel, state.virtual_property_table, event.virtual_intid, enable=enable)
    event.enabled = enable
    invalidate(kernel, its, device, event_id)


def invalidate(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int) -> None:
    """Have the configuration of an event's interrupt read again: at the redistributor if that can be, else by INV."""
    event = device.events[event_id]
    if kernel.state.direct_lpi and (event.vpe is None or kernel.state.has_rvpeid):
        invalidate_directly(kernel, event)
    else:
        post(kernel, its, INV(device_id=device.device_id, event_id=event_id), completion(its, event))


def retrigger(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int) -> None:
    """Make an event's interrupt pending by software (its_irq_retrigger)."""
    command = INT(device_id=device.device_id, event_id=event_id)
    post(kernel, its, command, completion(its, device.events[event_id]))


def clear(kernel: Kernel, its: ItsNode, device: ItsDevice, event_id: int) -> None:
    """Clear an event's pending interrupt (its_irq_set_irqchip_state)."""
    command = CLEAR(device_id=device.device_id, event_id=event_id)
    post(kernel, its, command, completion(its, device.events[event_id]))


def pick_cpu(kernel: Kernel, its: ItsNode) -> int:
    """The CPU with the fewest LPIs among those that take them (its_select_cpu); the lowest of equals.

    Raises:
        KernelError: EINVAL, there is none.
    """
    able = [cpu for cpu in its.collections if kernel.state.cpus[cpu].online]
    if not able:
        raise KernelError(Errno.EINVAL, "no CPU takes LPIs")
    return min(able, key=lambda cpu: (kernel.state.cpus[cpu].lpi_count, cpu))


def routed_to(kernel: Kernel, cpu: int) -> Iterator[tuple[ItsNode, ItsDevice, int]]:
    """Every event that is routed to a CPU, as (ITS, device, EventID); not the doorbells of the proxy device."""
    for place, its in enumerate(kernel.state.its):
        for device in its.devices.values():
            if place == 0 and device.device_id == kernel.state.proxy:
                continue
            for event_id, event in sorted(device.events.items()):
                if event.cpu == cpu:
                    yield its, device, event_id


def _send_mapd(kernel: Kernel, its: ItsNode, device: ItsDevice, *, valid: bool) -> None:
    """MAPD goes alone. Unmapping still names the ITT and its size, which the ITS ignores."""
    command = MAPD(
        device_id=device.device_id,
        size=(device.capacity - 1).bit_length() - 1,
        itt_addr=device.itt,
        valid=int(valid),
    )
    post(kernel, its, command)
