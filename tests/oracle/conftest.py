"""What a test provokes on the stage (``stage``) or has a log judged to (``judged``) is held, whole, against what was committed.

Of a violation that is rule, words, places and bucket; of a log its report, or the sentence with which it is refused.

A test says what it is about; this says the rest. ``ITSBOX_WRITE_GOLDEN=1 pytest tests/oracle -p no:xdist`` writes the files anew,
and their difference is to be read before they are committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from itsbox.ops import Outcome
from itsbox.oracle.violations import Violation
from tests.oracle import judged
from tests.oracle.stage import Stage

DATA = Path(__file__).parent.parent / "data" / "oracle"
STAGE, REPORTS = "stage.json", "reports.json"
WRITE = os.environ.get("ITSBOX_WRITE_GOLDEN") == "1"
_written: dict[str, dict[str, Any]] = {STAGE: {}, REPORTS: {}}


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """File -> test -> what was said in it."""
    return {file: {} if WRITE else json.loads((DATA / file).read_text()) for file in _written}


@pytest.fixture(autouse=True)
def _as_committed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, golden: dict[str, Any]
) -> Iterator[None]:
    """Compare what was said in a test with what was said when the files were written."""
    said: list[dict[str, Any]] = []
    reports: list[dict[str, Any]] = []
    end = Stage.end

    def listened(stage: Stage, outcome: Outcome | None = None) -> Sequence[Violation]:
        found = end(stage, outcome)
        said.extend(violation.wire() for violation in found)
        return found

    monkeypatch.setattr(Stage, "end", listened)
    monkeypatch.setattr(judged, "SAID", reports)
    yield
    name = f"{request.path.name}::{request.node.name}"
    for file, each in ((STAGE, said), (REPORTS, reports)):
        if WRITE:
            _written[file].update({name: each} if each else {})
        else:
            assert each == golden[file].get(name, [])


def pytest_sessionfinish() -> None:
    """Write the files, if asked to."""
    for file, written in _written.items() if WRITE else ():
        path = DATA / file
        kept = json.loads(path.read_text()) if path.exists() else {}
        lines = (f"{json.dumps(name)}: {json.dumps(said)}" for name, said in sorted({**kept, **written}.items()))
        path.parent.mkdir(exist_ok=True)
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
