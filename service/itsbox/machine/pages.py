"""Memory by page: owner, state, pins and what hardware uses it for, run-length encoded (``GET .../pages``)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from itsbox.arch.its_tables import DTE, itt_bytes
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.values import pages_of
from itsbox.machine.decoded import l1_words, table_entries, vpe_table

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.machine.machine import Machine

__all__ = ["Use", "page_runs", "uses"]


class Use(NamedTuple):
    """Frames [first, end) and what hardware, or the hypervisor's emulation, uses them for."""

    first: int
    end: int
    name: str


def page_runs(machine: Machine, addr: int, length: int) -> list[dict[str, Any]]:
    """Runs of like pages that cover [addr, addr + length): addr, pages, length, owner, state, pins, memory, use."""
    frames = pages_of(addr, length)
    if not frames:
        return []
    known = sorted(uses(machine))
    shown = []
    for run in machine.ownership.runs(frames.start, frames.stop):
        for first, end, name in _split(run.pfn, run.pfn + run.pages, known):
            shown.append(
                {
                    "addr": hex(first * 4096),
                    "pages": end - first,
                    "length": hex((end - first) * 4096),
                    "owner": run.owner,
                    "state": run.state,
                    "pins": run.pins,
                    "memory": run.memory,
                    "use": name,
                }
            )
    return shown


def _split(first: int, end: int, known: list[Use]) -> Iterator[tuple[int, int, str | None]]:
    """Cut [first, end) at the borders of uses; where uses overlap the names are joined."""
    touching = [use for use in known if use.first < end and first < use.end]
    cuts = sorted({first, end} | {cut for use in touching for cut in use[:2] if first < cut < end})
    before: tuple[int, int, str | None] | None = None
    for low, high in itertools.pairwise(cuts):
        names = sorted({use.name for use in touching if use.first <= low < use.end})
        name = ", ".join(names) or None
        if before is not None and before[2] == name:
            before = (before[0], high, name)
            continue
        if before is not None:
            yield before
        before = (low, high, name)
    if before is not None:
        yield before


def uses(machine: Machine) -> Iterator[Use]:
    """What each ITS and redistributor uses by its registers and tables, and the host's side after the switch-over."""
    for its in machine.its:
        base, size = its.current_queue()
        yield from _use(base, size, "hw queue")
        for kind in ("device", "collection", "vpe"):
            yield from _table_uses(machine, its, kind)
    for gicr in machine.redistributors:
        if gicr.enable_lpis:
            yield from _use(gicr.config_table, config_table_bytes(gicr.id_bits), "LPI configuration table")
            yield from _use(gicr.pending_table, pending_table_bytes(gicr.id_bits), f"LPI pending table {gicr.cpu}")
    for vpe_id, vpe in vpe_table(machine.its[0], machine.memory).items():
        yield from _use(int(vpe["vpt"], 16), pending_table_bytes(vpe["vptsize"]), f"VPT {vpe_id}")
    host = machine.host_queue()
    if host is not None:
        yield from _use(host["base"], host["size"], "host queue")


def _table_uses(machine: Machine, its: Its, kind: str) -> Iterator[Use]:
    table = its.current_table(kind)
    if not table.entries:
        return
    if table.indirect:
        count = -(-table.entries // table.per_page)
        yield from _use(table.base, count * 8, f"hw {kind} level 1")
        for _, word in l1_words(machine.memory, table):
            page = its.l2_page(word, table.page_bytes)
            if page is not None:
                yield from _use(page, table.page_bytes, f"{kind} level 2")
        host = machine.host_table(kind)
        if host is not None:
            yield from _use(host.base, count * 8, f"host {kind} level 1")
    else:
        yield from _use(table.base, table.entries * table.entry_bytes, f"{kind} table")
    if kind == "device":
        for device_id, _, raw in table_entries(its, machine.memory, table):
            dte = DTE.decode(*DTE.STRUCT.unpack_from(raw))
            if dte.valid:
                yield from _use(dte.itt_addr, itt_bytes(dte.size, its.ite_bytes), f"ITT {device_id:#x}")


def _use(base: int, length: int, name: str) -> Iterator[Use]:
    frames = pages_of(base, length)
    if frames:
        yield Use(frames.start, frames.stop, name)
