"""The parts of a machine, made from its configuration and wired together as after a reset. What they do is ``Machine``'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from itsbox.hardware.bus import Bus
from itsbox.hardware.distributor import Distributor
from itsbox.hardware.its_list import ItsList
from itsbox.hardware.redistributor import Redistributor
from itsbox.hardware.seeded import its_with
from itsbox.hypervisor.hypervisor import Hypervisor
from itsbox.memory.interconnect import Interconnect, NonCoherentInterconnect
from itsbox.memory.ownership import Ownership
from itsbox.memory.physmem import Carveout, PhysMem
from itsbox.oracle.abstraction import Abstraction, HypervisorRecords, MachineView, claims_of
from itsbox.oracle.lockstep import Lockstep
from itsbox.oracle.oracle import Oracle

if TYPE_CHECKING:
    from itsbox.events import EventLog
    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.machine.config import MachineConfig

__all__ = ["Board", "build", "watch"]

_HYP_MARK: Final = b"itsbox EL2 page\xa5"
_GUEST_MARK: Final = b"itsbox pVM page\x5a"


@dataclass(frozen=True, slots=True)
class Board:
    """Hardware and hypervisor of one machine. Owned by: the machine."""

    memory: PhysMem
    interconnect: Interconnect
    gicd: Distributor
    redistributors: list[Redistributor]
    its: list[Its]
    bus: Bus
    ownership: Ownership
    hypervisor: Hypervisor

    def stateful(self) -> dict[str, Any]:
        """Every part with state of its own, by its name in snapshots; RAM has its own way into them."""
        return {
            "cache": self.interconnect,
            "owners": self.ownership,
            "hypervisor": self.hypervisor,
            "gicd": self.gicd,
            **{f"gicr{gicr.cpu}": gicr for gicr in self.redistributors},
            **{f"its{n}": node for n, node in enumerate(self.its)},
        }


def build(config: MachineConfig, where: MemoryMap, log: EventLog) -> Board:
    """Make every part; ``log`` is where they append events."""
    profile = config.profile
    memory = PhysMem(where.ram, where.ram_bytes, _carveouts(where))
    interconnect = (Interconnect if profile.coherent else NonCoherentInterconnect)(memory)
    gicd = Distributor(profile)
    redistributors = [Redistributor(profile, cpu, config.cpus, interconnect, log) for cpu in range(config.cpus)]
    siblings = ItsList()
    make_its = its_with(config.defects)
    its = [
        make_its(profile, base, interconnect, redistributors, log, error_policy=config.error_policy, siblings=siblings)
        for base in where.its_nodes
    ]
    bus = Bus(where, gicd, its, redistributors)
    ownership = Ownership(
        (where.ram, where.ram_bytes), (where.hyp, where.hyp_bytes), (where.guest, where.guest_bytes), log
    )
    hypervisor = Hypervisor(
        config.hardening,
        bus=bus,
        interconnect=interconnect,
        ownership=ownership,
        log=log,
        where=where,
        profile=profile,
        cpus=config.cpus,
    )
    return Board(memory, interconnect, gicd, redistributors, its, bus, ownership, hypervisor)


def _carveouts(where: MemoryMap) -> tuple[Carveout, Carveout]:
    return (
        Carveout(where.hyp, where.hyp + where.hyp_bytes, _HYP_MARK),
        Carveout(where.guest, where.guest + where.guest_bytes, _GUEST_MARK),
    )


def watch(board: Board, where: MemoryMap, kind: str) -> Oracle | None:
    """The oracle with its ears at the interconnect, the ownership map and the ITSs, or None when it is off.

    kind: ``MachineConfig.oracle``.
    """
    if kind == "off":
        return None
    hypervisor = board.hypervisor
    view = MachineView(
        where=where,
        its=board.its,
        redistributors=board.redistributors,
        interconnect=board.interconnect,
        ownership=board.ownership,
        phase=lambda: hypervisor.phase,
        guards=hypervisor.guards,
    )
    lockstep = None
    if kind == "lockstep":
        abstract = Abstraction(view, board.ownership, hypervisor, board.its)
        lockstep = Lockstep(abstract, abstract.facts, claims_of(hypervisor))
    oracle = Oracle(where, view, HypervisorRecords(hypervisor), lockstep)
    board.interconnect.watch = oracle.watch()
    board.ownership.watch = oracle.page_changing
    for node in board.its:
        node.on_message = oracle.message
    return oracle
