"""What a person does with the dashboard, on the real service: create, watch, attack, look back, fork, kill."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.clients.dashboard.conftest import OpenPage
from tests.clients.dashboard.live_service import LiveService
from tests.clients.dashboard.machines import walked

pytestmark = pytest.mark.browser


def events_shown(page: Page) -> str:
    """The line that counts what is shown, kept, waiting and lost."""
    return page.get_by_test_id("counters").inner_text()


def moment(page: Page) -> str:
    """The event after which everything is shown."""
    return page.get_by_test_id("moment").inner_text()


def test_a_newcomer_creates_a_machine_attacks_it_and_reads_the_refusal(live: LiveService, open_page: OpenPage) -> None:
    """From the front page to a refused attack: create, one example op, the answer, the refusals by reason; then kill."""
    page = open_page(live.url)
    page.get_by_label("Metadata (JSON)").fill('{"job": "newcomer"}')
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("● live")).to_be_visible()
    sid = page.locator("h1").inner_text()
    assert live.call("GET", f"/v1/sessions/{sid}")["metadata"] == {"job": "newcomer"}

    page.get_by_role("link", name="Drive").click()
    page.get_by_role("button", name="Attack: write to hypervisor memory").click()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("abort", exact=True)).to_be_visible()

    page.get_by_role("link", name=re.compile("^Refusals")).click()
    expect(page.get_by_text("1 refusal for 1 reason")).to_be_visible()

    page.get_by_role("link", name="Sessions", exact=True).click()
    page.get_by_role("button", name=f"Kill session {sid}").click()
    expect(page.get_by_text(f"Session {sid} ended")).to_be_visible()
    expect(page.get_by_role("link", name=sid)).to_have_count(0)
    assert live.http.get(f"/v1/sessions/{sid}").status_code == 404


def test_what_the_service_refuses_to_create_is_said(live: LiveService, open_page: OpenPage) -> None:
    """A wrong number and metadata that is no JSON are answered beside the form, and nothing is created."""
    page = open_page(live.url)
    page.get_by_label("Metadata (JSON)").fill("{job}")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("not JSON")

    page.get_by_label("Metadata (JSON)").fill("")
    page.get_by_label("RAM (MiB)").fill("3")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("ram_mib")
    page.expect_errors("422")  # type: ignore[attr-defined]


def test_search_types_and_copies(live: LiveService, open_page: OpenPage) -> None:
    """Text and type filters narrow the stream; an event copies as JSON and as the curl that does it again."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/events", permissions=["clipboard-read", "clipboard-write"])
    total = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    expect(page.get_by_test_id("counters")).to_contain_text(f"{total} shown of {total} kept")

    page.get_by_text("Types", exact=True).click()
    page.get_by_role("button", name="None", exact=True).click()
    page.get_by_label("lpi.pending").check()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("counters")).to_contain_text("8 shown")

    page.get_by_text(re.compile(r"^Types \(")).click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("searchbox", name="Search in events").click()
    expect(page.get_by_role("button", name="All", exact=True)).to_be_hidden()
    page.get_by_role("searchbox", name="Search in events").fill("gits_baser0 refused")
    expect(page.get_by_test_id("counters")).to_contain_text("1 shown")
    page.get_by_role("grid").get_by_text("trap.mmio").click()

    page.get_by_role("button", name="Copy as JSON").click()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["data"]["register"] == "GITS_BASER0"

    page.get_by_role("button", name="Copy as curl").click()
    curl = page.evaluate("navigator.clipboard.readText()")
    assert curl.startswith("curl -sS -X POST")
    assert f"/v1/sessions/{sid}/mmio/write" in curl


def test_pause_loses_nothing(live: LiveService, open_page: OpenPage) -> None:
    """While paused the list stands still; what happened meanwhile is all there afterwards, in order."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/events")
    before = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    expect(page.get_by_test_id("counters")).to_contain_text(f"{before} kept")

    page.keyboard.press("Space")
    expect(page.get_by_text("Paused: nothing is lost")).to_be_visible()
    for _ in range(3):
        live.ops(sid, *[{"op": "msi", "device_id": 16, "event_id": 1}, {"op": "ack", "cpu": 0}] * 20)
    after = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    page.keyboard.press("Space")

    expect(page.get_by_test_id("counters")).to_contain_text(f"{after} shown of {after} kept")
    assert "lost" not in events_shown(page)


def test_the_list_follows_its_end_only_when_it_stands_there(live: LiveService, open_page: OpenPage) -> None:
    """Scrolled up, new events do not move what is being read; End follows again."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/events", height=420)
    grid = page.get_by_role("grid", name="Event stream")
    grid.press("Home")
    expect(page.get_by_role("button", name="Follow the end")).to_be_visible()
    first = grid.get_by_role("row").nth(1).inner_text()

    live.ops(sid, *[{"op": "msi", "device_id": 16, "event_id": 1}, {"op": "ack", "cpu": 0}] * 40)
    head = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    expect(page.get_by_test_id("moment")).to_have_text(str(head))
    assert grid.get_by_role("row").nth(1).inner_text() == first

    grid.press("End")
    expect(grid.get_by_text(str(head), exact=True).first).to_be_visible()


def test_every_view_shows_the_past_and_fork_here_starts_from_it(live: LiveService, open_page: OpenPage) -> None:
    """At an event before the attacks nothing was refused, registers and pages are those of then, and a fork has that machine."""
    sid = walked(live)
    mapped = next(event for event in live.call("GET", f"/v1/sessions/{sid}/events?types=lpi.pending")["events"])
    page = open_page(f"{live.url}/#/s/{sid}/registers?at={mapped['seq'] - 1}")
    expect(page.get_by_text("Shown as it was")).to_be_visible()
    row = page.get_by_role("row", name=re.compile("GITS_CWRITER"))
    expect(row).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Refusals"))).to_contain_text("0")

    page.get_by_role("button", name="Fork here").click()
    expect(page.get_by_text("● live")).to_be_visible()
    expect(page.locator("h1")).not_to_have_text(sid)
    forked = page.locator("h1").inner_text()
    child, parent = (live.call("GET", f"/v1/sessions/{each}") for each in (forked, sid))
    assert child["step"] < parent["step"]
    assert child["step"] == mapped["step"] - 1 or child["step"] == mapped["step"]
    assert child["metadata"]["job"] == parent["metadata"]["job"]

    # The fork has a past of its own.
    live.ops(forked, {"op": "ack", "cpu": 0}, {"op": "hvc", "function": "__pkvm_host_share_hyp", "args": ["0x1"]})
    seq = live.call("GET", f"/v1/sessions/{forked}")["seq"]
    expect(page.get_by_test_id("moment")).to_have_text(str(seq))
    page.keyboard.press("[")
    expect(page.get_by_text("Shown as it was")).to_be_visible()


def test_a_moment_within_one_op_says_what_it_is_exact_to(live: LiveService, open_page: OpenPage) -> None:
    """Among the many events of a driver's call, the page says that the machine is shown after the call, and leads there."""
    sid = walked(live)
    events = live.call("GET", f"/v1/sessions/{sid}/events?limit=1000")["events"]
    call = [event["seq"] for event in events if event["step"] == 3]
    assert len(call) > 2
    page = open_page(f"{live.url}/#/s/{sid}/queues?at={call[1]}")

    expect(page.get_by_text(f"That op made events {call[0]} to {call[-1]}")).to_be_visible()
    page.get_by_role("button", name=f"at event {call[-1]}", exact=True).click()
    expect(page.get_by_test_id("moment")).to_have_text(f"{call[-1]} / {events[-1]['seq']}")
    expect(page.get_by_text("Shown as it was")).to_be_visible()
    expect(page.get_by_text("That op made events")).to_have_count(0)


def test_the_replayed_past_is_the_machine_itself(live: LiveService, open_page: OpenPage) -> None:
    """The replica at the newest event but one has the state hash that the machine has there: same ops, same machine."""
    sid = walked(live)
    head = live.call("GET", f"/v1/sessions/{sid}")
    page = open_page(f"{live.url}/#/s/{sid}/queues?at={head['seq'] - 1}")
    expect(page.get_by_text("Shown as it was")).to_be_visible()

    replicas = [
        each
        for each in live.call("GET", "/v1/sessions?limit=200")["sessions"]
        if each["metadata"].get("itsbox.replica_of") == sid
    ]
    assert [each["state_hash"] for each in replicas] == [head["state_hash"]]

    page.get_by_role("link", name="Sessions", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Running \("))).to_be_visible()
    page.wait_for_timeout(500)
    assert live.http.get(f"/v1/sessions/{replicas[0]['id']}").status_code == 404, "the replica outlived its view"


def test_keys_alone_lead_everywhere(live: LiveService, open_page: OpenPage) -> None:
    """Digits change the view, brackets step through time, l returns to now, t changes the colours, ? lists the keys."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/events")
    head = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    expect(page.get_by_test_id("moment")).to_have_text(str(head))

    page.keyboard.press("6")
    expect(page).to_have_url(re.compile("/refusals$"))
    page.keyboard.press("[")
    page.keyboard.press("[")
    expect(page.get_by_test_id("moment")).to_have_text(f"{head - 2} / {head}")
    expect(page).to_have_url(re.compile(rf"/refusals\?at={head - 2}$"))
    page.keyboard.press("]")
    expect(page.get_by_test_id("moment")).to_have_text(f"{head - 1} / {head}")
    page.keyboard.press("l")
    assert moment(page) == str(head)
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


#: Presses keys faster than the page can draw; null lets it draw what it wants to, but no frame goes by.
_KEYS_IN_ONE_FRAME = """
async (keys) => {
  const { port1, port2 } = new MessageChannel();
  for (const key of keys) {
    if (key) document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    else await new Promise((resolve) => { port1.onmessage = resolve; port2.postMessage(0); });
  }
}
"""


@pytest.mark.parametrize("pause", [[], [None]], ids=["at once", "drawn between"])
def test_steps_through_time_may_come_faster_than_frames(
    live: LiveService, open_page: OpenPage, pause: list[str | None]
) -> None:
    """A key held down on a slow machine steps many times within one frame: each step counts, and the last one is shown."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/refusals")
    head = live.call("GET", f"/v1/sessions/{sid}")["seq"]
    expect(page.get_by_test_id("moment")).to_have_text(str(head))

    page.evaluate(_KEYS_IN_ONE_FRAME, [*["[", *pause] * 30, "6", *pause, "]", "[", "4", "]"])

    expect(page.get_by_test_id("moment")).to_have_text(f"{head - 29} / {head}")
    expect(page).to_have_url(re.compile(rf"/registers\?at={head - 29}$"))
    expect(page.get_by_text("Shown as it was")).to_be_visible()

    page.keyboard.press("l")
    expect(page).to_have_url(re.compile("/registers$"))
    page.go_back()
    expect(page.get_by_test_id("moment")).to_have_text(f"{head - 30} / {head}")


def test_rings_and_maps_answer_keys(live: LiveService, open_page: OpenPage) -> None:
    """Arrow keys walk the slots of a ring and the cells of the map, and the text beside says what is there."""
    sid = walked(live)
    page = open_page(f"{live.url}/#/s/{sid}/queues")
    ring = page.get_by_role("application", name=re.compile("^Hardware queue"))
    ring.focus()
    ring.press("ArrowLeft")
    expect(page.get_by_text(re.compile(r"^slot \d+ \(byte 0x[0-9a-f]+\): \w+"))).to_be_visible()

    page.keyboard.press("3")
    board = page.get_by_role("application", name=re.compile("^Page by page"))
    board.focus()
    board.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"^0x[0-9a-f]+: \w+, "))).to_be_visible()


def test_a_second_viewer_does_not_disturb(live: LiveService, open_page: OpenPage) -> None:
    """Looking changes nothing: after a tour of all views the machine's state hash is what it was."""
    sid = walked(live)
    before = live.call("GET", f"/v1/sessions/{sid}")
    page = open_page(f"{live.url}/#/s/{sid}/events")
    for digit in "123456789":
        page.keyboard.press(digit)
        page.wait_for_timeout(300)

    after = live.call("GET", f"/v1/sessions/{sid}")
    assert (after["state_hash"], after["step"], after["seq"]) == (before["state_hash"], before["step"], before["seq"])
