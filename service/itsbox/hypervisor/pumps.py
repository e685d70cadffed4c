"""What a write to GITS_CWRITER sets going, one pump for each value of knob ``submission``.

* ``batch`` (RFC 6 to 10): copy everything since the last position to the hardware queue at the same offset, then check the
  copies, then write the host's value to the hardware. A refused command leaves position and hardware as they are, so that the
  next write looks at the same commands again.
* ``one_at_a_time`` (v2): fetch, check, copy, make visible, look: the offsets of both queues stay equal.
* ``runs``: as before, but commands that change no page go together, and the hardware's offsets are its own, so that a
  refused command is simply left out.

A pump answers the first refusal of this write, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_registers import GITS_CWRITER
from itsbox.hypervisor.plan import Plan, commit, complete, undo
from itsbox.hypervisor.queue import WORDS, CommandQueue, Words
from itsbox.reasons import Reason

__all__ = ["PUMPS", "Pump"]

Pump = Callable[[CommandQueue, int], "Reason | None"]


# ---------------------------------------------------------------- batch


def batch(queue: CommandQueue, value: int) -> Reason | None:
    """The RFC's way. ``value`` is what the host wrote, all of it."""
    state, target = queue.state, GITS_CWRITER.decode(value).offset
    start = state.consumed
    length = target - start if target >= start else state.host_bytes - start
    plans: list[Plan] = []
    first = _copy_and_check(queue, plans, (start, length), (start, length))
    if first is not None and not _skips(queue):
        return first
    count = length
    if start + length >= state.host_bytes:
        # Wrapped: the rest lies at the start of the queue. What is checked then is a knob.
        correct = queue.el2.knobs["wrap_parsing"] == "correct"
        second = _copy_and_check(queue, plans, (0, target), (0, target) if correct else (start, length))
        if second is not None and not _skips(queue):
            state.consumed = 0
            return first or second
        first, count = first or second, length + target
    state.consumed = target % state.host_bytes
    queue.mirrored(start, count // COMMAND_SIZE)
    state.hw_offset = state.consumed
    queue.write_cwriter(value)
    complete(queue.el2, state, tuple(plans))
    return first


def _skips(queue: CommandQueue) -> bool:
    return queue.el2.knobs["on_refusal"] == "skip"


def _copy_and_check(
    queue: CommandQueue, plans: list[Plan], copied: tuple[int, int], checked: tuple[int, int]
) -> Reason | None:
    """Copy one piece (offset, bytes) of the host queue, then check the copies in another. Adds what was committed."""
    start, length = copied
    if length:
        queue.copy(start, queue.fetch(start, length))
    start, length = checked
    first = None
    copies = queue.copies(start, length) if length else b""
    for offset, words in zip(range(start, start + length, COMMAND_SIZE), queue.words_of(copies), strict=False):
        name, passed, denied, planned = _look_and_commit(queue, words)
        if denied is not None:
            queue.reject(offset, name, words, denied)
            first = first or denied
            if not _skips(queue):
                return first
            passed = queue.neutral
        elif queue.rereads:
            passed = queue.again(offset)
        if passed != words:
            queue.copy(offset, WORDS.pack(*passed))
        plans += planned
    return first


def _look_and_commit(queue: CommandQueue, words: Words) -> tuple[str | None, Words, Reason | None, tuple[Plan, ...]]:
    """Name, words to submit, refusal or None, and the plans that were committed."""
    name, passed, checked = queue.look(words)
    if isinstance(checked, Reason):
        return name, passed, checked, ()
    plans = checked or ()
    denied = commit(queue.el2, queue.state, plans)
    return name, passed, denied, () if denied is not None else plans


# ---------------------------------------------------------------- one at a time


def one_at_a_time(queue: CommandQueue, value: int) -> Reason | None:
    """v2's way: a command that is refused, stalls or is not carried out ends it, with the position at that command."""
    state, written = queue.state, GITS_CWRITER.decode(value)
    start, count, first = state.consumed, 0, None
    while state.consumed != written.offset:
        offset = state.consumed
        words: Words = WORDS.unpack(queue.fetch(offset, COMMAND_SIZE))
        name, passed, denied, plans = _look_and_commit(queue, words)
        if denied is not None:
            queue.reject(offset, name, words, denied)
            first = first or denied
            if not _skips(queue):
                break
            passed = queue.neutral
        elif queue.rereads:
            passed = queue.again(offset)
        denied = _submit_one(queue, offset, passed, written.retry)
        if denied is not None:
            undo(queue.el2, state, plans)
            (queue.note if denied is Reason.COMMAND_STALLED else queue.reject)(offset, name, words, denied)
            first = first or denied
            break
        complete(queue.el2, state, plans)
        state.consumed = queue.next(offset)
        count += 1
    state.hw_offset = state.consumed
    queue.mirrored(start, count)
    return first


def _submit_one(queue: CommandQueue, offset: int, words: Words, retry: int) -> Reason | None:
    """Put one command into the hardware queue at the same offset and see it through."""
    queue.copy(offset, WORDS.pack(*words))
    following = queue.next(offset)
    queue.write_cwriter(GITS_CWRITER(retry=retry, offset=following).word())
    reached = queue.read_creadr()
    if reached.stalled:
        return Reason.COMMAND_STALLED
    return None if reached.offset == following else Reason.COMMAND_TIMEOUT


# ---------------------------------------------------------------- runs


def runs(queue: CommandQueue, value: int) -> Reason | None:
    """Checked copies, together where nothing depends on their completion; refused ones are left out."""
    state = queue.state
    if state.inflight:
        _take_back(queue, GITS_CWRITER.decode(value).retry)
    start, hw_start, first = state.consumed, state.hw_offset, None
    while state.consumed != state.host_cwriter:
        end = state.host_cwriter if state.host_cwriter > state.consumed else state.host_bytes
        refused, goes_on = _segment(queue, state.consumed, end)
        first = first or refused
        if not goes_on:
            break
    queue.mirrored(start, (state.hw_offset - hw_start) % state.hw_bytes // COMMAND_SIZE)
    return first


def _take_back(queue: CommandQueue, retry: int) -> None:
    """Commands that the ITS stopped at leave the hardware queue again: they are looked at anew, as the host has them now."""
    state = queue.state
    settle(queue)
    undo(queue.el2, state, state.stalled_plans)
    state.stalled_plans, state.inflight = (), ()
    queue.write_cwriter(GITS_CWRITER(retry=retry, offset=state.hw_offset).word())


def settle(queue: CommandQueue) -> None:
    """Take note of what the ITS did on its own with commands that it had stopped at (it retries when it is enabled)."""
    state = queue.state
    if not state.inflight:
        return
    reached = queue.read_creadr().offset
    done = (reached - state.hw_offset) % state.hw_bytes // COMMAND_SIZE
    if done:
        complete(queue.el2, state, state.stalled_plans)
        rest = state.inflight[done:]
        state.consumed = rest[0] if rest else queue.next(state.inflight[-1])
        state.hw_offset, state.stalled_plans, state.inflight = reached, (), rest


def _segment(queue: CommandQueue, start: int, end: int) -> tuple[Reason | None, bool]:
    """Work off [start, end) of the host queue. Answers the first refusal, and whether the queue goes on behind it."""
    state, look = queue.state, queue.look
    limit = state.hw_bytes // COMMAND_SIZE - 1
    first: Reason | None = None
    commands: list[Words] = []
    offsets: list[int] = []
    offset = start
    for words in queue.words_of(queue.fetch(start, end - start)):
        name, passed, checked = look(words)
        if queue.rereads:
            passed = queue.again(offset)
        if checked is None:
            commands.append(passed)
            offsets.append(offset)
        if checked is not None or len(commands) == limit:
            if not queue.submit(commands, offsets):
                return first, False
            commands, offsets = [], []
        if checked is not None:
            plans = checked if isinstance(checked, tuple) else ()
            denied = checked if isinstance(checked, Reason) else commit(queue.el2, state, plans)
            if denied is not None:
                queue.reject(offset, name, words, denied)
                first = first or denied
                if not _skips(queue):
                    state.consumed = offset
                    return first, False
                state.consumed = queue.next(offset)
            elif queue.submit([passed], [offset]):
                complete(queue.el2, state, plans)
            else:
                state.stalled_plans = plans
                return first, False
        offset += COMMAND_SIZE
    return first, queue.submit(commands, offsets)


PUMPS: Final[dict[str, Pump]] = {"batch": batch, "one_at_a_time": one_at_a_time, "runs": runs}
