"""What people look at: registers, queues, tables and memory as JSON-like data. Looking changes nothing.

Shapes are those of the wire contract, "Looking". ``hw`` is what hardware has, ``host`` what the host is made to see; before the
switch-over they are the same and there is no host side.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.dist_registers import GICD_CTLR, GICD_IIDR, GICD_TYPER, GICD_TYPER2
from itsbox.arch.its_commands import COMMAND_SIZE, COMMANDS, COMMANDS_V41, decode_command
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER, TRANSLATION_FRAME
from itsbox.arch.its_registers import REGISTERS as ITS_REGISTERS
from itsbox.arch.its_tables import CTE, CTE_PTA, DTE, VTE, VTE_V41, L1Entry
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_IIDR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_TYPER,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
    GICR_VSGIPENDR,
    GICR_WAKER,
)
from itsbox.hardware.its_lookup import EMPTY, Table
from itsbox.hardware.lpi import table_bits
from itsbox.machine.decoded import l1_words, table_entries

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout, Register
    from itsbox.hardware.its import Its
    from itsbox.machine.machine import Machine
    from itsbox.memory.physmem import PhysMem

__all__ = ["TABLE_KINDS", "TABLE_VIEWS", "queues", "registers", "tables", "waiting"]

TABLE_KINDS: Final = ("device", "collection", "vpe")
TABLE_VIEWS: Final = ("host", "hw", "diff")
#: Queue slots shown before and after each pointer.
_AROUND: Final = 4
_WORDS: Final = Struct("<4Q")
_GICR: Final = (GICR_CTLR, GICR_IIDR, GICR_TYPER, GICR_WAKER, GICR_PROPBASER, GICR_PENDBASER)
_VLPI: Final = (GICR_VPROPBASER, GICR_VPENDBASER)
_VLPI_V41: Final = (GICR_VPROPBASER_V41, GICR_VPENDBASER_V41, GICR_VSGIPENDR)
_GICD: Final = (GICD_CTLR, GICD_TYPER, GICD_IIDR)


def show_fields(layout: Layout) -> dict[str, Any]:
    """Decoded fields: addresses and anything wider than 32 bits as hex strings, the rest as numbers."""
    shown: dict[str, Any] = {}
    for name, place in layout.FIELDS.items():
        value = getattr(layout, name)
        wide = place.shift or place.hi - place.lo >= 32
        shown[name] = hex(value) if wide else value
    return shown


# ---------------------------------------------------------------- registers


def registers(machine: Machine) -> dict[str, Any]:
    """Every register by name: addr, width, access, value, fields, policy (what the hypervisor does with the host's access)."""
    shown: dict[str, Any] = {}
    for n, its in enumerate(machine.its):
        prefix = "GITS" if n == 0 else f"GITS{n}"
        for offset, kind in ITS_REGISTERS.items():
            if offset >= TRANSLATION_FRAME:
                continue
            element = (offset - kind.OFFSET) // kind.STRIDE if kind.STRIDE else 0
            name = kind.element_name(element).replace("GITS", prefix, 1)
            value = its.read(offset, kind.WIDTH // 8)
            shown[name] = _register(machine, name, kind, its.base + offset, value)
    frames = _GICR + _vlpi_registers(machine)
    for gicr in machine.redistributors:
        base = machine.map.gicr + gicr.cpu * machine.map.gicr_stride
        for kind in frames:
            name = kind.NAME.replace("GICR", f"GICR{gicr.cpu}", 1)
            value = gicr.read(kind.OFFSET, kind.WIDTH // 8)
            shown[name] = _register(machine, name, kind, base + kind.OFFSET, value)
    for kind in _GICD + ((GICD_TYPER2,) if machine.config.profile.gicv4_1 else ()):
        value = machine.gicd.read(kind.OFFSET, 4)
        shown[kind.NAME] = _register(machine, kind.NAME, kind, machine.map.gicd + kind.OFFSET, value)
    return shown


def _vlpi_registers(machine: Machine) -> tuple[type[Register], ...]:
    """The registers of a VLPI frame that can be read, in the layout of the machine's GIC version."""
    profile = machine.config.profile
    if profile.gicv4_1:
        return _VLPI_V41
    return _VLPI if profile.virtual else ()


def _register(machine: Machine, name: str, kind: type[Register], addr: int, value: int) -> dict[str, Any]:
    return {
        "addr": hex(addr),
        "width": kind.WIDTH,
        "access": str(kind.ACCESS),
        "value": hex(value),
        "fields": show_fields(kind.decode(value)),
        "policy": machine.register_policy(addr),
    }


# ---------------------------------------------------------------- queues


def queues(machine: Machine) -> dict[str, Any]:
    """The command queue on both sides; ``host`` is None before the switch-over. Offsets and sizes are bytes."""
    its = machine.its[0]
    read, write = GITS_CREADR.decode(its.creadr), GITS_CWRITER.decode(its.cwriter)
    base, size = its.current_queue()
    hw = {
        "base": hex(base),
        "size": size,
        "creadr": read.offset,
        "cwriter": write.offset,
        "stalled": bool(read.stalled),
        "consumed": read.offset,
        "entries": _around(machine, base, size, (read.offset, write.offset)),
    }
    return {"host": _host_queue(machine), "hw": hw}


def waiting(machine: Machine) -> list[dict[str, Any]]:
    """The ITSs whose queues stand at a VMOVP, neither Stalled nor moving, and the ITS numbers of its list that nobody has."""
    numbers = {its.its_number for its in machine.its if its.enabled}
    shown = []
    for n, its in enumerate(machine.its):
        if its.waiting is not None:
            sequence_number, its_list = its.waiting
            absent = [number for number in table_bits(its_list.to_bytes(2, "little")) if number not in numbers]
            shown.append({"its": n, "sequence_number": sequence_number, "its_list": hex(its_list), "absent": absent})
    return shown


def _host_queue(machine: Machine) -> dict[str, Any] | None:
    host = machine.host_queue()
    if host is None:
        return None
    pointers = (host["creadr"], host["cwriter"], host["consumed"])
    entries = _around(machine, host["base"], host["size"], pointers)
    return {**host, "base": hex(host["base"]), "entries": entries}


def _around(machine: Machine, base: int, size: int, pointers: tuple[int, ...]) -> list[dict[str, Any]]:
    """The slots near the pointers, decoded."""
    slots = size // COMMAND_SIZE
    if not slots:
        return []
    wanted = {
        (pointer // COMMAND_SIZE + delta) % slots
        for pointer in pointers
        for delta in range(-_AROUND, _AROUND + 1)
        if pointer < size
    }
    return [shown for slot in sorted(wanted) if (shown := _slot(machine, slot, base + slot * COMMAND_SIZE)) is not None]


def _slot(machine: Machine, slot: int, addr: int) -> dict[str, Any] | None:
    if not machine.memory.contains(addr, COMMAND_SIZE):
        return None
    words = _WORDS.unpack(machine.memory.load(addr, COMMAND_SIZE))
    command = decode_command(words, _commands(machine))
    return {
        "slot": slot,
        "words": [hex(word) for word in words],
        "name": None if command is None else command.NAME,
        "fields": {} if command is None else show_fields(command),
    }


def _commands(machine: Machine) -> dict[int, type[Layout]]:
    return COMMANDS_V41 if machine.config.profile.gicv4_1 else COMMANDS


# ---------------------------------------------------------------- tables


def tables(machine: Machine, kind: str, view: str) -> dict[str, Any]:
    """Level 1 and level 2 of a table. ``diff`` lists the level-1 entries on which host and hardware differ."""
    its = machine.its[0]
    hw = its.current_table(kind)
    host = machine.host_table(kind) or hw
    if view == "diff":
        ours = dict(l1_words(machine.memory, hw)) if hw.indirect else {}
        theirs = dict(l1_words(machine.memory, host)) if host.indirect else {}
        differ = [
            {"index": index, "host": hex(theirs.get(index, 0)), "hw": hex(ours.get(index, 0))}
            for index in sorted(ours.keys() | theirs.keys())
            if ours.get(index, 0) != theirs.get(index, 0)
        ]
        return {"kind": kind, "view": view, "host_base": hex(host.base), "hw_base": hex(hw.base), "level1": differ}
    return _table(its, machine.memory, kind, view, host if view == "host" else hw)


def _table(its: Its, mem: PhysMem, kind: str, view: str, table: Table) -> dict[str, Any]:
    return {
        "kind": kind,
        "view": view,
        "valid": table is not EMPTY,
        "base": hex(table.base),
        "indirect": table.indirect,
        "page_size": table.page_bytes,
        "entry_size": table.entry_bytes,
        "entries": table.entries,
        "level1": [_level1(its, table, index, word) for index, word in l1_words(mem, table)] if table.indirect else [],
        "level2": list(_level2(its, mem, kind, table)),
    }


def _level1(its: Its, table: Table, index: int, word: int) -> dict[str, Any]:
    page = its.l2_page(word, table.page_bytes)
    return {
        "index": index,
        "raw": hex(word),
        "valid": bool(L1Entry.decode(word).valid),
        "address": None if page is None else hex(page),
    }


def _level2(its: Its, mem: PhysMem, kind: str, table: Table) -> Iterator[dict[str, Any]]:
    layout: type[Layout] = {
        "device": DTE,
        "collection": CTE_PTA if its.typer.pta else CTE,
        "vpe": VTE_V41 if its.profile.gicv4_1 else VTE,
    }[kind]
    for ident, addr, raw in table_entries(its, mem, table):
        entry = layout.decode(*layout.STRUCT.unpack_from(raw))
        yield {"id": ident, "addr": hex(addr), "raw": raw.hex(), "fields": show_fields(entry)}
