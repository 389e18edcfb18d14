"""Schema resolution (Avro specification, "Schema Resolution"): the writer's values as the reader's schema wants them.

Fields go by name or alias; a field the writer does not have gets its default, one the reader does not have is not
read. Numbers widen (a long that a float cannot hold refuses its row), bytes and texts are exchanged, a symbol the
reader's enum does not know becomes its default. Unions of several types are not resolved: they must be the same.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.formats.avro.meaning import meant
from base_ops.worker.formats.avro.schema import Field, Node, dtype_of, parse_schema

_WIDER = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_OPTION = "read.avro.reader_schema"


def reader_schema(text: str) -> Node:
    """The reader's schema. Raises: ConfigError where it is none."""
    try:
        json.loads(text)
        return parse_schema(text, _OPTION)
    except (ValueError, BadInput) as error:
        found = error.text() if isinstance(error, BadInput) else str(error)
        raise ConfigError(f"{_OPTION} is no Avro schema", code="bad_schema", where=_OPTION, found=found) from None


def field_of(writer: Node, wanted: Field) -> int | None:
    """Index of the writer's field for a field of the reader."""
    names = [f.name for f in writer.fields]
    return next((names.index(n) for n in (wanted.name, *wanted.aliases) if n in names), None)


def resolved(value: pl.Expr, writer: Node, reader: Node, where: str, strict: bool = True) -> pl.Expr:
    """The writer's values as those of the reader.

    Raises:
        BadInput: the schemas do not go together.
    """
    if writer.is_nullable and not reader.is_nullable and strict:
        _incompatible(where, "null is possible", "a value")
    if writer.kind == "null":
        return pl.lit(None, dtype_of(reader))
    if _same(writer, reader):
        return value
    if reader.kind in _WIDER.get(writer.kind, ()) and not reader.logical and not writer.logical:
        return _widened(value, writer, reader)
    if writer.kind != reader.kind or writer.logical != reader.logical:
        _incompatible(where, _title(writer), _title(reader))
    if writer.kind == "enum":
        return _symbols(value, reader, strict)
    if writer.kind == "array" and writer.item and reader.item:
        return value.list.eval(resolved(pl.element(), writer.item, reader.item, f"{where}[]"))
    if writer.kind == "map" and writer.item and reader.item:
        entry = pl.element().struct
        item = resolved(entry.field("value"), writer.item, reader.item, f"{where}{{}}")
        return value.list.eval(pl.struct(entry.field("key"), item.alias("value")))
    if writer.kind == "record":
        parts = [_field(value, writer, field, where) for field in reader.fields]
        return pl.when(value.is_not_null()).then(pl.struct(parts))
    _incompatible(where, _title(writer), _title(reader))


def _same(writer: Node, reader: Node) -> bool:
    """Whether both have the same values (nullable or not)."""
    if (writer.kind, writer.logical) != (reader.kind, reader.logical) or len(writer.fields) != len(reader.fields):
        return False
    if writer.kind == "enum":
        return set(writer.symbols) <= set(reader.symbols)
    if (writer.size, writer.precision, writer.scale) != (reader.size, reader.precision, reader.scale):
        return False
    if writer.item is not None and reader.item is not None:
        return _same(writer.item, reader.item) and writer.item.is_nullable <= reader.item.is_nullable
    pairs = zip(writer.fields, reader.fields, strict=True)
    return all(
        w.name == r.name and _same(w.node, r.node) and w.node.is_nullable <= r.node.is_nullable for w, r in pairs
    )


def _widened(value: pl.Expr, writer: Node, reader: Node) -> pl.Expr:
    made = value.cast(dtype_of(reader))
    if reader.kind in ("float", "double") and writer.kind in ("int", "long"):
        back = made.cast(pl.Float64).cast(dtype_of(writer), strict=False)
        made = pl.when(back == value).then(made)
    return made


def _symbols(value: pl.Expr, reader: Node, strict: bool) -> pl.Expr:
    known = value.is_in(list(reader.symbols))
    if reader.symbol is not None:
        return pl.when(known).then(value).when(value.is_not_null()).then(pl.lit(reader.symbol))
    if strict:
        return value.replace_strict(list(reader.symbols), list(reader.symbols), return_dtype=pl.String)
    return pl.when(known).then(value)


def _field(value: pl.Expr, writer: Node, wanted: Field, where: str) -> pl.Expr:
    index = field_of(writer, wanted)
    if index is None:
        return default(wanted, where).alias(wanted.name)
    have = writer.fields[index]
    found = value.struct.field(have.name)
    return resolved(found, have.node, wanted.node, f"{where}.{wanted.name}").alias(wanted.name)


def default(wanted: Field, where: str) -> pl.Expr:
    """The default of a field that the writer does not have. Raises: BadInput where there is none."""
    if not wanted.has_default:
        _incompatible(f"{where}.{wanted.name}", "no such field", "one, since there is no default")
    node = wanted.node
    if wanted.default is None and node.is_nullable:
        return pl.lit(None, dtype_of(node))
    try:
        wire = pl.DataFrame([pl.Series("d", [_wire_value(wanted.default, node)])])
        made = wire.select(meant(pl.col("d"), node).cast(dtype_of(node))).to_series()
    except (pl.exceptions.PolarsError, ValueError, TypeError, AttributeError, OverflowError):
        _incompatible(f"{where}.{wanted.name}", f"the default {str(wanted.default)[:50]}", _title(node))
    return pl.lit(made).first()


def _wire_value(value: Any, node: Node) -> Any:
    if node.kind in ("bytes", "fixed") and node.logical != "decimal":
        return value.encode("latin-1")
    if node.kind == "string":
        return value.encode()
    if node.kind == "enum":
        return node.symbols.index(value)
    plain = node.kind in ("boolean", "int", "long", "float", "double") and node.kind != "null"
    if not plain or isinstance(value, list | dict) or (node.kind == "boolean") != isinstance(value, bool):
        raise ValueError("only defaults of plain types are possible")
    return value


def _title(node: Node) -> str:
    return (
        f"{node.logical or node.kind}({node.precision},{node.scale})" if node.precision else node.logical or node.kind
    )


def _incompatible(where: str, found: str, expected: str) -> NoReturn:
    raise BadInput(
        "The writer's schema does not resolve to the reader's",
        code="incompatible_schema",
        where=where,
        expected=expected,
        found=found,
        todo=f"correct {_OPTION}, or the source",
    )
