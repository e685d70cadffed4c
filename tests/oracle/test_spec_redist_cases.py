"""The redistributors in the specification, write by write: the whole state afterwards, what is left open, what is wrong.

CPU 1 is the one that is written to. Its configuration table is two pages at ``CONFIG``, its pending table 64 KB at ``PENDING``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from itsbox.ops import Done, MmioWrite, Outcome, Refused
from itsbox.oracle.abstract import Abstract, AbstractIts, AbstractLpis, AbstractPage, AbstractTable, Regions
from itsbox.oracle.spec_call import Call, Claims, Expected, Facts
from itsbox.oracle.spec_redist import hold_lpi_tables, locate_redistributor, redistributor_write
from itsbox.reasons import Reason

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
FACTS = Facts(REGIONS, (0x0808_0000,), 12, 15, False, gicr=0x080A_0000, stride=0x4_0000, cpus=2, groups=(0, 0))
V4, V41 = replace(FACTS, vlpis="GICv4"), replace(FACTS, vlpis="GICv4.1")
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
REFUSED = Refused(next(iter(Reason)))
CTLR, IIDR, WAKER, SETLPIR, CLRLPIR, PROPBASER, PENDBASER = 0, 4, 0x14, 0x40, 0x48, 0x70, 0x78
INVLPIR, INVALLR, VPROPBASER, VPENDBASER, VSGIR = 0xA0, 0xB0, 0x2_0070, 0x2_0078, 0x2_0080
ALL, VALID, TOP = (1 << 64) - 1, 1 << 63, 1 << 31

CONFIG, PENDING = range(0x48000, 0x48002), range(0x48010, 0x48020)
ELSEWHERE = range(0x48100, 0x48110)
PROP, PEND = 0x4800_000D, 0x4801_0000
OFF, ON = AbstractLpis(False, PROP, PEND), AbstractLpis(True, PROP, PEND)
ONCE, TWICE = AbstractPage("host", "hyp", 1), AbstractPage("host", "hyp", 2)
SHARED = AbstractPage("host", "hyp")
OTHER_CPU = AbstractLpis(True, PROP, 0x4810_0000)


def _state(lpis: AbstractLpis = OFF, other: AbstractLpis = OTHER_CPU, **parts: Any) -> Abstract:
    """A machine whose CPUs have lost their privilege, with the redistributor of CPU 1 taken over."""
    done = {"finalised": frozenset({0, 1}), "taken": frozenset({1}), **parts}
    return Abstract(done.pop("phase", "deprivileged"), done.pop("pages", {}), done.pop("its", {}), {},
                    {0: other, 1: lpis}, **done)  # fmt: skip


def _used(pins: Mapping[int, int]) -> dict[str, Any]:
    """Pages that hardware uses, each by so many tables."""
    return {"pages": {pfn: AbstractPage("host", "hyp", n) for pfn, n in pins.items()}, "tracked": dict(pins)}


def _once(*runs: range) -> dict[int, int]:
    return {pfn: 1 for frames in runs for pfn in frames}


def _write(
    pre: Abstract, offset: int, value: int, size: int = 8, *, facts: Facts = FACTS, outcome: Outcome | None = None,
    claims: Claims = CLAIMS,
) -> Expected:  # fmt: skip
    """A write to CPU 1's redistributor."""
    op = MmioWrite(FACTS.gicr + FACTS.stride + offset, size, value)
    call = Call(op, Done() if outcome is None else outcome, pre, facts, claims)
    return redistributor_write(pre, call, op, 1, offset)


def _open(answer: Expected) -> list[tuple[str, Any, str]]:
    return [(loose.part, loose.keys, loose.why) for loose in answer.loose]


def _knob(facts: Facts, **knobs: str) -> Facts:
    return replace(facts, knobs=knobs)


# ---------------------------------------------------------------- which function


@pytest.mark.parametrize("addr, place", [
    (0x0809_FFFF, None), (0x080A_0000, (0, 0)), (0x080D_FFFF, (0, 0x3_FFFF)), (0x080E_0078, (1, 0x78)),
    (0x0811_FFFF, (1, 0x3_FFFF)), (0x0812_0000, None),
])  # fmt: skip
def test_where_the_redistributors_are(addr: int, place: tuple[int, int] | None) -> None:
    """Two frames of 256 KB, one behind the other, and nothing before or after."""
    assert locate_redistributor(FACTS, addr) == place


HARDWARES_OWN = "the host writes hardware's register; which bits stick is hardware's business (IHI 0069H.b)"


@pytest.mark.parametrize("facts, offset, size, fields", [
    (FACTS, CTLR, 4, {"enable_lpis"}), (FACTS, PROPBASER, 8, {"propbaser"}), (FACTS, PENDBASER, 8, {"pendbaser"}),
    (FACTS, PROPBASER + 4, 8, {"propbaser", "pendbaser"}), (FACTS, 0x69, 8, {"propbaser"}), (FACTS, 0x68, 8, None),
    (FACTS, 0x7F, 1, {"pendbaser"}), (FACTS, 0x80, 1, None), (FACTS, 0x71, 8, {"propbaser", "pendbaser"}),
    (FACTS, WAKER, 4, None), (FACTS, VPROPBASER, 8, None), (V4, VPROPBASER, 8, {"vpropbaser"}),
    (V4, VPENDBASER, 8, {"vpendbaser"}), (V41, VPROPBASER, 8, {"vpropbaser"}), (V41, VPENDBASER, 4, {"vpendbaser"}),
    (V41, VSGIR, 4, None), (FACTS, 0x79, 8, {"pendbaser"}),
])  # fmt: skip
def test_hardware_itself(facts: Facts, offset: int, size: int, fields: set[str] | None) -> None:
    """Where the redistributors are hardware's own, a write leaves open the one or two registers that its bytes touch."""
    pre, early = _state(), _state(finalised=frozenset({0}))
    expected = [] if fields is None else [("lpis", {(1, field) for field in fields}, HARDWARES_OWN)]

    for before, answer in (
        (pre, _write(pre, offset, 1, size, facts=_knob(facts, redistributors="open"))),
        (pre, _write(pre, offset, 1, size, facts=facts, claims=CLAIMS._replace(pkvm=False))),
        (early, _write(early, offset, 1, size, facts=facts)),
    ):
        assert (answer.post, _open(answer), answer.wrong) == (before, expected, None)
        assert all(loose.allowed(1, 2) for loose in answer.loose)


CLOSED = "a reserved offset of a redistributor was written"
EARLY = "a write was carried out before the redistributor was taken over"
FRAME = "was written although the frame of virtual LPIs is closed"
READ_ONLY, PAST_ITS = "a register that is read-only was written", "an LPI was set or cleared past the ITS"
NO_VPE = "GICR_VSGIR asked for a vPE that is not mapped"
TO_A_VPE = "went to a vPE"
MAPPED = {0: AbstractIts(0, 0, 0, vpes={3: (0, 0, 0)}), 1: AbstractIts(0, 0, 0, vpes={5: (0x4900_0000, 15, 0)})}


@pytest.mark.parametrize("facts, offset, size, value, wrong", [
    (FACTS, 0x1_0000, 4, 1, None), (FACTS, 0x1_0100, 4, 1, None), (FACTS, 0x1_FFFC, 4, 1, None),
    (FACTS, 0x2_0000, 4, 1, CLOSED), (FACTS, 0x100, 4, 1, CLOSED), (FACTS, VPROPBASER, 8, 1, CLOSED),
    (_knob(FACTS, impdef_registers="forward"), 0x100, 4, 1, None),
    (_knob(FACTS, impdef_registers="raz_wi"), 0x100, 4, 1, CLOSED),
    (FACTS, WAKER, 4, 1, None), (FACTS, IIDR, 4, 1, READ_ONLY), (V41, VSGIR + 8, 4, 1, READ_ONLY),
    (_knob(FACTS, read_only_registers="forward"), IIDR, 4, 1, None),
    (_knob(FACTS, read_only_registers="refused"), IIDR, 4, 1, READ_ONLY),
    (_knob(FACTS, read_only_registers="refused"), WAKER, 4, 1, None),
    (FACTS, SETLPIR, 8, 1, PAST_ITS), (FACTS, CLRLPIR, 8, 1, PAST_ITS),
    (FACTS, INVLPIR, 8, 8192, None), (FACTS, INVLPIR, 8, VALID, f"GICR_INVLPIR {TO_A_VPE}"),
    (FACTS, INVLPIR, 4, TOP, None), (FACTS, INVLPIR + 4, 4, TOP, f"GICR_INVLPIR {TO_A_VPE}"),
    (FACTS, INVLPIR + 4, 4, 1, None), (FACTS, INVALLR, 8, 0, None), (FACTS, INVALLR, 4, TOP, None),
    (V41, INVALLR, 8, VALID | 5 << 32, f"GICR_INVALLR {TO_A_VPE}"),
    (FACTS, INVALLR + 4, 4, TOP, f"GICR_INVALLR {TO_A_VPE}"),
    (V41, VSGIR, 4, 5, None), (V41, VSGIR, 4, 3, None), (V41, VSGIR, 4, 4, NO_VPE),
    (_knob(V4, vlpi_frame="refused"), VPROPBASER, 8, 0, f"GICR_VPROPBASER {FRAME}"),
    (_knob(V4, vlpi_frame="refused"), VPENDBASER, 8, 0, f"GICR_VPENDBASER {FRAME}"),
    (_knob(V41, vlpi_frame="refused"), VSGIR, 4, 5, f"GICR_VSGIR {FRAME}"),
    (_knob(V41, vlpi_frame="checked"), VSGIR, 4, 5, None),
    (_knob(V41, vlpi_frame="refused"), WAKER, 4, 5, None),
])  # fmt: skip
def test_writes_that_change_nothing(facts: Facts, offset: int, size: int, value: int, wrong: str | None) -> None:
    """SGIs, reserved offsets, read-only registers, invalidations, messages, virtual SGIs: judged, and nothing is changed."""
    pre = _state(its=MAPPED)

    assert _write(pre, offset, value, size, facts=facts) == Expected(pre, wrong=wrong)


@pytest.mark.parametrize("facts, offset, wrong", [
    (FACTS, CTLR, EARLY), (FACTS, PROPBASER, EARLY), (FACTS, 0x100, None), (FACTS, VPROPBASER, None),
    (V4, VPROPBASER, EARLY), (V41, VSGIR, EARLY), (FACTS, 0x1_0100, None),
])  # fmt: skip
def test_before_the_redistributor_is_taken_over(facts: Facts, offset: int, wrong: str | None) -> None:
    """No register is written by then, SGIs apart; the refusal is right and changes nothing."""
    pre = _state(taken=frozenset({0}))

    assert _write(pre, offset, 1, 4, facts=facts) == Expected(pre, wrong=wrong)
    assert _write(pre, offset, 1, 4, facts=facts, outcome=REFUSED) == Expected(pre)


IN_VAIN = "GICR_CTLR was refused although its tables can be held"
NOWHERE = OFF._replace(propbaser=0x4FF0_000D)


@pytest.mark.parametrize("lpis, offset, size, value, wrong", [
    (OFF, CTLR, 4, 1, IN_VAIN), (NOWHERE, CTLR, 4, 1, None), (NOWHERE, CTLR, 4, 0, IN_VAIN), (OFF, CTLR, 4, 0, IN_VAIN),
    (OFF, CTLR, 8, 1, None), (OFF, CTLR + 1, 4, 1, None), (OFF, PROPBASER, 8, 0, None), (NOWHERE, CTLR, 2, 0, None),
])  # fmt: skip
def test_refusals(lpis: AbstractLpis, offset: int, size: int, value: int, wrong: str | None) -> None:
    """Of a whole GICR_CTLR only enabling LPIs may be refused, and only where a table cannot be held."""
    pre = _state(lpis)

    assert _write(pre, offset, value, size, outcome=REFUSED) == Expected(pre, wrong=wrong)


# ---------------------------------------------------------------- EnableLPIs

BOTH = _used(_once(CONFIG, PENDING))
HELD = {1: (CONFIG, PENDING)}
BESIDE = {0: (CONFIG, ELSEWHERE)}
"""CPU 0 has the same configuration table, and its own pending table."""
THREE = _once(CONFIG, PENDING, ELSEWHERE) | dict.fromkeys(CONFIG, 2)
BIG = OFF._replace(propbaser=0x4800_0000 | 31, pendbaser=0x4802_0000)


@pytest.mark.parametrize("pre, value, post", [
    (_state(), 1, _state(ON, held=HELD, **BOTH)),
    (_state(), 0xFFFF_FFFE, _state()),
    (_state(ON), 1, _state(ON)),
    (_state(held=HELD, **BOTH), 1, _state(ON, held=HELD, **BOTH)),
    (_state(ON, held=HELD, **BOTH), 1, _state(ON, held=HELD, **BOTH)),
    (_state(ON, held=HELD, **BOTH), 0, _state(held={})),
    (_state(ON), 0, _state()),
    (_state(ON, held=BESIDE | HELD, **_used(THREE)), 0, _state(held=BESIDE, **_used(_once(CONFIG, ELSEWHERE)))),
    (_state(held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))), 1, _state(ON, held=BESIDE | HELD, **_used(THREE))),
    (_state(ON, held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))), 0, _state(held=BESIDE, **_used(_once(CONFIG, ELSEWHERE)))),
    (_state(OFF._replace(propbaser=0x4800_0005)), 1,
     _state(ON._replace(propbaser=0x4800_0005), held=HELD, **BOTH)),
    (_state(BIG), 1, _state(
        BIG._replace(enable_lpis=True), held={1: (range(0x48000, 0x4800E), range(0x48020, 0x48030))},
        **_used(_once(range(0x48000, 0x4800E), range(0x48020, 0x48030))))),
])  # fmt: skip
def test_lpis_on_and_off(pre: Abstract, value: int, post: Abstract) -> None:
    """EnableLPIs goes with holding both tables, once, and with letting them go; what another CPU holds stays."""
    assert _write(pre, CTLR, value, 4) == Expected(post)


CANNOT = "EnableLPIs was set with tables that cannot be held"
NEAR = BESIDE, _used(_once(CONFIG, ELSEWHERE))


@pytest.mark.parametrize("pre", [
    _state(NOWHERE), _state(OFF._replace(pendbaser=0x4FF0_0000)), _state(OFF._replace(pendbaser=0x4FE0_0000)),
    _state(OFF._replace(propbaser=0x0000_000D)), _state(OFF._replace(pendbaser=0x4800_0000)),
    _state(OFF._replace(propbaser=0x4801_F00D)), _state(pages={0x48001: SHARED}), _state(pages={0x4801F: SHARED}),
    _state(**_used({0x48001: 1})), _state(**_used({0x48010: 1})),
    _state(OFF._replace(pendbaser=0x4810_0000), held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))),
    _state(OFF._replace(pendbaser=0x4800_0000, propbaser=0x4820_000D), OTHER_CPU._replace(propbaser=0x4820_000D),
           held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))),
    _state(OFF._replace(propbaser=0x4810_000D), OTHER_CPU._replace(propbaser=0x4810_000D), held=BESIDE,
           **_used(_once(CONFIG, ELSEWHERE))),
    _state(OFF._replace(propbaser=0x4820_000D), held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))),
    _state(OFF._replace(propbaser=0x4800_000E), held=BESIDE, **_used(_once(CONFIG, ELSEWHERE))),
])  # fmt: skip
def test_tables_that_cannot_be_held(pre: Abstract) -> None:
    """Not the host's, no memory, shared, in use, one inside the other, or not what a CPU of the same group names."""
    assert _write(pre, CTLR, 1, 4) == Expected(pre, wrong=CANNOT)
    assert hold_lpi_tables(pre, FACTS, 1) is None
    assert _write(pre, CTLR, 1, 4, outcome=REFUSED) == Expected(pre)


@pytest.mark.parametrize("facts, prop", [
    (replace(FACTS, groups=(0, 1)), 0x4820_000D), (replace(FACTS, groups=(1, 1)), PROP),
    (replace(FACTS, groups=(0, 1)), PROP), (FACTS, PROP | 7 << 7 | 3 << 10 | 7 << 56),
])  # fmt: skip
def test_who_shares_a_configuration_table(facts: Facts, prop: int) -> None:
    """CPUs of one group name the same address and IDbits, whatever the attributes; of another group they need not."""
    pre = _state(OFF._replace(propbaser=prop), held=BESIDE, **_used(_once(CONFIG, ELSEWHERE)))
    start = prop >> 12 & 0xF_FFFF
    config = range(start, start + 2)
    pins = _once(CONFIG, ELSEWHERE, PENDING) | {pfn: 2 if pfn in CONFIG else 1 for pfn in config}

    after = _write(pre, CTLR, 1, 4, facts=facts)

    assert after == Expected(_state(ON._replace(propbaser=prop), held=BESIDE | {1: (config, PENDING)}, **_used(pins)))


# ---------------------------------------------------------------- base registers

P_ALL, Q_ALL = 0x070F_FFFF_FFFF_FF9F, 0x470F_FFFF_FFFF_0F80
"""Every bit that GICR_PROPBASER and GICR_PENDBASER have."""
EVERY = AbstractLpis(False, P_ALL, Q_ALL, P_ALL, 0)


@pytest.mark.parametrize("pre, offset, size, value, changed", [
    (OFF, PROPBASER, 8, ALL, {"propbaser": P_ALL}), (OFF, PENDBASER, 8, ALL, {"pendbaser": Q_ALL}),
    (OFF, PROPBASER, 4, ALL, {"propbaser": 0xFFFF_FF9F}), (OFF, PENDBASER, 4, ALL, {"pendbaser": 0xFFFF_0F80}),
    (OFF, PROPBASER + 4, 4, ALL, {"propbaser": P_ALL >> 32 << 32 | PROP}),
    (OFF, PENDBASER + 4, 4, ALL, {"pendbaser": Q_ALL >> 32 << 32 | PEND}),
    (EVERY, PROPBASER, 8, PROP, {"propbaser": PROP}), (EVERY, PENDBASER, 8, PEND, {"pendbaser": PEND}),
    (EVERY, PROPBASER, 4, PROP, {"propbaser": P_ALL >> 32 << 32 | PROP}),
    (EVERY, PROPBASER + 4, 4, 1, {"propbaser": 0x1_FFFF_FF9F}),
    (EVERY, VPROPBASER, 8, PROP, {"vpropbaser": PROP}), (OFF, VPROPBASER, 8, ALL, {"vpropbaser": P_ALL}),
    (EVERY, VPROPBASER + 4, 4, 1, {"vpropbaser": 0x1_FFFF_FF9F}),
])  # fmt: skip
def test_base_registers(pre: AbstractLpis, offset: int, size: int, value: int, changed: dict[str, Any]) -> None:
    """Legal fields stick; half a register leaves the other half as it was."""
    assert _write(_state(pre), offset, value, size, facts=V4) == Expected(_state(pre._replace(**changed)))


@pytest.mark.parametrize("facts, lpis, offset, wrong", [
    (V4, ON, PROPBASER, "GICR_PROPBASER was written while LPIs are on"),
    (V4, ON, PENDBASER, "GICR_PENDBASER was written while LPIs are on"),
    (V4, OFF._replace(vpendbaser=VALID), VPROPBASER, "GICR_VPROPBASER was written while a vPE is resident"),
    (V41, OFF._replace(vpendbaser=VALID), VPROPBASER, "GICR_VPROPBASER was written while a vPE is resident"),
])  # fmt: skip
def test_base_registers_that_are_frozen(facts: Facts, lpis: AbstractLpis, offset: int, wrong: str) -> None:
    """While they are in use, nobody writes them."""
    assert _write(_state(lpis), offset, 0, facts=facts) == Expected(_state(lpis), wrong=wrong)


# ---------------------------------------------------------------- vPEs with GICv4.0

VPT, OTHER_VPT = 0x4900_0000, 0x4901_0000
VCONF, VCONF_FRAMES = 0x4A00_000D, range(0x4A000, 0x4A002)
GONE = OFF._replace(vpropbaser=VCONF)
HERE = GONE._replace(vpendbaser=VALID | VPT)
VPES = {
    0: AbstractIts(0, 0, 0, vpes={2: (OTHER_VPT, 13, 0)}),
    1: AbstractIts(0, 0, 0, vpes={5: (VPT, 15, 0x4B00_0000)}),
}
DIRTY, PENDING_LAST, ATTRIBUTES = 1 << 60, 1 << 61, 7 << 7 | 3 << 10
ANSWER = "Dirty and PendingLast are hardware's answer"
RESIDENT = {1: VCONF_FRAMES}
VUSED = _used(_once(VCONF_FRAMES))
LONG = range(0x4A000, 0x4A00E)


@pytest.mark.parametrize("pre, offset, size, value, post", [
    (_state(GONE, its=VPES), VPENDBASER, 8, VALID | VPT, _state(HERE, its=VPES, resident=RESIDENT, **VUSED)),
    (_state(GONE, its=VPES), VPENDBASER, 8, VALID | OTHER_VPT,
     _state(GONE._replace(vpendbaser=VALID | OTHER_VPT), its=VPES, resident=RESIDENT, **VUSED)),
    (_state(GONE._replace(vpendbaser=VPT), its=VPES), VPENDBASER + 4, 4, VALID >> 32,
     _state(HERE, its=VPES, resident=RESIDENT, **VUSED)),
    (_state(GONE, its=VPES), VPENDBASER, 8, VALID | VPT | ATTRIBUTES | PENDING_LAST | DIRTY | 0x7F,
     _state(GONE._replace(vpendbaser=VALID | VPT | ATTRIBUTES | PENDING_LAST | DIRTY), its=VPES, resident=RESIDENT, **VUSED)),
    (_state(GONE._replace(vpropbaser=0x4A00_0003), its=VPES), VPENDBASER, 8, VALID | VPT,
     _state(HERE._replace(vpropbaser=0x4A00_0003), its=VPES, resident=RESIDENT, **VUSED)),
    (_state(GONE._replace(vpropbaser=0x4A00_001F), its=VPES), VPENDBASER, 8, VALID | VPT,
     _state(HERE._replace(vpropbaser=0x4A00_001F), its=VPES, resident={1: LONG}, **_used(_once(LONG)))),
    (_state(GONE, its=VPES, resident={0: VCONF_FRAMES}, **VUSED), VPENDBASER, 8, VALID | VPT,
     _state(HERE, its=VPES, resident={0: VCONF_FRAMES, 1: VCONF_FRAMES}, **_used(dict.fromkeys(VCONF_FRAMES, 2)))),
    (_state(HERE, its=VPES, resident={0: VCONF_FRAMES} | RESIDENT, **_used(dict.fromkeys(VCONF_FRAMES, 2))), VPENDBASER, 8, VPT,
     _state(GONE._replace(vpendbaser=VPT), its=VPES, resident={0: VCONF_FRAMES}, **VUSED)),
    (_state(HERE, its=VPES, resident=RESIDENT, **VUSED), VPENDBASER, 8, 0, _state(GONE, its=VPES, resident={})),
    (_state(HERE, resident=RESIDENT, **VUSED), VPENDBASER + 4, 4, 0, _state(GONE._replace(vpendbaser=VPT))),
    (_state(GONE, its=VPES), VPENDBASER, 8, VPT, _state(GONE._replace(vpendbaser=VPT), its=VPES)),
    (_state(HERE), VPENDBASER, 8, 0, _state(GONE)),
    (_state(GONE, resident={0: VCONF_FRAMES}, **VUSED), VPENDBASER, 8, 0, _state(GONE, resident={0: VCONF_FRAMES}, **VUSED)),
])  # fmt: skip
def test_a_vpe_comes_and_goes(pre: Abstract, offset: int, size: int, value: int, post: Abstract) -> None:
    """Its configuration table is held while it is resident; only Dirty, PendingLast and the like are hardware's answer."""
    answer = _write(pre, offset, value, size, facts=V4)

    assert (answer.post, answer.wrong) == (post, None)
    assert _open(answer) == [("lpis", {(1, "vpendbaser")}, ANSWER)]
    now = post.lpis[1].vpendbaser
    allowed = answer.loose[0].allowed
    assert all(allowed(0, now ^ bits) for bits in (0, DIRTY, PENDING_LAST, DIRTY | PENDING_LAST, 1 << 62))
    assert not any(allowed(now, now ^ bits) for bits in (VALID, 0x1_0000, VALID | 0x1_0000, 1 << 51))


NOT_NAMED = "a vPE became resident whose pending table no VMAPP named"
REPLACED = "a resident vPE's pending table was replaced"
BAD = "a vPE became resident with a configuration table"


@pytest.mark.parametrize("pre, value, wrong", [
    (_state(HERE, its=VPES), VALID | VPT, None), (_state(HERE, its=VPES), VALID | VPT | PENDING_LAST, None),
    (_state(HERE, its=VPES), VALID | OTHER_VPT, REPLACED),
    (_state(GONE, its=VPES), VALID | 0x4B00_0000, NOT_NAMED), (_state(GONE), VALID | VPT, NOT_NAMED),
    (_state(GONE._replace(vpropbaser=0x4FF0_000D), its=VPES), VALID | VPT, f"{BAD} in memory of the hyp"),
    (_state(GONE._replace(vpropbaser=0x4FE0_000D), its=VPES), VALID | VPT, f"{BAD} in memory of the guest"),
    (_state(GONE._replace(vpropbaser=0x4FDF_B00E), its=VPES), VALID | VPT, f"{BAD} in memory of the guest"),
    (_state(GONE._replace(vpropbaser=0x0000_000D), its=VPES), VALID | VPT, f"{BAD} where no memory is"),
    (_state(GONE, its=VPES, pages={0x4A001: SHARED}), VALID | VPT, f"{BAD} in a page that the host had shared itself"),
    (_state(GONE, its=VPES, **VUSED), VALID | VPT, f"{BAD} in a page that hardware uses for something else"),
    (_state(GONE, its=VPES, resident={0: range(0x4A000, 0x4A001)}, **VUSED), VALID | VPT,
     f"{BAD} in a page that hardware uses for something else"),
])  # fmt: skip
def test_vpes_that_may_not_come(pre: Abstract, value: int, wrong: str | None) -> None:
    """Not one that nobody mapped, not with a table that is not the host's to give, not in place of another."""
    assert _write(pre, VPENDBASER, value, facts=V4) == Expected(pre, wrong=wrong)


# ---------------------------------------------------------------- vPEs with GICv4.1

TABLES = {
    0: AbstractIts(0, 0, 0, tables=(AbstractTable(1, 0x49000, 16, 0), AbstractTable(2, 0x49100, 16, 0))),
    1: AbstractIts(0, 0, 0, tables=(AbstractTable(2, 0x49200, 16, 0x48000),)),
}
COPY = "the host names the table by its own copy of level 1, or none at all; Entry_Size and attributes are hardware's"
OUT = "Dirty and PendingLast are hardware's answer, and a vPE that hardware does not find stays out"


def test_the_vpe_table() -> None:
    """Whatever the host writes, hardware gets a vPE table that some ITS uses, or none."""
    pre = _state(its=TABLES)

    answer = _write(pre, VPROPBASER, VALID | 0x4800_0000, facts=V41)

    assert (answer.post, answer.wrong) == (pre, None)
    assert _open(answer) == [("lpis", {(1, "vpropbaser")}, COPY)]
    allowed = answer.loose[0].allowed
    good = (0, 0x4900_0000, VALID | 0x4910_0000, VALID | 0x4920_0000, VALID | 0x4920_0000 | 0x7F | 7 << 59 & ~VALID)
    bad = (0x4900_0000, 0x4800_0000, 0x4920_1000, 0x4910_0000 | 1 << 50, 0)
    assert all(allowed(VALID | 0x4900_0000, found) for found in good)
    assert not any(allowed(found, VALID | found) for found in bad)


@pytest.mark.parametrize("now, offset, size, value, came", [
    (0, VPENDBASER, 8, VALID | 5, 5), (0, VPENDBASER, 8, VALID | 3, 3), (5, VPENDBASER + 4, 4, VALID >> 32, 5),
    (VALID | 3, VPENDBASER, 8, 0, 0), (VALID | 3, VPENDBASER, 8, VALID | 5, 5), (VALID | 3, VPENDBASER, 4, 5, 5),
    (0, VPENDBASER, 8, 4, 4),
])  # fmt: skip
def test_a_vpe_by_its_number(now: int, offset: int, size: int, value: int, came: int) -> None:
    """A mapped vPE comes, or the one before stays, or none is there; nobody else."""
    pre = _state(OFF._replace(vpendbaser=now), its=MAPPED)

    answer = _write(pre, offset, value, size, facts=V41)

    assert (answer.post, answer.wrong) == (pre, None)
    assert _open(answer) == [("lpis", {(1, "vpendbaser")}, OUT)]
    allowed = answer.loose[0].allowed
    assert all(allowed(now, found) for found in (7, 0, VALID | came, VALID | DIRTY | PENDING_LAST | came, VALID | now))
    assert not any(allowed(now, VALID | vpe) for vpe in (6, 7, 0xFFFF))


@pytest.mark.parametrize("its", [MAPPED, {}])
def test_a_vpe_that_is_not_mapped(its: dict[int, AbstractIts]) -> None:
    """No ITS knows the vPE: it may not be resident."""
    pre = _state(its=its)

    expected = Expected(pre, wrong="a vPE became resident that is not mapped")
    assert _write(pre, VPENDBASER, VALID | 4, facts=V41) == expected
