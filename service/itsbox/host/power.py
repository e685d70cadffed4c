"""Suspend and resume, and CPUs that go offline and come back (Linux, irq-gic-v3-its.c)."""

from __future__ import annotations

from typing import Any, Final

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, GITS_CWRITER, GITS_TYPER
from itsbox.arch.smccc import Errno
from itsbox.host.devices import move_event, pick_cpu, routed_to
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.probe import bring_up, force_quiescent, map_collection
from itsbox.host.residency import deschedule
from itsbox.host.state import ItsNode
from itsbox.host.vpes import move_vpe

__all__ = ["offline", "online", "resume", "suspend"]

_BOOT_CPU: Final = 0


def suspend(kernel: Kernel) -> dict[str, Any]:
    """Save and switch off every ITS (its_save_disable).

    Raises:
        KernelError: EBUSY, an ITS does not become quiescent; those switched off so far are on again.
    """
    quiet: list[ItsNode] = []
    for its in kernel.state.its:
        ctlr = kernel.read(its.base, GITS_CTLR)
        its.saved_ctlr = ctlr.word()
        quiet.append(its)
        try:
            force_quiescent(kernel, its.base)
        except KernelError as error:
            kernel.port.print(f"ITS@{its.base:#018x}: failed to quiesce: {-error.errno}")
            for each in reversed(quiet):
                kernel.write_word(each.base, GITS_CTLR, each.saved_ctlr)
            raise
        its.saved_cbaser = kernel.read_word(its.base, GITS_CBASER)
    kernel.state.suspended = True
    return {"suspended": True}


def resume(kernel: Kernel) -> dict[str, Any]:
    """Program every ITS again from what the driver remembers (its_restore_enable).

    After the switch-over that is the host's own level-1 tables: the hypervisor puts the hardware's in their place.
    An ITS that does not become quiescent is left alone, as in the kernel.
    """
    failed = []
    for its in kernel.state.its:
        try:
            force_quiescent(kernel, its.base)
        except KernelError as error:
            kernel.port.print(f"ITS@{its.base:#018x}: failed to quiesce on resume: {-error.errno}")
            failed.append(f"{its.base:#x}")
            continue
        _restore(kernel, its)
    kernel.state.suspended = False
    return {"suspended": False, **({"failed": failed} if failed else {})}


def _restore(kernel: Kernel, its: ItsNode) -> None:
    kernel.write_word(its.base, GITS_CBASER, its.saved_cbaser)
    # Writing CBASER set CREADR to 0: the driver's offset and CWRITER follow.
    its.write_offset = 0
    kernel.write_word(its.base, GITS_CWRITER, 0)
    for n, baser in enumerate(its.basers):
        if GITS_BASER.decode(baser.value).valid:
            kernel.write_word(its.base, GITS_BASER, baser.value, n)
            baser.value = kernel.read_word(its.base, GITS_BASER, n)
    kernel.write_word(its.base, GITS_CTLR, its.saved_ctlr)
    # Collections that the ITS holds itself are lost: the boot CPU's is mapped again.
    if kernel.read(its.base, GITS_TYPER).hcc > _BOOT_CPU:
        map_collection(kernel, its, _BOOT_CPU)


def offline(kernel: Kernel, cpu: int) -> dict[str, Any]:
    """Take a CPU offline: its events and vPEs move to the others (irq_migrate_all_off_this_cpu). LPIs stay on there.

    Raises:
        KernelError: EBUSY, the last CPU; EINVAL, it is offline already or no other takes LPIs.
    """
    row = kernel.state.cpus[cpu]
    if not row.online:
        raise KernelError(Errno.EINVAL, f"CPU {cpu} is offline")
    if sum(each.online for each in kernel.state.cpus) == 1:
        raise KernelError(Errno.EBUSY, f"CPU {cpu} is the last one online")
    row.online = False
    moved = []
    for its, device, event_id in list(routed_to(kernel, cpu)):
        try:
            to = pick_cpu(kernel, its)
        except KernelError:
            row.online = True
            raise
        move_event(kernel, its, device, event_id, to)
        moved.append({"device_id": device.device_id, "event_id": event_id, "cpu": to})
    for vpe in kernel.state.vpes.values():
        if vpe.cpu == cpu:
            if vpe.resident:
                deschedule(kernel, vpe, ring=True)
            move_vpe(kernel, vpe, pick_cpu(kernel, kernel.state.its[0]))
    kernel.port.print(f"psci: CPU{cpu} killed (polled 0 ms)")
    return {"cpu": cpu, "online": False, "moved": moved}


def online(kernel: Kernel, cpu: int) -> dict[str, Any]:
    """Bring a CPU back; its collection is mapped again.

    Raises:
        KernelError: EINVAL, it is online.
    """
    if kernel.state.cpus[cpu].online:
        raise KernelError(Errno.EINVAL, f"CPU {cpu} is online")
    bring_up(kernel, cpu)
    return {"cpu": cpu, "online": kernel.state.cpus[cpu].online}
