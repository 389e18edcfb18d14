"""COBOL's forms of numbers, a column at a time: cells of bytes to exact values, and which cells are none.

Sources: IBM Enterprise COBOL for z/OS Programming Guide, "Formats for numeric data"; z/Architecture Principles of
Operation, "Hexadecimal-Floating-Point Instructions"; Micro Focus and GnuCOBOL for overpunched signs in ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from base_ops.worker.formats.fixed_width.chars import column

Cells = NDArray[np.uint8]
"""One row of bytes per record."""
Mask = NDArray[np.bool_]

_INT64_DIGITS = 18
_NONE = 255


@dataclass(frozen=True)
class Digits:
    """Decimal digits, the most significant first, with their signs."""

    digits: NDArray[np.uint8]
    negative: Mask
    bad: Mask


@dataclass(frozen=True)
class Signs:
    """What every byte means at the place of the sign, and elsewhere; 255: nothing."""

    digit: NDArray[np.uint8]
    signed_digit: NDArray[np.uint8]
    negative: Mask
    plus: int
    minus: int


def ebcdic_signs() -> Signs:
    """Zone F is a digit; at the sign C, A, E, F are plus, D, B minus."""
    digit, signed, negative = np.full(256, _NONE, np.uint8), np.full(256, _NONE, np.uint8), np.zeros(256, bool)
    for value in range(10):
        digit[0xF0 + value] = value
        for zone in (0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0):
            signed[zone + value] = value
            negative[zone + value] = zone in (0xB0, 0xD0)
    return Signs(digit, signed, negative, 0x4E, 0x60)


def ascii_signs() -> Signs:
    """At the sign {ABCDEFGHI are plus 0 to 9, }JKLMNOPQR and pqrstuvwxy minus."""
    digit, signed, negative = np.full(256, _NONE, np.uint8), np.full(256, _NONE, np.uint8), np.zeros(256, bool)
    for texts, minus in ((b"0123456789", False), (b"{ABCDEFGHI", False), (b"}JKLMNOPQR", True), (b"pqrstuvwxy", True)):
        for value, byte in enumerate(texts):
            signed[byte], negative[byte] = value, minus
    digit[48:58] = np.arange(10)
    return Signs(digit, signed, negative, ord("+"), ord("-"))


def zoned(cells: Cells, signs: Signs, *, signed: bool, leading: bool = False, separate: bool = False) -> Digits:
    """DISPLAY: a digit per byte; the sign in the first or last, or in a byte of its own."""
    rows = len(cells)
    if signed and separate:
        mark = cells[:, 0] if leading else cells[:, -1]
        digits = signs.digit[cells[:, 1:] if leading else cells[:, :-1]]
        negative = mark == signs.minus
        bad = (digits == _NONE).any(axis=1) | ~(negative | (mark == signs.plus))
        return Digits(digits, negative, bad)
    digits = signs.digit[cells]
    at = 0 if leading and signed else -1
    digits[:, at] = signs.signed_digit[cells[:, at]]
    negative = signs.negative[cells[:, at]] if rows else np.zeros(0, bool)
    bad = (digits == _NONE).any(axis=1)
    return Digits(digits, negative, bad if signed else bad | negative)


def packed(cells: Cells, length: int, *, signed: bool) -> Digits:
    """COMP-3: two digits per byte, the last half byte the sign (C, A, E, F plus; D, B minus)."""
    digits = np.empty((len(cells), 2 * cells.shape[1]), np.uint8)
    digits[:, ::2], digits[:, 1::2] = cells >> 4, cells & 15
    sign, digits = digits[:, -1], digits[:, :-1]
    negative = (sign == 13) | (sign == 11)
    bad = (digits > 9).any(axis=1) | (sign < 10)
    if digits.shape[1] > length:  # an even number of digits leaves half a byte, which must be zero
        bad |= digits[:, 0] != 0
        digits = digits[:, 1:]
    return Digits(digits, negative, bad if signed else bad | negative)


def binary(cells: Cells, *, signed: bool, big: bool) -> tuple[NDArray[np.int64], Mask]:
    """COMP, COMP-4, COMP-5 of two, four or eight bytes."""
    order = ">" if big else "<"
    values = np.ascontiguousarray(cells).view(f"{order}{'i' if signed else 'u'}{cells.shape[1]}").reshape(-1)
    beyond = values > np.iinfo(np.int64).max if not signed and cells.shape[1] == 8 else np.zeros(len(values), bool)
    return np.where(beyond, 0, values).astype(np.int64), beyond


def ieee(cells: Cells, *, big: bool) -> NDArray[np.float64]:
    """COMP-1 and COMP-2 in IEEE 754."""
    form = f"{'>' if big else '<'}f{cells.shape[1]}"
    return np.ascontiguousarray(cells).view(form).reshape(-1).astype(np.float64)


def hexadecimal_float(cells: Cells) -> NDArray[np.float64]:
    """COMP-1 and COMP-2 of IBM: sign, 7 bits of a power of 16, a fraction; long ones to the nearest float64."""
    mantissa = np.zeros(len(cells), np.uint64)
    for index in range(1, cells.shape[1]):
        mantissa = mantissa << np.uint64(8) | cells[:, index]
    power = 4 * ((cells[:, 0] & 0x7F).astype(np.int32) - 64) - 8 * (cells.shape[1] - 1)
    value: NDArray[np.float64] = np.ldexp(mantissa.astype(np.float64), power)
    return np.where(cells[:, 0] & 0x80, -value, value)


def number_type(digits: int, scale: int) -> pl.DataType:
    """The column type of `digits` decimal digits."""
    if scale <= 0 and digits - scale <= _INT64_DIGITS:
        return pl.Int64()
    return pl.Decimal(max(digits, digits - scale, scale), max(scale, 0))


def from_digits(found: Digits, scale: int, null: Mask) -> pl.Series:
    """The values of digits; null where told."""
    count = found.digits.shape[1]
    dtype = number_type(count, scale)
    if count > _INT64_DIGITS or (count - scale > _INT64_DIGITS and scale < 0):
        return _from_text(found, scale, null, dtype)
    value = np.zeros(len(found.digits), np.int64)
    for index in range(count):
        value *= 10
        value += found.digits[:, index]
    return from_integers(np.where(found.negative, -value, value), dtype, null, 10 ** max(-scale, 0))


def from_integers(values: NDArray[np.int64], dtype: pl.DataType, null: Mask, factor: int = 1) -> pl.Series:
    """Integers, or the unscaled values of decimals, as a column."""
    values = values * factor
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    if isinstance(dtype, pl.Decimal):
        wide = np.stack((values, values >> 63), axis=1)
        type: Any = pa.decimal128(dtype.precision, dtype.scale)
        return _series(pa.Array.from_buffers(type, len(values), [validity, pa.py_buffer(wide)]))
    return _series(pa.Array.from_buffers(pa.int64(), len(values), [validity, pa.py_buffer(values)]))


def _from_text(found: Digits, scale: int, null: Mask, dtype: pl.DataType) -> pl.Series:
    """Numbers of more than 18 digits, by way of their texts."""
    rows, count = found.digits.shape
    digits = np.where(found.digits > 9, 0, found.digits).astype(np.uint8) + np.uint8(ord("0"))
    whole = max(count - scale, 0) if scale > 0 else count

    def fill(char: str, width: int) -> Cells:
        return np.full((rows, width), ord(char), np.uint8)

    sign = np.where(found.negative, ord("-"), ord("+")).astype(np.uint8)[:, None]
    parts = [sign, fill("0", 1), digits[:, :whole], fill("0", max(-scale, 0))]
    if scale > 0:
        parts += [fill(".", 1), fill("0", max(scale - count, 0)), digits[:, whole:]]
    text = np.hstack(parts)
    return column(text, 0, text.shape[1]).cast(dtype).set(pl.Series(null), None)


def _series(array: Any) -> pl.Series:
    return pl.Series(pl.from_arrow(array))
