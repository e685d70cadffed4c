from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from itsbox.api import asyncapi
from itsbox.arch.its_errors import CommandError
from itsbox.events import BOOL, CODE, DATA, ERROR, EVENT_TYPES, HEX, INT, REASON, TEXT, WORDS, render
from itsbox.reasons import Reason

COMMITTED = Path(__file__).parents[2] / "openapi" / "asyncapi.yaml"
SAMPLES: dict[str, Any] = {
    HEX: (1 << 64) - 1, INT: 5, BOOL: True, TEXT: "x", WORDS: (1, 2, 3, (1 << 64) - 1), REASON: next(iter(Reason)),
    ERROR: CommandError.MAPD_DEVICE_OOR, CODE: CommandError.MAPD_DEVICE_OOR.code, DATA: {"any": [1]},
}  # fmt: skip


def test_the_committed_document_is_the_generated_one() -> None:
    """A change of the streams is seen in review: ``make generate`` and commit."""
    assert COMMITTED.read_text() == asyncapi.document()


def test_the_yaml_means_the_data() -> None:
    """What is written is what was meant, by an independent reader."""
    assert yaml.safe_load(asyncapi.document()) == asyncapi.as_data()


def test_references_lead_somewhere() -> None:
    """Every $ref of the document resolves."""
    data = asyncapi.as_data()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                place = data
                for part in node["$ref"].removeprefix("#/").split("/"):
                    place = place[part]
            for item in node.values():
                walk(item)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(data)


def frame_validator() -> Draft202012Validator:
    """What judges a frame of events by the document."""
    document = DRAFT202012.create_resource(asyncapi.as_data())
    registry: Registry[Any] = Registry().with_resource("urn:asyncapi", document)
    frame = {"$ref": "urn:asyncapi#/channels/stream/messages/events/payload"}
    return Draft202012Validator(frame, registry=registry)


def test_every_event_as_it_is_sent_fits_its_schema() -> None:
    """An event of each type, with values and with nothing where that may be, is valid in a frame."""
    validator = frame_validator()
    for kind in EVENT_TYPES.values():
        full = (kind, 1, *(SAMPLES[shape] for _, shape in kind.fields))
        bare = (kind, 1, *(None if shape != WORDS else SAMPLES[shape] for _, shape in kind.fields))
        for event in (full, bare):
            validator.validate({"epoch": 1, "events": [{"seq": 1, **render(event)}]})


def test_a_foreign_event_does_not_fit() -> None:
    """The schema can say no."""
    event = {"seq": 1, "step": 1, "type": "trap.unknown", "data": {}}

    assert not frame_validator().is_valid({"epoch": 1, "events": [event]})
