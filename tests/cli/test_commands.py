"""The frame of the itsbox command: help, version, exit codes, and progress for people only."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from itsbox import __version__
from itsbox.cli import COMMANDS, app, output
from itsbox.cli.output import Exit

run = CliRunner().invoke


def test_every_command_explains_itself() -> None:
    """Its help names what it does; the overview lists them all."""
    overview = run(app, ["--help"]).stdout
    names = [module.__name__.rpartition(".")[2] for module in COMMANDS]
    for name in names:
        result = run(app, [name, "--help"])
        assert name in overview
        assert result.exit_code == Exit.OK
        assert "Usage" in result.stdout


def test_nothing_said_is_answered_with_help() -> None:
    """And an unknown command is wrong usage."""
    assert "Usage" in run(app, []).output
    assert run(app, ["no-such-command"]).exit_code == Exit.USAGE


def test_the_version_is_the_packages() -> None:
    """For people and for programs."""
    assert __version__ in run(app, ["version"]).stdout
    assert json.loads(run(app, ["version", "--json"]).stdout)["itsbox"] == __version__


@pytest.mark.parametrize("terminal", [False, True])
def test_a_progress_bar_is_for_people(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    """Nothing is drawn into a file or a pipe, nor when a program asked for JSON."""
    drawn = io.StringIO()
    monkeypatch.setattr(output, "stdout", Console(file=drawn, force_terminal=terminal, width=80))

    with output.progress("working", 10) as advance:
        advance(10)
    with output.progress("in silence", 10, quiet=True) as advance:
        advance(10)

    assert ("working" in drawn.getvalue()) is terminal
    assert "in silence" not in drawn.getvalue()
