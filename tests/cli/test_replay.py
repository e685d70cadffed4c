"""itsbox replay: reports, exit codes, and the way to a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from itsbox.api.server import BackgroundServer
from itsbox.cli import app
from itsbox.cli.output import Exit
from itsbox.replay.trace import Read, read_traces, write_trace

run = CliRunner().invoke


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A real server on loopback."""
    with BackgroundServer() as server:
        yield server.url


@pytest.fixture
def changed(tmp_path: Path, traces: Path) -> Path:
    """A recording in which one read says something else."""
    (trace,) = read_traces(traces / "scenarios" / "v3-registers-at-reset.jsonl")
    lines = list(trace.lines)
    assert isinstance(lines[0], Read)
    lines[0] = lines[0]._replace(value=0x1234)
    path = tmp_path / "changed.jsonl"
    write_trace(path, trace._replace(lines=tuple(lines)))
    return path


def test_recordings_without_a_difference_end_with_0(traces: Path) -> None:
    """One line for each trace, and what could not be compared."""
    files = [str(traces / "scenarios" / f"v3-{name}.jsonl") for name in ("movi", "baser-bits")]

    result = run(app, ["replay", *files])

    assert result.exit_code == Exit.OK
    assert "v3-movi: " in result.stdout
    assert "no difference" in result.stdout
    assert "not compared: devices: GITS_BASER0" in result.stdout
    assert "2 traces, 0 differences" in result.stdout


def test_a_difference_is_listed_and_ends_with_1(changed: Path) -> None:
    """With the line of the trace and both values."""
    result = run(app, ["replay", str(changed)])

    assert result.exit_code == Exit.DIFFERENCE
    assert "v3-registers-at-reset:2: read read 0x8080000 (4 bytes): expected 0x1234, got 0x80000000" in result.stdout


def test_json_has_everything(changed: Path) -> None:
    """One document, nothing else on standard output."""
    result = run(app, ["replay", "--json", str(changed)])

    document = json.loads(result.stdout)
    assert result.exit_code == Exit.DIFFERENCE
    assert document["differences"] == 1
    assert document["traces"][0]["differences"][0] | {"where": ""} == {
        "trace": "v3-registers-at-reset", "line": 2, "what": "read", "where": "", "expected": "0x1234", "got": "0x80000000",
    }  # fmt: skip


def test_a_service_is_asked_when_one_is_named(traces: Path, service: str) -> None:
    """The same report over HTTP."""
    file = str(traces / "scenarios" / "v4-vlpi-basic.jsonl")

    there, here = run(app, ["replay", file, "--url", service]), run(app, ["replay", file])

    assert there.exit_code == Exit.OK
    assert there.stdout == here.stdout


def test_traces_are_chosen_by_id(traces: Path) -> None:
    """Out of a file with many."""
    result = run(app, ["replay", str(traces / "random-gicv3.jsonl.gz"), "--only", "00007"])

    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("v3-random-00007: ")
    assert len(result.stdout.splitlines()) == 1


def test_no_such_trace_is_wrong_usage(traces: Path) -> None:
    """Silence would look like success."""
    result = run(app, ["replay", str(traces / "random-gicv3.jsonl.gz"), "--only", "nothing like it"])

    assert result.exit_code == Exit.USAGE
    assert "nothing like it" in result.stderr


@pytest.mark.parametrize("content", ["", "{}\n", "hello\n"])
def test_a_file_that_is_no_trace_is_wrong_usage(tmp_path: Path, content: str) -> None:
    """Named with its line."""
    path = tmp_path / "bad.jsonl"
    path.write_text(content)

    result = run(app, ["replay", str(path)])

    assert result.exit_code == Exit.USAGE
    assert "bad.jsonl:" in result.stderr


@pytest.mark.parametrize("machine", [{"smp": 4000}, {"gic": 7}, {"ram_mb": 1}])
def test_a_trace_of_an_impossible_machine_is_wrong_usage(traces: Path, tmp_path: Path, machine: dict[str, int]) -> None:
    """What cannot be built is told in a line, not in a traceback."""
    recorded = (traces / "scenarios" / "v3-flat-4k-basic.jsonl").read_text().splitlines()
    head = json.loads(recorded[0])
    head["machine"] |= machine
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join([json.dumps(head), *recorded[1:]]))

    result = run(app, ["replay", str(path)])

    assert result.exit_code == Exit.USAGE
    assert "v3-flat-4k-basic: there is no machine such as it was recorded on" in result.stderr


def test_a_missing_file_is_wrong_usage() -> None:
    """As is no file at all."""
    assert run(app, ["replay", "no/such/file.jsonl"]).exit_code == Exit.USAGE
    assert run(app, ["replay"]).exit_code == Exit.USAGE


def test_an_unreachable_service_ends_with_3(traces: Path) -> None:
    """Port 1 of loopback answers nobody."""
    result = run(app, ["replay", str(traces / "scenarios" / "v3-movi.jsonl"), "--url", "http://127.0.0.1:1"])

    assert result.exit_code == Exit.UNREACHABLE
    assert "http://127.0.0.1:1" in result.stderr
