"""The matrix: every scenario under every preset, as a page and as a picture, both generated and committed.

``play_all`` plays it, ``markdown`` and ``svg`` draw it. What a patch claims and the matrix contradicts is listed, with the
reason; ``NOTES`` has the reasons, and ``contradictions`` finds the cells, so that one without the other fails a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from itsbox.host.scenarios import SCENARIOS, MakeMachine, Played, Scenario, run

__all__ = ["COLUMNS", "NOTES", "contradictions", "markdown", "play_all", "svg"]

COLUMNS: Final = (
    "off", "forward", *(f"rfc-v1@{n}" for n in range(6, 14)), "rfc-v1", "v2", "android-6.12", "strict",
)  # fmt: skip
"""Presets, from nothing to everything. rfc-v1@1 to @3 equal ``off`` for the ITS, @4 is ``forward``, @14 is ``rfc-v1``."""

Verdicts = Mapping[str, Mapping[str, str]]

_MASK: Final = (
    "The guard is there, but its mask clears nothing (defect 3): the host's address bits are OR-ed into the register, and with "
    "a well-chosen address the result lies in the hypervisor's memory. Fixed in v2."
)
_PANIC: Final = (
    "The memory is out of reach, as the patch says, but the RFC stands on a kernel whose hypervisor stops the machine when the "
    "host touches what is not its own (knob `host_abort`): every process of the host can end it. Injected into the host from "
    "v2 on."
)
_RUNS_LATER: Final = (
    "Behind v2 and Android the commands announced while the ITS is off are still carried out after they have been taken back: "
    "see "
    "`announced-while-off`."
)
_RAW_INDEX: Final = (
    "MAPD of a DeviceID beyond the first level-2 page ends the machine: level 1 is indexed by the raw id (defect 2), and EL2 "
    "reads past the table. Nothing is violated, and nothing is available any more either. Fixed in v2."
)
_UNCHECKED_MAPD: Final = (
    "The queue is a copy that the host cannot change, as patch 6 says, so nothing can be exchanged in it. Until patch 8 the "
    "hostile command needs no exchange: MAPD is not looked at."
)
NOTES: Final[dict[str, str]] = {
    "A1": _MASK,
    "A7": f"{_MASK} {_RUNS_LATER}",
    "zephyr-queue-size": (
        "As A7 until the end of the RFC: until patch 12 the register is the host's, and from then on its address bits are OR-ed "
        "into the hypervisor's (defect 3)."
    ),
    "A2": _RAW_INDEX,
    "A3": _PANIC,
    "forged-dte": _PANIC,
    "forged-vte": _PANIC,
    "forged-level-2": _RAW_INDEX,
    "A11": (
        "Patch 10 looks at MAPC for its level-1 entry only, and never at RDbase, in v2 and Android too. Where RDbase is an "
        "address "
        "(GITS_TYPER.PTA = 1) MAPC, SYNC and MOVALL make the ITS write anywhere. `strict` knows the redistributors' frames."
    ),
    "A16": (
        "The tables stay where they are. But a write of half a register at its upper word is stored with 64 bits at a misaligned "
        "offset, and EL2 faults (defect 13); v2 and Android refuse what is misaligned and still take this one."
    ),
    "A12": (
        "MAPD with V=0 releases the pages while it is checked, before the ITS has seen it (knob `release_time`). With the ITS "
        "disabled the command waits, the page goes to a guest, and the commands before it still write there. v2 waits for each "
        f"command and takes it back if it is not carried out. {_RUNS_LATER}"
    ),
    "A13": _UNCHECKED_MAPD,
    "toctou": (
        f"{_UNCHECKED_MAPD} No command is exchanged from patch 8 on. {_RAW_INDEX} In v2 and Android a MAPD that turns hostile in "
        "the race is refused, but the level-2 page that was taken for it stays taken (knob `rollback`), which H9 objects to."
    ),
    "announced-while-off": (
        "The RFC checks the MAPD when it is announced, and its pages are not pinned: they are given away before the ITS is "
        "enabled "
        "and carries it out. In v2 and Android the command times out and is taken back, pages and all, but it stays in the "
        "hardware's queue and is carried out all the same. `strict` keeps such commands to itself until the ITS is enabled. "
        "Found by this project; not in the list of known defects."
    ),
    "A14": (
        "The guard resets its own position with the hardware's, so CBASER replays nothing. But GITS_CREADR is forwarded, in v2 "
        "and Android too, and on machines where it can be written (QEMU with GICD_CTLR.DS) the hardware is sent back over "
        "commands whose pages have been given away since."
    ),
    "A15": (
        "The wrap is copied, but the check runs over the first segment twice (defect 5): commands at the start of the queue "
        "reach the hardware unchecked. Until patch 8 nothing is checked anywhere."
    ),
    "zephyr-itt-size": (
        "The number of pages is computed from the table's bytes (plus 255) alone: a table that begins inside a page and "
        "crosses into the next is held by its first page only, in the RFC and in v2. Android's page-aligned tables cannot "
        "cross. Found by H6 and by this scenario; not in the list of known defects."
    ),
    "unshared-itt": (
        "The table's pages are shared, which keeps them from being given away; but they are not pinned, so that the host "
        "ends the sharing by hypercall first. Pinned in v2."
    ),
}
"""Why a scenario is not isolated at the patch that claims to stop it; checked against the matrix."""

_BESIDES: Final[dict[str, str]] = {
    "forward, rfc-v1@6": (
        "Table entries (and under `forward` commands) still come from memory that the host writes, so everything that uses the "
        "ITS "
        "after the switch-over is a violation here, honest traffic like `linux-boot` and `hang` included: trapping alone "
        "protects "
        "nothing, and a queue of its own protects nothing as long as the tables are the host's. Patch 7 takes them."
    ),
    "A6, virtual-unchecked": (
        "v2 dropped the VMAPP patch and forwards virtual commands: the mail's one-bit write is open again until Android refuses "
        "every such command."
    ),
    "A8, A9, A10, resident-vpt": (
        "The series does not look at redistributors, as its notes say. Android's later version and `strict` do."
    ),
    "A11, collection-level-2": (
        "Played on `virt-gicv3-pta`, where RDbase is an address. On the other machines it is a number, there is nothing to "
        "forge, "
        "and the verdict is `error`: not tried."
    ),
    "A10, resident-vpt, A18": (
        "GICR_VPENDBASER holds an address on GICv4.0 and a vPEID on GICv4.1, which is a scenario each. A18 needs a machine whose "
        "VMOVP names other ITSs (`virt-gicv4-dual-its`); the RFC's take-over fails on two ITSs, and v2 goes on behind a "
        "command "
        "that timed out only as long as nothing waits in the hardware's queue. A SYNC to an absent CPU ends at once on these "
        "machines, as on QEMU."
    ),
    "forged-level-2": (
        "v2 and Android take a level-2 page that the host adds as it is: an entry that was forged before names any memory. "
        "`strict` wipes the page."
    ),
    "preswitch-itt": (
        "Devices that were mapped before the switch-over are not known to the series; their tables' pages can be given away. "
        "`strict` walks the tables when it takes over."
    ),
    "itt-size": (
        "Hardware refuses a Size beyond GITS_TYPER.ID_bits by itself, so that no table is used that is longer than what is held. "
        "The pages held for the refused command stay held, and the device cannot be mapped any more."
    ),
    "virtual-unchecked": (
        "Defect 15, hidden in the RFC from patch 9 on behind defect 6: every VMAPP is refused, so that there is no vPE to "
        "misuse, "
        "and VMAPTI, VMOVI and VMOVP alone find nothing to break. v2 forwards VMAPP too. The rest of it shows on "
        "`virt-gicv4-dual-its`, where an unchecked VMOVP waits for ever: tests/host/test_attacks_virtual.py."
    ),
    "double-fetch": (
        "Defect 20. The RFC checks commands in the copy that runs; what it reads twice is a level-1 entry, and no entry that "
        "could "
        "be exchanged gets that far, because of defects 2 and 7; the first of them ends the machine here. Behind `strict` with "
        "one "
        "knob changed (`host_fetch`: `twice`, or `slot_twice` for a queue's slot) it shows: tests/host/test_attacks_races.py."
    ),
    "level-2-unchecked": (
        "Defect 22, without an effect in the RFC: INT, INV and MAPTI do walk before the host's new entry was looked at, but "
        "through "
        "the hypervisor's own level 1, where that entry does not exist yet. It only means that they fail until a MAPD comes."
    ),
    "impdef-forwarded": (
        "Defect 21, without an effect here: the offsets are forwarded, and no machine of this project has registers behind them. "
        "The accesses that reach hardware are in the steps."
    ),
    "half-registers, A16": "v2 and Android still take half a register for the whole, and fault at EL2.",
    "vpt-pages": "Android refuses virtual commands as a whole: an honest VMAPP does not pass either.",
    "tracking-full": "Two pages of private state still bound the tracking in v2 and Android: 508 pages.",
    "start-offset": (
        "Starting at GITS_CREADR instead of 0 does not save commands in flight either: zeros of the new queue are copied over "
        "them. `strict` refuses to take a queue over that is not empty."
    ),
}


def play_all(make_machine: MakeMachine, names: Sequence[str] | None = None) -> dict[str, dict[str, Played]]:
    """Play scenarios (all of them) under every column. Equal programs on equal machines are played once."""
    known: dict[tuple[object, ...], Played] = {}
    cells: dict[str, dict[str, Played]] = {}
    for name in names if names is not None else SCENARIOS:
        scenario = SCENARIOS[name]
        cells[name] = {}
        for preset in COLUMNS:
            what = (scenario.program, scenario.before, scenario.hands_over, repr(scenario.session(preset)))
            if what not in known:
                known[what] = run(name, preset, make_machine)
            cells[name][preset] = known[what]
    return cells


def verdicts(cells: Mapping[str, Mapping[str, Played]]) -> dict[str, dict[str, str]]:
    """The verdicts alone."""
    return {name: {preset: played.verdict for preset, played in row.items()} for name, row in cells.items()}


def contradictions(cells: Verdicts) -> Iterator[Scenario]:
    """Scenarios that are violated or wedged at some preset of the RFC from the patch on that claims to stop them."""
    for name, row in cells.items():
        scenario = SCENARIOS[name]
        if scenario.claimed is None:
            continue
        later = [f"rfc-v1@{n}" for n in range(scenario.claimed, 14)] + ["rfc-v1"]
        if any(row[preset] != "isolated" for preset in later if preset in row):
            yield scenario


def _stops_at(row: Mapping[str, str]) -> str:
    """The first preset from which on nothing is violated."""
    clean = ""
    for preset in reversed(COLUMNS):
        if row[preset] == "violated":
            break
        clean = preset
    return clean or "never"


# ---------------------------------------------------------------------------------------------------- the page

_MARK: Final = {"violated": "**V**", "wedged": "w", "isolated": "·", "error": "E"}


def _head(*more: str) -> list[str]:
    columns = ["scenario", *(preset.removeprefix("rfc-v1@") for preset in COLUMNS), *more]
    return [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]


def _marked(name: str, row: Mapping[str, str]) -> str:
    return f"| `{name}` {SCENARIOS[name].title} | {' | '.join(_MARK[row[preset]] for preset in COLUMNS)} |"


def markdown(cells: Verdicts) -> str:
    """``docs/matrix.md``."""
    seeded = [name for name in cells if SCENARIOS[name].kind == "historic"]
    found = {scenario.name for scenario in contradictions(cells)}
    lines = [
        "# What each patch stops",
        "",
        "<!-- generated by service/itsbox/host/scenarios_matrix.py -->",
        "",
        "Every scenario played under every preset, on the machine that has what it needs: **V** violated (memory isolation did",
        "not hold), w wedged (isolation held, but the hypervisor stopped the machine, or honest traffic does not pass any more),",
        "· isolated (tried to its end, no violation), E error (the machine lacks what the scenario is about). A cell can be had",
        "by one command, with each step explained and the memory shown before and after:",
        "",
        "```sh",
        "itsbox scenarios run A3 --hardening off",
        "```",
        "",
        'or `POST /v1/scenarios/A3/run` with `{"hardening": "off"}`. Columns 6 to 13 are `rfc-v1@N`: the RFC up to that patch.',
        "",
        "![The matrix](matrix.svg)",
        "",
        *_head("claimed", "stops at"),
    ]
    for name, row in cells.items():
        if name not in seeded:
            claimed = SCENARIOS[name].claimed
            lines.append(f"{_marked(name, row)} {'' if claimed is None else f'patch {claimed}'} | {_stops_at(row)} |")
    lines += [
        "",
        "## Seeded defects of hardware and drivers",
        "",
        "The series does not claim anything about an ITS that does not do what the architecture says, or a driver that does not.",
        "What follows when one has a defect of the [list](explanation/historic-defects.md) all the same; most show in what the",
        "machine does, not in a verdict.",
        "",
        *_head(),
        *(_marked(name, cells[name]) for name in seeded),
        "",
        "## Where the result contradicts the series' claim",
        "",
        "An attack should turn from violated to isolated at the patch that claims to stop it. These do not:",
        "",
        *(f"* `{name}` (patch {SCENARIOS[name].claimed}): {NOTES[name]}" for name in cells if name in found),
        "",
        "## What else to know",
        "",
        *(f"* {names}: {text}" for names, text in _BESIDES.items()),
        "",
        "## The scenarios",
        "",
        *(f"* `{name}`: {SCENARIOS[name].story} ({SCENARIOS[name].source})" for name in cells),
    ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------- the picture

_CELL, _HEIGHT, _LEFT, _TOP = 46, 18, 190, 96
# Colours that stay apart for the colour-blind, and a sign in each cell besides.
_FILL: Final = {"violated": "#b8336a", "wedged": "#e3b505", "isolated": "#dcebf2", "error": "#777777"}
_SIGN: Final = {"violated": "V", "wedged": "w", "isolated": "", "error": "E"}
_INK: Final = {"violated": "#ffffff", "wedged": "#1b1b1b", "isolated": "#1b1b1b", "error": "#ffffff"}


def svg(cells: Verdicts) -> str:
    """``docs/matrix.svg``: the matrix as a heat map."""
    width = _LEFT + _CELL * len(COLUMNS) + 10
    height = _TOP + _HEIGHT * len(cells) + 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="Scenarios by preset">'
    )
    parts = [
        head,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for n, preset in enumerate(COLUMNS):
        x = _LEFT + _CELL * n + _CELL // 2
        parts.append(
            f'<text x="{x}" y="{_TOP - 8}" transform="rotate(-50 {x} {_TOP - 8})" fill="#1b1b1b">{preset}</text>'
        )
    for m, (name, row) in enumerate(cells.items()):
        y = _TOP + _HEIGHT * m
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end" fill="#1b1b1b">{name}</text>')
        for n, preset in enumerate(COLUMNS):
            verdict = row[preset]
            x = _LEFT + _CELL * n
            box = f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_HEIGHT - 2}" fill="{_FILL[verdict]}">'
            parts.append(f"{box}<title>{name} under {preset}: {verdict}</title></rect>")
            if _SIGN[verdict]:
                place = f'<text x="{x + _CELL // 2 - 1}" y="{y + 12}" text-anchor="middle" fill="{_INK[verdict]}">'
                parts.append(f"{place}{_SIGN[verdict]}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"
