"""What every command shares: exit codes, where output goes, JSON on request, progress when a person looks on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Exit", "Json", "fail", "print_json", "progress", "stderr", "stdout"]

stdout = Console(soft_wrap=True, highlight=False)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    DIFFERENCE = 1
    USAGE = 2
    UNREACHABLE = 3


def fail(code: Exit, message: str) -> NoReturn:
    """Say what went wrong on standard error and leave with ``code``."""
    stderr.print(f"itsbox: {message}", style="red", markup=False)
    raise typer.Exit(code)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(document, indent=2))


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar while the block runs, when standard output is a terminal and ``quiet`` is not set.

    Yields the function that advances it.
    """
    if quiet or not stdout.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stdout, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)
