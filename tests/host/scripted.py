"""A port that plays a recorded boot back: every access of the driver must be the next one of the recording.

Reads are answered from the recording, so the driver is shown exactly what the real kernel was shown. Addresses of memory
differ between the two, and are translated: where the recording writes an address into a register, the driver's own is
remembered and put into later answers.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from itsbox.arch.dist_registers import GICD_IIDR, GICD_PIDR2, GICD_TYPER, GICD_TYPER2
from itsbox.arch.its_commands import COMMAND_SIZE, MAPD, decode_command
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER
from itsbox.arch.its_registers import REGISTERS as GITS
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_ICFGR, GICR_ISENABLER0, GICR_PENDBASER, GICR_PROPBASER
from itsbox.arch.redist_registers import REGISTERS as GICR
from itsbox.ops import HvcReturn

TRACE: Final = Path(__file__).parents[1] / "data" / "traces" / "linux-boot-gicv3.jsonl.gz"
GICD_BASE, ITS_BASE, GICR_BASE, STRIDE = 0x0800_0000, 0x0808_0000, 0x080A_0000, 0x2_0000

_HAVE_ADDRESSES: Final = (GITS_BASER, GITS_CBASER, GICR_PROPBASER, GICR_PENDBASER)
# Written by other parts of a kernel: the timer enables its PPI, the SMP code its SGIs.
_OTHERS: Final = (GICR_ISENABLER0.OFFSET, GICR_ICFGR.OFFSET + GICR_ICFGR.STRIDE)
_DISTRIBUTOR: Final = {
    GICD_BASE + GICD_PIDR2.OFFSET: 0x3B,
    GICD_BASE + GICD_TYPER.OFFSET: 0x037A_0007,
    GICD_BASE + GICD_IIDR.OFFSET: 0x43B,
    GICD_BASE + GICD_TYPER2.OFFSET: 0,
}


class Step(NamedTuple):
    """One recorded access: kind ``r``, ``w`` or ``m`` (a command written to the queue)."""

    kind: str
    addr: int
    size: int
    value: int
    words: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.addr:#x} {self.size} {self.value:#x} {[hex(word) for word in self.words]}"


def recorded() -> Iterator[dict[str, Any]]:
    """The records of the trace, one by one."""
    with gzip.open(TRACE, "rt") as lines:
        for line in lines:
            yield json.loads(line)


def boot_steps(until: str) -> list[Step]:
    """What the recorded kernel did to the ITS and the redistributors until it printed ``until``."""
    steps: list[Step] = []
    for record in recorded():
        kind = record["k"]
        if kind == "note" and until in record["text"]:
            return steps
        if kind in "rw":
            addr = int(record["a"], 16)
            offset = (addr - GICR_BASE) % STRIDE if addr >= GICR_BASE else None
            if addr >= ITS_BASE and offset not in _OTHERS:
                steps.append(Step(kind, addr, record["s"], int(record["v"], 16)))
        elif kind == "m" and not record["note"].startswith("level-1"):
            data = bytes.fromhex(record["hex"])
            words = tuple(int.from_bytes(data[at : at + 8], "little") for at in range(0, COMMAND_SIZE, 8))
            steps.append(Step(kind, int(record["a"], 16), COMMAND_SIZE, 0, words))
    raise AssertionError(f"the recording never prints {until!r}")


def console(*beginnings: str) -> list[str]:
    """The recorded kernel's console lines that begin with one of ``beginnings``, without their time stamps."""
    lines = (record["text"].partition("] ")[2] for record in recorded() if record["k"] == "note")
    return [line for line in lines if line.startswith(beginnings)]


def decoded(addr: int, value: int) -> Layout | int:
    """A value of the register of the ITS or a redistributor at ``addr``; the bare value where none is declared."""
    register = GICR.get((addr - GICR_BASE) % STRIDE) if addr >= GICR_BASE else GITS.get(addr - ITS_BASE)
    return value if register is None else register.decode(value)


class ScriptedPort:
    """Compares the driver's accesses with ``script``; ``lines`` is what it printed, ``memory`` what it stored."""

    def __init__(self, script: list[Step]) -> None:
        self.script = iter(script)
        self.lines: list[str] = []
        self.memory: dict[int, int] = {}
        self.own_address: dict[int, int] = {}
        self.queue: int | None = None
        self.commands: list[Layout | None] = []
        self.recorded_commands: list[Layout | None] = []

    def _next(self, done: str) -> Step:
        """The next register access. When commands were stored is not recorded, only that it was before CWRITER moved."""
        for step in self.script:
            if step.kind != "m":
                return step
            self.recorded_commands.append(decode_command(step.words))
        raise AssertionError(f"the recording is over, and the driver goes on with {done}")

    # ---------------------------------------------------------------- registers

    def mmio_read(self, addr: int, size: int) -> int:
        """The recorded answer to the next read."""
        if addr < ITS_BASE:
            return _DISTRIBUTOR[addr]
        step = self._next(f"r {addr:#x}")
        assert (step.kind, step.addr, step.size) == ("r", addr, size), f"driver reads {addr:#x}, recorded {step}"
        return self._translated(addr, step.value)

    def _translated(self, addr: int, value: int) -> int:
        """The recorded value with the driver's own address in it."""
        found = decoded(addr, value)
        if addr not in self.own_address or not isinstance(found, _HAVE_ADDRESSES):
            return value
        return found.replace(physical_address=self.own_address[addr]).word()

    def mmio_write(self, addr: int, size: int, value: int) -> None:
        """Must write what was recorded."""
        step = self._next(f"w {addr:#x} {value:#x}")
        assert (step.kind, step.addr, step.size) == ("w", addr, size), f"driver writes {addr:#x}, recorded {step}"
        mine, theirs = decoded(addr, value), decoded(addr, step.value)
        if isinstance(mine, _HAVE_ADDRESSES) and isinstance(theirs, _HAVE_ADDRESSES):
            self.own_address[addr] = mine.physical_address
            if isinstance(mine, GITS_CBASER):
                self.queue = mine.physical_address
            mine, theirs = mine.replace(physical_address=0), theirs.replace(physical_address=0)
        assert mine == theirs, f"driver writes {value:#x}, recorded {step}"
        assert [_without_itt(command) for command in self.commands] == [
            _without_itt(command) for command in self.recorded_commands
        ]

    # ---------------------------------------------------------------- memory

    def store(self, addr: int, data: bytes) -> None:
        """Remember the bytes, and a command that they are."""
        for at, byte in enumerate(data):
            self.memory[addr + at] = byte
        if self.queue is not None and self.queue <= addr < self.queue + 0x1_0000:
            words = tuple(int.from_bytes(data[at : at + 8], "little") for at in range(0, COMMAND_SIZE, 8))
            self.commands.append(decode_command(words))

    def load(self, addr: int, length: int) -> bytes:
        """What was stored."""
        return bytes(self.memory.get(addr + at, 0) for at in range(length))

    def fill(self, addr: int, length: int, byte: int) -> None:
        """The recording has no fills; only what was stored is kept."""
        if byte or self.memory:
            self.memory.update(dict.fromkeys((at for at in self.memory if addr <= at < addr + length), byte))

    def clean(self, addr: int, length: int) -> None:
        """A coherent machine: nothing to see."""

    # ---------------------------------------------------------------- the rest

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn:
        """There was no hypervisor."""
        raise AssertionError(f"the recorded kernel made no hypercall, the driver calls {function}{args}")

    def print(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    def spend(self, steps: int) -> None:
        """The recorded kernel never had to wait."""
        raise AssertionError("the recorded kernel never waited")

    def assert_finished(self) -> None:
        """The driver did all that the recording has."""
        step = next(self.script, None)
        assert step is None, f"the driver stops before {step}"


def _without_itt(command: Layout | None) -> Layout | None:
    return command.replace(itt_addr=0) if isinstance(command, MAPD) else command
