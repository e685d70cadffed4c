"""``itsbox mmio``: one read or write of a device register by the host of a session."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from itsbox.cli.output import Exit, Json, print_json, stdout
from itsbox.cli.remote import DEFAULT_URL, Key, Session, Url, remote, session_path
from itsbox.cli.show import number, result_lines

__all__ = ["register"]

Address = Annotated[int, typer.Argument(parser=number, metavar="ADDR", help="Physical address, such as 0x8080000.")]
Size = Annotated[int, typer.Option(help="Bytes: 1, 2, 4 or 8.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Read and write device registers as a session's host.", no_args_is_help=True)
    group.command("read")(read)
    group.command("write")(write)
    app.add_typer(group, name="mmio")


def read(
    session: Session,
    addr: Address,
    size: Size = 4,
    *,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Read a register and print its value, or what came instead (refused, abort). Exit 1 if the oracle objects."""
    with remote(url, api_key) as service:
        result = service.call("POST", f"{session_path(session)}/mmio/read", {"addr": hex(addr), "size": size})
    if not as_json and result["outcome"] == "ok" and not result.get("violations"):
        stdout.print(result["value"], markup=False)
        return
    _end(result, as_json=as_json)


def write(
    session: Session,
    addr: Address,
    value: Annotated[int, typer.Argument(parser=number, metavar="VALUE", help="Must fit the size.")],
    size: Size = 4,
    *,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Write a register and print the outcome, with the commands that it set off. Exit 1 if the oracle objects."""
    body = {"addr": hex(addr), "size": size, "value": hex(value)}
    with remote(url, api_key) as service:
        result = service.call("POST", f"{session_path(session)}/mmio/write", body)
    _end(result, as_json=as_json)


def _end(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result; a refusal is what the machine says, a violation is not."""
    if as_json:
        print_json(result)
    else:
        for line in result_lines(result):
            stdout.print(line, markup=False)
    raise typer.Exit(Exit.DIFFERENCE if result.get("violations") else Exit.OK)
