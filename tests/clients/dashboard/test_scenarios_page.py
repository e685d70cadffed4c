"""The attack side by side, the matrix as a heat map, and the hang as a story, on the real service."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.clients.dashboard.conftest import OpenPage
from tests.clients.dashboard.live_service import LiveService
from tests.clients.dashboard.test_views import check

pytestmark = pytest.mark.browser

HANG = [
    "ITS queue timeout (1056 1024)",
    "ITS cmd its_build_mapd_cmd failed",
    "ITS queue timeout (1120 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1184 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1248 1024)",
    "ITS cmd its_build_mapti_cmd failed",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_attack_under_two_presets(live: LiveService, open_page: OpenPage, scheme: str) -> None:
    """A4 gets through without pKVM and is refused under strict, each with its evidence and its session."""
    page = open_page(f"{live.url}/#/scenarios", scheme=scheme)
    page.get_by_label("Attack or story").select_option("A4")
    page.get_by_role("button", name="Run both").click()

    expect(page.get_by_role("heading", name="Left: off")).to_be_visible()
    expect(page.locator(".chip.v-violated")).to_be_visible(timeout=30_000)
    expect(page.locator(".chip.v-isolated")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("▲ DMA").first).to_be_visible()
    check(page, "scenario-a4", scheme, 1280)

    page.get_by_role("link", name="Open the session of this run").first.click()
    expect(page.get_by_text("● live")).to_be_visible()


@pytest.mark.parametrize("scenario,scheme,width", [("A1", "light", 1280), ("A3", "dark", 400)])
def test_an_attack_is_followed_from_its_op_to_the_page_that_it_corrupts(
    live: LiveService, open_page: OpenPage, scenario: str, scheme: str, width: int
) -> None:
    """The session that a run leaves: the op behind a violation as curl, the page that it names, and the machine then."""
    run = live.call("POST", f"/v1/scenarios/{scenario}/run", {"hardening": "off"})
    sid = run["session"]
    found = live.call("GET", f"/v1/sessions/{sid}/events?types=violation")["events"]
    event = next(each for each in found if each["data"]["oracle"] == "DMA")
    evidence = event["data"]["evidence"]
    addr = evidence["addresses"][0]["addr"]
    permissions = ["clipboard-read", "clipboard-write"]
    page = open_page(f"{live.url}/#/s/{sid}/events", scheme=scheme, width=width, permissions=permissions)

    page.get_by_role("grid").get_by_text(event["data"]["sentence"]).first.click()
    expect(page.get_by_role("complementary")).to_contain_text(evidence["claim"])
    page.get_by_role("button", name="Copy as curl").click()
    curl = page.evaluate("navigator.clipboard.readText()")
    assert f"/v1/sessions/{sid}/ops" in curl
    assert json.dumps({"ops": [evidence["op"]]}, separators=(",", ":")) in curl

    page.get_by_role("link", name=re.compile("^Violations")).click()
    expect(page.get_by_role("heading", name=event["data"]["sentence"])).to_be_visible()
    page.get_by_role("link", name=f"Show the page of {addr}", exact=True).first.click()

    expect(page).to_have_url(re.compile(rf"/memory\?at={event['seq']}&addr={addr}$"))
    expect(page.get_by_text("Shown as it was")).to_be_visible()
    tips = page.locator(".pagetip")
    told = f"event {event['seq']}, DMA: {event['data']['sentence']}"
    for tip in (tips.nth(0), tips.nth(1)):
        expect(tip).to_contain_text(told)
        expect(tip).to_contain_text(": hyp, ")
    check(page, f"corrupted-{scenario}", scheme, width)

    page.keyboard.press("[")
    expect(tips.nth(1)).not_to_contain_text(told)


def test_the_matrix_is_a_heat_map_with_letters(live: LiveService, open_page: OpenPage) -> None:
    """Each cell says its verdict by letter and name; a cell runs its scenario when picked."""
    page = open_page(f"{live.url}/#/scenarios")
    page.get_by_role("button", name="Compute").click()
    expect(page.get_by_role("button", name=re.compile("^A1 under off: violated"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Compute")).to_be_visible(timeout=60_000)
    check(page, "matrix", "light", 1280)

    page.get_by_role("button", name=re.compile("^A1 under off: violated")).click()
    expect(page.locator(".chip.v-violated")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("scheme,width", [("light", 1280), ("dark", 400)])
def test_the_hang_as_a_story(live: LiveService, open_page: OpenPage, scheme: str, width: int) -> None:
    """Step by step to the log of the mail, the diagnosis that names the refused MAPD, and silence under strict."""
    page = open_page(f"{live.url}/#/story", scheme=scheme, width=width)
    page.get_by_role("button", name="Run it to the end").click()

    expect(page.get_by_text("The driver has nothing to complain about")).to_be_visible(timeout=60_000)
    lines = page.get_by_role("group", name="Kernel log").first.inner_text().splitlines()
    assert [line for line in lines if line.startswith("ITS")] == HANG
    expect(page.get_by_role("group", name="Hypotheses")).to_contain_text("H1")
    check(page, "story-told", scheme, width)
