"""The host side of a preset: which kernel the driver is.

A preset is a version of the series, and a version of the series has a host driver (patch 5) as well as a hypervisor. What
differs between the drivers are knobs like all others; here they become one row, which ``deprivilege`` and ``devices`` read.
Neither has any other knowledge of versions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from itsbox.arch.values import SIZE_64K
from itsbox.host.seeded import DRIVER_DEFECTS
from itsbox.hypervisor.host_tables import PRIVATE_STATE_PAGES

__all__ = ["DriverVersion", "driver_version"]

_HANDOVERS: Final = ("none", "locks", "switch")


@dataclass(frozen=True, slots=True)
class DriverVersion:
    """A kernel, as far as its host side matters.

    pkvm: it finds a hypervisor, and gives up its privileges with ``__pkvm_prot_finalize`` on each CPU.
    handover: how far its part of the switch-over goes: ``none``, ``locks`` or ``switch``.
    private_pages: pages of private state that it donates; more than one also makes their number an argument of the call.
    itt_page_aligned: ITTs are whole pages (Android's commit 5ffdc1d8), because its hypervisor insists.
    leaks_shadow_tables: on error, copies of level 1 are freed as single pages whatever their order (RFC, patch 5).
    redistributors: it also hands the redistributors over.

    What is right in every version, and wrong where a defect is seeded (``seeded``):
        queue_modulus: bytes after which its write offset begins again. queue_extra_pages: GITS_CBASER.Size beyond its queue.
        compares_wrapped: it forgets that a queue that wrapped is ahead of where it was.
        ite_bit_more: the mask of GITS_TYPER.ITT_entry_size is a bit too wide. itt_rounds_down: an ITT has place for the power of
        two below the vectors. l1_extra: level-1 entries that it believes in beyond those there are.
        ensures_vpe_entry: it adds level-2 pages of the vPE table. vsync_after_unmap: on GICv4.1 too.
        cleans_queue: where the queue is not shareable, each command is cleaned to memory.
    """

    pkvm: bool = True
    handover: str = "switch"
    private_pages: int = 2
    itt_page_aligned: bool = False
    leaks_shadow_tables: bool = False
    redistributors: bool = False
    queue_modulus: int = SIZE_64K
    queue_extra_pages: int = 0
    compares_wrapped: bool = False
    ite_bit_more: bool = False
    itt_rounds_down: bool = False
    l1_extra: int = 0
    ensures_vpe_entry: bool = True
    vsync_after_unmap: bool = False
    cleans_queue: bool = True

    def __post_init__(self) -> None:
        if self.handover not in _HANDOVERS:
            raise ValueError(f"handover must be one of {', '.join(_HANDOVERS)}")


def driver_version(knobs: Mapping[str, str], defects: Collection[str] = ()) -> DriverVersion:
    """The driver that goes with a hardening; ``knobs`` has every knob's value, ``defects`` may name ``DRIVER_DEFECTS``."""
    right = DriverVersion(
        pkvm=knobs["pkvm"] == "present",
        handover=knobs["driver_handover"],
        private_pages=PRIVATE_STATE_PAGES[knobs["private_state"]],
        itt_page_aligned=knobs["driver_itt_alignment"] == "page",
        leaks_shadow_tables=knobs["driver_table_free"] == "first_page",
        redistributors=knobs["redistributors"] == "emulated",
    )
    seeded = [DRIVER_DEFECTS[name].fields for name in defects if name in DRIVER_DEFECTS]
    return replace(right, **{field: value for fields in seeded for field, value in fields.items()})
