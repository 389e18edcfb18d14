"""PICTURE character-strings: what a COBOL elementary item holds and how many bytes that takes.

Source: ISO/IEC 1989 §13.18.39 (PICTURE), IBM Enterprise COBOL for z/OS Language Reference, "PICTURE clause" and
"Computational items".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "edited", "national", "number"]

_MAX_LENGTH = 1 << 27
_REPEATED = re.compile(r"(.)\((\d{1,9})\)")
_TEXT = re.compile(r"[AX9B0/]*[AX][AX9B0/]*")
_NUMBER = re.compile(r"(S?)(?:V?(P+)9+|9+(P+)V?|9*(V9*)?)")
_EDITED = re.compile(r"(?:CR|DB|[9VZB0/,.*+\-$€£E])+")


class BadPicture(ValueError):
    """A picture that is not understood."""


@dataclass(frozen=True)
class Picture:
    """What a picture says."""

    kind: Kind
    length: int
    """Characters of a text; digits that are stored of a number."""
    scale: int = 0
    """Digits behind the decimal point; negative: zeros before it that are not stored (P)."""
    signed: bool = False


def parse_picture(text: str) -> Picture:
    """Take a picture string apart.

    Raises:
        BadPicture: it is none, or one of those that are not supported.
    """
    runs, length = _runs(text.upper())
    if length > _MAX_LENGTH:
        raise BadPicture(f"it describes {length} characters")
    symbols = "".join(symbol * min(count, 1000) for symbol, count in runs)  # enough to see the form
    if set(symbols) == {"N"}:
        return Picture("national", length)
    if _TEXT.fullmatch(symbols):
        return Picture("text", length)
    found = _NUMBER.fullmatch(symbols)
    if found and "9" in symbols:
        return _number(found, runs)
    if _EDITED.fullmatch(symbols):
        return Picture("edited", length - symbols.count("V"))
    raise BadPicture("it is not understood")


def _runs(text: str) -> tuple[list[tuple[str, int]], int]:
    """Symbols with how often they stand in a row, and their number."""
    runs: list[tuple[str, int]] = []
    position = 0
    while position < len(text):
        found = _REPEATED.match(text, position)
        symbol, count, end = (found[1], int(found[2]), found.end()) if found else (text[position], 1, position + 1)
        if symbol in "()" or count == 0:
            raise BadPicture("it is not understood")
        runs.append((symbol, count))
        position = end
    return runs, sum(count for _, count in runs)


def _number(found: re.Match[str], runs: list[tuple[str, int]]) -> Picture:
    sign, before, after, fraction = found.groups()
    digits = sum(count for symbol, count in runs if symbol == "9")
    if digits > 38:
        raise BadPicture(f"it describes {digits} digits, at most 38 can be read")
    scale = len(fraction or "V") - 1
    if before or after:
        scale = len(before) + digits if before else -len(after)
    if not -38 <= digits - scale <= 38 or scale > 38:
        raise BadPicture("its decimal point is too far away")
    return Picture("number", digits, scale, bool(sign))
