"""How commands print: tables for people, JSON for programs, colours only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from base_ops.core.protocol import Result

# Piped output has no width of its own; wide enough that a table's cells stay on one line.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
error_console = Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()) -> None:
    """Print one table; columns named in `numbers` are right-aligned, integers get thousands separators."""
    grid = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", show_edge=False, pad_edge=False
    )
    for column in columns:
        grid.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    console.print(grid)
    console.print()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


def print_result(result: Result) -> None:
    """A Result in short, for `run` and `convert`."""
    table(
        f"{result.status} in {result.seconds:.2f} s, peak {result.peak_memory_bytes / 2**20:,.0f} MB",
        ("agent", "rows in", "rows out", "quarantined", "merged away"),
        (
            (s.agent, s.counts.rows_in, s.counts.rows_out, s.counts.quarantined, s.counts.merged_away)
            for s in result.steps
        ),
        numbers=("rows in", "rows out", "quarantined", "merged away"),
    )
    for ref in result.outputs:
        console.print(f"  wrote {ref.uri}" + (f" ({ref.rows:,} rows)" if ref.rows is not None else ""))
    for q in result.quarantine:
        console.print(f"  set aside {q.rows:,} × {q.rule}: {q.reason}\n    in {q.uri}")
    for finding in result.findings:
        console.print(f"  note [{finding.code}] {finding.message}", markup=False)
    if result.error is not None:
        error_console.print(_error_text(result), style="red", markup=False)


def _error_text(result: Result) -> str:
    error = result.error
    assert error is not None
    lines = [f"{error.outcome}: {error.what}"]
    for label in ("where", "expected", "found", "todo"):
        if text := getattr(error, label):
            lines.append(f"  {'to do' if label == 'todo' else label}: {text}")
    return "\n".join(lines)
