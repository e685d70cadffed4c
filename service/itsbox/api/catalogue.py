"""The declarations as ``GET /v1/arch`` and ``GET /v1/profiles`` answer them."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from itsbox.arch.catalogue import catalogue
from itsbox.events import EVENT_TYPES
from itsbox.hardware.profile import PROFILES
from itsbox.hardware.seeded import ITS_DEFECTS
from itsbox.host.seeded import DRIVER_DEFECTS
from itsbox.reasons import Reason

__all__ = ["arch_document", "defect_document", "profile_document"]

#: Numbers of a profile that people read as numbers; the others are register values.
_COUNTS: Final = frozenset({"gic", "cpus", "ram_mib", "its_count", "vte_bytes", "gicr_idbits", "rd_base_bits"})


@lru_cache(maxsize=1)
def arch_document() -> dict[str, list[dict[str, Any]]]:
    """What ``arch`` declares, with the reasons (in the order of their packed codes, from 1) and the event types."""
    return {
        **catalogue(),
        "reasons": [
            {
                "reason": reason.value,
                "code": code,
                "sentence": reason.sentence,
                "citation": reason.citation,
                "errno": reason.errno,
            }
            for code, reason in enumerate(Reason, 1)
        ],
        "events": [
            {
                "type": kind.name,
                "doc": kind.doc,
                "fields": [{"name": name, "shape": shape} for name, shape in kind.fields],
            }
            for kind in EVENT_TYPES.values()
        ],
    }


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shown(name, item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and name not in _COUNTS:
        return hex(value)
    return value


@lru_cache(maxsize=1)
def profile_document() -> list[dict[str, Any]]:
    """Every profile with all its fields; register values as hexadecimal strings."""
    return [
        {field.name: _shown(field.name, getattr(profile, field.name)) for field in fields(profile)}
        for profile in PROFILES.values()
    ]


@lru_cache(maxsize=1)
def defect_document() -> list[dict[str, Any]]:
    """Every historic defect that a session's ``quirks`` can seed: whose it is here, and who had it."""
    return [
        {"quirk": quirk, "of": of, "origin": defect.origin, "doc": defect.doc}
        for of, defects in (("its", ITS_DEFECTS), ("driver", DRIVER_DEFECTS))
        for quirk, defect in defects.items()
    ]
