"""The concrete machine as the oracle sees it. The only module of the oracle that knows what the hypervisor's state looks like.

Everything here is a pure read. ``MachineView`` answers the judge and the invariants while ops run, ``HypervisorRecords`` what the
hypervisor has written down; ``Abstraction`` turns the whole machine into the state that the specification speaks about.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import MAPC
from itsbox.arch.its_registers import FRAME_SIZE, GITS_BASER, GITS_CREADR, GITS_CWRITER, VSGI_FRAME
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry
from itsbox.arch.redist_registers import GICR_TYPER
from itsbox.arch.values import align_down, pages_of, pfn_of
from itsbox.hypervisor.presets import PRESETS
from itsbox.hypervisor.tracking import ITT
from itsbox.memory.ownership import Owner
from itsbox.memory.ownership import PageState as Seen
from itsbox.oracle.abstract import PARTS, Abstract, AbstractIts, AbstractLpis, AbstractPage, AbstractTable, Regions
from itsbox.oracle.device_table import translation_table, word_at, words_at
from itsbox.oracle.pages import Pages, PageState, Whose
from itsbox.oracle.records import HostQueue
from itsbox.oracle.spec import Claims, Facts
from itsbox.oracle.view import Command, Gicr, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.hypervisor.hypervisor import Hypervisor
    from itsbox.hypervisor.its_state import ItsState
    from itsbox.hypervisor.plan import Plan
    from itsbox.memory.interconnect import Interconnect
    from itsbox.memory.ownership import Ownership

__all__ = ["Abstraction", "HypervisorRecords", "MachineView", "OwnershipPages", "claims_of"]

_OWNED: Final = "OWNED"
_MEMORY: Final = {
    states: PageState(whose, Seen.NAMES[states[owner]], 0)
    for states, owner, whose in (
        ((Seen.OWNED, Seen.NOPAGE, Seen.NOPAGE), Owner.HOST, Whose.HOST),
        ((Seen.SHARED_OWNED, Seen.SHARED_BORROWED, Seen.NOPAGE), Owner.HOST, Whose.SHARED),
        ((Seen.SHARED_OWNED, Seen.NOPAGE, Seen.SHARED_BORROWED), Owner.HOST, Whose.SHARED),
        ((Seen.NOPAGE, Seen.OWNED, Seen.NOPAGE), Owner.HYP, Whose.HYP),
        ((Seen.NOPAGE, Seen.NOPAGE, Seen.OWNED), Owner.GUEST, Whose.GUEST),
    )
}
"""What host, hypervisor and guest each see of a page of memory, to its class: made once, since most pages have no pins."""
_FRAME: Final = PageState(Whose.DEVICE, _OWNED, 0)
_NOTHING: Final = PageState(Whose.MISSING, _OWNED, 0)
"""Neither is ever shared or pinned: whoever it belongs to has it alone."""
_FEW: Final = 8  # so many words are found as soon in a list as in a set


class OwnershipPages:
    """``Pages`` over the machine's ownership map."""

    __slots__ = ("_devices", "_ownership")

    def __init__(self, ownership: Ownership, devices: tuple[range, ...]) -> None:
        self._ownership = ownership
        self._devices = devices

    def page(self, pfn: int) -> PageState:
        """The page's class, state and pins now."""
        own = self._ownership
        if pfn not in own.ram:
            return _FRAME if any(pfn in frames for frames in self._devices) else _NOTHING
        page, pins = _MEMORY[own.states(pfn)], own.pins(pfn)
        return page._replace(pins=pins) if pins else page

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of [first, last] that is the hypervisor's or a guest's, or None."""
        return self._ownership.foreign(first, last)


class MachineView:
    """``View`` over the parts of a machine.

    phase: tells the machine's phase; guards: tells whether the hypervisor answers the host at an address.
    """

    __slots__ = (
        "_gicrs", "_guards", "_interconnect", "_its", "_map", "_moves", "id_bits", "ite_bytes", "pages", "phase",
        "pta", "vmapp_v41",
    )  # fmt: skip

    def __init__(
        self,
        *,
        where: MemoryMap,
        its: list[Its],
        redistributors: list[Redistributor],
        interconnect: Interconnect,
        ownership: Ownership,
        phase: Callable[[], str],
        guards: Callable[[int], bool],
    ) -> None:
        self._map = where
        self._its = its
        self._gicrs = redistributors
        self._interconnect = interconnect
        self.phase = phase
        self._guards = guards
        its_frames = tuple(pages_of(node.base, 0x3_0000) for node in its)
        gicr_frames = pages_of(where.gicr, where.gicr_stride * len(redistributors))
        self.pages: Pages = OwnershipPages(ownership, (pages_of(where.gicd, 0x1_0000), *its_frames, gicr_frames))
        self.pta = bool(its[0].typer.pta)
        self.vmapp_v41 = bool(its[0].typer.vmapp)
        self.ite_bytes = its[0].ite_bytes
        self.id_bits = its[0].profile.gicr_idbits
        self._moves = interconnect.moves

    def executing(self) -> tuple[int, Command | None]:
        """(ITS, command) that is being carried out."""
        for number, node in enumerate(self._its):
            if node.command is not None:
                return number, node.command
        return 0, None

    def nodes(self) -> tuple[Node, ...]:
        """Every ITS."""
        return tuple(Node(node.enabled, node.cbaser, tuple(node.baser)) for node in self._its)

    def registers_moved(self) -> bool:
        """Whether a register that says what memory hardware uses was written since this was last asked."""
        moved, self._moves = self._moves != self._interconnect.moves, self._interconnect.moves
        return moved

    def gicrs(self) -> tuple[Gicr, ...]:
        """Every redistributor."""
        return tuple(Gicr(gicr.enable_lpis, gicr.propbaser, gicr.pendbaser) for gicr in self._gicrs)

    def is_redistributor(self, addr: int) -> bool:
        """Whether an address is the RD frame of a redistributor."""
        number, rest = divmod(addr - self._map.gicr, self._map.gicr_stride)
        return rest == 0 and 0 <= number < len(self._gicrs)

    def guards_redistributors(self) -> bool:
        """Whether the redistributors' frames are the hypervisor's."""
        return self._guards(self._map.gicr)

    def maps_device(self, node: int, device_id: int, pfn: int) -> bool:
        """Whether the device table gives the device a translation table that touches a frame."""
        table = translation_table(self._its[node], self._interconnect.mem, device_id)
        return pfn in pages_of(*table)

    def level_2(self, word: int, page_bytes: int) -> int | None:
        """The level-2 page of a level-1 entry, as the ITSs read it."""
        return self._its[0].l2_page(word, page_bytes)

    def word(self, addr: int) -> int | None:
        """Eight bytes of memory as hardware sees them."""
        return word_at(self._interconnect.mem, addr)

    def words(self, addr: int, length: int) -> Iterator[tuple[int, int]]:
        """(index, doubleword) of the doublewords of a range that are not zero."""
        return words_at(self._interconnect.mem, addr, length)


class HypervisorRecords:
    """``Records`` over a hypervisor: what it has written down, without changing it."""

    __slots__ = ("_hyp", "_knobs", "_own_view")

    def __init__(self, hyp: Hypervisor) -> None:
        self._hyp = hyp
        self._knobs = hyp.hardening.knobs
        self._own_view = self._knobs["register_view"] == "host"

    def _its(self, node: int) -> ItsState | None:
        emulation = self._hyp.its(node)
        return None if emulation is None else emulation.state

    def pins(self, pfn: int) -> int | None:
        """Objects that hold the page, and the host queues and level-1 copies that it belongs to."""
        count = self._hyp.el2.tracking.pins(pfn)
        for state in self._hyp.its_states():
            for first, pages in state.pinned:
                count += first <= pfn < first + pages
        return count

    def itt(self, node: int, device_id: int, pages: range) -> frozenset[int] | None:
        """Those of ``pages`` that are recorded for a device; None if the hypervisor does not look at MAPD."""
        state = self._its(node)
        if state is None or self._knobs["mapd_check"] != "on":
            return None
        if device_id not in state.devices:
            return frozenset()
        return frozenset(key[3] for key in self._hyp.el2.tracking.keys_of(ITT, node, device_id, pages))

    def vpe(self, node: int, vpe_id: int) -> bool | None:
        """Whether a vPE is recorded; None if the hypervisor does not look at virtual commands."""
        state = self._its(node)
        if state is None or self._knobs["virtual_commands"] != "checked":
            return None
        return vpe_id in state.vpes

    def queues(self) -> tuple[HostQueue, ...]:
        """The host's queues, with the two offsets as the host reads them."""
        return tuple([self._queue(state) for state in self._hyp.its_states()])

    def looked(self) -> Collection[tuple[int, int, int, int]] | None:
        """The commands that were looked at, and the one that takes the place of a refused one."""
        found: list[tuple[int, int, int, int]] = []
        for region in self._hyp.protected.regions:
            if region.emulation is not None:
                if region.emulation.state.looked is None:
                    return None
                found += region.emulation.state.looked
                found.append(region.emulation.queue.neutral)
        return (found if len(found) < _FEW else frozenset(found)) or None

    def _queue(self, state: ItsState) -> HostQueue:
        creadr, cwriter = state.consumed, state.host_cwriter
        if not self._own_view:
            creadr = GITS_CREADR.decode(state.its.creadr).offset
            cwriter = GITS_CWRITER.decode(state.its.cwriter).offset
        return HostQueue(
            state.number, state.host_queue, state.host_bytes, creadr, cwriter, bool(state.inflight), state.polls
        )


def claims_of(hyp: Hypervisor) -> Claims:
    """What the hardening promises: all of it where it does what ``strict`` does with commands, pages and registers."""
    knobs, strict = hyp.hardening.knobs, PRESETS["strict"].knobs
    beside = {"driver_handover", "driver_itt_alignment", "driver_table_free", "private_state", "host_abort"}
    full = all(knobs[name] == value for name, value in strict.items() if name not in beside)
    return Claims(pkvm=hyp.present, commands=full, injects=knobs["host_abort"] == "inject")


class Abstraction:
    """The machine as the specification sees it. Call it for the state now.

    What is as it was is the same object as before, the whole or a part of it, so that comparing costs nothing.
    """

    __slots__ = ("_gicrs", "_hyp", "_its", "_known_pages", "_ownership", "_saved", "_view", "_whole", "facts")

    def __init__(self, view: MachineView, ownership: Ownership, hyp: Hypervisor, its: Sequence[Its]) -> None:
        self._view = view
        self._ownership = ownership
        self._hyp = hyp
        self._its = its
        self._gicrs = view._gicrs  # noqa: SLF001 - the view's neighbour in this module
        self._saved: object = None
        self._known_pages: dict[int, AbstractPage] = {}
        self._whole: Abstract | None = None
        self.facts = self._facts(view._map)  # noqa: SLF001 - as above

    def _facts(self, where: MemoryMap) -> Facts:
        own, first = self._ownership, self._its[0]
        profile, cpus = first.profile, len(self._gicrs)
        typers = [GICR_TYPER.decode(gicr.typer) for gicr in self._gicrs]
        names: range | frozenset[int] = range(cpus)
        if first.typer.pta:  # the field holds the frame's address in place, so decoding an address gives its field
            frames = (where.gicr + cpu * where.gicr_stride for cpu in range(cpus))
            names = frozenset(MAPC.decode(0, 0, frame, 0).rd_base for frame in frames)
        vlpis = ("GICv4.1" if typers[0].rvpeid else "GICv4") if typers[0].vlpis else ""
        return Facts(
            regions=Regions(own.ram, own.hyp, own.guest),
            its=tuple(node.base for node in self._its),
            ite_bytes=first.ite_bytes,
            event_id_bits=first.typer.id_bits,
            vmapp_v41=bool(first.typer.vmapp),
            vsgi=tuple(_vsgi_frame(node, where) for node in self._its),
            gicr=where.gicr,
            stride=where.gicr_stride,
            cpus=cpus,
            vlpis=vlpis,
            id_bits=profile.gicr_idbits,
            groups=tuple(_group(typer) for typer in typers),
            rd_bases=names,
            knobs=self._hyp.hardening.knobs,
        )

    def __call__(self) -> Abstract:
        """The abstract state."""
        hyp = self._hyp
        redist, switch = hyp.redistributors, hyp.switch
        now = Abstract(
            phase=self._view.phase(),
            pages=self._pages(),
            its={n: taken for n in range(len(self._its)) if (taken := self._taken(n)) is not None},
            registers=self._registers(),
            lpis={gicr.cpu: _lpis(gicr) for gicr in self._gicrs},
            finalised=frozenset(switch.finalised),
            quiesced=dict(switch.quiesced),
            taken=frozenset(redist.taken),
            held=dict(redist.held),
            resident=dict(redist.vlpi.resident),
            alive=dict(hyp.guests.alive),
            donated=dict(hyp.guests.owners),
            tracked=dict(hyp.el2.tracking.users),
        )
        self._whole = now if self._whole is None else _kept(self._whole, now)
        return self._whole

    def _registers(self) -> dict[tuple[int, str], int]:
        registers: dict[tuple[int, str], int] = {}
        for node in self._its:
            n = node.number
            registers[n, "CTLR"] = node.ctlr
            registers[n, "CBASER"] = node.cbaser
            registers[n, "CWRITER"] = node.cwriter
            registers[n, "CREADR"] = node.creadr
            for k, name in enumerate(_BASERS):
                registers[n, name] = node.baser[k]
        return registers

    def _pages(self) -> dict[int, AbstractPage]:
        """Memory pages that differ from reset, from the plain state of the ownership map."""
        own, saved = self._ownership, self._ownership.state()
        if saved == self._saved:
            return self._known_pages
        pages = {}
        for pfn in {*saved["codes"], *saved["pins"]}:
            if own.is_memory(pfn):
                owner, state, pins = own.describe(pfn)
                shared = None if state == _OWNED else ("hyp" if own.hyp_may(pfn) else "guest")
                pages[pfn] = AbstractPage(owner, shared, pins)
        self._saved, self._known_pages = saved, pages
        return pages

    def _taken(self, number: int) -> AbstractIts | None:
        emulation = self._hyp.its(number)
        if emulation is None:
            return None
        state = emulation.state
        return AbstractIts(
            host_queue=state.host_queue,
            host_bytes=state.host_bytes,
            consumed=state.consumed,
            devices=dict(state.devices),
            vpes=dict(state.vpes),
            level_2=self._level_2(state),
            waiting=bool(state.inflight),
            stopped=_frames_of(state.stalled_plans),
            host_cwriter=state.host_cwriter,
            hw_queue=state.hw_queue,
            tables=_tables_of(state),
            enabled=state.enabled,
        )

    def _level_2(self, state: ItsState) -> dict[tuple[int, int], tuple[int, int]]:
        """The level-1 entries that hardware has, with the pages that they name now."""
        found = {}
        for n, slots in state.present.items():
            table = state.table(n)
            if table is not None:
                for slot in slots:
                    word = self._view.word(table.base + slot * L1_ENTRY_SIZE)
                    found[table.type, slot] = _level_2_pages(word or 0, table.page_bytes)
        return found


def _kept(before: Abstract, now: Abstract) -> Abstract:
    """``now``, made of the same objects as ``before`` wherever the two are equal."""
    changes = {}
    for part in PARTS:
        old, new = getattr(before, part), getattr(now, part)
        if new is not old and new != old:
            changes[part] = new
    return replace(before, **changes) if changes else before


_BASERS: Final = tuple(f"BASER{n}" for n, _ in GITS_BASER.elements())


def _lpis(gicr: Redistributor) -> AbstractLpis:
    frame = gicr.vlpi
    return AbstractLpis(gicr.enable_lpis, gicr.propbaser, gicr.pendbaser, frame.vpropbaser, frame.vpendbaser)


def _vsgi_frame(node: Its, where: MemoryMap) -> int:
    """Address of an ITS's frame of virtual SGIs, or 0: that of the first may lie elsewhere."""
    if not node.typer.vsgi:
        return 0
    return node.base + VSGI_FRAME if where.sgir is None or node.number else align_down(where.sgir, FRAME_SIZE)


def _group(typer: GICR_TYPER) -> int:
    """Which redistributors share a configuration table: those that agree in so many of four levels of affinity (CommonLPIAff).

    With none to agree in, all of them.
    """
    group: int = typer.affinity_value // 256 ** (4 - typer.common_lpi_aff)
    return group


def _tables_of(state: ItsState) -> tuple[AbstractTable, ...]:
    return tuple(
        AbstractTable(table.type, pfn_of(table.base), len(pages_of(0, table.length)), pfn_of(table.host_l1))
        for table in state.tables
    )


def _frames_of(plans: Sequence[Plan]) -> frozenset[int]:
    """The pages that a command's plans move."""
    steps = [step for plan in plans for step in (plan.now, plan.later)]
    return frozenset(
        pfn for step in steps for _, first, count in step.transitions for pfn in range(first, first + count)
    )


@lru_cache(maxsize=4096)
def _level_2_pages(word: int, page_bytes: int) -> tuple[int, int]:
    return pfn_of(L1Entry.decode(word).address), len(pages_of(0, page_bytes))
