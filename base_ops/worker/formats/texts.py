"""Columns of texts to typed columns: for formats whose cells are cut out of text by the block (fixed-width, tables).

The types, the exactness and the words of refusal are those of delimited files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.declared import BadRow
from base_ops.worker.formats.delimited.columns import name_columns, plan_columns
from base_ops.worker.formats.delimited.convert import Converter, misfit


class TextColumns:
    """Typed columns over frames of String columns; null = no value.

    Args:
        names: of the columns, in order, as the object gives them (made distinct here); None: column_1 ….
        sample: the first rows as texts, one String column per name, in order.
        source: name of the object, for messages.

    Raises:
        BadInput, ConfigError: as `plan_columns`.
    """

    def __init__(self, names: Sequence[str] | None, sample: pl.DataFrame, spec: ReadSpec, source: str) -> None:
        unique, self.findings = name_columns(None if names is None else list(names), sample.width)
        self._nulls = list(spec.null_values)
        head = without_null_texts(sample.head(spec.sample_rows), self._nulls)
        self._columns, found = plan_columns(unique, head, spec, header=names is not None, source=source)
        self.findings: list[Finding] = [*self.findings, *found]
        self._converter = Converter(spec.null_values)
        self.schema = pl.Schema({c.name: c.dtype for c in self._columns})

    def apply(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRow]]:
        """The typed columns of all rows (a bad cell is null), and the rows that cannot be used, in order.

        Args:
            frame: one String column per column, in order, whatever their names.
        """
        bad: dict[int, BadRow] = {}
        made: list[pl.Series] = []
        for column, raw in zip(self._columns, without_null_texts(frame, self._nulls).iter_columns(), strict=True):
            text = raw.alias("cell")  # polars takes a name such as ^…$ for a pattern
            value = text
            if not column.is_text:
                value, rows = self._converter.convert(column, text)
                reason: Callable[[int], str] = misfit(column, text)
                for row in rows.tolist():
                    bad.setdefault(row, BadRow(row, "type", reason(row), column.name))
            if column.required and value.null_count():
                for row in np.flatnonzero(value.is_null().to_numpy()).tolist():
                    bad.setdefault(row, BadRow(row, "required", f"{column.name}: a value is required", column.name))
            made.append(value.alias(column.name))
        return pl.DataFrame(made), [bad[row] for row in sorted(bad)]


def without_null_texts(frame: pl.DataFrame, tokens: Sequence[str]) -> pl.DataFrame:
    """The frame, its texts that mean 'no value' null."""
    columns = []
    for column in frame.iter_columns():
        if column.dtype == pl.String and (is_null := column.is_in(tokens).fill_null(False)).any():
            column = column.set(is_null, None)
        columns.append(column)
    return pl.DataFrame(columns) if columns else frame
