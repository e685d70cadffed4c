"""Generated sequences put to QEMU: its answers become a trace, and a trace can be replayed.

One QEMU process per number of CPUs is kept and reset between sequences. RAM survives a reset, so every place that a sequence can
reach is zeroed before the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.arch.layout import Register
from itsbox.arch.redist_registers import GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER, GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.ops import Fill, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay import places
from itsbox.replay.final import register_ops
from itsbox.replay.generator import L2_PAGES, RAM_MIB, Sequence, generate
from itsbox.replay.qemu import Qemu, commands_of, translated
from itsbox.replay.qtest import request_for
from itsbox.replay.replayer import Report, replay
from itsbox.replay.target import InProcess, wish_for
from itsbox.replay.trace import End, Filled, Head, Line, Read, Region, Sent, Stored, Trace, Write

__all__ = ["compare_with_qemu", "record"]

ITT_SPILL: Final = 2 << 15  # EventIDs of the largest ITT: it may reach over the slots behind its own
L2_BYTES: Final = L2_PAGES * 0x1_0000


def compare_with_qemu(gic: int, seeds: Iterable[int], length: int = 30) -> Iterator[tuple[Trace, Report]]:
    """Per seed: what QEMU answered, as a trace, and the report of replaying it against a machine here.

    Raises QemuMissing when there is no QEMU, QtestError when it fails.
    """
    with ExitStack() as stack:
        peers: dict[int, Qemu] = {}
        for seed in seeds:
            sequence = generate(seed, gic, length)
            peer = peers.get(sequence.cpus)
            if peer is None:
                peer = peers[sequence.cpus] = stack.enter_context(Qemu(gic=gic, cpus=sequence.cpus, ram_mib=RAM_MIB))
            trace = record(sequence, peer)
            yield trace, replay(trace, InProcess(wish_for(trace.head)))


def record(sequence: Sequence, peer: Qemu) -> Trace:
    """Put a sequence to QEMU and write down what it answers. The process is reset first."""
    peer.reset()
    peer.qtest.call(request_for(op, 0) for op in _blank(sequence))
    where = sequence.map
    head = Head(
        id=f"v{sequence.gic}-generated-{sequence.seed:05d}",
        title=f"generated sequence {sequence.seed}",
        qemu=peer.version(),
        client=False,
        gic=sequence.gic,
        cpus=sequence.cpus,
        ram_mib=RAM_MIB,
        gicd=where.gicd,
        its=where.its,
        gicr=where.gicr,
        gicr_stride=where.gicr_stride,
        ram=where.ram,
        seed=sequence.seed,
    )
    lines: list[Line] = []
    for op in sequence.ops:
        lines.append(_ask(op, len(lines) + 2, sequence, peer))
    lines.append(_end(head, len(lines) + 2, sequence, peer))
    return Trace(head, tuple(lines))


def _ask(op: Op, number: int, sequence: Sequence, peer: Qemu) -> Line:
    """One op put to QEMU, as the line of a trace with its answer."""
    (reply,) = peer.qtest.call([request_for(op, sequence.map.translater)])
    log = peer.new_log()
    match op:
        case MmioRead(addr, size):
            return Read(number, addr, size, int(reply, 16))
        case MmioWrite(addr, size, value):
            return Write(number, addr, size, value, commands_of(log, peer.cpus))
        case Store(addr, data):
            return Stored(number, addr, data)
        case Fill(addr, length, byte):
            return Filled(number, addr, length, byte)
        case Msi(device_id, event_id):
            return Sent(number, device_id, event_id, translated(log, peer.cpus))
        case _:
            raise TypeError(f"no line of a trace for {op}")


# ---------------------------------------------------------------- the final state


def _regions(sequence: Sequence) -> dict[str, tuple[int, int]]:
    """Name to address and length of every place that a sequence's commands can write."""
    ram, setup = sequence.map.ram, sequence.setup
    page = setup.page_bytes
    pages = {"device": setup.device_pages, "collection": 1, "vpe": 1}
    regions: dict[str, tuple[int, int]] = {}
    for name, flat, l2 in (
        ("device", places.DEVICE_TABLE, places.DEVICE_TABLE_L2),
        ("collection", places.COLLECTION_TABLE, places.COLLECTION_TABLE_L2),
        ("vpe", places.VPE_TABLE, places.VPE_TABLE_L2),
    ):
        regions[f"{name}_table"] = (ram + flat, page if name in setup.two_level else pages[name] * page)
        if name in setup.two_level:
            regions[f"{name}_table_l2"] = (ram + l2, L2_PAGES * page)
    slots = range(places.SLOTS)
    regions |= {f"itt{n}": (ram + places.ITT + n * places.SLOT_BYTES, places.SLOT_BYTES) for n in slots}
    regions |= {
        f"pending{n}": (ram + places.PENDING + n * places.SLOT_BYTES, places.PENDING_BYTES)
        for n in range(sequence.cpus)
    }
    if sequence.gic >= 4:
        regions |= {f"vpt{n}": (ram + places.VPT + n * places.SLOT_BYTES, places.PENDING_BYTES) for n in slots}
    return regions


def _blank(sequence: Sequence) -> list[Op]:
    """Fills that take back what an earlier sequence left, whatever its set-up was."""
    ram = sequence.map.ram
    extents = {
        places.QUEUE: 16 * 0x1000,
        places.DEVICE_TABLE: 8 << 16,
        places.DEVICE_TABLE_L2: L2_BYTES,
        places.COLLECTION_TABLE: 0x1_0000,
        places.COLLECTION_TABLE_L2: L2_BYTES,
        places.VPE_TABLE: 0x1_0000,
        places.VPE_TABLE_L2: L2_BYTES,
        places.PROPERTIES: 0x1_0000,
        places.VIRTUAL_PROPERTIES: 0x1_0000,
        places.PENDING: places.SLOTS * places.SLOT_BYTES,
        places.ITT: places.SLOTS * places.SLOT_BYTES + 12 * ITT_SPILL,
        places.VPT: places.SLOTS * places.SLOT_BYTES,
    }
    return [Fill(ram + place, length, 0) for place, length in extents.items()]


def _end(head: Head, number: int, sequence: Sequence, peer: Qemu) -> End:
    names = [GITS_CTLR.NAME, GITS_CBASER.NAME, GITS_CWRITER.NAME, GITS_CREADR.NAME]
    names += [GITS_BASER.element_name(n) for n, _ in GITS_BASER.elements()]
    redistributor: list[type[Register]] = [GICR_CTLR, GICR_PROPBASER, GICR_PENDBASER]
    if sequence.gic >= 4:
        redistributor += [GICR_VPROPBASER, GICR_VPENDBASER]
    names += [r.NAME.replace("GICR", f"GICR{cpu}", 1) for cpu in range(sequence.cpus) for r in redistributor]
    wanted = End(number, dict.fromkeys(names, 0), {}, {})
    registers = {name: peer.qtest.read(op.addr, op.size) for name, op in register_ops(head, wanted)}
    dump = {name: (addr, peer.qtest.load(addr, length)) for name, (addr, length) in _regions(sequence).items()}
    peer.new_log()
    memory = {name: _region(name, addr, data) for name, (addr, data) in dump.items() if any(data)}
    return End(number, registers, memory, _decoded(sequence, {name: data for name, (_, data) in dump.items()}))


def _region(name: str, addr: int, data: bytes) -> Region:
    """A dump as its runs of 16-byte rows that are not zero."""
    runs: list[tuple[int, bytes]] = []
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        if not any(row):
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == offset:
            runs[-1] = (runs[-1][0], runs[-1][1] + row)
        else:
            runs.append((offset, row))
    return Region(name, addr, len(data), tuple(runs))


def _decoded(sequence: Sequence, dump: dict[str, bytes]) -> dict[str, Any]:
    """The tables as ``end.state`` has them; of a two-level table, its level-2 pages."""
    tables = {name: dump.get(f"{name}_l2", dump[name]) for name in ("device_table", "collection_table", "vpe_table")}
    return places.decode_tables({**dump, **tables}, sequence.map.ram, cpus=sequence.cpus, virtual=sequence.gic >= 4)
