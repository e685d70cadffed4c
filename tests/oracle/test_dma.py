"""The DMA check: each row of the table, in each phase, for each class of page."""

from __future__ import annotations

import pytest

from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Drive, MmioWrite, Msi
from itsbox.oracle.dma_table import TABLE
from tests.oracle.stage import FLAT, GUEST, HOST, HYP, L1, L2, MAP, PAGE64, QUEUE, Stage, kinds

HOST_WILL_DO = (Why.CTE, Why.ITE, Why.PENDING, Why.CONFIG, Why.VPT, Why.VCONF)
MUST_BE_TAKEN = (Why.COMMAND, Why.L1_ENTRY, Why.DTE, Why.VTE)


@pytest.mark.parametrize("why", TABLE)
@pytest.mark.parametrize("write", [False, True])
def test_host_memory_is_fine_while_the_host_is_trusted(why: str, write: bool) -> None:
    """Before the switch-over, and so always under ``off``, nothing that the ITS does with host memory is a violation."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(why, HOST, write=write)

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
def test_missing_memory_and_devices_answer_nobody(why: str) -> None:
    """An access where nothing answers leaks nothing and is no violation."""
    stage = Stage()
    stage.begin()
    stage.its(why, 0x9_0000_0000, write=True)
    stage.its(why, MAP["gicd"], write=True)

    assert not stage.end()


def test_the_itss_own_memory_is_its_own_for_one_use() -> None:
    """After a takeover the queue is good for commands and level 1 for level-1 entries, but not the other way round."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.its(Why.COMMAND, QUEUE, length=32)
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
    stage.its(Why.ITE, HOST, write=True)
    assert not stage.end()
    assert HOST >> 12 in stage.oracle.dma.writes[Why.ITE]

    stage.begin()
    stage.pages(HOST, 0x1000, "guest OWNED")
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
            stage.its(Why.ITE, HYP + n, write=True, length=1)
        assert kinds(stage.end()) == [("DMA", "foreign-write")]


def test_a_devices_write_through_host_entries_is_noted() -> None:
    """A message that is translated with an entry which the host can edit breaks H16 besides."""
    stage = Stage()
    stage.begin(Msi(3, 4))
    stage.its(Why.DTE, HOST)

    assert kinds(stage.end()) == [("DMA", "host-entry"), ("H16", "translation-ends")]


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
