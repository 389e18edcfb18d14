"""`base-ops init source`: ask, write a source's YAML, check it against the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from base_ops.cli.output import console, table
from base_ops.core.errors import ConfigError
from base_ops.core.ids import check_name
from base_ops.core.settings import load_settings
from base_ops.data_ingestion.specs import SourceSpec


@click.group()
def init() -> None:
    """Write a new piece of configuration by answering questions."""


@init.command()
@click.option("--id", "source_id", prompt="Name of the source (letters, digits, _)", help="Name of the source.")
@click.option("--kind", type=click.Choice(["files", "http"]), prompt="Where it comes from", help="files or http.")
@click.option(
    "--path", prompt="Path: a folder pattern such as /drop/{symbol}_*.csv.gz, s3://…, or /v1/quotes", help="Path."
)
@click.option(
    "--connection", prompt="Airflow connection ('-' for none)", default="-", show_default=True, help="Connection."
)
@click.option(
    "--mode",
    type=click.Choice(["snapshot", "append"]),
    prompt="Does a newer file of the same name replace the older (snapshot), or do all count (append)",
    default="snapshot",
    help="snapshot or append.",
)
@click.option("--config-dir", type=click.Path(path_type=Path), help="Where to write; default dags/config.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def source(
    source_id: str, kind: str, path: str, connection: str, mode: str, config_dir: Path | None, force: bool
) -> None:
    """Declare a feed: asks what is not given as an option, writes the YAML, and reads a first file if it can."""
    check_name(source_id, "source")
    draft: dict[str, Any] = {"id": source_id, "title": f"{source_id} feed"}
    if connection != "-":
        draft["connection"] = connection
    draft[kind] = {"path": path}
    if kind == "http":
        draft["http"]["auth"] = "bearer" if connection != "-" else "none"
    draft["mode"] = mode
    SourceSpec.model_validate(draft)
    folder = (config_dir or load_settings().config_dir or Path("dags/config")) / "data_ingestion" / "sources"
    target = folder / f"{source_id}.yaml"
    if target.exists() and not force:
        raise ConfigError(f"{target} exists already", code="file_exists", todo="choose another name, or --force")
    sample = _first_file(path) if kind == "files" else None
    if sample is not None:
        draft["read"] = _probe(sample)
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(draft, sort_keys=False, allow_unicode=True, width=110))
    console.print(f"Wrote {target}")
    if kind == "files" and sample is None and "://" not in path and "{{" not in path:
        console.print(f"No file matches {path} yet, so the columns could not be looked at.")
    console.print(
        f"Next: name {source_id!r} under 'sources' of a pipeline in dags/pipelines/, "
        "for example in a copy of examples/fx_two_vendors."
    )


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
