"""Random and mutated attack programs, the oracle in lock-step: at least 20,000 ops with fixed seeds in every run.

By hand, ``pytest tests/properties --fuzz-minutes 30`` goes on with fresh seeds; a failure names its seed and preset.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from itsbox.hypervisor.knobs import KNOBS
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Op
from tests.properties.hostile import mutated_program, random_program

OTHERS = ("off", "forward", "rfc-v1@6", "rfc-v1@8", "rfc-v1", "v2", "android-6.12")
PROFILES = ("virt-gicv3", "virt-gicv4", "virt-gicv4.1", "snapdragon", "virt-gicv4-dual-its")
SINGLE = tuple(
    (base, name, value)
    for base in ("strict", "v2")
    for name, row in KNOBS.items()
    for value in row.values
    if value != PRESETS[base].knobs[name]
)
"""Every machine that is one knob away from a preset: (preset, knob, value)."""
LENGTH = 250
STRICT_SEEDS = range(40)
OTHER_SEEDS = range(5)
SINGLE_LENGTH = 40
MUTATED_SEEDS = range(32)


def _machine(preset: str | dict[str, Any], **fields: Any) -> Machine:
    return Machine(MachineConfig.make(hardening=preset, oracle="lockstep", **{"start": "deprivileged", **fields}))


def _play(machine: Machine, ops: list[Op]) -> list[tuple[int, str]]:
    """Apply ops; (step, bucket) of each violation. An internal error raises out of here."""
    for op in ops:
        machine.apply(op)
        machine.take_events()
    return [(violation.step, violation.bucket) for violation in machine.violations]


def _strict(seed: int) -> int:
    """One program under strict; how many ops."""
    machine = _machine(
        "strict", profile=PROFILES[seed % len(PROFILES)], error_policy=("ignore", "stall")[seed // 5 % 2]
    )
    ops = random_program(machine, seed, LENGTH)
    found = _play(machine, ops)
    assert not found, f"seed {seed}: {[violation.sentence for violation in machine.violations]}"
    return len(ops)


def _other(preset: str, seed: int) -> tuple[int, int]:
    """One program under another preset, twice; how many ops and violations."""
    fields = {"profile": PROFILES[seed % len(PROFILES)], "error_policy": ("ignore", "stall")[seed // 5 % 2]}
    machine = _machine(preset, **fields)
    ops = random_program(machine, seed, LENGTH)
    found = _play(machine, ops)
    assert _play(_machine(preset, **fields), ops) == found, f"seed {seed} under {preset} is not reproducible"
    return len(ops), len(found)


def _mutated(seed: int) -> tuple[int, int]:
    """One bent attack under strict, where it must not succeed, and under off, where it must be reproducible."""
    fields, ops = mutated_program(seed)
    strict = _machine("strict", **fields)
    assert not _play(strict, ops), f"seed {seed}: {[violation.sentence for violation in strict.violations]}"
    found = _play(_machine("off", **fields), ops)
    assert _play(_machine("off", **fields), ops) == found
    return 2 * len(ops), len(found)


@pytest.mark.parametrize("seed", STRICT_SEEDS)
def test_nothing_gets_past_strict(seed: int) -> None:
    """Whatever a host does behind ``strict``: no internal error, no difference from the specification, no violation."""
    assert _strict(seed) >= LENGTH


@pytest.mark.parametrize("preset", OTHERS)
def test_violations_elsewhere_are_reproducible(preset: str) -> None:
    """Under every other preset nothing breaks either, and each violation comes back with its bucket from the journal."""
    ops = violations = 0
    for seed in OTHER_SEEDS:
        more, found = _other(preset, 1000 + seed)
        ops, violations = ops + more, violations + found

    assert ops >= LENGTH * len(OTHER_SEEDS)
    assert violations, "a grammar that never hurts an unguarded machine tests nothing"


@pytest.mark.parametrize("seed", MUTATED_SEEDS)
def test_bent_attacks_fail_behind_strict(seed: int) -> None:
    """Attacks with steps dropped, repeated, swapped and bent do not get past ``strict``, and replay exactly elsewhere."""
    ops, _ = _mutated(2000 + seed)

    assert ops


@pytest.mark.parametrize("part", range(4))
def test_one_knob_away(part: int) -> None:
    """With any single knob of ``strict`` or ``v2`` turned, no internal error and no difference from the specification."""
    for seed, (preset, knob, value) in enumerate(SINGLE):
        if seed % 4 == part:
            hardening = {"preset": preset, "knobs": {knob: value}}
            machine = _machine(hardening, profile=PROFILES[seed // 4 % len(PROFILES)])
            _play(machine, random_program(machine, 3000 + seed, SINGLE_LENGTH))


def test_the_fixed_seeds_make_twenty_thousand_ops() -> None:
    """The seeds above stand for at least 20,000 ops, not counting repetitions."""
    assert (len(STRICT_SEEDS) + len(OTHERS) * len(OTHER_SEEDS)) * LENGTH + len(SINGLE) * SINGLE_LENGTH >= 20_000


def test_fuzzing_by_hand(request: pytest.FixtureRequest) -> None:
    """With --fuzz-minutes, fresh seeds until the time is up; without, one program more."""
    minutes = float(request.config.getoption("--fuzz-minutes", default=0) or 0)
    end = time.monotonic() + 60 * minutes
    seed = int(time.time()) if minutes else 5000
    while True:
        _strict(seed)
        _other(OTHERS[seed % len(OTHERS)], seed)
        _mutated(seed)
        seed += 1
        if time.monotonic() >= end:
            break
