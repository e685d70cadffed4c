"""The distributor as a booting Linux uses it."""

from __future__ import annotations

import pytest

from itsbox.hardware.distributor import Distributor
from itsbox.hardware.irq_bank import IrqBank
from itsbox.hardware.profile import PROFILES


@pytest.fixture
def gicd() -> Distributor:
    """The distributor of virt-gicv3: 256 interrupts."""
    return Distributor(PROFILES["virt-gicv3"])


def test_affinity_routing_and_one_security_state_are_fixed(gicd: Distributor) -> None:
    """GICD_CTLR reads 0x50 when zero is written, and the group enables on top of it."""
    gicd.write(0, 4, 0)
    assert gicd.read(0, 4) == 0x50
    gicd.write(0, 4, 0xFFFF_FFFF)

    assert gicd.read(0, 4) == 0x53


def test_set_and_clear_registers_work_on_one_state(gicd: Distributor) -> None:
    """GICD_ISENABLER1 sets, GICD_ICENABLER1 clears, both read the same."""
    gicd.write(0x104, 4, 0b1110)
    gicd.write(0x184, 4, 0b0100)

    assert gicd.read(0x104, 4) == gicd.read(0x184, 4) == 0b1010


def test_the_first_word_is_banked_elsewhere(gicd: Distributor) -> None:
    """SGIs and PPIs are the redistributors': GICD_ISENABLER0 is RAZ/WI."""
    gicd.write(0x100, 4, 0xFFFF_FFFF)

    assert gicd.read(0x100, 4) == 0


def test_priorities_are_bytes_and_routes_are_64_bits(gicd: Distributor) -> None:
    """GICD_IPRIORITYR takes bytes and words, GICD_IROUTER a 64-bit route per SPI and nothing past the last."""
    gicd.write(0x420, 4, 0xA0A0_A0A0)
    gicd.write(0x421, 1, 0x40)
    gicd.write(0x6100, 8, 3)
    gicd.write(0x6000 + 8 * 256, 8, 3)

    assert (gicd.read(0x420, 4), gicd.read(0x421, 1)) == (0xA0A0_40A0, 0x40)
    assert (gicd.read(0x6100, 8), gicd.read(0x6000 + 8 * 256, 8)) == (3, 0)


def test_the_state_of_a_bank_comes_back() -> None:
    """What ``state`` gave, ``set_state`` restores."""
    bank = IrqBank(2)
    kept = bank.state()
    bank.write(0x100, 4, 5)
    bank.write(0x400, 1, 9)
    assert kept != bank.state()
    bank.set_state(kept)

    assert kept == bank.state()
