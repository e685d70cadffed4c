"""The concrete machine as the oracle sees it."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.host.attacks import HostileHost
from itsbox.hypervisor.knobs import KNOBS, resolve
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Hvc
from itsbox.oracle.abstract import AbstractPage, as_tree
from itsbox.oracle.abstraction import Abstraction, HypervisorRecords, MachineView, claims_of
from itsbox.oracle.pages import Whose


def _machine(**fields: Any) -> Machine:
    return Machine(MachineConfig.make(**{"start": "deprivileged", **fields}))


def _view(machine: Machine) -> MachineView:
    assert machine.oracle is not None
    assert isinstance(machine.oracle.view, MachineView)
    return machine.oracle.view


def test_pages_have_classes() -> None:
    """Each kind of page is told from the others."""
    machine = _machine()
    where, pages = machine.map, _view(machine).pages
    machine.apply(Hvc("__pkvm_host_share_hyp", (0x49000,)))
    seen = {
        addr: pages.page(addr >> 12).whose
        for addr in (0x4800_0000, 0x4900_0000, where.hyp, where.guest, where.its, where.gicr, 0x9_0000_0000)
    }

    assert list(seen.values()) == [
        Whose.HOST, Whose.SHARED, Whose.HYP, Whose.GUEST, Whose.DEVICE, Whose.DEVICE, Whose.MISSING,
    ]  # fmt: skip


def test_the_first_foreign_page_is_found() -> None:
    """In a range that reaches into the guest's memory; none where all is the host's."""
    machine = _machine(hardening="off")
    where, pages = machine.map, _view(machine).pages

    assert pages.foreign(where.ram >> 12, (where.ram + where.ram_bytes >> 12) - 1) == where.guest >> 12
    assert pages.foreign(where.ram >> 12, (where.guest >> 12) - 1) is None
    assert pages.foreign(0x9_0000_0000 >> 12, 0x9_0010_0000 >> 12) is None


def test_redistributors_are_known_by_their_frames() -> None:
    """Exactly the RD frames, one for each CPU."""
    machine = _machine(cpus=2)
    where, view = machine.map, _view(machine)
    frames = [where.gicr + n * where.gicr_stride for n in range(2)]

    assert all(view.is_redistributor(frame) for frame in frames)
    assert not any(view.is_redistributor(frame + 0x1_0000) for frame in frames)
    assert not view.is_redistributor(where.gicr + 2 * where.gicr_stride)
    assert view.guards_redistributors()
    assert not _view(_machine(hardening="v2")).guards_redistributors()


def test_the_abstract_state_follows_the_machine() -> None:
    """A device that is mapped is in the records with its pages; unmapped and unshared, everything is as before."""
    machine = _machine()
    host = HostileHost(machine)
    abstract = Abstraction(_view(machine), machine.ownership, machine.hypervisor, machine.its)
    before = abstract()
    itt = host.map_own(0x40)
    assert itt is not None
    after = abstract()

    assert after.its[0].devices == {**before.its[0].devices, 0x40: (itt, 4)}
    assert after.pages[itt >> 12] == AbstractPage("host", "hyp", 1)
    assert set(after.pages) - set(before.pages) == {itt >> 12}
    assert as_tree(after)["pages"][hex(itt >> 12)] == "host shared with hyp pins=1"


def test_records_are_read_where_there_are_any() -> None:
    """``strict`` records devices and vPEs; a preset that does not look at a command is not asked about it."""
    strict = _machine(profile="virt-gicv4")
    host = HostileHost(strict)
    itt = host.map_own(0x40)
    assert itt is not None
    records = HypervisorRecords(strict.hypervisor)
    pages = range(itt >> 12, (itt >> 12) + 1)

    assert records.itt(0, 0x40, pages) == frozenset(pages)
    assert records.itt(0, 0x41, pages) == frozenset()
    assert records.pins(itt >> 12) == 1
    assert records.pins(host.queue >> 12) == 1
    assert records.vpe(0, 3) is False
    (queue,) = records.queues()
    assert (queue.node, queue.addr, queue.creadr, queue.cwriter) == (
        0,
        host.queue,
        host.write_offset,
        host.write_offset,
    )
    assert not queue.waiting

    none = HypervisorRecords(_machine(hardening="off").hypervisor)
    assert (none.itt(0, 0x40, pages), none.vpe(0, 3), none.queues()) == (None, None, ())


@pytest.mark.parametrize("preset", PRESETS)
def test_only_strict_claims_everything(preset: str) -> None:
    """What a preset promises about commands is all or nothing; without pKVM there are no hypercalls either."""
    claims = claims_of(_machine(hardening=preset, start="bare").hypervisor)

    assert claims.commands == (preset == "strict")
    assert claims.pkvm == (preset != "off")


def test_one_weak_knob_takes_the_claim_away() -> None:
    """``strict`` with any knob of commands, tables, pages or registers changed is not held to the whole specification."""
    strict = resolve("strict").knobs
    for knob in ("itt_pinning", "submission", "table_hiding", "cbaser_guard", "redistributors"):
        other = next(value for value in _values(knob) if value != strict[knob])
        hardening = {"preset": "strict", "knobs": {knob: other}}
        assert not claims_of(_machine(hardening=hardening, start="bare").hypervisor).commands


def _values(knob: str) -> list[str]:
    return list(KNOBS[knob].values)
