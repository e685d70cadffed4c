"""Table entries against dumped bytes, and the arithmetic of flat and two-level tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.its_tables import (
    CTE,
    CTE_PTA,
    DTE,
    ITE,
    VTE,
    VTE_V41,
    L1Entry,
    L1Entry_QEMU,
    entries_per_page,
    event_count,
    flat_entries,
    flat_offset,
    itt_bytes,
    l1_entries,
    l1_index,
    l2_address,
    l2_index,
    level_2_page,
    paged_offset,
    two_level_entries,
)
from itsbox.arch.layout import Layout
from tests.arch.strategies import ROUND_TRIP, STEADY, values_of

KB = 1024
ENTRIES: tuple[type[Layout], ...] = (L1Entry, L1Entry_QEMU, DTE, CTE, CTE_PTA, ITE, VTE, VTE_V41)

# Bytes dumped from the RAM of a running model, little endian.
DUMPS: tuple[tuple[Layout, str], ...] = (
    (DTE(valid=1, size=6, itt_addr=0x4700_0000), "0d00c01100000000"),
    (CTE(valid=1, rd_base=1), "0300000000000000"),
    (VTE(valid=1, vpt_size=15, vpt_addr=0x4801_0000, rd_base=1), "5f00120000040000"),
    (ITE(valid=1, physical=1, intid=8193, icid=1, vpe_id=0, doorbell_intid=1023), "0780000001000000ff030000"),
)


@pytest.mark.parametrize("entry, dump", DUMPS, ids=["DTE", "CTE", "VTE", "ITE"])
def test_an_entry_has_the_bytes_of_the_dump(entry: Layout, dump: str) -> None:
    """Encoded entries equal what QEMU left in memory, and decode from it."""
    cls = type(entry)

    assert cls.STRUCT.pack(*entry.encode()).hex() == dump
    assert cls.decode(*cls.STRUCT.unpack(bytes.fromhex(dump))) == entry


@pytest.mark.parametrize("cls, size", list(zip(ENTRIES, (8, 8, 8, 8, 8, 12, 8, 32), strict=True)))
def test_entries_have_their_size_and_zero_is_invalid(cls: type[Layout], size: int) -> None:
    """Zeroed memory holds invalid entries only, whatever the format."""
    entry = cls.decode(*(0 for _ in cls.WIDTHS))

    assert size == cls.SIZE
    assert entry.valid == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", ENTRIES, ids=lambda c: c.__name__)
@ROUND_TRIP
@given(data=st.data())
def test_entries_survive_their_words(cls: type[Layout], data: st.DataObject) -> None:
    """What is written to a table is what is read from it."""
    value = data.draw(values_of(cls))

    assert cls.decode(*value.encode()) == value


def test_a_level_1_entry_names_a_page() -> None:
    """Bit 63 is Valid; bits below the page size are reserved and do not move the page."""
    entry = L1Entry.decode(0x8000_0000_4567_8FFF)

    assert (entry.valid, entry.address) == (1, 0x4567_8000)
    assert [l2_address(entry, size * KB) for size in (4, 16, 64)] == [0x4567_8000, 0x4567_8000, 0x4567_0000]


def test_qemu_reads_a_level_1_entry_differently() -> None:
    """Its model keeps the low bits of the address and loses bit 51."""
    entry = L1Entry_QEMU.decode(0x8008_0000_0000_0008)

    assert (entry.valid, entry.address) == (1, 8)


@pytest.mark.parametrize(
    "entry_size, page, flat, per_page, level1",
    [
        (8, 4 * KB, 131072, 512, 131072),
        (8, 16 * KB, 524288, 2048, 524288),
        (8, 64 * KB, 2097152, 8192, 2097152),
        (12, 64 * KB, 1398016, 5461, 2097152),
        (2, 64 * KB, 8388608, 32768, 2097152),
        (16, 64 * KB, 1048576, 4096, 2097152),
    ],
)
def test_tables_of_256_pages_hold_so_many_entries(
    entry_size: int, page: int, flat: int, per_page: int, level1: int
) -> None:
    """Flat, per page and level-1 counts of the largest tables."""
    counts = (flat_entries(256, page, entry_size), entries_per_page(page, entry_size), l1_entries(256, page))

    assert counts == (flat, per_page, level1)
    assert two_level_entries(256, page, entry_size) == level1 * per_page


@STEADY
@given(
    ident=st.integers(0, (1 << 32) - 1),
    page=st.sampled_from((4 * KB, 16 * KB, 64 * KB)),
    entry_size=st.integers(1, 32),
)
def test_no_entry_straddles_a_page(ident: int, page: int, entry_size: int) -> None:
    """Both indexes together name the entry, which lies whole inside its level-2 page."""
    first, second = l1_index(ident, page, entry_size), l2_index(ident, page, entry_size)

    assert first * entries_per_page(page, entry_size) + second == ident
    assert (second + 1) * entry_size <= page
    assert paged_offset(ident, page, entry_size) == first * page + second * entry_size


@STEADY
@given(ident=st.integers(0, (1 << 32) - 1), entry_size=st.sampled_from((1, 2, 4, 8, 16, 32)))
def test_flat_and_paged_offsets_agree_for_powers_of_two(ident: int, entry_size: int) -> None:
    """Only an odd entry size leaves a gap at the end of each page."""
    assert flat_offset(ident, entry_size) == paged_offset(ident, 64 * KB, entry_size)


def test_flat_and_paged_offsets_differ_for_twelve_bytes() -> None:
    """The first entry of the second page lies four bytes further when entries may not straddle."""
    assert (flat_offset(5461, 12), paged_offset(5461, 64 * KB, 12)) == (65532, 65536)


def test_a_device_has_two_to_the_size_plus_one_events() -> None:
    """MAPD's Size is bits minus one, up to the full 32 bits; the ITT is that many entries."""
    assert [event_count(size) for size in (0, 7, 15, 31)] == [2, 256, 65536, 1 << 32]
    assert itt_bytes(7, 12) == 3072


@pytest.mark.parametrize("as_qemu, page", [(False, 0x4567_0000), (True, 0x4567_89AB)])
def test_what_a_level_1_entry_names(as_qemu: bool, page: int) -> None:
    """Below the page size bits are RES0, and QEMU's model counts them; without Valid there is no page."""
    word = L1Entry(address=0x4567_8000, valid=1).encode()[0] | 0x9AB

    assert level_2_page(word, 64 * KB, as_qemu=as_qemu) == page
    assert level_2_page(word & ~(1 << 63), 64 * KB, as_qemu=as_qemu) is None
