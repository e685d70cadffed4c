"""The oracle in its machine: when it speaks, what it remembers, what it never does."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.arch.its_commands import MAPD, MAPTI
from itsbox.events import render
from itsbox.host.attacks import HostileHost
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.oracle import MAX_PER_OP


def _host(hardening: str = "off", **fields: Any) -> HostileHost:
    return HostileHost(Machine(MachineConfig.make(**{"hardening": hardening, "start": "deprivileged", **fields})))


def _attack(host: HostileHost, device_id: int, page: int) -> None:
    host.post(
        MAPD(device_id=device_id, size=4, itt_addr=page, valid=1),
        MAPTI(device_id=device_id, event_id=0, intid=8200, icid=0),
    )


def _machine(host: HostileHost) -> Machine:
    assert isinstance(host.box, Machine)
    return host.box


def test_a_violation_is_a_verdict_and_an_event() -> None:
    """The op succeeds as hardware would have it; the machine lists the violation and emits it, with the op's step."""
    host = _host()
    machine = _machine(host)
    machine.take_events()
    _attack(host, 3, host.hyp_page(1))
    events = [render(event) for event in machine.take_events()]
    shown = [event for event in events if event["type"] == "violation"]

    assert [violation.oracle for violation in machine.violations] == ["H1", "DMA"]
    assert [event["data"]["bucket"] for event in shown] == [violation.bucket for violation in machine.violations]
    assert [event["step"] for event in shown] == [violation.step for violation in machine.violations]
    assert shown[1]["data"]["evidence"]["addresses"][0]["owner"] == "hyp"


def test_an_oracle_that_is_off_says_nothing() -> None:
    """With the oracle off the same attack leaves no word, and the same bytes."""
    watched, alone = _host(), _host(oracle="off")
    for host in (watched, alone):
        _attack(host, 3, host.hyp_page(1))

    assert _machine(alone).violations == []
    assert watched.box.physical(watched.hyp_page(1), 16) == alone.box.physical(alone.hyp_page(1), 16)


def test_the_oracle_is_no_part_of_the_machines_state() -> None:
    """Watched or not, the machine is the same."""
    hosts = [_host("strict", oracle=mode) for mode in ("on", "lockstep")]
    hashes = {_machine(host).state_hash() for host in hosts}

    assert len(hashes) == 1


def test_an_op_is_not_told_more_than_so_often() -> None:
    """A turn of the queue that writes into hundreds of foreign pages keeps the first findings, and the first of each kind."""
    host = _host()
    host.post(MAPD(device_id=0x200, size=4, itt_addr=host.guest_page(3), valid=1))
    _machine(host).violations.clear()
    commands = [
        command
        for n in range(100)
        for command in (
            MAPD(device_id=0x100 + n, size=4, itt_addr=host.box.map.hyp + n * 0x1000, valid=1),
            MAPTI(device_id=0x100 + n, event_id=0, intid=8200, icid=0),
        )
    ]
    offset = host.write_offset
    for command in commands:
        offset = host.put(command, offset)
    offset = host.put(MAPTI(device_id=0x200, event_id=0, intid=8200, icid=0), offset)
    host.ring(offset)
    found = _machine(host).violations

    assert {(violation.oracle, violation.kind.owner) for violation in found[:MAX_PER_OP]} == {("DMA", "hyp")}
    assert [(violation.oracle, violation.kind.owner) for violation in found[MAX_PER_OP:]] == [
        ("DMA", "guest"),
        ("H1", "hyp"),
    ]


def test_snapshots_carry_what_the_oracle_knows() -> None:
    """After a restore, and in a fork, the oracle knows the devices of that moment and no others."""
    host = _host("strict")
    machine = _machine(host)
    itt = host.map_own(0x40)
    assert itt is not None
    before = machine.snapshot()
    host.post(MAPD(device_id=0x40, size=4, itt_addr=itt, valid=0))
    fork = Machine.fork(before)
    machine.restore(before)

    for box in (machine, fork):
        keys = [key for key in box.oracle.world.extents if key[2] == 0x40]  # type: ignore[union-attr]
        assert keys == [("itt", 0, 0x40)]
        assert box.violations == []
        assert box.oracle.dma.deprivileged  # type: ignore[union-attr]


def test_a_restore_takes_violations_back() -> None:
    """Violations belong to a moment like everything else."""
    host = _host()
    machine = _machine(host)
    before = machine.snapshot()
    _attack(host, 3, host.hyp_page(1))
    assert machine.violations
    machine.restore(before)

    assert machine.violations == []


def test_a_replayed_journal_finds_the_same_buckets_elsewhere() -> None:
    """Other addresses, another DeviceID, another place in the queue, more RAM: the same two buckets."""
    first, second = _host(), _host(ram_mib=512)
    second.post(*[MAPD(device_id=9, size=4, itt_addr=second.pages(2), valid=1)] * 5)
    _attack(first, 3, first.hyp_page(1))
    _attack(second, 0x77, second.hyp_page(6) + 0x300)

    assert [v.bucket for v in _machine(first).violations] == [v.bucket for v in _machine(second).violations]


@pytest.mark.parametrize("op, kind", [
    (MmioWrite(0x0808_0000, 4, 1), "GITS_CTLR write 4"),
    (MmioWrite(0x0808_0108, 8, 1), "GITS_BASER write 8"),
    (MmioWrite(0x080A_0078, 8, 1), "GICR_PENDBASER write 8"),
    (MmioWrite(0x080C_0000, 4, 1), "GICR_CTLR write 4"),
    (MmioWrite(0x0808_F000, 4, 1), "reserved write 4"),
    (MmioWrite(0x4000_0000, 4, 1), "memory write 4"),
    (MmioRead(0x0808_0008, 8), "GITS_TYPER read 8"),
    (Hvc("__pkvm_host_share_hyp", (1,)), "hvc __pkvm_host_share_hyp"),
    (Drive("probe", {}), "driver probe"),
    (Msi(1, 2), "msi"), (Ack(0), "ack"), (Load(1, 2), "load"), (Store(1, b""), "store"), (Fill(1, 2, 3), "fill"),
    (Clean(1, 2), "clean"),
])  # fmt: skip
def test_ops_have_kinds_without_addresses(op: Op, kind: str) -> None:
    """What a bucket calls an op names the register, not the address, nor the element of an array."""
    oracle = _machine(_host()).oracle

    assert oracle is not None
    assert oracle._op_kind(op) == kind


def test_the_takeover_is_seen_as_it_is() -> None:
    """After an honest switch-over under ``strict`` queue, level 1 and level-2 pages are known as the ITS's own."""
    oracle = _machine(_host("strict", profile="virt-gicv4")).oracle
    assert oracle is not None
    uses = set(oracle.world.own.values())

    assert {"queue", "l1", "device", "collection"} <= uses
    assert len(oracle.world.queues) == 1
    assert {table.use for table in oracle.world.tables.values()} == {"device", "collection", "vpe"}


def test_private_pages_are_not_the_itss() -> None:
    """The page of private state that the host donates at the switch-over is the hypervisor's alone."""
    machine = _machine(_host("strict"))
    donated = {
        pfn
        for run in machine.ownership.runs(machine.ownership.ram.start, machine.ownership.hyp.start)
        if run.owner == "hyp"
        for pfn in range(run.pfn, run.pfn + run.pages)
    }
    assert machine.oracle is not None

    assert donated - machine.oracle.world.own.keys()
    assert machine.oracle.world.own.keys() <= donated
