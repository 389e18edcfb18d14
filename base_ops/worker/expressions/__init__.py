"""SQL conditions and values over columns, translated into polars expressions by a table of our own.

The text is parsed by sqlglot and walked; only the nodes listed below are known, everything else is refused with
its place in the text, so an expression can neither read a file nor call anything. Meaning:

- Three-valued logic: a comparison with null is null; `and`, `or`, `not` follow Kleene.
- Integers and decimals are exact: `+ - *` on them never wrap (128 bits), a literal such as 0.05 is a decimal.
  A float on either side makes the operation float64, as does `/` always; x / 0 is infinite or NaN.
- `//` and `%` are for integers and decimals: truncated towards zero, the remainder has the sign of the dividend,
  and a divisor of 0 gives null.
- NaN equals NaN and is greater than every number. `round` goes half away from zero.
- `least` and `greatest` leave nulls out; `coalesce`, `nullif`, `case` as in the SQL standard.
- A quoted literal next to a date or timestamp is read as one (ISO 8601; a text without offset next to a column with
  a time zone is local time there). date - date is whole days; date_diff counts boundaries passed.
- Text functions count code points; `trim` takes blanks away, nothing else; the pattern of `like` is a literal.

The answers equal DuckDB's (a test compares them), except that there an overflow or a zero divisor is an error.
"""

from __future__ import annotations

import polars as pl

from base_ops.worker.expressions import dates, logic, numbers, texts  # noqa: F401  (they fill the table of nodes)
from base_ops.worker.expressions.compiler import Compiler, bad_expression

__all__ = ["compile_condition", "compile_expression"]


def compile_expression(sql: str, schema: pl.Schema) -> pl.Expr:
    """Translate a SQL scalar expression over the columns of `schema`.

    Raises:
        ConfigError: the text is not understood, uses something unknown, or does not fit the columns' types.
    """
    return Compiler(sql, schema).compile().expr


def compile_condition(sql: str, schema: pl.Schema) -> pl.Expr:
    """As `compile_expression`, for a text that must be true, false or null."""
    value = Compiler(sql, schema).compile()
    if value.dtype not in (pl.Boolean, pl.Null):
        raise bad_expression(
            sql, "is not a condition", code="not_a_condition", expected="true or false", found=str(value.dtype)
        )
    return value.expr.cast(pl.Boolean)
