"""H5, H6, H13: what the hypervisor has written down, against what hardware does."""

from __future__ import annotations

from collections.abc import Iterator

from itsbox.oracle.rules import H5, H6, H13
from itsbox.oracle.scene import Broken, Scene, whole
from itsbox.oracle.world import Use

__all__ = ["h5", "h6", "h13"]


def h5(scene: Scene) -> Iterator[Broken]:
    """Pins against records, on the pages whose state changed."""
    if not scene.deprivileged:
        return
    for pfn, _, now in scene.changed:
        expected = scene.records.pins(pfn)
        if expected is not None and now.pins != expected:
            yield Broken(H5, f"The page has {now.pins} pins and {expected} records.", *whole(pfn), "page")


def h6(scene: Scene) -> Iterator[Broken]:
    """The recorded pages of a device against what the ITS computes from its MAPD."""
    if not scene.deprivileged:
        return
    for key in scene.touched.extents:
        if key[0] != Use.ITT or key not in scene.world.extents:
            continue
        extent = scene.world.extents[key]
        recorded = scene.records.itt(key[1], key[2], extent.pages)
        if recorded is not None and not recorded.issuperset(extent.pages):
            yield Broken(
                H6, "The recorded pages do not cover the translation table.", extent.addr, extent.length, Use.ITT
            )


def h13(scene: Scene) -> Iterator[Broken]:
    """A vPE in hardware without a record."""
    if not scene.deprivileged:
        return
    for key in scene.touched.extents:
        if key[0] == Use.VPT and key in scene.world.extents and scene.records.vpe(key[1], key[2]) is False:
            extent = scene.world.extents[key]
            yield Broken(
                H13, "Hardware has mapped a vPE that the hypervisor does not know.", extent.addr, extent.length, Use.VPT
            )
