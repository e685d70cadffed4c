"""What the specification answers to every kind of write to an ITS: whole answers against ``tests/data/oracle/spec_its.json``.

The file is text for people: what changes in the state, each choice that is left open with its keys, its words and what it
lets be there, and what is wrong with the outcome. It is written anew as ``conftest`` says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from itsbox.arch.its_commands import (
    CLEAR,
    INT,
    INVDB,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    NO_DOORBELL,
    SYNC,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPP_V41,
    VMAPTI,
    VMOVI,
    VMOVP_V41,
    VSGI,
    VSYNC,
)
from itsbox.arch.its_registers import GITS_CTLR, VSGI_FRAME
from itsbox.arch.layout import Layout
from itsbox.ops import Aborted, Done, MmioRead, MmioWrite, Outcome, Refused, Verdict
from itsbox.oracle.abstract import PARTS, Abstract
from itsbox.oracle.spec import Call, Claims, Expected, Facts, specify
from itsbox.oracle.spec_call import Loose, from_host, still_host
from itsbox.oracle.spec_its import locate_its, stage_2
from itsbox.reasons import Reason
from tests.oracle.its_cases import (
    ALONE,
    BASES,
    BUSY,
    DEVICE,
    FACTS,
    GUEST,
    HYP,
    ITS,
    OFF,
    ON,
    OTHER,
    PINNED,
    SHARED,
    VPE,
    WIDE,
    WITH_GUEST,
    state_with,
)

GOLDEN = Path(__file__).parent.parent / "data" / "oracle" / "spec_its.json"
V41 = replace(FACTS, vmapp_v41=True)
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
SERIES = CLAIMS._replace(commands=False)
REFUSED = Refused(Reason.ITS_ENABLED)
CTLR, IIDR, MPAMIDR, STATUSR, CBASER, CWRITER, CREADR, BASER2 = 0, 0x4, 0x10, 0x40, 0x80, 0x88, 0x90, 0x110
TRANSLATER, SGIR = 0x1_0040, 0x2_0020
PAGES = {"alone": ALONE, "shared": SHARED, "pinned": PINNED, "hyp": HYP, "guest": GUEST, "with guest": WITH_GUEST}
PROBED = (0, *range(0x47FFE, 0x48100), 0x4900F, 0x49010, *range(0x5800E, 0x58012))


class Case:
    """A write to the second ITS, or to another, and what came of it."""

    def __init__(
        self, offset: int, value: int = 0, *, size: int = 8, node: int = 1, outcome: Outcome | None = None,
        pre: Abstract | None = None, observed: Abstract | None = None, claims: Claims = CLAIMS, facts: Facts = FACTS,
        **knobs: str,
    ) -> None:  # fmt: skip
        self.pre = pre or state_with()
        told = replace(facts, knobs=knobs)
        base = BASES[node] if offset < VSGI_FRAME else FACTS.vsgi[node] - VSGI_FRAME
        op = MmioWrite(base + offset, size, value)
        self.call = Call(op, Done() if outcome is None else outcome, observed or self.pre, told, claims)


def _records(commands: tuple[Any, ...], first: int = 2, verdict: str = Verdict.EXECUTED) -> Done:
    """Commands by their layouts or their words, in slots that follow each other."""
    words: list[Any] = [c.encode() if isinstance(c, Layout) else c for c in commands]
    return Done([(first + n, None, each, verdict, None, None) for n, each in enumerate(words)])


def _pump(*commands: Any, verdict: str = Verdict.EXECUTED, **more: Any) -> Case:
    """The host writes commands behind those that were looked at."""
    return Case(CWRITER, 0x40 + 32 * len(commands), outcome=_records(commands, verdict=verdict), **more)


def _both(name: str, offset: int, value: int = 0, **more: Any) -> Iterator[tuple[str, Case]]:
    """The same write carried out and refused."""
    yield f"{name}, done", Case(offset, value, **more)
    yield f"{name}, refused", Case(offset, value, outcome=REFUSED, **more)


INT7 = INT(device_id=7, event_id=0)
WAITING = replace(ITS, waiting=True, stopped=frozenset({0x48030, 0x48031}))


def _who_answers() -> Iterator[tuple[str, Case]]:
    """Knobs and phases that decide who answers, at the borders of the frames."""
    settings: dict[str, dict[str, Any]] = {
        "guarded": {}, "whole range": {"trap_range": "whole"}, "mapped": {"its_mmio": "mapped"},
        "forwarded": {"its_mmio": "forwarded"}, "no hypervisor": {"claims": CLAIMS._replace(pkvm=False)},
        "trusted": {"pre": replace(state_with(), finalised=frozenset())},
        "before the take-over": {"pre": replace(state_with(), its={0: OTHER})}, "series": {"claims": SERIES},
        "wide registers": {"register_width": "wide"},
    }  # fmt: skip
    for name, more in settings.items():
        for offset in (0xFFC0, 0xFFFC, 0x1_0000, TRANSLATER, 0x1_FFFC):
            yield f"{name} {offset:#x}", Case(offset, size=4, **more)
        for offset in (IIDR, 0x7, 0x8, 0x9, MPAMIDR, 0x20, STATUSR, CBASER, 0x84, CREADR, BASER2, 0xC000):
            yield from _both(f"{name} {offset:#x}", offset, **more)
    for trapped in ("control_frame", "whole"):
        for offset in (VSGI_FRAME, SGIR, VSGI_FRAME + 0xFFF8):
            yield f"frame of virtual SGIs {offset:#x}, {trapped}", Case(offset, trap_range=trapped)


def _ctlr() -> Iterator[tuple[str, Case]]:
    """GITS_CTLR, enabling and disabling."""
    late, seen = replace(ITS, host_cwriter=0x60), state_with(ctlr=GITS_CTLR.decode(ON).replace(quiescent=1).word())
    dirty = state_with(replace(late, enabled=False), ctlr=OFF | 0xF2)
    commands = _records((INT7,))
    yield from _both("CTLR unguarded", CTLR, 1, size=4, ctlr_guard="off")
    yield from _both("CTLR series", CTLR, 1, size=4, claims=SERIES)
    refused = REFUSED._replace(commands=commands.commands)
    yield "CTLR series, refused after commands", Case(CTLR, 1, size=4, claims=SERIES, outcome=refused)
    yield "CTLR refused although fine", Case(CTLR, 1, size=4, outcome=REFUSED, pre=state_with(ctlr=OFF))
    yield "CTLR enable", Case(CTLR, 1, size=4, pre=dirty, outcome=commands, observed=seen)
    yield (
        "CTLR enable, observed unknown",
        Case(CTLR, 1, size=4, pre=state_with(ctlr=OFF), observed=state_with(ctlr=None)),
    )
    yield "CTLR enable again", Case(CTLR, 0xFFFF_FFFF, size=4)
    yield "CTLR enable unknown", Case(CTLR, 1, size=4, pre=state_with(ctlr=None))
    for name, pre in {"busy": state_with(ctlr=BUSY), "quiescent": state_with(ctlr=OFF), "on": state_with()}.items():
        for value in (0, 1):
            for size, offset in ((4, 0), (8, 0), (1, 0), (2, 2)):
                both = _both(f"CTLR {name} {value} size {size} at {offset}", offset, value, size=size, pre=pre)
                yield from both
    yield "CTLR disable, commands", Case(CTLR, 0, size=4, outcome=commands, observed=seen)
    yield "CTLR disable while one waits", Case(CTLR, 0, size=4, pre=state_with(WAITING))


def _cwriter() -> Iterator[tuple[str, Case]]:
    """GITS_CWRITER: which values it takes, and what comes of them."""
    yield from _both("CWRITER unshadowed", CWRITER, 0x40, queue_shadowing="off")
    yield from _both("CWRITER series", CWRITER, 0x60, claims=SERIES)
    high = state_with(replace(ITS, consumed=0x60, host_cwriter=0x60))
    for size, at, value in (
        (8, 0, 0x60), (4, 0, 0x60), (4, 4, 0), (4, 4, 1), (8, 0, 0xFFE0), (8, 0, 0x1_0000), (8, 0, 0x1_0020), (8, 0, 0x61),
        (8, 0, 0x62), (2, 0, 0x60), (4, 2, 0x60), (1, 4, 0), (8, 0, 0x60 | 1 << 32),
    ):  # fmt: skip
        yield from _both(f"CWRITER {value:#x} size {size} at {at}", CWRITER + at, value, size=size, pre=high)
    for ctlr in (OFF, None):
        yield f"CWRITER disabled {ctlr}", Case(CWRITER, 0x60, pre=state_with(ctlr=ctlr))
        disabled = Case(CWRITER, 0x60, pre=state_with(ctlr=ctlr), outcome=_records((INT7,)))
        yield f"CWRITER disabled {ctlr}, commands", disabled
    yield "CWRITER disabled while one waits", Case(CWRITER, 0x60, pre=state_with(WAITING, ctlr=OFF))


def _bases() -> Iterator[tuple[str, Case]]:
    """GITS_CBASER and GITS_BASER<n>, and the rest of the registers."""
    off, waits = state_with(ctlr=OFF), state_with(WAITING, ctlr=OFF)
    states = {
        "on": state_with(),
        "off": off,
        "busy": state_with(ctlr=BUSY),
        "unknown": state_with(ctlr=None),
        "waits": waits,
    }
    for register, offset in (("CBASER", CBASER), ("BASER2", BASER2)):
        unguarded: dict[str, Any] = {f"{register.rstrip('2').lower()}_guard": "off"}
        yield from _both(f"{register} unguarded", offset, pre=off, **unguarded)
        for name, pre in states.items():
            yield from _both(f"{register} {name}", offset, pre=pre)
        for mask in ("correct", "copied"):
            yield f"{register} forced {mask}", Case(offset, pre=off, base_writes="forced", base_mask=mask)
        yield f"{register} one side", Case(offset, pre=waits, cbaser_reset="hardware", base_writes="forced")
    for name, offset in {"CREADR": CREADR, "STATUSR": STATUSR, "IIDR": IIDR, "reserved": 0x28}.items():
        yield from _both(name, offset)
        yield from _both(f"{name} series", offset, claims=SERIES)
    for vpe_id, size in ((2, 8), (3, 8), (2, 4)):
        for claims in (CLAIMS, SERIES):
            name = f"SGIR vPE {vpe_id} size {size}, {claims.commands}"
            yield from _both(name, SGIR, vpe_id << 32, size=size, claims=claims)


def _queue() -> Iterator[tuple[str, Case]]:
    """The queue as a whole: slots, waiting, the series."""
    yield "queue nothing", Case(CWRITER, 0x40)
    one = replace(state_with(), registers={(0, "CTLR"): ON, (1, "CREADR"): 0x40})
    yield "queue series, one place known", Case(CWRITER, 0x40, pre=one, claims=SERIES)
    yield "queue aborted", Case(CWRITER, 0x40, outcome=Aborted(Reason.HYP_MEMORY))
    yield "queue lost", Case(CWRITER, 0xA0, outcome=_records((INT7,)))
    yield "queue invented", Case(CWRITER, 0x40, outcome=_records((INT7,)))
    end = state_with(replace(ITS, consumed=0xFFE0, host_cwriter=0xFFE0)).with_registers(1, CREADR=0xFFE0)
    yield "queue around its end", Case(CWRITER, 0x20, pre=end, outcome=Done((
        *_records((INT7,), 0x7FF).commands, *_records((INT7,), 0).commands,
    )))  # fmt: skip
    bare = replace(state_with(), registers={(1, "CTLR"): ON})
    yield "queue, hardware's place unknown", _pump(INT7, pre=bare)
    yield "queue, one of three refused", Case(CWRITER, 0xA0, outcome=Done((
        *_records((INT7,)).commands, *_records(((0x77, 0, 0, 0),), 3, Verdict.REFUSED).commands,
        *_records((INT7,), 4).commands,
    )))  # fmt: skip
    yield "queue, all refused", _pump(INT7, INT7, verdict=Verdict.REFUSED)
    named = (
        MAPD(device_id=9, size=9, itt_addr=0x4804_0000, valid=1), INT7,
        VMAPP(vpe_id=3, rd_base=0, valid=1, vpt_size=13, vpt_addr=0x4805_0000),
    )  # fmt: skip
    newer = replace(ITS, devices={8: (0x4807_0000, 9)}, vpes={4: (0x4808_0000, 13, 0x480A_0000)}, waiting=True)
    newer = replace(newer, level_2={(1, 0): (0x48008, 1), (1, 1): (0x48060, 2)}, stopped=frozenset({0x480F0}))
    gone = replace(newer, level_2={(1, 0): (0x48061, 3)})
    noted = replace(state_with(newer), tracked={0x480E0: 1})
    none = replace(state_with(), its={0: OTHER})
    knobs: dict[str, dict[str, Any]] = {
        "": {}, " batch": {"submission": "batch"}, " slack": {"itt_pages": "slack"}, " buggy": {"vpt_pages": "buggy"},
        " v41": {"facts": V41},
    }  # fmt: skip
    for name, more in knobs.items():
        for claims in (CLAIMS, SERIES):
            kind = "stopped" if claims.commands else "series"
            yield f"queue {kind}{name}", _pump(*named, claims=claims, observed=noted, **more)
            large = VMAPP_V41(
                alloc=0, ptz=0, vconf_addr=0x480C_0000, default_doorbell=NO_DOORBELL, vpe_id=3, rd_base=0, valid=1,
                vpt_size=13, vpt_addr=0x4805_0000,
            )  # fmt: skip
            yield f"queue {kind}{name}, wide VMAPP", _pump(large, claims=claims, observed=noted, **more)
    yield "queue had stopped", _pump(pre=state_with(WAITING), observed=state_with(gone))
    yield (
        "queue of the other ITS waits",
        _pump(pre=replace(state_with(), its={0: replace(OTHER, waiting=True), 1: ITS})),
    )
    yield "queue series, ITS lost", _pump(claims=SERIES, observed=none)
    yield (
        "queue series, ITS new",
        Case(CTLR, 1, size=4, claims=SERIES, pre=state_with(replace(ITS, level_2={})), observed=noted),
    )
    level_2: dict[str, Mapping[tuple[int, int], tuple[int, int]]] = {
        "taken": {(1, 0): (0x48008, 1), (1, 1): (0x48040, 2)}, "half": {(1, 0): (0x48008, 1), (1, 1): (0x48001, 2)},
        "changed": {(1, 0): (0x48040, 1)}, "gone": {}, "the hypervisor's": {(1, 0): (0x48008, 1), (1, 2): (0x4FEFF, 2)},
    }  # fmt: skip
    for name, entries in level_2.items():
        yield f"level 2 {name}", _pump(INT7, observed=state_with(replace(ITS, level_2=entries)))
    yield "level 2, ITS lost", _pump(INT7, observed=none)


def _vmapp(v41: bool = False, **fields: int) -> Layout:
    given = {"vpe_id": 3, "rd_base": 1, "valid": 1, "vpt_size": 13, "vpt_addr": 0x4802_0000, **fields}
    if not v41:
        return VMAPP(**given)
    return VMAPP_V41(**{"alloc": 1, "ptz": 0, "vconf_addr": 0, "default_doorbell": NO_DOORBELL, **given})


def _tables() -> Iterator[tuple[str, Case]]:
    """MAPD and VMAPP: where their tables may be."""
    strange = {
        0x48020: GUEST, 0x48021: SHARED, 0x48022: WITH_GUEST, 0x48023: HYP, 0x4802F: GUEST, 0x48033: PINNED, 0x48034: ALONE,
    }  # fmt: skip
    pre = state_with(pages=strange)
    for addr in (
        0x4800_0100, 0x4800_1000, 0x4800_1F00, 0x4800_2000, 0x4800_8000, 0x4801_0000, 0x4801_F000, 0x4802_0000, 0x4802_1000,
        0x4802_2000, 0x4802_3000, 0x4803_3000, 0x3FFF_FF00, 0x4000_0000, 0x4FDF_FF00, 0x4FE0_0000, 0x5000_0000, 0,
    ):  # fmt: skip
        for device_id in (7, 9):
            yield (
                f"MAPD {device_id} {addr:#x}",
                _pump(MAPD(device_id=device_id, size=4, itt_addr=addr, valid=1), pre=pre),
            )
        yield f"VMAPP {addr:#x}", _pump(_vmapp(vpt_addr=addr), pre=pre)
    for size in (9, 14, 15, 16, 31):
        yield f"MAPD size {size}", _pump(MAPD(device_id=9, size=size, itt_addr=0x4900_0000, valid=1))
    for device_id in (7, 9):
        yield f"MAPD unmap {device_id}", _pump(MAPD(device_id=device_id, size=31, itt_addr=0, valid=0))
    for vpe_id in (2, 3):
        yield f"VMAPP unmap {vpe_id}", _pump(_vmapp(vpe_id=vpe_id, valid=0))
        yield f"VMAPP {vpe_id} elsewhere", _pump(_vmapp(vpe_id=vpe_id, vpt_addr=0x4900_0000, vpt_size=19))
        yield f"VMAPP {vpe_id} where one is", _pump(_vmapp(vpe_id=vpe_id, vpt_addr=0x4801_0000, vpt_size=19))
    mapped = replace(ITS, vpes={2: VPE, 6: (0x4810_0000, 13, 0x4820_0000)})
    held = dict.fromkeys((*range(0x48100, 0x48110), 0x48200, 0x48201, 0x48300), PINNED)
    state = state_with(mapped, pages=held)
    state = replace(state, tracked={**state.tracked, **dict.fromkeys(held, 1)}, resident={0: range(0x48300, 0x48301)})
    for conf in (0, 0x4900_0000, 0x4820_0000, 0x4830_0000, 0x4810_0000, 0x4801_0000, 0x4FE0_0000, 0x6000_0000):
        for vpe_id in (3, 6):
            command = _vmapp(True, vpe_id=vpe_id, vconf_addr=conf)
            yield f"VMAPP {vpe_id} configuration {conf:#x}", _pump(command, pre=state, facts=V41)
    yield "VMAPP pending on a configuration table", _pump(_vmapp(True, vpt_addr=0x4820_0000), pre=state, facts=V41)
    yield "VMAPP pending on a resident vPE's", _pump(_vmapp(True, vpt_addr=0x4830_0000), pre=state, facts=V41)
    yield "VMAPP unmap with configuration", _pump(_vmapp(True, vpe_id=6, valid=0), pre=state, facts=V41)


def _commands() -> Iterator[tuple[str, Case]]:
    """The policy of every other command: device, event, vPE, INTIDs, doorbells, targets."""
    pre = state_with(replace(ITS, devices={7: DEVICE, 11: WIDE}))
    given: list[tuple[str, Any]] = [
        ("opcode 0", (0, 0, 0, 0)), ("opcode 0xff", (0xFF, 0, 0, 0)), ("opcode with more", (0x1_0077, 0, 0, 0)),
        ("INT reserved", (*INT7.encode()[:2], 0, 1)), ("INT", INT7), ("MOVALL", MOVALL(rd_base1=0, rd_base2=1)),
        ("MOVALL from nowhere", MOVALL(rd_base1=2, rd_base2=1)), ("MOVALL to nowhere", MOVALL(rd_base1=1, rd_base2=2)),
        ("SYNC", SYNC(rd_base=1)), ("SYNC nowhere", SYNC(rd_base=2)), ("MAPC", MAPC(icid=0, rd_base=1, valid=1)),
        ("MAPC nowhere", MAPC(icid=0, rd_base=2, valid=1)), ("MAPC unmap", MAPC(icid=0, rd_base=2, valid=0)),
        ("VSYNC", VSYNC(vpe_id=9)), ("VINVALL", VINVALL(vpe_id=2)), ("VINVALL unmapped", VINVALL(vpe_id=3)),
        ("INVDB", INVDB(vpe_id=2)), ("VMAPP nowhere", _vmapp(rd_base=2)), ("VMAPP unmap nowhere", _vmapp(rd_base=2, valid=0)),
    ]  # fmt: skip
    for device_id, event_id in ((7, 31), (7, 32), (5, 0), (11, 65535), (11, 65536)):
        given.append((f"CLEAR {device_id} {event_id}", CLEAR(device_id=device_id, event_id=event_id)))
    for n in (0, 1023, 8191, 8192, 16383, 16384, 65535, 65536):
        event = {"device_id": 11, "event_id": 0}
        given += [
            (f"MAPTI {n}", MAPTI(**event, intid=n, icid=0)), (f"MAPI {n}", MAPI(device_id=11, event_id=n, icid=0)),
            (f"VMAPI {n}", VMAPI(device_id=11, event_id=n, vpe_id=2, doorbell_intid=NO_DOORBELL)),
            (f"VMAPTI {n}", VMAPTI(**event, vpe_id=2, virtual_intid=n, doorbell_intid=NO_DOORBELL)),
            (f"VMAPTI doorbell {n}", VMAPTI(**event, vpe_id=2, virtual_intid=8192, doorbell_intid=n)),
            (f"VMOVI doorbell {n}", VMOVI(**event, vpe_id=2, d=1, doorbell_intid=n)),
            (f"VMOVI no doorbell {n}", VMOVI(**event, vpe_id=2, d=0, doorbell_intid=n)),
        ]  # fmt: skip
    for name, command in given:
        for verdict in (Verdict.EXECUTED, Verdict.ERROR):
            yield f"{name} {verdict}", _pump(command, pre=pre, verdict=verdict)
    vmovp = {"sequence_number": 0, "its_list": 0, "vpe_id": 2, "rd_base": 0}
    vsgi = {"enable": 1, "clear": 0, "group": 0, "priority": 0, "virtual_intid": 3}
    newer: list[tuple[str, Any]] = [
        ("VSGI unmapped", VSGI(**vsgi, vpe_id=3)), ("INVDB", INVDB(vpe_id=2)),
    ]  # fmt: skip
    for n in (1023, 8191, 8192, 65535, 65536):
        newer += [(f"VMOVP db {on} {n}", VMOVP_V41(**vmovp, db=on, default_doorbell=n)) for on in (0, 1)]
        newer += [(f"VMAPP valid {on} {n}", _vmapp(True, default_doorbell=n, valid=on)) for on in (0, 1)]
    for name, command in newer:
        yield f"{name}, GICv4.1", _pump(command, pre=pre, facts=V41)
        yield f"{name}, GICv4.0", _pump(command, pre=pre)
    for command in (MAPD(device_id=7, size=4, itt_addr=0x4800_0000, valid=1), _vmapp(), _vmapp(True)):
        yield (
            f"{type(command).__name__} failed",
            _pump(command, verdict=Verdict.ERROR, facts=V41 if isinstance(command, VMAPP_V41) else FACTS),
        )


FAMILIES: dict[str, Callable[[], Iterator[tuple[str, Case]]]] = {
    "who answers": _who_answers, "CTLR": _ctlr, "CWRITER": _cwriter, "bases": _bases, "queue": _queue, "tables": _tables,
    "commands": _commands,
}  # fmt: skip


# ---------------------------------------------------------------- answers as text


def _runs(frames: list[int]) -> str:
    """0x1-0x3 0x7."""
    runs: list[list[int]] = []
    for pfn in frames:
        if runs and runs[-1][-1] + 1 == pfn:
            runs[-1].append(pfn)
        else:
            runs.append([pfn])
    return " ".join(hex(run[0]) if len(run) == 1 else f"{run[0]:#x}-{run[-1]:#x}" for run in runs)


def _changes(pre: Abstract, post: Abstract) -> Iterator[str]:
    """What differs, part by part; pages that become the same in one line."""
    for part in PARTS:
        before, after = getattr(pre, part), getattr(post, part)
        if not isinstance(before, dict):
            if before != after:
                yield f"{part}: {after}"
            continue
        changed: dict[str, list[Any]] = {}
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                changed.setdefault(str(after.get(key)), []).append(key)
        for text, keys in changed.items():
            yield f"{part} {_runs(keys) if part in ('pages', 'tracked') else keys}: {text}"


def _pairs(allowed: Callable[[Any, Any], bool]) -> str:
    """Which of the kinds of page may be there instead of which."""
    found = [f"{a} to {b}" for a, x in PAGES.items() for b, y in PAGES.items() if allowed(x, y)]
    return "any" if len(found) == len(PAGES) ** 2 else ", ".join(found)


def _choice(loose: Loose) -> str:
    if isinstance(loose.keys, set | frozenset):
        keys = ", ".join(sorted(map(str, loose.keys)))
    else:
        keys = _runs([pfn for pfn in PROBED if pfn in loose.keys])
    if loose.part == "pages":
        free = _pairs(loose.allowed)
    else:
        free = hex(sum(1 << n for n in range(64) if loose.allowed(0, 1 << n) and loose.allowed(1 << n, 0)))
    return f"open: {loose.part} [{keys}] ({free}): {loose.why}"


def _text(pre: Abstract, judged: Expected) -> list[str]:
    wrong = [] if judged.wrong is None else [f"wrong: {judged.wrong}"]
    return [*wrong, *_changes(pre, judged.post), *map(_choice, judged.loose)]


def _answers(family: str) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for name, case in FAMILIES[family]():
        assert name not in made, f"two cases are called {name}"
        made[name] = _text(case.pre, specify(case.pre, case.call))
    return made


def _lines(known: Mapping[str, Mapping[str, list[str]]]) -> Iterator[str]:
    """One line for each case."""
    for family, cases in known.items():
        lines = (f" {json.dumps(name)}: {json.dumps(text)}" for name, text in cases.items())
        yield f"{json.dumps(family)}: {{\n" + ",\n".join(lines) + "\n}"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_answer_is_the_recorded_one(family: str) -> None:
    """State, choices and sentences are those of the file, case by case."""
    made = _answers(family)
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("ITSBOX_WRITE_GOLDEN") == "1":
        known[family] = made
        GOLDEN.write_text("{\n" + ",\n".join(_lines(known)) + "\n}\n")
    assert made == known[family]


# ---------------------------------------------------------------- terms


STRICT = {
    "its_mmio": "emulated", "trap_range": "control_frame", "register_width": "exact", "ctlr_guard": "on",
    "queue_shadowing": "on", "cbaser_guard": "on", "cbaser_reset": "both", "baser_guard": "on", "base_writes": "exact",
    "base_mask": "correct", "submission": "runs", "itt_pages": "exact", "vpt_pages": "correct",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_stricts_knobs_may_be_said(family: str) -> None:
    """A knob that is left out means the same as ``strict``'s value."""
    known = json.loads(GOLDEN.read_text())[family]
    for name, case in FAMILIES[family]():
        facts = replace(case.call.facts, knobs={**STRICT, **case.call.facts.knobs})
        assert _text(case.pre, specify(case.pre, case.call._replace(facts=facts))) == known[name], name


@pytest.mark.parametrize("addr, place", [
    (0x0807_FFFF, None), (0x0808_0000, (0, 0)), (0x0809_FFFF, (0, 0x1_FFFF)), (0x080A_0000, None), (0x080C_0008, (1, 8)),
    (0x080D_FFFF, (1, 0x1_FFFF)), (0x080E_0000, None), (0x0A00_0000, (1, VSGI_FRAME)), (0x0A00_FFFF, (1, 0x2_FFFF)),
    (0x0A01_0000, None), (0x09FF_FFFF, None), (0, None), (0xFFFF, None),
])  # fmt: skip
def test_the_frames_of_an_its(addr: int, place: tuple[int, int] | None) -> None:
    """Two frames at its base, and that of virtual SGIs where it has one; address 0 stands for none."""
    assert locate_its(FACTS, addr) == place


@pytest.mark.parametrize("finalised, cpus, on", [(0, 0, False), (1, 1, True), (1, 2, False), (2, 2, True)])
def test_stage_2_is_on_with_the_last_cpu(finalised: int, cpus: int, on: bool) -> None:
    """Every CPU of the host, and there is one."""
    state = replace(state_with(), finalised=frozenset(range(finalised)))
    assert stage_2(state, replace(FACTS, cpus=cpus)) is on


def test_a_read_changes_nothing() -> None:
    """Not even one that is refused."""
    for outcome in (Done(), REFUSED):
        call = Call(MmioRead(BASES[1] + CTLR, 4), outcome, state_with(), FACTS, CLAIMS)
        assert specify(state_with(), call) == Expected(state_with())


def test_which_pages_may_be_found() -> None:
    """The host's stays the host's or becomes the hypervisor's; nothing comes from a guest or goes to one."""
    hosts = ("alone", "shared", "pinned")
    assert _pairs(still_host) == ", ".join(f"{a} to {b}" for a in hosts for b in hosts)
    assert _pairs(from_host) == ", ".join(f"{a} to {b}" for a in hosts[:2] for b in (*hosts, "hyp"))
