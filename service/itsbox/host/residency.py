"""Which vPE is resident on a CPU: the two virtual LPI registers, and what happens around them (vgic_v4_load, vgic_v4_put)."""

from __future__ import annotations

from typing import Final

from itsbox.arch.memory_attributes import (
    INNER_SHAREABLE,
    NON_CACHEABLE,
    NON_SHAREABLE,
    READ_WRITE_ALLOCATE_WRITE_BACK,
)
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPENDBASER_V41, GICR_VPROPBASER
from itsbox.arch.smccc import Errno
from itsbox.host.doorbells import clear_doorbell, enable_doorbell
from itsbox.host.errors import KernelError
from itsbox.host.gicv4 import clear_residency
from itsbox.host.kernel import Kernel
from itsbox.host.state import Vpe
from itsbox.host.vpes import move_vpe

__all__ = ["deschedule", "schedule"]

_READ_ALLOCATE_WRITE_BACK: Final = 3


def schedule(kernel: Kernel, vpe: Vpe, cpu: int) -> None:
    """Make a vPE resident on a CPU (vgic_v4_load): move it there, silence its doorbell, program the frame.

    Raises:
        KernelError: EBUSY, another vPE is resident there.
    """
    if any(each.resident and each.cpu == cpu and each is not vpe for each in kernel.state.vpes.values()):
        raise KernelError(Errno.EBUSY, f"CPU {cpu} has a vPE resident")
    if vpe.resident:
        deschedule(kernel, vpe, ring=False)
    move_vpe(kernel, vpe, cpu)
    if kernel.state.has_rvpeid:
        value = GICR_VPENDBASER_V41.decode(0).replace(vpe_id=vpe.vpe_id, vgrp0_en=1, vgrp1_en=1, valid=1)
        kernel.write(kernel.state.cpus[cpu].rd_base, value)
    else:
        if vpe.doorbell_enabled:
            enable_doorbell(kernel, vpe, enable=False)
        _make_resident(kernel, vpe, cpu)
    vpe.resident = True
    clear_doorbell(kernel, vpe)


def deschedule(kernel: Kernel, vpe: Vpe, *, ring: bool) -> bool:
    """Make a vPE non-resident (vgic_v4_put); with ``ring`` its doorbell is to ring when something comes for it.

    Answers PendingLast: whether something is pending for it already.
    """
    rd_base = kernel.state.cpus[vpe.cpu].rd_base
    if not kernel.state.has_rvpeid:
        if ring and not vpe.doorbell_enabled:
            enable_doorbell(kernel, vpe, enable=True)
        vpe.resident = False
        return bool(clear_residency(kernel, rd_base).pending_last)
    value = kernel.read(rd_base, GICR_VPENDBASER_V41)
    # PendingLast written as 1 says that nobody wants to know; Doorbell asks for the default doorbell instead.
    kernel.write(rd_base, value.replace(valid=0, doorbell=int(ring), pending_last=int(not ring)))
    if not kernel.poll(lambda: not kernel.read(rd_base, GICR_VPENDBASER_V41).dirty):
        kernel.port.print("ITS virtual pending table not cleaning")
    vpe.resident = False
    return not ring or bool(kernel.read(rd_base, GICR_VPENDBASER_V41).pending_last)


def _make_resident(kernel: Kernel, vpe: Vpe, cpu: int) -> None:
    """GICv4.0: name the guest's configuration table and the vPE's pending table to the redistributor (its_vpe_schedule)."""
    state, rd_base = kernel.state, kernel.state.cpus[cpu].rd_base
    shareability = kernel.shared(INNER_SHAREABLE)
    coherent = shareability != NON_SHAREABLE
    kernel.write(
        rd_base,
        GICR_VPROPBASER(
            id_bits=state.id_bits - 1,
            inner_cache=_READ_ALLOCATE_WRITE_BACK if coherent else NON_CACHEABLE,
            shareability=shareability,
            physical_address=state.virtual_property_table,
            outer_cache=0,
        ),
    )
    kernel.write(
        rd_base,
        GICR_VPENDBASER(
            inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK if coherent else NON_CACHEABLE,
            shareability=shareability,
            physical_address=vpe.vpt,
            outer_cache=0,
            dirty=0,
            pending_last=1,  # nobody knows whether the table is empty
            idai=0,
            valid=1,
        ),
    )
