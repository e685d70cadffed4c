"""Debian's Chromium, driven by Playwright: one browser a run, one page a test, and what makes a page fail.

A console error, an uncaught exception, a request to another host or a request that the Content-Security-Policy stopped fails
the test. Screenshots are left in ``tests/artefacts/dashboard/``, which is not committed.

Pressing a key and evaluating an expression have no timeout of their own in Playwright: on a page whose script never returns
they wait for ever. So each test has a limit that interrupts the call it stands in, and the stuck page is asked where it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.clients.dashboard.live_service import LiveService
from tests.clients.dashboard.scripted_service import ScriptedService

ARTEFACTS: Final = Path(__file__).parents[2] / "artefacts" / "dashboard"
CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--js-flags=--expose-gc",
    "--enable-precise-memory-info",
)
#: Seconds for one test, however loaded the machine. A signal ends the call that hangs, where a thread would end the whole run.
PATIENCE: Final = 240
#: Milliseconds in which a page that is not stuck answers, however loaded the machine.
ANSWER_MS: Final = 10_000


def keep_artefacts() -> None:
    """Make the folder for screenshots, which git is not to see."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (ARTEFACTS.parent / ".gitignore").write_text("*\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test with a browser gets its limit; without a browser it says so, and in CI that is a failure, not a skip."""
    missing = not Path(CHROMIUM).exists() and not os.environ.get("CI")
    for item in items:
        if Path(__file__).parent not in item.path.parents or not item.get_closest_marker("browser"):
            continue
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PATIENCE, method="signal"))
        if missing:
            item.add_marker(pytest.mark.skip(reason="needs Debian's chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of one file: while Playwright runs, no other test of the process can run a loop of its own."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


class Watched:
    """A page together with everything that went wrong on it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = urlsplit(origin).netloc
        self.errors: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", self._request)
        self._debugger = page.context.new_cdp_session(page)
        self._debugger.send("Debugger.enable")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.origin:
            self.errors.append(f"request to another host: {request.url}")

    def where_it_is_stuck(self) -> str | None:
        """The functions that the page's script is in, innermost first, if it keeps the page from answering; else None."""
        if self.page.is_closed():
            return None
        try:
            self.page.locator("html").wait_for(state="attached", timeout=ANSWER_MS)
        except PlaywrightTimeout:
            frames: list[dict[str, Any]] = []
            self._debugger.on("Debugger.paused", lambda event: frames.extend(event["callFrames"]))
            self._debugger.send("Debugger.pause")
            self.page.wait_for_timeout(1000)
            names = (f"{each['functionName'] or '(anonymous)'} at {_place(each)}" for each in frames)
            return "the page does not answer; its script is in " + (", called by ".join(names) or "no function")
        return None

    def expect_errors(self, *needles: str) -> None:
        """Forget the errors that a test provokes itself: each holds one of the words."""
        self.errors = [error for error in self.errors if not any(needle in error for needle in needles)]


def _place(frame: dict[str, Any]) -> str:
    """Where a frame of the debugger stands, lines and columns counted from 1."""
    location = frame["location"]
    return f"{frame['url'] or 'script'}:{location['lineNumber'] + 1}:{location.get('columnNumber', 0) + 1}"


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(url, scheme="dark", width=400)`` answers a page that fails the test with any error of its own."""
    watched: list[Watched] = []

    def open_(url: str, *, scheme: str = "light", width: int = 1280, height: int = 860, **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            **options,
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        one = Watched(page, url)
        page.expect_errors = one.expect_errors  # type: ignore[attr-defined]
        watched.append(one)
        page.goto(url)
        return page

    yield open_
    try:
        for one in watched:
            assert one.where_it_is_stuck() is None
            assert one.errors == []
    finally:
        for one in watched:
            one.page.context.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedService]:
    """A service that misbehaves on demand."""
    service = ScriptedService()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def live() -> Iterator[LiveService]:
    """The real service, in its own process."""
    with LiveService() as service:
        yield service
