"""The ITS's tables as Linux sets them up: page size, one level or two, attributes that stick, level-2 pages on demand.

Order of accesses and values: Linux, irq-gic-v3-its.c, and the recorded boot.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_TYPER,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_NONE,
    TABLE_VPES,
    baser_page_size,
    baser_stored_address,
)
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry, entries_per_page, flat_entries, l1_index
from itsbox.arch.memory_attributes import (
    INNER_SHAREABLE,
    NON_CACHEABLE,
    NON_SHAREABLE,
    READ_WRITE_ALLOCATE_WRITE_BACK,
)
from itsbox.arch.smccc import Errno
from itsbox.arch.values import PAGE_SIZE
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.memory import MAX_PAGE_ORDER, free_pages, order_of
from itsbox.host.state import Baser, ItsNode

__all__ = ["BASERS", "VPEID_BITS", "alloc_tables", "ensure_entry", "ensure_level_2", "free_tables", "table_of"]

BASERS: Final = GITS_BASER.COUNT
VPEID_BITS: Final = 16
"""ITS_MAX_VPEID_BITS, where GICD_TYPER2 does not say otherwise."""

_MAX_ITS_PAGES: Final = 256
# No register settles later than this; one that never does "doesn't stick".
_ATTEMPTS: Final = 4
_NAMES: Final = {
    TABLE_DEVICES: "Devices",
    TABLE_VPES: "Virtual CPUs",
    TABLE_COLLECTIONS: "Interrupt Collections",
}
# Page_Size encodings in the order in which they are tried: 64 KB, 16 KB, 4 KB.
_PAGE_SIZES: Final = (2, 1, 0)


def alloc_tables(kernel: Kernel, its: ItsNode) -> None:
    """Give every GITS_BASER<n> that wants one a table. What the first one accepts is tried first on the next.

    Raises:
        KernelError: ENXIO for a register that does not keep what is written, ENOMEM. The tables made so far are freed.
    """
    coherent = kernel.platform.coherent
    attributes = _Attributes(
        INNER_SHAREABLE if coherent else NON_SHAREABLE,
        READ_WRITE_ALLOCATE_WRITE_BACK if coherent else NON_CACHEABLE,
    )
    its.basers = [Baser() for _ in range(BASERS)]
    try:
        for n in range(BASERS):
            kind = kernel.read(its.base, GITS_BASER, n).type
            if kind != TABLE_NONE:
                _alloc_table(kernel, its, n, kind, attributes)
    except KernelError:
        free_tables(kernel, its)
        raise


def free_tables(kernel: Kernel, its: ItsNode) -> None:
    """Give the tables' memory back (its_free_tables)."""
    for baser in its.basers:
        if baser.base:
            free_pages(kernel.state.pages, baser.base, baser.order)
            baser.base = 0


def table_of(its: ItsNode, kind: int) -> Baser | None:
    """The table of a type (TABLE_DEVICES, ...), if the ITS has one."""
    for baser in its.basers:
        if GITS_BASER.decode(baser.value).type == kind:
            return baser
    return None


def ensure_entry(kernel: Kernel, its: ItsNode, kind: int, ident: int) -> None:
    """Make sure that the table of type ``kind`` has a place for ``ident``: add the level-2 page if it is missing.

    An ITS without such a table holds its entries itself.

    Raises:
        KernelError: ENOMEM, also for an ID that the table does not reach, as in the kernel (its_alloc_device_table).
    """
    baser = table_of(its, kind)
    if baser is None or not baser.base:
        return
    value = GITS_BASER.decode(baser.value)
    entry_size = value.entry_size + 1
    allocated = PAGE_SIZE << baser.order
    if not value.indirect:
        if ident >= flat_entries(allocated // baser.page_size, baser.page_size, entry_size):
            raise KernelError(Errno.ENOMEM, f"the {_name(kind)} table does not reach {ident:#x}")
        return
    index = l1_index(ident, baser.page_size, entry_size)
    if index >= allocated // L1_ENTRY_SIZE + kernel.version.l1_extra:
        raise KernelError(Errno.ENOMEM, f"the {_name(kind)} table does not reach {ident:#x}")
    flush = value.shareability == NON_SHAREABLE
    ensure_level_2(kernel, baser.base + index * L1_ENTRY_SIZE, baser.page_size, flush=flush)


def ensure_level_2(kernel: Kernel, slot: int, page_size: int, *, flush: bool) -> None:
    """Fill the level-1 entry at ``slot`` with a zeroed level-2 page, unless it has one.

    Raises:
        KernelError: ENOMEM.
    """
    if any(kernel.port.load(slot, L1_ENTRY_SIZE)):
        return
    page = kernel.zeroed_pages(order_of(page_size))
    if flush:
        kernel.port.clean(page, page_size)
    kernel.port.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=page, valid=1).encode()))
    if flush:
        kernel.port.clean(slot, L1_ENTRY_SIZE)


def _name(kind: int) -> str:
    return _NAMES.get(kind, f"Reserved ({kind})")


class _Attributes:
    """Shareability and cacheability, as far as the registers were seen to accept them."""

    __slots__ = ("inner_cache", "shareability")

    def __init__(self, shareability: int, inner_cache: int) -> None:
        self.shareability = shareability
        self.inner_cache = inner_cache


def _write_baser(kernel: Kernel, its: ItsNode, n: int, value: GITS_BASER) -> GITS_BASER:
    """Write a register and remember what reads back (its_write_baser)."""
    kernel.write(its.base, value, n)
    its.basers[n].value = kernel.read_word(its.base, GITS_BASER, n)
    return GITS_BASER.decode(its.basers[n].value)


def _alloc_table(kernel: Kernel, its: ItsNode, n: int, kind: int, attributes: _Attributes) -> None:
    baser = its.basers[n]
    baser.page_size = _probe_page_size(kernel, its, n)
    order, indirect = order_of(baser.page_size), False
    bits = _id_bits(kernel, its, kind)
    if bits is not None:
        order, indirect = _shape(kernel, its, n, kind, bits)
    _set_up(kernel, its, n, order, attributes, indirect=indirect)


def _id_bits(kernel: Kernel, its: ItsNode, kind: int) -> int | None:
    """Width of the IDs of a table whose size depends on it."""
    if kind == TABLE_DEVICES:
        return GITS_TYPER.decode(its.typer).devbits + 1
    if kind == TABLE_VPES:
        return max(kernel.state.max_vpes - 1, 1).bit_length()
    return None


def _probe_page_size(kernel: Kernel, its: ItsNode, n: int) -> int:
    """The largest page size that sticks (its_probe_baser_psz)."""
    for encoding in _PAGE_SIZES:
        wanted = kernel.read(its.base, GITS_BASER, n).replace(page_size=encoding)
        if _write_baser(kernel, its, n, wanted).page_size == encoding:
            return baser_page_size(wanted)
    raise KernelError(Errno.ENXIO, f"GITS_BASER{n} keeps no page size")


def _shape(kernel: Kernel, its: ItsNode, n: int, kind: int, bits: int) -> tuple[int, bool]:
    """(order of the allocation, two levels?) for IDs of ``bits`` bits (its_parse_indirect_baser)."""
    entry_size = kernel.read(its.base, GITS_BASER, n).entry_size + 1
    page_size = its.basers[n].page_size
    indirect = False
    if entry_size << bits > 2 * page_size:
        probe = GITS_BASER.decode(0).replace(
            indirect=1, shareability=INNER_SHAREABLE, inner_cache=READ_WRITE_ALLOCATE_WRITE_BACK
        )
        indirect = bool(_write_baser(kernel, its, n, probe).indirect)
        if indirect:
            bits -= entries_per_page(page_size, entry_size).bit_length() - 1
            entry_size = L1_ENTRY_SIZE
    order = max(order_of(entry_size << max(bits, 0)), order_of(page_size))
    if order > MAX_PAGE_ORDER:
        order = MAX_PAGE_ORDER
        fits = ((PAGE_SIZE << order) // entry_size).bit_length() - 1
        kernel.port.print(f"ITS@{its.base:#018x}: {_name(kind)} Table too large, reduce ids {bits}->{fits}")
    return order, indirect


def _set_up(kernel: Kernel, its: ItsNode, n: int, order: int, attributes: _Attributes, *, indirect: bool) -> None:
    """Allocate the table and write the register, until its attributes stick (its_setup_baser)."""
    baser = its.basers[n]
    found = kernel.read(its.base, GITS_BASER, n)
    its_pages = (PAGE_SIZE << order) // baser.page_size
    if its_pages > _MAX_ITS_PAGES:
        name = _name(found.type)
        kernel.port.print(f"ITS@{its.base:#018x}: {name} too large, reduce ITS pages {its_pages}->{_MAX_ITS_PAGES}")
        its_pages = _MAX_ITS_PAGES
        order = order_of(_MAX_ITS_PAGES * baser.page_size)
    table = kernel.zeroed_pages(order)
    wanted = GITS_BASER(
        size=its_pages - 1,
        page_size=_PAGE_SIZE_ENCODING[baser.page_size],
        shareability=0,
        physical_address=baser_stored_address(table, baser.page_size),
        entry_size=found.entry_size,
        outer_cache=0,
        type=found.type,
        inner_cache=0,
        indirect=int(indirect),
        valid=1,
    )
    if not _write_until_shared(kernel, its, n, wanted, attributes, table=range(table, table + (PAGE_SIZE << order))):
        free_pages(kernel.state.pages, table, order)
        raise KernelError(Errno.ENXIO, f"GITS_BASER{n} does not keep its value")
    baser.base, baser.order = table, order
    _announce(kernel, its, baser)


def _write_until_shared(
    kernel: Kernel, its: ItsNode, n: int, value: GITS_BASER, attributes: _Attributes, *, table: range
) -> bool:
    """Write a register with attributes that it accepts; False if anything else of it does not stick."""
    wanted = value
    for _ in range(_ATTEMPTS):
        if attributes.shareability == NON_SHAREABLE:
            kernel.port.clean(table.start, len(table))
        wanted = value.replace(shareability=attributes.shareability, inner_cache=attributes.inner_cache)
        got = _write_baser(kernel, its, n, wanted)
        if got == wanted:
            return True
        if got.shareability == wanted.shareability:
            break
        # Whatever the register says is what it can do; memory that is not shared is not cached either.
        attributes.shareability = got.shareability
        if got.shareability == NON_SHAREABLE:
            attributes.inner_cache = NON_CACHEABLE
    stuck = its.basers[n].value
    kernel.port.print(f"ITS@{its.base:#018x}: {_name(value.type)} doesn't stick: {wanted.word():x} {stuck:x}")
    return False


_PAGE_SIZE_ENCODING: Final = {
    baser_page_size(GITS_BASER.decode(0).replace(page_size=encoding)): encoding for encoding in _PAGE_SIZES
}


def _announce(kernel: Kernel, its: ItsNode, baser: Baser) -> None:
    value = GITS_BASER.decode(baser.value)
    entry_size = value.entry_size + 1
    entries = (PAGE_SIZE << baser.order) // (L1_ENTRY_SIZE if value.indirect else entry_size)
    kernel.port.print(
        f"ITS@{its.base:#018x}: allocated {entries} {_name(value.type)} @{baser.base:x} "
        f"({'indirect' if value.indirect else 'flat'}, esz {entry_size}, psz {baser.page_size // 1024}K, "
        f"shr {value.shareability})"
    )
