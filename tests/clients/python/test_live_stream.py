"""Events over a real WebSocket that a real proxy cuts; retries over a real connection that loses answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from itsbox_client import (
    AsyncClient,
    Client,
    Event,
    Gap,
    RetryPolicy,
    Session,
    SessionNotFound,
    TransportError,
    ValidationProblem,
)
from pytest_itsbox.server import Server
from tests.clients.python.proxy import Proxy

PAGE = 0x4800_0000
#: Patient enough for a loaded machine, quick enough for a test.
PATIENT = RetryPolicy(attempts=10, first_wait=0.02, longest_wait=1.0)


@pytest.fixture
def proxy(live: Server) -> Iterator[Proxy]:
    """A line to the service that can be cut."""
    with Proxy(int(live.url.rsplit(":", 1)[1])) as found:
        yield found


@pytest.fixture
def session(client: Client) -> Iterator[Session]:
    """A machine whose every command is an event; driven past the proxy."""
    with client.sessions.create(hardening="off", start="host") as found:
        yield found


def _drive(session: Session, commands: int) -> None:
    """Make events: a SYNC is one."""
    for _ in range(0, commands, 100):
        with session.batch() as batch:
            for _ in range(100):
                batch.its.sync(rd_base=0)


def test_a_cut_line_makes_no_hole_and_no_duplicate(proxy: Proxy, session: Session) -> None:
    """While 3,000 commands run, the line is cut again and again: the reader has every event once, in order."""
    start = session.refresh().seq
    seen: list[int] = []
    driver = threading.Thread(target=_drive, args=(session, 3000))
    with Client(proxy.url, retry=PATIENT) as through:
        stream = through.sessions.connect(session.id).events(after=start, types=["command.executed"])
        driver.start()
        for event in stream:
            assert isinstance(event, Event)
            seen.append(event.seq)
            if len(seen) % 400 == 0:
                proxy.cut()
            if len(seen) == 3000:
                break
        stream.close()
    driver.join()

    told = [e.seq for e in session.events(after=start, types=["command.executed"], follow_live=False)]  # type: ignore[union-attr]
    assert seen == told
    assert proxy.accepted > 5


def test_without_a_filter_the_numbers_have_no_holes(proxy: Proxy, session: Session) -> None:
    """Unfiltered, each number follows the one before it, whatever the line does."""
    with Client(proxy.url, retry=PATIENT) as through:
        stream = through.sessions.connect(session.id).events()
        numbers = [next(stream).seq for _ in range(20)]  # type: ignore[union-attr]
        proxy.cut()
        _drive(session, 500)
        numbers += [next(stream).seq for _ in range(300)]  # type: ignore[union-attr]
        proxy.cut()
        numbers += [next(stream).seq for _ in range(100)]  # type: ignore[union-attr]
        stream.close()

    assert numbers == list(range(1, 421))


async def test_the_awaited_stream_resumes_as_well(proxy: Proxy, session: Session) -> None:
    """The same over asyncio."""
    start = session.refresh().seq
    async with AsyncClient(proxy.url, retry=PATIENT) as through:
        joined = await through.sessions.connect(session.id)
        stream = joined.events(after=start, types=["command.executed"])
        driving = asyncio.create_task(asyncio.to_thread(_drive, session, 1000))
        seen: list[int] = []
        async for event in stream:
            assert isinstance(event, Event)
            seen.append(event.seq)
            if len(seen) % 300 == 0:
                proxy.cut()
            if len(seen) == 1000:
                break
        await stream.aclose()
        await driving

    assert seen == [e.seq for e in session.events(after=start, types=["command.executed"], follow_live=False)]  # type: ignore[union-attr]


def test_a_silent_stream_ends_when_asked_to(session: Session) -> None:
    """``idle_timeout`` ends an iterator whose session has nothing to say."""
    _drive(session, 100)
    items = list(session.events(types=["command.executed"], idle_timeout=3))

    assert len(items) >= 100


def test_the_end_of_a_session_ends_its_stream(client: Client) -> None:
    """The last event says why; then the iterator is over, without an error."""
    session = client.sessions.create()
    stream = session.events()
    first = next(stream)
    session.kill()
    last = [first, *stream][-1]

    assert isinstance(last, Event)
    assert (last.type, last.data["reason"]) == ("session.closed", "deleted")


def test_a_filtered_stream_ends_with_its_session_too(client: Client) -> None:
    """Even where the filter hides the event that says so."""
    session = client.sessions.create()
    stream = session.events(types=["session.created", "violation"])
    next(stream)
    session.kill()

    assert list(stream) == []


def test_a_stream_of_nothing_is_refused(client: Client, session: Session) -> None:
    """No such session, no such event type: the service's problem, not a lost connection."""
    with pytest.raises(ValidationProblem, match="not an event type"):
        next(session.events(types=["no.such.type"]))
    session.kill()
    with pytest.raises(SessionNotFound):
        next(session.events())
    with pytest.raises(SessionNotFound):
        next(session.events(follow_live=False))


def test_a_line_that_stays_cut_is_given_up(live: Server, session: Session) -> None:
    """When the service is out of reach for longer than the policy tries, the reader is told."""
    with Proxy(int(live.url.rsplit(":", 1)[1])) as line:
        through = Client(line.url, retry=RetryPolicy(attempts=3, first_wait=0.01))
        stream = through.sessions.connect(session.id).events()
        next(stream)
    with pytest.raises(TransportError):
        list(stream)
    through.close()


def test_a_restore_is_seen_as_a_new_epoch(session: Session) -> None:
    """Numbers go on across a restore."""
    snapshot = session.snapshot()
    before = session.refresh().seq
    session.restore(snapshot)

    items = list(session.events(after=before, follow_live=False))

    assert [(item.epoch, item.seq, item.type) for item in items if isinstance(item, Event)] == [
        (2, before + 1, "session.restored")
    ]


def test_history_comes_in_pages(session: Session) -> None:
    """More events than a page holds; with and without a filter, each once."""
    start = session.refresh().seq
    _drive(session, 1500)

    everything = list(session.events(after=start, follow_live=False))
    commands = list(session.events(after=start, types=["command.executed"], follow_live=False))

    assert not any(isinstance(item, Gap) for item in everything)
    assert [item.seq for item in everything] == list(range(start + 1, start + len(everything) + 1))  # type: ignore[union-attr]
    assert [item for item in everything if item.type == "command.executed"] == commands  # type: ignore[union-attr]
    assert len(commands) == 1500


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_answer_does_not_apply_an_op_twice(proxy: Proxy, session: Session, lost: int) -> None:
    """The service did the work and the line swallowed the answer: the client asks again, and the machine took one step."""
    with Client(proxy.url, retry=PATIENT) as through:
        joined = through.sessions.connect(session.id)
        step = joined.refresh().step
        proxy.lose(lost)

        result = joined.mmio_read(joined.map.its, 4)

    assert proxy.lost == lost
    assert result.step == step + 1
    assert session.refresh().step == step + 1


def test_a_lost_answer_does_not_make_a_session_too_many(proxy: Proxy, client: Client) -> None:
    """Creating, snapshotting and forking are retried under their keys as well."""
    with Client(proxy.url, retry=PATIENT) as through:
        proxy.lose(1)
        made = through.sessions.create(metadata={"lost": "answer"})
        proxy.lose(1)
        made.snapshot()
        proxy.lose(1)
        made.fork(2)

    listed = list(client.sessions.list(metadata={"lost": "answer"}))
    kept = client.sessions.connect(made.id).snapshots()
    for info in listed:
        client.sessions.kill(info.id)
    assert len(listed) == 3  # forks inherit the metadata
    assert len(kept) == 1
    assert proxy.lost == 3
