"""Register values: decoding, encoding, and the folded table address."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox_client import registers as regs
from itsbox_client.layout import bits
from itsbox_client.registers import Register

ALL: list[type[Register]] = [
    kind
    for name in regs.__all__
    if isinstance(kind := getattr(regs, name), type) and issubclass(kind, Register) and kind.FIELDS
]


def test_a_command_queue_register_reads_as_the_manual_says() -> None:
    """GITS_CBASER of a 64 KiB queue at 0x40000000, inner shareable, RaWaWb inside and outside."""
    cbaser = regs.GITS_CBASER.from_value(0xB8E0_0000_4000_040F)

    assert cbaser == regs.GITS_CBASER(
        size=15, shareability=1, physical_address=0x4000_0000, outer_cache=7, inner_cache=7, valid=True
    )
    assert cbaser.value == 0xB8E0_0000_4000_040F


def test_a_device_table_register_reads_as_the_manual_says() -> None:
    """GITS_BASER0 of an indirect device table with 8-byte entries and one 64 KiB page."""
    baser = regs.GITS_BASER.from_value(0xF907_0000_4020_0600)

    assert (baser.type, baser.entry_size, baser.indirect, baser.valid) == (1, 7, True, True)
    assert (baser.page_size, baser.size, regs.table_address(baser)) == (2, 0, 0x4020_0000)


def test_the_typer_of_qemu_reads_as_recorded() -> None:
    """GITS_TYPER of QEMU's GICv4 ITS: 12-byte ITEs, 16 bits of DeviceID, EventID and ICID, one VMOVP for all."""
    typer = regs.GITS_TYPER.from_value(0x3F_0001_EFB3)

    assert (typer.physical, typer.virtual, typer.vmovp, typer.pta) == (True, True, True, False)
    assert (typer.itt_entry_size, typer.id_bits, typer.devbits, typer.cidbits) == (11, 15, 15, 15)


def test_the_reset_value_of_control_is_quiescent_and_disabled() -> None:
    """Bit 31 of GITS_CTLR is Quiescent, bit 0 is Enabled."""
    ctlr = regs.GITS_CTLR.from_value(0x8000_0000)

    assert (ctlr.enabled, ctlr.quiescent) == (False, True)
    assert ctlr.replace(enabled=True).value == 0x8000_0001


@pytest.mark.parametrize(
    "address, field",
    [(0xA_1234_5678_0000, 0x1234_5678_A000), (0x4020_0000, 0x4020_0000)],
)
def test_a_64_kib_table_keeps_its_top_address_bits_low(address: int, field: int) -> None:
    """With 64 KiB pages PA[51:48] stands in bits 15:12 of GITS_BASER."""
    assert regs.table_address(regs.GITS_BASER(physical_address=field, page_size=2)) == address


def test_a_4_kib_table_address_is_not_folded() -> None:
    """With 4 KiB pages bits 15:12 are address bits 15:12."""
    assert regs.table_address(regs.GITS_BASER(physical_address=0x4020_5000, page_size=0)) == 0x4020_5000


@settings(derandomize=True)
@given(st.sampled_from(ALL), st.integers(0, (1 << 64) - 1))
def test_decoding_drops_only_what_no_field_describes(kind: type[Register], value: int) -> None:
    """What a register decodes to encodes to a subset of its bits, and decodes to itself."""
    decoded = kind.from_value(value)

    assert decoded.value & ~value == 0
    assert kind.from_value(decoded.value) == decoded


def test_no_field_leaves_its_register() -> None:
    """A 32-bit register has no field above bit 31."""
    for kind in ALL:
        highest = max(row.hi for row in kind.FIELDS.values())
        assert highest < kind.SIZE * 8, kind.__name__


def test_fields_that_overlap_are_an_error_at_import() -> None:
    """The rows are checked when the class is made, and the error names the field."""
    with pytest.raises(TypeError, match=r"Wrong\.second"):

        @regs.register(0, 4)
        class Wrong(Register):
            """Two fields over one bit."""

            first: int = bits(0, 4, 0, default=0)
            second: int = bits(0, 7, 4, default=0)


def test_registers_are_where_the_manual_has_them() -> None:
    """Offsets and widths of the registers that a driver uses (IHI 0069H.b, register index)."""
    found = {kind.__name__: (kind.OFFSET, kind.SIZE, kind.COUNT) for kind in ALL}

    assert (
        found.items()
        >= {
            "GITS_CTLR": (0x0, 4, 1),
            "GITS_TYPER": (0x8, 8, 1),
            "GITS_CBASER": (0x80, 8, 1),
            "GITS_CWRITER": (0x88, 8, 1),
            "GITS_CREADR": (0x90, 8, 1),
            "GITS_BASER": (0x100, 8, 8),
            "GITS_TRANSLATER": (0x10040, 4, 1),
            "GITS_SGIR": (0x20020, 8, 1),
            "GICR_CTLR": (0x0, 4, 1),
            "GICR_PROPBASER": (0x70, 8, 1),
            "GICR_PENDBASER": (0x78, 8, 1),
            "GICR_INVLPIR": (0xA0, 8, 1),
            "GICR_VPENDBASER": (0x20078, 8, 1),
        }.items()
    )
