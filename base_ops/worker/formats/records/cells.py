"""Cells: one decoded JSON value as the Python value of an Arrow type, exactly, or Refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from base_ops.worker.exact_floats import is_kept
from base_ops.worker.formats.records.values import FloatText, IntText, Refused, SpecialFloat, kind_of, to_json

Cast = Callable[[Any], Any]


class Notes:
    """What casting met that is no fault, but must not pass in silence."""

    def __init__(self) -> None:
        self.unknown = False
        """The last value held keys, inside an array or struct, that its type does not have."""
        self.texts = 0
        """Values of other kinds that were kept as JSON text in a text column."""


def caster(type: pa.DataType, notes: Notes) -> Cast:
    """The function that makes a non-null decoded value a cell of `type`; raises Refused (rule `type`)."""
    if pa.types.is_string(type):
        return _text(notes)
    if pa.types.is_boolean(type):
        return _boolean
    if pa.types.is_large_binary(type):
        return _bytes
    if pa.types.is_integer(type):
        return _integer(type.bit_width)
    if pa.types.is_floating(type):
        return _float
    if pa.types.is_decimal(type):
        return _decimal(type.precision, type.scale)
    if pa.types.is_list(type):
        return _list(type, notes)
    if pa.types.is_struct(type):
        return _struct(type, notes)
    raise TypeError(f"no JSON value becomes {type}")


def _wrong(value: Any, expected: str) -> Refused:
    return Refused("type", f"expected {expected}, found {kind_of(value)}")


def _text(notes: Notes) -> Cast:
    def cast(value: Any) -> str:
        if type(value) is str:
            return value
        notes.texts += 1
        return str(value) if type(value) is SpecialFloat else to_json(value)

    return cast


def _boolean(value: Any) -> bool:
    if value is not True and value is not False:
        raise _wrong(value, "a boolean")
    return bool(value)


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _wrong(value, "bytes")
    return value


def _integer(bits: int) -> Cast:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def cast(value: Any) -> int:
        if type(value) is not IntText:
            found = "a number with a fraction or exponent" if type(value) is FloatText else kind_of(value)
            raise Refused("type", f"expected an integer, found {found}")
        number = int(value) if len(value) <= 20 else high + 1
        if not low <= number <= high:
            raise Refused("type", f"the integer does not fit {bits} bits")
        return number

    return cast


def _float(value: Any) -> float:
    if type(value) is SpecialFloat:
        return float(value)
    if type(value) is not FloatText and type(value) is not IntText:
        raise _wrong(value, "a number")
    number = float(value)
    if math.isinf(number):
        raise Refused("type", "the number is beyond the range of float64")
    if type(value) is IntText and len(value) > 15 and Decimal(value) != Decimal(number):
        raise Refused("type", "the integer has more digits than a float64 keeps")
    if type(value) is FloatText and not is_kept(value):
        raise Refused("type", "the number has digits that a float64 does not keep; a decimal in read.columns does")
    return number


def _decimal(precision: int, scale: int) -> Cast:
    def cast(value: Any) -> Decimal:
        if type(value) is not FloatText and type(value) is not IntText:
            raise _wrong(value, "a number")
        digits = digits_of(value)
        if digits is None or digits[0] > precision - scale or digits[1] > scale:
            raise Refused("type", f"the number does not fit decimal({precision},{scale})")
        return Decimal(value)

    return cast


def digits_of(text: str) -> tuple[int, int] | None:
    """Digits before and behind the point that a number needs; None where the exponent is absurd."""
    try:
        _, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return None
    if not isinstance(exponent, int) or abs(exponent) > 1000 or len(digits) > 1000:
        return None
    while len(digits) > 1 and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if digits == (0,):
        return 0, 0
    return max(len(digits) + exponent, 0), max(-exponent, 0)


def _list(type: pa.ListType, notes: Notes) -> Cast:
    item = caster(type.value_type, notes)

    def cast(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(value, "an array")
        return [None if child is None else item(child) for child in value]

    return cast


def _struct(type: pa.StructType, notes: Notes) -> Cast:
    fields = {field.name: caster(field.type, notes) for field in type}

    def cast(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(value, "an object")
        notes.unknown |= not value.keys() <= fields.keys()
        return {k: None if value.get(k) is None else field(value[k]) for k, field in fields.items()}

    return cast
