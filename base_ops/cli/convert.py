"""`base-ops convert`: one file in, one file out."""

from __future__ import annotations

import sys
from typing import Any

import click

from base_ops.cli.agents import set_key
from base_ops.cli.output import print_result
from base_ops.cli.requests import run_here


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the converter: read.delimiter=';', write.compression=snappy, max_error_share=0.1, …",
)
def convert(source: str, target: str, options: tuple[str, ...]) -> None:
    """Convert SOURCE (any known format, wrapped or not) into TARGET.

    What TARGET becomes is told by its name: .parquet, .csv, .ndjson, .json, .avro or .arrow.

    Format, encoding, dialect, header and types are detected. Records that cannot be read right are set aside
    beside the target with their line numbers; the exit code says so (3).
    """
    spec: dict[str, Any] = {}
    for option in options:
        set_key(spec, option)
    result = run_here([("data_ingestion.converter", {**spec, "source": source, "target": target})])
    print_result(result)
    sys.exit(result.status.exit_code)
