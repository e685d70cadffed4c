"""Where recorded and generated sequences keep their tables, and what those tables say at the end.

The recorder of the ``its-trace/1`` sequences put each table at a fixed place in RAM; our generator uses the same places, so one
rule serves both. A *region* is a piece of memory that is dumped at the end. ``decode_tables`` reads dumps in the formats of the
``virt`` profiles (``arch.its_tables``) without looking at any register: a second opinion on ``GET .../state``.

Places are offsets from the beginning of RAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from itsbox.arch.its_tables import CTE, DTE, ITE, VTE
from itsbox.arch.layout import Layout

__all__ = ["Dump", "bits_set", "decode_tables", "slot_of"]

QUEUE: Final = 0x0100_0000
DEVICE_TABLE: Final = 0x0200_0000
DEVICE_TABLE_L2: Final = 0x0210_0000
COLLECTION_TABLE: Final = 0x0300_0000
COLLECTION_TABLE_L2: Final = 0x0310_0000
VPE_TABLE: Final = 0x0400_0000
VPE_TABLE_L2: Final = 0x0410_0000
PROPERTIES: Final = 0x0500_0000
VIRTUAL_PROPERTIES: Final = 0x0510_0000
PENDING: Final = 0x0600_0000  # one slot per CPU
ITT: Final = 0x0700_0000
VPT: Final = 0x0800_0000

SLOT_BYTES: Final = 0x1_0000
SLOTS: Final = 8  # ITTs, and VPTs
PENDING_BYTES: Final = 0x2000  # what is dumped of a pending table: INTIDs 0..65535
NOWHERE: Final = 0x9_0000_0000
"""An address with neither RAM nor device behind it, on any machine of ours."""

Dump: TypeAlias = Mapping[str, bytes]
"""Region name to its bytes; a region that is missing was all zero."""


def slot_of(address: int, first: int) -> int | None:
    """The slot, of the eight from ``first``, that begins at an address; None when none does."""
    slot, rest = divmod(address - first, SLOT_BYTES)
    return slot if 0 <= slot < SLOTS and not rest else None


def bits_set(data: bytes) -> list[int]:
    """The numbers of the bits that are set, as pending tables number INTIDs."""
    return [8 * i + bit for i, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1]


def _valid_entries(data: bytes, entry: type[Layout]) -> dict[int, Any]:
    size = entry.SIZE
    empty = bytes(size)
    found = {}
    for index in range(len(data) // size):
        raw = data[index * size : (index + 1) * size]
        if raw != empty:
            decoded: Any = entry.decode(*entry.STRUCT.unpack(raw))
            if decoded.valid:
                found[index] = decoded
    return found


def _event(ite: ITE) -> dict[str, int]:
    if ite.physical:
        return {"intid": ite.intid, "icid": ite.icid}
    return {"vintid": ite.intid, "vpe": ite.vpe_id, "doorbell": ite.doorbell_intid}


def decode_tables(dump: Dump, ram: int, *, cpus: int, virtual: bool) -> dict[str, Any]:
    """The tables in the form of a trace's ``end.state``.

    ``dump`` has ``device_table``, ``collection_table``, ``vpe_table`` (for a two-level table its level-2 pages, one after the
    other), ``itt0..7``, ``pending0..`` and ``vpt0..7``. Only ITTs that begin at a slot are followed, as far as the slot.
    """
    devices = _valid_entries(dump.get("device_table", b""), DTE)
    events: dict[str, Any] = {}
    for device_id, dte in devices.items():
        slot = slot_of(dte.itt_addr, ram + ITT)
        if slot is None:
            continue
        itt = dump.get(f"itt{slot}", b"")[: (2 << dte.size) * ITE.SIZE]
        if mapped := {str(n): _event(ite) for n, ite in _valid_entries(itt, ITE).items()}:
            events[str(device_id)] = mapped
    pending = {str(cpu): bits_set(dump.get(f"pending{cpu}", b"")) for cpu in range(cpus)}
    state = {
        "devices": {str(n): {"size": d.size, "itt": hex(d.itt_addr)} for n, d in devices.items()},
        "collections": {
            str(n): {"rd": c.rd_base} for n, c in _valid_entries(dump.get("collection_table", b""), CTE).items()
        },
        "events": events,
        "pending": {cpu: intids for cpu, intids in pending.items() if intids},
    }
    if virtual:
        state["vpes"] = {
            str(n): {"rd": v.rd_base, "vptsize": v.vpt_size, "vpt": hex(v.vpt_addr)}
            for n, v in _valid_entries(dump.get("vpe_table", b""), VTE).items()
        }
        vpending = {str(slot): bits_set(dump.get(f"vpt{slot}", b"")) for slot in range(SLOTS)}
        state["vpending"] = {slot: vintids for slot, vintids in vpending.items() if vintids}
    return state
