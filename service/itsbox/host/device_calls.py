"""The calls that concern devices and their events: what they check first, and what they answer."""

from __future__ import annotations

from typing import Any, Final

from itsbox.arch.smccc import Errno
from itsbox.host.arguments import ANY_CPU, CPU, DEVICE, EVENT, ITS, Arg, Call
from itsbox.host.devices import (
    clear,
    create_device,
    discard,
    free_device,
    map_event,
    mask,
    move_event,
    pick_cpu,
    retrigger,
)
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.state import Event, ItsDevice, ItsNode
from itsbox.host.vlpis import unforward

__all__ = ["DEVICE_CALLS", "MAX_VECTORS", "its_at", "mapped_device", "mapped_event", "shown", "target_cpu"]

MAX_VECTORS: Final = 2048
"""Most events of one device: the size of the largest MSI-X table (PCI Local Bus Specification 3.0, 6.8.2)."""


def its_at(kernel: Kernel, place: int | None) -> ItsNode:
    """Raises KernelError: ENODEV for an ITS that could not be probed."""
    place = place or 0
    if place >= len(kernel.state.its):
        raise KernelError(Errno.ENODEV, f"there is no ITS {place}")
    return kernel.state.its[place]


def mapped_device(kernel: Kernel, its: ItsNode, device_id: int) -> ItsDevice:
    """Raises KernelError: ENODEV."""
    device = its.devices.get(device_id)
    if device is None or _is_proxy(kernel, its, device_id):
        raise KernelError(Errno.ENODEV, f"device {device_id:#x} is not mapped")
    return device


def _is_proxy(kernel: Kernel, its: ItsNode, device_id: int) -> bool:
    return device_id == kernel.state.proxy and its is kernel.state.its[0]


def mapped_event(kernel: Kernel, its: int | None, device_id: int, event_id: int) -> tuple[ItsNode, ItsDevice, Event]:
    """Raises KernelError: ENODEV, EINVAL."""
    node = its_at(kernel, its)
    device = mapped_device(kernel, node, device_id)
    event = device.events.get(event_id)
    if event is None:
        raise KernelError(Errno.EINVAL, f"event {event_id} of device {device_id:#x} is not mapped")
    return node, device, event


def target_cpu(kernel: Kernel, its: ItsNode, cpu: int | None) -> int:
    """The CPU asked for, or the least loaded. Raises KernelError: EINVAL, it takes no LPIs."""
    if cpu is None:
        return pick_cpu(kernel, its)
    if not kernel.state.cpus[cpu].online or cpu not in its.collections:
        raise KernelError(Errno.EINVAL, f"CPU {cpu} takes no LPIs")
    return cpu


def shown(event_id: int, event: Event) -> dict[str, Any]:
    """An event as answers show it."""
    return {"event_id": event_id, "lpi": event.lpi, "cpu": event.cpu}


def _map_device(
    kernel: Kernel, device_id: int, events: int, cpu: int | None = None, its: int | None = None
) -> dict[str, Any]:
    node = its_at(kernel, its)
    if _is_proxy(kernel, node, device_id):
        kernel.port.print(f"DevId {device_id:x} clashes with GICv4 VPE proxy device")
        raise KernelError(Errno.EINVAL, "the DeviceID is that of the GICv4 proxy device")
    if device_id in node.devices:
        raise KernelError(Errno.EEXIST, f"device {device_id:#x} is mapped already")
    target_cpu(kernel, node, cpu)
    device = create_device(kernel, node, device_id, events)
    if device.lpis < events:
        free_device(kernel, node, device)
        raise KernelError(Errno.ENOSPC, f"{events} LPIs are not free")
    mapped = [
        shown(event_id, map_event(kernel, node, device, event_id, target_cpu(kernel, node, cpu)))
        for event_id in range(events)
    ]
    return {"device_id": device_id, "itt": f"{device.itt:#x}", "events": mapped}


def _unmap_device(kernel: Kernel, device_id: int, its: int | None = None) -> dict[str, Any]:
    node = its_at(kernel, its)
    device = mapped_device(kernel, node, device_id)
    events = len(device.events)
    for event_id, event in sorted(device.events.items()):
        if event.vpe is not None:
            unforward(kernel, its or 0, device, event_id)
    free_device(kernel, node, device)
    return {"device_id": device_id, "events": events}


def _map_event(
    kernel: Kernel, device_id: int, event_id: int | None = None, cpu: int | None = None, its: int | None = None
) -> dict[str, Any]:
    node = its_at(kernel, its)
    device = mapped_device(kernel, node, device_id)
    if event_id is None:
        event_id = next((each for each in range(device.lpis) if each not in device.events), device.lpis)
    if event_id >= device.lpis:
        raise KernelError(Errno.ENOSPC, f"device {device_id:#x} has LPIs for {device.lpis} events")
    if event_id in device.events:
        raise KernelError(Errno.EEXIST, f"event {event_id} of device {device_id:#x} is mapped already")
    event = map_event(kernel, node, device, event_id, target_cpu(kernel, node, cpu))
    return {"device_id": device_id, **shown(event_id, event)}


def _unmap_event(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    if event.vpe is not None:
        unforward(kernel, its or 0, device, event_id)
    discard(kernel, node, device, event_id)
    return {"device_id": device_id, "event_id": event_id}


def _move_event(kernel: Kernel, device_id: int, event_id: int, cpu: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    if event.vpe is not None:
        raise KernelError(Errno.EINVAL, "the event is forwarded to a vPE: it goes where the vPE goes")
    moved = move_event(kernel, node, device, event_id, target_cpu(kernel, node, cpu))
    return {"device_id": device_id, **shown(event_id, event), "moved": moved}


def _mask(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    return _set_enabled(kernel, device_id, event_id, its, enable=False)


def _unmask(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    return _set_enabled(kernel, device_id, event_id, its, enable=True)


def _set_enabled(kernel: Kernel, device_id: int, event_id: int, its: int | None, *, enable: bool) -> dict[str, Any]:
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    mask(kernel, node, device, event_id, enable=enable)
    return {"device_id": device_id, **shown(event_id, event), "enabled": event.enabled}


def _retrigger(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    retrigger(kernel, node, device, event_id)
    return {"device_id": device_id, **shown(event_id, event)}


def _clear(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    clear(kernel, node, device, event_id)
    return {"device_id": device_id, **shown(event_id, event)}


_ONE_EVENT: Final = (DEVICE, EVENT, ITS)

DEVICE_CALLS: Final = (
    Call(
        "map_device",
        (DEVICE, Arg("events", 1, MAX_VECTORS, "how many events, EventIDs 0 onwards"), ANY_CPU, ITS),
        "Give a device its ITT and its LPIs: one MAPD, then MAPTI and SYNC for each event. Events begin masked.",
        _map_device,
    ),
    Call("unmap_device", (DEVICE, ITS), "Free a device: each of its events, then MAPD with V=0.", _unmap_device),
    Call(
        "map_event",
        (DEVICE, EVENT._replace(doc="the first free one when left out", required=False), ANY_CPU, ITS),
        "Map one more event of a device: MAPTI, SYNC.",
        _map_event,
    ),
    Call("unmap_event", _ONE_EVENT, "Free one event: INV, SYNC if it is unmasked; DISCARD, SYNC.", _unmap_event),
    Call("move_event", (DEVICE, EVENT, CPU, ITS), "Route an event to another CPU: MOVI, SYNC.", _move_event),
    Call("mask", _ONE_EVENT, "Clear Enable in the interrupt's configuration byte; INV, SYNC.", _mask),
    Call("unmask", _ONE_EVENT, "Set Enable in the interrupt's configuration byte; INV, SYNC.", _unmask),
    Call("retrigger", _ONE_EVENT, "Make an event's interrupt pending: INT, SYNC.", _retrigger),
    Call("clear", _ONE_EVENT, "Clear an event's pending interrupt: CLEAR, SYNC.", _clear),
)
