"""The ITS's registers and its queue."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPD, MAPTI, SYNC
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.ops import Store
from tests.rig import Rig

ONES = (1 << 64) - 1
GOOD = MAPC(icid=0, rd_base=0, valid=1)
BAD = MAPD(device_id=0x1_0000, size=4, itt_addr=Rig.ITT, valid=1)


def test_a_64_bit_register_can_be_written_by_halves() -> None:
    """Two 32-bit writes make the same GITS_CBASER as one of 64 bits."""
    rig = Rig()
    rig.gits(GITS_CBASER.OFFSET, 0xDEADBEEF, size=4)
    rig.gits(GITS_CBASER.OFFSET + 4, 0x8000_1234, size=4)

    assert rig.gits(GITS_CBASER.OFFSET) == 0x8000_1234_DEAD_BEEF


@pytest.mark.parametrize("offset, size", [(0, 8), (0, 1), (0, 2), (2, 2), (0x80, 1), (0x98, 8), (0x8000, 4), (3, 4)])
def test_what_no_register_answers_is_raz_wi(offset: int, size: int) -> None:
    """An access of a size or at an offset that the control frame does not have reads zero and changes nothing."""
    rig = Rig()
    before = rig.machine.state_hash()
    rig.gits(offset, (1 << 8 * size) - 1, size=size)

    assert rig.gits(offset, size=size) == 0
    assert before == rig.machine.state_hash()


def test_base_registers_are_locked_while_enabled() -> None:
    """GITS_CBASER and GITS_BASER<n> ignore writes while GITS_CTLR.Enabled is set."""
    rig = Rig().set_up()
    queue, devices = rig.gits(GITS_CBASER.OFFSET), rig.gits(GITS_BASER.OFFSET)
    rig.gits(GITS_CBASER.OFFSET, ONES)
    rig.gits(GITS_BASER.OFFSET, ONES)

    assert (queue, devices) == (rig.gits(GITS_CBASER.OFFSET), rig.gits(GITS_BASER.OFFSET))


def test_type_and_entry_size_of_a_baser_are_read_only() -> None:
    """Whatever is written, GITS_BASER<n> keeps its Type and Entry_Size; one without a table stays zero."""
    rig = Rig()
    for n in range(8):
        rig.gits(GITS_BASER.OFFSET + 8 * n, ONES)
    kinds = [GITS_BASER.decode(rig.gits(GITS_BASER.OFFSET + 8 * n)) for n in range(8)]

    assert [(kind.type, kind.entry_size) for kind in kinds] == [(1, 7), (4, 7)] + [(0, 0)] * 6
    assert rig.gits(GITS_BASER.OFFSET + 24) == 0


def test_writing_cbaser_resets_creadr() -> None:
    """A write to GITS_CBASER sets GITS_CREADR to zero, Stalled included."""
    rig = Rig().set_up()
    rig.post(GOOD, GOOD)
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    assert rig.creadr == 64
    rig.gits(GITS_CBASER.OFFSET, rig.gits(GITS_CBASER.OFFSET))

    assert rig.creadr == 0


def test_the_queue_wraps() -> None:
    """After the last slot the ITS goes on at the first; CREADR follows CWRITER round the end."""
    rig = Rig().set_up()
    rig.post(*[SYNC(rd_base=0)] * 2046)
    records = rig.post(*[GOOD] * 4)

    assert [record[0] for record in records] == [2046, 2047, 0, 1]
    assert rig.creadr == 64


@pytest.mark.parametrize("beyond", [Rig.QUEUE_BYTES, Rig.QUEUE_BYTES + 32, 0xF_FFE0])
def test_a_write_offset_beyond_the_queue_processes_nothing(beyond: int) -> None:
    """A GITS_CWRITER at or past the queue's end is kept and nothing runs until a legal one is written."""
    rig = Rig().set_up()
    rig.put(GOOD)
    rig.gits(GITS_CWRITER.OFFSET, beyond)
    assert rig.creadr == 0
    assert beyond == rig.gits(GITS_CWRITER.OFFSET)

    assert rig.verdicts() == ["executed"]


def test_commands_wait_while_disabled_and_run_when_enabled() -> None:
    """A disabled ITS keeps CWRITER; enabling works the queue off."""
    rig = Rig().set_up()
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    assert rig.verdicts(GOOD) == []
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)

    assert rig.creadr == 32


def test_an_unknown_opcode_is_skipped_and_has_no_name() -> None:
    """Under policy ignore an unknown opcode is an error without effect, and the next command runs."""
    rig = Rig().set_up()
    records = rig.post((0xFF, 0, 0, 0), GOOD)

    assert [(record[1], record[3]) for record in records] == [(None, "error"), ("MAPC", "executed")]


def test_policy_stall_stops_at_the_faulty_command() -> None:
    """Under policy stall CREADR points at the bad command with Stalled set, and later writes process nothing."""
    rig = Rig(error_policy="stall").set_up()

    assert rig.verdicts(GOOD, BAD, GOOD) == ["executed", "stalled: MAPD_DEVICE_OOR"]
    assert GITS_CREADR(stalled=1, offset=32).word() == rig.creadr
    assert rig.verdicts(GOOD) == []


def test_retry_tries_the_same_command_again() -> None:
    """GITS_CWRITER.Retry without a repair stalls again at the same slot; after the repair the queue goes on."""
    rig = Rig(error_policy="stall").set_up()
    rig.post(BAD, GOOD)
    assert rig.verdicts(retry=1) == ["stalled: MAPD_DEVICE_OOR"]
    assert rig.gits(GITS_CWRITER.OFFSET) == 64

    written, rig.cwriter = rig.cwriter, 0
    rig.put(SYNC(rd_base=0))
    rig.cwriter = written
    assert rig.verdicts(retry=1) == ["executed", "executed"]
    assert rig.creadr == 64


def test_a_table_in_missing_memory_stalls_whatever_the_policy() -> None:
    """A command whose table cannot be written stalls; any CWRITER write tries it again; Stalled stays (QEMU's choice)."""
    rig = Rig().set_up(collection_base=0x9_0000_0000 & (1 << 47) - 1)
    assert rig.verdicts(GOOD, SYNC(rd_base=0)) == ["stalled: MEMORY_FAULT"]
    assert rig.creadr == 1

    assert rig.verdicts() == ["stalled: MEMORY_FAULT"]


def test_a_queue_in_missing_memory_reads_as_unknown_commands() -> None:
    """Commands in missing memory read as zeros and are skipped (QEMU's choice)."""
    rig = Rig().set_up()
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    rig.gits(GITS_CBASER.OFFSET, Rig.NOWHERE | 1 << 63)
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)

    assert rig.verdicts(GOOD) == ["error: UNKNOWN_COMMAND"]


@pytest.mark.parametrize("page", [0x1000, 0x4000, 0x1_0000])
def test_two_level_tables_reach_the_last_entry_of_each_page(page: int) -> None:
    """First and last DeviceID of each level-2 page land in that page; behind an invalid level-1 entry nothing lands."""
    rig = Rig().set_up(page=page, indirect=2)
    per_page = page // 8
    mapped = [0, per_page - 1, per_page, 2 * per_page - 1]
    for device_id in [*mapped, 2 * per_page]:
        assert rig.verdicts(MAPD(device_id=device_id, size=3, itt_addr=Rig.ITT, valid=1)) == ["executed"]

    assert [str(device_id) for device_id in mapped] == list(rig.machine.state()["devices"])
    assert rig.verdicts(MAPTI(device_id=2 * per_page, event_id=0, intid=8192, icid=0)) == [
        "error: MAPTI_UNMAPPED_DEVICE"
    ]


def test_tables_are_taken_over_when_the_its_is_enabled() -> None:
    """With GITS_BASER0 not Valid every DeviceID is out of range."""
    rig = Rig().set_up()
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    rig.gits(GITS_BASER.OFFSET, 0)
    rig.gits(GITS_CTLR.OFFSET, 1, size=4)

    assert rig.verdicts(INT(device_id=0, event_id=0)) == ["error: INT_DEVICE_OOR"]


def test_another_table_counts_from_the_next_enabling_on() -> None:
    """GITS_BASER0 moved to another table and back: devices are looked up in the one that it names, each time."""
    rig = Rig().set_up()
    interrupt = INT(device_id=1, event_id=0)
    first = rig.gits(GITS_BASER.OFFSET)
    assert rig.verdicts(MAPD(device_id=1, size=3, itt_addr=Rig.ITT, valid=1)) == ["executed"]
    for base, error in ((Rig.VPES, "DEVICE"), (Rig.DEVICES, "INTERRUPT"), (Rig.VPES, "DEVICE")):
        rig.gits(GITS_CTLR.OFFSET, 0, size=4)
        rig.gits(GITS_BASER.OFFSET, GITS_BASER.decode(first).replace(physical_address=base).word())
        rig.gits(GITS_CTLR.OFFSET, 1, size=4)

        assert rig.verdicts(interrupt) == [f"error: INT_UNMAPPED_{error}"]


def test_a_table_that_software_edits_is_seen_by_the_next_command() -> None:
    """Entries are read for each command: an edit between two commands counts, and so does taking it back."""
    rig = Rig().set_up()
    interrupt = INT(device_id=1, event_id=0)
    mapped = (MAPD(device_id=1, size=3, itt_addr=Rig.ITT, valid=1), MAPC(icid=0, rd_base=0, valid=1))
    assert rig.verdicts(*mapped, MAPTI(device_id=1, event_id=0, intid=8192, icid=0)) == ["executed"] * 3
    for place, length, error in (
        (Rig.DEVICES + 8, 8, "INT_UNMAPPED_DEVICE"),
        (Rig.ITT, 12, "INT_UNMAPPED_INTERRUPT"),
        (Rig.COLLECTIONS, 8, "INT_ITE_INVALID"),
    ):
        entry = rig.machine.physical(place, length)
        rig.machine.apply(Store(place, bytes(length)))
        assert rig.verdicts(interrupt) == [f"error: {error}"]
        rig.machine.apply(Store(place, entry))
        assert rig.verdicts(interrupt) == ["executed"]


def test_a_command_may_rewrite_the_commands_behind_it() -> None:
    """Each command is fetched when it is its turn: an ITT that lies over the queue changes what comes next."""
    rig = Rig().set_up()
    over = MAPD(device_id=1, size=3, itt_addr=Rig.QUEUE, valid=1)
    # Event 8 of that ITT lies 96 bytes into the queue: over the opcode of the fourth command, which then reads as INT.
    onto = MAPTI(device_id=1, event_id=8, intid=8192, icid=0)

    assert rig.verdicts(over, GOOD, onto, GOOD) == ["executed", "executed", "executed", "error: INT_UNMAPPED_DEVICE"]
