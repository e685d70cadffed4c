"""Booting the interrupt controller: probe each ITS, bring up each CPU, map its collection.

Order of accesses and values: Linux, irq-gic-v3-its.c, and the recorded boot of a real Linux, which a test compares with this
driver's accesses one by one.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.dist_registers import GICD_IIDR, GICD_PIDR2, GICD_TYPER, GICD_TYPER2
from itsbox.arch.id_registers import PIDR2
from itsbox.arch.its_commands import INVALL, MAPC, SYNC
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_MPIDR,
    GITS_PIDR2,
    GITS_TYPER,
    TABLE_DEVICES,
)
from itsbox.arch.memory_attributes import (
    INNER_SHAREABLE,
    NON_CACHEABLE,
    NON_SHAREABLE,
    READ_WRITE_ALLOCATE_WRITE_BACK,
)
from itsbox.arch.redist_registers import GICR_CTLR, GICR_TYPER
from itsbox.arch.smccc import Errno
from itsbox.arch.values import PAGE_SIZE, SIZE_64K
from itsbox.host.errors import KernelError
from itsbox.host.gicv4 import init_gicv4, init_vlpi_frame, its_number
from itsbox.host.kernel import Kernel
from itsbox.host.memory import free_pages, order_of, pages_at_boot
from itsbox.host.queue import QUEUE_BYTES, post
from itsbox.host.redistributors import (
    alloc_lpi_tables,
    enable_lpis,
    find_features,
    supported_arch,
    wake,
)
from itsbox.host.state import Cpu, DriverState, ItsNode
from itsbox.host.tables import BASERS, VPEID_BITS, alloc_tables, ensure_entry

__all__ = ["bring_up", "force_quiescent", "map_collection", "probe"]

_FIRST_DEVICE: Final = 0


def probe(kernel: Kernel) -> None:
    """Everything that a kernel does up to the point where its first device would be mapped.

    Raises:
        KernelError: ENODEV without a usable GIC, else what probing the only ITS failed with.
    """
    state = kernel.state = DriverState()
    state.pages = pages_at_boot(kernel.platform.where)
    state.cpus = [Cpu() for _ in range(kernel.platform.cpus)]
    typer = _distributor(kernel)
    find_features(kernel)
    wake(kernel, 0)
    _probe_all(kernel)
    kernel.read(_boot_cpu(kernel).rd_base, GICR_CTLR)  # LPIs on already would mean a kexec, which this is not
    alloc_lpi_tables(kernel, typer.id_bits + 1, typer.num_lpis)
    init_gicv4(kernel)
    for cpu in range(kernel.platform.cpus):
        bring_up(kernel, cpu, woken=cpu == 0)
    for its in state.its:
        # A machine has had an early device by now, gone or not: what stays is its level-2 page (docs/reference/driver.md).
        ensure_entry(kernel, its, TABLE_DEVICES, _FIRST_DEVICE)
    state.phase = "probed"


def bring_up(kernel: Kernel, cpu: int, *, woken: bool = False) -> None:
    """Bring a CPU online: its redistributor, its LPIs, its collection on every ITS. Four commands, 128 bytes, per ITS.

    A CPU whose LPIs cannot be used is online without them, as in the kernel.
    """
    try:
        if not woken:
            wake(kernel, cpu)
        kernel.state.cpus[cpu].online = True
        enable_lpis(kernel, cpu)
    except KernelError:
        return
    init_vlpi_frame(kernel, cpu)
    for its in kernel.state.its:
        map_collection(kernel, its, cpu)


def force_quiescent(kernel: Kernel, its_base: int) -> None:
    """Switch an ITS off and wait until it is quiescent (its_force_quiescent).

    Raises:
        KernelError: EBUSY, it does not become so.
    """
    ctlr = kernel.read(its_base, GITS_CTLR)
    if ctlr.quiescent and not ctlr.enabled:
        return
    kernel.write(its_base, ctlr.replace(enabled=0, imde=0))
    if not kernel.poll(lambda: bool(kernel.read(its_base, GITS_CTLR).quiescent)):
        raise KernelError(Errno.EBUSY, "the ITS does not become quiescent")


def _boot_cpu(kernel: Kernel) -> Cpu:
    return kernel.state.cpus[0]


def _distributor(kernel: Kernel) -> GICD_TYPER:
    """The distributor's ID registers."""
    gicd = kernel.platform.where.gicd
    if not supported_arch(PIDR2.decode(kernel.read_word(gicd, GICD_PIDR2))):
        kernel.port.print("GICv3: gic_of_init: no distributor detected, giving up")
        raise KernelError(Errno.ENODEV, "no distributor")
    typer = kernel.read(gicd, GICD_TYPER)
    kernel.read(gicd, GICD_IIDR)  # for quirks, of which these machines have none
    typer2 = kernel.read(gicd, GICD_TYPER2)
    vpeid_bits = typer2.vid + 1 if typer2.vil else VPEID_BITS
    kernel.state.max_vpes = 1 << vpeid_bits
    return typer


def _probe_all(kernel: Kernel) -> None:
    """Quiet every ITS before any of them gets a table, then probe one after the other (its_of_probe)."""
    for base in kernel.platform.its:
        try:
            _map_one(kernel, base)
        except KernelError:
            continue
        for n in range(BASERS):
            kernel.write_word(base, GITS_BASER, 0, n)
    failure = None
    for base in kernel.platform.its:
        try:
            kernel.state.its.append(_probe_one(kernel, base))
        except KernelError as error:
            failure = error
            kernel.port.print(f"ITS@{base:#018x}: failed probing ({-error.errno})")
    if failure is not None and not kernel.state.its:
        kernel.port.print("ITS: No ITS available, not enabling LPIs")
        raise failure


def _map_one(kernel: Kernel, base: int) -> None:
    """Recognise an ITS and make it quiescent (its_map_one)."""
    if not supported_arch(PIDR2.decode(kernel.read_word(base, GITS_PIDR2))):
        kernel.port.print(f"ITS@{base:#018x}: no ITS detected, giving up")
        raise KernelError(Errno.ENODEV, "no ITS")
    try:
        force_quiescent(kernel, base)
    except KernelError:
        kernel.port.print(f"ITS@{base:#018x}: failed to quiesce, giving up")
        raise


def _probe_one(kernel: Kernel, base: int) -> ItsNode:
    """Set one ITS up and enable it (its_probe_one)."""
    _map_one(kernel, base)
    kernel.port.print(f"ITS [mem {base:#010x}-{base + 2 * SIZE_64K - 1:#010x}]")
    its = ItsNode(base=base, typer=kernel.read_word(base, GITS_TYPER))
    typer = GITS_TYPER.decode(its.typer)
    if typer.virtual:
        its.its_number = its_number(kernel, base, typer)
        if typer.vmapp:
            its.mpidr = kernel.read_word(base, GITS_MPIDR)
            kernel.port.print(f"ITS@{base:#018x}: Using GICv4.1 mode {its.mpidr:08x} {typer.svpet:08x}")
    its.queue = kernel.zeroed_pages(order_of(QUEUE_BYTES))
    kernel.read(base, GITS_IIDR)  # for quirks, of which these machines have none
    try:
        alloc_tables(kernel, its)
    except KernelError:
        free_pages(kernel.state.pages, its.queue, order_of(QUEUE_BYTES))
        raise
    _program_queue(kernel, its)
    kernel.write_word(base, GITS_CWRITER, 0)
    ctlr = kernel.read(base, GITS_CTLR)
    kernel.write(base, ctlr.replace(enabled=1, imde=1 if typer.virtual else ctlr.imde))
    return its


def _program_queue(kernel: Kernel, its: ItsNode) -> None:
    """Write GITS_CBASER; a queue that is not shareable is not cached by the ITS either, and is cleaned at each command."""
    value = GITS_CBASER(
        size=QUEUE_BYTES // PAGE_SIZE - 1 + kernel.version.queue_extra_pages,
        shareability=INNER_SHAREABLE,
        physical_address=its.queue,
        outer_cache=0,
        inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK,
        valid=1,
    )
    kernel.write(its.base, value)
    got = kernel.shared(kernel.read(its.base, GITS_CBASER).shareability)
    if got == value.shareability:
        return
    if got == NON_SHAREABLE:
        kernel.write(its.base, value.replace(shareability=NON_SHAREABLE, inner_cache=NON_CACHEABLE))
    kernel.port.print("ITS: using cache flushing for cmd queue")
    its.needs_flushing = kernel.version.cleans_queue


def map_collection(kernel: Kernel, its: ItsNode, cpu: int) -> None:
    """Point collection ``cpu`` at the CPU's redistributor and make it read its configuration (its_cpu_init_collection)."""
    row = kernel.state.cpus[cpu]
    if kernel.read(its.base, GITS_TYPER).pta:
        rd_base = row.rd_base // SIZE_64K
    else:
        rd_base = kernel.read(row.rd_base, GICR_TYPER).processor_number
    its.collections[cpu] = rd_base
    post(kernel, its, MAPC(icid=cpu, rd_base=rd_base, valid=1), SYNC(rd_base=rd_base))
    post(kernel, its, INVALL(icid=cpu), SYNC(rd_base=rd_base))
