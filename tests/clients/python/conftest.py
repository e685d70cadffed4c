"""A real service for the tests that drive one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from itsbox_client import Client
from pytest_itsbox.server import Server, start


@pytest.fixture(scope="session")
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service, started as a user starts it; or the one that ``--its-url`` names."""
    url: str | None = request.config.getoption("--its-url")
    if url:
        yield Server(url, None)
        return
    with start(tmp_path_factory.mktemp("live") / "server.log") as server:
        yield server


@pytest.fixture
def client(live: Server) -> Iterator[Client]:
    """A blocking client of it."""
    with Client(live.url) as found:
        yield found
