"""What each physical command does, one function per command and the table that names them.

A function takes the ITS and the decoded command and answers None when carried out, else a ``Cause``. The ladders are in
``its_lookup``; what is left here is the command's intent. Order of checks: IHI 0069H.b, ITS commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itsbox.arch.its_commands import (
    CLEAR,
    DISCARD,
    INT,
    INV,
    INVALL,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    NO_DOORBELL,
    SYNC,
)
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import CTE, CTE_PTA, DTE, ITE, event_count
from itsbox.hardware.its_lookup import (
    lookup_collection,
    lookup_device,
    lookup_event,
    lookup_redistributor,
    store_entry,
    store_ite,
)
from itsbox.hardware.its_virtual import invalidate_virtual, signal_virtual
from itsbox.memory.interconnect import Why

if TYPE_CHECKING:
    from itsbox.hardware.its import Its

__all__ = ["PHYSICAL", "Execute"]

Execute: TypeAlias = Callable[["Its", Any], "Cause | None"]

# Entries are made from values in the order of their fields: naming these would cost more than all the rest of it.
_VALID: Final = 1
_PHYSICAL: Final = 1
_NO_VPE: Final = 0


def mapd(its: Its, c: MAPD) -> Cause | None:
    """Map a DeviceID to its ITT, or unmap it. Size is checked with V=0 too."""
    if c.device_id >= its.device_table.entries:
        return Cause.DEVICE_OOR
    if c.size > its.event_id_bits:
        return Cause.ITTSIZE_OOR
    word = DTE(_VALID, c.size, c.itt_addr).encode()[0] if c.valid else 0
    return store_entry(its, its.device_table, c.device_id, word, Why.DTE)


def mapc(its: Its, c: MAPC) -> Cause | None:
    """Map a collection to a redistributor, or unmap it. RDbase is ignored with V=0, and believed where it is an address."""
    if c.icid >= its.collection_table.entries:
        return Cause.COLLECTION_OOR
    if not c.valid:
        return store_entry(its, its.collection_table, c.icid, 0, Why.CTE)
    if its.typer.pta:
        word = CTE_PTA(_VALID, c.rd_base).encode()[0]
        return store_entry(its, its.collection_table, c.icid, word, Why.CTE)
    target = its.redistributor_of(c.rd_base)
    if target is None:
        return Cause.PROCNUM_OOR
    word = CTE(_VALID, target).encode()[0]
    return store_entry(its, its.collection_table, c.icid, word, Why.CTE)


def mapti(its: Its, c: MAPTI) -> Cause | None:
    """Map an event to an LPI and a collection; the collection need not be mapped."""
    return _map_event(its, c.device_id, c.event_id, c.intid, c.icid)


def mapi(its: Its, c: MAPI) -> Cause | None:
    """As MAPTI with the INTID equal to the EventID."""
    return _map_event(its, c.device_id, c.event_id, c.event_id, c.icid)


def _map_event(its: Its, device_id: int, event_id: int, intid: int, icid: int) -> Cause | None:
    dte = lookup_device(its, device_id)
    if not isinstance(dte, DTE):
        return dte
    if icid >= its.collection_table.entries:
        return Cause.COLLECTION_OOR
    if event_id >= event_count(dte.size):
        return Cause.ID_OOR
    if not its.is_lpi(intid):
        return Cause.PHYSICALID_OOR
    ite = ITE(_VALID, _PHYSICAL, intid, icid, _NO_VPE, NO_DOORBELL)
    return store_ite(its, dte.itt_addr + event_id * its.ite_bytes, ite)


def movi(its: Its, c: MOVI) -> Cause | None:
    """Give an event another collection; a pending LPI moves along."""
    found = lookup_event(its, c.device_id, c.event_id)
    if not isinstance(found, tuple):
        return found
    address, ite = found
    if not ite.physical:
        return Cause.ITE_INVALID
    source = lookup_redistributor(its, ite.icid)
    if not isinstance(source, int):
        return source
    target = lookup_redistributor(its, c.icid)
    if not isinstance(target, int):
        return target
    if source != target:
        its.redistributors[source].move_pending(ite.intid, its.redistributors[target])
    return store_ite(its, address, ITE(_VALID, _PHYSICAL, ite.intid, c.icid, ite.vpe_id, ite.doorbell_intid))


def _signal(its: Its, device_id: int, event_id: int, level: bool) -> tuple[int, ITE] | Cause:
    """Set or clear the pending state of an event; the common half of INT, CLEAR, DISCARD and a device's write."""
    found = lookup_event(its, device_id, event_id)
    if not isinstance(found, tuple):
        return found
    ite = found[1]
    if not ite.physical:
        cause = signal_virtual(its, ite, level)
        return found if cause is None else cause
    target = lookup_redistributor(its, ite.icid)
    if not isinstance(target, int):
        # QEMU drops these three commands, and a device's write, where MOVI and INV stall.
        lost = target is Cause.MEMORY_FAULT and not its.profile.cte_fault_stalls
        return Cause.UNMAPPED_COLLECTION if lost else target
    its.redistributors[target].assign_pending(ite.intid, level)
    return found


def translate(its: Its, device_id: int, event_id: int) -> bool:
    """A device's write to GITS_TRANSLATER: whether the translation ended at an existing redistributor."""
    return isinstance(_signal(its, device_id, event_id, True), tuple)


def int_(its: Its, c: INT) -> Cause | None:
    """Translate an event as a device's write would: its LPI becomes pending."""
    found = _signal(its, c.device_id, c.event_id, True)
    return None if isinstance(found, tuple) else found


def clear(its: Its, c: CLEAR) -> Cause | None:
    """Make the event's LPI not pending."""
    found = _signal(its, c.device_id, c.event_id, False)
    return None if isinstance(found, tuple) else found


def discard(its: Its, c: DISCARD) -> Cause | None:
    """Unmap an event; a pending LPI is withdrawn. With an unmapped collection nothing is removed."""
    found = _signal(its, c.device_id, c.event_id, False)
    return store_ite(its, found[0], None) if isinstance(found, tuple) else found


def inv(its: Its, c: INV) -> Cause | None:
    """Make the redistributor read the LPI's configuration again; it never caches one here."""
    found = lookup_event(its, c.device_id, c.event_id)
    if not isinstance(found, tuple):
        return found
    ite = found[1]
    if not ite.physical:
        return invalidate_virtual(its, ite)
    target = lookup_redistributor(its, ite.icid)
    return None if isinstance(target, int) else target


def invall(its: Its, c: INVALL) -> Cause | None:
    """Make a collection's redistributor read its whole configuration table again."""
    if not its.checks_invall:
        return None
    entry = lookup_collection(its, c.icid)
    return entry if isinstance(entry, Cause) else None


def sync(its: Its, c: SYNC) -> Cause | None:
    """Wait for earlier commands to the redistributor: they are all done. With PTA=1 this is a bus message."""
    its.message(c.rd_base)
    return None


def movall(its: Its, c: MOVALL) -> Cause | None:
    """Move every pending LPI of one redistributor to another."""
    its.message(c.rd_base1)
    its.message(c.rd_base2)
    source = its.redistributor_of(c.rd_base1, whole=True)
    target = its.redistributor_of(c.rd_base2, whole=True)
    if source is None or target is None:
        return Cause.PROCNUM_OOR
    if source != target:
        its.redistributors[source].move_all_pending(its.redistributors[target])
    return None


#: opcode -> (layout, function); virtual commands are in its_virtual.
PHYSICAL: Final[dict[int, tuple[type[Any], Execute]]] = {
    layout.MATCH: (layout, execute)
    for layout, execute in (
        (MAPD, mapd),
        (MAPC, mapc),
        (MAPTI, mapti),
        (MAPI, mapi),
        (MOVI, movi),
        (INT, int_),
        (CLEAR, clear),
        (DISCARD, discard),
        (INV, inv),
        (INVALL, invall),
        (SYNC, sync),
        (MOVALL, movall),
    )
}
