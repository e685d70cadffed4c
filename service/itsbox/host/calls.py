"""What the driver can be asked to do: every call declared once, with its arguments, their ranges and its answer.

The table is what ``Driver.call`` validates against and what the reference page is checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from itsbox.arch.smccc import Errno
from itsbox.host import power
from itsbox.host.deprivilege import deprivilege
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
from itsbox.host.errors import DriverCallError, KernelError
from itsbox.host.kernel import Kernel, Platform
from itsbox.host.probe import probe
from itsbox.host.state import Event, ItsDevice, ItsNode

__all__ = ["CALLS", "Arg", "Call", "arguments"]

MAX_VECTORS: Final = 2048
"""Most events of one device: the size of the largest MSI-X table (PCI Local Bus Specification 3.0, 6.8.2)."""

_WORD: Final = (1 << 32) - 1


class Arg(NamedTuple):
    """An argument: an integer from ``low`` to ``high``, or below what ``high`` gives for the machine."""

    name: str
    low: int
    high: int | Callable[[Platform], int]
    doc: str
    required: bool = True


class Call(NamedTuple):
    """One call: its arguments, what it does, and the phases in which a kernel would do it."""

    name: str
    args: tuple[Arg, ...]
    doc: str
    run: Callable[..., dict[str, Any]]
    before_probe: bool = False
    while_suspended: bool = False


def arguments(call: Call, given: Mapping[str, Any], platform: Platform) -> dict[str, int | None]:
    """Check the arguments of a call; what is left out is None.

    Raises:
        DriverCallError: unknown, missing, of the wrong kind or out of range.
    """
    known = {arg.name for arg in call.args}
    for name in given:
        if name not in known:
            raise DriverCallError(name, f"{call.name} has no such argument")
    return {arg.name: _argument(arg, given.get(arg.name), platform) for arg in call.args}


def _argument(arg: Arg, value: Any, platform: Platform) -> int | None:
    if value is None:
        if arg.required:
            raise DriverCallError(arg.name, "is required")
        return None
    if isinstance(value, str):
        try:
            value = int(value, 0)
        except ValueError:
            raise DriverCallError(arg.name, "must be an integer or a string such as 0x10") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DriverCallError(arg.name, "must be an integer or a string such as 0x10")
    high = arg.high if isinstance(arg.high, int) else arg.high(platform)
    if not arg.low <= value <= high:
        raise DriverCallError(arg.name, f"must be between {arg.low} and {high}")
    return value


# ---------------------------------------------------------------------------------------------------- what they do


def _probe(kernel: Kernel) -> dict[str, Any]:
    if kernel.state.phase != "reset":
        raise KernelError(Errno.EBUSY, "the driver has probed already")
    probe(kernel)
    return {
        "its": [
            {
                "its": f"{its.base:#x}",
                "queue": f"{its.queue:#x}",
                "needs_flushing": its.needs_flushing,
                "collections": len(its.collections),
            }
            for its in kernel.state.its
        ],
        "cpus": sum(cpu.online for cpu in kernel.state.cpus),
        "gicv4": kernel.state.has_vlpis,
    }


def _its(kernel: Kernel, place: int | None) -> ItsNode:
    """Raises KernelError: ENODEV for an ITS that could not be probed."""
    place = place or 0
    if place >= len(kernel.state.its):
        raise KernelError(Errno.ENODEV, f"there is no ITS {place}")
    return kernel.state.its[place]


def _device(kernel: Kernel, its: ItsNode, device_id: int) -> ItsDevice:
    """Raises KernelError: ENODEV."""
    device = its.devices.get(device_id)
    if device is None or _is_proxy(kernel, its, device_id):
        raise KernelError(Errno.ENODEV, f"device {device_id:#x} is not mapped")
    return device


def _is_proxy(kernel: Kernel, its: ItsNode, device_id: int) -> bool:
    return device_id == kernel.state.proxy and its is kernel.state.its[0]


def _event(kernel: Kernel, its: int | None, device_id: int, event_id: int) -> tuple[ItsNode, ItsDevice, Event]:
    """Raises KernelError: ENODEV, EINVAL."""
    node = _its(kernel, its)
    device = _device(kernel, node, device_id)
    event = device.events.get(event_id)
    if event is None:
        raise KernelError(Errno.EINVAL, f"event {event_id} of device {device_id:#x} is not mapped")
    return node, device, event


def _target(kernel: Kernel, its: ItsNode, cpu: int | None) -> int:
    """The CPU asked for, or the least loaded. Raises KernelError: EINVAL, it takes no LPIs."""
    if cpu is None:
        return pick_cpu(kernel, its)
    if not kernel.state.cpus[cpu].online or cpu not in its.collections:
        raise KernelError(Errno.EINVAL, f"CPU {cpu} takes no LPIs")
    return cpu


def _shown(event_id: int, event: Event) -> dict[str, Any]:
    return {"event_id": event_id, "lpi": event.lpi, "cpu": event.cpu}


def _map_device(
    kernel: Kernel, device_id: int, events: int, cpu: int | None = None, its: int | None = None
) -> dict[str, Any]:
    node = _its(kernel, its)
    if _is_proxy(kernel, node, device_id):
        kernel.port.print(f"DevId {device_id:x} clashes with GICv4 VPE proxy device")
        raise KernelError(Errno.EINVAL, "the DeviceID is that of the GICv4 proxy device")
    if device_id in node.devices:
        raise KernelError(Errno.EEXIST, f"device {device_id:#x} is mapped already")
    _target(kernel, node, cpu)
    device = create_device(kernel, node, device_id, events)
    if device.lpis < events:
        free_device(kernel, node, device)
        raise KernelError(Errno.ENOSPC, f"{events} LPIs are not free")
    shown = [
        _shown(event_id, map_event(kernel, node, device, event_id, _target(kernel, node, cpu)))
        for event_id in range(events)
    ]
    return {"device_id": device_id, "itt": f"{device.itt:#x}", "events": shown}


def _unmap_device(kernel: Kernel, device_id: int, its: int | None = None) -> dict[str, Any]:
    node = _its(kernel, its)
    device = _device(kernel, node, device_id)
    events = len(device.events)
    free_device(kernel, node, device)
    return {"device_id": device_id, "events": events}


def _map_event(
    kernel: Kernel, device_id: int, event_id: int | None = None, cpu: int | None = None, its: int | None = None
) -> dict[str, Any]:
    node = _its(kernel, its)
    device = _device(kernel, node, device_id)
    if event_id is None:
        event_id = next((each for each in range(device.lpis) if each not in device.events), device.lpis)
    if event_id >= device.lpis:
        raise KernelError(Errno.ENOSPC, f"device {device_id:#x} has LPIs for {device.lpis} events")
    if event_id in device.events:
        raise KernelError(Errno.EEXIST, f"event {event_id} of device {device_id:#x} is mapped already")
    event = map_event(kernel, node, device, event_id, _target(kernel, node, cpu))
    return {"device_id": device_id, **_shown(event_id, event)}


def _unmap_event(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, _ = _event(kernel, its, device_id, event_id)
    discard(kernel, node, device, event_id)
    return {"device_id": device_id, "event_id": event_id}


def _move_event(kernel: Kernel, device_id: int, event_id: int, cpu: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = _event(kernel, its, device_id, event_id)
    moved = move_event(kernel, node, device, event_id, _target(kernel, node, cpu))
    return {"device_id": device_id, **_shown(event_id, event), "moved": moved}


def _mask(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    return _set_enabled(kernel, device_id, event_id, its, enable=False)


def _unmask(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    return _set_enabled(kernel, device_id, event_id, its, enable=True)


def _set_enabled(kernel: Kernel, device_id: int, event_id: int, its: int | None, *, enable: bool) -> dict[str, Any]:
    node, device, event = _event(kernel, its, device_id, event_id)
    mask(kernel, node, device, event_id, enable=enable)
    return {"device_id": device_id, **_shown(event_id, event), "enabled": event.enabled}


def _retrigger(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = _event(kernel, its, device_id, event_id)
    retrigger(kernel, node, device, event_id)
    return {"device_id": device_id, **_shown(event_id, event)}


def _clear(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    node, device, event = _event(kernel, its, device_id, event_id)
    clear(kernel, node, device, event_id)
    return {"device_id": device_id, **_shown(event_id, event)}


def _resume(kernel: Kernel) -> dict[str, Any]:
    if not kernel.state.suspended:
        raise KernelError(Errno.EINVAL, "the machine is not suspended")
    return power.resume(kernel)


# ---------------------------------------------------------------------------------------------------- the table

_DEVICE: Final = Arg("device_id", 0, _WORD, "DeviceID")
_EVENT: Final = Arg("event_id", 0, _WORD, "EventID")
_CPU: Final = Arg("cpu", 0, lambda platform: platform.cpus - 1, "a CPU's number")
_ANY_CPU: Final = _CPU._replace(doc="the CPU to route to; the least loaded one when left out", required=False)
_ITS: Final = Arg(
    "its", 0, lambda platform: len(platform.its) - 1, "which ITS; the first when left out", required=False
)
_ONE_EVENT: Final = (_DEVICE, _EVENT, _ITS)

CALLS: Final[dict[str, Call]] = {
    call.name: call
    for call in (
        Call("probe", (), "Probe the ITSs and bring every CPU up.", _probe, before_probe=True),
        Call("deprivilege", (), "Give up the kernel's privileges and hand the ITSs to the hypervisor.", deprivilege),
        Call(
            "map_device",
            (_DEVICE, Arg("events", 1, MAX_VECTORS, "how many events, EventIDs 0 onwards"), _ANY_CPU, _ITS),
            "Give a device its ITT and its LPIs: one MAPD, then MAPTI and SYNC for each event. Events begin masked.",
            _map_device,
        ),
        Call(
            "map_event",
            (_DEVICE, _EVENT._replace(doc="the first free one when left out", required=False), _ANY_CPU, _ITS),
            "Map one more event of a device: MAPTI, SYNC.",
            _map_event,
        ),
        Call("unmap_event", _ONE_EVENT, "Free one event: INV, SYNC if it is unmasked; DISCARD, SYNC.", _unmap_event),
        Call("move_event", (_DEVICE, _EVENT, _CPU, _ITS), "Route an event to another CPU: MOVI, SYNC.", _move_event),
        Call(
            "unmap_device",
            (_DEVICE, _ITS),
            "Free a device: each of its events, then MAPD with V=0.",
            _unmap_device,
        ),
        Call("mask", _ONE_EVENT, "Clear Enable in the LPI's configuration byte; INV, SYNC.", _mask),
        Call("unmask", _ONE_EVENT, "Set Enable in the LPI's configuration byte; INV, SYNC.", _unmask),
        Call("retrigger", _ONE_EVENT, "Make an event's interrupt pending: INT, SYNC.", _retrigger),
        Call("clear", _ONE_EVENT, "Clear an event's pending interrupt: CLEAR, SYNC.", _clear),
        Call("offline", (_CPU,), "Take a CPU offline; its events move to the others: MOVI, SYNC each.", power.offline),
        Call("online", (_CPU,), "Bring a CPU back: MAPC, SYNC, INVALL, SYNC on each ITS.", power.online),
        Call("suspend", (), "Save the ITSs' registers and switch the ITSs off.", power.suspend),
        Call("resume", (), "Program the ITSs again, from what the driver remembers.", _resume, while_suspended=True),
    )
}
"""Name to call. Every answer also has ``timeouts``, and ``error`` and ``detail`` where the kernel fails."""
