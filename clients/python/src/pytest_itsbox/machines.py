"""Machines for tests: made once per kind, and given to each test as they were when new."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import pytest

from itsbox_client import Client, Finding, Journal, Session, SessionCrashed, SessionNotFound, Snapshot

__all__ = ["Loan", "MachinePool", "machine_of"]


def machine_of(item: pytest.Item) -> tuple[dict[str, Any], bool]:
    """What the test's ``its`` markers ask for, the nearest last; and whether violations are allowed."""
    options: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("its"))):
        if marker.args:
            pytest.fail(f"the its marker takes names only, not {marker.args!r}", pytrace=False)
        options.update(marker.kwargs)
    verdict = options.pop("violations", "fail")
    if verdict not in {"fail", "allow"}:
        pytest.fail(f"its(violations=...) is 'fail' or 'allow', not {verdict!r}", pytrace=False)
    return options, verdict == "allow"


class Loan:
    """A machine in the hands of one test."""

    def __init__(self, session: Session, options: Mapping[str, Any], *, allow_violations: bool) -> None:
        self.session = session
        self.options = options
        self.allow_violations = allow_violations
        self._journal: Journal = session.record()
        self._told: set[str] = set()

    def new_findings(self) -> list[Finding]:
        """What the oracle objected to since the last time this was asked, one finding per bucket.

        A violation that came about past this session object (another client, plain HTTP) is in the service's journal only.
        """
        found = dict(self._journal.findings)
        with suppress(SessionNotFound):  # a test may end its machine; what it did through it is in the journal
            for violation in self.session.violations():
                if violation.bucket not in found:
                    program = self.session.service_journal() or tuple(self._journal.ops)
                    found[violation.bucket] = Finding(violation, program)
        new = [finding for bucket, finding in found.items() if bucket not in self._told]
        self._told |= found.keys()
        return new


class MachinePool:
    """One machine of each kind, with a snapshot of how it was when new.

    A test gets a fork of that snapshot: the same machine, in a session of its own, whose events, snapshots and metadata no
    other test has touched.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._new: dict[str, tuple[Session, Snapshot]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def lend(self, options: Mapping[str, Any], *, allow_violations: bool) -> Iterator[Loan]:
        """A machine with these options, as it is when new; it ends with the block."""
        key = json.dumps(options, sort_keys=True, default=str)
        with self._fork(key, options) as session:
            yield Loan(session, options, allow_violations=allow_violations)

    def _fork(self, key: str, options: Mapping[str, Any]) -> Session:
        if key in self._new:
            template, snapshot = self._new[key]
            try:
                (session,) = template.fork(1, snapshot=snapshot)
            except (SessionNotFound, SessionCrashed):
                del self._new[key]  # it was idle for too long, or somebody ended it
            else:
                return session
        template = self._stack.enter_context(self._client.sessions.create(**options))
        snapshot = template.snapshot()
        self._new[key] = template, snapshot
        (session,) = template.fork(1, snapshot=snapshot)
        return session
