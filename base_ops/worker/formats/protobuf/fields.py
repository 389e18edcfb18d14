"""What becomes of each field of a message: an Arrow type, and a function that makes its values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
from google.protobuf import json_format

from base_ops.core.errors import BadInput
from base_ops.worker.formats.records.values import Refused

MAX_DEPTH = 32
_MAX_COLUMNS = 10_000
_BINARY, _TEXT = pa.large_binary(), pa.large_string()
_SCALARS: dict[int, pa.DataType] = {  # by FieldDescriptor.TYPE_*
    1: pa.float64(),
    2: pa.float32(),
    **dict.fromkeys((3, 16, 18), pa.int64()),
    **dict.fromkeys((4, 6), pa.uint64()),
    **dict.fromkeys((5, 15, 17), pa.int32()),
    **dict.fromkeys((7, 13), pa.uint32()),
    8: pa.bool_(),
    9: _TEXT,
    12: _BINARY,
}
_STRING, _ENUM = 9, 14
_WRAPPERS = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
_JSON = ("Struct", "Value", "ListValue")
_GOOGLE = "google.protobuf."
_UNITS = {"us": 1_000, "ns": 1}
_INT64 = 1 << 63
_SECONDS = (-62_135_596_800, 253_402_300_799)

Make = Callable[[Any], Any]


@dataclass(frozen=True)
class Kind:
    """How the values of a field are kept; `make` raises Refused."""

    type: pa.DataType
    make: Make


@dataclass(frozen=True)
class Column:
    """One column: the path of its field, and how its values are kept."""

    path: tuple[str, ...]
    fields: tuple[Any, ...]
    kind: Kind


class Kinds:
    """The kinds of a message type's fields; timestamps and durations in `unit` (us or ns)."""

    def __init__(self, source: str, unit: str) -> None:
        self._source, self._unit = source, unit

    def columns(self, message: Any, flatten: bool) -> list[Column]:
        """Raises: BadInput where a type is recursive, or there are too many columns."""
        found: list[Column] = []
        for column in self._columns(message, flatten, (), (), (message.full_name,)):
            found.append(column)
            if len(found) > _MAX_COLUMNS:
                _unsupported(self._source, f"A message of more than {_MAX_COLUMNS} columns")
        return found

    def _columns(
        self, message: Any, flatten: bool, path: tuple[str, ...], fields: tuple[Any, ...], inside: tuple[str, ...]
    ) -> Iterator[Column]:
        for field in message.fields:
            here = (*path, field.name)
            if flatten and _is_plain_message(field):
                deeper = self._inside(field.message_type, inside)
                yield from self._columns(field.message_type, flatten, here, (*fields, field), deeper)
            else:
                yield Column(here, (*fields, field), self._field(field, inside))

    def _inside(self, message: Any, inside: tuple[str, ...]) -> tuple[str, ...]:
        if message.full_name in inside:
            _unsupported(self._source, f"The recursive message {message.full_name!r}")
        if len(inside) >= MAX_DEPTH:
            _unsupported(self._source, f"Messages nested more than {MAX_DEPTH} levels deep")
        return (*inside, message.full_name)

    def _field(self, field: Any, inside: tuple[str, ...]) -> Kind:
        if _is_map(field):
            return self._map(field, inside)
        one = self._one(field, inside)
        return _repeated(one) if field.is_repeated else one

    def _map(self, field: Any, inside: tuple[str, ...]) -> Kind:
        entry = field.message_type.fields_by_name
        key, value = self._one(entry["key"], inside), self._one(entry["value"], inside)
        type = pa.large_list(pa.struct([pa.field("key", key.type), pa.field("value", value.type)]))
        return Kind(type, lambda m: [{"key": key.make(k), "value": value.make(m[k])} for k in m])

    def _one(self, field: Any, inside: tuple[str, ...]) -> Kind:
        if field.type == _ENUM:
            names = field.enum_type.values_by_number
            return Kind(_TEXT, lambda n: names[n].name if n in names else str(n))
        if field.message_type is None:
            return Kind(_SCALARS[field.type], _text if field.type == _STRING else _same)
        message = field.message_type
        known = self._known(message) if message.full_name.startswith(_GOOGLE) else None
        return known or self._message(message, self._inside(message, inside))

    def _message(self, message: Any, inside: tuple[str, ...]) -> Kind:
        if not message.fields:
            return Kind(pa.bool_(), lambda _: True)
        kinds = {f.name: (f.has_presence, self._field(f, inside)) for f in message.fields}
        type = pa.struct([pa.field(name, kind.type) for name, (_, kind) in kinds.items()])
        if _leaves(type) > _MAX_COLUMNS:
            _unsupported(self._source, f"A message of more than {_MAX_COLUMNS} fields")

        def make(value: Any) -> dict[str, Any]:
            return {
                name: None if tells and not value.HasField(name) else kind.make(getattr(value, name))
                for name, (tells, kind) in kinds.items()
            }

        return Kind(type, make)

    def _known(self, message: Any) -> Kind | None:
        """Google's own types that mean more than their fields."""
        name = message.full_name.removeprefix(_GOOGLE)
        if name == "Timestamp":
            return Kind(pa.timestamp(self._unit, "UTC"), lambda m: self._nanos(m, _SECONDS, "timestamp"))
        if name == "Duration":
            return Kind(pa.duration(self._unit), lambda m: self._nanos(m, (-315_576_000_000, 315_576_000_000), name))
        if name in _JSON:
            return Kind(_TEXT, _json)
        if name.removesuffix("Value") in _WRAPPERS and name.endswith("Value"):
            return Kind(_SCALARS[message.fields_by_name["value"].type], lambda m: m.value)
        return None

    def _nanos(self, value: Any, seconds: tuple[int, int], what: str) -> int:
        divisor = _UNITS[self._unit]
        whole, rest = divmod(value.seconds * 10**9 + value.nanos, divisor)
        if not seconds[0] <= value.seconds <= seconds[1] or abs(value.nanos) >= 10**9:
            raise Refused("type", f"the {what.lower()} is not possible")
        if rest or not -_INT64 <= whole < _INT64:
            raise Refused("type", f"the {what.lower()} does not fit {self._unit} in 64 bits")
        return int(whole)


def needs_nanos(value: Any) -> bool:
    """Whether a message holds, at any depth, a Timestamp or Duration finer than microseconds."""
    if value.DESCRIPTOR.full_name in (f"{_GOOGLE}Timestamp", f"{_GOOGLE}Duration"):
        return bool(value.nanos % 1000)
    for field, found in value.ListFields():
        if field.message_type is None:
            continue
        if _is_map(field):
            if field.message_type.fields_by_name["value"].message_type and any(needs_nanos(found[k]) for k in found):
                return True
        elif any(needs_nanos(m) for m in (found if field.is_repeated else (found,))):
            return True
    return False


def _is_map(field: Any) -> bool:
    return bool(field.is_repeated and field.message_type and field.message_type.GetOptions().map_entry)


def _is_plain_message(field: Any) -> bool:
    """Whether this is one message of fields that can be columns of their own."""
    message = field.message_type
    if message is None or field.is_repeated or not message.fields:
        return False
    return not message.full_name.startswith(_GOOGLE) or message.full_name == f"{_GOOGLE}FieldMask"


def _repeated(one: Kind) -> Kind:
    make = list if one.make is _same else lambda values: [one.make(v) for v in values]
    return Kind(pa.large_list(one.type), make)


def _same(value: Any) -> Any:
    return value


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):  # proto2 does not check
        raise Refused("encoding", "a text is not UTF-8")
    return value


def _json(value: Any) -> str:
    try:
        return json.dumps(json_format.MessageToDict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (json_format.Error, ValueError, RecursionError):
        raise Refused("type", "a value of google.protobuf.Struct that JSON cannot hold") from None


def _leaves(type: pa.DataType) -> int:
    if pa.types.is_struct(type):
        return sum(_leaves(f.type) for f in type)
    return _leaves(type.value_type) if pa.types.is_large_list(type) else 1


def _unsupported(source: str, what: str) -> NoReturn:
    raise BadInput(
        f"{what} cannot be kept as columns",
        code="unsupported_type",
        where=source,
        todo="declare another message type, or use nested: keep",
    )
