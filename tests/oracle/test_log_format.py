"""Lines of the event log: ops there and back, numbers, page states, and the door at which everything else is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itsbox.hardware.profile import PROFILES
from itsbox.host.scenarios import SCENARIOS, run
from itsbox.machine import Machine, MachineConfig, config
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle import checker
from itsbox.oracle.log_format import (
    CPUS_MAX,
    ITS_MAX,
    MAPD_SIZE_MAX,
    RAM_MAX,
    LogError,
    number,
    op_from_line,
    op_line,
    page_text,
)
from itsbox.oracle.recorder import Recorder, head_line
from tests.oracle.judged import ACCESS, HEAD, check_log, hardware_of, line_of

OPS: list[Op] = [
    MmioRead(0x808_0008, 8), MmioWrite(0x808_0088, 4, (1 << 32) - 1), Load(0x4000_0000, 64), Store(0x4000_0000, b"\x00\xff"),
    Fill(0x4000_0000, 4096, 255), Hvc("__pkvm_host_share_hyp", (1 << 63,)), Hvc(0xC600_0008, ()), Msi(0xFFFF, 31), Ack(3),
    Clean(0x4000_0000, 64), Drive("map_device", {"device_id": 8, "events": 3}),
]  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_an_op_survives_its_line(op: Op) -> None:
    """Written as JSON and read again, an op is the same."""
    assert op_from_line(json.loads(json.dumps(op_line(op)))) == op


@pytest.mark.parametrize("value, expected", [(5, 5), ("0x10", 16), ("12", 12)])
def test_numbers_are_integers_or_strings(value: object, expected: int) -> None:
    """Addresses are strings, small numbers may be numbers."""
    assert number(value) == expected


@pytest.mark.parametrize("value", [True, None, 1.5, "ten", []])
def test_nothing_else_is_a_number(value: object) -> None:
    """Anything else is an error of the log."""
    with pytest.raises(ValueError, match=r".+"):
        number(value)


def test_page_states_are_read() -> None:
    """As ``page.state`` events spell them, with or without pins."""
    assert page_text("host SHARED_OWNED pins=3") == ("host", "SHARED_OWNED", 3)
    assert page_text("guest OWNED") == ("guest", "OWNED", 0)
    assert page_text("host SHARED_OWNED with guest") == ("host", "SHARED_OWNED", 0)
    with pytest.raises(ValueError, match="nobody"):
        page_text("nobody OWNED")


def test_an_error_names_its_line() -> None:
    """For people and for programs."""
    error = LogError(7, "is no JSON")

    assert (str(error), error.line) == ("line 7: is no JSON", 7)


# ---------------------------------------------------------------- the door

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([1 << 64, 1 << 52, 10**12, -1, 0, "0x40000000", "0xffffffffffffffff", "its", "host", "MAPD", 10**30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@cache
def _logs() -> tuple[tuple[str, ...], ...]:
    """Real logs: complete ones of honest life and of attacks, and a stream."""
    logs = []
    for name, preset in (("A4", "off"), ("A12", "rfc-v1"), ("A6", "strict"), ("A2", "off")):
        scenario = SCENARIOS[name]
        played = run(name, preset, lambda session: Machine(MachineConfig.make(**session)))
        machine = Machine(MachineConfig.make(**{**scenario.session(preset), "start": "bare"}))
        recorder = Recorder(machine)
        for op in (Drive("probe", {}), *(step.op for step in played.steps if step.op is not None)):
            recorder.apply(op)
        logs.append(tuple(map(json.dumps, recorder.close())))
    events = [line for line in map(json.loads, logs[0][1:]) if line["type"] not in {"op", "dma", "hardware", "end"}]
    head = {**json.loads(logs[0][0]), "complete": False}
    logs.append(tuple(map(json.dumps, [head, *({"seq": n, **event} for n, event in enumerate(events, 1))])))
    return tuple(logs)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every field at any depth."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _judged(lines: list[str]) -> None:
    """A report that can be printed, or an error that names a line: nothing else may come of a log."""
    try:
        report = checker.check_log(lines)  # of random lines nothing is committed
    except LogError as error:
        at = error.line
    else:
        at = 1
        assert json.dumps(report.wire())
        assert report.isolated or report.violations or report.recorded
    assert 1 <= at <= max(1, len(lines))


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_value_in_any_field_is_judged_or_refused(data: st.DataObject) -> None:
    """Whatever stands where a number, a name or an array should."""
    lines = list(data.draw(st.sampled_from(_logs())))
    kinds: dict[str, list[int]] = {}
    for at, line in enumerate(lines):
        kinds.setdefault(json.loads(line).get("type", "head"), []).append(at)
    at = data.draw(st.sampled_from(kinds[data.draw(st.sampled_from(sorted(kinds)))]))
    value = json.loads(lines[at])
    container, key = data.draw(st.sampled_from(list(_places(value))))
    container[key] = data.draw(JSON)
    lines[at] = json.dumps(value)

    _judged(lines)


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_lines_are_judged_or_refused(data: st.DataObject) -> None:
    """A character flipped, a line dropped, doubled, moved or cut short, a log that breaks off."""
    lines = list(data.draw(st.sampled_from(_logs())))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        where = data.draw(st.integers(0, max(0, len(lines[at]) - 1)))
        match data.draw(st.sampled_from(["flip", "drop", "double", "move", "cut", "break off"])):
            case "flip":
                lines[at] = lines[at][:where] + data.draw(st.characters(codec="utf-8")) + lines[at][where + 1 :]
            case "drop":
                lines[at : at + 1] = []
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "cut":
                lines[at] = lines[at][:where]
            case _:
                del lines[at + 1 :]
        if not lines:
            break

    _judged(lines)


HUGE = [1, "MAPD", ["0x8", "0x1f", "0x8000000040000000", "0x0"]]


REFUSED: list[tuple[str, str]] = [
    (line_of("page.state", addr="0x40000000", pages=10**12, to="host OWNED"), "pages"),
    (line_of("page.state", addr=hex((1 << 52) - 4096), pages=2, to="host OWNED"), "2^52"),
    (line_of("page.state", addr="0x40000000", pages=1, to="host"), "to must be"),
    (line_of("dma", **{**ACCESS, "length": 10**15}), "length"), (line_of("dma", **{**ACCESS, "length": 0}), "length"),
    (line_of("dma", **{**ACCESS, "length": -5}), "length"), (line_of("dma", **{**ACCESS, "length": 1 << 25}), "at most"),
    (line_of("dma", **{**ACCESS, "addr": -4096}), "addr"), (line_of("dma", **{**ACCESS, "addr": 1 << 52}), "addr"),
    (line_of("dma", **{**ACCESS, "its": -1}), "its"), (line_of("dma", **{**ACCESS, "its": 1}), "its"),
    (line_of("dma", **{**ACCESS, "initiator": "host"}), "reason of the initiator host"),
    (line_of("dma", **{**ACCESS, "why": "host"}), "reason of the initiator its"),
    (line_of("dma", **{**ACCESS, "why": ["dte"]}), "why"), (line_of("dma", **{**ACCESS, "phase": "asleep"}), "phase"),
    (line_of("dma", **{**ACCESS, "command": [1, 2, 3]}), "command"), (line_of("dma", **{**ACCESS, "command": HUGE}), "Size 31"),
    (line_of("dma", **{**ACCESS, "command": [1, "MAPD", ["0x8"]]}), "array of 4"),
    (line_of("command.executed", slot=1, name="MAPD", words=["0x8"]), "words"),
    (line_of("command.executed", slot=1, name="MAPD", words=HUGE[2]), "Size 31"),
    (hardware_of(baser=["0x0"]), "baser must be an array of 8"), (hardware_of(level_1={"9": []}), "level_1"),
    (hardware_of(level_1={"1": []}), "table that GITS_BASER"), (hardware_of(level_1={"1": [[-1, "0x0"]]}), "level_1"),
    (line_of("hardware", its=[], gicr=[], guards_redistributors=False), "its must be an array of 1"),
    (line_of("shadow.table", table="device", index="x", new="0x0"), "index"),
    (line_of("shadow.table", table="device", index=1, new=None), "new"),
    (line_of("violation"), "bucket is missing"), (line_of("violation", bucket={}), "bucket"),
    (line_of("op", op="store", addr="0x0", hex="zz"), "hexadecimal"),
    (line_of("op", op="store", addr="0x0", hex=5), "hexadecimal"),
    (line_of("op", op="mmio_write", addr="-0x10", size=4, value=1), "addr"),
    (line_of("op", op="load", addr=0, length=0), "length"),
    ('{"step": 1e999, "type": "x", "data": {}}', "step"), ('{"step": 1, "data": {}}', "type is missing"),
    ('{"step": 1, "type": "x"}', "data is missing"), ('{"type": "x", "data": {}}', "step is missing"),
    ('{"step": -1, "type": "x", "data": {}}', "step"), ("[" * 100_000, "JSON"), ('{"a":' * 100_000, "JSON"),
    ('{"step": ' + "9" * 5000 + "}", "JSON"),
]  # fmt: skip


@pytest.mark.parametrize("line, said", REFUSED, ids=range(len(REFUSED)))
def test_what_no_machine_does_is_refused_at_the_door(line: str, said: str) -> None:
    """With its line and a sentence, before anything is made of it."""
    with pytest.raises(LogError) as caught:
        check_log([json.dumps(HEAD), line])

    assert caught.value.line == 2
    assert said in caught.value.message


BAD_HEADS: list[tuple[dict[str, Any], str]] = [
    ({"its": 10**8}, "its must be 1 to 8"), ({"its": -1}, "its"), ({"cpus": 0}, "cpus"), ({"cpus": "x"}, "cpus"),
    ({"map": {}}, "map.gicd is missing"), ({"map": {**HEAD["map"], "ram_bytes": -1}}, "map.ram_bytes"),
    ({"map": {**HEAD["map"], "gicr_stride": 0}}, "gicr_stride"), ({"id_bits": 60}, "id_bits"),
    ({"map": {**HEAD["map"], "hyp": "0x0"}}, "map.hyp must lie in RAM"),
    ({"map": {**HEAD["map"], "ram": hex((1 << 52) - 4096)}}, "RAM"),
]  # fmt: skip


@pytest.mark.parametrize("change, said", BAD_HEADS, ids=range(len(BAD_HEADS)))
def test_a_head_of_no_machine_is_refused(change: dict[str, Any], said: str) -> None:
    """So that what is judged with it has bounds."""
    with pytest.raises(LogError) as caught:
        check_log([json.dumps({**HEAD, **change})])

    assert caught.value.line == 1
    assert said in caught.value.message


def test_the_bounds_are_those_of_the_product() -> None:
    """No machine that can be made is refused."""
    assert (RAM_MAX >> 20, CPUS_MAX) == (config.MAX_RAM_MIB, config.MAX_CPUS)
    for profile in PROFILES:
        machine = Machine(MachineConfig.make(profile=profile, cpus=CPUS_MAX, ram_mib=config.MAX_RAM_MIB))
        assert len(machine.its) <= ITS_MAX
        assert machine.its[0].typer.id_bits < MAPD_SIZE_MAX
        assert check_log([json.dumps(head_line(machine))]).isolated
