"""`base-ops show`: the rows of a table, now or as they were known, and where a row came from."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from base_ops.cli.output import console, table
from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.settings import load_settings

if TYPE_CHECKING:
    from base_ops.worker.lake.store import Store


@click.command()
@click.argument("dataset")
@click.option("--as-of", help="Rows as they were known at this moment (ISO 8601; UTC if it has no zone).")
@click.option("--why", metavar="KEY", help="Where each field of one row came from: column=value,column=value.")
@click.option("--limit", default=20, show_default=True, help="Rows shown.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "csv", "ndjson"]),
    default="table",
    help="How to print; csv and ndjson print all rows unless --limit is given.",
)
@click.pass_context
def show(ctx: click.Context, dataset: str, as_of: str | None, why: str | None, limit: int, kind: str) -> None:
    """Show DATASET: current or past rows; with --why, the source, rule and losing values behind one row."""
    from base_ops.worker.lake.store import Store

    store = Store(load_settings().lake)
    if why is not None:
        _why(store, dataset, why)
        return
    everything = kind != "table" and ctx.get_parameter_source("limit") is click.core.ParameterSource.DEFAULT
    print_table(store, dataset, limit=None if everything else limit, as_of=_moment(as_of), kind=kind)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--as-of {text!r} is not a moment", code="bad_moment", expected="ISO 8601, e.g. 2026-11-20T09:30:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def print_table(
    store: Store, dataset: str, *, limit: int | None, as_of: datetime | None = None, kind: str = "table"
) -> None:
    """Print rows of a table, without the columns that belong to the lineage."""
    from base_ops.worker.lake.tables import Tables

    rows = Tables(store).read(dataset, as_of=as_of)
    names = [c for c in rows.collect_schema().names() if not c.startswith("_")]
    frame = rows.select(names)
    if limit is not None:
        frame = frame.head(limit)
    data = frame.collect()
    if kind == "csv":
        sys.stdout.write(data.write_csv())
    elif kind == "ndjson":
        sys.stdout.write(data.write_ndjson())
    else:
        known = f" as known at {as_of.isoformat()}" if as_of else ""
        table(f"{dataset}{known}: the first {data.height} rows", names, data.rows())


def _why(store: Store, dataset: str, text: str) -> None:
    from base_ops.worker.lake.tables import Tables

    key = dict(_pair(part) for part in text.split(","))
    tables = Tables(store)
    found = tables.why(dataset, key)
    if found is None:
        raise BadInput(f"{dataset} has no current row with {text}", code="no_such_row", todo=f"base-ops show {dataset}")
    lost = {}
    for conflict in found.conflicts or ():
        loser = f"{conflict['loser_source']} said {conflict['loser_value']}"
        lost.setdefault(conflict["field"], (conflict["rule"], []))[1].append(loser)
    table(
        f"{dataset}: why the row {text} is what it is",
        ("field", "value", "from", "rule", "values that lost"),
        ((name, value, found.sources.get(name), *(_decision(lost.get(name)))) for name, value in found.values.items()),
    )
    console.print(f"Known since {found.known_from.isoformat()}, commit {found.commit[:12]}, slice {found.slice}.")
    for unit in found.inputs:
        console.print(f"  made of {unit.uri}", markup=False)
    versions = tables.history_of(dataset, key)
    if versions.height > 1:
        names = [c for c in versions.columns if c in ("_known_from", "_known_to") or c in found.values]
        console.print()
        table("What was known when", names, versions.select(names).rows())


def _decision(lost: tuple[str, list[str]] | None) -> tuple[str | None, str | None]:
    return (None, None) if lost is None else (lost[0], "; ".join(lost[1]))


def _pair(part: str) -> tuple[str, str]:
    name, separator, value = part.partition("=")
    if not separator:
        raise ConfigError(f"--why {part!r} is not a key", code="bad_key", expected="column=value, several with ','")
    return name.strip(), value.strip()
