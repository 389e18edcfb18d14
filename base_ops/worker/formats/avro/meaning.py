"""What the values of the wire mean: polars expressions from wire types to the types of `schema.dtype_of`.

Below the top level expressions are strict: what does not fit raises. At the top level it becomes null, so that its
row can be refused.
"""

from __future__ import annotations

import polars as pl

from base_ops.worker.formats.avro.schema import Node, dtype_of

_DAY_MS, _DAY_US = 86_400_000, 86_400_000_000
_SAME = ("null", "boolean", "float", "double", "bytes", "fixed")


def meant(value: pl.Expr, node: Node, strict: bool = True) -> pl.Expr:
    """The values of a node, from its wire values."""
    if not _changes(node):
        return value
    if node.logical == "time-millis":
        return _clock(value, _DAY_MS, 1_000_000, strict)
    if node.logical == "time-micros":
        return _clock(value, _DAY_US, 1_000, strict)
    if node.logical == "duration":
        parts = zip((0, 4, 8), ("months", "days", "milliseconds"), strict=True)
        return _struct(value, [_little(value.bin.slice(at, 4)).alias(name) for at, name in parts])
    if node.logical == "uuid" and node.kind == "fixed":
        text = value.bin.encode("hex")
        parts_ = [text.str.slice(at, length) for at, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
        return pl.concat_str(parts_, separator="-")
    if node.kind == "enum":
        return _symbol(value, node, strict)
    if node.kind in ("int", "long"):
        narrow = value.cast(pl.Int32, strict=strict) if node.kind == "int" else value
        return narrow.cast(dtype_of(node))
    if node.kind == "string":
        return value.cast(pl.String, strict=strict)
    if node.kind == "array" and node.item is not None:
        return value.list.eval(meant(pl.element(), node.item))
    if node.kind == "map" and node.item is not None:
        entry = pl.element().struct
        parts_ = [entry.field("key").cast(pl.String), meant(entry.field("value"), node.item).alias("value")]
        return value.list.eval(pl.struct(parts_))
    return _struct(value, [meant(value.struct.field(f.name), f.node).alias(f.name) for f in node.choices])


def _changes(node: Node) -> bool:
    """Whether wire values are not the values already."""
    if node.logical == "decimal":
        return False
    if node.kind == "map":
        return True
    if node.item is not None:
        return _changes(node.item)
    if node.kind in ("record", "union"):
        return any(_changes(f.node) for f in node.choices)
    return bool(node.logical) or node.kind not in (*_SAME, "long")


def _struct(value: pl.Expr, parts: list[pl.Expr]) -> pl.Expr:
    return pl.when(value.is_not_null()).then(pl.struct(parts))


def _little(four: pl.Expr) -> pl.Expr:
    return four.bin.reinterpret(dtype=pl.UInt32, endianness="little")


def _clock(value: pl.Expr, day: int, nanos: int, strict: bool) -> pl.Expr:
    fits = value.is_between(0, day - 1)
    if strict:  # negative, so that the cast raises
        return pl.when(fits).then(value * nanos).when(value.is_not_null()).then(-1).cast(pl.UInt64).cast(pl.Time)
    return pl.when(fits).then(value * nanos).cast(pl.Time)


def _symbol(value: pl.Expr, node: Node, strict: bool) -> pl.Expr:
    known = list(range(len(node.symbols)))
    if strict:
        return value.replace_strict(known, list(node.symbols), return_dtype=pl.String)
    return value.replace_strict(known, list(node.symbols), default=None, return_dtype=pl.String)
