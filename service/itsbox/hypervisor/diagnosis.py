"""Why does the command queue not move? Facts, and what they say about each explanation of the mail's hang.

Mostafa Saleh's report shows ``ITS queue timeout (1056 1024)`` and a read position that never moves. Nine explanations fit some
of that; each predicts something that can be looked up here. ``judge`` is a pure function of ``Facts``.

Verdicts: ``confirmed`` (the facts are what it predicts, and nothing simpler explains them), ``contradicted`` (a prediction
fails), ``possible`` (a fault that is there but not what holds the queue up), ``untested`` (nothing is held up).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.hypervisor.queue import Refusal
from itsbox.reasons import Reason

__all__ = ["HYPOTHESES", "Facts", "Hypothesis", "judge", "report"]

CONFIRMED: Final = "confirmed"
CONTRADICTED: Final = "contradicted"
POSSIBLE: Final = "possible"
UNTESTED: Final = "untested"


class Facts(NamedTuple):
    """What can be observed.

    host_cwriter: what the host last wrote to GITS_CWRITER; shown_cwriter, shown_creadr: what it reads there and in CREADR;
    consumed: up to where the hypervisor has looked; all in bytes, None before a take-over.
    hw_cwriter, hw_creadr, stalled: the hardware's registers. hw_bytes, host_bytes: the command at hw_creadr in either queue;
    its_sees: the same as the ITS sees it through its non-coherent path. cleared: the slots below hw_creadr are all zeros.
    refusal: the last refused command; dropped: why the last write of GITS_CWRITER was dropped as a whole.
    """

    host_cwriter: int | None
    shown_cwriter: int | None
    shown_creadr: int | None
    consumed: int | None
    hw_cwriter: int
    hw_creadr: int
    stalled: bool
    hw_bytes: bytes
    host_bytes: bytes
    its_sees: bytes
    cleared: bool
    refusal: Refusal | None
    dropped: Reason | None

    @property
    def stuck(self) -> bool:
        """Commands were written, and the read position that the host sees has not come to their end.

        Where the hypervisor skips what it refuses, its queue and the host's drift apart, and neither is held up.
        """
        if self.host_cwriter is None:
            return self.hw_creadr != self.hw_cwriter
        return self.shown_creadr != self.host_cwriter

    @property
    def withheld(self) -> bool:
        """The hardware was never told of them: it has worked off all that it was given."""
        return self.stuck and self.hw_creadr == self.hw_cwriter


Finding: TypeAlias = tuple[str, str]
"""(verdict, evidence)."""


class Hypothesis(NamedTuple):
    """One explanation: number, what it says, what it predicts, and how the facts judge it."""

    name: str
    says: str
    predicts: str
    judge: Callable[[Facts], Finding]


def _refused_for(*reasons: Reason) -> Callable[[Facts], Finding]:
    def judge_refusal(facts: Facts) -> Finding:
        if not facts.withheld:
            return CONTRADICTED, f"the hardware's GITS_CWRITER followed to {facts.hw_cwriter}"
        if facts.refusal is None:
            return CONTRADICTED, "no command was refused"
        refused = f"{facts.refusal.name} in slot {facts.refusal.slot} was refused: {facts.refusal.reason.value}"
        if facts.refusal.reason not in reasons:
            return CONTRADICTED, refused
        return CONFIRMED, f"{refused}; the hardware's GITS_CWRITER stays at {facts.hw_cwriter}"

    return judge_refusal


def _wrong_level_1(facts: Facts) -> Finding:
    if facts.withheld:
        return CONTRADICTED, f"the hardware's GITS_CWRITER stays at {facts.hw_cwriter}"
    if facts.stalled:
        return POSSIBLE, "the ITS stalled at a command that it was given"
    return CONTRADICTED, "the ITS neither stalled nor moved on"


def _out_of_step(facts: Facts) -> Finding:
    if facts.cleared and facts.hw_creadr:
        return (
            POSSIBLE,
            f"everything below {facts.hw_creadr} in the hardware queue is zeros: harmless, it had been carried out",
        )
    return CONTRADICTED, "the hardware queue below the read position is as it was"


def _not_cleaned(facts: Facts) -> Finding:
    if facts.its_sees != facts.hw_bytes:
        held = "but the hardware has not been told of it" if facts.withheld else "and reads that"
        return POSSIBLE, f"the ITS sees an older content of the slot at {facts.hw_creadr}, {held}"
    return CONTRADICTED, "the ITS sees the slot as it is in memory"


def _stall(facts: Facts) -> Finding:
    if facts.stalled and not facts.withheld:
        return CONFIRMED, f"Stalled is set at {facts.hw_creadr}"
    return (
        CONTRADICTED,
        "Stalled is clear: the host would read an odd number" if not facts.stalled else "no command is waiting",
    )


def _store_dropped(facts: Facts) -> Finding:
    if facts.dropped is not None and facts.withheld:
        return CONFIRMED, f"the write of GITS_CWRITER was dropped: {facts.dropped.value}"
    return CONTRADICTED, "writes of GITS_CWRITER reach the emulation" if facts.withheld else "GITS_CWRITER was written"


def _not_installed(facts: Facts) -> Finding:
    if facts.withheld:
        return CONTRADICTED, f"the hardware's GITS_CWRITER stays at {facts.hw_cwriter}, so nobody forwards it"
    if facts.hw_bytes != facts.host_bytes:
        return CONFIRMED, "GITS_CWRITER follows, but the hardware queue does not hold what the host queue holds"
    return CONTRADICTED, "both queues hold the same command"


HYPOTHESES: Final = (
    Hypothesis(
        "H1", "MAPD is refused because its ITT is page aligned: the alignment test is inverted.",
        "CREADR fixed, no stall, hardware CWRITER not moved, cleaning the cache changes nothing",
        _refused_for(Reason.ITT_PAGE_ALIGNED),
    ),
    Hypothesis(
        "H2", "MAPD is refused because another device's ITT shares the page.",
        "as H1, but for a second device in one page",
        _refused_for(Reason.ITT_SHARED),
    ),
    Hypothesis(
        "H3", "MAPD is refused because a level-2 page at frame 0 cannot be donated: a shift is used as a mask.",
        "as H1, with an indirect table and a level-1 entry that differs",
        _refused_for(Reason.L2_NOT_HOST_OWNED),
    ),
    Hypothesis(
        "H4", "The wrong level-1 entry is mirrored, so the hardware has no level-2 page for the device.",
        "CWRITER advances; CREADR moves on or stalls",
        _wrong_level_1,
    ),
    Hypothesis(
        "H5", "The position in the queues starts at 0 although the hardware is elsewhere.",
        "zeros over commands carried out before; lost commands if any were in flight",
        _out_of_step,
    ),
    Hypothesis(
        "H6", "The hypervisor's copies are not cleaned to the point of coherency.",
        "the ITS reads an older content; cleaning helps",
        _not_cleaned,
    ),
    Hypothesis(
        "H7", "The ITS stalled at a command.",
        "CREADR.Stalled set: the host's second number is odd",
        _stall,
    ),
    Hypothesis(
        "H8", "The write of GITS_CWRITER is dropped.",
        "as H1, without any refused command",
        _store_dropped,
    ),
    Hypothesis(
        "H9", "The emulation was never installed: the host writes to a queue that the hardware does not read.",
        "CWRITER advances and the hardware runs old entries",
        _not_installed,
    ),
)  # fmt: skip


def judge(facts: Facts) -> list[dict[str, str]]:
    """Each hypothesis with its verdict and the evidence."""
    judged = []
    for hypothesis in HYPOTHESES:
        verdict, evidence = hypothesis.judge(facts) if facts.stuck else (UNTESTED, "the queue is not held up")
        judged.append(
            {
                "hypothesis": hypothesis.name,
                "says": hypothesis.says,
                "prediction": hypothesis.predicts,
                "verdict": verdict,
                "evidence": evidence,
            }
        )
    return judged


def report(facts: Facts) -> dict[str, Any]:
    """What ``GET .../diagnosis`` answers. Offsets are bytes; commands are hex."""
    refusal = facts.refusal
    return {
        "stuck": facts.stuck,
        "last_refused": None
        if refusal is None
        else {
            "slot": refusal.slot,
            "name": refusal.name,
            "words": [hex(word) for word in refusal.words],
            "reason": refusal.reason.value,
            "sentence": refusal.reason.sentence,
            "errno": refusal.reason.errno,
        },
        "host": {
            "cwriter": facts.host_cwriter,
            "reads_cwriter": facts.shown_cwriter,
            "reads_creadr": facts.shown_creadr,
            "consumed": facts.consumed,
        },
        "hw": {"cwriter": facts.hw_cwriter, "creadr": facts.hw_creadr, "stalled": facts.stalled},
        "at_creadr": {
            "offset": facts.hw_creadr,
            "hw": facts.hw_bytes.hex(),
            "host": facts.host_bytes.hex(),
            "its_sees": facts.its_sees.hex(),
        },
        "hypotheses": judge(facts),
    }
