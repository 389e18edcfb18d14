"""`base-ops preview`: what a changed configuration would do, on what has landed, before it runs for real."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base_ops.cli.demo import dag_results, run_dag
from base_ops.cli.output import console, table
from base_ops.core.errors import ConfigError
from base_ops.core.settings import load_settings
from base_ops.orchestration.testrun import airflow_environment

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.argument("dag_id")
@click.option("--limit", default=10, show_default=True, help="Differing rows shown of each kind.")
def preview(dag_id: str, limit: int) -> None:
    """Run DAG_ID as it is configured now on a copy of what has landed, and show the difference to its tables.

    Nothing is fetched, nothing in the lake is touched. Local lakes only.
    """
    settings = load_settings()
    lake = Path(settings.lake)
    if "://" in settings.lake:
        raise ConfigError("preview works on a lake in a local folder", code="remote_lake", found=settings.lake)
    with tempfile.TemporaryDirectory(prefix=".preview-", dir=settings.home) as scratch:
        home = Path(scratch)
        if (lake / "landing").exists():
            # Landed bytes are immutable: links, not copies.
            shutil.copytree(lake / "landing", home / "lake" / "landing", copy_function=os.link)
        environment = {
            **os.environ,
            **airflow_environment(home / "airflow"),
            "BASE_HOME": scratch,
            "BASE_LAKE_URL": str(home / "lake"),
            "BASE_CONNECTIONS_DIR": str(settings.connections),
            "BASE_OFFLINE": "true",
        }
        code = run_dag(dag_id, {}, environment, home, quiet=False)
        after = [result for _, result in dag_results(home, dag_id)]
        if code == 0:
            for name in sorted({o.name for r in after for o in r.outputs if o.kind == "table"}):
                _compare(lake, home / "lake", name, limit)
            _compare_quarantine(_latest(lake.parent, dag_id), after)
    sys.exit(code)


def _latest(home: Path, dag_id: str) -> list[Any]:
    """The Results that account for what the lake holds now: of each object, the first time it was worked on."""
    return [r for _, r in dag_results(home, dag_id) if not r.adopted]


def _compare(old: Path, new: Path, dataset: str, limit: int) -> None:
    before, after = _rows(old, dataset), _rows(new, dataset)
    if before is None or before.columns != after.columns:  # type: ignore[union-attr]
        columns = [] if before is None else before.columns
        console.print(f"{dataset}: columns {columns} would become {after.columns}", markup=False)  # type: ignore[union-attr]
        return
    assert after is not None
    gone, come = (a.join(b, on=a.columns, how="anti", nulls_equal=True) for a, b in ((before, after), (after, before)))
    console.print(
        f"[bold]{dataset}[/bold]: {before.height:,} rows now, {after.height:,} after; "
        f"{gone.height:,} would go, {come.height:,} would come\n"
    )
    for title, rows in (("would go", gone), ("would come", come)):
        if rows.height:
            table(f"{dataset}: {title}", rows.columns, rows.head(limit).rows())


def _rows(lake: Path, dataset: str) -> pl.DataFrame | None:
    from base_ops.worker.lake import Store
    from base_ops.worker.lake.tables import Tables

    if not (lake / "tables" / dataset / "_delta_log").exists():
        return None
    rows = Tables(Store(str(lake))).read(dataset)
    return rows.select(c for c in rows.collect_schema().names() if not c.startswith("_")).collect()


def _compare_quarantine(before: list[Any], after: list[Any]) -> None:
    counts = [Counter({}) for _ in range(2)]
    for counter, results in zip(counts, (before, after), strict=True):
        for result in results:
            for q in result.quarantine:
                counter[q.rule] += q.rows
    rules = sorted(set(counts[0]) | set(counts[1]))
    if rules:
        table(
            "Quarantine by rule",
            ("rule", "now", "after"),
            ((r, counts[0][r], counts[1][r]) for r in rules),
            numbers=("now", "after"),
        )
