"""H3, H4, H7, H15, H16: the hardware's queue and tables, on a stage."""

from __future__ import annotations

import pytest

from itsbox.arch.its_registers import GITS_CBASER
from itsbox.memory.interconnect import Why
from itsbox.ops import MmioWrite, Msi
from itsbox.oracle.invariants_tables import h7
from itsbox.oracle.rules import H7
from itsbox.oracle.scene import Broken
from tests.oracle.stage import FLAT, HOST, L1, L2, MAP, PAGE64, QUEUE, Stage, kinds


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


def test_h16_translation_does_not_pass_the_hosts_memory() -> None:
    """A message translated with a level-1 entry in host memory."""
    stage = Stage()
    stage.begin(Msi(1, 2))
    stage.its(Why.L1_ENTRY, HOST)

    assert ("H16", "translation-ends") in kinds(stage.end())
