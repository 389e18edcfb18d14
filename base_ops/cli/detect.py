"""`base-ops detect`: what a file is, as the converter would take it."""

from __future__ import annotations

import json
from typing import Any

import click

from base_ops.cli.agents import set_key
from base_ops.cli.output import console, error_console, table


@click.command()
@click.argument("file")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="A read option: delimiter=';', header=false, …"
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def detect(file: str, options: tuple[str, ...], as_json: bool) -> None:
    """Tell what FILE is (path or URL): wrapper, format, encoding, dialect, header, columns and their types.

    Its content decides, not its name; only its beginning is read. Exits with 10 where it is of no known format.
    """
    from base_ops.worker.formats.describe import describe

    read: dict[str, Any] = {}
    for option in options:
        set_key(read, option)
    found = describe(_source(file), _read_spec(read))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1, default=str))
    else:
        _show(found)
    if not found.detection.is_known:
        raise click.exceptions.Exit(10)


def _read_spec(read: dict[str, Any]) -> Any:
    from base_ops.core.spec import check
    from base_ops.data_ingestion.options.reading import ReadSpec

    return check(ReadSpec, read, "base-ops detect", noun="read")


def _source(file: str) -> Any:
    from pathlib import Path

    from base_ops.core.errors import BadInput
    from base_ops.worker.formats.base import ByteSource
    from base_ops.worker.lake.store import Store

    folder, _, name = file.rpartition("/")
    store = Store(folder or ("/" if file.startswith("/") else "."))
    if not store.exists(name) or (store.is_local and not Path(store.uri(name)).is_file()):
        raise BadInput(f"There is no file {file}", code="file_not_found", where=file, todo="check the path")
    if store.is_local:
        path = Path(store.uri(name))
        return ByteSource(name, path.stat().st_size, lambda: path.open("rb", buffering=0), path)
    return ByteSource(name, int(store.fs.size(store.uri(name))), lambda: store.open(name))


def _show(found: Any) -> None:
    detection = found.detection
    heard = f" (model: {detection.model})" if detection.model else ""
    rows = [
        ("format", detection.format),
        ("confidence", f"{detection.confidence:.0%}, decided by {detection.decided_by}{heard}"),
        ("runner-up", detection.runner_up),
        ("wrapped in", " > ".join(found.wrappers) or None),
        ("encoding", found.encoding),
        *(
            (key, repr(value) if isinstance(value, str) else value)
            for key, value in found.dialect.items()
            if key != "encoding"
        ),
    ]
    table(found.name, ("what", "found"), rows)
    if found.columns:
        table("Columns", ("column", "type"), found.columns.items())
    for finding in found.findings:
        console.print(f"  note [{finding.code}] {finding.message}", markup=False)
    if found.problem is not None:
        error_console.print(f"  {found.problem.text()}", style="yellow", markup=False)
