"""H5, H6, H13: records against hardware, on a stage."""

from __future__ import annotations

import pytest

from itsbox.memory.interconnect import Why
from tests.oracle.stage import HOST, Stage, kinds, pfn


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


def test_h6_looks_at_each_table_of_each_its(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vPE's table before it does not hide a device whose table is not recorded; the ITS counts."""
    stage = Stage()
    stage.taken_over()
    asked: list[tuple[int, int]] = []

    def itt(node: int, device_id: int, pages: range) -> frozenset[int] | None:
        asked.append((node, device_id))
        return frozenset()

    monkeypatch.setattr(stage.notes, "itt", itt)
    stage.begin()
    stage.oracle.dma.entry_written(1, (0, "VMAPP", (0x29, 5 << 32, 1 << 63, HOST | 15)), Why.VTE)
    stage.oracle.dma.entry_written(1, (0, "MAPD", (8 | 7 << 32, 4, 1 << 63 | HOST, 0)), Why.DTE)

    assert ("H6", "range-recorded") in kinds(stage.end())
    assert asked == [(1, 7)]


def test_h13_every_vpe_is_in_the_records() -> None:
    """Hardware has mapped a vPE that the hypervisor does not know."""
    stage = Stage()
    stage.taken_over()
    stage.notes.vpes = {4}
    for vpe_id, expected in ((4, []), (5, [("H13", "vpe-recorded")])):
        stage.begin()
        stage.oracle.dma.entry_written(0, (0, "VMAPP", (0x29, vpe_id << 32, 1 << 63, HOST | 15)), Why.VTE)
        assert kinds(stage.end()) == expected


def test_h13_asks_for_the_right_its(monkeypatch: pytest.MonkeyPatch) -> None:
    """vPEs are counted by ITS."""
    stage = Stage()
    stage.taken_over()
    asked: list[tuple[int, int]] = []

    def vpe(node: int, vpe_id: int) -> bool:
        asked.append((node, vpe_id))
        return True

    monkeypatch.setattr(stage.notes, "vpe", vpe)
    stage.begin()
    stage.oracle.dma.entry_written(1, (0, "VMAPP", (0x29, 5 << 32, 1 << 63, HOST | 15)), Why.VTE)
    stage.end()

    assert asked == [(1, 5)]
