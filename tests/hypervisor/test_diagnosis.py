"""Each explanation of the mail's hang, judged on machines where it is the true one."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.arch.its_commands import INT, MAPD, SYNC
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.hypervisor.diagnosis import CONFIRMED, CONTRADICTED, HYPOTHESES, POSSIBLE, UNTESTED
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, MmioWrite, Store
from tests.hypervisor.box import VALID, Box

SNAPDRAGON = {"profile": "snapdragon"}


def verdicts(box: Box) -> dict[str, str]:
    """Each hypothesis and its verdict."""
    return {row["hypothesis"]: row["verdict"] for row in box.machine.diagnosis()["hypotheses"]}


def confirmed(box: Box) -> list[str]:
    """The hypotheses that hold."""
    return [name for name, verdict in verdicts(box).items() if verdict == CONFIRMED]


@pytest.fixture
def hang() -> Box:
    """The mail's machine after its first device."""
    box = Box("rfc-v1", session=SNAPDRAGON)
    box.machine.apply(Drive("map_device", {"device_id": 16, "events": 3}))
    return box


def test_the_hang_of_the_mail(hang: Box) -> None:
    """H1 is confirmed: refused MAPD, -EINVAL, hardware CWRITER and CREADR at 1024, no stall; the rest is judged."""
    report: dict[str, Any] = hang.machine.diagnosis()

    assert report["stuck"]
    assert (report["last_refused"]["name"], report["last_refused"]["reason"]) == ("MAPD", "itt_page_aligned")
    assert (report["last_refused"]["slot"], report["last_refused"]["errno"]) == (32, "EINVAL")
    assert report["hw"] == {"cwriter": 1024, "creadr": 1024, "stalled": False}
    assert report["host"] == {"cwriter": 1248, "reads_cwriter": 1024, "reads_creadr": 1024, "consumed": 0}
    assert report["at_creadr"]["offset"] == 1024
    assert report["at_creadr"]["hw"][:2] == "08"
    assert verdicts(hang) == {
        "H1": CONFIRMED, "H2": CONTRADICTED, "H3": CONTRADICTED, "H4": CONTRADICTED, "H5": POSSIBLE, "H6": POSSIBLE,
        "H7": CONTRADICTED, "H8": CONTRADICTED, "H9": CONTRADICTED,
    }  # fmt: skip
    assert hang.hardware(GITS_CREADR) == hang.hardware(GITS_CWRITER) == 1024


def test_a_second_device_in_the_page() -> None:
    """H2: its table's page is shared already."""
    box = Box("rfc-v1")
    for device_id in (1, 2):
        box.post(MAPD(device_id=device_id, size=1, itt_addr=box.page(0) + 0x100 * device_id, valid=1))

    assert confirmed(box) == ["H2"]


def test_a_level_2_page_at_frame_zero() -> None:
    """H3: with the index repaired, mirroring a new entry fails."""
    box = Box("rfc-v1", l1_index="correct")
    box.add_l2(1, box.page(1) | VALID)
    box.post(MAPD(device_id=8192, size=1, itt_addr=box.page(0) + 0x100, valid=1))

    assert confirmed(box) == ["H3"]


def test_a_stall() -> None:
    """H7, and H4 possible: the ITS was told and stopped."""
    box = Box("rfc-v1", session={"error_policy": "stall"})
    box.post(INT(device_id=5, event_id=0))

    assert confirmed(box) == ["H7"]
    assert verdicts(box)["H4"] == POSSIBLE


def test_a_dropped_store() -> None:
    """H8: the host's write is misaligned in its width, so no command is looked at."""
    box = Box("v2")
    offset = box.put(SYNC(rd_base=0))
    box.write(GITS_CWRITER.OFFSET, offset | 0x10_0000 - 0x20, 4)

    assert confirmed(box) == ["H8"]


def test_an_emulation_that_was_never_installed() -> None:
    """H9: GITS_CWRITER follows, the hardware reads the old queue; with a stall policy it stops at an old entry."""
    box = Box("rfc-v1", queue_shadowing="off", session={"error_policy": "stall"})
    queue = box.machine.hypervisor.its_states()[0].host_queue
    box.machine.apply(Store(queue + 512, SYNC.STRUCT.pack(*SYNC(rd_base=0).encode())))
    box.machine.hypervisor.its_states()[0].host_cwriter = 544
    box.write(GITS_CWRITER.OFFSET, 544)

    assert "H9" in confirmed(box)


def test_nothing_is_judged_while_the_queue_moves() -> None:
    """Every hypothesis is untested, and says so."""
    box = Box()
    box.verdicts(SYNC(rd_base=0))

    assert set(verdicts(box).values()) == {UNTESTED}
    assert not box.machine.diagnosis()["stuck"]
    assert box.machine.diagnosis()["last_refused"] is None


def test_a_queue_that_skips_what_it_refuses_is_not_held_up() -> None:
    """Hardware never sees the command, so its offsets lag behind the host's from then on, and nobody waits."""
    box = Box()
    assert box.verdicts(MAPD(device_id=1, size=4, itt_addr=box.machine.map.hyp, valid=1)) != ["executed"]
    assert box.verdicts(SYNC(rd_base=0)) == ["executed"]
    report = box.machine.diagnosis()

    assert report["hw"]["creadr"] == report["host"]["reads_creadr"] - 32
    assert (report["stuck"], set(verdicts(box).values())) == (False, {UNTESTED})


def test_a_bare_queue_can_be_held_up_too() -> None:
    """The ITS stalled at a command: H7, with nobody before it who could have refused."""
    machine = Machine(MachineConfig.make(hardening="off", start="host", error_policy="stall"))
    place = machine.queues()["hw"]
    machine.apply(
        Store(int(place["base"], 16) + place["cwriter"], INT.STRUCT.pack(*INT(device_id=0x77, event_id=0).encode()))
    )
    machine.apply(MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 8, place["cwriter"] + 32))
    report = machine.diagnosis()

    assert (report["stuck"], report["hw"]["stalled"]) == (True, True)
    assert [row["hypothesis"] for row in report["hypotheses"] if row["verdict"] == CONFIRMED] == ["H7"]


def test_a_bare_machine_can_be_asked() -> None:
    """No hypervisor, no queue: no error either."""
    for preset in ("off", "strict"):
        report = Box(preset, session={"start": "bare"}).machine.diagnosis()
        assert report["host"] == {"cwriter": None, "reads_cwriter": None, "reads_creadr": None, "consumed": None}


def test_each_hypothesis_says_what_it_predicts() -> None:
    """H1 to H9, each with a sentence and a prediction."""
    assert [hypothesis.name for hypothesis in HYPOTHESES] == [f"H{n}" for n in range(1, 10)]
    assert all(hypothesis.says and hypothesis.predicts for hypothesis in HYPOTHESES)


def test_the_last_refusal_survives_a_snapshot(hang: Box) -> None:
    """The diagnosis after a restore is that of the moment saved."""
    report, saved = hang.machine.diagnosis(), hang.machine.snapshot()
    hang.machine.restore(Box("rfc-v1", session=SNAPDRAGON).machine.snapshot())
    assert hang.machine.diagnosis()["last_refused"] is None
    hang.machine.restore(saved)

    assert hang.machine.diagnosis() == report
