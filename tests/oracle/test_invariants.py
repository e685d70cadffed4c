"""H1 to H16, each shown to hold and to break, on a stage."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from itsbox.arch.its_registers import GITS_CBASER
from itsbox.memory.interconnect import Why
from itsbox.ops import CommandRecord, Done, Drive, Hvc, HvcReturn, MmioWrite, Msi, Op, Outcome, Refused, Value, Verdict
from itsbox.oracle.invariants import INVARIANTS
from itsbox.oracle.invariants_tables import h7
from itsbox.oracle.records import HostQueue
from itsbox.oracle.rules import H7, RULES
from itsbox.oracle.scene import Broken
from itsbox.oracle.violations import Violation
from itsbox.reasons import Reason
from tests.oracle.stage import CWRITER, FLAT, GUEST, HOST, HYP, L1, L2, MAP, PAGE64, QUEUE, Stage, kinds, pfn

REFUSED: CommandRecord = (0, "MAPD", (8, 0, 0, 0), Verdict.REFUSED, None, Reason.ITT_NOT_HOST_OWNED)
EXECUTED: CommandRecord = (0, "SYNC", (5, 0, 0, 0), Verdict.EXECUTED, None, None)


def _queue(creadr: int, cwriter: int, addr: int = HOST) -> HostQueue:
    return HostQueue(0, addr, PAGE64, creadr, cwriter)


def test_every_invariant_is_listed_in_order() -> None:
    """There are sixteen, and each has its rule."""
    assert [row.rule.oracle for row in INVARIANTS] == [f"H{n}" for n in range(1, 17)]
    assert {row.rule for row in INVARIANTS} <= set(RULES)


# ---------------------------------------------------------------- H1, H14


@pytest.mark.parametrize("phase", ["trusted", "deprivileged"])
@pytest.mark.parametrize("addr, owner", [(HYP, "hyp"), (GUEST, "guest")])
def test_h1_a_device_may_not_be_mapped_over_foreign_memory(phase: str, addr: int, owner: str) -> None:
    """MAPD alone makes memory writable for hardware; in every phase that memory must be the host's."""
    stage = Stage(phase=phase)
    stage.taken_over() if phase == "deprivileged" else stage.node()
    stage.begin()
    stage.map_device(1, addr)

    found = [violation for violation in stage.end() if violation.oracle == "H1"]

    assert [(violation.kind.op, violation.kind.owner) for violation in found] == [("MAPD", owner)]


def test_h1_every_byte_of_the_table_counts() -> None:
    """A table that only ends in the guest's memory is as bad as one that begins there."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.map_device(1, MAP["guest"] - 0x100, size=4)
    (violation,) = stage.end()
    assert violation.places[0].addr == MAP["guest"]

    stage.begin()
    stage.map_device(1, MAP["guest"] - 0x180, size=4)  # 384 bytes: just fits
    assert not stage.end()


def test_h1_a_page_in_use_may_not_change_hands() -> None:
    """The page of a mapped device's table becomes a guest's: a violation at that moment, and not after the device is gone."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.map_device(1, HOST)
    assert not stage.end()
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")
    assert kinds(stage.end()) == [("H1", "hardware-writes")]

    stage.begin()
    stage.pages(HOST, 0x1000, "host OWNED")
    stage.map_device(1, 0, valid=0)
    assert not stage.end()
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")
    assert not stage.end()


def test_h1_counts_vpes_tables_and_lpi_tables() -> None:
    """Virtual pending tables, flat tables of an enabled ITS, and pending tables with LPIs on are written by hardware too."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.map_vpe(3, MAP["hyp"])
    assert ("H1", "hardware-writes") in kinds(stage.end())

    stage.node(table=MAP["hyp"], indirect=0)
    assert kinds(stage.op()) == [("H1", "hardware-writes")]

    stage.node(table=MAP["hyp"], indirect=0, enabled=False)
    assert not stage.op()

    stage.gicr(2, on=True, pend=MAP["guest"])
    assert ("H1", "hardware-writes") in kinds(stage.op())


def test_h14_a_page_of_the_its_is_no_translation_table() -> None:
    """A device whose table lies over the queue that the hypervisor holds."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.map_device(1, QUEUE + 0x200)

    assert ("H14", "one-use") in kinds(stage.end())


# ---------------------------------------------------------------- H2


def test_h2_a_slot_may_not_change_between_two_reads() -> None:
    """The hypervisor reads a level-1 entry, acts on it, the host changes it, it is read again: two snapshots of one thing."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    stage.hyp(HOST + 8)
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)

    assert kinds(stage.end()) == [("H2", "one-snapshot")]


@pytest.mark.parametrize("raced", [HOST + 0x100, HOST + 16])
def test_h2_other_stores_and_new_looks_are_no_race(raced: int) -> None:
    """A store elsewhere, or a slot that was read for nothing and is looked at anew, is no race."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    stage.hyp(HOST + 16)
    stage.hyp(HOST + 8)
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    stage.host(raced)
    stage.hyp(HOST + 16)
    stage.hyp(HOST + 8)

    assert not stage.end()


def test_h2_forgets_at_the_end_of_the_trap() -> None:
    """Between two traps the host may change what it likes."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    stage.hyp(HOST + 8)
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    stage.end()
    stage.begin()
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)

    assert not stage.end()


# ---------------------------------------------------------------- H3, H4, H7, H15, H16


@pytest.mark.parametrize("addr", [QUEUE, L1, L2])
@pytest.mark.parametrize("text", ["host OWNED", "host SHARED_OWNED"])
def test_h3_the_itss_memory_does_not_come_back(addr: int, text: str) -> None:
    """A page of the hardware's queue or tables that the host can reach again."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(addr + 0x3000, 0x1000, text)

    assert kinds(stage.end()) == [("H3", "out-of-reach")]


def test_h3_a_level_2_page_must_have_left_the_host() -> None:
    """The hypervisor mirrors an entry whose page stays the host's."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.level_1(3, FLAT)
    stage.hyp(L1 + 24, write=True)

    assert ("H3", "out-of-reach") in kinds(stage.end())


def test_h4_the_registers_keep_their_names() -> None:
    """After the switch-over GITS_CBASER or GITS_BASER<n> names something else, or, not Valid, nothing."""
    stage = Stage()
    stage.taken_over()
    stage.begin(MmioWrite(MAP["its"] + 0x80, 8, 0))
    stage.node(queue=HOST, enabled=False)
    assert kinds(stage.end()) == [("H4", "registers-kept")]

    stage.begin(MmioWrite(MAP["its"] + 0x100, 8, 0))
    stage.node(table=FLAT, enabled=False)
    assert kinds(stage.end()) == [("H4", "registers-kept")]

    stage.begin(MmioWrite(MAP["its"] + 0x100, 8, 0))
    stage.node(enabled=False)
    assert not stage.end()

    stage.begin(MmioWrite(MAP["its"] + 0x80, 8, 0))
    stage.view._nodes = (
        stage.view._nodes[0]._replace(cbaser=GITS_CBASER.decode(stage.view._nodes[0].cbaser).replace(valid=0).word()),
    )
    stage.view.moved = True
    assert kinds(stage.end()) == [("H4", "registers-kept")]

    stage.begin(MmioWrite(MAP["its"] + 0x100, 8, 0))
    stage.node(enabled=False)
    stage.view._nodes = (stage.view._nodes[0]._replace(baser=(0,) * 8),)
    assert kinds(stage.end()) == [("H4", "registers-kept")]


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


def test_h3_collection_pages_may_come_back_while_they_hold_numbers() -> None:
    """A level-2 page of the collection table that the host gets back: fine while RDbase is a number, and for its ITS alone."""

    def turn(*, pta: int = 0, use: str = "collection", indirect: bool = True, node: int = 0, addr: int = L2) -> bool:
        stage = Stage(pta=pta)
        stage.taken_over()
        world = stage.oracle.world
        world.record_table(node, 3, world.tables[0, 0]._replace(use=use, indirect=indirect, addr=FLAT))
        world.l2[0, 0, 1] = world.l2.pop((0, 0, 0))
        stage.begin()
        stage.pages(addr, 0x1000, "host OWNED")
        return ("H3", "out-of-reach") not in kinds(stage.end())

    assert turn()
    assert not turn(pta=1)
    assert not turn(use="vpe")
    assert not turn(indirect=False)
    assert not turn(node=1)
    assert not turn(addr=QUEUE)


@pytest.mark.parametrize("use, addr, length", [("queue", QUEUE, PAGE64), ("table", L1, PAGE64), ("l2", L2, PAGE64)])
def test_h3_from_the_first_page_to_the_last(use: str, addr: int, length: int) -> None:
    """The pages just outside a structure are nobody's; its first and its last are not."""
    stage = Stage()
    stage.taken_over()
    for at, kept in ((addr - 0x1000, True), (addr, False), (addr + length - 0x1000, False), (addr + length, True)):
        stage.begin()
        stage.pages(at, 0x1000, "hyp OWNED")
        stage.end()
        stage.begin()
        stage.pages(at, 0x1000, "host OWNED")
        found = [violation.kind.table for violation in stage.end() if violation.oracle == "H3"]
        assert found == ([] if kept else [use])


def test_h7_level_2_pages_are_aligned() -> None:
    """An entry that names a place inside a page; entries before it that are in order, or of no table, do not hide it."""
    stage = Stage()
    stage.taken_over()
    stage.op(MmioWrite(MAP["its"] + 0x100, 8, 0))
    world = stage.oracle.world
    for slot, page in (((0, 9, 1), FLAT + 4 * PAGE64), ((0, 0, 1), FLAT), ((0, 0, 2), FLAT + PAGE64 + 0x8000)):
        world.set_l2(slot, page)
        stage.oracle.touched.l1[slot] = None
    stage.oracle._scene.deprivileged = True

    assert list(h7(stage.oracle._scene)) == [
        Broken(H7, "A level-1 entry names a page that is not aligned.", L1 + 16, 8, "l1")
    ]


def test_h11_a_configuration_table_in_use_stays() -> None:
    """The page of a configuration table that a redistributor reads becomes a guest's."""
    stage = Stage()
    stage.begin()
    stage.gicr(0, on=True)
    stage.end()
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")

    assert ("H11", "lpi-tables") in kinds(stage.end())


def test_h1_a_level_2_page_in_use_stays() -> None:
    """A page that level 1 of a table names which nobody took is the ITS's all the same."""
    for enabled, expected in ((True, [("H1", "hardware-writes")]), (False, [])):
        stage = Stage()
        stage.node(enabled=enabled)
        stage.level_1(0, L2)
        stage.op()
        stage.begin()
        stage.pages(L2 + 0x3000, 0x1000, "guest OWNED")
        assert kinds(stage.end()) == expected


def test_h15_half_writes_leave_a_legal_value() -> None:
    """The same after a 32-bit write to a 64-bit register is H15; a 32-bit register has no halves."""
    stage = Stage()
    stage.taken_over()
    stage.begin(MmioWrite(MAP["its"] + 0x104, 4, 0))
    stage.node(table=FLAT, enabled=False)
    assert kinds(stage.end()) == [("H15", "half-writes")]

    stage.begin(MmioWrite(MAP["its"] + 0x0, 4, 0))
    stage.node(table=FLAT, enabled=True)
    assert kinds(stage.end()) == [("H4", "registers-kept")]


def test_h7_level_2_pages_are_aligned_and_named_once() -> None:
    """An entry that names a page inside another, and two entries that name the same page."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    for index in (1, 2):
        stage.level_1(index, FLAT)
        stage.hyp(L1 + 8 * index, write=True)

    assert ("H7", "level-1") in kinds(stage.end())


def test_h16_translation_does_not_pass_the_hosts_memory() -> None:
    """A message translated with a level-1 entry in host memory."""
    stage = Stage()
    stage.begin(Msi(1, 2))
    stage.its(Why.L1_ENTRY, HOST)

    assert ("H16", "translation-ends") in kinds(stage.end())


# ---------------------------------------------------------------- H5, H6, H13


def test_h5_pins_are_as_many_as_records() -> None:
    """A page with more or fewer pins than the hypervisor has records of it."""
    stage = Stage()
    for pins, records, expected in ((1, 1, []), (2, 1, [("H5", "pins-counted")]), (0, 1, [("H5", "pins-counted")])):
        stage.notes.pin_counts[pfn(HOST)] = records
        stage.begin()
        stage.pages(HOST, 0x1000, f"host SHARED_OWNED pins={pins}" if pins else "host SHARED_OWNED")
        assert kinds(stage.end()) == expected


def test_h5_does_not_bind_who_keeps_no_records() -> None:
    """A hypervisor that pins nothing and records nothing is not asked."""
    stage = Stage()
    stage.begin()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=7")

    assert not stage.end()


def test_h6_the_recorded_range_covers_the_table() -> None:
    """A table across two pages of which only the first is recorded."""
    stage = Stage()
    stage.taken_over()
    for recorded, expected in (({0, 1}, []), ({0}, [("H6", "range-recorded")])):
        stage.notes.itts[1] = frozenset(pfn(HOST) + n for n in recorded)
        stage.begin()
        stage.map_device(1, HOST + 0xF00)
        assert kinds(stage.end()) == expected


def test_h13_every_vpe_is_in_the_records() -> None:
    """Hardware has mapped a vPE that the hypervisor does not know."""
    stage = Stage()
    stage.taken_over()
    stage.notes.vpes = {4}
    for vpe_id, expected in ((4, []), (5, [("H13", "vpe-recorded")])):
        stage.begin()
        stage.oracle.dma.entry_written(0, (0, "VMAPP", (0x29, vpe_id << 32, 1 << 63, HOST | 15)), Why.VTE)
        assert kinds(stage.end()) == expected


# ---------------------------------------------------------------- H8, H9, H10


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


def _second(queue: HostQueue) -> HostQueue:
    return queue._replace(node=1, addr=QUEUE)


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


# ---------------------------------------------------------------- H11, H12


def test_h11_lpi_tables_are_the_hosts() -> None:
    """LPIs on with a table in foreign memory, in every phase; with them off there is nothing to say."""
    stage = Stage(phase="trusted")
    stage.gicr(1, on=False, prop=HYP & -0x1000)
    assert not stage.op()
    stage.gicr(1, on=True, prop=HYP & -0x1000)
    assert kinds(stage.op()) == [("H11", "lpi-tables")]


def test_h11_lpi_tables_are_pinned_where_the_frames_are_guarded() -> None:
    """A hypervisor that holds the redistributors' frames holds their tables too; one that does not is not asked."""
    stage = Stage()
    stage.gicr(1, on=True)
    assert not stage.op()
    stage.view.guards = True
    stage.gicr(2, on=True)
    assert kinds(stage.op()) == [("H11", "lpi-tables"), ("H11", "lpi-tables")]

    stage.pages(HOST, PAGE64 + 0x2000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.gicr(3, on=True)
    assert not stage.op()


def test_h12_redistributors_agree() -> None:
    """Two redistributors with LPIs on and different configuration tables, where the frames are guarded."""
    stage = Stage()
    stage.pages(HOST, 0x10_0000, "host SHARED_OWNED pins=1")
    stage.view.guards = True
    stage.gicr(0, on=True)
    assert not stage.op()
    stage.gicr(1, on=True, prop=HOST + 0x4_0000)
    assert kinds(stage.op()) == [("H12", "propbaser-agrees")]


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


def test_h6_looks_at_each_table_of_each_its() -> None:
    """A vPE's table before it does not hide a device whose table is not recorded; the ITS counts."""
    stage = Stage()
    stage.taken_over()
    asked: list[tuple[int, int]] = []

    def itt(node: int, device_id: int, pages: range) -> frozenset[int] | None:
        asked.append((node, device_id))
        return frozenset()

    stage.notes.itt = itt  # type: ignore[method-assign]
    stage.begin()
    stage.oracle.dma.entry_written(1, (0, "VMAPP", (0x29, 5 << 32, 1 << 63, HOST | 15)), Why.VTE)
    stage.oracle.dma.entry_written(1, (0, "MAPD", (8 | 7 << 32, 4, 1 << 63 | HOST, 0)), Why.DTE)

    assert ("H6", "range-recorded") in kinds(stage.end())
    assert asked == [(1, 7)]


@pytest.mark.parametrize("phase, guards, said", [
    ("deprivileged", True, True), ("deprivileged", False, False), ("trusted", True, False),
])  # fmt: skip
def test_h12_binds_who_guards_the_frames(phase: str, guards: bool, said: bool) -> None:
    """Two tables for one group of redistributors, with and without a hypervisor that promised to look."""
    stage = Stage(phase=phase)
    stage.view.guards = guards
    stage.begin()
    stage.gicr(0, on=True, prop=HOST)
    stage.gicr(1, on=True, prop=FLAT)
    assert (("H12", "propbaser-agrees") in kinds(stage.end())) is said
    stage.begin()
    stage.pages(HOST + PAGE64, 0x1000, "host SHARED_OWNED")
    assert ("H12", "propbaser-agrees") not in kinds(stage.end())


def test_h1_asks_whether_the_device_is_still_there() -> None:
    """A device that the host took out of the table by hand uses no memory any more; what else uses the page still does."""
    stage = Stage()
    stage.map_device(3, HOST)
    stage.map_vpe(5, HOST)
    stage.op()
    asked: list[tuple[int, int, int]] = []

    def maps(node: int, device_id: int, pfn: int) -> bool:
        asked.append((node, device_id, pfn))
        return False

    stage.view.maps_device = maps  # type: ignore[method-assign]
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")
    found = [violation for violation in stage.end() if violation.oracle == "H1"]

    assert asked == [(0, 3, pfn(HOST))]
    assert [violation.kind.table for violation in found] == ["vpt"]


@pytest.mark.parametrize("pages, said", [
    (("hyp", "guest"), 1), (("hyp", "hyp", "guest"), 2), (("hyp", "", "guest"), 2), (("hyp", "hyp"), None),
    (("", "guest", "guest"), 1),
])  # fmt: skip
def test_h1_looks_behind_pages_that_are_right(pages: tuple[str, ...], said: int | None) -> None:
    """A table over pages that were taken for it, and then one of a guest: that page is named, once."""
    stage = Stage()
    stage.taken_over()
    for n, owner in enumerate(pages):
        if owner == "guest":
            stage.begin()
            stage.pages(HOST + n * 0x1000, 0x1000, "guest OWNED")
            stage.end()
    stage.begin()
    for n, owner in enumerate(pages):
        if owner == "hyp":
            stage.pages(HOST + n * 0x1000, 0x1000, "hyp OWNED")
    stage.oracle.dma.entry_written(
        0, (0, "MAPD", (8 | 1 << 32, 8 if len(pages) == 2 else 9, 1 << 63 | HOST, 0)), Why.DTE
    )
    length = stage.oracle.world.extents[("itt", 0, 1)].length
    found = [violation.places[0].addr for violation in stage.end() if violation.oracle == "H1"]

    assert length >= (len(pages) - 1) * 0x1000
    assert found == ([] if said is None else [HOST + said * 0x1000])


def test_h1_reads_every_level_1() -> None:
    """Behind a register that names no table there may be one that does."""
    stage = Stage()
    stage.node()
    (node,) = stage.view._nodes
    stage.view._nodes = (node._replace(baser=(0, node.baser[0], *(0,) * 6)),)
    stage.level_1(0, L2)
    stage.op()
    stage.begin()
    stage.pages(L2, 0x1000, "guest OWNED")

    assert kinds(stage.end()) == [("H1", "hardware-writes")]


def test_h14_each_table_is_looked_at() -> None:
    """A device that is gone and one elsewhere do not hide two that lie over the queue; the first shared byte is named."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    write = stage.oracle.dma.entry_written
    write(0, (0, "MAPD", (8 | 1 << 32, 4, HOST, 0)), Why.DTE)
    write(0, (0, "MAPD", (8 | 2 << 32, 4, 1 << 63 | HOST, 0)), Why.DTE)
    stage.oracle.touched.extents["itt", 0, 1] = None
    write(0, (0, "MAPD", (8 | 3 << 32, 4, 1 << 63 | QUEUE - 0x100, 0)), Why.DTE)
    write(0, (0, "MAPD", (8 | 4 << 32, 4, 1 << 63 | QUEUE + 0x1100, 0)), Why.DTE)
    found = [violation.places[0].addr for violation in stage.end() if violation.oracle == "H14"]

    assert found == [QUEUE, QUEUE + 0x1100]


def test_h11_each_redistributor_and_each_page() -> None:
    """Two redistributors go on at once, one with a table that ends in a guest's page, one with a table in the hypervisor's."""
    stage = Stage()
    stage.begin()
    stage.gicr(0, on=True, prop=HOST, pend=MAP["guest"] - PAGE64 + 0x1000)
    stage.gicr(1, on=True, prop=HYP, pend=FLAT)
    found = [violation.places[0].addr for violation in stage.end() if violation.oracle == "H11"]
    assert found == [HYP]

    stage.begin()
    stage.gicr(0, on=True, prop=MAP["guest"] - 0xD000, pend=FLAT)
    found = [violation.places[0].addr for violation in stage.end() if violation.oracle == "H11"]
    assert found == [MAP["guest"]]


def test_h13_asks_for_the_right_its() -> None:
    """vPEs are counted by ITS."""
    stage = Stage()
    stage.taken_over()
    asked: list[tuple[int, int]] = []

    def vpe(node: int, vpe_id: int) -> bool:
        asked.append((node, vpe_id))
        return True

    stage.notes.vpe = vpe  # type: ignore[method-assign]
    stage.begin()
    stage.oracle.dma.entry_written(1, (0, "VMAPP", (0x29, 5 << 32, 1 << 63, HOST | 15)), Why.VTE)
    stage.end()

    assert asked == [(1, 5)]


def test_h3_what_came_back_is_told_once_and_found_among_others() -> None:
    """Pages of the queue and others in one step; and no more when the page that came back is only shared."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.pages(FLAT, 0x1000, "hyp OWNED")
    stage.end()
    stage.begin()
    stage.pages(QUEUE, 0x1000, "host OWNED")
    stage.pages(HOST, 0x1000, "host OWNED")
    stage.pages(FLAT, 0x1000, "host OWNED")
    assert kinds(stage.end()) == [("H3", "out-of-reach")]
    stage.begin()
    stage.pages(QUEUE, 0x1000, "host SHARED_OWNED")
    assert not stage.end()
    stage.begin()
    stage.pages(QUEUE, 0x1000, "host OWNED")
    assert not stage.end()


def test_h3_every_new_entry_is_looked_at() -> None:
    """An entry that was cleared, and one of no table, before two whose pages the host shares."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    world = stage.oracle.world
    stage.oracle.touched.l1[0, 9, 0] = None
    world.set_l2((0, 9, 0), HOST)
    stage.hyp(L1 + 8, write=True)
    for index, page in ((2, FLAT), (3, FLAT + PAGE64)):
        stage.pages(page, PAGE64, "host SHARED_OWNED")
        stage.level_1(index, page)
        stage.hyp(L1 + 8 * index, write=True)
    found = [violation.places[0].addr for violation in stage.end() if violation.oracle == "H3"]

    assert found == [FLAT, FLAT + PAGE64]


def test_one_op_may_break_several() -> None:
    """A device over the queue, a page with a pin too many, a race: each is told."""
    stage = Stage()
    stage.taken_over()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.notes.pin_counts[pfn(HOST)] = 1
    stage.begin()
    stage.hyp(HOST + 8)
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=2")
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)
    stage.map_device(1, QUEUE)

    assert {violation.oracle for violation in stage.end()} >= {"H1", "H2", "H5", "H14"}


def test_queues_are_not_judged_while_the_host_is_trusted() -> None:
    """Before the switch-over is over the pointers of a queue mean nothing yet."""
    stage = Stage(phase="trusted")
    stage.notes.queue = _queue(0, 0)
    stage.op()
    stage.begin()
    stage.notes.queue = _queue(0x40, 0x20)

    assert not stage.end()


def test_devices_go_with_their_table() -> None:
    """While GITS_BASER<n> names another table, or none, a device's page may be given away; when it is back, it may not."""
    for other in (FLAT, None):
        for back, said in ((False, []), (True, [("H1", "hardware-writes")])):
            stage = Stage(phase="trusted")
            stage.node()
            stage.op()
            stage.begin()
            stage.oracle.dma.entry_written(0, (0, "MAPD", (8 | 1 << 32, 4, 1 << 63 | HOST, 0)), Why.DTE)
            stage.end()
            if other is None:
                stage.view._nodes = (stage.view._nodes[0]._replace(baser=(0,) * 8),)
                stage.view.moved = True
            else:
                stage.node(table=other)
            stage.op()
            if back:
                stage.node()
                stage.op()
            stage.begin()
            stage.pages(HOST, 0x1000, "guest OWNED")
            assert kinds(stage.end()) == said


def test_a_redistributor_that_is_off_uses_nothing() -> None:
    """With EnableLPIs clear again the pages of its tables may be given away."""
    stage = Stage(phase="trusted")
    stage.gicr(0, on=True, pend=FLAT)
    stage.op()
    stage.gicr(0, on=False, pend=FLAT)
    stage.op()
    stage.begin()
    stage.pages(FLAT, 0x1000, "guest OWNED")
    stage.pages(HOST, 0x1000, "guest OWNED")

    assert not stage.end()
