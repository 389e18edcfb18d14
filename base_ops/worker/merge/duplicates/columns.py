"""What kind of thing each column holds, found from its values; and its values in the one form that is compared.

Names of columns play no part. Of every column that is compared the table `records(id, …)` holds `c<n>`, its values
in canonical form, and what its kind needs besides (`t<n>`: list of words, `d<n>`: date, `n<n>`: number).

    kind       found when                                    canonical form
    date       a date type, or texts that parse as dates     yyyymmdd
    email      x@y                                           lower case
    number     a number with a fraction, or followed by %    the number
    code       mostly digits or mixed, one word              letters and digits alone
    category   few distinct values                           as name
    name       one or two words                              lower case, no accents, words of letters and digits
    text       more words                                    as name
    ignore     no two values differ, or a number of the row itself (all differ, and are alike but for digits)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from base_ops.data_ingestion.options.duplicates import ColumnKind
from base_ops.worker.merge.duplicates.records import Input, literal

_DATE_FORMATS = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S")
_MOST = 0.9
"""Share of a column's values that must be of a kind."""
_FEW = 60
"""A category has at most so many distinct values …"""
_COMMON = 20
"""… each of which occurs so often on average."""
PLAIN = "trim(regexp_replace(lower(strip_accents({})), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"
"""SQL of a text in lower case, without accents, its words of letters and digits a space apart."""


@dataclass(frozen=True)
class Column:
    """A column that is compared."""

    number: int
    name: str
    kind: ColumnKind
    date_format: str | None = None

    @property
    def value(self) -> str:
        """The column of canonical values in `records`."""
        return f"c{self.number}"

    @property
    def extra(self) -> dict[str, str]:
        """Further columns of `records`: name → SQL over `c<n>`."""
        n = self.number
        if self.kind == "date":
            return {f"d{n}": f"try_strptime(c{n}, '%Y%m%d')"}
        if self.kind == "number":
            return {f"n{n}": f"try_cast(c{n} AS DOUBLE)"}
        if self.kind in ("text", "name"):
            return {f"t{n}": f"list_sort(list_distinct(string_split(c{n}, ' ')))"}
        if self.kind == "email":
            return {f"t{n}": f"split_part(c{n}, '@', 1)"}
        return {}

    def canonical(self) -> str:
        """SQL: the canonical form of `v<n>`; null where nothing is left."""
        text = f"v{self.number}::VARCHAR"
        lower = f"lower(strip_accents({text}))"
        made = {
            "date": _date(text, self.date_format),
            "email": f"trim({lower})",
            "number": f"regexp_extract(replace({text}, ',', ''), '[-+]?[0-9]*\\.?[0-9]+')",
            "code": f"regexp_replace({lower}, '[^\\p{{L}}\\p{{N}}]', '', 'g')",
        }.get(self.kind, PLAIN.format(text))
        return f"nullif({made}, '')"


def compared(given: Input, kinds: dict[str, ColumnKind], leave_out: set[str]) -> list[Column]:
    """Find the kinds of all columns and create `records`.

    Args:
        kinds: what is known already.
        leave_out: columns that are never compared.
    """
    for name in kinds:
        given.column(name, "probabilistic.columns")
    columns = []
    for number, (name, dtype) in enumerate(given.schema.items()):
        if name in leave_out or dtype.is_nested() or dtype in (pl.Binary, pl.Object) or kinds.get(name) == "ignore":
            continue
        column = _examine(given, number, name, dtype, kinds.get(name))
        if column.kind != "ignore":
            columns.append(column)
    _create(given, columns)
    return columns


@dataclass(frozen=True)
class _Facts:
    """Counts over the distinct values of a column."""

    filled: int
    distinct: int
    emails: int
    numbers: int
    measures: int
    """Numbers with a fraction, a per cent or a currency sign."""
    coded: int
    """Values of which digits are a good part."""
    words: float
    """Mean number of words."""
    shapes: int
    """Values that differ in more than their digits."""
    least: int | None
    greatest: int | None
    date_format: str | None = field(kw_only=True)

    @property
    def numbers_rows(self) -> bool:
        """Whether values that are all different only count the rows: in sequence, or alike but for their digits."""
        if self.numbers == self.distinct and self.least is not None and self.greatest is not None:
            return self.greatest - self.least < 2 * self.distinct
        return self.coded > 0 and self.shapes <= max(self.distinct // 100, 3)


def _examine(given: Input, number: int, name: str, dtype: pl.DataType, wanted: ColumnKind | None) -> Column:
    facts = _facts(given, number)
    kind = wanted or _kind(facts, dtype, given.rows)
    return Column(number, name, kind, facts.date_format)


def _facts(given: Input, number: int) -> _Facts:
    text = f"trim(v{number}::VARCHAR)"
    dates = [f"count(*) FILTER ({_plausible_date('x', f)})" for f in _DATE_FORMATS]
    digits = "len(regexp_replace(x, '[^0-9]', '', 'g'))"
    alphanumeric = "len(regexp_replace(x, '[^\\p{L}\\p{N}]', '', 'g'))"
    sql = f"""SELECT coalesce(sum(n), 0)::BIGINT, count(*),
        count(*) FILTER (regexp_matches(x, '^[^@\\s]+@[^@\\s]+$')),
        count(*) FILTER (regexp_matches(x, '^[-+]?[$€£]?\\s*[0-9,]*[0-9](\\.[0-9]+)?\\s*%?$')),
        count(*) FILTER (regexp_matches(x, '\\.[0-9]|%|[$€£]')),
        count(*) FILTER ({digits} > 0 AND {digits} >= 0.4 * {alphanumeric}),
        coalesce(avg(len(string_split_regex(x, '[^\\p{{L}}\\p{{N}}]+'))), 0),
        count(DISTINCT regexp_replace(x, '[0-9]+', '0', 'g')),
        min(try_cast(x AS BIGINT)), max(try_cast(x AS BIGINT)), {", ".join(dates)}
        FROM (SELECT {text} AS x, count(*) AS n FROM input WHERE {text} != '' GROUP BY 1)"""
    row = given.connection.execute(sql).fetchall()[0]
    fitting = row[-len(_DATE_FORMATS) :]
    most = max(fitting)
    date_format = _DATE_FORMATS[fitting.index(most)] if most and most >= _MOST * row[1] else None
    return _Facts(*row[: -len(_DATE_FORMATS)], date_format=date_format)


def _kind(facts: _Facts, dtype: pl.DataType, rows: int) -> ColumnKind:
    distinct, most = facts.distinct, _MOST * facts.distinct
    if distinct < 2:
        return "ignore"
    if dtype in (pl.Date, pl.Datetime) or facts.date_format:
        return "date"
    if facts.emails >= most:
        return "email"
    if distinct == facts.filled == rows and facts.numbers_rows:
        return "ignore"
    if dtype.is_float() or dtype.is_decimal() or (facts.numbers >= most and facts.measures >= 0.5 * distinct):
        return "number"
    if distinct <= _FEW and facts.filled >= _COMMON * distinct:
        return "category"
    if facts.coded >= 0.8 * distinct and facts.words < 4:
        return "code"
    return "name" if facts.words < 2.3 else "text"


def _plausible_date(text: str, date_format: str) -> str:
    parsed = f"try_strptime({text}, {literal(date_format)})"
    shape = f"len({text}) = 8" if date_format == "%Y%m%d" else "true"
    return f"{shape} AND year({parsed}) BETWEEN 1850 AND 2150"


def _date(text: str, date_format: str | None) -> str:
    digits = f"regexp_replace({text}, '[^0-9]', '', 'g')"
    if date_format is None or date_format.startswith("%Y"):
        return f"left({digits}, 8)"
    return f"coalesce(strftime(try_strptime(trim({text}), {literal(date_format)}), '%Y%m%d'), {digits})"


def _create(given: Input, columns: list[Column]) -> None:
    values = ", ".join(["id", *(f"{c.canonical()} AS {c.value}" for c in columns)])
    extra = ", ".join(["*", *(f"{sql} AS {name}" for c in columns for name, sql in c.extra.items())])
    given.connection.execute(f"CREATE OR REPLACE TABLE records AS SELECT {extra} FROM (SELECT {values} FROM input)")
    for column in columns:
        if column.kind == "text":
            _weigh_words(given, column.number)


def _weigh_words(given: Input, number: int) -> None:
    """Put before each word of `t<n>` its weight, two digits, the greater the rarer; their sum in `w<n>`."""
    t = f"t{number}"
    weight = f"least(greatest(ceil(ln({given.rows} / count(*)) * 7), 1), 99)::INT"
    given.connection.execute(
        f"""CREATE OR REPLACE TABLE records AS
        WITH words AS (SELECT id, unnest({t}) AS word FROM records),
        weighed AS (SELECT word, printf('%02d', {weight}) || word AS weighed FROM words GROUP BY word),
        texts AS (SELECT id, list(weighed ORDER BY word) AS words, sum(left(weighed, 2)::INT) AS total
            FROM words JOIN weighed USING (word) GROUP BY id)
        SELECT records.* REPLACE (words AS {t}), total AS w{number} FROM records LEFT JOIN texts USING (id)"""
    )
