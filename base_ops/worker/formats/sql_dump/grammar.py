"""The forms of SQL that a dump is made of, as regular expressions for each dialect; all of them run in linear time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_IDENTIFIER = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|\[(?:[^\]]|\]\])*\]|[^\W\d][\w$#@]*)"
NAME = rf"{_IDENTIFIER}(?:\s*\.\s*{_IDENTIFIER})*"
_COLUMNS = rf"\(\s*({_IDENTIFIER}(?:\s*,\s*{_IDENTIFIER})*+)\s*\)"
_TAGGED = r"\$(?:\$.*?\$\$|([^\W\d]\w*)\$.*?\$\1\$)"
_LOOSELY_TAGGED = r"\$\w*+\$.*?\$\w*+\$"
_PART = re.compile(_IDENTIFIER)
_FLAGS = re.I | re.S
_OPENED, _COMMA = re.compile(r"\s*+\(\s*+"), re.compile(r"\s*+,")
_ONE_PATTERN = 32
"""Values of a row that one pattern matches."""

INSERT = re.compile(
    rf"(?:INSERT|REPLACE)\b\s*+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OR\s+\w+)\s+)*+(?:INTO\s+)?"
    rf"({NAME})\s*+(?:{_COLUMNS}\s*+)?(?:OVERRIDING\s+\w+\s+VALUE\s*+)?VALUES?(?=\W)",
    _FLAGS,
)
COPY = re.compile(rf"COPY\s+({NAME})\s*+(?:{_COLUMNS}\s*+)?FROM\s+stdin\b([^;]*);[ \t\r]*\n", _FLAGS)
CREATE_TABLE = re.compile(rf"CREATE\s+(?:\w+\s+){{0,3}}?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?({NAME})\s*\(", _FLAGS)
HAS_BODY = re.compile(
    r"CREATE\s+(?:OR\s+\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:\w+\s+)?"
    r"(?:TRIGGER|FUNCTION|PROCEDURE|PACKAGE|EVENT|TYPE)\b|DECLARE\b|BEGIN\s+(?!TRAN|;|WORK)\w",
    _FLAGS,
)
STATEMENT = r"(?:INSERT|REPLACE|COPY|CREATE|DROP|ALTER|SET|USE|GO|LOCK|UNLOCK|PRINT|EXEC|COMMIT|BEGIN|PRAGMA|REM)\b"
RESYNC = re.compile(rf"\n(?={STATEMENT}|--|/\*)", re.I)


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a name, without their quotes."""
    return tuple(_unquoted(part) for part in _PART.findall(readable(name)))


def readable(text: str) -> str:
    """With U+FFFD for bytes that are not of the dump's encoding."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unquoted(part: str) -> str:
    if part[0] == "[":
        return part[1:-1].replace("]]", "]")
    return part[1:-1].replace(part[0] * 2, part[0]) if part[0] in '`"' else part


@dataclass(frozen=True)
class Row:
    """A row as a match of a pattern tells it."""

    _start: int
    _values: tuple[str, ...]
    _end: int

    def start(self, _: int) -> int:
        """Of the first value."""
        return self._start

    def groups(self) -> tuple[str, ...]:
        """The values."""
        return self._values

    def end(self) -> int:
        """Behind the comma."""
        return self._end


@dataclass(frozen=True)
class Grammar:
    """The forms of one dialect."""

    dialect: str
    space: re.Pattern[str]
    """White space and whole comments."""
    statement: re.Pattern[str]
    """As many whole tokens as there are before the statement's end."""
    any_row: re.Pattern[str]
    """Anything in balanced parentheses."""
    step: re.Pattern[str]
    """One value and what follows it: a comma or the closing parenthesis."""
    literal: str
    """One literal or call of a function."""
    value: str
    """Literals joined by ||."""

    def row(self, width: int) -> Callable[[str, int], Row | re.Match[str] | None]:
        """What matches parentheses around `width` values, one group each, and the comma behind."""
        if width <= _ONE_PATTERN:
            return _row(self.value, width).match
        return lambda text, at: self._wide_row(text, at, width)

    def _wide_row(self, text: str, at: int, width: int) -> Row | None:
        """Value by value: a pattern with very many groups takes seconds to compile."""
        values: list[str] = []
        opened = _OPENED.match(text, at)
        at = start = opened.end() if opened else at
        while opened is not None and len(values) < width and (found := self.step.match(text, at)):
            values.append(found[1])
            at = found.end()
            if found[2] == ")":
                comma = _COMMA.match(text, at)
                return Row(start, tuple(values), comma.end() if comma else at) if len(values) == width else None
        return None


@lru_cache(maxsize=64)
def _row(value: str, width: int) -> re.Pattern[str]:
    values = r"\s*+,\s*+".join([f"({value})"] * width)
    return re.compile(rf"\s*+\(\s*+{values}\s*+\)(?:\s*+,)?+", _FLAGS)


@lru_cache(maxsize=8)
def grammar_of(dialect: str) -> Grammar:
    """The forms of mysql, postgresql, sqlite, sqlserver, oracle or ansi."""
    escaped = r"'(?:[^'\\]++|\\.|'')*+'"
    plain = escaped if dialect == "mysql" else r"'(?:[^']++|'')*+'"
    strings = [plain]
    if dialect == "postgresql":
        strings = [rf"[eE]{escaped}", _TAGGED, plain]
    if dialect == "oracle":
        strings = [r"[nN]?[qQ]'(?:\[.*?\]|\{.*?\}|\(.*?\)|<.*?>|([^\s\[{(<]).*?\1)'", plain]
    names = [r"`[^`]*+`", r'"(?:[^"\\]++|\\.|"")*+"' if dialect == "mysql" else r'"[^"]*+"']
    if dialect == "sqlserver":
        names.append(r"\[[^\]]*+\]")
    comments = [r"--[^\n]*+\n", r"/\*.*?\*/"]
    if dialect == "mysql":
        comments = [r"--(?=\s)[^\n]*+\n", r"#[^\n]*+\n", r"/\*.*?\*/"]
    tokens = "|".join([*comments, *strings, *names, r"[^\W\d][\w$]*+", r"\d\w*+"])
    opening = "'\"`" + ("[" if dialect == "sqlserver" else "") + ("$" if dialect == "postgresql" else "")
    opening += "#" if dialect == "mysql" else ""
    other = rf"[^\w;\n/\-{re.escape(opening)}]++|/(?!\*)|-(?!-)"
    if dialect == "mysql":
        other += r"|-(?=-\S)"
    if dialect == "postgresql":
        other += r"|\$(?=\d|\W)"
    line_end = rf"\n(?!\s*+{STATEMENT})" if dialect == "sqlserver" else r"\n"
    anything = rf"(?:{tokens}|{other}|{line_end})*+"
    inner = rf"{_ungrouped(tokens, _LOOSELY_TAGGED)}|[^\w()/\-{re.escape(opening)}]++|/(?!\*)|-(?!-)"
    deep = inner
    for _ in range(4):
        deep = rf"{inner}|\((?:{deep})*+\)"
    literal = _literal([_ungrouped(text) for text in strings], dialect, deep)
    value = literal if dialect == "mysql" else rf"(?:{literal}(?:\s*+\|\|\s*+{literal})*+)"
    return Grammar(
        dialect,
        re.compile(rf"(?:\s++|{'|'.join(comments)})*+", re.S),
        re.compile(anything, _FLAGS),
        re.compile(rf"\s*+\((?:{deep})*+\)", _FLAGS),
        re.compile(rf"\s*+({value})\s*+([,)])", _FLAGS),
        literal,
        value,
    )


def _literal(strings: list[str], dialect: str, inner: str) -> str:
    number = r"[-+]?\s*+(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?+(?![\w.])"
    literals = [
        *strings,
        number,
        r"NULL\b|TRUE\b|FALSE\b",
        rf"(?:[nNxXbB]|_[a-z]\w*+\s*+|DATE\s*+|TIMESTAMP\s*+|TIME\s*+){strings[-1]}",
        r"0x[0-9a-fA-F]*+\b",
        rf"(?!NULL\b)[^\W\d][\w.]*+\s*+\((?:{inner})*+\)",
    ]
    if dialect == "mysql":
        literals.insert(1, r'"(?:[^"\\]++|\\.|"")*+"')
    cast = r"(?:::\s*+[\w. \"]++(?:\(\s*+\d++(?:\s*+,\s*+\d++)?+\s*+\))?+(?:\s*+\w++)*+(?:\[\])*+)*+"
    return rf"(?:{'|'.join(literals)}){cast if dialect == 'postgresql' else ''}"


def _ungrouped(pattern: str, dollar: str = r"\$\$.*?\$\$") -> str:
    """A pattern that is repeated cannot hold groups: dollar quotes with a tag and q'' are matched by their ends."""
    pattern = pattern.replace(_TAGGED, dollar)
    return pattern.replace(r"|([^\s\[{(<]).*?\1", r"|!.*?!|~.*?~|\|.*?\||\^.*?\^|#.*?#")
