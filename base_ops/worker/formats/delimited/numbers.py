"""Numbers as people write them: 1,234.56 and 1.234,56, $1,234.56, 12.5%, (1,234.56).

What is inferred. A column whose sampled numbers are all grouped the same way is one of numbers, and a finding says so;
the sample must leave no doubt which mark groups and which is the decimal point ("1,234" alone may be either: such a
column stays text, with a finding). Currencies and percentages stay text, with a finding that says how to declare them:
the sign belongs to the value, and a column of them may hold several.

What is declared. `format` of a numeric column is an example, e.g. {name: price, type: "decimal(18,2)", format:
"$1,234.56"}. The number is taken as it stands (12.5% is 12.5); a cell with another sign is refused. Under a declared
format a number in parentheses, or with a minus behind it, is negative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Finding

ENOUGH = 0.95
"""Share of the sample's cells that must fit; the others will be refused, one by one, with a reason."""
_EXAMPLE = re.compile(
    r"(?P<prefix>[^0-9\s()+-]*)(?P<gap1>\s?)(?P<whole>[0-9]{1,3}(?:(?P<thousands>[,.' \u00a0\u202f’])[0-9]{3})*|[0-9]+)"
    r"(?:(?P<decimal>[.,])(?P<fraction>[0-9]+))?(?P<gap2>\s?)(?P<suffix>[^0-9\s()+-]*)"
)
_STYLES = ((",", "."), (".", ","), ("'", "."), ("’", "."), (" ", ","), (" ", "."), ("\u00a0", ","), ("\u202f", ","))
_AMOUNT = r"[0-9.,'’ \u00a0\u202f]*[0-9][0-9.,'’ \u00a0\u202f]*"
_CURRENCY = rf"^[(+-]?(([$€£¥₹]|[A-Z]{{3}} |[A-Z]{{1,2}}\$) ?[+-]?{_AMOUNT}|{_AMOUNT} ?([$€£¥₹]|[A-Z]{{3}}))\)?-?$"
_PERCENT = rf"^[(+-]?{_AMOUNT} ?%\)?-?$"
_UNCLEAR = r"^[(+-]?[0-9]{1,3}([,.'’ \u00a0\u202f]?[0-9]{3}){0,2}([.,][0-9]+)?[)-]?$"


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written."""

    thousands: str = ""
    decimal: str = "."
    prefix: str = ""
    suffix: str = ""
    accounting: bool = False
    """Whether (1) and 1- are negative."""

    @property
    def example(self) -> str:
        return f"{self.prefix}1{self.thousands}234{self.decimal}5{self.suffix}"

    def pattern(self) -> str:
        """With the groups open, sign, inner sign, whole, fraction, close."""
        sep, dec = re.escape(self.thousands), re.escape(self.decimal)
        whole = rf"[1-9][0-9]{{0,2}}(?:{sep}[0-9]{{3}})+|[0-9]+" if sep else r"[0-9]+"
        prefix = re.escape(self.prefix) + r"\s?" if self.prefix else ""
        suffix = r"\s?" + re.escape(self.suffix) if self.suffix else ""
        opened, closed = (r"(\()?", r"([)-])?") if self.accounting else ("(x^)?", "(x^)?")
        return rf"^{opened}([+-])?{prefix}([+-])?({whole})(?:{dec}([0-9]+))?{suffix}{closed}$"

    def plain(self, texts: pl.Series) -> pl.Series:
        """The numbers as the plain reader knows them, with a point; null where a text is not of this form."""
        found = texts.str.strip_chars(" ").str.extract_groups(self.pattern())
        opened, sign, inner, whole, fraction, closed = found.to_frame("f").unnest("f").iter_columns()
        in_brackets = (closed == ")").fill_null(False)
        marks = [sign.is_not_null(), inner.is_not_null(), (closed == "-").fill_null(False), opened.is_not_null()]
        several = sum((mark.cast(pl.Int8) for mark in marks[1:]), marks[0].cast(pl.Int8)) > 1
        wrong = whole.is_null() | several | (opened.is_not_null() != in_brackets)
        minus = (sign == "-").fill_null(False) | (inner == "-").fill_null(False) | marks[2] | marks[3]
        frame = pl.DataFrame({"whole": whole, "fraction": fraction, "minus": minus, "wrong": wrong})
        digits = pl.col("whole")
        if self.thousands:
            digits = digits.str.replace_all(self.thousands, "", literal=True)
        made = pl.concat_str(
            pl.when("minus").then(pl.lit("-")).otherwise(pl.lit("")),
            digits,
            pl.when(pl.col("fraction").is_not_null()).then(pl.lit(".")).otherwise(pl.lit("")),
            pl.col("fraction").fill_null(""),
        )
        return frame.select(pl.when(~pl.col("wrong")).then(made).alias(texts.name)).to_series()


def declared_form(name: str, example: str) -> NumberForm:
    """The form that an example shows.

    Raises:
        ConfigError: it is no number.
    """
    found = _EXAMPLE.fullmatch(example.strip())
    if found is None or (found["decimal"] and found["thousands"] == found["decimal"]):
        raise ConfigError(
            f"read.columns: the format {example!r} of the numbers {name!r} is not understood",
            code="bad_number_format",
            where=f"read.columns, {name}",
            expected="an example of how the numbers are written, e.g. 1,234.56 or 1.234,56 or $1,234.56 or 12.5%",
        )
    thousands, decimal = found["thousands"] or "", found["decimal"] or ""
    if not decimal:
        decimal = "," if thousands == "." else "."
    return NumberForm(thousands, decimal, found["prefix"], found["suffix"], accounting=True)


def grouped_form(texts: pl.Series) -> NumberForm | None:
    """How the numbers among the texts are grouped, where that is beyond doubt and hardly a text is no number."""
    numbers = texts.filter(texts.str.contains(r"^[+-]?[0-9][0-9.,'’ \u00a0\u202f]*$"))
    if len(numbers) < ENOUGH * len(texts):
        return None
    texts = numbers
    forms = [form for thousands, decimal in _STYLES if _fits(texts, form := NumberForm(thousands, decimal))]
    return forms[0] if len(forms) == 1 else None


def _fits(texts: pl.Series, form: NumberForm) -> bool:
    sep, dec = re.escape(form.thousands), re.escape(form.decimal)
    grouped = texts.filter(texts.str.contains(form.thousands, literal=True))
    if grouped.is_empty():
        return False
    if not texts.str.contains(rf"^[+-]?(?:[1-9][0-9]{{0,2}}(?:{sep}[0-9]{{3}})+|[0-9]{{1,3}})(?:{dec}[0-9]+)?$").all():
        return False
    if grouped.str.contains(form.decimal, literal=True).any():
        return True
    groups = texts.str.count_matches(form.thousands, literal=True)
    return form.thousands != "." and bool(groups.max() > 1) and groups.n_unique() > 1  # type: ignore[operator]


def written_number(name: str, texts: pl.Series) -> Finding | None:
    """A finding where a column of texts looks like currencies, percentages or grouped numbers."""
    for code, what, pattern in (
        ("currency", "amounts with a currency", _CURRENCY),
        ("percentage", "percentages", _PERCENT),
        ("ambiguous_number", "numbers that can be read in more than one way", _UNCLEAR),
    ):
        if _share(texts, pattern) >= ENOUGH and texts.str.contains(r"[,.'’ \u00a0\u202f$€£¥₹%A-Z(-]").any():
            example = str(texts[0])
            message = f"{name}: {what}, such as {example!r}; left as text"
            todo = f"declare a numeric type and, as its format, an example: {_bare(example)!r}"
            data = {"column": name, "example": example, "todo": todo}
            return Finding(code=code, message=message, severity="warning", data=dict(data))
    return None


def _share(texts: pl.Series, pattern: str) -> float:
    return float(texts.str.contains(pattern).mean() or 0)  # type: ignore[arg-type]


def _bare(text: str) -> str:
    return text.strip("()+- ")
