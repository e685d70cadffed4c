"""Resuming a stream: no hole, no duplicate, and honest gaps."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox_client.models import Event, Gap
from itsbox_client.stream import StreamPosition


def _event(seq: int, kind: str = "driver.log") -> dict[str, Any]:
    return {"seq": seq, "step": seq, "type": kind, "data": {"line": f"event {seq}"}}


def _frame(*seqs: int, epoch: int = 1) -> dict[str, Any]:
    return {"epoch": epoch, "events": [_event(seq) for seq in seqs]}


def _seqs(items: list[Any]) -> list[int]:
    return [item.seq for item in items]


def test_events_come_out_as_they_came_in() -> None:
    """A frame's events, with the epoch beside them and numbers as ints."""
    position = StreamPosition()

    (event,) = position.take(
        {"epoch": 3, "events": [{"seq": 1, "step": 9, "type": "trap.mmio", "data": {"addr": "0x8080088"}}]}
    )

    assert event == Event(3, 1, 9, "trap.mmio", {"addr": 0x808_0088})


def test_what_was_seen_is_dropped_after_a_reconnect() -> None:
    """A server that repeats the end of the last frame does not make duplicates."""
    position = StreamPosition()
    position.take(_frame(1, 2, 3))

    assert _seqs(position.take(_frame(2, 3, 4))) == [4]
    assert position.params == {"after": "4"}


def test_a_gap_of_the_server_is_passed_on() -> None:
    """Where history is gone the reader is told which numbers are missing."""
    position = StreamPosition(after=10)

    assert position.take({"gap": {"from": 11, "to": 20}}) == [Gap(0, 11, 20)]
    assert _seqs(position.take(_frame(21))) == [21]


def test_a_gap_that_overlaps_what_was_seen_is_cut() -> None:
    """Numbers that were given out are never declared missing."""
    position = StreamPosition()
    position.take(_frame(1, 2, 3))

    assert position.take({"gap": {"from": 2, "to": 5}}) == [Gap(1, 4, 5)]
    assert position.take({"gap": {"from": 1, "to": 5}}) == []


def test_a_jump_without_a_word_is_a_gap_too() -> None:
    """Without a filter, numbers have no holes; one that has is said, never passed over."""
    position = StreamPosition()
    position.take(_frame(1))

    assert position.take(_frame(4))[0] == Gap(1, 2, 3)


def test_with_a_filter_jumps_are_normal() -> None:
    """A filtered stream skips what was not asked for."""
    position = StreamPosition(types=["violation", "driver.log"])

    assert _seqs(position.take(_frame(1, 7, 9))) == [1, 7, 9]
    assert position.params == {"after": "9", "types": "violation,driver.log"}


def test_a_restore_is_seen_in_the_epoch() -> None:
    """Numbers go on across a restore; the epoch tells the two histories apart."""
    position = StreamPosition()

    items = position.take(_frame(1, 2)) + position.take(_frame(3, epoch=2))

    assert [(item.epoch, item.seq) for item in items if isinstance(item, Event)] == [(1, 1), (1, 2), (2, 3)]


def test_the_end_of_a_session_ends_the_stream() -> None:
    """After session.closed nothing follows."""
    position = StreamPosition()
    position.take({"epoch": 1, "events": [_event(1, "session.closed")]})

    assert position.closed


@settings(derandomize=True)
@given(st.data())
def test_whatever_the_server_repeats_or_loses_each_number_is_accounted_for_once(data: st.DataObject) -> None:
    """Frames that overlap or jump in any way: each number comes out once, as an event or within a gap, in order."""
    position = StreamPosition()
    accounted: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        first = data.draw(st.integers(1, position.after + 5))
        for item in position.take(_frame(*range(first, first + data.draw(st.integers(0, 6))))):
            accounted += [item.seq] if isinstance(item, Event) else range(item.first, item.last + 1)

    assert accounted == list(range(1, position.after + 1))
