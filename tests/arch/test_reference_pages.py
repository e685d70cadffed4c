"""The generated reference pages: as committed, complete, and safe Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from itsbox.arch.catalogue import markdown_pages
from itsbox.arch.declarations import COMMANDS, REGISTERS, TABLES
from itsbox.arch.hypercalls import HYPERCALLS
from itsbox.arch.its_errors import CommandError
from itsbox.arch.reference_pages import table

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = markdown_pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    """After a change of a declaration, ``make generate`` brings the page up to date."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name]


def test_the_pages_are_these() -> None:
    """One per kind of declaration."""
    assert set(PAGES) == {"registers.md", "commands.md", "tables.md", "errors.md", "hypercalls.md"}


def test_every_declaration_is_on_its_page() -> None:
    """By name, with all its fields."""
    for page, layouts in (
        ("commands.md", COMMANDS),
        ("tables.md", TABLES),
        ("registers.md", tuple(r for group in REGISTERS.values() for r in group)),
    ):
        for cls in layouts:
            assert f"# {cls.NAME}" in PAGES[page]
            assert all(f"| `{name}` | " in PAGES[page] for name in cls.FIELDS)
    assert all(f"| `{error.name}` | " in PAGES["errors.md"] for error in CommandError)
    assert all(f"| `{call.name}` | " in PAGES["hypercalls.md"] for call in HYPERCALLS)


def test_reserved_bits_are_written_out() -> None:
    """As the manual does, per doubleword."""
    assert "RES0: DW0[31:8], DW1[63:5], DW2[62:52], DW2[7:0], DW3[63:0]." in PAGES["commands.md"]
    assert "RES1: [1]." in PAGES["tables.md"]


def test_a_table_escapes_what_markdown_would_take() -> None:
    """A bar does not end a cell and an index is not taken for HTML."""
    assert table(("a", "b"), [("GITS_BASER<n>", "x|y")]) == ("| a | b |\n| --- | --- |\n| GITS_BASER\\<n> | x\\|y |\n")


@pytest.mark.parametrize("name", PAGES)
def test_every_row_has_as_many_cells_as_its_head(name: str) -> None:
    """No table of a page is torn."""
    width = 0
    for line in PAGES[name].splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        width = width or cells
        assert cells == width, line
