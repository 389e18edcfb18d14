"""Arithmetic: exact on integers and decimals, float64 otherwise."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
from sqlglot import exp

from base_ops.worker.expressions.compiler import Compiler, Value, node_of


@node_of(exp.Neg, args="this")
def _negative(c: Compiler, node: exp.Neg) -> Value:
    value = c.number(node.this)
    if isinstance(value.constant, (int, Decimal, float)):
        return Value(pl.lit(-value.constant, dtype=value.dtype), value.dtype, -value.constant)
    return c.make(_minus(_wide(value)))


@node_of(exp.Add, exp.Sub, exp.Mul)
def _arithmetic(c: Compiler, node: exp.Binary) -> Value:
    left, right = c.value(node.this), c.value(node.expression)
    if isinstance(node, exp.Sub) and pl.Date in (left.dtype, right.dtype):
        left, right = c.same_kind(node, left, right)
        if left.dtype == right.dtype == pl.Date:
            return c.make((left.expr - right.expr).dt.total_days())
        raise c.refuse("subtracts timestamps", node, todo="use date_diff('second', start, end)")
    left, right = c.number(node.this), c.number(node.expression)
    if isinstance(node, exp.Mul) and isinstance(left.dtype, pl.Decimal) and not right.dtype.is_float():
        return c.make(_exact_product(left, right))
    if isinstance(node, exp.Mul) and isinstance(right.dtype, pl.Decimal) and not left.dtype.is_float():
        return c.make(_exact_product(right, left))
    left, right = c.same_kind(node, left, right)
    a, b = _wide(left), _wide(right)
    return c.make(a + b if isinstance(node, exp.Add) else a - b if isinstance(node, exp.Sub) else a * b)


def _minus(expr: pl.Expr) -> pl.Expr:
    return pl.lit(0) - expr  # polars has no negation of 128-bit integers


def _wide(value: Value) -> pl.Expr:
    """Integers in a type that one operation cannot overflow (polars wraps in silence)."""
    if not value.dtype.is_integer():
        return value.expr
    narrow = value.dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)
    return value.expr.cast(pl.Int64 if narrow else pl.Int128)


def _exact_product(left: Value, right: Value) -> pl.Expr:
    """polars rounds a product to the greater scale of its factors: give it the sum of both."""
    scale = sum(t.scale for t in (left.dtype, right.dtype) if isinstance(t, pl.Decimal))
    factor = right.expr if isinstance(right.dtype, pl.Decimal) else right.expr.cast(pl.Decimal(38, 0))
    return left.expr.cast(pl.Decimal(38, min(scale, 38))) * factor


@node_of(exp.Div, args="this expression typed safe")
def _divide(c: Compiler, node: exp.Div) -> Value:
    left, right = (c.number(e).expr.cast(pl.Float64) for e in (node.this, node.expression))
    return c.make(left / right)


@node_of(exp.IntDiv, exp.Mod)
def _whole_division(c: Compiler, node: exp.Binary) -> Value:
    left, right = c.same_kind(node, c.number(node.this), c.number(node.expression))
    if left.dtype.is_float():
        raise c.refuse("divides floats with // or %", node, todo="use round(), or give the column a decimal type")
    a, b = _wide(left), _wide(right)
    b = pl.when(b != 0).then(b)
    quotient = a.abs() // b.abs()
    quotient = pl.when((a < 0) == (b < 0)).then(quotient).otherwise(_minus(quotient))
    if isinstance(node, exp.IntDiv):
        return c.make(quotient)
    rest = a.abs() % b.abs()
    return c.make(pl.when(a < 0).then(_minus(rest)).otherwise(rest))


@node_of(exp.Abs, args="this")
def _abs(c: Compiler, node: exp.Abs) -> Value:
    return c.make(_wide(c.number(node.this)).abs())


@node_of(exp.Floor, exp.Ceil, args="this")
def _floor_ceil(c: Compiler, node: exp.Floor | exp.Ceil) -> Value:
    value = c.number(node.this).expr
    return c.make(value.floor() if isinstance(node, exp.Floor) else value.ceil())


@node_of(exp.Round, args="this decimals")
def _round(c: Compiler, node: exp.Round) -> Value:
    digits = c.constant(node.args["decimals"], int) if node.args.get("decimals") is not None else 0
    if not 0 <= digits <= 15:
        raise c.refuse("rounds to an unusual number of digits", node, expected="0 to 15")
    return c.make(c.number(node.this).expr.round(digits, mode="half_away_from_zero"))


@node_of(exp.IsNan, args="this")
def _is_nan(c: Compiler, node: exp.IsNan) -> Value:
    value = c.number(node.this)
    return c.make(value.expr.is_nan() if value.dtype.is_float() else value.expr.is_null() & pl.lit(None))
