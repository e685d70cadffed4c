"""The oracle in its machine: when it speaks, what it remembers, what it never does."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.arch.hypercalls import BY_NAME
from itsbox.arch.its_commands import MAPD, MAPTI
from itsbox.events import render
from itsbox.host.attacks import HostileHost
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.lockstep import Lockstep
from itsbox.oracle.oracle import MAX_PER_OP
from tests.oracle.stage import HYP, QUEUE, Stage


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


@pytest.mark.parametrize("addr, name", [
    ("its", "GITS_CTLR"), ("its-1", "reserved"), ("its+30000", "reserved"), ("gicr", "GICR_CTLR"), ("gicr-1", "reserved"),
    ("gicr+20000", "GICR_CTLR"), ("gicr+end", "reserved"), ("ram", "memory"), ("ram-1", "reserved"),
])  # fmt: skip
def test_addresses_have_names_to_the_last_byte(addr: str, name: str) -> None:
    """The first and the last address of each frame, and those beside them."""
    machine = Machine(MachineConfig.make(hardening="off"))
    where, oracle = machine.map, machine.oracle
    assert oracle is not None
    base = getattr(where, addr.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0])
    rest = addr.removeprefix(addr.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0])
    end = where.gicr_stride * len(machine.redistributors)
    at = base + (end if rest == "+end" else int(rest or "0", 16))
    oracle.begin(MmioWrite(at, 4, 0), 1)

    assert oracle._op_kind(MmioWrite(at, 4, 0)) == f"{name} write 4"


@pytest.mark.parametrize("profile, name", [("virt-gicv4", "GICR_VPENDBASER"), ("virt-gicv4.1", "GICR_VPENDBASER")])
def test_registers_of_virtual_lpis_have_names(profile: str, name: str) -> None:
    """The frame of virtual LPIs of any redistributor."""
    machine = Machine(MachineConfig.make(profile=profile, hardening="off"))
    assert machine.oracle is not None
    for gicr in range(2):
        op = MmioWrite(machine.map.gicr + gicr * machine.map.gicr_stride + 0x20078, 8, 0)
        assert machine.oracle._op_kind(op) == f"{name} write 8"


def test_a_hypercall_is_the_same_by_name_and_by_number() -> None:
    """The bucket does not depend on how a client names a function; one that nobody knows keeps what it was called."""
    machine = Machine(MachineConfig.make(hardening="strict"))
    assert machine.oracle is not None
    number = BY_NAME["__pkvm_host_share_hyp"].function_id
    assert number is not None

    assert machine.oracle._op_kind(Hvc(number, ())) == "hvc __pkvm_host_share_hyp"
    assert machine.oracle._op_kind(Hvc("__pkvm_host_share_hyp", ())) == "hvc __pkvm_host_share_hyp"
    assert machine.oracle._op_kind(Hvc("nonsense", ())) == "hvc nonsense"
    assert machine.oracle._op_kind(Hvc(7, ())) == "hvc 7"


def test_a_command_without_a_name_has_one_for_buckets() -> None:
    """What the ITS does for an opcode that nobody knows is told as such, and the sentence names no command."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.view.command = (4, None, (0xEE, 0, 0, 0))
    stage.watch(Initiator.ITS, True, HYP, 8, Why.DTE)
    stage.watch(Initiator.ITS, False, HYP + 0x1000, 32, Why.COMMAND)
    entry, fetch = stage.end()

    assert (entry.kind.op, entry.detail) == (
        "unknown command", f"The ITS writes a device table entry at {HYP:#x}, the hypervisor's memory."
    )  # fmt: skip
    assert (fetch.command, fetch.kind.op) == (None, "GITS_CWRITER write 4")


def test_a_restored_oracle_has_nothing_to_say() -> None:
    """A restore in the middle of things forgets what was found and not yet told."""
    stage = Stage(phase="trusted")
    saved = stage.oracle.state()
    stage.begin()
    stage.its(Why.DTE, HYP, write=True)
    stage.oracle.set_state(saved)

    assert stage.oracle.violations == []
    assert not stage.end()


def test_evidence_names_the_use_of_the_itss_own_pages_only() -> None:
    """A page that the hypervisor took for a table has its use in the evidence; given back to the host it has none."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.its(Why.ITE, QUEUE, write=True)
    stage.pages(QUEUE, 0x1000, "guest OWNED")
    stage.its(Why.COMMAND, QUEUE, length=32)
    uses = {violation.rule.name: violation.places[0].use for violation in stage.end() if violation.oracle == "DMA"}

    assert uses == {"wrong-use": "queue", "foreign-command": ""}


def test_lock_step_hears_of_every_op(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specification is given each op with its outcome."""
    heard: list[tuple[Op, object]] = []
    monkeypatch.setattr(Lockstep, "compare", lambda _, op, outcome: heard.append((op, outcome)))
    machine = Machine(MachineConfig.make(hardening="off", oracle="lockstep"))
    op = Load(machine.map.ram, 8)
    outcome = machine.apply(op)

    assert heard == [(op, outcome)]
