"""Live fan-out of one session's events: cut into frames, each frame encoded once for all who want the same.

A subscriber is a cursor. Nothing is queued for it: it reads the ring from where it stands, so a reader that has stopped
costs nothing, holds nobody up, and learns by a gap what it missed. New events become visible to subscribers at a *cut*,
at most ``INTERVAL`` seconds or ``BATCH`` events after they happened. Subscribers that stand at the same place with the same
filter are given the same frame object; that is what makes a hundred of them affordable.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import orjson

from itsbox.events import render
from itsbox.sessions.errors import CapExceeded
from itsbox.sessions.ring import EventRing

__all__ = ["BATCH", "INTERVAL", "Feed", "Frame", "Subscription", "Types"]

INTERVAL: Final = 0.05
BATCH: Final = 200
_FRAMES_CACHED: Final = 64

#: Names of the event types wanted, or None for all.
Types = frozenset[str] | None


class Frame(NamedTuple):
    """One message to a subscriber: JSON text, and the number of the last event that it covers."""

    last: int
    text: str


class Feed:
    """The subscribers of one session and the frames made for them.

    Invariant: ``edge`` (the number up to which subscribers may read) never decreases and never exceeds ``ring.head``.
    """

    __slots__ = ("_frames", "_timer", "closed", "edge", "epoch", "limit", "ring", "subscribers")

    def __init__(self, ring: EventRing, epoch: Callable[[], int], limit: int) -> None:
        self.ring = ring
        self.epoch = epoch
        self.limit = limit
        self.edge = 0
        self.closed = False
        self.subscribers: set[Subscription] = set()
        self._frames: OrderedDict[tuple[int, int, int, Types], str | None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self) -> None:
        """Say that the ring has grown."""
        if not self.subscribers:
            return
        if self.ring.head - self.edge >= BATCH:
            self._cut()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._cut)

    def _cut(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.edge = self.ring.head
        for subscriber in self.subscribers:
            subscriber.wake.set()

    def close(self) -> None:
        """No event will follow: subscribers read to the end and stop."""
        self.closed = True
        self._cut()

    def subscribe(self, after: int, types: Types) -> Subscription:
        """A cursor behind event ``after`` (or behind the newest). Raises ``CapExceeded`` when there are too many."""
        if len(self.subscribers) >= self.limit:
            raise CapExceeded(
                "subscribers_per_session",
                self.limit,
                len(self.subscribers),
                "the session has as many event streams as it may have",
                status=429,
            )
        subscription = Subscription(self, min(after, self.ring.head), types)
        self.subscribers.add(subscription)
        self._cut()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a cursor; with the last one go the frames."""
        self.subscribers.discard(subscription)
        if not self.subscribers:
            self._frames.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def frame(self, after: int, upto: int, types: Types) -> str | None:
        """The text for the events ``after + 1`` to ``upto`` of these types; None if there are none."""
        epoch = self.epoch()
        key = (epoch, after, upto, types)
        frames = self._frames
        if key in frames:
            frames.move_to_end(key)
            return frames[key]
        events = [
            {"seq": seq, **render(event)}
            for seq, event in self.ring.slice(after, upto)
            if types is None or event[0].name in types
        ]
        text = orjson.dumps({"epoch": epoch, "events": events}).decode() if events else None
        frames[key] = text
        if len(frames) > _FRAMES_CACHED:
            frames.popitem(last=False)
        return text


class Subscription:
    """One reader's place in a feed; leave it with ``close``."""

    __slots__ = ("cursor", "feed", "types", "wake")

    def __init__(self, feed: Feed, after: int, types: Types) -> None:
        self.feed = feed
        self.cursor = after
        self.types = types
        self.wake = asyncio.Event()

    async def next(self) -> Frame | None:
        """The next frame, waiting for it if need be; None after the last one of an ended session.

        A frame holds ``{"epoch", "events": [...]}`` or, where history is gone, ``{"gap": {"from", "to"}}``.
        """
        feed, ring = self.feed, self.feed.ring
        while True:
            missing_to = ring.first - 1
            if self.cursor < missing_to:
                gap = {"gap": {"from": self.cursor + 1, "to": missing_to}}
                self.cursor = missing_to
                return Frame(missing_to, orjson.dumps(gap).decode())
            if self.cursor < feed.edge:
                upto = min(self.cursor + BATCH, feed.edge)
                text = feed.frame(self.cursor, upto, self.types)
                self.cursor = upto
                if text is not None:
                    return Frame(upto, text)
                await asyncio.sleep(0)  # a filter that matches little may scan a long history
                continue
            if feed.closed:
                return None
            self.wake.clear()
            await self.wake.wait()

    def close(self) -> None:
        """Leave the feed."""
        self.feed.unsubscribe(self)
