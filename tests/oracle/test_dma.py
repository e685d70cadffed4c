"""The DMA check: each row of the table, in each phase, for each class of page."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import MAPTI, VMAPP_V41
from itsbox.arch.its_tables import itt_bytes
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive, MmioWrite, Msi, Op
from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.pages import PageState, Whose
from itsbox.oracle.world import Extent, Use
from tests.oracle.stage import CWRITER, FLAT, GUEST, HOST, HYP, L1, L2, MAP, PAGE64, QUEUE, Stage, kinds

HOST_WILL_DO = (Why.CTE, Why.ITE, Why.PENDING, Why.CONFIG, Why.VPT, Why.VCONF)
MUST_BE_TAKEN = (Why.COMMAND, Why.L1_ENTRY, Why.DTE, Why.VTE)


@pytest.mark.parametrize("why", TABLE)
def test_host_memory_is_fine_while_the_host_is_trusted(why: str) -> None:
    """Before the switch-over, and so always under ``off``, nothing that hardware does with host memory is a violation."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(why, HOST)
    if TABLE[why].writers:
        stage.its(why, HOST, write=True)

    assert not stage.end()


@pytest.mark.parametrize("why", TABLE)
@pytest.mark.parametrize("phase", ["trusted", "deprivileged"])
@pytest.mark.parametrize("addr, owner", [(HYP, "hyp"), (GUEST, "guest")])
def test_foreign_memory_is_out_of_bounds_in_every_phase(why: str, phase: str, addr: int, owner: str) -> None:
    """Memory of the hypervisor or of a guest is neither read nor written, whatever for."""
    stage = Stage(phase=phase)
    stage.begin()
    stage.its(why, addr, write=True)
    stage.its(why, addr + 0x1000)
    read = "foreign-command" if why == Why.COMMAND else "foreign-read"

    found = stage.end()

    assert kinds(found) == [("DMA", "foreign-write"), ("DMA", read)]
    assert {violation.kind.owner for violation in found} == {owner}
    assert [violation.places[0].addr for violation in found] == [addr, addr + 0x1000]


@pytest.mark.parametrize("why", MUST_BE_TAKEN)
@pytest.mark.parametrize("text", ["host OWNED", "host SHARED_OWNED", "host SHARED_OWNED pins=1"])
def test_what_decides_may_not_lie_in_host_memory_after_the_switch_over(why: str, text: str) -> None:
    """Commands, level-1 entries, device and vPE entries in memory that the host can write are violations."""
    stage = Stage()
    stage.pages(HOST, 0x1000, text)
    stage.op()
    stage.begin()
    stage.its(why, HOST)

    assert kinds(stage.end()) == [("DMA", "host-entry")]


@pytest.mark.parametrize("why", HOST_WILL_DO)
def test_what_reaches_the_host_alone_may_stay_with_it(why: str) -> None:
    """Translation, collection, pending and configuration tables may be host memory after the switch-over."""
    stage = Stage()
    stage.begin()
    stage.map_device(1, HOST)
    stage.end()
    stage.begin()
    if TABLE[why].writers:
        stage.its(why, HOST, write=True)
    stage.its(why, HOST)

    assert not stage.end()


def test_collection_entries_are_addresses_with_pta() -> None:
    """Where RDbase is an address the collection table must have left the host's reach too."""
    stage = Stage(pta=1)
    stage.begin()
    stage.its(Why.CTE, HOST)

    assert kinds(stage.end()) == [("DMA", "host-entry")]


@pytest.mark.parametrize("why", TABLE)
def test_missing_memory_answers_nobody(why: str) -> None:
    """An access where nothing answers leaks nothing and is no violation, however often it is tried."""
    stage = Stage()
    for _ in range(2):
        stage.begin()
        stage.its(why, 0x9_0000_0000, write=True)
        stage.its(why, 0x9_0000_0000)

        assert not stage.end()


@pytest.mark.parametrize("why", TABLE)
@pytest.mark.parametrize("phase", ["trusted", "deprivileged"])
def test_registers_are_no_memory(why: str, phase: str) -> None:
    """A queue, table or entry in the frames of the GIC is a violation in every phase, for reading as for writing."""
    stage = Stage(phase=phase)
    for frame in ("gicd", "its", "gicr"):
        stage.begin()
        stage.its(why, MAP[frame] + 0x1000, write=True)
        stage.its(why, MAP[frame] + 0x2000)

        found = stage.end()
        assert kinds(found) == [("DMA", "device-frame")] * 2
        assert {violation.kind.owner for violation in found} == {"mmio"}


def test_the_itss_own_memory_is_its_own_for_one_use() -> None:
    """After a takeover the queue is good for commands and level 1 for level-1 entries, but not the other way round."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.its(Why.COMMAND, QUEUE)
    stage.its(Why.L1_ENTRY, L1)
    stage.its(Why.DTE, L2, write=True)

    assert not stage.end()

    stage.begin()
    stage.its(Why.ITE, QUEUE + 0x1000, write=True)
    stage.its(Why.COMMAND, L2)
    stage.its(Why.L1_ENTRY, QUEUE)

    assert kinds(stage.end()) == [("DMA", "wrong-use")] * 3


def test_a_page_given_away_for_something_else_is_private() -> None:
    """A page that the host donated for another purpose is not the ITS's own, also when an entry names it later."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    stage.end()
    stage.begin()
    stage.hyp(L1 + 8, write=True)
    stage.level_1(1, FLAT)
    stage.its(Why.DTE, FLAT, write=True)

    assert ("DMA", "foreign-write") in kinds(stage.end())


def test_a_level_2_page_that_comes_with_its_entry_is_the_itss_own() -> None:
    """A level-2 page that is donated in the step in which its level-1 entry is written may be used at once."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.pages(FLAT, PAGE64, "hyp OWNED")
    stage.level_1(1, FLAT)
    stage.hyp(L1 + 8, write=True)
    stage.its(Why.DTE, FLAT, write=True)

    assert not stage.end()


def test_an_access_across_pages_is_judged_on_each() -> None:
    """An access of which only the end lies in foreign memory is found, with exactly that end as evidence."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(Why.ITE, MAP["guest"] - 4, write=True, length=12)

    (violation,) = stage.end()

    assert (violation.places[0].addr, violation.places[0].length) == (MAP["guest"], 8)


def test_good_pages_are_judged_once_and_again_when_they_change_hands() -> None:
    """A page is remembered as good until its ownership changes."""
    stage = Stage()
    stage.begin()
    stage.map_device(1, HOST)
    stage.its(Why.ITE, HOST, write=True)
    stage.its(Why.PENDING, HOST, write=True)
    stage.end()
    stage.view._states[HOST >> 12] = PageState(Whose.GUEST, "OWNED", 0)  # nobody is told
    stage.begin()
    stage.its(Why.ITE, HOST, write=True)
    stage.its(Why.PENDING, HOST, write=True)
    assert not stage.end()

    stage.begin()
    stage.oracle.page_changing(HOST >> 12)
    stage.its(Why.ITE, HOST, write=True)

    assert kinds(stage.end()) == [("DMA", "foreign-write")]


def test_the_phase_changes_what_is_good() -> None:
    """What was good while the host was trusted is judged anew after the switch-over."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(Why.COMMAND, HOST)
    assert not stage.end()
    stage.view.now = "deprivileged"
    stage.op()
    stage.begin()
    stage.its(Why.COMMAND, HOST)

    assert kinds(stage.end()) == [("DMA", "host-entry")]


def test_messages_go_to_redistributors_only() -> None:
    """A bus message to the base of a redistributor's frame is fine; one to anything else is a violation."""
    stage = Stage(phase="trusted", pta=1)
    stage.begin()
    for cpu in range(4):
        stage.oracle.message(Initiator.ITS, MAP["gicr"] + cpu * MAP["gicr_stride"], Why.RD_BASE)
    assert not stage.end()

    targets = (MAP["gicr"] + 0x1_0000, MAP["gicr"] + 4 * MAP["gicr_stride"], MAP["gicr"] - MAP["gicr_stride"], HYP)
    for target in targets:
        stage.begin()
        stage.oracle.message(Initiator.ITS, target, Why.RD_BASE)
        assert kinds(stage.end()) == [("DMA", "message")]


def test_the_evidence_of_a_message() -> None:
    """Who sends what where, and whose that place is."""
    stage = Stage(phase="trusted", pta=1)
    stage.begin()
    stage.oracle.message(Initiator.ITS, HYP + 0x80, Why.RD_BASE)

    (violation,) = stage.end()

    assert violation.sentence == f"The ITS sends a message to {HYP + 0x80:#x}, the hypervisor's memory."
    assert (violation.initiator, violation.access, violation.why) == ("its", "message", Why.RD_BASE)
    assert [(place.addr, place.length, place.owner) for place in violation.places] == [(HYP + 0x80, 4, "hyp")]


def test_the_evidence_of_an_access() -> None:
    """Who does what to which bytes, for which command."""
    stage = Stage(phase="trusted")
    stage.begin()
    command = MAPTI(device_id=3, event_id=4, intid=8192, icid=0)
    stage.its(Why.ITE, HYP + 0x18, write=True, length=12, command=command)

    (violation,) = stage.end()

    where = f"at {HYP + 0x18:#x}, the hypervisor's memory"
    assert violation.sentence == f"The ITS writes an interrupt translation entry {where}, while carrying out MAPTI."
    assert violation.command == (0, "MAPTI", command.encode())
    assert (violation.initiator, violation.access, violation.why) == ("its", "write", Why.ITE)
    assert [(place.addr, place.length) for place in violation.places] == [(HYP + 0x18, 12)]
    assert violation.kind.op == "MAPTI"


def test_the_evidence_of_a_deputy() -> None:
    """Of an access over the end of a page only the part in the foreign page is named."""
    stage = Stage()
    stage.begin()
    stage.hyp(MAP["guest"] - 8, length=0x18)

    (violation,) = stage.end()

    assert (violation.initiator, violation.access) == ("hyp", "read")
    assert [(place.addr, place.length, place.owner) for place in violation.places] == [(MAP["guest"], 0x10, "guest")]


def test_entries_say_what_memory_comes_into_use() -> None:
    """What MAPD and VMAPP name is in use while their entry is valid, of each ITS and object apart."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.map_device(1, HOST, size=4)
    stage.map_device(2, HOST + 0x1000, size=0)
    stage.map_vpe(3, HOST + 0x1_0000)
    stage.oracle.dma.settle()

    extents = stage.oracle.world.extents
    assert extents == {
        (Use.ITT, 0, 1): Extent(HOST, itt_bytes(4, stage.view.ite_bytes), True),
        (Use.ITT, 0, 2): Extent(HOST + 0x1000, itt_bytes(0, stage.view.ite_bytes), True),
        (Use.VPT, 0, 3): Extent(HOST + 0x1_0000, 8192, True),
    }
    assert [*stage.oracle.touched.extents] == [*extents]

    stage.map_device(1, 0, valid=0)
    stage.oracle.dma.settle()
    assert (Use.ITT, 0, 1) not in stage.oracle.world.extents
    stage.end()


def test_a_vpe_of_gicv4_1_uses_two_tables() -> None:
    """Its virtual configuration table is read only; it goes with the vPE."""
    stage = Stage(vmapp=1)
    stage.taken_over()
    for valid in (1, 0):
        command = VMAPP_V41(
            alloc=1, ptz=0, vconf_addr=HOST + 0x2_0000, default_doorbell=0, vpe_id=3, rd_base=0, valid=valid, vpt_size=15,
            vpt_addr=HOST + 0x1_0000,
        )  # fmt: skip
        stage.begin()
        stage.its(Why.VTE, L2, write=True, command=command)
        stage.oracle.dma.settle()

        assert [*stage.oracle.touched.extents] == [(Use.VPT, 0, 3), (Use.VCONF, 0, 3)]
        assert stage.oracle.world.extents == ({
            (Use.VPT, 0, 3): Extent(HOST + 0x1_0000, 8192, True),
            (Use.VCONF, 0, 3): Extent(HOST + 0x2_0000, 0x1_0000 - 8192, False),
        } if valid else {})  # fmt: skip
        stage.end()


@pytest.mark.parametrize("addr, length, slots", [
    (L1, 8, [0]), (L1 + 4, 4, [0]), (L1 + 4, 8, [0, 1]), (L1 + 8, 16, [1, 2]), (L1 - 8, 8, []), (L1 + PAGE64, 8, []),
])  # fmt: skip
def test_the_hypervisors_writes_to_level_1(addr: int, length: int, slots: list[int]) -> None:
    """Each entry that a write touches is looked at when the op ends; others are not."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.hyp(addr, write=True, length=length)

    assert [*stage.oracle.touched.l1] == [(0, 0, slot) for slot in slots]
    stage.oracle.touched.clear()
    stage.end()


@pytest.mark.parametrize("store, again, swapped", [
    ((0, 8), (0, 32), True), ((24, 8), (0, 32), True), ((16, 32), (16, 1), True), ((31, 1), (31, 1), True),
    ((32, 8), (0, 32), False), ((-8, 8), (0, 32), False), ((0, 8), (8, 24), False), ((0, 8), (-8, 8), False),
])  # fmt: skip
def test_a_race_is_a_store_between_two_reads(store: tuple[int, int], again: tuple[int, int], swapped: bool) -> None:
    """What was read, acted on, changed by the host and read again; bytes that do not meet are no race."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    stage.op()
    stage.begin()
    base = HOST + 0x100
    stage.hyp(base, length=32)
    stage.pages(HOST + 0x8000, 0x1000, "hyp OWNED")
    stage.host(base + store[0], store[1])
    stage.hyp(base + again[0], length=again[1])

    assert stage.oracle.touched.swapped == ([(base + again[0], again[1])] if swapped else [])


@pytest.mark.parametrize("after, swapped", [("host OWNED", False), ("hyp OWNED", True), ("host SHARED_OWNED", True)])
def test_an_act_that_was_taken_back_is_none(after: str, swapped: bool) -> None:
    """A command was refused when its level-2 page had been taken: the next one may read the level-1 entry anew."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    stage.op()
    stage.begin()
    stage.hyp(HOST, length=8)
    stage.pages(HOST + 0x8000, 0x2000, "hyp OWNED")
    stage.pages(HOST + 0x8000, 0x1000, after)
    stage.pages(HOST + 0x9000, 0x1000, "host OWNED")
    stage.host(HOST, 8)
    stage.hyp(HOST, length=8)

    assert stage.oracle.touched.swapped == ([(HOST, 8)] if swapped else [])


def test_no_race_without_an_act() -> None:
    """Reading twice is allowed as long as nothing was done with what was read first."""
    stage = Stage()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED")
    stage.op()
    stage.begin()
    stage.hyp(HOST, length=32)
    stage.host(HOST, 8)
    stage.hyp(HOST, length=32)

    assert stage.oracle.touched.swapped == []


def test_the_hypervisor_is_no_deputy() -> None:
    """The hypervisor does not touch a guest's memory, nor write host memory that is not shared with it."""
    stage = Stage()
    stage.begin()
    stage.hyp(GUEST)
    stage.hyp(HOST, write=True)
    stage.hyp(HOST)
    stage.hyp(HYP, write=True)

    assert kinds(stage.end()) == [("DMA", "deputy")] * 2


def test_one_fact_is_reported_once_an_op() -> None:
    """A thousand writes into one foreign page in one op are one violation; in the next op it is news again."""
    stage = Stage(phase="trusted")
    for _ in range(2):
        stage.begin()
        for n in range(1000):
            stage.its(Why.ITE, HYP + n, write=True)
        assert kinds(stage.end()) == [("DMA", "foreign-write")]


@pytest.mark.parametrize("op, walks", [
    (Msi(3, 4), True),
    (MmioWrite(MAP["translater"], 4, 0), True), (MmioWrite(MAP["translater"], 2, 0), True),
    (MmioWrite(MAP["translater"] - 4, 8, 0), True), (MmioWrite(MAP["translater"] - 4, 4, 0), False), (CWRITER, False),
])  # fmt: skip
def test_a_translation_through_host_entries_is_noted(op: Op, walks: bool) -> None:
    """A message that is translated with an entry which the host can edit breaks H16 besides, a device's as well as a CPU's."""
    stage = Stage()
    stage.begin(op)
    stage.its(Why.DTE, HOST)

    assert kinds(stage.end()) == [("DMA", "host-entry"), ("H16", "translation-ends")][: 2 if walks else 1]


def test_buckets_tell_kinds_apart_and_nothing_else() -> None:
    """Another address or slot is the same bucket; another kind of access, owner, phase or op is not."""

    def bucket(why: str, addr: int, phase: str = "trusted", op: object = None, *, write: bool = True) -> str:
        stage = Stage(phase=phase)
        stage.begin(MmioWrite(MAP["its"] + 0x88, 4, 0x40) if op is None else op)  # type: ignore[arg-type]
        stage.its(why, addr, write=write)
        (violation,) = stage.end()
        return violation.bucket

    reference = bucket(Why.ITE, HYP)

    assert bucket(Why.ITE, HYP + 0x2468) == reference
    assert len({
        reference, bucket(Why.ITE, GUEST), bucket(Why.DTE, HYP), bucket(Why.ITE, HYP, write=False),
        bucket(Why.ITE, HYP, "deprivileged"), bucket(Why.ITE, HYP, op=Drive("map_device", {})),
    }) == 6  # fmt: skip
