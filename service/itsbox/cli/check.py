"""``itsbox check``: an event log judged without the machine that wrote it."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout
from itsbox.cli.show import plain, violation_lines

if TYPE_CHECKING:
    from itsbox.oracle.checker import Report

__all__ = ["register"]

GZIP_MAGIC = b"\x1f\x8b"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="itsbox-log/1 file, gzipped or not; - is standard input.")],
    *,
    as_json: Json = False,
) -> None:
    """Judge an event log: did memory isolation hold? Exit 1 if not, or if the log itself tells otherwise.

    `itsbox events SESSION --log` writes one from a session. A complete log is judged in full, one of events alone by who owns
    which page.
    """
    from itsbox.oracle.checker import check_log
    from itsbox.oracle.log_format import LogError

    name = "standard input" if str(log) == "-" else str(log)
    try:
        lines = _read(log)
        with progress("judging", len(lines), quiet=as_json) as advance:
            report = check_log(_counted(lines, advance))
    except (LogError, OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        fail(Exit.USAGE, plain(f"{name}: {error}"))
    if as_json:
        print_json({"log": name, **report.wire()})
    else:
        _print(name, report)
    raise typer.Exit(Exit.OK if report.isolated and report.agrees else Exit.DIFFERENCE)


def _read(log: Path) -> list[str]:
    """The lines of a log, unpacked. Raises OSError (gzip's errors are some), EOFError, zlib.error, UnicodeDecodeError."""
    data = sys.stdin.buffer.read() if str(log) == "-" else log.read_bytes()
    return (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode().splitlines()


def _counted(lines: list[str], advance: Callable[[int], None]) -> Iterator[str]:
    for line in lines:
        yield line
        advance(1)


def _print(name: str, report: Report) -> None:
    what = "complete log" if report.complete else "events alone: ownership is judged"
    counts = f"{report.steps} steps, {report.events} events, {report.accesses} accesses"
    stdout.print(f"{name}: {what}; {counts}", markup=False)
    for violation in report.violations:
        (line,) = violation_lines([violation.wire()])
        stdout.print(f"  step {violation.step}: {line}", style="red", markup=False)
    if not report.agrees:
        stdout.print(
            f"  the log itself tells of {len(report.recorded)} violations; this judge does not agree:", markup=False
        )
        for step, bucket in report.recorded:
            stdout.print(f"  step {step}: {plain(bucket)}", markup=False)
    verdict = "isolated" if report.isolated else f"violated, {len(report.violations)} times"
    stdout.print(verdict, style="green" if report.isolated else "bold red", markup=False)
