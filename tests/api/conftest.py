"""A real server on loopback, shared by the tests of a module, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings

__all__ = ["Service"]


class Service:
    """A running service and a client that talks to it."""

    def __init__(self, server: BackgroundServer) -> None:
        self.server = server
        self.url = server.url
        self.ws_url = server.url.replace("http", "ws", 1)
        self.http = httpx.Client(base_url=server.url, timeout=30)

    def session(self, **fields: Any) -> str:
        """A new session's path; hardening is off unless the test asks for some."""
        answer = self.http.post("/v1/sessions", json={"hardening": "off", **fields})
        assert answer.status_code == 201, answer.text
        return f"/v1/sessions/{answer.json()['id']}"

    def post(self, path: str, body: Any = None, **extra: Any) -> httpx.Response:
        """A POST, with a JSON body unless there is none."""
        return self.http.post(path, **({} if body is None else {"json": body}), **extra)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.http.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def hash(self, path: str) -> str:
        """The state hash of a session."""
        answer: str = self.get(path)["state_hash"]
        return answer


def running(settings: Settings) -> Iterator[Service]:
    """A service for as long as the generator lives."""
    with BackgroundServer(settings) as server:
        service = Service(server)
        yield service
        service.http.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The service with its defaults."""
    yield from running(Settings(port=0))


@pytest.fixture
def make_service() -> Iterator[Any]:
    """Services with settings of the test's own."""
    open_ones: list[Iterator[Service]] = []

    def make(**settings: Any) -> Service:
        generator = running(Settings(port=0, **settings))
        open_ones.append(generator)
        return next(generator)

    yield make
    for generator in open_ones:
        next(generator, None)
