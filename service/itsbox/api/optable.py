"""The single-op routes, one row each: where they are, what they take, how the fast path finds them."""

from __future__ import annotations

from typing import Final, NamedTuple

from itsbox.api import op_bodies

__all__ = ["OP_ROUTES", "OpRoute"]


class OpRoute(NamedTuple):
    """path: behind ``/v1/sessions/{session_id}/``; name: the operation id; form: its body; extra: fields of the result."""

    path: str
    name: str
    form: type[op_bodies.OpBody]
    extra: tuple[str, ...]


OP_ROUTES: Final = (
    OpRoute("mmio/read", "mmio_read", op_bodies.MmioReadBody, ("value",)),
    OpRoute("mmio/write", "mmio_write", op_bodies.MmioWriteBody, ("commands",)),
    OpRoute("memory/load", "memory_load", op_bodies.LoadBody, ("hex",)),
    OpRoute("memory/store", "memory_store", op_bodies.StoreBody, ()),
    OpRoute("memory/fill", "memory_fill", op_bodies.FillBody, ()),
    OpRoute("hvc", "hvc", op_bodies.HvcBody, ("x0", "x1", "errno")),
    OpRoute("msi", "msi", op_bodies.MsiBody, ("delivered",)),
    OpRoute("ack", "ack", op_bodies.AckBody, ("intid",)),
    OpRoute("clean", "clean", op_bodies.CleanBody, ()),
)
