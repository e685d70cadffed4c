"""Which program brings each seeded defect to light, and on what machine. ``scenarios`` makes a scenario of each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from itsbox.hardware.seeded import ITS_DEFECTS, Defect
from itsbox.host import attacks_historic_drivers as drivers
from itsbox.host import attacks_historic_kvm as kvm
from itsbox.host import attacks_historic_models as models
from itsbox.host.seeded import DRIVER_DEFECTS, DriverDefect

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["HISTORIC", "Historic"]


class Historic(NamedTuple):
    """A defect and its program. quirk: what seeds it; profile, more: the machine it needs besides (session fields)."""

    quirk: str
    program: Callable[[HostileHost], None]
    profile: str = "virt-gicv3"
    more: Mapping[str, Any] = MappingProxyType({})

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.quirk.replace("_", "-")

    @property
    def title(self) -> str:
        """What is done wrongly."""
        return _DEFECTS[self.quirk].doc.removesuffix(".")

    @property
    def source(self) -> str:
        """Who had it."""
        return _DEFECTS[self.quirk].origin

    @property
    def fields(self) -> dict[str, Any]:
        """The session fields that seed it."""
        return {"quirks": {self.quirk: True}, **self.more}


_DEFECTS: Final[dict[str, Defect | DriverDefect]] = {**ITS_DEFECTS, **DRIVER_DEFECTS}

HISTORIC: Final = (
    Historic("device_id_unbounded", kvm.any_device),
    Historic("mapd_keeps_dte", kvm.mapd_keeps_dte),
    Historic("discard_keeps_ite", kvm.discard_keeps_ite),
    Historic("discard_keeps_vlpi", kvm.discard_keeps_vlpi, "virt-gicv4"),
    Historic("movall_takes_all", kvm.movall_takes_all),
    Historic("target_by_affinity", kvm.target_by_affinity, more={"cpus": 20}),
    Historic("missing_itt_accepted", kvm.missing_itt),
    Historic("intid_unbounded", kvm.any_intid),
    Historic("stale_tables", kvm.stale_tables),
    Historic("size_unbounded", kvm.any_size),
    Historic("rd_base_off_by_one", models.one_more_target),
    Historic("table_bound_off_by_one", models.one_more_entry),
    Historic("entry_size_wrong", models.entry_size),
    Historic("stale_parameters", models.stale_parameters),
    Historic("mapi_as_mapti", models.mapi_as_mapti),
    Historic("event_id_unbounded", models.any_event),
    Historic("stale_command", models.stale_command),
    Historic("stall_mixed_up", models.stall_mixed_up),
    Historic("ite_overlap", models.ite_overlap),
    Historic("queue_never_wraps", models.queue_runs_on),
    Historic("baser_without_type", models.baser_without_type),
    Historic("driver_compares_wrapped", drivers.compares_wrapped),
    Historic("driver_vsync_after_unmap", drivers.unmapped_vsync, "virt-gicv4.1", {"error_policy": "stall"}),
    Historic("driver_assumes_vpe_table", drivers.vpe_table_assumed, "virt-gicv4"),
    Historic("driver_ite_mask", drivers.ite_mask),
    Historic("driver_queue_never_wraps", drivers.queue_never_wraps),
    Historic("driver_queue_too_long", drivers.queue_too_long),
    Historic("driver_itt_too_short", drivers.itt_too_short),
    Historic("driver_level_1_off_by_one", drivers.level_1_off_by_one),
    Historic("driver_queue_not_cleaned", drivers.queue_not_cleaned, "snapdragon"),
)
"""Every seeded defect, in the order of the list."""
