"""The specification of writes to base registers by a series that forces their place, and of those that end in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, baser_stored_address
from itsbox.ops import Done, MmioWrite, Outcome, Refused
from itsbox.oracle.abstract import AbstractTable
from itsbox.oracle.spec import Call, Claims, Expected, specify
from itsbox.reasons import Reason
from tests.oracle.its_cases import BASES, FACTS, ITS, OFF, state_with

CLAIMS = Claims(pkvm=True, commands=False, injects=True)
QUEUE, TABLE, PAGE = 0x4A00_0000, 0x4A02_0000, 0x1_0000
TAKEN = replace(
    ITS,
    hw_queue=QUEUE,
    host_bytes=0x4000,
    tables=(AbstractTable(4, 0x4_9000, 1, 0), AbstractTable(1, TABLE >> 12, 32, 0)),
)
ELSEWHERE = 0x4B00_0000
FORCED = {"base_writes": "forced", "base_mask": "correct"}


PRE = state_with(TAKEN, ctlr=OFF)


def _answer(
    offset: int, knobs: Mapping[str, str], outcome: Outcome | None = None, *, claims: Claims = CLAIMS
) -> Expected:
    """What is specified of a write of 8 bytes while the ITS is off."""
    op = MmioWrite(BASES[1] + offset, 8, 0)
    return specify(PRE, Call(op, Done() if outcome is None else outcome, PRE, replace(FACTS, knobs=knobs), claims))


def _may_become(offset: int, name: str, before: int, found: int, knobs: Mapping[str, str] = FORCED) -> bool:
    """Whether a register may hold a value after a write."""
    about = [loose for loose in _answer(offset, knobs).loose if (1, name) in loose.keys]
    return any(loose.allowed(before, found) for loose in about)


def _cbaser(addr: int, pages: int) -> int:
    return GITS_CBASER.decode(0).replace(valid=1, physical_address=addr, size=pages - 1).word()


def _baser(kind: int, addr: int, pages: int) -> int:
    return (
        GITS_BASER.decode(0)
        .replace(type=kind, valid=1, page_size=2, size=pages - 1, physical_address=baser_stored_address(addr, PAGE))
        .word()
    )


@pytest.mark.parametrize("found, may", [
    (_cbaser(QUEUE, 4), True), (_cbaser(QUEUE, 5), False), (_cbaser(QUEUE + 0x1_0000, 4), False), (_cbaser(ELSEWHERE, 4), False),
    (_cbaser(ELSEWHERE, 1), True),
])  # fmt: skip
def test_the_queue_goes_back_to_where_it_was_taken_over(found: int, may: bool) -> None:
    """Or stays where it is; another place or another length it may not get."""
    assert _may_become(0x80, "CBASER", _cbaser(ELSEWHERE, 1), found) is may


@pytest.mark.parametrize("found, may", [
    (_baser(1, TABLE, 2), True), (_baser(1, TABLE, 3), False), (_baser(1, TABLE + PAGE, 2), False), (_baser(4, TABLE, 2), False),
    (_baser(1, ELSEWHERE, 1), True),
])  # fmt: skip
def test_a_table_goes_back_to_where_it_was_taken_over(found: int, may: bool) -> None:
    """That of its type, with its pages."""
    assert _may_become(0x110, "BASER2", _baser(1, ELSEWHERE, 1), found) is may


def test_where_the_mask_is_wrong_any_place_may_come_of_it() -> None:
    """Knob ``base_mask``: the defect of the RFC."""
    found = _baser(1, ELSEWHERE + PAGE, 1)

    assert _may_become(0x110, "BASER2", _baser(1, ELSEWHERE, 1), found, {**FORCED, "base_mask": "buggy"})


@pytest.mark.parametrize(
    "offset, ends_in_one", [(0x78, False), (0x79, True), (0x7C, True), (0xF8, False), (0xF9, True)]
)
def test_a_misaligned_write_may_end_in_the_register_behind(offset: int, ends_in_one: bool) -> None:
    """Where the series passes reserved offsets on, hardware takes the bytes that are a register's; refused, nothing changes."""
    passed, bare = _answer(offset, {}), _answer(offset, {}, claims=CLAIMS._replace(pkvm=False))
    said = [[(each.part, each.keys, each.why) for each in answer.loose] for answer in (passed, bare)]

    assert passed.post == PRE
    assert said[0] == (said[1] if ends_in_one else [])
    assert bool(said[0]) is ends_in_one
    assert _answer(offset, {}, Refused(Reason.ACCESS_WIDTH)) == Expected(PRE)
