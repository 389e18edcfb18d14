"""What the tests of formats with layouts share: bytes and options in; rows, rejected records and findings out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from delimited_kit import Outcome, source_of

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.registry import get_format

Reading = Callable[..., Outcome]


def read_as(format: str, data: bytes, *, block_bytes: int | None = None, **spec: Any) -> Outcome:
    """Read everything; `block_bytes` forces cuts in unlikely places."""
    reader: Any = get_format(format).read(source_of(data, "data.bin"), ReadSpec(**spec))
    if block_bytes:
        reader.block_bytes = block_bytes
    batches = list(reader.batches())
    for batch in batches:
        assert batch.frame.schema == {**reader.schema, POINTER: pl.Int64}
    empty = pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64})
    frame = pl.concat([empty, *(b.frame for b in batches)])
    return Outcome(frame, [r for b in batches for r in b.rejected], reader.findings, reader.schema)


def refusal(format: str, data: bytes, **spec: Any) -> BadInput | ConfigError | None:
    """The error of reading, None where there is none; any other exception is the test's failure."""
    try:
        read_as(format, data, **spec)
    except (BadInput, ConfigError) as error:
        return error
    return None
