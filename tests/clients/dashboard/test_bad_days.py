"""What goes wrong around the dashboard is said plainly: nothing hangs, nothing is dropped in silence, nothing is injected."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.clients.dashboard.conftest import OpenPage
from tests.clients.dashboard.live_service import LiveService
from tests.clients.dashboard.scripted_service import ScriptedService, session

pytestmark = pytest.mark.browser

HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "'\"><svg/onload=document.title='owned'>",
    "A" * 5000,
    "{{constructor.constructor('alert(1)')()}}",
]


def started(scripted: ScriptedService, **changes: object) -> str:
    """A session with ten events; where its stream is shown."""
    scripted.sessions["s1"] = session("s1", **changes)
    scripted.add("s1", "driver.log", 10, line="GICv3: 4 interrupts")
    return f"{scripted.url}/#/s/s1/events"


def test_a_service_that_goes_and_comes_back_loses_and_repeats_nothing(
    scripted: ScriptedService, open_page: OpenPage
) -> None:
    """While it is gone the page says so and keeps what it has; when it is back the stream resumes at the next event."""
    page = open_page(started(scripted))
    expect(page.get_by_text("● live")).to_be_visible()
    expect(page.get_by_text("10 shown of 10 kept")).to_be_visible()

    scripted.stop()

    expect(page.get_by_text("The stream is interrupted")).to_be_visible()
    expect(page.get_by_role("button", name="Try now")).to_be_attached()
    expect(page.get_by_text("10 shown of 10 kept")).to_be_visible()

    scripted.add("s1", "driver.log", 5, line="after the restart")
    scripted.start(scripted.port)

    expect(page.get_by_text("● live")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("15 shown of 15 kept")).to_be_visible()
    page.expect_errors("ERR_CONNECTION_REFUSED", "WebSocket")  # type: ignore[attr-defined]


def test_a_restarted_service_with_a_shorter_history_is_noticed(scripted: ScriptedService, open_page: OpenPage) -> None:
    """The same id with fewer events is another history: the page says so and begins again instead of waiting for ever."""
    page = open_page(started(scripted))
    expect(page.get_by_text("10 shown of 10 kept")).to_be_visible()

    scripted.events["s1"] = []
    scripted.add("s1", "driver.log", 3, line="a new life")
    scripted.drop_streams()

    expect(page.get_by_text("history began anew")).to_be_visible()
    expect(page.get_by_text("a new life").first).to_be_visible()
    page.expect_errors("WebSocket")  # type: ignore[attr-defined]


def test_a_session_that_ends_is_said_to_have_ended(scripted: ScriptedService, open_page: OpenPage) -> None:
    """An expired session shows why it is over, keeps what was seen on the screen and is not asked for again."""
    page = open_page(started(scripted))
    expect(page.get_by_text("● live")).to_be_visible()

    scripted.ended["s1"] = "session s1 has ended: idle for 900 s"
    del scripted.sessions["s1"]

    expect(page.get_by_text("session ended")).to_be_visible()
    expect(page.get_by_text("This session is over")).to_be_visible()
    expect(page.get_by_text("10 shown of 10 kept")).to_be_visible()
    streams = scripted.streams
    page.wait_for_timeout(1500)

    assert scripted.streams == streams
    page.expect_errors("404", "WebSocket")  # type: ignore[attr-defined]


def test_a_session_that_never_was_is_said_to_be_missing(scripted: ScriptedService, open_page: OpenPage) -> None:
    """A wrong link leads to a page that names the problem and the way to the list."""
    page = open_page(f"{scripted.url}/#/s/no-such-session/registers")

    expect(page.get_by_text("This session is over")).to_be_visible()
    expect(page.get_by_role("link", name="All sessions")).to_be_visible()
    page.expect_errors("404", "403", "WebSocket")  # type: ignore[attr-defined]


def test_a_gap_in_history_is_a_row_of_the_stream_and_a_count(scripted: ScriptedService, open_page: OpenPage) -> None:
    """Events that the service no longer keeps appear as one row that names them, and in the counters."""
    url = started(scripted)
    scripted.add("s1", "lpi.pending", 90, intid=8192, cpu=0, vpe=None)
    scripted.floor["s1"] = 60
    page = open_page(url)
    expect(page.get_by_test_id("counters")).to_contain_text("41 shown")
    page.get_by_role("grid", name="Event stream").press("Home")

    expect(page.get_by_text(re.compile("events 1.60 are gone: the service no longer keeps them"))).to_be_visible()
    expect(page.get_by_text(re.compile("60 events of this session's history are gone"))).to_be_visible()
    expect(page.get_by_test_id("counters")).to_contain_text("60 lost")


def test_ten_megabytes_at_once_arrive_whole_and_the_page_stays_alive(
    scripted: ScriptedService, open_page: OpenPage
) -> None:
    """One frame of over ten megabytes is taken in pieces: every event is counted and the page answers meanwhile."""
    url = started(scripted)
    scripted.add("s1", "driver.log", 40_000, line="x" * 260)
    scripted.frame = 100_000
    page = open_page(url)
    page.get_by_role("searchbox", name="Search in events").fill("")

    expect(page.get_by_test_id("counters")).to_contain_text("20,000 kept", timeout=60_000)
    expect(page.get_by_test_id("dropped")).to_have_text("20,010", timeout=60_000)
    expect(page.get_by_text("● live")).to_be_visible()


def test_a_malformed_frame_is_reported_and_the_rest_goes_on(scripted: ScriptedService, open_page: OpenPage) -> None:
    """An event without a type is not shown as if it were one: the stream says that a frame was left out."""
    page = open_page(started(scripted))
    expect(page.get_by_text("● live")).to_be_visible()

    scripted.events["s1"].append({"seq": 11, "step": 11, "type": 7, "data": {}})
    scripted.add("s1", "driver.log", 1, line="still here")

    expect(page.get_by_text("a frame of the stream was left out").first).to_be_visible()


def test_hostile_metadata_is_text(scripted: ScriptedService, open_page: OpenPage) -> None:
    """Markup, scripts and very long strings in metadata are shown as the text they are, and run nothing."""
    for number, text in enumerate(HOSTILE):
        scripted.sessions[f"h{number}"] = session(f"h{number}", metadata={f"k{number}": text, text[:60]: "v"})
    page = open_page(scripted.url + "/#/")

    expect(page.get_by_text("Running (7)")).to_be_visible()
    expect(page.get_by_text("<img src=x onerror=").first).to_be_visible()
    expect(page.get_by_text("(5000 characters)")).to_be_visible()

    assert "owned" not in page.title()
    assert page.locator("td img, td script, td svg").count() == 0


def test_hostile_events_are_text(scripted: ScriptedService, open_page: OpenPage) -> None:
    """A driver line or a register name may hold markup: the stream, its detail and the log show it as text."""
    url = started(scripted)
    for text in HOSTILE:
        scripted.add("s1", "driver.log", line=text)
        scripted.add("s1", "command.rejected", slot=1, name=text, words=[text], reason=text, rule=text)
        scripted.add("s1", "violation", oracle=text, sentence=text, bucket=text, evidence={text: text})
    page = open_page(url)
    expect(page.get_by_text("31 shown of 31 kept")).to_be_visible()
    page.get_by_text("slot 1").first.click()

    for view in ("refusals", "violations", "timeline", "queues"):
        page.goto(url.replace("events", view))
        expect(page.get_by_text("● live")).to_be_visible()
        page.wait_for_timeout(200)

    assert "owned" not in page.title()
    assert page.locator("main img, main script").count() == 0


def test_a_restarted_real_service_has_forgotten_the_session_and_the_page_says_so(open_page: OpenPage) -> None:
    """The service that keeps sessions in memory dies and comes back: the page names the end and leads to the list."""
    with LiveService() as first:
        sid = first.create(start="host")["id"]
        page = open_page(f"{first.url}/#/s/{sid}/timeline")
        expect(page.get_by_text("● live")).to_be_visible()
        expect(page.get_by_text("driver.log", exact=True)).to_be_visible()
        port = first.port
    expect(page.get_by_text("The stream is interrupted")).to_be_visible()

    with LiveService(port):
        expect(page.get_by_text("This session is over")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("driver.log", exact=True)).to_be_visible()
        page.get_by_role("link", name="All sessions").click()
        expect(page.get_by_text("No session yet")).to_be_visible()
    page.expect_errors("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "WebSocket", "404")  # type: ignore[attr-defined]


def test_a_service_with_keys_is_asked_with_the_key_that_the_person_gives(open_page: OpenPage) -> None:
    """Without a key the page says what is missing; with it, requests and the stream are let in, and no copy shows it."""
    key = "k3y-for-the-dashboard-test"
    with LiveService(ITSBOX_API_KEYS=key) as service:
        service.http.headers["authorization"] = f"Bearer {key}"
        sid = service.create(start="host")["id"]
        page = open_page(f"{service.url}/#/")
        expect(page.get_by_role("alert")).to_contain_text("bearer token")

        page.get_by_role("button", name="Key", exact=True).click()
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("link", name=sid).click()
        expect(page.get_by_text("● live")).to_be_visible()
        expect(page.get_by_test_id("counters")).to_contain_text("kept")
        assert key not in page.content()
    page.expect_errors("401", "ERR_CONNECTION_REFUSED", "WebSocket")  # type: ignore[attr-defined]


def test_a_slow_reader_is_told_to_wait_and_comes_back(scripted: ScriptedService, open_page: OpenPage) -> None:
    """Evicted as too slow (1013), the page says that the stream is interrupted and resumes by itself."""
    page = open_page(started(scripted))
    expect(page.get_by_text("● live")).to_be_visible()

    scripted.drop_streams(1013)

    expect(page.get_by_text("The stream is interrupted")).to_be_visible()
    expect(page.get_by_text("● live")).to_be_visible(timeout=20_000)
