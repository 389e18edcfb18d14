"""Rows of payments: MT103, MT202 and MT202 COV, a column for each component (SWIFT Standards MT, categories 1, 2)."""

from __future__ import annotations

import re
from typing import Any

from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.swift_mt.messages import Field
from base_ops.worker.formats.swift_mt.statement import text_of
from base_ops.worker.formats.swift_mt.values import amount, date_of, party

_DATED = re.compile(r"(\d{6})([A-Z]{3})(\d[\d,]*)")
_MONEY = re.compile(r"([A-Z]{3})(\d[\d,]*)")
_REFERENCE = re.compile(r"(?!/)(?!.*//)[^\n]{1,16}(?<!/)")
_TEXTS = {  # tag: (column, pattern, what is expected)
    "20": ("transaction_reference", _REFERENCE, "16x without slashes at its ends"),
    "21": ("related_reference", _REFERENCE, "16x without slashes at its ends"),
    "13C": ("time_indication", re.compile(r"/[A-Z0-9]{1,8}/\d{4}[+-]\d{4}"), "/8c/4!n1!x4!n"),
    "23B": ("bank_operation_code", re.compile(r"[A-Z0-9]{4}"), "4!c"),
    "23E": ("instruction_codes", re.compile(r"[A-Z0-9]{4}(?:/[^\n]{1,30})?"), "4!c[/30x]"),
    "26T": ("transaction_type_code", re.compile(r"[A-Z0-9]{3}"), "3!c"),
    "36": ("exchange_rate", re.compile(r"\d{1,11},\d*"), "12d"),
    "70": ("remittance_information", re.compile(r"(?s).+"), "4*35x"),
    "71A": ("details_of_charges", re.compile(r"BEN|OUR|SHA"), "BEN, OUR or SHA"),
    "72": ("sender_to_receiver_information", re.compile(r"(?s).+"), "6*35x"),
    "77B": ("regulatory_reporting", re.compile(r"(?s).+"), "3*35x"),
    "77T": ("envelope_contents", re.compile(r"(?s).+"), "9000z"),
}
_REPEATED = ("13C", "23E", "71F")
_MOST = 100
"""Of one repeated field; a payment has a handful."""
_PARTIES = {  # number: (prefix, letters of its options, of which "" is none)
    "50": ("ordering_customer", "AFKG"),
    "51": ("sending_institution", "A"),
    "52": ("ordering_institution", "AD"),
    "53": ("senders_correspondent", "ABD"),
    "54": ("receivers_correspondent", "ABD"),
    "55": ("third_reimbursement_institution", "ABD"),
    "56": ("intermediary", "ACD"),
    "57": ("account_with_institution", "ABCD"),
    "58": ("beneficiary_institution", "AD"),
    "59": ("beneficiary_customer", "AF"),
}
_MONEY_TAGS = {"33B": "instructed", "71G": "receivers_charges"}
_REQUIRED = {"103": ("20", "23B", "32A", "50", "59", "71A"), "202": ("20", "21", "32A", "58")}
_COVER = "cover_"

TYPES = {
    "value_date": "date",
    "amount": "decimal(18,4)",
    "exchange_rate": "decimal(24,12)",
    **{
        f"{cover}{name}_amount": "decimal(18,4)"
        for cover in ("", _COVER)
        for name in ("instructed", "receivers_charges")
    },
}
_COLUMNS: dict[str, Any] = dict.fromkeys(
    [
        "transaction_reference",
        "related_reference",
        "value_date",
        "currency",
        "amount",
        "instructed_currency",
        "instructed_amount",
        "exchange_rate",
        *(f"{prefix}_{part}" for prefix, _ in _PARTIES.values() for part in ("account", "bic", "name")),
        *(name for name, _, _ in _TEXTS.values() if name not in ("transaction_reference", "related_reference")),
        "senders_charges",
        "receivers_charges_currency",
        "receivers_charges_amount",
    ]
)
_COLUMNS.pop("exchange_rate")
_COLUMNS["exchange_rate"] = None


def kind_of(tags: set[str]) -> str | None:
    """The type of a payment without header block; None where its fields are of neither."""
    numbers = {tag[:2] for tag in tags}
    if "32A" not in tags:
        return None
    if "58" in numbers:
        return "202COV" if "50" in numbers else "202"
    return "103" if numbers & {"50", "59"} else None


def row(kind: str, message: dict[str, Any], items: list[Field], encoding: str) -> dict[str, Any]:
    """The columns of one payment. Raises Refused."""
    found: dict[str, Any] = {**message, **_COLUMNS}
    prefix, seen = "", dict[str, int]()
    for item in items:
        text = "\n".join(line.rstrip() for line in text_of(item, encoding).split("\n")).rstrip("\n")
        number = item.tag[:2]
        if kind == "202COV" and number == "50" and not prefix:  # sequence B: the customer's payment underneath
            prefix = _COVER
        key = prefix + (number if number in _PARTIES else item.tag)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > (_MOST if item.tag in _REPEATED else 1):
            raise Refused("repeated_field", f":{item.tag}: stands too often", item.tag)
        try:
            _take(found, prefix, item.tag, text)
        except Refused as verdict:
            raise Refused(verdict.rule, f":{item.tag}: {verdict.reason}", verdict.column or item.tag) from None
    missing = [tag for tag in _REQUIRED[kind[:3]] if tag not in seen]
    if missing:
        raise Refused("missing_field", f"an MT{kind} has the fields {', '.join(missing)}", missing[0])
    return found


def _take(found: dict[str, Any], prefix: str, tag: str, text: str) -> None:
    number, option = tag[:2], tag[2:]
    if number in _PARTIES:
        name, options = _PARTIES[number]
        if option not in options:
            raise Refused("field", f"expected an option of {', '.join(options)}")
        found.update(party(prefix + name, option, text))
    elif tag == "32A":
        money = _matched(_DATED, text, "6!n3!a15d")
        found["value_date"], found["currency"], found["amount"] = date_of(money[1]), money[2], amount(money[3])
    elif tag in _MONEY_TAGS:
        money, name = _matched(_MONEY, text, "3!a15d"), prefix + _MONEY_TAGS[tag]
        found[f"{name}_currency"], found[f"{name}_amount"] = money[1], amount(money[2])
    elif tag == "71F":
        money = _matched(_MONEY, text, "3!a15d")
        charge = f"{money[1]} {amount(money[2])}"
        found["senders_charges"] = f"{found['senders_charges']}\n{charge}" if found["senders_charges"] else charge
    elif tag in _TEXTS:
        name, pattern, expected = _TEXTS[tag]
        name = prefix + name
        _matched(pattern, text, expected)
        value = text.replace(",", ".").removesuffix(".") if tag == "36" else text
        found[name] = f"{found[name]}\n{value}" if tag in _REPEATED and found.get(name) else value
    else:
        raise Refused("field", "the field does not belong to this message")


def _matched(pattern: re.Pattern[str], text: str, expected: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise Refused("field", f"expected {expected}")
    return found
