"""What the knobs of the command queue and of commands do."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import (
    INT,
    INVALL,
    MAPC,
    MAPD,
    MAPTI,
    MOVALL,
    SYNC,
    VMAPP,
    VMAPTI,
    VSYNC,
)
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER, GITS_IIDR
from itsbox.arch.its_tables import L1Entry
from itsbox.memory.interconnect import Initiator
from itsbox.ops import Done, Drive, MmioWrite, Panicked, Refused, Store
from itsbox.reasons import Reason
from tests.hypervisor.box import VALID, Box
from tests.hypervisor.shown import shows

GICV4 = {"profile": "virt-gicv4"}
LAST = 2047  # the last slot of a 64 KB queue


def mapd(device_id: int, itt_addr: int, size: int = 3, valid: int = 1) -> MAPD:
    """Map (or unmap) a device."""
    return MAPD(device_id=device_id, size=size, itt_addr=itt_addr, valid=valid)


def devices(box: Box) -> set[str]:
    """DeviceIDs that the ITS has mapped."""
    return set(box.machine.state()["devices"])


# ---------------------------------------------------------------- the queue


@shows("queue_shadowing")
def test_without_a_queue_of_its_own_the_hardware_runs_old_entries() -> None:
    """H9: the driver has moved to a new queue, GITS_CWRITER is forwarded, the hardware reads the old one."""
    box = Box("strict", queue_shadowing="off")
    box.machine.apply(Drive("map_device", {"device_id": 1, "events": 2}))

    assert devices(box) == set()
    assert box.machine.host_queue() is None
    assert "1" in devices(_with_device(Box()))


def _with_device(box: Box) -> Box:
    box.machine.apply(Drive("map_device", {"device_id": 1, "events": 2}))
    return box


@shows("submission", 11)
def test_refused_commands_in_the_hardware_queue() -> None:
    """RFC: a refused command lies in the hardware queue already; strict lets only checked copies in, v2 neither."""

    def at_creadr(box: Box) -> int:
        bad = mapd(1, box.map.hyp + 0x100)
        box.post(bad)
        hw = box.machine.queues()["hw"]
        return box.word(int(hw["base"], 16) + hw["creadr"])

    assert at_creadr(Box("rfc-v1")) == mapd(1, 0).encode()[0]
    assert at_creadr(Box("v2")) == at_creadr(Box()) == 0


def test_a_whole_turn_of_the_queue_in_one_write() -> None:
    """Strict: 2,047 commands by one GITS_CWRITER write, each listed by its slot of the host's queue, bad ones left out."""
    box = Box()
    start = box.queue()["cwriter"] // 32
    good, bad = SYNC(rd_base=0), SYNC(rd_base=99)
    records = box.records(*[bad if n % 3 == 1 else good for n in range(LAST)])

    assert [record[0] for record in records] == [(start + n) % 2048 for n in range(LAST)]
    assert [record[3] for record in records] == ["refused" if n % 3 == 1 else "executed" for n in range(LAST)]
    queue = box.machine.host_queue()
    assert queue is not None
    assert queue["creadr"] == queue["cwriter"] == queue["consumed"]


@shows("wrap_parsing", 5)
def test_commands_behind_the_wrap_are_not_checked() -> None:
    """RFC: the head of the queue reaches the hardware unchecked, so a device's table lies in hypervisor memory."""

    def wrapped(box: Box) -> tuple[list[str], set[str]]:
        box.advance(LAST)
        return box.verdicts(SYNC(rd_base=0), mapd(9, box.map.hyp + 0x100)), devices(box)

    assert wrapped(Box("rfc-v1")) == (["executed"] * 2, {"9"})
    assert wrapped(Box("rfc-v1", wrap_parsing="correct")) == (["itt_not_host_owned"], set())
    assert wrapped(Box()) == (["executed", "itt_not_host_owned"], set())


def test_the_tail_is_checked_twice_at_a_wrap() -> None:
    """RFC: a good MAPD in the last slot is shared a second time and therefore refused."""
    box = Box("rfc-v1")
    box.advance(LAST)

    assert box.verdicts(mapd(9, box.page(0) + 0x100), SYNC(rd_base=0)) == ["itt_shared"]


@shows("queue_bound", 4)
def test_an_offset_equal_to_the_queues_length() -> None:
    """RFC: it passes, and the hardware, pointed outside, does nothing more; strict and v2 refuse it."""
    rfc = Box("rfc-v1")
    assert isinstance(rfc.write(GITS_CWRITER.OFFSET, 0x1_0000), Done)
    assert rfc.hardware(GITS_CWRITER) == 0x1_0000

    for preset in ("v2", "strict"):
        box = Box(preset)
        before = box.hardware(GITS_CWRITER)
        assert isinstance(box.write(GITS_CWRITER.OFFSET, 0x1_0000), Refused)
        assert box.hardware(GITS_CWRITER) == before
        assert box.verdicts(SYNC(rd_base=0)) == ["executed"]


@pytest.mark.parametrize("value", [0x1_0000, 0x1_0020, 0xF_FFE0, 0x10, 1 << 20, 1 << 63])
def test_strict_refuses_offsets_that_are_none(value: int) -> None:
    """Outside the queue, with reserved bits set, or beyond the field: refused, and no trace is left."""
    box = Box()
    before = box.machine.state_hash()
    outcome = box.write(GITS_CWRITER.OFFSET, value)

    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.QUEUE_OFFSET
    assert box.machine.state_hash() == before


@shows("on_refusal", 11)
def test_a_refused_command_wedges_the_queue() -> None:
    """RFC and v2: nothing passes it, honest commands included; strict reports it and goes on."""

    def verdicts(box: Box) -> list[str]:
        return [*box.verdicts(mapd(1, box.map.hyp + 0x100)), *box.verdicts(SYNC(rd_base=0))]

    assert verdicts(Box("rfc-v1")) == verdicts(Box("v2")) == ["itt_not_host_owned"] * 2
    assert verdicts(Box()) == ["itt_not_host_owned", "executed"]
    assert verdicts(Box("strict", on_refusal="wedge")) == ["itt_not_host_owned"] * 2
    assert verdicts(Box("v2", on_refusal="skip")) == ["itt_not_host_owned", "executed", "executed"]
    assert verdicts(Box("rfc-v1", on_refusal="skip")) == ["itt_not_host_owned", "executed", "executed"]


def test_a_wedged_queue_of_v2_goes_on_once_the_host_replaces_the_command() -> None:
    """v2 fetches the command again each time; the position stays at it."""
    box = Box("v2")
    box.post(mapd(1, box.map.hyp))
    queue = box.queue()
    box.machine.apply(Store(queue["base"] + queue["creadr"], SYNC.STRUCT.pack(*SYNC(rd_base=0).encode())))

    assert box.verdicts() == ["executed"]


@shows("cache_maintenance", 18)
def test_an_incoherent_its_does_not_see_the_copies() -> None:
    """Snapdragon, RFC with its alignment repaired: the hardware reads zeros; a flush makes the device appear."""

    def mapped(preset: str, **knobs: str) -> tuple[list[str | None], set[str]]:
        box = Box(preset, session={"profile": "snapdragon"}, **knobs)
        queue = box.queue()
        box.machine.interconnect.clean(queue["base"], queue["size"])
        records = box.records(mapd(16, box.page(0)))
        return [record[1] for record in records][-1:], devices(box)

    assert mapped("rfc-v1", itt_alignment="none") == ([None], set())
    assert mapped("rfc-v1", itt_alignment="none", cache_maintenance="dsb") == ([None], set())
    assert mapped("rfc-v1", itt_alignment="none", cache_maintenance="flush") == (["MAPD"], {"16"})
    assert mapped("strict") == (["MAPD"], {"16"})


@shows("host_fetch", 20)
def test_a_level_1_entry_changed_between_check_and_use() -> None:
    """RFC, the slips that hide it repaired: the entry that was checked is not the one that is used; strict reads it once."""

    def race(box: Box) -> int:
        box.add_l2(1, box.page(1) | VALID)
        source, seen = box.host_l1() + 8, []

        def other_cpu(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
            if initiator == Initiator.HYP and not is_write and addr == source:
                seen.append(addr)
                if len(seen) == 2:  # the word has been checked: swap it before it is read again
                    box.machine.memory.write(source, 8, box.map.hyp | VALID)

        box.machine.interconnect.watch = other_cpu
        box.post(mapd(8192, box.page(0)))
        return L1Entry.decode(box.hw_l1(1)).address

    repaired = {"l1_index": "correct", "l1_mask": "correct", "itt_alignment": "none"}
    assert race(Box("rfc-v1", **repaired)) == Box().map.hyp
    assert race(Box()) == Box().page(1)


@shows("start_offset", 19)
def test_where_the_queues_are_entered() -> None:
    """RFC: from the start, so zeros go over what was carried out before; v2 and strict go on where the hardware is."""

    def copied(preset: str) -> tuple[int, bytes]:
        box = Box(preset)
        box.machine.take_events()
        box.post(SYNC(rd_base=0))
        hw = int(box.machine.queues()["hw"]["base"], 16)
        return box.events("shadow.queue")[0]["from"], box.machine.physical(hw, 32)

    assert copied("rfc-v1") == (0, bytes(32))
    for preset in ("v2", "strict"):
        offset, first = copied(preset)
        assert offset == 512
        assert first == MAPC.STRUCT.pack(*MAPC(icid=0, rd_base=0, valid=1).encode())


# ---------------------------------------------------------------- commands


@shows("mapd_check")
def test_mapd_unchecked() -> None:
    """Before patch 8 any memory is a translation table."""
    bad = mapd(1, Box().map.hyp + 0x100)

    assert Box("rfc-v1@7").verdicts(bad)[-1] == "executed"
    assert Box("rfc-v1@8").verdicts(bad) == ["itt_not_host_owned"]
    assert Box("strict", mapd_check="off").verdicts(bad) == ["executed"]


@shows("vmapp_check")
def test_vmapp_unchecked() -> None:
    """Before patch 9, and again in v2, any memory is a virtual pending table."""
    bad = VMAPP(vpe_id=1, rd_base=0, valid=1, vpt_size=15, vpt_addr=Box(session=GICV4).map.hyp)

    def verdict(preset: str, **knobs: str) -> str:
        box = Box(preset, session=GICV4, **knobs)
        box.add_l2(0, box.page(2) | VALID, "vpe")
        return box.verdicts(bad)[-1]

    assert verdict("rfc-v1@8") == verdict("v2") == "executed"
    assert verdict("rfc-v1@9", l1_mask="correct", l1_index="correct") == "vpt_not_host_owned"
    assert verdict("strict") == "vpt_not_host_owned"
    assert verdict("strict", vmapp_check="off") == "executed"


@shows("mapc_check")
def test_mapc_mirrors_the_collection_tables_level_1() -> None:
    """From patch 10 on, and at each command that needs a collection under strict."""

    def mirrored(**knobs: str) -> bool:
        box = Box("v2", session={"start": "bare"}, **knobs)
        tables = box.program(collections=1)
        box.finalise()
        assert getattr(box.hand_over(tables), "errno", "") is None
        box.add_l2(1, box.page(3) | VALID, "collection")
        box.post(MAPC(icid=8192, rd_base=0, valid=1))
        return box.hw_l1(1, "collection") != 0

    assert mirrored() is True
    assert mirrored(mapc_check="off") is False


@shows("rd_base")
def test_a_target_that_is_no_redistributor() -> None:
    """Strict refuses it in each command that has one; the series leaves it to the ITS."""
    wrong = (
        MAPC(icid=1, rd_base=4, valid=1), SYNC(rd_base=4), MOVALL(rd_base1=0, rd_base2=4), MOVALL(rd_base1=4, rd_base2=0)
    )  # fmt: skip

    assert set(Box().verdicts(*wrong)) == {"rd_base_unknown"}
    assert Box().verdicts(MAPC(icid=1, rd_base=4, valid=0)) == ["executed"]
    assert set(Box("v2").verdicts(*wrong)) == {"error", "executed"}


@shows("virtual_commands", 15)
def test_virtual_commands() -> None:
    """Forwarded by RFC and v2, refused by Android, checked by strict; an ITS without vLPIs gets none from strict."""
    unknown = VMAPTI(device_id=1, event_id=0, vpe_id=9, virtual_intid=8192, doorbell_intid=1023)

    def verdicts(preset: str, profile: str = "virt-gicv4") -> list[str]:
        box = Box(preset, session={"profile": profile})
        address = box.page(0) + (0 if preset == "android-6.12" else 0x100)
        return [*box.verdicts(mapd(1, address)), *box.verdicts(unknown, VSYNC(vpe_id=9))][-2:]

    assert verdicts("rfc-v1")[0] == verdicts("v2")[0] == "executed"
    assert verdicts("android-6.12") == ["executed", "virtual_opcode"]  # and wedged there
    assert verdicts("strict") == ["vpe_not_mapped", "l1_entry_invalid"]
    assert verdicts("strict", "virt-gicv3") == ["virtual_opcode"] * 2


@shows("other_commands")
def test_ids_beyond_their_ranges() -> None:
    """Strict refuses them before the ITS sees them."""
    wrong = (
        INT(device_id=65536, event_id=0),
        MAPTI(device_id=1, event_id=0, intid=8192, icid=0),
        INVALL(icid=8192),
        MAPC(icid=8192, rd_base=0, valid=1),
    )

    assert Box().verdicts(*wrong) == ["device_id_range", "device_not_mapped", "icid_range", "icid_range"]
    forwarded = Box("strict", other_commands="forwarded").verdicts(*wrong[:3])
    assert forwarded == ["error", "error", "executed"]


@shows("unknown_opcodes")
def test_opcodes_that_no_command_has() -> None:
    """Strict refuses them, with no name in the record; all versions of the series pass them on."""
    unknown = (0x5F, 1, 2, 3)

    assert [(record[1], record[3]) for record in Box().records(unknown)] == [(None, "refused")]
    for preset in ("rfc-v1", "v2", "android-6.12"):
        assert Box(preset).verdicts(unknown)[-1] == "error"
    assert Box().verdicts((0, 0, 0, 0)) == ["unknown_opcode"]


@shows("reserved_bits")
def test_reserved_bits_are_cleared() -> None:
    """Strict hands on what the manual defines and nothing else."""
    noisy = (5 | 0xFFFF_FF00, (1 << 64) - 1, 0xFFF0_0000_0000_FFFF, 7)

    assert Box().records(noisy)[0][2] == (5, 0, 0, 0)
    assert Box("v2").records(noisy)[0][2] == noisy


# ---------------------------------------------------------------- stalls


def test_a_stalled_command_shows_at_the_hosts_position_and_goes_on_with_retry() -> None:
    """Strict with error policy stall: the ITS stops, the host reads Stalled at its own slot, repairs it and retries."""
    box = Box(session={"error_policy": "stall"})
    box.verdicts(mapd(1, box.page(0)))
    start = box.queue()["cwriter"]
    bad, after = INT(device_id=1, event_id=5), SYNC(rd_base=1)
    assert [record[3] for record in box.records(SYNC(rd_base=0), bad, after)] == ["executed", "stalled"]
    assert box.value(GITS_CREADR.OFFSET) == (start + 32) | 1

    queue = box.queue()
    fixed = MAPTI(device_id=1, event_id=5, intid=8200, icid=0)
    box.machine.apply(Store(queue["base"] + start + 32, MAPTI.STRUCT.pack(*fixed.encode())))
    assert box.verdicts() == []
    assert box.verdicts(retry=1) == ["executed", "executed"]
    assert box.value(GITS_CREADR.OFFSET) == start + 96


def test_a_stalled_command_is_listed_again_at_each_retry() -> None:
    """Retry without a repair: the same slot stalls again."""
    box = Box(session={"error_policy": "stall"})
    box.verdicts(mapd(1, box.page(0)))
    slot = box.queue()["cwriter"] // 32
    assert [record[0] for record in box.records(INT(device_id=1, event_id=5))] == [slot]

    assert [(record[0], record[3]) for record in box.records(retry=1)] == [(slot, "stalled")]
    assert [(record[0], record[3]) for record in box.records(SYNC(rd_base=0), retry=1)] == [(slot, "stalled")]


def test_v2_reports_a_stall_and_takes_the_command_back() -> None:
    """-EIO inside the trap handler: pages that the command held go back."""
    box = Box("v2", session={"error_policy": "stall"})
    box.verdicts(mapd(1, box.page(0)))
    outcome = box.post(INT(device_id=1, event_id=5))

    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.COMMAND_STALLED
    assert [record[3] for record in outcome.commands] == ["stalled"]


def test_commands_posted_while_disabled_run_when_enabled() -> None:
    """Strict: GITS_CWRITER is kept, and the queue worked off, checked, at the write of GITS_CTLR."""
    box = Box()
    box.disable()
    assert box.verdicts(SYNC(rd_base=0), SYNC(rd_base=9)) == []
    outcome = box.enable()

    assert isinstance(outcome, Refused)
    assert [record[3] for record in outcome.commands] == ["executed", "refused"]
    assert isinstance(box.post(SYNC(rd_base=0)), Done)


def test_an_offset_that_never_comes_hangs_a_loop() -> None:
    """v2 with the RFC's bound: the loop waits for an offset that no command has."""
    box = Box("v2", queue_bound=">")

    assert box.write(GITS_CWRITER.OFFSET, 0x1_0000) == Panicked(Reason.EL2_HANG)


def test_the_driver_writes_cwriter_with_32_bits() -> None:
    """Both widths work where the architecture has both."""
    box = Box()
    offset = box.put(SYNC(rd_base=0))

    assert isinstance(box.machine.apply(MmioWrite(box.its + GITS_CWRITER.OFFSET, 8, offset)), Done)
    assert isinstance(box.post(SYNC(rd_base=0)), Done)
    assert box.value(GITS_IIDR.OFFSET, 4) == 0x43B


@pytest.mark.parametrize("submission", ["batch", "one_at_a_time", "runs"])
def test_a_slot_changed_between_check_and_copy(submission: str) -> None:
    """With a slot that is read twice the command that was checked is not the one that runs; read once, it is."""

    def mapped(host_fetch: str) -> int:
        box = Box("strict", submission=submission, host_fetch=host_fetch)
        itt, seen = box.page(0), []
        queue = int(box.machine.queues()["host"]["base"], 16)

        def other_cpu(initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
            if initiator == Initiator.HYP and not is_write and queue <= addr < queue + 0x10000:
                seen.append(addr)
                if len(seen) == 2:
                    command = mapd(16, itt + 0x4000)
                    box.machine.memory.store(addr, MAPD.STRUCT.pack(*command.encode()))

        box.machine.interconnect.watch = other_cpu
        box.post(mapd(16, itt))
        return int(box.machine.state()["devices"]["16"]["itt"], 16) - itt

    assert mapped("slot_twice") == 0x4000
    assert mapped("once") == 0
