"""Rows of customer statements: MT940, MT950 and the interim report MT942 (SWIFT Standards MT, category 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from base_ops.worker.formats.records.reader import Record
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.swift_mt.blocks import is_bic
from base_ops.worker.formats.swift_mt.messages import Field
from base_ops.worker.formats.swift_mt.narrative import parts
from base_ops.worker.formats.swift_mt.notes import Notes
from base_ops.worker.formats.swift_mt.values import amount, balance, day, entry_day

_LINE = re.compile(
    r"(?P<day>\d{6})(?P<entry>\d{4}| {4})?(?P<mark>R?[DC]|E[DC])(?P<funds>[A-Z])?[\n ]?"
    r"(?P<amount>\d+,\d*|\d+)(?![\d,.])(?: (?=[SNF](?!ONREF)[A-Z0-9]{3}))?(?P<type>[A-Z][A-Z0-9 ]{3})?"
    r"(?P<customer>(?:(?!//)[^\n])*)(?://(?P<bank>[^\n]*))?(?:\n(?P<more>(?s:.*)))?"
)
_NUMBER = re.compile(r"(\d{1,5})(?:/?(\d{1,5}))?")
_FLOOR = re.compile(r"([A-Z]{3})([DC ])?(\d{1,15}(?:,\d*)?)")
_SUM = re.compile(r"(\d{1,5})([A-Z]{3})(\d{1,15}(?:,\d*)?)")
_TIME = re.compile(r"(\d{6})(\d\d)(\d\d)(?:([+-])(\d\d)(\d\d))?")
_BALANCES = {"60": "opening_balance", "62": "closing_balance", "64": "available_balance"}
_SINGLE = {"20": "transaction_reference", "21": "related_reference"}
_NEGATIVE = ("D", "RC", "ED")
_MAX_COMMON = 20
"""Fields before the first opening balance that hold for the pages behind it as well."""
_MAX_REFERENCE = 35
_ONCE = ("preamble", "forward_available_balances", "statement_information", "other_fields")
"""Free texts of a statement: on its first row only, or a large one would be there thousands of times."""

TYPES = {
    "opening_balance": "decimal(18,4)",
    "opening_balance_date": "date",
    "closing_balance": "decimal(18,4)",
    "closing_balance_date": "date",
    "available_balance": "decimal(18,4)",
    "available_balance_date": "date",
    "floor_limit_debit": "decimal(18,4)",
    "floor_limit_credit": "decimal(18,4)",
    "debit_count": "int64",
    "debit_sum": "decimal(18,4)",
    "credit_count": "int64",
    "credit_sum": "decimal(18,4)",
    "entry_number": "int64",
    "value_date": "date",
    "entry_date": "date",
    "amount": "decimal(18,4)",
}
_STATEMENT: dict[str, Any] = dict.fromkeys(
    (
        "transaction_reference",
        "related_reference",
        "account_identification",
        "account_bic",
        "statement_number",
        "sequence_number",
        "currency",
        "opening_balance_type",
        "opening_balance",
        "opening_balance_date",
        "closing_balance_type",
        "closing_balance",
        "closing_balance_date",
        "available_balance",
        "available_balance_date",
        "forward_available_balances",
        "statement_information",
        "balanced",
        "other_fields",
    )
)
_ENTRY: dict[str, Any] = dict.fromkeys(
    (
        "entry_number",
        "value_date",
        "entry_date",
        "mark",
        "funds_code",
        "amount",
        "transaction_type",
        "customer_reference",
        "bank_reference",
        "supplementary_details",
        "statement_line",
        "information",
    )
)


def text_of(item: Field, encoding: str) -> str:
    """A field's value, line ends as `\\n`. Raises Refused."""
    if item.too_long:
        raise Refused("record_too_long", "the field is longer than max_record_bytes")
    try:
        text = item.value.decode(encoding)
    except UnicodeDecodeError:
        raise Refused("encoding", f"the field holds bytes that are not {encoding}") from None
    return (text.replace("\r\n", "\n") if "\r" in text else text).rstrip("\r\n\x1a\x03")


def kind_of(tags: set[str]) -> str:
    """The type of a statement without header block."""
    if tags & {"34F", "13D", "90C", "90D"} and not tags & {"60F", "60M", "62F", "62M"}:
        return "942"
    return "950" if "61" in tags and "86" not in tags else "940"


def rows(message: dict[str, Any], items: list[Field], encoding: str, notes: Notes) -> Iterator[Record]:
    """The rows of one message: a second opening balance begins another statement of the same account."""
    common: list[Field] = []
    part: list[Field] = []
    has_opening = False
    for item in items:
        if item.tag[:2] == "60":
            if has_opening:
                yield from _Statement(message, encoding, notes).rows(part)
                part = list(common)
            has_opening = True
        elif not has_opening and len(common) < _MAX_COMMON:
            common.append(item)
        part.append(item)
    yield from _Statement(message, encoding, notes).rows(part)


class _Statement:
    def __init__(self, message: dict[str, Any], encoding: str, notes: Notes) -> None:
        self._encoding, self._notes = encoding, notes
        self._fields: dict[str, Any] = {**message, **_STATEMENT}
        self._currency: dict[str, str] = {}
        self._other: list[str] = []
        self._information: list[str] = []
        self._forward: list[str] = []
        self._entries: list[tuple[Field, list[Field]]] = []

    def rows(self, items: list[Field]) -> Iterator[Record]:
        is_open = False  # a :61: was the last but for its :86:
        for item in items:
            if item.tag == "61":
                self._entries.append((item, []))
                is_open = True
            elif item.tag in ("86", "NS") and is_open:
                self._entries[-1][1].append(item)
            else:
                is_open = False
                try:
                    self._take(item, text_of(item, self._encoding))
                except Refused as verdict:
                    self._other.append(item.raw.decode(self._encoding, "replace").rstrip())
                    self._notes.add("bad_field", item.line, f":{item.tag}: {verdict.reason}")
        statement = self._fields
        statement["other_fields"] = "\n".join(self._other) or None
        statement["statement_information"] = "\n".join(self._information) or None
        statement["forward_available_balances"] = "\n".join(self._forward) or None
        order = ("60", "64", "62", "34")
        statement["currency"] = next((self._currency[tag] for tag in order if tag in self._currency), None)
        made = [self._entry(number, *entry) for number, entry in enumerate(self._entries, 1)]
        first = items[0]
        statement["balanced"] = self._balanced(made, first.line)
        told = False
        for record in made:
            if record.fault is not None:
                yield record
                continue
            value = {**statement, **record.value}
            if told:
                value.update(dict.fromkeys(_ONCE))
            told = True
            yield Record(record.number, value, None, record.byte_start, record.byte_end, record.raw)
        if not told:
            yield Record(first.line, {**statement, **_ENTRY}, None, first.start, items[-1].end, first.raw)

    # -- the statement's own fields

    def _take(self, item: Field, text: str) -> None:
        tag = item.tag
        if tag in ("86", "NS"):
            self._information.append(text)
        elif tag == "65":
            balance(text.rstrip())
            self._forward.append(text.rstrip())
        elif tag[:2] in _BALANCES and tag[2:] in ("", "F", "M"):
            self._take_balance(tag, text.rstrip(), item.line)
        elif tag in _SINGLE:
            if len(text.rstrip()) > _MAX_REFERENCE:
                raise Refused("reference", "expected at most 16 characters")
            self._set_once(_SINGLE[tag], text.rstrip())
        elif tag[:2] == "25":
            self._take_account(text.rstrip())
        elif tag[:2] == "28":
            found = _matched(_NUMBER, text.rstrip(), "5n[/5n]")
            self._set_once("statement_number", found[1])
            self._set("sequence_number", found[2])
        elif tag == "34F":
            self._take_floor(_matched(_FLOOR, text.rstrip(), "currency, mark, amount"))
        elif tag in ("90C", "90D"):
            found = _matched(_SUM, text.rstrip(), "number, currency, amount")
            side = "credit" if tag == "90C" else "debit"
            self._set_once(f"{side}_count", found[1])
            self._set(f"{side}_sum", amount(found[3]))
        elif tag in ("13", "13D"):
            self._set_once("report_time", _time(_matched(_TIME, text.rstrip(), "YYMMDDHHMM and offset")))
        else:
            raise Refused("field", "the field does not belong to a statement")

    def _set(self, name: str, value: str | None) -> None:
        self._fields[name] = value

    def _set_once(self, name: str, value: str) -> None:
        if self._fields.get(name) is not None:
            raise Refused("repeated_field", "the field stands twice in one statement")
        self._fields[name] = value

    def _take_account(self, text: str) -> None:
        account, _, bic = text.partition("\n")
        if len(account) > _MAX_REFERENCE or (bic and not is_bic(bic)):
            raise Refused("account", "expected at most 35 characters, and perhaps a BIC")
        self._set_once("account_identification", account)
        self._set("account_bic", bic or None)

    def _take_balance(self, tag: str, text: str, line: int) -> None:
        value, currency, when, moved = balance(text)
        name = _BALANCES[tag[:2]]
        self._set_once(name, value)
        self._set(f"{name}_date", when)
        if tag[:2] != "64":
            self._set(f"{name}_type", tag[2:] or None)
        self._currency[tag[:2]] = currency
        if moved:
            self._notes.add("moved_date", line, f":{tag}: names a day beyond the end of February")

    def _take_floor(self, found: re.Match[str]) -> None:
        for mark, side in (("D", "debit"), ("C", "credit")):
            if found[2] in (mark, " ", None) and self._fields.get(f"floor_limit_{side}") is None:
                self._set(f"floor_limit_{side}", amount(found[3]))
        self._currency.setdefault("34", found[1])

    # -- its lines

    def _entry(self, number: int, line: Field, details: list[Field]) -> Record:
        end = details[-1].end if details else line.end
        raw = line.raw
        try:
            value = self._line(text_of(line, self._encoding), line.line)
            if details:
                self._details(value, [(item.tag, text_of(item, self._encoding)) for item in details])
        except Refused as verdict:
            return Record(line.line, None, verdict, line.start, end, raw)
        value["entry_number"] = str(number)
        return Record(line.line, value, None, line.start, end, raw)

    def _line(self, raw: str, number: int) -> dict[str, Any]:
        text = raw.rstrip() if "\n" not in raw else "\n".join([line.rstrip() for line in raw.split("\n")]).rstrip("\n")
        found = _LINE.fullmatch(text)
        if found is None:
            raise Refused("statement_line", "expected date, mark, amount, type and references (field 61)")
        value_date, moved = day(found["day"])
        if value_date is None:
            raise Refused("date", "expected a value date YYMMDD", "value_date")
        entry_date = None
        if (written := found["entry"]) and written != "    ":
            entry_date, also = entry_day(written, value_date)
            if entry_date is None:
                raise Refused("date", "expected an entry date MMDD", "entry_date")
            moved |= also
        if moved:
            self._notes.add("moved_date", number, ":61: names a day beyond the end of February")
        mark, value = found["mark"], amount(found["amount"])
        customer, more = found["customer"], found["more"]
        if found["bank"] is None and len(customer) > 16:  # what follows 16x is supplementary
            customer, more = customer[:16], _and(customer[16:], more)
        return {
            **_ENTRY,
            "value_date": value_date,
            "entry_date": entry_date,
            "mark": mark,
            "funds_code": found["funds"],
            "amount": "-" + value if mark in _NEGATIVE else value,
            "transaction_type": found["type"],
            "customer_reference": customer or None,
            "bank_reference": found["bank"] or None,
            "supplementary_details": more or None,
            "statement_line": raw,
        }

    def _details(self, value: dict[str, Any], texts: list[tuple[str, str]]) -> None:
        told = [text for tag, text in texts if tag == "86"]
        other = [text for tag, text in texts if tag != "86"]
        if told:
            value["information"] = "\n".join(told)
            value.update(parts(told[0]))
        if other:
            value["non_swift"] = "\n".join(other)

    # -- the check

    def _balanced(self, entries: list[Record], line: int) -> bool | None:
        """Whether opening balance and lines make the closing balance; None where that cannot be told."""
        opening, closing = self._fields["opening_balance"], self._fields["closing_balance"]
        if opening is None or closing is None or any(entry.fault for entry in entries):
            return None
        total = sum((Decimal(entry.value["amount"]) for entry in entries), Decimal(opening))
        same_currency = self._currency["60"] == self._currency["62"]
        if total == Decimal(closing) and same_currency:
            return True
        self._notes.add("unbalanced", line, "opening balance and lines do not make the closing balance")
        return False


def _matched(pattern: re.Pattern[str], text: str, expected: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise Refused("field", f"expected {expected}")
    return found


def _and(before: str | None, text: str | None) -> str | None:
    return f"{before}\n{text}" if before and text else text or before


def _time(found: re.Match[str]) -> str:
    when, moved = day(found[1])
    if when is None or moved or int(found[2]) > 23 or int(found[3]) > 59:
        raise Refused("date", "expected YYMMDDHHMM and offset")
    offset = f"{found[4]}{found[5]}:{found[6]}" if found[4] else ""
    return f"{when}T{found[2]}:{found[3]}:00{offset}"
