"""itsbox generate: what is committed is what the declarations make."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from itsbox.cli import app
from itsbox.cli.generate import generated_files
from itsbox.cli.output import Exit

ROOT = Path(__file__).parents[2]
run = CliRunner().invoke
FILES = generated_files(ROOT)


@pytest.mark.parametrize("name", FILES)
def test_a_committed_file_is_the_generated_one(name: str) -> None:
    """After a change of a declaration, ``make generate`` brings it up to date."""
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name]


def test_the_contracts_and_the_reference_are_generated() -> None:
    """Both documents of the wire, and a page for each kind of declaration."""
    assert {"openapi/openapi.json", "openapi/asyncapi.yaml"} < set(FILES)
    assert {"registers", "commands", "tables", "errors", "hypercalls", "events", "reasons", "hardening"} <= {
        Path(name).stem for name in FILES
    }


def test_what_is_out_of_date_is_written_once(tmp_path: Path) -> None:
    """A check first names the files and writes none; then they are written; then there is nothing to do."""
    (tmp_path / "pyproject.toml").touch()
    root = ["--root", str(tmp_path)]

    check = run(app, ["generate", "--check", *root])
    assert check.exit_code == Exit.DIFFERENCE
    assert "out of date: openapi/openapi.json" in check.stdout
    assert not (tmp_path / "openapi").exists()

    assert run(app, ["generate", *root]).exit_code == Exit.OK
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.name != "pyproject.toml"} == set(FILES)
    assert (
        "* [" not in (tmp_path / "docs" / "decisions" / "README.md").read_text()
    )  # there are no records in that folder

    again = run(app, ["generate", "--check", *root])
    assert again.exit_code == Exit.OK
    assert "up to date" in again.stdout


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """Nobody wants reference pages in their home."""
    result = run(app, ["generate", "--root", str(tmp_path)])

    assert result.exit_code == Exit.USAGE
    assert list(tmp_path.iterdir()) == []
