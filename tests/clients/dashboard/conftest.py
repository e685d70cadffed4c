"""Debian's Chromium, driven by Playwright: one browser a run, one page a test, and what makes a page fail.

A console error, an uncaught exception, a request to another host or a request that the Content-Security-Policy stopped fails
the test. Screenshots are left in ``tests/artefacts/dashboard/``, which is not committed.
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


def keep_artefacts() -> None:
    """Make the folder for screenshots, which git is not to see."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (ARTEFACTS.parent / ".gitignore").write_text("*\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the browser say so when there is none; in CI that is a failure, not a skip."""
    if Path(CHROMIUM).exists() or os.environ.get("CI"):
        return
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("browser"):
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

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.origin:
            self.errors.append(f"request to another host: {request.url}")

    def expect_errors(self, *needles: str) -> None:
        """Forget the errors that a test provokes itself: each holds one of the words."""
        self.errors = [error for error in self.errors if not any(needle in error for needle in needles)]


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
