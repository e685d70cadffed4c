from __future__ import annotations

from itsbox.ops import Ack, Store
from itsbox.sessions.embedded import EmbeddedEngine
from itsbox.sessions.limits import Limits


async def test_a_journal_is_read_page_by_page() -> None:
    """Following the numbers gives every op once, in order."""
    journal = EmbeddedEngine(Limits()).journal
    await journal.append("s", [Ack(n) for n in range(5)])
    await journal.append("s", [Ack(n) for n in range(5, 7)])

    first = await journal.read("s", 0, 3)
    second = await journal.read("s", 3, 100)

    assert (first.first, list(first.ops), first.head) == (1, [Ack(0), Ack(1), Ack(2)], 7)
    assert (second.first, list(second.ops)) == (4, [Ack(3), Ack(4), Ack(5), Ack(6)])


async def test_a_page_behind_the_end_is_empty() -> None:
    """However far behind: the page says where the journal stands."""
    journal = EmbeddedEngine(Limits()).journal
    await journal.append("s", [Ack(0)])

    assert await journal.read("s", 1 << 70, 10) == (2, (), 1, None)


async def test_old_ops_go_when_there_are_too_many() -> None:
    """The newest are kept, with their numbers; a page says where it really begins."""
    journal = EmbeddedEngine(Limits(journal_ops_kept=3)).journal
    await journal.append("s", [Ack(n) for n in range(10)])

    page = await journal.read("s", 0, 100)

    assert (page.first, list(page.ops), page.head) == (8, [Ack(7), Ack(8), Ack(9)], 10)


async def test_old_ops_go_when_their_bytes_are_too_many() -> None:
    """Stored bytes count, also when a single op is more than all that may be kept."""
    journal = EmbeddedEngine(Limits(journal_bytes_kept=10)).journal
    await journal.append("s", [Store(0, b"12345"), Store(0, b"12345"), Store(0, b"1")])

    assert (await journal.read("s", 0, 9)).first == 2

    await journal.append("s", [Store(0, b"x" * 11)])

    assert (await journal.read("s", 0, 9)).ops == ()
    assert (await journal.read("s", 0, 9)).head == 4


async def test_a_restore_starts_the_journal_anew() -> None:
    """Ops before the restore are gone and the page names the snapshot."""
    journal = EmbeddedEngine(Limits()).journal
    await journal.append("s", [Ack(0)])
    await journal.restart("s", "snap")
    await journal.append("s", [Ack(1)])

    page = await journal.read("s", 0, 10)

    assert (page.origin, list(page.ops), page.head) == ("snap", [Ack(1)], 1)


async def test_a_session_without_ops_has_an_empty_journal() -> None:
    """Nothing is kept for a session that did nothing, and that is not an error."""
    page = await EmbeddedEngine(Limits()).journal.read("nobody", 0, 10)

    assert (page.ops, page.head, page.origin) == ((), 0, None)
