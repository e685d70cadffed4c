"""The configuration byte, and where the byte and the bit of an LPI lie."""

from __future__ import annotations

import pytest

from itsbox.arch.lpi_tables import (
    MIN_ID_BITS,
    PENDING_RESERVED_BYTES,
    VPE_FLAGS_OFFSET,
    VPE_STATE_BYTES,
    VSGI_CONFIG_OFFSET,
    VSGIS,
    LPIConfig,
    VPEFlags,
    VSGIConfig,
    config_offset,
    config_table_bytes,
    intid_limit,
    pending_place,
    pending_table_bytes,
)


@pytest.mark.parametrize("byte", range(256))
def test_a_configuration_byte_is_enable_and_priority(byte: int) -> None:
    """Bit 0 enables, the priority is the byte with its low two bits zero, bit 1 reads as one when written back."""
    config = LPIConfig.decode(byte)

    assert (config.enable, config.priority) == (byte & 1, byte & 0xFC)
    assert config.encode() == (byte | 2,)


def test_a_configuration_is_one_byte_without_reserved_bits() -> None:
    """All eight bits are accounted for."""
    assert (LPIConfig.SIZE, LPIConfig.RES0) == (1, (0,))


def test_the_configuration_table_begins_with_the_first_lpi() -> None:
    """INTID 8192 is byte 0."""
    assert [config_offset(intid) for intid in (8192, 8193, 65535)] == [0, 1, 57343]


def test_the_pending_table_begins_with_intid_0() -> None:
    """INTID n is bit n; the LPIs begin after the redistributor's own first kilobyte."""
    assert [pending_place(intid) for intid in (0, 9, 8192, 8201)] == [(0, 0), (1, 1), (1024, 0), (1025, 1)]
    assert PENDING_RESERVED_BYTES == 1024


@pytest.mark.parametrize(
    "id_bits, config, pending",
    [(13, 8192, 2048), (14, 24576, 4096), (15, 57344, 8192), (19, 1040384, 131072), (23, 16769024, 2097152)],
)
def test_tables_have_these_sizes(id_bits: int, config: int, pending: int) -> None:
    """Sizes by IDbits, a register's field: bits minus one."""
    assert (config_table_bytes(id_bits), pending_table_bytes(id_bits)) == (config, pending)
    assert intid_limit(id_bits) == config + 8192


@pytest.mark.parametrize("id_bits", range(MIN_ID_BITS))
def test_fewer_than_14_bits_mean_no_lpis(id_bits: int) -> None:
    """There is no configuration table when no LPI fits."""
    assert config_table_bytes(id_bits) == 0


def test_a_vpes_own_state_fits_into_the_first_kilobyte() -> None:
    """Pending virtual SGIs, their configuration and the flags follow one another, clear of the first vLPI."""
    ends = [VSGIS // 8, VSGI_CONFIG_OFFSET + VSGIS * VSGIConfig.SIZE, VPE_FLAGS_OFFSET + VPEFlags.SIZE]

    assert ends[0] <= VSGI_CONFIG_OFFSET
    assert ends[1] <= VPE_FLAGS_OFFSET
    assert ends[2] <= VPE_STATE_BYTES <= PENDING_RESERVED_BYTES


def test_a_virtual_sgi_keeps_enable_group_and_the_upper_half_of_its_priority() -> None:
    """VSGI gives four bits of priority; zero is disabled, group 0, priority 0."""
    assert VSGIConfig(enable=1, group=1, priority=0xA0).encode() == (0xA3,)
    assert VSGIConfig.decode(0) == VSGIConfig(enable=0, group=0, priority=0)
