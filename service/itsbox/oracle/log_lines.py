"""The lines of a log file, one by one: gzipped or not, of any length, never all in memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import IO, Final, cast

from itsbox.oracle.log_format import LogError

__all__ = ["LINE_MAX", "lines_of"]

GZIP_MAGIC: Final = b"\x1f\x8b"
LINE_MAX: Final = 64 << 20
"""Bytes of a line: four times what a session's journal keeps of stores."""


def lines_of(file: IO[bytes]) -> Iterator[str]:
    """The lines of a binary file, without their ends.

    Raises:
        LogError: a line is not UTF-8, or longer than any. OSError, EOFError, zlib.error: it cannot be read or unpacked.
    """
    source = io.BufferedReader(cast("io.RawIOBase", file))
    packed = source.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    lines: IO[bytes] = cast("IO[bytes]", gzip.GzipFile(fileobj=source)) if packed else source
    yield from _decoded(lines)
    source.detach()  # the file stays its opener's


def _decoded(lines: IO[bytes]) -> Iterator[str]:
    at = 0
    while line := lines.readline(LINE_MAX + 1):
        at += 1
        if len(line) > LINE_MAX:
            raise LogError(at, f"is longer than {LINE_MAX} bytes")
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise LogError(at, f"is not UTF-8: {error.reason}") from None
