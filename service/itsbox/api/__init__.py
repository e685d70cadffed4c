"""HTTP and WebSocket: what a client says becomes ops, what a machine answers becomes JSON. No behaviour of its own."""

from __future__ import annotations
