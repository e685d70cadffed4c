"""Every violation that a test provokes on the stage is held, whole, against what was committed: rule, words, places, bucket.

A test says what it is about; this says the rest. ``ITSBOX_WRITE_GOLDEN=1 pytest tests/oracle -p no:xdist`` writes the file anew,
and its difference is to be read before it is committed.
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
from tests.oracle.stage import Stage

GOLDEN = Path(__file__).parent.parent / "data" / "oracle" / "stage.json"
WRITE = os.environ.get("ITSBOX_WRITE_GOLDEN") == "1"
_written: dict[str, Any] = {}


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Test -> what was said in it."""
    return {} if WRITE else json.loads(GOLDEN.read_text())


@pytest.fixture(autouse=True)
def _as_committed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, golden: dict[str, Any]
) -> Iterator[None]:
    """Compare what the oracle said on the stage with what it said when the file was written."""
    said: list[dict[str, Any]] = []
    end = Stage.end

    def listened(stage: Stage, outcome: Outcome | None = None) -> Sequence[Violation]:
        found = end(stage, outcome)
        said.extend(violation.wire() for violation in found)
        return found

    monkeypatch.setattr(Stage, "end", listened)
    yield
    name = f"{request.path.name}::{request.node.name}"
    if WRITE:
        _written.update({name: said} if said else {})
    else:
        assert said == golden.get(name, [])


def pytest_sessionfinish() -> None:
    """Write the file, if asked to."""
    if WRITE:
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        lines = (f"{json.dumps(name)}: {json.dumps(said)}" for name, said in sorted({**kept, **_written}.items()))
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
