"""The pump of strict where the ITS does not go along: stalls, what a stalled command holds, and both queues' ends."""

from __future__ import annotations

from itsbox.arch.its_commands import INT, MAPD, SYNC
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.arch.layout import Layout
from itsbox.ops import Store
from tests.hypervisor.box import Box

STALL = {"error_policy": "stall"}
HELD, ALONE = ("host", "SHARED_OWNED", 1), ("host", "OWNED", 0)


def stalled() -> tuple[Box, int]:
    """A machine whose queue stopped at an INT of an unmapped event, and the offset of that."""
    box = Box(session=STALL)
    box.verdicts(MAPD(device_id=1, size=3, itt_addr=box.page(0), valid=1))
    offset = box.queue()["cwriter"]
    assert [record[3] for record in box.records(INT(device_id=1, event_id=5))] == ["stalled"]
    return box, offset


def replace(box: Box, offset: int, command: Layout) -> None:
    """Write another command into a slot of the host's queue."""
    box.machine.apply(Store(box.queue()["base"] + offset, command.STRUCT.pack(*command.encode())))


def test_a_command_that_waits_holds_its_pages() -> None:
    """A MAPD put in the stalled slot: without Retry it waits, pinned; with Retry it is looked at anew and carried out."""
    box, offset = stalled()
    replace(box, offset, MAPD(device_id=2, size=3, itt_addr=box.page(1), valid=1))
    assert box.verdicts() == []
    assert box.describe(box.page(1)) == HELD
    saved, digest = box.machine.snapshot(), box.machine.state_hash()

    assert box.verdicts(retry=1) == ["executed"]
    assert box.describe(box.page(1)) == HELD
    box.machine.restore(saved)
    assert box.machine.state_hash() == digest
    replace(box, offset, SYNC(rd_base=0))
    assert box.verdicts(retry=1) == ["executed"]
    assert box.describe(box.page(1)) == ALONE


def test_a_waiting_command_that_the_host_spoils_is_taken_back() -> None:
    """The slot is refused now: the hardware queue is empty, and enabling the ITS runs nothing."""
    box, offset = stalled()
    replace(box, offset, MAPD(device_id=2, size=3, itt_addr=box.page(1), valid=1))
    box.verdicts()
    replace(box, offset, MAPD(device_id=2, size=3, itt_addr=box.map.hyp, valid=1))
    assert box.verdicts(retry=1) == ["itt_not_host_owned"]

    assert box.describe(box.page(1)) == ALONE
    assert box.hardware(GITS_CREADR) == box.hardware(GITS_CWRITER)
    assert box.verdicts(SYNC(rd_base=0)) == ["executed"]


def test_a_queue_started_anew_drops_what_waited() -> None:
    """GITS_CBASER is written while a MAPD waits: its pages go back."""
    box, offset = stalled()
    replace(box, offset, MAPD(device_id=2, size=3, itt_addr=box.page(1), valid=1))
    box.verdicts()
    box.disable()
    box.write(0x80, box.value(0x80))

    assert box.describe(box.page(1)) == ALONE
    assert (box.value(GITS_CREADR.OFFSET), box.value(GITS_CWRITER.OFFSET)) == (0, 0)
    box.enable()
    assert box.verdicts(SYNC(rd_base=0)) == ["executed"]


def test_what_the_its_does_by_itself_is_noticed() -> None:
    """An ITS that retries when it is enabled: the host's position follows, and the rest goes on behind it."""
    box, offset = stalled()
    box.put(SYNC(rd_base=0))
    box.machine.its[0].stall_on_error = False
    box.disable()
    box.enable()

    assert box.value(GITS_CREADR.OFFSET) & ~1 == offset + 32
    assert box.verdicts(SYNC(rd_base=0)) == ["executed"]


def test_both_queues_wrap_on_their_own() -> None:
    """A refused command sets the hardware's offsets back; a run then crosses its end in the middle."""
    box = Box()
    assert box.verdicts(SYNC(rd_base=9), *[SYNC(rd_base=9)] * 3) == ["rd_base_unknown"] * 4
    box.advance(2040)
    assert box.hardware(GITS_CWRITER) == (2040 - 4) * 32
    records = box.records(*[SYNC(rd_base=n % 4) for n in range(30)])

    assert [record[3] for record in records] == ["executed"] * 30
    assert [record[0] for record in records] == [(2040 + n) % 2048 for n in range(30)]
    assert box.hardware(GITS_CWRITER) == (2040 - 4 + 30) % 2048 * 32
    assert box.value(GITS_CREADR.OFFSET) == (2040 + 30) % 2048 * 32


def test_the_event_of_a_turn_counts_what_was_copied() -> None:
    """shadow.queue: from, to and how many; refused commands are not among them."""
    box = Box()
    start = box.queue()["cwriter"]
    box.machine.take_events()
    box.post(SYNC(rd_base=0), SYNC(rd_base=9), SYNC(rd_base=1))

    assert box.events("shadow.queue") == [{"from": start, "to": start + 96, "count": 2}]
