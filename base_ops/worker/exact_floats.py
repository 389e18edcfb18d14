"""Which decimal numbers a float64 stands for, and which it would change in silence.

Up to 17 significant digits a text is taken for what some program wrote of a float64, though the float's shortest text
may differ in the 17th. A longer text must be the float's own digits (as C's printf gives them), or digits are lost:
1234567890.12345678 is no float64. So must numbers beyond 2**53, where not even all integers are floats, and those so
small that floats have fewer digits: 1e-400 would become 0.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import inf

import numpy as np
import polars as pl
from numpy.typing import NDArray

_DIGITS = 17
_EXPONENT = re.compile("[eE].*")
LEAST_NORMAL = 2.2250738585072014e-308
_ALL_INTEGERS = 2.0**53
_LONGEST = 1100
"""No float64 has more digits than this."""
_MANY_DIGITS = re.compile(rf"[1-9](?:\.?[0-9]){{{_DIGITS}}}")
_POINT_WITHIN = "|".join(rf"[1-9][0-9]{{{k}}}\.[0-9]{{{_DIGITS - k}}}" for k in range(_DIGITS))
_DOUBTFUL = (
    rf"[:,\[ \t\r\n]-?(?:{_POINT_WITHIN}"  # 18 digits, for which no one regular expression is as quick
    r"|0\.0*[1-9][0-9]{17}"
    r"|[1-9][0-9]{17,}(?:\.[0-9]+)?[eE]"
    r"|[0-9]+(?:\.[0-9]+)?[eE]-0*[1-9][0-9]{2}"
    r"|[0-9.]{200})[0-9.eE+-]*"
)
"""A number in JSON that no float64 may stand for, if it is below 2**53, and the byte before it.

It begins where JSON lets a number begin, and has a point or an exponent: integers, timestamps in nanoseconds and UUIDs,
of which every record may hold some, are passed over.
"""
_HIGH, _THREES, _SIXES, _WINDOW = np.uint32(0xF0F0F0F0), np.uint32(0x30303030), np.uint32(0x06060606), 1 << 14
_PART, _MARGIN = 1 << 18, 1 << 11
"""Bytes looked through at a time, and beyond them: no number of which more digits are zeros is of use."""
_ZERO, _NINE = np.uint8(ord("0")), np.uint8(9)
_EXPONENT_SIGN, _MINUS = np.uint8(ord("e")), np.uint8(ord("-"))


def is_kept(text: str) -> bool:
    """Whether a float64 stands for the number that `text` is."""
    value = float(text)
    if LEAST_NORMAL <= abs(value) < _ALL_INTEGERS and (len(text) <= _DIGITS or not _MANY_DIGITS.search(text)):
        return True
    if abs(value) == inf:
        return False
    if value == 0:  # whatever the exponent, which may be beyond what a Decimal takes
        return not any(digit in "123456789" for digit in _EXPONENT.sub("", text))
    number = Decimal(text)
    digits = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    if digits <= _DIGITS and LEAST_NORMAL <= abs(value) < _ALL_INTEGERS:
        return True
    return digits <= _LONGEST and Decimal(format(value, f".{digits - 1}e")) == number


def changed(texts: pl.Series, values: pl.Series) -> list[int]:
    """The rows whose finite value, with a point or an exponent in its text, is not the number that the text is."""
    size = values.abs()
    large, tiny = size >= _ALL_INTEGERS, size < LEAST_NORMAL
    doubtful = (texts.str.len_bytes() > _DIGITS + 1) | large
    if tiny.any():
        doubtful |= tiny & texts.str.contains("[eE]")
    rows = (doubtful & values.is_finite()).arg_true()
    if not len(rows):
        return []
    cells = texts.gather(rows)
    suspect = cells.str.contains("[.eE]") & ((large | tiny).gather(rows) | cells.str.contains(_MANY_DIGITS.pattern))
    pairs = zip(rows.filter(suspect).to_list(), cells.filter(suspect).to_list(), strict=True)
    return [row for row, text in pairs if not is_kept(text)]


def without_changed(values: pl.Series, texts: pl.Series) -> pl.Series:
    """Null where the text, whole number or fraction, has digits that a float64 does not keep."""
    texts = texts.str.strip_chars(" ")
    long = texts.str.contains(r"^[+-]?[0-9]{16,}$") & values.is_finite()
    rows = [row for row in long.arg_true().to_list() if int(texts[row]) != int(values[row])]
    rows += changed(texts, values)
    return values.scatter(rows, None) if rows else values


def may_change(text: bytes) -> bool:
    """Whether UTF-8 JSON text may hold a number below 2**53, with a point or exponent, that no float64 stands for.

    May: what only looks like one may stand inside a string, or in a column of decimals.
    """
    doubtful = pl.Series([text.decode()]).str.extract_all(_DOUBTFUL).item()
    return any(_is_number(number[1:]) and not is_kept(number[1:]) for number in doubtful)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def has_long_fractions(text: bytes, points: bytes = b".") -> bool:
    """Whether there may be a number of 18 significant digits with a point or an exponent: quick where there is none.

    Of any four aligned words of four bytes within so many digits, at least three are digits alone. Only where there
    are such words, as in a print of floats, are digits counted. The windows stay in the processor's cache.

    Args:
        points: decimal separators.
    """
    words = np.frombuffer(text, np.uint32, len(text) // 4)
    for begin in range(0, len(words), _WINDOW):
        part = words[begin : begin + _WINDOW + 3]
        digits = (((part & _HIGH) == _THREES) & (((part + _SIXES) & _HIGH) == _THREES)).view(np.uint8)
        if len(digits) > 3 and (digits[:-3] + digits[1:-2] + digits[2:-1] + digits[3:]).max() >= 3:
            return _counted(np.frombuffer(text, np.uint8), points)
    return False


def has_small_exponents(text: bytes) -> bool:
    """Whether some number may be written with an exponent below zero. Dates make a search for `e-` slow."""
    array = np.frombuffer(text, np.uint8)
    for begin in range(0, len(array), 4 * _WINDOW):
        part = array[begin : begin + 4 * _WINDOW + 1]
        if (((part[:-1] | 0x20) == _EXPONENT_SIGN) & (part[1:] == _MINUS)).any():
            return True
    return False


def _counted(text: NDArray[np.uint8], points: bytes) -> bool:
    """Whether a run of digits with a point, or before an exponent, has 18 of them without the zeros it begins with."""
    return any(
        _counted_in(text[begin : begin + _PART + _MARGIN], points, is_first=begin == 0)
        for begin in range(0, len(text), _PART)
    )


def _counted_in(text: NDArray[np.uint8], points: bytes, *, is_first: bool) -> bool:
    """Of the runs that begin in it."""
    is_digit = (text - _ZERO) <= _NINE
    is_point = text == points[0]
    for point in points[1:]:
        is_point |= text == point
    inside = is_digit | is_point
    digits, run = _long(is_digit), _long(inside)
    if ((text[_DIGITS + 1 :] | 0x20 == _EXPONENT_SIGN) & digits[: -_DIGITS - 1]).any():
        return True
    longer = run.copy()
    longer[:-1] &= run[1:]
    begins = run & ~digits  # of 18 digits before the point, the value tells
    begins[1:] &= ~inside[:-1]
    begins[0] &= is_first
    at = np.flatnonzero(begins)
    passed = np.zeros(len(at), bool)
    while len(at):  # zeros at the beginning, and the point among them, do not count
        point = is_point[at] & ~passed
        leads = (text[at] == _ZERO) | point
        passed |= point
        at = at + leads
        keep = np.where(passed, run[at], longer[at])
        at, passed = at[keep], passed[keep]
        if not leads[keep].any():
            break
    return bool(len(at))


def _long(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where 18 in a row begin."""
    run = inside.copy()
    for step in (1, 2, 4, 8, 2):
        run[:-step] &= run[step:]
        run[-step:] = False
    return run
