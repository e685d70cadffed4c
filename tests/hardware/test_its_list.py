"""Several ITSs in one machine: where they are, and VMOVP with a sequence number and an ITSList."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPD, SYNC, VMAPP, VMAPP_V41, VMAPTI, VMOVP, VMOVP_V41, VSYNC
from itsbox.arch.its_registers import GITS_CTLR, GITS_CWRITER, GITS_SGIR, GITS_TRANSLATER, GITS_TYPER
from itsbox.arch.its_tables import VTE, VTE_V41
from itsbox.arch.layout import Layout
from itsbox.hardware.profile import PROFILES
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Done, MmioWrite
from tests.rig import Rig

DUAL = "virt-gicv4-dual-its"
Told = Sequence[tuple[str | None, str]]


class Second(Rig):
    """The second ITS of a machine, with a queue and tables of its own."""

    QUEUE, DEVICES, COLLECTIONS, VPES = 0x4180_0000, 0x4280_0000, 0x4380_0000, 0x4480_0000

    def __init__(self, first: Rig) -> None:
        self.machine = first.machine
        self.map = replace(first.map, its=first.map.its_nodes[1])
        self.cwriter = 0


class Pair:
    """Two ITSs, both enabled, with vPE 0 mapped to CPU 0 on both."""

    def __init__(self, profile: str = DUAL, **changes: object) -> None:
        config = MachineConfig.make(profile=profile, hardening="off")
        changed = replace(PROFILES[profile], **changes)  # type: ignore[arg-type]
        self.first = Rig(profile=profile)
        self.first.machine = Machine(replace(config, profile=changed))
        self.first.map = self.first.machine.map
        self.second = Second(self.first)
        for number, rig in enumerate((self.first, self.second)):
            rig.set_up()
            rig.gits(GITS_CTLR.OFFSET, 0, size=4)
            rig.gits(GITS_CTLR.OFFSET, GITS_CTLR.decode(1).replace(its_number=number).word(), size=4)
            rig.post(MAPC(icid=0, rd_base=0, valid=1))
            rig.post(VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=Rig.VPT))

    def told(self, rig: Rig, *commands: Layout) -> Told:
        """Post commands to an ITS; name and verdict of every command that any ITS looked at."""
        return [(record[1], record[3]) for record in rig.post(*commands)]

    def targets(self) -> list[int]:
        """RDbase of vPE 0 in each ITS's table."""
        words = [rig.machine.physical(rig.VPES, 8) for rig in (self.first, self.second)]
        return [VTE.decode(int.from_bytes(word, "little")).rd_base for word in words]

    def waiting(self) -> list[dict[str, object]]:
        """What the diagnosis says of queues that stand at a VMOVP."""
        shown: list[dict[str, object]] = self.first.machine.diagnosis()["waiting"]
        return shown


def vmovp(rd_base: int, its_list: int, sequence_number: int = 7) -> VMOVP:
    """A VMOVP of vPE 0."""
    return VMOVP(sequence_number=sequence_number, its_list=its_list, vpe_id=0, rd_base=rd_base)


# ---------------------------------------------------------------- places


def test_each_its_has_its_own_frames_and_number() -> None:
    """Registers of the second ITS are apart from the first one's; reset numbers them by their places."""
    bare = Rig(profile=DUAL)
    assert [GITS_CTLR.decode(rig.gits(0, size=4)).its_number for rig in (bare, Second(bare))] == [0, 1]
    assert len(bare.map.its_nodes) == 2
    pair = Pair()
    assert GITS_TYPER.decode(pair.second.gits(GITS_TYPER.OFFSET)).vmovp == 0
    pair.second.gits(GITS_CTLR.OFFSET, 0, size=4)

    assert (pair.first.gits(0, size=4) & 1, pair.second.gits(0, size=4) & 1) == (1, 0)


def test_a_cpus_message_to_the_second_its_is_translated_there() -> None:
    """GITS_TRANSLATER of each ITS uses that ITS's own tables."""
    pair = Pair()
    pair.second.post(MAPD(device_id=0, size=4, itt_addr=Rig.ITT, valid=1))
    pair.second.post(VMAPTI(device_id=0, event_id=3, vpe_id=0, virtual_intid=8200, doorbell_intid=8300))
    machine, nodes = pair.first.machine, pair.first.map.its_nodes
    machine.apply(MmioWrite(nodes[0] + GITS_TRANSLATER.OFFSET, 4, 3))
    assert pair.first.pending(0) == []
    machine.apply(MmioWrite(nodes[1] + GITS_TRANSLATER.OFFSET, 4, 3))

    assert pair.first.pending(0) == [8300]


def test_its_number_changes_only_while_disabled() -> None:
    """Software numbers an ITS before it enables it; the write that enables may still carry the number."""
    pair = Pair()
    pair.second.gits(GITS_CTLR.OFFSET, GITS_CTLR.decode(1).replace(its_number=5).word(), size=4)
    assert GITS_CTLR.decode(pair.second.gits(0, size=4)).its_number == 1
    pair.second.gits(GITS_CTLR.OFFSET, 0, size=4)
    pair.second.gits(GITS_CTLR.OFFSET, GITS_CTLR.decode(1).replace(its_number=15).word(), size=4)

    assert GITS_CTLR.decode(pair.second.gits(0, size=4)).its_number == 15


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv4", "virt-gicv4.1"])
def test_where_vmovp_needs_no_list_there_is_no_number(profile: str) -> None:
    """With GITS_TYPER.VMOVP = 1, or on GICv3, ITS_Number is RES0."""
    rig = Rig(profile=profile)
    rig.gits(GITS_CTLR.OFFSET, 0xF0, size=4)

    assert rig.gits(GITS_CTLR.OFFSET, size=4) == 0x8000_0000


# ---------------------------------------------------------------- one VMOVP for all


def test_one_vmovp_is_enough_where_typer_says_so() -> None:
    """GITS_TYPER.VMOVP = 1: the other ITS's entry moves too, list and sequence number being RES0."""
    pair = Pair(its_typer=PROFILES["virt-gicv4"].its_typer)
    assert pair.told(pair.first, vmovp(2, its_list=0xFFFF)) == [("VMOVP", "executed")]

    assert pair.targets() == [2, 2]


# ---------------------------------------------------------------- "absent": only who does not exist is waited for


def test_each_its_moves_when_it_is_told() -> None:
    """Linux tells one ITS after the other and waits for each: so each goes on by itself."""
    pair = Pair()
    assert pair.told(pair.first, vmovp(2, its_list=3), VSYNC(vpe_id=0)) == [
        ("VMOVP", "executed"),
        ("VSYNC", "executed"),
    ]
    assert pair.targets() == [2, 0]
    pair.told(pair.second, vmovp(2, its_list=3))

    assert pair.targets() == [2, 2]


def test_a_list_that_names_nobody_waits_for_ever() -> None:
    """Attack A18: the queue stands at the command, not Stalled; writing GITS_CWRITER again changes nothing."""
    pair = Pair()
    before = pair.first.creadr
    assert pair.told(pair.first, vmovp(2, its_list=0b101), SYNC(rd_base=0)) == [("VMOVP", "stalled")]
    assert pair.told(pair.first) == [("VMOVP", "stalled")]
    assert pair.told(pair.second, vmovp(2, its_list=0b101)) == [("VMOVP", "stalled")]

    assert pair.first.creadr == before
    assert pair.targets() == [0, 0]
    assert pair.waiting() == [{"its": n, "sequence_number": 7, "its_list": "0x5", "absent": [2]} for n in (0, 1)]


def test_an_its_that_is_enabled_late_frees_who_waited() -> None:
    """The second ITS is off: the first waits, and goes on by itself once the second is enabled."""
    pair = Pair()
    pair.second.gits(GITS_CTLR.OFFSET, 0, size=4)
    assert pair.told(pair.first, vmovp(2, its_list=3), VSYNC(vpe_id=0)) == [("VMOVP", "stalled")]
    outcome = pair.first.machine.apply(MmioWrite(pair.second.map.its, 4, 1 | 1 << 4))
    assert isinstance(outcome, Done)

    assert [(record[1], record[3]) for record in outcome.commands] == [("VMOVP", "executed"), ("VSYNC", "executed")]
    assert pair.waiting() == []


def test_who_is_disabled_waits_no_more() -> None:
    """Disabling an ITS takes it out of the meeting; enabled again it comes to the same command again."""
    pair = Pair()
    pair.told(pair.first, vmovp(2, its_list=4))
    pair.first.gits(GITS_CTLR.OFFSET, 0, size=4)
    assert pair.waiting() == []
    pair.first.gits(GITS_CTLR.OFFSET, 1, size=4)

    assert [row["its"] for row in pair.waiting()] == [0]


@pytest.mark.parametrize(
    "command, verdict",
    [
        (VMOVP(sequence_number=1, its_list=4, vpe_id=0, rd_base=4), "error"),
        (VMOVP(sequence_number=1, its_list=4, vpe_id=9, rd_base=0), "error"),
        (VMOVP(sequence_number=1, its_list=0, vpe_id=0, rd_base=3), "executed"),
    ],
    ids=repr,
)
def test_a_wrong_command_does_not_wait(command: VMOVP, verdict: str) -> None:
    """An error is found before anybody is waited for; an empty list names nobody to wait for."""
    pair = Pair()

    assert pair.told(pair.first, command) == [("VMOVP", verdict)]


# ---------------------------------------------------------------- "all": they meet at the sequence number


def test_two_itss_meet_at_the_sequence_number() -> None:
    """The first waits until the second has come to the same number; then both go on, and with what is behind."""
    pair = Pair(vmovp_waits="all")
    assert pair.told(pair.first, vmovp(2, its_list=3), VSYNC(vpe_id=0)) == [("VMOVP", "stalled")]
    assert pair.targets() == [0, 0]
    told = pair.told(pair.second, vmovp(2, its_list=3))

    assert sorted(told) == [("VMOVP", "executed"), ("VMOVP", "executed"), ("VSYNC", "executed")]
    assert pair.targets() == [2, 2]
    assert pair.first.creadr == pair.first.cwriter


def test_another_sequence_number_is_another_meeting() -> None:
    """Two ITSs at different numbers wait for each other for ever; the diagnosis shows both."""
    pair = Pair(vmovp_waits="all")
    pair.told(pair.first, vmovp(2, its_list=3, sequence_number=7))
    pair.told(pair.second, vmovp(2, its_list=3, sequence_number=8))

    assert [(row["sequence_number"], row["absent"]) for row in pair.waiting()] == [(7, []), (8, [])]
    assert pair.targets() == [0, 0]


def test_queues_of_many_meetings_run_to_their_ends() -> None:
    """Fifty VMOVPs in both queues: whoever is behind is waited for, and both queues end."""
    pair = Pair(vmovp_waits="all")
    moves = [vmovp(n % 4, its_list=3, sequence_number=n) for n in range(50)]
    pair.told(pair.first, *moves)
    told = pair.told(pair.second, *moves)

    assert told.count(("VMOVP", "executed")) == 100
    assert (pair.first.creadr, pair.second.creadr) == (pair.first.cwriter, pair.second.cwriter)
    assert pair.targets() == [1, 1]


def test_a_snapshot_keeps_who_waits() -> None:
    """A fork of a machine with a waiting ITS goes on as the original does."""
    pair = Pair(vmovp_waits="all")
    pair.told(pair.first, vmovp(2, its_list=3))
    original, fork = pair.first.machine, Machine.fork(pair.first.machine.snapshot())
    assert fork.state_hash() == original.state_hash()
    slot = pair.second.cwriter
    pair.told(pair.second, vmovp(2, its_list=3))
    pair.first.machine = pair.second.machine = fork
    pair.second.cwriter = slot
    pair.told(pair.second, vmovp(2, its_list=3))

    assert pair.targets() == [2, 2]
    assert fork.state_hash() == original.state_hash()


# ---------------------------------------------------------------- GICv4.1: a shared vPE table


def shared() -> Pair:
    """Two GICv4.1 ITSs with one vPE table."""
    pair = Pair("virt-gicv4.1", its_count=2)
    pair.second.gits(GITS_CTLR.OFFSET, 0, size=4)
    pair.second.VPES = Rig.VPES
    pair.second.cwriter = 0
    pair.second.set_up()
    for rig in (pair.first, pair.second):
        rig.post(map_vpe(valid=0))
    return pair


def map_vpe(valid: int = 1, alloc: int = 1, rd_base: int = 0) -> VMAPP_V41:
    """A VMAPP of vPE 0."""
    return VMAPP_V41(
        alloc=alloc, ptz=0, vconf_addr=Rig.VPROP, default_doorbell=9000, vpe_id=0, rd_base=rd_base, valid=valid,
        vpt_size=15, vpt_addr=Rig.VPT,
    )  # fmt: skip


def its_map(pair: Pair) -> int:
    """Which ITSs have vPE 0 mapped, as its entry says."""
    return VTE_V41.decode(*VTE_V41.STRUCT.unpack(pair.first.machine.physical(Rig.VPES, 32))).its_map


def test_each_its_maps_a_vpe_of_a_shared_table_for_itself() -> None:
    """One entry, a bit for each ITS: who did not map the vPE does not know it."""
    pair = shared()
    pair.first.post(map_vpe())
    assert pair.second.verdicts(VSYNC(vpe_id=0)) == ["error: VSYNC_VCPU_INVALID"]
    pair.second.post(map_vpe(alloc=0))

    assert pair.second.verdicts(VSYNC(vpe_id=0)) == ["executed"]
    assert its_map(pair) == 0b11


def test_unmapping_on_one_its_leaves_the_other() -> None:
    """Alloc = 0 unmaps for this ITS; Alloc = 1, on the last one, clears the entry."""
    pair = shared()
    pair.first.post(map_vpe())
    pair.second.post(map_vpe(alloc=0))
    pair.first.post(map_vpe(valid=0, alloc=0))
    assert its_map(pair) == 0b10
    assert pair.second.verdicts(VSYNC(vpe_id=0)) == ["executed"]
    pair.second.post(map_vpe(valid=0, alloc=1))

    assert pair.first.machine.physical(Rig.VPES, 32) == bytes(32)


def test_interrupts_of_both_itss_reach_one_vpe() -> None:
    """Events of devices on either ITS land in the vPE's one pending table; VMOVP on one moves it for both."""
    pair = shared()
    pair.first.post(map_vpe())
    pair.second.post(map_vpe(alloc=0))
    for n, rig in enumerate((pair.first, pair.second)):
        rig.post(MAPD(device_id=1, size=4, itt_addr=Rig.ITT + n * 0x1_0000, valid=1))
        rig.post(VMAPTI(device_id=1, event_id=0, vpe_id=0, virtual_intid=8200 + n, doorbell_intid=1023))
        rig.post(INT(device_id=1, event_id=0))
    pair.second.post(VMOVP_V41(sequence_number=0, its_list=0, vpe_id=0, rd_base=3, db=0, default_doorbell=0))
    state = pair.first.machine.state()

    assert state["vpending"] == {hex(Rig.VPT): [8200, 8201]}
    assert state["vpes"]["0"]["rd"] == 3


def test_each_its_has_its_own_sgi_frame() -> None:
    """The second ITS has GITS_SGIR at its architected offset; it serves vPEs that this ITS has mapped."""
    pair = shared()
    pair.second.post(map_vpe())
    nodes, machine = pair.first.map.its_nodes, pair.first.machine
    machine.apply(MmioWrite(nodes[0] + GITS_SGIR.OFFSET, 8, 1))
    assert machine.state()["vpending"] == {}
    machine.apply(MmioWrite(nodes[1] + GITS_SGIR.OFFSET, 8, 1))

    assert machine.state()["vpending"] == {hex(Rig.VPT): [1]}


def test_cwriter_of_one_its_leaves_the_other_alone() -> None:
    """Queues are apart: commands written for one are not run by the other."""
    pair = Pair()
    pair.first.put(SYNC(rd_base=0))
    outcome = pair.first.machine.apply(MmioWrite(pair.second.map.its + GITS_CWRITER.OFFSET, 8, pair.second.cwriter))

    assert outcome == Done()
