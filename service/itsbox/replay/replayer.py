"""Play one trace against a target and list what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from itsbox.ops import Load, MmioRead, Op, Store
from itsbox.replay.compare import Answer, Difference, Step, compare_step
from itsbox.replay.final import compare_memory, compare_registers, compare_state, region_ops, register_ops, table_ops
from itsbox.replay.steps import steps_of, uncomparable
from itsbox.replay.target import Target
from itsbox.replay.trace import Acknowledge, Crash, End, Read, Sent, Trace

__all__ = ["Report", "replay"]

BATCH_OPS = 1000  # well below the service's cap of 4,096 ops a request
BATCH_BYTES = 1 << 20  # of stored data; the service takes 4 MiB a request and hexadecimal doubles it


class Report(NamedTuple):
    """What a replay compared, and what differs."""

    trace: str
    title: str
    ops: int
    reads: int
    commands: int
    msis: int
    delivered: int
    acknowledges: int
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-like data."""
        return {
            **self._asdict(),
            "differences": [d._asdict() for d in self.differences],
            "not_compared": list(self.not_compared),
        }


def replay(trace: Trace, target: Target, on_progress: Callable[[int], None] = lambda _: None) -> Report:
    """Play every step of a trace, then compare the final state.

    on_progress is called with how many steps have been played since the last call. Raises whatever the target raises
    when it cannot answer at all.
    """
    steps = list(steps_of(trace))
    differences: list[Difference] = []
    commands = played = 0
    for batch in _batches(steps):
        answers = target.apply([step.op for step in batch])
        for step, answer in zip(batch, answers, strict=True):
            differences += compare_step(trace.head.id, step, answer)
            commands += len(answer.commands)
        played += len(batch)
        on_progress(len(batch))
    not_compared = _unrecorded(trace)
    end = trace.lines[-1] if trace.lines else None
    if isinstance(end, End):
        found, skipped = _compare_end(trace, end, target)
        differences += found
        not_compared += skipped
    elif isinstance(end, Crash):
        not_compared.append(f"the final state: the recorded model crashed ({end.error})")
    else:
        not_compared.append("the final state: the trace breaks off before its end")
    lines = [step.recorded for step in steps]
    return Report(
        trace=trace.head.id,
        title=trace.head.title,
        ops=played,
        reads=sum(isinstance(line, Read) for line in lines),
        commands=commands,
        msis=sum(isinstance(line, Sent) for line in lines),
        delivered=sum(isinstance(line, Sent) and line.translated for line in lines),
        acknowledges=sum(isinstance(line, Acknowledge) for line in lines),
        differences=tuple(differences),
        not_compared=tuple(not_compared),
    )


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    size = 0
    for step in steps:
        batch.append(step)
        size += len(step.op.data) if isinstance(step.op, Store) else 0
        if len(batch) >= BATCH_OPS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _unrecorded(trace: Trace) -> list[str]:
    reasons = [why for line in trace.lines if isinstance(line, Read) and (why := uncomparable(trace.head, line))]
    return [f"{reasons.count(why)} reads: {why}" for why in dict.fromkeys(reasons)]


def _compare_end(trace: Trace, end: End, target: Target) -> tuple[list[Difference], list[str]]:
    head = trace.head
    registers = register_ops(head, end)
    regions = [] if head.client else [*region_ops(head), *table_ops(end)]
    ops: list[Op] = [*(op for _, op in registers), *(op for _, op in regions)]
    answers = iter(_in_pieces(ops, target))
    values = {name: next(answers).value for name, _ in registers}
    memory = {name: (op.addr, next(answers).data) for name, op in regions}
    found, skipped = compare_state(head, end, target.state())
    return [*compare_registers(head.id, end, values), *compare_memory(head.id, end, memory), *found], skipped


def _in_pieces(ops: list[Op], target: Target) -> list[Answer]:
    """Answers of reads and loads, a few loads a batch so that no answer grows large."""
    answers = target.apply([op for op in ops if isinstance(op, MmioRead)])
    loads = [op for op in ops if isinstance(op, Load)]
    for start in range(0, len(loads), 8):
        answers += target.apply(loads[start : start + 8])
    return answers
