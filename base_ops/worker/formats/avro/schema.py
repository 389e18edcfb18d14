"""Avro schemas: from JSON text to a tree of nodes, and the polars type each node's values get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import polars as pl

from base_ops.core.errors import BadInput

COLUMN = "base_ops.column"
"""Attribute of a field: the name of its column, where Avro does not allow it."""
MAX_DEPTH = 64
_MAX_NODES = 10_000
_MAX_FIXED = 1 << 20
_PLAIN = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_STAMP_UNITS = {"millis": "ms", "micros": "us", "nanos": "ns"}
LOGICAL = {
    "int": ("date", "time-millis"),
    "long": ("time-micros", *(f"{zone}timestamp-{unit}" for zone in ("", "local-") for unit in _STAMP_UNITS)),
    "string": ("uuid",),
    "bytes": ("decimal",),
    "fixed": ("decimal", "uuid", "duration"),
}
"""Logical types that count, by the type they annotate; others are ignored, as the specification says."""
_DTYPES: dict[str, pl.DataType] = {
    "null": pl.Null(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
    "fixed": pl.Binary(),
    "enum": pl.String(),
    "date": pl.Date(),
    "time-millis": pl.Time(),
    "time-micros": pl.Time(),
    "uuid": pl.String(),
    "duration": pl.Struct({"months": pl.UInt32(), "days": pl.UInt32(), "milliseconds": pl.UInt32()}),
}


@dataclass(frozen=True)
class Node:
    """One type of a schema, as used in one place."""

    kind: str
    logical: str = ""
    branches: tuple[bool, ...] = ()
    """Of a union of this type and (at most) null: which branches are this type, in order; () where there is none."""
    name: str = ""
    """Full name of a record, enum or fixed."""
    fields: tuple[Field, ...] = ()
    """Of a record; of a union of several types its branches, the null branch being a field of kind null."""
    item: Node | None = None
    symbols: tuple[str, ...] = ()
    symbol: str | None = None
    """Default of an enum, for symbols a reader does not know."""
    size: int = 0
    precision: int = 0
    scale: int = 0
    nodes: int = 1
    """This one and all below it."""

    @property
    def is_nullable(self) -> bool:
        has_null = self.kind == "union" and any(f.node.kind == "null" for f in self.fields)
        return has_null or self.kind == "null" or False in self.branches

    @property
    def choices(self) -> tuple[Field, ...]:
        """Fields that hold a value."""
        return self.fields if self.kind == "record" else tuple(f for f in self.fields if f.node.kind != "null")

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for field in self.fields:
            yield from field.node.walk()
        if self.item is not None:
            yield from self.item.walk()

    @property
    def least_bytes(self) -> int:
        """Bytes that every value takes at least."""
        own = {"null": 0, "float": 4, "double": 8, "fixed": self.size}.get(self.kind, 1)
        if self.kind == "record":
            own = sum(f.node.least_bytes for f in self.fields)
        return 1 if self.branches else own


@dataclass(frozen=True)
class Field:
    """A field of a record, or a branch of a union."""

    name: str
    node: Node
    aliases: tuple[str, ...] = ()
    has_default: bool = False
    default: Any = None


def dtype_of(node: Node) -> pl.DataType:
    """The polars type of a node's values."""
    if node.logical == "decimal":
        return pl.Decimal(min(node.precision, 38), node.scale)
    if "timestamp" in node.logical:
        unit: Any = _STAMP_UNITS[node.logical.rsplit("-", 1)[-1]]
        return pl.Datetime(unit, None if node.logical.startswith("local") else "UTC")
    if node.item is not None:
        item = dtype_of(node.item)
        return pl.List(item if node.kind == "array" else pl.Struct({"key": pl.String(), "value": item}))
    if node.kind in ("record", "union"):
        return pl.Struct({f.name: dtype_of(f.node) for f in node.choices})
    return _DTYPES[node.logical or node.kind]


def parse_schema(text: str, source: str) -> Node:
    """The record type of a file; where its schema is another type, a record with that as its one field `value`.

    Raises:
        BadInput: the schema is none, is recursive, or holds a type that cannot be kept.
    """
    try:
        declared = json.loads(text)
        node = _Parser(source).node(declared, "", MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        _no_schema(source, str(error))
    if node.kind == "record" and not node.branches:
        return node
    return Node("record", fields=(Field("value", node),), nodes=node.nodes + 1)


def _no_schema(source: str, found: str) -> NoReturn:
    raise BadInput(
        f"{source} holds no schema that can be used", code="bad_schema", where=source, found=found[:300]
    ) from None


def unsupported(source: str, what: str) -> NoReturn:
    raise BadInput(
        f"{what} cannot be kept as columns",
        code="unsupported_type",
        where=source,
        todo="have the source write another type",
    )


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._known: dict[str, Node | None] = {}
        """Named types; None while they are being defined."""

    def node(self, declared: Any, space: str, depth: int) -> Node:
        if depth == 0:
            unsupported(self._source, f"A schema nested more than {MAX_DEPTH} levels deep")
        if isinstance(declared, list):
            return self._limited(self._union(declared, space, depth))
        if isinstance(declared, str):
            return Node(declared) if declared in _PLAIN else self._named(declared, space)
        if not isinstance(declared, dict) or "type" not in declared:
            raise ValueError(f"{str(declared)[:100]!r} is no type")
        kind = declared["type"]
        if not isinstance(kind, str):  # {"type": {"type": …}}
            return self.node(kind, space, depth - 1)
        return self._limited(self._typed(kind, declared, space, depth))

    def _limited(self, node: Node) -> Node:
        below = sum(f.node.nodes for f in node.fields) + (node.item.nodes if node.item else 0)
        if below >= _MAX_NODES:
            unsupported(self._source, f"A schema of more than {_MAX_NODES} types")
        return replace(node, nodes=below + 1)

    def _named(self, name: str, space: str) -> Node:
        full = name if "." in name or not space else f"{space}.{name}"
        if full not in self._known and name in self._known:
            full = name
        if full not in self._known:
            raise ValueError(f"the type {name[:100]!r} is not known")
        known = self._known[full]
        if known is None:
            unsupported(self._source, f"The recursive type {full!r}")
        return known

    def _typed(self, kind: str, declared: dict[str, Any], space: str, depth: int) -> Node:
        if kind in _PLAIN:
            return self._logical(Node(kind), declared)
        if kind in ("array", "map"):
            item = self.node(declared.get("items" if kind == "array" else "values"), space, depth - 1)
            if kind == "array" and item.least_bytes == 0:
                unsupported(self._source, "An array of values that take no bytes")
            return Node(kind, item=item)
        if kind not in ("record", "error", "enum", "fixed"):
            return self._named(kind, space)
        name, space = _full_name(declared, space)
        self._known[name] = None
        if kind == "enum":
            node = self._enum(name, declared)
        elif kind == "fixed":
            size = declared.get("size")
            if type(size) is not int or not 0 <= size <= _MAX_FIXED:
                raise ValueError(f"the fixed type {name!r} has no possible size")
            node = self._logical(Node("fixed", name=name, size=size), declared)
        else:
            node = self._record(name, declared, space, depth)
        self._known[name] = self._limited(node)
        return node

    def _enum(self, name: str, declared: dict[str, Any]) -> Node:
        symbols, default = declared.get("symbols"), declared.get("default")
        if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
            raise ValueError(f"the enum {name!r} has no symbols")
        return Node("enum", name=name, symbols=tuple(symbols), symbol=default if isinstance(default, str) else None)

    def _record(self, name: str, declared: dict[str, Any], space: str, depth: int) -> Node:
        listed = declared.get("fields")
        if not isinstance(listed, list) or not all(isinstance(f, dict) for f in listed):
            raise ValueError(f"the record {name!r} has no fields")
        fields = []
        for field in listed:
            if not isinstance(field.get("name"), str):
                raise ValueError(f"a field of {name!r} has no name")
            aliases = tuple(a for a in field.get("aliases") or () if isinstance(a, str))
            node = self.node(field.get("type"), space, depth - 1)
            column = field.get(COLUMN)
            title = column if isinstance(column, str) else field["name"]
            fields.append(Field(title, node, aliases, "default" in field, field.get("default")))
        _refuse_repeated([f.name for f in fields], name)
        return Node("record", name=name, fields=tuple(fields))

    def _union(self, declared: list[Any], space: str, depth: int) -> Node:
        nodes = [self.node(branch, space, depth - 1) for branch in declared]
        if not nodes:
            raise ValueError("a union has no branch")
        if any(n.branches or n.kind == "union" for n in nodes):
            raise ValueError("a union holds another one")
        others = [n for n in nodes if n.kind != "null"]
        if len(others) <= 1 and len(nodes) <= 2:
            one = others[0] if others else nodes[0]
            return replace(one, branches=tuple(n is one for n in nodes))
        fields = tuple(Field(n.name or n.kind, n) for n in nodes)
        _refuse_repeated([f.name for f in fields], "union")
        return Node("union", fields=fields)

    def _logical(self, node: Node, declared: dict[str, Any]) -> Node:
        logical = declared.get("logicalType")
        if not isinstance(logical, str) or logical not in LOGICAL.get(node.kind, ()):
            return node
        if logical == "decimal":
            precision, scale = declared.get("precision"), declared.get("scale", 0)
            if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision < 1:
                return node
            if scale > 38:
                unsupported(self._source, f"A decimal of {scale} digits behind the point")
            return replace(node, logical=logical, precision=precision, scale=scale)
        if node.kind == "fixed" and node.size != (12 if logical == "duration" else 16):
            return node
        return replace(node, logical=logical)


def _full_name(declared: dict[str, Any], space: str) -> tuple[str, str]:
    """Full name and namespace of a named type."""
    name, given = declared.get("name"), declared.get("namespace")
    if not isinstance(name, str) or not name:
        raise ValueError("a named type has no name")
    if "." in name:
        return name, name.rpartition(".")[0]
    if isinstance(given, str):
        space = given
    return (f"{space}.{name}" if space else name), space


def _refuse_repeated(names: list[str], where: str) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"a name appears twice in {where!r}")
    if any("\0" in name or not name for name in names):
        raise ValueError(f"a name in {where!r} is not possible")
