"""What the repository may hold: nothing that works on one machine only, and everything that a newcomer is promised."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Put together here, so that this file does not hold what it looks for.
REGISTRIES = tuple(
    "".join(parts)
    for parts in (
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("registry.np", "mjs.org"),
        ("deb.deb", "ian.org"),
        ("np", "mjs.com"),
    )
)
MACHINE_PATHS = tuple("/" + name + "/" for name in ("work", "root", "home"))
BINARY = {".gz", ".png", ".ico", ".woff2", ".jpg"}


def tracked() -> list[Path]:
    """Every file of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The text files, by path."""
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in tracked()
        if path.suffix not in BINARY and "tests/data" not in str(path)
    }


def test_no_file_names_a_package_registry(texts: dict[str, str]) -> None:
    """Packages come from wherever the machine's clients are set up to ask; versions are pinned, addresses are not."""
    assert [(name, host) for name, text in texts.items() for host in REGISTRIES if host in text] == []


def test_no_file_knows_a_path_of_one_machine(texts: dict[str, str]) -> None:
    """A clone works wherever it lies; test data of recorded programs is their own."""
    pattern = re.compile("|".join(rf"(?<![\w.:/-]){re.escape(path)}" for path in MACHINE_PATHS))
    found = [(name, match.group()) for name, text in texts.items() for match in pattern.finditer(text)]

    assert found == []


def test_pins_have_versions_and_no_addresses() -> None:
    """One package a line, exactly one version each."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []


def test_every_dependency_is_pinned() -> None:
    """What pyproject.toml asks for, constraints.txt decides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[\[><=!~; ]", line)[0] for line in asked}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}

    assert {plain(name) for name in names} <= {plain(name) for name in pinned}


def plain(name: str) -> str:
    """A package's name as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("target", ["demo", "test", "serve", "check", "generate", "bench", "setup", "dashboard"])
def test_make_has_what_the_readme_promises(target: str) -> None:
    """And can say what it would do, without doing it."""
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stderr


def test_continuous_integration_runs_the_tests() -> None:
    """By the command that a person types, and it can be started."""
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/wire.md",
        "benchmarks/README.md",
    ],
)
def test_the_documents_are_there(name: str) -> None:
    """A newcomer finds each where it is expected."""
    assert (ROOT / name).stat().st_size > 500


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links of the repository's own pages."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    ]
    broken = [f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()]

    assert broken == []


def test_the_architecture_fits_on_a_page() -> None:
    """A page that grows is read no more."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 80


def test_source_files_stay_readable() -> None:
    """Five hundred lines are the alarm; generated tables of declarations are the only longer ones."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / "service" / "itsbox").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }

    assert long == {}
