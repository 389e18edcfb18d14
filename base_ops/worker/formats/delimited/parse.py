"""A block of records to a typed frame: everything that fits, and a reason for everything that does not."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.delimited.blocks import UNDECODABLE, Block, Reasons
from base_ops.worker.formats.delimited.cells import join_record, split_record
from base_ops.worker.formats.delimited.columns import Column
from base_ops.worker.formats.delimited.convert import Converter, misfits, named_by_zero
from base_ops.worker.formats.delimited.footer import total_of
from base_ops.worker.formats.delimited.passed import Passed
from base_ops.worker.formats.delimited.structure import as_array

Mask = NDArray[np.bool_]
_PLAIN = "cell"
"""Name of series that are worked on: polars' own methods take names such as ^…$ for patterns."""
_TAKEN_FOR_COMPRESSED = (b"\x1f\x8b", b"x\x01", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd")
"""First bytes that make polars unpack what it was given; a block of text may begin with them too."""


class Refusals:
    """The records of a block that are refused, each for the first reason found."""

    def __init__(self, block: Block, skipped: Mask) -> None:
        self.block = block
        self.bad: Mask = np.zeros(len(skipped), bool)
        self.rejected: list[Rejected] = []
        self._done = skipped.copy()

    @property
    def left(self) -> Mask:
        """What is neither skipped nor refused."""
        return ~self._done

    def add(self, rows: NDArray[Any], rule: str, reasons: Reasons, column: str = "") -> None:
        """Refuse rows, given as a mask or as ascending numbers."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        rows = rows[~self._done[rows]]
        self._done[rows] = self.bad[rows] = True
        self.rejected += self.block.reject(rows, rule, reasons, column)


class Parser:
    """Reads blocks one after another; columns learn from block to block which way of reading serves them."""

    def __init__(self, columns: list[Column], spec: ReadSpec, header: bytes = b"") -> None:
        """`header` is the header's record, to be known when it comes again."""
        self.columns = columns
        self.spec = spec
        self.header = header if len(columns) > 1 else b""
        self.passed = Passed()
        self.converter = Converter(spec.null_values)

    def parse(self, block: Block) -> Batch:
        """Rows and rejected records of a block, both in order of lines."""
        rejected = list(block.rejected)
        block, ragged = self._regular(block, rejected)
        refused: list[Rejected] = []
        try:
            frame = self._typed(block, ragged, refused)
        except BaseException as error:
            if not _from_polars(error):
                raise
            block = self._repaired(block if ragged is None else block.keep(~ragged), rejected)
            block, ragged = self._regular(block, rejected)  # a count that came out even may have hidden a ragged record
            refused = []
            frame = self._typed(block, ragged, refused)
        return Batch(frame, sorted(rejected + refused, key=attrgetter("line")))

    # -- records

    @property
    def _named(self) -> int:
        return sum(column.is_named for column in self.columns)

    @property
    def _delimiters(self) -> int:
        return len(self.columns) - 1

    def _regular(self, block: Block, rejected: list[Rejected]) -> tuple[Block, Mask | None]:
        """The block without what cannot be read, and which of its records are no rows of this table, if any.

        Costs two counts where all is well.
        """
        if self._may_be_odd(block):
            return self._sift(block, rejected)
        if not block.quoted and not block.is_measured and block.spans is None and "" in self.spec.null_values:
            found = block.glance(self.converter.firsts)
            clean = found.delimiters == self._delimiters * block.newlines
        else:
            clean = self._fits(block)
        return (block, None) if clean else self._sift(block, rejected)

    def _may_be_odd(self, block: Block) -> bool:
        data, dialect = block.data, block.dialect
        if b"\0" in data or (not dialect.is_utf8 and UNDECODABLE.encode() in data):
            return True
        if self.header and self.header in data:
            return True
        if dialect.comment and (data.startswith(dialect.comment.encode()) or _commented(block) in data):
            return True
        return _has_longer_line(data, dialect.eol.encode(), self.spec.max_record_bytes) or (
            block.quoted and bool((_lengths(block) > self.spec.max_record_bytes).any())
        )

    def _fits(self, block: Block) -> bool:
        layout = block.layout
        if (layout.delimiters != self._delimiters).any():
            return False
        return self._delimiters > 0 or not bool((_lengths(block) == 0).any())

    def _sift(self, block: Block, rejected: list[Rejected]) -> tuple[Block, Mask | None]:
        """Keep the rows, skip blank lines and comments, refuse the rest."""
        found, dialect = block.layout, block.dialect
        starts, lengths = found.starts, _lengths(block)
        array = as_array(block.data)
        skip = (found.delimiters == 0) & (lengths == 0)
        if dialect.comment:
            marks = dialect.comment.encode()
            commented = lengths >= len(marks)
            for shift, byte in enumerate(marks):
                commented[commented] = array[starts[commented] + shift] == byte
            skip |= commented
        if skip.any():
            self.passed.add(block, skip)
        cells, wanted = found.delimiters + 1, self._delimiters + 1
        limit = self.spec.max_record_bytes
        refusals = Refusals(block, skip)
        refusals.add(lengths > limit, "record_too_long", f"the record is longer than max_record_bytes={limit}")
        refusals.add(_holding(block, b"\0"), "nul_byte", "the record holds a NUL byte")
        if not dialect.is_utf8:
            refusals.add(_holding(block, UNDECODABLE.encode()), "encoding", _undecodable(dialect.encoding))
        if self.header:
            refusals.add(_repeating(block, self.header), "repeated_header", "the record repeats the header")
        unreadable = refusals.bad | skip
        reasons = lambda rows: [f"{n} cells where {wanted} are expected" for n in cells[rows].tolist()]  # noqa: E731
        refusals.add(cells > wanted, "ragged_long", reasons)
        refusals.add(cells < wanted, "ragged_short", reasons)
        rejected += refusals.rejected
        if not refusals.bad.any() and not skip.any():
            return block, None
        if unreadable.any() or not self._delimiters or self.converter.hints(block)[0]:
            return block.keep(~(refusals.bad | skip)), None
        return block, refusals.bad  # cheaper to read than to cut out

    def _repaired(self, block: Block, rejected: list[Rejected]) -> Block:
        """A block that polars refused: without its undecodable records, the others in the plainest form."""
        bad = np.zeros(len(block.layout.ends), bool)
        for position in _undecodable_positions(block.data, block.dialect.eol.encode()):
            bad[np.searchsorted(block.layout.ends, position)] = True
        if bad.any():
            rejected += block.reject(np.flatnonzero(bad), "encoding", _undecodable("utf-8"))
            block = block.keep(~bad)
            try:
                self._read(block, {c.name: c.dtype if c.native else pl.String() for c in self.columns})
            except BaseException as error:
                if not _from_polars(error):
                    raise
            else:
                return block
        cells = [split_record(block.record(i), block.dialect) for i in range(len(block.layout.ends))]
        return block.replace({i: join_record(found, block.dialect) for i, found in enumerate(cells) if found})

    # -- cells

    def _typed(self, block: Block, ragged: Mask | None, rejected: list[Rejected]) -> pl.DataFrame:
        frame = self._read(block, {c.name: c.dtype if c.native else pl.String() for c in self.columns})
        last = frame.to_series(len(self.columns) - 1)
        if last.null_count() and not (block.is_measured and self._delimiters) and not self._fits(block):
            return self._typed(*self._sift(block, rejected), rejected)
        expected = len(block.layout.ends) if block.is_measured or block.spans is not None else block.newlines
        if frame.height != expected:
            raise BadInput(
                "a block of the file was not read whole",
                code="unreadable_block",
                where=f"lines {block.line} to {block.line + block.newlines}",
                expected=f"{expected} records",
                found=f"{frame.height}",
            )
        return self._converted(block, frame, ragged, rejected)

    def _converted(
        self, block: Block, frame: pl.DataFrame, ragged: Mask | None, rejected: list[Rejected]
    ) -> pl.DataFrame:
        refusals = Refusals(block, np.zeros(frame.height, bool) if ragged is None else ragged)
        doubtful = [c for c in self.columns if c.native and self._is_doubtful(c, frame[c.name], block, ragged)]
        texts = self._read(block, {c.name: pl.String() for c in self.columns}, doubtful) if doubtful else None
        values: list[pl.Series] = []
        zero, token = self.converter.hints(block)
        zeros = self.converter.leading_zeros(block, self.columns) if zero else {}
        for column in self.columns:
            value = frame[column.name].alias(_PLAIN)
            if not column.is_named:
                reason = f"a value behind the last named column, which is column {self._named} of {len(self.columns)}"
                refusals.add((value.str.strip_chars() != "").fill_null(False).to_numpy(), "ragged_long", reason)
                continue
            if column.is_text:
                if token:
                    value = self.converter.without_null_tokens(block, column, value, self._read_marked)
            elif not column.native or column in doubtful:
                text = texts[column.name].alias(_PLAIN) if texts is not None and column in doubtful else value
                column.native = column.native and not _nulls(value, ragged)
                value, bad = self.converter.convert(column, text)
                refusals.add(bad, "type", misfits(column, text), column.name)
            if column.name in zeros:
                refusals.add(zeros[column.name], "type", named_by_zero(column), column.name)
            if column.required and _nulls(value, ragged):
                reason = f"{column.name}: a value is required"
                refusals.add(value.is_null().to_numpy(), "required", reason, column.name)
            values.append(value.alias(column.name))
        made = pl.DataFrame([*values, _pointers(block, frame.height)])
        total = total_of(made, refusals.left) if block.is_last else None
        if total is not None and total.is_certain:
            refusals.add(np.array([total.row]), "total", total.reason)
        elif total is not None:
            self.passed.total = total
        rejected += refusals.rejected
        return made.filter(pl.Series(refusals.left)) if refusals.rejected or ragged is not None else made

    def _is_doubtful(self, column: Column, value: pl.Series, block: Block, ragged: Mask | None) -> bool:
        if ragged is not None and value.null_count():
            value = value.filter(pl.Series(~ragged))
        return self.converter.is_doubtful(column, value, block)

    def _read(
        self, block: Block, schema: dict[str, pl.DataType], only: list[Column] | None = None, data: bytes | None = None
    ) -> pl.DataFrame:
        dialect = block.dialect
        options: dict[str, Any] = {}
        if only is not None:
            options["columns"] = [index for index, name in enumerate(schema) if any(name == c.name for c in only)]
        data = block.data if data is None else data
        if not data:
            return pl.DataFrame(schema=schema if only is None else {c.name: schema[c.name] for c in only})
        guarded = data.startswith(_TAKEN_FOR_COMPRESSED)
        frame = pl.read_csv(
            dialect.eol.encode() + data if guarded else data,
            has_header=False,
            separator=dialect.delimiter,
            quote_char=dialect.plain_quote if block.quoted else None,
            eol_char=dialect.eol,
            schema=schema,
            ignore_errors=True,
            empty_string_is_null="" in self.spec.null_values,
            missing_columns="insert",
            extra_columns="ignore",
            **options,
        )
        return frame.slice(1) if guarded else frame

    def _read_marked(self, block: Block, column: Column, data: bytes) -> pl.Series:
        return self._read(block, {c.name: pl.String() for c in self.columns}, [column], data)[column.name].alias(_PLAIN)


def _from_polars(error: BaseException) -> bool:
    return isinstance(error, pl.exceptions.PolarsError) or type(error).__name__ == "PanicException"


def _pointers(block: Block, height: int) -> pl.Series:
    """Physical line of every record, of which there are `height`."""
    first, lines = block.line, None
    if block.spans is not None or block.newlines != height:
        lines = block.lines()
        first = int(lines[0]) if height else first
    if lines is None or not height or int(lines[-1]) == first + height - 1:  # ascending, so without gaps
        return pl.int_range(first, first + height, dtype=pl.Int64, eager=True).alias(POINTER)
    return pl.Series(POINTER, lines, pl.Int64)


def _nulls(value: pl.Series, ragged: Mask | None) -> int:
    """How many rows have no value, those left aside that are ragged."""
    found = value.null_count()
    return found - int(value.is_null().to_numpy()[ragged].sum()) if found and ragged is not None else found


def _commented(block: Block) -> bytes:
    return (block.dialect.eol + block.dialect.comment).encode()


def _lengths(block: Block) -> NDArray[np.int64]:
    """Bytes of every record without its line end."""
    found = block.layout
    lengths = found.ends - found.starts
    if block.dialect.eol == "\n" and len(lengths):
        lengths = lengths - ((lengths > 0) & (as_array(block.data)[found.ends - 1] == 13))
    return lengths


def _has_longer_line(data: bytes, eol: bytes, limit: int) -> bool:
    position = -1
    while len(data) - position > limit + 2:
        found = data.rfind(eol, position + 1, position + limit + 2)
        if found < 0:
            return True
        position = found
    return False


def _holding(block: Block, mark: bytes) -> Mask:
    holding = np.zeros(len(block.layout.ends), bool)
    position = block.data.find(mark)
    while position >= 0:
        index = int(np.searchsorted(block.layout.ends, position))
        holding[index] = True
        position = block.data.find(mark, int(block.layout.ends[index]))
    return holding


def _repeating(block: Block, header: bytes) -> Mask:
    """Records that are the header once more."""
    repeating = np.zeros(len(block.layout.ends), bool)
    starts = block.layout.starts
    position = block.data.find(header)
    while position >= 0:
        index = int(np.searchsorted(starts, position, side="right")) - 1
        repeating[index] = block.record(index) == header
        position = block.data.find(header, position + len(header))
    return repeating


def _undecodable_positions(data: bytes, eol: bytes) -> list[int]:
    """One position in every line that is not valid UTF-8."""
    found: list[int] = []
    position, view = 0, memoryview(data)
    while True:
        try:
            str(view[position:], "utf-8")
            return found
        except UnicodeDecodeError as error:
            found.append(position + error.start)
            position = data.find(eol, position + error.start) + 1
            if position == 0:
                return found


def _undecodable(encoding: str) -> str:
    return f"bytes that are not {encoding}"
