"""The eyes of the off-line judge: what a log's lines say about pages, registers and tables, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.arch.its_registers import GITS_BASER, TABLE_COLLECTIONS, TABLE_DEVICES, baser_stored_address
from itsbox.arch.its_tables import L1Entry
from itsbox.oracle.log_format import FORMAT, head_from_line, line_shapes, page_text
from itsbox.oracle.log_view import LogView
from itsbox.oracle.pages import PageState, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.view import Gicr, Node
from itsbox.oracle.world import World
from tests.oracle.stage import FLAT, GUEST, HOST, HYP, L1, L2, MAP, PAGE64, pfn

HEAD: dict[str, Any] = {"format": FORMAT, "map": MAP, "cpus": 4, "its": 2, "complete": True}
RAM_END = MAP["ram"] + MAP["ram_bytes"]


def _view(**change: Any) -> LogView:
    return LogView(head_from_line({**HEAD, **change}))


def _baser(table: int = TABLE_DEVICES, *, at: int = L1, indirect: int = 1, valid: int = 1) -> int:
    """GITS_BASER<n> of one page of 64 KB: 8,192 level-1 entries."""
    return (
        GITS_BASER.decode(0)
        .replace(type=table, page_size=2, entry_size=7, valid=valid, indirect=indirect)
        .replace(physical_address=baser_stored_address(at, PAGE64))
        .word()
    )


def _hardware(view: LogView, *nodes: dict[str, Any], guards: bool = False) -> None:
    """A ``hardware`` line, through the same door as in a log."""
    head = head_from_line(HEAD)
    empty = {"enabled": False, "cbaser": 0, "baser": [0] * 8, "level_1": {}}
    its = [{**empty, **each} for each in (*nodes, {}, {})[:2]]
    gicr = [[cpu == 1, cpu, hex(cpu << 16)] for cpu in range(4)]
    line = {"its": its, "gicr": gicr, "guards_redistributors": guards}
    view.set_hardware(line_shapes(head)["hardware"](line))


# ---------------------------------------------------------------- before anything was said


def test_a_view_begins_as_a_machine_does() -> None:
    """Trusted, nothing enabled, nobody at work; the head says the rest."""
    view = _view(pta=1, vmapp=True, ite_bytes=8, id_bits=12)

    assert (view.pta, view.vmapp_v41, view.ite_bytes, view.id_bits) == (True, True, 8, 12)
    assert (view.phase(), view.executing(), view.guards_redistributors()) == ("trusted", (0, None), False)
    assert view.nodes() == (Node(False, 0, (0,) * 8),) * 2
    assert view.gicrs() == (Gicr(False, 0, 0),) * 4
    assert view.registers_moved() is False
    assert view.pages is view
    assert view.map.ram == MAP["ram"]


@pytest.mark.parametrize("addr, whose", [
    (MAP["ram"], Whose.HOST), (MAP["ram"] - 1, Whose.MISSING), (RAM_END - 1, Whose.HYP), (RAM_END, Whose.MISSING),
    (HYP, Whose.HYP), (MAP["hyp"], Whose.HYP), (MAP["hyp"] - 1, Whose.GUEST), (GUEST, Whose.GUEST),
    (MAP["guest"] - 1, Whose.HOST), (MAP["gicd"], Whose.DEVICE), (MAP["gicd"] - 1, Whose.MISSING),
    (MAP["gicr"] + 4 * MAP["gicr_stride"] - 1, Whose.DEVICE), (MAP["gicr"] + 4 * MAP["gicr_stride"], Whose.MISSING),
])  # fmt: skip
def test_pages_are_whose_the_map_says(addr: int, whose: int) -> None:
    """RAM is the host's but for the hypervisor's and the guest's part; frames of the GIC are a device's; else nothing."""
    assert _view().page(pfn(addr)) == PageState(whose, "OWNED", 0)


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("text, state", [
    ("host OWNED", PageState(Whose.HOST, "OWNED", 0)), ("hyp OWNED", PageState(Whose.HYP, "OWNED", 0)),
    ("guest OWNED", PageState(Whose.GUEST, "OWNED", 0)),
    ("host SHARED_OWNED pins=2", PageState(Whose.SHARED, "SHARED_OWNED", 2)),
    ("guest SHARED_OWNED", PageState(Whose.GUEST, "SHARED_OWNED", 0)),
    ("hyp SHARED_BORROWED pins=1", PageState(Whose.HYP, "SHARED_BORROWED", 1)),
])  # fmt: skip
def test_a_page_is_what_was_last_said_of_it(text: str, state: PageState) -> None:
    """Its owner, its state, its pins; a page of the host that it shares is of a class of its own."""
    view = _view()
    view.set_page(pfn(HOST), page_text("guest OWNED"))
    view.set_page(pfn(HOST), page_text(text))

    assert view.page(pfn(HOST)) == state
    assert view.page(pfn(HOST) + 1) == PageState(Whose.HOST, "OWNED", 0)


@pytest.mark.parametrize("addr", [MAP["its"], MAP["ram"] - 0x1000, RAM_END])
def test_what_is_no_memory_stays_what_it_is(addr: int) -> None:
    """Frames of devices change hands too, and stay devices."""
    view = _view()
    before = view.page(pfn(addr))
    view.set_page(pfn(addr), page_text("hyp OWNED"))

    assert view.page(pfn(addr)) == before


def test_the_first_page_of_somebody_else_is_found() -> None:
    """Within a range that may reach beyond RAM at both ends; the host's pages, shared or not, are not somebody else's."""
    view = _view()
    view.set_page(pfn(HOST) + 3, page_text("host SHARED_OWNED"))
    view.set_page(pfn(HOST) + 5, page_text("guest OWNED"))
    view.set_page(pfn(HOST) + 7, page_text("hyp OWNED"))

    assert view.foreign(0, 1 << 40) == pfn(HOST) + 5
    assert view.foreign(pfn(HOST), pfn(HOST) + 5) == pfn(HOST) + 5
    assert view.foreign(pfn(HOST), pfn(HOST) + 4) is None
    assert view.foreign(pfn(HOST) + 6, 1 << 40) == pfn(HOST) + 7
    assert view.foreign(pfn(HOST) + 7, pfn(HOST) + 7) == pfn(HOST) + 7
    assert view.foreign(pfn(HOST) + 8, pfn(MAP["guest"]) - 1) is None
    assert view.foreign(pfn(HOST) + 8, pfn(MAP["guest"])) == pfn(MAP["guest"])
    assert view.foreign(pfn(MAP["its"]), pfn(MAP["its"])) is None
    assert view.foreign(pfn(RAM_END) - 1, 1 << 40) == pfn(RAM_END) - 1
    view.set_page(pfn(RAM_END) - 1, page_text("host OWNED"))
    assert view.foreign(pfn(RAM_END) - 1, 1 << 40) is None


# ---------------------------------------------------------------- registers


def test_registers_are_what_the_last_line_says() -> None:
    """Of every ITS and every redistributor; that they moved is told once."""
    view = _view()
    _hardware(view, {}, {"enabled": 1, "cbaser": "0x77", "baser": [5, *[0] * 7]}, guards=True)

    assert view.nodes() == (Node(False, 0, (0,) * 8), Node(True, 0x77, (5, *(0,) * 7)))
    assert view.gicrs() == tuple(Gicr(cpu == 1, cpu, cpu << 16) for cpu in range(4))
    assert view.guards_redistributors() is True
    assert [view.registers_moved(), view.registers_moved()] == [True, False]
    _hardware(view)
    assert view.nodes()[1].enabled is False
    assert view.guards_redistributors() is False


@pytest.mark.parametrize("addr, is_one", [
    (MAP["gicr"], True), (MAP["gicr"] + MAP["gicr_stride"], True), (MAP["gicr"] + 3 * MAP["gicr_stride"], True),
    (MAP["gicr"] + 4 * MAP["gicr_stride"], False), (MAP["gicr"] - MAP["gicr_stride"], False), (MAP["gicr"] + 0x1_0000, False),
    (0, False),
])  # fmt: skip
def test_redistributors_lie_a_stride_apart(addr: int, is_one: bool) -> None:
    """As many as the head says; their other frames are not where messages go."""
    assert _view().is_redistributor(addr) is is_one


def test_a_device_maps_what_its_command_said_unless_told() -> None:
    """``overwritten`` names the table that a device's entry has instead, or none."""
    view = _view()
    assert view.maps_device(0, 5, pfn(HOST))
    _hardware(view, {"overwritten": [[5, hex(FLAT), 0x1001], [6, 0, 0]]}, {"overwritten": [[7, hex(HOST), 1]]})

    assert [view.maps_device(0, 5, pfn(addr)) for addr in (HOST, FLAT, FLAT + 0x1000, FLAT + 0x2000)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert [view.maps_device(0, 6, pfn(addr)) for addr in (0, HOST)] == [False, False]
    assert [view.maps_device(1, device, pfn(HOST)) for device in (5, 7)] == [True, True]
    assert not view.maps_device(1, 7, pfn(FLAT))
    _hardware(view)
    assert view.maps_device(0, 5, pfn(HOST))


# ---------------------------------------------------------------- level-1 tables


def _entry(page: int) -> int:
    word: int = L1Entry(address=page, valid=1).encode()[0]
    return word


def test_level_1_entries_are_those_of_the_last_line() -> None:
    """Of each table; those of a table that a later line tells anew are forgotten, others are kept."""
    view = _view()
    both = [_baser(), _baser(TABLE_COLLECTIONS, at=FLAT), *[0] * 6]
    _hardware(view, {"baser": both, "level_1": {"0": [[0, _entry(L2)], [8191, 7]], "1": [[1, 9]]}})

    assert list(view.words(L1, PAGE64)) == [(0, _entry(L2)), (8191, 7)]
    assert [type(index) for index, _ in view.words(L1, PAGE64)] == [int, int]
    assert list(view.words(L1, PAGE64 - 8)) == [(0, _entry(L2))]
    assert list(view.words(L1 + 8, PAGE64 - 8)) == [(8190, 7)]
    assert list(view.words(FLAT, 16)) == [(1, 9)]
    assert [view.word(at) for at in (L1, L1 + 8, FLAT + 8)] == [_entry(L2), 0, 9]
    _hardware(view, {"baser": both, "level_1": {"0": [[3, 5]]}})
    assert list(view.words(L1, PAGE64)) == [(3, 5)]
    assert list(view.words(FLAT, 16)) == [(1, 9)]
    _hardware(view, {"baser": both, "level_1": {"0": [[3, 0]]}})
    assert list(view.words(L1, PAGE64)) == []


@pytest.mark.parametrize("as_qemu, page", [(0, L2), (1, L2 + 0x3123)])
def test_an_entry_names_a_page_as_the_head_says(as_qemu: int, page: int) -> None:
    """Its low bits count where hardware reads it as QEMU does; without Valid it names none."""
    view = _view(l1_as_qemu=as_qemu)

    assert view.level_2(1 << 63 | L2 + 0x3123, PAGE64) == page
    assert view.level_2(L2, PAGE64) is None


def test_an_entry_outside_its_table_is_refused() -> None:
    """In a ``hardware`` line and in a mirrored entry alike: the last place of 64 KB is 8,191."""
    view = _view()
    for index, said in ((8191, None), (8192, "index 8192 lies outside its level-1 table")):
        line = {"baser": [_baser(), *[0] * 7], "level_1": {"0": [[index, 1]]}}
        if said is None:
            _hardware(view, line)
        else:
            with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
                _hardware(view, line)
            assert str(caught.value) == said


def test_entries_of_no_table_are_refused() -> None:
    """A register that is not Valid names none."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        _hardware(_view(), {"baser": [_baser(valid=0), *[0] * 7], "level_1": {"0": []}})

    assert str(caught.value) == "level_1 must be of a table that GITS_BASER<n> names"


def test_a_mirrored_entry_goes_to_the_tables_of_its_use() -> None:
    """Those with two levels that hardware has, of every ITS."""
    view, world = _view(), World(end=RAM_END)
    registers = {
        (0, 0): _baser(), (1, 0): _baser(at=L2), (0, 1): _baser(TABLE_COLLECTIONS, at=FLAT), (0, 2): _baser(at=HOST, indirect=0),
    }  # fmt: skip
    world.tables = {key: table for key, value in registers.items() if (table := table_of(value)) is not None}
    view.mirror(world, "device", 2, _entry(HOST))

    assert [list(view.words(at, PAGE64)) for at in (L1, L2)] == [[(2, _entry(HOST))]] * 2
    assert [list(view.words(at, PAGE64)) for at in (FLAT, HOST)] == [[], []]
    view.mirror(world, None, 3, 1)
    assert list(view.words(L1, PAGE64)) == [(2, _entry(HOST))]
    with pytest.raises(ValueError, match="index 8192 lies outside"):
        view.mirror(world, "device", 8192, 1)
