"""GICv4.1's vPE table: the ladder from a vPEID to its entry, for whoever walks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.dist_registers import GICD_TYPER2
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import VTE_V41
from itsbox.hardware.its import Its
from itsbox.hardware.its_lookup import Table
from itsbox.hardware.profile import PROFILES
from itsbox.hardware.vpe_table import lookup_vte, read_vte, store_vte, vpe_id_bits
from tests.rig import Rig

PLACE = 0x4400_0000
FLAT = Table(base=PLACE, entry_bytes=32, entries=128, indirect=False, per_page=128, page_bytes=4096)
ENTRY = VTE_V41(
    valid=1,
    vpt_size=15,
    rd_base=3,
    its_map=1,
    vpt_addr=0x4780_0000,
    vconf_addr=0x4520_0000,
    default_doorbell=9000,
)


@pytest.fixture
def its() -> Its:
    """An ITS of GICv4.1, which walks its own table here."""
    return Rig(profile="virt-gicv4.1").machine.its[0]


def test_an_entry_is_read_back_as_it_was_stored(its: Its) -> None:
    """All fields, at the entry's place; stored again as zeros it is invalid."""
    assert store_vte(its, PLACE + 32 * 127, ENTRY) is None
    assert lookup_vte(its, FLAT, 127) == ENTRY
    store_vte(its, PLACE + 32 * 127)

    assert lookup_vte(its, FLAT, 127) is Cause.VCPU_INVALID


def test_an_edit_in_memory_is_seen_at_once(its: Its) -> None:
    """Entries are read again each time: only what the same bytes mean is remembered."""
    store_vte(its, PLACE, ENTRY)
    assert lookup_vte(its, FLAT, 0) == ENTRY
    its.interconnect.mem.store(PLACE, VTE_V41.STRUCT.pack(*ENTRY.replace(rd_base=1).encode()))

    assert lookup_vte(its, FLAT, 0) == ENTRY.replace(rd_base=1)


def test_each_rung_has_its_cause(its: Its) -> None:
    """Beyond the table, behind an invalid level-1 entry, in missing memory at either level."""
    two_level = replace(FLAT, indirect=True, entries=256)
    nowhere = replace(FLAT, base=Rig.NOWHERE)

    assert lookup_vte(its, FLAT, 128) is Cause.VCPU_OOR
    assert lookup_vte(its, two_level, 128) is Cause.VCPU_INVALID
    assert lookup_vte(its, nowhere, 0) is Cause.MEMORY_FAULT
    assert lookup_vte(its, replace(nowhere, indirect=True), 0) is Cause.MEMORY_FAULT
    assert (read_vte(its, Rig.NOWHERE), store_vte(its, Rig.NOWHERE)) == (None, Cause.MEMORY_FAULT)


def test_a_vpeid_is_as_wide_as_the_distributor_says() -> None:
    """GICD_TYPER2.VID counts only with VIL; otherwise there are 16 bits."""
    profile = PROFILES["virt-gicv4.1"]
    narrow = replace(profile, gicd_typer2=GICD_TYPER2(vid=7, vil=1, nassgicap=0).word())

    assert vpe_id_bits(replace(profile, gicd_typer2=GICD_TYPER2(vid=7, vil=0, nassgicap=0).word())) == 15
    assert (vpe_id_bits(profile), vpe_id_bits(narrow)) == (15, 7)
