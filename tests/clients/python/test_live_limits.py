"""Services with keys and tight caps, and services that go away: each is told plainly, and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from itsbox_client import (
    AsyncClient,
    Client,
    Event,
    Gap,
    QuotaExceeded,
    RetryPolicy,
    SessionNotFound,
    TransportError,
    Unauthorized,
)
from pytest_itsbox.server import Server, start
from tests.clients.python.proxy import Proxy

KEY = "a-key-of-sixteen-characters"
ONCE = RetryPolicy(attempts=1)


@contextmanager
def _service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Iterator[Server]:
    """A service of its own with these settings."""
    for name, value in settings.items():
        monkeypatch.setenv(f"ITSBOX_{name}", value)
    with start(tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def tight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Two sessions, 300 events kept, sessions that end after a second without use."""
    with _service(tmp_path, monkeypatch, LIMITS='{"sessions": 2, "events_kept": 300, "idle_timeout_s": 1}') as server:
        yield server


async def test_with_keys_the_client_shows_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On requests and on streams, in both halves; without one, or with another, the answer is Unauthorized."""
    with _service(tmp_path, monkeypatch, API_KEYS=KEY) as server:
        for wrong in (None, "another-key-of-sixteen"):
            with Client(server.url, api_key=wrong) as stranger, pytest.raises(Unauthorized):
                stranger.sessions.create()

        with Client(server.url, api_key=KEY) as client, client.sessions.create() as session:
            with session.events() as events:
                assert isinstance(next(events), Event)
            with Client(server.url) as stranger, pytest.raises(Unauthorized):
                stranger.sessions.connect(session.id)
            monkeypatch.setenv("ITSBOX_API_KEY", KEY)
            async with AsyncClient(server.url) as awaited:
                joined = await awaited.sessions.connect(session.id)
                async with joined.events() as stream:
                    assert isinstance(await anext(stream), Event)


def test_a_full_service_names_its_cap(tight: Server) -> None:
    """QuotaExceeded has cap, limit and use, and when to try again; a session that ends makes room."""
    with Client(tight.url, retry=ONCE) as client:
        made = [client.sessions.create(idle_timeout_s=60) for _ in range(2)]
        with pytest.raises(QuotaExceeded) as caught:
            client.sessions.create()

        assert (caught.value.status, caught.value.cap, caught.value.limit, caught.value.in_use) == (
            429,
            "sessions",
            2,
            2,
        )
        assert caught.value.retry_after
        made[0].kill()
        client.sessions.create().kill()


def test_history_that_is_gone_is_a_gap(tight: Server) -> None:
    """Live and pulled alike: first what is missing, by number, then everything that is kept."""
    with (
        Client(tight.url) as client,
        client.sessions.create(hardening="off", start="host", idle_timeout_s=60) as session,
    ):
        for _ in range(10):
            with session.batch() as batch:
                for _ in range(100):
                    batch.its.sync(rd_base=0)
        head = session.refresh().seq

        for live in (False, True):
            with session.events(follow_live=live) as stream:
                first = next(stream)
                assert isinstance(first, Gap)
                assert first.first == 1
                numbers: list[int] = []
                while not numbers or numbers[-1] < head:
                    item = next(stream)
                    assert isinstance(item, Event)
                    numbers.append(item.seq)
            assert numbers == list(range(first.last + 1, head + 1))
            assert len(numbers) >= 300


def test_an_expired_session_says_so(tight: Server) -> None:
    """A session that nobody used is gone, and the error tells why."""
    with Client(tight.url) as client:
        session = client.sessions.create()
        while session.id in {info.id for info in client.sessions.list()}:  # to list sessions is not to use them
            time.sleep(0.1)

        with pytest.raises(SessionNotFound) as caught:
            session.refresh()
        assert caught.value.ended == "idle for 1 s"


def test_a_service_that_restarts_has_forgotten_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream tries again, reaches the new service, and says that the session is gone; it does not wait for ever."""
    with _service(tmp_path, monkeypatch) as first, Proxy(int(first.url.rsplit(":", 1)[1])) as line:
        client = Client(line.url, retry=RetryPolicy(attempts=40, first_wait=0.05, longest_wait=0.5))
        stream = client.sessions.create().events()
        next(stream)
        with _service(tmp_path, monkeypatch) as second:
            line.redirect(int(second.url.rsplit(":", 1)[1]))
            line.cut()
            with pytest.raises(SessionNotFound):
                list(stream)
        client.close()


def test_a_service_that_is_not_there_is_told_at_once() -> None:
    """No address to connect to: a TransportError after the policy's attempts, for requests and for streams."""
    with Client("http://127.0.0.1:9", retry=RetryPolicy(attempts=2, first_wait=0.01)) as client:
        with pytest.raises(TransportError):
            client.sessions.create()
        with pytest.raises(TransportError):
            client.healthz()
