"""The redistributor's three frames, in their GICv3, GICv4.0 and GICv4.1 forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.layout import Register
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PIDR0,
    GICR_PROPBASER,
    GICR_TYPER,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
    GICR_WAKER,
    REGISTERS,
    REGISTERS_V4,
    REGISTERS_V41,
    SGI_FRAME,
    STRIDE,
    STRIDE_VLPIS,
    VLPI_FRAME,
    register_at,
)
from tests.arch.strategies import ROUND_TRIP, values_of

UNIQUE = sorted({*REGISTERS_V41.values(), *REGISTERS_V4.values()}, key=lambda r: (r.OFFSET, r.SINCE))


def test_the_lpi_registers_are_where_the_manual_has_them() -> None:
    """Offsets and widths of what concerns LPIs."""
    rows = {r.NAME: (r.OFFSET, r.WIDTH, str(r.ACCESS)) for r in REGISTERS.values() if r.OFFSET < 0xFFD0}

    assert rows == {
        "GICR_CTLR": (0x0000, 32, "RW"),
        "GICR_IIDR": (0x0004, 32, "RO"),
        "GICR_TYPER": (0x0008, 64, "RO"),
        "GICR_STATUSR": (0x0010, 32, "RW1C"),
        "GICR_WAKER": (0x0014, 32, "RW"),
        "GICR_MPAMIDR": (0x0018, 32, "RO"),
        "GICR_PARTIDR": (0x001C, 32, "RW"),
        "GICR_SETLPIR": (0x0040, 64, "WO"),
        "GICR_CLRLPIR": (0x0048, 64, "WO"),
        "GICR_PROPBASER": (0x0070, 64, "RW"),
        "GICR_PENDBASER": (0x0078, 64, "RW"),
        "GICR_INVLPIR": (0x00A0, 64, "WO"),
        "GICR_INVALLR": (0x00B0, 64, "WO"),
        "GICR_SYNCR": (0x00C0, 32, "RO"),
    }


@pytest.mark.parametrize("register", UNIQUE, ids=lambda r: r.__name__)
@ROUND_TRIP
@given(data=st.data())
def test_a_register_survives_its_word(register: type[Register], data: st.DataObject) -> None:
    """Fields to word and back is the identity; word to fields and back loses RES0 only."""
    value = data.draw(values_of(register))
    word = data.draw(st.integers(0, (1 << register.WIDTH) - 1))

    assert register.decode(value.word()) == value
    assert register.decode(word).word() == word & ~register.RES0[0]


@pytest.mark.parametrize("cpu, value", [(0, 0x0000_0000_0100_0001), (3, 0x0000_0003_0100_0311)])
def test_typer_of_qemu_decodes(cpu: int, value: int) -> None:
    """Processor number and affinity name the processor; the last one says so."""
    typer = GICR_TYPER.decode(value)

    assert (typer.plpis, typer.vlpis, typer.direct_lpi, typer.common_lpi_aff) == (1, 0, 0, 1)
    assert (typer.processor_number, typer.affinity_value, typer.last) == (cpu, cpu, int(cpu == 3))


def test_base_registers_of_linux_encode() -> None:
    """16 INTID bits, inner shareable, read- and write-allocate write-back."""
    prop = GICR_PROPBASER(id_bits=15, inner_cache=7, shareability=1, physical_address=0x4300_0000, outer_cache=0)
    pend = GICR_PENDBASER(inner_cache=7, shareability=1, physical_address=0x4301_0000, outer_cache=0, ptz=1)

    assert (prop.word(), pend.word()) == (0x4300_078F, 0x4000_0000_4301_0780)


def test_reserved_bits_of_the_base_registers_are_the_manual_s() -> None:
    """PROPBASER: [63:59], [55:52], [6:5]."""
    assert GICR_PROPBASER.RES0 == (0xF8F0_0000_0000_0060,)
    assert GICR_PENDBASER.RES0 == (0xB8F0_0000_0000_F07F,)


def test_control_and_waker_tell_what_software_cannot_write() -> None:
    """CES, IR, RWP and UWP are read-only, and so is ChildrenAsleep; a processor's interface sleeps at reset."""
    assert GICR_CTLR.READ_ONLY == 0x8000_000E
    assert (GICR_WAKER.READ_ONLY, GICR_WAKER.RESET) == (0x4, 0x6)


def test_invalidations_name_a_vpe_on_gicv41() -> None:
    """Bit 63 makes an invalidation a virtual one."""
    assert GICR_INVLPIR.decode(0x8000_0005_0000_2000) == GICR_INVLPIR(intid=8192, vpe_id=5, v=1)
    assert GICR_INVALLR.decode(0x8000_0005_0000_2000) == GICR_INVALLR(vpe_id=5, v=1)


def test_the_vlpi_frame_changes_its_meaning_with_gicv41() -> None:
    """The same two offsets hold table addresses on GICv4.0, and a table and a vPEID on GICv4.1."""
    assert (REGISTERS_V4[VLPI_FRAME + 0x70], REGISTERS_V4[VLPI_FRAME + 0x78]) == (GICR_VPROPBASER, GICR_VPENDBASER)
    assert REGISTERS_V41[VLPI_FRAME + 0x70] is GICR_VPROPBASER_V41
    assert REGISTERS_V41[VLPI_FRAME + 0x78] is GICR_VPENDBASER_V41
    assert GICR_VPENDBASER.decode(1 << 63 | 0x4801_0000).physical_address == 0x4801_0000
    assert GICR_VPENDBASER_V41.decode(1 << 63 | 5).vpe_id == 5


def test_gicv3_has_no_vlpi_frame() -> None:
    """There are two frames, and the next redistributor follows."""
    assert max(REGISTERS) < VLPI_FRAME == STRIDE
    assert max(REGISTERS_V41) < STRIDE_VLPIS


@pytest.mark.parametrize(
    "offset, name",
    [
        (0x0074, "GICR_PROPBASER"),
        (0xFFE0, GICR_PIDR0.NAME),
        (SGI_FRAME + 0x100, "GICR_ISENABLER0"),
        (SGI_FRAME + 0x41C, "GICR_IPRIORITYR7"),
        (SGI_FRAME + 0xC04, "GICR_ICFGR1"),
    ],
)
def test_an_offset_finds_its_register(offset: int, name: str) -> None:
    """Upper halves, arrays and the SGI frame included."""
    place = register_at(offset)

    assert place is not None
    assert place.name == name


def test_the_vlpi_frame_is_found_only_where_it_is() -> None:
    """GICR_VSGIR came with GICv4.1."""
    found = [register_at(VLPI_FRAME + 0x80, registers) for registers in (REGISTERS, REGISTERS_V4, REGISTERS_V41)]

    assert [place and place.name for place in found] == [None, None, "GICR_VSGIR"]
