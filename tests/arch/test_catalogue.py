"""The declarations as plain data, as GET /v1/arch answers them."""

from __future__ import annotations

import json
from typing import Any

from itsbox.arch.catalogue import catalogue
from itsbox.arch.declarations import COMMANDS
from itsbox.arch.hypercalls import HYPERCALLS
from itsbox.arch.its_errors import CommandError


def _row(kind: str, **wanted: object) -> dict[str, Any]:
    rows = [row for row in catalogue()[kind] if wanted.items() <= row.items()]

    assert len(rows) == 1
    return rows[0]


def test_it_is_json_and_nothing_but_json() -> None:
    """A trip through JSON changes nothing: no enumerations, tuples or integer keys hide in it."""
    data = catalogue()

    assert json.loads(json.dumps(data)) == data
    assert list(data) == ["registers", "commands", "tables", "errors", "hypercalls"]
    assert "<Access" not in repr(data)


def test_no_number_exceeds_what_json_can_carry() -> None:
    """Whatever may be wider than 53 bits is a string."""

    def numbers(value: object) -> list[int]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, int) else []

    assert max(numbers(catalogue())) < 1 << 53


def test_a_command_can_be_decoded_from_its_row_alone() -> None:
    """MAPD's row: opcode, fields with word, range and scale, reserved bits."""
    row = _row("commands", name="MAPD")
    itt = next(f for f in row["fields"] if f["name"] == "itt_addr")

    assert (row["opcode"], row["layout"], row["since"], row["bytes"]) == ("0x08", "MAPD", "GICv3", 32)
    assert (itt["arm"], itt["word"], itt["hi"], itt["lo"], itt["shift"]) == ("ITT_addr", 2, 51, 8, 8)
    assert (itt["mask"], itt["max"]) == ("0xfffffffffff00", "0xfffffffffff00")
    assert [w["res0"] for w in row["words"]] == [
        "0xffffff00",
        "0xffffffffffffffe0",
        "0x7ff00000000000ff",
        "0xffffffffffffffff",
    ]
    assert {"word": 0, "hi": 7, "lo": 0, "name": "OPCODE"} in row["bits"]
    assert {"word": 2, "hi": 62, "lo": 52, "name": "RES0"} in row["bits"]


def test_both_layouts_of_a_command_are_there() -> None:
    """VMAPP has one for GICv4.0 and one for GICv4.1, told apart by the layout's name."""
    layouts = {row["layout"]: row["since"] for row in catalogue()["commands"] if row["opcode"] == "0x29"}

    assert layouts == {"VMAPP": "GICv4", "VMAPP_V41": "GICv4.1"}
    assert len(catalogue()["commands"]) == len(COMMANDS) == 23


def test_a_register_says_where_it_is_and_what_software_may_do() -> None:
    """GITS_BASER's row: array, read-only fields, enumerated values; one row for all eight."""
    row = _row("registers", name="GITS_BASER")

    assert (row["frame"], row["offset"], row["width"], row["access"]) == ("GITS", "0x100", 64, "RW")
    assert (row["count"], row["stride"], row["reset"], row["read_only"]) == (8, 8, None, "0x71f000000000000")
    kind = next(f for f in row["fields"] if f["name"] == "type")
    assert (kind["access"], kind["values"]["4"]) == ("RO", "interrupt collections")


def test_a_reset_value_is_a_string() -> None:
    """GITS_CTLR is quiescent after reset."""
    assert _row("registers", name="GITS_CTLR")["reset"] == "0x80000000"


def test_words_of_an_entry_may_differ_in_width() -> None:
    """ITE: twelve bytes."""
    row = _row("tables", name="ITE")

    assert (row["bytes"], [w["width"] for w in row["words"]]) == (12, [64, 32])


def test_an_error_has_its_code_and_source() -> None:
    """As in the answers of the API."""
    assert _row("errors", name="MAPD_DEVICE_OOR") == {
        "name": "MAPD_DEVICE_OOR",
        "code": "0x010801",
        "source": "L T",
        "command": "MAPD",
        "cause": "DEVICE_OOR",
        "sentence": CommandError.MAPD_DEVICE_OOR.sentence,
        "architected": True,
        "implementation_defined": False,
    }
    assert len(catalogue()["errors"]) == len(CommandError)


def test_hypercalls_say_how_to_call_them() -> None:
    """Identifier and arguments; null for what the host cannot call."""
    share = _row("hypercalls", name="__pkvm_host_share_hyp")
    donate = _row("hypercalls", name="__pkvm_host_donate_hyp")

    assert share["args"] == ["pfn"]
    assert int(share["function_id"], 16) == 0xC600_0000 + share["number"]
    assert (donate["function_id"], donate["host_callable"]) == (None, False)
    assert len(catalogue()["hypercalls"]) == len(HYPERCALLS)


def test_each_answer_is_a_new_one() -> None:
    """Who changes an answer changes nobody else's."""
    first = catalogue()
    first["commands"].clear()

    assert catalogue()["commands"]
