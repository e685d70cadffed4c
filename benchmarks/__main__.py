"""``python -m benchmarks``, which is what ``make bench`` runs: measure, write results.json, print the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import in_process, over_the_wire
from benchmarks.rounds import Plan, Result
from itsbox import __version__
from itsbox.replay.qemu import QemuMissing

GROUPS: dict[str, tuple[Callable[[Plan], list[Result]], ...]] = {
    "http": (over_the_wire.http_row,),
    "batches": (over_the_wire.batches,),
    "commands": (in_process.commands,),
    "executions": (in_process.executions, over_the_wire.lane),
    "snapshots": (in_process.snapshots,),
    "scale": (in_process.scale,),
    "watching": (in_process.watching,),
    "memory": (over_the_wire.memory,),
}
WIDTH = 150  # of a table that goes into a file
OUT = Path(__file__).with_name("results.json")


def arguments(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, each with every variant once (default 7)")
    parser.add_argument(
        "--seconds", type=float, help="seconds per variant and round (default 1, or 0.05 in a quick look)"
    )
    parser.add_argument("--only", action="append", choices=GROUPS, help="only this group; may be repeated")
    parser.add_argument("--out", type=Path, default=OUT, help="where the results go (default benchmarks/results.json)")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    chosen = parser.parse_args(words)
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def measure(plan: Plan, groups: list[str], console: Console) -> tuple[list[Result], list[str]]:
    """Every row of the groups, and the names of those that could not be measured here."""
    results: list[Result] = []
    missing: list[str] = []
    for group in groups:
        for row in GROUPS[group]:
            console.print(f"measuring {group}: {row.__name__}", style="dim")
            try:
                results += row(plan)
            except QemuMissing as error:
                missing.append(f"{group}: {error}")
    return results, missing


def table(results: list[Result]) -> Table:
    """The results beside what they are held against and the goals."""
    shown = Table("", "figure", "value", "against", "ratio", "goal", "", box=SIMPLE)
    for column in (2, 4, 5):
        shown.columns[column].justify = "right"
    for r in results:
        against = f"{r.peer} {r.peer_value:,.4g}" if r.peer and r.peer_value else ""
        goal = "" if r.goal is None else f"{'<=' if r.at_most else '>='} {r.goal:g}{'' if r.peer else ' ' + r.unit}"
        word = {True: "met", False: "missed", None: ""}[r.met]
        ratio = "" if r.ratio is None else f"{r.ratio:.3g}"
        shown.add_row(r.group, r.figure, f"{r.value:,.4g} {r.unit}", against, ratio, goal, word)
    return shown


def main(words: list[str] | None = None) -> int:
    """Measure and tell; the exit code."""
    chosen = arguments(words)
    plan = Plan(chosen.rounds, chosen.seconds or (1.0 if chosen.rounds >= 3 else 0.05))
    console = Console(stderr=True)
    results, missing = measure(plan, chosen.only or list(GROUPS), console)
    facts = {
        "itsbox": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    document = {
        **facts,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "rows": [r.as_json() for r in results],
        "missing": missing,
    }
    chosen.out.write_text(json.dumps(document, indent=2) + "\n")
    out = Console()
    if not out.is_terminal:
        out = Console(width=WIDTH)
    out.print(table(results))
    for name in missing:
        out.print(f"not measured: {name}")
    missed = sum(r.met is False for r in results)
    out.print(f"{len(results)} rows, {missed} goals missed, {len(missing)} not measured; written to {chosen.out}")
    return int(chosen.strict and bool(missed or missing))


if __name__ == "__main__":
    raise SystemExit(main())
