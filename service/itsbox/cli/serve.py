"""``itsbox serve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from itsbox.cli.output import Exit, fail, stdout

__all__ = ["SERVING", "register"]

SERVING = "itsbox serves on "
"""What the line begins with that tells the address; it is printed once requests are accepted."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind [default: 127.0.0.1, or ITSBOX_HOST].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, 0 for any free one [default: 8321, or ITSBOX_PORT].")
    ] = None,
) -> None:
    """Start the service and print its address. Ends with Ctrl-C.

    Everything else is set by the environment (ITSBOX_API_KEYS, ITSBOX_LIMITS__SESSIONS, ...). An address that other machines can
    reach needs API keys.
    """
    from pydantic import ValidationError

    from itsbox.api.problems import in_words
    from itsbox.api.server import run
    from itsbox.api.settings import Settings

    chosen: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        fail(Exit.USAGE, in_words(error))
    try:
        run(settings, lambda url: stdout.print(f"{SERVING}{url}", markup=False))
    except OSError as error:
        fail(Exit.UNREACHABLE, f"cannot listen on {settings.host} port {settings.port}: {error.strerror}")
