"""Lines of text as a column, for formats that take lines apart by the block."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.records.lines import Lines, too_long
from base_ops.worker.formats.records.values import BOM


def codec_of(spec: ReadSpec) -> str:
    """The declared encoding, else UTF-8; one whose line ends are single bytes.

    Raises:
        ConfigError: there is no such encoding, or it is UTF-16 or UTF-32.
    """
    try:
        name = codecs.lookup(spec.encoding or "utf-8").name
        if "\n".encode(name) == b"\n" and isinstance(b"a".decode(name), str):
            return "utf-8" if name in ("ascii", "utf-8-sig") else name
        problem = "not possible for lines of bytes"
    except (LookupError, TypeError, ValueError):
        problem = "not known"
    raise ConfigError(
        f"encoding={spec.encoding!r} is {problem}", code="unsupported_encoding", where="spec.read.encoding"
    )


def only_records(lines: Lines | Rejected, spec: ReadSpec) -> Iterator[Lines | Rejected]:
    """Lines without byte-order mark, blank lines, comments, skipped lines and those that are too long."""
    if isinstance(lines, Rejected):
        if lines.line > spec.skip_lines:
            yield lines
        return
    if lines.offset == 0 and lines.data.startswith(BOM):
        lines.starts[0] = len(BOM)
    length = lines.ends - lines.starts
    first = np.frombuffer(lines.data + b"\n", np.uint8)[lines.starts]
    keep: NDArray[np.bool_] = (length > 0) & (lines.numbers > spec.skip_lines)
    comment = spec.comment.encode() if spec.comment else None
    for index in np.flatnonzero(keep & np.isin(first, _openings(comment))).tolist():
        text = lines[index]
        keep[index] = bool(text.strip()) and not (comment and text.startswith(comment))
    for index in np.flatnonzero(keep & (length > spec.max_record_bytes)).tolist():
        start, end = int(lines.starts[index]), int(lines.ends[index])
        raw = lines.data[start : start + 4096]
        yield too_long(int(lines.numbers[index]), lines.offset + start, lines.offset + end, raw, spec.max_record_bytes)
        keep[index] = False
    chosen = lines if keep.all() else lines.pick(keep)
    if len(chosen):
        yield chosen


def _openings(comment: bytes | None) -> list[int]:
    return [*b" \t\r", *(comment[:1] if comment else b"")]


def texts_of(lines: Lines, codec: str) -> tuple[pl.Series, list[int]]:
    """The lines as texts, a newline at their end or not; and the indexes of those not in the encoding (null)."""
    if codec == "utf-8" and len(lines) and (lines.starts[1:] == lines.ends[:-1] + 1).all() and _is_utf8(lines.data):
        # neighbours in one buffer: no line is copied
        begin, end = int(lines.starts[0]), int(lines.ends[-1])
        data = lines.data[begin:end] + b"\n"
        offsets = np.append(lines.starts, end + 1) - begin
        array = pa.LargeStringArray.from_buffers(len(lines), pa.py_buffer(offsets.tobytes()), pa.py_buffer(data))
        column = pl.DataFrame(pl.from_arrow(pa.Table.from_arrays([array], names=["line"])))["line"]
        return column, []
    texts: list[str | None] = []
    for index in range(len(lines)):
        try:
            texts.append(lines[index].decode(codec))
        except UnicodeDecodeError:
            texts.append(None)
    return pl.Series("line", texts, pl.String), [i for i, text in enumerate(texts) if text is None]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
