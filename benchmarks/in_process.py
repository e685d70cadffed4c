"""Rows that need no server: commands, executions, snapshots, scale, and what watching costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from benchmarks.bench_machine import CWRITER, QUEUE, STREAMS, SWITCH, Ring, bare, command, registers, set_up
from benchmarks.rounds import Plan, Result, rate, rounds
from itsbox.arch.its_commands import INT, MAPC, MAPD, MAPTI
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Delivered, Drive, MmioRead, MmioWrite, Msi, Op, Store, Value
from itsbox.replay.qemu import Qemu
from itsbox.replay.qtest import request_for

__all__ = ["commands", "executions", "scale", "snapshots", "watching"]

GOALS = {"MAPTI": 0.02, "MOVI": 0.02, "INT/CLEAR": 5.0, "INV": 5.0, "INVALL": 5.0}


def slot_of(machine: Machine, register: int = CWRITER + 8) -> int:
    """The slot of the queue at which GITS_CREADR (or another pointer) stands."""
    outcome = machine.apply(MmioRead(register, 8))
    assert isinstance(outcome, Value)
    return outcome.value // 32


def _ours(machine: Machine, stream: str) -> Ring:
    return Ring(machine.apply, STREAMS[stream], slot_of(machine))


def _turns(machine: Machine, ring: Ring, count: int = SWITCH) -> Callable[[], int]:
    def work() -> int:
        done = ring.turn(count)
        machine.take_events()
        return done

    return work


# ---------------------------------------------------------------- commands


def commands(plan: Plan) -> list[Result]:
    """Commands a second, from the CWRITER write until CREADR has caught up, beside QEMU's ITS."""
    results = []
    with Qemu(gic=3, cpus=4, log=False) as peer:
        ask = _asker(peer)
        for op in set_up():
            ask(op)
        machine = bare()
        for name, goal in GOALS.items():
            ring = Ring(ask, STREAMS[name], peer.qtest.read(CWRITER + 8, 8) // 32)
            turn = plan.few(SWITCH)
            found = rounds(
                plan,
                {
                    "ours": rate(plan, _turns(machine, _ours(machine, name), turn)),
                    "peer": rate(plan, partial(ring.turn, turn)),
                },
            )
            results.append(Result("commands", name, "1/s", found["ours"], "QEMU", found["peer"], goal))
    return results


def _asker(peer: Qemu) -> Callable[[Op], Any]:
    return lambda op: peer.qtest.call([request_for(op, 0)])


# ---------------------------------------------------------------- executions


def case(seed: int, count: int = 20) -> list[Op]:
    """A test case: twenty commands of a fuzzer's kind, and their submission behind those of the set-up."""
    rng = Random(seed)
    picks = [rng.choice(STREAMS[rng.choice(("MAPTI", "INT/CLEAR", "MOVI"))]) for _ in range(count)]
    start = len(_first()) // 32
    return [Store(QUEUE + 32 * start, b"".join(picks)), MmioWrite(CWRITER, 8, 32 * (start + count))]


def _first() -> bytes:
    """The commands that the set-up submits."""
    return next(op.data for op in reversed(set_up()) if isinstance(op, Store))


def executions(plan: Plan) -> list[Result]:
    """A whole execution, back to reset and set up again, beside the best that QEMU does with a true reset."""
    machine = Machine(MachineConfig.make(hardening="off", oracle="off"))
    reset = machine.snapshot()
    first = [command(MAPC, icid=n, rd_base=n, valid=1) for n in range(4)]
    first += [command(MAPD, device_id=8, size=4, itt_addr=0x4700_0000, valid=1)]
    rest = [*STREAMS["MAPTI"][:8], *STREAMS["INT/CLEAR"][:7]]
    ops = [*registers(), Store(QUEUE, b"".join([*first, *rest])), MmioWrite(CWRITER, 8, 32 * 20)]

    def ours() -> int:
        machine.restore(reset)
        for op in ops:
            machine.apply(op)
        machine.take_events()
        return 1

    with Qemu(gic=3, cpus=4, log=False) as peer:
        clear = ["memset 0x42000000 0x80000 0x0", "memset 0x43000000 0x10000 0x0", "memset 0x47000000 0x2000 0x0"]
        clear += [f"memset {0x4600_0000 + n * 0x1_0000:#x} 0x2000 0x0" for n in range(4)]
        batch = [*clear, *(request_for(op, 0) for op in ops)]

        def theirs() -> int:
            peer.reset()
            peer.qtest.call(batch)
            return 1

        found = rounds(plan, {"ours": rate(plan, ours), "peer": rate(plan, theirs)})
    figure = "restore, set-up and 20 commands"
    return [Result("executions", figure, "1/s", found["ours"], "QEMU, system_reset and one batch", found["peer"], 10.0)]


# ---------------------------------------------------------------- snapshots


def snapshots(plan: Plan) -> list[Result]:
    """What going back costs, and that the size of RAM does not."""
    ops = case(2)
    with_restore = bare()
    ready = with_restore.snapshot()
    plain = bare()
    here = slot_of(plain)
    position = [here]

    def restored() -> int:
        with_restore.restore(ready)
        for op in ops:
            with_restore.apply(op)
        with_restore.take_events()
        return 1

    data = next(op.data for op in ops if isinstance(op, Store))

    def alone() -> int:
        slot = position[0] if position[0] + 20 < 2048 else 0
        if not slot:  # a queue that is near its end goes back to the start: CWRITER may not jump
            plain.restore(plain_ready)
            slot = here
        plain.apply(Store(QUEUE + 32 * slot, data))
        plain.apply(MmioWrite(CWRITER, 8, 32 * (slot + 20)))
        plain.take_events()
        position[0] = slot + 20
        return 1

    plain_ready = plain.snapshot()
    found = rounds(plan, {"restored": rate(plan, restored), "alone": rate(plan, alone)})
    first = Result("snapshots", "restore and 20 commands", "1/s", found["restored"], "20 commands", found["alone"], 0.8)
    sized = rounds(plan, {"large": rate(plan, _going_back(4096)), "small": rate(plan, _going_back(64))})
    large, small = 1e6 / sized["large"], 1e6 / sized["small"]
    return [
        first,
        Result("snapshots", "time of a restore at 4 GiB", "us", large, "at 64 MiB", small, 1.1, at_most=True),
    ]


def _going_back(ram_mib: int) -> Callable[[], int]:
    machine = Machine(MachineConfig.make(hardening="off", ram_mib=ram_mib))
    touched = [Store(0x4000_0000 + n * 0x1_0000, b"\x55" * 64) for n in range(8)]
    ready = machine.snapshot()

    def work() -> int:
        for op in touched:
            machine.apply(op)
        machine.restore(ready)
        return 1

    return work


# ---------------------------------------------------------------- scale


def scale(plan: Plan) -> list[Result]:
    """Cost that must not grow: with mapped events, and from physical to virtual."""
    many = plan.few(1_000_000)
    found = rounds(plan, {"many": rate(plan, _interrupts(many)), "few": rate(plan, _interrupts(10))})
    figure = f"cost of an INT with {many:,} mapped events"
    results = [Result("scale", figure, "us", 1e6 / found["many"], "with 10", 1e6 / found["few"], 1.3, at_most=True)]
    virtual = bare(4)
    for name, twin in (("VMAPTI", "MAPTI"), ("vINT/CLEAR", "INT/CLEAR")):
        rates = {}
        for stream in (name, twin):
            rates[stream] = _switching(plan, virtual, stream)
        found = rounds(plan, rates)
        results.append(
            Result("scale", f"cost of {name}", "us", 1e6 / found[name], twin, 1e6 / found[twin], 1.3, at_most=True)
        )
    return results


def _switching(plan: Plan, machine: Machine, stream: str) -> Callable[[], float]:
    """A slice that fills the queue first, since two streams share the machine."""

    def measure() -> float:
        return rate(plan, _turns(machine, _ours(machine, stream)))()

    return measure


def _interrupts(events: int) -> Callable[[], int]:
    """Interrupts of random mapped events on a machine with so many of them."""
    machine = bare(ram_mib=1024)
    per_device = min(events, 1 << 16)
    devices = max(1, events // per_device)
    ids = [0x100 + n for n in range(devices)]
    maps = [
        command(MAPD, device_id=device, size=15, itt_addr=0x5000_0000 + n * 0x10_0000, valid=1) for n, device in enumerate(ids)
    ]  # fmt: skip
    maps += [
        command(MAPTI, device_id=device, event_id=event, intid=8192 + event % 50_000, icid=event % 4)
        for device in ids
        for event in range(per_device)
    ]
    _submit(machine, maps)
    rng = Random(3)
    stream = [command(INT, device_id=rng.choice(ids), event_id=rng.randrange(per_device)) for _ in range(2048)]
    ring = Ring(machine.apply, stream, slot_of(machine))
    return _turns(machine, ring)


def _submit(machine: Machine, queue: list[bytes]) -> None:
    slot = slot_of(machine)
    for start in range(0, len(queue), 1024):
        for part in queue[start : start + 1024]:
            machine.apply(Store(QUEUE + 32 * slot, part))
            slot = (slot + 1) % 2048
        machine.apply(MmioWrite(CWRITER, 8, 32 * slot))
        machine.take_events()


# ---------------------------------------------------------------- watching


class _Dropping(list[Any]):
    """A list that forgets: what the event log would be without events."""

    def append(self, _item: Any) -> None:
        """Forget it."""


def watching(plan: Plan) -> list[Result]:
    """What the oracle, the events and the hypervisor cost per command."""
    watched, blind, deaf = bare(oracle="on"), bare(), bare(oracle="on")

    def dropped() -> int:
        deaf.log.items = _Dropping()
        return quiet.turn(SWITCH)

    quiet = _ours(deaf, "INT/CLEAR")
    found = rounds(
        plan,
        {
            "on": rate(plan, _turns(watched, _ours(watched, "INT/CLEAR"))),
            "oracle off": rate(plan, _turns(blind, _ours(blind, "INT/CLEAR"))),
            "events off": rate(plan, dropped),
        },
    )
    results = [
        Result("watching", "commands with the oracle on", "1/s", found["on"], "off", found["oracle off"], 0.75),
        Result("watching", "commands with events on", "1/s", found["on"], "dropped", found["events off"], 0.75),
    ]
    hosted = {
        name: rate(plan, _behind(hardening, start))
        for name, hardening, start in (("strict", "strict", "deprivileged"), ("bare", "off", "host"))
    }
    found = rounds(plan, hosted)
    strict, plain = 1e6 / found["strict"], 1e6 / found["bare"]
    return [
        *results,
        Result("watching", "cost of a command behind strict", "us", strict, "bare", plain, 3.0, at_most=True),
    ]


def _behind(hardening: str, start: str) -> Callable[[], int]:
    """INT commands of the host's own queue, after its driver has mapped a device."""
    machine = Machine(MachineConfig.make(hardening=hardening, start=start))
    machine.apply(Drive("map_device", {"device_id": 8, "events": 16}))
    queues = machine.queues()
    queue = queues["host"] or queues["hw"]
    base, slots = int(queue["base"], 16), int(queue["size"]) // 32
    assert machine.apply(Msi(8, 0)) == Delivered(delivered=True)
    whole = b"".join(command(INT, device_id=8, event_id=n % 16) for n in range(slots))
    machine.apply(Store(base, whole))
    slot = [slot_of(machine, CWRITER)]

    def work() -> int:
        slot[0] = (slot[0] + slots - 1) % slots
        machine.apply(MmioWrite(CWRITER, 4, 32 * slot[0]))
        machine.take_events()
        return slots - 1

    return work
