"""What the tests of the delimited reader share: bytes in; rows, rejected records and findings out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.reader import DelimitedReader


@dataclass
class Outcome:
    frame: pl.DataFrame
    rejected: list[Rejected]
    findings: list[Finding]
    schema: pl.Schema

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return self.frame.drop(POINTER).rows()

    @property
    def lines(self) -> list[int]:
        return self.frame[POINTER].to_list()

    @property
    def faults(self) -> list[tuple[int, str]]:
        return [(r.line, r.rule) for r in self.rejected]

    @property
    def reported(self) -> set[int]:
        """Lines that findings say were passed over."""
        listed = [f.data["lines"] for f in self.findings if "lines" in f.data]
        return {x["line"] if isinstance(x, dict) else x for lines in listed for x in lines}

    @property
    def codes(self) -> set[str]:
        return {f.code for f in self.findings}


def source_of(data: bytes, name: str = "data.csv") -> ByteSource:
    @contextmanager
    def open_bytes() -> Iterator[BinaryIO]:
        yield io.BytesIO(data)

    return ByteSource(name, len(data), open_bytes)


def read(data: bytes, *, block_bytes: int | None = None, **spec: Any) -> Outcome:
    """Read everything; `block_bytes` forces cuts in unlikely places."""
    reader = DelimitedReader(source_of(data), ReadSpec(**spec))
    if block_bytes:
        reader.block_bytes = block_bytes
    batches = list(reader.batches())
    empty = pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64})
    frame = pl.concat([empty, *(b.frame for b in batches)])
    return Outcome(frame, [r for b in batches for r in b.rejected], reader.findings, reader.schema)
