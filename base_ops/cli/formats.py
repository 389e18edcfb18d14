"""`base-ops formats`: what can be read, and how each format is."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import click

from base_ops.cli.output import console, table


@click.command()
@click.argument("name", required=False)
def formats(name: str | None) -> None:
    """List the formats that can be read; with NAME, what is read of it, its limits and its options."""
    from base_ops.worker.formats.registry import get_format, known_formats

    if name is not None:
        found = get_format(name)
        click.echo(text_of(type(found).__module__))
        return
    rows = [
        (key, ", ".join(found.suffixes), text_of(type(found).__module__).splitlines()[0])
        for key, found in known_formats().items()
    ]
    table(f"{len(rows)} formats", ("format", "names often end in", "what"), rows)
    console.print("Content decides, not the name. Next: base-ops formats <format>, or base-ops detect <file>.")


def text_of(package: str) -> str:
    """What a format's package says of itself, or where that is one line, its reader."""
    module = importlib.import_module(package)
    text = (module.__doc__ or "").strip()
    reader = Path(str(module.__file__)).with_name("reader.py")
    if "\n" not in text and reader.exists():  # read, not imported: readers bring heavy libraries
        text = ast.get_docstring(ast.parse(reader.read_text(encoding="utf-8"))) or text
    return text
