"""A machine behind HTTP: ops as JSON, answers back, and every way in which a service may fail to be one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from itsbox.ops import Ack, Clean, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.http_target import HttpTarget, ServiceError, op_json
from itsbox.replay.target import InProcess, MachineWish, wish_for
from itsbox.replay.trace import Head

WISH = MachineWish("virt-gicv3", 2, 128)
KEY = "a-key-of-twenty-signs"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A real server on loopback."""
    with BackgroundServer() as server:
        yield server.url


OPS: tuple[Op, ...] = (
    MmioRead(0x808_0008, 8),
    MmioWrite(0x808_0088, 8, 0),
    Store(0x4100_0000, b"\x01\x02"),
    Load(0x4100_0000, 4),
    Fill(0x4100_0000, 2, 0xFF),
    Load(0x4100_0000, 4),
    Msi(8, 1),
    Ack(1),
    Clean(0x4100_0000, 64),
)


def test_ops_are_answered_as_in_process(service: str) -> None:
    """The two targets cannot be told apart."""
    with HttpTarget(service, WISH) as target:
        here = InProcess(WISH)

        assert target.apply(OPS) == here.apply(OPS)
        assert target.state() == here.state()
        assert target.apply([]) == []


def test_the_session_is_gone_afterwards(service: str) -> None:
    """A replay leaves nothing behind."""
    with HttpTarget(service, WISH) as target:
        path = target.path

    with HttpTarget(service, WISH) as other, pytest.raises(ServiceError, match="404"):
        other.look(f"../{path.rpartition('/')[2]}/state")


def test_events_are_counted_by_their_seq(service: str) -> None:
    """``head`` is the number of the last event."""
    with HttpTarget(service, WISH) as target:
        before = target.head()
        target.apply([MmioWrite(0x808_0080, 8, 1 << 63 | 0x4100_0000), MmioWrite(0x808_0000, 4, 1)])
        target.apply([MmioWrite(0x808_0088, 8, 64)])  # two commands of zeros, unknown ones

        assert target.head() == before + 2


def test_a_key_is_sent_where_one_is_asked_for() -> None:
    """Without it the service says no, and that is no difference of a replay."""
    with BackgroundServer(Settings(port=0, api_keys=(KEY,))) as server:
        with HttpTarget(server.url, WISH, api_key=KEY) as target:
            assert target.apply([MmioRead(0x808_0004, 4)])[0].value == 0x43B
        with pytest.raises(ServiceError, match="401"), HttpTarget(server.url, WISH):
            pass


def test_an_unreachable_service_is_said_to_be(service: str) -> None:
    """With the address that was tried."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(ServiceError, match=url), HttpTarget(url, WISH):
            pass


@pytest.mark.parametrize("url", ["nonsense", "http://[bad", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_said_to_be(url: str) -> None:
    """Not with a traceback of the HTTP library."""
    with pytest.raises(ServiceError), HttpTarget(url, WISH):
        pass


def test_a_problem_answer_is_passed_on(service: str) -> None:
    """Its status and what it says."""
    with pytest.raises(ServiceError, match=r"422.*cpus"), HttpTarget(service, WISH._replace(cpus=10_000)):
        pass


def test_an_op_that_no_trace_has_is_refused() -> None:
    """A trace holds no hypercalls."""
    with pytest.raises(ServiceError, match="Hvc"):
        op_json(Hvc("x", ()))


def test_values_travel_as_strings() -> None:
    """64 bits do not fit into a JSON number that everybody reads."""
    assert op_json(MmioWrite(1 << 40, 8, (1 << 64) - 1)) == {
        "op": "mmio_write", "addr": "0x10000000000", "size": 8, "value": "0xffffffffffffffff",
    }  # fmt: skip


def test_a_clients_machine_keeps_its_memory_to_itself() -> None:
    """The carve-outs come on top of what the recorded client could use; a sequence's machine has its recorded size."""
    head = Head("c", "C", "7", True, 4, 8, 1024, 0, 0, 0, 0, 0x4000_0000, None)

    assert wish_for(head) == MachineWish("virt-gicv4", 8, 1026)
    assert wish_for(head._replace(ram_mib=4096)).ram_mib == 4096
    assert wish_for(head._replace(client=False)).ram_mib == 1024
