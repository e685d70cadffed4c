"""What GICv4 adds to booting: ITS numbers, the vPE proxy device, the virtual LPI frames, GICv4.1's vPE tables.

Facts: Linux, irq-gic-v3-its.c, 8.2 (step 6), 8.3; Linux, irq-gic-v3-its.c; what a recorded Linux does.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.its_registers import GITS_CTLR, GITS_TYPER
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.arch.smccc import Errno
from itsbox.host.devices import create_device
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.state import ItsDevice, ItsNode
from itsbox.host.vpe_tables import program_vpe_table

__all__ = ["clear_residency", "init_gicv4", "init_vlpi_frame", "its_number", "proxy_device"]

_MAX_ITS_NUMBERS: Final = 16


def its_number(kernel: Kernel, base: int, typer: GITS_TYPER) -> int | None:
    """Give a GICv4 ITS a number, its bit in VMOVP's ITSList; None where one VMOVP is enough (its_compute_its_list_map).

    Raises:
        KernelError: EINVAL, all numbers are taken, or hardware insists on one that is.
    """
    if typer.vmovp:
        kernel.port.print(f"ITS@{base:#018x}: Single VMOVP capable")
        return None
    taken = {its.its_number for its in kernel.state.its}
    wanted = next((n for n in range(_MAX_ITS_NUMBERS) if n not in taken), None)
    if wanted is None:
        kernel.port.print(f"ITS@{base:#018x}: No ITSList entry available!")
        raise KernelError(Errno.EINVAL, "no ITS number is free")
    kernel.write(base, kernel.read(base, GITS_CTLR).replace(its_number=wanted))
    number = kernel.read(base, GITS_CTLR).its_number
    if number in taken:
        kernel.port.print(f"ITS@{base:#018x}: Duplicate ITSList entry {number}")
        raise KernelError(Errno.EINVAL, f"ITS number {number} is taken")
    kernel.port.print(f"ITS@{base:#018x}: Using ITS number {number}")
    return number


def init_gicv4(kernel: Kernel) -> None:
    """Set up what vPEs need, before any CPU's collection is mapped (its_init_vpe_domain).

    Doorbells that no redistributor can be told about go through a proxy: the last DeviceID, one event for each CPU. It is
    mapped here, so it takes the first, page-aligned slot of the ITT pool.
    """
    state = kernel.state
    if not (state.has_vlpis and any(GITS_TYPER.decode(its.typer).virtual for its in state.its)):
        state.has_vlpis = False
        return
    if state.direct_lpi:
        kernel.port.print("ITS: Using DirectLPI for VPE invalidation")
    else:
        its = state.its[0]
        device_id = (2 << GITS_TYPER.decode(its.typer).devbits) - 1
        try:
            proxy = create_device(kernel, its, device_id, len(state.cpus), with_lpis=False)
        except KernelError:
            kernel.port.print("ITS: Can't allocate GICv4 proxy device")
            kernel.port.print("ITS: Disabling GICv4 support")
            state.has_vlpis = False
            return
        state.proxy = device_id
        kernel.port.print(f"ITS: Allocated DevID {device_id:x} as GICv4 proxy device ({proxy.capacity} slots)")
    kernel.port.print("ITS: Enabling GICv4 support")


def proxy_device(kernel: Kernel) -> tuple[ItsNode, ItsDevice]:
    """The proxy device and its ITS: any ITS would do, Linux takes the first.

    Raises:
        KernelError: ENODEV, there is none.
    """
    if kernel.state.proxy is None:
        raise KernelError(Errno.ENODEV, "there is no GICv4 proxy device")
    its = kernel.state.its[0]
    return its, its.devices[kernel.state.proxy]


def init_vlpi_frame(kernel: Kernel, cpu: int) -> None:
    """Leave a CPU's virtual LPI frame in a state that cannot write to memory, or give it the vPE table (GICv4.1)."""
    state, row = kernel.state, kernel.state.cpus[cpu]
    if not state.has_vlpis or row.vlpis_ready:
        return
    row.vlpis_ready = True
    if state.has_rvpeid:
        try:
            program_vpe_table(kernel, cpu)
        except KernelError:
            state.has_rvpeid = state.has_vlpis = False
        return
    kernel.write(
        row.rd_base,
        GICR_VPROPBASER(id_bits=state.id_bits - 1, inner_cache=0, shareability=0, physical_address=0, outer_cache=0),
    )
    clear_residency(kernel, row.rd_base)


def clear_residency(kernel: Kernel, rd_base: int) -> GICR_VPENDBASER:
    """Make no vPE resident on GICv4.0, and wait for its pending table to be clean (its_clear_vpend_valid)."""
    value = kernel.read(rd_base, GICR_VPENDBASER)
    kernel.write(rd_base, value.replace(valid=0))

    def is_clean() -> bool:
        nonlocal value
        value = kernel.read(rd_base, GICR_VPENDBASER)
        return not value.dirty

    if not kernel.poll(is_clean):
        kernel.port.print("ITS virtual pending table not cleaning")
    return value
