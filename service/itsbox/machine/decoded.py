"""The decoded tables of an ITS, as the recorded traces' ``end.state`` shows them (``GET .../state``).

Read from RAM as it is, past the interconnect: looking changes nothing and is nobody's access. It follows the current
GITS_BASER and GICR_PENDBASER; memory that is not RAM is left out, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_tables import CTE, CTE_PTA, DTE, ITE, L1_ENTRY_SIZE, VTE, VTE_V41, event_count
from itsbox.arch.lpi_tables import VSGIS, pending_table_bytes
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE
from itsbox.hardware.lpi import table_bits

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.hardware.its_lookup import Table
    from itsbox.machine.machine import Machine
    from itsbox.memory.physmem import PhysMem

__all__ = ["Steps", "TooManySteps", "decoded_state", "l1_words", "table_entries", "vpe_table"]

_L1: Final = Struct("<Q")
_ZERO: Final = bytes(PAGE_SIZE)
_NON_ZERO: Final = re.compile(rb"[^\x00]")


class TooManySteps(Exception):
    """The tables name more memory than the caller is ready to have looked at."""


class Steps:
    """How much more may be looked at: entries, zero pages and pending interrupts count one each.

    Tables are the host's to write: with a few kilobytes it can name one translation table of 2^32 events 65,536 times.
    """

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def spend(self, count: int = 1) -> None:
        """Note that so much has been looked at. Raises ``TooManySteps``."""
        self.left -= count
        if self.left < 0:
            raise TooManySteps


def decoded_state(machine: Machine, most: int | None = None) -> dict[str, Any]:
    """devices, collections, events, vpes, pending, vpending; keys are decimal strings, addresses hex strings.

    most: how much may be looked at, as ``Steps`` counts; everything if left out. Raises ``TooManySteps``.
    """
    its, mem = machine.its[0], machine.memory
    steps = None if most is None else Steps(most)
    devices, events = _devices(its, mem, steps)
    vpes = vpe_table(its, mem)
    id_bits = machine.config.profile.gicr_idbits
    pending = {
        str(gicr.cpu): bits
        for gicr in machine.redistributors
        if (bits := _bitmap(mem, gicr.pending_table, pending_table_bytes(id_bits), steps))
    }
    vpending = {
        vpe["vpt"]: bits
        for vpe in vpes.values()
        if (bits := _virtual(_bitmap(mem, int(vpe["vpt"], 16), pending_table_bytes(id_bits), steps), its))
    }
    return {
        "devices": devices,
        "collections": _collections(its, mem),
        "events": events,
        "vpes": vpes,
        "pending": pending,
        "vpending": vpending,
    }


def _devices(its: Its, mem: PhysMem, steps: Steps | None) -> tuple[dict[str, Any], dict[str, Any]]:
    devices, events = {}, {}
    for device_id, _, raw in table_entries(its, mem, its.current_table("device")):
        dte = DTE.decode(*DTE.STRUCT.unpack_from(raw))
        if dte.valid:
            devices[str(device_id)] = {"size": dte.size, "itt": hex(dte.itt_addr)}
            found = {str(event_id): _event(ite) for event_id, ite in _ites(mem, dte, steps)}
            if found:
                events[str(device_id)] = found
    return devices, events


def _ites(mem: PhysMem, dte: DTE, steps: Steps | None) -> Iterator[tuple[int, ITE]]:
    for event_id, raw in _entries(mem, dte.itt_addr, ITE.SIZE, event_count(dte.size), steps):
        ite = ITE.decode(*ITE.STRUCT.unpack_from(raw))
        if ite.valid:
            yield event_id, ite


def _event(ite: ITE) -> dict[str, int]:
    if ite.physical:
        return {"intid": ite.intid, "icid": ite.icid}
    return {"vintid": ite.intid, "vpe": ite.vpe_id, "doorbell": ite.doorbell_intid}


def _collections(its: Its, mem: PhysMem) -> dict[str, Any]:
    entry = CTE_PTA if its.typer.pta else CTE
    found = {}
    for icid, _, raw in table_entries(its, mem, its.current_table("collection")):
        cte = entry.decode(*entry.STRUCT.unpack_from(raw))
        if cte.valid:
            found[str(icid)] = {"rd": cte.rd_base}
    return found


def vpe_table(its: Its, mem: PhysMem) -> dict[str, Any]:
    """The valid vPEs by vPEID, as in the decoded state."""
    entry = VTE_V41 if its.profile.gicv4_1 else VTE
    found = {}
    for vpe_id, _, raw in table_entries(its, mem, its.current_table("vpe")):
        vte = entry.decode(*entry.STRUCT.unpack_from(raw))
        if vte.valid:
            found[str(vpe_id)] = {"rd": vte.rd_base, "vptsize": vte.vpt_size, "vpt": hex(vte.vpt_addr)}
    return found


def _virtual(bits: list[int], its: Its) -> list[int]:
    """The pending virtual interrupts among the bits of a virtual pending table.

    On GICv4.1 the redistributor's part of it holds pending virtual SGIs, and behind them configuration, which is left out.
    """
    return [intid for intid in bits if intid < VSGIS or intid >= FIRST_LPI] if its.profile.gicv4_1 else bits


def _bitmap(mem: PhysMem, base: int, length: int, steps: Steps | None) -> list[int]:
    bits = list(table_bits(mem.load(base, length))) if mem.contains(base, length) else []
    if steps is not None:
        steps.spend(1 + len(bits))
    return bits


def l1_words(mem: PhysMem, table: Table) -> Iterator[tuple[int, int]]:
    """(index, raw level-1 entry) of a two-level table, zero entries left out."""
    count = -(-table.entries // table.per_page)
    for index, raw in _entries(mem, table.base, L1_ENTRY_SIZE, count):
        yield index, _L1.unpack_from(raw)[0]


def table_entries(its: Its, mem: PhysMem, table: Table) -> Iterator[tuple[int, int, bytes]]:
    """(id, address, raw bytes) of every entry of a table that is not all zero, ids ascending."""
    if not table.indirect:
        for ident, raw in _entries(mem, table.base, table.entry_bytes, table.entries):
            yield ident, table.base + ident * table.entry_bytes, raw
        return
    for index, word in l1_words(mem, table):
        page = its.l2_page(word, table.page_bytes)
        if page is None:
            continue
        first = index * table.per_page
        for n, raw in _entries(mem, page, table.entry_bytes, min(table.per_page, table.entries - first)):
            yield first + n, page + n * table.entry_bytes, raw


def _entries(mem: PhysMem, base: int, size: int, count: int, steps: Steps | None = None) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) of the entries that are not all zero and lie wholly in RAM.

    Goes from one byte that is not zero to the next, and past zero pages whole: tables are large and mostly empty.
    Raises ``TooManySteps``.
    """
    first = max(0, -(-(mem.base - base) // size))
    addr, end = base + first * size, min(base + count * size, mem.end)
    while addr < end:
        if steps is not None:
            steps.spend()
        page = mem.page(addr >> PAGE_SHIFT)
        found = None if page == _ZERO else _NON_ZERO.search(page, addr & PAGE_SIZE - 1)
        if found is None:
            addr = (addr | PAGE_SIZE - 1) + 1
            continue
        index = ((addr & -PAGE_SIZE) + found.start() - base) // size
        addr = base + (index + 1) * size
        if addr <= end:
            yield index, mem.load(addr - size, size)
