"""``itsbox generate``: the parts of the repository that are made from declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itsbox.cli.output import Exit, fail, stdout

__all__ = ["generated_files", "register"]

DECISIONS = "docs/decisions"
INDEX = """# Decisions

<!-- generated from the records -->

Each record is one choice that the architecture leaves open (CONSTRAINED UNPREDICTABLE or IMPLEMENTATION DEFINED), or that this
project had to make: context, decision, consequences, and where it is in the code. Records from 0100 on are the hypervisor's.

"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generated_files(root: Path) -> dict[str, str]:
    """Path in the repository at ``root`` to text, of every file that is generated and committed."""
    from itsbox import events, reasons
    from itsbox.api import asyncapi, openapi
    from itsbox.arch.catalogue import markdown_pages
    from itsbox.cli import reference
    from itsbox.hypervisor import knobs
    from itsbox.oracle import reference as oracle_reference

    pages = {
        **markdown_pages(),
        "events.md": events.markdown(),
        "reasons.md": reasons.markdown(),
        "hardening.md": knobs.markdown(),
        "cli.md": reference.markdown(),
        "oracle.md": oracle_reference.markdown(),
    }
    return {
        **{f"docs/reference/{name}": text for name, text in pages.items()},
        "openapi/openapi.json": openapi.text(),
        "openapi/asyncapi.yaml": asyncapi.document(),
        f"{DECISIONS}/README.md": _index(root / DECISIONS),
    }


def _index(folder: Path) -> str:
    """The list of decision records, by the first line of each."""
    records = [
        (path.name, path.read_text(encoding="utf-8").splitlines()[0]) for path in sorted(folder.glob("[0-9]*.md"))
    ]
    return INDEX + "".join(f"* [{title.removeprefix('# ').strip()}]({name})\n" for name, title in records)


def generate(
    root: Annotated[Path, typer.Option(file_okay=False, help="The repository.")] = Path(),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")] = False,
) -> None:
    """Write docs/reference, openapi/openapi.json and openapi/asyncapi.yaml from the declarations."""
    if not (root / "pyproject.toml").is_file():
        fail(Exit.USAGE, f"{root.resolve()} is not the repository (no pyproject.toml)")
    stale = []
    for name, text in generated_files(root).items():
        path = root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        stdout.print(f"{'out of date' if check else 'written'}: {name}", markup=False)
    if not stale:
        stdout.print("all generated files are up to date")
    raise typer.Exit(Exit.DIFFERENCE if check and stale else Exit.OK)
