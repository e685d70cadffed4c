"""itsbox events: history, and a live stream that survives a lost connection, each event once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from itsbox.cli.events import Follower, SessionGone, event_line
from itsbox.cli.output import Exit
from itsbox.cli.remote import Remote, RemoteError
from itsbox.sessions.limits import Limits
from tests.cli.conftest import Shell


def lines(text: str) -> list[dict[str, Any]]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def drive(shell: Shell, session: str, times: int = 1) -> None:
    """Make some events: a read of GITS_CTLR, which traps. Over HTTP, since a second command line here would share stdout."""
    for _ in range(times):
        httpx.post(
            f"{shell.url}/v1/sessions/{session}/mmio/read", json={"addr": "0x8080000", "size": 4}
        ).raise_for_status()


def test_history_is_what_the_service_has(shell: Shell) -> None:
    """Every event, once, in order."""
    session = shell.session("--start", "deprivileged")

    listed = lines(shell.run("events", session, "--json").stdout)

    page = httpx.get(f"{shell.url}/v1/sessions/{session}/events", params={"limit": 10_000}).json()
    assert listed == page["events"]
    assert [event["seq"] for event in listed] == list(range(1, page["head"] + 1))
    assert len(shell.run("events", session).stdout.splitlines()) == page["head"]


def test_history_is_filtered_and_cut(shell: Shell) -> None:
    """By type, by number, by count."""
    session = shell.session("--start", "deprivileged")
    everything = lines(shell.run("events", session, "--json").stdout)

    pages = lines(shell.run("events", session, "--json", "--types", "page.state").stdout)
    assert pages == [event for event in everything if event["type"] == "page.state"]
    assert lines(shell.run("events", session, "--json", "--after", 5, "--limit", 3).stdout) == everything[5:8]
    assert shell.run("events", session, "--types", "weather").exit_code == Exit.USAGE


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_lost_history_is_said(follow: tuple[str, ...]) -> None:
    """Nothing is dropped in silence."""
    with BackgroundServer(Settings(port=0, limits=Limits(events_kept=4))) as server:
        shell = Shell(server.url)
        session = shell.session("--start", "deprivileged")
        head = shell.json("session", "show", session)["seq"]

        first = lines(shell.run("events", session, "--json", "--limit", 4, *follow).stdout)[0]
        told = shell.run("events", session, "--limit", 4, *follow)

    assert first["gap"]["from"] == 1
    assert 1 < first["gap"]["to"] < head
    assert f"events 1 to {first['gap']['to']} are gone" in told.stderr


def test_following_goes_on_to_the_end_of_the_session(shell: Shell) -> None:
    """What was, what comes, and then the end, which is no error."""
    session = shell.session("--start", "deprivileged")
    head = shell.json("session", "show", session)["seq"]

    def use() -> None:
        drive(shell, session, 3)
        httpx.delete(f"{shell.url}/v1/sessions/{session}").raise_for_status()

    later = threading.Timer(0.3, use)
    later.start()
    result = shell.run("events", session, "-f", "--json")
    later.join()

    seen = [event["seq"] for event in lines(result.stdout)]
    assert result.exit_code == Exit.OK
    assert "has ended" in result.stderr
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > head


def test_following_ends_when_enough_was_seen(shell: Shell) -> None:
    """The limit counts over frames."""
    session = shell.session("--start", "deprivileged")

    result = shell.run("events", session, "-f", "--json", "--limit", 7, "--after", 2)

    assert [event["seq"] for event in lines(result.stdout)] == list(range(3, 10))


def test_ctrl_c_ends_what_has_no_end(shell: Shell) -> None:
    """With 0: it is how one stops looking."""
    session = shell.session("--start", "deprivileged")
    command = [sys.executable, "-m", "itsbox", "events", session, "-f", "--url", shell.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[0] == "1"
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == Exit.OK


class Relay:
    """Between a client and the service's streams; breaks the connection behind every ``frames`` frames."""

    def __init__(self, url: str, frames: int) -> None:
        self.target = url.replace("http", "ws", 1)
        self.frames = frames
        self.asked: list[str] = []
        self.server = serve(self._relay, "127.0.0.1", 0, close_timeout=1)
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def _relay(self, client: ServerConnection) -> None:
        assert client.request is not None
        self.asked.append(client.request.path)
        with connect(f"{self.target}{client.request.path}", proxy=None) as stream:
            for _ in range(self.frames):
                client.send(stream.recv(timeout=30))
        with suppress(OSError):  # the client may have seen enough
            client.socket.shutdown(socket.SHUT_RDWR)  # no closing handshake: as if a cable had been pulled

    def close(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.thread.join()


@pytest.fixture
def relay(shell: Shell) -> Iterator[Relay]:
    """A bad line to the service."""
    made = Relay(shell.url, 1)
    yield made
    made.close()


def test_a_broken_stream_is_taken_up_where_it_broke(shell: Shell, relay: Relay) -> None:
    """No hole, no duplicate, whatever the number of breaks."""
    session = shell.session("--start", "deprivileged")
    drive(shell, session, 3)
    head = shell.json("session", "show", session)["seq"]
    more = threading.Timer(0.5, drive, (shell, session, 4))
    more.start()

    result = shell.run("events", session, "-f", "--json", "--url", relay.url, "--limit", head + 4)
    more.join()

    assert [event["seq"] for event in lines(result.stdout)] == list(range(1, head + 5))
    assert len(relay.asked) > 1
    assert relay.asked[1].endswith(f"after={head}")
    assert "again in" in result.stderr


def test_a_service_that_stays_away_ends_with_3(shell: Shell) -> None:
    """Once the patience is over; at the first attempt there is none."""
    with BackgroundServer(Settings(port=0)) as server:
        away = Shell(server.url)
        session = away.session()
        follower = Follower(Remote(server.url), session, None, 0, 0.4)
        frames = follower.frames()
        assert next(frames)["events"][0]["type"] == "session.created"

    with pytest.raises(RemoteError) as caught:
        list(frames)
    assert caught.value.code is Exit.UNREACHABLE
    assert away.run("events", session, "-f").exit_code == Exit.UNREACHABLE


def test_a_session_that_is_gone_after_a_break_is_not_waited_for(shell: Shell, relay: Relay) -> None:
    """A service that was started anew does not know it; the patience, an hour here, is for services that are away."""
    session = shell.session("--start", "deprivileged")
    follower = Follower(Remote(relay.url), session, None, 0, 3600.0)
    frames = follower.frames()
    next(frames)
    shell.run("session", "kill", session)
    follower.service = Remote(shell.url)

    with pytest.raises(SessionGone, match="404"):
        list(frames)


def test_an_unknown_session_is_wrong_usage(shell: Shell, nobody: Shell) -> None:
    """With the service's words, followed or not."""
    for words in ((), ("-f",)):
        result = shell.run("events", "no-such", *words)
        assert result.exit_code == Exit.USAGE
        assert "404" in result.stderr
        assert nobody.run("events", "no-such", *words).exit_code == Exit.UNREACHABLE


def test_a_key_opens_a_stream(locked: Shell) -> None:
    """As a header, as for every request."""
    locked.env["ITSBOX_API_KEY"] = "a-key-of-the-tests-alone"
    session = locked.session()

    assert locked.run("events", session, "-f", "--limit", 1).exit_code == Exit.OK
    assert locked.run("events", session, "-f", "--limit", 1, "--api-key", "x" * 20).exit_code == Exit.USAGE


def test_an_event_is_one_printable_line() -> None:
    """Driver logs and metadata are anybody's text."""
    data = {"line": "\x1b[31mred\nnext", "words": ["0x1", "0x2"], "reason": None}
    line = event_line({"seq": 1, "step": 2, "type": "driver.log", "data": data})

    assert line.isprintable()
    assert line.split() == ["1", "2", "driver.log", "line=\\x1b[31mred\\nnext", "words=0x1,0x2"]


def test_a_log_of_events_can_be_judged(shell: Shell) -> None:
    """``--log`` and ``check`` belong together; a filtered log is none."""
    session = shell.session("--start", "deprivileged")

    log = shell.run("events", session, "--log").stdout
    verdict = shell.run("check", "-", stdin=log)

    assert verdict.exit_code == Exit.OK, verdict.output
    assert "isolated" in verdict.stdout
    assert shell.run("events", session, "--log", "--types", "violation").exit_code == Exit.USAGE
