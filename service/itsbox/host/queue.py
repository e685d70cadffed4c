"""The command queue as Linux drives it: allocate a slot, write the command, move CWRITER, poll CREADR, give up.

Facts of Linux, irq-gic-v3-its.c. Four of them matter to anyone who reads a log of this driver:

* each command is written, followed by a SYNC or VSYNC if it has one, and CWRITER is moved once, by a 32-bit store;
* CREADR is sampled before and polled after, 32 bits wide and *unmasked*: a Stalled bit shows as an odd number;
* the numbers of ``ITS queue timeout (a b)`` are linear: ``a`` is the offset waited for, plus the queue's size if it wrapped;
  ``b`` is the sampled CREADR plus the progress seen;
* nobody looks at the result. The command stays in the ring, and the caller goes on as if it had been carried out.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.its_commands import CLEAR, COMMAND_SIZE, INT, INV, SYNC, VSYNC, Command
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.arch.values import SIZE_64K
from itsbox.host.kernel import POLL_ROUNDS, Kernel
from itsbox.host.state import ItsNode

__all__ = ["QUEUE_BYTES", "post"]

QUEUE_BYTES: Final = SIZE_64K
"""ITS_CMD_QUEUE_SZ: 2,048 commands, of which 2,047 can be waiting."""

_SLOTS: Final = QUEUE_BYTES // COMMAND_SIZE


def post(kernel: Kernel, its: ItsNode, command: Command, sync: SYNC | VSYNC | None = None) -> bool:
    """Send a command, and what waits for its completion. True if the ITS was seen to have read it.

    A failure is printed and counted in ``kernel.timeouts``; it is no error of the caller's.
    """
    if not _enqueue(kernel, its, command):
        return False
    if sync is not None:
        _enqueue(kernel, its, sync)
    sampled = _creadr(kernel, its)
    kernel.port.mmio_write(its.base + GITS_CWRITER.OFFSET, 4, its.write_offset)
    if _completed(kernel, its, sampled):
        return True
    kernel.timeouts += 1
    kernel.port.print(f"ITS cmd {_builder(command, sync)} failed")
    return False


def _creadr(kernel: Kernel, its: ItsNode) -> int:
    return kernel.port.mmio_read(its.base + GITS_CREADR.OFFSET, 4)


def _enqueue(kernel: Kernel, its: ItsNode, command: Command) -> bool:
    """Put one command into the next free slot; False when the queue stays full."""
    slot = its.write_offset // COMMAND_SIZE

    def has_room() -> bool:
        return (slot + 1) % _SLOTS != _creadr(kernel, its) // COMMAND_SIZE

    if not kernel.poll(has_room):
        kernel.timeouts += 1
        kernel.port.print("ITS queue not draining")
        return False
    addr = its.queue + its.write_offset
    kernel.port.store(addr, command.STRUCT.pack(*command.encode()))
    if its.needs_flushing:
        kernel.port.clean(addr, COMMAND_SIZE)
    its.write_offset = (its.write_offset + COMMAND_SIZE) % kernel.version.queue_modulus
    return True


def _completed(kernel: Kernel, its: ItsNode, sampled: int) -> bool:
    """Wait until the ITS has read up to the write offset (its_wait_for_range_completion)."""
    wrapped = its.write_offset < sampled and not kernel.version.compares_wrapped
    target = its.write_offset + QUEUE_BYTES if wrapped else its.write_offset
    position = last = sampled
    rounds = POLL_ROUNDS
    while rounds:
        now = _creadr(kernel, its)
        rounds -= 1
        position += now - last if now >= last else now - last + QUEUE_BYTES
        if position >= target:
            return True
        if now == last and rounds < POLL_ROUNDS - 1:  # two looks without progress: there will be none
            kernel.port.spend(rounds)
            break
        last = now
    kernel.port.print(f"ITS queue timeout ({target} {position})")
    return False


def _builder(command: Command, sync: SYNC | VSYNC | None) -> str:
    """The kernel's function that builds the command: ``%ps`` in its log."""
    forwarded = isinstance(sync, VSYNC) and isinstance(command, (INT, CLEAR, INV))
    return f"its_build_{'v' if forwarded else ''}{command.NAME.lower()}_cmd"
