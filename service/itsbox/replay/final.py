"""What must be equal at the end of a replay: registers, memory and decoded tables, like with like.

Registers are read again through the bus. The decoded tables of the machine (``GET .../state``) follow its current registers; the
recorded ones were decoded from fixed places (``places``), and only as far as the recorder's dumps went. So, for a sequence:

* a table is compared when its GITS_BASER (for pending tables, GICR_PENDBASER) points at the recorder's place for it;
* entries behind the end of the dump are not compared, nor are INTIDs of 65536 and more;
* events are compared for devices whose ITT begins at one of the recorder's eight slots, as far as one slot reaches;
* virtual pending tables are compared where they are one of the eight slots and a valid vPE names them.

Beside that, the dumped memory itself is compared byte for byte: the ``virt`` profiles keep the recorded model's entry formats.

A client's tables were followed from its registers, so they are compared whole, except for ``vpending``: what the client's own
guests acknowledged is not in the recording. Its memory is not compared, since its plain stores were not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch import its_registers, redist_registers
from itsbox.arch.its_registers import GITS_BASER, baser_address, baser_page_size
from itsbox.arch.its_tables import ITE, L1Entry
from itsbox.arch.redist_registers import GICR_PENDBASER
from itsbox.arch.register_map import RegisterMap
from itsbox.arch.values import FIRST_LPI
from itsbox.ops import Load, MmioRead
from itsbox.replay import places
from itsbox.replay.compare import Difference
from itsbox.replay.trace import End, Head, Region

__all__ = ["compare_memory", "compare_registers", "compare_state", "region_ops", "register_ops"]

Where: TypeAlias = tuple[Any, ...]
Covered: TypeAlias = Callable[[Where], bool]

DEFAULT_L2_PAGES: Final = 2
LEAST_DEVICES: Final = 512  # the recorder's smallest dump of a device table is 4 KiB
MAX_INTID: Final = 8 * places.PENDING_BYTES


class Table(NamedTuple):
    """One of the ITS's tables as the recorder knew it: GITS_BASER<n>, its place, its level-2 pages' place, its dump's name."""

    n: int
    key: str
    flat: int
    l2: int
    name: str


TABLES: Final = (
    Table(0, "devices", places.DEVICE_TABLE, places.DEVICE_TABLE_L2, "device_table"),
    Table(1, "collections", places.COLLECTION_TABLE, places.COLLECTION_TABLE_L2, "collection_table"),
    Table(2, "vpes", places.VPE_TABLE, places.VPE_TABLE_L2, "vpe_table"),
)
ENTRY_BYTES: Final = 8  # of each of them, on GICv3 and GICv4.0


# ---------------------------------------------------------------- registers


def register_ops(head: Head, end: End) -> list[tuple[str, MmioRead]]:
    """The register reads that answer ``end.registers``, in its order. Names are ``GITS_<REGISTER>`` and ``GICR<cpu>_<REGISTER>``.

    Raises ValueError for a name that is no register.
    """
    return [(name, _register_op(head, name)) for name in end.registers]


def _register_op(head: Head, name: str) -> MmioRead:
    prefix, _, _ = name.partition("_")
    if prefix == "GITS":
        return _read_of(its_registers.REGISTERS, head.its, name)
    cpu = prefix.removeprefix("GICR")
    if not cpu.isdigit():
        raise ValueError(f"{name} is no register of an ITS or a redistributor")
    frame = head.gicr + int(cpu) * head.gicr_stride
    return _read_of(redist_registers.REGISTERS_V4, frame, name.replace(prefix, "GICR", 1))


def _read_of(registers: RegisterMap, frame: int, name: str) -> MmioRead:
    for offset, register in registers.items():
        if any(register.element_name(n) == name and at == offset for n, at in register.elements()):
            return MmioRead(frame + offset, register.SIZE)
    raise ValueError(f"{name} is no register of an ITS or a redistributor")


def compare_registers(trace: str, end: End, values: dict[str, int | None]) -> Iterator[Difference]:
    """Final register values that differ."""
    for name, expected in end.registers.items():
        value = values[name]
        if value != expected:
            yield Difference(
                trace, end.line, "register", name, hex(expected), "nothing" if value is None else hex(value)
            )


# ---------------------------------------------------------------- memory


def region_ops(head: Head) -> list[tuple[str, Load]]:
    """Loads of every region that the recorder dumps whatever the set-up was. The tables' lengths depend on it: see below."""
    ram = head.ram
    regions = [(f"itt{n}", ram + places.ITT + n * places.SLOT_BYTES, places.SLOT_BYTES) for n in range(places.SLOTS)]
    regions += [
        (f"pending{n}", ram + places.PENDING + n * places.SLOT_BYTES, places.PENDING_BYTES) for n in range(head.cpus)
    ]
    if head.gic >= 4:
        vpts = range(places.SLOTS)
        regions += [(f"vpt{n}", ram + places.VPT + n * places.SLOT_BYTES, places.PENDING_BYTES) for n in vpts]
    return [(name, Load(addr, length)) for name, addr, length in regions]


def table_ops(end: End) -> list[tuple[str, Load]]:
    """Loads of the dumped tables: those that were not all zero."""
    names = {name for table in TABLES for name in (table.name, f"{table.name}_l2")}
    return [(name, Load(r.addr, r.length)) for name, r in end.memory.items() if name in names]


def compare_memory(trace: str, end: End, memory: dict[str, tuple[int, bytes]]) -> Iterator[Difference]:
    """Regions (name to address and bytes) whose contents differ from the dump; a region without a dump was all zero."""
    for name, (addr, data) in memory.items():
        expected = _bytes_of(end.memory.get(name), len(data))
        if data != expected:
            at = next(i for i, (a, b) in enumerate(zip(expected, data, strict=True)) if a != b)
            row = slice(at & ~15, (at & ~15) + 16)
            yield Difference(
                trace, end.line, "memory", f"{name} at {addr + row.start:#x}", expected[row].hex(), data[row].hex()
            )


def _bytes_of(region: Region | None, length: int) -> bytes:
    data = bytearray(length)
    for offset, run in region.runs if region else ():
        data[offset : offset + len(run)] = run
    return bytes(data)


# ---------------------------------------------------------------- decoded tables


def compare_state(head: Head, end: End, state: dict[str, Any]) -> tuple[list[Difference], list[str]]:
    """Disagreements between the machine's decoded tables and the recorded ones, and what could not be compared and why."""
    found: list[Difference] = []
    skipped: list[str] = []
    coverage = _ClientCoverage() if head.client else _Coverage(head, end)
    for key in _KEYS + (_VIRTUAL_KEYS if head.gic >= 4 else ()):
        covered = coverage.of(key)
        if isinstance(covered, str):
            skipped.append(f"{key}: {covered}")
            continue
        expected, got = _flat(key, end.state.get(key, {}), head), _flat(key, state.get(key, {}), None)
        for where in sorted({*expected, *got}, key=repr):
            if expected.get(where) != got.get(where) and covered(where):
                text = f"{key} {'/'.join(str(part) for part in where)}"
                found.append(
                    Difference(head.id, end.line, "state", text, str(expected.get(where)), str(got.get(where)))
                )
    return found, skipped


_KEYS: Final = ("devices", "collections", "events", "pending")
_VIRTUAL_KEYS: Final = ("vpes", "vpending")
_ADDRESSES: Final = frozenset({"itt", "vpt"})


def _flat(key: str, table: dict[str, Any], recorded: Head | None) -> dict[Where, Any]:
    """One row per entry: (id,) or (device, event) to its fields; (cpu or VPT address, INTID) to True."""
    rows: dict[Where, Any] = {}
    for ident, value in table.items():
        if key == "events":
            rows |= {(int(ident), int(event)): dict(fields) for event, fields in value.items()}
        elif key == "pending":
            rows |= {(int(ident), intid): True for intid in value}
        elif key == "vpending":
            vpt = int(ident, 16) if recorded is None else recorded.ram + places.VPT + int(ident) * places.SLOT_BYTES
            rows |= {(vpt, intid): True for intid in value}
        else:
            rows[int(ident),] = {n: int(v, 16) if n in _ADDRESSES else v for n, v in value.items()}
    return rows


class _ClientCoverage:
    """A client's tables were followed from its registers: everything counts, except what its guests did unseen."""

    def of(self, key: str) -> Covered | str:
        """Which rows count, or why none does."""
        if key == "vpending":
            return "what the client's guests acknowledged is not recorded"
        return lambda where: True


class _Coverage:
    """What the recorder's dumps reached, for one recorded sequence."""

    def __init__(self, head: Head, end: End) -> None:
        self.head, self.end = head, end
        self.devices = _flat("devices", end.state["devices"], head)
        vpes = self.of("vpes") if head.gic >= 4 else ""
        rows = _flat("vpes", end.state.get("vpes", {}), head)
        self.vpts = set() if isinstance(vpes, str) else {fields["vpt"] for where, fields in rows.items() if vpes(where)}

    def of(self, key: str) -> Covered | str:
        """Which rows count, or why none does."""
        if key == "pending":
            return self._pending
        if key == "vpending":
            return lambda where: self._is_slot(where[0], places.VPT) and where[0] in self.vpts and where[1] < MAX_INTID
        if key == "events":
            devices = self.of("devices")
            return devices if isinstance(devices, str) else lambda where: devices(where[:1]) and self._event(where)
        return self._entries(next(table for table in TABLES if table.key == key))

    def _is_slot(self, address: int, first: int) -> bool:
        return places.slot_of(address, self.head.ram + first) is not None

    def _event(self, where: Where) -> bool:
        device = self.devices.get(where[:1])
        return (
            device is not None and self._is_slot(device["itt"], places.ITT) and where[1] < places.SLOT_BYTES // ITE.SIZE
        )

    def _pending(self, where: Where) -> bool:
        cpu, intid = int(where[0]), int(where[1])
        pendbaser = GICR_PENDBASER.decode(self.end.registers.get(f"GICR{cpu}_PENDBASER", 0))
        here = self.head.ram + places.PENDING + cpu * places.SLOT_BYTES
        return pendbaser.physical_address == here and FIRST_LPI <= intid < MAX_INTID

    def _entries(self, table: Table) -> Covered | str:
        name = f"GITS_BASER{table.n}"
        baser = GITS_BASER.decode(self.end.registers.get(name, 0))
        if not baser.valid or baser_address(baser) != self.head.ram + table.flat:
            return f"{name} does not point at the recorded table"
        page = baser_page_size(baser)
        per_page = page // ENTRY_BYTES
        if baser.indirect:
            level1 = self._level1(table, page)
            return lambda where: level1[where[0] // per_page] if where[0] // per_page < len(level1) else False
        if f"{table.name}_l2" in self.end.memory:
            return f"{name} has one level now, the recorded table had two"
        dumped = self.end.memory.get(table.name)
        if dumped:
            reach = dumped.length // ENTRY_BYTES
        elif (
            table.key == "devices"
        ):  # the dump covered a power of two of DeviceIDs; in a single page, who knows how many
            reach = (baser.size + 1) * per_page if baser.size else LEAST_DEVICES
        else:
            reach = per_page
        reach = min(reach, (baser.size + 1) * per_page)
        return lambda where: where[0] < reach

    def _level1(self, table: Table, page: int) -> list[bool]:
        """Per level-1 entry: whether it still names the dumped level-2 page that the recorder took for it."""
        dumped = self.end.memory.get(f"{table.name}_l2")
        pages = dumped.length // page if dumped else DEFAULT_L2_PAGES
        raw = _bytes_of(self.end.memory.get(table.name), page)
        entries = [L1Entry.decode(*words) for words in L1Entry.STRUCT.iter_unpack(raw[: pages * L1Entry.SIZE])]
        l2 = self.head.ram + table.l2
        return [bool(entry.valid) and entry.address == l2 + n * page for n, entry in enumerate(entries)]
