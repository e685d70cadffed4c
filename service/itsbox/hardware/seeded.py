"""Defects that other models of an ITS once had, to be seeded into this one: a table, and the ITS that has some of them.

Each is off unless a session's ``quirks`` name it, and where none is named none of this runs: a machine without defects has a
plain ``Its``. docs/explanation/historic-defects.md has every row of the list, also those that cannot exist here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from itsbox.arch.its_commands import DISCARD, MAPC, MAPD, MAPI, MAPTI, MOVALL, VMAPI, VMAPTI
from itsbox.hardware import seeded_commands as wrong
from itsbox.hardware.its import Its
from itsbox.hardware.its_lookup import EMPTY, Table

if TYPE_CHECKING:
    from itsbox.arch.its_errors import Cause
    from itsbox.arch.layout import Layout
    from itsbox.hardware.profile import Profile
    from itsbox.hardware.seeded_commands import Wrong

__all__ = ["ITS_DEFECTS", "Defect", "its_with"]

_DEVICE_IDS: Final = 1 << 32
_QUEUE_OFFSETS: Final = 1 << 20
"""What GITS_CREADR.Offset can say, in bytes."""
_NOTHING: Final = (0, 0, 0, 0)


class _Tables(NamedTuple):
    """The tables that an ITS works with, in the order of their registers."""

    device: Table
    collection: Table
    vpe: Table


_See: TypeAlias = Callable[[_Tables, _Tables], _Tables]
"""From the tables in force before, and those that the registers describe, to those that the ITS works with."""


class Defect(NamedTuple):
    """One defect. origin: who had it; doc: what is done wrongly. The rest is where it sits, all right where left out.

    commands: layout -> what makes the wrong one of the right one; tables: what the ITS believes of its tables when it is enabled;
    queue: of its queue's length; stalls: from whether the queue should stop at a failed command to whether it does; unread:
    what a command in missing memory reads as; profile: what it was built as.
    """

    origin: str
    doc: str
    commands: Mapping[type[Layout], Wrong] = MappingProxyType({})
    tables: _See | None = None
    queue: Callable[[int], int] | None = None
    stalls: Callable[[bool], bool] | None = None
    unread: Callable[[Its], tuple[int, int, int, int]] | None = None
    profile: Callable[[Profile], Profile] | None = None


def _one_entry_more(_before: _Tables, now: _Tables) -> _Tables:
    return _Tables(*(replace(table, entries=table.entries + 1) if table.entries else table for table in now))


def _any_device(_before: _Tables, now: _Tables) -> _Tables:
    return now._replace(device=replace(now.device, entries=_DEVICE_IDS)) if now.device.entries else now


def _entries_a_byte_short(_before: _Tables, now: _Tables) -> _Tables:
    # Entry_Size is bytes minus one, and taken as it is.
    return _Tables(*(replace(table, per_page=table.page_bytes // (table.entry_bytes - 1)) for table in now))


def _first_ones(before: _Tables, now: _Tables) -> _Tables:
    return _Tables(*(old if old.entries else new for old, new in zip(before, now, strict=True)))


def _up_to_the_first_invalid(before: _Tables, now: _Tables) -> _Tables:
    for n, table in enumerate(now):
        if not table.entries:
            return _Tables(*now[: n + 1], *before[n + 1 :])
    return now


def _previous_command(its: Its) -> tuple[int, int, int, int]:
    return _NOTHING if its.command is None else its.command[2]


def _no_types(profile: Profile) -> Profile:
    return replace(profile, baser_reset=(0,) * len(profile.baser_reset))


_MAPPING: Final = (MAPTI, MAPI, VMAPTI, VMAPI)

ITS_DEFECTS: Final[Mapping[str, Defect]] = MappingProxyType(
    {
        "device_id_unbounded": Defect(
            "Linux KVM, 2017", "A DeviceID is compared neither with GITS_TYPER.Devbits nor with the table.", tables=_any_device
        ),
        "mapd_keeps_dte": Defect(
            "Linux KVM, 2024", "MAPD with V=0 leaves the device table entry.", {MAPD: wrong.keeps_dte}
        ),
        "discard_keeps_ite": Defect("Linux KVM, 2024", "DISCARD leaves the translation entry.", {DISCARD: wrong.keeps_ite}),
        "discard_keeps_vlpi": Defect(
            "Linux KVM, GICv4", "DISCARD of a vPE's event leaves its vLPI pending.", {DISCARD: wrong.forgets_vlpi}
        ),
        "movall_takes_all": Defect(
            "Linux KVM, 2026", "MOVALL moves LPIs that are pending elsewhere, too.", {MOVALL: wrong.moves_all}
        ),
        "target_by_affinity": Defect(
            "Linux KVM, 2023", "A collection's target is found by its affinity instead of its number.",
            {MAPC: wrong.target_by_affinity},
        ),
        "missing_itt_accepted": Defect(
            "Linux KVM, 2022", "A translation entry in missing memory counts as written.",
            dict.fromkeys(_MAPPING, wrong.takes_missing_memory),
        ),
        "intid_unbounded": Defect(
            "Linux KVM, 2022", "An event may be mapped to an INTID that is no LPI.", {MAPTI: wrong.any_intid}
        ),
        "stale_tables": Defect(
            "Linux KVM, 2026", "A table that GITS_BASER<n> names anew is not looked at: the first one stays.", tables=_first_ones
        ),
        "size_unbounded": Defect(
            "Linux KVM, 2026; QEMU, 2021", "MAPD's Size is not compared with GITS_TYPER.ID_bits.", {MAPD: wrong.any_size}
        ),
        "rd_base_off_by_one": Defect(
            "QEMU, 2022", "RDbase may equal the number of redistributors.", {MAPC: wrong.one_more_target}
        ),
        "table_bound_off_by_one": Defect(
            "QEMU, 2022", "An id may equal the number of a table's entries.", tables=_one_entry_more
        ),
        "entry_size_wrong": Defect(
            "QEMU, 2022", "GITS_BASER<n>.Entry_Size is taken as bytes, not bytes minus one, to find a level-2 entry.",
            tables=_entries_a_byte_short,
        ),
        "stale_parameters": Defect(
            "QEMU, 2022", "At a table that is not Valid the ITS stops reading GITS_BASER<n>: later tables stay what they were.",
            tables=_up_to_the_first_invalid,
        ),
        "mapi_as_mapti": Defect("QEMU, 2021", "MAPI takes its INTID from MAPTI's field.", {MAPI: wrong.as_mapti}),
        "event_id_unbounded": Defect(
            "QEMU, 2022", "MAPTI does not compare the EventID with the device's Size.", {MAPTI: wrong.any_event}
        ),
        "stale_command": Defect(
            "QEMU, 2022", "A command in missing memory is taken to be the one before it.", unread=_previous_command
        ),
        "stall_mixed_up": Defect(
            "QEMU, 2022", "The queue stops at an error that it should pass, and passes what it should stop at.",
            stalls=lambda stalled: not stalled,
        ),
        "ite_overlap": Defect(
            "QEMU, 2022", "The second part of a translation entry is written over the first.",
            dict.fromkeys(_MAPPING, wrong.overlaps),
        ),
        "queue_never_wraps": Defect(
            "gem5, commit 59370dde2e", "GITS_CREADR runs on behind the end of the queue.",
            queue=lambda length: _QUEUE_OFFSETS if length else 0,
        ),
        "baser_without_type": Defect(
            "gem5, commit b90fcd7357", "GITS_BASER<n> resets to zero, without the Type of its table.", profile=_no_types
        ),
    }
)  # fmt: skip
"""Quirk to defect."""


def its_with(names: Collection[str]) -> Callable[..., Its]:
    """What makes an ITS with the defects among some quirks; where there are none, a plain one."""
    defects = [ITS_DEFECTS[name] for name in names if name in ITS_DEFECTS]
    return partial(_SeededIts, defects) if defects else Its


class _SeededIts(Its):
    """An ITS with defects.

    Invariant: as ``Its``; what it believes of its tables depends on earlier registers, and so is state of its own.
    Owned by: the machine.
    """

    __slots__ = ("_defects",)

    def __init__(self, defects: list[Defect], profile: Profile, *args: Any, **more: Any) -> None:
        self._defects = defects
        for defect in defects:
            if defect.profile is not None:
                profile = defect.profile(profile)
        self.device_table = self.collection_table = self.vpe_table = EMPTY
        super().__init__(profile, *args, **more)
        for defect in self._defects:
            for layout, make in defect.commands.items():
                if layout.MATCH in self.commands:
                    name, decode, execute = self.commands[layout.MATCH]
                    self.commands[layout.MATCH] = (name, decode, make(execute))

    def state(self) -> dict[str, Any]:
        """As ``Its``, and the tables."""
        return {**super().state(), "tables": tuple(map(astuple, self._tables()))}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        super().set_state(state)
        self._use(_Tables(*(Table(*values) for values in state["tables"])))

    def _tables(self) -> _Tables:
        return _Tables(self.device_table, self.collection_table, self.vpe_table)

    def _use(self, tables: _Tables) -> None:
        self.device_table, self.collection_table, self.vpe_table = tables

    def _latch(self) -> None:
        before = self._tables()
        super()._latch()
        for defect in self._defects:
            if defect.tables is not None:
                self._use(defect.tables(before, self._tables()))
            if defect.queue is not None:
                self.queue_bytes = defect.queue(self.queue_bytes)

    def _stalls(self, cause: Cause) -> bool:
        stalled = super()._stalls(cause)
        for defect in self._defects:
            if defect.stalls is not None:
                stalled = defect.stalls(stalled)
        return stalled

    def _unread(self) -> tuple[int, int, int, int]:
        for defect in self._defects:
            if defect.unread is not None:
                return defect.unread(self)
        return super()._unread()
