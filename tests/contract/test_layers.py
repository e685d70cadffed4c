"""The layering is a test: imports go strictly downward, and the core does no I/O."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter as ``make check`` does."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240, check=False)


def test_the_contracts_hold() -> None:
    """Layers, a pure core, an independent specification; the report names the line that breaks one."""
    result = lint_imports(ROOT)

    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    "where, statement",
    [
        ("arch/values.py", "from itsbox.memory import physmem"),
        ("hardware/bus.py", "import time"),
        ("sessions/session.py", "from itsbox.replay import trace"),
    ],
)
def test_a_broken_contract_is_noticed(tmp_path: Path, where: str, statement: str) -> None:
    """Each kind of rule: a look upward, the clock in the core, a sibling."""
    source = ROOT / "service" / "itsbox"
    for path in source.rglob("*.py"):
        copy = tmp_path / "itsbox" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    broken = tmp_path / "itsbox" / where
    broken.write_text(f"{broken.read_text(encoding='utf-8')}\n{statement}\n", encoding="utf-8")

    result = lint_imports(tmp_path)

    assert result.returncode != 0
    assert "BROKEN" in result.stdout
