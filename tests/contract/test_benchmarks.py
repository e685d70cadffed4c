"""The benchmarks run, say what they held against what, and know a goal that was missed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import in_process, over_the_wire
from benchmarks.__main__ import GROUPS, main
from benchmarks.bench_machine import STREAMS, bare
from benchmarks.rounds import Plan, Result, rounds
from itsbox.ops import MmioRead
from itsbox.replay import qemu

QUICK = Plan(1, 0.01)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little enough for a test: the harness is looked at, not the machine."""
    monkeypatch.setattr(over_the_wire, "IDLE_SESSIONS", 100)


@pytest.mark.parametrize("group", ["http", "snapshots", "watching", "memory", "scale"])
def test_a_group_runs_here(group: str, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]) -> None:
    """One round; every row has a value, and a ratio where there is something to hold it against."""
    out = tmp_path / "results.json"

    code = main(["--rounds", "1", "--seconds", "0.01", "--only", group, "--out", str(out)])

    told = json.loads(out.read_text())
    assert code == 0
    assert told["rounds"] == 1
    assert told["rows"]
    assert all(row["group"] == group and row["value"] > 0 and (row["ratio"] or not row["peer"]) for row in told["rows"])
    shown = capsys.readouterr().out
    assert all(row["figure"] in shown for row in told["rows"])


@pytest.mark.qemu
@pytest.mark.parametrize("row", [in_process.commands, in_process.executions, over_the_wire.batches])
def test_a_row_against_qemu_runs(row: Callable[[Plan], list[Result]], need: Callable[[str, str], str]) -> None:
    """QEMU is started by the benchmark and answers the same commands."""
    need(qemu.QEMU, qemu.PACKAGE)

    assert all(r.value > 0 and r.peer_value and r.peer and r.peer.startswith("QEMU") for r in row(QUICK))


def test_without_qemu_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be measured is named, and counts as missed only when the run is strict."""
    monkeypatch.setenv("PATH", "")
    words = ["--rounds", "1", "--only", "commands", "--out", str(tmp_path / "r.json")]

    assert main(words) == 0
    assert "not measured: commands: qemu-system-aarch64 is not installed" in capsys.readouterr().out
    assert main([*words, "--strict"]) == 1


def test_the_order_rotates_and_medians_are_taken() -> None:
    """So that no variant is always the first, and one bad round decides nothing."""
    order: list[str] = []
    values = {"a": iter([1.0, 100.0, 3.0]), "b": iter([7.0, 8.0, 9.0])}

    def variant(name: str) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return next(values[name])

        return measure

    found = rounds(Plan(3, 0), {name: variant(name) for name in "ab"})

    assert found == {"a": 3.0, "b": 8.0}
    assert order == ["a", "b", "b", "a", "a", "b"]


@pytest.mark.parametrize(
    "value, peer, goal, at_most, met",
    [(2.0, 1.0, 2.0, False, True), (1.9, 1.0, 2.0, False, False), (2.1, 1.0, 2.0, True, False), (1.0, 1.0, None, False, None),
     (100.0, None, 256.0, True, True), (300.0, None, 256.0, True, False)],
)  # fmt: skip
def test_a_goal_is_met_or_missed(
    value: float, peer: float | None, goal: float | None, at_most: bool, met: bool | None
) -> None:
    """By the ratio, or by the value where nothing is held against it."""
    result = Result("g", "f", "1/s", value, "p" if peer else None, peer, goal, at_most)

    assert result.met is met
    assert result.as_json()["met"] is met


def test_wrong_usage_is_refused() -> None:
    """No rounds, no such group."""
    for words in (["--rounds", "0"], ["--only", "nothing"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2


def test_the_readme_names_every_group() -> None:
    """And only those."""
    page = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text()

    assert {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")} == set(GROUPS)


@pytest.mark.parametrize("name", STREAMS)
def test_the_streams_are_carried_out(name: str) -> None:
    """A benchmark of commands that fail would measure something else."""
    machine = bare(4)
    ring = in_process._ours(machine, name)

    ring.turn(200)

    records = [event[0].name for event in machine.take_events()]
    assert records.count("command.executed") == 200
    assert "command.error" not in records
    assert machine.apply(MmioRead(0x808_0090, 8)).value == 32 * ring.slot  # type: ignore[union-attr]
