"""itsbox ops run: ops from a file, checked as a whole, put to a session in as many requests as it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from itsbox.cli.output import Exit
from itsbox.sessions.limits import Limits
from tests.cli.conftest import Shell

RAM = 0x4000_0000
STORE = {"op": "store", "addr": hex(RAM), "hex": "c0ffee"}
LOAD = {"op": "load", "addr": hex(RAM), "length": 3}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """``write(text or value)``: a file with that, as JSON unless it is text."""

    def written(content: Any) -> Path:
        path = tmp_path / "ops.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


@pytest.mark.parametrize(
    "content",
    [
        [STORE, LOAD],
        {"ops": [STORE, LOAD], "stop_on": ["abort"]},
        f"{json.dumps(STORE)}\n\n{json.dumps(LOAD)}\n",
        "\ufeff" + json.dumps([STORE, LOAD], indent=2),
    ],
    ids=["array", "batch", "lines", "byte-order-mark"],
)
def test_every_form_of_file_runs(shell: Shell, write: Any, content: Any) -> None:
    """On a machine of its own, which is gone afterwards."""
    before = shell.json("session", "ls")["sessions"]

    answer = shell.json("ops", "run", write(content), "--hardening", "off")

    assert answer["executed"] == 2
    assert answer["results"][1]["hex"] == "c0ffee"
    assert answer["violations"] == []
    assert shell.json("session", "ls")["sessions"] == before


def test_one_op_and_standard_input_are_files_too(shell: Shell) -> None:
    """``-`` stands for standard input."""
    result = shell.run("ops", "run", "-", stdin=json.dumps(LOAD))

    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("0  load addr=0x40000000 length=3: ok hex=000000\n1 ops, 0 violations, state ")


def test_interrupts_are_shown_as_the_wire_has_them(shell: Shell, write: Any) -> None:
    """An INTID is a decimal number here as everywhere else; what is a value of 64 bits is not."""
    result = shell.run("ops", "run", write([{"op": "ack", "cpu": 0}, {"op": "hvc", "function": "nothing", "args": []}]))

    assert result.stdout.splitlines()[0] == "0  ack cpu=0: ok intid=1023"
    assert "x0=0xffffffffffffffff" in result.stdout.splitlines()[1]


def test_ops_go_to_the_session_that_is_named(shell: Shell, write: Any) -> None:
    """Where their effect stays; a new session stays only if asked to."""
    session = shell.session("--hardening", "off")
    shell.json("ops", "run", write([STORE]), "--session", session)
    assert shell.json("ops", "run", write([LOAD]), "--session", session)["results"][0]["hex"] == "c0ffee"

    kept = shell.run("ops", "run", write([STORE]), "--keep")
    made = kept.stderr.removeprefix("session ").strip()
    assert shell.json("ops", "run", write([LOAD]), "--session", made)["results"][0]["hex"] == "c0ffee"


@pytest.mark.parametrize(
    "content,told",
    [
        ("", "no ops"),
        ("not JSON", "line 1 is no JSON"),
        (f"{json.dumps(LOAD)}\nhalf {{\n", "line 2 is no JSON"),
        (f'{json.dumps(LOAD)}\n{{"op": "load"}}\n', "line 2: addr: is required"),
        ([LOAD, {"op": "jump"}], "op 1: 'jump' is not an op; must be one of 'mmio_read'"),
        ([LOAD, 7], "op 1: should be an object"),
        ([LOAD, {**LOAD, "colour": "red"}], "op 1: colour: "),
        ({"ops": [LOAD], "stop_on": ["rain"]}, "stop_on"),
        ({"moves": []}, "neither an array"),
        ("7", "neither an array"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_runs_nothing(nobody: Shell, write: Any, content: Any, told: str) -> None:
    """It is told where, before a service is asked at all."""
    result = nobody.run("ops", "run", write(content))

    assert result.exit_code == Exit.USAGE
    assert told in result.stderr


def test_files_longer_than_a_request_are_cut(write: Any) -> None:
    """The service says how much it takes at once; the results come together again."""
    with BackgroundServer(Settings(port=0, limits=Limits(ops_per_request=4))) as server:
        answer = Shell(server.url).json("ops", "run", write([STORE] * 5 + [LOAD] * 6), "--hardening", "off")

    assert answer["executed"] == 11
    assert [result.get("hex") for result in answer["results"]] == [None] * 5 + ["c0ffee"] * 6
    assert answer["step"] == 11


@pytest.mark.parametrize("place", range(5))
def test_a_stop_holds_over_the_cuts(write: Any, place: int) -> None:
    """Also when the op to stop at is the last of a request."""
    ops = [LOAD] * 5
    ops[place] = {"op": "load", "addr": "0x4ff00000", "length": 4}  # the hypervisor's own
    with BackgroundServer(Settings(port=0, limits=Limits(ops_per_request=2))) as server:
        shell = Shell(server.url)
        words = ("ops", "run", write(ops), "--start", "deprivileged", "--stop-on", "abort,panic")
        answer = shell.json(*words)

    assert answer["results"][-1]["outcome"] == "abort"
    assert answer["executed"] == place + 1


def test_a_violation_ends_with_1(shell: Shell, write: Any) -> None:
    """The attack's own ops, taken from its session's journal, show it again."""
    played = shell.json("scenarios", "run", "A3", "--hardening", "off", "--url", shell.url, code=Exit.DIFFERENCE)
    journal = httpx.get(f"{shell.url}/v1/sessions/{played['session']}/journal").json()["ops"]
    words = ("ops", "run", write(journal), "--hardening", "off", "--start", "host")

    assert [v["bucket"] for v in shell.json(*words, code=Exit.DIFFERENCE)["violations"]] == [
        v["bucket"] for v in played["violations"]
    ]
    assert "violation DMA: The ITS writes" in shell.run(*words).stdout
