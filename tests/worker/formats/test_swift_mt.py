"""The SWIFT MT reader: every field exactly, or its row refused, or the fault told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import Dribble, read, source_of, survives

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.swift_mt import FORMAT, messages, values

HEAD = b":20:REF1\n:25:12345678/0001\n:28C:7/2\n:60F:C240102EUR100,00\n"
TAIL = b":62F:C240103EUR105,50\n:64:C240103EUR90,\n-\n"
LINE = b":61:2401030103CR5,50NTRFCUST//BANK\nMore\n:86:free text\nsecond line\n"
MT940 = HEAD + LINE + TAIL
BLOCKS = b"{1:F01BANKBEBBAXXX2222123456}{2:I%sBANKDEFFXXXXN}{3:{108:MUR1}{121:uetr-1}}{4:\r\n"
MT103 = (
    BLOCKS % b"103" + b":20:REF103\r\n:23B:CRED\r\n:32A:240105EUR1234,5\r\n:33B:USD1300,\r\n:36:0,95\r\n"
    b":50K:/DE89370400440532013000\r\nJOHN DOE\r\nSTREET 1\r\n:52A:BANKBEBB\r\n:53B:/1234\r\n"
    b":57A://CH123456\r\nBANKDEFF123\r\n:59:/NL91ABNA0417164300\r\nJANE DOE\r\n:70:/INV/1\r\nTHANKS\r\n:71A:SHA\r\n"
    b":71F:EUR1,50\r\n:71F:EUR2,\r\n-}{5:{CHK:0123456789AB}}"
)
MT202 = (
    BLOCKS % b"202" + b":20:REF202\r\n:21:REL\r\n:32A:240105EUR10,\r\n:52D:SOME BANK\r\n:58A:BANKDEFF\r\n"
    b":50A:/1\r\nBANKBEBB\r\n:59:/2\r\nX\r\n:33B:EUR10,\r\n-}{5:{CHK:0123456789AB}}"
)


def one(data: bytes, **spec: Any) -> dict[str, Any]:
    outcome = read(FORMAT, data, **spec)
    assert not outcome.rejected
    return outcome.rows[0]


def test_a_statement_line_with_its_statement() -> None:
    outcome = read(FORMAT, MT940)
    row = {name: value for name, value in outcome.rows[0].items() if value is not None}
    assert row == {
        "message_type": "940",
        "transaction_reference": "REF1",
        "account_identification": "12345678/0001",
        "statement_number": "7",
        "sequence_number": "2",
        "currency": "EUR",
        "opening_balance_type": "F",
        "opening_balance": Decimal("100.00"),
        "opening_balance_date": date(2024, 1, 2),
        "closing_balance_type": "F",
        "closing_balance": Decimal("105.50"),
        "closing_balance_date": date(2024, 1, 3),
        "available_balance": Decimal(90),
        "available_balance_date": date(2024, 1, 3),
        "balanced": True,
        "entry_number": 1,
        "value_date": date(2024, 1, 3),
        "entry_date": date(2024, 1, 3),
        "mark": "C",
        "funds_code": "R",
        "amount": Decimal("5.50"),
        "transaction_type": "NTRF",
        "customer_reference": "CUST",
        "bank_reference": "BANK",
        "supplementary_details": "More",
        "statement_line": "2401030103CR5,50NTRFCUST//BANK\nMore",
        "information": "free text\nsecond line",
    }
    assert outcome.lines == [5]
    assert outcome.codes == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("240103D1,NTRFX", {"amount": Decimal(-1), "mark": "D", "entry_date": None, "customer_reference": "X"}),
        ("240103RC1,NTRFX", {"amount": Decimal(-1), "mark": "RC"}),
        ("240103RD1,NTRFX", {"amount": Decimal(1), "mark": "RD"}),
        ("240103RDR0,01NTRFX", {"amount": Decimal("0.01"), "mark": "RD", "funds_code": "R"}),
        ("240103    C1,5S103X", {"entry_date": None, "transaction_type": "S103"}),
        # a blank before the type, as a German bank writes it
        ("240103C1,5 NTRFNONREF//2109", {"transaction_type": "NTRF", "customer_reference": "NONREF"}),
        ("240103C1,5 NONREF", {"transaction_type": None, "customer_reference": " NONREF"}),
        ("240103C000000000001,62NMSC", {"amount": Decimal("1.62"), "customer_reference": None}),
        ("240103C1,NMSC//B", {"customer_reference": None, "bank_reference": "B"}),
        (
            "240103C1,NMSC1234567890123456789",
            {"customer_reference": "1234567890123456", "supplementary_details": "789"},
        ),
        ("240103C1,NMSC12345678901234567890//B", {"customer_reference": "12345678901234567890", "bank_reference": "B"}),
        ("2312310102C1,NTRFX", {"value_date": date(2023, 12, 31), "entry_date": date(2024, 1, 2)}),
        ("2401021231C1,NTRFX", {"value_date": date(2024, 1, 2), "entry_date": date(2023, 12, 31)}),
        ("2401020229C1,NTRFX", {"entry_date": date(2024, 2, 29)}),
        ("991231C1,NTRFX", {"value_date": date(1999, 12, 31)}),
        ("791231C1,NTRFX", {"value_date": date(2079, 12, 31)}),
        ("240103C\n1,NTRFX", {"amount": Decimal(1)}),
        ("240103C99999999999999,NTRFX", {"amount": Decimal(99999999999999)}),
    ],
)
def test_forms_of_a_statement_line(line: str, expected: dict[str, Any]) -> None:
    row = one(b":20:A\n:61:" + line.encode() + b"\n")
    assert {name: row[name] for name in expected} == expected
    assert row["statement_line"] == line


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("", "statement_line"),
        ("nonsense", "statement_line"),
        ("240103X1,NTRFX", "statement_line"),
        ("240103C,NTRFX", "statement_line"),
        ("240103C1.000,00NTRFX", "statement_line"),
        ("240103C1,2,3NTRFX", "statement_line"),
        ("240103C1234567890123456,NTRFX", "amount"),
        ("240103C0,00001NTRFX", "type"),
        ("241303C1,NTRFX", "date"),
        ("240231C1,NTRFX", "date"),
        ("2401031301C1,NTRFX", "date"),
        ("٢٤٠١٠٣C1,NTRFX", "date"),
    ],
)
def test_a_bad_statement_line_is_refused_and_its_neighbours_are_kept(line: str, rule: str) -> None:
    data = HEAD + b":61:" + line.encode() + b"\n:86:lost\n" + LINE + TAIL
    outcome = read(FORMAT, data)
    assert outcome.faults == [(5, rule)]
    assert outcome.lines == [7]
    assert outcome.rows[0]["entry_number"] == 2
    assert outcome.rows[0]["balanced"] is None or rule == "type"
    rejected = outcome.rejected[0]
    assert rejected.byte_start == len(HEAD)
    assert data[rejected.byte_start : rejected.byte_end].endswith(b"lost\n") or rule == "type"


def test_days_of_a_month_of_thirty_are_told() -> None:
    outcome = read(FORMAT, b":20:A\n:61:2302300230C1,NTRFX\n:61:240230C1,NTRFX\n")
    assert [row["value_date"] for row in outcome.rows] == [date(2023, 2, 28), date(2024, 2, 29)]
    assert outcome.rows[0]["entry_date"] == date(2023, 2, 28)
    assert outcome.codes == ["moved_date"]


def test_what_does_not_balance_is_told_and_kept() -> None:
    outcome = read(FORMAT, MT940.replace(b"105,50", b"105,51"))
    assert outcome.rows[0]["balanced"] is False
    assert outcome.codes == ["unbalanced"]


def test_other_currency_at_the_end_is_no_balance() -> None:
    assert read(FORMAT, MT940.replace(b":62F:C240103EUR", b":62F:C240103USD")).codes == ["unbalanced"]


def test_statement_without_lines_is_a_row() -> None:
    row = one(HEAD + b":62F:C240102EUR100,\n")
    assert (row["closing_balance"], row["entry_number"], row["amount"], row["balanced"]) == (
        Decimal(100),
        None,
        None,
        True,
    )


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (b":60F:X240102EUR1,\n", "bad_field"),
        (b":25:second\n", "bad_field"),
        (b":62F:C240230EUR1,\n", "moved_date"),
        (b":64:C241301EUR1,\n", "bad_field"),
        (b":28C:not a number\n", "bad_field"),
        (b":32A:240101EUR1,\n", "bad_field"),
        (b":20" + b":" + b"\xff\xfe\n", None),
    ],
)
def test_a_bad_statement_field_is_kept_as_it_stands(field: bytes, code: str | None) -> None:
    outcome = read(FORMAT, b":20:A\n:25:first\n" + field + b":61:240103C1,NTRFX\n", encoding="utf-8")
    assert len([row for row in outcome.rows if row["amount"] == 1]) == 1
    if code == "bad_field":
        assert field.decode().strip() in outcome.rows[0]["other_fields"]
    if code is not None:
        assert code in outcome.codes
    assert outcome.rows[0]["account_identification"] == "first"


def test_several_statements_blocks_and_junk_between_them() -> None:
    blocked = (
        BLOCKS % b"940"
        + MT940.replace(b"\n-\n", b"\n").replace(b"\n", b"\r\n")
        + b"-}{5:{MAC:00000000}{CHK:0123456789AB}}\r\n"
    )
    data = b"BANK HEADER\n940\n" + MT940 + blocked + b"$" + blocked + b"\n:20:LAST\n:61:240103C1,NTRFX"
    outcome = read(FORMAT, data)
    assert not outcome.rejected
    assert [row["transaction_reference"] for row in outcome.rows] == ["REF1", "REF1", "REF1", "LAST"]
    assert [row["sender_bic"] for row in outcome.rows] == [None, "BANKBEBB", "BANKBEBB", None]
    assert {row["receiver_bic"] for row in outcome.rows} == {None, "BANKDEFF"}
    assert outcome.rows[0]["preamble"] == "BANK HEADER\n940"
    assert outcome.rows[1]["checksum"] == "0123456789AB"
    for number in outcome.lines:
        assert data.split(b"\n")[number - 1].startswith(b":61:")


def test_pages_of_one_statement_share_its_head() -> None:
    data = HEAD + LINE + b":62M:C240103EUR105,50\n:60M:C240103EUR105,50\n:61:240104D5,NTRFX\n:62F:C240104EUR100,50\n-\n"
    rows = read(FORMAT, data).rows
    assert [(r["opening_balance_type"], r["closing_balance_type"], r["balanced"]) for r in rows] == [
        ("F", "M", True),
        ("M", "F", True),
    ]
    assert {r["account_identification"] for r in rows} == {"12345678/0001"}


def test_mt942() -> None:
    data = (
        b":20:A\n:25:ACC\nBANKDEFF\n:28C:1\n:34F:EURD10,\n:34F:EURC20,\n:13D:2401031200+0100\n"
        b":61:240103C1,NTRFX\n:90D:0EUR0,\n:90C:1EUR1,\n-\n"
    )
    row = one(data)
    assert row["message_type"] == "942"
    assert (row["floor_limit_debit"], row["floor_limit_credit"], row["credit_count"], row["credit_sum"]) == (
        10,
        20,
        1,
        1,
    )
    assert row["report_time"] == datetime(2024, 1, 3, 11, tzinfo=UTC)
    assert (row["account_bic"], row["currency"]) == ("BANKDEFF", "EUR")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "166?00POST?20EREF+1?21SVWZ+two wor\nds?32NA\nME?33X",
            {
                "transaction_code": "166",
                "posting_text": "POST",
                "eref": "1",
                "svwz": "two words",
                "counterparty_name": "NAMEX",
                "purpose": None,
            },
        ),
        ("020<00POST<20free <text", {"posting_text": "POST", "purpose": "free <text"}),
        ("166?20before EREF+x", {"purpose": "before ", "eref": "x"}),
        ("166?20a?21b?60c?38d", {"purpose": "ab", "additional_purpose": "c", "sub_38": "d"}),
        ("/EREF/E1/BENM//NAME/ACME/REMI/USTD//inv 1", {"eref": "E1", "benm_name": "ACME", "remi": "USTD//inv 1"}),
        ("plain text", {}),
        ("1234?00x", {}),
    ],
)
def test_parts_of_the_information(text: str, expected: dict[str, str | None]) -> None:
    row = one(b":20:A\n:61:240103C1,NTRFX\n:86:" + text.encode() + b"\n")
    assert row["information"] == text
    assert {name: row.get(name) for name in expected} == expected
    if not expected:
        assert not {"transaction_code", "purpose"} & row.keys()


def test_mt103_by_its_components() -> None:
    row = {k: v for k, v in one(MT103).items() if v is not None}
    assert row["message_type"] == "103" and row["direction"] == "input"
    assert (row["sender_bic"], row["receiver_bic"]) == ("BANKBEBB", "BANKDEFF")
    assert (row["value_date"], row["currency"], row["amount"]) == (date(2024, 1, 5), "EUR", Decimal("1234.5"))
    assert (row["instructed_currency"], row["instructed_amount"], row["exchange_rate"]) == (
        "USD",
        Decimal(1300),
        Decimal("0.95"),
    )
    assert (row["ordering_customer_account"], row["ordering_customer_name"]) == (
        "DE89370400440532013000",
        "JOHN DOE\nSTREET 1",
    )
    assert (row["ordering_institution_bic"], row["senders_correspondent_account"]) == ("BANKBEBB", "1234")
    assert (row["account_with_institution_account"], row["account_with_institution_bic"]) == ("CH123456", "BANKDEFF123")
    assert (row["beneficiary_customer_account"], row["beneficiary_customer_name"]) == ("NL91ABNA0417164300", "JANE DOE")
    assert (row["remittance_information"], row["details_of_charges"]) == ("/INV/1\nTHANKS", "SHA")
    assert (row["senders_charges"], row["uetr"], row["checksum"]) == ("EUR 1.50\nEUR 2", "uetr-1", "0123456789AB")


def test_mt202_cov_tells_both_payments() -> None:
    row = one(MT202)
    assert row["message_type"] == "202COV"
    assert (row["ordering_institution_name"], row["beneficiary_institution_bic"]) == ("SOME BANK", "BANKDEFF")
    assert (row["cover_ordering_customer_bic"], row["cover_beneficiary_customer_name"]) == ("BANKBEBB", "X")
    assert (row["cover_instructed_currency"], row["cover_instructed_amount"]) == ("EUR", Decimal(10))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b":32A:240105", b":32A:240230", "date"),
        (b"EUR1234,5", b"EUR1234.5", "field"),
        (b":71A:SHA", b":71A:ALL", "field"),
        (b":71A:SHA\r\n", b"", "missing_field"),
        (b":52A:BANKBEBB", b":52A:BANK1", "bic"),
        (b":52A:BANKBEBB", b":52A:BANKBEBB\r\n:52A:BANKBEBB", "repeated_field"),
        (b":20:REF103", b":20:/REF103", "field"),
        (b":59:/NL91", b":59Z:/NL91", "field"),
        (b"{CHK:0123456789AB}", b"{CHK:xyz}", "bad_envelope"),
        (b"{1:F01BANKBEBBAXXX", b"{1:F011234567AAXXX", "bad_envelope"),
        (b"{2:I103", b"{2:I1O3", "bad_envelope"),
        (b"-}{5:{CHK:0123456789AB}}", b"", "truncated_message"),
        (b"{2:I103", b"{2:I564", "unsupported_message"),
        (b"JANE DOE", b"JANE \xff", "encoding"),
    ],
)
def test_a_bad_payment_is_refused_and_its_neighbours_are_kept(old: bytes, new: bytes, rule: str) -> None:
    assert old in MT103
    outcome = read(FORMAT, MT103.replace(old, new) + b"\r\n" + MT103, encoding="utf-8")
    assert [r.rule for r in outcome.rejected] == [rule]
    assert outcome.rejected[0].line == 1
    assert len(outcome.rows) == 1
    assert outcome.lines == [(MT103.replace(old, new) + b"\r\n").count(b"\n") + 1]


def test_acknowledgements_are_no_rows() -> None:
    data = b"{1:F21BANKBEBBAXXX2222123456}{4:{177:2401051200}{451:0}}" + MT103
    outcome = read(FORMAT, data)
    assert len(outcome.rows) == 1 and outcome.codes == ["service_message"] and not outcome.rejected


def test_message_type_can_be_declared() -> None:
    data = b":20:A\n:32A:240105EUR1,\n:58A:BANKDEFF\n:21:X\n"
    assert one(data)["message_type"] == "202"
    outcome = read(FORMAT, data, swift_mt={"message_type": "103"})
    assert [r.rule for r in outcome.rejected] == ["missing_field"]


def test_text_of_other_encodings() -> None:
    text = "Überweisung für Müller, Größe, Köln".encode("cp1252")
    data = HEAD + b":61:240103C1,NTRFX\n:86:" + text + b"\n"
    assert one(data)["information"] == text.decode("cp1252")
    outcome = read(FORMAT, data, encoding="utf-8")
    assert outcome.faults == [(5, "encoding")]
    with pytest.raises(BadInput, match="UTF-8"):
        read(FORMAT, MT940.decode().encode("utf-16"))
    with pytest.raises(ConfigError):
        read(FORMAT, MT940, encoding="nonsense")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_places_do_not_depend_on_how_bytes_come(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"junk\n" + MT940 * 3 + MT103 + b"\n" + MT103
    whole = read(FORMAT, data)
    monkeypatch.setattr(messages, "_BLOCK_BYTES", size)
    again = read(FORMAT, data, Dribble)
    assert again.frame.equals(whole.frame) and again.codes == whole.codes


def test_an_endless_field_is_refused_and_the_next_message_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_BLOCK_BYTES", 1000)
    for filler in (b"x" * 50_000, b"x\n" * 25_000):
        data = HEAD + b":61:240103C1,NTRFX\n:86:" + filler + b"\n" + LINE + TAIL
        outcome = read(FORMAT, data, max_record_bytes=2000)
        assert outcome.faults == [(5, "record_too_long")]
        assert outcome.lines == [data[: data.index(b":61:2401030103")].count(b"\n") + 1]


def test_an_endless_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 5000)
    monkeypatch.setattr("base_ops.worker.formats.swift_mt.reader.MAX_MESSAGE_BYTES", 5000)
    outcome = read(FORMAT, HEAD + LINE * 1000 + TAIL + MT940)
    assert outcome.faults == [(1, "record_too_long")]
    assert len(outcome.rows) == 1


@pytest.mark.parametrize("data", [b"", b"\n\n", b"hello", b"{1:", b":20:", b"-\n-\n", b"{1:F01" * 1000])
def test_what_is_no_message(data: bytes) -> None:
    survives(FORMAT, data)


def test_detection() -> None:
    for data in (MT940, MT103, HEAD, b"\r\n" + MT940, b"HEADER\n" + MT940, b"\xef\xbb\xbf" + MT940):
        assert detect(source_of(data, "x.txt")).format == "swift_mt"


AMOUNT = st.decimals(min_value=0, max_value=10**9, places=2)
DAY = st.dates(date(1980, 1, 1), date(2079, 12, 31))
X = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,()+'", min_size=1, max_size=16)


def comma(value: Decimal) -> str:
    return f"{value:.2f}".replace(".", ",")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(AMOUNT, st.sampled_from(["C", "D", "RC", "RD"]), DAY, st.integers(-180, 180), X, X), max_size=6),
    AMOUNT,
)
def test_statements_come_back(entries: list[tuple[Decimal, str, date, int, str, str]], opening: Decimal) -> None:
    lines, expected, total = [], [], opening
    for amount, mark, day, shift, customer, bank in entries:
        booked = day + timedelta(days=shift)
        signed = -amount if mark in ("D", "RC") else amount
        total += signed
        lines.append(
            f":61:{day:%y%m%d}{booked:%m%d}{mark}R{comma(amount)}NTRF{customer}//{bank}\n:86:{customer}\n{bank}\n"
        )
        expected.append((signed, day, booked, customer, bank, f"{customer}\n{bank}"))
    closing = f"{'D' if total < 0 else 'C'}240103EUR{comma(abs(total))}"
    data = f":20:A\n:60F:C240102EUR{comma(opening)}\n{''.join(lines)}:62F:{closing}\n-\n".encode()
    outcome = read(FORMAT, data)
    names = ("amount", "value_date", "entry_date", "customer_reference", "bank_reference", "information")
    assert [tuple(row[n] for n in names) for row in outcome.rows if row["entry_number"]] == expected
    assert {row["balanced"] for row in outcome.rows} == {True}
    assert all(data.split(b"\n")[n - 1].startswith(b":61:") for n in outcome.lines if entries)


@given(DAY, st.integers(-182, 182))
def test_entry_dates_get_the_nearest_year(day: date, shift: int) -> None:
    booked = day + timedelta(days=shift)
    assert values.entry_day(f"{booked:%m%d}", day.isoformat()) == (booked.isoformat(), False)


@settings(max_examples=150)
@given(st.data())
def test_mutated_messages_are_survived(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([MT940, MT103, MT202, MT940 + MT103])))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"\n:", b"{1:", b"\n-}", b"\n:61:", b"?20"])
        )
    survives(FORMAT, bytes(whole), encoding="utf-8")


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    survives(FORMAT, data)
    survives(FORMAT, b":20:A\n:61:" + data)


def test_free_texts_of_a_statement_are_told_once() -> None:
    data = (
        b"HEADER\n:20:A\n:99Z:x\n:77B:x\n"
        + b":61:240103C1,NTRFX\n" * 3
        + b":62F:C240103EUR3,\n:65:C240104EUR3,\n:86:own\n"
    )
    rows = read(FORMAT, data).rows
    for name in ("preamble", "forward_available_balances", "statement_information", "other_fields"):
        assert [row[name] is not None for row in rows] == [True, False, False]
    assert {row["closing_balance"] for row in rows} == {3}


def test_statement_whose_lines_are_all_bad_is_a_row() -> None:
    outcome = read(FORMAT, HEAD + b":61:bad\n" + TAIL)
    assert outcome.faults == [(5, "statement_line")]
    assert [(row["closing_balance"], row["entry_number"]) for row in outcome.rows] == [(Decimal("105.50"), None)]


def test_a_huge_field_is_not_multiplied() -> None:
    long = b"y" * 900_000
    data = (
        b":20:"
        + long
        + b"\n:25:"
        + long
        + b"\n:21:a\n"
        + long
        + b"\n"
        + b":61:240103C1,NTRFX\n" * 2000
        + b":86:last\n:64:"
        + long
    )
    outcome = read(FORMAT, data)
    assert len(outcome.rows) == 2000 and "bad_field" in outcome.codes
    assert outcome.frame.estimated_size() < 10_000_000


def test_many_pages_and_fields_are_read_in_no_time() -> None:
    outcome = read(FORMAT, b":20:A\n" + b":25:x\n" * 9000 + b":60F:C240102EUR1,\n" * 2000)
    assert len(outcome.rows) == 2000
