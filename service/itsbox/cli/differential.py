"""``itsbox differential``: fresh random sequences put to QEMU and to a machine here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(differential)


def differential(
    seed: Annotated[int, typer.Option(help="First seed.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 50,
    gic: Annotated[int, typer.Option(min=3, max=4, help="GIC version.")] = 3,
    length: Annotated[int, typer.Option(min=1, help="Steps after the set-up, per sequence.")] = 30,
    keep: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write each sequence that differs there, as a trace file.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Put seeded random sequences to QEMU's ITS and to this one; list each difference. Exit 1 if there is any.

    Needs qemu-system-aarch64 (Debian package qemu-system-arm); exit 3 without it.
    """
    from itsbox.replay.differential import compare_with_qemu
    from itsbox.replay.qtest import QtestError
    from itsbox.replay.trace import write_trace

    reports = []
    try:
        with progress("asking QEMU", count, quiet=as_json) as advance:
            for trace, report in compare_with_qemu(gic, range(seed, seed + count), length):
                reports.append(report)
                advance(1)
                if report.differences and keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    write_trace(keep / f"{trace.head.id}.jsonl", trace)
                if report.differences and not as_json:
                    stdout.print("\n".join(map(str, report.differences)), markup=False)
    except QtestError as error:
        fail(Exit.UNREACHABLE, str(error))
    differences = sum(len(report.differences) for report in reports)
    if as_json:
        print_json({"sequences": [report.as_json() for report in reports], "differences": differences})
    else:
        commands = sum(report.commands for report in reports)
        stdout.print(f"GICv{gic}, seeds {seed}..{seed + count - 1}: {commands} commands, {differences} differences")
    raise typer.Exit(Exit.DIFFERENCE if differences else Exit.OK)
