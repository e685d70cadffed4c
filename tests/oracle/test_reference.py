"""The oracle's pages: generated where they can be, and complete."""

from __future__ import annotations

import json
from pathlib import Path

from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.log_format import FORMAT
from itsbox.oracle.reference import markdown
from itsbox.oracle.rules import RULES
from tests.oracle.judged import check_log

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_page_is_up_to_date() -> None:
    """docs/reference/oracle.md is what the declarations say."""
    assert (DOCS / "reference" / "oracle.md").read_text() == markdown()


def test_every_rule_and_every_reason_has_a_row() -> None:
    """Nothing that a violation can carry is undocumented."""
    page = markdown()

    assert all(f"| {rule.oracle} | `{rule.name}` |" in page for rule in RULES)
    assert all(f"| `{why}` |" in page for why in TABLE)


def test_the_log_formats_page_names_every_kind_of_line() -> None:
    """docs/event-log.md has the format's name, every kind that is judged, and every reason."""
    page = (DOCS / "event-log.md").read_text()
    kinds = ("op", "dma", "hardware", "end", "page.state", "shadow.table", "command.executed", "command.rejected")

    assert FORMAT in page
    assert all(f"`{kind}`" in page for kind in (*kinds, "trap.hvc", "violation"))
    assert all(f"`{why}`" in page for why in TABLE)


def test_the_example_in_the_page_can_be_judged() -> None:
    """The shortened log of docs/event-log.md, with the rest of its map filled in, is the violation it says it is."""
    text = (DOCS / "event-log.md").read_text().partition("```json\n")[2].partition("```")[0]
    lines = text.splitlines()
    head = json.loads(lines[0])
    head["map"] |= {
        "gicd": "0x8000000", "its": "0x8080000", "translater": "0x8090040", "gicr": "0x80a0000", "gicr_stride": "0x20000",
        "ram_bytes": "0x10000000", "hyp": "0x4ff00000", "hyp_bytes": "0x100000", "guest": "0x4fe00000",
        "guest_bytes": "0x100000",
    }  # fmt: skip
    (violation,) = check_log([json.dumps(head), *lines[1:]]).violations

    assert (violation.oracle, violation.kind.op, violation.places[0].addr) == ("DMA", "MAPTI", 0x4FF0_6000)
