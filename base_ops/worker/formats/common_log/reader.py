"""The reader of common and combined logs: blocks of lines taken apart by one expression, few by a second, wider one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.frames import FrameReader
from base_ops.worker.formats.records.lines import Lines, blocks
from base_ops.worker.formats.textlines import codec_of, only_records, texts_of
from base_ops.worker.types import dtype_of, parse_expr

_BLOCK_BYTES = 8 << 20
_SAMPLE_BYTES = 1 << 18
_TIME = "%d/%b/%Y:%H:%M:%S %z"
_NAMES = (
    *("host", "ident", "user", "time", "method", "path", "protocol", "request", "status", "bytes"),
    *("referer", "user_agent"),
)
_TYPES = {"time": "timestamp_utc", "status": "int32", "bytes": "int64"}
_SCHEMA = pl.Schema({name: dtype_of(_TYPES.get(name, "string")) for name in _NAMES})
_TIME_SHAPE = r"^[0-9]{1,2}/[A-Za-z]{3}/[0-9]{4}:"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_USUAL = (
    r'^([^ ]+) ([^ ]+) ([^ \["]+) \[([0-9]+/[A-Za-z]+/[0-9]{4}:[^\]]+)\] '
    r'"([A-Z]+) ([^ "\\]+) (HTTP/[0-9.]+)" ([0-9]{3}) ([0-9]+|-)(?: "([^"\\]*)" "([^"\\]*)")?\r?\n?$'
)
_ANY = (
    rf"(?s)^([^ ]+) ([^ ]+) (.*?) \[([^\]\[]{{1,60}})\] {_QUOTED} ([0-9]{{3}}|-) ([0-9]+|-)"
    rf"(?: {_QUOTED} {_QUOTED})?[ \t]*\r?\n?$"
)
_REQUEST = r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ ]+) ([A-Z]+/[0-9.]+)$"


class CommonLogReader(FrameReader):
    """Rows of the lines of one log."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        super().__init__(source.name, _SCHEMA, spec)
        self._source, self._spec, self._codec = source, spec, codec_of(spec)
        self._refuse_stranger()

    def batches(self) -> Iterator[Batch]:
        for lines in self._blocks(_BLOCK_BYTES):
            if isinstance(lines, Lines):
                yield self._batch(lines)
            else:
                yield Batch(pl.DataFrame(schema={**self.schema, POINTER: pl.Int64}), [lines])

    def _blocks(self, block_bytes: int) -> Iterator[Lines | Rejected]:
        with self._source.open() as file:
            for lines in blocks(file, self._spec.max_record_bytes, block_bytes):
                yield from only_records(lines, self._spec)

    def _batch(self, lines: Lines) -> Batch:
        texts, broken = texts_of(lines, self._codec)
        cells = _cells(texts)
        typed = cells.select(
            parse_expr(n, _TYPES[n], _TIME if n == "time" else None) if n in _TYPES else n for n in _NAMES
        )
        rejected = {
            i: lines.rejected(i, "encoding", f"the line holds bytes that are not {self._codec}") for i in broken
        }
        for name in ("host", *_TYPES):
            wrong = typed[name].is_null() & (cells[name].is_not_null() if name in _TYPES else True)
            for i in wrong.arg_true().to_list():
                reason = f"{name}: no {_TYPES[name]}" if name in _TYPES else "not in common or combined log format"
                rule = "type" if name in _TYPES else "syntax"
                rejected.setdefault(i, lines.rejected(i, rule, reason, name if name in _TYPES else ""))
        frame = typed.with_columns(pl.Series(POINTER, lines.numbers, pl.Int64))
        rows = np.arange(len(lines))
        if rejected:
            keep = np.ones(len(lines), dtype=bool)
            keep[list(rejected)] = False
            frame, rows = frame.filter(pl.Series(keep)), rows[keep]
        frame, bad = self._columns.apply(frame)
        for b in bad:
            rejected[int(rows[b.row])] = lines.rejected(int(rows[b.row]), b.rule, b.reason, b.column)
        return Batch(frame[[*self.schema, POINTER]], [rejected[i] for i in sorted(rejected)])

    def _refuse_stranger(self) -> None:
        head = self._source.head(_SAMPLE_BYTES)
        cut = head.rfind(b"\n") + 1 if len(head) == _SAMPLE_BYTES else 0
        sample = Lines.of(head[:cut] if cut else head, 1, 0)
        parts = [part for part in only_records(sample, self._spec) if isinstance(part, Lines)]
        if any(_cells(texts_of(part, self._codec)[0])["host"].null_count() < len(part) for part in parts):
            return
        raise BadInput(
            f"{self._name} is no log in common or combined format",
            code="not_this_format" if head.strip() else "empty_object",
            where=f"{self._name}, first lines",
            expected='host ident user [time] "request" status bytes',
        )


def _cells(lines: pl.Series) -> pl.DataFrame:
    """The parts of each line as texts, `-` as null; all null where a line has another form."""
    size = -(-len(lines) // pl.thread_pool_size()) or 1
    parts = [lines.slice(start, size).to_frame("line").lazy() for start in range(0, len(lines), size)]
    parts = [part.select(pl.col("line").str.extract_groups(_USUAL)).unnest("line") for part in parts]
    taken = pl.concat(pl.collect_all(parts))
    names = [n for n in _NAMES if n != "request"]
    frame = taken.rename(dict(zip(taken.columns, names, strict=True))).with_columns(request=pl.lit(None, pl.String))
    unusual = frame["host"].is_null()
    if unusual.any():
        rest = _unusual_cells(lines.filter(unusual))
        index = unusual.arg_true()
        frame = frame.select(
            frame[n].scatter(index, rest[n]) if rest[n].null_count() < rest.height else frame[n] for n in _NAMES
        )
    dash = ("ident", "user", "bytes", "status", "referer", "user_agent", "request")
    return frame.select(_NAMES).with_columns(
        pl.when(pl.col(n) != "-").then(pl.col(n)).alias(n) for n in dash if not frame[n].is_null().all()
    )


def _unusual_cells(lines: pl.Series) -> pl.DataFrame:
    taken = lines.to_frame("line").select(pl.col("line").str.extract_groups(_ANY)).to_series().struct.unnest()
    names = ["host", "ident", "user", "time", "request", "status", "bytes", "referer", "user_agent"]
    frame = taken.rename(dict(zip(taken.columns, names, strict=True)))
    split = frame.select(pl.col("request").str.extract_groups(_REQUEST)).to_series().struct.unnest()
    split = split.rename(dict(zip(split.columns, ["method", "path", "protocol"], strict=True)))
    frame = frame.hstack(split.get_columns())
    return frame.with_columns(
        # a year of two digits would be read as one of the first century
        time=pl.when(pl.col("time").str.contains(_TIME_SHAPE)).then(pl.col("time")).otherwise(pl.lit("?")),
        request=pl.when(pl.col("method").is_null()).then(pl.col("request")),
    )
