"""Attacks through interrupt translation tables."""

from __future__ import annotations

import pytest

from itsbox.arch.its_tables import ITE
from itsbox.host import attacks_itts
from itsbox.host.attacks import HostileHost
from tests.host.play import machine, played, rules


def test_a4_writes_into_every_page_that_it_names() -> None:
    """Under ``off`` MAPD and MAPTI alone put translation entries into the hypervisor's and the guest's pages."""
    host = HostileHost(machine({"hardening": "off", "start": "host"}))
    attacks_itts.itt_in_hyp_page(host)

    for page in (host.hyp_page(6), host.guest_page(1)):
        for at in (page, page + 0x100):
            low, high = ITE.STRUCT.unpack(host.box.physical(at, ITE.SIZE) or b"")
            assert ITE.decode(low, high).intid == 8192 + 0x1AA


def test_h1_objects_before_anything_is_written() -> None:
    """The MAPD alone is a violation: from then on hardware may write there."""
    first = played("A4", "off").violations[0]

    assert (first.oracle, first.kind.op, first.kind.owner) == ("H1", "MAPD", "hyp")


@pytest.mark.parametrize("name, reason", [
    ("A4", "itt_not_host_owned"), ("A5", "event_bits_range"), ("own-tables", "itt_not_host_owned"),
    ("unshared-itt", "page_pinned"), ("preswitch-itt", "page_pinned"), ("foreign-release", "page_pinned"),
])  # fmt: skip
def test_strict_says_why_not(name: str, reason: str) -> None:
    """Behind ``strict`` each of these ends in a refusal that names its reason."""
    what = played(name, "strict")

    assert what.verdict == "isolated"
    assert reason in what.refusals


def test_a_page_given_away_too_early_is_written() -> None:
    """Under the RFC pages are released while MAPD V=0 is checked: the guest gets the page, and the ITS writes it."""
    what = played("A12", "rfc-v1")

    assert ("DMA", "foreign-write") in rules(what)
    assert {v.kind.owner for v in what.violations if v.oracle == "DMA"} == {"guest"}


def test_the_itss_own_tables_are_not_for_translation_entries() -> None:
    """Under ``rfc-v1@7`` MAPD is not checked: entries go over the queue and the tables that the hypervisor holds."""
    assert {("DMA", "wrong-use"), ("H14", "one-use")} <= rules(played("own-tables", "rfc-v1@7"))
