"""``itsbox session log``: the complete event log of a session, from its journal.

A machine is a function of its configuration and its ops. So the log needs nothing of the service but these two: the machine
is built again in this process, its ops are carried out under a recorder, and in the end the two machines are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from itsbox.cli.log_file import Write, log_file
from itsbox.cli.output import Exit, fail, print_json, progress, stderr
from itsbox.cli.remote import DEFAULT_URL, Key, Remote, Session, Url, remote, session_path
from itsbox.cli.show import plain

if TYPE_CHECKING:
    from itsbox.machine import Machine
    from itsbox.ops import Op
    from itsbox.oracle.recorder import Recorder

__all__ = ["boot_ops", "log"]

_PAGE = 1000


class Journal(NamedTuple):
    """A session's journal as far as it went when it was first read: ``head`` ops, of which the first page is here."""

    path: str
    head: int
    page: dict[str, Any]


def log(
    session: Session,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here; gzipped if it ends in .gz.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --out: say what was written as one JSON document.")
    ] = False,
) -> None:
    """Write a session's complete event log, which `itsbox check` judges in full.

    The machine is built again here and its journal replayed, so it works as long as the service keeps the journal from the
    session's start on; a session that was forked or restored has another start. The oracle watches here even if it was off
    there. Exit 1 if the machine that comes out is not the session's: the log then tells of another one.
    """
    if as_json and out is None:
        fail(
            Exit.USAGE,
            "--json tells about the file that --out names; without it the log itself is printed, a document a line",
        )
    with remote(url, api_key) as service:
        facts = service.call("GET", session_path(session))
        journal = _journal(service, session, facts)
        with log_file(out) as write, progress("replaying", journal.head, quiet=as_json or out is None) as advance:
            machine, failed = _replay(facts, _ops(service, journal), write, advance)
        same, said = _compare(service, session, journal, machine, failed)
    if said:
        stderr.print(f"itsbox: {plain(said)}", style="red" if same is False else "yellow", markup=False)
    if as_json:
        facts = {"session": session, "log": str(out), "step": machine.step, "state_hash": machine.state_hash()}
        print_json({**facts, "same": same})
    raise typer.Exit(Exit.DIFFERENCE if same is False else Exit.OK)


def _journal(service: Remote, session: str, facts: dict[str, Any]) -> Journal:
    """The journal's first page. Leaves with wrong usage if what came before it is not known.

    ``facts``: the session, as it was before.
    """
    path = f"{session_path(session)}/journal"
    page = service.call("GET", path, query=[("after", "0"), ("limit", str(_PAGE))])
    _require_whole(page, 1)
    told = len(boot_ops(facts["start"])) + page["head"]
    if facts["step"] > told:
        fail(
            Exit.USAGE,
            f"the session is at step {facts['step']} and its journal leads to step {told}: it was forked off another one, whose"
            " ops its journal does not tell, so there is no complete log of it",
        )
    return Journal(path, page["head"], page)


def _require_whole(page: dict[str, Any], first: int) -> None:
    if page["snapshot"] is not None:
        fail(
            Exit.USAGE,
            f"the session was put back to snapshot {plain(page['snapshot'])}: its journal does not tell how the machine came to"
            " that, so there is no complete log of it",
        )
    if page["first"] > first:
        fail(
            Exit.USAGE,
            f"the service keeps the session's newest ops only: {first} to {page['first'] - 1} are gone, so there is no"
            " complete log of it",
        )


def _ops(service: Remote, journal: Journal) -> Iterator[Op]:
    """The ops, page by page. Leaves with wrong usage if they are gone meanwhile, or are none that this program knows."""
    from pydantic import TypeAdapter, ValidationError

    from itsbox.api.op_bodies import AnyOp, OpBody

    adapter: TypeAdapter[OpBody] = TypeAdapter(AnyOp)
    page, done = journal.page, 0
    while done < journal.head:
        if done:
            query = [("after", str(done)), ("limit", str(min(_PAGE, journal.head - done)))]
            page = service.call("GET", journal.path, query=query)
            _require_whole(page, done + 1)
        for op in page["ops"][: journal.head - done]:
            done += 1
            try:
                yield adapter.validate_python(op).to_op()
            except ValidationError as error:
                fail(Exit.USAGE, plain(f"op {done} of the journal is none that this itsbox knows: {error}"))


def _replay(facts: dict[str, Any], ops: Iterator[Op], write: Write, advance: Any) -> tuple[Machine, str]:
    """The machine that the ops lead to, their lines written; and what it failed with, if the model itself did."""
    from itsbox.oracle.recorder import Recorder

    machine = _bare(facts)
    recorder = Recorder(machine)
    failed = ""
    for op in boot_ops(facts["start"]):
        _record(recorder, machine, op, write)
    for op in ops:
        try:
            _record(recorder, machine, op, write)
        except Exception as error:  # noqa: BLE001 - a defect of the model, which has crashed the session too
            failed = f"{type(error).__name__}: {error}"
            break
        advance(1)
    write(recorder.take())
    recorder.close()
    return machine, failed


def _record(recorder: Recorder, machine: Machine, op: Op, write: Write) -> None:
    recorder.apply(op)
    machine.take_events()
    write(recorder.take())


def _bare(facts: dict[str, Any]) -> Machine:
    """The session's machine before it began. Leaves with wrong usage if this program does not build such machines."""
    from itsbox.machine import ConfigError, Machine, MachineConfig

    known = signature(MachineConfig.make).parameters
    fields = {name: value for name, value in facts.items() if name in known}
    try:
        return Machine(MachineConfig.make(**{**fields, "start": "bare", "oracle": "on"}))
    except ConfigError as error:
        fail(Exit.USAGE, plain(f"this itsbox builds no such machine: {error.field}: {error.message}"))


def boot_ops(start: str) -> list[Op]:
    """What a machine's own start does; as ops, so that steps have the session's numbers."""
    from itsbox.machine.config import STARTS
    from itsbox.ops import Drive

    return [Drive(call, {}) for call in ("probe", "deprivilege")[: STARTS.index(start)]]


def _compare(service: Remote, session: str, journal: Journal, machine: Machine, failed: str) -> tuple[bool | None, str]:
    """Whether the replay led to the session's state (None: the session is another by now), and what is to be said of it."""
    facts = service.call("GET", session_path(session))
    now = service.call("GET", journal.path, query=[("after", str(journal.head)), ("limit", "1")])
    if failed:
        return False, f"the model failed, and the log ends before: {failed}"
    if now["head"] != journal.head or now["snapshot"] is not None:
        return None, f"the session has gone on since; this is its log up to step {machine.step}"
    there, here = (facts["step"], facts["state_hash"]), (machine.step, machine.state_hash())
    if there[0] == here[0] and there[1] in (None, here[1]):
        return True, "" if there[1] else "the session has crashed: only the step is compared"
    return False, (
        f"replayed, the journal leads to step {here[0]} with state {here[1]}, the session is at step {there[0]} with state"
        f" {there[1]}: the log does not tell all of it (a scenario that races has stores which are no ops of its own:"
        " `itsbox scenarios run NAME --log FILE` records those)"
    )
