"""``itsbox replay``: recorded traffic against a machine, each difference listed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout

if TYPE_CHECKING:
    from itsbox.replay.replayer import Report
    from itsbox.replay.trace import Trace

__all__ = ["register"]

SHOWN = 20  # differences printed per trace; --json has all


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="TRACE...", help="its-trace/1 files (.jsonl or .jsonl.gz).")],
    url: Annotated[str | None, typer.Option(help="A running service; without it, a machine in this process.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="ITSBOX_API_KEY", help="Bearer key, when the service asks for one.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only traces whose id contains this.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Replay recorded traces and list each difference: reads, command verdicts, final state. Exit 1 if there is any."""
    from itsbox.replay.http_target import ServiceError
    from itsbox.replay.steps import count_steps

    reports = []
    traces = [trace for path in files for trace in _read(path) if only is None or only in trace.head.id]
    if not traces:
        fail(Exit.USAGE, f"no trace whose id contains {only!r}")
    try:
        with progress("replaying", sum(count_steps(trace) for trace in traces), quiet=as_json) as advance:
            for trace in traces:
                reports.append(_replay(trace, url, api_key, advance))
                if not as_json:
                    _print(reports[-1])
    except ServiceError as error:
        fail(Exit.UNREACHABLE, str(error))
    differences = sum(len(report.differences) for report in reports)
    if as_json:
        print_json({"traces": [report.as_json() for report in reports], "differences": differences})
    elif len(reports) > 1:
        stdout.print(f"{len(reports)} traces, {differences} differences")
    raise typer.Exit(Exit.DIFFERENCE if differences else Exit.OK)


def _read(path: Path) -> list[Trace]:
    from itsbox.replay.trace import TraceError, read_traces

    try:
        return list(read_traces(path))
    except (TraceError, OSError) as error:
        fail(Exit.USAGE, str(error))


def _replay(trace: Trace, url: str | None, api_key: str | None, advance: Callable[[int], None]) -> Report:
    from itsbox.machine import ConfigError, MachineConfig
    from itsbox.replay.http_target import HttpTarget
    from itsbox.replay.replayer import replay as play
    from itsbox.replay.target import InProcess, wish_for

    wish = wish_for(trace.head)
    try:
        MachineConfig.make(**wish._asdict())
    except ConfigError as error:
        fail(Exit.USAGE, f"{trace.head.id}: there is no machine such as it was recorded on: {error}")
    with ExitStack() as stack:
        target = InProcess(wish) if url is None else stack.enter_context(HttpTarget(url, wish, api_key=api_key))
        return play(trace, target, advance)


def _print(report: Report) -> None:
    counts = f"{report.reads} reads, {report.commands} commands, {report.msis} MSIs, {report.acknowledges} acknowledges"
    verdict = "no difference" if not report.differences else f"{len(report.differences)} differences"
    stdout.print(f"{report.trace}: {counts}: {verdict}", style="red" if report.differences else None, markup=False)
    for difference in report.differences[:SHOWN]:
        stdout.print(f"  {difference}", markup=False)
    if len(report.differences) > SHOWN:
        stdout.print(f"  ... and {len(report.differences) - SHOWN} more (--json lists all)", markup=False)
    for reason in report.not_compared:
        stdout.print(f"  not compared: {reason}", style="dim", markup=False)
