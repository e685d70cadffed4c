"""Log files line by line: packed or not, and what cannot be read."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from itsbox.oracle import log_lines
from itsbox.oracle.checker import check_file
from itsbox.oracle.log_format import LogError
from itsbox.oracle.log_lines import lines_of

TEXT = '{"a": 1}\n\r\n{"b": "\u00e9"}'.encode()


@pytest.mark.parametrize("data", [TEXT, gzip.compress(TEXT)], ids=["plain", "packed"])
def test_packed_or_not_the_lines_are_the_same(data: bytes) -> None:
    """Gzip is told by its first bytes; a last line needs no end."""
    assert list(lines_of(io.BytesIO(data))) == ['{"a": 1}', "", '{"b": "\u00e9"}']


def test_lines_come_before_the_file_has_ended() -> None:
    """A pipe is judged while somebody writes it."""

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            buffer[:] = (b"{}\n" * (len(buffer) // 3 + 1))[: len(buffer)]
            return len(buffer)

    lines = lines_of(Endless())  # type: ignore[arg-type]

    assert [next(lines) for _ in range(3)] == ["{}"] * 3


def test_bytes_that_are_no_text_are_named_by_line() -> None:
    """Not by a traceback."""
    with pytest.raises(LogError, match=r"^line 2: is not UTF-8: invalid start byte$"):
        list(lines_of(io.BytesIO(b"{}\n\xff\n")))


def test_a_line_without_an_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than anything that a machine writes, it is no line."""
    monkeypatch.setattr(log_lines, "LINE_MAX", 100)

    assert list(lines_of(io.BytesIO(b"x" * 100))) == ["x" * 100]
    assert list(lines_of(io.BytesIO(b"x" * 99 + b"\ny"))) == ["x" * 99, "y"]
    for longer in (b"x" * 101, b"x" * 100 + b"\n", b"x" * 5000):
        with pytest.raises(LogError) as caught:
            list(lines_of(io.BytesIO(b"{}\n" + longer)))
        assert str(caught.value) == "line 2: is longer than 100 bytes"


def test_no_more_of_an_endless_line_is_read_than_tells_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more than a line may have."""
    monkeypatch.setattr(log_lines, "LINE_MAX", 100)
    asked: list[int] = []

    class Packed(gzip.GzipFile):
        def readline(self, size: int | None = -1) -> bytes:
            asked.append(-1 if size is None else size)
            return super().readline(-1 if size is None else size)

    monkeypatch.setattr(gzip, "GzipFile", Packed)
    with pytest.raises(LogError):
        list(lines_of(io.BytesIO(gzip.compress(b"x" * 5000))))

    assert asked == [101]


def test_only_the_end_of_a_line_is_cut_off() -> None:
    """Blanks and letters are its own."""
    assert list(lines_of(io.BytesIO(b" {} \r\r\nX\n\t\n\n"))) == [" {} ", "X", "\t", ""]


def test_a_file_stays_open_when_its_lines_have_been_read() -> None:
    """It is its opener's to close."""
    file = io.BytesIO(b"{}\n")
    assert list(lines_of(file)) == ["{}"]

    assert not file.closed


def test_a_packed_file_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """Half a gzip file is not half a log."""
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b'{"format": "itsbox-log/1"' * 1000)[:-20])

    with pytest.raises(EOFError):
        check_file(path)
