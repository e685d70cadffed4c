"""Ops as Hypothesis strategies: addresses that matter, commands from the catalogue, honest and not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from itsbox.arch.its_commands import COMMANDS
from itsbox.arch.its_registers import REGISTERS as GITS
from itsbox.arch.redist_registers import REGISTERS as GICR
from itsbox.ops import Ack, Clean, Fill, Load, MmioRead, MmioWrite, Msi, Op, Store
from tests.rig import Rig

__all__ = ["commands", "ops"]

SIZES = st.sampled_from((1, 2, 4, 8))
WORD = st.integers(0, (1 << 64) - 1)
ITS, GICR_BASE = 0x808_0000, 0x80A_0000
PLACES = (Rig.QUEUE, Rig.DEVICES, Rig.COLLECTIONS, Rig.PROP, Rig.PEND, Rig.ITT, 0x4FF0_0000, 0x4FE0_0000, 0x4FFF_FFF8)

memory_addr = st.builds(lambda base, off: base + off, st.sampled_from(PLACES), st.integers(0, 0x2000)) | st.integers(
    0, (1 << 52) - 1
)
register_addr = st.builds(
    lambda base, off, slip: base + off + slip,
    st.just(ITS),
    st.sampled_from(sorted(GITS)),
    st.sampled_from((0, 0, 0, 4, 1)),
) | st.builds(lambda cpu, off: GICR_BASE + cpu * 0x2_0000 + off, st.integers(0, 4), st.sampled_from(sorted(GICR)))
values = st.one_of(
    WORD,
    st.integers(0, 64).map(lambda slot: slot * 32),
    st.sampled_from((0, 1, (1 << 64) - 1)),
    st.builds(
        lambda base, flags: base | flags, st.sampled_from(PLACES), st.sampled_from((1 << 63, 3 << 62, 0x200, 15))
    ),
)


def _command(layout: Any) -> st.SearchStrategy[tuple[int, ...]]:
    fields = {
        name: st.integers(0, place.max) | st.sampled_from((0, 1, 2, 16, 8192)) for name, place in layout.FIELDS.items()
    }
    for name in ("itt_addr", "vpt_addr", "vconf_addr"):
        if name in fields:
            fields[name] = st.sampled_from(PLACES).map(lambda addr: addr & -0x1_0000) | fields[name]
    return st.builds(layout, **fields).map(lambda command: command.encode())


#: Four words: any command of the catalogue with small, legal-looking or arbitrary operands, or anything at all.
commands = st.one_of(*(_command(layout) for layout in COMMANDS.values()), st.tuples(WORD, WORD, WORD, WORD))


def _queue_store(slot: int, words: tuple[int, ...]) -> Store:
    return Store(Rig.QUEUE + slot * 32, b"".join(word.to_bytes(8, "little") for word in words))


ops: st.SearchStrategy[Op] = st.one_of(
    st.builds(MmioRead, register_addr | memory_addr, SIZES),
    st.builds(lambda addr, size, value: MmioWrite(addr, size, value % (1 << 8 * size)), register_addr, SIZES, values),
    st.builds(lambda slot: MmioWrite(ITS + 0x88, 8, slot * 32), st.integers(0, 70)),
    st.builds(_queue_store, st.integers(0, 64), commands),
    st.builds(Load, memory_addr, st.integers(1, 64)),
    st.builds(Store, memory_addr, st.binary(min_size=1, max_size=32)),
    st.builds(Fill, memory_addr, st.integers(1, 9000), st.integers(0, 255)),
    st.builds(Msi, st.sampled_from((0, 1, 2, 16, 0xFFFF, 1 << 31)), st.integers(0, 40) | st.integers(0, (1 << 32) - 1)),
    st.builds(Ack, st.integers(0, 3)),
    st.builds(Clean, memory_addr, st.integers(1, 4096)),
)
