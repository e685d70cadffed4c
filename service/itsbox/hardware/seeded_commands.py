"""Commands carried out wrongly, each as some ITS once did. Which are in force is chosen when an ITS is built (``seeded``).

A function here takes what carries the command out rightly and answers what does it wrongly: it changes one thing and leaves
the rest to the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itsbox.arch.its_commands import DISCARD, MAPC, MAPD, MAPI, MAPTI, MOVALL, NO_DOORBELL
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import CTE, DTE, ITE, event_count
from itsbox.hardware.its_execute import Execute, clear
from itsbox.hardware.its_lookup import lookup_device, lookup_event, store_entry, store_ite
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.hardware.its import Its

__all__ = [
    "Wrong", "any_event", "any_intid", "any_size", "as_mapti", "forgets_vlpi", "keeps_dte", "keeps_ite",
    "moves_all", "one_more_target",
    "overlaps", "takes_missing_memory", "target_by_affinity",
]  # fmt: skip

Wrong: TypeAlias = Callable[[Execute], Execute]

_CLUSTER: Final = 16  # CPUs that share Aff1


def keeps_dte(right: Execute) -> Execute:
    """MAPD with V=0 is checked, and changes nothing."""

    def mapd(its: Its, c: MAPD) -> Cause | None:
        if c.valid:
            return right(its, c)
        return Cause.DEVICE_OOR if c.device_id >= its.device_table.entries else None

    return mapd


def any_size(right: Execute) -> Execute:
    """MAPD's Size may be more than GITS_TYPER.ID_bits."""

    def mapd(its: Its, c: MAPD) -> Cause | None:
        if c.size <= its.event_id_bits or not c.valid or c.device_id >= its.device_table.entries:
            return right(its, c)
        word = DTE(valid=1, size=c.size, itt_addr=c.itt_addr).encode()[0]
        return store_entry(its, its.device_table, c.device_id, word, Why.DTE)

    return mapd


def one_more_target(right: Execute) -> Execute:
    """MAPC's RDbase may equal the number of redistributors."""

    def mapc(its: Its, c: MAPC) -> Cause | None:
        if (
            its.typer.pta
            or not c.valid
            or c.rd_base != len(its.redistributors)
            or c.icid >= its.collection_table.entries
        ):
            return right(its, c)
        return store_entry(its, its.collection_table, c.icid, CTE(valid=1, rd_base=c.rd_base).encode()[0], Why.CTE)

    return mapc


def target_by_affinity(right: Execute) -> Execute:
    """MAPC takes a processor number for Aff0, which begins again with each cluster."""

    def mapc(its: Its, c: MAPC) -> Cause | None:
        return right(its, c if its.typer.pta else c.replace(rd_base=c.rd_base % _CLUSTER))

    return mapc


def _map_event(its: Its, c: MAPTI, *, bounds_event: bool, bounds_intid: bool) -> Cause | None:
    """MAPTI without one of its checks."""
    dte = lookup_device(its, c.device_id)
    if not isinstance(dte, DTE):
        return dte
    if c.icid >= its.collection_table.entries:
        return Cause.COLLECTION_OOR
    if bounds_event and c.event_id >= event_count(dte.size):
        return Cause.ID_OOR
    if bounds_intid and not its.is_lpi(c.intid):
        return Cause.PHYSICALID_OOR
    ite = ITE(1, 1, c.intid, c.icid, 0, NO_DOORBELL)
    return store_ite(its, dte.itt_addr + c.event_id * its.ite_bytes, ite)


def any_event(_right: Execute) -> Execute:
    """MAPTI does not compare the EventID with the device's Size."""
    return lambda its, c: _map_event(its, c, bounds_event=False, bounds_intid=True)


def any_intid(_right: Execute) -> Execute:
    """MAPTI maps to any INTID."""
    return lambda its, c: _map_event(its, c, bounds_event=True, bounds_intid=False)


def as_mapti(_right: Execute) -> Execute:
    """MAPI takes its INTID from where MAPTI has one."""

    def mapi(its: Its, _c: MAPI) -> Cause | None:
        words = its.command[2] if its.command is not None else (0, 0, 0, 0)
        return its.commands[MAPTI.MATCH][2](its, MAPTI.decode(*words))

    return mapi


def keeps_ite(_right: Execute) -> Execute:
    """DISCARD withdraws what is pending, and leaves the event mapped."""
    return clear


def forgets_vlpi(right: Execute) -> Execute:
    """DISCARD unmaps an event of a vPE, and leaves its vLPI pending."""

    def discard(its: Its, c: DISCARD) -> Cause | None:
        found = lookup_event(its, c.device_id, c.event_id)
        if not isinstance(found, tuple) or found[1].physical:
            return right(its, c)
        return store_ite(its, found[0], None)

    return discard


def moves_all(right: Execute) -> Execute:
    """MOVALL does not ask whose an LPI is: what is pending anywhere moves."""

    def movall(its: Its, c: MOVALL) -> Cause | None:
        cause = right(its, c)
        target = its.redistributor_of(c.rd_base2, whole=True)
        if cause is None and target is not None:
            for number, gicr in enumerate(its.redistributors):
                if number != target:
                    gicr.move_all_pending(its.redistributors[target])
        return cause

    return movall


def overlaps(right: Execute) -> Execute:
    """The last four of an ITE's twelve bytes are written at +4 instead of +8."""

    def run(its: Its, c: Any) -> Cause | None:
        cause = right(its, c)
        found = lookup_event(its, c.device_id, c.event_id) if cause is None else None
        if isinstance(found, tuple):
            address, ite = found
            entry = ITE.STRUCT.pack(*ite.encode())
            its.interconnect.store(Initiator.ITS, address, entry[:4] + entry[8:] + bytes(4), Why.ITE)
        return cause

    return run


def takes_missing_memory(right: Execute) -> Execute:
    """An ITE that cannot be written counts as written."""

    def run(its: Its, c: Any) -> Cause | None:
        cause = right(its, c)
        return None if cause is Cause.MEMORY_FAULT else cause

    return run
