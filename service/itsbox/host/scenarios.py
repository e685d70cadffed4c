"""Named scenarios: attacks, defects and honest life, each runnable under any preset.

A scenario is a program (``attacks*.py``) with what it needs. ``run`` plays it on a machine that the caller makes and answers a
verdict:

* ``violated``: the oracle objected: memory isolation did not hold;
* ``wedged``: isolation held, but the hypervisor stopped the machine, or honest traffic does not pass any more, so that an attack
  could not be tried to its end either;
* ``isolated``: it was tried to its end and the oracle saw no violation;
* ``error``: this machine lacks what it is about, so that nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itsbox.arch.values import PAGE_SIZE, SIZE_64K
from itsbox.host import (
    attacks_defects,
    attacks_historic,
    attacks_honest,
    attacks_itts,
    attacks_queue,
    attacks_races,
    attacks_redistributors,
    attacks_tables,
    attacks_takeover,
    attacks_virtual,
)
from itsbox.host.attacks import AttackEnds, Box, CannotBePlayed, HostileHost, SetUpFails, Step
from itsbox.host.historic import HISTORIC, Historic
from itsbox.hypervisor.knobs import DEFAULT_PRESET, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "KINDS",
    "SCENARIOS",
    "VERDICTS",
    "MakeMachine",
    "Played",
    "Scenario",
    "UnknownScenarioError",
    "matrix",
    "run",
]

VERDICTS: Final = ("isolated", "violated", "wedged", "error")
KINDS: Final = MappingProxyType(
    {
        "attack": "tries to break memory isolation",
        "availability": "tries to stop the queue or the hypervisor; isolation is watched too",
        "honest": "does nothing wrong; must neither be refused nor stopped",
        "historic": "brings a seeded defect of the hardware or of the driver to light; a step says what is right",
    }
)

Program: TypeAlias = Callable[[HostileHost], None]
MakeMachine: TypeAlias = "Callable[[Mapping[str, Any]], Box]"
"""Builds a machine from a session's fields (profile, hardening, start, error_policy, quirks)."""


class UnknownScenarioError(KeyError):
    """There is no scenario of this name."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    title: one line; story: what happens and why; source: where the path is described; kind: a word of ``KINDS``; program: what
    the host does; before: what it does before the switch-over; profile: the machine it needs, unless told otherwise; fields:
    further session fields; defect: number of the RFC's defect that it shows, if it shows one; claimed: the patch of the RFC
    that claims to stop it; hands_over: the switch-over happens before the program (a program that does it itself says False);
    races: it is a race, played once for each read of host memory before which another CPU can store, each time anew.
    """

    name: str
    title: str
    story: str
    source: str
    kind: str
    program: Program
    before: Program | None = None
    profile: str = "virt-gicv3"
    fields: Mapping[str, Any] = field(default_factory=dict)
    defect: int | None = None
    claimed: int | None = None
    hands_over: bool = True
    races: bool = False

    def session(self, hardening: Any = "strict", profile: str | None = None) -> dict[str, Any]:
        """The fields of the session that the scenario is played on."""
        return {"profile": profile or self.profile, "hardening": hardening, "start": "host", **self.fields}

    def catalogue(self) -> dict[str, Any]:
        """The JSON form, for ``GET /v1/scenarios``."""
        return {
            "name": self.name,
            "title": self.title,
            "story": self.story,
            "source": self.source,
            "kind": self.kind,
            "needs": {"profile": self.profile, **self.fields},
            "defect": self.defect,
            "claimed": self.claimed,
        }


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario that was played.

    hardening: a preset, or {"preset", "knobs"} with the knobs that were set beside it; verdict: a word of ``VERDICTS``;
    refusals: reasons met, each once; violations: the machine's; steps: everything that was done, explained; detail: why it
    ended early, or what went wrong. Of a race, violations and steps are those of the turn that went worst.
    """

    name: str
    hardening: str | dict[str, Any]
    verdict: str
    refusals: tuple[str, ...]
    violations: tuple[Any, ...]
    steps: tuple[Step, ...]
    detail: str

    def wire(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.name,
            "hardening": self.hardening,
            "verdict": self.verdict,
            "refusals": list(self.refusals),
            "violations": [violation.wire() for violation in self.violations],
            "steps": [
                {"text": step.text, "op": _op_text(step), "result": step.result, "step": step.step}
                for step in self.steps
            ],
            "detail": self.detail,
        }


def _op_text(step: Step) -> str:
    """An op as a line for people."""
    if step.op is None:
        return "look"
    shown = ", ".join(f"{k}={hex(v) if isinstance(v, int) else _short(v)}" for k, v in step.op._asdict().items())
    return f"{type(step.op).__name__}({shown})"


def _short(value: Any) -> str:
    return f"{value[:32].hex()}" if isinstance(value, bytes) else str(value)


def play(scenario: Scenario, box: Box, hardening: str | dict[str, Any], turn: int = 0) -> tuple[Played, HostileHost]:
    """Play a scenario on a machine that was made with its ``session`` fields; a race once, for one ``turn``."""
    host = HostileHost(box, turn=turn)
    verdict, detail = "isolated", ""
    try:
        if scenario.before is not None:
            scenario.before(host)
        if scenario.hands_over:
            host.deprivilege()
        scenario.program(host)
        if host.stuck:
            verdict, detail = "wedged", "Honest traffic does not pass any more."
    except AttackEnds as end:
        verdict, detail = "wedged", f"The hypervisor stopped the machine: {end}"
    except SetUpFails as failed:
        verdict, detail = "wedged", f"The attack could not be tried: {failed}."
    except CannotBePlayed as lack:
        verdict, detail = "error", f"Nothing was tried: {lack}."
    if box.violations:
        verdict = "violated"
    return (
        Played(
            scenario.name, hardening, verdict, tuple(host.refusals), tuple(box.violations), tuple(host.steps), detail
        ),
        host,
    )


def run(name: str, hardening: Any, make_machine: MakeMachine, profile: str | None = None) -> Played:
    """Make a machine and play a scenario on it; a race on a machine for each of its turns, until one is violated.

    Raises:
        UnknownScenarioError: there is none of this name. What ``make_machine`` raises for a bad configuration passes through.
    """
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise UnknownScenarioError(name)
    fields = scenario.session(hardening, profile)
    box = make_machine(fields)
    label = _label(hardening)
    if not scenario.races:
        return play(scenario, box, label)[0]
    return _race(scenario, box, label, lambda: make_machine(fields))


def _race(scenario: Scenario, box: Box, label: str | dict[str, Any], another: Callable[[], Box]) -> Played:
    """Play a race for each of its turns, until one is violated. The machine made last is the one that the answer is about."""
    played, host = play(scenario, box, label)  # nobody stores: what needs no race is not a race
    if played.verdict in ("violated", "error"):
        return replace(played, detail=played.detail or "Violated without a race.")
    refusals, worst, worst_turn, turn = dict.fromkeys(played.refusals), played, 0, 0
    while host.reads > turn and played.verdict != "violated":
        turn += 1
        played, host = play(scenario, another(), label, turn)
        refusals |= dict.fromkeys(played.refusals)
        if played.verdict != "isolated":
            worst, worst_turn = played, turn
    if worst_turn != turn:
        worst, _ = play(scenario, another(), label, worst_turn)
    told = f"Won by a store before read {turn}" if worst.verdict == "violated" else f"Tried before each of {turn} reads"
    return replace(worst, refusals=tuple(refusals), detail=f"{worst.detail} {told} of host memory.".strip())


def _label(hardening: Any) -> str | dict[str, Any]:
    """How the answer names a hardening: by its preset, and the knobs that differ from it, if any."""
    if isinstance(hardening, str):
        return hardening
    chosen = resolve(hardening.get("preset", DEFAULT_PRESET), hardening.get("knobs"))
    return {"preset": chosen.preset, "knobs": chosen.changed} if chosen.changed else chosen.preset


def matrix(names: Sequence[str], presets: Sequence[str], make_machine: MakeMachine) -> dict[str, dict[str, Played]]:
    """Every scenario under every preset: ``cells[scenario][preset]``."""
    return {name: {preset: run(name, preset, make_machine) for preset in presets} for name in names}


# ---------------------------------------------------------------------------------------------------- the registry

_A: Final = "docs/explanation/dma-surface.md 4, "
_MAIL: Final = "the mail of 25 March 2026, "


def _early_device(host: HostileHost) -> None:
    host.say("While the kernel is still trusted, the driver maps a device.")
    host.drive("map_device", device_id=0x20, events=2)


def _early_vpe(host: HostileHost) -> None:
    host.say("While the kernel is still trusted, a guest is created: the vPE table gets its first level-2 page.")
    host.needs_virtual()
    host.vmapp(1, host.pages(SIZE_64K // PAGE_SIZE, SIZE_64K))


def _story(program: Program) -> str:
    """The program's docstring is its story."""
    return " ".join((program.__doc__ or "").split())


def _attack(name: str, title: str, program: Program, **more: Any) -> Scenario:
    return Scenario(
        name, title, _story(program), more.pop("source", _A + name), more.pop("kind", "attack"), program, **more
    )


def _defect(number: int, name: str, title: str, program: Program, **more: Any) -> Scenario:
    source = f"the RFC of 10 March 2026, defect {number}"
    return Scenario(name, title, _story(program), source, more.pop("kind", "honest"), program, defect=number, **more)


def _historic(row: Historic) -> Scenario:
    return Scenario(
        row.name,
        row.title,
        _story(row.program),
        row.source,
        "historic",
        row.program,
        profile=row.profile,
        fields=row.fields,
    )


_ALL: Final = (
    Scenario(
        "linux-boot", "An honest kernel's life", _story(attacks_honest.linux_life), "Linux, irq-gic-v3-its.c", "honest",
        attacks_honest.linux_life,
    ),
    Scenario(
        "hang", "The hang of the mail: ITS queue timeout (1056 1024)", _story(attacks_defects.map_three_events),
        _MAIL + "log", "honest", attacks_defects.map_three_events, profile="snapdragon", defect=1,
    ),
    _attack("A1", "GITS_BASER names a hypervisor page", attacks_tables.baser_to_hyp_page, claimed=13),
    _attack("A2", "A level-1 entry names a hypervisor page", attacks_tables.level_1_to_hyp_page, claimed=7),
    _attack("A3", "A device table entry is edited in memory", attacks_tables.forged_dte, claimed=7),
    _attack("A4", "MAPD names a hypervisor page", attacks_itts.itt_in_hyp_page, claimed=8),
    _attack("A5", "A translation table longer than what was checked", attacks_itts.itt_too_long, claimed=8),
    _attack("A6", "VMAPP names a hypervisor page", attacks_virtual.vpt_in_hyp, profile="virt-gicv4",
            before=_early_vpe, claimed=9),
    _attack("A7", "GITS_CBASER names a hypervisor page", attacks_queue.cbaser_to_hyp_page, claimed=12),
    _attack("A8", "GICR_PENDBASER names a hypervisor page", attacks_redistributors.pending_table_in_hyp),
    _attack("A9", "GICR_PROPBASER names a secret page", attacks_redistributors.property_table_in_hyp),
    _attack("A10", "A vPE table of the host's making", attacks_redistributors.vpe_table_forged, profile="virt-gicv4.1"),
    _attack("A11", "MAPC names an address that is no redistributor", attacks_redistributors.message_anywhere,
            profile="virt-gicv3-pta", claimed=10),
    _attack("A12", "A page is given away before the ITS has let go of it", attacks_itts.early_release, claimed=8),
    _attack("A13", "A queue slot changes between check and use", attacks_races.queue_slot, claimed=6, races=True),
    _attack("A14", "Old commands run again", attacks_queue.replay, claimed=12),
    _attack("A15", "Commands behind the wrap, GITS_CWRITER out of range and in halves", attacks_queue.wrap_and_bounds, claimed=6),
    _attack("A16", "Tables half switched, without waiting for Quiescent", attacks_tables.baser_half_switched, claimed=13),
    _attack("A17", "A stalled ITS while the hypervisor waits", attacks_queue.stalled_under_lock, kind="availability",
            fields={"error_policy": "stall"}),
    _attack("A18", "Commands that wait for what does not exist", attacks_queue.permanent_stall, kind="availability",
            profile="virt-gicv4-dual-its", before=attacks_virtual.early_vpe),
    _attack("forged-dte", "The mail's first attack: a forged device table entry", attacks_tables.forged_dte,
            source=_MAIL + "section 3", claimed=7),
    _attack("forged-vte", "The mail's second attack: a forged vPE table entry, one bit", attacks_virtual.forged_vte,
            source=_MAIL + "section 3", profile="virt-gicv4", before=_early_vpe, claimed=7),
    _attack("resident-vpt", "The redistributor's own door to virtual pending tables", attacks_redistributors.resident_anywhere,
            source=_A + "A10", profile="virt-gicv4"),
    _attack("toctou", "A host store at every point where the hypervisor reads host memory", attacks_races.every_read,
            source=_A + "A13", profile="virt-gicv4", before=attacks_races.set_up_races, hands_over=False, races=True, claimed=6),
    _attack("forged-level-2", "A level-2 page that is forged before it is handed over", attacks_tables.forged_level_2,
            source=_A + "A2; IHI 0069H.b, Two-level tables", claimed=8),
    _attack("own-tables", "A translation table over the ITS's own queue and tables", attacks_itts.itt_over_own_tables,
            source="docs/explanation/dma-surface.md 7, H14", claimed=8),
    _attack("announced-while-off", "A MAPD that is announced while the ITS is off", attacks_queue.announced_while_off,
            source="docs/explanation/dma-surface.md 7, H9", claimed=8),
    _attack("preswitch-itt", "A device mapped before the switch-over", attacks_itts.preswitch_itt, before=_early_device,
            source="docs/explanation/dma-surface.md 8, step 5"),
    _attack("unshared-itt", "A translation table is unshared and given away", attacks_itts.unshared_itt,
            source="docs/explanation/series.md, patch 8", claimed=8),
    _defect(1, "inverted-alignment", "The alignment test the wrong way round", attacks_defects.page_aligned_table),
    _defect(2, "level-1-index", "Level 1 indexed by the raw id", attacks_defects.new_level_2),
    _defect(3, "base-mask", "Masks that clear nothing: suspend and resume", attacks_defects.suspend_and_resume),
    _defect(4, "queue-bound", "GITS_CWRITER equal to the queue's length", attacks_defects.queue_bound),
    _defect(5, "wrap-parsing", "The head of a wrapped batch is not checked", attacks_queue.behind_the_wrap, kind="attack"),
    _defect(6, "vpt-pages", "A virtual pending table's pages miscounted", attacks_defects.vpe_honest, profile="virt-gicv4"),
    _defect(7, "level-1-mask", "A shift constant taken for a mask", attacks_defects.level_1_mask),
    _defect(8, "foreign-release", "MAPD with V=0 releases another device's pages", attacks_itts.foreign_release,
            kind="attack"),
    _defect(9, "shared-itt-page", "Two devices in one page", attacks_defects.shared_itt_page),
    _defect(10, "itt-size", "Size computed in 32 bits, and not compared with GITS_TYPER.ID_bits",
            attacks_defects.size_beyond_id_bits, kind="availability"),
    _defect(11, "batch-before-check", "Commands in the hardware queue before they are checked",
            attacks_defects.batch_with_bad_command, kind="availability"),
    _defect(12, "leaked-lock", "A refused take-over keeps its lock", attacks_takeover.leaked_lock, kind="availability",
            hands_over=False),
    _defect(13, "half-registers", "Half writes run a handler for the whole", attacks_defects.half_registers),
    _defect(14, "collection-level-2", "The host edits collection entries", attacks_takeover.collection_level_2, kind="attack",
            profile="virt-gicv3-pta", before=attacks_takeover.two_level_collections, hands_over=False),
    _defect(15, "virtual-unchecked", "Virtual commands pass unlooked at", attacks_virtual.unchecked_virtual, kind="attack",
            profile="virt-gicv4", before=attacks_virtual.early_vpe),
    _defect(16, "tracking-full", "More tables than can be tracked", attacks_defects.many_tables),
    _defect(17, "setup-unwinding", "A failing take-over unwinds wrongly", attacks_takeover.setup_unwinding,
            kind="availability", hands_over=False),
    _defect(18, "no-cache-maintenance", "The ITS does not see what the hypervisor wrote", attacks_defects.stale_queue,
            profile="snapdragon"),
    _defect(19, "start-offset", "Commands in flight at the switch-over", attacks_defects.commands_in_flight,
            kind="availability", hands_over=False),
    _defect(20, "double-fetch", "Host memory is read more than once", attacks_races.level_1_and_slot_twice, kind="attack",
            races=True),
    _defect(21, "impdef-forwarded", "IMPLEMENTATION DEFINED registers are forwarded", attacks_defects.impdef_registers,
            kind="availability"),
    _defect(22, "level-2-unchecked", "A new level-2 page is not looked at", attacks_tables.level_2_by_other_commands,
            kind="attack"),
    _attack("zephyr-queue-size", "A queue programmed one page too long", attacks_historic.queue_one_page_too_long,
            source="Zephyr, one public revision", claimed=12),
    _attack("zephyr-itt-size", "A translation table shorter than its Size", attacks_historic.itt_rounded_down,
            source="Zephyr, pull request 117277", claimed=8),
    *map(_historic, HISTORIC),
)  # fmt: skip

SCENARIOS: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}
"""Name to scenario, in the order in which the matrix shows them."""
