"""The ``itsbox`` command. Each command is one module here with a ``register`` function; ``COMMANDS`` lists them in help order.

Exit codes, the same for every command (``output.Exit``): 0 all well; 1 a difference, a violation or a failed check; 2 wrong
usage, an input that cannot be read, or a request that the service refuses as wrong; 3 the service (or the peer) cannot be
reached, or cannot serve now.
"""

from __future__ import annotations

import typer

from itsbox.cli import (
    check,
    demo,
    differential,
    doctor,
    events,
    generate,
    mmio,
    ops,
    replay,
    scenarios,
    serve,
    session,
    version,
)

__all__ = ["COMMANDS", "app", "main"]

COMMANDS = (serve, demo, scenarios, session, mmio, ops, events, check, replay, differential, doctor, generate, version)

app = typer.Typer(
    name="itsbox",
    help="Simulated Arm machines whose GIC ITS is guarded by an emulation of pKVM's ITS hardening.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)
for _command in COMMANDS:
    _command.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
