"""The candidates of one file, read in its own order: common types, number of the source, packed order of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Inputs, unfit

_CHUNK_ROWS = 122_880


def candidates(inputs: Inputs, number: int, key: Sequence[str], arrival: Arrival) -> Iterator[pl.DataFrame]:
    """The records of file `number` that have a key, a row group or so at a time.

    Columns as in `Inputs.schema`, then SOURCE, BRANCH (where sources differ in columns), ARRIVAL.

    Raises:
        BadInput: the file is damaged, or its values are not what its footer promises.
    """
    fact = inputs.files[number]
    branch = next(b for b in inputs.branches if number in b.files)
    nullable = [name for name in key if name in fact.may_be_null]
    row = 0
    try:
        for frame in pl.scan_parquet(fact.file.path, glob=False).collect_batches(
            chunk_size=_CHUNK_ROWS, maintain_order=True
        ):
            height = frame.height
            columns = [
                _cast(frame[branch.origin[name]], dtype, name, fact.file.uri)
                if name in branch.schema
                else pl.Series(name, [], dtype).extend_constant(None, height)
                for name, dtype in inputs.schema.items()
            ]
            columns.append(pl.repeat(branch.source, height, dtype=pl.UInt8(), eager=True).alias(SOURCE))
            if inputs.uneven:
                columns.append(pl.repeat(branch.index, height, dtype=pl.UInt16(), eager=True).alias(BRANCH))
            lines = frame[POINTER] if branch.has_pointer else None
            columns.append(arrival.packed(number, branch.source, row, height, lines).alias(ARRIVAL))
            made = pl.DataFrame(columns)
            for name in nullable:
                if made[name].null_count():
                    made = made.filter(made[name].is_not_null())
            row += height
            if made.height:
                yield made
    except BadInput:
        raise
    except BaseException as error:
        if not isinstance(error, pl.exceptions.PolarsError) and type(error).__name__ != "PanicException":
            raise
        raise BadInput(
            "The files to merge cannot be read as their footers promise",
            code="bad_parquet",
            where=fact.file.uri,
            found=str(error).splitlines()[0],
            todo="convert the source again; its staged part is damaged",
        ) from None


def _cast(values: pl.Series, dtype: pl.DataType, name: str, where: str) -> pl.Series:
    try:
        return values.cast(dtype).alias(name)
    except pl.exceptions.PolarsError:
        raise unfit(where, name, found=str(values.dtype), expected=str(dtype)) from None
