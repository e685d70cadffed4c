"""The switch-over, phase by phase: trusted, deprivileging, deprivileged.

``trusted`` until the first CPU is finalised. ``deprivileging`` while CPUs are left, and after that until every ITS that the
preset emulates has been taken over. ``deprivileged`` from then on. Stage 2 is on from the last CPU's finalisation: as long
as one CPU runs without it, the host can do anything from there, and an op does not say on which CPU it runs.

Between the last CPU's finalisation and the take-over lies a window in which the ITS's registers are dead but its tables are still
the host's. Knob ``takeover_window`` says whether the ITS keeps running meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_registers import GITS_CTLR
from itsbox.hypervisor.regions import ITS, ProtectedRegions
from itsbox.memory.ownership import MMIO_DONATE, Owner, Transition
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2
    from itsbox.hypervisor.redist_emulation import RedistEmulation

__all__ = ["Phase", "SwitchOver"]

_CAUSE: Final = "switch-over"


class Phase:
    """The words of the wire."""

    TRUSTED: Final = "trusted"
    DEPRIVILEGING: Final = "deprivileging"
    DEPRIVILEGED: Final = "deprivileged"


class SwitchOver:
    """Which CPUs are finalised, and what the window did.

    quiesced: number of an ITS -> GITS_CTLR as it was before the window disabled it.
    Owned by: the hypervisor.
    """

    __slots__ = ("_el2", "_redistributors", "_regions", "finalised", "phase", "quiesced")

    def __init__(self, el2: El2, regions: ProtectedRegions, redistributors: RedistEmulation) -> None:
        self._el2 = el2
        self._regions = regions
        self._redistributors = redistributors
        self.finalised: set[int] = set()
        self.quiesced: dict[int, int] = {}
        self.phase = Phase.TRUSTED

    def finalise(self, cpu: int | None) -> Reason | None:
        """``__pkvm_prot_finalize`` on a CPU; None is the next one, as ``on_each_cpu`` goes round.

        The first call donates the regions' pages: from then on they cannot be mapped for the host again.
        """
        if cpu is None:
            cpu = next((n for n in range(self._el2.cpus) if n not in self.finalised), 0)
        if not 0 <= cpu < self._el2.cpus:
            return Reason.NO_SUCH_CPU
        if cpu in self.finalised:
            return Reason.ALREADY_FINALISED
        denied = None if self.finalised else self._donate_regions()
        if denied is not None:
            return denied
        self.finalised.add(cpu)
        self.phase = Phase.DEPRIVILEGING
        if len(self.finalised) == self._el2.cpus:
            self._el2.stage2.enabled = True
            if self._el2.knobs["takeover_window"] == "quiesced":
                self._quiesce()
            self.settle()
        return None

    def _donate_regions(self) -> Reason | None:
        """unmap_protected_regions(): pages that are the hypervisor's already stay so."""
        own = self._el2.ownership
        plan = [
            Transition(MMIO_DONATE, pfn)
            for region in self._regions.regions
            for pfn in region.frames
            if own.owner(pfn) == Owner.HOST
        ]
        return own.commit(_joined(plan), _CAUSE)

    def _quiesce(self) -> None:
        """Disable each ITS that is about to be taken over, and hold the tables of redistributors."""
        if self._el2.knobs["redistributors"] == "emulated":
            self._redistributors.quiesce()
        bus = self._el2.bus
        for region in self._regions.regions:
            if region.kind != ITS or region.number in self.quiesced or not self._awaited(region.number):
                continue
            at = bus.its[region.number].base + GITS_CTLR.OFFSET
            before = bus.read(at, 4)
            self.quiesced[region.number] = before
            bus.write(at, 4, GITS_CTLR.decode(before).replace(enabled=0).word())

    def resume(self, number: int) -> int | None:
        """End the window for an ITS that has been taken over: GITS_CTLR as it was. Answers that value, if there was one."""
        before = self.quiesced.pop(number, None)
        if before is not None:
            self._el2.bus.write(self._el2.bus.its[number].base + GITS_CTLR.OFFSET, 4, before)
        return before

    def _awaited(self, number: int) -> bool:
        """Whether an ITS is to be emulated and has not been taken over."""
        if self._el2.knobs["its_mmio"] != "emulated":
            return False
        region = self._regions.its(number)
        return region is not None and region.emulation is None

    def settle(self) -> None:
        """See whether the switch-over is complete."""
        if len(self.finalised) < self._el2.cpus:
            return
        waiting = any(self._awaited(number) for number in range(len(self._el2.bus.its)))
        self.phase = Phase.DEPRIVILEGING if waiting else Phase.DEPRIVILEGED

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {"finalised": tuple(sorted(self.finalised)), "quiesced": dict(self.quiesced)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave; the regions have theirs already."""
        self.finalised, self.quiesced = set(state["finalised"]), dict(state["quiesced"])
        self._el2.stage2.enabled = len(self.finalised) == self._el2.cpus
        self.phase = Phase.DEPRIVILEGING if self.finalised else Phase.TRUSTED
        self.settle()


def _joined(plan: list[Transition]) -> list[Transition]:
    """Neighbouring pages of one verb as one transition."""
    joined: list[Transition] = []
    for step in plan:
        last = joined[-1] if joined else None
        if last is not None and last.pfn + last.pages == step.pfn:
            joined[-1] = last._replace(pages=last.pages + step.pages)
        else:
            joined.append(step)
    return joined
