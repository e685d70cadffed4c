"""How pages came to be the hypervisor's: what counts as the ITS's own."""

from __future__ import annotations

from itsbox.arch.its_registers import GITS_CBASER
from itsbox.memory.interconnect import Why
from itsbox.oracle.provenance import queue_of, table_of
from tests.oracle.stage import FLAT, HOST, L1, L2, PAGE64, QUEUE, Stage, kinds, pfn


def _with_a_private_page() -> Stage:
    """After the take-over, one page went to the hypervisor in an op of its own; another op begins."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.end()
    stage.begin()
    return stage


def test_registers_describe_queue_and_tables() -> None:
    """A register that is not Valid, or has no type, describes nothing."""
    baser = 0xF907_0000_4202_0600  # devices, two levels, 64 KB pages, as in gic-its notes: one page at 0x42020000
    table = table_of(baser)

    assert table is not None
    assert (table.addr, table.length, table.use, table.indirect, table.per_page) == (
        0x4202_0000, 0x1_0000, "device", True, 8192,
    )  # fmt: skip
    assert table_of(baser & ~(1 << 63)) is None
    assert table_of(0) is None
    assert queue_of(0) is None
    queue = queue_of(0xB8E0_0000_4000_040F)
    assert queue is not None
    assert (queue.addr, queue.length) == (0x4000_0000, 0x1_0000)


def test_half_a_queue_is_not_taken() -> None:
    """Unless the whole queue changes hands in one step it is not the ITS's own."""
    stage = Stage()
    stage.node()
    stage.op()
    stage.begin()
    stage.pages(QUEUE, PAGE64 - 0x1000, "hyp OWNED")
    stage.end()

    assert stage.oracle.world.queues == {}
    assert stage.oracle.world.own == {}


def test_a_page_that_comes_back_is_the_itss_no_more() -> None:
    """Given back and donated again for something else, it is private."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(QUEUE, 0x1000, "host OWNED")
    stage.end()
    assert pfn(QUEUE) not in stage.oracle.world.own
    stage.begin()
    stage.pages(QUEUE, 0x1000, "hyp OWNED")
    stage.end()
    stage.begin()
    stage.its(Why.COMMAND, QUEUE)

    assert kinds(stage.end()) == [("DMA", "foreign-command")]


def test_a_donated_translation_table_is_the_itss_own() -> None:
    """A stricter layer takes the table: its pages, donated in the step of the MAPD, are good for translation entries."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.map_device(1, HOST)
    stage.its(Why.ITE, HOST, write=True)
    assert not stage.end()

    stage.begin()
    stage.pages(FLAT, 0x1000, "hyp OWNED")
    stage.end()
    stage.begin()
    stage.map_device(2, FLAT)
    assert ("H1", "hardware-writes") in kinds(stage.end())


def test_a_level_1_entry_that_is_cleared_is_forgotten() -> None:
    """The hypervisor clears an entry: its slot names nothing any more."""
    stage = Stage()
    stage.taken_over()
    assert stage.oracle.world.l2 == {(0, 0, 0): L2}
    stage.begin()
    stage.level_1(0, L2, valid=0)
    stage.hyp(L1, write=True)
    stage.end()

    assert stage.oracle.world.l2 == {}


def test_what_was_the_hypervisors_before_stays_private() -> None:
    """Pages of the carve-out, and pages that were taken earlier, do not become the ITS's own with a structure over them."""
    stage = _with_a_private_page()
    stage.pages(HOST + 0x1000, 0x1000, "hyp OWNED")
    stage.map_device(1, HOST + 0x800, size=8)  # over both pages
    stage.end()

    assert stage.oracle.world.own.get(pfn(HOST)) is None
    assert stage.oracle.world.own.get(pfn(HOST) + 1) == "itt"


def test_a_page_has_one_use() -> None:
    """Two structures that come to be over one fresh page: it is the first one's."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.map_device(1, HOST)
    stage.map_vpe(2, HOST)
    stage.end()

    assert stage.oracle.world.own[pfn(HOST)] == "itt"


def test_the_first_page_alone_is_no_structure() -> None:
    """A queue whose first page became the hypervisor's, but not its last, is not taken; nor one without its first."""
    for missing in (0, PAGE64 - 0x1000):
        stage = Stage()
        stage.node()
        stage.op()
        stage.begin()
        stage.pages(QUEUE, missing, "hyp OWNED")
        stage.pages(QUEUE + missing + 0x1000, PAGE64 - missing - 0x1000, "hyp OWNED")
        stage.end()
        assert stage.oracle.world.queues == {}


def test_redistributors_tables_may_be_taken() -> None:
    """A hypervisor that takes pending and configuration tables when LPIs go on: they are the ITS's own for that use."""
    stage = Stage()
    stage.taken_over()
    prop, pend = HOST, HOST + PAGE64
    stage.begin()
    stage.pages(prop, 2 * PAGE64, "hyp OWNED")
    stage.gicr(1, on=True, prop=prop, pend=pend)
    assert not stage.end()
    own = stage.oracle.world.own

    assert own[pfn(prop)] == "config"
    assert own[pfn(pend)] == "pending"
    assert pfn(prop) + 15 not in own  # behind the table, which has 2^16 - 8192 bytes

    stage.begin()
    stage.pages(L2 + PAGE64, 0x1000, "hyp OWNED")
    stage.end()
    assert pfn(L2 + PAGE64) not in own


def test_one_page_among_many_arrives() -> None:
    """A page that arrives is explained whatever changed before and after it in the same step."""
    for order in ((HOST, FLAT, QUEUE), (FLAT, HOST, QUEUE), (QUEUE, FLAT, HOST)):
        stage = Stage()
        stage.taken_over()
        stage.begin()
        for addr in order:
            stage.pages(addr, 0x1000, "hyp OWNED" if addr != HOST else "host SHARED_OWNED")
        stage.map_device(1, FLAT)
        stage.end()
        assert stage.oracle.world.own[pfn(FLAT)] == "itt"


def test_a_level_1_entry_where_nothing_answers_names_nothing() -> None:
    """Level 1 that cannot be read holds no valid entry."""
    stage = Stage()
    stage.taken_over()
    stage.view.word = lambda addr: None  # type: ignore[method-assign]
    stage.begin()
    stage.hyp(L1, write=True)
    stage.end()

    assert (0, 0, 0) not in stage.oracle.world.l2


def test_live_objects_have_their_pages_and_names() -> None:
    """The queue, the tables and the level-2 pages that touch a range of frames."""
    stage = Stage()
    stage.taken_over()
    find = stage.oracle.who.live_objects
    for addr, key in ((QUEUE, ("queue", 0, 0)), (L1, ("table", 0, 0)), (L2, ("l2", 0, 0))):
        pages = range(pfn(addr), pfn(addr) + 16)
        for first, last, found in (
            (pages[0], pages[0], True), (pages[-1], pages[-1], True), (pages[0] - 1, pages[0] - 1, False),
            (pages[-1] + 1, pages[-1] + 1, False), (pages[0] - 1, pages[-1] + 1, True),
        ):  # fmt: skip
            assert find(first, last) == ([(key, pages)] if found else [])


def test_pages_that_went_and_came_back_in_one_step_stay_private() -> None:
    """The hypervisor's page that was the host's for a moment, and the host's page that a structure covers, are not the ITS's."""
    stage = _with_a_private_page()
    stage.pages(HOST, 0x1000, "host OWNED")
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.pages(HOST + 0x1000, 0x1000, "host SHARED_OWNED")
    stage.pages(HOST + 0x2000, 0x1000, "hyp OWNED")
    stage.map_device(1, HOST + 0x800, size=9)  # over all three
    stage.map_device(2, FLAT, valid=0)
    stage.oracle.touched.extents["itt", 0, 2] = None
    stage.end()

    assert {frame: stage.oracle.world.own.get(pfn(HOST) + frame) for frame in range(3)} == {0: None, 1: None, 2: "itt"}


def test_a_table_in_use_explains_nothing_later() -> None:
    """Pages under a redistributor's table that the hypervisor takes afterwards, for whatever, are private."""
    stage = Stage()
    stage.taken_over()
    stage.gicr(0, on=True, prop=HOST, pend=FLAT)
    stage.op()
    stage.begin()
    stage.pages(HOST, 0x1000, "hyp OWNED")
    stage.node(table=L1, indirect=0)
    stage.end()

    assert pfn(HOST) not in stage.oracle.world.own


def test_a_queue_of_one_page_is_taken() -> None:
    """The smallest queue has one page, which is its first and its last."""
    stage = Stage()
    stage.node()
    (node,) = stage.view._nodes
    stage.view._nodes = (node._replace(cbaser=GITS_CBASER.decode(node.cbaser).replace(size=0).word()),)
    stage.op()
    stage.begin()
    stage.pages(QUEUE, 0x1000, "hyp OWNED")
    stage.end()

    assert stage.oracle.world.own == {pfn(QUEUE): "queue"}
