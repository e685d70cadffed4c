"""The concrete machine as the oracle sees it: the judge's view, and what the hypervisor has written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from itsbox.arch.its_commands import MAPD
from itsbox.arch.its_tables import DTE
from itsbox.host.attacks import HostileHost
from itsbox.hypervisor.knobs import KNOBS
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.ownership import MMIO_DONATE, PIN, SHARE, Transition
from itsbox.ops import Hvc, MmioWrite, Store
from itsbox.oracle.abstraction import HypervisorRecords, MachineView, claims_of
from itsbox.oracle.pages import PageState, Whose
from itsbox.oracle.records import HostQueue
from itsbox.oracle.spec import Claims
from itsbox.oracle.view import Gicr, Node
from tests.rig import Rig

P = 0x4_8000
"""A page of the host that nothing uses."""
ITT = 0x4700_0000


def _machine(**fields: Any) -> Machine:
    changed = fields.pop("changed", {})
    config = MachineConfig.make(**{"start": "deprivileged", **fields})
    return Machine(replace(config, profile=replace(config.profile, **changed)))


def _view(machine: Machine, **parts: Any) -> MachineView:
    """A view of the machine, made as it is wired up, unless a test puts another part in."""
    wired = {
        "where": machine.map, "its": machine.its, "redistributors": machine.redistributors,
        "interconnect": machine.interconnect, "ownership": machine.ownership, "phase": lambda: machine.hypervisor.phase,
        "guards": machine.hypervisor.guards,
    }  # fmt: skip
    return MachineView(**{**wired, **parts})


# ---------------------------------------------------------------- pages


def test_pages_have_classes_states_and_pins() -> None:
    """Each kind of page is told from the others, with the state on its owner's side; a pin is counted."""
    machine = _machine(start="bare")
    own, where, pages = machine.ownership, machine.map, _view(machine).pages
    own.commit((Transition(SHARE, P), Transition(SHARE, P + 1), Transition(PIN, P + 1)), "test")
    own.commit((Transition(PIN, P + 1), Transition(MMIO_DONATE, where.its >> 12)), "test")
    own.host_share_guest(P + 2, 1, "test")

    assert [pages.page(pfn) for pfn in (P, P + 1, P + 2, P + 3, where.hyp >> 12, where.guest >> 12)] == [
        PageState(Whose.SHARED, "SHARED_OWNED", 0),
        PageState(Whose.SHARED, "SHARED_OWNED", 2),
        PageState(Whose.SHARED, "SHARED_OWNED", 0),
        PageState(Whose.HOST, "OWNED", 0),
        PageState(Whose.HYP, "OWNED", 0),
        PageState(Whose.GUEST, "OWNED", 0),
    ]
    assert pages.page(where.its >> 12) == PageState(Whose.DEVICE, "OWNED", 0)
    assert pages.page(0x9_0000_0000 >> 12) == PageState(Whose.MISSING, "OWNED", 0)


def test_devices_have_borders() -> None:
    """The distributor's frame, three frames for each ITS, and the frames of the redistributors; nothing answers beside them."""
    pages = _view(_machine(profile="virt-gicv4-dual-its", cpus=2, start="bare")).pages
    first = [0x0800_0000, 0x0808_0000, 0x0910_0000]
    last = [0x0800_F000, 0x0811_F000, 0x0912_F000]

    assert {pages.page(addr >> 12).whose for addr in (*first, *last, 0x080A_0000, 0x080E_0000)} == {Whose.DEVICE}
    assert {pages.page((addr >> 12) - 1).whose for addr in first} == {Whose.MISSING}
    assert {pages.page((addr >> 12) + 1).whose for addr in last} == {Whose.MISSING}


def test_the_first_foreign_page_is_found() -> None:
    """In a range that reaches into the guest's memory; none where all is the host's."""
    machine = _machine(hardening="off")
    where, pages = machine.map, _view(machine).pages

    assert pages.foreign(where.ram >> 12, (where.ram + where.ram_bytes >> 12) - 1) == where.guest >> 12
    assert pages.foreign(where.ram >> 12, (where.guest >> 12) - 1) is None
    assert pages.foreign(0x9_0000_0000 >> 12, 0x9_0010_0000 >> 12) is None


# ---------------------------------------------------------------- registers


def test_the_view_knows_what_hardware_is() -> None:
    """RDbase, the layout of VMAPP, and the sizes, as the ITS's type register and the profile have them."""
    plain = _view(_machine(start="bare"))
    other = _view(_machine(start="bare", profile="virt-gicv4.1", changed={"gicr_idbits": 14}))
    address = _view(_machine(start="bare", profile="virt-gicv3-pta"))

    assert (plain.pta, plain.vmapp_v41, plain.ite_bytes, plain.id_bits) == (False, False, 12, 15)
    assert (other.pta, other.vmapp_v41, other.ite_bytes, other.id_bits) == (False, True, 12, 14)
    assert (address.pta, address.vmapp_v41) == (True, False)
    assert _view(_machine(start="bare"), phase=lambda: "deprivileging").phase() == "deprivileging"


def test_the_command_that_is_carried_out_is_known() -> None:
    """With the ITS that carries it out, the first or another; none between commands."""
    machine = _machine(profile="virt-gicv4-dual-its", start="bare")
    view = _view(machine)
    assert view.executing() == (0, None)

    machine.its[1].command = (3, "MAPD", (8, 1, 2, 3))
    assert view.executing() == (1, (3, "MAPD", (8, 1, 2, 3)))
    machine.its[0].command = (4, None, (0, 0, 0, 0))
    assert view.executing() == (0, (4, None, (0, 0, 0, 0)))


def test_registers_are_read_as_they_are() -> None:
    """Of each ITS and each redistributor, in their order."""
    machine = _machine(profile="virt-gicv4-dual-its", cpus=2, start="bare")
    view = _view(machine)
    machine.its[1].ctlr, machine.its[1].cbaser, machine.its[1].baser = 1, 7, list(range(8))
    machine.redistributors[1].enable_lpis = True
    machine.redistributors[1].propbaser, machine.redistributors[1].pendbaser = 5, 6

    assert view.nodes() == (Node(False, 0, tuple(machine.its[0].baser)), Node(True, 7, (0, 1, 2, 3, 4, 5, 6, 7)))
    assert view.gicrs() == (Gicr(False, 0, 0), Gicr(True, 5, 6))


def test_a_write_that_moves_registers_is_noticed_once() -> None:
    """Any that says what memory hardware uses, of any ITS or redistributor; where commands are is no such thing."""
    machine = _machine(profile="virt-gicv4-dual-its", cpus=2, start="bare")
    view, (first, second), (cpu0, cpu1) = _view(machine), machine.its, machine.redistributors
    assert view.registers_moved() is False

    moves: list[Callable[[], None]] = [
        lambda: second.set_cbaser(2 << 12), lambda: first.set_baser(0, 9 << 12), lambda: second.set_ctlr(1),
        lambda: first.set_state(first.state()), lambda: cpu1.set_ctlr(1), lambda: cpu1.set_propbaser(3 << 12),
        lambda: cpu0.set_pendbaser(4 << 16), lambda: cpu0.set_state(cpu0.state()),
    ]  # fmt: skip
    for move in moves:
        move()
        assert (view.registers_moved(), view.registers_moved()) == (True, False)
    first.set_cwriter(0x20)
    first.set_creadr(0x20)
    second.set_cbaser(0)  # ignored: it is enabled
    assert view.registers_moved() is False


def test_redistributors_are_known_by_their_frames() -> None:
    """Exactly the RD frames, one for each CPU."""
    machine = _machine(cpus=2)
    where, view = machine.map, _view(machine)
    frames = [where.gicr + n * where.gicr_stride for n in range(-1, 3)]

    assert [view.is_redistributor(frame) for frame in frames] == [False, True, True, False]
    assert not any(view.is_redistributor(frame + 0x1_0000) for frame in frames)
    assert _view(machine, guards=lambda addr: addr == where.gicr).guards_redistributors()
    assert not _view(machine, guards=lambda addr: addr != where.gicr).guards_redistributors()


# ---------------------------------------------------------------- memory


def test_words_are_read_where_memory_answers() -> None:
    """Up to the last eight bytes of RAM; of a range that begins before it or ends behind, what is there."""
    machine = _machine(start="bare")
    view, low, end = _view(machine), machine.map.ram, machine.map.ram + machine.map.ram_bytes
    for addr, word in ((low, 5), (low + 24, 1 << 63 | 6), (end - 16, 0), (end - 8, 7)):
        machine.memory.write(addr, 8, word)

    assert [view.word(addr) for addr in (low - 8, low, low + 8, end - 8, end - 7, end)] == [None, 5, 0, 7, None, None]
    assert list(view.words(low, 32)) == [(0, 5), (3, 1 << 63 | 6)]
    assert list(view.words(low, 24)) == [(0, 5)]
    assert list(view.words(end - 16, 16)) == [(1, 7)]
    assert (list(view.words(end - 8, 16)), list(view.words(low - 8, 16))) == ([(0, 7)], [(1, 5)])
    assert list(view.words(end, 16)) == list(view.words(low - 16, 16)) == []


def _mapped(rig: Rig, *device_ids: int) -> MachineView:
    """The machine's view, each device mapped with 512 events (6,144 bytes) at a place of its own, two pages from 0x800 on."""
    for n, device_id in enumerate(device_ids):
        command = MAPD(device_id=device_id, size=8, itt_addr=ITT + n * 0x1_0000 + 0x800, valid=1)
        assert rig.verdicts(command) == ["executed"]
    return _view(rig.machine)


def _table_of(view: MachineView, device_id: int, n: int) -> list[bool]:
    """Whether the device has its table in the page before it, its two pages, and the one behind."""
    first = (ITT + n * 0x1_0000) >> 12
    return [view.maps_device(0, device_id, pfn) for pfn in range(first - 1, first + 3)]


def test_a_flat_table_maps_a_device() -> None:
    """From the first entry to the last; a valid entry behind the table is none, an empty one has no page, not even page 0."""
    rig = Rig().set_up(page=0x1000, device_pages=2)
    view = _mapped(rig, 0, 1, 1023)
    beyond = DTE(valid=1, size=8, itt_addr=ITT).encode()[0]
    rig.machine.apply(MmioWrite(rig.DEVICES + 1024 * 8, 8, beyond))

    for n, device_id in enumerate((0, 1, 1023)):
        assert _table_of(view, device_id, n) == [False, True, True, False]
    assert not view.maps_device(0, 1024, ITT >> 12)
    assert not view.maps_device(0, 2, 0)


def test_a_device_that_is_unmapped_has_no_table() -> None:
    """Also while its entry still has the address."""
    rig = Rig().set_up(page=0x1000, device_pages=1)
    view = _mapped(rig, 3)
    rig.machine.apply(MmioWrite(rig.DEVICES + 3 * 8, 8, DTE(valid=0, size=8, itt_addr=ITT + 0x800).encode()[0]))

    assert _table_of(view, 3, 0) == [False] * 4


def test_a_two_level_table_maps_a_device() -> None:
    """Behind either level-1 entry that is Valid; behind another, or in missing memory, there is no table."""
    rig = Rig().set_up(page=0x1000, indirect=3)
    ids = (0, 511, 512, 1024 + 7)
    view = _mapped(rig, *ids)
    for n, device_id in enumerate(ids):
        assert _table_of(view, device_id, n) == [False, True, True, False]
    assert not view.maps_device(0, 513, 0)
    assert not view.maps_device(0, 3 * 512, 0)

    rig.machine.apply(MmioWrite(rig.DEVICES + 8, 8, rig.DEVICES_L2 + 0x1000))  # not Valid any more
    assert _table_of(view, 512, 2) == [False] * 4
    assert _table_of(view, 511, 1) == [False, True, True, False]
    rig.machine.apply(MmioWrite(rig.DEVICES + 8, 8, 1 << 63 | rig.NOWHERE))
    assert not view.maps_device(0, 512, 0)


@pytest.mark.parametrize("as_qemu", [True, False])
def test_a_level_1_entry_is_read_as_hardware_reads_it(as_qemu: bool) -> None:
    """With bits below the page size, which count where the profile says so, the device's table is where the ITS put it."""
    rig = Rig(quirks={"l1_as_qemu": as_qemu}).set_up(indirect=1)
    rig.machine.apply(MmioWrite(rig.DEVICES, 8, 1 << 63 | rig.DEVICES_L2 + 0x3000))
    view = _mapped(rig, 5)

    assert _table_of(view, 5, 0) == [False, True, True, False]


@pytest.mark.parametrize("page, given, found", [
    (0x3000, 0x3000, True), (0x3000, 0x1_0000, True), (0x3000, 0x1_3000, False), (0x3000, 0, False), (0, 0, True),
])  # fmt: skip
def test_a_level_2_page_given_to_a_guest_is_found_where_hardware_has_it(page: int, given: int, found: bool) -> None:
    """H1: with an entry between two pages of 64 KB, the default profile's hardware uses the bytes from there."""
    rig = Rig(hardening="forward").set_up(indirect=1)
    rig.machine.apply(MmioWrite(rig.DEVICES, 8, 1 << 63 | rig.DEVICES_L2 + page))
    for _ in rig.machine.redistributors:
        rig.machine.apply(Hvc("__pkvm_prot_finalize", ()))
    pfn = rig.DEVICES_L2 + given >> 12
    before = len(rig.machine.violations)
    rig.machine.apply(Hvc("__pkvm_host_donate_guest", (pfn, pfn, 1)))

    said = [f"Memory that hardware may write as level-2 page was given to the guest ({pfn << 12:#x})."]
    assert [violation.sentence for violation in rig.machine.violations[before:]] == (said if found else [])


@pytest.mark.parametrize("low", [0, 0x3000])
def test_a_table_given_to_a_guest_is_found_behind_any_level_1_entry(low: int) -> None:
    """H1: the default profile takes the low bits of a level-1 entry for a part of the address, and so does the judge."""
    rig = Rig(hardening="forward").set_up(indirect=1)
    rig.machine.apply(MmioWrite(rig.DEVICES, 8, 1 << 63 | rig.DEVICES_L2 + low))
    for _ in rig.machine.redistributors:
        rig.machine.apply(Hvc("__pkvm_prot_finalize", ()))
    _mapped(rig, 5)
    before = len(rig.machine.violations)

    rig.machine.apply(Hvc("__pkvm_host_donate_guest", (ITT >> 12, ITT >> 12, 1)))

    assert [violation.sentence for violation in rig.machine.violations[before:]] == [
        "Memory that hardware may write as a translation table was given to the guest (0x47000000)."
    ]


def test_each_its_has_its_own_devices() -> None:
    """A device of the second ITS is none of the first."""
    machine = _machine(profile="virt-gicv4-dual-its", start="bare")
    view, table = _view(machine), machine.its[1].baser
    table[0] |= 1 << 63 | 0x4800_0000
    machine.apply(Store(0x4800_0000 + 8, DTE.STRUCT.pack(*DTE(valid=1, size=0, itt_addr=ITT).encode())))

    assert [view.maps_device(node, 1, ITT >> 12) for node in (0, 1)] == [False, True]


# ---------------------------------------------------------------- records


def test_records_are_read_where_there_are_any() -> None:
    """``strict`` records devices, page by page, and vPEs."""
    strict = _machine(profile="virt-gicv4")
    host = HostileHost(strict)
    itt = host.needs_own(0x40, 8)
    other = host.needs_own(0x41)
    assert host.vmapp(3, host.pages(16, 0x1_0000)) == "executed"
    records = HypervisorRecords(strict.hypervisor)
    pages = range((itt >> 12) - 1, (other >> 12) + 1)

    assert records.itt(0, 0x40, pages) == frozenset({itt >> 12, (itt >> 12) + 1})
    assert records.itt(0, 0x41, pages) == frozenset({other >> 12})
    assert records.itt(0, 0x42, pages) == frozenset()
    assert records.itt(1, 0x40, pages) is None
    assert (records.vpe(0, 3), records.vpe(0, 4), records.vpe(1, 3)) == (True, False, None)


@pytest.mark.parametrize(
    "hardening, start, itt, vpe",
    [
        ("off", "deprivileged", None, None),
        ("strict", "bare", None, None),
        ({"preset": "strict", "knobs": {"mapd_check": "off"}}, "deprivileged", None, False),
        ({"preset": "strict", "knobs": {"virtual_commands": "forwarded"}}, "deprivileged", frozenset(), None),
    ],
)
def test_what_is_not_looked_at_is_not_recorded(
    hardening: Any, start: str, itt: frozenset[int] | None, vpe: bool | None
) -> None:
    """A preset that does not look at a command, or an ITS that was not handed over, is not asked about it."""
    records = HypervisorRecords(_machine(profile="virt-gicv4", hardening=hardening, start=start).hypervisor)

    assert (records.itt(0, 0x40, range(P, P + 1)), records.vpe(0, 3)) == (itt, vpe)


def test_pins_are_explained() -> None:
    """By the objects that hold a page, and by each host queue and copy that it belongs to, up to their borders."""
    machine = _machine(profile="virt-gicv4-dual-its")
    records, tracking = HypervisorRecords(machine.hypervisor), machine.hypervisor.el2.tracking
    first, second = machine.hypervisor.its_states()
    first.pinned, second.pinned = ((P, 2), (P + 8, 1)), ((P + 1, 2),)
    tracking.apply([(("itt", 0, 1, P + 1), 1), (("itt", 0, 2, P + 1), 1), (("vpt", 0, 1, P + 9), 1)])

    assert [records.pins(pfn) for pfn in range(P - 1, P + 11)] == [0, 1, 4, 1, 0, 0, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("view, offsets", [("host", (0x60, 0x80)), ("hardware", (0x20, 0x40))])
def test_queues_have_the_offsets_that_the_host_reads(view: str, offsets: tuple[int, int]) -> None:
    """Its own, or those of hardware without the bits beside them (Stalled, Retry); with what waits, and how often EL2 looked."""
    hardening = {"preset": "strict", "knobs": {"register_view": view}}
    machine = _machine(profile="virt-gicv4-dual-its", hardening=hardening)
    first, second = machine.hypervisor.its_states()
    for state in (first, second):
        state.host_queue, state.host_bytes = 0x4800_0000 + state.number * 0x1_0000, 0x2000 << state.number
        state.consumed, state.host_cwriter, state.its.creadr, state.its.cwriter = 0x60, 0x80, 0x21, 0x41
    second.inflight, second.polls = (0x20,), 3

    assert HypervisorRecords(machine.hypervisor).queues() == (
        HostQueue(0, 0x4800_0000, 0x2000, *offsets, waiting=False, polls=0),
        HostQueue(1, 0x4801_0000, 0x4000, *offsets, waiting=True, polls=3),
    )
    assert HypervisorRecords(_machine(hardening="off").hypervisor).queues() == ()


@pytest.mark.parametrize("count", [0, 2, 20])
def test_commands_that_were_looked_at_are_known(count: int) -> None:
    """Those of every ITS, and each one's neutral command; few or many."""
    machine = _machine(profile="virt-gicv4-dual-its")
    first, second = machine.hypervisor.its_states()
    words = [(n, 0, 0, 1) for n in range(count)]
    first.looked, second.looked = list(words), [(9, 9, 9, 9)]
    neutral = [machine.hypervisor.its(n).queue.neutral for n in (0, 1)]  # type: ignore[union-attr]  # both are taken over

    assert set(HypervisorRecords(machine.hypervisor).looked() or ()) == {*words, (9, 9, 9, 9), *neutral}
    assert (first.looked, second.looked) == (words, [(9, 9, 9, 9)])


def test_commands_are_unknown_after_a_restore() -> None:
    """As soon as those of one ITS are; and where no queue is stood before."""
    machine = _machine(profile="virt-gicv4-dual-its")
    machine.hypervisor.its_states()[1].looked = None

    assert HypervisorRecords(machine.hypervisor).looked() is None
    assert HypervisorRecords(_machine(hardening="off").hypervisor).looked() is None


# ---------------------------------------------------------------- claims


@pytest.mark.parametrize("preset", PRESETS)
def test_only_strict_claims_everything(preset: str) -> None:
    """What a preset promises about commands is all or nothing; without pKVM there are no hypercalls either."""
    claims = claims_of(_machine(hardening=preset, start="bare").hypervisor)

    injects = preset in ("strict", "v2", "android-6.12")
    assert claims == Claims(pkvm=preset != "off", commands=preset == "strict", injects=injects)


BESIDE = ("driver_handover", "driver_itt_alignment", "driver_table_free", "private_state", "host_abort")
"""Knobs that say nothing about commands, pages or registers."""


@pytest.mark.parametrize("knob", KNOBS)
def test_one_weak_knob_takes_the_claim_away(knob: str) -> None:
    """``strict`` with a knob of commands, tables, pages or registers changed is not held to the whole specification."""
    strict = PRESETS["strict"].knobs
    other = next(value for value in KNOBS[knob].values if value != strict[knob])
    hypervisor: Any = SimpleNamespace(present=True, hardening=SimpleNamespace(knobs={**strict, knob: other}))

    assert claims_of(hypervisor) == Claims(pkvm=True, commands=knob in BESIDE, injects=knob != "host_abort")
