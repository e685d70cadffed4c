"""The specification of one write across two pages: one to each, or, where a page is guarded, none to either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.ops import Done, MmioWrite, Outcome, Refused
from itsbox.oracle.abstract import Abstract
from itsbox.oracle.spec import Expected
from itsbox.reasons import Reason
from tests.oracle.spec_cases import (
    CLAIMS,
    FACTS,
    GICR,
    HYP,
    ITS,
    LPIS,
    QUIET,
    SECOND,
    STRIDE,
    TAKEN,
    is_wrong,
    judge,
    state_with,
)

BARE = CLAIMS._replace(pkvm=False)
REFUSED = Refused(next(iter(Reason)), None, [])
LAST_RAM = 0x4FFF_FFFC
SAID = "a write into a guarded page began or ended in another"


def _taken() -> Abstract:
    return state_with(its={0: TAKEN, 1: TAKEN}, taken=frozenset({0, 1}), lpis={0: LPIS, 1: QUIET})


def _bare() -> Abstract:
    return state_with(lpis={0: LPIS, 1: QUIET})


@pytest.mark.parametrize("addr", [
    ITS[0] - 4, ITS[0] - 1, ITS[0] + 0xFFC, ITS[0] + 0xFFFC, ITS[1] - 4, GICR - 4, GICR + 0xFFF9, SECOND - 4,
    GICR + 2 * STRIDE - 4,
])  # fmt: skip
def test_where_a_page_is_guarded_neither_half_is_carried_out(addr: int) -> None:
    """Into a guarded page, out of one, or from one to the next: it is refused, and nothing changes."""
    pre, op = _taken(), MmioWrite(addr, 8, (1 << 64) - 1)

    assert judge(pre, op, REFUSED) == Expected(pre)
    assert judge(pre, op, Done()) == is_wrong(pre, SAID)


def _halves(pre: Abstract, op: MmioWrite, outcome: Outcome) -> Expected:
    """What two writes would be answered, one after the other."""
    low = 0x1000 - op.addr % 0x1000
    value = op.value.to_bytes(op.size, "little")
    first = judge(pre, MmioWrite(op.addr, low, int.from_bytes(value[:low], "little")), outcome, claims=BARE)
    second = judge(
        first.post,
        MmioWrite(op.addr + low, op.size - low, int.from_bytes(value[low:], "little")),
        outcome,
        pre,
        claims=BARE,
    )
    return second._replace(loose=(*first.loose, *second.loose), wrong=first.wrong or second.wrong)


@pytest.mark.parametrize("value", [0, 0x0000_0001_0000_0001, 0x0123_4567_89AB_CDEF])
@pytest.mark.parametrize("addr", [
    ITS[0] - 4, ITS[0] - 2, ITS[0] + 0xFFC, ITS[1] + 0xFFFC, GICR - 4, SECOND - 4, SECOND - 7, GICR + 0xFFFC,
])  # fmt: skip
def test_where_no_page_is_guarded_it_is_two_writes(addr: int, value: int) -> None:
    """Bare hardware: each register takes its bytes, and what either write leaves open is open."""
    pre, op = _bare(), MmioWrite(addr, 8, value)
    answer, expected = judge(pre, op, Done(), claims=BARE), _halves(pre, op, Done())

    assert (answer.post, answer.wrong, expected.wrong) == (expected.post, None, None)
    assert [(each.part, each.keys, each.why) for each in answer.loose] == [
        (each.part, each.keys, each.why) for each in expected.loose
    ]


@pytest.mark.parametrize("addr, knobs", [
    (ITS[0] + 0x1_FFFC, {}), (ITS[0] - 4, {"its_mmio": "mapped"}), (GICR - 4, {"redistributors": "mapped"}),
])  # fmt: skip
def test_a_page_that_the_hypervisor_does_not_answer_for_is_not_guarded(addr: int, knobs: dict[str, str]) -> None:
    """The translation frame, and what the knobs leave to the host."""
    facts = replace(FACTS, knobs=knobs)

    assert judge(_taken(), MmioWrite(addr, 8, 0), Done(), facts=facts).wrong is None


@pytest.mark.parametrize("addr", [LAST_RAM - 0x2000, LAST_RAM, 0x3FFF_FFFC])
def test_memory_is_no_page_of_registers(addr: int) -> None:
    """Two pages of it are judged as a store is; what begins before it or ends behind it reaches nobody."""
    pre = state_with({0x4_0000: HYP, 0x4_FFFF: HYP})

    assert judge(pre, MmioWrite(addr, 8, 0), Done()) == Expected(pre)


@pytest.mark.parametrize("addr, size", [(ITS[0] + 0xFF8, 8), (ITS[0] + 0xFFC, 4), (GICR + 0xFFF8, 8)])
def test_the_last_bytes_of_a_page_are_in_one_page(addr: int, size: int) -> None:
    """Such a write is judged by its register."""
    pre = _taken()

    assert judge(pre, MmioWrite(addr, size, 0), Done()).wrong != SAID
