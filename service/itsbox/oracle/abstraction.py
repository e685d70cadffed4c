"""The concrete machine as the oracle sees it. The only module of the oracle that knows what the hypervisor's state looks like.

Everything here is a pure read. ``MachineView`` answers the judge and the invariants while ops run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.values import pages_of
from itsbox.memory.ownership import Owner
from itsbox.oracle.pages import PageState, Whose
from itsbox.oracle.view import Command, Gicr, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.memory.interconnect import Interconnect
    from itsbox.memory.ownership import Ownership

__all__ = ["MachineView", "OwnershipPages"]

_WHOSE: Final = {Owner.HOST: Whose.HOST, Owner.HYP: Whose.HYP, Owner.GUEST: Whose.GUEST}
_OWNED: Final = "OWNED"


class OwnershipPages:
    """``Pages`` over the machine's ownership map."""

    __slots__ = ("_devices", "_ownership")

    def __init__(self, ownership: Ownership, devices: tuple[range, ...]) -> None:
        self._ownership = ownership
        self._devices = devices

    def page(self, pfn: int) -> PageState:
        """The page's class, state and pins now."""
        own = self._ownership
        _, state, pins = own.describe(pfn)
        if not own.is_memory(pfn):
            known = any(pfn in frames for frames in self._devices)
            return PageState(Whose.DEVICE if known else Whose.MISSING, state, pins)
        whose = _WHOSE[own.owner(pfn)]
        if whose == Whose.HOST and state != _OWNED:
            whose = Whose.SHARED
        return PageState(whose, state, pins)

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of [first, last] that is the hypervisor's or a guest's, or None."""
        for run in self._ownership.runs(first, last + 1):
            if run.memory and run.owner != "host":
                return run.pfn
        return None


class MachineView:
    """``View`` over the parts of a machine.

    phase: tells the machine's phase; guards: tells whether the hypervisor answers the host at an address.
    """

    __slots__ = (
        "_gicrs", "_guards", "_interconnect", "_its", "_map", "_phase", "_stamp", "id_bits", "ite_bytes", "pages",
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
        self._phase = phase
        self._guards = guards
        its_frames = tuple(pages_of(node.base, 0x3_0000) for node in its)
        gicr_frames = pages_of(where.gicr, where.gicr_stride * len(redistributors))
        self.pages = OwnershipPages(ownership, (pages_of(where.gicd, 0x1_0000), *its_frames, gicr_frames))
        self.pta = bool(its[0].typer.pta)
        self.vmapp_v41 = bool(its[0].typer.vmapp)
        self.ite_bytes = its[0].ite_bytes
        self.id_bits = its[0].profile.gicr_idbits
        self._stamp: list[object] = []
        self.registers_moved()

    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""
        return self._phase()

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
        """Whether a register that says what memory hardware uses changed since this was last asked."""
        stamp: list[object] = []
        for node in self._its:
            stamp += (node.ctlr, node.cbaser)
            stamp += node.baser
        for gicr in self._gicrs:
            stamp += (gicr.enable_lpis, gicr.propbaser, gicr.pendbaser)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        return True

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

    def word(self, addr: int) -> int | None:
        """Eight bytes of memory as hardware sees them."""
        memory = self._interconnect.mem
        return memory.read(addr, 8) if memory.contains(addr, 8) else None
