"""One step of a replay: what agrees with a recorded line and what is listed as a difference."""

from __future__ import annotations

import pytest

from itsbox.ops import Ack, Clean, Fill, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.compare import Answer, AnsweredCommand, Step, compare_step, describe
from itsbox.replay.trace import Acknowledge, Line, Read, RecordedCommand, Sent, Stored, Write

READ = Step(MmioRead(0x808_0008, 8), Read(7, 0x808_0008, 8, 0x1F))
MSI = Step(Msi(8, 1), Sent(8, 8, 1, translated=True))
ACK = Step(Ack(0), Acknowledge(9, 0, 8193))


def ran(*results: tuple[int, str | None, str]) -> Step:
    """A CWRITER write that the recording says ran those commands."""
    line = Write(5, 0x808_0088, 8, 0x40, tuple(RecordedCommand(*result) for result in results))
    return Step(MmioWrite(0x808_0088, 8, 0x40), line)


def answered(*commands: tuple[int, str | None, str]) -> Answer:
    """An answer with those commands."""
    return Answer("ok", commands=tuple(AnsweredCommand(*command) for command in commands))


@pytest.mark.parametrize(
    "step, answer",
    [
        (READ, Answer("ok", value=0x1F)),
        (MSI, Answer("ok", delivered=True)),
        (ACK, Answer("ok", intid=8193)),
        (Step(Store(0, b"x"), Stored(1, 0, b"x")), Answer("ok")),
        (Step(MmioRead(0, 4), None), Answer("ok", value=99)),
        (ran(), answered()),
    ],
)
def test_agreement_is_silent(step: Step, answer: Answer) -> None:
    """Equal values, and steps of which nothing was recorded."""
    assert compare_step("t", step, answer) == []


@pytest.mark.parametrize(
    "step, answer, what, expected, got",
    [
        (READ, Answer("ok", value=0x20), "read", "0x1f", "0x20"),
        (READ, Answer("ok"), "read", "0x1f", "nothing"),
        (MSI, Answer("ok", delivered=False), "msi", "translated", "dropped"),
        (ACK, Answer("ok", intid=1023), "ack", "8193", "1023"),
        (READ, Answer("abort (x)", value=0x1F), "outcome", "ok", "abort (x)"),
    ],
)
def test_a_difference_names_line_kind_and_both_sides(
    step: Step, answer: Answer, what: str, expected: str, got: str
) -> None:
    """A person can go to the line of the trace and see what was expected there."""
    recorded = step.recorded
    assert recorded is not None

    (difference,) = compare_step("t", step, answer)

    assert (difference.trace, difference.line, difference.what) == ("t", recorded.line, what)
    assert (difference.expected, difference.got) == (expected, got)
    assert str(difference).startswith(f"t:{recorded.line}: {what} ")


@pytest.mark.parametrize(
    "recorded, verdict, agrees",
    [
        ("ok", "executed", True),
        ("ok", "error", False),
        ("ignored", "error", True),
        ("ignored", "executed", False),
        ("ignored", "stalled", False),
        ("silent", "executed", True),
        ("silent", "error", True),
        ("silent", "stalled", False),
        ("stalled", "stalled", True),
        ("stalled", "error", False),
        ("ok", "refused", False),
    ],
)
def test_results_and_verdicts_agree_by_the_table(recorded: str, verdict: str, agrees: bool) -> None:
    """Two vocabularies, one translation."""
    found = compare_step("t", ran((2, "INT", recorded)), answered((2, "INT", verdict)))

    assert (found == []) is agrees


def test_an_unknown_opcode_has_no_name() -> None:
    """It is an error of a command without name."""
    step = ran((2, None, "unknown"))

    assert compare_step("t", step, answered((2, None, "error"))) == []
    assert compare_step("t", step, answered((2, "VSGI", "error"))) != []


@pytest.mark.parametrize("commands", [(), ((3, "INT", "executed"),), ((2, "CLEAR", "executed"),)])
def test_commands_must_be_the_same_ones(commands: tuple[tuple[int, str, str], ...]) -> None:
    """As many, in the same slots, of the same names."""
    assert compare_step("t", ran((2, "INT", "ok")), answered(*commands))


def test_commands_out_of_nowhere_are_a_difference() -> None:
    """A write that ran nothing in the recording must run nothing here."""
    (difference,) = compare_step("t", ran(), answered((0, "SYNC", "executed")))

    assert (difference.expected, difference.got) == ("0 commands", "1 commands")


@pytest.mark.parametrize(
    "op, line",
    [
        (MmioRead(0x10, 4), "read 0x10 (4 bytes)"),
        (MmioWrite(0x10, 8, 5), "write 0x10 (8 bytes) = 0x5"),
        (Store(0x10, b"ab"), "store 2 bytes at 0x10"),
        (Load(0x10, 3), "load 3 bytes at 0x10"),
        (Fill(0x10, 4, 255), "fill 4 bytes at 0x10 with 0xff"),
        (Msi(16, 2), "MSI device 0x10 event 2"),
        (Ack(1), "acknowledge on CPU 1"),
        (Clean(1, 2), "Clean(addr=1, length=2)"),
    ],
)
def test_ops_are_described_in_words(op: Op, line: str) -> None:
    """A list of differences is read by people."""
    assert describe(op) == line


def test_lines_of_a_trace_carry_their_number() -> None:
    """Differences point into the file, whatever line they are about."""
    lines: list[Line] = [Read(3, 0, 4, 0), Sent(3, 0, 0, translated=False), Acknowledge(3, 0, 0)]
    assert {line.line for line in lines} == {3}
