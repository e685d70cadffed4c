"""The off-line judge: complete logs are judged as on-line, event streams as far as they go, bad logs are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from itsbox.events import render
from itsbox.host.attacks import HostileHost
from itsbox.host.scenarios import SCENARIOS, run
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, Op
from itsbox.oracle.checker import check_file, check_log
from itsbox.oracle.log_format import LogError
from itsbox.oracle.recorder import Recorder, head_line

NAMES = ["linux-boot", "A1", "A2", "A3", "A4", "A6", "A7", "A8", "A12", "A13", "forged-level-2", "preswitch-itt"]


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

    assert report.complete
    assert [(v.step, v.bucket) for v in report.violations if v.oracle in judged] == [
        (v.step, v.bucket) for v in machine.violations if v.oracle in judged
    ]
    assert report.isolated == (not report.violations)


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
