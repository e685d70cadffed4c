"""The calls of GICv4: what a hypervisor's kernel side, KVM, asks of the driver."""

from __future__ import annotations

from typing import Any, Final

from itsbox.arch.its_registers import GITS_TYPER
from itsbox.arch.smccc import Errno
from itsbox.arch.values import FIRST_LPI
from itsbox.host.arguments import CPU, DEVICE, EVENT, ITS, Arg, Call
from itsbox.host.device_calls import mapped_event, shown, target_cpu
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.residency import deschedule, schedule
from itsbox.host.state import Event, Vpe
from itsbox.host.vlpis import forward, unforward
from itsbox.host.vpes import create_vpe, destroy_vpe, invalidate_all, move_vpe
from itsbox.host.vsgis import configure_vsgi, send_vsgi

__all__ = ["VPE_CALLS"]

_MAX_VPE_ID: Final = 0xFFFF
_MAX_VLPI: Final = 0xFFFF


def _need_gicv4(kernel: Kernel) -> None:
    """Raise KernelError: EOPNOTSUPP."""
    if not kernel.state.has_vlpis:
        raise KernelError(Errno.EOPNOTSUPP, "this machine has no GICv4")


def _vpe(kernel: Kernel, vpe_id: int) -> Vpe:
    """Raises KernelError: EOPNOTSUPP, ENODEV."""
    _need_gicv4(kernel)
    vpe = kernel.state.vpes.get(vpe_id)
    if vpe is None:
        raise KernelError(Errno.ENODEV, f"vPE {vpe_id} is not mapped")
    return vpe


def _target(kernel: Kernel, cpu: int | None) -> int:
    """A CPU that every ITS knows: the one asked for, or the first (its_vpe_irq_domain_activate). Raises KernelError: EINVAL."""
    if cpu is None:
        able = (n for n, row in enumerate(kernel.state.cpus) if row.online and row.lpis_ready)
        cpu = next(able, 0)
    for its in kernel.state.its:
        target_cpu(kernel, its, cpu)
    return cpu


def _shown(vpe: Vpe) -> dict[str, Any]:
    return {"vpe_id": vpe.vpe_id, "cpu": vpe.cpu, "resident": vpe.resident}


def _map_vpe(kernel: Kernel, vpe_id: int | None = None, cpu: int | None = None) -> dict[str, Any]:
    _need_gicv4(kernel)
    if vpe_id is None:
        vpe_id = next(n for n in range(kernel.state.max_vpes + 1) if n not in kernel.state.vpes)
    if vpe_id >= kernel.state.max_vpes:
        raise KernelError(Errno.ENOSPC, f"there are vPEIDs below {kernel.state.max_vpes}")
    if vpe_id in kernel.state.vpes:
        raise KernelError(Errno.EEXIST, f"vPE {vpe_id} is mapped already")
    vpe = create_vpe(kernel, vpe_id, _target(kernel, cpu))
    return {**_shown(vpe), "vpt": f"{vpe.vpt:#x}", "doorbell": vpe.doorbell}


def _unmap_vpe(kernel: Kernel, vpe_id: int) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    if vpe.resident:
        raise KernelError(Errno.EBUSY, f"vPE {vpe_id} is resident on CPU {vpe.cpu}")
    if any(vpe.vlpis.values()):
        raise KernelError(Errno.EBUSY, f"{sum(vpe.vlpis.values())} events are forwarded to vPE {vpe_id}")
    destroy_vpe(kernel, vpe)
    return {"vpe_id": vpe_id}


def _schedule_vpe(kernel: Kernel, vpe_id: int, cpu: int | None = None) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    schedule(kernel, vpe, _target(kernel, vpe.cpu if cpu is None else cpu))
    return _shown(vpe)


def _deschedule_vpe(kernel: Kernel, vpe_id: int, doorbell: int | None = None) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    if not vpe.resident:
        raise KernelError(Errno.EINVAL, f"vPE {vpe_id} is not resident")
    pending_last = deschedule(kernel, vpe, ring=doorbell != 0)
    return {**_shown(vpe), "pending_last": pending_last}


def _move_vpe(kernel: Kernel, vpe_id: int, cpu: int) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    if vpe.resident:
        raise KernelError(Errno.EBUSY, f"vPE {vpe_id} is resident on CPU {vpe.cpu}")
    moved = move_vpe(kernel, vpe, _target(kernel, cpu))
    return {**_shown(vpe), "moved": moved}


def _invalidate_vpe(kernel: Kernel, vpe_id: int) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    invalidate_all(kernel, vpe)
    return _shown(vpe)


def _forwarded(event_id: int, event: Event) -> dict[str, Any]:
    return {**shown(event_id, event), "vpe_id": event.vpe, "virtual_intid": event.virtual_intid}


def _map_vlpi(
    kernel: Kernel, *, device_id: int, event_id: int, vpe_id: int, virtual_intid: int, its: int | None = None
) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    node, device, event = mapped_event(kernel, its, device_id, event_id)
    if not GITS_TYPER.decode(node.typer).virtual:
        raise KernelError(Errno.EOPNOTSUPP, "this ITS does not forward events")
    if virtual_intid >= 1 << kernel.state.id_bits:
        raise KernelError(Errno.EINVAL, f"virtual INTIDs have {kernel.state.id_bits} bits")
    forward(kernel, its or 0, device, event_id, vpe=vpe, virtual_intid=virtual_intid)
    return {"device_id": device_id, **_forwarded(event_id, event)}


def _unmap_vlpi(kernel: Kernel, device_id: int, event_id: int, its: int | None = None) -> dict[str, Any]:
    _need_gicv4(kernel)
    _, device, event = mapped_event(kernel, its, device_id, event_id)
    if event.vpe is None:
        raise KernelError(Errno.EINVAL, f"event {event_id} of device {device_id:#x} is not forwarded")
    unforward(kernel, its or 0, device, event_id)
    return {"device_id": device_id, **shown(event_id, event)}


def _configure_vsgi(
    kernel: Kernel, vpe_id: int, virtual_intid: int, enable: int, priority: int | None = None
) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    configure_vsgi(kernel, vpe, virtual_intid, enable=bool(enable), priority=priority or 0)
    return {"vpe_id": vpe_id, "virtual_intid": virtual_intid, "enabled": bool(enable)}


def _send_vsgi(kernel: Kernel, vpe_id: int, virtual_intid: int) -> dict[str, Any]:
    vpe = _vpe(kernel, vpe_id)
    send_vsgi(kernel, vpe, virtual_intid)
    return {"vpe_id": vpe_id, "virtual_intid": virtual_intid}


_VPE: Final = Arg("vpe_id", 0, _MAX_VPE_ID, "vPEID")
_VSGI: Final = Arg("virtual_intid", 0, 15, "the SGI's number")

VPE_CALLS: Final = (
    Call(
        "map_vpe",
        (
            _VPE._replace(doc="the first free one when left out", required=False),
            CPU._replace(doc="the CPU to map it to; the first one when left out", required=False),
        ),
        "Make a vPE with a pending table and a doorbell: VMAPP, VSYNC, VINVALL, VSYNC on each ITS.",
        _map_vpe,
    ),
    Call(
        "unmap_vpe",
        (_VPE,),
        "Free a vPE that is not resident and has no events: VMAPP with V=0 on each ITS.",
        _unmap_vpe,
    ),
    Call(
        "schedule_vpe",
        (_VPE, CPU._replace(doc="the CPU; where the vPE was last when left out", required=False)),
        "Make a vPE resident: move it, silence its doorbell, program the virtual LPI frame.",
        _schedule_vpe,
    ),
    Call(
        "deschedule_vpe",
        (_VPE, Arg("doorbell", 0, 1, "1, also when left out: ring when something comes", required=False)),
        "Make a vPE non-resident.",
        _deschedule_vpe,
    ),
    Call(
        "move_vpe", (_VPE, CPU), "Move a vPE to another CPU: VMOVP, VSYNC, and its doorbell by MOVI, SYNC.", _move_vpe
    ),
    Call("invalidate_vpe", (_VPE,), "Have all of a vPE's configuration read again: VINVALL, VSYNC.", _invalidate_vpe),
    Call(
        "map_vlpi",
        (DEVICE, EVENT, _VPE, Arg("virtual_intid", FIRST_LPI, _MAX_VLPI, "the guest's LPI"), ITS),
        "Forward an event to a vPE, masked: DISCARD, SYNC, VMAPTI, VSYNC; VMOVI, VSYNC if it is forwarded already.",
        _map_vlpi,
    ),
    Call(
        "unmap_vlpi",
        (DEVICE, EVENT, ITS),
        "Take an event back, unmasked: DISCARD, MAPTI and INV, each with SYNC.",
        _unmap_vlpi,
    ),
    Call(
        "configure_vsgi",
        (
            _VPE,
            _VSGI,
            Arg("enable", 0, 1, "1 to enable"),
            Arg("priority", 0, 0xF0, "a multiple of 16; 0 when left out", required=False),
        ),
        "Configure a virtual SGI (GICv4.1): VSGI, VSYNC.",
        _configure_vsgi,
    ),
    Call("send_vsgi", (_VPE, _VSGI), "Make a virtual SGI pending (GICv4.1), through GITS_SGIR.", _send_vsgi),
)
