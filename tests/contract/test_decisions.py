"""Choices that the architecture leaves open are written down, each in one record, and none is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from itsbox.machine.config import CHOICES

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
SOURCE = Path(__file__).parents[2] / "service" / "itsbox"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_says_context_decision_and_consequences(path: Path) -> None:
    """In that order, under its number."""
    lines = path.read_text(encoding="utf-8").splitlines()
    headings = [line for line in lines if line.startswith("## ")]

    assert re.match(rf"# {path.name[:4]}\. \S", lines[0])
    assert headings[:3] == ["## Context", "## Decision", "## Consequences"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_code_that_exists(path: Path) -> None:
    """Its last line leads to where the choice is made."""
    named = re.findall(r"`([a-z0-9_]+/[a-z0-9_/]+\.py)`", path.read_text(encoding="utf-8"))

    assert named
    assert [name for name in named if not (SOURCE / name).is_file()] == []


def test_numbers_are_given_once() -> None:
    """So that a record can be cited by its number."""
    numbers = [path.name[:4] for path in RECORDS]

    assert len(set(numbers)) == len(numbers)


def test_the_index_lists_every_record() -> None:
    """In order, with its title."""
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\* \[(.+)\]\((.+)\)$", index, re.MULTILINE)

    assert listed == [
        (path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "), path.name) for path in RECORDS
    ]


@pytest.mark.parametrize("name", sorted(set(CHOICES) - {"coherent"}))
def test_every_choice_has_its_record(name: str) -> None:
    """What a session may choose otherwise is a choice; coherency is a property of the machine instead."""
    assert any(f"`{name}" in path.read_text(encoding="utf-8") for path in RECORDS)
