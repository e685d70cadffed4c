"""itsbox demo, which is what ``make demo`` runs: the whole way, as a newcomer sees it first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from itsbox import replay
from itsbox.api.server import BackgroundServer
from itsbox.cli import app
from itsbox.cli.demo import RECORDING
from itsbox.cli.output import Exit
from itsbox.cli.scenes import Subscriber
from itsbox.ops import MmioWrite
from itsbox.replay.http_target import HttpTarget, ServiceError
from itsbox.replay.target import MachineWish
from itsbox.replay.trace import Read, read_traces, write_trace

run = CliRunner().invoke


def test_the_boot_replays_and_the_hang_hangs() -> None:
    """A process of its own: nothing differs, each event arrives, and the kernel's log reads as in the mail."""
    result = subprocess.run(
        [sys.executable, "-m", "itsbox", "demo", "--json"], capture_output=True, text=True, timeout=240, check=False
    )

    assert result.returncode == Exit.OK, result.stderr
    told = json.loads(result.stdout)
    boot = told["boot"]
    assert (boot["report"]["reads"], boot["report"]["commands"], boot["report"]["delivered"]) == (855, 321, 166)
    assert boot["report"]["differences"] == []
    assert boot["produced"] == boot["received"] == sum(boot["types"].values()) > 321
    assert told["hang"]["log"][:2] == ["ITS queue timeout (1056 1024)", "ITS cmd its_build_mapd_cmd failed"]
    assert "MAPD, EINVAL" in told["hang"]["refused"]


def test_a_difference_ends_it_with_1(tmp_path: Path, traces: Path) -> None:
    """The demo is a check, not a show."""
    (trace,) = read_traces(traces / "kvm-unit-tests-its-introspection.jsonl.gz")
    lines = tuple(line._replace(value=1) if isinstance(line, Read) else line for line in trace.lines)
    write_trace(tmp_path / "t.jsonl", trace._replace(lines=lines))

    result = run(app, ["demo", "--trace", str(tmp_path / "t.jsonl")])

    assert result.exit_code == Exit.DIFFERENCE
    assert "expected 0x1, got" in result.stdout
    assert "Something differs" in result.stdout


def test_the_recording_is_the_tested_one(traces: Path) -> None:
    """The package carries a copy, so that an installed itsbox has its demo."""
    shipped = Path(replay.__file__).with_name("recordings") / RECORDING

    assert shipped.read_bytes() == (traces / RECORDING).read_bytes()


def test_no_recording_is_wrong_usage(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    assert run(app, ["demo", "--trace", str(tmp_path / "none")]).exit_code == Exit.USAGE


@pytest.fixture
def subscriber() -> Subscriber:
    """One without a connection: frames are handed to it."""
    return Subscriber()


def event(seq: int) -> dict[str, object]:
    """An event on the wire."""
    return {"seq": seq, "step": 1, "type": "lpi.pending", "data": {}}


def test_a_subscriber_counts_what_comes(subscriber: Subscriber) -> None:
    """By type, in whatever frames."""
    subscriber.take({"epoch": 1, "events": [event(1), event(2)]})
    subscriber.take({"epoch": 1, "events": [event(3)]})

    assert (subscriber.received, subscriber.last, subscriber.broken) == (3, 3, "")


@pytest.mark.parametrize(
    "frame, broken",
    [
        ({"gap": {"from": 1, "to": 9}}, "events 1 to 9 are gone"),
        ({"events": [event(2)]}, "event 2 came after 0"),
        ({"events": [event(1), event(1)]}, "event 1 came after 1"),
    ],
)
def test_a_subscriber_notices_holes_and_repeats(subscriber: Subscriber, frame: dict[str, object], broken: str) -> None:
    """Equal counts would not be enough."""
    subscriber.take(frame)

    assert subscriber.broken == broken


def test_a_subscriber_keeps_up_with_a_real_stream(subscriber: Subscriber) -> None:
    """It returns from waiting when the last event has come, and says so when the stream ends."""
    ops = [MmioWrite(0x808_0080, 8, 1 << 63 | 0x4100_0000), MmioWrite(0x808_0000, 4, 1), MmioWrite(0x808_0088, 8, 64)]
    with BackgroundServer() as server, HttpTarget(server.url, MachineWish("virt-gicv3", 1, 64)) as target:
        with subscriber.listening(server.url, target.path):
            target.apply(ops)
            subscriber.wait_for(target.head())

            assert subscriber.received == target.head()
            assert not subscriber.broken

        assert "ended" in subscriber.broken


def test_a_stream_that_does_not_open_is_an_unreachable_service(subscriber: Subscriber) -> None:
    """Nobody there, or nothing of that name."""
    with (
        BackgroundServer() as server,
        pytest.raises(ServiceError),
        subscriber.listening(server.url, "/v1/sessions/none"),
    ):
        pass
    with pytest.raises(ServiceError), subscriber.listening("http://127.0.0.1:1", "/v1/sessions/none"):
        pass
