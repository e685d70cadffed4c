"""Devices and vPEs that were mapped before the switch-over: find them in the ITS's own tables, and hold their memory.

The entries' format is the implementation's secret, so a hypervisor can only do this for an ITS that it knows; here it is the
format of this project's machines (``arch.its_tables``). The tables are the hypervisor's by now: nobody edits them meanwhile.
What the host edited by hand before, it may have left in the CPUs' caches: that is cleaned to memory first, or the ITS would go on
with other entries than those looked at here.

Where RDbase is an address, a collection's entry decides where messages go. It holds no memory, but must name a redistributor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from itsbox.arch.its_registers import TABLE_COLLECTIONS, TABLE_DEVICES, TABLE_VPES, ite_bytes
from itsbox.arch.its_tables import CTE_PTA, DTE, L1_ENTRY_SIZE, VTE, VTE_V41, L1Entry, l2_address
from itsbox.arch.layout import Layout
from itsbox.hypervisor.command_checks import itt_pages, redistributor_names
from itsbox.hypervisor.its_state import ItsState, TableRecord
from itsbox.hypervisor.plan import Plan, RecordChange, Step, commit, undo
from itsbox.hypervisor.tracking import ITT
from itsbox.hypervisor.virtual_checks import vpe_pages
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2

__all__ = ["adopt_devices"]

_CAUSE = "device mapped before the switch-over"


def adopt_devices(el2: El2, state: ItsState) -> Reason | None:
    """Record and hold what the device and vPE tables name; all of it or nothing."""
    if _sends_astray(el2, state):
        return Reason.RD_BASE_UNKNOWN
    done: list[Plan] = []
    for step in _holds(el2, state):
        denied = step if isinstance(step, Reason) else commit(el2, state, (step,))
        if denied is not None:
            undo(el2, state, tuple(done))
            return step if isinstance(step, Reason) else Reason.DEVICE_UNUSABLE
        done.append(step)  # type: ignore[arg-type]
    return None


def _sends_astray(el2: El2, state: ItsState) -> bool:
    """Whether a collection's messages would go to an address that is no redistributor.

    Level-2 pages that stay the host's (knob ``collection_l2``) are not mapped here, and would say nothing of what comes.
    """
    table = state.by_type.get(TABLE_COLLECTIONS)
    if table is None or not state.typer.pta or (table.indirect and el2.knobs["collection_l2"] == "host"):
        return False
    entries = (CTE_PTA.decode(*CTE_PTA.STRUCT.unpack(raw)) for _, raw in _entries(el2, table, CTE_PTA))
    names = redistributor_names(el2, state)
    return any(entry.valid and entry.rd_base not in names for entry in entries)


def _holds(el2: El2, state: ItsState) -> Iterator[Plan | Reason]:
    devices, vpes = state.by_type.get(TABLE_DEVICES), state.by_type.get(TABLE_VPES)
    size = ite_bytes(state.typer)
    if devices is not None:
        for device_id, raw in _entries(el2, devices, DTE):
            entry = DTE.decode(*DTE.STRUCT.unpack(raw))
            if entry.valid:
                pages = itt_pages(el2.knobs, entry.itt_addr, entry.size, size)
                hold = el2.tracking.hold(ITT, state.number, device_id, pages)
                if isinstance(hold, Reason):
                    yield Reason.DEVICE_UNUSABLE
                    return
                record = RecordChange("devices", device_id, None, (entry.itt_addr, entry.size))
                yield Plan(ITT, _CAUSE, Step(hold.transitions, hold.edits, records=(record,)))
    if vpes is not None:
        yield from _vpe_holds(el2, state, vpes)


def _vpe_holds(el2: El2, state: ItsState, table: TableRecord) -> Iterator[Plan | Reason]:
    layout: type[VTE | VTE_V41] = VTE_V41 if state.typer.vmapp else VTE
    for vpe_id, raw in _entries(el2, table, layout):
        entry = layout.decode(*layout.STRUCT.unpack(raw))
        if not entry.valid:
            continue
        vconf_addr = entry.vconf_addr if isinstance(entry, VTE_V41) else 0
        known = (entry.vpt_addr, entry.vpt_size, vconf_addr)
        for kind, pages in vpe_pages(*known).items():
            hold = el2.tracking.hold(kind, state.number, vpe_id, pages)
            if isinstance(hold, Reason):
                yield Reason.VPE_UNUSABLE
                return
            yield Plan(kind, _CAUSE, Step(hold.transitions, hold.edits))
        yield Plan(ITT, _CAUSE, Step(records=(RecordChange("vpes", vpe_id, None, known),)))


def _entries(el2: El2, table: TableRecord, layout: type[Layout]) -> Iterator[tuple[int, bytes]]:
    """(id, raw entry) of every entry that is not all zeros."""
    for first, addr, length in _last_level(el2, table):
        if el2.knobs["cache_maintenance"] == "flush":
            el2.interconnect.clean(addr, length)
        data = el2.load(addr, length)
        if not any(data):
            continue
        for n in range(min(length // table.entry_bytes, table.entries - first)):
            raw = data[n * table.entry_bytes : n * table.entry_bytes + layout.SIZE]
            if any(raw) and len(raw) == layout.SIZE:
                yield first + n, raw


def _last_level(el2: El2, table: TableRecord) -> Iterator[tuple[int, int, int]]:
    """(first id, address, bytes) of each page that holds entries."""
    if not table.indirect:
        yield 0, table.base, table.length
        return
    level_1 = el2.load(table.base, table.length)
    for index in range(table.length // L1_ENTRY_SIZE):
        word = int.from_bytes(level_1[index * L1_ENTRY_SIZE : (index + 1) * L1_ENTRY_SIZE], "little")
        entry = L1Entry.decode(word)
        if entry.valid and index * table.per_page < table.entries:
            yield index * table.per_page, l2_address(entry, table.page_bytes), table.page_bytes
