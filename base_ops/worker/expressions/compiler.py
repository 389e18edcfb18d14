"""The compiler: parses a text, walks its tree, and leaves each node to its translation in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.literals import moment_of

_MAX_CHARS = 10_000
_MAXNODES = 5_000
_MAX_DEPTH = 100


FUNCTIONS = (
    "abs", "ceil", "coalesce", "contains", "date_diff", "day", "dayofweek", "ends_with", "extract", "floor", "greatest",
    "hour", "if", "isnan", "least", "left", "length", "lower", "minute", "month", "nullif", "quarter",
    "regexp_full_match", "regexp_matches", "right", "round", "second", "starts_with", "substring", "trim", "upper",
    "year",
)  # fmt: skip
"""What may be called, for messages."""


@dataclass(frozen=True)
class Value:
    """A translated part: its expression, its type, and the constant where it is a literal."""

    expr: pl.Expr
    dtype: pl.DataType
    constant: int | Decimal | float | str | bool | None = None


def bad_expression(sql: str, what: str, *, code: str = "bad_expression", **details: Any) -> ConfigError:
    """The error for an expression, which is quoted."""
    return ConfigError(f"The expression {sql!r} {what}", code=code, **details)


class Compiler:
    def __init__(self, sql: str, schema: pl.Schema) -> None:
        self.sql = sql
        self.schema = pl.Schema({name: dtype for name, dtype in schema.items() if name != POINTER})

    def compile(self) -> Value:
        value = self.value(self._parse())
        try:  # types that do not go together show on one row of nulls
            pl.DataFrame(schema=self.schema).clear(1).select(value.expr.alias("value"))
        except pl.exceptions.PolarsError as error:
            raise self.refuse(f"does not fit the columns' types: {str(error).splitlines()[0]}") from None
        return value

    def _parse(self) -> exp.Expr:
        if len(self.sql) > _MAX_CHARS:
            raise self.refuse(f"is longer than {_MAX_CHARS} characters")
        try:
            tree = sqlglot.parse_one(self.sql, read="duckdb")
        except SqlglotError as error:
            raise self._syntax_error(error) from None
        except RecursionError:
            raise self.refuse("is nested too deeply") from None
        level, nodes = [tree], 0
        for _ in range(_MAX_DEPTH):
            nodes += len(level)
            level = [child for node in level for child in node.iter_expressions()]
            if not level or nodes > _MAXNODES:
                break
        if level:
            raise self.refuse(f"is too big: at most {_MAX_DEPTH} levels and {_MAXNODES} parts")
        return tree

    def _syntax_error(self, error: SqlglotError) -> ConfigError:
        for fault in getattr(error, "errors", None) or ():
            place = f"line {fault['line']}, character {fault['col']}, at {fault['highlight']!r}"
            return bad_expression(self.sql, "cannot be parsed", where=place, found=str(fault["description"]))
        return bad_expression(
            self.sql, "cannot be parsed", found=str(error).splitlines()[0] if str(error) else "nothing"
        )

    def refuse(self, what: str, node: exp.Expr | None = None, **details: Any) -> ConfigError:
        return bad_expression(self.sql, what, where=self.place(node) if node is not None else "", **details)

    def place(self, node: exp.Expr) -> str:
        starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        text = node.sql(dialect="duckdb")
        return f"{text[:80]!r}" + (f", character {min(starts) + 1}" if starts else "")

    def value(self, node: exp.Expr) -> Value:
        """Translate a node of the tree."""
        known = NODES.get(type(node))
        if known is None:
            word = node.name if isinstance(node, exp.Anonymous) else type(node).__name__.lower()
            hint = did_you_mean(word.lower(), FUNCTIONS) if isinstance(node, exp.Func) else ""
            raise self.refuse(f"uses {word!r}, which is not allowed", node, code="unknown_token", todo=hint)
        translate, allowed = known
        for name, argument in node.args.items():
            if argument and name not in allowed:  # an option that would be lost in silence
                raise self.refuse(f"uses the option {name!r}, which is not allowed here", node, code="unknown_token")
        return translate(self, node)

    def make(self, expr: pl.Expr) -> Value:
        try:
            dtype = pl.LazyFrame(schema=self.schema).select(expr.alias("value")).collect_schema()["value"]
        except pl.exceptions.PolarsError as error:
            raise self.refuse(f"does not fit the columns' types: {str(error).splitlines()[0]}") from None
        return Value(expr, dtype)

    # -- operands

    def condition(self, node: exp.Expr) -> pl.Expr:
        return self._of_kind(node, lambda t: t == pl.Boolean, "a condition").expr

    def text(self, node: exp.Expr) -> pl.Expr:
        return self._of_kind(node, lambda t: t == pl.String, "text").expr

    def number(self, node: exp.Expr) -> Value:
        return self._of_kind(node, lambda t: t.is_numeric(), "a number")

    def moment(self, node: exp.Expr) -> Value:
        return self._of_kind(node, lambda t: t == pl.Date or t == pl.Datetime, "a date or timestamp")

    def _of_kind(self, node: exp.Expr, fits: Callable[[pl.DataType], bool], kind: str) -> Value:
        value = self.value(node)
        if value.dtype != pl.Null and not fits(value.dtype):
            raise self.refuse("does not fit the columns' types", node, expected=kind, found=str(value.dtype))
        return value

    def constant(self, node: exp.Expr | None, kind: type) -> Any:
        """The value of a literal that must be one, e.g. the pattern of `like`."""
        value = self.value(node) if node is not None else None
        if value is None or not isinstance(value.constant, kind) or isinstance(value.constant, bool):
            raise self.refuse(f"needs a literal ({kind.__name__}) here", node)
        return value.constant

    def same_kind(self, node: exp.Expr, *values: Value) -> list[Value]:
        """Bring operands to one type that loses nothing; refuse what only a guess could compare."""
        dtypes = [v.dtype for v in values if v.dtype != pl.Null]
        moments = [t for t in dtypes if t == pl.Date or t == pl.Datetime]
        if moments:
            values = tuple(self._as_moment(node, v, moments[0]) for v in values)
        elif dtypes and all(t.is_numeric() for t in dtypes):
            target = _common_number(dtypes)
            values = tuple(v if v.dtype in (target, pl.Null) else self._cast(v, target) for v in values)
        elif len({str(t) for t in dtypes}) > 1:
            found = ", ".join(str(t) for t in dtypes)
            raise self.refuse("compares or mixes types that do not go together", node, found=found)
        return list(values)

    def _cast(self, value: Value, target: pl.DataType) -> Value:
        if isinstance(value.constant, (int, Decimal)) and target.is_float():
            return Value(pl.lit(float(value.constant), dtype=target), target, value.constant)
        return Value(value.expr.cast(target), target, value.constant)

    def _as_moment(self, node: exp.Expr, value: Value, dtype: pl.DataType) -> Value:
        if isinstance(value.constant, str):
            wide = pl.Datetime("us") if dtype == pl.Date and len(value.constant) > 10 else dtype
            return Value(pl.lit(moment_of(value.constant, wide, self.place(node)), dtype=wide), wide)
        if value.dtype != pl.Null and value.dtype not in (pl.Date, pl.Datetime):
            raise self.refuse("compares a time with another type", node, found=str(value.dtype))
        return value


def _common_number(dtypes: list[pl.DataType]) -> pl.DataType:
    if any(t.is_float() for t in dtypes):
        return pl.Float32() if all(t == pl.Float32 for t in dtypes) else pl.Float64()
    if any(t.is_decimal() for t in dtypes):
        return pl.Decimal(38, max(t.scale for t in dtypes if isinstance(t, pl.Decimal)))
    if len({str(t) for t in dtypes}) == 1:
        return dtypes[0]
    wide = (pl.UInt64, pl.Int128, pl.UInt128)
    return pl.Int128() if any(t in wide for t in dtypes) else pl.Int64()


# -- the table of nodes

Translate = Callable[[Compiler, Any], Value]
NODES: dict[type[exp.Expr], tuple[Translate, frozenset[str]]] = {}


def node_of(*kinds: type[exp.Expr], args: str = "this expression") -> Callable[[Translate], Translate]:
    def register(translate: Translate) -> Translate:
        NODES.update({kind: (translate, frozenset(args.split())) for kind in kinds})
        return translate

    return register
