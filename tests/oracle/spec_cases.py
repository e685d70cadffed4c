"""A small machine for cases of the specification: its facts, its states, and how an answer is asked for."""

from __future__ import annotations

from typing import Any, TypeAlias

from itsbox.arch.its_registers import GITS_CTLR
from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER
from itsbox.ops import (
    HvcReturn,
    Op,
    Outcome,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractLpis, AbstractPage, AbstractTable, Regions
from itsbox.oracle.spec import Call, Claims, Expected, Facts, specify
from itsbox.reasons import Reason

CARVE_OUT = range(0x4_8010, 0x4_8020)
REGIONS = Regions(range(0x4_0000, 0x5_0000), CARVE_OUT, range(0x4_FE00, 0x4_FF00))
GICR, STRIDE = 0x0810_0000, 0x2_0000
ITS = (0x0808_0000, 0x080C_0000)
FACTS = Facts(REGIONS, ITS, 12, 15, False, gicr=GICR, stride=STRIDE, cpus=2, groups=(0, 0))
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
SERIES = CLAIMS._replace(commands=False)
SHARED, WITH_GUEST = AbstractPage("host", "hyp"), AbstractPage("host", "guest")
PINNED, TWICE = AbstractPage("host", "hyp", 1), AbstractPage("host", "hyp", 2)
GUEST, HYP = AbstractPage("guest"), AbstractPage("hyp")
OK, EPERM = HvcReturn(0, 0), HvcReturn(0, (1 << 64) - 1, "EPERM", Reason.PAGE_NOT_HOST_OWNED)
GONE = HvcReturn((1 << 64) - 1, 0)
ON, OFF = (GITS_CTLR.decode(0).replace(enabled=on, quiescent=1).word() for on in (1, 0))
P, OTHER = 0x4_8000, 0x4_7000
A = P << 12
LIVING, DEAD = 0x1001, 0x1000
Pages: TypeAlias = dict[int, AbstractPage]
Args: TypeAlias = tuple[int, ...]
Known: TypeAlias = tuple[Pages, dict[str, Any]]
"""Pages, and other parts of the state."""


def state_with(pages: Pages | None = None, **parts: Any) -> Abstract:
    """A machine whose CPUs are all deprivileged; one page is shared that no case is about."""
    known = {pfn: page for pfn, page in {OTHER: SHARED, **(pages or {})}.items() if page != HOST_ALONE}
    parts = {"phase": "deprivileged", "finalised": frozenset({0, 1}), **parts}
    return Abstract(pages=known, **{"its": {}, "registers": {(0, "CTLR"): ON, (1, "CTLR"): ON}, "lpis": {}, **parts})


def call_of(
    op: Op, outcome: Outcome, observed: Abstract, *, claims: Claims = CLAIMS, facts: Facts = FACTS
) -> Call:  # fmt: skip
    """An op and what was observed, to be judged."""
    return Call(op, outcome, observed, facts, claims)


def judge(pre: Abstract, op: Op, outcome: Outcome, observed: Abstract | None = None, **terms: Any) -> Expected:
    """What the specification answers; the machine is observed unchanged unless told."""
    return specify(pre, call_of(op, outcome, pre if observed is None else observed, **terms))


def is_wrong(pre: Abstract, text: str) -> Expected:
    """The answer to an outcome that should not have been."""
    return Expected(pre, (), text)


CONFIG, PENDING = 0x4_9000, 0x4_9010
LPIS = AbstractLpis(
    True,
    GICR_PROPBASER.decode(0).replace(id_bits=15, physical_address=CONFIG << 12).word(),
    GICR_PENDBASER.decode(0).replace(physical_address=PENDING << 12).word(),
)
QUIET = LPIS._replace(enable_lpis=False)


def trusted(pages: Pages | None = None, *done: int, **parts: Any) -> Abstract:
    """A machine before the switch-over, or in it when CPUs are ``done``."""
    phase = "deprivileging" if done else "trusted"
    return state_with(pages, **{"phase": phase, "finalised": frozenset(done), "lpis": {0: QUIET, 1: QUIET}, **parts})


QUEUE, HOST_QUEUE, L1, COPY, FLAT = 0x4_A000, 0x4_A010, 0x4_A020, 0x4_A030, 0x4_A040
L2, SHADOW, PRIVATE, ITT, VPT, VCONF = 0x4_A050, 0x4_A060, 0x4_A061, 0x4_B000, 0x4_B010, 0x4_B020
TAKEN = AbstractIts(
    HOST_QUEUE << 12, 0x2000, 0x40, {1: (ITT << 12, 9)}, {2: (VPT << 12, 13, VCONF << 12)}, {(1, 0): (L2, 2)},
    host_cwriter=0x40, hw_queue=QUEUE << 12, tables=(AbstractTable(1, L1, 2, COPY), AbstractTable(4, FLAT, 4, 0)),
)  # fmt: skip
SECOND = GICR + STRIDE
