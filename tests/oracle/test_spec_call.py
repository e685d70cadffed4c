"""The terms of the specification: what a choice of the implementation covers, and what it does not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractLpis, AbstractPage, Regions
from itsbox.oracle.spec_call import ANY, Expected, Facts, Loose, from_host, settled, still_host

REGIONS = Regions(ram=range(0x40, 0x80), hyp=range(0x70, 0x78), guest=range(0x60, 0x68))
SHARED, PINNED, WITH_GUEST = AbstractPage("host", "hyp"), AbstractPage("host", "hyp", 1), AbstractPage("host", "guest")
HYP, GUEST = AbstractPage("hyp"), AbstractPage("guest")
ITS = AbstractIts(0x1000, 0x1000, 32, {1: (2, 3)}, {4: (5, 6, 7)}, {(1, 0): (8, 9), (1, 1): (8, 10)})
LPIS = AbstractLpis(True, 1, 2, 3, 4)
BASE = Abstract("trusted", {0x41: SHARED}, {0: ITS, 1: ITS}, {(0, "CTLR"): 1, (1, "CTLR"): 2}, {0: LPIS, 1: LPIS})


def _settled(found: Abstract, *loose: Loose, expected: Abstract = BASE) -> Abstract:
    return settled(Expected(expected, loose), found, REGIONS)


def test_knobs_that_are_not_said_are_as_in_strict() -> None:
    """The caller says what that is."""
    facts = Facts(REGIONS, (), 12, 15, False, knobs={"rollback": "partial"})

    assert facts.knob("rollback", "full") == "partial"
    assert facts.knob("submission", "runs") == "runs"


# ---------------------------------------------------------------- what a page may become


@pytest.mark.parametrize("page", [HOST_ALONE, SHARED, PINNED])
def test_a_page_that_stays_the_hosts_gives_nothing_away(page: AbstractPage) -> None:
    """Alone or shared with the hypervisor, before and after; a page of a guest, or shared with one, is another thing."""
    assert still_host(page, HOST_ALONE)
    assert still_host(SHARED, page)
    for other in (WITH_GUEST, HYP, GUEST):
        assert not still_host(page, other)
        assert not still_host(other, page)


def test_a_page_comes_from_the_host_if_nothing_used_it() -> None:
    """It was the host's, not a guest's nor pinned, and is not a guest's now."""
    was = [page for page in (HOST_ALONE, SHARED, PINNED, WITH_GUEST, HYP, GUEST) if from_host(page, HYP)]
    now = [page for page in (HOST_ALONE, SHARED, PINNED, WITH_GUEST, HYP, GUEST) if from_host(HOST_ALONE, page)]

    assert was == [HOST_ALONE, SHARED]
    assert now == [HOST_ALONE, SHARED, PINNED, HYP]


# ---------------------------------------------------------------- what is settled


def test_everything_is_a_key_of_any() -> None:
    """Of a part without keys too."""
    assert "x" in ANY
    assert () in ANY


def test_without_a_choice_the_expected_state_stays() -> None:
    """Whatever was observed; and where nothing differs there is nothing to settle."""
    found = replace(BASE, phase="deprivileged", pages={0x42: HYP}, its={}, registers={}, lpis={})

    assert _settled(found) == BASE
    assert _settled(BASE, Loose("pages", ANY, "why")) == BASE


def test_what_is_settled_is_the_observed_state_when_all_is_open() -> None:
    """Each part may be open as a whole, also one that has no keys."""
    found = Abstract(
        "deprivileged", {0x42: HYP}, {2: ITS}, {(0, "X"): 1}, {2: LPIS}, frozenset({1}), {1: 1}, frozenset({2}),
        {0: (range(1), range(1))}, {1: range(2)}, {1: (2, 3)}, {4: 5}, {6: 7},
    )  # fmt: skip
    parts = (
        "phase", "pages", "its", "registers", "lpis", "finalised", "quiesced", "taken", "held", "resident", "alive",
        "donated", "tracked",
    )  # fmt: skip
    assert _settled(found, *(Loose(part, ANY, "why") for part in parts)) == found
    for part in parts:
        assert _settled(found, Loose(part, ANY, "why")) == replace(BASE, **{part: getattr(found, part)})


def test_an_open_page_is_as_observed() -> None:
    """Those that are named, if the change is allowed, whether they were in the map, are in it, or as at reset; others not."""
    found = replace(BASE, pages={0x42: HYP, 0x43: GUEST, 0x70: HOST_ALONE, 0x44: SHARED})
    open_pages = Loose("pages", (0x41, 0x42, 0x43, 0x45, 0x70), "why", lambda expected, found: found.owner != "guest")

    assert _settled(found, open_pages).pages == {0x42: HYP, 0x70: HOST_ALONE}
    assert _settled(found, open_pages, Loose("pages", {0x44}, "why")).pages == {
        0x42: HYP, 0x70: HOST_ALONE, 0x44: SHARED,
    }  # fmt: skip
    assert _settled(found, Loose("registers", ANY, "why")).pages == BASE.pages


def test_a_choice_sees_what_was_expected_and_what_was_found() -> None:
    """In this order, for pages and for other parts; and it is asked only where the two differ."""
    asked: list[tuple[Any, Any]] = []

    def allowed(expected: Any, found: Any) -> bool:
        asked.append((expected, found))
        return False

    found = replace(BASE, pages={0x41: SHARED, 0x42: HYP}, registers={(0, "CTLR"): 1, (1, "CTLR"): 3})
    loose = (Loose("pages", ANY, "why", allowed), Loose("registers", {(0, "CTLR"), (1, "CTLR")}, "why", allowed))

    assert _settled(found, *loose) == BASE
    assert asked == [(HOST_ALONE, HYP), (2, 3)]


@pytest.mark.parametrize("keys", [{1}, range(1, 2), (), frozenset({0}), range(2)])
def test_an_open_its_is_as_observed(keys: Collection[int]) -> None:
    """The whole of its record, by its number."""
    found = {0: replace(ITS, consumed=64), 1: replace(ITS, consumed=96)}
    chosen = _settled(replace(BASE, its=found), Loose("its", keys, "why")).its

    assert chosen == {number: found[number] if number in keys else ITS for number in found}


@pytest.mark.parametrize(
    "name, value",
    [
        ("consumed", 64), ("devices", {1: (9, 9), 2: (8, 8)}), ("vpes", {}), ("waiting", True), ("stopped", frozenset({1})),
        ("level_2", {(1, 0): (1, 1)}), ("host_queue", 0x2000), ("host_cwriter", 7), ("tables", (1,)), ("enabled", False),
    ],
)  # fmt: skip
def test_a_field_of_an_its_can_be_open(name: str, value: Any) -> None:
    """By the path to it; the same field of the other ITS, and the other fields, are not."""
    wrong = replace(ITS, host_bytes=0x4000, **{name: value})
    found = replace(BASE, its={0: wrong, 1: wrong})

    assert _settled(found, Loose("its", {(1, name)}, "why")).its == {0: ITS, 1: replace(ITS, **{name: value})}


def test_an_entry_of_a_record_can_be_open() -> None:
    """By the path to it: one device, one level-2 page; other entries stay as expected, those in only one of the two included."""
    its = replace(ITS, devices={1: (0, 0), 2: (8, 8), 3: (7, 7)}, level_2={(1, 1): (0, 0), (2, 0): (1, 1)})
    found = replace(BASE, its={0: ITS, 1: its})
    loose = Loose("its", {(1, "devices", 2), (1, "level_2", (1, 1))}, "why")

    assert _settled(found, loose).its == {
        0: ITS,
        1: replace(ITS, devices={1: (2, 3), 2: (8, 8)}, level_2={(1, 0): (8, 9), (1, 1): (0, 0)}),
    }


def test_an_entry_that_may_be_missing_is_missing() -> None:
    """As it was observed: a device, an ITS, a count."""
    expected = replace(BASE, tracked={1: 1, 2: 1})
    found = replace(expected, tracked={2: 1, 3: 1}, its={1: replace(ITS, devices={})})
    loose = (Loose("tracked", {1}, "why"), Loose("its", {0, (1, "devices", 1)}, "why"))

    after = _settled(found, *loose, expected=expected)
    assert (after.tracked, after.its) == ({2: 1}, {1: replace(ITS, devices={})})
    assert _settled(found, expected=expected) == expected


def test_an_its_that_came_or_went_is_wrong_unless_open() -> None:
    """A record on one side alone is not looked into."""
    more, less = replace(BASE, its={0: ITS, 1: ITS, 2: ITS}), replace(BASE, its={0: ITS})

    assert _settled(more, Loose("its", {(2, "consumed")}, "why")) == BASE
    assert _settled(less, Loose("its", {(1, "consumed")}, "why")) == BASE


def test_a_register_can_be_open() -> None:
    """By ITS and name; another register, and the same of another ITS, are not."""
    found = replace(BASE, registers={(0, "CTLR"): 8, (1, "CTLR"): 9, (1, "CBASER"): 7})

    assert _settled(found, Loose("registers", {(1, "CTLR")}, "why")).registers == {(0, "CTLR"): 1, (1, "CTLR"): 9}
    assert _settled(found, Loose("registers", {(1, "CBASER")}, "why")).registers == {
        (0, "CTLR"): 1, (1, "CTLR"): 2, (1, "CBASER"): 7,
    }  # fmt: skip


def test_a_register_of_a_redistributor_can_be_open() -> None:
    """By CPU and name; or all of a CPU's."""
    other = AbstractLpis(False, 5, 6, 7, 8)
    found = replace(BASE, lpis={0: other, 1: other})

    assert _settled(found, Loose("lpis", {(1, "vpendbaser")}, "why")).lpis == {0: LPIS, 1: LPIS._replace(vpendbaser=8)}
    assert _settled(found, Loose("lpis", {0}, "why")).lpis == {0: other, 1: LPIS}
    assert _settled(replace(BASE, lpis={0: LPIS}), Loose("lpis", {(1, "vpendbaser")}, "why")) == BASE
    assert _settled(replace(BASE, lpis={**BASE.lpis, 2: LPIS}), Loose("lpis", {(2, "vpendbaser")}, "why")) == BASE
