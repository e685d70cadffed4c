"""A machine behind the hypervisor, for tests: a host that posts commands, edits its tables and calls the hypervisor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, GITS_CWRITER
from itsbox.arch.layout import Layout, Register
from itsbox.arch.values import PAGE_SIZE, pfn_of
from itsbox.events import render
from itsbox.hypervisor.host_tables import HostTables, its_baser
from itsbox.machine import Machine, MachineConfig, Snapshot
from itsbox.ops import (
    CommandRecord,
    Done,
    Fill,
    Hvc,
    HvcReturn,
    MmioRead,
    MmioWrite,
    Outcome,
    Refused,
    Store,
    Value,
)

__all__ = ["INDIRECT", "VALID", "Box"]

_WORDS: Final = Struct("<4Q")
VALID: Final = 1 << 63
INDIRECT: Final = 1 << 62
SIZE_64K_PAGES: Final = 2 << 8


@lru_cache(maxsize=32)
def _started(preset: str, knobs: tuple[tuple[str, str], ...], fields: tuple[tuple[str, Any], ...]) -> Snapshot:
    """A machine as it is when its session begins; made once for all boxes of a kind."""
    hardening = {"preset": preset, "knobs": dict(knobs)}
    return Machine(MachineConfig.make(hardening=hardening, **dict(fields))).snapshot()


class Box:
    """One machine; ``Box("rfc-v1", itt_alignment="none")`` changes single knobs, other fields go in ``session``.

    ``page(n)`` is the n-th of many untouched pages of host memory, 64 KB apart.
    """

    def __init__(self, preset: str = "strict", *, session: Any = None, **knobs: str) -> None:
        fields: dict[str, Any] = {"start": "deprivileged", "oracle": "off", **(session or {})}
        self.machine = Machine.fork(_started(preset, tuple(knobs.items()), tuple(fields.items())))
        self.map = self.machine.map
        self.its = self.map.its

    # ---------------------------------------------------------------- memory and ownership

    def page(self, n: int) -> int:
        """Address of untouched host memory."""
        return self.map.ram + self.map.ram_bytes // 2 + n * 0x1_0000

    def describe(self, addr: int) -> tuple[str, str, int]:
        """(owner, state, pins) of the page at an address."""
        return self.machine.ownership.describe(pfn_of(addr))

    def owners(self) -> Any:
        """All page states, to compare."""
        return self.machine.ownership.state()

    def word(self, addr: int) -> int:
        """Eight bytes of RAM."""
        return int.from_bytes(self.machine.physical(addr, 8), "little")

    # ---------------------------------------------------------------- registers

    def write(self, offset: int, value: int, size: int = 8) -> Outcome:
        """Write a register of the ITS as the host."""
        return self.machine.apply(MmioWrite(self.its + offset, size, value))

    def read(self, offset: int, size: int = 8) -> Outcome:
        """Read a register of the ITS as the host."""
        return self.machine.apply(MmioRead(self.its + offset, size))

    def value(self, offset: int, size: int = 8) -> int:
        """The same, where it must be answered."""
        outcome = self.read(offset, size)
        assert isinstance(outcome, Value), outcome
        return outcome.value

    def hardware(self, register: type[Register], n: int = 0) -> int:
        """What the hardware's register holds."""
        return self.machine.its[0].read(register.OFFSET + n * register.STRIDE, register.SIZE)

    def disable(self) -> Outcome:
        """Clear GITS_CTLR.Enabled."""
        return self.write(GITS_CTLR.OFFSET, 0, 4)

    def enable(self) -> Outcome:
        """Set GITS_CTLR.Enabled."""
        return self.write(GITS_CTLR.OFFSET, 1, 4)

    def gicr(self, cpu: int, register: type[Register], value: int | None = None, size: int = 0) -> Outcome:
        """Read or write a register of a redistributor as the host."""
        addr = self.map.gicr + cpu * self.map.gicr_stride + register.OFFSET
        size = size or register.SIZE
        return self.machine.apply(MmioRead(addr, size) if value is None else MmioWrite(addr, size, value))

    # ---------------------------------------------------------------- commands

    def queue(self) -> dict[str, Any]:
        """The queue that the host writes: base, size, cwriter."""
        queues = self.machine.queues()
        side = queues["host"] or queues["hw"]
        return {**side, "base": int(side["base"], 16)}

    def put(self, *commands: Layout | tuple[int, ...]) -> int:
        """Store commands behind what the host last posted, without telling anyone; answers the new GITS_CWRITER."""
        queue = self.queue()
        offset: int = queue["cwriter"]
        for command in commands:
            words = command.encode() if isinstance(command, Layout) else command
            self.machine.apply(Store(queue["base"] + offset, _WORDS.pack(*words)))
            offset = (offset + 32) % queue["size"]
        return offset

    def post(self, *commands: Layout | tuple[int, ...], retry: int = 0) -> Outcome:
        """Store commands and write GITS_CWRITER as Linux does, with 32 bits."""
        return self.write(GITS_CWRITER.OFFSET, self.put(*commands) | retry, 4)

    def records(self, *commands: Layout | tuple[int, ...], retry: int = 0) -> Sequence[CommandRecord]:
        """Post commands; the record of each that was looked at."""
        outcome = self.post(*commands, retry=retry)
        assert isinstance(outcome, Done | Refused), outcome
        return outcome.commands

    def verdicts(self, *commands: Layout | tuple[int, ...], retry: int = 0) -> list[str]:
        """Post commands; each verdict, or the reason of a refusal."""
        return [
            verdict if reason is None else reason.value
            for _, _, _, verdict, _, reason in self.records(*commands, retry=retry)
        ]

    def advance(self, slots: int) -> None:
        """Post harmless commands until the host's queue stands at a slot."""
        while self.queue()["cwriter"] // 32 != slots:
            todo = min(1000, (slots - self.queue()["cwriter"] // 32) % (self.queue()["size"] // 32))
            assert set(self.verdicts(*[_SYNC] * todo)) == {"executed"}

    # ---------------------------------------------------------------- level 1

    def host_l1(self, kind: str = "device") -> int:
        """Address of the host's copy of level 1 of a table."""
        return int(self.machine.tables(kind, "host")["base"], 16)

    def hw_l1(self, index: int, kind: str = "device") -> int:
        """A level-1 entry of the hardware's table."""
        return self.word(int(self.machine.tables(kind, "hw")["base"], 16) + 8 * index)

    def add_l2(self, index: int, entry: int, kind: str = "device") -> Outcome:
        """Edit the host's copy of level 1."""
        return self.machine.apply(Store(self.host_l1(kind) + 8 * index, entry.to_bytes(8, "little")))

    # ---------------------------------------------------------------- hypercalls

    def hvc(self, function: str | int, *args: int) -> HvcReturn:
        """Call the hypervisor."""
        outcome = self.machine.apply(Hvc(function, args))
        assert isinstance(outcome, HvcReturn), outcome
        return outcome

    def errno(self, function: str, *args: int) -> str | None:
        """Call the hypervisor; the name of its error, None for success."""
        answer = self.hvc(function, *args)
        assert answer.x0 == 0, answer
        return answer.errno

    def finalise(self) -> None:
        """Turn stage 2 on, CPU by CPU."""
        for _ in range(self.machine.config.cpus):
            assert self.errno("__pkvm_prot_finalize") is None

    # ---------------------------------------------------------------- a switch-over by hand

    def program(self, *, indirect: int = 1, collections: int = 0, vpes: bool = False) -> HostTables:
        """Program queue and tables on a bare machine and enable it; the host's page of pointers for them.

        indirect: level-1 entries of the device table that are valid, 0 for a flat one; collections: the same; vpes: there is
        a flat vPE table of one page too.
        """
        queue = self.page(0)
        wanted = [(self.page(1), indirect, 0), (self.page(2), collections, 1), (self.page(4), 0, 2)]
        rows = []
        for base, count, n in wanted[: 3 if vpes else 2]:
            for index in range(count):
                entry = self.page(8 + 4 * n + index) | VALID
                self.machine.apply(Store(base + 8 * index, entry.to_bytes(8, "little")))
            self.write(GITS_BASER.OFFSET + 8 * n, base | VALID | SIZE_64K_PAGES | (INDIRECT if count else 0))
            value = self.value(GITS_BASER.OFFSET + 8 * n)
            copy = self.page(16 + n) if count else 0
            if count:
                self.machine.apply(Store(copy, self.machine.physical(base, 0x1_0000)))
            rows.append(its_baser(base=base, shadow=copy, val=value, order=4, psz=0x1_0000))
        self.write(GITS_CBASER.OFFSET, queue | VALID | 15)
        self.write(GITS_CWRITER.OFFSET, 0)
        self.enable()
        return HostTables(tuple(rows), cmd_shadow=self.page(20), cmd_original=queue, cmdq_len=0x1_0000)

    def hand_over(self, tables: HostTables, private: int = 30, shadow: int = 31, base: int | None = None) -> Outcome:
        """``__pkvm_init_its_emulation`` with a page of pointers; CPUs must have been finalised."""
        self.machine.apply(Fill(self.page(shadow), PAGE_SIZE, 0))
        self.machine.apply(Store(self.page(shadow), tables.encode()))
        args = (self.its if base is None else base, self.page(private), self.page(shadow))
        return self.machine.apply(Hvc("__pkvm_init_its_emulation", args))

    # ---------------------------------------------------------------- events

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The data of each event of a type since the last look at any."""
        rendered = [render(event) for event in self.machine.take_events()]
        return [event["data"] for event in rendered if event["type"] == kind]


_SYNC: Final = (5, 0, 0, 0)
