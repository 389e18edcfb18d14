"""What the tests of message formats share: bytes in; rows, rejected records and findings out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Rejected
from base_ops.worker.formats.base import ByteSource, Format


@dataclass
class Outcome:
    frame: pl.DataFrame
    rejected: list[Rejected]
    codes: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.frame.drop(POINTER).to_dicts()

    @property
    def lines(self) -> list[int]:
        return self.frame[POINTER].to_list()

    @property
    def faults(self) -> list[tuple[int, str]]:
        return [(r.line, r.rule) for r in self.rejected]


class Dribble(io.BytesIO):
    """Hands out a few bytes per read, as a stream may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 4093) if size is not None and size > 0 else size)


def source_of(data: bytes, name: str = "x.txt", stream: type[io.BytesIO] = io.BytesIO) -> ByteSource:
    return ByteSource(name, len(data), lambda: stream(data))


def read(format: Format, data: bytes, stream: type[io.BytesIO] = io.BytesIO, **spec: Any) -> Outcome:
    reader = format.read(source_of(data, stream=stream), ReadSpec(**spec))
    schema = dict(reader.schema)
    batches = list(reader.batches())
    none = pl.DataFrame(schema={**schema, POINTER: pl.Int64()})
    frame = pl.concat([none, *(b.frame for b in batches)])
    assert frame.schema == {**schema, POINTER: pl.Int64()}
    return Outcome(frame, [r for b in batches for r in b.rejected], [f.code for f in reader.findings])


def survives(format: Format, data: bytes, **spec: Any) -> Outcome | None:
    """Read what may be anything; only a named refusal of the whole is allowed."""
    assert 0 <= format.sniff(data, "x") <= 1
    try:
        outcome = read(format, data, **spec)
    except (BadInput, ConfigError) as error:
        assert error.code
        return None
    for rejected in outcome.rejected:
        assert rejected.line >= 1 and rejected.rule and rejected.reason
        assert len(rejected.raw) <= 4096
    return outcome
