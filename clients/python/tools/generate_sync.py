"""Generate the blocking half of the client from the awaited half.

Python's own tokenizer finds the words; a table says what becomes of each; ruff puts the result into house style. Run it after a
change below ``_async``; with ``--check`` it changes nothing and fails if the committed files are not what it would write.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "itsbox_client"
SOURCE, TARGET = PACKAGE / "_async", PACKAGE / "_sync"

#: Names that change otherwise than by losing their prefix "Async".
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "_async": "_sync",
    "aclose": "close",
    "anext": "next",
}

#: Types that lose their second half, on whole lines: an awaitable of something is that thing.
TYPES = (
    (re.compile(r"\bAsyncGenerator\[(\w+), None\]"), r"Generator[\1, None, None]"),
    (re.compile(r"\bAwaitable\[(\w+)\]"), r"\1"),
    (re.compile(r"\bAwaitable, |, Awaitable\b|^from collections\.abc import Awaitable\n", re.MULTILINE), ""),
    (re.compile(r"\bAsyncGenerator\b"), "Generator"),
)

HEADER = "# Generated from _async/{name} by tools/generate_sync.py: edit that one.\n"


def translate(source: str) -> str:
    """The blocking form of an awaited module."""
    for pattern, replacement in TYPES:
        source = pattern.sub(replacement, source)
    return "".join(_words(source))


def _words(source: str) -> Iterator[str]:
    """The source again, token by token with the spaces between, less every ``async`` and ``await``."""
    lines = source.splitlines(keepends=True)
    row, column = 1, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (start_row, start), (end_row, end) = token.start, token.end
        while row < start_row:
            yield lines[row - 1][column:] if row <= len(lines) else ""
            row, column = row + 1, 0
        yield lines[row - 1][column:start] if row <= len(lines) else ""
        row, column = end_row, end
        if token.type == tokenize.NAME and token.string in {"async", "await"}:
            column += 1  # and the space behind it
        elif token.type == tokenize.NAME:
            yield NAMES.get(token.string, re.sub(r"^Async(?=[A-Z])", "", token.string))
        elif token.type == tokenize.STRING:
            yield re.sub(r'^"Async(?=[A-Z]\w*"$)', '"', token.string)  # the names in __all__
        else:
            yield token.string


def styled(source: str, name: str) -> str:
    """The source with sorted imports and in house style."""
    for command in (["check", "--quiet", "--select", "I", "--fix-only"], ["format", "--quiet"]):
        call = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / name), "-"]
        source = subprocess.run(call, input=source, capture_output=True, text=True, check=True).stdout
    return source


def generate() -> dict[str, str]:
    """Every generated file's text, by file name."""
    made = {"__init__.py": '"""The client that blocks, generated from ``_async`` by ``tools/generate_sync.py``."""\n'}
    for path in sorted(SOURCE.glob("*.py")):
        if path.name != "__init__.py":
            made[path.name] = styled(HEADER.format(name=path.name) + translate(path.read_text()), path.name)
    return made


def main() -> int:
    """Write the files, or with ``--check`` compare them; 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")
    check = parser.parse_args().check
    made = generate()
    stale = sorted({path.name for path in TARGET.glob("*.py")} - made.keys())
    differing = [name for name, text in made.items() if _text(TARGET / name) != text]
    for name in stale + differing:
        print(f"{'differs' if check else 'written'}: _sync/{name}")
    if check:
        return 1 if stale or differing else 0
    TARGET.mkdir(exist_ok=True)
    for name in stale:
        (TARGET / name).unlink()
    for name in differing:
        (TARGET / name).write_text(made[name])
    return 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
