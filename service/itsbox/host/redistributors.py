"""The redistributors as Linux brings them up, CPU by CPU: find, wake, configure, switch LPIs on.

Order of accesses and values: Linux, irq-gic-v3-its.c, and the recorded boot. What other parts of a kernel do in these frames
(enabling the timer's PPI and the inter-processor SGIs) is deliberately absent, and so is all of the distributor but its ID
registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from itsbox.arch.id_registers import PIDR2
from itsbox.arch.lpi_tables import LPIConfig
from itsbox.arch.memory_attributes import (
    INNER_SHAREABLE,
    NON_CACHEABLE,
    NON_SHAREABLE,
    READ_WRITE_ALLOCATE_WRITE_BACK,
)
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_ICACTIVER0,
    GICR_ICENABLER0,
    GICR_IGROUPR0,
    GICR_IPRIORITYR,
    GICR_PENDBASER,
    GICR_PIDR2,
    GICR_PROPBASER,
    GICR_TYPER,
    GICR_WAKER,
    STRIDE,
    STRIDE_VLPIS,
)
from itsbox.arch.smccc import Errno
from itsbox.arch.values import FIRST_LPI, SIZE_64K, align_up
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.memory import order_of
from itsbox.host.ranges import give

__all__ = ["DEFAULT_PRIORITY", "alloc_lpi_tables", "enable_lpis", "find_features", "supported_arch", "wake"]

MAX_ID_BITS: Final = 16
"""ITS_MAX_LPI_NRBITS: the kernel uses no more INTID bits than this."""
DEFAULT_PRIORITY: Final = 0xA0

_ALL: Final = 0xFFFF_FFFF
_PRIORITIES: Final = 0xA0A0_A0A0


class _Found(NamedTuple):
    """A redistributor met on the walk through the region."""

    base: int
    typer: GICR_TYPER


def supported_arch(pidr2: PIDR2) -> bool:
    """Whether a GIC frame says that it is a GICv3 or GICv4."""
    return pidr2.arch_rev in (3, 4)


def find_features(kernel: Kernel) -> None:
    """Learn what all redistributors can do (gic_update_rdist_properties), and what the CPUs' region holds."""
    state = kernel.state
    found = []
    for each in _walk(kernel):
        typer = kernel.read(each.base, GICR_TYPER)
        found.append((typer, kernel.read(each.base, GICR_CTLR)))
    state.has_vlpis = bool(found) and all(typer.vlpis for typer, _ in found)
    state.has_rvpeid = state.has_vlpis and all(typer.rvpeid for typer, _ in found)
    # Three ways to say the same: GICR_INVLPIR works for physical LPIs.
    state.direct_lpi = bool(found) and all(typer.direct_lpi or ctlr.ir or state.has_rvpeid for typer, ctlr in found)
    ppis = min((16 + typer.ppi_num * 32 for typer, _ in found if typer.ppi_num < 3), default=16)
    kernel.port.print(f"GICv3: GICv3 features: {ppis} PPIs{', DirectLPI' if state.direct_lpi else ''}")
    if state.has_vlpis:
        words = [
            word
            for word, present in (
                ("DirectLPI", state.direct_lpi),
                ("RVPEID", state.has_rvpeid),
                ("Valid+Dirty", all(typer.dirty for typer, _ in found)),
            )
            if present
        ]
        kernel.port.print(f"GICv3: GICv4 features:{''.join(f' {word}' for word in words)}")


def _walk(kernel: Kernel) -> Iterator[_Found]:
    """The redistributors of the region, in order; none if the region is not a GICv3's."""
    base = kernel.platform.where.gicr
    pidr2 = PIDR2.decode(kernel.read_word(base, GICR_PIDR2))
    if not supported_arch(pidr2):
        kernel.port.print(f"GICv3: No redistributor present @{base:#x}")
        return
    for _ in range(kernel.platform.cpus):
        typer = kernel.read(base, GICR_TYPER)
        yield _Found(base, typer)
        if typer.last:
            return
        base += STRIDE_VLPIS if typer.vlpis else STRIDE


def wake(kernel: Kernel, cpu: int) -> None:
    """Find a CPU's redistributor, wake it and set up its SGIs and PPIs (gic_cpu_init).

    Raises:
        KernelError: ENODEV, the CPU has no redistributor.
    """
    row = kernel.state.cpus[cpu]
    for base, _ in _walk(kernel):
        typer = kernel.read(base, GICR_TYPER)
        # The device tree lists the CPUs in the order of their redistributors; a kernel compares affinities instead.
        if typer.processor_number == cpu:
            row.rd_base, row.processor_number = base, typer.processor_number
            kernel.port.print(f"GICv3: CPU{cpu}: found redistributor {typer.affinity_value:x} region 0:{base:#018x}")
            break
    else:
        kernel.port.print(f"GICv3: CPU{cpu}: mpidr {cpu:x} has no re-distributor!")
        raise KernelError(Errno.ENODEV, f"CPU {cpu} has no redistributor")
    _leave_sleep(kernel, row.rd_base)
    kernel.write_word(row.rd_base, GICR_IGROUPR0, _ALL)
    kernel.write_word(row.rd_base, GICR_ICACTIVER0, _ALL)
    kernel.write_word(row.rd_base, GICR_ICENABLER0, _ALL)
    for n in range(GICR_IPRIORITYR.COUNT):
        kernel.write_word(row.rd_base, GICR_IPRIORITYR, _PRIORITIES, n)
    if not kernel.poll(lambda: not kernel.read(row.rd_base, GICR_CTLR).rwp):
        kernel.port.print("GICv3: RWP timeout, gone fishing")


def _leave_sleep(kernel: Kernel, rd_base: int) -> None:
    """Clear ProcessorSleep and wait for ChildrenAsleep to follow (gic_enable_redist)."""
    waker = kernel.read(rd_base, GICR_WAKER)
    # ChildrenAsleep is written back as it was read, and ignored.
    kernel.write(rd_base, waker.replace(processor_sleep=0))
    if not kernel.poll(lambda: not kernel.read(rd_base, GICR_WAKER).children_asleep):
        kernel.port.print("GICv3: redistributor failed to wakeup...")


def alloc_lpi_tables(kernel: Kernel, id_bits: int, num_lpis: int) -> None:
    """Allocate the configuration table and every CPU's pending table, and make the LPIs free (allocate_lpi_tables).

    Args:
        id_bits: INTID bits that the distributor has. num_lpis: GICD_TYPER.num_LPIs, 0 or 1 for no further limit.

    Raises:
        KernelError: ENOMEM.
    """
    state, port = kernel.state, kernel.port
    state.id_bits = min(id_bits, MAX_ID_BITS)
    size = align_up(1 << state.id_bits, SIZE_64K)
    state.property_table = kernel.zeroed_pages(order_of(size))
    disabled = LPIConfig(enable=0, priority=DEFAULT_PRIORITY)
    port.fill(state.property_table, size, disabled.encode()[0])
    port.clean(state.property_table, size)
    port.print(f"GICv3: using LPI property table @{state.property_table:#018x}")
    lpis = (1 << state.id_bits) - FIRST_LPI
    if num_lpis > 1 and 1 << num_lpis <= lpis:
        lpis = 1 << num_lpis
        port.print(f"ITS: Using hypervisor restricted LPI range [{lpis}]")
    give(state.lpis, FIRST_LPI, lpis)
    for row in state.cpus:
        pending = align_up((1 << state.id_bits) // 8, SIZE_64K)
        row.pending_table = kernel.zeroed_pages(order_of(pending))
        port.clean(row.pending_table, pending)


def enable_lpis(kernel: Kernel, cpu: int) -> None:
    """Name the CPU's tables to its redistributor and switch its LPIs on (its_cpu_init, first half).

    A CPU that comes back from hotplug has them already.

    Raises:
        KernelError: ENXIO without LPIs, EBUSY where LPIs of somebody else's cannot be switched off.
    """
    row = kernel.state.cpus[cpu]
    if not kernel.read(row.rd_base, GICR_TYPER).plpis:
        kernel.port.print(f"CPU{cpu}: LPIs not supported")
        raise KernelError(Errno.ENXIO, f"CPU {cpu} has no LPIs")
    _disable_foreign_lpis(kernel, cpu)
    if row.lpis_ready:
        return
    kernel.read(row.rd_base, GICR_CTLR)  # a kexec'ed kernel would look for its predecessor's tables here
    _write_propbaser(kernel, row.rd_base)
    _write_pendbaser(kernel, row.rd_base, row.pending_table)
    kernel.write(row.rd_base, kernel.read(row.rd_base, GICR_CTLR).replace(enable_lpis=1))
    row.lpis_ready = True
    kernel.port.print(f"GICv3: CPU{cpu}: using allocated LPI pending table @{row.pending_table:#018x}")


def _disable_foreign_lpis(kernel: Kernel, cpu: int) -> None:
    """Damage control where LPIs are on that this kernel did not switch on (redist_disable_lpis)."""
    row = kernel.state.cpus[cpu]
    ctlr = kernel.read(row.rd_base, GICR_CTLR)
    if not ctlr.enable_lpis or row.lpis_ready:
        return
    kernel.port.print(f"GICv3: CPU{cpu}: Booted with LPIs enabled, memory probably corrupted")
    kernel.write(row.rd_base, ctlr.replace(enable_lpis=0))
    if not kernel.poll(lambda: not kernel.read(row.rd_base, GICR_CTLR).rwp):
        kernel.port.print(f"CPU{cpu}: Timeout while disabling LPIs")
        raise KernelError(Errno.EBUSY, f"CPU {cpu} does not finish switching LPIs off")
    if kernel.read(row.rd_base, GICR_CTLR).enable_lpis:
        kernel.port.print(f"CPU{cpu}: Failed to disable LPIs")
        raise KernelError(Errno.EBUSY, f"CPU {cpu} cannot switch LPIs off")


def _write_propbaser(kernel: Kernel, rd_base: int) -> None:
    value = GICR_PROPBASER(
        id_bits=kernel.state.id_bits - 1,
        inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK,
        shareability=INNER_SHAREABLE,
        physical_address=kernel.state.property_table,
        outer_cache=0,
    )
    kernel.write(rd_base, value)
    got = kernel.shared(kernel.read(rd_base, GICR_PROPBASER).shareability)
    if got == value.shareability:
        return
    if got == NON_SHAREABLE:
        kernel.write(rd_base, value.replace(shareability=NON_SHAREABLE, inner_cache=NON_CACHEABLE))
    if not kernel.state.property_needs_flushing:
        kernel.port.print("GIC: using cache flushing for LPI property table")
        kernel.state.property_needs_flushing = True


def _write_pendbaser(kernel: Kernel, rd_base: int, table: int) -> None:
    value = GICR_PENDBASER(
        inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK,
        shareability=INNER_SHAREABLE,
        physical_address=table,
        outer_cache=0,
        ptz=0,
    )
    kernel.write(rd_base, value)
    if kernel.shared(kernel.read(rd_base, GICR_PENDBASER).shareability) == NON_SHAREABLE:
        kernel.write(rd_base, value.replace(shareability=NON_SHAREABLE, inner_cache=NON_CACHEABLE))
