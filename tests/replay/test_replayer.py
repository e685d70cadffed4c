"""Every recording replays without a difference, in this process and over HTTP; and a difference would be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from itsbox.api.server import BackgroundServer
from itsbox.replay.http_target import HttpTarget
from itsbox.replay.replayer import Report, replay
from itsbox.replay.steps import count_steps
from itsbox.replay.target import InProcess, wish_for
from itsbox.replay.trace import (
    Acknowledge,
    Crash,
    End,
    Line,
    Read,
    RecordedCommand,
    Region,
    Sent,
    Trace,
    Write,
    read_traces,
)

TRACES = Path(__file__).parents[1] / "data" / "traces"
SCENARIOS = sorted((TRACES / "scenarios").glob("*.jsonl"))
CLIENTS = ["linux-boot-gicv3", "kvm-unit-tests-its-introspection"]
RANDOM = ["random-gicv3", "random-gicv4"]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a real server on loopback."""
    with BackgroundServer() as server:
        yield server.url


def in_process(trace: Trace) -> Report:
    """Replay against a machine here."""
    return replay(trace, InProcess(wish_for(trace.head)))


def over_http(trace: Trace, url: str) -> Report:
    """Replay against a session of a service."""
    with HttpTarget(url, wish_for(trace.head)) as target:
        return replay(trace, target)


def texts(report: Report) -> list[str]:
    """The differences, for the failure's message."""
    return [str(difference) for difference in report.differences]


def from_file(name: str) -> list[Trace]:
    """The traces of a compressed recording."""
    return list(read_traces(TRACES / f"{name}.jsonl.gz"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_written_sequence_replays(path: Path, service: str) -> None:
    """Reads, verdicts, registers, memory and decoded tables are as QEMU's; both ways give the same report."""
    (trace,) = read_traces(path)

    report = in_process(trace)

    assert texts(report) == []
    assert over_http(trace, service) == report


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("part", range(4))
def test_random_sequences_replay(name: str, part: int, service: str) -> None:
    """All sixty of each GIC version, both ways."""
    for trace in from_file(name)[part::4]:
        report = in_process(trace)

        assert texts(report) == []
        assert over_http(trace, service) == report


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_replays(name: str, service: str) -> None:
    """Real software is answered as it was when it ran, with each LPI acknowledged that it acknowledged."""
    (trace,) = from_file(name)

    report = in_process(trace)

    assert texts(report) == []
    assert over_http(trace, service) == report


def test_the_linux_boot_is_all_there() -> None:
    """The counts that the demo prints are those of the recording."""
    (trace,) = from_file("linux-boot-gicv3")

    report = in_process(trace)

    assert (report.reads, report.commands, report.msis, report.delivered, report.acknowledges) == (
        855,
        321,
        166,
        166,
        166,
    )
    assert report.not_compared == ()


# ---------------------------------------------------------------- a replay that could not fail would show nothing


def tampered(trace: Trace, kind: type[Line]) -> Trace:
    """The trace with its first line of a kind changed to say something else."""
    lines = list(trace.lines)
    i = next(
        i for i, line in enumerate(lines) if isinstance(line, kind) and (not isinstance(line, Write) or line.commands)
    )
    match lines[i]:
        case Read() as read:
            lines[i] = read._replace(value=read.value ^ 1)
        case Sent() as sent:
            lines[i] = sent._replace(translated=not sent.translated)
        case Acknowledge() as ack:
            lines[i] = ack._replace(intid=ack.intid + 1)
        case Write(commands=commands) as write:
            lines[i] = write._replace(commands=(commands[0]._replace(result="stalled"), *commands[1:]))
    return trace._replace(lines=tuple(lines))


@pytest.mark.parametrize("kind, what", [(Read, "read"), (Sent, "msi"), (Acknowledge, "ack"), (Write, "command")])
def test_a_changed_line_is_found(kind: type[Line], what: str) -> None:
    """In the client's trace, which has every kind of line."""
    (trace,) = from_file("linux-boot-gicv3")

    report = in_process(tampered(trace, kind))

    assert what in [difference.what for difference in report.differences]


def test_a_changed_end_is_found() -> None:
    """Registers, memory and decoded tables, each on its own."""
    (trace,) = read_traces(TRACES / "scenarios" / "v3-flat-4k-basic.jsonl")
    end = trace.lines[-1]
    assert isinstance(end, End)
    name, region = next(iter(end.memory.items()))
    others = {
        "register": end._replace(registers={**end.registers, "GITS_CWRITER": 0x60}),
        "memory": end._replace(memory={**end.memory, name: Region(name, region.addr, region.length, ())}),
        "state": end._replace(state={**end.state, "collections": {}}),
    }

    found = {
        what: texts(in_process(trace._replace(lines=(*trace.lines[:-1], other)))) for what, other in others.items()
    }

    assert all(f" {what} " in found[what][0] for what in others)


def test_a_missing_command_is_found() -> None:
    """The machine may not carry out what QEMU did not."""
    (trace,) = read_traces(TRACES / "scenarios" / "v3-flat-4k-basic.jsonl")
    lines = tuple(line._replace(commands=()) if isinstance(line, Write) else line for line in trace.lines)

    assert {d.what for d in in_process(trace._replace(lines=lines)).differences} == {"command"}


def test_a_crash_of_the_recorded_model_ends_the_comparison() -> None:
    """There is no final state then, and the report says so."""
    (trace,) = read_traces(TRACES / "scenarios" / "v3-flat-4k-basic.jsonl")

    report = in_process(trace._replace(lines=(*trace.lines[:10], Crash(11, "SIGSEGV"))))

    assert texts(report) == []
    assert report.not_compared == ("the final state: the recorded model crashed (SIGSEGV)",)


@pytest.mark.parametrize("kept", [0, 10])
def test_a_trace_that_breaks_off_says_that_its_end_was_not_compared(kept: int) -> None:
    """A file that was cut is no file without a difference; one of nothing but its head is no crash of ours."""
    (trace,) = read_traces(TRACES / "scenarios" / "v3-flat-4k-basic.jsonl")

    report = in_process(trace._replace(lines=trace.lines[:kept]))

    assert texts(report) == []
    assert report.not_compared == ("the final state: the trace breaks off before its end",)


def test_progress_adds_up_to_the_steps() -> None:
    """A progress bar that is given these numbers ends full."""
    (trace,) = from_file("linux-boot-gicv3")
    seen: list[int] = []

    report = replay(trace, InProcess(wish_for(trace.head)), seen.append)

    assert sum(seen) == report.ops == count_steps(trace)
    assert len(seen) > 1


def test_a_report_is_json_like() -> None:
    """Nothing in it needs this package to be understood."""
    (trace,) = from_file("kvm-unit-tests-its-introspection")

    report = in_process(tampered(trace, Read)).as_json()

    assert report["trace"] == "kvm-unit-tests-its-introspection"
    assert report["differences"][0]["what"] == "read"
    assert isinstance(report["not_compared"], list)


def test_a_verdict_is_part_of_a_report_only_as_a_count() -> None:
    """Commands are counted as the machine reports them."""
    (trace,) = read_traces(TRACES / "scenarios" / "v3-all-opcodes.jsonl")
    recorded = [c for line in trace.lines if isinstance(line, Write) for c in line.commands]

    assert in_process(trace).commands == len(recorded)
    assert isinstance(recorded[0], RecordedCommand)
