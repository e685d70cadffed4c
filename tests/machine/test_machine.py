"""The whole machine: pure, deterministic, exact in snapshots, and never surprised by a host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.its_commands import COMMAND_SIZE, MAPD
from itsbox.arch.its_registers import GITS_CWRITER
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Bytes, Done, Fill, Load, MmioRead, MmioWrite, Op, Store
from tests.rig import Rig
from tests.strategies import ops

programs = st.lists(ops, max_size=12)


def rig(profile: str = "virt-gicv3") -> Machine:
    """A machine with tables, queue and LPIs on, so that random programs get somewhere."""
    return Rig(profile=profile).set_up().machine


@settings(max_examples=150)
@given(programs, st.sampled_from(["virt-gicv3", "virt-gicv4", "snapdragon"]))
def test_the_same_ops_give_the_same_everything(program: list[Op], profile: str) -> None:
    """Two machines that see the same ops give equal outcomes, events and state hashes; nothing raises."""
    one, other = rig(profile), rig(profile)
    outcomes = [one.apply(op) for op in program]

    assert outcomes == [other.apply(op) for op in program]
    assert one.take_events() == other.take_events()
    assert one.state_hash() == other.state_hash()


@settings(max_examples=150)
@given(programs, programs, st.sampled_from(["virt-gicv3", "virt-gicv4", "snapdragon"]))
def test_restore_is_exact(before: list[Op], after: list[Op], profile: str) -> None:
    """After a restore the hash is the snapshot's, and the machine goes on as a fork of the snapshot does."""
    machine = rig(profile)
    for op in before:
        machine.apply(op)
    snapshot, kept = machine.snapshot(), machine.state_hash()
    first = [machine.apply(op) for op in after]
    end = machine.state_hash()
    machine.restore(snapshot)
    assert kept == machine.state_hash()

    fork = Machine.fork(snapshot)
    assert kept == fork.state_hash()
    assert first == [machine.apply(op) for op in after] == [fork.apply(op) for op in after]
    assert end == machine.state_hash() == fork.state_hash()


def test_a_fork_does_not_see_its_origins_later_stores() -> None:
    """Copy on write in both directions."""
    machine = rig()
    fork = Machine.fork(machine.snapshot())
    machine.apply(Store(Rig.ITT, b"origin"))
    fork.apply(Store(Rig.ITT, b"forked"))

    assert (Bytes(b"origin"), Bytes(b"forked")) == (machine.apply(Load(Rig.ITT, 6)), fork.apply(Load(Rig.ITT, 6)))


def test_a_snapshot_of_another_kind_of_machine_is_refused() -> None:
    """Restoring across configurations is the caller's mistake."""
    with pytest.raises(ValueError, match="another configuration"):
        rig("virt-gicv4").restore(rig("virt-gicv3").snapshot())


def test_reading_and_looking_leave_the_hash_alone() -> None:
    """Reads, loads and every view change nothing."""
    machine = rig()
    before = machine.state_hash()
    machine.apply(MmioRead(machine.map.its, 4))
    machine.apply(Load(machine.map.ram, 64))
    machine.state()
    machine.registers()
    machine.queues()
    for kind in ("device", "collection", "vpe"):
        for view in ("host", "hw", "diff"):
            machine.tables(kind, view)

    assert before == machine.state_hash()


def test_missing_memory_reads_zeros_and_swallows_stores() -> None:
    """A range that is only partly RAM behaves as RAM where it is RAM."""
    machine = Machine(MachineConfig.make(hardening="off"))
    machine.apply(Store(machine.map.ram - 2, b"abcd"))
    machine.apply(Fill(0x1000, 16, 0xFF))

    assert machine.apply(Load(machine.map.ram - 2, 4)) == Bytes(b"\0\0cd")
    assert machine.apply(Load(0x1000, 4)) == Bytes(bytes(4))


def test_both_carve_outs_hold_a_pattern() -> None:
    """map.hyp and map.guest are not zero at reset, wherever one looks."""
    machine = Machine(MachineConfig.make(hardening="off"))
    where = machine.map
    for base, length in ((where.hyp, where.hyp_bytes), (where.guest, where.guest_bytes)):
        content = machine.physical(base, length)
        assert all(any(content[n : n + 16]) for n in range(0, length, 16))


def test_commands_cost_the_same_however_long_the_machine_has_run() -> None:
    """Records and events of earlier ops do not pile up inside the machine."""
    machine = rig()
    for n in range(100):
        machine.apply(MmioWrite(machine.map.its + 0x88, 8, n % 4 * 32))
        machine.take_events()

    assert machine.its[0].records == []
    assert machine.log.items == []


@pytest.mark.parametrize("way", ["as it was", "restored", "forked"])
def test_a_verdict_on_what_waits_survives_a_snapshot(way: str) -> None:
    """The ITS stands still at a command; the host exchanges it and wraps the queue, behind whose end the RFC looks at nothing."""
    fields: dict[str, Any] = {"hardening": "rfc-v1@7", "start": "deprivileged", "error_policy": "stall"}
    machine = Machine(MachineConfig.make(**fields))
    queue = machine.queues()["host"]
    start, at = queue["cwriter"], int(queue["base"], 16)
    stop = machine.apply(MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 4, start + 5 * COMMAND_SIZE))
    assert isinstance(stop, Done)
    assert [record[3] for record in stop.commands] == ["stalled"]
    if way == "restored":
        saved = machine.snapshot()
        machine.apply(MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 4, start + 6 * COMMAND_SIZE))
        machine.restore(saved)
    elif way == "forked":
        machine = Machine.fork(machine.snapshot())

    mapd = MAPD(device_id=0x600, size=4, itt_addr=machine.map.ram + machine.map.ram_bytes // 2, valid=1)
    machine.apply(Store(at + start, mapd.STRUCT.pack(*mapd.encode())))
    machine.apply(MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 4, start + 2 * COMMAND_SIZE | 1))

    assert [violation.oracle for violation in machine.violations] == ["H2"]
