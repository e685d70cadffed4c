"""``itsbox version``."""

from __future__ import annotations

import platform

import typer

from itsbox import __version__
from itsbox.cli.output import Json, print_json, stdout

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(version)


def version(*, as_json: Json = False) -> None:
    """Print the version of itsbox and of the Python that runs it."""
    facts = {"itsbox": __version__, "python": platform.python_version()}
    if as_json:
        print_json(facts)
    else:
        stdout.print(f"itsbox {facts['itsbox']} (Python {facts['python']})")
