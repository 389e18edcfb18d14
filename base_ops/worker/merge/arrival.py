"""Preference packed into one integer per record: better source, later landing entry, line, file, row in the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.engine.plan import POINTER
from base_ops.worker.merge.files import ARRIVAL, Branch, Inputs, identifier


@dataclass(frozen=True)
class Arrival:
    """How many bits each part takes, and the way there and back; 63 bits where that is enough, else 127."""

    inputs: Inputs
    line_bits: int
    file_bits: int
    row_bits: int
    entry_bits: int
    source_bits: int

    @classmethod
    def of(cls, inputs: Inputs) -> Arrival:
        return cls(
            inputs,
            line_bits=max(f.last_line for f in inputs.files).bit_length(),
            file_bits=(len(inputs.files) - 1).bit_length(),
            row_bits=max(f.rows for f in inputs.files).bit_length(),
            entry_bits=(len({f.file.sequence for f in inputs.files}) - 1).bit_length(),
            source_bits=(len(inputs.sources) - 1).bit_length(),
        )

    @property
    def _shifts(self) -> tuple[int, int, int]:
        """Where line, entry and source begin."""
        line = self.file_bits + self.row_bits
        return line, line + self.line_bits, line + self.line_bits + self.entry_bits

    @property
    def wide(self) -> bool:
        """Whether it takes more than 63 bits."""
        return self._shifts[2] + self.source_bits > 63

    @property
    def dtype(self) -> pl.DataType:
        """As it arrives from the engine."""
        return pl.Decimal(38, 0) if self.wide else pl.Int64()

    def sql(self, branch: Branch) -> str:
        kind = "HUGEINT" if self.wide else "BIGINT"
        at_line, at_entry, at_source = self._shifts
        entries = sorted({f.file.sequence for f in self.inputs.files})
        source = (len(self.inputs.sources) - 1 - branch.source) << at_source
        bases = [
            source | entries.index(self.inputs.files[i].file.sequence) << at_entry | i << self.row_bits
            for i in branch.files
        ]
        listed = f"([{', '.join(map(str, bases))}]::{kind}[])[file_index::BIGINT + 1]"
        base = f"{bases[0]}::{kind}" if len(bases) == 1 else listed
        line = f"least(greatest(coalesce({identifier(POINTER)}, 0), 0), {(1 << self.line_bits) - 1})"
        if not branch.has_pointer:
            line = "(file_row_number + 1)"
        return f"{base} + {line}::{kind} * {1 << at_line}::{kind} + file_row_number::{kind}"

    def packed(self, number: int, source: int, first_row: int, height: int, lines: pl.Series | None) -> pl.Series:
        """Of rows of file `number` from `first_row` on; `lines`: None where the file keeps none."""
        kind = pl.Int128() if self.wide else pl.Int64()
        at_line, at_entry, at_source = self._shifts
        entries = sorted({f.file.sequence for f in self.inputs.files})
        entry = entries.index(self.inputs.files[number].file.sequence)
        base = (len(self.inputs.sources) - 1 - source) << at_source | entry << at_entry | number << self.row_bits
        rows = pl.int_range(first_row, first_row + height, dtype=pl.Int64, eager=True).cast(kind)
        line = rows + 1 if lines is None else lines.cast(kind).fill_null(0).clip(0, (1 << self.line_bits) - 1)
        packed = pl.DataFrame([line.alias("line"), rows.alias("row")]).select(
            pl.col("line") * pl.lit(1 << at_line, kind) + pl.col("row") + pl.lit(base, kind)
        )
        return packed.to_series().cast(self.dtype)

    def entry_sql(self) -> str:
        return f"({identifier(ARRIVAL)} // {1 << self._shifts[1]}) % {1 << self.entry_bits}"

    def entries(self, packed: pl.Series) -> NDArray[np.int64]:
        """Number of the landing entry of each row."""
        return self._part(packed, self._shifts[1], self.entry_bits).to_numpy()

    def preference(self, packed: pl.Series, *, earliest: bool) -> NDArray[np.int64]:
        """A number per row of a batch, greater where it is preferred: the better source, then the later arrival."""
        if earliest:
            kind = pl.Int128() if self.wide else pl.Int64()
            span = pl.lit(1 << self._shifts[2], kind)
            value = pl.col(packed.name).cast(kind)
            packed = packed.to_frame().select(value - 2 * (value % span) + span)[packed.name]
        return (packed.rank("dense").cast(pl.Int64) if self.wide else packed).to_numpy()

    def lines(self, packed: pl.Series) -> pl.Series:
        return self._part(packed, self._shifts[0], self.line_bits)

    def objects(self, packed: pl.Series, dtype: pl.DataType) -> pl.Series:
        """The URI each row was read from."""
        uris = pl.Series([f.file.uri for f in self.inputs.files], dtype=dtype)
        return uris.gather(self._part(packed, self.row_bits, self.file_bits).cast(pl.UInt32))

    def _part(self, packed: pl.Series, shift: int, bits: int) -> pl.Series:
        kind = pl.Int128 if self.wide else pl.Int64
        value = pl.col(packed.name).cast(kind) // pl.lit(1 << shift, kind) % pl.lit(1 << bits, kind)
        return packed.to_frame().select(value.cast(pl.Int64))[packed.name]
