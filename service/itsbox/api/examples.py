"""Examples of the OpenAPI document, all of one imaginary session. A test sends every request among them to a real server."""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "BATCH",
    "BATCH_ANSWER",
    "EVENT_PAGE",
    "JOURNAL",
    "OPS",
    "SESSION",
    "SESSION_ID",
    "SESSION_REQUEST",
    "SNAPSHOT",
    "STATE",
]

SESSION_ID: Final = "1k3q8v5zt4m9c2hxw7ad"
SNAPSHOT_ID: Final = "1k3q8v6a0r5nbyj3e8fs"
_HASH: Final = "5f2b1c9d" * 8

SESSION_REQUEST: Final = {"profile": "virt-gicv3", "hardening": "strict", "start": "bare", "metadata": {"job": "ci-7"}}
SESSION: Final[dict[str, Any]] = {
    "id": SESSION_ID,
    "profile": "virt-gicv3",
    "cpus": 4,
    "ram_mib": 256,
    "phase": "trusted",
    "state": "running",
    "hardening": {"preset": "strict", "knobs": {}},
    "start": "bare",
    "error_policy": "ignore",
    "quirks": {},
    "oracle": "on",
    "map": {
        "gicd": "0x8000000",
        "its": "0x8080000",
        "translater": "0x8090040",
        "gicr": "0x80a0000",
        "gicr_stride": "0x20000",
        "ram": "0x40000000",
        "ram_bytes": "0x10000000",
        "hyp": "0x4ff00000",
        "hyp_bytes": "0x100000",
        "guest": "0x4fe00000",
        "guest_bytes": "0x100000",
    },
    "epoch": 1,
    "seq": 0,
    "step": 0,
    "state_hash": _HASH,
    "violations": 0,
    "subscribers": 0,
    "metadata": {"job": "ci-7"},
    "idle_timeout_s": 900,
    "created_at": "2026-11-22T19:37:36.123Z",
    "expires_at": "2026-11-22T19:52:36.123Z",
}
SNAPSHOT: Final = {
    "id": SNAPSHOT_ID,
    "state_hash": _HASH,
    "seq": 12,
    "step": 7,
    "created_at": "2026-11-22T19:38:01.500Z",
}

#: Operation id -> (request body, answer).
OPS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "mmio_read": (
        {"addr": "0x8080008", "size": 8},
        {"outcome": "ok", "value": "0x1f0001efb1", "seq": 1, "step": 1},
    ),
    "mmio_write": (
        {"addr": "0x8080088", "size": 8, "value": "0x20"},
        {
            "outcome": "ok",
            "commands": [
                {
                    "slot": 0,
                    "name": "MAPC",
                    "words": ["0x9", "0x0", "0x8000000000000000", "0x0"],
                    "verdict": "executed",
                }
            ],
            "seq": 2,
            "step": 2,
        },
    ),
    "memory_load": (
        {"addr": "0x40000000", "length": 8},
        {"outcome": "ok", "hex": "0900000000000000", "seq": 2, "step": 3},
    ),
    "memory_store": ({"addr": "0x40000000", "hex": "0900000000000000"}, {"outcome": "ok", "seq": 2, "step": 4}),
    "memory_fill": (
        {"addr": "0x40010000", "length": 65536, "byte": 0},
        {"outcome": "ok", "seq": 2, "step": 5},
    ),
    "hvc": (
        {"function": "__pkvm_host_share_hyp", "args": ["0x40000"]},
        {"outcome": "ok", "x0": "0x0", "x1": "0x0", "errno": None, "seq": 3, "step": 6},
    ),
    "msi": ({"device_id": 8, "event_id": 0}, {"outcome": "ok", "delivered": True, "seq": 4, "step": 7}),
    "ack": ({"cpu": 0}, {"outcome": "ok", "intid": 8192, "seq": 4, "step": 8}),
    "clean": ({"addr": "0x40000000", "length": 4096}, {"outcome": "ok", "seq": 4, "step": 9}),
}
BATCH: Final = {
    "ops": [
        {"op": "store", "addr": "0x40000000", "hex": "0900000000000000"},
        {"op": "mmio_read", "addr": "0x8080008", "size": 8},
    ],
    "stop_on": ["abort", "violation"],
    "hash": True,
}
BATCH_ANSWER: Final = {
    "results": [{"outcome": "ok"}, {"outcome": "ok", "value": "0x1f0001efb1"}],
    "executed": 2,
    "violations": [],
    "seq": 1,
    "step": 2,
    "state_hash": _HASH,
}
EVENT_PAGE: Final = {
    "epoch": 1,
    "events": [
        {
            "seq": 1,
            "step": 0,
            "type": "session.created",
            "data": {"session": SESSION_ID, "profile": "virt-gicv3", "hardening": "strict"},
        }
    ],
    "next": 1,
    "head": 1,
}
JOURNAL: Final = {
    "ops": [{"op": "mmio_read", "addr": "0x8080008", "size": 8}],
    "next": 1,
    "head": 1,
    "first": 1,
    "snapshot": None,
}
STATE: Final = {
    "devices": {"8": {"size": 4, "itt": "0x40100000"}},
    "collections": {"0": {"rd": 0}},
    "events": {"8": {"0": {"intid": 8192, "icid": 0}}},
    "vpes": {},
    "pending": {"0": [8192]},
    "vpending": {},
}
REGISTERS: Final = {
    "GITS_CTLR": {
        "addr": "0x8080000",
        "width": 32,
        "access": "RW",
        "value": "0x80000001",
        "fields": {"enabled": 1, "quiescent": 1},
        "policy": "direct",
    }
}
_RING: Final = {
    "base": "0x40020000",
    "size": 65536,
    "creadr": 32,
    "cwriter": 32,
    "stalled": False,
    "consumed": 32,
    "entries": [
        {
            "slot": 0,
            "name": "MAPC",
            "words": ["0x9", "0x0", "0x8000000000000000", "0x0"],
            "fields": {"icid": 0, "rd_base": "0x0", "valid": 1},
        }
    ],
}
QUEUES: Final = {"host": None, "hw": _RING}
TABLE: Final = {
    "kind": "device",
    "view": "hw",
    "valid": True,
    "base": "0x40030000",
    "indirect": False,
    "page_size": 65536,
    "entry_size": 8,
    "entries": 8192,
    "level1": [],
    "level2": [
        {
            "id": 8,
            "addr": "0x40030040",
            "raw": "0900404000000000",
            "fields": {"valid": 1, "size": 4, "itt_addr": "0x40100000"},
        }
    ],
}
PAGES: Final = [
    {"addr": "0x40000000", "pages": 65024, "owner": "host", "state": "OWNED", "pins": 0, "use": None},
    {"addr": "0x4fe00000", "pages": 256, "owner": "guest", "state": "OWNED", "pins": 0, "use": None},
]
VIOLATION: Final = {
    "oracle": "DMA",
    "sentence": "The ITS wrote an interrupt translation entry into a page of the hypervisor.",
    "bucket": "itsb1-5v2n6c3ahq7kd4fx",
    "step": 31,
    "addresses": [{"addr": "0x4ff00000", "length": 12, "owner": "hyp", "state": "owned", "pins": 0, "use": ""}],
}
DIAGNOSIS: Final = {"stuck": False, "hypotheses": []}
SSE: Final = 'id: 1\ndata: {"epoch":1,"events":[{"seq":1,"step":0,"type":"session.created","data":{}}]}\n\n'
DRIVER_ARGUMENTS: Final = {"device_id": 8, "events": 3}
DRIVER_ANSWER: Final = {
    "outcome": "ok",
    "log": [],
    "result": {"timeouts": 0},
    "seq": 40,
    "step": 3,
}
SCENARIOS: Final = {
    "scenarios": [
        {
            "name": "A3",
            "title": "A device table entry is edited in memory",
            "story": "...",
            "source": "...",
            "kind": "attack",
            "needs": {"profile": "virt-gicv3"},
            "defect": None,
        }
    ]
}
MATRIX: Final = {
    "scenarios": ["A3"],
    "presets": ["off", "strict"],
    "cells": {"A3": {"off": "violated", "strict": "isolated"}},
}
SCENARIO_RUN: Final = {
    "name": "A3",
    "hardening": "off",
    "verdict": "violated",
    "refusals": [],
    "violations": [VIOLATION],
    "session": SESSION_ID,
    "steps": [
        {
            "text": "MAPTI: the ITS writes an interrupt translation entry, INTID and ICID of our choice, to ITT_base.",
            "op": "MmioWrite(addr=0x8080088, size=0x4, value=0x240)",
            "result": "MAPTI executed",
            "step": 11,
        }
    ],
    "detail": "",
}
