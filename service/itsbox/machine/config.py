"""What a machine is built from, and the checks of what a client may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from itsbox.hardware.profile import PROFILES, MemoryMap, Profile
from itsbox.hardware.seeded import ITS_DEFECTS
from itsbox.host.seeded import DRIVER_DEFECTS
from itsbox.hypervisor.knobs import Hardening, HardeningError, resolve

__all__ = ["CHOICES", "ERROR_POLICIES", "ORACLES", "QUIRKS", "STARTS", "ConfigError", "MachineConfig"]

ERROR_POLICIES: Final = ("ignore", "stall")
STARTS: Final = ("bare", "host", "deprivileged")
ORACLES: Final = ("on", "off", "lockstep")
MIN_RAM_MIB: Final = 64
MAX_RAM_MIB: Final = 4096
#: As many as QEMU's virt machine takes with a GICv3 at this map; also keeps GICv4's wider frames below RAM.
MAX_CPUS: Final = 64
#: Fields of a profile that a session may override, with the values they take.
CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "coherent": (False, True),
    "creadr_writable": (False, True),
    "stalled_sticky": (False, True),
    "queue_fault": ("skip", "stall"),
    "cte_fault_stalls": (False, True),
    "checks_invall": (False, True),
    "checks_vpe": (False, True),
    "vmovp_waits": ("absent", "all"),
    "l1_as_qemu": (False, True),
}
#: What a session may name in ``quirks``: choices, and defects of the ITS and of the built-in driver, which are off by themselves.
QUIRKS: Final[dict[str, tuple[Any, ...]]] = CHOICES | dict.fromkeys((*ITS_DEFECTS, *DRIVER_DEFECTS), (False, True))


class ConfigError(ValueError):
    """A client asked for a machine that cannot be; names the field."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.field = name
        self.message = message


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """A machine to be, all choices made. ``make`` checks; the constructor trusts.

    ``start`` is where it begins; ``profile`` has the quirks that are choices already applied.
    """

    profile: Profile
    cpus: int
    ram_mib: int
    hardening: Hardening
    start: str = "bare"
    error_policy: str = "ignore"
    oracle: str = "on"
    quirks: tuple[tuple[str, Any], ...] = field(default=())

    @classmethod
    def make(
        cls,
        *,
        profile: str = "virt-gicv3",
        cpus: int | None = None,
        ram_mib: int | None = None,
        hardening: str | dict[str, Any] = "strict",
        start: str = "bare",
        error_policy: str = "ignore",
        quirks: dict[str, Any] | None = None,
        oracle: str = "on",
    ) -> MachineConfig:
        """Build from the wire's fields (the wire contract, sessions). Raises ConfigError naming the field."""
        base = PROFILES.get(profile)
        if base is None:
            raise ConfigError("profile", _one_of(tuple(PROFILES)))
        for name, value, allowed in (
            ("start", start, STARTS),
            ("error_policy", error_policy, ERROR_POLICIES),
            ("oracle", oracle, ORACLES),
        ):
            if value not in allowed:
                raise ConfigError(name, _one_of(allowed))
        chosen = dict(quirks or {})
        for name, value in chosen.items():
            if name not in QUIRKS:
                raise ConfigError(f"quirks.{name}", _one_of(tuple(QUIRKS)))
            if type(value) is not type(QUIRKS[name][0]) or value not in QUIRKS[name]:
                raise ConfigError(f"quirks.{name}", _one_of(QUIRKS[name]))
        seeded = [name for name, value in chosen.items() if name in ITS_DEFECTS and value]
        if oracle == "lockstep" and seeded:
            raise ConfigError("oracle", f"the specification knows no ITS with {seeded[0]}: lockstep needs a right one")
        return cls(
            profile=replace(base, **{name: value for name, value in chosen.items() if name in CHOICES}),
            cpus=_in_range("cpus", base.cpus if cpus is None else cpus, 1, MAX_CPUS),
            ram_mib=_in_range("ram_mib", base.ram_mib if ram_mib is None else ram_mib, MIN_RAM_MIB, MAX_RAM_MIB),
            hardening=_hardening(hardening),
            start=start,
            error_policy=error_policy,
            oracle=oracle,
            quirks=tuple(sorted(chosen.items())),
        )

    @property
    def map(self) -> MemoryMap:
        """Where things are."""
        return self.profile.memory_map(self.ram_mib)

    @property
    def defects(self) -> tuple[str, ...]:
        """The quirks that are defects and on: names of ``ITS_DEFECTS`` and ``DRIVER_DEFECTS``."""
        return tuple(name for name, value in self.quirks if value is True and name not in CHOICES)

    def identity(self) -> tuple[Any, ...]:
        """Plain data that tells this machine's kind from another's; part of the state hash."""
        return (
            self.profile.name,
            self.cpus,
            self.ram_mib,
            self.hardening.preset,
            dict(self.hardening.knobs),
            self.error_policy,
            self.quirks,
        )


def _hardening(asked: str | dict[str, Any]) -> Hardening:
    if isinstance(asked, str):
        asked = {"preset": asked}
    unknown = set(asked) - {"preset", "knobs"}
    if unknown:
        raise ConfigError(f"hardening.{min(unknown)}", "unknown field")
    try:
        return resolve(asked.get("preset", "strict"), asked.get("knobs") or {})
    except HardeningError as error:
        raise ConfigError(error.field, error.message) from error


def _one_of(allowed: tuple[Any, ...]) -> str:
    return "must be one of " + ", ".join(
        str(value).lower() if isinstance(value, bool) else str(value) for value in allowed
    )


def _in_range(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ConfigError(name, f"must be between {low} and {high}")
    return value
