"""A host that does anything at all: nothing raises, strict lets nothing through, and what is refused leaves no trace."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.hypercalls import HYPERCALLS
from itsbox.arch.its_commands import COMMANDS
from itsbox.arch.its_registers import REGISTERS
from itsbox.arch.redist_registers import REGISTERS as GICR
from itsbox.hypervisor.knobs import KNOBS, PRESETS
from itsbox.ops import Drive, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Refused, Store
from tests.hypervisor.box import VALID, Box

_MAP = Box().map
_HALF = _MAP.ram + _MAP.ram_bytes // 2
_PLACES = (_HALF, _HALF + 0x1000, _HALF + 0x1_0000, _MAP.hyp, _MAP.guest, _MAP.its, _MAP.gicr, _MAP.ram, 0, 1 << 51)

words = st.integers(0, (1 << 64) - 1)
places = st.builds(lambda base, slip: base + slip, st.sampled_from(_PLACES), st.sampled_from((0, 0, 0x100, 0x800, 8)))
sizes = st.sampled_from((1, 2, 4, 8))


def _command(layout: Any) -> st.SearchStrategy[tuple[int, ...]]:
    small = st.sampled_from((0, 1, 2, 3, 15, 16, 1023, 8192, 65535, 65536))
    fields = {
        name: (places if name.endswith("addr") else small) | st.integers(0, place.max)
        for name, place in layout.FIELDS.items()
    }
    return st.builds(layout, **fields).map(lambda command: command.encode())


commands = st.one_of(*(_command(layout) for layout in COMMANDS.values()), st.tuples(words, words, words, words))
offsets = st.builds(lambda at, slip: at + slip, st.sampled_from(sorted(REGISTERS)), st.sampled_from((0, 0, 0, 4, 1)))
values = words | places | places.map(lambda addr: addr | VALID | 0x20F) | st.sampled_from((0, 1, 32, 0x1_0000))
gicr = st.builds(
    lambda cpu, at: _MAP.gicr + cpu * _MAP.gicr_stride + at, st.integers(0, 4), st.sampled_from(sorted(GICR))
)


def _write(addr: int, size: int, value: int) -> MmioWrite:
    return MmioWrite(addr, size, value % (1 << 8 * size))


ops: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda at, size, value: _write(_MAP.its + at, size, value), offsets, sizes, values),
    st.builds(lambda at, size: MmioRead(_MAP.its + at, size), offsets, sizes),
    st.builds(_write, gicr, sizes, values),
    st.builds(MmioRead, gicr, sizes),
    st.builds(
        Hvc, st.sampled_from([call.name for call in HYPERCALLS]) | words, st.lists(places | words, max_size=5).map(tuple)
    ),
    st.builds(Load, places, st.integers(1, 64)),
    st.builds(Store, places, st.binary(min_size=1, max_size=16)),
    st.builds(Msi, st.sampled_from((0, 1, 2, 16)), st.integers(0, 40)),
    st.sampled_from(
        [Drive("map_device", {"device_id": 2, "events": 3}), Drive("unmap_device", {"device_id": 2}), Drive("suspend", {}),
         Drive("resume", {}), Drive("deprivilege", {})]
    ),
)  # fmt: skip
posts = st.lists(commands, min_size=1, max_size=4)
edits = st.tuples(st.integers(0, 4), places.map(lambda addr: addr | VALID) | words)
steps = st.lists(ops | posts | edits, max_size=25)


def play(box: Box, program: list[Any]) -> None:
    """Carry a program out: ops, posted commands, edits of the host's level 1."""
    for step in program:
        if isinstance(step, list):
            if box.queue()["size"] > box.queue()["cwriter"]:
                box.post(*step)
        elif isinstance(step, tuple) and type(step) is tuple:
            box.add_l2(*step)
        else:
            box.machine.apply(step)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.sampled_from(("deprivileged", "host")), st.sampled_from(("ignore", "stall")), steps)
def test_strict_lets_nothing_through(start: str, policy: str, program: list[Any]) -> None:
    """Whatever a deprivileged host does, the oracle has nothing to object to."""
    box = Box(session={"start": start, "error_policy": policy, "oracle": "on"})
    if start == "host":
        box.machine.apply(Drive("deprivilege", {}))
    play(box, program)

    assert box.machine.violations == []


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(PRESETS)),
    st.dictionaries(st.sampled_from(sorted(KNOBS)), st.integers(0, 3), max_size=8),
    st.sampled_from(("deprivileged", "host", "bare")),
    steps,
)
def test_nothing_raises_whatever_the_knobs(
    preset: str, changed: dict[str, int], start: str, program: list[Any]
) -> None:
    """Any preset with any knobs changed: each op has an outcome, and the state can be saved and taken back."""
    knobs = {name: list(KNOBS[name].values)[n % len(KNOBS[name].values)] for name, n in changed.items()}
    box = Box(preset, session={"start": start}, **knobs)
    play(box, program)
    digest, saved = box.machine.state_hash(), box.machine.snapshot()
    play(box, program)
    box.machine.restore(saved)

    assert box.machine.state_hash() == digest
    box.machine.diagnosis()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(steps, offsets, sizes, values)
def test_a_refused_register_write_leaves_no_trace(program: list[Any], offset: int, size: int, value: int) -> None:
    """Strict: outcome refused, and no bit of the machine has changed, GITS_CWRITER's commands aside."""
    box = Box()
    play(box, program)
    before = box.machine.state_hash()
    outcome = box.machine.apply(_write(box.its + offset, size, value))

    if isinstance(outcome, Refused) and not outcome.commands:
        assert box.machine.state_hash() == before
