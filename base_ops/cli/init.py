"""`base-ops init source`: ask, write a source's YAML, check it against the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from base_ops.cli.output import console, table
from base_ops.cli.propose import clues_of, print_notes, show
from base_ops.core.errors import ConfigError
from base_ops.core.ids import check_name
from base_ops.core.settings import load_settings
from base_ops.core.spec import check
from base_ops.data_ingestion.options.sources.source import SourceSpec


@click.group()
def init() -> None:
    """Write a new piece of configuration by answering questions."""


@init.command()
@click.option("--id", "source_id", prompt="Name of the source (letters, digits, _)", help="Name of the source.")
@click.option("--from", "address", help="An address, host:port or path: what it is and a draft are proposed.")
@click.option("--kind", type=click.Choice(["files", "http"]), help="files or http, instead of --from.")
@click.option("--path", help="Path: a folder pattern such as /drop/{symbol}_*.csv.gz, s3://…, or /v1/quotes.")
@click.option("--connection", help="Airflow connection; '-' for none.")
@click.option(
    "--mode",
    type=click.Choice(["snapshot", "append"]),
    help="Does a newer object of the same name replace the older (snapshot), or do all count (append)?",
)
@click.option("--sample", type=click.Path(path_type=Path), help="--from: a file with what the source answers.")
@click.option("--config-dir", type=click.Path(path_type=Path), help="Where to write; default dags/config.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def source(
    source_id: str,
    address: str | None,
    kind: str | None,
    path: str | None,
    connection: str | None,
    mode: str | None,
    sample: Path | None,
    config_dir: Path | None,
    force: bool,
) -> None:
    """Declare a feed: asks what is not given as an option, writes the YAML, and reads a first file if it can."""
    check_name(source_id, "source")
    if address is None and kind is None:
        address = click.prompt("Its address, host:port, or path (a pattern such as /drop/{symbol}_*.csv.gz)")
    draft, notes = _proposed(address, sample, source_id) if address is not None and kind is None else ({}, ())
    draft = draft or _asked(source_id, str(kind), path, connection)
    if connection not in (None, "-"):
        draft["connection"] = connection
    elif connection == "-":
        draft.pop("connection", None)
    draft["mode"] = (
        mode
        or draft.get("mode")
        or click.prompt(
            "Does a newer object of the same name replace the older (snapshot), or do all count (append)",
            type=click.Choice(["snapshot", "append"]),
            default="snapshot",
        )
    )
    check(SourceSpec, draft, f"source {source_id}", noun="source")
    folder = (config_dir or load_settings().config_dir or Path("dags/config")) / "data_ingestion" / "sources"
    target = folder / f"{source_id}.yaml"
    if target.exists() and not force:
        raise ConfigError(f"{target} exists already", code="file_exists", todo="choose another name, or --force")
    files = str(draft["files"]["path"]) if "files" in draft else ""
    first = _first_file(files) if files else None
    if first is not None:
        draft["read"] = {**draft.get("read", {}), **_probe(first)}
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(draft, sort_keys=False, allow_unicode=True, width=110))
    console.print(f"Wrote {target}")
    print_notes(notes)
    if files and first is None and "://" not in files and "{{" not in files:
        console.print(f"No file matches {files} yet, so the columns could not be looked at.")
    console.print(
        f"Next: name {source_id!r} under 'sources' of a pipeline in dags/pipelines/, "
        "for example in a copy of examples/fx_two_vendors."
    )


def _proposed(address: str, sample: Path | None, source_id: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The draft of what the address seems to be."""
    from base_ops.data_ingestion.models.source_detection.detect import detect
    from base_ops.data_ingestion.models.source_detection.propose import propose

    clues = clues_of(address, sample, (), "")
    found = detect(clues)
    show(found)
    made = propose(found.kind, clues, source_id)
    if made.source is None:
        raise ConfigError(
            f"There is no connector for {found.kind}", code="unknown_protocol", todo="; ".join(made.notes)
        )
    return made.source, made.notes


def _asked(source_id: str, kind: str, path: str | None, connection: str | None) -> dict[str, Any]:
    path = path or click.prompt("Path: a folder pattern such as /drop/{symbol}_*.csv.gz, s3://…, or /v1/quotes")
    connection = connection or click.prompt("Airflow connection ('-' for none)", default="-")
    draft: dict[str, Any] = {"id": source_id, "title": f"{source_id} feed"}
    if connection != "-":
        draft["connection"] = connection
    draft[kind] = {"path": path}
    if kind == "http":
        draft["http"]["auth"] = "bearer" if connection != "-" else "none"
    return draft


def _first_file(path: str) -> Path | None:
    """The first local file the pattern matches; None for remote or templated paths."""
    import re

    if "://" in path or "{{" in path:
        return None
    pattern = Path(re.sub(r"\{[a-z_]+\}", "*", path)).absolute()
    return next(
        (p for p in sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))) if p.is_file()), None
    )


def _probe(sample: Path) -> dict[str, Any]:
    """Read the head of a file and put down what was detected, for the author to correct."""
    from contextlib import ExitStack

    import polars as pl

    from base_ops.worker.engine.plan import POINTER
    from base_ops.worker.formats.reading import file_input
    from base_ops.worker.types import type_name

    with ExitStack() as stack:
        import tempfile

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        member = next(file_input(str(sample)).open(stack, scratch))
        batch = next(member.reader.batches(), None)
        frame = batch.frame.drop(POINTER) if batch is not None else pl.DataFrame(schema=member.reader.schema)
        table(f"{sample}: the first rows as they are read", frame.columns, frame.head(5).rows())
        for finding in member.reader.findings:
            console.print(f"  note [{finding.code}] {finding.message}", markup=False)
        columns = [{"name": name, "type": type_name(dtype)} for name, dtype in member.reader.schema.items()]
    return {"columns": columns}
