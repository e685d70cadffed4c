"""Events: declared once, emitted as tuples, shown as the wire has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from itsbox.arch.its_errors import CommandError
from itsbox.events import COMMAND_ERROR, EVENT_TYPES, TRAP_MMIO, EventLog, markdown, render

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "events.md"


def test_an_event_is_shown_with_its_fields() -> None:
    """Addresses become hex strings, words a list of them, an error its name."""
    log = EventLog()
    log.step = 7
    log.emit(COMMAND_ERROR, 3, "MAPD", (8, 0, 1 << 63, 0), CommandError.MAPD_DEVICE_OOR, 0x010801, False)
    (event,) = log.take()

    assert render(event) == {
        "step": 7,
        "type": "command.error",
        "data": {
            "slot": 3,
            "name": "MAPD",
            "words": ["0x8", "0x0", "0x8000000000000000", "0x0"],
            "error": "MAPD_DEVICE_OOR",
            "code": "0x010801",
            "stalled": False,
        },
    }


def test_a_value_that_is_not_there_is_null() -> None:
    """None stays None whatever the kind of the field."""
    log = EventLog()
    log.emit(TRAP_MMIO, 0x808_0000, None, 4, True, None, "refused", None)

    data = render(log.take()[0])["data"]
    assert (data["register"], data["value"], data["reason"]) == (None, None, None)


def test_a_wrong_number_of_values_is_a_defect() -> None:
    """An emission that does not match its declaration is not shown at all."""
    log = EventLog()
    log.emit(TRAP_MMIO, 1)
    with pytest.raises(ValueError, match="shorter"):
        render(log.take()[0])


def test_taking_empties_the_log() -> None:
    """Events are taken once."""
    log = EventLog()
    log.emit(COMMAND_ERROR)

    assert (len(log.take()), log.take()) == (1, [])


def test_every_event_of_the_contract_is_declared() -> None:
    """The types that the wire contract promises exist, each with a sentence."""
    promised = (
        "trap.mmio trap.hvc trap.abort command.executed command.rejected command.error shadow.queue shadow.table "
        "page.state lpi.pending driver.log violation session.created session.restored session.forked session.expiring "
        "session.closed"
    )

    assert set(promised.split()) <= EVENT_TYPES.keys()
    assert all(kind.doc.endswith(".") for kind in EVENT_TYPES.values())


def test_the_reference_page_is_the_declarations() -> None:
    """docs/reference/events.md is what the declarations generate (make generate)."""
    assert REFERENCE.read_text() == markdown()
