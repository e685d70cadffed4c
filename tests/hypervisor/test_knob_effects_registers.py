"""What the knobs of registers do: guards, widths, views, and what nobody guards."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import SYNC
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_PARTIDR,
    GITS_PIDR2,
    GITS_TYPER,
)
from itsbox.arch.words import high_half, low_half
from itsbox.ops import Aborted, Done, Drive, Fill, Load, Panicked, Refused, Store, Value
from itsbox.reasons import Reason
from tests.hypervisor.box import INDIRECT, VALID, Box
from tests.hypervisor.shown import shows

FCTLR = 0x20  # GIC-600's, in the IMPLEMENTATION DEFINED window
RESERVED = 0x0150


def refused(outcome: object) -> Reason | None:
    """The reason of a refusal, None if it was none."""
    return outcome.reason if isinstance(outcome, Refused) else None


# ---------------------------------------------------------------- guards


@shows("ctlr_guard")
def test_enabling_needs_quiescence() -> None:
    """An ITS that is not quiescent is not enabled; this machine's ITS always is, so its register is made to say otherwise."""

    def enabled(**knobs: str) -> tuple[Reason | None, int]:
        box = Box(**knobs)
        box.disable()
        box.machine.its[0].ctlr = 0
        return refused(box.enable()), GITS_CTLR.decode(box.hardware(GITS_CTLR)).enabled

    assert enabled() == (Reason.ITS_NOT_QUIESCENT, 0)
    assert enabled(ctlr_guard="off") == (None, 1)


def test_the_host_may_disable_and_enable_the_its() -> None:
    """Under every preset that emulates."""
    for preset in ("rfc-v1", "v2", "android-6.12", "strict"):
        box = Box(preset)
        assert isinstance(box.disable(), Done)
        assert not GITS_CTLR.decode(box.hardware(GITS_CTLR)).enabled
        assert isinstance(box.enable(), Done)
        assert GITS_CTLR.decode(box.hardware(GITS_CTLR)).enabled


@shows("ctlr_bits")
def test_only_enabled_is_written() -> None:
    """Strict leaves the other bits of GITS_CTLR as they are."""

    def written(**knobs: str) -> int:
        box, seen = Box(**knobs), []
        its = box.machine.its[0]
        box.machine.bus.windows[:] = [
            window._replace(write=lambda offset, size, value: seen.append(value)) if window.read == its.read else window
            for window in box.machine.bus.windows
        ]
        box.write(GITS_CTLR.OFFSET, 0xF1, 4)
        return seen[0]

    assert written() == 0x8000_0001
    assert written(ctlr_bits="host") == 0xF1


@shows("cbaser_guard")
def test_the_queue_cannot_be_moved() -> None:
    """Guarded: refused while enabled, and while disabled unless it says what the register shows. Unguarded: moved."""
    box = Box()
    moved = box.value(GITS_CBASER.OFFSET) ^ 0x10_0000
    assert refused(box.write(GITS_CBASER.OFFSET, moved)) is Reason.ITS_ENABLED
    box.disable()
    before = box.machine.state_hash()
    assert refused(box.write(GITS_CBASER.OFFSET, moved)) is Reason.CBASER_CHANGED
    assert refused(box.write(GITS_CBASER.OFFSET, 0)) is Reason.CBASER_CHANGED
    assert box.machine.state_hash() == before

    off = Box("rfc-v1@11")
    off.disable()
    off.write(GITS_CBASER.OFFSET, moved)
    assert off.hardware(GITS_CBASER) == moved


@shows("baser_guard")
def test_tables_cannot_be_moved() -> None:
    """The same for GITS_BASER<n>."""
    box = Box()
    moved = box.value(GITS_BASER.OFFSET) ^ 0x10_0000
    assert refused(box.write(GITS_BASER.OFFSET, moved)) is Reason.ITS_ENABLED
    box.disable()
    before = box.machine.state_hash()
    assert refused(box.write(GITS_BASER.OFFSET, moved)) is Reason.BASER_CHANGED
    assert refused(box.write(GITS_BASER.OFFSET, 0)) is Reason.BASER_CHANGED
    assert refused(box.write(GITS_BASER.OFFSET + 16, moved)) is Reason.BASER_CHANGED  # a table that is none
    assert box.machine.state_hash() == before

    off = Box("rfc-v1@12")
    off.disable()
    off.write(GITS_BASER.OFFSET, moved)
    assert GITS_BASER.decode(off.hardware(GITS_BASER)).physical_address == GITS_BASER.decode(moved).physical_address


@shows("base_writes")
def test_what_a_permitted_write_may_contain() -> None:
    """v2 lets the host make a table invalid; strict takes the register's own value and nothing else."""
    v2, strict = Box("v2"), Box()
    for box in (v2, strict):
        box.disable()

    v2.write(GITS_BASER.OFFSET, low_half(v2.value(GITS_BASER.OFFSET)) | INDIRECT)
    assert not GITS_BASER.decode(v2.hardware(GITS_BASER)).valid
    hardware = strict.hardware(GITS_BASER)
    assert isinstance(strict.write(GITS_BASER.OFFSET, strict.value(GITS_BASER.OFFSET)), Done)
    # Attributes are the hypervisor's business: another shareability is no other table.
    assert isinstance(strict.write(GITS_BASER.OFFSET, strict.value(GITS_BASER.OFFSET) ^ 0x400), Done)
    assert strict.hardware(GITS_BASER) == hardware


@shows("base_mask", 3)
def test_the_hosts_address_bits_are_added() -> None:
    """RFC: the host's bits are OR-ed into the hardware's address; v2 replaces them, strict refuses."""

    def after(box: Box, register: type[GITS_CBASER | GITS_BASER]) -> tuple[int, int]:
        box.disable()
        before = register.decode(box.hardware(register)).physical_address
        value = box.hardware(register) | 0x80_0000
        box.write(register.OFFSET, value)
        return before, register.decode(box.hardware(register)).physical_address

    for register in (GITS_CBASER, GITS_BASER):
        before, moved = after(Box("rfc-v1"), register)
        assert moved == before | 0x80_0000 != before
        for preset in ("v2", "strict"):
            before, moved = after(Box(preset), register)
            assert moved == before


def test_the_indirect_bit_cannot_change() -> None:
    """RFC and v2 drop the write."""
    for preset in ("rfc-v1", "v2"):
        box = Box(preset)
        box.disable()
        value = box.value(GITS_BASER.OFFSET) & ~INDIRECT
        assert refused(box.write(GITS_BASER.OFFSET, value)) is Reason.BASER_INDIRECT


@shows("cbaser_reset")
def test_a_queue_that_begins_anew() -> None:
    """RFC: GITS_CWRITER stays, so enabling runs old commands again; v2 and strict clear it."""

    def replayed(preset: str) -> int:
        box = Box(preset)
        box.disable()
        box.write(GITS_CBASER.OFFSET, box.value(GITS_CBASER.OFFSET))
        outcome = box.enable()
        assert isinstance(outcome, Done)
        return len(outcome.commands)

    assert replayed("rfc-v1") == 16
    assert replayed("v2") == replayed("strict") == 0


def test_suspend_and_resume_keep_the_hardwares_registers() -> None:
    """The driver writes its own view back; the hardware ends with what it had."""
    for preset in ("v2", "android-6.12", "strict"):
        box = Box(preset)
        before = [box.hardware(GITS_CBASER), *(box.hardware(GITS_BASER, n) for n in range(8))]
        for call in ("suspend", "resume"):
            box.machine.apply(Drive(call, {}))
        assert [box.hardware(GITS_CBASER), *(box.hardware(GITS_BASER, n) for n in range(8))] == before
        assert box.verdicts(SYNC(rd_base=0)) == ["executed"]


# ---------------------------------------------------------------- widths


@shows("register_width", 13)
def test_who_made_the_its() -> None:
    """RFC: the handler of GITS_CTLR answers for GITS_IIDR too."""
    rfc = Box("rfc-v1")

    assert rfc.value(GITS_IIDR.OFFSET, 4) == rfc.value(GITS_CTLR.OFFSET, 4)
    assert Box().value(GITS_IIDR.OFFSET, 4) == Box("v2").value(GITS_IIDR.OFFSET, 4) == 0x43B


@shows("access_width", 13)
def test_halves_of_registers() -> None:
    """RFC and v2 take a half for the whole: an upper half of zeros moves GITS_CWRITER to 0. Strict puts halves together."""

    def upper_half(preset: str) -> int:
        box = Box(preset)
        box.post(SYNC(rd_base=0))
        box.write(GITS_CWRITER.OFFSET + 4, 0, 4)
        return box.hardware(GITS_CWRITER)

    assert upper_half("rfc-v1") == upper_half("v2") == 0
    assert upper_half("strict") == 544
    assert refused(Box().write(GITS_CWRITER.OFFSET + 4, 1, 4)) is Reason.QUEUE_OFFSET


def test_a_half_write_of_a_table_register_faults_in_the_rfc() -> None:
    """Its handler stores 64 bits at the host's offset: misaligned, to device memory."""
    box = Box("rfc-v1")
    box.disable()

    assert box.write(GITS_BASER.OFFSET + 4, 0, 4) == Panicked(Reason.EL2_FAULT)


@pytest.mark.parametrize("register", [GITS_CBASER, GITS_BASER])
def test_strict_puts_halves_together(register: type[GITS_CBASER | GITS_BASER]) -> None:
    """Reads give the half; two half writes of the register's own value are accepted, another half is refused."""
    box = Box()
    whole = box.value(register.OFFSET)
    assert box.value(register.OFFSET, 4) == low_half(whole)
    assert box.value(register.OFFSET + 4, 4) == high_half(whole)
    box.disable()

    assert isinstance(box.write(register.OFFSET, low_half(whole), 4), Done)
    assert isinstance(box.write(register.OFFSET + 4, high_half(whole), 4), Done)
    assert isinstance(box.write(register.OFFSET, low_half(whole) ^ 0x10_0000, 4), Refused)
    assert box.value(register.OFFSET) == whole


@pytest.mark.parametrize(
    "offset, size",
    [(0, 8), (0, 1), (0, 2), (2, 2), (0x88, 1), (0x88, 2), (0x8C, 8), (0x8A, 4), (0x104, 8), (0xFFE8, 8), (0x4, 2)],
)
def test_strict_refuses_widths_that_registers_do_not_have(offset: int, size: int) -> None:
    """1 and 2 bytes, misaligned, across two registers: reads as zero, writes nothing."""
    box = Box()
    before = box.machine.state_hash()

    assert box.read(offset, size) == Refused(Reason.ACCESS_WIDTH, 0)
    assert refused(box.write(offset, 1, size)) is Reason.ACCESS_WIDTH
    assert box.machine.state_hash() == before


def test_v2_drops_what_is_misaligned_or_too_wide() -> None:
    """A 64-bit access of GITS_CTLR; the destination register keeps what it held."""
    assert Box("v2").read(GITS_CTLR.OFFSET, 8) == Refused(Reason.ACCESS_WIDTH, None)
    assert refused(Box("v2").write(GITS_CWRITER.OFFSET + 2, 0, 4)) is Reason.ACCESS_WIDTH


@shows("forward_width")
def test_which_widths_are_forwarded() -> None:
    """RFC: 4 and 8 bytes; v2: all, and the device then says what it makes of them."""
    assert refused(Box("rfc-v1").read(GITS_PIDR2.OFFSET, 1)) is Reason.ACCESS_WIDTH
    assert Box("v2").read(GITS_PIDR2.OFFSET, 1) == Value(0)
    assert refused(Box("forward").read(GITS_PIDR2.OFFSET, 2)) is Reason.ACCESS_WIDTH
    assert Box("forward").read(GITS_PIDR2.OFFSET, 4) == Value(0x3B)


# ---------------------------------------------------------------- views


@shows("register_view")
def test_whose_registers_the_host_reads() -> None:
    """RFC and v2 show the hardware's; strict shows the host's queue, position and level-1 copies."""
    v2, strict = Box("v2"), Box()
    assert v2.value(GITS_CBASER.OFFSET) == v2.hardware(GITS_CBASER)
    assert v2.value(GITS_BASER.OFFSET) == v2.hardware(GITS_BASER)

    queue = strict.machine.host_queue()
    assert queue is not None
    cbaser = GITS_CBASER.decode(strict.value(GITS_CBASER.OFFSET))
    assert (cbaser.physical_address, cbaser.valid) == (queue["base"], 1)
    assert cbaser.physical_address != GITS_CBASER.decode(strict.hardware(GITS_CBASER)).physical_address
    assert GITS_BASER.decode(strict.value(GITS_BASER.OFFSET)).physical_address == strict.host_l1()
    assert strict.value(GITS_BASER.OFFSET + 8) == strict.hardware(GITS_BASER, 1)  # flat: nothing to hide


def test_the_host_position_counts_what_was_left_out() -> None:
    """Strict: refused commands move the host's CREADR and not the hardware's."""
    box = Box()
    hardware, host = box.hardware(GITS_CREADR), box.value(GITS_CREADR.OFFSET)
    box.post(SYNC(rd_base=9), SYNC(rd_base=0))

    assert box.hardware(GITS_CREADR) == hardware + 32
    assert box.value(GITS_CREADR.OFFSET) == box.value(GITS_CWRITER.OFFSET) == host + 64


@shows("denied_read")
def test_what_a_dropped_read_gives() -> None:
    """The series leaves the host's register as it was: there is no value. Strict: zero."""
    assert Box("rfc-v1").read(GITS_PIDR2.OFFSET, 1) == Refused(Reason.ACCESS_WIDTH, None)
    assert Box().read(GITS_PIDR2.OFFSET, 1) == Refused(Reason.ACCESS_WIDTH, 0)


# ---------------------------------------------------------------- what is left


@shows("impdef_registers", 21)
def test_implementation_defined_registers() -> None:
    """RFC and v2 forward them; strict reads zero, writes nothing, and says why."""
    for preset in ("rfc-v1", "v2"):
        assert Box(preset).read(FCTLR, 4) == Value(0)
        assert isinstance(Box(preset).write(FCTLR, 1, 4), Done)
    assert Box().read(FCTLR, 4) == Refused(Reason.IMPDEF_REGISTER, 0)
    assert refused(Box().write(0xF000, 1, 4)) is Reason.IMPDEF_REGISTER
    assert Box().read(RESERVED, 4) == Refused(Reason.REGISTER_RESERVED, 0)


@shows("read_only_registers")
def test_registers_that_are_not_the_hosts_to_write() -> None:
    """RFC and v2 let GITS_CREADR be written, where hardware allows it; strict refuses all of them."""
    rfc = Box("rfc-v1")
    rfc.write(GITS_CREADR.OFFSET, 0)
    assert rfc.hardware(GITS_CREADR) == 0

    for offset, size in (
        (GITS_CREADR.OFFSET, 8),
        (GITS_TYPER.OFFSET, 8),
        (GITS_IIDR.OFFSET, 4),
        (GITS_PARTIDR.OFFSET, 4),
    ):
        assert refused(Box().write(offset, 1, size)) is Reason.REGISTER_READ_ONLY
    assert Box().value(GITS_TYPER.OFFSET) == Box().hardware(GITS_TYPER)


# ---------------------------------------------------------------- presence


@shows("its_mmio")
def test_mapped_forwarded_emulated() -> None:
    """Patches 1 to 3 leave the ITS mapped; 4 and 5 forward each access, with an event; 6 on emulate."""

    def actions(preset: str) -> list[str]:
        box = Box(preset)
        box.machine.take_events()
        box.read(GITS_TYPER.OFFSET)
        box.write(GITS_CWRITER.OFFSET, 512)
        return [event["action"] for event in box.events("trap.mmio")]

    for n in (1, 2, 3):
        assert actions(f"rfc-v1@{n}") == []
    assert actions("forward") == actions("rfc-v1@4") == actions("rfc-v1@5") == ["forwarded"] * 2
    assert actions("rfc-v1@6") == actions("strict") == ["forwarded", "emulated"]


def test_a_forwarded_access_names_register_and_value() -> None:
    """Preset forward: the host sees the device itself, and somebody else sees the host."""
    box = Box("forward")
    box.machine.take_events()
    value = box.value(GITS_TYPER.OFFSET)

    assert box.events("trap.mmio") == [
        {
            "addr": hex(box.its + 8), "register": "GITS_TYPER", "size": 8, "write": False, "value": hex(value),
            "action": "forwarded", "reason": None,
        }
    ]  # fmt: skip


@shows("trap_range")
def test_how_much_of_the_its_is_unmapped() -> None:
    """RFC: the translation frame too; strict: the control frame, so that a CPU's own message still works."""

    def trapped(preset: str) -> int:
        box = Box(preset)
        box.machine.take_events()
        box.write(0x1_0040, 5, 4)
        return len(box.events("trap.mmio"))

    assert trapped("rfc-v1") == trapped("v2") == 1
    assert trapped("android-6.12") == trapped("strict") == 0


@shows("pkvm")
def test_without_pkvm() -> None:
    """Preset off: no hypercalls, no stage 2, full control."""
    box = Box("off")

    assert box.machine.phase == "trusted"
    assert box.hvc("__pkvm_prot_finalize").x0 == (1 << 64) - 1
    assert isinstance(box.write(GITS_CBASER.OFFSET, 0), Done)


@shows("host_abort")
def test_touching_what_is_not_the_hosts() -> None:
    """RFC: the hypervisor stops the machine; later: the host takes an exception. Either way with the reason."""
    for op, reason in (
        (Load(Box().map.hyp, 8), Reason.HYP_MEMORY),
        (Store(Box().map.guest, b"x"), Reason.GUEST_MEMORY),
        (Fill(Box().map.guest - 8, 16, 0), Reason.GUEST_MEMORY),
    ):
        assert Box("rfc-v1").machine.apply(op) == Panicked(reason)
        assert Box("v2").machine.apply(op) == Box().machine.apply(op) == Aborted(reason)


def test_every_register_says_what_becomes_of_it() -> None:
    """The policy shown beside each register is the one that is applied."""
    box = Box()
    for name, register in box.machine.registers().items():
        if not name.startswith("GITS"):
            continue
        offset, size = int(register["addr"], 16) - box.its, register["width"] // 8
        if register["access"] != "WO":
            box.machine.take_events()
            box.read(offset, size)
            (event,) = box.events("trap.mmio")
            assert event["action"] in register["policy"], name
        if register["policy"].endswith("write refused") or register["policy"] == "refused":
            assert isinstance(box.write(offset, 1, size), Refused), name
    assert Box("off").machine.registers()["GITS_CTLR"]["policy"] == "direct"
    assert Box("forward").machine.registers()["GITS_CTLR"]["policy"] == "forwarded"
    assert VALID  # the machine's tables are valid ones
