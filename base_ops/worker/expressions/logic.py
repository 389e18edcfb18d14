"""Columns, constants, logic and comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from typing import Any

import polars as pl
from sqlglot import exp

from base_ops.core.errors import did_you_mean
from base_ops.worker.expressions.compiler import Compiler, Value, node_of
from base_ops.worker.literals import moment_of


@node_of(exp.Column, args="this table db catalog")
def _column(c: Compiler, node: exp.Column) -> Value:
    name = ".".join(part.name for part in node.parts)
    if name not in c.schema:
        todo = did_you_mean(name, c.schema.names())
        raise c.refuse(f"names the column {name!r}, which is not there", node, code="unknown_column", todo=todo)
    dtype = c.schema[name]
    if dtype == pl.Categorical or dtype == pl.Enum:
        return Value(pl.col(name).cast(pl.String), pl.String())
    return Value(pl.col(name), dtype)


@node_of(exp.Literal, args="this is_string")
def _literal(c: Compiler, node: exp.Literal) -> Value:
    text = node.name
    if node.is_string:
        return Value(pl.lit(text), pl.String(), text)
    if re.fullmatch(r"\d+", text) and len(text) <= 38:
        small = int(text) < 2**63
        dtype: pl.DataType = pl.Int64() if small else pl.Int128()
        return Value(pl.lit(int(text), dtype=dtype), dtype, int(text))
    if re.fullmatch(r"\d*\.\d*", text) and len(text) <= 38:
        exact = Decimal(text)
        dtype = pl.Decimal(38, max(0, -int(exact.as_tuple().exponent)))
        return Value(pl.lit(exact, dtype=dtype), dtype, exact)
    return Value(pl.lit(float(text)), pl.Float64(), float(text))


@node_of(exp.Boolean, args="this")
def _boolean(c: Compiler, node: exp.Boolean) -> Value:
    return Value(pl.lit(bool(node.this)), pl.Boolean(), bool(node.this))


@node_of(exp.Null, args="")
def _null(c: Compiler, node: exp.Null) -> Value:
    return Value(pl.lit(None), pl.Null())


@node_of(exp.Paren, args="this")
def _paren(c: Compiler, node: exp.Paren) -> Value:
    return c.value(node.this)


@node_of(exp.Cast, args="this to")
def _cast(c: Compiler, node: exp.Cast) -> Value:
    """Only DATE '…' and TIMESTAMP '…': other casts would have to fail or to guess on a bad cell."""
    kinds: dict[Any, pl.DataType] = {exp.DType.DATE: pl.Date(), exp.DType.TIMESTAMPNTZ: pl.Datetime("us")}
    dtype = kinds.get(node.to.this)
    if dtype is None or not (isinstance(node.this, exp.Literal) and node.this.is_string):
        raise c.refuse("uses a cast, which is not allowed", node, code="unknown_token", todo="give the column its type")
    return Value(pl.lit(moment_of(node.this.name, dtype, c.place(node)), dtype=dtype), dtype)


@node_of(exp.And)
def _and(c: Compiler, node: exp.And) -> Value:
    return c.make(c.condition(node.this) & c.condition(node.expression))


@node_of(exp.Or)
def _or(c: Compiler, node: exp.Or) -> Value:
    return c.make(c.condition(node.this) | c.condition(node.expression))


@node_of(exp.Not, args="this")
def _not(c: Compiler, node: exp.Not) -> Value:
    return c.make(~c.condition(node.this).cast(pl.Boolean))


_COMPARISONS: dict[type[exp.Expr], Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.NullSafeEQ: lambda a, b: a.eq_missing(b),
    exp.NullSafeNEQ: lambda a, b: a.ne_missing(b),
}


@node_of(*_COMPARISONS)
def _compare(c: Compiler, node: exp.Binary) -> Value:
    left, right = c.same_kind(node, c.value(node.this), c.value(node.expression))
    return c.make(_COMPARISONS[type(node)](left.expr, right.expr))


@node_of(exp.Is)
def _is(c: Compiler, node: exp.Is) -> Value:
    if isinstance(node.expression, exp.Null):
        return c.make(c.value(node.this).expr.is_null())
    if isinstance(node.expression, exp.Boolean):
        return c.make(c.condition(node.this).eq_missing(pl.lit(bool(node.expression.this))))
    raise c.refuse("uses an `is` that is not allowed", node, expected="is null, is true, is false")


@node_of(exp.Between, args="this low high")
def _between(c: Compiler, node: exp.Between) -> Value:
    value, low, high = c.value(node.this), c.value(node.args["low"]), c.value(node.args["high"])
    above, least = c.same_kind(node, value, low)
    below, most = c.same_kind(node, value, high)
    return c.make((above.expr >= least.expr) & (below.expr <= most.expr))


@node_of(exp.In, args="this expressions")
def _in(c: Compiler, node: exp.In) -> Value:
    if not node.expressions:
        raise c.refuse("uses an `in` without a list", node)
    value, *choices = c.same_kind(node, c.value(node.this), *(c.value(e) for e in node.expressions))
    if value.dtype == pl.String and all(isinstance(v.constant, str) for v in choices):
        return c.make(value.expr.is_in(pl.Series([v.constant for v in choices], dtype=pl.String).implode()))
    return c.make(reduce(lambda a, b: a | b, (value.expr == v.expr for v in choices)))


@node_of(exp.Case, args="this ifs default")
def _case(c: Compiler, node: exp.Case) -> Value:
    branches: list[tuple[pl.Expr, Value]] = []
    for branch in node.args["ifs"]:
        if node.this is None:
            test = c.condition(branch.this)
        else:
            left, right = c.same_kind(node, c.value(node.this), c.value(branch.this))
            test = left.expr == right.expr
        branches.append((test, c.value(branch.args["true"])))
    return _choose(c, node, branches, node.args.get("default"))


@node_of(exp.If, args="this true false")
def _if(c: Compiler, node: exp.If) -> Value:
    return _choose(c, node, [(c.condition(node.this), c.value(node.args["true"]))], node.args.get("false"))


def _choose(c: Compiler, node: exp.Expr, branches: list[tuple[pl.Expr, Value]], default: Any) -> Value:
    last = c.value(default) if default is not None else Value(pl.lit(None), pl.Null())
    *results, last = c.same_kind(node, *(value for _, value in branches), last)
    chosen = last.expr
    for (test, _), result in reversed(list(zip(branches, results, strict=True))):
        chosen = pl.when(test).then(result.expr).otherwise(chosen)
    return c.make(chosen)


@node_of(exp.Coalesce, args="this expressions")
def _coalesce(c: Compiler, node: exp.Coalesce) -> Value:
    values = c.same_kind(node, *(c.value(e) for e in (node.this, *node.expressions)))
    return c.make(pl.coalesce(*(v.expr for v in values)))


@node_of(exp.Nullif)
def _nullif(c: Compiler, node: exp.Nullif) -> Value:
    left, right = c.same_kind(node, c.value(node.this), c.value(node.expression))
    return c.make(pl.when((left.expr == right.expr).fill_null(False)).then(None).otherwise(left.expr))


@node_of(exp.Least, exp.Greatest, args="this expressions ignore_nulls")
def _extreme(c: Compiler, node: exp.Least | exp.Greatest) -> Value:
    values = c.same_kind(node, *(c.value(e) for e in (node.this, *node.expressions)))

    def pick(a: pl.Expr, b: pl.Expr) -> pl.Expr:
        first = a >= b if isinstance(node, exp.Greatest) else a <= b
        return pl.when(b.is_null() | first).then(a).otherwise(b)

    return c.make(reduce(pick, (v.expr for v in values)))
