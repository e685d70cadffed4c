"""``itsbox scenarios``: attacks, defects and honest life, played in this process or by a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout
from itsbox.cli.recording import play_recorded
from itsbox.cli.remote import Key, remote
from itsbox.cli.session import Knobs, Profile, hardening_body
from itsbox.cli.show import plain, print_table
from itsbox.cli.story import MARKS, STYLES, print_story

if TYPE_CHECKING:
    from itsbox.host.scenarios import MakeMachine
    from itsbox.machine import Machine

__all__ = ["register"]

#: A scenario of thousands of steps takes seconds, and a service plays them in turn.
TIMEOUT_S: Final = 300.0

Service = Annotated[
    str | None, typer.Option("--url", help="Address of a service that plays; without it, a machine in this process.")
]
Names = Annotated[str, typer.Option(metavar="NAMES", help="Comma-separated; all if left out.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Play attacks, historic defects and honest life under any preset.", no_args_is_help=True)
    group.command("ls")(ls)
    group.command("run")(run)
    group.command("matrix")(matrix)
    app.add_typer(group, name="scenarios")


def _scenario_names(incomplete: str) -> list[str]:
    from itsbox.host.scenarios import SCENARIOS

    return [name for name in SCENARIOS if name.startswith(incomplete)]


def _preset_names(incomplete: str) -> list[str]:
    from itsbox.hypervisor.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def ls(url: Service = None, api_key: Key = None, *, as_json: Json = False) -> None:
    """List what can be played."""
    if url is None:
        from itsbox.host.scenarios import SCENARIOS

        found = [scenario.catalogue() for scenario in SCENARIOS.values()]
    else:
        with remote(url, api_key) as service:
            found = service.call("GET", "/v1/scenarios")["scenarios"]
    if as_json:
        print_json({"scenarios": found})
    else:
        rows = ((row["name"], row["kind"], row["needs"]["profile"], row["title"]) for row in found)
        print_table(("NAME", "KIND", "PROFILE", "TITLE"), rows)


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `scenarios ls`.", autocompletion=_scenario_names)],
    hardening: Annotated[
        str, typer.Option(help="Preset: off, forward, rfc-v1, rfc-v1@N, ...", autocompletion=_preset_names)
    ] = "strict",
    knob: Knobs = None,
    profile: Profile = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Write the complete event log here; gzipped if it ends in .gz."),
    ] = None,
    *,
    url: Service = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Play a scenario: each step explained, the memory before and after, the verdict. Exit 1 unless it is `isolated`.

    With --url the machine stays as a session of the service; its id is printed.
    """
    asked = hardening_body(hardening, knob)
    if log is not None and url is not None:
        fail(Exit.USAGE, "--log records a machine of this process: leave out --url, or see `itsbox session log`")
    if log is not None:
        played = play_recorded(lambda make: _play(name, asked, profile, make), log)
    elif url is None:
        played = _play(name, asked, profile)
    else:
        body = {"hardening": asked, **({"profile": profile} if profile else {})}
        with remote(url, api_key, TIMEOUT_S) as service:
            played = service.call("POST", f"/v1/scenarios/{_known(name)}/run", body)
    if as_json:
        print_json(played)
    else:
        print_story(played, _catalogue(name))
    raise typer.Exit(Exit.OK if played["verdict"] == "isolated" else Exit.DIFFERENCE)


def matrix(
    scenarios: Names = "",
    presets: Annotated[str, typer.Option(metavar="NAMES", help="Comma-separated; all whole presets if left out.")] = "",
    patches: Annotated[
        bool, typer.Option("--patches", help="The columns of docs/matrix.md: the RFC patch by patch too.")
    ] = False,
    *,
    url: Service = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Play scenarios under presets and print the verdicts as a table. Exit 0 whatever they are, unless one is `error`."""
    from itsbox.host.scenarios import SCENARIOS
    from itsbox.host.scenarios_matrix import COLUMNS
    from itsbox.hypervisor.presets import PRESETS

    if patches and presets:
        fail(Exit.USAGE, "--patches names the presets: leave out --presets")
    columns = [*COLUMNS] if patches else [preset for preset in PRESETS if "@" not in preset]
    rows = _chosen(scenarios, [*SCENARIOS], SCENARIOS, "scenario")
    columns = _chosen(presets, columns, PRESETS, "preset")
    cells: dict[str, dict[str, str]] = {}
    with progress("playing", len(rows) * len(columns), quiet=as_json) as advance:
        if url is None:
            for row in rows:
                cells[row] = {}
                for column in columns:
                    cells[row][column] = _play(row, column, None)["verdict"]
                    advance(1)
        else:
            with remote(url, api_key, TIMEOUT_S) as service:
                for row in rows:  # one by one, so that the bar moves and no answer takes minutes
                    query = [("scenarios", row), ("presets", ",".join(columns))]
                    cells |= service.call("GET", "/v1/scenarios/matrix", query=query)["cells"]
                    advance(len(columns))
    if as_json:
        print_json({"scenarios": rows, "presets": columns, "cells": cells})
    else:
        _print_matrix(columns, cells)
    broken = any(verdict == "error" for row in cells.values() for verdict in row.values())
    raise typer.Exit(Exit.DIFFERENCE if broken else Exit.OK)


def _print_matrix(columns: list[str], cells: dict[str, dict[str, str]]) -> None:
    from rich.text import Text

    rows = ([Text(name), *(Text(MARKS[row[c]], style=STYLES[row[c]]) for c in columns)] for name, row in cells.items())
    print_table(("SCENARIO", *columns), rows)
    stdout.print("V violated, w wedged, . isolated, E error")


# ------------------------------------------------------------------------------------------------- in process


def _known(name: str) -> str:
    from itsbox.host.scenarios import SCENARIOS

    if name not in SCENARIOS:
        fail(Exit.USAGE, f"there is no scenario {plain(name)!r}; `itsbox scenarios ls` lists those there are")
    return name


def _catalogue(name: str) -> dict[str, Any]:
    from itsbox.host.scenarios import SCENARIOS

    return SCENARIOS[name].catalogue()


def _chosen(asked: str, everything: list[str], known: Mapping[str, Any], what: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in asked.split(",") if part.strip())) or everything
    for name in names:
        if name not in known:
            fail(Exit.USAGE, f"{plain(name)!r} is no {what}")
    return names


def _play(
    name: str, hardening: str | dict[str, Any], profile: str | None, make: MakeMachine | None = None
) -> dict[str, Any]:
    """Play on a machine of this process (which ``make`` makes); the same answer as the service's, without a session."""
    from itsbox.host import scenarios
    from itsbox.machine import ConfigError

    try:
        return scenarios.run(_known(name), hardening, make or _machine, profile).wire()
    except ConfigError as error:
        fail(Exit.USAGE, plain(f"{error.field}: {error.message}"))


def _machine(fields: Mapping[str, Any]) -> Machine:
    from itsbox.machine import Machine, MachineConfig

    return Machine(MachineConfig.make(**fields))
