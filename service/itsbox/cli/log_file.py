"""Where a log is written: to a file, packed if its name says so, or to standard output."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from itsbox.cli.output import Exit, fail
from itsbox.cli.show import plain

__all__ = ["Write", "log_file"]

#: Takes lines as objects.
Write: TypeAlias = Callable[[Iterable[dict[str, Any]]], None]


@contextmanager
def log_file(path: Path | None) -> Iterator[Write]:
    """A function that writes lines, while the block runs.

    A file appears under its name when the block has ended well, so that there never is half a log. Leaves with wrong usage
    if it cannot be written.
    """
    if path is None:
        yield _writer(sys.stdout)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with _opened(part, packed=path.suffix == ".gz") as file:
                yield _writer(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        fail(Exit.USAGE, plain(f"{path}: {error.strerror or error}"))


def _opened(path: Path, *, packed: bool) -> IO[str]:
    if packed:
        return cast("IO[str]", gzip.open(path, "wt", encoding="utf-8"))
    return path.open("w", encoding="utf-8")


def _writer(file: IO[str]) -> Write:
    def write(lines: Iterable[dict[str, Any]]) -> None:
        for line in lines:
            file.write(f"{json.dumps(line)}\n")

    return write
