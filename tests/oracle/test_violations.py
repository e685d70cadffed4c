"""Violations as data: buckets that never change, the wire form, ops in short."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.rules import FOREIGN_WRITE, RULES
from itsbox.oracle.violations import Kind, Place, Violation, bucket_of, op_brief

KIND = Kind("DMA", "foreign-write", "MAPTI", "hardware", "hyp", "ite", "trusted")


def _violation() -> Violation:
    return Violation(
        rule=FOREIGN_WRITE,
        detail="The ITS writes.",
        step=7,
        op=op_brief(MmioWrite(0x808_0088, 4, 0x40)),
        command=(2, "MAPTI", (10, 1 << 63, 0, 0)),
        initiator="its",
        access="write",
        why="ite",
        places=(Place(0x4FF0_3000, 8, "hyp", "OWNED", 0, ""),),
        kind=KIND,
    )


def test_a_bucket_is_stable_for_ever() -> None:
    """A bucket id can be cited: these two were computed when the scheme was made and may never change."""
    assert bucket_of(tuple(KIND)) == "itsb1-sxpq3jf7udqti55n"
    assert bucket_of(("DMA", "MAPTI")) == "itsb1-jai2uvjrnrud2cn5"


def test_a_bucket_does_not_depend_on_the_process() -> None:
    """Another interpreter with another hash seed finds the same id."""
    code = "from itsbox.oracle.violations import bucket_of; print(bucket_of(('DMA', 'MAPTI')))"
    environment = {"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == bucket_of(("DMA", "MAPTI"))


@pytest.mark.parametrize("place", range(len(Kind._fields)))
def test_every_part_of_the_kind_counts(place: int) -> None:
    """Changing any one part changes the bucket."""
    parts = list(KIND)
    parts[place] += "x"

    assert bucket_of(tuple(parts)) != bucket_of(tuple(KIND))


def test_parts_cannot_run_together() -> None:
    """The border between two parts is part of the hash."""
    assert bucket_of(("ab", "c")) != bucket_of(("a", "bc"))


def test_the_wire_form_is_json_with_addresses_as_strings() -> None:
    """A violation goes over the wire as it is; addresses and 64-bit words are hexadecimal strings."""
    shown = json.loads(json.dumps(_violation().wire()))

    assert shown == {
        "oracle": "DMA",
        "rule": "foreign-write",
        "claim": FOREIGN_WRITE.sentence,
        "citation": FOREIGN_WRITE.citation,
        "sentence": "The ITS writes.",
        "bucket": "itsb1-sxpq3jf7udqti55n",
        "alt_bucket": "itsb1-jai2uvjrnrud2cn5",
        "step": 7,
        "op": {"op": "mmio_write", "addr": "0x8080088", "size": 4, "value": "0x40"},
        "command": {"slot": 2, "name": "MAPTI", "words": ["0xa", "0x8000000000000000", "0x0", "0x0"]},
        "initiator": "its",
        "access": "write",
        "why": "ite",
        "addresses": [{"addr": "0x4ff03000", "length": 8, "owner": "hyp", "state": "OWNED", "pins": 0, "use": ""}],
        "owner": "hyp",
        "site": "hardware",
        "phase": "trusted",
    }


def test_rules_have_names_sentences_and_sources() -> None:
    """Each rule says what must hold and where that is said; no two share a name."""
    assert len({(rule.oracle, rule.name) for rule in RULES}) == len(RULES)
    assert {f"H{n}" for n in range(1, 17)} | {"DMA"} == {rule.oracle for rule in RULES}
    assert all(rule.sentence.endswith(".") and rule.citation for rule in RULES)


@pytest.mark.parametrize("op, brief", [
    (MmioRead(26, 8), {"op": "mmio_read", "addr": "0x1a", "size": 8}),
    (MmioWrite(26, 8, 18), {"op": "mmio_write", "addr": "0x1a", "size": 8, "value": "0x12"}),
    (Load(26, 2), {"op": "load", "addr": "0x1a", "length": 2}),
    (Store(26, b"ab"), {"op": "store", "addr": "0x1a", "hex": "6162", "length": 2}),
    (Fill(26, 2, 3), {"op": "fill", "addr": "0x1a", "length": 2, "byte": 3}),
    (Hvc("x", (1, 26)), {"op": "hvc", "function": "x", "args": ["0x1", "0x1a"]}),
    (Msi(1, 2), {"op": "msi", "device_id": 1, "event_id": 2}),
    (Ack(3), {"op": "ack", "cpu": 3}),
    (Clean(26, 2), {"op": "clean", "addr": "0x1a", "length": 2}),
    (Drive("probe", {"a": 1}), {"op": "driver", "call": "probe", "args": {"a": 1}}),
])  # fmt: skip
def test_every_op_has_a_short_form(op: Op, brief: dict[str, object]) -> None:
    """The evidence names the op as the wire does."""
    assert op_brief(op) == brief


def test_the_data_of_a_long_store_is_cut() -> None:
    """Evidence stays small: a megabyte stored is shown as its first bytes and its length."""
    brief = op_brief(Store(0x4000_0000, bytes(1 << 20)))

    assert len(brief["hex"]) == 128
    assert brief["length"] == 1 << 20
