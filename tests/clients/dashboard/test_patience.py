"""What keeps the tests themselves from hanging: a page that is stuck says in which function, and the next page works."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.clients.dashboard.conftest import Watched

pytestmark = pytest.mark.browser


def test_a_page_that_never_comes_back_says_where_it_is(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without an end is named by its function; the browser closes the page and opens another."""
    monkeypatch.setattr("tests.clients.dashboard.conftest.ANSWER_MS", 1000)
    page = browser.new_page()
    watched = Watched(page, "about:blank")
    assert watched.where_it_is_stuck() is None

    page.evaluate("setTimeout(function round_and_round() { for (;;); })")
    page.wait_for_timeout(100)
    where = watched.where_it_is_stuck()
    page.close()

    assert where is not None
    assert "round_and_round at" in where
    with browser.new_page() as after:
        assert after.evaluate("1 + 1") == 2


def test_each_test_with_a_browser_has_a_limit_that_interrupts_it(request: pytest.FixtureRequest) -> None:
    """The limit is a signal's: a call that waits for ever fails at its own line, and the run goes on."""
    limits = [
        item.get_closest_marker("timeout") for item in request.session.items if item.get_closest_marker("browser")
    ]
    assert limits
    assert all(limit is not None and limit.kwargs.get("method") == "signal" for limit in limits)
