"""Where a reader of a session's events stands: resume without hole and without duplicate, as a pure state machine.

An event's ``seq`` counts up without holes for as long as the session lives; a restore changes the machine and the epoch, but
never takes a number back. So the last ``seq`` that a reader has seen is all it needs to go on after a lost connection: what it
then gets again is dropped, what is missing is said with a ``Gap``, and ``epoch`` tells which events lie behind a restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from itsbox_client.models import Event, Gap, StreamItem
from itsbox_client.wire import query

__all__ = ["StreamPosition"]


class StreamPosition:
    """The position of one reader.

    Invariant: every event of the session after the first ``after``, up to ``self.after`` and of the wanted types, was given out
    exactly once or lies within a Gap that was given out.
    """

    def __init__(self, after: int = 0, types: Iterable[str] | None = None) -> None:
        self.after = after
        #: The session's epoch as of the last frame; 0 before the first.
        self.epoch = 0
        self.types = None if types is None else tuple(types)
        #: Whether the session said that it ended.
        self.closed = False

    @property
    def params(self) -> dict[str, str]:
        """The query to connect with, the first time and each time again."""
        return query({"after": self.after, "types": self.types})

    def take(self, frame: Mapping[str, Any]) -> list[StreamItem]:
        """What a frame of the stream (or a page of ``GET .../events``) brings that was not given out before."""
        self.epoch = int(frame.get("epoch", self.epoch))
        out: list[StreamItem] = []
        gap = frame.get("gap")
        if gap is not None:
            out += self._gap(int(gap["from"]), int(gap["to"]))
        for wire in frame.get("events", ()):
            out += self._event(wire)
        return out

    def _gap(self, first: int, last: int) -> list[StreamItem]:
        first = max(first, self.after + 1)
        if last < first:
            return []
        self.after = last
        return [Gap(self.epoch, first, last)]

    def _event(self, wire: Mapping[str, Any]) -> list[StreamItem]:
        seq = int(wire["seq"])
        if seq <= self.after:
            return []
        out: list[StreamItem] = []
        if self.types is None and seq > self.after + 1:
            # Without a filter a jump can only mean that something was lost on the way.
            out += self._gap(self.after + 1, seq - 1)
        self.after = seq
        self.closed = self.closed or wire["type"] == "session.closed"
        out.append(Event.from_wire(self.epoch, wire))
        return out
