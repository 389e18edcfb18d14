"""MT940 files of other projects, against what was recorded of them.

The record was made with a library that reads some things otherwise than the standard. `recorded` turns our columns into
its words, so that every value of the record is compared; where it differs from the standard, that is said here:

- without a second line it cut :61: after 16 characters before it looked for `//`: bank references went astray;
- a SEPA keyword KREF was put behind the customer reference, and took it away where there was none;
- it took a reversed credit (RC) as money in (the balances of the same file say: out);
- of several statements in a file, or of a field that comes twice, it kept the last.
"""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import survives

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.swift_mt import FORMAT

pytestmark = pytest.mark.corpora
FOLDER = Path(os.environ.get("BASE_CORPORA", "")) / "mt940"
FILES = sorted(FOLDER.glob("*/*.sta"))
_SEPA = {
    "iban": "gvc_applicant_iban",
    "bic": "gvc_applicant_bin",
    "eref": "end_to_end_reference",
    "mref": "additional_position_reference",
    "cred": "applicant_creditor_id",
    "purp": "purpose_code",
    "svwz": "purpose",
    "mdat": "additional_position_date",
    "abwa": "deviate_applicant",
    "abwe": "deviate_recipient",
    "sqtp": "FRST_ONE_OFF_RECC",
    "orcr": "old_SEPA_CI",
    "ormr": "old_SEPA_additional_position_reference",
    "ddat": "settlement_tag",
    "debt": "debitor_identifier",
    "coam": "compensation_amount",
    "oamt": "original_amount",
}
_PARTS = {
    "posting_text": "posting_text",
    "prima_nota": "prima_nota",
    "purpose": "purpose",
    "counterparty_bank": "applicant_bin",
    "counterparty_account": "applicant_iban",
    "counterparty_name": "applicant_name",
    "text_key_extension": "return_debit_notes",
    "sub_35": "recipient_name",
    "additional_purpose": "additional_purpose",
    "transaction_code": "transaction_code",
}
_OLD_SPLIT = re.compile(r"(.{0,16})(?://(.{0,23}))?\n?(.{0,34})$")


def rows_of(path: Path) -> list[dict[str, Any]]:
    source = ByteSource(path.name, path.stat().st_size, lambda: path.open("rb"), path)
    reader = FORMAT.read(source, ReadSpec())
    batches = list(reader.batches())
    assert not [r for b in batches for r in b.rejected]
    return pl.concat([b.frame for b in batches]).to_dicts()


def money(value: Any, currency: Any) -> dict[str, Any]:
    return {"amount": value, "currency": currency}


def recorded_statement(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        names = ("transaction_reference", "related_reference", "account_identification", "statement_number")
        found |= {n: row[n] for n in (*names, "sequence_number") if row[n] is not None}
        if again := re.search(r"^:25:(.*)", row["other_fields"] or "", re.M):
            found["account_identification"] = again[1][:35]
        for name in ("opening_balance", "closing_balance", "available_balance"):
            value = row[name]
            if value is not None:
                kind = {"F": "final_", "M": "intermediate_"}.get(row.get(f"{name}_type") or "", "")
                day = row[f"{name}_date"].isoformat()
                status = "D" if value < 0 else "C"
                found[kind + name] = {"amount": money(value, row["currency"]), "date": day, "status": status}
    return found


def recorded_transaction(row: dict[str, Any]) -> dict[str, Any]:
    first, *further = row["statement_line"].split("\n")
    references = first.partition(row["transaction_type"])[2]
    assert references.startswith(row["customer_reference"] or "")
    assert not row["bank_reference"] or references.rstrip().endswith("//" + row["bank_reference"])
    split = _OLD_SPLIT.match("\n".join([references.rstrip(), *(line.rstrip() for line in further)]))
    assert split is not None
    amount = -row["amount"] if row["mark"] == "RC" else row["amount"]
    found: dict[str, Any] = {
        "amount": money(amount, row["currency"]),
        "bank_reference": split[2],
        "currency": row["currency"],
        "customer_reference": split[1],
        "date": row["value_date"].isoformat(),
        "extra_details": split[3],
        "funds_code": row["funds_code"],
        "id": row["transaction_type"],
        "status": row["mark"],
    }
    if row["entry_date"] is not None:
        found["entry_date"] = found["guessed_entry_date"] = row["entry_date"].isoformat()
    if row.get("transaction_code") is not None:
        found |= {theirs: row.get(ours) for ours, theirs in _PARTS.items()}
        if any(row.get(word) is not None for word in (*_SEPA, "kref")):
            found |= {theirs: row.get(ours) for ours, theirs in _SEPA.items()}
            kref = row.get("kref")
            found["customer_reference"] = None if kref is None else f"{split[1]}\n{kref}"
    elif row["information"] is not None:
        lines = [line.rstrip() for line in row["information"].split("\n")]
        found["transaction_details"] = "\n".join(line for line in lines if line).strip()
    return found


def exact(value: Any) -> Any:
    """The recorded amounts, which are texts, as numbers."""
    if isinstance(value, dict):
        return {k: Decimal(v) if k == "amount" and isinstance(v, str) else exact(v) for k, v in value.items()}
    return [exact(item) for item in value] if isinstance(value, list) else value


def test_there_are_files() -> None:
    assert len(FILES) >= 18


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_value_is_read(path: Path) -> None:
    expected = exact(json.loads((path.parent / f"{path.stem}.expected.json").read_bytes()))
    rows = rows_of(path)
    assert recorded_statement(rows) == expected["statement"]
    entries = [row for row in rows if row["entry_number"] is not None]
    assert [recorded_transaction(row) for row in entries] == expected["transactions"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_content_tells_the_format(path: Path) -> None:
    renamed = ByteSource("unknown.bin", path.stat().st_size, lambda: path.open("rb"), path)
    assert detect(renamed).format == "swift_mt"


@settings(max_examples=60)
@given(st.data())
def test_mutated_files_are_survived(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(FILES)).read_bytes()[:4000])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=5))
    survives(FORMAT, bytes(whole))


def test_statements_of_the_large_file_balance() -> None:
    rows = rows_of(FOLDER / "betterplace" / "sepa_mt9401.sta")
    assert len(rows) == 97
    assert {row["balanced"] for row in rows} == {True}
    assert [row["mark"] for row in rows].count("RC") >= 1
