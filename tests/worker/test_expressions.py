# ruff: noqa: DTZ001  (columns without a time zone are part of what is tested)
"""Expressions: what they mean (against DuckDB), and everything else refused."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import ConfigError
from base_ops.worker.expressions import compile_condition, compile_expression

SCHEMA = pl.Schema(
    {
        "a": pl.Int64,
        "b": pl.Int32,
        "f": pl.Float64,
        "g": pl.Float64,
        "p": pl.Decimal(12, 4),
        "q": pl.Decimal(10, 2),
        "s": pl.String,
        "t": pl.String,
        "d": pl.Date,
        "ts": pl.Datetime("us"),
        "k": pl.Boolean,
    }
)


def evaluate(sql: str, frame: pl.DataFrame) -> list[object]:
    return frame.select(compile_expression(sql, frame.schema).alias("v"))["v"].to_list()


# -- the same answers as DuckDB

SAME_AS_DUCKDB = """
a < b
a <= 0 or b > 1
a = 1 and not (b = 2)
not k
k is true or k is null
k is not false
a is null
a is not null and f > 0
a is distinct from b
s is not distinct from t
f = g
f > g
f >= 0
f between g and 3
a between -1 and 2
a not between b and 5
a in (1, 2, null)
a not in (1, b)
s in ('x', 'ab')
s not in ('x', null)
f in (0, 1.5)
a + b
a - b * 2
-a
a * b
a / b
f / g
a // b
a % b
p + q
p - q
p * q
p * 2 >= q
p % 0.01 = 0
p > 1.005
p = q
a * 0.5
a > 1.5
f * p
f + a
abs(a)
abs(f)
round(f)
round(f, 1)
round(p, 2)
floor(f)
ceil(f)
coalesce(a, b, 0)
coalesce(f, g)
nullif(a, b)
nullif(s, '')
least(a, b)
greatest(a, b, 0)
greatest(f, g)
least(f, g)
case when a > 1 then 'big' when a is null then 'none' else s end
case a when 1 then 10 when 2 then 20 end
case s when 'x' then 1 else 0 end = 1
if(a > b, a, b)
length(s)
length(s) = 2
upper(s) = 'X'
lower(t)
trim(s)
ltrim(s)
substring(s, 2, 1)
substr(s, 1)
left(s, 1)
right(s, 1)
s || t
s like 'a%'
s like '_b'
s not like '%b%'
s ilike 'A%'
s not ilike 'x'
starts_with(s, 'a')
ends_with(s, t)
contains(s, 'b')
regexp_matches(s, 'b$')
regexp_full_match(s, '[a-z]+')
s < t
s = t
d >= '2024-02-29'
d < date '2024-03-01'
ts >= '2024-02-29 12:00:00'
ts > timestamp '2024-01-01 00:00:00'
d <= ts
d - date '2024-01-01'
year(d) = 2024
extract(month from ts)
extract(dow from d)
extract(isodow from ts)
dayofweek(d)
extract(doy from d)
extract(week from d)
extract(hour from ts)
extract(quarter from ts)
date_diff('day', d, ts)
date_diff('hour', d, ts)
date_diff('minute', ts, d)
isnan(f)
null
a = null
null and k
null or k
""".strip().splitlines()

_text = st.one_of(st.none(), st.sampled_from(["", "x", "ab", "a", "  b ", "Ab", "é", "日本", "a\nb"]))
_float = st.one_of(
    st.none(), st.sampled_from([0.0, 1.5, -1.5, 2.25, -2.5, 0.5, float("inf"), float("nan")]), st.floats(-1e6, 1e6)
)
_row = st.fixed_dictionaries(
    {
        "a": st.one_of(st.none(), st.integers(-3, 3), st.integers(-(10**12), 10**12)),
        "b": st.one_of(st.none(), st.integers(-3, 3), st.integers(-(10**6), 10**6)),
        "f": _float,
        "g": _float,
        "p": st.one_of(st.none(), st.decimals(-1000, 1000, places=4)),
        "q": st.one_of(st.none(), st.decimals(-1000, 1000, places=2)),
        "s": _text,
        "t": _text,
        "d": st.one_of(st.none(), st.dates(date(2023, 12, 1), date(2024, 12, 31))),
        "ts": st.one_of(st.none(), st.datetimes(datetime(2023, 12, 1), datetime(2024, 12, 31))),
        "k": st.one_of(st.none(), st.booleans()),
    }
)


def _number(value: object) -> object:
    """Values as both engines may spell them: 1, 1.0 and Decimal('1.00') are one number."""
    if isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
        return "nan" if value != value else float(f"{float(value):.9g}")
    return value


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set error_on_division_by_zero = false")
    return connection


@pytest.fixture(scope="module")
def compiled() -> dict[str, pl.Expr]:
    return {sql: compile_expression(sql, SCHEMA) for sql in SAME_AS_DUCKDB}


@settings(max_examples=40)
@given(rows=st.lists(_row, min_size=1, max_size=8))
def test_answers_equal_duckdb(
    rows: list[dict[str, object]], duck: duckdb.DuckDBPyConnection, compiled: dict[str, pl.Expr]
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    duck.register("rows", frame.to_arrow())
    ours = frame.select(expr.alias(sql) for sql, expr in compiled.items())
    theirs = duck.sql(f"select {', '.join(f'({sql})' for sql in SAME_AS_DUCKDB)} from rows").fetchall()
    for number, sql in enumerate(SAME_AS_DUCKDB):
        found = [_number(v) for v in ours[sql]]
        expected = [_number(row[number]) for row in theirs]
        assert found == expected, sql


# -- our own decisions


def test_integer_arithmetic_never_wraps() -> None:
    frame = pl.DataFrame({"a": [2**63 - 1], "b": [127]}, schema={"a": pl.Int64, "b": pl.Int8})
    assert evaluate("a + 1", frame) == [2**63]
    assert evaluate("a * 2 > a", frame) == [True]
    assert evaluate("b + b", frame) == [254]


def test_comparison_of_signed_and_unsigned_is_exact() -> None:
    frame = pl.DataFrame({"a": [2**63 - 1], "u": [2**63]}, schema={"a": pl.Int64, "u": pl.UInt64})
    assert evaluate("a < u", frame) == [True]
    assert evaluate("a = u", frame) == [False]


def test_product_of_decimals_is_not_rounded() -> None:
    frame = pl.DataFrame({"p": [Decimal("1.25")]}, schema={"p": pl.Decimal(10, 2)})
    assert evaluate("p * p = 1.5625", frame) == [True]
    assert evaluate("3 * p * 0.5", frame) == [Decimal("1.875")]


def test_zero_divisor() -> None:
    frame = pl.DataFrame({"a": [1, 0], "z": [0, 0]})
    assert evaluate("a // z", frame) == [None, None]
    assert evaluate("a % z", frame) == [None, None]
    assert evaluate("a / z > 1", frame) == [True, True]  # infinite, and NaN which is greater than every number


def test_text_next_to_a_time_is_read_in_the_zone_of_the_column() -> None:
    zurich = ZoneInfo("Europe/Zurich")
    frame = pl.DataFrame(
        {"ts": [datetime(2024, 7, 1, 12, tzinfo=zurich)]}, schema={"ts": pl.Datetime("us", "Europe/Zurich")}
    )
    assert evaluate("ts = '2024-07-01 12:00:00'", frame) == [True]
    assert evaluate("ts = '2024-07-01T10:00:00Z'", frame) == [True]
    assert evaluate("extract(hour from ts)", frame) == [12]


def test_hours_over_a_clock_change_are_real_hours() -> None:
    zone = ZoneInfo("Europe/Zurich")
    frame = pl.DataFrame(
        {"a": [datetime(2024, 3, 31, 0, tzinfo=zone)], "b": [datetime(2024, 4, 1, 0, tzinfo=zone)]},
        schema={"a": pl.Datetime("us", "Europe/Zurich"), "b": pl.Datetime("us", "Europe/Zurich")},
    )
    assert evaluate("date_diff('hour', a, b)", frame) == [23]
    assert evaluate("date_diff('day', a, b)", frame) == [1]


@pytest.mark.parametrize(
    "name", ["close", "open", "date", "timestamp", "time", "value", "rank", "index", "year", "end"]
)
def test_words_of_sql_as_column_names(name: str) -> None:
    assert evaluate(f"{name} >= 1", pl.DataFrame({name: [1, 0]})) == [True, False]


def test_quoted_and_dotted_names() -> None:
    frame = pl.DataFrame({"my col": [1], "a.b": [2]})
    assert evaluate('"my col" < a.b', frame) == [True]
    assert evaluate('"a.b" = 2', frame) == [True]


def test_categories_are_text() -> None:
    frame = pl.DataFrame({"c": ["x", "y"]}, schema={"c": pl.Categorical})
    assert evaluate("c = 'x' and length(c) = 1", frame) == [True, False]


# -- everything else is refused

REFUSED = {
    "": "bad_expression",
    "a +": "bad_expression",
    "1 1": "bad_expression",
    "a xor b": "bad_expression",
    "a; drop table x": "unknown_token",
    "select 1": "unknown_token",
    "(select 1)": "unknown_token",
    "exists(select 1)": "unknown_token",
    "a in (select 1)": "unknown_token",
    "sum(a)": "unknown_token",
    "sum(a) over ()": "unknown_token",
    "foo(a)": "unknown_token",
    "getenv('HOME')": "unknown_token",
    "read_text('/etc/passwd')": "unknown_token",
    "a::int": "unknown_token",
    "cast(a as double)": "unknown_token",
    "try_cast(a as double)": "unknown_token",
    "current_date": "unknown_token",
    "now()": "unknown_token",
    "a = ?": "unknown_token",
    "a = $1": "unknown_token",
    "*": "unknown_token",
    "s[1]": "unknown_token",
    "{'a': 1}": "unknown_token",
    "[1, 2]": "unknown_token",
    "a & b": "unknown_token",
    "a ** b": "unknown_token",
    "d + interval 1 day": "unknown_token",
    "s like any ('a', 'b')": "unknown_token",
    "s like 'a!%' escape '!'": "unknown_token",
    "trim(both 'x' from s)": "unknown_token",
    "zz > 1": "unknown_column",
    "x.a > 1": "unknown_column",
    "s > 1": "bad_expression",
    "k = 'true'": "bad_expression",
    "a and b": "bad_expression",
    "not a": "bad_expression",
    "s + t": "bad_expression",
    "length(a)": "bad_expression",
    "s like t": "bad_expression",
    "substring(s, 0, 1)": "bad_expression",
    "f % 2 = 0": "bad_expression",
    "f // 2": "bad_expression",
    "extract(century from d)": "bad_expression",
    "extract(hour from d)": "bad_expression",
    "date_diff('month', d, ts)": "bad_expression",
    "ts - d": "bad_expression",
    "d > 5": "bad_expression",
    "d > 'tomorrow'": "bad_literal",
    "regexp_matches(s, '(a')": "bad_pattern",
    "regexp_matches(s, 'a(?=b)')": "bad_pattern",
    "(" * 2000 + "a" + ")" * 2000: "bad_expression",
    " and ".join(["k"] * 2000): "bad_expression",
    "a + " * 3000 + "a": "bad_expression",
}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:30])
def test_refused(sql: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_expression(sql, SCHEMA)
    assert caught.value.code == REFUSED[sql]


def test_refusal_names_token_and_place() -> None:
    with pytest.raises(ConfigError, match=r"uses 'foo'.*character 11"):
        compile_expression("a > 1 and foo(b) > 2", SCHEMA)
    with pytest.raises(ConfigError, match=r"'lenght'.*Did you mean 'length'"):
        compile_expression("lenght(s) > 2", SCHEMA)
    with pytest.raises(ConfigError, match=r"'sx'.*character 9.*Did you mean 's'"):
        compile_expression("k    or sx = 'x'", SCHEMA)


def test_pointer_is_not_a_column() -> None:
    with pytest.raises(ConfigError, match="'_line'"):
        compile_expression("_line > 1", pl.Schema({**SCHEMA, "_line": pl.Int64}))


def test_condition_must_be_one() -> None:
    compile_condition("a > 1", SCHEMA)
    with pytest.raises(ConfigError) as caught:
        compile_condition("a + 1", SCHEMA)
    assert caught.value.code == "not_a_condition"
