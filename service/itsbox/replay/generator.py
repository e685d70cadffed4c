"""Seeded random sequences of ops: an ITS set up the way a driver does it, then commands, most sensible and some hostile.

A sequence is plain data and depends on its seed, its GIC version and nothing else, so a failing one is named by its number.
Operands come from small pools, so that commands meet: few devices, few collections, few LPIs, and beside each pool the values at,
before and behind its limit. Hostile steps: unknown opcodes, garbage, table memory that is missing or overwritten, registers poked
while the ITS is on, pointers out of the queue, a queue that wraps.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.layout import Register
from itsbox.arch.lpi_tables import config_table_bytes
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_VPENDBASER,
    GICR_VPROPBASER,
    GICR_WAKER,
)
from itsbox.hardware.profile import PROFILES, MemoryMap
from itsbox.ops import Fill, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay import commands, places

__all__ = ["Sequence", "generate"]

RAM_MIB: Final = 256
L2_PAGES: Final = 2
_PAGE_SIZES: Final = {0: 0x1000, 1: 0x4000, 2: 0x1_0000}


class Sequence(NamedTuple):
    """A generated sequence and the machine it is for."""

    seed: int
    gic: int
    cpus: int
    map: MemoryMap
    setup: Setup
    ops: tuple[Op, ...]


class Setup(NamedTuple):
    """What a sequence's tables look like; ``page`` is the encoding of GITS_BASER.Page_Size."""

    page: int
    device_bits: int
    two_level: frozenset[str]
    queue_pages: int
    id_bits: int
    lpi_cpus: tuple[int, ...]
    config: int

    @property
    def page_bytes(self) -> int:
        """Size of a table's page."""
        return _PAGE_SIZES[self.page]

    @property
    def device_pages(self) -> int:
        """Pages of a flat device table."""
        return min(256, -(-(1 << self.device_bits) * 8 // self.page_bytes))


def generate(seed: int, gic: int, length: int = 30) -> Sequence:
    """The sequence of a seed for GICv3 or GICv4: set-up, then about ``length`` steps."""
    rng = Random(f"itsbox {gic} {seed}")
    cpus = rng.choice((1, 2, 4))
    author = _Author(rng, gic, cpus)
    author.set_up()
    steps = _STEPS if gic >= 4 else _STEPS[:-1]
    for _ in range(length):
        step = rng.choices(steps, _STEP_WEIGHTS[: len(steps)])[0]
        step(author)
    author.look()
    return Sequence(seed, gic, cpus, author.map, author.setup, tuple(author.ops))


def _word(register: type[Register], **fields: int) -> int:
    return register.decode(0).replace(**fields).word()


class _Author:
    """Writes one sequence. ``write_offset`` follows GITS_CWRITER as long as nobody pokes it."""

    def __init__(self, rng: Random, gic: int, cpus: int) -> None:
        self.rng, self.gic, self.cpus = rng, gic, cpus
        self.map = PROFILES[f"virt-gicv{gic}"].memory_map(RAM_MIB)
        self.ops: list[Op] = []
        self.write_offset = 0
        page = rng.choice((0, 1, 2))
        tables = [name for name in ("device", "collection", "vpe") if rng.random() < 0.4]
        self.setup = Setup(
            page=page,
            device_bits=rng.choice((9, 13, 16)) if page == 0 else rng.choice((11, 12, 13, 16)),
            two_level=frozenset(tables),
            queue_pages=rng.choice((1, 1, 2, 16)),
            id_bits=rng.choice((13, 14, 15, 15)),
            lpi_cpus=tuple(c for c in range(cpus) if c == 0 or rng.random() < 0.9),
            config=rng.choice((0xA1, 0xA0, 0x01)),
        )
        self.queue_bytes = self.setup.queue_pages * 0x1000
        self.operands = commands.Operands(rng, self.map.ram, cpus, 1 << min(self.setup.device_bits, 16))

    # ---------------------------------------------------------------- set-up

    def set_up(self) -> None:
        """LPI tables, redistributors, tables, queue, enable; then map something."""
        setup = self.setup
        self.ops.append(Fill(self.at(places.PROPERTIES), config_table_bytes(setup.id_bits), setup.config))
        for cpu in setup.lpi_cpus:
            frame = self.map.gicr + cpu * self.map.gicr_stride
            pending = self.at(places.PENDING + cpu * places.SLOT_BYTES)
            self.write(frame + GICR_WAKER.OFFSET, 4, 0)
            self.write(
                frame + GICR_PROPBASER.OFFSET, 8,
                _word(GICR_PROPBASER, physical_address=self.at(places.PROPERTIES), id_bits=setup.id_bits),
            )  # fmt: skip
            self.write(frame + GICR_PENDBASER.OFFSET, 8, _word(GICR_PENDBASER, physical_address=pending))
            self.write(frame + GICR_CTLR.OFFSET, 4, _word(GICR_CTLR, enable_lpis=1))
        self.table(0, "device", places.DEVICE_TABLE, places.DEVICE_TABLE_L2, setup.device_pages)
        self.table(1, "collection", places.COLLECTION_TABLE, places.COLLECTION_TABLE_L2, 1)
        if self.gic >= 4:
            self.table(2, "vpe", places.VPE_TABLE, places.VPE_TABLE_L2, 1)
        self.set_queue()
        self.write(self.map.its + GITS_CTLR.OFFSET, 4, _word(GITS_CTLR, enabled=1))
        self.submit([self.operands.mapc(icid, icid % self.cpus) for icid in range(4)])
        for device_id in (0x10, 0x8):
            self.submit([self.operands.mapd_at_home(device_id)])
            self.submit(
                [self.operands.mapti(device_id, event, 8192 + device_id + event, event % 2) for event in range(4)]
            )
        if self.gic >= 4:
            self.submit([self.operands.vmapp_at_home(vpe, vpe % self.cpus) for vpe in range(3)])

    def table(self, n: int, name: str, flat: int, l2: int, pages: int) -> None:
        """Program GITS_BASER<n>; a two-level table gets its first level-2 pages."""
        indirect = name in self.setup.two_level
        if indirect:
            size, pages = self.setup.page_bytes, 1
            entries = [L1Entry(address=self.at(l2) + i * size, valid=1).encode()[0] for i in range(L2_PAGES)]
            self.ops.append(Store(self.at(flat), b"".join(entry.to_bytes(8, "little") for entry in entries)))
        value = _word(
            GITS_BASER, valid=1, indirect=indirect, page_size=self.setup.page, size=pages - 1,
            physical_address=self.at(flat),
        )  # fmt: skip
        self.write(self.map.its + GITS_BASER.OFFSET + GITS_BASER.STRIDE * n, 8, value)

    def set_queue(self) -> None:
        """Program GITS_CBASER and start at offset 0, or late enough that the queue will wrap."""
        value = _word(GITS_CBASER, valid=1, physical_address=self.at(places.QUEUE), size=self.setup.queue_pages - 1)
        self.write(self.map.its + GITS_CBASER.OFFSET, 8, value)
        late = self.queue_bytes - 20 * COMMAND_SIZE
        start = self.rng.choice((0, late)) if self.setup.queue_pages == 1 else 0
        if start:  # the queue's memory is zero, an unknown opcode: make it SYNCs, which say nothing
            for offset in range(0, start, COMMAND_SIZE):
                self.ops.append(Store(self.at(places.QUEUE) + offset, commands.sync(0)))
        self.write_offset = start
        self.write(self.map.its + GITS_CWRITER.OFFSET, 8, start)

    # ---------------------------------------------------------------- primitives

    def at(self, place: int) -> int:
        """The address of a place in RAM."""
        return self.map.ram + place

    def write(self, addr: int, size: int, value: int) -> None:
        """A register write."""
        self.ops.append(MmioWrite(addr, size, value))

    def submit(self, queue: list[bytes]) -> None:
        """Put commands into the queue, advance GITS_CWRITER and read GITS_CREADR back."""
        for command in queue:
            self.ops.append(Store(self.at(places.QUEUE) + self.write_offset, command))
            self.write_offset = (self.write_offset + COMMAND_SIZE) % self.queue_bytes
        size = self.rng.choice((4, 8))
        self.write(self.map.its + GITS_CWRITER.OFFSET, size, self.write_offset)
        self.ops.append(MmioRead(self.map.its + GITS_CREADR.OFFSET, size))

    def look(self) -> None:
        """Read a register of the ITS or of a redistributor."""
        its = (GITS_CTLR, GITS_CBASER, GITS_CWRITER, GITS_CREADR, GITS_BASER)
        redistributor = (GICR_CTLR, GICR_WAKER, GICR_PROPBASER, GICR_PENDBASER)
        for _ in range(self.rng.randint(1, 3)):
            if self.rng.random() < 0.7:
                self.ops.append(self._read(self.map.its, self.rng.choice(its)))
            else:
                frame = self.map.gicr + self.rng.randrange(self.cpus) * self.map.gicr_stride
                self.ops.append(self._read(frame, self.rng.choice(redistributor)))

    def _read(self, frame: int, register: type[Register]) -> MmioRead:
        _, offset = self.rng.choice(list(register.elements()))
        size = self.rng.choice((4, 8)) if register.WIDTH == 64 else self.rng.choice((4, 4, 4, 8, 2))
        half = 4 if size == 4 and register.WIDTH == 64 and self.rng.random() < 0.3 else 0
        return MmioRead(frame + offset + half, size)


# ---------------------------------------------------------------- steps


def _commands(author: _Author) -> None:
    """One to six commands at once."""
    count = author.rng.choice((1, 1, 1, 2, 3, 6))
    author.submit([author.operands.command(author.gic) for _ in range(count)])


def _msi(author: _Author) -> None:
    """A device's MSI (DeviceID 0, which is what a plain write carries in the peer), mapping it first now and then."""
    if author.rng.random() < 0.5:
        mapping = [author.operands.mapd_at_home(0), author.operands.mapti(0, author.rng.randrange(4), 8200, 0)]
        author.submit(mapping)
    author.ops.append(Msi(0, author.rng.choice((0, 1, 2, 3, 7, 0xFFFF, 0x1_0001))))


def _look(author: _Author) -> None:
    author.look()


def _restart(author: _Author) -> None:
    """Disable, change something perhaps, enable again."""
    its = author.map.its
    author.write(its + GITS_CTLR.OFFSET, 4, 0)
    choice = author.rng.randrange(5)
    if choice == 0:
        author.set_queue()
    elif choice == 1:  # commands that wait for the ITS
        author.submit([author.operands.command(author.gic) for _ in range(2)])
    elif choice == 2:
        # A table keeps its place, or entries of one kind would be read as another. Size stays small: the peer counts the
        # entries of a two-level table of 64 large pages in 32 bits, which overflow.
        n = author.rng.randrange(8)
        place = (places.DEVICE_TABLE, places.COLLECTION_TABLE, places.VPE_TABLE)[n % 3]
        value = author.rng.getrandbits(64) & ~0x3F_FFFF_FFFF_F0E0 | author.at(place)
        author.write(its + GITS_BASER.OFFSET + 8 * n, 8, value)
    elif choice == 3:
        _msi(author)
    author.write(its + GITS_CTLR.OFFSET, 4, 1)


def _poke(author: _Author) -> None:
    """Write a register at an awkward moment, in an awkward width."""
    rng, its = author.rng, author.map.its
    frame = author.map.gicr + rng.randrange(author.cpus) * author.map.gicr_stride
    choice = rng.randrange(7)
    if choice == 0:  # a pointer out of the queue, or not on a command
        author.write(
            its + GITS_CWRITER.OFFSET, 8, rng.choice((author.queue_bytes, 0xF_FFE0, author.write_offset | 0x1E))
        )
    elif choice == 1:  # locked while enabled
        author.write(
            its + rng.choice((GITS_CBASER.OFFSET, GITS_BASER.OFFSET, GITS_BASER.OFFSET + 8)), 8, rng.getrandbits(64)
        )
    elif choice == 2:
        author.write(its + GITS_CREADR.OFFSET, rng.choice((4, 8)), author.write_offset)
    elif choice == 3:
        author.write(its + rng.choice((0, 4, 8, 0x10, 0x84, 0x8C, 0x94, 0xFFE8)), rng.choice((1, 2, 4, 8)), 0)
        author.write(its + GITS_CTLR.OFFSET, 4, 1)
    elif choice == 4:
        author.write(frame + GICR_CTLR.OFFSET, 4, rng.choice((0, 1)))
    elif choice == 5:
        author.write(frame + GICR_PROPBASER.OFFSET, 8, author.at(places.PROPERTIES) | rng.choice((12, 13, 14, 15, 31)))
    else:
        author.write(author.map.translater, rng.choice((2, 4, 8)), rng.randrange(4))
    author.ops.append(MmioRead(its + GITS_CREADR.OFFSET, 8))


def _corrupt(author: _Author) -> None:
    """Overwrite an entry of a table behind the ITS's back."""
    rng = author.rng
    place, table = rng.choice(_TABLES)
    if table in author.setup.two_level and place in _FLAT:
        table = "level1"
    entry = commands.hostile_entry(rng, table, author.map.ram)
    author.ops.append(Store(author.at(place) + rng.choice((0, 1, 2, 3, 8, 16)) * len(entry), entry))


def _residency(author: _Author) -> None:
    """Schedule a vPE in or out on some CPU, with its configuration changed before or behind its back (GICv4)."""
    rng = author.rng
    frame = author.map.gicr + rng.randrange(author.cpus) * author.map.gicr_stride
    vpt = author.operands.vpt(author.operands.vpe())
    properties = author.at(places.VIRTUAL_PROPERTIES)
    choice = rng.randrange(6)
    if choice <= 1:
        author.ops.append(Fill(properties, config_table_bytes(15), rng.choice((0xA1, 0xA0, 0x01))))
        author.write(frame + GICR_VPROPBASER.OFFSET, 8, properties | rng.choice((12, 13, 14, 15, 15, 31)))
        flags = _word(GICR_VPENDBASER, valid=1, pending_last=rng.randrange(2), idai=rng.randrange(2))
        author.write(frame + GICR_VPENDBASER.OFFSET, 8, vpt | flags)
    elif choice == 2:
        author.write(frame + GICR_VPENDBASER.OFFSET, 8, vpt | _word(GICR_VPENDBASER, pending_last=rng.randrange(2)))
    elif choice == 3:  # Valid alone, by its half
        author.write(frame + GICR_VPENDBASER.OFFSET + 4, 4, rng.choice((0, 1 << 31)))
    elif choice == 4:  # an address alone
        author.write(frame + GICR_VPENDBASER.OFFSET, 4, author.at(places.VPT))
    else:
        author.write(frame + GICR_VPROPBASER.OFFSET, 8, rng.choice((properties, places.NOWHERE)) | 15)
    author.ops.append(MmioRead(frame + GICR_VPENDBASER.OFFSET, rng.choice((4, 8))))
    author.ops.append(MmioRead(frame + GICR_VPROPBASER.OFFSET, 8))


_FLAT: Final = (places.DEVICE_TABLE, places.COLLECTION_TABLE, places.VPE_TABLE)
_TABLES: Final = (
    (places.DEVICE_TABLE, "device"),
    (places.DEVICE_TABLE_L2, "device"),
    (places.COLLECTION_TABLE, "collection"),
    (places.COLLECTION_TABLE_L2, "collection"),
    (places.VPE_TABLE, "vpe"),
    (places.VPE_TABLE_L2, "vpe"),
    (places.ITT + 3 * places.SLOT_BYTES, "itt"),
)
_STEPS: Final[tuple[Callable[[_Author], None], ...]] = (_commands, _msi, _look, _restart, _poke, _corrupt, _residency)
_STEP_WEIGHTS: Final = (70, 8, 8, 5, 6, 3, 8)
