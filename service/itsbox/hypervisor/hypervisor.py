"""The hypervisor of one machine: its parts, the state they share, and the entry points that the machine calls.

``Hypervisor(hardening, bus=, interconnect=, ownership=, log=, where=, profile=, cpus=)`` is all it takes. What happens is in
the parts:
``phases`` (switch-over), ``regions``, ``traps`` (host accesses), ``hypercalls``, ``takeover``, ``its_emulation`` and
``redist_emulation``, ``diagnosis``.

The machine asks:

* ``guards(addr)``: whether stage 2 sends a host access to EL2; then ``mmio_read`` or ``mmio_write`` answers it;
* ``check_memory(addr, length, write)``: whether a load or store passes stage 2;
* ``hvc(function, args)``;
* ``state()`` and ``set_state()``: plain data.

Commands that an access made the hypervisor or the ITS look at are in ``Its.records`` of the ITS, in order, refused ones
included, with the slots of the host's queue; the machine adds them to the outcome. Nothing a host does raises out of here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itsbox.arch.its_registers import GITS_CTLR, is_drained
from itsbox.arch.values import PAGE_SHIFT
from itsbox.hypervisor import hypercalls, traps, views
from itsbox.hypervisor.el2 import El2, El2Stop
from itsbox.hypervisor.guests import Guests
from itsbox.hypervisor.host_tables import PRIVATE_STATE_PAGES
from itsbox.hypervisor.its_emulation import ItsEmulation
from itsbox.hypervisor.its_state import ItsState
from itsbox.hypervisor.phases import Phase, SwitchOver
from itsbox.hypervisor.queue import Refusal, Words
from itsbox.hypervisor.redist_emulation import RedistEmulation
from itsbox.hypervisor.regions import (
    GHOST,
    ITS,
    DeviceNode,
    ProtectedRegions,
    Region,
    device_nodes,
    register_protected_regions,
)
from itsbox.hypervisor.takeover import Request, Taken, give_back, take_its
from itsbox.hypervisor.tracking import Tracking
from itsbox.memory.stage2 import Stage2
from itsbox.reasons import BY_WORD, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from itsbox.events import EventLog
    from itsbox.hardware.bus import Bus
    from itsbox.hardware.its_lookup import Table
    from itsbox.hardware.profile import MemoryMap, Profile
    from itsbox.hypervisor.knobs import Hardening
    from itsbox.memory.interconnect import Interconnect
    from itsbox.memory.ownership import Ownership
    from itsbox.ops import Aborted, HvcReturn, Outcome, Panicked

__all__ = ["Hypervisor"]


class Hypervisor:
    """EL2 of one machine.

    present: there is a hypervisor, and its set-up at boot succeeded (``init_error`` says why not otherwise).
    setup_locked: ``its_setup_lock`` is held by nobody who will release it (knob ``setup_lock``).
    Owned by: the machine.
    """

    __slots__ = (
        "el2",
        "guests",
        "hardening",
        "init_error",
        "pages",
        "present",
        "protected",
        "redistributors",
        "setup_locked",
        "switch",
    )

    def __init__(
        self,
        hardening: Hardening,
        *,
        bus: Bus,
        interconnect: Interconnect,
        ownership: Ownership,
        log: EventLog,
        where: MemoryMap,
        profile: Profile,
        cpus: int,
        nodes: Sequence[DeviceNode] | None = None,
    ) -> None:
        knobs = hardening.knobs
        self.hardening = hardening
        self.el2 = El2(
            knobs,
            bus,
            interconnect,
            ownership,
            Stage2(ownership),
            Tracking(knobs, ownership),
            log,
            where,
            profile,
            cpus,
        )
        self.guests = Guests(self.el2)
        self.protected = ProtectedRegions(knobs)
        self.redistributors = RedistEmulation(self.el2, self.its_states)
        self.init_error: Reason | None = None
        if knobs["pkvm"] == "present":
            described = device_nodes(where, bus, cpus) if nodes is None else nodes
            self.init_error = register_protected_regions(self.protected, knobs, described)
        self.present = knobs["pkvm"] == "present" and self.init_error is None
        self.switch = SwitchOver(self.el2, self.protected, self.redistributors)
        self.setup_locked = False
        #: Frame -> the region that stands for it.
        self.pages: dict[int, Region] = self.protected.by_page()

    # ---------------------------------------------------------------- entry points

    @property
    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""
        return self.switch.phase

    def guards(self, addr: int) -> bool:
        """Whether a host access at this address goes to EL2 instead of memory or the device."""
        return self.el2.stage2.enabled and not self.el2.ownership.host_may(addr >> PAGE_SHIFT)

    def mmio_read(self, addr: int, size: int) -> Outcome:
        """A host read that ``guards`` sent here, or at an address where nothing is."""
        return traps.mmio_read(self, addr, size)

    def mmio_write(self, addr: int, size: int, value: int) -> Outcome:
        """A host write that ``guards`` sent here, or at an address where nothing is."""
        return traps.mmio_write(self, addr, size, value)

    def check_memory(self, addr: int, length: int, write: bool) -> Aborted | Panicked | None:
        """Whether a host load or store passes stage 2: None, or what the host gets instead."""
        pfn = self.el2.stage2.denied(addr, length)
        return None if pfn is None else traps.abort(self, max(addr, pfn << PAGE_SHIFT), write=write)

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn | Panicked:
        """A hypercall of the host."""
        return hypercalls.call(self, function, args)

    # ---------------------------------------------------------------- what hypercalls need

    def offers(self, name: str) -> bool:
        """Whether the chosen knobs have a hypercall."""
        knobs = self.el2.knobs
        if name == "__pkvm_init_its_emulation":
            open_now = knobs["takeover_call"] == "hypercall" or self.phase == Phase.DEPRIVILEGING
            return knobs["its_mmio"] == "emulated" and open_now
        if name == "__pkvm_init_redist_emulation":
            return knobs["redistributors"] == "emulated"
        return True

    def finalise(self, cpu: int | None) -> Reason | None:
        """``__pkvm_prot_finalize``."""
        return self.switch.finalise(cpu)

    def init_its_emulation(self, dev_addr: int, private: int, pages: int | None, shadow: int) -> Reason | None:
        """``__pkvm_init_its_emulation``; pages None: as many as knob ``private_state`` says. Raises El2Stop."""
        if self.setup_locked:
            raise El2Stop(Reason.EL2_HANG)
        denied = self._take_over(dev_addr, private, pages, shadow)
        if denied is not None and self.el2.knobs["setup_lock"] == "leaks":
            self.setup_locked = True
        return denied

    def _take_over(self, dev_addr: int, private: int, pages: int | None, shadow: int) -> Reason | None:
        el2 = self.el2
        region = self.protected.begins_at(dev_addr >> PAGE_SHIFT)
        if region is None or region.kind not in (ITS, GHOST):
            return Reason.NO_SUCH_REGION
        if region.emulation is not None:
            return Reason.ALREADY_EMULATED
        if el2.knobs["setup_values"] == "verified" and not el2.stage2.enabled:
            return Reason.WINDOW_CLOSED
        if pages is None:
            pages = PRIVATE_STATE_PAGES[el2.knobs["private_state"]]
        base = region.start_pfn << PAGE_SHIFT
        taken = Taken(el2)
        state = take_its(taken, el2.bus.its[region.number], Request(region.number, base, private, pages, shadow))
        if isinstance(state, Reason):
            give_back(taken)
            return state
        region.emulation = ItsEmulation(el2, state)
        before = self.switch.resume(region.number)
        if before is not None:
            state.enabled = bool(GITS_CTLR.decode(before).enabled)
        self.switch.settle()
        return None

    def init_redist_emulation(self, dev_addr: int, private: int, pages: int) -> Reason | None:
        """``__pkvm_init_redist_emulation``."""
        return self.redistributors.init(dev_addr, private, pages)

    # ---------------------------------------------------------------- looking

    def its(self, number: int = 0) -> ItsEmulation | None:
        """What stands for an ITS once it has been taken over."""
        region = self.protected.its(number)
        return None if region is None else region.emulation

    def register_policy(self, addr: int) -> str:
        """What becomes of the host's accesses to a register (``views.register_policy``)."""
        return views.register_policy(self, addr)

    def host_queue(self, number: int = 0) -> dict[str, Any] | None:
        """The queue that the host writes, or None (``views.host_queue``)."""
        return views.host_queue(self, number)

    def host_table(self, kind: str, number: int = 0) -> Table | None:
        """A table as the host's copy of level 1 has it, or None if it has none."""
        return views.host_table(self, kind, number)

    def diagnosis(self, number: int = 0) -> dict[str, Any]:
        """Why the command queue does not move (``diagnosis.report``)."""
        return views.diagnosis(self, number)

    def its_states(self) -> list[ItsState]:
        """The records of every ITS that has been taken over."""
        return [region.emulation.state for region in self.protected.regions if region.emulation is not None]

    def last_refusal(self, number: int = 0) -> Refusal | None:
        """The last command that was refused on an ITS."""
        emulation = self.its(number)
        return None if emulation is None else emulation.queue.last_refusal

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Everything that decides future behaviour, and the last refusals, as plain data."""
        return {
            "regions": tuple(_region_state(region) for region in self.protected.regions),
            "guests": self.guests.state(),
            "redistributors": self.redistributors.state(),
            "tracking": self.el2.tracking.state(),
            "switch": self.switch.state(),
            "setup_locked": self.setup_locked,
        }

    def looked(self) -> tuple[tuple[int, tuple[Words, ...]], ...]:
        """(ITS, commands that were looked at), for each to whose end hardware has not come: what only verdicts depend on."""
        return tuple(
            (state.number, tuple(state.looked))
            for state in self.its_states()
            if state.looked is not None and not is_drained(state.its.creadr, state.its.cwriter)
        )

    def recall(self, looked: Iterable[tuple[int, tuple[Words, ...]]]) -> None:
        """Take back what ``looked`` gave, once state is what it was then."""
        known = dict(looked)
        for state in self.its_states():
            if state.number in known:
                state.looked = list(known[state.number])

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.el2.tracking.set_state(state["tracking"])
        self.guests.set_state(state["guests"])
        self.redistributors.set_state(state["redistributors"])
        self.protected.resize(len(state["regions"]))
        for region, saved in zip(self.protected.regions, state["regions"], strict=True):
            self._restore(region, saved)
        self.switch.set_state(state["switch"])
        self.setup_locked = state["setup_locked"]

    def _restore(self, region: Region, saved: tuple[dict[str, Any], tuple[Any, ...] | None] | None) -> None:
        if saved is None:
            region.emulation = None
            return
        its_state, refusal = saved
        if region.emulation is None or not region.emulation.state.set_state(its_state):
            made = ItsState.from_state(its_state, self.el2.bus.its[region.number])
            region.emulation = ItsEmulation(self.el2, made)
        region.emulation.queue.last_refusal = region.emulation.dropped = None
        if refusal is not None:
            slot, name, words, word, host_cwriter = refusal
            region.emulation.queue.last_refusal = Refusal(slot, name, words, BY_WORD[word], host_cwriter)


def _region_state(region: Region) -> tuple[dict[str, Any], tuple[Any, ...] | None] | None:
    if region.emulation is None:
        return None
    refusal = region.emulation.queue.last_refusal
    shown = None if refusal is None else (*refusal[:3], refusal.reason.value, refusal.host_cwriter)
    return region.emulation.state.state(), shown
