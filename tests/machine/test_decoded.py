"""The decoded state is bounded by how much it looks at: a host can name one table from a million entries."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import MAPC, MAPD, MAPTI
from itsbox.arch.its_tables import DTE
from itsbox.machine import Machine, TooManySteps
from itsbox.ops import Fill, Msi, Store
from tests.rig import Rig

RAM = 0x4000_0000
BASER_VALID = 1 << 63
FLAT_64K = 2 << 8


def hostile(devices: int, itt: int, size: int) -> Machine:
    """A flat device table whose entries all name one ITT of ``size`` + 1 EventID bits."""
    rig = Rig()
    entry = DTE.STRUCT.pack(*DTE(valid=1, size=size, itt_addr=itt).encode())
    rig.machine.apply(Store(RAM, entry * devices))
    rig.gits(0x100, BASER_VALID | RAM | FLAT_64K | 7)
    return rig.machine


def test_honest_tables_are_shown_whole() -> None:
    """With room enough the bound changes nothing."""
    rig = Rig().set_up()
    rig.post(MAPD(device_id=1, size=3, itt_addr=rig.ITT, valid=1), MAPC(icid=0, rd_base=0, valid=1))
    rig.post(MAPTI(device_id=1, event_id=5, intid=8200, icid=0))
    rig.machine.apply(Msi(1, 5))

    assert rig.machine.state(10_000) == rig.machine.state()
    assert rig.machine.state()["pending"] == {"0": [8200]}


@pytest.mark.parametrize(
    "byte, size",
    [(0xFF, 15), (0xFE, 15), (0x00, 31)],
    ids=["valid events", "entries that are not valid", "nothing but empty pages"],
)
def test_a_table_named_by_every_device_is_looked_at_so_often_only(byte: int, size: int) -> None:
    """Whatever lies in it: events, invalid entries, or no more than empty memory."""
    machine = hostile(1000, RAM + 0x100_0000, size)
    machine.apply(Fill(RAM + 0x100_0000, 0xC0000, byte))

    with pytest.raises(TooManySteps):
        machine.state(50_000)


def test_pending_interrupts_count() -> None:
    """A pending table full of ones is 8 times as many numbers as bytes."""
    rig = Rig().set_up()
    rig.machine.apply(Fill(rig.PEND, 0x2000, 0xFF))

    with pytest.raises(TooManySteps):
        rig.machine.state(40_000)
    assert len(rig.machine.state(200_000)["pending"]["0"]) == 65536
