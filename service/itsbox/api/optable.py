"""The single-op routes, one row each: where they are, what they take, how the fast path finds them."""

from __future__ import annotations

from typing import Final, NamedTuple

from itsbox.api import requests

__all__ = ["OP_ROUTES", "OpRoute"]


class OpRoute(NamedTuple):
    """path: behind ``/v1/sessions/{session_id}/``; name: the operation id; form: its body; extra: fields of the result."""

    path: str
    name: str
    form: type[requests.OpBody]
    extra: tuple[str, ...]


OP_ROUTES: Final = (
    OpRoute("mmio/read", "mmio_read", requests.MmioReadBody, ("value",)),
    OpRoute("mmio/write", "mmio_write", requests.MmioWriteBody, ("commands",)),
    OpRoute("memory/load", "memory_load", requests.LoadBody, ("hex",)),
    OpRoute("memory/store", "memory_store", requests.StoreBody, ()),
    OpRoute("memory/fill", "memory_fill", requests.FillBody, ()),
    OpRoute("hvc", "hvc", requests.HvcBody, ("x0", "x1", "errno")),
    OpRoute("msi", "msi", requests.MsiBody, ("delivered",)),
    OpRoute("ack", "ack", requests.AckBody, ("intid",)),
    OpRoute("clean", "clean", requests.CleanBody, ()),
)
