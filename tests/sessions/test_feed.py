from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from itsbox.events import COMMAND_EXECUTED, DRIVER_LOG, Event
from itsbox.sessions.errors import CapExceeded
from itsbox.sessions.feed import BATCH, Feed, Subscription
from itsbox.sessions.ring import EventRing


def make(kept: int = 10_000, limit: int = 100) -> Feed:
    """A feed without a session."""
    return Feed(EventRing(kept), lambda: 1, limit)


def publish(feed: Feed, count: int) -> None:
    """Let events happen whose lines are their numbers."""
    first = feed.ring.head + 1
    new: list[Event] = [(DRIVER_LOG, 0, str(n)) for n in range(first, first + count)]
    feed.ring.extend(new)
    feed.publish()


async def take(subscription: Subscription) -> dict[str, Any]:
    """The next frame, decoded."""
    frame = await asyncio.wait_for(subscription.next(), 5)
    assert frame is not None
    answer: dict[str, Any] = json.loads(frame.text)
    return answer


def numbers(frame: dict[str, Any]) -> list[int]:
    """The numbers of a frame's events."""
    return [event["seq"] for event in frame["events"]]


async def test_history_comes_before_what_is_live() -> None:
    """A subscriber behind event 1 is given 2 and 3, then 4 as soon as it happens."""
    feed = make()
    publish(feed, 3)
    reader = feed.subscribe(1, None)

    assert numbers(await take(reader)) == [2, 3]

    publish(feed, 1)

    assert numbers(await take(reader)) == [4]


async def test_a_frame_holds_at_most_a_batch() -> None:
    """A burst is cut into frames without hole or overlap."""
    feed = make()
    reader = feed.subscribe(0, None)
    publish(feed, 2 * BATCH + 5)

    frames = [numbers(await take(reader)) for _ in range(3)]

    assert [len(frame) for frame in frames] == [BATCH, BATCH, 5]
    assert [n for frame in frames for n in frame] == list(range(1, 2 * BATCH + 6))


async def test_readers_at_the_same_place_share_one_encoding() -> None:
    """Two subscribers with the same filter are given the same string object, one with another filter is not."""
    feed = make()
    same = [feed.subscribe(0, None) for _ in range(2)]
    other = feed.subscribe(0, frozenset({"driver.log"}))
    publish(feed, BATCH)

    frames = [await reader.next() for reader in (*same, other)]

    texts = [frame.text for frame in frames if frame is not None]
    assert texts[0] is texts[1]
    assert texts[0] == texts[2]
    assert texts[0] is not texts[2]


async def test_few_events_wait_for_the_interval_then_come_together() -> None:
    """Events that happen within the interval reach a live subscriber in one frame."""
    feed = make()
    reader = feed.subscribe(0, None)
    pending = asyncio.ensure_future(take(reader))
    for _ in range(3):
        publish(feed, 1)
        await asyncio.sleep(0)

    assert not pending.done()
    assert numbers(await pending) == [1, 2, 3]


async def test_a_filter_hides_events_but_not_their_numbers() -> None:
    """A filtered subscriber sees its types only, and moves past the others."""
    feed = make()
    reader = feed.subscribe(0, frozenset({"command.executed"}))
    publish(feed, 2)
    feed.ring.extend([(COMMAND_EXECUTED, 1, 0, "SYNC", (5, 0, 0, 0))])
    publish(feed, BATCH)

    frame = await take(reader)

    assert numbers(frame) == [3]
    assert frame["events"][0]["data"]["words"] == ["0x5", "0x0", "0x0", "0x0"]


async def test_a_reader_that_fell_behind_is_told_what_it_missed() -> None:
    """A cursor behind the ring gets one gap, then everything that is left."""
    feed = make(kept=100)
    reader = feed.subscribe(0, None)
    publish(feed, 250)

    gap = await take(reader)
    rest = [numbers(await take(reader))]

    assert gap == {"gap": {"from": 1, "to": 150}}
    assert [n for frame in rest for n in frame] == list(range(151, 251))


async def test_a_reader_that_stopped_holds_nobody_up() -> None:
    """While one subscriber takes nothing, another is given everything, and nothing piles up for the first."""
    feed = make(kept=1000)
    stopped, live = feed.subscribe(0, None), feed.subscribe(0, None)
    seen: list[int] = []
    for _ in range(50):
        publish(feed, BATCH)
        seen += numbers(await take(live))

    assert seen == list(range(1, 50 * BATCH + 1))
    assert len(feed._frames) <= 64
    assert await take(stopped) == {"gap": {"from": 1, "to": 50 * BATCH - 1000}}


async def test_the_cap_on_subscribers_names_itself() -> None:
    """One stream too many is refused with 429 and the cap's name; leaving makes room."""
    feed = make(limit=1)
    first = feed.subscribe(0, None)
    with pytest.raises(CapExceeded) as refused:
        feed.subscribe(0, None)
    first.close()

    assert (refused.value.cap, refused.value.status) == ("subscribers_per_session", 429)
    assert feed.subscribe(0, None).cursor == 0


async def test_a_closed_feed_is_read_to_its_end() -> None:
    """What happened before the end is delivered, then the stream is over."""
    feed = make()
    reader = feed.subscribe(0, None)
    publish(feed, 3)
    feed.close()

    assert numbers(await take(reader)) == [1, 2, 3]
    assert await reader.next() is None


async def test_a_cursor_from_another_life_waits_for_new_events() -> None:
    """A cursor beyond the newest event is taken as the newest."""
    feed = make()
    publish(feed, 2)
    reader = feed.subscribe(1_000_000, None)
    publish(feed, 1)

    assert numbers(await take(reader)) == [3]
