"""QEMU as the box that an attack program runs on: the same programs, on an ITS that somebody else wrote.

The honest boot is the product's own driver, driven over qtest; then the program does what it does. There is no hypervisor,
so this is the un-hardened half of each attack. qtest writes carry DeviceID 0, so messages of other devices are dropped.
"""

from __future__ import annotations

from typing import Any

from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.hardware.profile import PROFILES, MemoryMap
from itsbox.host.driver import Driver
from itsbox.host.kernel import Platform
from itsbox.host.versions import driver_version
from itsbox.hypervisor.knobs import resolve
from itsbox.ops import (
    Ack,
    Acked,
    Bytes,
    Clean,
    Delivered,
    Done,
    Drive,
    Drove,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Msi,
    Op,
    Outcome,
    Store,
    Value,
    Verdict,
)
from itsbox.replay.qemu import Qemu
from itsbox.replay.qtest import request_for

_NOT_SUPPORTED = (1 << 64) - 1


class QemuPort:
    """``HostPort`` over qtest."""

    def __init__(self, qemu: Qemu, where: MemoryMap) -> None:
        self.qemu = qemu
        self.where = where

    def ask(self, op: Op) -> str:
        """One request and its reply."""
        return self.qemu.qtest.call([request_for(op, self.where.translater)])[0]

    def mmio_read(self, addr: int, size: int) -> int:
        """Read a device register."""
        return int(self.ask(MmioRead(addr, size)), 16)

    def mmio_write(self, addr: int, size: int, value: int) -> None:
        """Write a device register."""
        self.ask(MmioWrite(addr, size, value))

    def load(self, addr: int, length: int) -> bytes:
        """Load from RAM."""
        return self.qemu.qtest.load(addr, length)

    def store(self, addr: int, data: bytes) -> None:
        """Store to RAM."""
        for start in range(0, len(data), 0x1000):
            self.ask(Store(addr + start, data[start : start + 0x1000]))

    def fill(self, addr: int, length: int, byte: int) -> None:
        """Fill RAM."""
        self.ask(Fill(addr, length, byte))

    def clean(self, addr: int, length: int) -> None:
        """QEMU's memory is coherent."""

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn:
        """There is no hypervisor."""
        return HvcReturn(_NOT_SUPPORTED, 0)

    def print(self, line: str) -> None:
        """The kernel's log goes nowhere."""

    def spend(self, steps: int) -> None:
        """Time passes by itself."""


class QemuBox:
    """``Box`` over a running QEMU: booted by the product's driver, with marks where the carve-outs would be."""

    def __init__(self, qemu: Qemu, marks: dict[int, bytes]) -> None:
        self.map = PROFILES["virt-gicv3" if qemu.gic == 3 else "virt-gicv4"].memory_map(qemu.ram_mib)
        self.port = QemuPort(qemu, self.map)
        self.phase = "trusted"
        self.step = 0
        self.violations: list[Any] = []
        self.interconnect: Any = None
        self.ownership: Any = None
        version = driver_version(resolve("off").knobs)
        self.driver = Driver(self.port, Platform(self.map, (self.map.its,), qemu.cpus, True), version)
        for addr, data in marks.items():
            self.port.store(addr, data)
        self.apply(Drive("probe", {}))

    def physical(self, addr: int, length: int) -> bytes:
        """Bytes of QEMU's RAM."""
        return self.port.load(addr, length)

    def apply(self, op: Op) -> Outcome:
        """Carry an op out on QEMU."""
        self.step += 1
        match op:
            case MmioRead(addr, size):
                return Value(self.port.mmio_read(addr, size))
            case Load(addr, length):
                return Bytes(self.port.load(addr, length))
            case Drive(call, args):
                return Drove((), self.driver.call(call, args))
            case Hvc(function, args):
                return self.port.hvc(function, args)
            case Store(addr, data):
                self.port.store(addr, data)
            case Msi():
                return Delivered(False)
            case Ack():
                return Acked(1023)
            case Clean():
                pass
            case MmioWrite() | Fill():
                self.port.ask(op)
                if op.addr == self.map.its + GITS_CWRITER.OFFSET:
                    return self._looked_at()
        return Done()

    def _looked_at(self) -> Done:
        """QEMU does not say what became of a command; that it went past it has to do."""
        past = self.port.mmio_read(self.map.its + GITS_CREADR.OFFSET, 8)
        done = past == self.port.mmio_read(self.map.its + GITS_CWRITER.OFFSET, 8)
        return Done([(0, None, (0, 0, 0, 0), Verdict.EXECUTED if done else Verdict.STALLED, None, None)])
