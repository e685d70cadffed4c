"""The recorder: what it hears, in which order it writes it, and that it leaves the machine as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from itsbox.arch.its_commands import MAPC, MAPD, SYNC
from itsbox.arch.its_registers import GITS_BASER, GITS_CTLR, GITS_CWRITER, TABLE_DEVICES, baser_address
from itsbox.arch.its_tables import DTE
from itsbox.host.scenarios import SCENARIOS, run
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive, Hvc, Load, MmioWrite, Msi, Op, Store
from itsbox.oracle.recorder import Recorder
from tests.oracle.conftest import WRITE
from tests.oracle.judged import check_log

DEVICE = 5
DATA = Path(__file__).parents[1] / "data" / "oracle"


def _machine(**fields: Any) -> Machine:
    return Machine(MachineConfig.make(**{"hardening": "off", **fields}))


def _recorded(machine: Machine, *ops: Op) -> list[dict[str, Any]]:
    recorder = Recorder(machine)
    for op in (Drive("probe", {}), *ops):
        recorder.apply(op)
        machine.take_events()
    return recorder.close()


def _kinds(lines: list[dict[str, Any]], step: int) -> list[str]:
    return [line["type"] for line in lines[1:] if line["step"] == step]


@pytest.mark.parametrize("name, preset", [("A3", "off"), ("A10", "rfc-v1"), ("A18", "rfc-v1")])
def test_the_log_of_an_attack_is_the_committed_one(name: str, preset: str) -> None:
    """Line for line: GICv3, GICv4.1, and two ITSs. ``ITSBOX_WRITE_GOLDEN=1`` writes it anew."""
    scenario = SCENARIOS[name]
    played = run(name, preset, lambda session: Machine(MachineConfig.make(**session)))
    machine = Machine(MachineConfig.make(**{**scenario.session(preset), "start": "bare"}))
    lines = [
        json.dumps(line) for line in _recorded(machine, *(step.op for step in played.steps if step.op is not None))
    ]
    path = DATA / f"log-{name}-{preset}.jsonl"
    if WRITE:
        path.write_text("\n".join(lines) + "\n")

    assert lines == path.read_text().splitlines()
    assert check_log(lines).agrees


def test_a_step_begins_with_its_op_and_ends_with_its_end() -> None:
    """What happened stands between, each access before what came of it."""
    lines = _recorded(_machine(), Drive("map_device", {"device_id": DEVICE, "events": 2}), Msi(DEVICE, 0))
    kinds = _kinds(lines, 3)

    assert (kinds[0], kinds[-1]) == ("op", "end")
    assert kinds.index("dma") < kinds.index("lpi.pending")
    assert _kinds(lines, 0) == ["hardware"]


def test_hardware_is_told_when_it_changed_and_only_then() -> None:
    """Ops that move no register and no level-1 entry write no such line."""
    machine = _machine()
    lines = _recorded(
        machine, Load(machine.map.ram, 8), MmioWrite(machine.map.its, 4, 0), MmioWrite(machine.map.its, 4, 0)
    )

    assert [_kinds(lines, step).count("hardware") for step in (1, 2, 3, 4)] == [1, 0, 1, 0]


def test_a_level_1_entry_that_the_host_stores_is_told() -> None:
    """It moves no register, but it says what memory hardware uses."""
    machine = _machine()
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    n, value = next(
        (n, GITS_BASER.decode(value)) for n, value in enumerate(machine.its[0].baser)
        if GITS_BASER.decode(value).type == TABLE_DEVICES
    )  # fmt: skip
    assert value.indirect
    recorder.take()
    recorder.apply(Store(baser_address(value) + 8, (1 << 63 | machine.map.ram).to_bytes(8, "little")))
    (hardware,) = [line for line in recorder.take() if line["type"] == "hardware"]

    assert [1, hex(1 << 63 | machine.map.ram)] in hardware["data"]["its"][0]["level_1"][str(n)]


def test_of_a_level_1_table_its_valid_entries_are_told() -> None:
    """What else stands in it is no entry, and a table in missing memory has none."""
    machine = _machine()
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    its = machine.its[0]
    n = next(n for n, value in enumerate(its.baser) if GITS_BASER.decode(value).type == TABLE_DEVICES)
    recorder.apply(Store(baser_address(GITS_BASER.decode(its.baser[n])) + 8, (0x5000).to_bytes(8, "little")))

    def told() -> Any:
        return [line for line in recorder.lines if line.get("type") == "hardware"][-1]["data"]["its"][0]["level_1"]

    assert 1 not in [index for index, _ in told()[str(n)]]
    recorder.apply(MmioWrite(machine.map.its + GITS_CTLR.OFFSET, 4, 0))
    nowhere = GITS_BASER.decode(its.baser[n]).replace(physical_address=0x9_0000_0000 >> 12)
    recorder.apply(MmioWrite(machine.map.its + GITS_BASER.OFFSET + 8 * n, 8, nowhere.word()))
    assert told()[str(n)] == []


def test_events_may_stay_in_the_machines_log() -> None:
    """The lines are the same whether somebody takes the events or not."""
    ops: list[Op] = [
        Drive("probe", {}),
        *(Drive("map_device", {"device_id": n, "events": 2}) for n in range(3)),
        Msi(1, 0),
    ]
    recorder = Recorder(_machine())
    for op in ops:
        recorder.apply(op)

    assert recorder.close() == _recorded(_machine(), *ops[1:])


def test_an_entry_that_is_stored_again_is_no_news() -> None:
    """The tables are read again, and are what they were."""
    machine = _machine()
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    recorder.apply(Drive("map_device", {"device_id": 1, "events": 2}))
    value = next(v for v in map(GITS_BASER.decode, machine.its[0].baser) if v.type == TABLE_DEVICES)
    word = machine.memory.read(baser_address(value), 8)
    recorder.take()
    for again in (word, word ^ 1 << 63, word):
        recorder.apply(Store(baser_address(value), again.to_bytes(8, "little")))

    assert [line["step"] for line in recorder.take() if line["type"] == "hardware"] == [4, 5]


def test_lines_can_be_taken_while_the_log_grows() -> None:
    """Together they are the log that one would have had in the end."""
    ops = [Drive("map_device", {"device_id": n, "events": 2}) for n in range(3)]
    machine = _machine()
    recorder = Recorder(machine)
    taken = recorder.take()
    for op in (Drive("probe", {}), *ops):
        recorder.apply(op)
        machine.take_events()
        taken += recorder.take()

    assert recorder.close() == []
    assert taken == _recorded(_machine(), *ops)


def _post(machine: Machine, *commands: Any) -> list[Op]:
    """Ops by which a host that has booted puts commands into the queue."""
    cwriter = machine.its[0].cwriter
    queue = machine.its[0].cbaser & 0xF_FFFF_FFFF_F000
    data = b"".join(command.STRUCT.pack(*command.encode()) for command in commands)
    return [Store(queue + cwriter, data), MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 4, cwriter + len(data))]


def test_messages_to_no_redistributor_are_in_the_log() -> None:
    """With PTA = 1 a collection names an address: the judge finds the messages that went to the hypervisor's memory."""
    machine = _machine(profile="virt-gicv3-pta")
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    for op in _post(machine, MAPC(icid=3, rd_base=machine.map.hyp >> 16, valid=1), SYNC(rd_base=machine.map.hyp >> 16)):
        recorder.apply(op)
    lines = recorder.close()
    report = check_log(map(json.dumps, lines))

    assert [v.kind.rule for v in machine.violations].count("message") == 1
    assert [(v.step, v.bucket) for v in report.violations] == [(v.step, v.bucket) for v in machine.violations]
    *_, told = [line["data"] for line in lines if line.get("data", {}).get("why") == Why.RD_BASE]
    words = [hex(word) for word in SYNC(rd_base=machine.map.hyp >> 16).encode()]
    assert told == {
        "initiator": "its", "write": True, "addr": hex(machine.map.hyp), "length": 4, "why": Why.RD_BASE, "its": 0,
        "command": [machine.its[0].cwriter // 32 - 1, "SYNC", words], "phase": "trusted",
    }  # fmt: skip


@pytest.mark.parametrize("pages_listed", [1024, 0])
@pytest.mark.parametrize("overwritten", [False, True])
def test_an_entry_that_the_host_overwrote_is_told(
    overwritten: bool, pages_listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A translation table given to a guest is in use as long as the device's entry in memory names it, and no longer."""
    monkeypatch.setattr("itsbox.oracle.recorder._PAGES_LISTED", pages_listed)
    machine = _machine(hardening="forward")
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    recorder.apply(Drive("deprivilege", {}))
    itt = machine.map.ram + machine.map.ram_bytes // 2
    ops = _post(machine, MAPD(device_id=DEVICE, size=3, itt_addr=itt, valid=1))
    for op in ops:
        recorder.apply(op)
    if overwritten:
        entry = next(
            int(line["data"]["addr"], 16) for line in recorder.lines
            if line.get("type") == "dma" and line["data"]["why"] == Why.DTE and line["data"]["write"]
        )  # fmt: skip
        recorder.apply(Store(entry, bytes(DTE.SIZE)))
    recorder.apply(Hvc("__pkvm_host_donate_guest", (itt >> 12, itt >> 12, 1)))
    report = check_log(map(json.dumps, recorder.close()))

    assert ("H1" in {v.oracle for v in machine.violations}) is not overwritten
    assert [(v.step, v.bucket) for v in report.violations] == [(v.step, v.bucket) for v in machine.violations]


def _overwritten(recorder: Recorder) -> list[Any]:
    """What the last ``hardware`` line says of the first ITS."""
    told = [line for line in recorder.lines if line.get("type") == "hardware"]
    found: list[Any] = told[-1]["data"]["its"][0]["overwritten"]
    return found


def _mapped(machine: Machine, recorder: Recorder, *devices: int) -> tuple[int, list[int]]:
    """Devices with tables of two pages, a page apart; the first table, and the addresses of the devices' entries."""
    itt, made = machine.map.ram + machine.map.ram_bytes // 2, len(recorder.lines)
    for n, device_id in enumerate(devices):
        for op in _post(machine, MAPD(device_id=device_id, size=8, itt_addr=itt + n * 0x3000, valid=1)):
            recorder.apply(op)
    accesses = [line["data"] for line in recorder.lines[made:] if line["type"] == "dma"]
    return itt, [int(each["addr"], 16) for each in accesses if each["why"] == Why.DTE and each["write"]]


def test_of_overwritten_entries_those_are_told_whose_pages_changed_hands() -> None:
    """The others', and those of devices that were unmapped, say nothing about that page."""
    machine = _machine(hardening="forward")
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    recorder.apply(Drive("deprivilege", {}))
    itt, entries = _mapped(machine, recorder, 5, 6, 7)
    for entry in entries[:2]:
        recorder.apply(Store(entry, bytes(DTE.SIZE)))
    frames = [(itt >> 12) + n for n in range(9)]

    def given(pfn: int) -> list[Any]:
        recorder.apply(Hvc("__pkvm_host_donate_guest", (pfn, pfn, 1)))
        return _overwritten(recorder)

    assert given(frames[2]) == []
    assert given(frames[4]) == [[6, "0x0", 0]]
    assert given(frames[0]) == [[5, "0x0", 0]]
    assert given(frames[6]) == []  # its entry is what its command wrote
    for op in _post(machine, MAPD(device_id=5, size=0, itt_addr=0, valid=0)):
        recorder.apply(op)
    assert given(frames[1]) == []


def test_an_entry_that_names_another_table_is_told_with_it() -> None:
    """Address and bytes of the table that the device has now."""
    machine = _machine(hardening="forward")
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    recorder.apply(Drive("deprivilege", {}))
    itt, (entry,) = _mapped(machine, recorder, 5)
    recorder.apply(Store(entry, DTE.STRUCT.pack(*DTE(valid=1, size=1, itt_addr=itt + 0x8000).encode())))
    recorder.apply(Hvc("__pkvm_host_donate_guest", (itt >> 12, itt >> 12, 1)))

    assert _overwritten(recorder) == [[5, hex(itt + 0x8000), 4 * machine.its[0].ite_bytes]]


@pytest.mark.parametrize("oracle", ["off", "lockstep"])
def test_the_log_is_the_same_whoever_watches(oracle: str) -> None:
    """The recorder asks the machine, not its oracle."""
    ops = [Drive("deprivilege", {}), Drive("map_device", {"device_id": DEVICE, "events": 2})]

    watched = _recorded(_machine(hardening="strict"), *ops)
    assert _recorded(_machine(hardening="strict", oracle=oracle), *ops) == watched
    assert any(line.get("type") == "hardware" and line["data"]["guards_redistributors"] for line in watched)


def test_a_machine_that_was_used_cannot_be_recorded() -> None:
    """What happened before cannot be judged."""
    machine = _machine()
    machine.apply(Drive("probe", {}))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        Recorder(machine)

    assert str(caught.value) == "a complete log begins at reset"


def test_a_recorder_leaves_no_ears_behind() -> None:
    """Who watched before watches again."""
    machine = _machine()
    before = (machine.interconnect.watch, machine.its[0].on_message)
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    recorder.close()

    assert (machine.interconnect.watch, machine.its[0].on_message) == before


def test_stores_of_another_cpu_in_the_middle_of_an_op_are_recorded() -> None:
    """They are no ops of their own; the log has them where they happened, before the access that they came before."""
    machine = _machine()
    recorder = Recorder(machine)
    ear = machine.interconnect.watch
    assert ear is not None
    other = machine.map.ram + 0x1000

    def racing(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        if addr == machine.map.ram:
            machine.interconnect.store(Initiator.HOST, other, b"\x01" * 8, Why.HOST)
        ear(initiator, is_write, addr, length, why)

    machine.interconnect.watch = racing
    recorder.apply(Store(machine.map.ram, b"\x02" * 4))
    accesses = [line["data"] for line in recorder.take() if line.get("type") == "dma"]

    assert [(each["addr"], each["length"]) for each in accesses] == [(hex(other), 8), (hex(machine.map.ram), 4)]
