"""The off-line judge: complete logs are judged as on-line, event streams as far as they go, bad logs are named."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from itsbox.events import render
from itsbox.host.attacks import HostileHost
from itsbox.host.scenarios import SCENARIOS, run
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, Op
from itsbox.oracle.checker import check_file
from itsbox.oracle.log_format import LogError
from itsbox.oracle.recorder import Recorder, head_line
from tests.oracle.judged import check_log

NAMES = ["linux-boot", "A1", "A2", "A3", "A4", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13", "A18", "forged-level-2",
         "preswitch-itt"]  # fmt: skip


def _recorded(name: str, preset: str, **fields: Any) -> tuple[Machine, list[str]]:
    """A scenario recorded from reset on: the machine afterwards, and the log."""
    scenario = SCENARIOS[name]
    played = run(name, preset, lambda session: Machine(MachineConfig.make(**session)))
    ops: list[Op] = [Drive("probe", {}), *(step.op for step in played.steps if step.op is not None)]
    machine = Machine(MachineConfig.make(**{**scenario.session(preset), **fields, "start": "bare"}))
    recorder = Recorder(machine)
    for op in ops:
        recorder.apply(op)
        machine.take_events()
    return machine, [json.dumps(line) for line in recorder.close()]


@pytest.mark.parametrize("preset", ["off", "rfc-v1@7", "rfc-v1", "v2", "strict"])
@pytest.mark.parametrize("name", NAMES)
def test_a_complete_log_is_judged_as_on_line(name: str, preset: str) -> None:
    """The DMA check and H1 find off-line what they found on-line: the same buckets at the same steps."""
    machine, lines = _recorded(name, preset)
    report = check_log(lines)
    judged = {"DMA", "H1", "H3", "H4", "H7", "H11", "H14", "H15", "H16"}
    on_line = [(v.step, v.bucket) for v in machine.violations]

    assert report.complete
    assert [(v.step, v.bucket) for v in report.violations if v.oracle in judged] == [
        (v.step, v.bucket) for v in machine.violations if v.oracle in judged
    ]
    assert sorted((v["step"], v["bucket"]) for v in report.wire()["violations"]) == sorted(on_line)
    assert report.isolated == (not on_line)
    assert (report.agrees, report.missing, report.broken_off) == (True, 0, False)


def test_a_log_says_what_was_found_on_line() -> None:
    """The violations in the log are compared with those found now."""
    _, lines = _recorded("A4", "off")
    report = check_log(lines)

    assert report.recorded
    assert report.agrees
    tampered = [line.replace("itsb1-", "itsb1-x") if '"violation"' in line else line for line in lines]
    assert not check_log(tampered).agrees


def test_a_log_of_a_machine_without_oracle_is_judged_all_the_same() -> None:
    """Nobody watched when it was written; the judge finds the violations."""
    _, lines = _recorded("A4", "off", oracle="off")
    report = check_log(lines)

    assert not report.recorded
    assert {violation.oracle for violation in report.violations} == {"DMA", "H1"}


def _told(oracle: str, step: int = 9) -> str:
    """A line of a log that tells of a violation."""
    data = {"oracle": oracle, "sentence": "It was seen.", "bucket": "itsb1-seen", "evidence": {"why": "ite"}}
    return json.dumps({"step": step, "type": "violation", "data": data})


def test_what_rests_on_the_hypervisors_records_is_believed() -> None:
    """H5 compares pins with records, which no log has: found on-line, it counts, and the judge does not contradict."""
    _, lines = _recorded("A4", "strict")
    report = check_log([*lines[:-1], _told("H5", json.loads(lines[-1])["step"]), lines[-1]])

    assert (report.isolated, report.agrees, report.violations) == (False, True, [])
    (shown,) = report.wire()["violations"]
    assert (shown["oracle"], shown["bucket"], shown["why"], shown["judged"]) == ("H5", "itsb1-seen", "ite", False)


def test_a_stream_that_tells_of_violations_is_never_isolated() -> None:
    """A3's forged entry is in no event, but that the on-line oracle saw it land is: the verdict is the log's."""
    head = {**head_line(Machine(MachineConfig.make(hardening="off"))), "complete": False}
    report = check_log([json.dumps(head), _told("DMA")])

    assert (report.isolated, report.agrees, report.violations) == (False, True, [])
    assert [told.bucket for told in report.on_line] == ["itsb1-seen"]


def test_a_claim_that_a_complete_log_contradicts_is_no_verdict_of_the_judge() -> None:
    """An access that was never made cannot have been bad: nobody can say that isolation held, but they do not agree."""
    _, lines = _recorded("A4", "strict")
    report = check_log([*lines, _told("DMA", 9000)])

    assert (report.isolated, report.agrees, report.violations, report.on_line) == (False, False, [], [])


def test_an_event_stream_alone_tells_of_ownership() -> None:
    """Without accesses and registers, executed commands against page states: A4 is found, its bytes are not."""
    machine = Machine(MachineConfig.make(hardening="off", start="bare"))
    head = {**head_line(machine), "complete": False}
    machine.apply(Drive("probe", {}))
    SCENARIOS["A4"].program(HostileHost(machine))
    lines = [json.dumps(head), *(json.dumps({"seq": n, **render(e)}) for n, e in enumerate(machine.take_events(), 1))]
    report = check_log(lines)

    assert {(violation.oracle, violation.kind.table) for violation in report.violations} == {("H1", "itt")}
    assert report.accesses == 0
    assert report.events == len(lines) - 1


def test_a_page_given_away_is_found_in_an_event_stream() -> None:
    """The pages of a device's table become a guest's while it is mapped (the RFC does not pin them)."""
    machine = Machine(MachineConfig.make(hardening="rfc-v1", start="bare"))
    head = {**head_line(machine), "complete": False}
    host_ops = run("unshared-itt", "rfc-v1", lambda session: Machine(MachineConfig.make(**session))).steps
    for op in (Drive("probe", {}), *(step.op for step in host_ops if step.op is not None)):
        machine.apply(op)
    report = check_log([json.dumps(head), *(json.dumps(render(event)) for event in machine.take_events())])

    assert ("H1", "hvc __pkvm_host_donate_guest") in {(v.oracle, v.kind.op) for v in report.violations} or {
        v.oracle for v in report.violations
    } == {"H1"}


@pytest.mark.parametrize("lines, line, text", [
    ([], 1, "empty"),
    (["{}"], 1, "head"),
    (["not json"], 1, "JSON"),
    (["[1]"], 1, "object"),
    (['{"format": "itsbox-log/2"}'], 1, "itsbox-log/1"),
    (['{"format": "itsbox-log/1"}'], 1, "map"),
])  # fmt: skip
def test_what_is_no_log_is_named_by_line(lines: list[str], line: int, text: str) -> None:
    """A log that cannot be read raises LogError with the line and the cause, nothing else."""
    with pytest.raises(LogError, match=text) as caught:
        check_log(lines)

    assert caught.value.line == line


@pytest.mark.parametrize("bad", [
    '{"type": "dma", "step": 3}',
    '{"type": "dma", "step": 3, "data": {"initiator": "nobody", "why": "ite", "phase": "trusted", "command": null}}',
    '{"type": "page.state", "step": 3, "data": {"addr": "0x40000000", "pages": 1, "to": "nobody OWNED"}}',
    '{"type": "op", "step": 3, "data": {"op": "fly"}}',
    '{"type": "op", "step": "three", "data": {}}',
    '{"type": "hardware", "step": 3, "data": {"its": 5}}',
])  # fmt: skip
def test_a_bad_line_is_named(bad: str) -> None:
    """Wherever in the log it is."""
    machine = Machine(MachineConfig.make(hardening="off"))

    with pytest.raises(LogError) as caught:
        check_log([json.dumps(head_line(machine)), "", bad])

    assert caught.value.line == 3


def test_holes_are_counted() -> None:
    """A step of a complete log that is not there, an event of a stream that was dropped, a log that breaks off."""
    _, lines = _recorded("A4", "strict")
    last = json.loads(lines[-1])["step"]
    whole, holed = check_log(lines), check_log([line for line in lines if json.loads(line).get("step") != last - 1])
    stream = {**json.loads(lines[0]), "complete": False}
    events = [json.dumps({"seq": seq, "step": 1, "type": "driver.log", "data": {}}) for seq in (3, 4, 9)]

    assert (whole.missing, whole.broken_off) == (0, False)
    assert (holed.missing, holed.broken_off) == (1, False)
    assert check_log(lines[:-1]).broken_off
    assert check_log([json.dumps(stream), *events]).missing == 2 + 4


def test_a_stream_is_judged_up_to_a_restore() -> None:
    """What a snapshot brings back is in no event; the steps may go back, and violations that are told of still count."""
    machine = Machine(MachineConfig.make(hardening="off"))
    head = json.dumps({**head_line(machine), "complete": False})
    page = {"addr": hex(machine.map.ram), "pages": 1, "to": "guest OWNED"}
    lines = [head, *(json.dumps({"step": step, "type": kind, "data": data}) for step, kind, data in (
        (5, "page.state", page), (5, "session.restored", {}), (2, "page.state", page),
    ))]  # fmt: skip

    report = check_log(lines)
    assert (report.restored_at, report.isolated, report.steps) == (5, True, 1)
    assert not check_log([*lines, _told("H1")]).isolated


@pytest.mark.parametrize("lines", [
    [{"step": 5, "type": "a", "data": {}}, {"step": 4, "type": "a", "data": {}}],
    [{"step": 1, "seq": 7, "type": "a", "data": {}}, {"step": 1, "seq": 7, "type": "a", "data": {}}],
])  # fmt: skip
def test_time_does_not_go_back(lines: list[dict[str, Any]]) -> None:
    """Steps never decrease, sequence numbers always grow: lines were swapped, or two logs mixed."""
    head = json.dumps(head_line(Machine(MachineConfig.make(hardening="off"))))

    with pytest.raises(LogError) as caught:
        check_log([head, *map(json.dumps, lines)])

    assert caught.value.line == 3


def test_a_trap_with_more_races_than_can_be_is_no_log() -> None:
    """Each store of another CPU is compared with all that the trap has read: a log cannot make that take for ever."""
    machine = Machine(MachineConfig.make(hardening="strict"))
    shared = {"addr": hex(machine.map.ram), "pages": 1, "to": "host SHARED_OWNED"}
    access = {"addr": hex(machine.map.ram), "length": 8, "command": None, "phase": "deprivileged"}

    def lines() -> Iterator[str]:
        yield json.dumps(head_line(machine))
        yield json.dumps({"step": 1, "type": "page.state", "data": shared})
        yield json.dumps({"step": 2, "type": "op", "data": {"op": "ack", "cpu": 0}})
        for who, write in (("hyp", False), ("host", True)):
            line = json.dumps(
                {"step": 2, "type": "dma", "data": {**access, "initiator": who, "why": who, "write": write}}
            )
            yield from repeat(line, 5000)

    with pytest.raises(LogError, match="stores of other CPUs") as caught:
        check_log(lines())

    assert caught.value.line > 5003


def test_memory_does_not_grow_with_a_log() -> None:
    """Ten times as many lines of the same life take no more memory: nothing is kept of a line that was judged."""
    _, lines = _recorded("A4", "strict")
    body = [json.loads(line) for line in lines[1:]]
    steps = body[-1]["step"]

    def log(turns: int) -> Iterator[str]:
        yield lines[0]
        yield from lines[1:]
        for turn in range(1, turns):
            for line in body:
                if line["type"] in {"op", "dma", "end"}:
                    yield json.dumps({**line, "step": line["step"] + turn * steps})

    def peak(turns: int) -> int:
        tracemalloc.start()
        try:
            assert check_log(log(turns)).steps >= turns * 10
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is imported and remembered for good
    assert peak(200) < 1.5 * peak(20)


def test_unknown_lines_do_not_matter() -> None:
    """Events of other kinds, and kinds yet to come, are passed over."""
    machine = Machine(MachineConfig.make(hardening="off"))
    line = '{"type": "driver.log", "step": 1, "data": {"line": "hello"}}'

    report = check_log([json.dumps(head_line(machine)), line, '{"type": "future.thing", "step": 1, "data": {}}'])

    assert (report.isolated, report.events) == (True, 2)


def test_files_are_read_line_by_line(tmp_path: Path) -> None:
    """``check_file`` is what the command line calls."""
    _, lines = _recorded("A4", "strict")
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n")
    shown = check_file(path).wire()

    assert (shown["isolated"], shown["violations"], shown["agrees"]) == (True, [], True)
    assert shown["accesses"] > 0


def test_a_recorder_begins_at_reset() -> None:
    """What happened before cannot be judged, so it is not recorded either."""
    machine = Machine(MachineConfig.make(hardening="off", start="host"))

    with pytest.raises(ValueError, match="reset"):
        Recorder(machine)


def test_recording_changes_nothing() -> None:
    """A recorded machine does what it does unrecorded."""
    machine, _ = _recorded("A4", "strict")
    plain = Machine(MachineConfig.make(**{**SCENARIOS["A4"].session("strict"), "start": "bare"}))
    played = run("A4", "strict", lambda session: Machine(MachineConfig.make(**session)))
    plain.apply(Drive("probe", {}))
    for step in played.steps:
        if step.op is not None:
            plain.apply(step.op)

    assert machine.state_hash() == plain.state_hash()
