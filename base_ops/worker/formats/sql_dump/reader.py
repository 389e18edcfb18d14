"""The reader of SQL dumps: finds the table and its columns, then hands out its rows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import free_name
from base_ops.worker.formats.delimited.dialect import Dialect, codec_name
from base_ops.worker.formats.delimited.encoding import encoding_findings, settle_encoding
from base_ops.worker.formats.records.lines import read_full
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.sql_dump.definition import Defined, columns_of
from base_ops.worker.formats.sql_dump.dialect import find_dialect
from base_ops.worker.formats.sql_dump.events import Broken, Definition, Name, Rows, gathered
from base_ops.worker.formats.sql_dump.grammar import grammar_of
from base_ops.worker.formats.sql_dump.scanner import Scanner
from base_ops.worker.formats.sql_dump.values import Literals
from base_ops.worker.formats.texts import TextColumns

_HEAD_BYTES = 1 << 16
_PROBE_CHARS = 16 << 20
"""Looked at to see whether there is one table only; another one that comes later refuses the dump then."""
_COUNTED_CHARS = 256 << 20
_TEXT_OF_DIGITS = re.compile(r"[nNeE]?'[-+]?[\d.]+'|[xX]'|0[xX]|HEXTORAW", re.I)


@dataclass
class _Table:
    rows: int = 0
    columns: tuple[str, ...] | None = None
    defined: list[Defined] = field(default_factory=list)
    sample: list[Rows] = field(default_factory=list)
    sampled: int = 0


class SqlDumpReader:
    """One opened dump: dialect, table and types are settled, no row is handed out yet."""

    block_bytes = 1 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        head = source.head(_HEAD_BYTES)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        if head.startswith(b"PGDMP"):
            raise BadInput(
                f"{source.name} is a PostgreSQL dump in the custom format, which is no text",
                code="unsupported_dump",
                where=source.name,
                todo="have it written as plain text, or turn it into text with pg_restore -f",
            )
        self._source, self._spec = source, spec
        declared = codec_name(spec.encoding) if spec.encoding else None
        self._encoding, self._bom = settle_encoding(head, declared, complete=len(head) < _HEAD_BYTES)
        dialect = spec.sql_dump.dialect or find_dialect(head[self._bom :].decode(self._encoding, "replace"))
        self._grammar = grammar_of(dialect)
        self._literals = Literals(self._grammar)
        self._tables: dict[Name, _Table] = {}
        self._name = self._choose()
        self._table = self._tables[self._name]
        self._given = self._given_names()
        taken: set[str] = {POINTER}
        self._names = [free_name(name or f"column_{number}", taken) for number, name in enumerate(self._given, 1)]
        self._is_binary = [d.is_binary for d in self._table.defined]
        self._texts = self._typed()
        self.schema = self._texts.schema
        data = {"table": ".".join(self._name), "dialect": dialect, "encoding": self._encoding}
        others = [".".join(name) for name, table in self._tables.items() if table.rows and name != self._name]
        data |= {"other_tables": ", ".join(others)} if others else {}
        found = Finding(code="sql_dump", message=f"{source.name}: table {data['table']}", data=dict(data))
        self.findings: list[Finding] = [found, *self._texts.findings]
        self.findings += encoding_findings(source.name, spec.encoding, Dialect(self._encoding))

    # -- the dump

    @property
    def _limits(self) -> tuple[int, int]:
        return self._spec.max_record_bytes, self._spec.max_columns

    def _chunks(self, file: BinaryIO) -> Iterator[str]:
        read_full(file, self._bom)
        decoder = codecs.getincrementaldecoder(self._encoding)("surrogateescape" if self._is_utf8 else "replace")
        while data := read_full(file, self.block_bytes):
            yield decoder.decode(data).replace("\r\n", "\n") if b"\r\n" in data else decoder.decode(data)
        yield decoder.decode(b"", final=True)

    @property
    def _is_utf8(self) -> bool:
        return self._encoding == "utf-8"

    def _is_meant(self, name: Name) -> bool:
        wanted = self._spec.sql_dump.table
        return wanted is None or wanted in (".".join(name), name[-1])

    # -- which table

    def _choose(self) -> Name:
        with self._source.open() as file:
            scanner = Scanner(self._chunks(file), self._grammar, self._is_meant, *self._limits)
            for event in gathered(scanner.events()):
                self._note(event)
                if self._is_enough(scanner.chars):
                    break
        with_rows = [name for name, table in self._tables.items() if table.rows and self._is_meant(name)]
        if len(with_rows) == 1:
            return with_rows[0]
        if with_rows:
            raise self._several(with_rows)
        empty = [name for name in self._tables if self._is_meant(name)]
        if len(empty) == 1 and self._tables[empty[0]].defined:
            return empty[0]
        raise self._no_rows()

    def _note(self, event: Definition | Rows | Broken) -> None:
        if isinstance(event, Broken):
            return
        table = self._tables.setdefault(event.table, _Table())
        if isinstance(event, Definition):
            if not table.defined and self._is_meant(event.table):
                table.defined = columns_of(event.text, self._grammar.dialect)
            return
        table.rows += len(event.lines)
        table.columns = table.columns or event.columns
        if self._is_meant(event.table) and table.sampled < self._spec.sample_rows:
            table.sample.append(event)
            table.sampled += len(event.lines)

    def _is_enough(self, chars: int) -> bool:
        with_rows = [table for name, table in self._tables.items() if table.rows and self._is_meant(name)]
        if len(with_rows) > 1:
            return chars > _COUNTED_CHARS
        sampled = bool(with_rows) and with_rows[0].sampled >= self._spec.sample_rows
        return sampled and (self._spec.sql_dump.table is not None or chars > _PROBE_CHARS)

    def _several(self, names: Sequence[Name]) -> BadInput:
        listed = [f"{'.'.join(name)} ({self._tables[name].rows} rows)" for name in names[:100]]
        return BadInput(
            f"{self._source.name} holds rows of several tables",
            code="several_tables",
            where=self._source.name,
            expected="one table, or read.sql_dump.table",
            found=", ".join(listed),
            todo="set read.sql_dump.table to one of them",
        )

    def _no_rows(self) -> BadInput:
        wanted = self._spec.sql_dump.table
        listed = [f"{'.'.join(name)} ({table.rows} rows)" for name, table in list(self._tables.items())[:100]]
        return BadInput(
            f"{self._source.name} holds no rows" + (f" of the table {wanted}" if wanted else ""),
            code="no_such_table" if wanted else "empty_object",
            where=self._source.name,
            expected="INSERT statements or COPY blocks with literals",
            found=", ".join(listed) or "no table",
            todo="check read.sql_dump.table" if wanted else "",
        )

    # -- its columns

    def _given_names(self) -> list[str]:
        """Of the columns, as the dump gives them; empty where it does not."""
        names = [d.name for d in self._table.defined]
        known = {name.lower() for name in names}
        names += [name for name in self._table.columns or () if name.lower() not in known]
        if not names:
            first = next((rows.values[0] for rows in self._table.sample if rows.values), ())
            names = [""] * len(first)
        return names

    def _places(self, rows: Rows) -> list[int]:
        """To which column each value of some rows belongs; names may differ in case.

        Raises:
            BadInput: one is not known, or named twice.
        """
        if rows.columns is None:
            return list(range(len(self._names)))
        by_name = {name.lower(): at for at, name in reversed(list(enumerate(self._given)))}
        by_name |= {name: at for at, name in reversed(list(enumerate(self._given)))}
        places = [by_name.get(name, by_name.get(name.lower(), -1)) for name in rows.columns]
        if -1 in places or len(set(places)) < len(places):
            raise BadInput(
                f"Rows of {'.'.join(rows.table)} name columns twice, or other ones than before",
                code="unknown_column",
                where=f"{self._source.name}, line {rows.lines[0]}",
                expected=", ".join(self._names[:100]),
                found=", ".join(rows.columns[:100]),
            )
        return places

    def _typed(self) -> TextColumns:
        frames = [self._frame(rows)[0] for rows in self._table.sample]
        empty = pl.DataFrame({name: pl.Series([], dtype=pl.String) for name in self._names})
        sample = pl.concat([empty, *frames]).head(self._spec.sample_rows)
        types = dict(zip(self._names, (d.type for d in self._table.defined), strict=False))
        wishes = {wish.source_name or wish.name: wish for wish in self._spec.columns or ()}
        columns = []
        for at, name in enumerate(self._names):
            wish = wishes.pop(name, None) or ColumnSpec(name=name)
            type = wish.type or _known_scale(types.get(name), sample[name]) or self._text_if_quoted(at)
            columns.append(wish.model_copy(update={"type": type, "source_name": name}))
        spec = self._spec.model_copy(update={"columns": (*columns, *wishes.values()), "null_values": ()})
        return TextColumns(self._names, sample, spec, self._source.name)

    def _text_if_quoted(self, column: int) -> str | None:
        """Digits in quotes are text, and so are bytes; only times are always in quotes."""
        is_bits = self._grammar.dialect != "mysql"  # there they are numbers
        for rows in self._table.sample:
            places = self._places(rows)
            if rows.is_copy or column not in places:
                continue
            at = places.index(column)
            for values in rows.values:
                token = values[at] if at < len(values) else ""
                if _TEXT_OF_DIGITS.match(token) or (is_bits and token[:2] in ("b'", "B'")):
                    return "string"
        return None

    # -- its rows

    def batches(self) -> Iterator[Batch]:
        """Raises: BadInput where another table has rows too and none was chosen, or a COPY block has no end."""
        with self._source.open() as file:
            wanted = self._name.__eq__
            scanner = Scanner(self._chunks(file), self._grammar, wanted, *self._limits)
            for event in gathered(scanner.events()):
                if isinstance(event, Rows):
                    if event.table == self._name:
                        yield self._batch(event)
                    elif self._is_meant(event.table):
                        self._tables.setdefault(event.table, _Table()).rows += len(event.lines)
                        raise self._several([self._name, event.table])
                elif isinstance(event, Broken) and event.table in (self._name, None):
                    yield Batch(pl.DataFrame(schema={**self.schema, POINTER: pl.Int64}), [event.rejected])

    def _batch(self, rows: Rows) -> Batch:
        frame, refused = self._frame(rows)
        faults = {row: (verdict.rule, verdict.reason, verdict.column) for row, verdict in refused.items()}
        made, bad = self._texts.apply(frame)
        for fault in bad:
            faults.setdefault(fault.row, (fault.rule, fault.reason, fault.column))
        made = made.with_columns(pl.Series(POINTER, rows.lines, pl.Int64))
        if faults:
            keep = np.ones(len(rows.lines), bool)
            keep[list(faults)] = False
            made = made.filter(pl.Series(keep))
        rejected = [self._rejected(rows, row, *faults[row]) for row in sorted(faults)]
        return Batch(made, rejected)

    def _rejected(self, rows: Rows, row: int, rule: str, reason: str, column: str) -> Rejected:
        raw = ", ".join(rows.values[row]).encode("utf-8", "surrogateescape")[:4096]
        return Rejected(rows.lines[row], rule, reason, column, raw=raw)

    def _frame(self, rows: Rows) -> tuple[pl.DataFrame, dict[int, Refused]]:
        """The rows' values as texts, one column per column of the table."""
        places = self._places(rows)
        refused: dict[int, Refused] = {}
        texts = [pl.Series([None], dtype=pl.String).new_from_index(0, len(rows.lines))] * len(self._names)
        if rows.values and len(rows.values[0]) > len(places):
            refused = dict.fromkeys(range(len(rows.lines)), _too_many(len(rows.values[0]), len(places)))
        else:
            for at, tokens in zip(places, zip(*rows.values, strict=True), strict=False):
                is_binary = at < len(self._is_binary) and self._is_binary[at]
                texts[at], bad = self._literals.column(tokens, is_copy=rows.is_copy, is_binary=is_binary)
                for row, verdict in bad.items():
                    verdict.column = self._names[at]
                    refused.setdefault(row, verdict)
        return pl.DataFrame([text.alias(name) for text, name in zip(texts, self._names, strict=True)]), refused


def _too_many(found: int, wanted: int) -> Refused:
    return Refused("ragged", f"{found} values where {wanted} columns are")


def _known_scale(type: str | None, texts: pl.Series) -> str | None:
    """`decimal` with as many digits behind the point as the sample has."""
    if type != "decimal":
        return type
    scale = texts.str.extract(r"\.(\d+)$").str.len_bytes().max()
    return f"decimal(38,{min(int(scale or 0), 37)})"  # type: ignore[arg-type]
