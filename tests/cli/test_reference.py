"""docs/reference/cli.md: every command, argument and option, as the program itself declares them."""

from __future__ import annotations

import re

import pytest

from itsbox.cli.reference import markdown
from itsbox.cli.show import pairs
from tests.cli.conftest import Shell

PAGE = markdown()
PATHS = re.findall(r"^## itsbox (.*)$", PAGE, re.MULTILINE)


def test_the_page_has_every_command_and_code() -> None:
    """Those of groups too."""
    for path in ("serve", "session create", "mmio write", "ops run", "events", "scenarios run", "check", "doctor"):
        assert path in PATHS
    for code in range(4):
        assert f"\n| {code} | " in PAGE
    for variable in ("ITSBOX_URL", "ITSBOX_API_KEY"):
        assert f"`{variable}`" in PAGE


@pytest.mark.parametrize("path", PATHS)
def test_what_the_page_says_the_command_takes(nobody: Shell, path: str) -> None:
    """Each option of a section is in the command's own help, and --json nearly everywhere."""
    section = PAGE.split(f"\n## itsbox {path}\n")[1].split("\n## ")[0]
    nobody.env["COLUMNS"] = "300"
    help_text = nobody.run(*path.split(), "--help").stdout

    options = re.findall(r"^\| `(--[\w-]+)`", section, re.MULTILINE)
    assert all(option in help_text for option in options)
    assert "--json" in options or path in ("serve", "generate")


def test_links_lead_to_sections() -> None:
    """As renderers of Markdown make anchors."""
    anchors = {f"itsbox {path}".replace(" ", "-") for path in PATHS}

    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) == anchors


def test_pairs_split_at_the_first_sign() -> None:
    """A value may hold more of them, or be empty."""
    assert pairs(["a=b=c", "d="], "--metadata") == {"a": "b=c", "d": ""}
