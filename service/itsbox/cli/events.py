"""``itsbox events``: a session's events, those that were and, followed, those to come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from itsbox.cli.output import Exit, fail, stderr
from itsbox.cli.remote import DEFAULT_URL, Key, Remote, RemoteError, Session, Url, refusal, remote, session_path
from itsbox.cli.show import plain

__all__ = ["Follower", "event_line", "register"]

ENDED: Final = 1000  # the close code of a session that has ended; anything else is a lost connection
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(
    session: Session,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with events as they happen, until Ctrl-C.")
    ] = False,
    types: Annotated[
        str | None, typer.Option(metavar="TYPES", help="Only these, comma-separated; command.* means a family.")
    ] = None,
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only events behind this number.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    patience: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long a lost connection is tried again.")
    ] = 30.0,
    log: Annotated[
        bool,
        typer.Option("--log", help="As an event log that `itsbox check` reads; `session log` writes a complete one."),
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
) -> None:
    """Print a session's events. With -f a lost connection is taken up where it broke: no event is missed or shown twice.

    What the service no longer has is said on stderr (a line {"gap": {...}} with --json). Ends with 0 when the session ends, 3
    when the service stays away.
    """
    if log and (types or after):
        fail(Exit.USAGE, "--log needs all events: leave out --types and --after")
    seen = 0
    with remote(url, api_key) as service:
        if log:
            typer.echo(json.dumps(_log_head(service.call("GET", session_path(session)))))
        if follow:
            frames = Follower(service, session, types, after, patience).frames()
        else:
            frames = _history(service, session, types, after)
        try:
            for frame in frames:
                if "gap" in frame:
                    _print_gap(frame, as_json=as_json and not log)
                for event in frame.get("events", ())[: None if limit is None else limit - seen]:
                    typer.echo(json.dumps(event) if as_json or log else event_line(event))
                    seen += 1
                if seen == limit:
                    return
        except KeyboardInterrupt:
            return  # the way to end what has no end


def _print_gap(frame: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"gap": frame["gap"]}))
    else:
        gap = frame["gap"]
        stderr.print(f"itsbox: events {gap['from']} to {gap['to']} are gone", style="yellow", markup=False)


def event_line(event: dict[str, Any]) -> str:
    """An event for people."""
    data = " ".join(f"{name}={_value(value)}" for name, value in event["data"].items() if value is not None)
    return plain(f"{event['seq']:>6} {event['step']:>6} {event['type']:<18} {data}".rstrip())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_value, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _log_head(session: dict[str, Any]) -> dict[str, Any]:
    """The first line of a log made of events alone (``itsbox.oracle.log_format``)."""
    from itsbox.oracle.log_format import FORMAT

    return {
        "k": "head",
        "format": FORMAT,
        "profile": session["profile"],
        "hardening": session["hardening"],
        "complete": False,
        "map": session["map"],
    }


def _history(service: Remote, session: str, types: str | None, after: int) -> Iterator[dict[str, Any]]:
    """What there is now, page by page."""
    wanted = [("types", types)] if types else []
    until = None
    while True:
        query = [("after", str(after)), ("limit", "1000"), *wanted]
        page = service.call("GET", f"{session_path(session)}/events", query=query)
        until = page["head"] if until is None else until
        if page.get("gap"):
            yield {"gap": page["gap"]}
        yield {"events": [event for event in page["events"] if event["seq"] <= until]}
        if page["next"] >= until or page["next"] <= after:
            return
        after = page["next"]


class SessionGone(RemoteError):
    """A session that was followed exists no more: trying again is vain."""


class Follower:
    """A session's stream, taken up again where it broke.

    Invariant: ``last`` is the highest ``seq`` that was handed out; ``held_s`` is how long the last connection held.

    ``patience_s`` bounds how long a lost connection is tried again; the first one is not, so that a wrong address or id is
    told at once.
    """

    def __init__(self, service: Remote, session: str, types: str | None, after: int, patience_s: float) -> None:
        self.service = service
        self.path = session_path(session)
        self.types = types
        self.last = after
        self.patience_s = patience_s
        self.connected = False
        self.held_s = 0.0

    def frames(self) -> Iterator[dict[str, Any]]:
        """Frames until the session ends. Raises RemoteError: refused, gone, or away for longer than the patience."""
        lost_at, pause = 0.0, FIRST_PAUSE_S
        while True:
            try:
                for frame in self._connection():
                    lost_at, pause = 0.0, FIRST_PAUSE_S
                    yield frame
                return
            except RemoteError as error:
                if not self.connected or isinstance(error, SessionGone) or error.code is not Exit.UNREACHABLE:
                    raise
                now = time.monotonic()
                if self.held_s > LONGEST_PAUSE_S:  # a good while: this is another loss than the last one
                    lost_at, pause = 0.0, FIRST_PAUSE_S
                lost_at = lost_at or now
                if now - lost_at >= self.patience_s:
                    raise
                stderr.print(f"itsbox: {error}; again in {pause:.1f} s", style="yellow", markup=False)
                time.sleep(min(pause, max(0.0, self.patience_s - (now - lost_at))))
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _connection(self) -> Iterator[dict[str, Any]]:
        """Frames of one connection, which returns when the session has ended."""
        query = {"after": str(self.last), **({"types": self.types} if self.types else {})}
        address = f"{self.service.url.replace('http', 'ws', 1)}{self.path}/stream?{urlencode(query)}"
        self.held_s, since = 0.0, time.monotonic()
        try:
            with connect(address, max_size=None, proxy=None, additional_headers=self.service.headers) as stream:
                self.connected = True
                for text in stream:
                    yield self._taken(json.loads(text))
                reason = stream.close_reason
        except InvalidStatus as error:
            raise self._refused(error) from error
        except ConnectionClosed as error:
            self.held_s = time.monotonic() - since
            raise RemoteError(Exit.UNREACHABLE, f"the stream broke: {error}") from error
        except (OSError, WebSocketException) as error:
            raise RemoteError(Exit.UNREACHABLE, f"{address}: {error}") from error
        self.held_s = time.monotonic() - since
        if stream.close_code != ENDED:
            raise RemoteError(Exit.UNREACHABLE, f"the service closed the stream: {reason or stream.close_code}")
        stderr.print(f"itsbox: the session has ended ({plain(reason or 'closed')})", markup=False)

    def _refused(self, error: InvalidStatus) -> RemoteError:
        answer = error.response
        said = refusal(
            answer.status_code, bytes(answer.body or b"").decode(errors="replace"), f"GET {self.path}/stream"
        )
        if not self.connected or said.code is Exit.UNREACHABLE:
            return said
        # It was there before: the session ended while we were away, or the service has been started anew.
        raise SessionGone(Exit.UNREACHABLE, f"the session is gone: {said}", said.status)

    def _taken(self, frame: dict[str, Any]) -> dict[str, Any]:
        """The frame without what was handed out before; remember how far it goes."""
        if "gap" in frame:
            self.last = max(self.last, frame["gap"]["to"])
            return frame
        fresh = [event for event in frame["events"] if event["seq"] > self.last]
        if fresh:
            self.last = fresh[-1]["seq"]
        return {**frame, "events": fresh}
