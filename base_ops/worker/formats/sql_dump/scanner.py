"""Walks through a dump statement by statement, in bounded memory: rows, definitions of tables, and what is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from base_ops.core.errors import BadInput
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.sql_dump.events import BATCH_ROWS, HELD_CHARS, Broken, Definition, Event, Name, Rows
from base_ops.worker.formats.sql_dump.grammar import (
    COPY,
    CREATE_TABLE,
    HAS_BODY,
    INSERT,
    RESYNC,
    STATEMENT,
    Grammar,
    parts_of,
    readable,
)
from base_ops.worker.formats.sql_dump.text import Text

_LOOK_AHEAD = 1 << 16
_SHOWN = 1024
_DEFINITION_CHARS = 1 << 20
_STATEMENT_CHARS = 64
_MOST_BROKEN = 100
"""Finding the end of each may take looking through all that is held."""
_CLAUSE = re.compile(r"(ON|RETURNING|AS|SELECT)\b", re.I)
_ROWS_EXPECTED = re.compile(r"(INSERT|REPLACE|COPY)\b", re.I)
_NEXT_STATEMENT = re.compile(rf";\s*\n{STATEMENT}", re.I)
_BEGINS_STATEMENT = re.compile(STATEMENT, re.I)
_BODY_LINES = {
    "sqlserver": re.compile(r"^[ \t]*GO[ \t\r]*$", re.I | re.M),
    "oracle": re.compile(r"^/[ \t\r]*$", re.M),
}
_BODY_END = re.compile(r"END\b[^;\n]*;", re.I)
_CLIENT_LINE = re.compile(
    r"DELIMITER[ \t]+(\S+)[^\n]*|(?:GO|/|REM\b[^\n]*|\\[^\n]*|SET DEFINE[^\n]*|PROMPT\b[^\n]*)(?=\s|$)", re.I
)


class Scanner:
    """The events of one dump.

    Args:
        wanted: of which tables rows are handed out whole; of others they are only counted (values are left empty).
        limit: characters of a row or another token at most.
    """

    def __init__(
        self,
        chunks: Iterator[str],
        grammar: Grammar,
        wanted: Callable[[Name], bool],
        limit: int,
        max_columns: int,
    ) -> None:
        self._text, self._grammar, self._wanted = Text(chunks), grammar, wanted
        self._limit, self._max_columns = limit, max_columns
        self._delimiter = ";"
        self._widths: dict[Name, int] = {}
        self._given_up = 0

    @property
    def chars(self) -> int:
        """Characters read so far."""
        return self._text.read

    def events(self) -> Iterator[Event]:
        """Raises: BadInput where a COPY block has no end."""
        text = self._text
        while self._skip_space():
            text.need(_LOOK_AHEAD)
            if self._client_line():
                continue
            data, at = text.data, text.at
            if found := INSERT.match(data, at):
                yield from self._insert(found)
            elif found := COPY.match(data, at):
                yield from self._copy(found)
            elif found := CREATE_TABLE.match(data, at):
                yield from self._definition(found)
            else:
                if _ROWS_EXPECTED.match(data, at):
                    reason = "a form of the statement that is not read"
                    yield _broken(None, text.line, "statement", reason, data[at : at + _SHOWN])
                event = self._skip_statement(body=self._has_body(data, at))
                if event is not None:
                    yield event

    def _has_body(self, data: str, at: int) -> bool:
        return self._grammar.dialect not in ("postgresql", "mysql") and HAS_BODY.match(data, at) is not None

    # -- between statements

    def _skip_space(self, *, semicolons: bool = True) -> bool:
        """Pass over white space and comments; False at the end."""
        text = self._text
        while True:
            if text.left < 2:
                text.need(_LOOK_AHEAD)
            found = self._grammar.space.match(text.data, text.at)
            text.move(found.end() if found else text.at)
            rest = text.data[text.at : text.at + 2]
            if rest == "/*":
                self._drop_until("*/")
            elif rest == "--" or (rest[:1] == "#" and self._grammar.dialect == "mysql"):
                self._drop_until("\n")
            elif rest[:1] == ";" and semicolons:
                text.move(text.at + 1)
            elif rest or not text.more():
                return bool(rest)

    def _drop_until(self, end: str) -> None:
        """Pass over a comment of any length."""
        text = self._text
        while (found := text.data.find(end, text.at)) < 0:
            text.move(max(text.at, len(text.data) - 1))
            if not text.more():
                text.move(len(text.data))
                return
        text.move(found + len(end))

    def _client_line(self) -> bool:
        r"""Lines that are meant for the client: DELIMITER ;; and GO and \restrict and / and REM."""
        text = self._text
        found = _CLIENT_LINE.match(text.data, text.at)
        if found is None:
            return False
        if found[1]:
            self._delimiter = found[1]
        text.move(found.end())
        return True

    # -- INSERT

    def _insert(self, found: re.Match[str]) -> Iterator[Event]:
        text = self._text
        table, columns = parts_of(found[1]), parts_of(found[2]) if found[2] else None
        text.move(found.end())
        is_over = False
        while not is_over:
            rows = Rows(table, columns, is_copy=False)
            is_over, broken = self._usual_rows(rows)
            if rows.lines:
                yield rows
            if not is_over and len(rows.lines) < BATCH_ROWS and rows.chars < HELD_CHARS:
                is_over, broken = self._odd_row(table, columns)
            yield from broken

    def _usual_rows(self, rows: Rows) -> tuple[bool, list[Broken]]:
        """Take rows of the usual form; returns whether the statement is over, and what is broken behind them."""
        text, wanted = self._text, self._wanted(rows.table)
        width = len(rows.columns) if rows.columns else self._width(rows.table)
        if width is None:
            return False, []
        self._check_width(rows.table, width)
        match = self._grammar.row(width)
        while len(rows.lines) < BATCH_ROWS and rows.chars < HELD_CHARS:
            data, begin = text.data, text.at
            at = last = begin
            line, is_last = text.line, False
            while not is_last and len(rows.lines) < BATCH_ROWS and (found := match(data, at)):
                start = found.start(1)
                line += data.count("\n", last, start)
                rows.lines.append(line)
                rows.values.append(found.groups() if wanted else ())
                at, last = found.end(), start
                is_last = data[at - 1] != ","
            rows.chars += at - begin
            text.move(at)
            if not is_last:
                return False, []
            is_over, broken = self._behind_row(rows.table)
            if is_over:
                return True, broken
        return False, []

    def _check_width(self, table: Name, width: int) -> None:
        if width > self._max_columns:
            raise BadInput(
                "The dump holds rows with too many columns",
                code="too_many_columns",
                where=f"table {'.'.join(table)[:200]}, line {self._text.line}",
                expected=f"at most {self._max_columns:,}",
                found=f"{width:,}",
                todo="if that is right, raise read.max_columns",
            )

    def _behind_row(self, table: Name) -> tuple[bool, list[Broken]]:
        """Go behind the comma, or to the statement's end; returns whether it is over, and what is wrong there."""
        text = self._text
        if not self._skip_space(semicolons=False):
            return True, []
        text.need(_STATEMENT_CHARS)
        if text.data[text.at] == ",":
            text.at += 1
            return False, []
        if _CLAUSE.match(text.data, text.at):
            event = self._skip_statement()
            return True, [event] if event else []
        if text.data[text.at] == ";" or text.data.startswith(self._delimiter, text.at):
            return True, []
        if _CLIENT_LINE.match(text.data, text.at) or _BEGINS_STATEMENT.match(text.data, text.at):
            return True, []
        return True, [self._give_up(table, text.line, "the statement goes on behind a row in a way that is not known")]

    def _width(self, table: Name) -> int | None:
        """Values of the first row of a table without a list of columns."""
        if table not in self._widths:
            self._text.need(_LOOK_AHEAD)
            found = self._grammar.any_row.match(self._text.data, self._text.at)
            width = None if found is None else self._count(found[0])
            if width is None:
                return None
            self._widths[table] = width
        return self._widths[table]

    def _count(self, row: str) -> int | None:
        """Values in a row; None where one is no literal."""
        at, count = row.index("(") + 1, 0
        while found := self._grammar.step.match(row, at):
            at, count = found.end(), count + 1
            if found[2] == ")":
                return count
        return None

    def _odd_row(self, table: Name, columns: tuple[str, ...] | None) -> tuple[bool, list[Broken]]:
        """Refuse the row that comes next, or the rest of the statement; or read on, where there is more to read."""
        text = self._text
        if not self._skip_space(semicolons=False):
            return True, [self._cut_off(table)]
        line = text.line
        if text.data[text.at] != "(":
            return True, [self._give_up(table, line, "the statement cannot be read from here on")]
        found = self._grammar.any_row.match(text.data, text.at)
        if found is None:
            if text.left <= self._limit and text.more():
                return False, []
            return True, [self._without_end(table, line)]
        if _NEXT_STATEMENT.search(found[0]):
            return True, [self._give_up(table, line, "a text or parenthesis has no end")]
        count = self._count(found[0])
        text.move(found.end())
        width = len(columns) if columns else self._widths.get(table, 0)
        rule, reason = "expression", "a value is neither a literal nor a function that can be read"
        if count is not None:
            rule, reason = "ragged", f"{count} values where {width} columns are"
        is_over, more = self._behind_row(table)
        return is_over, [_broken(table, line, rule, reason, found[0]), *more]

    def _without_end(self, table: Name | None, line: int) -> Broken:
        """A text or parenthesis is open at the end of the dump or of what may be held of it."""
        text = self._text
        if text.left > self._limit:
            reason = f"something is longer than max_record_bytes={self._limit}, or has no end"
            return self._give_up(table, line, reason)
        if _NEXT_STATEMENT.search(text.data, text.at):
            return self._give_up(table, line, "a text or parenthesis has no end")
        return self._cut_off(table)

    def _cut_off(self, table: Name | None) -> Broken:
        text = self._text
        line, raw = text.line, text.data[text.at : text.at + _SHOWN]
        text.move(len(text.data))
        return _broken(table, line, "truncated", "the dump ends within the statement", raw)

    def _give_up(self, table: Name | None, line: int, reason: str) -> Broken:
        """Refuse the rest of a statement: the next one begins at the beginning of a line."""
        text = self._text
        self._given_up += 1
        if self._given_up > _MOST_BROKEN:
            raise BadInput(
                "The dump is damaged: too many statements cannot be read",
                code="damaged",
                where=f"line {line}",
                expected=f"at most {_MOST_BROKEN} broken statements",
                found=reason,
                todo="check read.sql_dump.dialect, or fetch the object again",
            )
        broken = _broken(table, line, "statement", reason, text.data[text.at : text.at + _SHOWN])
        self._drop_past(RESYNC)
        return broken

    # -- COPY

    def _copy(self, found: re.Match[str]) -> Iterator[Event]:
        text = self._text
        table, columns = parts_of(found[1]), parts_of(found[2]) if found[2] else None
        is_text = not re.search(r"csv|binary|delimiter|null|header|\bas\b", found[3], re.I)
        if not is_text:
            yield _broken(table, text.line, "statement", "COPY in another form than text", found[0])
        text.move(found.end())
        while True:
            end = 0 if text.data.startswith("\\.", text.at) else text.data.find("\n\\.", text.at) + 1
            is_last = end > 0 or text.data.startswith("\\.", text.at)
            end = max(end, text.at) if is_last else text.data.rfind("\n", text.at) + 1
            if end > text.at and is_text:
                yield from self._copied(table, columns, text.data[text.at : end])
            text.move(max(end, text.at))
            if is_last:
                self._drop_until("\n")
                return
            if text.left > self._limit:
                reason = f"the record is longer than max_record_bytes={self._limit}"
                yield _broken(table, text.line, "record_too_long", reason, text.data[text.at :][:_SHOWN])
                self._drop_until("\n")
            elif not text.more():
                raise BadInput(
                    "The dump ends within the rows of a COPY",
                    code="truncated",
                    where=f"table {'.'.join(table)}, line {text.line}",
                    expected="a line with \\.",
                    todo="fetch the object again",
                )

    def _copied(self, table: Name, columns: tuple[str, ...] | None, block: str) -> Iterator[Event]:
        lines = block.split("\n")[:-1]
        rows = Rows(table, columns, is_copy=True)
        width = len(columns) if columns else self._widths.setdefault(table, lines[0].count("\t") + 1)
        self._check_width(table, width)
        if not self._wanted(table):
            rows.lines, rows.values = list(range(len(lines))), [()] * len(lines)
            yield rows
            return
        for number, line in enumerate(lines, self._text.line):
            values = line.removesuffix("\r").split("\t")
            if len(values) == width:
                rows.values.append(tuple(values))
                rows.lines.append(number)
            else:
                yield _broken(table, number, "ragged", f"{len(values)} values where {width} columns are", line)
        if rows.lines:
            yield rows

    # -- what holds no rows

    def _definition(self, found: re.Match[str]) -> Iterator[Event]:
        text = self._text
        while True:
            whole = self._grammar.statement.match(text.data, text.at)
            end = whole.end() if whole else text.at
            if end < len(text.data) and text.data[end] in ";\n":
                yield Definition(parts_of(found[1]), readable(text.data[text.at : end]))
                text.move(end)
                return
            if text.left > _DEFINITION_CHARS or not text.more():
                break
        if (event := self._skip_statement()) is not None:
            yield event

    def _skip_statement(self, *, body: bool = False) -> Broken | None:
        """Go behind the end of a statement; one that has none is told."""
        text, first = self._text, self._text.line
        if self._delimiter != ";":
            self._drop_until(self._delimiter)
            return None
        if body and (end := _BODY_LINES.get(self._grammar.dialect)) is not None:
            self._drop_past(end)
            return None
        while True:
            found = self._grammar.statement.match(text.data, text.at)
            text.move(found.end() if found else text.at)
            mark = text.data[text.at : text.at + 1]
            if mark == ";":
                text.move(text.at + 1)
                if not body or self._ends_body():
                    return None
            elif mark == "\n":
                return None
            elif text.left > self._limit or not text.more():
                return self._without_end(None, first) if mark else None

    def _drop_past(self, end: re.Pattern[str]) -> None:
        """Pass over everything up to a mark that is no longer than _STATEMENT_CHARS."""
        text = self._text
        while (found := end.search(text.data, text.at)) is None:
            text.move(max(text.at, len(text.data) - _STATEMENT_CHARS))
            if not text.more():
                text.move(len(text.data))
                return
        text.move(found.end())

    def _ends_body(self) -> bool:
        """Behind a semicolon inside a trigger or procedure: whether its end is reached."""
        text = self._text
        if not self._skip_space(semicolons=False):
            return True
        text.need(_STATEMENT_CHARS)
        if found := _BODY_END.match(text.data, text.at):
            text.move(found.end())
            return True
        return False


def _broken(table: Name | None, line: int, rule: str, reason: str, raw: str) -> Broken:
    shown = raw[:_SHOWN].encode("utf-8", "replace")
    return Broken(table, Rejected(line, rule, reason, raw=shown))
