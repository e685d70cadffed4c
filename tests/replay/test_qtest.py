"""The qtest and QMP protocols, spoken to a peer that plays QEMU's part over a socket pair."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from itsbox.ops import Ack, Fill, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.qtest import Qmp, Qtest, QtestError, connect, request_for


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and QEMU's end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "op, request_line",
    [
        (MmioRead(0x808_0008, 8), "readq 0x8080008"),
        (MmioRead(0x10, 1), "readb 0x10"),
        (MmioWrite(0x808_0088, 4, 0x40), "writel 0x8080088 0x40"),
        (MmioWrite(0x10, 2, 1), "writew 0x10 0x1"),
        (Store(0x4100_0000, b"\x01\xff"), "write 0x41000000 0x2 0x01ff"),
        (Fill(0x10, 32, 0xA1), "memset 0x10 0x20 0xa1"),
        (Load(0x10, 4), "b64read 0x10 0x4"),
        (Msi(0, 7), "writel 0x8090040 0x7"),
    ],
)
def test_an_op_has_its_request(op: Op, request_line: str) -> None:
    """One line each; an MSI of device 0 is a plain write to GITS_TRANSLATER."""
    assert request_for(op, 0x809_0040) == request_line


@pytest.mark.parametrize("op", [Msi(8, 1), Ack(0)])
def test_what_qtest_cannot_say_is_refused(op: Op) -> None:
    """A DeviceID needs a PCI device, an acknowledge needs a CPU that runs."""
    with pytest.raises(QtestError):
        request_for(op, 0)


def test_requests_are_pipelined_and_replies_kept_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    """Interrupt notices in between are no replies; replies may arrive in any pieces."""
    ours, theirs = pair

    def play() -> None:
        seen = b""
        while seen.count(b"\n") < 3:
            seen += theirs.recv(100)
        for piece in (b"OK 0x0000000000000001\nIRQ raise 3\nO", b"K 0x2", b"\nIRQ lower 3\nOK\n"):
            theirs.sendall(piece)

    peer = threading.Thread(target=play)
    peer.start()

    assert Qtest(ours).call(["readq 0x0", "readl 0x8", "writel 0x8 0x1"]) == ["0x0000000000000001", "0x2", ""]
    peer.join()


def test_more_requests_than_fit_into_a_socket_are_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    """Neither side waits for the other for ever."""
    ours, theirs = pair

    def play() -> None:
        left = 20_000
        while left:
            count = theirs.recv(4096).count(b"\n")
            theirs.sendall(b"OK\n" * count)
            left -= count

    peer = threading.Thread(target=play)
    peer.start()

    assert len(Qtest(ours).call(f"writel {i:#x} 0x0" for i in range(20_000))) == 20_000
    peer.join()


@pytest.mark.parametrize("reply", ["FAIL Unknown command", "ERR"])
def test_a_refusal_names_the_request(pair: tuple[socket.socket, socket.socket], reply: str) -> None:
    """So that one of thousands can be found."""
    ours, theirs = pair
    theirs.sendall(f"{reply}\n".encode())

    with pytest.raises(QtestError, match=f"clock_step.*{reply}"):
        Qtest(ours).call(["clock_step"])


def test_a_peer_that_goes_away_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    """QEMU has died."""
    ours, theirs = pair
    theirs.close()

    with pytest.raises(QtestError):
        Qtest(ours).call(["readl 0x0"])


def test_a_socket_that_never_appears_is_an_error(tmp_path: Path) -> None:
    """QEMU did not start."""
    with pytest.raises(QtestError, match="no socket"):
        connect(str(tmp_path / "none"), timeout_s=0.01)


def test_qmp_answers_are_told_from_events(pair: tuple[socket.socket, socket.socket]) -> None:
    """Events are kept until they are waited for; errors are raised with their text."""
    ours, theirs = pair
    version = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "Debian "}}}
    messages = [
        version, {"return": {}}, {"event": "STOP"}, {"return": {"status": "x"}}, {"error": {"desc": "no such thing"}},
        {"event": "RESET"},
    ]  # fmt: skip
    theirs.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    qmp = Qmp(ours)

    assert qmp.version() == "7.2.22 Debian"
    assert qmp.call("query-status") == {"status": "x"}
    assert qmp.events == ["STOP"]
    with pytest.raises(QtestError, match="no such thing"):
        qmp.call("nonsense", argument=1)
    qmp.wait("RESET")
    assert qmp.events == []
    theirs.close()
    with pytest.raises(QtestError):
        qmp.wait("SHUTDOWN")
    qmp.close()
