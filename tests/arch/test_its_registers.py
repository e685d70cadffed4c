"""The ITS registers against published values, and the address that BASER folds."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch import its_registers
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_MPIDR,
    GITS_PIDR2,
    GITS_SGIR,
    GITS_STATUSR,
    GITS_TRANSLATER,
    GITS_TYPER,
    GITS_UMSIR,
    IMPLEMENTATION_DEFINED,
    REGISTERS,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_VPES,
    baser_address,
    baser_bytes,
    baser_page_size,
    baser_stored_address,
    cbaser_bytes,
    icid_bits,
    is_implementation_defined,
    ite_bytes,
    register_at,
)
from itsbox.arch.layout import Access, Register
from tests.arch.strategies import ROUND_TRIP, STEADY, values_of

UNIQUE = sorted(set(REGISTERS.values()), key=lambda r: r.OFFSET)
KB = 1024


def test_the_map_is_the_manual_s() -> None:
    """Offsets, widths and access of all registers below the identification block."""
    rows = [(r.OFFSET, r.NAME, r.WIDTH, str(r.ACCESS)) for r in UNIQUE if not 0xFFD0 <= r.OFFSET <= 0xFFFC]

    assert rows == [
        (0x0000, "GITS_CTLR", 32, "RW"),
        (0x0004, "GITS_IIDR", 32, "RO"),
        (0x0008, "GITS_TYPER", 64, "RO"),
        (0x0010, "GITS_MPAMIDR", 32, "RO"),
        (0x0014, "GITS_PARTIDR", 32, "RW"),
        (0x0018, "GITS_MPIDR", 32, "RO"),
        (0x0040, "GITS_STATUSR", 32, "RW1C"),
        (0x0048, "GITS_UMSIR", 64, "RO"),
        (0x0080, "GITS_CBASER", 64, "RW"),
        (0x0088, "GITS_CWRITER", 64, "RW"),
        (0x0090, "GITS_CREADR", 64, "RO"),
        (0x0100, "GITS_BASER", 64, "RW"),
        (0x10040, "GITS_TRANSLATER", 32, "WO"),
        (0x20020, "GITS_SGIR", 64, "WO"),
    ]


def test_the_identification_block_is_arm_s() -> None:
    """Twelve read-only registers with the values of an Arm ITS; PIDR2 depends on the version."""
    values = [(at, r.NAME, r.RESET) for at, r in REGISTERS.items() if 0xFFD0 <= at <= 0xFFFC]

    assert values == [
        (0xFFD0, "GITS_PIDR4", 0x44),
        (0xFFD4, "GITS_PIDR5", 0),
        (0xFFD8, "GITS_PIDR6", 0),
        (0xFFDC, "GITS_PIDR7", 0),
        (0xFFE0, "GITS_PIDR0", 0x94),
        (0xFFE4, "GITS_PIDR1", 0xB4),
        (0xFFE8, "GITS_PIDR2", None),
        (0xFFEC, "GITS_PIDR3", 0),
        (0xFFF0, "GITS_CIDR0", 0x0D),
        (0xFFF4, "GITS_CIDR1", 0xF0),
        (0xFFF8, "GITS_CIDR2", 0x05),
        (0xFFFC, "GITS_CIDR3", 0xB1),
    ]
    assert {r.ACCESS for at, r in REGISTERS.items() if 0xFFD0 <= at <= 0xFFFC} == {Access.RO}


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
    """QEMU's GICv4 ITS: 12-byte entries, 16 bits of everything, VMOVP on one ITS."""
    typer = GITS_TYPER.decode(0x0000_003F_0001_EFB3)

    assert (typer.physical, typer.virtual, typer.vmovp, typer.pta, typer.hcc) == (1, 1, 1, 0, 0)
    assert (typer.devbits + 1, typer.id_bits + 1, ite_bytes(typer), icid_bits(typer)) == (16, 16, 12, 16)
    assert typer.word() == 0x0000_003F_0001_EFB3


def test_icids_have_16_bits_unless_typer_says_otherwise() -> None:
    """CIDbits counts only when CIL is set."""
    typer = GITS_TYPER.decode(0)

    assert [icid_bits(typer.replace(cil=cil, cidbits=9)) for cil in (0, 1)] == [16, 10]


def test_iidr_of_arm_decodes() -> None:
    """0x43B is Arm; KVM's product is the letter K."""
    iidr = GITS_IIDR.decode(0x4B00_043B)

    assert (iidr.implementer, iidr.product_id, iidr.revision, iidr.variant) == (0x43B, ord("K"), 0, 0)


def test_cbaser_of_a_64k_queue() -> None:
    """A 64 KB queue at 0x40000000, inner shareable, read- and write-allocate write-back."""
    cbaser = GITS_CBASER(size=15, shareability=1, physical_address=0x4000_0000, outer_cache=7, inner_cache=7, valid=1)

    assert cbaser.word() == 0xB8E0_0000_4000_040F
    assert cbaser_bytes(cbaser) == 64 * KB


def test_baser_of_one_64k_page() -> None:
    """A flat device table, and the same as level 1 of a two-level one."""
    flat = GITS_BASER(
        size=0,
        page_size=2,
        shareability=1,
        physical_address=0x4020_0000,
        entry_size=7,
        outer_cache=0,
        type=TABLE_DEVICES,
        inner_cache=7,
        indirect=0,
        valid=1,
    )

    assert (flat.word(), flat.replace(indirect=1).word()) == (0xB907_0000_4020_0600, 0xF907_0000_4020_0600)
    assert (baser_address(flat), baser_page_size(flat), baser_bytes(flat)) == (0x4020_0000, 64 * KB, 64 * KB)


@pytest.mark.parametrize(
    "value, kind",
    [(0x0107 << 48, TABLE_DEVICES), (0x0407 << 48, TABLE_COLLECTIONS), (0x0207 << 48, TABLE_VPES)],
)
def test_baser_at_reset_tells_type_and_entry_size(value: int, kind: int) -> None:
    """Only the read-only fields are set, and they are the register's read-only bits."""
    baser = GITS_BASER.decode(value)

    assert (baser.type, baser.entry_size, baser.valid) == (kind, 7, 0)
    assert value & ~GITS_BASER.READ_ONLY == 0


def test_every_bit_of_baser_but_type_and_entry_size_can_be_written() -> None:
    """All ones written over the reset value read back so in QEMU."""
    assert GITS_BASER.RES0 == (0,)
    assert 0x0107 << 48 | (1 << 64) - 1 & ~GITS_BASER.READ_ONLY == 0xF9E7_FFFF_FFFF_FFFF


def test_a_52_bit_address_is_folded_with_64k_pages() -> None:
    """Address bits [51:48] are stored in bits [15:12]."""
    baser = GITS_BASER.decode(0x1234_5678_A200)

    assert (baser.physical_address, baser_address(baser)) == (0x1234_5678_A000, 0xA_1234_5678_0000)
    assert baser_stored_address(0xA_1234_5678_0000, 64 * KB) == 0x1234_5678_A000


@pytest.mark.parametrize("page_size, expected", [(0, 0x5678_F000), (1, 0x5678_C000), (2, 0xF_0000_5678_0000)])
def test_each_page_size_takes_its_own_address_bits(page_size: int, expected: int) -> None:
    """The same stored bits are an address of 4 KB, of 16 KB, or a folded one of 64 KB alignment."""
    assert baser_address(GITS_BASER.decode(0x5678_F000 | page_size << 8)) == expected


def test_the_reserved_page_size_counts_as_64k() -> None:
    """Encoding 3 folds like encoding 2."""
    two, three = (GITS_BASER.decode(0x4567_1000 | size << 8) for size in (2, 3))

    assert (baser_page_size(three), baser_address(three)) == (64 * KB, baser_address(two))


@STEADY
@given(page=st.integers(0, (1 << 36) - 1), code=st.sampled_from((0, 1, 2)))
def test_storing_an_address_undoes_reading_it(page: int, code: int) -> None:
    """Every aligned address that fits (48 bits, or 52 with 64 KB pages) comes back from the register."""
    size = (4 * KB, 16 * KB, 64 * KB)[code]
    address = page * size & ((1 << 52 if code == 2 else 1 << 48) - 1)
    baser = GITS_BASER.decode(code << 8).replace(physical_address=baser_stored_address(address, size))

    assert baser_address(GITS_BASER.decode(baser.word())) == address


def test_queue_pointers_count_bytes() -> None:
    """Offset is in bytes, a multiple of 32; bit 0 is Retry in one and Stalled in the other."""
    assert GITS_CWRITER.decode(0xFFFF_FFFF) == GITS_CWRITER(retry=1, offset=0xF_FFE0)
    assert GITS_CREADR(stalled=1, offset=1024).word() == 1025


def test_control_is_quiescent_after_reset() -> None:
    """Only Quiescent is set, and software cannot write it."""
    assert GITS_CTLR.RESET is not None
    control = GITS_CTLR.decode(GITS_CTLR.RESET)

    assert (control.enabled, control.quiescent, GITS_CTLR.READ_ONLY) == (0, 1, 1 << 31)


def test_captured_messages_and_affinity_decode() -> None:
    """UMSIR, STATUSR and MPIDR put their fields where the manual has them."""
    assert GITS_UMSIR.decode(0x0000_0010_0000_0014) == GITS_UMSIR(event_id=0x14, device_id=0x10)
    assert GITS_STATUSR.decode(0b01_0101_0000).syndrome == 0b0101
    assert GITS_MPIDR.decode(0x0302_0100) == GITS_MPIDR(aff1=1, aff2=2, aff3=3)
    assert GITS_PIDR2.decode(0x3B) == GITS_PIDR2.decode(0x4B).replace(arch_rev=3)
    assert GITS_SGIR.decode(0x0005_0000_0003) == GITS_SGIR(virtual_intid=3, vpe_id=5)


@pytest.mark.parametrize(
    "offset, name, byte",
    [
        (0x0000, "GITS_CTLR", 0),
        (0x000C, "GITS_TYPER", 4),
        (0x0104, "GITS_BASER0", 4),
        (0x0138, "GITS_BASER7", 0),
        (0x10040, GITS_TRANSLATER.NAME, 0),
        (0x20024, "GITS_SGIR", 4),
        (0xFFE8, "GITS_PIDR2", 0),
    ],
)
def test_an_offset_finds_its_register(offset: int, name: str, byte: int) -> None:
    """Upper halves and array elements included."""
    place = register_at(offset)

    assert place is not None
    assert (place.name, place.byte) == (name, byte)


@pytest.mark.parametrize("offset", [0x1C, 0x44, 0x50, 0x98, 0x140, 0xBFFC, 0x10044, 0x20028])
def test_reserved_offsets_hold_nothing(offset: int) -> None:
    """No register, and not IMPLEMENTATION DEFINED either."""
    assert register_at(offset) is None
    assert not is_implementation_defined(offset)


@pytest.mark.parametrize("offset", [0x20, 0x3C, 0xC000, 0xF000, 0xFFCC])
def test_the_implementation_s_windows_hold_no_architected_register(offset: int) -> None:
    """They are told apart from reserved space."""
    assert is_implementation_defined(offset)
    assert not any(at in window for at in REGISTERS for window in IMPLEMENTATION_DEFINED)


def test_generated_registers_pickle() -> None:
    """The identification registers are found again in the module that declares them."""
    value = its_registers.GITS_PIDR2.decode(0x3B)

    assert pickle.loads(pickle.dumps(value)) == value
