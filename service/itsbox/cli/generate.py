"""``itsbox generate``: the parts of the repository that are made from declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itsbox.cli.output import Exit, fail, stdout

__all__ = ["generated_files", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generated_files() -> dict[str, str]:
    """Path in the repository to text, of every file that is generated and committed."""
    from itsbox import events, reasons
    from itsbox.api import asyncapi, openapi
    from itsbox.arch.catalogue import markdown_pages
    from itsbox.hypervisor import knobs

    pages = {
        **markdown_pages(),
        "events.md": events.markdown(),
        "reasons.md": reasons.markdown(),
        "hardening.md": knobs.markdown(),
    }
    return {
        **{f"docs/reference/{name}": text for name, text in pages.items()},
        "openapi/openapi.json": openapi.text(),
        "openapi/asyncapi.yaml": asyncapi.document(),
    }


def generate(
    root: Annotated[Path, typer.Option(file_okay=False, help="The repository.")] = Path(),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")] = False,
) -> None:
    """Write docs/reference, openapi/openapi.json and openapi/asyncapi.yaml from the declarations."""
    if not (root / "pyproject.toml").is_file():
        fail(Exit.USAGE, f"{root.resolve()} is not the repository (no pyproject.toml)")
    stale = []
    for name, text in generated_files().items():
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
