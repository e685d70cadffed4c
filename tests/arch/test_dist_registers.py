"""The distributor's registers, as far as a Linux boot reads and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.dist_registers import GICD_CTLR, GICD_IROUTER, GICD_PIDR0, GICD_TYPER, REGISTERS, register_at
from itsbox.arch.layout import Register
from tests.arch.strategies import ROUND_TRIP, values_of

UNIQUE = sorted(set(REGISTERS.values()), key=lambda r: r.OFFSET)


@pytest.mark.parametrize("register", UNIQUE, ids=lambda r: r.NAME)
@ROUND_TRIP
@given(data=st.data())
def test_a_register_survives_its_word(register: type[Register], data: st.DataObject) -> None:
    """Fields to word and back is the identity; word to fields and back loses RES0 only."""
    value = data.draw(values_of(register))
    word = data.draw(st.integers(0, (1 << register.WIDTH) - 1))

    assert register.decode(value.word()) == value
    assert register.decode(word).word() == word & ~register.RES0[0]


def test_typer_of_qemu_decodes() -> None:
    """256 interrupts with SPIs, 16 INTID bits, LPIs, no virtual ones."""
    typer = GICD_TYPER.decode(0x037A_0007)

    assert (typer.it_lines_number, typer.lpis, typer.dvis, typer.id_bits, typer.a3v, typer.no1n) == (7, 1, 0, 15, 1, 1)


def test_control_of_qemu_decodes() -> None:
    """One security state with affinity routing."""
    control = GICD_CTLR.decode(0x50)

    assert (control.ds, control.are_s, control.enable_grp1_ns, control.rwp) == (1, 1, 0, 0)


def test_routes_are_numbered_by_intid() -> None:
    """The first route is that of INTID 32, the last that of 1019."""
    assert (GICD_IROUTER.element_name(32), next(GICD_IROUTER.elements())) == ("GICD_IROUTER32", (32, 0x6100))
    assert GICD_IROUTER.decode(0x0000_0001_0002_0304) == GICD_IROUTER(
        aff0=4, aff1=3, aff2=2, interrupt_routing_mode=0, aff3=1
    )


@pytest.mark.parametrize(
    "offset, name",
    [
        (0x0084, "GICD_IGROUPR1"),
        (0x0104, "GICD_ISENABLER1"),
        (0x0184, "GICD_ICENABLER1"),
        (0x0384, "GICD_ICACTIVER1"),
        (0x04FC, "GICD_IPRIORITYR63"),
        (0x07F8, "GICD_IPRIORITYR254"),
        (0x0C08, "GICD_ICFGR2"),
        (0x0D00, "GICD_IGRPMODR0"),
        (0x6100, "GICD_IROUTER32"),
        (0x7FDC, "GICD_IROUTER1019"),
        (0xFFE0, GICD_PIDR0.NAME),
    ],
)
def test_an_offset_finds_its_register(offset: int, name: str) -> None:
    """What a boot touches is named."""
    place = register_at(offset)

    assert place is not None
    assert place.name == name


@pytest.mark.parametrize("offset", [0x07FC, 0x0800, 0x6000, 0x60F8, 0x7FE0])
def test_reserved_offsets_hold_nothing(offset: int) -> None:
    """Between the arrays, and where routes of SGIs and PPIs would be."""
    assert register_at(offset) is None
