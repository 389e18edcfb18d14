"""How a file is written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec


class WriteSpec(Spec):
    """How a file is written."""

    format: Literal["parquet", "csv", "ndjson", "json", "arrow", "avro", "delta"] | None = None
    """Default: by the target's suffix."""
    compression: Literal["zstd", "snappy", "gzip", "lz4", "uncompressed"] | None = None
    """Codec of Parquet, Arrow, Avro (gzip: deflate) and Delta; default: zstd, for Avro gzip, which all readers know."""
    compression_level: int | None = 1
    """Level of zstd and gzip."""
    row_group_rows: int | None = Field(None, ge=1)
    """Rows of a Parquet row group; default: as many as polars finds best."""
