"""What GICv4.1 changes and adds: VMAPP and VMOVP in their longer forms, VSGI, INVDB, and GITS_SGIR.

A vPE's entry names both of its tables and its default doorbell. The state that no command names (virtual SGIs, whether the
doorbell was asked for) the redistributor keeps in the vPE's pending table (``vlpi_frame_v41``).

With a shared vPE table (GITS_TYPER.SVPET) several ITSs map a vPE in one entry. The entry says which, so that an ITS which
unmaps a vPE (Alloc = 0) does not unmap it for the others; Alloc = 1 with V = 0 says that this is the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from itsbox.arch.its_commands import INVDB, VMAPP_V41, VMOVP_V41, VSGI
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_registers import GITS_SGIR
from itsbox.arch.its_tables import VTE_V41
from itsbox.hardware.its_lookup import entry_address
from itsbox.hardware.its_virtual import is_default_doorbell
from itsbox.hardware.vpe_table import lookup_vte, read_vte, store_vte

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.hardware.its_execute import Execute
    from itsbox.hardware.vlpi_frame_v41 import VlpiFrameV41

__all__ = ["VIRTUAL_V41", "send_sgi"]


# ---------------------------------------------------------------- ladders


def _lookup(its: Its, vpe_id: int) -> tuple[VTE_V41, VlpiFrameV41] | Cause:
    """The valid entry of a vPEID, and the redistributor that it names."""
    entry = lookup_vte(its, its.vpe_table, vpe_id)
    if not isinstance(entry, VTE_V41):
        return entry
    if not its.maps(entry) or entry.rd_base >= len(its.redistributors):
        return Cause.VCPU_INVALID
    return entry, _frame(its, entry.rd_base)


def _frame(its: Its, number: int) -> VlpiFrameV41:
    """A redistributor's VLPI frame, which on a GICv4.1 machine is of GICv4.1."""
    return cast("VlpiFrameV41", its.redistributors[number].vlpi)


# ---------------------------------------------------------------- commands


def vmapp(its: Its, c: VMAPP_V41) -> Cause | None:
    """Map a vPE to a redistributor, its two tables and its default doorbell, or unmap it.

    V = 0 ignores all but vPEID and Alloc. PTZ has no effect: memory is read as it is, promised or not.
    """
    if c.vpe_id >= its.vpe_table.entries:
        return Cause.VCPU_OOR
    if not c.valid:
        return _unmap(its, c)
    if c.vpt_size > its.profile.gicr_idbits:
        return Cause.VPTSIZE_OOR
    its.message(c.rd_base)
    target = its.redistributor_of(c.rd_base, whole=True)
    if target is None:
        return Cause.PROCNUM_OOR
    if not is_default_doorbell(its, c.default_doorbell):
        return Cause.PHYSICALID_OOR
    address = entry_address(its, its.vpe_table, c.vpe_id)
    if not isinstance(address, int):
        return address
    known = read_vte(its, address)
    if known is None:
        return Cause.MEMORY_FAULT
    entry = VTE_V41(
        valid=1,
        vpt_size=c.vpt_size,
        rd_base=target,
        vpt_addr=c.vpt_addr,
        vconf_addr=c.vconf_addr,
        default_doorbell=c.default_doorbell,
        its_map=its.map_bit | (known.its_map if known.valid else 0),
    )
    failed = store_vte(its, address, entry)
    if failed is None and c.alloc:
        _frame(its, target).begin(entry)
    return failed


def _unmap(its: Its, c: VMAPP_V41) -> Cause | None:
    address = entry_address(its, its.vpe_table, c.vpe_id)
    if not isinstance(address, int):
        return address
    known = read_vte(its, address)
    if known is None:
        return Cause.MEMORY_FAULT
    others = known.its_map & ~its.map_bit
    if known.valid and others and not c.alloc:
        return store_vte(its, address, known.replace(its_map=others))
    return store_vte(its, address)


def vmovp(its: Its, c: VMOVP_V41) -> Cause | None:
    """Give a vPE another redistributor, and with DB another default doorbell."""
    its.message(c.rd_base)
    target = its.redistributor_of(c.rd_base, whole=True)
    found = _lookup(its, c.vpe_id)
    if not isinstance(found, tuple):
        return found
    if target is None:
        return Cause.PROCNUM_OOR
    if c.db and not is_default_doorbell(its, c.default_doorbell):
        return Cause.PHYSICALID_OOR
    if not its.typer.vmovp and not its.siblings.may_move(its, c.sequence_number, c.its_list):
        return None
    failed = None
    for node in (*its.followers(), its):
        failed = _move(node, c, target)
    return failed


def _move(its: Its, c: VMOVP_V41, target: int) -> Cause | None:
    """Change one table's entry; tables of other ITSs that do not have the vPE stay as they are."""
    address = entry_address(its, its.vpe_table, c.vpe_id) if c.vpe_id < its.vpe_table.entries else None
    if not isinstance(address, int):
        return address
    entry = read_vte(its, address)
    if entry is None:
        return Cause.MEMORY_FAULT
    if not entry.valid:
        return None
    doorbell = c.default_doorbell if c.db else entry.default_doorbell
    return store_vte(its, address, entry.replace(rd_base=target, default_doorbell=doorbell))


def vsgi(its: Its, c: VSGI) -> Cause | None:
    """Configure a virtual SGI, or with Clear withdraw it and leave its configuration as it is."""
    found = _lookup(its, c.vpe_id)
    if not isinstance(found, tuple):
        return found
    entry, frame = found
    frame.configure(entry, c)
    return None


def invdb(its: Its, c: INVDB) -> Cause | None:
    """Make the redistributor read the default doorbell's configuration again; it never caches it here."""
    found = _lookup(its, c.vpe_id)
    return None if isinstance(found, tuple) else found


def send_sgi(its: Its, value: int) -> None:
    """A write to GITS_SGIR: a virtual SGI becomes pending. Dropped while disabled or for a vPE that is not mapped."""
    if not its.enabled or not its.typer.vsgi:
        return
    sgi = GITS_SGIR.decode(value)
    found = _lookup(its, sgi.vpe_id)
    if isinstance(found, tuple):
        entry, frame = found
        frame.signal_sgi(entry, sgi.vpe_id, sgi.virtual_intid)


#: opcode -> (layout, function) where GICv4.1 differs from GICv4.0.
VIRTUAL_V41: Final[dict[int, tuple[type[Any], Execute]]] = {
    layout.MATCH: (layout, execute)
    for layout, execute in (
        (VMAPP_V41, vmapp),
        (VMOVP_V41, vmovp),
        (VSGI, vsgi),
        (INVDB, invdb),
    )
}
