"""``itsbox ops run``: many ops from a file, put to a session."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stderr, stdout
from itsbox.cli.remote import DEFAULT_URL, Key, Remote, RemoteError, Url, remote, session_path
from itsbox.cli.session import Knobs, Profile, create_body, hardening_body
from itsbox.cli.show import op_line, plain, result_lines

__all__ = ["read_ops", "register"]

REQUEST_BYTES = 1 << 20  # bytes of ops in one request, below every service's cap


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Put ops from a file to a session.", no_args_is_help=True)
    group.callback()(_group)
    group.command("run")(run)
    app.add_typer(group, name="ops")


def _group() -> None:
    """Put ops from a file to a session."""


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ops as JSON or JSON lines; - is standard input.")],
    session: Annotated[
        str | None, typer.Option(help="Id of a session; without it, a new one for this file alone.")
    ] = None,
    *,
    profile: Profile = None,
    hardening: Annotated[str, typer.Option(help="Preset of the new session.")] = "strict",
    knob: Knobs = None,
    start: Annotated[str | None, typer.Option(help="Start of the new session: bare, host or deprivileged.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the new session running; print its id on stderr.")
    ] = False,
    stop_on: Annotated[
        str, typer.Option(metavar="WORDS", help="Stop after: refused, abort, panic, violation; comma-separated.")
    ] = "",
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Run ops in order and print each with its result. Exit 1 if the oracle objects to any.

    FILE holds ops as POST .../ops takes them: an array, an object {"ops": [...], "stop_on": [...]}, or one op a line. All of
    them are checked before the first runs.
    """
    asked = read_ops(file)
    stops = list(dict.fromkeys([*asked["stop_on"], *filter(None, stop_on.split(","))]))
    fresh = create_body(profile=profile, hardening=hardening_body(hardening, knob), start=start)
    with remote(url, api_key) as service, _session(service, session, fresh, keep=keep) as path:
        with progress("running ops", len(asked["ops"]), quiet=as_json) as advance:
            results: list[dict[str, Any]] = []
            last: dict[str, Any] = {}
            for chunk in _chunks(asked["ops"], service.call("GET", "/v1/limits")["ops_per_request"]):
                try:
                    last = service.call("POST", f"{path}/ops", {"ops": chunk, "stop_on": stops, "hash": True})
                except RemoteError as error:
                    done = f" ({len(results)} ops had run before)" if results else ""
                    raise RemoteError(error.code, f"{error}{done}", error.status) from error
                results += last["results"]
                advance(len(last["results"]))
                if last["executed"] < len(chunk) or _stopped(last["results"], stops):
                    break
        if not last:
            last = service.call("POST", f"{path}/ops", {"ops": [], "hash": True})
    violations = [violation for result in results for violation in result.get("violations") or ()]
    if as_json:
        print_json({**last, "results": results, "executed": len(results), "violations": violations})
    else:
        _print(asked["ops"], results, len(violations), last["state_hash"])
    raise typer.Exit(Exit.DIFFERENCE if violations else Exit.OK)


@contextmanager
def _session(service: Remote, session: str | None, fresh: dict[str, Any], *, keep: bool) -> Iterator[str]:
    """The path of the session that was named, or of a new one, which ends with the block unless it is kept."""
    if session is not None:
        yield session_path(session)
        return
    made = service.call("POST", "/v1/sessions", fresh)["id"]
    try:
        yield session_path(made)
    finally:
        if keep:
            stderr.print(f"session {plain(made)}", markup=False)
        else:
            service.call("DELETE", session_path(made))


def _chunks(ops: list[dict[str, Any]], most: int) -> Iterator[list[dict[str, Any]]]:
    """Ops in requests of a bounded number and size."""
    chunk: list[dict[str, Any]] = []
    size = 0
    for op in ops:
        length = len(json.dumps(op)) + 2
        if chunk and (len(chunk) == most or size + length > REQUEST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(op)
        size += length
    if chunk:
        yield chunk


def _stopped(results: list[dict[str, Any]], stops: list[str]) -> bool:
    """Whether the last op of a full request was one to stop at."""
    last = results[-1] if results else {"outcome": "ok"}
    return last["outcome"] in stops or bool("violation" in stops and last.get("violations"))


def _print(ops: list[dict[str, Any]], results: list[dict[str, Any]], violations: int, state_hash: str) -> None:
    wide = len(str(len(ops)))
    for at, (op, result) in enumerate(zip(ops, results, strict=False)):
        head, *rest = result_lines(result)
        stdout.print(
            f"{at:>{wide}}  {op_line(op)}: {head}", style="red" if result.get("violations") else None, markup=False
        )
        for line in rest:
            stdout.print(f"{'':{wide}}  {line}", markup=False)
    left = len(ops) - len(results)
    stopped = f", stopped before {left} more" if left else ""
    stdout.print(f"{len(results)} ops{stopped}, {violations} violations, state {state_hash}", markup=False)


# ------------------------------------------------------------------------------------------------- reading


def read_ops(file: Path) -> dict[str, Any]:
    """``{"ops", "stop_on"}`` of a file. Leaves with wrong usage, naming line or index, for one that is not as it must be."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(Exit.USAGE, f"{name}: {error}")
    try:
        document, places = _parsed(text)
    except ValueError as error:
        fail(Exit.USAGE, f"{name}: {error}")
    _validate(document, places, name)
    return {"ops": document["ops"], "stop_on": document.get("stop_on", [])}


def _parsed(text: str) -> tuple[dict[str, Any], list[str]]:
    """The batch, and how to name each of its ops. Raises ValueError."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return _lines(text)
    if isinstance(value, dict) and "op" in value:
        value = [value]
    if isinstance(value, list):
        value = {"ops": value}
    if not isinstance(value, dict) or not isinstance(value.get("ops"), list):
        raise ValueError('neither an array of ops, nor an object with "ops", nor JSON lines')  # noqa: TRY004 - as bad JSON
    return value, [f"op {at}" for at in range(len(value["ops"]))]


def _lines(text: str) -> tuple[dict[str, Any], list[str]]:
    ops, places = [], []
    for at, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            ops.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {at} is no JSON: {error.msg}") from None
        places.append(f"line {at}")
    if not ops:
        raise ValueError("there are no ops in it")
    return {"ops": ops}, places


def _validate(document: dict[str, Any], places: list[str], name: str) -> None:
    """What the service's own models say of the batch, before anything is sent."""
    from pydantic import ValidationError

    from itsbox.api.op_bodies import Batch
    from itsbox.api.problems import message_of

    try:
        Batch.model_validate(document)
    except ValidationError as error:
        said = []
        for found in error.errors()[:20]:
            where = list(found["loc"])
            place = ""
            if where[:1] == ["ops"] and len(where) > 1:
                place = f"{places[int(where[1])]}: "
                where = where[3:]  # behind the index stands the op's name
            field = ".".join(map(str, where))
            said.append(f"{place}{field + ': ' if field else ''}{message_of(found)}")
        fail(Exit.USAGE, plain(f"{name}: " + "; ".join(said)))
