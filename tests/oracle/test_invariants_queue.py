"""H2, H8, H9, H10: what becomes of the host's commands, on a stage."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from itsbox.ops import CommandRecord, Done, Drive, Hvc, HvcReturn, MmioWrite, Op, Outcome, Refused, Value, Verdict
from itsbox.oracle.records import HostQueue
from itsbox.oracle.violations import Violation
from itsbox.reasons import Reason
from tests.oracle.stage import CWRITER, FLAT, HOST, L1, MAP, PAGE64, QUEUE, Stage, kinds, pfn

REFUSED: CommandRecord = (0, "MAPD", (8, 0, 0, 0), Verdict.REFUSED, None, Reason.ITT_NOT_HOST_OWNED)
EXECUTED: CommandRecord = (0, "SYNC", (5, 0, 0, 0), Verdict.EXECUTED, None, None)


def _queue(creadr: int, cwriter: int, addr: int = HOST) -> HostQueue:
    return HostQueue(0, addr, PAGE64, creadr, cwriter)


def _second(queue: HostQueue) -> HostQueue:
    return queue._replace(node=1, addr=QUEUE)


def _acted_on(*reads: int) -> Stage:
    """A trap that has read host memory that it shares, and then, on what it read last, took pages."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    for addr in reads:
        stage.hyp(addr)
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    return stage


def test_h2_a_slot_may_not_change_between_two_reads() -> None:
    """The hypervisor reads a level-1 entry, acts on it, the host changes it, it is read again: two snapshots of one thing."""
    stage = _acted_on(HOST + 8)
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)

    assert kinds(stage.end()) == [("H2", "one-snapshot")]


@pytest.mark.parametrize("raced", [HOST + 0x100, HOST + 16])
def test_h2_other_stores_and_new_looks_are_no_race(raced: int) -> None:
    """A store elsewhere, or a slot that was read for nothing and is looked at anew, is no race."""
    stage = _acted_on(HOST + 16, HOST + 8)
    stage.host(raced)
    stage.hyp(HOST + 16)
    stage.hyp(HOST + 8)

    assert not stage.end()


def test_h2_forgets_at_the_end_of_the_trap() -> None:
    """Between two traps the host may change what it likes."""
    stage = _acted_on(HOST + 8)
    stage.end()
    stage.begin()
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)

    assert not stage.end()


def test_h2_nothing_reaches_the_hardware_unseen() -> None:
    """A command that hardware carried out was looked at before, unless it had been waiting or a driver's op ran."""
    seen, unseen = (5, 0, 0, 0), (5, 0, 1 << 16, 0)
    outcome = Done([EXECUTED, (3, "SYNC", unseen, Verdict.ERROR, None, None)])
    stage = Stage()
    stage.notes.queue = _queue(0, 0)
    stage.op()

    def turn(
        words: set[tuple[int, int, int, int]] | None, op: Op = CWRITER, *, waits: bool = False
    ) -> Sequence[Violation]:
        stage.notes.passed = words
        stage.notes.queue = _queue(0, 0)
        stage.op()
        stage.begin(op)
        stage.notes.queue = _queue(0x40, 0x40)._replace(waiting=waits)
        return stage.end(outcome)

    (violation,) = turn({seen})
    assert (violation.oracle, violation.command, violation.places[0].addr) == ("H2", (3, "SYNC", unseen), HOST + 3 * 32)
    assert not turn({seen, unseen})
    assert not turn(None)
    assert not turn({seen}, waits=True)
    assert not turn({seen}, Drive("sync", {}))


def test_h8_a_queue_set_up_anew_begins_at_its_start() -> None:
    """A write of GITS_CBASER sets GITS_CREADR to 0 and leaves GITS_CWRITER: no command was passed over."""
    for op, expected in ((MmioWrite(MAP["its"] + 0x80, 8, 0), []), (CWRITER, [("H8", "host-creadr")])):
        stage = Stage()
        stage.notes.queue = _queue(0x220, 0x220)
        stage.op()
        stage.begin(op)
        stage.notes.queue = _queue(0, 0x220)
        assert kinds(stage.end()) == expected


@pytest.mark.parametrize("before, after, looked_at, fine", [
    ((0, 0), (0x40, 0x40), 2, True),          # two commands, both looked at
    ((0, 0), (0x40, 0x80), 2, True),          # four were posted, two looked at so far
    ((0, 0), (0x40, 0x40), 1, False),         # moved over a command that nobody looked at
    ((0, 0x40), (0x60, 0x40), 3, False),      # past the write pointer
    ((0xFFE0, 0xFFE0), (0x20, 0x20), 2, True),  # around the end
    ((0x40, 0x40), (0, 0), 0, True),          # reset by GITS_CBASER
    ((0, 0), (0x10000, 0x20), 1, False),      # outside the queue
])  # fmt: skip
def test_h8_the_hosts_creadr(before: tuple[int, int], after: tuple[int, int], looked_at: int, fine: bool) -> None:
    """The host's read pointer moves over what was looked at, and not past the write pointer."""
    stage = Stage()
    stage.notes.queue = _queue(*before)
    stage.op()
    stage.begin()
    stage.notes.queue = _queue(*after)

    found = kinds(stage.end(Done([EXECUTED] * looked_at)))

    assert found == ([] if fine else [("H8", "host-creadr")])


@pytest.mark.parametrize("before, after, op", [
    (None, (0x40, 0x40), CWRITER),                                            # taken over just now
    ((0x40, 0x40), (0, 0x40), MmioWrite(MAP["its"] + 0x80, 8, 0)),           # set up anew
    ((0x40, 0x40), (0x60, PAGE64), CWRITER),                                  # a write pointer that points nowhere
    ((0x40, 0x40), (0x80, 0x20), Drive("sync", {})),                         # a driver's op
])  # fmt: skip
def test_h8_each_queue_is_looked_at(before: tuple[int, int] | None, after: tuple[int, int], op: Op) -> None:
    """What excuses the pointers of one ITS's queue says nothing about another's."""
    stage = Stage()
    stage.notes.more = (_second(_queue(0, 0)),)
    stage.notes.queue = None if before is None else _queue(*before)
    stage.op()
    stage.begin(op)
    stage.notes.queue = _queue(*after)
    stage.notes.more = (_second(_queue(PAGE64, 0)),)

    assert [violation.places[0].addr for violation in stage.end()] == [QUEUE]


@pytest.mark.parametrize("after, op, fine", [
    ((0x40, PAGE64 - 32), CWRITER, False),
    ((0x40, PAGE64), CWRITER, True),
    ((PAGE64 - 32, 0), Drive("sync", {}), True),
    ((PAGE64, 0), Drive("sync", {}), False),
    ((0, 0x40), Hvc("x", ()), True),
    ((0, 0x40), CWRITER, True),
])  # fmt: skip
def test_h8_at_the_limits(after: tuple[int, int], op: Op, fine: bool) -> None:
    """The last offset of the queue and the first one behind it."""
    stage = Stage()
    stage.notes.queue = _queue(0, 0)
    stage.op()
    stage.begin(op)
    stage.notes.queue = _queue(*after)

    assert kinds(stage.end()) == ([] if fine else [("H8", "host-creadr")])


def test_h9_a_refused_command_among_others() -> None:
    """Beside commands that were carried out, what a refused one left shows: a page with no use, and a level-2 page of its own."""
    bad = (0, "MAPD", (8 | 0x9000 << 32, 0, 0, 0), Verdict.REFUSED, None, Reason.ITT_NOT_HOST_OWNED)
    good = (1, "INT", (3 | 0x1 << 32, 0, 0, 0), Verdict.EXECUTED, None, None)
    same = (1, "INT", (3 | 0x9001 << 32, 0, 0, 0), Verdict.EXECUTED, None, None)

    def turn(
        *, commands: list[CommandRecord], page: str = "", level_2: bool = False, records: int | None = None
    ) -> list[tuple[str, str]]:
        stage = Stage()
        stage.taken_over()
        if records is not None:
            stage.notes.pin_counts[pfn(HOST)] = records
        stage.begin()
        if page:
            stage.pages(HOST, 0x1000, page)
        if level_2:
            stage.pages(FLAT, PAGE64, "hyp OWNED")
            stage.level_1(0x9000 // 8192, FLAT)
            stage.hyp(L1 + 8 * (0x9000 // 8192), write=True)
        return kinds(stage.end(Refused(Reason.ITT_NOT_HOST_OWNED, None, commands)))

    left = [("H9", "nothing-left")]
    assert turn(commands=[good, bad], page="hyp OWNED") == left
    assert turn(commands=[good, bad], page="host SHARED_OWNED pins=1") == []
    assert turn(commands=[good, bad], page="host SHARED_OWNED") == []
    assert turn(commands=[good, bad], page="host SHARED_OWNED", records=0) == left
    assert turn(commands=[good, bad], page="host SHARED_OWNED", records=1) == [("H5", "pins-counted")]
    assert turn(commands=[good, bad], page="host SHARED_OWNED pins=1", records=0) == [("H5", "pins-counted")]
    assert turn(commands=[good, bad], page="guest OWNED", records=0) == []
    assert turn(commands=[good, bad], level_2=True) == left
    assert turn(commands=[same, bad], level_2=True) == []
    assert turn(commands=[good, same], level_2=True) == []


def test_h9_level_2_pages_are_told_apart() -> None:
    """Of several entries that changed only that is left over which brought a page in, for devices, for a refused command."""
    slot = 0x9000 // 8192

    def bad(device_id: int) -> CommandRecord:
        return (0, "MAPD", (8 | device_id << 32, 0, 0, 0), Verdict.REFUSED, None, Reason.ITT_NOT_HOST_OWNED)

    good: CommandRecord = (1, "INT", (3 | 1 << 32, 0, 0, 0), Verdict.EXECUTED, None, None)

    def turn(device_id: int, *, use: str = "device", moves: bool = True) -> list[Violation]:
        stage = Stage()
        stage.taken_over()
        world = stage.oracle.world
        world.record_table(0, 0, world.tables[0, 0]._replace(use=use))
        stage.op()
        stage.begin()
        for index in (slot + 2, slot):  # the first of them is not valid
            stage.hyp(L1 + 8 * index, write=True)
        stage.oracle.touched.l1[0, 7, slot] = None  # of no table
        if moves:
            stage.pages(FLAT, PAGE64, "hyp OWNED")
        stage.level_1(slot, FLAT)
        found = stage.end(Refused(Reason.ITT_NOT_HOST_OWNED, None, [good, bad(device_id)]))
        return [violation for violation in found if violation.oracle == "H9"]

    (left,) = turn(0x9000)
    assert (left.places[0].addr, left.places[0].length) == (FLAT, PAGE64)
    for device_id in (slot * 8192, slot * 8192 + 8191):
        assert turn(device_id)
    for device_id in (slot * 8192 - 1, (slot + 1) * 8192):
        assert not turn(device_id)
    assert not turn(0x9000, use="collection")
    assert not turn(0x9000, moves=False)


def test_h9_what_is_refused_changes_nothing() -> None:
    """A page in another state after an op in which everything was refused; not so if something was carried out."""
    stage = Stage()
    refusal = Refused(Reason.ITT_NOT_HOST_OWNED, None, [REFUSED])
    stage.begin()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    assert kinds(stage.end(refusal)) == [("H9", "nothing-left")]

    stage.begin()
    stage.pages(HOST + 0x1000, 0x1000, "host SHARED_OWNED")
    assert not stage.end(Refused(Reason.ITT_NOT_HOST_OWNED, None, [EXECUTED, REFUSED]))

    stage.begin()
    stage.pages(HOST, 0x1000, "host OWNED")
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    assert not stage.end(refusal)


def test_h9_commands_that_waited() -> None:
    """A page that an earlier command held, and that comes free when that command is taken back, is not left behind."""
    stage = Stage()
    refusal = Refused(Reason.ITT_NOT_HOST_OWNED, None, [REFUSED])
    stage.notes.queue = _queue(0, 0x20)._replace(waiting=True)
    stage.op()
    stage.notes.queue = _queue(0, 0x20)
    stage.begin()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    assert kinds(stage.end(refusal)) == []

    stage.begin()
    stage.pages(HOST, 0x1000, "host OWNED")
    assert kinds(stage.end(refusal)) == [("H9", "nothing-left")]


def test_h10_waiting_has_a_limit() -> None:
    """More looks at the hardware than there can be commands."""
    stage = Stage()
    stage.notes.queue = _queue(0, 0)
    stage.op()
    most = stage.notes.queue.length // 32 + 2
    stage.begin()
    stage.notes.queue = _queue(0x20, 0x20)._replace(polls=most)
    assert not stage.end(Done([EXECUTED]))

    stage.begin()
    stage.notes.queue = _queue(0x20, 0x20)._replace(polls=most + 1)
    found = stage.end(Done())
    assert kinds(found) == [("H10", "bounded")]
    assert f"{most + 1} times in one trap, of at most {most}" in found[0].detail

    assert not stage.op()  # said once


@pytest.mark.parametrize("outcome, counts", [
    (Done([EXECUTED, REFUSED, REFUSED]), (2, 1)), (Done(), (0, 0)), (Refused(Reason.ITT_NOT_HOST_OWNED), (1, 0)),
    (Refused(Reason.ITT_NOT_HOST_OWNED, None, [REFUSED, REFUSED]), (2, 0)), (HvcReturn(0, 0), (0, 0)),
    (HvcReturn(0, 0, "EBUSY", Reason.PAGE_PINNED), (1, 0)), (Value(0), (0, 0)),
])  # fmt: skip
def test_verdicts_of_an_op(outcome: Outcome, counts: tuple[int, int]) -> None:
    """Refused and executed commands; an access or a hypercall that was refused is one refusal."""
    scene = Stage().oracle._scene
    scene.outcome = outcome

    assert scene.verdicts() == counts


def test_queues_are_not_judged_while_the_host_is_trusted() -> None:
    """Before the switch-over is over the pointers of a queue mean nothing yet."""
    stage = Stage(phase="trusted")
    stage.notes.queue = _queue(0, 0)
    stage.op()
    stage.begin()
    stage.notes.queue = _queue(0x40, 0x20)

    assert not stage.end()
