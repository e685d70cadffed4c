"""One machine: the layers wired together, and ``apply``, the only way in.

``apply(op)`` is pure and synchronous: the same ops give the same outcomes, events and state on every machine. It never raises
for anything that a host can do; an exception out of it is a defect of ours.

The host's accesses take one of two ways. While stage 2 is off (phase trusted), or where stage 2 maps the page, they reach RAM
or the bus directly. Where it does not, the hypervisor is asked (``hyp.guards``) and its answer is the outcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from itsbox.arch.values import PAGE_SIZE
from itsbox.events import VIOLATION, EventLog
from itsbox.hardware.ports import HostAbort
from itsbox.host.driver import Driver
from itsbox.host.kernel import Platform
from itsbox.host.versions import driver_version
from itsbox.machine import views
from itsbox.machine.board import build, watch
from itsbox.machine.canonical import canonical
from itsbox.machine.config import STARTS
from itsbox.machine.decoded import decoded_state
from itsbox.machine.host_port import MachinePort
from itsbox.machine.pages import page_runs
from itsbox.machine.snapshot import Snapshot
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import (
    Aborted,
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
    Load,
    MmioRead,
    MmioWrite,
    Msi,
    Refused,
    Store,
    Value,
)

if TYPE_CHECKING:
    from itsbox.events import Event
    from itsbox.hardware.its_lookup import Table
    from itsbox.hypervisor.hypervisor import Hypervisor
    from itsbox.machine.config import MachineConfig
    from itsbox.ops import CommandRecord, Op, Outcome

__all__ = ["Machine"]

_DONE: Final = Done()
_IN_PAGE: Final = PAGE_SIZE - 1


class Machine:
    """A simulated Arm machine, its hypervisor, its host's driver and the oracle that watches it.

    config: what it was built from; map: where things are; memory: RAM; its: the ITSs; log: where events are appended;
    violations: everything the oracle objected to since reset or the restored snapshot.

    Invariant: all state that decides future behaviour is in ``memory`` or in one of ``_parts``. ``_el2_state`` is the state that
    the hypervisor was last restored to, while it has not run since: most executions never enter it.
    Owned by: a session, or whoever made it; not thread-safe.
    """

    __slots__ = (
        "_el2_state", "_parts", "_port", "_stage2", "bus", "config", "driver", "gicd", "hypervisor", "interconnect", "its", "log",
        "map", "memory", "oracle", "ownership", "redistributors", "violations",
    )  # fmt: skip

    def __init__(self, config: MachineConfig) -> None:
        self._assemble(config)
        self._boot()

    def _assemble(self, config: MachineConfig) -> None:
        """Build every part, as after a reset."""
        self.config = config
        self.map = config.map
        self.log = EventLog()
        self.violations: list[Any] = []
        board = build(config, self.map, self.log)
        self.memory, self.interconnect, self.ownership = board.memory, board.interconnect, board.ownership
        self.bus, self.gicd, self.redistributors, self.its = board.bus, board.gicd, board.redistributors, board.its
        self.hypervisor = board.hypervisor
        self._stage2 = board.hypervisor.el2.stage2
        self._el2_state: Any = None
        self._port = MachinePort(self)
        self.driver = Driver(
            self._port,
            Platform(self.map, tuple(node.base for node in self.its), config.cpus, config.profile.coherent),
            driver_version(config.hardening.knobs, config.defects),
        )
        self.oracle = watch(board, self.map, config.oracle)
        self._parts: dict[str, Any] = {**board.stateful(), "driver": self.driver}

    def _boot(self) -> None:
        """Let the host's driver take the machine as far as ``config.start`` says."""
        if self.config.start == "bare":
            return
        for call in ("probe", "deprivilege")[: STARTS.index(self.config.start)]:
            self.apply(Drive(call, {}))

    # ---------------------------------------------------------------- ops

    @property
    def step(self) -> int:
        """How many ops have been applied."""
        return self.log.step

    @property
    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""
        return self.hypervisor.phase

    def apply(self, op: Op) -> Outcome:
        """Carry one op out. Raises DriverCallError, before anything happens, for a ``Drive`` that ``check`` refuses."""
        log, oracle = self.log, self.oracle
        log.step += 1
        if oracle is None:
            return self._APPLY[type(op)](self, op)
        oracle.begin(op, log.step)
        outcome = self._APPLY[type(op)](self, op)
        for violation in oracle.end(op, outcome):
            self.violations.append(violation)
            log.emit(VIOLATION, violation.oracle, violation.sentence, violation.bucket, violation.evidence())
        return outcome

    def access(self, op: Op) -> Outcome:
        """Carry out an access of the host as part of a running op: what the driver does through its port.

        In lock-step it is compared with the specification as it happens.
        """
        outcome = self._APPLY[type(op)](self, op)
        if self.oracle is not None and self.oracle.lockstep is not None:
            self.oracle.lockstep.compare(op, outcome)
        return outcome

    def check(self, op: Drive) -> None:
        """Raise DriverCallError for a driver call that does not exist or whose arguments cannot be."""
        self.driver.check(op.call, op.args)

    def _mmio_read(self, op: MmioRead) -> Outcome:
        addr, size = op
        if self._stage2.enabled and self._guarded(addr, size):
            return self._el2().mmio_read(addr, size)
        if self.memory.contains(addr, size):
            value = self.interconnect.read(Initiator.HOST, addr, size, Why.HOST)
            return Value(value or 0)
        return Value(self.bus.read(addr, size))

    def _mmio_write(self, op: MmioWrite) -> Outcome:
        addr, size, value = op
        if self._stage2.enabled and self._guarded(addr, size):
            outcome = self._el2().mmio_write(addr, size, value)
            return outcome._replace(commands=self._records()) if isinstance(outcome, Done | Refused) else outcome
        memory = self.memory
        if memory.base <= addr <= memory.end - size:
            self.interconnect.write(Initiator.HOST, addr, size, value, Why.HOST)
            return _DONE
        self.bus.write(addr, size, value)
        records = self._records()
        return Done(records) if records else _DONE

    def _el2(self) -> Hypervisor:
        """The hypervisor, which is about to run: it may not stay as it was when it was last restored."""
        self._el2_state = None
        return self.hypervisor

    def _denied(self, addr: int, length: int, *, write: bool) -> Outcome | None:
        """What the host gets instead of a load or store, or None where stage 2 lets it pass."""
        return self._el2().check_memory(addr, length, write) if self._stage2.enabled else None

    def _guarded(self, addr: int, size: int) -> bool:
        """Whether stage 2 sends the access to EL2; one across two pages goes there if either does."""
        guards = self.hypervisor.guards
        return guards(addr) or (addr & _IN_PAGE > PAGE_SIZE - size and guards(addr + size - 1))

    def _records(self) -> Sequence[CommandRecord]:
        """What became of the commands that were looked at since the last call; the ITSs' own and the refused ones."""
        if len(self.its) == 1:
            node = self.its[0]
            if not node.records:
                return ()
            records, node.records = node.records, []
            return records
        merged = [record for node in self.its for record in node.records]
        for node in self.its:
            node.records.clear()
        return merged

    def _load(self, op: Load) -> Outcome:
        denied = self._denied(op.addr, op.length, write=False)
        return Bytes(self._load_ram(op.addr, op.length)) if denied is None else denied

    def _load_ram(self, addr: int, length: int) -> bytes:
        """The bytes of a range as a CPU sees them; zeros where there is no RAM."""
        if self.memory.contains(addr, length):
            return self.memory.load(addr, length)
        low, high = self._in_ram(addr, length)
        data = bytearray(length)
        if low < high:
            data[low - addr : high - addr] = self.memory.load(low, high - low)
        return bytes(data)

    def _store(self, op: Store) -> Outcome:
        addr, data = op
        denied = self._denied(addr, len(data), write=True)
        if denied is not None:
            return denied
        low, high = self._in_ram(addr, len(data))
        if low < high:
            self.interconnect.store(Initiator.HOST, low, data[low - addr : high - addr], Why.HOST)
        return _DONE

    def _fill(self, op: Fill) -> Outcome:
        denied = self._denied(op.addr, op.length, write=True)
        if denied is not None:
            return denied
        low, high = self._in_ram(op.addr, op.length)
        if low < high:
            self.interconnect.fill(Initiator.HOST, low, high - low, op.byte, Why.HOST)
        return _DONE

    def _in_ram(self, addr: int, length: int) -> tuple[int, int]:
        """The part of a range that is RAM; elsewhere loads read zeros and stores are lost (missing memory)."""
        return max(addr, self.memory.base), min(addr + length, self.memory.end)

    def _msi(self, op: Msi) -> Outcome:
        return Delivered(self.its[0].translate(op.device_id, op.event_id))

    def _ack(self, op: Ack) -> Outcome:
        return Acked(self.redistributors[op.cpu].acknowledge())

    def _clean(self, op: Clean) -> Outcome:
        denied = self._denied(op.addr, op.length, write=False)
        if denied is not None:
            return denied
        self.interconnect.clean(op.addr, op.length)
        return _DONE

    def _hvc(self, op: Hvc) -> Outcome:
        return self._el2().hvc(op.function, op.args)

    def _drive(self, op: Drive) -> Outcome:
        try:
            result = self.driver.call(op.call, op.args)
        except HostAbort as abort:
            outcome = abort.outcome
            lines = self._port.take_lines()
            return Aborted(outcome.reason, lines) if isinstance(outcome, Aborted) else outcome
        finally:
            self._records()  # the driver's commands are events, not part of its answer
        return Drove(self._port.take_lines(), result)

    _APPLY: ClassVar[dict[type, Callable[[Machine, Any], Outcome]]] = {
        MmioRead: _mmio_read,
        MmioWrite: _mmio_write,
        Load: _load,
        Store: _store,
        Fill: _fill,
        Msi: _msi,
        Ack: _ack,
        Clean: _clean,
        Drive: _drive,
        Hvc: _hvc,
    }

    # ---------------------------------------------------------------- looking

    def state(self, most: int | None = None) -> dict[str, Any]:
        """The decoded tables (``GET .../state``). Raises ``TooManySteps`` if that takes more than ``most``."""
        return decoded_state(self, most)

    def registers(self) -> dict[str, Any]:
        """Every register with value, fields and policy."""
        return views.registers(self)

    def queues(self) -> dict[str, Any]:
        """The command queue on both sides."""
        return views.queues(self)

    def tables(self, kind: str, view: str) -> dict[str, Any]:
        """A table (``views.TABLE_KINDS``) as host, hw or diff sees it."""
        return views.tables(self, kind, view)

    def pages(self, addr: int, length: int) -> list[dict[str, Any]]:
        """Owner, state, pins and use of each page of a range, run-length encoded."""
        return page_runs(self, addr, length)

    def physical(self, addr: int, length: int) -> bytes:
        """Bytes as they are in RAM, past stage 2; zeros where there is no RAM."""
        return self._load_ram(addr, length)

    def register_policy(self, addr: int) -> str:
        """What the hypervisor does with the host's access to a register."""
        return self.hypervisor.register_policy(addr)

    def host_queue(self) -> dict[str, Any] | None:
        """The host's queue, or None before the switch-over."""
        return self.hypervisor.host_queue()

    def host_table(self, kind: str) -> Table | None:
        """The host's copy of a table, or None if it has none."""
        return self.hypervisor.host_table(kind)

    def diagnosis(self) -> dict[str, Any]:
        """Why the command queue does not move (``GET .../diagnosis``)."""
        return {**self.hypervisor.diagnosis(), "waiting": views.waiting(self)}

    # ---------------------------------------------------------------- whole-machine operations

    def take_events(self) -> list[Event]:
        """The events since the last take, oldest first."""
        return self.log.take()

    def state_hash(self) -> str:
        """64 hex digits: two machines are equal exactly when theirs are. Steps, events and violations do not count."""
        parts = {name: part.state() for name, part in self._parts.items()}
        total = hashlib.sha256(self.memory.digest())
        total.update(canonical((self.config.identity(), parts)))
        return total.hexdigest()

    def snapshot(self) -> Snapshot:
        """The whole machine as it is now."""
        return Snapshot(
            config=self.config,
            image=self.memory.image(),
            parts={name: part.state() for name, part in self._parts.items()},
            step=self.log.step,
            violations=tuple(self.violations),
            oracle=None if self.oracle is None else self.oracle.state(),
            looked=self.hypervisor.looked(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become exactly what the snapshot was taken of. Raises ValueError for one of another kind of machine."""
        if snapshot.config is not self.config and snapshot.config != self.config:
            msg = "the snapshot is of a machine with another configuration"
            raise ValueError(msg)
        self.memory.restore(snapshot.image)
        parts = snapshot.parts
        if self._el2_state is not parts["hypervisor"]:
            self.hypervisor.set_state(parts["hypervisor"])
            self._el2_state = parts["hypervisor"]
        for name, part in self._parts.items():
            if name != "hypervisor":
                part.set_state(parts[name])
        if snapshot.looked:
            self.hypervisor.recall(snapshot.looked)
        self.log.step = snapshot.step
        self.violations = list(snapshot.violations)
        if self.oracle is not None:
            self.oracle.set_state(snapshot.oracle)

    @classmethod
    def fork(cls, snapshot: Snapshot) -> Machine:
        """A new machine that is what the snapshot was taken of; pages are shared until written."""
        machine = cls.__new__(cls)
        machine._assemble(snapshot.config)  # noqa: SLF001 - its own class
        machine.restore(snapshot)
        return machine
