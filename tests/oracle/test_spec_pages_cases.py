"""The terms of the specification at their borders: the ways of pages, and what a choice leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER
from itsbox.oracle.abstract import Abstract, AbstractLpis
from itsbox.oracle.spec import Expected, settled
from itsbox.oracle.spec_call import ANY, Loose
from itsbox.oracle.spec_pages import hold, let_go, lpi_tables, move, why_not_held
from tests.oracle.its_cases import (
    ALONE,
    DEVICE,
    FACTS,
    GUEST,
    HYP,
    OFF,
    ON,
    OTHER,
    REGIONS,
    WIDE,
    state_with,
)

# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("first, pages, moved", [
    (0x40000, 1, True), (0x3FFFF, 1, False), (0x3FFFF, 2, False), (0x4FDFF, 1, True), (0x4FDFF, 2, False), (0x48007, 2, False),
    (0x4FFFF, 1, False), (0x50000, 1, False), (0x50000, 0, True),
])  # fmt: skip
def test_pages_move_from_one_state_alone(first: int, pages: int, moved: bool) -> None:
    """All of a range, in memory and in the state that is asked for; nothing otherwise."""
    frames = range(first, first + pages)
    expected = state_with().with_pages(dict.fromkeys(frames, HYP), REGIONS) if moved else None
    assert move(state_with(), FACTS, frames, ALONE, HYP) == expected


def test_memory_ends_where_ram_ends() -> None:
    """The last frame of RAM is memory, the next is not, whoever owns the last at reset."""
    facts = replace(FACTS, regions=REGIONS._replace(hyp=range(0), guest=range(0)))
    assert move(state_with(), facts, range(0x4FFFF, 0x50000), ALONE, HYP) is not None
    assert move(state_with(), facts, range(0x4FFFF, 0x50001), ALONE, HYP) is None


def test_every_page_of_a_table_may_be_shared_with_kin() -> None:
    """Objects of the same kind are worked out once, for all pages; a table on three pages that one device has is fine."""
    frames = range(0x48060, 0x48063)
    held = hold(state_with(), FACTS, frames)
    assert why_not_held(held, FACTS, frames, (each for each in (frames,))) is None
    assert why_not_held(held, FACTS, frames) == "in a page that hardware uses for something else"


def test_a_page_that_is_let_go_without_having_been_held() -> None:
    """It is the host's alone, and nothing is written down for it."""
    assert let_go(state_with(), FACTS, range(0x48050, 0x48052)) == state_with()


@pytest.mark.parametrize("wanted, machine, config, pending", [
    (15, 15, 14, 16), (20, 15, 14, 16), (5, 15, 2, 16), (13, 15, 2, 16), (14, 15, 6, 16), (19, 19, 254, 32),
])  # fmt: skip
def test_the_tables_of_a_redistributor(wanted: int, machine: int, config: int, pending: int) -> None:
    """A byte for each LPI and a bit for each INTID in units of 64 KB; IDbits counts from 14 bits to what the machine has."""
    prop = GICR_PROPBASER.decode(0).replace(id_bits=wanted, physical_address=0x4810_1000).word()
    pend = GICR_PENDBASER.decode(0).replace(physical_address=0x4820_0000).word()
    tables = lpi_tables(replace(FACTS, id_bits=machine), prop, pend)
    assert tables == (range(0x48101, 0x48101 + config), range(0x48200, 0x48200 + pending))


# ---------------------------------------------------------------- choices


LPIS = AbstractLpis(True, 1, 2)
CHANGES: dict[str, tuple[Callable[[Abstract], Abstract], str, Any]] = {
    "a page": (lambda s: s.with_pages({0x48050: HYP}, REGIONS), "pages", 0x48050),
    "a page back at reset": (lambda s: s.with_pages({0x48008: ALONE}, REGIONS), "pages", 0x48008),
    "tracked more": (lambda s: s.with_tracked(range(0x48050, 0x48051), 1), "tracked", 0x48050),
    "tracked less": (lambda s: s.with_tracked(range(0x48000, 0x48001), -1), "tracked", 0x48000),
    "a field of an ITS": (lambda s: s.with_its(1, consumed=0), "its", (1, "consumed")),
    "an entry of an ITS": (lambda s: s.with_its(1, devices={7: DEVICE, 9: WIDE}), "its", (1, "devices", 9)),
    "the devices of an ITS": (lambda s: s.with_its(1, devices={}), "its", (1, "devices")),
    "a whole ITS": (lambda s: replace(s, its={0: OTHER}), "its", 1),
    "a register": (lambda s: s.with_registers(1, CTLR=OFF), "registers", (1, "CTLR")),
    "a register that was not": (lambda s: s.with_registers(1, CBASER=1), "registers", (1, "CBASER")),
    "a redistributor's register": (lambda s: s.with_lpis(0, pendbaser=3), "lpis", (0, "pendbaser")),
    "a redistributor": (lambda s: replace(s, lpis={}), "lpis", 0),
    "the phase": (lambda s: replace(s, phase="trusted"), "phase", ()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_choice_covers_its_own_key_alone(name: str) -> None:
    """With it the state is as observed; without it, with another key, part or refusal, it stays as it was expected."""
    change, part, key = CHANGES[name]
    post = replace(state_with(), lpis={0: LPIS})
    seen = change(post)

    def chosen(*loose: Loose) -> Abstract:
        return settled(Expected(post, loose), seen, REGIONS)

    assert chosen(Loose(part, {key}, "")) == chosen(Loose(part, ANY, "")) == seen
    assert chosen() == chosen(Loose(part, {"other"}, "")) == chosen(Loose("donated", {key}, "")) == post
    assert chosen(Loose(part, {key}, "", lambda expected, found: False)) == post
    assert chosen(Loose(part, {"other"}, ""), Loose(part, {key}, "")) == seen


def test_a_choice_is_asked_for_what_was_expected_and_found() -> None:
    """In this order, and once for each key that differs; a page that is not in the map is as at reset."""
    post = state_with()
    seen = post.with_pages({0x48050: HYP, 0x48008: ALONE, 0x48051: GUEST}, REGIONS).with_registers(1, CTLR=OFF)
    asked: list[tuple[Any, Any]] = []

    def allowed(expected: Any, found: Any) -> bool:
        asked.append((expected, found))
        return bool(found != GUEST)

    loose = (Loose("pages", ANY, "", allowed), Loose("registers", {(1, "CTLR")}, "", allowed))

    made = settled(Expected(post, loose), seen, REGIONS)

    assert sorted(map(str, asked)) == sorted(map(str, [(ALONE, HYP), (HYP, ALONE), (ALONE, GUEST), (ON, OFF)]))
    assert made == post.with_pages({0x48050: HYP, 0x48008: ALONE}, REGIONS).with_registers(1, CTLR=OFF)


def test_knobs_that_are_not_said_are_stricts() -> None:
    """The default is what the asking function calls ``strict``'s; nothing else of the machine depends on the call."""
    told = replace(FACTS, knobs={"a": "1"})
    assert (told.knob("a", "2"), told.knob("b", "2"), FACTS.knob("a", "2")) == ("1", "2", "2")
