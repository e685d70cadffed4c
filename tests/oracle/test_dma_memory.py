"""What the DMA check remembers of good pages, when it forgets it, and what of the hypervisor's accesses it notes."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import MAPD, MAPTI, SYNC, VMAPP, VMAPP_V41
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive
from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.view import View
from itsbox.oracle.world import Extent, Use
from tests.oracle.stage import CWRITER, FLAT, GUEST, HOST, HYP, L1, MAP, Stage, kinds, pfn


class Asked:
    """Counts how often a stage's oracle asks who owns a page."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[int] = []
        ask = stage.view.page

        def page(pfn: int) -> object:
            self.frames.append(pfn)
            return ask(pfn)

        monkeypatch.setattr(stage.view, "page", page)


def _known(stage: Stage, frame: int) -> set[str]:
    """The sets of good pages that have a frame."""
    dma, page = stage.oracle.dma, frame << 12
    found = {"judged"} if frame in dma.judged else set()
    found |= {f"reads {why}" for why, pages in dma.reads.items() if page in pages}
    found |= {f"writes {why}" for why, pages in dma.writes.items() if page in pages}
    found |= {name for name in ("hyp_reads", "hyp_writes", "shared") if frame in getattr(dma, name)}
    return found


def test_the_hypervisors_pages_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is asked about at the first read and at the first write, of several at once only the new ones."""
    stage = Stage()
    stage.begin()
    asked = Asked(stage, monkeypatch)
    for _ in range(3):
        stage.hyp(HYP + 0x10, length=16)
    assert asked.frames == [pfn(HYP)]
    for _ in range(3):
        stage.hyp(HYP + 0xFF8, write=True)
    assert asked.frames == [pfn(HYP)] * 2
    stage.hyp(HYP + 0xFF8, length=0x1008)
    stage.hyp(HYP + 0x10, length=0x1FF0)
    assert asked.frames == [pfn(HYP)] * 2 + [pfn(HYP) + 1]
    stage.hyp(HYP - 0xFF8, length=0x2000)
    assert asked.frames[3:] == [pfn(HYP) - 1]
    assert not stage.end()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("addr, length, frames", [
    (GUEST + 0xFF8, 8, 1), (GUEST + 0xFF8, 9, 2), (GUEST + 0x1000, 0x1000, 1), (GUEST + 0x1000, 0x1001, 2), (GUEST, 1, 1),
])  # fmt: skip
def test_each_page_of_a_long_access_is_judged(addr: int, length: int, frames: int, write: bool) -> None:
    """The hypervisor's access to a guest's pages: one violation a page, to the byte."""
    stage = Stage()
    stage.begin()
    stage.hyp(addr, write=write, length=length)
    places = [violation.places[0] for violation in stage.end()]

    assert len(places) == frames
    assert sum(place.length for place in places) == length
    assert [place.addr for place in places] == [addr, *((addr >> 12) + n << 12 for n in range(1, frames))]


def test_a_bad_page_does_not_hide_the_next() -> None:
    """After a page that may not be touched the following ones are judged and remembered too."""
    stage = Stage()
    stage.begin()
    stage.hyp(GUEST + 0xF_D000, length=0x2000)
    stage.hyp(HYP - 0x3000 - 0x1000, length=0x2000)
    stage.end()

    assert _known(stage, pfn(HYP - 0x3000)) == {"judged", "hyp_reads"}
    assert _known(stage, pfn(HYP - 0x4000)) == set()


@pytest.mark.parametrize("why", [why for why, row in TABLE.items() if row.host])
def test_what_is_known_of_a_page_is_forgotten_with_its_owner(why: str) -> None:
    """A page in each of the sets, and in none once its ownership has changed; its neighbour stays known."""
    stage = Stage()
    stage.map_device(1, HOST, size=12)
    stage.pages(HOST, 0x2000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    for addr in (HOST, HOST + 0x1000 + (8 if why == Why.ITE else 0)):
        for write in {False, bool(TABLE[why].writers)}:
            stage.its(why, addr, write=write)
        stage.hyp(addr)
        stage.hyp(addr, write=True)
    before = _known(stage, pfn(HOST) + 1)
    assert {"judged", "hyp_reads", "hyp_writes", "shared", f"reads {why}"} <= before
    assert _known(stage, pfn(HOST)) == before
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=2")

    assert _known(stage, pfn(HOST)) == set()
    assert _known(stage, pfn(HOST) + 1) == before
    stage.oracle.dma.forget_all()
    assert _known(stage, pfn(HOST) + 1) == set()


@pytest.mark.parametrize("write", [False, True])
def test_translation_entries_are_judged_again_when_their_page_changes_hands(write: bool) -> None:
    """An entry that was good is asked about again after its page, and only its page, went to a guest."""
    stage = Stage()
    stage.map_device(1, HOST)
    stage.op()
    stage.begin()
    stage.its(Why.ITE, HOST, write=write)
    stage.pages(FLAT, 0x1000, "hyp OWNED")
    places = stage.oracle.dma.places[write][Initiator.ITS][Why.ITE]
    assert HOST in places
    stage.pages(HOST, 0x1000, "guest OWNED")
    assert places == {}
    stage.its(Why.ITE, HOST, write=write)

    assert ("DMA", "foreign-write" if write else "foreign-read") in kinds(stage.end())


def test_only_the_command_that_makes_an_entry_says_what_comes_into_use() -> None:
    """An entry that another command writes (a collection moves, a vPE is scheduled) maps nothing."""
    stage = Stage()
    for why, command in ((Why.DTE, VMAPP), (Why.DTE, MAPTI), (Why.VTE, MAPTI), (Why.VTE, SYNC), (Why.CTE, VMAPP)):
        stage.oracle.dma.entry_written(0, (0, command.NAME, (0, 0, 1 << 63, HOST)), why)
    stage.oracle.dma.entry_written(0, (0, "MAPD", (8, 0, 1 << 63 | HOST, 0)), Why.VTE)

    assert stage.oracle.world.extents == {}


def test_both_tables_of_a_vpe_name_their_command() -> None:
    """GICv4.1: the virtual configuration table is evidence of the VMAPP as the pending table is; the smallest has a byte."""
    stage = Stage()
    stage.view.vmapp_v41 = True
    vmapp = VMAPP_V41(
        vpe_id=3, rd_base=0, valid=1, vpt_size=12, vpt_addr=HOST, vconf_addr=FLAT, alloc=0, ptz=0, default_doorbell=1023
    )
    words = vmapp.encode()
    command = (0, "VMAPP", words)
    stage.oracle.dma.entry_written(1, command, Why.VTE)  # type: ignore[arg-type]

    assert stage.oracle.touched.extents == {(Use.VPT, 1, 3): command, (Use.VCONF, 1, 3): command}
    assert stage.oracle.world.extents[Use.VCONF, 1, 3] == Extent(FLAT, 1, False)


@pytest.mark.parametrize("addr, length, slots", [(8, 8, {1}), (8, 9, {1, 2}), (9, 7, {1}), (0xFFF8, 8, {8191})])
def test_the_slots_of_level_1_that_are_written(addr: int, length: int, slots: set[int]) -> None:
    """A write of the hypervisor to the level 1 that it took touches the entries that it has a byte of."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.hyp(L1 + addr, write=True, length=length)

    assert stage.oracle.touched.l1 == {(0, 0, slot): None for slot in slots}
    stage.end()


def test_reads_of_host_memory_are_noted_in_traps_alone() -> None:
    """Of shared memory, wherever in it a read begins; of the hypervisor's own nothing; of a driver's op nothing."""
    stage = Stage()
    stage.pages(HOST + 0x1000, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    reads = stage.oracle.touched.hyp_reads
    stage.begin(CWRITER)
    stage.hyp(HYP)
    assert reads == []
    stage.hyp(HOST + 0xFF8, length=16)
    stage.hyp(HOST + 0x1008)
    stage.hyp(HOST + 0x1010, write=True)
    stage.hyp(HYP)
    stage.hyp(HOST + 0xFF8)
    assert reads == [(HOST + 0xFF8, 16), (HOST + 0x1008, 8)]
    stage.end()
    stage.begin(Drive("sync", {}))
    stage.hyp(HOST + 0x1008)
    assert reads == []
    stage.end()


@pytest.mark.parametrize("store, raced", [
    ((0, 8), []), ((0, 9), [(8, 1)]), ((15, 8), [(15, 1)]), ((16, 8), []), ((8, 8), [(8, 8)]), ((0, 64), [(8, 8)]),
])  # fmt: skip
def test_a_store_races_with_the_bytes_that_it_shares_with_a_read(
    store: tuple[int, int], raced: list[tuple[int, int]]
) -> None:
    """Eight bytes were read; the store before, into, over and behind them."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    stage.hyp(HOST + 8)
    stage.host(HOST + store[0], store[1])

    assert stage.oracle.touched.raced == [(HOST + low, size, 0) for low, size in raced]
    stage.end()


def test_sizes_are_what_the_page_says() -> None:
    """A fixed size reads as its number, and is it on every machine."""
    view: View = Stage().view
    shown = {why: (row.unit.text, row.unit.of(view)) for why, row in TABLE.items() if row.unit.text.isdigit()}

    assert shown
    assert all(int(text) == size for text, size in shown.values())


def test_initiators_have_their_own_memory() -> None:
    """What an ITS may read, a redistributor may not for that."""
    stage = Stage()
    stage.begin()
    stage.its(Why.ITE, HOST, command=None)
    stage.watch(Initiator.GICR, False, HOST, 8, Why.ITE)

    assert ("DMA", "wrong-initiator") in kinds(stage.end())


@pytest.mark.parametrize("why, unit", [(Why.COMMAND, 32), (Why.L1_ENTRY, 8), (Why.DTE, 8), (Why.CTE, 8), (Why.VTE, 8)])
def test_a_good_page_does_not_excuse_a_crooked_access(why: str, unit: int) -> None:
    """In a page that is known to be right each place where no object begins is still told."""
    stage = Stage()
    stage.taken_over()
    use = {Why.COMMAND: "queue", Why.L1_ENTRY: "l1", Why.DTE: "device", Why.CTE: "collection", Why.VTE: "vpe"}[why]
    stage.oracle.world.give(pfn(HYP), use)
    stage.begin()
    stage.its(why, HYP, length=unit)
    assert not stage.end()
    for shift in range(unit.bit_length() - 1):
        stage.begin()
        stage.its(why, HYP + 4 * unit + (1 << shift), length=unit)
        assert kinds(stage.end()) == [("DMA", "misaligned")]
    stage.begin()
    stage.its(why, HYP + unit, length=unit)
    assert not stage.end()


def test_a_hosts_load_is_no_race() -> None:
    """The host reads what a trap has read; nothing changes by that."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.begin()
    stage.hyp(HOST)
    stage.watch(Initiator.HOST, False, HOST, 8, Why.HOST)

    assert stage.oracle.touched.raced == []
    stage.end()


def test_pages_behind_known_and_missing_ones_are_judged() -> None:
    """A long read that begins in a page that is known, or where nothing answers, and ends where it must not."""
    stage = Stage(phase="trusted")
    stage.pages(MAP["ram"], 0x1000, "hyp OWNED")
    stage.begin()
    stage.watch(Initiator.GICR, False, MAP["guest"] - 0x1000, 0x800, Why.CONFIG)
    assert not stage.end()
    for low, bad in ((MAP["guest"] - 0x1000, MAP["guest"]), (MAP["ram"] - 0x1000, MAP["ram"])):
        stage.begin()
        stage.watch(Initiator.GICR, False, low, 0x1004, Why.CONFIG)
        assert [violation.places[0].addr for violation in stage.end()] == [bad]


def test_an_entry_in_a_devices_frame_maps_nothing() -> None:
    """A MAPD whose entry goes to registers: the access is bad, and no table came into use."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(Why.DTE, MAP["gicd"], write=True, command=MAPD(device_id=1, size=4, itt_addr=HYP, valid=1))

    assert {violation.oracle for violation in stage.end()} == {"DMA"}


@pytest.mark.parametrize("why", TABLE)
def test_what_is_good_for_one_is_not_for_another(why: str) -> None:
    """After an access that is right, the same place for the same reason by another, or the other way round, is told."""
    row = TABLE[why]
    unit = row.unit.of(Stage().view)
    for by in (Initiator.ITS, Initiator.GICR):
        for write in (False, True):
            stage = Stage(phase="trusted")
            stage.begin()
            stage.map_device(1, HOST)
            for reader in row.readers:
                stage.watch(reader, False, HOST, unit, why)
            for writer in row.writers:
                stage.watch(writer, True, HOST, unit, why)
            stage.end()
            stage.begin()
            stage.watch(by, write, HOST, unit, why)
            assert bool(stage.end()) is (by not in (row.writers if write else row.readers))
