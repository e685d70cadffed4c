"""A violation as a program that anybody can run: with pytest, or with Python alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from itsbox_client import Finding
from pytest_itsbox.machines import Loan

__all__ = ["attach", "render"]

_TEMPLATE = '''\
"""{title}

Run with pytest or with Python, against the service that ITSBOX_URL names (default: http://127.0.0.1:8321).
"""

import json

from itsbox_client import Client

MACHINE = json.loads(r"""
{machine}
""")

OPS = json.loads(r"""
[
{ops}
]
""")


def test_violation_is_reproduced():
    with Client() as client, client.sessions.create(**MACHINE) as session:
        for start in range(0, len(OPS), 500):
            session.run(OPS[start : start + 500])
        assert {bucket!r} in [violation.bucket for violation in session.violations()]


if __name__ == "__main__":
    test_violation_is_reproduced()
    print("reproduced: {bucket}")
'''


def render(finding: Finding, options: Mapping[str, Any]) -> str:
    """The program that makes the machine, does what was done, and asserts the bucket."""
    violation = finding.violation
    # The title is the only free text; within quotes it must not end them.
    title = f"{violation.sentence} [{violation.oracle}]".replace("\\", "/").replace('"', "'")
    return _TEMPLATE.format(
        title=title,
        machine=json.dumps(dict(options), default=str),
        ops=",\n".join(json.dumps(dict(op)) for op in finding.program),
        bucket=violation.bucket,
    )


def attach(item: pytest.Item, loan: Loan, finding: Finding) -> None:
    """Put a finding into the test's report: bucket, evidence, reproducer; and write the reproducer where asked for."""
    violation = finding.violation
    program = render(finding, loan.options)
    evidence = json.dumps(violation.evidence, indent=2, default=str)
    item.user_properties.append(("its_bucket", violation.bucket))
    item.add_report_section("call", "itsbox violation", f"{violation}\n{evidence}\n")
    item.add_report_section("call", "itsbox reproducer", program)
    directory: Path | None = item.config.getoption("--its-repro-dir")
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"repro_{violation.bucket.replace('-', '_')}.py").write_text(program)
