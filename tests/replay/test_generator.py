"""Generated sequences: the same from the same seed, full of everything, and never more than a machine can take."""

from __future__ import annotations

from collections import Counter

import pytest

from itsbox.arch.its_commands import COMMAND_NAMES
from itsbox.arch.redist_registers import GICR_VPENDBASER
from itsbox.ops import Done, Fill, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.commands import HOME_SLOT, Operands
from itsbox.replay.generator import Sequence, generate
from itsbox.replay.target import InProcess, MachineWish

V40 = {"MAPD", "MAPC", "MAPTI", "MAPI", "MOVI", "MOVALL", "DISCARD", "INT", "CLEAR", "INV", "INVALL", "SYNC", "VMAPP", "VMAPTI",
       "VMAPI", "VMOVI", "VMOVP", "VINVALL", "VSYNC"}  # fmt: skip


def machine_for(sequence: Sequence) -> InProcess:
    """The machine that a sequence is for."""
    return InProcess(MachineWish(f"virt-gicv{sequence.gic}", sequence.cpus, 256))


def test_a_seed_names_a_sequence() -> None:
    """The same ops each time; others for another seed or GIC version; longer when asked."""
    assert generate(7, 3) == generate(7, 3)
    assert generate(7, 3).ops != generate(8, 3).ops
    assert generate(7, 3).ops != generate(7, 4).ops
    assert len(generate(7, 3, 100).ops) > len(generate(7, 3, 10).ops)


@pytest.mark.parametrize("gic", [3, 4])
def test_sequences_hold_everything(gic: int) -> None:
    """Over a hundred seeds: every kind of op, one to four CPUs, both kinds of table, each page size and queues that wrap."""
    sequences = [generate(seed, gic) for seed in range(100)]

    assert {type(op) for s in sequences for op in s.ops} == {MmioRead, MmioWrite, Store, Fill, Msi}
    assert {s.cpus for s in sequences} == {1, 2, 4}
    assert {s.setup.page for s in sequences} == {0, 1, 2}
    assert {frozenset(), frozenset({"device", "collection", "vpe"})} <= {s.setup.two_level for s in sequences}


@pytest.mark.parametrize("gic", [3, 4])
def test_commands_succeed_and_fail_and_stall(gic: int) -> None:
    """Commands of every name are carried out and refused; the queue stalls; unknown opcodes occur. No op ever raises."""
    verdicts: Counter[tuple[str | None, str]] = Counter()
    for seed in range(100):
        sequence = generate(seed, gic)
        for answer in machine_for(sequence).apply(sequence.ops):
            assert answer.outcome == "ok"
            verdicts.update((command.name, command.verdict) for command in answer.commands)

    carried_out = {name for name, verdict in verdicts if verdict == "executed"}
    possible = V40 if gic == 4 else {name for name in V40 if not name.startswith("V")}
    assert carried_out >= possible - {"MAPI"}  # an EventID that is an LPI is rare
    assert verdicts[None, "error"] > 10
    assert sum(n for (_, verdict), n in verdicts.items() if verdict == "stalled") > 10
    assert sum(n for (_, verdict), n in verdicts.items() if verdict == "error") > 500


def test_vpes_come_and_go() -> None:
    """On GICv4 vPEs are scheduled in and out between commands: resident, left with something pending, left with nothing."""
    seen = set()
    for seed in range(60):
        sequence = generate(seed, 4)
        frames = [sequence.map.gicr + cpu * sequence.map.gicr_stride for cpu in range(sequence.cpus)]
        looks = {MmioRead(frame + GICR_VPENDBASER.OFFSET, 8) for frame in frames}
        for op, answer in zip(sequence.ops, machine_for(sequence).apply(sequence.ops), strict=True):
            if op in looks and answer.value is not None:
                register = GICR_VPENDBASER.decode(answer.value)
                seen.add((register.valid, register.pending_last))

    assert seen >= {(1, 1), (0, 1), (0, 0)}


def test_the_set_up_is_a_drivers() -> None:
    """Before the first random step the ITS is on and the first devices, events and vPEs are mapped."""
    for seed in range(30):
        sequence = generate(seed, 4, length=0)
        target = machine_for(sequence)
        target.apply(sequence.ops)

        state = target.state()

        assert sorted(state["devices"]) == ["16", "8"]
        assert sorted(state["collections"]) == ["0", "1", "2", "3"]
        assert {len(events) for events in state["events"].values()} == {4}
        assert sorted(state["vpes"]) == ["0", "1", "2"]


def test_operands_reach_over_their_limits() -> None:
    """Each pool offers what exists and what does not."""
    sequence = generate(1, 4)
    operands = Operands(__import__("random").Random(1), sequence.map.ram, 2, 512)
    pools = {
        operands.device: (0x10, 512), operands.event: (0, 0x1_0000), operands.lpi: (8192, 65536), operands.icid: (0, 8192),
        operands.rd_base: (1, 2), operands.vpe: (0, 512), operands.doorbell: (1023, 0),
    }  # fmt: skip
    for pool, (inside, outside) in pools.items():
        drawn = {pool() for _ in range(2000)}
        assert {inside, outside} <= drawn, pool.__name__


def test_every_opcode_of_the_pools_is_known() -> None:
    """Homes are slots, and names are Arm's."""
    assert set(HOME_SLOT.values()) <= set(range(8))
    assert set(COMMAND_NAMES.values()) >= V40


def test_an_op_that_is_done_has_commands() -> None:
    """The answers that the tests above count come from Done."""
    assert Done() == Done(())
    ops: tuple[Op, ...] = (MmioRead(0x808_0000, 4),)
    assert machine_for(generate(1, 3)).apply(ops)[0].value == 0x8000_0000
