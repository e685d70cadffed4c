"""Defects that other drivers once had, to be seeded into the built-in one. Off unless a session's ``quirks`` name them.

A row changes what a ``versions.DriverVersion`` says; the driver has no other knowledge of defects.
docs/explanation/historic-defects.md has every row of the list, also those that cannot exist here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = ["DRIVER_DEFECTS", "DriverDefect"]

_QUEUE_OFFSETS: Final = 1 << 20
"""What GITS_CWRITER.Offset can say, in bytes."""


class DriverDefect(NamedTuple):
    """One defect. origin: who had it; doc: what is done wrongly; fields: what becomes of the driver's version."""

    origin: str
    doc: str
    fields: Mapping[str, Any]


DRIVER_DEFECTS: Final[Mapping[str, DriverDefect]] = MappingProxyType(
    {
        "driver_compares_wrapped": DriverDefect(
            "Linux, commit a050fa5476d4", "Offsets are compared as if the queue had not wrapped.", {"compares_wrapped": True}
        ),
        "driver_vsync_after_unmap": DriverDefect(
            "Linux, GICv4.1", "A VSYNC names the vPE that was just unmapped.", {"vsync_after_unmap": True}
        ),
        "driver_assumes_vpe_table": DriverDefect(
            "Linux, GICv4", "Level-2 pages of the vPE table are taken to be there.", {"ensures_vpe_entry": False}
        ),
        "driver_ite_mask": DriverDefect(
            "Linux", "The mask of GITS_TYPER.ITT_entry_size is one bit too wide.", {"ite_bit_more": True}
        ),
        "driver_queue_never_wraps": DriverDefect(
            "kvm-unit-tests, commit db6767ba", "Commands are written on behind the end of the queue.",
            {"queue_modulus": _QUEUE_OFFSETS},
        ),
        "driver_queue_too_long": DriverDefect(
            "Zephyr, one public revision", "GITS_CBASER.Size is pages, not pages minus one.", {"queue_extra_pages": 1}
        ),
        "driver_itt_too_short": DriverDefect(
            "Zephyr, pull request 117277", "A translation table has place for the power of two below the vectors, not above.",
            {"itt_rounds_down": True},
        ),
        "driver_level_1_off_by_one": DriverDefect(
            "Zephyr, one public revision", "An index into level 1 may equal the number of its entries.", {"l1_extra": 1}
        ),
        "driver_queue_not_cleaned": DriverDefect(
            "Xen", "That the queue is not cacheable is not noticed: commands stay in the CPU's cache.", {"cleans_queue": False}
        ),
    }
)  # fmt: skip
"""Quirk to defect."""
