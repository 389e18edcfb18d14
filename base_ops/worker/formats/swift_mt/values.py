"""Components of fields: dates without century, amounts with a comma, parties (SWIFT Standards MT, field formats)."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.swift_mt.blocks import is_bic

_AMOUNT = re.compile(r"\d{1,15}(?:,\d*)?")
_BALANCE = re.compile(r"([DC])(\d{6})([A-Z]{3})(\d{1,15}(?:,\d*)?)")
_ACCOUNT = re.compile(r"(?:/[A-Z](?=/|\n))?/{1,2}([^\n]*)(?:\n|\Z)")


def amount(text: str) -> str:
    """A comma-decimal amount (15d) as a decimal text. Raises Refused."""
    if _AMOUNT.fullmatch(text) is None or len(text) > 16:
        raise Refused("amount", "expected digits and a decimal comma (15d)")
    return text.replace(",", ".").removesuffix(".")


@lru_cache(maxsize=4096)
def day(yymmdd: str) -> tuple[str | None, bool]:
    """ISO date of YYMMDD (80 and above: 19YY), None where there is no such day; and whether it was moved.

    The 29th and 30th of February, which banks that count 30 days a month do write, are its last day.
    """
    if not (len(yymmdd) == 6 and yymmdd.isascii() and yymmdd.isdigit()):
        return None, False
    year = int(yymmdd[:2])
    found, moved = _civil(year + (1900 if year > 79 else 2000), yymmdd[2:])
    return (found.isoformat() if found else None), moved


@lru_cache(maxsize=4096)
def entry_day(mmdd: str, value_date: str) -> tuple[str | None, bool]:
    """ISO date of MMDD in the year that brings it nearest to the value date; and whether it was moved."""
    if not (mmdd.isascii() and mmdd.isdigit()):
        return None, False
    base = date.fromisoformat(value_date)
    years = [_civil(year, mmdd) for year in (base.year - 1, base.year, base.year + 1)]
    found = [(abs((near - base).days), moved, near) for near, moved in years if near is not None]
    if not found:
        return None, False
    _, moved, nearest = min(found)
    return nearest.isoformat(), moved


def _civil(year: int, mmdd: str) -> tuple[date | None, bool]:
    month, number = int(mmdd[:2]), int(mmdd[2:])
    try:
        return date(year, month, number), False
    except ValueError:
        if month == 2 and number in (29, 30):
            return date(year, 3, 1) - timedelta(days=1), True
        return None, False


def date_of(yymmdd: str) -> str:
    """As `day`, for fields where no day is ever moved. Raises Refused."""
    found, moved = day(yymmdd)
    if found is None or moved:
        raise Refused("date", "expected a date YYMMDD")
    return found


def balance(text: str) -> tuple[str, str, str, bool]:
    """(signed decimal text, currency, ISO date, whether the date was moved) of a balance. Raises Refused."""
    found = _BALANCE.fullmatch(text)
    if found is None:
        raise Refused("balance", "expected D or C, date YYMMDD, currency, amount")
    when, moved = day(found[2])
    if when is None:
        raise Refused("date", "expected a date YYMMDD")
    value = amount(found[4])
    return ("-" + value if found[1] == "D" else value), found[3], when, moved


def party(prefix: str, option: str, text: str) -> dict[str, str | None]:
    """Columns of a party field 50 to 59: account, BIC (options A, G, C …) or name and address. Raises Refused."""
    account = _ACCOUNT.match(text) if text.startswith("/") else None
    rest = text[account.end() :] if account else text
    made: dict[str, str | None] = {f"{prefix}_account": account[1] if account else None}
    made[f"{prefix}_bic"] = made[f"{prefix}_name"] = None
    if option in ("A", "G"):
        if not is_bic(rest):
            raise Refused("bic", "expected a BIC of 8 or 11 characters", f"{prefix}_bic")
        made[f"{prefix}_bic"] = rest
    elif rest:
        made[f"{prefix}_name"] = rest
    elif account is None:
        raise Refused("party", "expected an account, a name or both", f"{prefix}_name")
    return made
