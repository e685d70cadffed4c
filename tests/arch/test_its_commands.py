"""The 21 ITS commands: their vectors, their opcodes, and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.its_commands import (
    CLEAR,
    COMMAND_NAMES,
    COMMAND_SIZE,
    COMMANDS,
    COMMANDS_V41,
    DISCARD,
    INT,
    INV,
    INVALL,
    INVDB,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    SYNC,
    VINVALL,
    VIRTUAL_OPCODE,
    VMAPI,
    VMAPP,
    VMAPP_V41,
    VMAPTI,
    VMOVI,
    VMOVP,
    VMOVP_V41,
    VSGI,
    VSYNC,
    decode_command,
)
from itsbox.arch.layout import Layout
from tests.arch.strategies import ROUND_TRIP, values_of, words_of

EVERY_LAYOUT = (*COMMANDS.values(), VMAPP_V41, VMOVP_V41)
IDS = [c.__name__ for c in EVERY_LAYOUT]

# Worked by hand from the field positions, independently of the declarations: command, DW0, DW1, DW2, DW3.
VECTORS: tuple[tuple[Layout, int, int, int, int], ...] = (
    (MAPC(icid=3, rd_base=2, valid=1), 0x09, 0, 0x8000000000020003, 0),
    (MAPC(icid=3, rd_base=0x8_0840_0000 >> 16, valid=1), 0x09, 0, 0x8000000808400003, 0),
    (MAPC(icid=3, rd_base=0, valid=0), 0x09, 0, 0x3, 0),
    (MAPD(device_id=2, size=7, itt_addr=0x4010_0000, valid=1), 0x200000008, 0x7, 0x8000000040100000, 0),
    (MAPD(device_id=2, size=0, itt_addr=0, valid=0), 0x200000008, 0, 0, 0),
    (MAPTI(device_id=2, event_id=20, intid=8195, icid=3), 0x20000000A, 0x200300000014, 0x3, 0),
    (MAPI(device_id=2, event_id=8195, icid=3), 0x20000000B, 0x2003, 0x3, 0),
    (MOVI(device_id=2, event_id=20, icid=1), 0x200000001, 0x14, 0x1, 0),
    (INT(device_id=2, event_id=20), 0x200000003, 0x14, 0, 0),
    (CLEAR(device_id=2, event_id=20), 0x200000004, 0x14, 0, 0),
    (INV(device_id=2, event_id=20), 0x20000000C, 0x14, 0, 0),
    (DISCARD(device_id=2, event_id=20), 0x20000000F, 0x14, 0, 0),
    (INVALL(icid=3), 0x0D, 0, 0x3, 0),
    (SYNC(rd_base=2), 0x05, 0, 0x20000, 0),
    (MOVALL(rd_base1=2, rd_base2=3), 0x0E, 0, 0x20000, 0x30000),
    (
        VMAPP(vpe_id=5, rd_base=1, valid=1, vpt_size=15, vpt_addr=0x4100_0000),
        0x29,
        0x500000000,
        0x8000000000010000,
        0x4100000F,
    ),
    (
        VMAPP_V41(
            alloc=1,
            ptz=1,
            vconf_addr=0x4200_0000,
            default_doorbell=9000,
            vpe_id=5,
            rd_base=1,
            valid=1,
            vpt_size=15,
            vpt_addr=0x4100_0000,
        ),
        0x42000329,
        0x500002328,
        0x8000000000010000,
        0x4100000F,
    ),
    (
        VMAPTI(device_id=2, event_id=21, vpe_id=5, virtual_intid=8200, doorbell_intid=1023),
        0x20000002A,
        0x500000015,
        0x3FF00002008,
        0,
    ),
    (VMAPI(device_id=2, event_id=8201, vpe_id=5, doorbell_intid=8300), 0x20000002B, 0x500002009, 0x206C00000000, 0),
    (VMOVI(device_id=2, event_id=21, vpe_id=6, d=0, doorbell_intid=0), 0x200000021, 0x600000015, 0, 0),
    (VMOVP(sequence_number=7, its_list=0b11, vpe_id=5, rd_base=3), 0x700000022, 0x500000003, 0x30000, 0),
    (
        VMOVP_V41(sequence_number=0, its_list=0, vpe_id=5, rd_base=3, db=1, default_doorbell=9000),
        0x22,
        0x500000000,
        0x8000000000030000,
        0x2328,
    ),
    (
        VSGI(enable=1, clear=0, group=1, priority=0xA0, virtual_intid=4, vpe_id=5),
        0x400A00523,
        0x500000000,
        0,
        0,
    ),
    (VSYNC(vpe_id=5), 0x25, 0x500000000, 0, 0),
    (VINVALL(vpe_id=5), 0x2D, 0x500000000, 0, 0),
    (INVDB(vpe_id=5), 0x2E, 0x500000000, 0, 0),
)


@pytest.mark.parametrize("command, dw0, dw1, dw2, dw3", VECTORS, ids=[repr(v[0]) for v in VECTORS])
def test_a_command_encodes_to_its_vector(command: Layout, dw0: int, dw1: int, dw2: int, dw3: int) -> None:
    """The words of each command are those that the architecture's field positions give."""
    assert command.encode() == (dw0, dw1, dw2, dw3)
    assert type(command).decode(dw0, dw1, dw2, dw3) == command


def test_every_command_has_a_vector() -> None:
    """No layout goes without a hand-made example."""
    assert {type(v[0]) for v in VECTORS} == set(EVERY_LAYOUT)


def test_there_are_21_commands_with_the_architected_opcodes() -> None:
    """Opcodes and mnemonics are those of the manual."""
    assert dict(COMMAND_NAMES) == {
        0x01: "MOVI",
        0x03: "INT",
        0x04: "CLEAR",
        0x05: "SYNC",
        0x08: "MAPD",
        0x09: "MAPC",
        0x0A: "MAPTI",
        0x0B: "MAPI",
        0x0C: "INV",
        0x0D: "INVALL",
        0x0E: "MOVALL",
        0x0F: "DISCARD",
        0x21: "VMOVI",
        0x22: "VMOVP",
        0x23: "VSGI",
        0x25: "VSYNC",
        0x29: "VMAPP",
        0x2A: "VMAPTI",
        0x2B: "VMAPI",
        0x2D: "VINVALL",
        0x2E: "INVDB",
    }


def test_gicv41_has_its_own_vmapp_and_vmovp() -> None:
    """The GICv4.1 table differs in exactly the two commands whose layout grew."""
    changed = {opcode for opcode, c in COMMANDS_V41.items() if COMMANDS.get(opcode) is not c}

    assert (changed, COMMANDS_V41[0x29], COMMANDS_V41[0x22]) == ({0x22, 0x29}, VMAPP_V41, VMOVP_V41)
    assert (VMAPP_V41.NAME, VMOVP_V41.NAME) == ("VMAPP", "VMOVP")


@pytest.mark.parametrize("command", EVERY_LAYOUT, ids=IDS)
def test_bit_5_of_the_opcode_tells_virtual_commands(command: type[Layout]) -> None:
    """A command came with GICv4 exactly when its opcode has bit 5 set."""
    assert bool(command.MATCH & VIRTUAL_OPCODE) == command.SINCE.startswith("GICv4")
    assert (command.SIZE, command.MATCH_MASK) == (COMMAND_SIZE, 0xFF)


@pytest.mark.parametrize("command", EVERY_LAYOUT, ids=IDS)
@ROUND_TRIP
@given(data=st.data())
def test_any_words_keep_all_but_their_reserved_bits(command: type[Layout], data: st.DataObject) -> None:
    """Decoding and encoding again loses RES0 bits and nothing else."""
    words = data.draw(words_of(command))
    again = command.decode(*words).encode()
    expected = [w & ~r for w, r in zip(words, command.RES0, strict=True)]
    expected[0] = expected[0] & ~0xFF | command.MATCH

    assert list(again) == expected


@pytest.mark.parametrize("command", EVERY_LAYOUT, ids=IDS)
@ROUND_TRIP
@given(data=st.data())
def test_any_command_survives_its_words(command: type[Layout], data: st.DataObject) -> None:
    """Encoding and decoding again gives the same command, found by its opcode."""
    value = data.draw(values_of(command))
    table = COMMANDS_V41 if command.SINCE == "GICv4.1" else COMMANDS

    assert decode_command(value.encode(), table) == value


def test_an_unknown_opcode_decodes_to_nothing() -> None:
    """The 235 other opcodes are no command, 0 among them."""
    unknown = [op for op in range(256) if decode_command((op, 0, 0, 0)) is None]

    assert len(unknown) == 256 - 21
    assert 0 in unknown


def test_rd_base_is_a_number_or_a_frame_by_pta() -> None:
    """The field's own value is the processor number; shifted up by 16 it is the frame's address."""
    command = MAPC.decode(0x09, 0, 0x8000000808400003, 0)

    assert command.rd_base << 16 == 0x8_0840_0000
    assert MAPC.FIELDS["rd_base"].range == "51:16"
