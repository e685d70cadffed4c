"""What a recording of a live client leaves out, and what a replay puts in its place.

Register accesses, commands, MSIs and acknowledges of a client are all recorded, its plain stores are not. Four kinds of store
decide what the machine answers, and each can be told from the recording itself:

* **LPI configuration.** An LPI counts as enabled at an INV or INVALL when the recording acknowledges it before the next one.
  Its byte in the configuration table is written just before the register write that runs the command. All get one priority, as
  Linux gives them; ties go to the lowest INTID.
* **Fresh ITTs.** Software must hand over a zeroed ITT. Memory that was freed and taken again is zeroed before the MAPD that
  maps a device to an ITT which it does not have yet.
* **A guest's vLPI configuration.** GICR_VPENDBASER.PendingLast tells, when a vPE has left, whether an enabled vLPI was pending.
  The guest's configuration table is filled so that it will answer as recorded, just before the write that schedules the vPE in:
  from then on the redistributor remembers the best pending vLPI.
* Level-1 table entries *are* in the recording, as memory lines before the ITS is enabled.

Not put in: what the client's guests acknowledged, and the state of the GIC's wires (timers, SGIs, devices' SPIs). So pending and
active bits of the distributor and of the SGI frames are not compared in a client's trace (``comparable``).
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Final

from itsbox.arch.its_commands import COMMAND_SIZE, INV, INVALL, MAPD
from itsbox.arch.its_registers import GITS_CBASER
from itsbox.arch.its_tables import ITE
from itsbox.arch.lpi_tables import LPIConfig, config_offset, config_table_bytes
from itsbox.arch.redist_registers import GICR_PROPBASER, GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.arch.words import with_high_half, with_low_half
from itsbox.ops import Fill, Op, Store
from itsbox.replay.trace import Acknowledge, Head, Read, Stored, Trace, Write

__all__ = ["Absent"]

PRIORITY: Final = 0xA0  # Linux's for every LPI
OFF, ON = (LPIConfig(enable=enable, priority=PRIORITY).encode()[0] for enable in (0, 1))
_REREADS: Final = frozenset({INV.NAME, INVALL.NAME})


class Absent:
    """The ops to put in before and after each line of a client's trace.

    Invariant: ``registers`` holds what was written to the 64-bit registers in ``watched``, ``enabled`` the LPIs whose byte in
    every table of ``tables`` says enabled.
    """

    def __init__(self, trace: Trace) -> None:
        self.head, self.lines = trace.head, trace.lines
        self.points = [
            i
            for i, line in enumerate(self.lines)
            if isinstance(line, Write) and any(c.name in _REREADS for c in line.commands)
        ]
        self.windows: list[set[int]] = [set() for _ in range(len(self.points) + 1)]
        for i, line in enumerate(self.lines):
            if isinstance(line, Acknowledge):
                self.windows[bisect_right(self.points, i)].add(line.intid)
        self.enabled = set(self.windows[0])
        self.tables: set[int] = set()
        self.registers: dict[int, int] = {}
        self.queue: dict[int, bytes] = {}
        self.devices: dict[int, int] = {}
        self.propbasers = _per_cpu(self.head, GICR_PROPBASER.OFFSET)
        self.vpendbasers = _per_cpu(self.head, GICR_VPENDBASER.OFFSET) if self.head.gic >= 4 else {}
        self.watched = {self.head.its + GITS_CBASER.OFFSET, *self.propbasers, *self.vpendbasers}
        self.watched |= set(_per_cpu(self.head, GICR_VPROPBASER.OFFSET)) if self.head.gic >= 4 else set()

    def before(self, i: int) -> list[Op]:
        """What the client must have stored before line ``i``."""
        line = self.lines[i]
        if not isinstance(line, Write):
            return []
        ops: list[Op] = []
        point = bisect_right(self.points, i)
        if point and self.points[point - 1] == i:
            ops += self._configure(self.windows[point])
        if line.commands:
            ops += self._fresh_itts(line)
        if (line.addr & ~7) in self.vpendbasers:
            ops += self._arriving_vpe(i, line)
        return ops

    def after(self, i: int) -> list[Op]:
        """What the client must have stored by the time that line ``i`` has happened."""
        line = self.lines[i]
        if isinstance(line, Stored):
            for offset in range(0, len(line.data), COMMAND_SIZE):
                self.queue[line.addr + offset] = line.data[offset : offset + COMMAND_SIZE]
        if not isinstance(line, Write) or (line.addr & ~7) not in self.watched:
            return []
        place = line.addr & ~7
        self.registers[place] = _merged(self.registers.get(place, 0), line)
        if place not in self.propbasers:
            return []
        table = GICR_PROPBASER.decode(self.registers[place]).physical_address
        if table in self.tables:
            return []
        self.tables.add(table)
        return [Store(table + config_offset(intid), bytes([ON])) for intid in sorted(self.enabled)]

    # ---------------------------------------------------------------- the four kinds

    def _configure(self, wanted: set[int]) -> list[Op]:
        changes = [(intid, ON) for intid in wanted - self.enabled] + [(intid, OFF) for intid in self.enabled - wanted]
        self.enabled = set(wanted)
        return [
            Store(table + config_offset(intid), bytes([byte]))
            for table in sorted(self.tables)
            for intid, byte in sorted(changes)
        ]

    def _fresh_itts(self, line: Write) -> list[Op]:
        base = GITS_CBASER.decode(self.registers.get(self.head.its + GITS_CBASER.OFFSET, 0)).physical_address
        ops: list[Op] = []
        for command in line.commands:
            raw = self.queue.get(base + command.slot * COMMAND_SIZE)
            if command.name != MAPD.NAME or raw is None:
                continue
            mapd = MAPD.decode(*MAPD.STRUCT.unpack(raw))
            if not mapd.valid:
                self.devices.pop(mapd.device_id, None)
            elif self.devices.get(mapd.device_id) != mapd.itt_addr:
                self.devices[mapd.device_id] = mapd.itt_addr
                ops.append(Fill(mapd.itt_addr, (2 << mapd.size) * ITE.SIZE, 0))
        return ops

    def _arriving_vpe(self, i: int, line: Write) -> list[Op]:
        place = line.addr & ~7
        before = self.registers.get(place, 0)
        after = _merged(before, line)
        if GICR_VPENDBASER.decode(before).valid or not GICR_VPENDBASER.decode(after).valid:
            return []
        pending_last = self._pending_last(i, place, after)
        if pending_last is None:
            return []
        properties = place - GICR_VPENDBASER.OFFSET + GICR_VPROPBASER.OFFSET
        vpropbaser = GICR_VPROPBASER.decode(self.registers.get(properties, 0))
        length = config_table_bytes(vpropbaser.id_bits)
        return [Fill(vpropbaser.physical_address, length, ON if pending_last else OFF)] if length else []

    def _pending_last(self, i: int, place: int, value: int) -> int | None:
        """PendingLast as the client reads it once the vPE that line ``i`` schedules in has left; None if it never looks."""
        for line in islice(self.lines, i + 1, None):
            if not isinstance(line, Write | Read) or line.addr & ~7 != place:
                continue
            resident = GICR_VPENDBASER.decode(value).valid
            if isinstance(line, Write):
                if not resident:
                    return None
                value = _merged(value, line)
            elif not resident and line.addr + line.size == place + 8:
                return GICR_VPENDBASER.decode(_merged(0, line)).pending_last
        return None


def _per_cpu(head: Head, offset: int) -> dict[int, int]:
    return {head.gicr + cpu * head.gicr_stride + offset: cpu for cpu in range(head.cpus)}


def _merged(value: int, access: Write | Read) -> int:
    """A 64-bit register's value after an access to the whole or to one half of it."""
    if access.size == 8:
        return access.value
    return with_high_half(value, access.value) if access.addr & 4 else with_low_half(value, access.value)
