"""Every view, in light and dark, wide and narrow: drawn without an error, legible to axe, kept as a screenshot."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.clients.dashboard.conftest import ARTEFACTS, OpenPage, keep_artefacts
from tests.clients.dashboard.live_service import LiveService
from tests.clients.dashboard.machines import busy, walked

pytestmark = pytest.mark.browser

#: view and a text that is there once it is drawn
PAGES = {
    "sessions": "Running",
    "scenarios": "Side by side",
    "story": "A machine boots",
}
VIEWS = {
    "events": "what happened",
    "queues": "Hardware queue",
    "memory": "Pages by owner",
    "registers": "GITS_CBASER",
    "tables": "Entries (level 2)",
    "refusals": "refusals for",
    "violations": "What the oracle objects to",
    "timeline": "Events by type",
    "drive": "Send an op",
}
LOOKS = [("light", 1280), ("light", 400), ("dark", 1280), ("dark", 400)]


@pytest.fixture(scope="module")
def session(live: LiveService) -> str:
    """A machine that has booted, been deprivileged and attacked."""
    return walked(live)


def complaints(page: Page, name: str, scheme: str, width: int) -> list[str]:
    """Leave a screenshot; answer what axe objects to, and whether the page scrolls sideways."""
    keep_artefacts()
    page.wait_for_timeout(250)
    page.screenshot(path=ARTEFACTS / f"{name}-{scheme}-{width}.png")
    found = Axe().run(page)
    said = [
        f"{name}: {violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        said.append(f"{name}: the page scrolls sideways")
    return said


def check(page: Page, name: str, scheme: str, width: int) -> None:
    """A screenshot, and no complaint."""
    assert complaints(page, name, scheme, width) == []


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_view_of_a_session(live: LiveService, session: str, open_page: OpenPage, look: tuple[str, int]) -> None:
    """All nine views of a machine that has booted, been deprivileged and attacked."""
    scheme, width = look
    page = open_page(f"{live.url}/#/s/{session}/events", scheme=scheme, width=width)
    expect(page.get_by_text("● live")).to_be_visible()
    said: list[str] = []
    for view, text in VIEWS.items():
        page.evaluate(f"location.hash = '#/s/{session}/{view}'")
        expect(page.get_by_text(text).first).to_be_visible()
        said += complaints(page, view, scheme, width)

    assert said == []


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page(live: LiveService, session: str, open_page: OpenPage, look: tuple[str, int]) -> None:
    """The pages around the sessions."""
    scheme, width = look
    page = open_page(f"{live.url}/#/", scheme=scheme, width=width)
    said: list[str] = []
    for name, text in PAGES.items():
        page.evaluate(f"location.hash = '#/{'' if name == 'sessions' else name}'")
        expect(page.get_by_text(text).first).to_be_visible()
        said += complaints(page, name, scheme, width)

    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_violations_with_evidence(live: LiveService, open_page: OpenPage, scheme: str) -> None:
    """Without pKVM an ITT in hypervisor memory is a violation: the view names page, owner and rule."""
    sid = busy(live)
    page = open_page(f"{live.url}/#/s/{sid}/violations", scheme=scheme)
    expect(page.get_by_text("▲ DMA").first).to_be_visible()
    expect(page.get_by_text("itsb1-").first).to_be_visible()
    expect(page.get_by_text(live.call("GET", f"/v1/sessions/{sid}")["map"]["hyp"]).first).to_be_visible()

    check(page, "violations-evidence", scheme, 1280)


def test_dialogs(live: LiveService, session: str, open_page: OpenPage) -> None:
    """The keys, the calls as curl and the key form are dialogs that axe accepts and Escape closes."""
    page = open_page(f"{live.url}/#/s/{session}/queues")
    for button, text in (("Keys", "pause and resume"), ("API calls", "curl"), ("Key", "Needed only where")):
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_text(text).first).to_be_visible()
        check(page, f"dialog-{button.lower().replace(' ', '-')}", "light", 1280)
        page.keyboard.press("Escape")
        expect(page.get_by_text(text).first).to_be_hidden()
