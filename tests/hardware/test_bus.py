"""Address decoding: every frame at its place, nothing in between."""

from __future__ import annotations

import pytest

from itsbox.arch.redist_registers import GICR_TYPER
from itsbox.hardware.bus import FRAME, Bus
from itsbox.hardware.profile import PROFILES
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Done, MmioRead, MmioWrite, Value


def machine(**config: str | int) -> Machine:
    """A bare machine."""
    return Machine(MachineConfig.make(hardening="off", **config))  # type: ignore[arg-type]


@pytest.mark.parametrize("profile, stride", [("virt-gicv3", 0x2_0000), ("virt-gicv4", 0x4_0000)])
def test_redistributors_lie_a_stride_apart(profile: str, stride: int) -> None:
    """GICR_TYPER of CPU n is at map.gicr + n * stride."""
    bare = machine(profile=profile, cpus=5)
    numbers = [GICR_TYPER.decode(bare.bus.read(0x80A_0000 + cpu * stride + 8, 8)).processor_number for cpu in range(5)]

    assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("addr", [0, 0x801_0000, 0x807_FFF8, 0x809_0000, 0x3F00_0000, 1 << 40, (1 << 64) - 8])
def test_nothing_answers_elsewhere(addr: int) -> None:
    """An address that is neither RAM nor a device is RAZ/WI and never an error."""
    bare = machine()
    before = bare.state_hash()

    assert bare.apply(MmioWrite(addr, 8, (1 << 64) - 1)) == Done()
    assert bare.apply(MmioRead(addr, 8)) == Value(0)
    assert before == bare.state_hash()


def test_a_misaligned_access_arrives_in_aligned_pieces() -> None:
    """A 64-bit read across the end of a frame is two of 32 bits, each answered by its own frame (as QEMU's bus does)."""
    assert machine().apply(MmioRead(0x807_FFFC, 8)) == Value(0x8000_0000 << 32)


def test_every_its_and_its_sgi_frame_has_a_place_of_its_own() -> None:
    """GICv4.1 has a virtual SGI frame; a second ITS lies above the redistributors of the largest machine."""
    frames = {window.name: (window.base, window.end) for window in machine(profile="virt-gicv4.1", cpus=64).bus.windows}
    dual = {window.name: window.base for window in machine(profile="virt-gicv4-dual-its", cpus=64).bus.windows}

    assert frames["its.sgi"] == (0x807_0000, 0x808_0000)
    assert (dual["its"], dual["its1"], dual["its1.translation"]) == (0x808_0000, 0x910_0000, 0x911_0000)
    assert "its1.sgi" not in dual


def test_ram_answers_mmio_accesses_too() -> None:
    """An MMIO access of any size to RAM is a plain load or store."""
    bare = machine()
    bare.apply(MmioWrite(0x4000_0001, 8, 0x0102_0304_0506_0708))

    assert bare.apply(MmioRead(0x4000_0002, 2)) == Value(0x0607)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_each_byte_of_a_window_is_answered_by_it(profile: str) -> None:
    """Windows are whole frames, on the largest machine of each kind: first and last byte belong to it, the next one does not."""
    bus = machine(profile=profile, cpus=64).bus
    for window in bus.windows:
        assert (window.base % FRAME, window.end % FRAME) == (0, 0)
        assert bus.window(window.base) is window
        assert bus.window(window.end - 1) is window
        assert bus.window(window.end) is not window


def test_overlapping_frames_are_refused_at_construction() -> None:
    """Two devices at one address are a mistake of the profile, named when the bus is built."""
    bare = machine()
    with pytest.raises(ValueError, match="overlaps"):
        Bus(bare.map, bare.gicd, [*bare.its, *bare.its], bare.redistributors)
