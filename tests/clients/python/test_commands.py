"""The client's own command table, against vectors that were computed by hand from the field layouts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox_client import commands as its
from itsbox_client.commands import COMMANDS, AnyCommand, Command, RawCommand

# What is written in the left column, and the four words that must come of it (IHI 0069H.b, "ITS commands").
VECTORS: list[tuple[AnyCommand, str]] = [
    (its.MAPC(icid=3, rd_base=2), "0000000000000009 0000000000000000 8000000000020003 0000000000000000"),
    (
        its.MAPC(icid=3, rd_base=its.rd_base_of(0x8_0840_0000)),
        "0000000000000009 0000000000000000 8000000808400003 0000000000000000",
    ),
    (its.MAPC(icid=3, valid=False), "0000000000000009 0000000000000000 0000000000000003 0000000000000000"),
    (
        its.MAPD(device_id=2, size=7, itt_addr=0x4010_0000),
        "0000000200000008 0000000000000007 8000000040100000 0000000000000000",
    ),
    (its.MAPD(device_id=2, valid=False), "0000000200000008 0000000000000000 0000000000000000 0000000000000000"),
    (
        its.MAPTI(device_id=2, event_id=20, intid=8195, icid=3),
        "000000020000000a 0000200300000014 0000000000000003 0000000000000000",
    ),
    (
        its.MAPI(device_id=2, event_id=8195, icid=3),
        "000000020000000b 0000000000002003 0000000000000003 0000000000000000",
    ),
    (its.MOVI(device_id=2, event_id=20, icid=1), "0000000200000001 0000000000000014 0000000000000001 0000000000000000"),
    (its.INT(device_id=2, event_id=20), "0000000200000003 0000000000000014 0000000000000000 0000000000000000"),
    (its.CLEAR(device_id=2, event_id=20), "0000000200000004 0000000000000014 0000000000000000 0000000000000000"),
    (its.INV(device_id=2, event_id=20), "000000020000000c 0000000000000014 0000000000000000 0000000000000000"),
    (its.DISCARD(device_id=2, event_id=20), "000000020000000f 0000000000000014 0000000000000000 0000000000000000"),
    (its.INVALL(icid=3), "000000000000000d 0000000000000000 0000000000000003 0000000000000000"),
    (its.SYNC(rd_base=2), "0000000000000005 0000000000000000 0000000000020000 0000000000000000"),
    (its.MOVALL(rd_base1=2, rd_base2=3), "000000000000000e 0000000000000000 0000000000020000 0000000000030000"),
    (
        its.VMAPP(vpe_id=5, rd_base=1, vpt_addr=0x4100_0000, vpt_size=15),
        "0000000000000029 0000000500000000 8000000000010000 000000004100000f",
    ),
    (
        its.VMAPP(
            vpe_id=5,
            rd_base=1,
            vpt_addr=0x4100_0000,
            vpt_size=15,
            vconf_addr=0x4200_0000,
            alloc=True,
            ptz=True,
            default_doorbell=9000,
        ),
        "0000000042000329 0000000500002328 8000000000010000 000000004100000f",
    ),
    (
        its.VMAPTI(device_id=2, event_id=21, vpe_id=5, virtual_intid=8200),
        "000000020000002a 0000000500000015 000003ff00002008 0000000000000000",
    ),
    (
        its.VMAPI(device_id=2, event_id=8201, vpe_id=5, doorbell_intid=8300),
        "000000020000002b 0000000500002009 0000206c00000000 0000000000000000",
    ),
    (
        its.VMOVI(device_id=2, event_id=21, vpe_id=6),
        "0000000200000021 0000000600000015 0000000000000000 0000000000000000",
    ),
    (
        its.VMOVP(vpe_id=5, rd_base=3, sequence_number=7, its_list=0b11),
        "0000000700000022 0000000500000003 0000000000030000 0000000000000000",
    ),
    (
        its.VMOVP(vpe_id=5, rd_base=3, db=True, default_doorbell=9000),
        "0000000000000022 0000000500000000 8000000000030000 0000000000002328",
    ),
    (
        its.VSGI(vpe_id=5, virtual_intid=4, enable=True, group=True, priority=0xA0),
        "0000000400a00523 0000000500000000 0000000000000000 0000000000000000",
    ),
    (its.VSYNC(vpe_id=5), "0000000000000025 0000000500000000 0000000000000000 0000000000000000"),
    (its.VINVALL(vpe_id=5), "000000000000002d 0000000500000000 0000000000000000 0000000000000000"),
    (its.INVDB(vpe_id=5), "000000000000002e 0000000500000000 0000000000000000 0000000000000000"),
]


@pytest.mark.parametrize("command, words", VECTORS, ids=lambda value: str(value)[:60])
def test_each_command_encodes_to_the_words_of_the_manual(command: AnyCommand, words: str) -> None:
    """A command's four words are those that its field layout says."""
    assert command.words() == tuple(int(word, 16) for word in words.split())


def test_the_vectors_cover_all_21_commands() -> None:
    """No command is without a vector."""
    assert {type(command) for command, _ in VECTORS} == set(COMMANDS.values())
    assert len(COMMANDS) == 21


def test_a_slot_holds_four_little_endian_words() -> None:
    """The bytes of a slot start with the opcode."""
    slot = its.encode(its.MAPD(device_id=2, size=7, itt_addr=0x4010_0000))

    assert len(slot) == its.SLOT_BYTES
    assert slot[:8] == bytes([0x08, 0, 0, 0, 0x02, 0, 0, 0])
    assert slot[16:24] == bytes.fromhex("0000104000000080")


def _values(kind: type[Command]) -> st.SearchStrategy[Command]:
    fields = {name: st.integers(0, row.mask).map((1 << row.shift).__mul__) for name, row in kind.FIELDS.items()}
    return st.builds(kind, **fields)


@settings(derandomize=True)
@given(st.one_of([_values(kind) for kind in COMMANDS.values()]))
def test_what_was_encoded_decodes_to_the_same_command(command: Command) -> None:
    """Encoding loses nothing, whatever the fields hold."""
    assert its.decode(its.encode(command)) == command


@settings(derandomize=True)
@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_decode_and_lose_only_reserved_bits(slot: bytes) -> None:
    """A slot with any content decodes; what comes of it encodes to a subset of its bits."""
    again = its.encode(its.decode(slot))

    assert all(new & ~old == 0 for new, old in zip(again, slot, strict=True))


def test_an_unknown_opcode_is_kept_as_raw_words() -> None:
    """Where no command is known nothing is dropped."""
    words = RawCommand(0xFFFF_FFFF_FFFF_FFFF, 1, 2, 3)

    assert its.decode(its.encode(words)) == words


@pytest.mark.parametrize(
    "command, told",
    [
        (its.MAPD(device_id=1, itt_addr=0x4000_0080), "MAPD.itt_addr: 0x40000080 is not a multiple of 0x100"),
        (its.MAPD(device_id=1, size=32), r"MAPD.size: 0x20 does not fit in bits 4:0"),
        (its.MAPD(device_id=1 << 32), r"MAPD.device_id: 0x100000000 does not fit in bits 63:32"),
        (its.MAPC(icid=1 << 16), r"MAPC.icid: 0x10000 does not fit in bits 15:0"),
        (its.INT(device_id=-1, event_id=0), "INT.device_id: -0x1 does not fit in bits 63:32"),
        (its.VMAPP(vpe_id=1, vpt_addr=0x4000_1000), "VMAPP.vpt_addr: 0x40001000 is not a multiple of 0x10000"),
        (RawCommand(1 << 64), "unsigned 64-bit words"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_does_not_fit_is_refused_by_name(command: AnyCommand, told: str) -> None:
    """Nothing is cut off in silence: the error names the field and its bits."""
    with pytest.raises(ValueError, match=told):
        its.encode(command)


def test_a_misaligned_redistributor_has_no_rd_base() -> None:
    """RDbase holds PA[51:16]; an address with lower bits cannot be said."""
    with pytest.raises(ValueError, match="64 KiB aligned"):
        its.rd_base_of(0x80A_8000)
