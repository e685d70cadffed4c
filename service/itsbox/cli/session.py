"""``itsbox session``: the machines of a running service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, stdout
from itsbox.cli.remote import DEFAULT_URL, Key, Remote, Session, Url, remote, session_path
from itsbox.cli.session_log import log
from itsbox.cli.show import pairs, plain, print_facts, print_table

__all__ = ["Knobs", "Profile", "create_body", "hardening_body", "list_sessions", "register"]

Metadata = Annotated[list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Can be repeated.")]
Profile = Annotated[
    str | None, typer.Option(help="Kind of machine, such as virt-gicv3, virt-gicv3-pta, virt-gicv4 or snapdragon.")
]
Knobs = Annotated[
    list[str] | None,
    typer.Option("--knob", metavar="NAME=VALUE", help="A knob set otherwise than the preset does. Can be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="List, make, show, log and end the sessions of a service.", no_args_is_help=True)
    group.command("ls")(ls)
    group.command("create")(create)
    group.command("show")(show)
    group.command("kill")(kill)
    group.command("log")(log)
    app.add_typer(group, name="session")


def hardening_body(preset: str, knobs: list[str] | None) -> str | dict[str, Any]:
    """The ``hardening`` field: a preset's name, or with single knobs."""
    return {"preset": preset, "knobs": pairs(knobs, "--knob")} if knobs else preset


def create_body(**fields: Any) -> dict[str, Any]:
    """The body of ``POST /v1/sessions``: what was not asked for is left to the service."""
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def list_sessions(service: Remote, query: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Every session that the query finds, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = service.call("GET", "/v1/sessions", query=[*query, ("limit", "200"), ("cursor", cursor)])
        found += page["sessions"]
        cursor = page["next"] or ""
        if not cursor:
            return found


def ls(
    state: Annotated[str | None, typer.Option(help="Only sessions in this state: running or crashed.")] = None,
    metadata: Metadata = None,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """List sessions, oldest first."""
    query = [(f"metadata.{key}", value) for key, value in pairs(metadata or (), "--metadata").items()]
    query += [("state", state)] if state else []
    with remote(url, api_key) as service:
        sessions = list_sessions(service, query)
    if as_json:
        print_json({"sessions": sessions})
        return
    headers = ("ID", "STATE", "PHASE", "PROFILE", "HARDENING", "STEP", "SEQ", "CREATED", "METADATA")
    print_table(headers, (_row(session) for session in sessions))


def _row(session: dict[str, Any]) -> tuple[object, ...]:
    names = ("id", "state", "phase", "profile")
    return (
        *(session[name] for name in names), session["hardening"]["preset"], session["step"], session["seq"],
        session["created_at"], _metadata(session),
    )  # fmt: skip


def _metadata(session: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in session["metadata"].items())


def create(
    *,
    profile: Profile = None,
    hardening: Annotated[str, typer.Option(help="Preset: off, forward, rfc-v1, rfc-v1@N, v2, ...")] = "strict",
    knob: Knobs = None,
    start: Annotated[str | None, typer.Option(help="bare, host or deprivileged.")] = None,
    cpus: Annotated[int | None, typer.Option(help="CPUs; the profile's number if left out.")] = None,
    ram_mib: Annotated[int | None, typer.Option(help="RAM in MiB; the profile's if left out.")] = None,
    error_policy: Annotated[str | None, typer.Option(help="ignore or stall: what a faulty command does.")] = None,
    quirk: Annotated[
        list[str] | None,
        typer.Option("--quirk", metavar="NAME=VALUE", help="Can be repeated; true and false are words."),
    ] = None,
    oracle: Annotated[str | None, typer.Option(help="on, off or lockstep.")] = None,
    metadata: Metadata = None,
    idle_timeout_s: Annotated[int | None, typer.Option(help="Seconds without use after which it ends.")] = None,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a session and print its id (everything with --json)."""
    quirks = pairs(quirk or (), "--quirk")
    body = create_body(
        profile=profile, hardening=hardening_body(hardening, knob), start=start, cpus=cpus, ram_mib=ram_mib,
        error_policy=error_policy, quirks={k: {"true": True, "false": False}.get(v, v) for k, v in quirks.items()},
        oracle=oracle, metadata=pairs(metadata or (), "--metadata"), idle_timeout_s=idle_timeout_s,
    )  # fmt: skip
    with remote(url, api_key) as service:
        made = service.call("POST", "/v1/sessions", body)
    if as_json:
        print_json(made)
    else:
        stdout.print(plain(made["id"]), markup=False)


def show(session: Session, url: Url = DEFAULT_URL, api_key: Key = None, *, as_json: Json = False) -> None:
    """Show a session as it is now, with the violations that it has seen. Exit 1 if there are any."""
    with remote(url, api_key) as service:
        facts = service.call("GET", session_path(session))
        violations = service.call("GET", f"{session_path(session)}/violations")
    if as_json:
        print_json({**facts, "violations": violations})
    else:
        print_facts(_facts(facts))
        stdout.print(f"violations  {len(violations)}", markup=False)
        for violation in violations:
            stdout.print(f"  step {violation['step']}: {plain(violation['sentence'])}", markup=False)
    raise typer.Exit(Exit.DIFFERENCE if violations else Exit.OK)


def _facts(session: dict[str, Any]) -> list[tuple[str, object]]:
    """A session's fields, those inside others by their dotted names."""
    rows: list[tuple[str, object]] = []
    for name, value in session.items():
        if name == "hardening":
            rows.append((name, value["preset"]))
        elif isinstance(value, dict):
            rows += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            rows.append((name, value))
    return rows


def kill(
    sessions: Annotated[list[str] | None, typer.Argument(metavar="SESSION...", help="Ids of sessions.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every session of the service.")] = False,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """End sessions. Ending one that is not there is not an error."""
    if bool(sessions) == every:
        fail(Exit.USAGE, "name the sessions to end, or say --all")
    with remote(url, api_key) as service:
        ids = [found["id"] for found in list_sessions(service, [])] if every else list(dict.fromkeys(sessions or ()))
        for session in ids:
            service.call("DELETE", session_path(session))
    if as_json:
        print_json({"ended": ids})
    else:
        for session in ids:
            stdout.print(f"ended {plain(session)}", markup=False)
