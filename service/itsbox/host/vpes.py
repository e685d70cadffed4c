"""vPEs as Linux and KVM drive them: map, move, unmap (Linux, irq-gic-v3-its.c).

All vPEs are one guest's: they share one configuration table for virtual LPIs, as ``struct its_vm`` has it.
"""

from __future__ import annotations

from itsbox.arch.its_commands import VINVALL, VMAPP, VMAPP_V41, VMOVP, VMOVP_V41, VSYNC, Command
from itsbox.arch.its_registers import GITS_TYPER
from itsbox.arch.lpi_tables import LPIConfig
from itsbox.arch.values import SIZE_64K, align_up
from itsbox.host.doorbells import enable_doorbell, leave_proxy, move_doorbell
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.lpis import alloc_lpis
from itsbox.host.memory import free_pages, order_of
from itsbox.host.queue import post
from itsbox.host.ranges import give
from itsbox.host.redistributors import DEFAULT_PRIORITY
from itsbox.host.state import ItsNode, Vpe
from itsbox.host.vpe_tables import ensure_vpe_entry

__all__ = [
    "create_vpe", "destroy_vpe", "ensure_mapped", "invalidate_all", "move_vpe", "release_mapping",
]  # fmt: skip


def create_vpe(kernel: Kernel, vpe_id: int, cpu: int) -> Vpe:
    """Make a vPE: its pending table, its doorbell, its table entries, and VMAPP, VSYNC, VINVALL, VSYNC on every ITS.

    With an ITS list an ITS is told only when it has an event for the guest (its_map_vm).

    Raises:
        KernelError: ENOMEM, ENOSPC; nothing is kept but level-2 pages, as in the kernel.
    """
    state = kernel.state
    if kernel.version.ensures_vpe_entry:
        ensure_vpe_entry(kernel, vpe_id)
    if not state.virtual_property_table:
        state.virtual_property_table = _property_table(kernel)
    doorbell, _ = alloc_lpis(kernel, 1)
    try:
        vpt = kernel.zeroed_pages(order_of(_vpt_bytes(kernel)))
    except KernelError:
        give(state.lpis, doorbell, 1)
        raise
    kernel.port.clean(vpt, _vpt_bytes(kernel))
    vpe = state.vpes[vpe_id] = Vpe(vpe_id=vpe_id, cpu=cpu, vpt=vpt, doorbell=doorbell)
    for place in _virtual_places(kernel):
        if _is_eager(kernel) or _forwarded(kernel, place):
            _map_on(kernel, place, vpe)
    if state.has_rvpeid:
        enable_doorbell(kernel, vpe, enable=True)  # GICv4.1: the hardware knows when not to ring
    return vpe


def destroy_vpe(kernel: Kernel, vpe: Vpe) -> None:
    """Unmap a vPE from every ITS that knows it, and free what it had (its_vpe_irq_domain_deactivate, its_vpe_teardown).

    The caller has made sure that it is not resident and that no event is forwarded to it.
    """
    for place in list(vpe.mapped):
        _unmap_on(kernel, place, vpe)
    leave_proxy(kernel, vpe)
    state = kernel.state
    del state.vpes[vpe.vpe_id]
    give(state.lpis, vpe.doorbell, 1)
    free_pages(state.pages, vpe.vpt, order_of(_vpt_bytes(kernel)))


def move_vpe(kernel: Kernel, vpe: Vpe, cpu: int) -> bool:
    """Move a vPE to another CPU's redistributor, and its doorbell with it; False if it is there (its_vpe_set_affinity)."""
    source = vpe.cpu
    if source == cpu:
        return False
    vpe.cpu = cpu
    _send_vmovp(kernel, vpe)
    move_doorbell(kernel, vpe, source)
    return True


def invalidate_all(kernel: Kernel, vpe: Vpe) -> None:
    """Have the configuration of all of a vPE's LPIs read again: one ITS that knows it is enough (its_vpe_invall)."""
    for place in vpe.mapped:
        post(kernel, kernel.state.its[place], VINVALL(vpe_id=vpe.vpe_id), VSYNC(vpe_id=vpe.vpe_id))
        return


def ensure_mapped(kernel: Kernel, place: int) -> None:
    """Before an ITS gets its first event for the guest, it must know all of the guest's vPEs (its_map_vm)."""
    for vpe in kernel.state.vpes.values():
        if place not in vpe.mapped:
            _map_on(kernel, place, vpe)


def release_mapping(kernel: Kernel, place: int) -> None:
    """After an ITS has lost its last event for the guest, it need not know the vPEs any more (its_unmap_vm)."""
    if not _is_eager(kernel) and not _forwarded(kernel, place):
        for vpe in kernel.state.vpes.values():
            if place in vpe.mapped:
                _unmap_on(kernel, place, vpe)


def _is_eager(kernel: Kernel) -> bool:
    """Whether vPEs are mapped everywhere at once: always but with an ITS list on GICv4.0 (gic_requires_eager_mapping)."""
    return kernel.state.has_rvpeid or all(its.its_number is None for its in kernel.state.its)


def _forwarded(kernel: Kernel, place: int) -> int:
    """How many events an ITS forwards to the guest."""
    return sum(vpe.vlpis.get(place, 0) for vpe in kernel.state.vpes.values())


def _virtual_places(kernel: Kernel) -> list[int]:
    return [n for n, its in enumerate(kernel.state.its) if GITS_TYPER.decode(its.typer).virtual]


def _vpt_bytes(kernel: Kernel) -> int:
    return align_up((1 << kernel.state.id_bits) // 8, SIZE_64K)


def _property_table(kernel: Kernel) -> int:
    """The guest's configuration table: everything disabled."""
    size = align_up(1 << kernel.state.id_bits, SIZE_64K)
    table = kernel.zeroed_pages(order_of(size))
    kernel.port.fill(table, size, LPIConfig(enable=0, priority=DEFAULT_PRIORITY).encode()[0])
    kernel.port.clean(table, size)
    return table


def _map_on(kernel: Kernel, place: int, vpe: Vpe) -> None:
    its = kernel.state.its[place]
    first = not vpe.mapped
    vpe.mapped[place] = True
    post(kernel, its, _vmapp(kernel, its, vpe, first=first), VSYNC(vpe_id=vpe.vpe_id))
    post(kernel, its, VINVALL(vpe_id=vpe.vpe_id), VSYNC(vpe_id=vpe.vpe_id))


def _vmapp(kernel: Kernel, its: ItsNode, vpe: Vpe, *, first: bool) -> Command:
    rd_base, vpt_size = its.collections[vpe.cpu], kernel.state.id_bits - 1
    if not GITS_TYPER.decode(its.typer).vmapp:
        return VMAPP(vpe_id=vpe.vpe_id, rd_base=rd_base, valid=1, vpt_size=vpt_size, vpt_addr=vpe.vpt)
    return VMAPP_V41(
        alloc=int(first),
        ptz=0,  # never promised: the vPE may be mapped again with something pending
        vconf_addr=kernel.state.virtual_property_table,
        default_doorbell=vpe.doorbell,
        vpe_id=vpe.vpe_id,
        rd_base=rd_base,
        valid=1,
        vpt_size=vpt_size,
        vpt_addr=vpe.vpt,
    )


def _unmap_on(kernel: Kernel, place: int, vpe: Vpe) -> None:
    """VMAPP with V=0. On GICv4.1 it completes by itself, and a VSYNC would name a vPE that is gone."""
    its = kernel.state.its[place]
    last = len(vpe.mapped) == 1
    if GITS_TYPER.decode(its.typer).vmapp:
        command: Command = VMAPP_V41.decode(0, 0, 0, 0).replace(vpe_id=vpe.vpe_id, alloc=int(last))
        post(kernel, its, command, VSYNC(vpe_id=vpe.vpe_id) if kernel.version.vsync_after_unmap else None)
    else:
        command = VMAPP(vpe_id=vpe.vpe_id, rd_base=0, valid=0, vpt_size=0, vpt_addr=0)
        post(kernel, its, command, VSYNC(vpe_id=vpe.vpe_id))
    del vpe.mapped[place]


def _send_vmovp(kernel: Kernel, vpe: Vpe) -> None:
    """One VMOVP where that is enough, else one to each ITS that knows the vPE, all with one sequence number."""
    state = kernel.state
    listed = [place for place in vpe.mapped if state.its[place].its_number is not None]
    if not listed:
        for place in vpe.mapped:
            _vmovp(kernel, place, vpe, sequence_number=0, its_list=0)
            return
        return
    its_list = sum(2 ** (state.its[place].its_number or 0) for place in listed)
    sequence_number = state.vmovp_sequence
    state.vmovp_sequence = (sequence_number + 1) % 0x1_0000
    for place in listed:
        _vmovp(kernel, place, vpe, sequence_number=sequence_number, its_list=its_list)


def _vmovp(kernel: Kernel, place: int, vpe: Vpe, *, sequence_number: int, its_list: int) -> None:
    its = kernel.state.its[place]
    rd_base = its.collections[vpe.cpu]
    if GITS_TYPER.decode(its.typer).vmapp:
        command: Command = VMOVP_V41(
            sequence_number=sequence_number,
            its_list=its_list,
            vpe_id=vpe.vpe_id,
            rd_base=rd_base,
            db=1,
            default_doorbell=vpe.doorbell,
        )
    else:
        command = VMOVP(sequence_number=sequence_number, its_list=its_list, vpe_id=vpe.vpe_id, rd_base=rd_base)
    post(kernel, its, command, VSYNC(vpe_id=vpe.vpe_id))
