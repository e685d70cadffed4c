"""Attacks through tables: where the bytes land when nothing stops them, and what stops them."""

from __future__ import annotations

import pytest

from itsbox.arch.its_tables import DTE, ITE
from itsbox.host import attacks_tables
from itsbox.host.attacks import HostileHost
from itsbox.host.attacks_tables import VICTIM_DEVICE
from tests.host.play import machine, played, rules


def _after(program: object, hardening: str) -> HostileHost:
    host = HostileHost(machine({"hardening": hardening, "start": "host"}))
    host.deprivilege()
    program(host)  # type: ignore[operator]
    return host


def test_a1_writes_a_device_entry_into_the_hypervisor() -> None:
    """Under ``off`` a whole device table entry, its ITT address chosen by the host, stands in the hypervisor's page."""
    host = _after(attacks_tables.baser_to_hyp_page, "off")
    word = host.box.physical(host.hyp_page(1) + 8 * VICTIM_DEVICE, 8)
    entry = DTE.decode(int.from_bytes(word or b"", "little"))

    assert entry.valid
    assert host.box.map.ram <= entry.itt_addr < host.box.map.guest


def test_a3_lands_a_translation_entry_and_shows_the_bytes() -> None:
    """Under ``off`` the translation entry that MAPTI writes stands in the hypervisor's page, INTID and ICID as asked."""
    host = _after(attacks_tables.forged_dte, "off")
    low, high = ITE.STRUCT.unpack(host.box.physical(host.hyp_page(5), ITE.SIZE) or b"")
    entry = ITE.decode(low, high)

    assert (entry.valid, entry.physical, entry.intid, entry.icid) == (1, 1, 8192 + 0x155, 1)
    assert any((host.box.physical(host.hyp_page(5), 16) or b"").hex(" ", 4) in step.result for step in host.steps)


@pytest.mark.parametrize(
    "program", [getattr(attacks_tables, name) for name in attacks_tables.__all__ if name.islower()]
)
def test_strict_keeps_the_hypervisors_pages_as_they_were(program: object) -> None:
    """Behind ``strict`` not a byte of the hypervisor's or the guest's memory changes, and there is no violation."""
    fresh = machine({"hardening": "strict", "start": "host"})
    where = fresh.map
    host = _after(program, "strict")

    assert host.box.physical(where.guest, where.guest_bytes) == fresh.physical(where.guest, where.guest_bytes)
    assert host.box.physical(where.hyp, where.hyp_bytes) == fresh.physical(where.hyp, where.hyp_bytes)
    assert not host.box.violations
    assert host.refusals


def test_the_mask_that_clears_nothing_keeps_a1_open() -> None:
    """Under the whole RFC the guarded register still takes the host's address bits, and the table moves."""
    assert ("H4", "registers-kept") in rules(played("A1", "rfc-v1"))


def test_a_forged_level_2_page_is_wiped_by_strict_and_believed_by_v2() -> None:
    """What the host wrote into a level-2 page before it handed it over counts under v2, and is gone under ``strict``."""
    assert rules(played("forged-level-2", "v2")) == {("DMA", "foreign-write")}
    assert played("forged-level-2", "strict").violations == ()
