"""Tables of documents (PDF, DOCX) as records: columns by name where all tables have the same header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from base_ops.core.protocol import Finding
from base_ops.worker.formats.records.reader import Record
from base_ops.worker.formats.records.values import IntText, Refused


@dataclass(frozen=True)
class Grid:
    """One table: rows of cells, None where there is none."""

    number: int
    """In the document, from 1."""
    rows: Sequence[Sequence[str | None]]
    page: int | None = None


def grid_records(name: str, grids: Sequence[Grid]) -> tuple[list[Record], list[Finding]]:
    """A record per row with `_table` (and `_page`), its number, and its cells.

    Where every table has the header of the first one, or goes on with it on a later page, cells are named by it; else
    they are cell_1, cell_2 … and headers are rows like others.
    """
    header = _header(grids[0]) if grids else None
    if header is not None and all(_has_header(grid, header) or _goes_on(grid, header, grids) for grid in grids):
        return _named(grids, header), []
    widths = sorted({len(row) for grid in grids for row in grid.rows})
    records: list[Record] = []
    width = widths[-1] if widths else 0
    for grid in grids:
        for row in grid.rows:
            cells = {f"cell_{i + 1}": row[i] if i < len(row) else None for i in range(width)}
            records.append(Record(len(records) + 1, {**_place(grid), **cells}))
    if not grids:
        return [], [Finding(code="no_tables", message=f"{name} holds no table", severity="warning")]
    message = f"{name}: {len(grids)} tables have no header in common: their cells are cell_1 to cell_{width}"
    return records, [Finding(code="tables_differ", message=message, data={"tables": len(grids)})]


def _named(grids: Sequence[Grid], header: tuple[str, ...]) -> list[Record]:
    records: list[Record] = []
    for grid in grids:
        for row in grid.rows[1:] if _has_header(grid, header) else grid.rows:
            fault = None
            if len(row) != len(header):
                fault = Refused("ragged", f"table {grid.number}: expected {len(header)} cells, found {len(row)}")
            value = {**_place(grid), **dict(zip(header, row, strict=False))}
            raw = "\t".join(cell or "" for cell in row).encode()[:4096]
            records.append(Record(len(records) + 1, value, fault, raw=raw))
    return records


def _place(grid: Grid) -> dict[str, str]:
    page = {} if grid.page is None else {"_page": IntText(grid.page)}
    return {**page, "_table": IntText(grid.number)}


def _header(grid: Grid) -> tuple[str, ...] | None:
    """The first row where it can name columns: all filled, distinct, and no numbers."""
    if not grid.rows:
        return None
    names = tuple(_name(cell) for cell in grid.rows[0])
    if not names or not all(names) or len(set(names)) < len(names) or not any(c.isalpha() for n in names for c in n):
        return None
    return None if any(name.replace(".", "").replace(",", "").isdigit() for name in names) else names


def _name(cell: str | None) -> str:
    return " ".join((cell or "").split())


def _has_header(grid: Grid, header: tuple[str, ...]) -> bool:
    return bool(grid.rows) and tuple(_name(cell) for cell in grid.rows[0]) == header


def _goes_on(grid: Grid, header: tuple[str, ...], grids: Sequence[Grid]) -> bool:
    """Whether a table is the rest of the one on the page before."""
    before = grids[grids.index(grid) - 1]
    return (
        grid.page is not None
        and before.page is not None
        and grid.page == before.page + 1
        and bool(grid.rows)
        and all(len(row) == len(header) for row in grid.rows)
    )
