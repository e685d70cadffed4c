"""GICv4.1: the vPE table as the redistributors see it, and its level-2 pages.

A redistributor finds vPEs through GICR_VPROPBASER. It uses the table of another redistributor of its group if that one has one
already, else that of an ITS which shares its vPE table with the group (GITS_TYPER.SVPET), else one of its own.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.its_registers import GITS_BASER, GITS_TYPER, TABLE_VPES, baser_address
from itsbox.arch.its_tables import L1_ENTRY_SIZE, entries_per_page, l1_index
from itsbox.arch.memory_attributes import INNER_SHAREABLE, NON_SHAREABLE, READ_WRITE_ALLOCATE_WRITE_BACK
from itsbox.arch.redist_registers import GICR_TYPER, GICR_VPENDBASER_V41, GICR_VPROPBASER_V41
from itsbox.arch.smccc import Errno
from itsbox.arch.values import PAGE_SIZE, SIZE_16K, SIZE_64K
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.memory import order_of
from itsbox.host.tables import ensure_entry, ensure_level_2, table_of

__all__ = ["ensure_vpe_entry", "program_vpe_table"]

_PAGE_SIZES: Final = (PAGE_SIZE, SIZE_16K, SIZE_64K, SIZE_64K)
_64K: Final = 2
_LEVELS: Final = 4


def ensure_vpe_entry(kernel: Kernel, vpe_id: int) -> None:
    """Make sure that every vPE table, of ITSs and of redistributors, has a place for a vPE (its_alloc_vpe_table).

    Raises:
        KernelError: ENOMEM.
    """
    for its in kernel.state.its:
        if GITS_TYPER.decode(its.typer).virtual:
            ensure_entry(kernel, its, TABLE_VPES, vpe_id)
    for table in {row.vpe_table: row.vpe_table_value for row in kernel.state.cpus if row.vpe_table}.items():
        _ensure_level_2(kernel, *table, vpe_id)


def program_vpe_table(kernel: Kernel, cpu: int) -> None:
    """Give a CPU's redistributor its vPE table (allocate_vpe_l1_table).

    Raises:
        KernelError: ENOMEM.
    """
    row = kernel.state.cpus[cpu]
    if kernel.read(row.rd_base, GICR_VPENDBASER_V41).valid:
        kernel.write(row.rd_base, GICR_VPENDBASER_V41.decode(0).replace(pending_last=1))
    value = _from_redistributor(kernel, cpu) or _from_its(kernel, cpu) or _own_table(kernel, cpu)
    kernel.write(row.rd_base, value)


def _group(affinity: int, levels: int) -> int:
    """The first ``levels`` affinity levels, from Aff3 down."""
    return int(affinity // 256 ** (_LEVELS - levels))


def _from_redistributor(kernel: Kernel, cpu: int) -> GICR_VPROPBASER_V41 | None:
    """What a redistributor of the same group, already set up, has."""
    row = kernel.state.cpus[cpu]
    mine = kernel.read(row.rd_base, GICR_TYPER)
    for other in kernel.state.cpus:
        if other is row or not other.vlpis_ready:
            continue
        theirs = kernel.read(other.rd_base, GICR_TYPER)
        levels = mine.common_lpi_aff
        if _group(mine.affinity_value, levels) != _group(theirs.affinity_value, theirs.common_lpi_aff):
            continue
        value = kernel.read(other.rd_base, GICR_VPROPBASER_V41).replace(z=0)
        if value.valid:
            row.vpe_table, row.vpe_table_value = other.vpe_table, other.vpe_table_value
            return value
    return None


def _from_its(kernel: Kernel, cpu: int) -> GICR_VPROPBASER_V41 | None:
    """The table of an ITS that shares it with the CPU's group: the same memory in another register's encoding."""
    mine = kernel.read(kernel.state.cpus[cpu].rd_base, GICR_TYPER)
    for its in kernel.state.its:
        typer = GITS_TYPER.decode(its.typer)
        baser = table_of(its, TABLE_VPES)
        if not typer.vmapp or not typer.svpet or baser is None or not baser.base:
            continue
        if _group(mine.affinity_value, mine.common_lpi_aff) != _group(its.mpidr, typer.svpet):
            continue
        value = GITS_BASER.decode(baser.value)
        return GICR_VPROPBASER_V41(
            size=value.size,
            inner_cache=value.inner_cache,
            shareability=value.shareability,
            physical_address=baser_address(value),
            z=0,
            page_size=value.page_size,
            indirect=value.indirect,
            outer_cache=0,
            entry_size=0,
            valid=1,
        )
    return None


def _own_table(kernel: Kernel, cpu: int) -> GICR_VPROPBASER_V41:
    """A new table: one page if all vPEIDs fit, else two levels."""
    row = kernel.state.cpus[cpu]
    probe = GICR_VPROPBASER_V41.decode(0).replace(page_size=_64K)
    kernel.write(row.rd_base, probe)
    found = kernel.read(row.rd_base, GICR_VPROPBASER_V41)
    page_size = _PAGE_SIZES[found.page_size]
    per_page = entries_per_page(page_size, 8 * (found.entry_size + 1))
    pages, indirect = 1, kernel.state.max_vpes > per_page
    if indirect:
        level_2 = -(-kernel.state.max_vpes // per_page)
        pages = -(-level_2 * L1_ENTRY_SIZE // page_size)
    order = order_of(pages * page_size)
    row.vpe_table = kernel.zeroed_pages(order)
    value = found.replace(
        size=pages - 1,
        inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK,
        shareability=kernel.shared(INNER_SHAREABLE),
        physical_address=row.vpe_table,
        z=1,
        indirect=int(indirect),
        valid=1,
    )
    if value.shareability == NON_SHAREABLE:
        kernel.port.clean(row.vpe_table, PAGE_SIZE << order)
    row.vpe_table_value = value.word()
    return value


def _ensure_level_2(kernel: Kernel, table: int, word: int, vpe_id: int) -> None:
    """The level-2 page of a redistributor's own table (allocate_vpe_l2_table)."""
    value = GICR_VPROPBASER_V41.decode(word)
    page_size = _PAGE_SIZES[value.page_size]
    entry_size = 8 * (value.entry_size + 1)
    if not value.indirect:
        if vpe_id >= entries_per_page(page_size, entry_size):
            raise KernelError(Errno.ENOMEM, f"the vPE table does not reach {vpe_id:#x}")
        return
    index = l1_index(vpe_id, page_size, entry_size)
    if index >= (value.size + 1) * page_size // L1_ENTRY_SIZE:
        raise KernelError(Errno.ENOMEM, f"the vPE table does not reach {vpe_id:#x}")
    ensure_level_2(kernel, table + index * L1_ENTRY_SIZE, page_size, flush=value.shareability == NON_SHAREABLE)
