"""Fifty thousand events pushed through one page: its memory stays bounded and it never stops answering."""

from __future__ import annotations

from struct import Struct
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.clients.dashboard.conftest import OpenPage
from tests.clients.dashboard.live_service import LiveService

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600, method="signal")]

EVENTS = 50_000
#: A page that keeps 20,000 events and draws needs about 60 MB; one that kept all, or leaked rows, would need far more.
HEAP_LIMIT = 160 * 1024 * 1024
LONGEST_TASK_MS = 200
#: The budget is about the page, not about who else uses the machine: one undisturbed round in a few must keep it.
ROUNDS = 4

WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ type: "longtask", buffered: true });
"""
_WORDS = Struct("<4Q")


def soaked(live: LiveService) -> tuple[str, dict[str, Any]]:
    """A booted machine without pKVM that has a device with one event."""
    session = live.create(start="host", hardening="off", metadata={"job": "soak"})
    sid = session["id"]
    live.drive(sid, "map_device", device_id=16, events=1)
    return sid, session


#: INT commands in one turn of the queue.
TURN = 1000


def ring_the_bell(live: LiveService, session: dict[str, Any], base: int, write: int) -> int:
    """A turn of INT commands: each is an event, and so is the interrupt that it makes pending. Where the next turn begins."""
    sid, its, commands = session["id"], int(session["map"]["its"], 16), TURN
    data = _WORDS.pack(16 << 32 | 0x03, 0, 0, 0)
    space = min(commands, 2048 - write // 32)
    chunks = [(base + write, data * space), (base, data * (commands - space))]
    ops = [{"op": "store", "addr": hex(at), "hex": blob.hex()} for at, blob in chunks if blob]
    write = (write + commands * 32) % 65536
    live.ops(sid, *ops, {"op": "mmio_write", "addr": hex(its + 0x88), "size": 8, "value": hex(write)})
    return write


def one_round(live: LiveService, page: Page) -> tuple[float, int]:
    """Longest task and heap after 50,000 events while the page is used: searched, scrubbed, switched between views."""
    sid, session = soaked(live)
    page.goto("about:blank")  # another hash alone would keep the document, and with it what it has seen
    page.goto(f"{live.url}/#/s/{sid}/events")
    expect(page.get_by_text("● live")).to_be_visible()
    page.evaluate("window.longTasks.length = 0")
    queue = live.call("GET", f"/v1/sessions/{sid}/queues")["hw"]
    base, write = int(queue["base"], 16), queue["cwriter"]
    seq = 0
    views = ("events", "timeline", "queues", "memory", "refusals")
    turn = 0
    while seq < EVENTS:
        write = ring_the_bell(live, session, base, write)
        seq = live.call("GET", f"/v1/sessions/{sid}")["seq"]
        turn += 1
        if turn % 5 == 0:
            page.evaluate(f"location.hash = '#/s/{sid}/{views[turn // 5 % len(views)]}'")
    page.evaluate(f"location.hash = '#/s/{sid}/events'")
    expect(page.get_by_test_id("moment")).to_have_text(f"{seq:,}", timeout=60_000)
    page.get_by_role("searchbox", name="Search in events").fill("intid 8192")
    expect(page.get_by_test_id("counters")).to_contain_text("shown of 20,000 kept", timeout=30_000)
    expect(page.get_by_test_id("dropped")).to_have_text(f"{seq - 20_000:,}", timeout=30_000)
    for _ in range(5):
        page.keyboard.press("Escape")
        page.get_by_label("Moment shown, as the number of the event").press("PageDown")
        page.wait_for_timeout(100)
    longest = page.evaluate("Math.max(0, ...window.longTasks)")
    page.evaluate("window.gc && window.gc()")
    heap = page.evaluate("performance.memory.usedJSHeapSize")
    live.kill(sid)
    page.expect_errors("404", "WebSocket")  # type: ignore[attr-defined]
    return longest, heap


def test_fifty_thousand_events_leave_the_page_responsive_and_its_heap_bounded(
    live: LiveService, open_page: OpenPage
) -> None:
    """No task over 200 ms and a heap under the limit, with the page in use while the events come."""
    page = open_page(f"{live.url}/#/")
    page.add_init_script(WATCH)
    seen: list[float] = []
    for _ in range(ROUNDS):
        longest, heap = one_round(live, page)
        seen.append(longest)
        assert heap < HEAP_LIMIT
        if longest <= LONGEST_TASK_MS:
            return
    pytest.fail(f"in each of {ROUNDS} rounds some task took longer than {LONGEST_TASK_MS} ms: {seen}")
