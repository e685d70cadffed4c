"""``its_shadow_tables``: the bytes that the driver and the hypervisor agree on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.hypervisor.host_tables import HOST_TABLES_BYTES, HostTables, its_baser, kern_hyp_va

rows = st.builds(its_baser, **{name: st.integers(0, place.max) for name, place in its_baser.FIELDS.items()})
word = st.integers(0, (1 << 64) - 1)


def test_the_layout_of_the_series() -> None:
    """Eight rows of 32 bytes, then the two queues and their length: 280 bytes."""
    row = its_baser(base=0x1000, shadow=0x2000, val=1 << 63, order=4, psz=65536)
    page = HostTables((row,), 0xA000, 0xB000, 0x1_0000).encode()

    assert len(page) == HOST_TABLES_BYTES == 280
    assert page[:32] == bytes.fromhex("0010000000000000002000000000000000000000000000800400000000000100")
    assert page[256:] == bytes.fromhex("00a000000000000000b00000000000000000010000000000")
    assert not any(page[32:256])


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(rows, min_size=8, max_size=8), word, word, word)
def test_it_reads_what_was_written(tables: list[its_baser], shadow: int, original: int, length: int) -> None:
    """Any values survive, also behind more bytes of the page."""
    written = HostTables(tuple(tables), shadow, original, length)

    assert HostTables.decode(written.encode() + bytes(100)) == written


def test_pointers_are_physical_addresses() -> None:
    """The linear maps are the identity here."""
    assert kern_hyp_va(0x4800_0000) == 0x4800_0000
