"""``itsbox check``: an event log judged without the machine that wrote it."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout
from itsbox.cli.show import plain, violation_lines

if TYPE_CHECKING:
    from itsbox.oracle.checker import Report

__all__ = ["register"]

_LINES_SHOWN = 1000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="itsbox-log/1 file, gzipped or not; - is standard input.")],
    *,
    as_json: Json = False,
) -> None:
    """Judge an event log: did memory isolation hold? Exit 1 if not, or if the log itself tells otherwise.

    `itsbox session log` and `itsbox scenarios run --log` write complete logs, which are judged in full; `itsbox events --log`
    writes one of events alone, which is judged by who owns which page. Violations that the log reports and that cannot be
    judged from it count as they were recorded.
    """
    from itsbox.oracle.checker import check_log
    from itsbox.oracle.log_format import LogError

    name = "standard input" if str(log) == "-" else str(log)
    try:
        with _opened(log) as file, progress("judging", _size(log), quiet=as_json) as advance:
            report = check_log(_counted(file, advance))
    except (LogError, OSError, EOFError, zlib.error) as error:
        fail(Exit.USAGE, plain(f"{name}: {error}"))
    if as_json:
        print_json({"log": name, **report.wire()})
    else:
        _print(name, report)
    raise typer.Exit(Exit.OK if report.isolated else Exit.DIFFERENCE)


def _opened(log: Path) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if str(log) == "-" else log.open("rb")


def _size(log: Path) -> int:
    return 0 if str(log) == "-" else log.stat().st_size


def _counted(file: IO[bytes], advance: Callable[[int], None]) -> Iterator[str]:
    """The lines of a file; how far it has been read is shown now and then."""
    from itsbox.oracle.log_lines import lines_of

    shown = 0
    seekable = file.seekable()
    for at, line in enumerate(lines_of(file)):
        yield line
        if seekable and at % _LINES_SHOWN == 0:
            advance(file.tell() - shown)
            shown = file.tell()


def _print(name: str, report: Report) -> None:
    what = "complete log" if report.complete else "events alone: ownership is judged"
    counts = f"{report.steps} steps, {report.events} events, {report.accesses} accesses"
    stdout.print(f"{name}: {what}; {counts}", markup=False)
    for note in _notes(report):
        stdout.print(f"  {note}", style="yellow", markup=False)
    for violation in report.violations:
        (line,) = violation_lines([violation.wire()])
        stdout.print(f"  step {violation.step}: {line}", style="red", markup=False)
    on_line = report.on_line
    if on_line:
        what = "the hypervisor's records, which no log has" if report.complete else "events alone"
        stdout.print(f"  seen on-line, as the log tells; cannot be judged from {what}:", markup=False)
        for told in on_line:
            (line,) = violation_lines([told.wire()])
            stdout.print(f"  step {told.step}: {line}", style="red", markup=False)
    if not report.agrees:
        stdout.print(
            f"  the log itself tells of {len(report.recorded)} violations; this judge does not agree:", markup=False
        )
        for told in report.recorded:
            stdout.print(f"  step {told.step}: {plain(told.bucket)}", markup=False)
    stdout.print(_verdict(report), style="green" if report.isolated else "bold red", markup=False)


def _notes(report: Report) -> Iterator[str]:
    """What is not in the log although it should be."""
    if report.missing:
        yield f"{report.missing} {'steps' if report.complete else 'events'} are missing: what they told is not judged"
    if report.broken_off:
        yield "the log ends within a step"
    if report.restored_at is not None:
        yield f"a snapshot was restored behind step {report.restored_at}: what came then is not judged"


def _verdict(report: Report) -> str:
    if report.violations:
        return f"violated, {len(report.violations) + len(report.on_line)} times"
    if report.recorded:
        return f"violated, {len(report.recorded)} times, as recorded"
    return "isolated, as far as the log goes" if any(_notes(report)) else "isolated"
