"""Sparse memory: what is stored is read back, and snapshots, restores and hashes are exact."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from itsbox.memory.physmem import Carveout, PhysMem

BASE = 0x4000_0000
SIZE = 64 * 4096
MARK = bytes(range(1, 17))
CARVEOUT = Carveout(BASE + SIZE - 4096, BASE + SIZE, MARK)

offsets = st.integers(0, SIZE - 1)
stores = st.tuples(st.just("store"), offsets, st.binary(min_size=1, max_size=9000))
fills = st.tuples(st.just("fill"), offsets, st.integers(1, 9000), st.integers(0, 255))


Ops: TypeAlias = list[tuple[Any, ...]]


def memory() -> PhysMem:
    """A fresh memory with a carve-out at its end."""
    return PhysMem(BASE, SIZE, (CARVEOUT,))


def carry_out(mem: PhysMem, model: bytearray, op: tuple[Any, ...]) -> None:
    """Do the same to the memory and to a flat model of it; what would pass the end is cut."""
    kind, offset, *rest = op
    if kind == "store":
        data = rest[0][: SIZE - offset]
        mem.store(BASE + offset, data)
    else:
        length, byte = rest
        data = bytes([byte]) * min(length, SIZE - offset)
        mem.fill(BASE + offset, len(data), byte)
    model[offset : offset + len(data)] = data


def flat() -> bytearray:
    """The flat model of a fresh memory."""
    model = bytearray(SIZE)
    model[-4096:] = MARK * 256
    return model


@given(st.lists(stores | fills, max_size=8))
def test_memory_reads_back_what_was_written(ops: Ops) -> None:
    """Any sequence of stores and fills reads back as on a flat array."""
    mem, model = memory(), flat()
    for op in ops:
        carry_out(mem, model, op)

    assert bytes(model) == mem.load(BASE, SIZE)


@given(st.lists(stores | fills, max_size=5), st.lists(stores | fills, max_size=5))
def test_restore_takes_everything_back(before: Ops, after: Ops) -> None:
    """After a restore the content and the digest are those of the snapshot, whatever was written since."""
    mem, model = memory(), flat()
    for op in before:
        carry_out(mem, model, op)
    image, digest = mem.image(), mem.digest()
    for op in after:
        carry_out(mem, bytearray(model), op)
    mem.restore(image)

    assert (bytes(model), digest) == (mem.load(BASE, SIZE), mem.digest())


@given(st.lists(stores | fills, max_size=6))
def test_digest_depends_on_the_content_alone(ops: Ops) -> None:
    """Two memories with equal content have equal digests, however the content came about."""
    mem, model = memory(), flat()
    for op in ops:
        carry_out(mem, model, op)
    again = memory()
    again.store(BASE, bytes(model))

    assert mem.digest() == again.digest()


def test_one_changed_byte_changes_the_digest() -> None:
    """The digest sees a single byte."""
    mem = memory()
    before = mem.digest()
    mem.write(BASE + 5000, 1, 1)

    assert before != mem.digest()


def test_a_fork_shares_pages_until_one_side_writes() -> None:
    """A store on one side of a fork is not seen on the other."""
    mem = memory()
    mem.write(BASE, 8, 0x1122)
    other = memory()
    other.restore(mem.image())
    other.write(BASE, 8, 0x3344)

    assert (mem.read(BASE, 8), other.read(BASE, 8)) == (0x1122, 0x3344)


def test_an_untouched_carve_out_holds_its_mark_and_costs_nothing() -> None:
    """A carve-out reads as its mark although no page exists."""
    mem = memory()

    assert mem.load(CARVEOUT.base, 32) == MARK * 2
    assert mem.touched == 0


def test_a_uniform_fill_costs_no_pages() -> None:
    """Whole pages filled with one byte share a page."""
    mem = memory()
    mem.fill(BASE, 32 * 4096, 0xA1)

    assert mem.touched == 0
    assert mem.read(BASE + 31 * 4096, 4) == 0xA1A1A1A1


def test_nothing_of_no_length_touches_a_page() -> None:
    """A store or fill of zero bytes, at the end of RAM too, leaves no page behind."""
    mem = memory()
    for offset in (0, 5, SIZE):
        mem.store(BASE + offset, b"")
        mem.fill(BASE + offset, 0, 0xA1)

    assert not mem.pages


def test_a_fill_ends_where_ram_ends() -> None:
    """Whole pages up to the end of RAM leave no page behind it."""
    mem = memory()
    mem.fill(BASE + 100, SIZE - 100, 0xA1)

    assert len(mem.pages) == SIZE // 4096
    assert max(mem.pages) == (BASE + SIZE >> 12) - 1


def test_a_value_across_two_pages_is_whole() -> None:
    """An 8-byte value that straddles a page boundary is written and read whole."""
    mem = memory()
    mem.write(BASE + 4092, 8, 0x0102_0304_0506_0708)

    assert mem.read(BASE + 4092, 8) == 0x0102_0304_0506_0708
    assert mem.touched == 2
