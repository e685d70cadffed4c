"""A device's translation table, read from memory as hardware reads it, and heard by nobody."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import MAPD
from itsbox.arch.its_tables import DTE
from itsbox.ops import MmioWrite
from itsbox.oracle.device_table import translation_table, word_at
from tests.rig import Rig


def _table(rig: Rig, device_id: int) -> tuple[int, int]:
    return translation_table(rig.machine.its[0], rig.machine.memory, device_id)


@pytest.mark.parametrize("indirect", [0, 3])
def test_the_last_device_of_a_table_has_its_entry(indirect: int) -> None:
    """Behind it there is none, whatever lies there; flat or on two levels."""
    rig = Rig().set_up(page=0x1000, indirect=indirect) if indirect else Rig().set_up(page=0x1000, device_pages=2)
    last = 512 * (indirect or 2) - 1
    rig.post(MAPD(device_id=last, size=8, itt_addr=rig.ITT, valid=1))
    behind = rig.DEVICES + (last + 1) * 8
    rig.machine.apply(MmioWrite(behind, 8, DTE(valid=1, size=8, itt_addr=rig.ITT).encode()[0]))

    assert _table(rig, last) == (rig.ITT, 512 * rig.machine.its[0].ite_bytes)
    assert _table(rig, last + 1) == (0, 0)


def test_a_device_without_an_entry_has_no_table() -> None:
    """Never mapped, or unmapped with its address left behind."""
    rig = Rig().set_up(page=0x1000, indirect=1)
    rig.machine.apply(MmioWrite(rig.DEVICES_L2 + 8 * 3, 8, DTE(valid=0, size=8, itt_addr=rig.ITT).encode()[0]))

    assert [_table(rig, device_id) for device_id in (0, 3)] == [(0, 0), (0, 0)]


def test_behind_an_entry_that_is_not_valid_there_is_no_table() -> None:
    """Nor behind one that names missing memory."""
    rig = Rig().set_up(page=0x1000, indirect=1)
    rig.post(MAPD(device_id=1, size=8, itt_addr=rig.ITT, valid=1))
    for word in (rig.DEVICES_L2, 1 << 63 | rig.NOWHERE):
        rig.machine.apply(MmioWrite(rig.DEVICES, 8, word))
        assert _table(rig, 1) == (0, 0)


@pytest.mark.parametrize("as_qemu, table", [(True, (0, 0)), (False, (Rig.ITT, 6144))])
def test_low_bits_of_a_level_1_entry_count_as_they_do_for_hardware(as_qemu: bool, table: tuple[int, int]) -> None:
    """The entry was written while they were zero."""
    rig = Rig(quirks={"l1_as_qemu": as_qemu}).set_up(page=0x1000, indirect=1)
    rig.post(MAPD(device_id=1, size=8, itt_addr=rig.ITT, valid=1))
    rig.machine.apply(MmioWrite(rig.DEVICES, 8, 1 << 63 | rig.DEVICES_L2 + 0x800))

    assert _table(rig, 1) == table


def test_a_word_of_memory() -> None:
    """Eight bytes, little-endian; None as soon as one of them is missing."""
    rig = Rig()
    end = rig.map.ram + rig.map.ram_bytes
    rig.machine.apply(MmioWrite(rig.DEVICES, 8, 0x0123_4567_89AB_CDEF))

    assert word_at(rig.machine.memory, rig.DEVICES) == 0x0123_4567_89AB_CDEF
    assert isinstance(word_at(rig.machine.memory, end - 8), int)
    assert word_at(rig.machine.memory, end - 7) is None
