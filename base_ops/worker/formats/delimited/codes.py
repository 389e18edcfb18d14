"""Codes among values: <=5 for few, NV for no vintage. A column that uses some means text by them, no damage.

A type may miss a few cells of the sample: damage, refused record by record. Where the columns together would have more
records refused than any one of them may, those stay text whose misfits are no chance but come again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from base_ops.core.protocol import Finding
from base_ops.worker.formats.delimited.infer import Guess, Traits
from base_ops.worker.formats.delimited.numbers import ENOUGH
from base_ops.worker.types import parse_expr

_AGAIN = 3
"""As often must a text stand among the misfits to be a code."""


def without_codes(
    names: Sequence[str], texts: pl.DataFrame, guesses: Sequence[Guess], traits: Sequence[Traits], decimal: str
) -> list[Guess]:
    """The guesses, text in place of those that codes forbid.

    Args:
        texts: the sample, clean.
        guesses: what was inferred of each column.
    """
    missed = {
        place: misfits
        for place, (guess, found) in enumerate(zip(guesses, traits, strict=True))
        if _may_miss(guess, found) and (misfits := _misfits(texts.to_series(place), guess, decimal)).any()
    }
    refused = np.zeros(texts.height, bool)
    for misfits in missed.values():
        refused |= misfits.to_numpy()
    settled = list(guesses)
    if refused.sum() <= (1 - ENOUGH) * texts.height:
        return settled
    cells = {place: texts.to_series(place).filter(misfits).to_list() for place, misfits in missed.items()}
    seen = Counter(cell for column in cells.values() for cell in column)
    for place, column in cells.items():
        code = max(column, key=lambda cell: seen[cell])
        if seen[code] >= _AGAIN:
            settled[place] = Guess(finding=_finding(names[place], guesses[place].type, code))
    return settled


def _may_miss(guess: Guess, found: Traits) -> bool:
    if guess.type in ("string", "boolean"):
        return False
    return not found.is_numeric or found.plain + found.named < found.count


def _misfits(texts: pl.Series, guess: Guess, decimal: str) -> pl.Series:
    plain = guess.form.plain(texts) if guess.form else texts
    value = parse_expr("cell", guess.type, guess.format, "." if guess.form else decimal, guess.unit)
    return plain.rename("cell").to_frame().select(value).to_series().is_null() & texts.is_not_null()


def _finding(name: str, type: str, code: str) -> Finding:
    message = f"{name}: {type} values, and codes such as {code!r}; left as text"
    todo = f"declare the column's type to have such records refused, or read.null_values with {code!r}"
    return Finding(
        code="codes_among_values",
        message=message,
        severity="warning",
        data={"column": name, "example": code, "todo": todo},
    )
