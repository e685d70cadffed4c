"""Posting commands and waiting: what the kernel writes, what it prints when nothing moves, and what it does not do."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, INV, SYNC, VSYNC
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.host.kernel import POLL_ROUNDS, Kernel
from itsbox.host.queue import QUEUE_BYTES, post
from itsbox.host.state import ItsNode
from tests.host.machine_port import Host

COMMAND = INV(device_id=8, event_id=0)
SYNC_0 = SYNC(rd_base=0)


class Queue:
    """A probed machine whose CREADR shows what ``shows`` makes of the true one."""

    def __init__(self, profile: str = "virt-gicv3") -> None:
        self.host = Host(profile=profile)
        self.host.call("probe")
        self.host.log()
        driver = self.host.driver
        self.kernel = Kernel(self.host.port, driver.platform, driver.version, driver._state)
        self.its: ItsNode = driver._state.its[0]
        self.creadr = self.its.base + GITS_CREADR.OFFSET
        self.host.port.accesses.clear()

    def show(self, value: int) -> None:
        """From now on CREADR reads as ``value``, and CWRITER reaches nothing."""
        self.host.port.reads[self.creadr] = lambda _: value
        self.host.port.deaf.add(self.its.base + GITS_CWRITER.OFFSET)

    def at(self, offset: int) -> None:
        """The driver's next slot is at ``offset``."""
        self.its.write_offset = offset


def test_a_command_and_its_sync_move_cwriter_once_by_32_bits() -> None:
    """Two slots, three reads of CREADR, one 32-bit store to CWRITER, one more read: nothing else."""
    queue = Queue()
    start = queue.its.write_offset
    assert post(queue.kernel, queue.its, COMMAND, SYNC_0)
    assert [(kind, addr, size) for kind, addr, size, _ in queue.host.port.accesses] == [
        ("r", queue.creadr, 4),
        ("r", queue.creadr, 4),
        ("r", queue.creadr, 4),
        ("w", queue.its.base + GITS_CWRITER.OFFSET, 4),
        ("r", queue.creadr, 4),
    ]
    assert queue.its.write_offset == start + 64


def test_a_stuck_queue_prints_the_lines_of_the_mail() -> None:
    """CREADR stays at 1024: the offset waited for grows by 32 for a MAPD alone and by 64 for a command with SYNC."""
    queue = Queue()
    queue.show(1024)
    queue.at(1024)
    assert not post(queue.kernel, queue.its, COMMAND)
    assert not post(queue.kernel, queue.its, INT(device_id=8, event_id=0), SYNC_0)
    assert queue.host.log() == [
        "ITS queue timeout (1056 1024)",
        "ITS cmd its_build_inv_cmd failed",
        "ITS queue timeout (1120 1024)",
        "ITS cmd its_build_int_cmd failed",
    ]
    assert queue.kernel.timeouts == 2


def test_a_million_polls_are_accounted_for_but_not_made() -> None:
    """Two looks without progress are enough in a synchronous machine; the rest passes in simulated time."""
    queue = Queue()
    queue.show(1024)
    queue.at(1024)
    post(queue.kernel, queue.its, COMMAND)
    polls = sum(addr == queue.creadr for _, addr, _, _ in queue.host.port.accesses) - 2
    assert polls == 2
    assert queue.host.port.spent + polls == POLL_ROUNDS


def test_the_stalled_bit_shows_as_an_odd_number() -> None:
    """The kernel uses CREADR unmasked: a stalled queue at 1024 reads 1025."""
    queue = Queue()
    queue.show(1025)
    queue.at(1024)
    post(queue.kernel, queue.its, COMMAND)
    assert queue.host.log()[0] == "ITS queue timeout (1056 1025)"


def test_a_target_behind_the_read_pointer_is_printed_beyond_the_queue() -> None:
    """When the write offset wraps, the number waited for is linear: the queue's size is added."""
    queue = Queue()
    queue.show(QUEUE_BYTES - 64)
    queue.at(QUEUE_BYTES - 32)
    post(queue.kernel, queue.its, COMMAND, SYNC_0)
    assert queue.host.log()[0] == f"ITS queue timeout ({QUEUE_BYTES + 32} {QUEUE_BYTES - 64})"
    assert queue.its.write_offset == 32


def test_progress_that_stops_short_is_added_to_the_sample() -> None:
    """The second number is the sampled position plus what was seen to move, also across the end of the queue."""
    queue = Queue()
    answers = [QUEUE_BYTES - 32] * 2 + [0, 0]
    queue.host.port.reads[queue.creadr] = lambda _: answers.pop(0) if answers else 0
    queue.host.port.deaf.add(queue.its.base + GITS_CWRITER.OFFSET)
    queue.at(64)
    assert not post(queue.kernel, queue.its, COMMAND)
    assert queue.host.log()[0] == f"ITS queue timeout ({QUEUE_BYTES + 96} {QUEUE_BYTES})"


def test_a_full_queue_is_given_up_without_writing() -> None:
    """With one free slot left the queue is full: the kernel waits, complains, and the command never exists."""
    queue = Queue()
    queue.show(64)
    queue.at(32)
    assert not post(queue.kernel, queue.its, COMMAND, SYNC_0)
    assert queue.host.log() == ["ITS queue not draining"]
    assert queue.its.write_offset == 32
    assert not any(kind == "w" for kind, *_ in queue.host.port.accesses)
    assert queue.kernel.timeouts == 1


def test_a_queue_with_one_slot_left_takes_the_command_without_its_sync() -> None:
    """The SYNC finds no room and is left out; the command itself is posted."""
    queue = Queue()
    queue.show(96)
    queue.at(32)
    post(queue.kernel, queue.its, COMMAND, SYNC_0)
    assert queue.host.log()[0] == "ITS queue not draining"
    assert queue.its.write_offset == 64


@pytest.mark.parametrize("profile, cleans", [("virt-gicv3", False), ("snapdragon", True)])
def test_commands_are_cleaned_where_the_queue_is_not_coherent(profile: str, cleans: bool) -> None:
    """A queue that lost its shareability is cleaned to memory command by command."""
    queue = Queue(profile)
    queue.host.port.cleaned.clear()
    start = queue.its.queue + queue.its.write_offset
    post(queue.kernel, queue.its, COMMAND, SYNC_0)
    assert queue.host.port.cleaned == ([(start, 32), (start + 32, 32)] if cleans else [])


def test_commands_of_forwarded_events_have_builders_of_their_own() -> None:
    """INV followed by a VSYNC is what the kernel calls vinv."""
    queue = Queue()
    queue.show(1024)
    queue.at(1024)
    post(queue.kernel, queue.its, COMMAND, VSYNC(vpe_id=0))
    assert queue.host.log()[1] == "ITS cmd its_build_vinv_cmd failed"
