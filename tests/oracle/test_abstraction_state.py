"""The abstract state of a machine, and the facts beside it, as the specification is told them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itsbox.arch.redist_registers import GICR_TYPER
from itsbox.host.attacks import HostileHost
from itsbox.hypervisor.plan import Plan, Step
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.ownership import DONATE, MMIO_DONATE, PIN, SHARE, UNSHARE, Transition
from itsbox.oracle.abstract import (
    PARTS,
    Abstract,
    AbstractIts,
    AbstractLpis,
    AbstractPage,
    AbstractTable,
    Regions,
    as_tree,
)
from itsbox.oracle.abstraction import Abstraction, MachineView
from itsbox.oracle.spec import Facts

P = 0x4_8000
"""A page of the host that nothing uses."""


def _machine(**fields: Any) -> Machine:
    changed = fields.pop("changed", {})
    config = MachineConfig.make(**{"start": "bare", **fields})
    return Machine(replace(config, profile=replace(config.profile, **changed)))


def _abstraction(machine: Machine, **map_changes: Any) -> Abstraction:
    """Of the machine as it is wired up, unless its map is said to be another."""
    view = MachineView(
        where=replace(machine.map, **map_changes),
        its=machine.its,
        redistributors=machine.redistributors,
        interconnect=machine.interconnect,
        ownership=machine.ownership,
        phase=lambda: machine.hypervisor.phase,
        guards=machine.hypervisor.guards,
    )
    return Abstraction(view, machine.ownership, machine.hypervisor, machine.its)


# ---------------------------------------------------------------- the state


def test_the_abstract_state_follows_the_machine() -> None:
    """A device that is mapped is in the records with its pages; unmapped and unshared, everything is as before."""
    machine = _machine(start="deprivileged")
    host = HostileHost(machine)
    abstract = _abstraction(machine)
    before = abstract()
    itt = host.needs_own(0x40)
    after = abstract()

    assert after.its[0].devices == {**before.its[0].devices, 0x40: (itt, 4)}
    assert after.pages[itt >> 12] == AbstractPage("host", "hyp", 1)
    assert set(after.pages) - set(before.pages) == {itt >> 12}
    assert as_tree(after)["pages"][hex(itt >> 12)] == "host shared with hyp pins=1"


def test_everything_is_in_its_part_of_the_state() -> None:
    """Registers, pages that differ from reset, and what the hypervisor keeps; no ITS that was not handed over, and no device."""
    machine = _machine(profile="virt-gicv4-dual-its", cpus=2)
    hyp, own = machine.hypervisor, machine.ownership
    for n, node in enumerate(machine.its):
        node.ctlr, node.cbaser, node.cwriter, node.creadr = 0x10 + n, 0x20 + n, 0x30 + n, 0x40 + n
        node.baser = [0x50 + 8 * n + k for k in range(8)]
    for gicr in machine.redistributors:
        gicr.enable_lpis, gicr.propbaser, gicr.pendbaser = gicr.cpu == 1, 0x60 + gicr.cpu, 0x70 + gicr.cpu
        gicr.vlpi.vpropbaser, gicr.vlpi.vpendbaser = 0x80 + gicr.cpu, 0x90 + gicr.cpu
    own.commit((Transition(SHARE, P, 2), Transition(PIN, P), Transition(DONATE, P + 2)), "test")
    own.host_share_guest(P + 3, 1, "test")
    own.host_donate_guest(P + 4, 1, "test")
    own.commit((Transition(MMIO_DONATE, 0x0808_0000 >> 12),), "test")
    hyp.switch.phase, hyp.switch.finalised, hyp.switch.quiesced = "deprivileging", {1}, {0: 5}
    hyp.redistributors.taken, hyp.redistributors.held = {0}, {1: (range(1, 2), range(3, 4))}
    hyp.redistributors.vlpi.resident = {0: range(5, 6)}
    hyp.guests.alive, hyp.guests.owners = {0x1001: (7, 8)}, {9: 0x1001}
    hyp.el2.tracking.users = {10: 2}

    assert _abstraction(machine)() == Abstract(
        phase="deprivileging",
        pages={
            P: AbstractPage("host", "hyp", 1), P + 1: AbstractPage("host", "hyp"), P + 2: AbstractPage("hyp"),
            P + 3: AbstractPage("host", "guest"), P + 4: AbstractPage("guest"),
        },
        its={},
        registers={
            (0, "CTLR"): 0x10, (0, "CBASER"): 0x20, (0, "CWRITER"): 0x30, (0, "CREADR"): 0x40,
            (1, "CTLR"): 0x11, (1, "CBASER"): 0x21, (1, "CWRITER"): 0x31, (1, "CREADR"): 0x41,
            **{(n, f"BASER{k}"): 0x50 + 8 * n + k for n in (0, 1) for k in range(8)},
        },
        lpis={0: AbstractLpis(False, 0x60, 0x70, 0x80, 0x90), 1: AbstractLpis(True, 0x61, 0x71, 0x81, 0x91)},
        finalised=frozenset({1}),
        quiesced={0: 5},
        taken=frozenset({0}),
        held={1: (range(1, 2), range(3, 4))},
        resident={0: range(5, 6)},
        alive={0x1001: (7, 8)},
        donated={9: 0x1001},
        tracked={10: 2},
    )  # fmt: skip


def test_an_its_that_was_handed_over_is_in_the_state() -> None:
    """With its queues, records and tables, and the level-2 pages that hardware has; the other as it was."""
    machine = _machine(profile="virt-gicv4-dual-its", start="deprivileged")
    abstract = _abstraction(machine)
    first = abstract().its[0]
    state = machine.hypervisor.its_states()[1]
    devices, collections, vpes = state.tables
    state.host_queue, state.host_bytes, state.consumed, state.host_cwriter = 0x4800_0000, 0x3000, 0x40, 0x60
    state.devices, state.vpes = {1: (0x4801_0000, 3)}, {2: (0x4802_0000, 13, 0x4803_0000)}
    state.hw_queue, state.enabled, state.inflight = 0x4804_0000, False, (0x40,)
    state.stalled_plans = (
        Plan(
            "itt", "MAPD", Step((Transition(SHARE, P, 2), Transition(PIN, P + 8))), Step((Transition(UNSHARE, P + 16),))
        ),
        Plan("vpt", "VMAPP", Step((Transition(SHARE, P + 32),))),
    )
    state.present = {0: {0, 2}, 2: {5}, 7: {1}}
    for table, slot, word in ((devices, 0, 1 << 63 | 0x4900_0000), (devices, 2, 0), (vpes, 5, 1 << 63 | 0x4901_F000)):
        machine.memory.write(table.base + 8 * slot, 8, word)

    assert abstract().its == {
        0: first,
        1: AbstractIts(
            host_queue=0x4800_0000,
            host_bytes=0x3000,
            consumed=0x40,
            devices={1: (0x4801_0000, 3)},
            vpes={2: (0x4802_0000, 13, 0x4803_0000)},
            level_2={(1, 0): (0x4_9000, 16), (1, 2): (0, 16), (2, 5): (0x4_901F, 16)},
            waiting=True,
            stopped=frozenset({P, P + 1, P + 8, P + 16, P + 32}),
            host_cwriter=0x60,
            hw_queue=0x4804_0000,
            tables=(
                AbstractTable(1, devices.base >> 12, 16, devices.host_l1 >> 12),
                AbstractTable(4, collections.base >> 12, 16, 0),
                AbstractTable(2, vpes.base >> 12, 16, vpes.host_l1 >> 12),
            ),
            enabled=False,
        ),
    }
    assert (first.waiting, first.stopped, first.enabled) == (False, frozenset(), True)


CHANGES: dict[str, Callable[[Machine], object]] = {
    "phase": lambda machine: setattr(machine.hypervisor.switch, "phase", "trusted"),
    "pages": lambda machine: machine.ownership.host_share_hyp(P, "test"),
    "its": lambda machine: setattr(machine.hypervisor.its_states()[0], "consumed", 0x20),
    "registers": lambda machine: setattr(machine.its[0], "cwriter", 0x20),
    "lpis": lambda machine: setattr(machine.redistributors[0], "pendbaser", 0),
    "finalised": lambda machine: machine.hypervisor.switch.finalised.clear(),
    "quiesced": lambda machine: machine.hypervisor.switch.quiesced.update({0: 1}),
    "taken": lambda machine: machine.hypervisor.redistributors.taken.clear(),
    "held": lambda machine: machine.hypervisor.redistributors.held.clear(),
    "resident": lambda machine: machine.hypervisor.redistributors.vlpi.resident.update({0: range(1)}),
    "alive": lambda machine: machine.hypervisor.guests.alive.update({1: (2, 3)}),
    "donated": lambda machine: machine.hypervisor.guests.owners.update({4: 5}),
    "tracked": lambda machine: machine.hypervisor.el2.tracking.users.clear(),
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_as_it_was_is_the_same_object(part: str) -> None:
    """The whole, or every part but the one that changed, so that comparing costs nothing."""
    machine = _machine(start="deprivileged")
    abstract = _abstraction(machine)
    before = abstract()
    assert abstract() is before

    CHANGES[part](machine)
    after = abstract()

    assert [name for name in PARTS if getattr(after, name) is not getattr(before, name)] == [part]
    assert getattr(after, part) != getattr(before, part)
    assert abstract() is after


# ---------------------------------------------------------------- facts

FACTS = Facts(
    regions=Regions(range(0x4_0000, 0x5_0000), range(0x4_FF00, 0x5_0000), range(0x4_FE00, 0x4_FF00)),
    its=(0x0808_0000,), ite_bytes=12, event_id_bits=15, vmapp_v41=False, vsgi=(0,), gicr=0x080A_0000, stride=0x2_0000,
    cpus=3, vlpis="", id_bits=15, groups=(0, 0, 0), rd_bases=range(3), knobs=PRESETS["strict"].knobs,
)  # fmt: skip


@pytest.mark.parametrize(
    "profile, changed, differs",
    [
        ("virt-gicv3", {}, {}),
        ("virt-gicv3", {"gicr_idbits": 14}, {"id_bits": 14}),
        ("virt-gicv3-pta", {}, {"rd_bases": frozenset({0x80A, 0x80C, 0x80E})}),
        ("virt-gicv4", {}, {"stride": 0x4_0000, "vlpis": "GICv4"}),
        ("virt-gicv4-dual-its", {}, {
            "stride": 0x4_0000, "vlpis": "GICv4", "its": (0x0808_0000, 0x0910_0000), "vsgi": (0, 0),
        }),
        ("virt-gicv4.1", {"its_count": 2}, {
            "stride": 0x4_0000, "vlpis": "GICv4.1", "vmapp_v41": True, "its": (0x0808_0000, 0x0910_0000),
            "vsgi": (0x0807_0000, 0x0912_0000),
        }),
    ],
)  # fmt: skip
def test_what_does_not_change_is_told(profile: str, changed: dict[str, Any], differs: dict[str, Any]) -> None:
    """Everything that the specification is told of a machine, for each kind of machine."""
    machine = _machine(profile=profile, cpus=3, changed=changed)
    facts = _abstraction(machine).facts

    assert facts == replace(FACTS, **differs)


def test_virtual_sgis_have_the_architected_frame_by_default() -> None:
    """Where the map has no place of its own for the first ITS's."""
    machine = _machine(profile="virt-gicv4.1")

    assert _abstraction(machine, sgir=None).facts.vsgi == (0x080A_0000,)


@pytest.mark.parametrize(
    "levels, groups", [(0, (0, 0)), (1, (0x01, 0x05)), (2, (0x0102, 0x0506)), (3, (0x01_0203, 0x05_0607))]
)
def test_redistributors_share_tables_by_affinity(levels: int, groups: tuple[int, ...]) -> None:
    """Those that agree in so many levels of it, Aff3 first; with none, all of them (CommonLPIAff)."""
    machine = _machine(cpus=2)
    for gicr, affinity in zip(machine.redistributors, (0x0102_0304, 0x0506_0708), strict=True):
        gicr.typer = GICR_TYPER.decode(0).replace(common_lpi_aff=levels, affinity_value=affinity).word()

    assert _abstraction(machine).facts.groups == groups


def test_one_cpu_is_enough() -> None:
    """A machine has at least one."""
    machine = _machine(profile="virt-gicv4", cpus=1)
    facts = _abstraction(machine).facts

    assert (facts.cpus, facts.vlpis, facts.groups, facts.rd_bases) == (1, "GICv4", (0,), range(1))
