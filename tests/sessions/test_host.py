from __future__ import annotations

import pytest

from itsbox.ops import Load, MmioRead, Store
from itsbox.sessions.errors import CapExceeded, InvalidField, SessionNotFound
from itsbox.sessions.session import Session
from tests.sessions.conftest import Rig

RAM = 0x4000_0000


def types(session: Session) -> list[str]:
    """The types of all events so far."""
    return [event[0].name for _, event in session.ring.slice(0, session.seq)]


async def test_a_session_begins_with_its_creation(rig: Rig) -> None:
    """The first event behind ``born`` says that the session exists."""
    session = rig.session(metadata={"job": "ci-7"})

    assert session.born == 0
    assert types(session) == ["session.created"]
    assert session.metadata == {"job": "ci-7"}
    assert rig.host.find(session.id) is session


async def test_the_cap_on_sessions_names_itself() -> None:
    """One session too many is 429; ending one makes room; a fork is all or nothing."""
    rig = Rig(sessions=3)
    first = rig.session()
    rig.session()
    with pytest.raises(CapExceeded) as refused:
        await rig.host.fork(first, 2, None)

    assert (refused.value.cap, refused.value.status, refused.value.members["in_use"]) == ("sessions", 429, 2)
    assert len(rig.host) == 2

    rig.session()
    with pytest.raises(CapExceeded):
        rig.session()
    await rig.host.close(first.id, "deleted")
    assert rig.session().state == "running"


async def test_pages_of_sessions_follow_one_another(rig: Rig) -> None:
    """The cursor leads through all sessions once, also if one it points at has ended."""
    ids = [rig.session(metadata={"odd": str(n % 2)}).id for n in range(5)]

    first, cursor = rig.host.page("", 2)
    assert cursor is not None
    await rig.host.close(cursor, "deleted")
    second, cursor_2 = rig.host.page(cursor, 2)
    third, end = rig.host.page(cursor_2 or "", 2)

    assert [s.id for page in (first, second, third) for s in page] == ids
    assert end is None


async def test_sessions_are_found_by_state_and_metadata(rig: Rig) -> None:
    """Filters combine; an empty page is a page."""
    odd = [rig.session(metadata={"odd": str(n % 2), "n": str(n)}) for n in range(4)][1]
    odd.crash = "incident"

    assert [s.id for s in rig.host.page("", 9, "crashed")[0]] == [odd.id]
    assert [s.metadata["n"] for s in rig.host.page("", 9, None, {"odd": "1"})[0]] == ["1", "3"]
    assert rig.host.page("", 9, "running", {"odd": "1", "n": "1"}) == ([], None)


async def test_a_full_last_page_has_no_cursor(rig: Rig) -> None:
    """A page that happens to be full is still the last one."""
    for _ in range(4):
        rig.session()

    assert rig.host.page("", 4)[1] is None


async def test_an_idle_session_ends_after_a_warning(rig: Rig) -> None:
    """Shortly before its end it says so; then it is gone, and a look-up says why."""
    session = rig.session(idle_timeout_s=60)
    rig.clock.now += 45
    await rig.host.sweep()

    assert types(session) == ["session.created", "session.expiring"]

    rig.clock.now += 15
    await rig.host.sweep()

    assert types(session)[-1] == "session.closed"
    with pytest.raises(SessionNotFound) as gone:
        rig.host.find(session.id)
    assert gone.value.members["ended"] == "idle for 60 s"


async def test_use_starts_the_idle_clock_anew(rig: Rig) -> None:
    """A request before the end keeps the session, and the warning can come again."""
    session = rig.session(idle_timeout_s=60)
    for _ in range(2):
        rig.clock.now += 50
        await rig.host.sweep()
        rig.host.find(session.id)
    rig.clock.now += 50
    await rig.host.sweep()

    assert types(session).count("session.expiring") == 3
    assert len(rig.host) == 1


async def test_an_attached_stream_counts_as_use(rig: Rig) -> None:
    """While somebody watches, the session is not idle; afterwards it is."""
    session = rig.session(idle_timeout_s=60)
    watcher = session.feed.subscribe(0, None)
    rig.clock.now += 600
    await rig.host.sweep()
    assert len(rig.host) == 1
    watcher.close()
    rig.clock.now += 61
    await rig.host.sweep()

    assert len(rig.host) == 0


async def test_no_session_outlives_its_lifetime() -> None:
    """Use does not help against the hard limit."""
    rig = Rig(lifetime_s=100)
    session = rig.session()
    rig.clock.now += 99
    rig.host.find(session.id)
    assert session.expires_at == session.stamp.created + 100
    rig.clock.now += 1
    await rig.host.sweep()

    assert rig.host.ended[session.id] == "older than 100 s"


async def test_an_idle_timeout_has_a_cap() -> None:
    """A session may ask for less than the most, not for more."""
    rig = Rig(idle_timeout_max_s=100)
    with pytest.raises(InvalidField) as refused:
        rig.session(idle_timeout_s=101)

    assert refused.value.field == "idle_timeout_s"

    session = rig.session(idle_timeout_s=100)
    with pytest.raises(InvalidField):
        rig.host.change(session, None, 101)


async def test_a_fork_is_equal_and_independent(rig: Rig) -> None:
    """Children have the parent's state hash; what one writes the others do not see."""
    parent = rig.session(metadata={"job": "x"})
    await parent.run([Store(RAM, b"shared")])

    one, other = await rig.host.fork(parent, 2, None)

    assert one.state_hash() == other.state_hash() == parent.state_hash()
    assert one.metadata == {"job": "x"}
    await one.run([Store(RAM, b"mine!!")])
    await parent.run([Store(RAM, b"parent")])
    assert (await other.run_one(Load(RAM, 6)))[0].data == b"shared"  # type: ignore[union-attr]
    assert (await one.run_one(Load(RAM, 6)))[0].data == b"mine!!"  # type: ignore[union-attr]
    assert types(parent)[-1] == "session.forked"
    assert types(one)[0] == "session.created"


async def test_a_fork_begins_its_own_history(rig: Rig) -> None:
    """Numbers start at 1, the epoch at 1, the journal is empty."""
    parent = rig.session()
    await parent.run([MmioRead(0x0808_0008, 8)] * 3)

    (child,) = await rig.host.fork(parent, 1, None)

    assert (child.seq, child.epoch, child.machine.step) == (1, 1, 3)
    assert (await child.journal(0, 10)).head == 0


async def test_ending_twice_is_no_error(rig: Rig) -> None:
    """The second time there is nothing to do."""
    session = rig.session()
    await rig.host.close(session.id, "deleted")
    await rig.host.close(session.id, "deleted")

    assert types(session).count("session.closed") == 1


async def test_what_a_session_kept_goes_with_it(rig: Rig) -> None:
    """Journal and snapshots of an ended session are forgotten."""
    session = rig.session()
    await session.run([MmioRead(0x0808_0008, 8)])
    await session.take_snapshot(0)
    await rig.host.close(session.id, "deleted")

    assert (await session.journal(0, 10)).head == 0
    assert await session.snapshots() == ()


async def test_endings_are_remembered_for_a_while_only(rig: Rig) -> None:
    """The memory of ended sessions is bounded."""
    first = rig.session()
    await rig.host.close(first.id, "deleted")
    for n in range(1024):
        rig.host.ended[f"z{n}"] = "deleted"
    other = rig.session()
    await rig.host.close(other.id, "deleted")

    assert len(rig.host.ended) <= 1025
    with pytest.raises(SessionNotFound) as gone:
        rig.host.find(other.id)
    assert "has ended" in gone.value.detail
