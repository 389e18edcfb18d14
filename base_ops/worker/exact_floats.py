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
_HIGH, _THREES, _WINDOW = np.uint32(0xF0F0F0F0), np.uint32(0x30303030), 1 << 14


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


def has_long_runs(text: bytes) -> bool:
    """Whether there may be 18 digits, but for a point without a break.

    Of any four aligned words of four bytes within such a run, at least three are digits alone. The windows stay in the
    processor's cache.
    """
    words = np.frombuffer(text, np.uint32, len(text) // 4)
    for begin in range(0, len(words), _WINDOW):
        digits = ((words[begin : begin + _WINDOW + 3] & _HIGH) == _THREES).view(np.uint8)
        if len(digits) > 3 and (digits[:-3] + digits[1:-2] + digits[2:-1] + digits[3:]).max() >= 3:
            return True
    return False
