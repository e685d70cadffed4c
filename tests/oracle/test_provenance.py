"""How pages came to be the hypervisor's: what counts as the ITS's own."""

from __future__ import annotations

from itsbox.memory.interconnect import Why
from itsbox.oracle.provenance import queue_of, table_of
from tests.oracle.stage import FLAT, HOST, L1, L2, PAGE64, QUEUE, Stage, kinds, pfn


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
