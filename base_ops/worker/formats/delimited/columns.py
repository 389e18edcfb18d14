"""Columns of one delimited object: their types, and how each is read fastest without losing exactness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.delimited.codes import without_codes
from base_ops.worker.formats.delimited.infer import Guess, clean, decimal_separator, guess_type, iso_format, traits_of
from base_ops.worker.formats.delimited.numbers import NumberForm, declared_form
from base_ops.worker.types import TimeUnit, dtype_of, unit_of

_NATIVE = ("int64", "int32", "float64", "boolean")


@dataclass
class Column:
    """One column of the output, in file order."""

    name: str
    type: str
    format: str | None = None
    unit: TimeUnit = "us"
    decimal: str = "."
    required: bool = False
    declared: bool = False
    native: bool = False
    """Read by polars itself. Turned off for good once a block shows a null: only the text tells bad from empty."""
    exact: str | None = None
    """strptime format that most cells have, and that cannot bend a value (see `types`)."""
    zulu: bool = False
    form: NumberForm | None = None
    """How its numbers are written, where not plainly."""
    is_named: bool = True
    """False: behind the last column of the header, and empty; makes no column, and refuses what holds something."""

    @property
    def dtype(self) -> pl.DataType:
        return dtype_of(self.type, self.unit)

    @property
    def is_text(self) -> bool:
        return self.type == "string"


def name_columns(cells: list[str] | None, width: int) -> tuple[list[str], list[Finding]]:
    """Names from the header's cells, or column_1 … where there is none; none is lost, none is there twice."""
    if cells is None:
        return [f"column_{i + 1}" for i in range(width)], []
    names: list[str] = []
    findings = []
    taken = {POINTER}
    wanted = {cell.strip() for cell in cells}
    for index, cell in enumerate(cells):
        name = base = cell.strip() or f"column_{index + 1}"
        number = 2
        while name in taken or (name != base and name in wanted):
            name, number = f"{base}_{number}", number + 1
        if name != cell.strip():
            code = "duplicate_column" if cell.strip() else "unnamed_column"
            message = f"column {index + 1} of the header, {cell.strip()!r}, is named {name!r}"
            findings.append(Finding(code=code, message=message, severity="warning", data={"column": name}))
        taken.add(name)
        names.append(name)
    return names, findings


def plan_columns(
    names: list[str], sample: pl.DataFrame, spec: ReadSpec, *, header: bool, source: str
) -> tuple[list[Column], list[Finding]]:
    """Decide every column's type and way of reading.

    Args:
        names: of the file's columns, in order.
        sample: the same columns as text, whatever their names; null tokens and unquoted blanks already null.

    Raises:
        BadInput: a declared column is missing.
        ConfigError: a declared type is not known.
    """
    declared = _match(names, spec, header=header, source=source)
    texts = clean(sample, spec.null_values)
    decimal = spec.decimal or decimal_separator(texts)
    columns, findings = [], []
    if decimal != (spec.decimal or "."):
        message = f"{source}: numbers such as 1{decimal}5 are read with {decimal!r} as the decimal separator"
        findings.append(Finding(code="decimal_comma", message=message, data={"todo": "declare read.decimal"}))
    blanks = sample.select(pl.all().str.contains(r"^$| $").any()).row(0) if sample.width else ()
    guesses = _guesses([declared.get(name) or ColumnSpec(name=name) for name in names], texts, decimal)
    for name, cells, guess, blank in zip(names, texts.iter_columns(), guesses, blanks, strict=True):
        wish = declared.get(name)
        if guess.finding is not None:
            findings.append(guess.finding)
        if wish is None and spec.columns is not None:
            data = {"column": name}
            findings.append(Finding(code="extra_column", message=f"column {name!r} is not declared", data=data))
        columns.append(_column(name, wish, guess, cells, decimal, plain=not blank))
    _check_names([c.name for c in columns])
    return columns, findings


def _guesses(wishes: list[ColumnSpec], texts: pl.DataFrame, decimal: str) -> list[Guess]:
    """What each column is by its cells; nothing where its type is declared."""
    traits = traits_of(texts, decimal)
    found = [
        guess_type(wish.name, cells, of_cells, decimal) if wish.type is None else Guess()
        for wish, cells, of_cells in zip(wishes, texts.iter_columns(), traits, strict=True)
    ]
    return without_codes([wish.name for wish in wishes], texts, found, traits, decimal)


def _check_names(names: list[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1 or name == POINTER)
    if twice:
        raise ConfigError(
            f"read.columns gives the names {', '.join(twice)} to more than one column, or a reserved one",
            code="duplicate_column",
            where="read.columns",
            expected=f"distinct names, other than {POINTER}, also from the columns that are not declared",
        )


def _match(names: list[str], spec: ReadSpec, *, header: bool, source: str) -> dict[str, ColumnSpec]:
    """Declared columns by the file's names: by name under a header, else by place."""
    wishes = spec.columns or ()
    if not header:
        if wishes and len(wishes) != len(names):
            raise BadInput(
                f"{source} has {len(names)} columns, {len(wishes)} are declared",
                code="columns_differ",
                where=source,
                expected=", ".join(w.name for w in wishes),
                found=f"{len(names)} cells in most records",
            )
        return dict(zip(names, wishes, strict=False))
    found = {w.source_name or w.name: w for w in wishes}
    missing = [name for name in found if name not in names]
    if missing:
        raise BadInput(
            f"{source} lacks the declared columns {', '.join(missing)}",
            code="missing_column",
            where=f"{source}, header",
            expected=", ".join(found),
            found=", ".join(names),
            todo="correct read.columns (source_name is the name in the file), or read.header",
        )
    return found


def _column(name: str, wish: ColumnSpec | None, guess: Guess, cells: pl.Series, decimal: str, *, plain: bool) -> Column:
    typed = wish is not None and wish.type is not None
    type = wish.type if wish is not None and wish.type is not None else guess.type
    format = wish.format if wish is not None and wish.format is not None else guess.format
    unit = unit_of(cells) if typed and type.startswith("timestamp") else guess.unit
    column = Column(
        wish.name if wish else name, type, format, unit, decimal, bool(wish and wish.required), declared=typed
    )
    if typed and column.dtype.is_numeric():
        column.form, column.format = declared_form(name, format) if format else None, None
    else:
        column.form = guess.form
    column.native = type in _NATIVE and column.form is None and plain and (type != "float64" or decimal == ".")
    if type in ("date", "timestamp", "timestamp_utc"):
        column.exact, column.zulu = _exact_format(column, cells)
    _ = column.dtype  # refuses an unknown type
    return column


def _exact_format(column: Column, cells: pl.Series) -> tuple[str | None, bool]:
    if column.format is not None:
        bending = ("%.f", "%f", "%z", "%:z", "%#z", "%+", "%c", "%s")
        colon = "%S" not in column.format or ":%S" in column.format
        return (column.format if colon and not any(b in column.format for b in bending) else None), False
    if column.type == "date":
        return "%Y-%m-%d", False
    first = cells.first(ignore_nulls=True)
    found = iso_format(first) if isinstance(first, str) else None
    return found if found and not (found[1] and column.type == "timestamp") else (None, False)
