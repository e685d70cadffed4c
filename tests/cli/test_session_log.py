"""itsbox session log: the complete log of a session, rebuilt from its journal, and judged without the service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from itsbox.cli.output import Exit
from itsbox.cli.remote import Remote
from itsbox.sessions.limits import Limits
from tests.cli.conftest import Shell

ATTACKS = [f"A{n}" for n in range(1, 19) if n != 13]  # A13 is a race: see below


def _buckets(violations: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return sorted((violation["step"], violation["bucket"]) for violation in violations)


def _call(shell: Shell, method: str, path: str, body: Any = None) -> Any:
    with Remote(shell.url) as service:
        return service.call(method, path, body)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_judged_from_its_log_as_it_was_on_line(shell: Shell, tmp_path: Path, name: str) -> None:
    """Played by the service, logged with one command, judged by another: the same violations at the same steps."""
    played = _call(shell, "POST", f"/v1/scenarios/{name}/run", {"hardening": "off"})
    path = tmp_path / "log.gz"

    logged = shell.run("session", "log", played["session"], "--out", path)
    assert (logged.exit_code, logged.stdout, logged.stderr) == (Exit.OK, "", "")
    report = shell.json("check", path, code=Exit.DIFFERENCE if played["violations"] else Exit.OK)

    assert report["complete"]
    assert (report["agrees"], report["missing"], report["broken_off"]) == (True, 0, False)
    assert _buckets(report["violations"]) == _buckets(played["violations"])
    assert (
        shell.run("check", path).stdout.splitlines()[-1].startswith("violated" if played["violations"] else "isolated")
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_events_alone_never_hide_what_they_tell(shell: Shell, name: str) -> None:
    """In a log of events the judge sees little; the violations in it count as they were recorded."""
    played = _call(shell, "POST", f"/v1/scenarios/{name}/run", {"hardening": "off"})
    log = shell.run("events", played["session"], "--log").stdout

    result = shell.run("check", "-", stdin=log)
    report = json.loads(shell.run("check", "-", "--json", stdin=log).stdout)

    assert result.exit_code == (Exit.DIFFERENCE if played["violations"] else Exit.OK)
    assert result.stdout.splitlines()[-1].startswith("violated" if played["violations"] else "isolated")
    assert "does not agree" not in result.stdout
    assert {step for step, _ in _buckets(report["violations"])} == {step for step, _ in _buckets(played["violations"])}
    assert ("cannot be judged from events alone" in result.stdout) is any(not v["judged"] for v in report["violations"])


@pytest.mark.parametrize("oracle", ["on", "off", "lockstep"])
@pytest.mark.parametrize("start", ["bare", "host", "deprivileged"])
def test_a_log_is_complete_whoever_watched_and_wherever_it_began(shell: Shell, start: str, oracle: str) -> None:
    """Booting is part of it, with the steps that the session counted."""
    session = shell.session("--start", start, "--oracle", oracle, "--hardening", "off", "--cpus", 2)
    ops = [{"op": "driver", "call": "probe", "args": {}}] if start == "bare" else []
    ops.append({"op": "driver", "call": "map_device", "args": {"device_id": 3, "events": 2}})
    step = _call(shell, "POST", f"/v1/sessions/{session}/ops", {"ops": ops})["step"]

    result = shell.run("session", "log", session)
    assert (result.exit_code, result.stderr) == (Exit.OK, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]

    assert (lines[0]["complete"], lines[0]["cpus"]) == (True, 2)
    assert [line["step"] for line in lines[1:] if line["type"] == "op"] == list(range(1, step + 1))
    assert shell.run("check", "-", stdin=result.stdout).stdout.splitlines()[-1] == "isolated"


def test_a_session_without_oracle_is_watched_when_it_is_logged(shell: Shell) -> None:
    """Nobody saw the violation happen; the log tells of it, and the judge agrees."""
    session = shell.session("--start", "host", "--oracle", "off", "--hardening", "off")
    hyp = _call(shell, "GET", f"/v1/sessions/{session}")["map"]["hyp"]
    ops = [
        {"op": "mmio_write", "addr": "0x8080000", "size": 4, "value": 0},
        {"op": "mmio_write", "addr": "0x8080080", "size": 8, "value": hex(1 << 63 | int(hyp, 16))},
        {"op": "mmio_write", "addr": "0x8080000", "size": 4, "value": 1},
        {"op": "mmio_write", "addr": "0x8080088", "size": 4, "value": 0x20},
    ]
    assert _call(shell, "POST", f"/v1/sessions/{session}/ops", {"ops": ops})["violations"] == []

    log = shell.run("session", "log", session)
    report = json.loads(shell.run("check", "-", "--json", stdin=log.stdout).stdout)

    assert log.exit_code == Exit.OK
    assert report["agrees"]
    assert "DMA" in {violation["oracle"] for violation in report["violations"]}


def test_a_long_journal_comes_in_pages(shell: Shell, tmp_path: Path) -> None:
    """More ops than one answer holds, in order, none twice."""
    session = shell.session("--start", "bare")
    ops = [{"op": "load", "addr": hex(0x4000_0000 + 8 * n), "length": 8} for n in range(2500)]
    _call(shell, "POST", f"/v1/sessions/{session}/ops", {"ops": ops})
    path = tmp_path / "log"

    assert shell.run("session", "log", session, "--out", path).exit_code == Exit.OK
    told = [line["data"] for line in map(json.loads, path.read_text().splitlines()) if line.get("type") == "op"]

    assert [op["addr"] for op in told] == [op["addr"] for op in ops]


def test_a_session_with_another_beginning_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Restored or forked, its journal does not tell how it came to be; nothing is written."""
    session = shell.session("--start", "host")
    _call(shell, "POST", f"/v1/sessions/{session}/ops", {"ops": [{"op": "ack", "cpu": 0}]})
    snapshot = _call(shell, "POST", f"/v1/sessions/{session}/snapshots")["id"]
    (fork,) = _call(shell, "POST", f"/v1/sessions/{session}/fork", {"count": 1})["sessions"]
    _call(shell, "POST", f"/v1/sessions/{session}/restore", {"snapshot": snapshot})
    path = tmp_path / "log"

    for each, why in ((session, "put back to snapshot"), (fork["id"], "forked off")):
        result = shell.run("session", "log", each, "--out", path)
        assert result.exit_code == Exit.USAGE
        assert why in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def forgetful() -> Iterator[Shell]:
    """A service that keeps ten ops of a journal."""
    with BackgroundServer(Settings(port=0, limits=Limits(journal_ops_kept=10))) as server:
        yield Shell(server.url)


def test_a_journal_without_its_beginning_is_refused(forgetful: Shell) -> None:
    """What is gone cannot be replayed."""
    session = forgetful.session("--start", "host")
    ops = [{"op": "ack", "cpu": 0}] * 12
    _call(forgetful, "POST", f"/v1/sessions/{session}/ops", {"ops": ops})

    result = forgetful.run("session", "log", session)

    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert "1 to 2 are gone" in result.stderr


def test_a_session_that_goes_on_is_logged_up_to_where_it_was(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ops that come while the log is written are not in it, and no difference."""
    session = shell.session("--start", "host")
    body = {"ops": [{"op": "ack", "cpu": 0}]}
    _call(shell, "POST", f"/v1/sessions/{session}/ops", body)
    call = Remote.call
    read: list[str] = []

    def busy(self: Remote, method: str, path: str, *rest: Any, **more: Any) -> Any:
        answer = call(self, method, path, *rest, **more)
        if path.endswith("/journal") and not read:
            read.append(path)
            call(self, "POST", f"/v1/sessions/{session}/ops", body)
        return answer

    monkeypatch.setattr(Remote, "call", busy)
    result = shell.run("session", "log", session)

    assert result.exit_code == Exit.OK
    assert "up to step 2" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["step"] == 2


def test_another_machine_than_the_session_s_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of racing CPUs are no ops: such a session's journal leads elsewhere, and nobody is to take the log for its own."""
    session = shell.session("--start", "host")
    call = Remote.call

    def other(self: Remote, method: str, path: str, *rest: Any, **more: Any) -> Any:
        answer = call(self, method, path, *rest, **more)
        return {**answer, "state_hash": "another"} if "state_hash" in answer else answer

    monkeypatch.setattr(Remote, "call", other)
    result = shell.run("session", "log", session)

    assert result.exit_code == Exit.DIFFERENCE
    assert "another" in result.stderr
    assert json.loads(result.stdout.splitlines()[0])["complete"]


def test_what_was_written_can_be_told_as_a_document(shell: Shell, tmp_path: Path) -> None:
    """For scripts; the log itself is in the file, so there must be one."""
    session = shell.session("--start", "host")
    path = tmp_path / "log"
    facts = shell.json("session", "show", session)

    assert shell.json("session", "log", session, "--out", path) == {
        "session": session, "log": str(path), "step": facts["step"], "state_hash": facts["state_hash"], "same": True,
    }  # fmt: skip
    assert shell.run("session", "log", session, "--json").exit_code == Exit.USAGE


def test_what_cannot_be_written_is_wrong_usage(shell: Shell, tmp_path: Path) -> None:
    """And a session that is not there as everywhere."""
    session = shell.session("--start", "host")

    assert shell.run("session", "log", session, "--out", tmp_path / "no" / "log").exit_code == Exit.USAGE
    assert shell.run("session", "log", "none").exit_code == Exit.USAGE


@pytest.mark.parametrize("name", ["A3", "A13", "A8"])
@pytest.mark.parametrize("preset", ["off", "rfc-v1"])
def test_a_scenario_can_be_logged_while_it_is_played(nobody: Shell, tmp_path: Path, name: str, preset: str) -> None:
    """Here, without a service: also races, whose stores from other CPUs no journal has."""
    path = tmp_path / "log.gz"
    words = ("scenarios", "run", name, "--hardening", preset)
    code = Exit(nobody.run(*words).exit_code)
    plain = nobody.json(*words, code=code)
    played = nobody.json(*words, "--log", path, code=code)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    report = json.loads(nobody.run("check", path, "--json").stdout)

    assert played == plain
    assert json.loads(lines[0])["complete"]
    assert _buckets(report["violations"]) == _buckets(played["violations"])
    assert report["agrees"]


def test_a_service_s_scenario_is_logged_as_a_session(shell: Shell, tmp_path: Path) -> None:
    """Its machine is not here to be recorded."""
    result = shell.run("scenarios", "run", "A3", "--url", shell.url, "--log", tmp_path / "log")

    assert result.exit_code == Exit.USAGE
    assert "session log" in result.stderr
