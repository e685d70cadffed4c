"""Every code block of the tutorial, the how-to pages and the client's README is run, page by page, as a reader would.

Blocks of a page share what a reader's terminal and interpreter would share: a folder, a service, Python's names. The word
behind a fence says what its block is:

* ``python``: run; ``python file=NAME``: written to that file.
* ``sh``: run by a shell that stops at the first failure; ``sh server``: runs in the background, and must become ready;
  ``sh needs=docker``: there is no engine here, so only its syntax is checked (the command that it starts is run by
  tests/packaging).
* ``text output``: what the block before it must have printed; ``...`` stands for anything.
* ``yaml``, ``json``, ``toml``: parsed.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from pytest_itsbox.server import Server

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        ROOT / "docs" / "tutorial.md",
        ROOT / "README.md",
        ROOT / "docs" / "tour.md",
        ROOT / "clients" / "python" / "README.md",
        *(ROOT / "docs" / "howto").glob("*.md"),
    ]
)
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVE = re.compile(r"itsbox serve$|make serve.*$", re.MULTILINE)
_PARSERS: dict[str, Callable[[str], Any]] = {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}


class Block(NamedTuple):
    """A fenced block: the words behind its fence, its text, its first line's number."""

    info: list[str]
    body: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(found["info"].split(), found["body"], text.count("\n", 0, found.start("body")) + 1)
        for found in _FENCE.finditer(text)
    ]


class Reader:
    """Somebody who follows a page to the letter."""

    def __init__(self, page: Path, folder: Path, url: str) -> None:
        self.page = page
        self.folder = folder
        port = url.rsplit(":", 1)[1]
        self.environment = {**os.environ, "ITSBOX_URL": url, "ITSBOX_PORT": port, "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.printed: str | None = None

    def follow(self, block: Block) -> None:
        """Do what the block says; fails as its author's fault, with the page's own line numbers."""
        match block.info:
            case ["python"]:
                self._python(block)
            case ["python", option] if option.startswith("file="):
                (self.folder / option.removeprefix("file=")).write_text(block.body)
                self.printed = None
            case ["sh"]:
                self._shell(block)
            case ["sh", "server"]:
                # A service runs already, at the address that the page's clients are told.
                self._shell(Block(block.info, _SERVE.sub("itsbox serve --help >&2", block.body), block.line))
            case ["sh", option] if option.startswith("needs="):
                subprocess.run(["bash", "-n"], input=block.body, text=True, check=True)
                self.printed = None
            case ["text", "output"]:
                self._compare(block)
            case [language] if language in _PARSERS:
                assert _PARSERS[language](block.body) is not None
            case _:
                pytest.fail(f"{self.page.name}:{block.line}: a block that nobody runs: {' '.join(block.info)!r}")

    def _python(self, block: Block) -> None:
        source = "\n" * (block.line - 1) + block.body
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(source, str(self.page), "exec"), self.names)
        self.printed = out.getvalue()

    def _shell(self, block: Block) -> None:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", block.body],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{self.page.name}:{block.line}\n{done.stdout}\n{done.stderr}"
        self.printed = done.stdout

    def _compare(self, block: Block) -> None:
        assert self.printed is not None, f"{self.page.name}:{block.line}: output of nothing"
        same = doctest.OutputChecker().check_output(block.body, self.printed, doctest.ELLIPSIS)
        assert same, f"{self.page.name}:{block.line} says\n{block.body}but this was printed:\n{self.printed}"
        self.printed = None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_does_what_it_says(page: Path, live: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Followed from top to bottom, every block works and prints what the page shows."""
    reader = Reader(page, tmp_path, live.url)
    monkeypatch.setenv("ITSBOX_URL", live.url)
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert found, "a page without a block is no tutorial and no how-to"
    for block in found:
        reader.follow(block)


def test_the_runner_notices_what_a_page_gets_wrong(tmp_path: Path) -> None:
    """A wrong output, a failing command and an unknown kind of block are all failures."""
    reader = Reader(tmp_path / "page.md", tmp_path, "http://127.0.0.1:1")
    reader.follow(Block(["python"], "print(2 + 2)\n", 1))
    with pytest.raises(AssertionError, match="but this was printed"):
        reader.follow(Block(["text", "output"], "5\n", 2))
    with pytest.raises(AssertionError):
        reader.follow(Block(["sh"], "false\n", 3))
    with pytest.raises(pytest.fail.Exception, match="nobody runs"):
        reader.follow(Block(["console"], "$ true\n", 4))
    with pytest.raises(ZeroDivisionError):
        reader.follow(Block(["python"], "1 / 0\n", 5))


def test_every_link_between_pages_leads_somewhere() -> None:
    """Relative links of the pages name files that exist."""
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
