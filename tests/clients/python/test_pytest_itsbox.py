"""The pytest plugin, run as its users run it: in a project of their own, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pytest_itsbox.server import Server

pytest_plugins = ("pytester",)


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run with our plugin alone: what else this environment holds costs a second to import."""
    return pytester.runpytest_subprocess("--disable-plugin-autoload", "-p", "pytest_itsbox", *arguments)


ATTACK = """
    import pytest

    @pytest.mark.its(hardening="off", start="host"{more})
    def test_attack(its_session):
        its_session.its.mapd(device_id=1, size=4, itt_addr=its_session.map.hyp)
        its_session.its.mapti(device_id=1, event_id=0, intid=8192, icid=0)
        {then}
"""


def _attack(more: str = "", then: str = "") -> str:
    return ATTACK.format(more=more, then=then)


def test_each_test_has_a_machine_as_new(pytester: pytest.Pytester, live: Server) -> None:
    """What one test does to memory, events, snapshots and metadata, the next does not see; and it is the same machine."""
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.its(hardening="off", start="host")
        seen = []

        @pytest.mark.parametrize("turn", range(3))
        def test_untouched(its_session, turn):
            seen.append(its_session.info.state_hash)
            assert its_session.load(0x4800_0000, 4).data == bytes(4)
            assert its_session.snapshots() == ()
            assert [e.type for e in its_session.events(follow_live=False) if e.type == "driver.log"] == []
            its_session.store(0x4800_0000, b"used")
            its_session.snapshot()
            its_session.update(metadata={"used": "yes"})
            assert len(set(seen)) == 1
        """
    )

    _run(pytester, "--its-url", live.url, "--strict-markers").assert_outcomes(passed=3)


def test_a_violation_fails_the_test_and_names_its_bucket(pytester: pytest.Pytester, live: Server) -> None:
    """The test asserts nothing and fails; the report has the bucket, the evidence and a program."""
    pytester.makepyfile(_attack())

    result = _run(pytester, "--its-url", live.url, "--junitxml=report.xml")

    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r"memory isolation did not hold:", r"\[\w+\] .+ \(itsb1-\w+\)", r".*Captured itsbox violation.*"]
    )
    result.stdout.fnmatch_lines(["*Captured itsbox reproducer*", "*def test_violation_is_reproduced*"])
    properties = ET.parse(pytester.path / "report.xml").iter("property")
    assert all(re.fullmatch(r"itsb1-\w+", found.attrib["value"]) for found in properties)


def test_the_reproducer_reproduces(pytester: pytest.Pytester, live: Server) -> None:
    """Each written program runs alone, as a script and as a test, and fails against a machine that is not broken."""
    pytester.makepyfile(_attack())
    _run(pytester, "--its-url", live.url, "--its-repro-dir", "found")
    programs = sorted((pytester.path / "found").glob("repro_itsb1_*.py"))
    environment = {**os.environ, "ITSBOX_URL": live.url}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], env=environment, cwd=pytester.path, capture_output=True, text=True, check=False
        )

    assert programs
    for program in programs:
        done = run(str(program))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("reproduced: itsb1-")
        assert run("-m", "pytest", "-q", str(program)).returncode == 0
        program.write_text(program.read_text().replace('"off"', '"strict"').replace('"host"', '"deprivileged"'))
        assert run(str(program)).returncode != 0


def test_the_program_of_a_restored_machine_leaves_out_what_was_undone(pytester: pytest.Pytester, live: Server) -> None:
    """Ops between a snapshot and its restore did not lead to the violation and are not in its reproducer."""
    pytester.makepyfile(
        _attack().replace(
            "    def test_attack(its_session):\n",
            "    def test_attack(its_session):\n"
            "        snapshot = its_session.snapshot()\n"
            "        its_session.fill(0x4a00_0000, 64, 0x77)\n"
            "        its_session.restore(snapshot)\n",
        )
    )
    _run(pytester, "--its-url", live.url, "--its-repro-dir", "found").assert_outcomes(failed=1)

    for program in (pytester.path / "found").glob("*.py"):
        assert '"fill"' not in program.read_text()


def test_a_violation_past_the_session_object_is_noticed_too(pytester: pytest.Pytester, live: Server) -> None:
    """Another client of the same session did it: the service's own journal is the reproducer."""
    pytester.makepyfile(
        _attack().replace(
            "(its_session):",
            "(its_session, its_client):\n        its_session = its_client.sessions.connect(its_session.id)",
        )
    )

    result = _run(pytester, "--its-url", live.url, "--its-repro-dir", "found")

    result.assert_outcomes(failed=1)
    for program in (pytester.path / "found").glob("*.py"):
        done = subprocess.run(
            [sys.executable, str(program)], env={**os.environ, "ITSBOX_URL": live.url}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_fork_counts_as_the_tests_own(pytester: pytest.Pytester, live: Server) -> None:
    """What a test does to a fork of its machine is judged as well."""
    pytester.makepyfile(
        _attack().replace("(its_session):", "(its_session):\n        (its_session,) = its_session.fork()")
    )

    _run(pytester, "--its-url", live.url).assert_outcomes(failed=1)


def test_violations_can_be_allowed(pytester: pytest.Pytester, live: Server) -> None:
    """A test of a machine that is meant to be broken says so."""
    pytester.makepyfile(_attack(', violations="allow"', "assert its_session.violations()"))

    _run(pytester, "--its-url", live.url).assert_outcomes(passed=1)


def test_the_tests_own_failure_comes_first(pytester: pytest.Pytester, live: Server) -> None:
    """An assertion that fails is what the report shows; the violation stands beside it."""
    pytester.makepyfile(_attack(then='assert False, "my own failure"'))

    result = _run(pytester, "--its-url", live.url)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*my own failure*", "*Captured itsbox violation*"])


def test_what_a_fixture_does_afterwards_is_judged(pytester: pytest.Pytester, live: Server) -> None:
    """A violation in another fixture's teardown is an error of that test."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def tidy(its_session):
            yield
            its_session.its.mapd(device_id=1, size=4, itt_addr=its_session.map.hyp)
            its_session.its.mapti(device_id=1, event_id=0, intid=8192, icid=0)

        @pytest.mark.its(hardening="off", start="host")
        def test_nothing(tidy):
            pass
        """
    )

    _run(pytester, "--its-url", live.url).assert_outcomes(passed=1, errors=1)


def test_the_nearest_marker_wins(pytester: pytest.Pytester, live: Server) -> None:
    """A module's marker holds for its tests; a test's own goes over it, name by name."""
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.its(profile="virt-gicv4", hardening="off")

        def test_module(its_session):
            assert (its_session.info.profile, its_session.info.hardening["preset"]) == ("virt-gicv4", "off")

        @pytest.mark.its(hardening="strict", cpus=2)
        def test_own(its_session):
            assert (its_session.info.profile, its_session.info.hardening["preset"]) == ("virt-gicv4", "strict")
            assert its_session.info.cpus == 2
        """
    )

    _run(pytester, "--its-url", live.url).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "marker, told",
    [
        ('its("strict")', "*takes names only*"),
        ('its(violations="maybe")', "*is 'fail' or 'allow', not 'maybe'*"),
        ('its(hardening="lax")', "*ValidationProblem*"),
        ("its(no_such_option=1)", "*no_such_option*"),
    ],
)
def test_a_wrong_marker_is_told_plainly(pytester: pytest.Pytester, live: Server, marker: str, told: str) -> None:
    """A marker that cannot be is an error of its test alone."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_wrong(its_session):
            pass

        def test_right(its_session):
            pass
        """
    )

    result = _run(pytester, "--its-url", live.url)

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([told])


def test_a_machine_that_a_test_ended_is_made_again(pytester: pytest.Pytester, live: Server) -> None:
    """A test may end its own session, or all there are: the next test has its machine all the same."""
    pytester.makepyfile(
        """
        import pytest

        def test_ends_its_own(its_session):
            its_session.kill()

        def test_ends_the_machine_that_others_are_made_from(its_session, _its_machines, its_client):
            for template, _ in _its_machines._new.values():
                its_client.sessions.kill(template.id)

        def test_has_one(its_session):
            assert its_session.refresh().state == "running"
        """
    )

    _run(pytester, "--its-url", live.url).assert_outcomes(passed=3)


def test_without_a_url_a_service_is_started_and_ended(pytester: pytest.Pytester) -> None:
    """The plugin's own server runs for the run and is gone after it; sessions of a killed run do not outlive it."""
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_first(its_server, its_session):
            assert its_server.url.startswith("http://127.0.0.1:")
            Path("pid").write_text(str(its_server.pid))
            assert its_session.gits.pidr2.arch_rev == 3
        """
    )

    _run(pytester).assert_outcomes(passed=1)
    pid = int((pytester.path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_service_that_does_not_start_shows_its_last_words(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its output is in the report: somebody has to find out why."""
    monkeypatch.setenv("ITSBOX_LIMITS", '{"no_such_cap": 1}')
    pytester.makepyfile("def test_any(its_session): pass")

    result = _run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the service did not start*", "*no_such_cap*"])


def test_without_the_services_package_the_plugin_says_what_to_do(pytester: pytest.Pytester) -> None:
    """The client alone cannot start a service; it can use one."""
    pytester.makeconftest(
        """
        import importlib.util

        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *more: None if name == "itsbox" else found(name, *more)
        """
    )
    pytester.makepyfile("def test_any(its_session): pass")

    result = _run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*install itsbox, or give --its-url*"])


def test_a_run_without_our_fixtures_pays_nothing(pytester: pytest.Pytester) -> None:
    """Nothing of the client is imported, nothing is started; the plugin itself is found by its entry point."""
    pytester.makepyfile(
        """
        import sys

        def test_any():
            assert "pytest_itsbox" in sys.modules
            assert "itsbox_client" not in sys.modules
        """
    )

    pytester.runpytest_subprocess().assert_outcomes(passed=1)
