"""Pending bits and configuration bytes in memory: which interrupt comes first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.lpi_tables import LPIConfig, intid_limit
from itsbox.hardware.lpi import IDLE, assign_pending, best_virtual, highest_pending, pending_intids, table_bits
from itsbox.memory.interconnect import Interconnect, Why
from itsbox.memory.physmem import PhysMem

RAM, END = 0x4000_0000, 0x4100_0000
VPT, VCONF = RAM, RAM + 0x2_0000
BYTES = st.sampled_from((0x00, 0x01, 0xA0, 0xA1, 0xA3, 0xFD, 0xFF, 0x41))


def bus() -> Interconnect:
    """Memory with nothing in it."""
    return Interconnect(PhysMem(RAM, END - RAM, ()))


def naive(pending: set[int], config: dict[int, int], default: int, id_bits: int) -> tuple[int, int]:
    """The best pending interrupt by its definition."""
    best = (IDLE, 0)
    for intid in sorted(pending):
        entry = LPIConfig.decode(config.get(intid, default))
        if entry.enable and intid < intid_limit(id_bits) and entry.priority < best[0]:
            best = (entry.priority, intid)
    return best


@settings(max_examples=80)
@given(
    pending=st.sets(st.integers(8192, 8300) | st.integers(8192, 65535), max_size=40),
    more=st.sampled_from((0, 0, 200)),
    config=st.dictionaries(st.integers(8192, 8300) | st.integers(8192, 65535), BYTES, max_size=40),
    default=BYTES,
    id_bits=st.integers(12, 15),
)
def test_the_best_one_is_the_best_one(
    pending: set[int], more: int, config: dict[int, int], default: int, id_bits: int
) -> None:
    """Few or many pending, enabled or not, within IDbits or beyond: the lowest priority value, then the lowest INTID."""
    interconnect = bus()
    interconnect.mem.fill(VCONF, 57344, default)
    for intid, byte in config.items():
        interconnect.mem.store(VCONF + intid - 8192, bytes([byte]))
    pending = pending | set(range(30000, 30000 + more))
    for intid in pending:
        assign_pending(interconnect, VPT, intid, True, Why.VPT)
    expected = naive(pending, config, default, id_bits)

    assert best_virtual(interconnect, VPT, VCONF, id_bits) == expected
    found = pending_intids(interconnect, VPT, id_bits, Why.VPT)
    assert highest_pending(interconnect, found, VCONF, id_bits, Why.VCONF) == (expected[1] or 1023)


@pytest.mark.parametrize("count", [1, 8, 9, 5000])
def test_configuration_in_missing_memory_disables(count: int) -> None:
    """What lies behind the end of RAM is not enabled; what lies before it counts, few or many pending."""
    interconnect = bus()
    for intid in range(8192, 8192 + count):
        assign_pending(interconnect, VPT, intid, True, Why.VPT)
    interconnect.mem.fill(END - 0x1000, 0x1000, 0xA1)

    assert best_virtual(interconnect, VPT, END, 15) == (IDLE, 0)
    assert best_virtual(interconnect, VPT, END - 0x1000, 15) == (0xA0, 8192)
    assert best_virtual(interconnect, END, VCONF, 15) == (IDLE, 0)


def test_a_bit_changes_once() -> None:
    """Setting what is set, or a bit in missing memory, changes nothing."""
    interconnect = bus()

    assert assign_pending(interconnect, VPT, 8200, True, Why.VPT)
    assert not assign_pending(interconnect, VPT, 8200, True, Why.VPT)
    assert not assign_pending(interconnect, END, 8200, True, Why.VPT)
    assert list(table_bits(interconnect.mem.load(VPT, 0x2000))) == [8200]
