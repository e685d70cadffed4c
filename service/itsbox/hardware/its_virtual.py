"""The virtual commands of GICv4.0, one function per command, and what physical commands do with virtual ITEs.

As in ``its_execute``: a function answers None when carried out, else a ``Cause``. What the virt-gicv4 profile does with
entries that its own commands cannot make follows QEMU (decision records). GICv4.1's own forms are in ``its_virtual_v41``;
what is here serves both, because an entry of the vPE table has the same fields and more there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_commands import (
    NO_DOORBELL,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPTI,
    VMOVI,
    VMOVP,
    VSYNC,
)
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import DTE, ITE, VTE, VTE_V41, event_count
from itsbox.arch.lpi_tables import intid_limit
from itsbox.arch.values import FIRST_LPI
from itsbox.hardware.its_lookup import entry_address, lookup_device, lookup_event, store_entry, store_ite
from itsbox.hardware.vpe_table import VTES, AnyVTE, decode_narrow, decode_wide
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.hardware.its_execute import Execute

__all__ = ["VIRTUAL", "invalidate_virtual", "is_default_doorbell", "lookup_vpe", "signal_virtual"]

# Values of an ITE, which is made from them in the order of its fields (``its_execute``).
_VALID: Final = 1
_VIRTUAL: Final = 0
_NO_ICID: Final = 0


# ---------------------------------------------------------------- ladders


def lookup_vpe(its: Its, vpe_id: int) -> AnyVTE | Cause:
    """The valid vPE table entry of a vPEID."""
    table = its.vpe_table
    if vpe_id >= table.entries:
        return Cause.VCPU_OOR
    if table.indirect:
        walked = entry_address(its, table, vpe_id)
        if not isinstance(walked, int):
            return walked or Cause.VCPU_INVALID
        address = walked
    else:
        address = table.base + vpe_id * table.entry_bytes
    if its.wide_vtes:
        raw = its.interconnect.load(Initiator.ITS, address, VTE_V41.SIZE, Why.VTE)
        if raw is None:
            return Cause.MEMORY_FAULT
        wide = decode_wide(raw)
        return wide if wide.valid and (wide.its_map & its.map_bit or its.maps(wide)) else Cause.VCPU_INVALID
    word = its.interconnect.read(Initiator.ITS, address, 8, Why.VTE)
    if word is None:
        return Cause.MEMORY_FAULT
    narrow = decode_narrow(word)
    return narrow if narrow.valid else Cause.VCPU_INVALID


def _is_vlpi(its: Its, intid: int, vte: AnyVTE) -> bool:
    return FIRST_LPI <= intid < its.lpi_limit and intid < intid_limit(vte.vpt_size)


def is_default_doorbell(its: Its, intid: int) -> bool:
    """Whether an INTID can be the default doorbell of a vPE: an LPI, or 1023 for none."""
    return intid == NO_DOORBELL or its.is_lpi(intid)


def _is_doorbell(its: Its, intid: int) -> bool:
    """Whether an INTID can be the doorbell of one event. With GITS_TYPER.nID there are none."""
    return intid == NO_DOORBELL or (not its.typer.nid and its.is_lpi(intid))


# ---------------------------------------------------------------- virtual entries met by physical commands


def signal_virtual(its: Its, ite: ITE, level: bool) -> Cause | None:
    """INT, CLEAR, DISCARD or a device's write meets a virtual ITE: set or clear the bit in the vPE's table."""
    if not its.profile.virtual:
        return Cause.ITE_INVALID
    vte = lookup_vpe(its, ite.vpe_id)
    if not isinstance(vte, VTES):
        # As with a lost collection entry, QEMU drops these where VMOVI and INV stall.
        lost = vte is Cause.MEMORY_FAULT and not its.profile.cte_fault_stalls
        return Cause.VCPU_INVALID if lost else vte
    if not _is_vlpi(its, ite.intid, vte):
        return Cause.ITE_INVALID
    if vte.rd_base >= len(its.redistributors):
        return Cause.PROCNUM_OOR
    its.redistributors[vte.rd_base].vlpi.signal(vte, ite.vpe_id, ite.intid, level, ite.doorbell_intid)
    return None


def invalidate_virtual(its: Its, ite: ITE) -> Cause | None:
    """INV meets a virtual ITE: the vPE's redistributor reads the configuration again."""
    if not its.profile.virtual:
        return Cause.ITE_INVALID
    vte = lookup_vpe(its, ite.vpe_id)
    if not isinstance(vte, VTES):
        return vte
    if not _is_vlpi(its, ite.intid, vte):
        return Cause.ITE_INVALID
    _reread(its, vte, ite.vpe_id)
    return None


def _reread(its: Its, vte: AnyVTE, vpe_id: int) -> None:
    if vte.rd_base < len(its.redistributors):
        its.redistributors[vte.rd_base].vlpi.reread(vte, vpe_id)


# ---------------------------------------------------------------- commands


def vmapp(its: Its, c: VMAPP) -> Cause | None:
    """Map a vPE to a redistributor and its pending table, or unmap it. QEMU checks VPT_size with V=0 too."""
    if c.vpe_id >= its.vpe_table.entries:
        return Cause.VCPU_OOR
    if c.vpt_size > its.event_id_bits and (c.valid or not its.checks_vpe):
        return Cause.VPTSIZE_OOR
    if not c.valid:
        return store_entry(its, its.vpe_table, c.vpe_id, 0, Why.VTE)
    its.message(c.rd_base)
    target = its.redistributor_of(c.rd_base, whole=True)
    if target is None:
        return Cause.PROCNUM_OOR
    entry = VTE(valid=1, vpt_size=c.vpt_size, vpt_addr=c.vpt_addr, rd_base=target)
    return store_entry(its, its.vpe_table, c.vpe_id, entry.encode()[0], Why.VTE)


def vmapti(its: Its, c: VMAPTI) -> Cause | None:
    """Map an event to a vLPI of a vPE. The vPE need not be mapped yet on QEMU (profile ``checks_vpe``)."""
    return _map_event(its, c, c.virtual_intid)


def vmapi(its: Its, c: VMAPI) -> Cause | None:
    """As VMAPTI with the vINTID equal to the EventID."""
    return _map_event(its, c, c.event_id)


def _map_event(its: Its, c: VMAPTI | VMAPI, intid: int) -> Cause | None:
    dte = lookup_device(its, c.device_id)
    if not isinstance(dte, DTE):
        return dte
    if c.event_id >= event_count(dte.size):
        return Cause.ID_OOR
    if c.vpe_id >= its.vpe_table.entries:
        return Cause.VCPU_OOR
    if its.checks_vpe:
        vte = lookup_vpe(its, c.vpe_id)
        if not isinstance(vte, VTES):
            return vte
        if intid >= intid_limit(vte.vpt_size):
            return Cause.VIRTUALID_OOR
    if not FIRST_LPI <= intid < its.lpi_limit:
        return Cause.VIRTUALID_OOR
    if c.doorbell_intid != NO_DOORBELL and not _is_doorbell(its, c.doorbell_intid):
        return Cause.PHYSICALID_OOR
    ite = ITE(_VALID, _VIRTUAL, intid, _NO_ICID, c.vpe_id, c.doorbell_intid)
    return store_ite(its, dte.itt_addr + c.event_id * its.ite_bytes, ite)


def vmovi(its: Its, c: VMOVI) -> Cause | None:
    """Give an event another vPE, and another doorbell with D; a pending vLPI moves along."""
    wrong_doorbell = c.d and not _is_doorbell(its, c.doorbell_intid)
    if wrong_doorbell and not its.checks_vpe:
        return Cause.PHYSICALID_OOR  # QEMU looks at it first, the manual last
    found = lookup_event(its, c.device_id, c.event_id)
    if not isinstance(found, tuple):
        return found
    address, ite = found
    if ite.physical:
        return Cause.ID_IS_PHYSICAL
    source = lookup_vpe(its, ite.vpe_id)
    if not isinstance(source, VTES):
        return source if source is Cause.MEMORY_FAULT else Cause.ITEVCPU_INVALID
    target = lookup_vpe(its, c.vpe_id)
    if not isinstance(target, VTES):
        return target if target is Cause.MEMORY_FAULT else Cause.CMDVCPU_INVALID
    if not (_is_vlpi(its, ite.intid, source) and _is_vlpi(its, ite.intid, target)):
        return Cause.ITE_INVALID
    cpus = len(its.redistributors)
    if source.rd_base >= cpus or target.rd_base >= cpus:
        return Cause.ITEVCPU_INVALID if source.rd_base >= cpus else Cause.CMDVCPU_INVALID
    if wrong_doorbell:
        return Cause.PHYSICALID_OOR
    doorbell = c.doorbell_intid if c.d else ite.doorbell_intid
    moves = source.vpt_addr != target.vpt_addr  # one table for both: nothing moves, and no doorbell rings
    if moves and its.redistributors[source.rd_base].vlpi.withdraw(source, ite.vpe_id, ite.intid):
        its.redistributors[target.rd_base].vlpi.signal(target, c.vpe_id, ite.intid, True, doorbell)
    return store_ite(its, address, ITE(_VALID, _VIRTUAL, ite.intid, ite.icid, c.vpe_id, doorbell))


def vmovp(its: Its, c: VMOVP) -> Cause | None:
    """Give a vPE another redistributor.

    With GITS_TYPER.VMOVP one ITS does it for all; without, each ITS of the list is told and may have to wait (``its_list``).
    """
    its.message(c.rd_base)
    target = its.redistributor_of(c.rd_base, whole=True)
    if target is None and not its.checks_vpe:
        return Cause.PROCNUM_OOR  # QEMU looks at it first, the manual last
    vte = lookup_vpe(its, c.vpe_id)
    if not isinstance(vte, VTES):
        return vte
    if target is None or vte.rd_base >= len(its.redistributors):
        return Cause.PROCNUM_OOR
    if not its.typer.vmovp and not its.siblings.may_move(its, c.sequence_number, c.its_list):
        return None
    for other in its.followers():
        entry = lookup_vpe(other, c.vpe_id)
        if isinstance(entry, VTES):
            store_entry(other, other.vpe_table, c.vpe_id, entry.replace(rd_base=target).encode()[0], Why.VTE)
    return store_entry(its, its.vpe_table, c.vpe_id, vte.replace(rd_base=target).encode()[0], Why.VTE)


def vinvall(its: Its, c: VINVALL) -> Cause | None:
    """Make the vPE's redistributor read all of its configuration again."""
    vte = lookup_vpe(its, c.vpe_id)
    if not isinstance(vte, VTES):
        return vte
    _reread(its, vte, c.vpe_id)
    return None


def vsync(its: Its, c: VSYNC) -> Cause | None:
    """Wait for earlier commands of the vPE: they are all done. QEMU does not look at the vPE (profile ``checks_vpe``)."""
    if not its.checks_vpe:
        return None
    vte = lookup_vpe(its, c.vpe_id)
    return None if isinstance(vte, VTES) else vte


#: opcode -> (layout, function) of GICv4.0.
VIRTUAL: Final[dict[int, tuple[type[Any], Execute]]] = {
    layout.MATCH: (layout, execute)
    for layout, execute in (
        (VMAPP, vmapp),
        (VMAPTI, vmapti),
        (VMAPI, vmapi),
        (VMOVI, vmovi),
        (VMOVP, vmovp),
        (VINVALL, vinvall),
        (VSYNC, vsync),
    )
}
