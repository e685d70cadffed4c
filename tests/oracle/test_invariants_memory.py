"""H1, H11, H12, H14: the memory that hardware uses, on a stage."""

from __future__ import annotations

import pytest

from itsbox.memory.interconnect import Why
from tests.oracle.stage import FLAT, GUEST, HOST, HYP, L2, MAP, PAGE64, QUEUE, Stage, kinds, pfn


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


def test_h1_asks_whether_the_device_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that the host took out of the table by hand uses no memory any more; what else uses the page still does."""
    stage = Stage()
    stage.map_device(3, HOST)
    stage.map_vpe(5, HOST)
    stage.op()
    asked: list[tuple[int, int, int]] = []

    def maps(node: int, device_id: int, pfn: int) -> bool:
        asked.append((node, device_id, pfn))
        return False

    monkeypatch.setattr(stage.view, "maps_device", maps)
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


def test_h11_a_configuration_table_in_use_stays() -> None:
    """The page of a configuration table that a redistributor reads becomes a guest's."""
    stage = Stage()
    stage.begin()
    stage.gicr(0, on=True)
    stage.end()
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")

    assert ("H11", "lpi-tables") in kinds(stage.end())


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


def test_h12_redistributors_agree() -> None:
    """Two redistributors with LPIs on and different configuration tables, where the frames are guarded."""
    stage = Stage()
    stage.pages(HOST, 0x10_0000, "host SHARED_OWNED pins=1")
    stage.view.guards = True
    stage.gicr(0, on=True)
    assert not stage.op()
    stage.gicr(1, on=True, prop=HOST + 0x4_0000)
    assert kinds(stage.op()) == [("H12", "propbaser-agrees")]


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


def test_h14_a_page_of_the_its_is_no_translation_table() -> None:
    """A device whose table lies over the queue that the hypervisor holds."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.map_device(1, QUEUE + 0x200)

    assert ("H14", "one-use") in kinds(stage.end())


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


@pytest.mark.parametrize("phase, enabled, found", [
    ("deprivileging", False, False), ("deprivileging", True, True), ("deprivileged", False, True), ("trusted", False, True),
])  # fmt: skip
def test_an_its_that_nobody_can_wake_uses_no_table(phase: str, enabled: bool, found: bool) -> None:
    """H1: between the switch-over and the take-over the host cannot enable it; before and after somebody can."""
    stage = Stage(phase="trusted")
    stage.map_device(1, HOST)
    stage.node(enabled=enabled)
    stage.op()
    stage.view.now = phase
    stage.op()
    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")

    assert ("H1" in {oracle for oracle, _ in kinds(stage.end())}) is found
