"""A bare machine with its tables where a driver would put them, and a queue to post commands to; for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import CommandRecord, Done, Fill, MmioRead, MmioWrite, Store, Value

__all__ = ["Rig"]

_WORDS: Final = Struct("<4Q")
_VALID: Final = 1 << 63
_INDIRECT: Final = 1 << 62
_PAGE: Final = {0x1000: 0, 0x4000: 1, 0x10000: 2}


class Rig:
    """Posts commands to the ITS of a machine and answers what became of them.

    Addresses are absolute, in the first half of RAM; ITTs, pending tables and VPTs are 64 KB apart.
    """

    QUEUE, QUEUE_BYTES = 0x4100_0000, 0x1_0000
    DEVICES, DEVICES_L2 = 0x4200_0000, 0x4210_0000
    COLLECTIONS, VPES = 0x4300_0000, 0x4400_0000
    PROP, VPROP = 0x4500_0000, 0x4510_0000
    PEND, ITT, VPT = 0x4600_0000, 0x4700_0000, 0x4780_0000
    NOWHERE = 0x9_0000_0000

    def __init__(self, **config: Any) -> None:
        self.machine = Machine(MachineConfig.make(**{"hardening": "off", **config}))
        self.map = self.machine.map
        self.cwriter = 0

    # ---------------------------------------------------------------- registers

    def gits(self, offset: int, value: int | None = None, size: int = 8) -> int:
        """Read a GITS register, or write it and answer what it read before."""
        return self._register(self.map.its + offset, size, value)

    def gicr(self, cpu: int, offset: int, value: int | None = None, size: int = 8) -> int:
        """Read a GICR register of a CPU, or write it and answer what it read before."""
        return self._register(self.map.gicr + cpu * self.map.gicr_stride + offset, size, value)

    def _register(self, addr: int, size: int, value: int | None) -> int:
        read = self.machine.apply(MmioRead(addr, size))
        assert isinstance(read, Value)
        if value is not None:
            self.machine.apply(MmioWrite(addr, size, value))
        return read.value

    @property
    def creadr(self) -> int:
        """GITS_CREADR as it reads."""
        return self.gits(GITS_CREADR.OFFSET)

    # ---------------------------------------------------------------- set-up

    def set_up(
        self,
        *,
        page: int = 0x1_0000,
        device_pages: int = 8,
        indirect: int = 0,
        collection_base: int = COLLECTIONS,
        id_bits: int = 15,
        lpis_on: Sequence[int] | None = None,
    ) -> Rig:
        """Program LPI tables, BASERs and CBASER, and enable. indirect: how many level-1 entries are valid, or flat."""
        machine = self.machine
        machine.apply(Fill(self.PROP, 57344, 0xA1))
        for cpu in range(len(machine.redistributors)) if lpis_on is None else lpis_on:
            self.gicr(cpu, GICR_PROPBASER.OFFSET, self.PROP | id_bits)
            self.gicr(cpu, GICR_PENDBASER.OFFSET, self.PEND + cpu * 0x1_0000)
            self.gicr(cpu, GICR_CTLR.OFFSET, 1, size=4)
        size = _PAGE[page] << 8
        devices = self.DEVICES | _VALID | size | (_INDIRECT if indirect else device_pages - 1)
        for n in range(indirect):
            machine.apply(MmioWrite(self.DEVICES + 8 * n, 8, _VALID | self.DEVICES_L2 + n * page))
        self.gits(GITS_BASER.OFFSET, devices)
        self.gits(GITS_BASER.OFFSET + 8, collection_base | _VALID | size)
        self.gits(GITS_BASER.OFFSET + 16, self.VPES | _VALID | size)
        self.gits(GITS_CBASER.OFFSET, self.QUEUE | _VALID | (self.QUEUE_BYTES // 4096 - 1))
        self.gits(GITS_CWRITER.OFFSET, 0)
        self.gits(GITS_CTLR.OFFSET, 1, size=4)
        machine.take_events()
        return self

    # ---------------------------------------------------------------- commands

    def put(self, *commands: Layout | tuple[int, int, int, int]) -> None:
        """Write commands at the producer index without telling the ITS."""
        for command in commands:
            words = command.encode() if isinstance(command, Layout) else command
            self.machine.apply(Store(self.QUEUE + self.cwriter, _WORDS.pack(*words)))
            self.cwriter = (self.cwriter + 32) % self.QUEUE_BYTES

    def post(self, *commands: Layout | tuple[int, int, int, int], retry: int = 0) -> Sequence[CommandRecord]:
        """Write commands and GITS_CWRITER; answer what became of each command looked at."""
        self.put(*commands)
        outcome = self.machine.apply(MmioWrite(self.map.its + GITS_CWRITER.OFFSET, 8, self.cwriter | retry))
        assert isinstance(outcome, Done)
        return outcome.commands

    def verdicts(self, *commands: Layout | tuple[int, int, int, int], retry: int = 0) -> list[str]:
        """Post commands; answer each verdict, with the error's name after a colon."""
        return [
            record[3] if record[4] is None else f"{record[3]}: {record[4].name}"
            for record in self.post(*commands, retry=retry)
        ]

    def pending(self, cpu: int) -> list[int]:
        """The INTIDs whose bit is set in a CPU's pending table."""
        bits: list[int] = self.machine.state()["pending"].get(str(cpu), [])
        return bits
