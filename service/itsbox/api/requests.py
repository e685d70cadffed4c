"""What a client may send about sessions and scenarios, field by field. Unknown fields are refused, everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from itsbox.api.numbers import U32_MAX, Count
from itsbox.hardware.profile import PROFILES
from itsbox.hypervisor.knobs import KNOBS
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine.config import QUIRKS
from itsbox.sessions.limits import Limits

__all__ = [
    "CreateSession",
    "ForkRequest",
    "HardeningChoice",
    "Metadata",
    "PatchSession",
    "RestoreRequest",
    "RunScenario",
    "Strict",
]


KEY_MAX: Final = 64
VALUE_MAX: Final = 512


class Strict(BaseModel):
    """Base of all requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _choices(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """The JSON schema of an object whose members are choices; the machine's own configuration judges them."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"enum": values} for name, values in rows.items()},
    }


# -------------------------------------------------------------------------------------------------------- sessions

Metadata: TypeAlias = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=KEY_MAX)],
        Annotated[str, StringConstraints(max_length=VALUE_MAX)],
    ],
    Field(max_length=32, description="Free text by key; `GET /v1/sessions?metadata.KEY=value` finds sessions by it."),
]
#: The schema shows the cap's default; the setting decides.
_Seconds: TypeAlias = Annotated[
    int,
    Count(1, U32_MAX, shown=Limits().idle_timeout_max_s),
    Field(description="Seconds without use after which the session ends; at most the cap `idle_timeout_max_s`."),
]


class HardeningChoice(Strict):
    """A preset, and knobs that this session sets otherwise."""

    preset: str = Field(
        "strict", description="A name from `GET /v1/hardening`.", json_schema_extra={"enum": [*PRESETS]}
    )
    knobs: dict[str, str] = Field(
        default_factory=dict,
        description="Knob by name; `GET /v1/hardening` says what each value means.",
        json_schema_extra=lambda schema: schema.update(_choices({k: [*v.values] for k, v in KNOBS.items()})),
    )


#: Told apart by their JSON type, so that what is wrong is said of one of them.
Hardening: TypeAlias = Annotated[
    Annotated[str, Tag("name"), Field(json_schema_extra={"enum": [*PRESETS]})]
    | Annotated[HardeningChoice, Tag("choice")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "choice"),
]


class CreateSession(Strict):
    """A machine to make. All fields are optional."""

    profile: str = Field(
        "virt-gicv3",
        description="Which kind of machine; see `GET /v1/profiles`.",
        json_schema_extra={"enum": list(PROFILES)},
    )
    cpus: Annotated[int, Count(1, 64)] | None = Field(None, description="CPUs; the profile's number if left out.")
    ram_mib: Annotated[int, Count(64, 4096)] | None = Field(None, description="RAM in MiB; the profile's if left out.")
    hardening: Hardening = Field("strict", description="A preset, or a preset with knobs.")
    start: Literal["bare", "host", "deprivileged"] = Field(
        "bare",
        description="`bare`: reset. `host`: the built-in driver has probed the ITS. `deprivileged`: and the switch-over is done.",
    )
    error_policy: Literal["ignore", "stall"] = Field(
        "ignore", description="What the ITS does at a faulty command: go on, or stop at it with CREADR.Stalled set."
    )
    quirks: dict[str, Annotated[bool, Field(strict=True)] | str] = Field(
        default_factory=dict,
        description="Single choices of the profile, set otherwise, and defects to seed; see `GET /v1/profiles`.",
        json_schema_extra=lambda schema: schema.update(_choices({k: [*v] for k, v in QUIRKS.items()})),
    )
    oracle: Literal["on", "off", "lockstep"] = Field(
        "on", description="`lockstep` also compares each op with the executable specification."
    )
    metadata: Metadata = Field(default_factory=dict)
    idle_timeout_s: _Seconds | None = None


class PatchSession(Strict):
    """What may be changed later; a field that is given replaces the session's."""

    metadata: Metadata | None = None
    idle_timeout_s: _Seconds | None = None


class RestoreRequest(Strict):
    """Which snapshot to go back to."""

    snapshot: str = Field(min_length=1, max_length=64)


class ForkRequest(Strict):
    """How many sessions to make, and from which state (now, if no snapshot is named)."""

    count: Annotated[int, Count(1, 256)] = 1
    snapshot: str | None = Field(None, min_length=1, max_length=64)


class RunScenario(Strict):
    """Where to run a scenario."""

    hardening: Hardening = "strict"
    profile: str | None = Field(
        None,
        description="The scenario's own if left out.",
        json_schema_extra={"enum": [*PROFILES, None]},
    )
