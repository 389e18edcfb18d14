"""The FIX reader: every field as its data type, or the message refused with its reason."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_kit import Dribble, Outcome, read, source_of, survives

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.fix import FORMAT, messages
from base_ops.worker.formats.fix.dictionary import GROUPS, NAMES, TYPES

STAMP = "20240102-09:30:00.123"


def fix(body: str | bytes, begin: str = "FIX.4.4", shown: bytes = b"\x01") -> bytes:
    """A message with right length and checksum; fields of `body` separated by '|'."""
    raw = body.encode() if isinstance(body, str) else body
    inner = raw.replace(b"|", b"\x01") + b"\x01"
    head = f"8={begin}\x019={len(inner)}\x01".encode() + inner
    return (head + f"10={sum(head) % 256:03d}\x01".encode()).replace(b"\x01", shown)


def order(number: int, more: str = "", **options: Any) -> bytes:
    return fix(
        f"35=D|49=A|56=B|34={number}|52={STAMP}|11=O{number}|55=AAPL|54=1|38=100|40=2|44=189.50{more}", **options
    )


def values(outcome: Outcome, column: str) -> list[Any]:
    return outcome.frame[column].to_list()


@pytest.mark.parametrize("shown", [b"\x01", b"|"])
@pytest.mark.parametrize("begin", ["FIX.4.2", "FIX.4.4", "FIXT.1.1"])
def test_an_order_by_its_types(shown: bytes, begin: str) -> None:
    data = order(1, "|60=20240102-09:30:00.123456|75=20240102|43=N|1128=9|9999=x=y", begin=begin, shown=shown) + b"\n"
    row = read(FORMAT, data).rows[0]
    assert row["BeginString"] == begin and row["MsgType"] == "D" and row["MsgSeqNum"] == 1
    assert row["SendingTime"] == datetime(2024, 1, 2, 9, 30, 0, 123000, tzinfo=UTC)
    assert row["TransactTime"] == datetime(2024, 1, 2, 9, 30, 0, 123456, tzinfo=UTC)
    assert (row["TradeDate"], row["PossDupFlag"], row["Price"]) == (date(2024, 1, 2), False, Decimal("189.5"))
    assert (row["Side"], row["ApplVerID"], row["tag_9999"]) == ("1", "9", "x=y")


def test_nanoseconds_are_kept() -> None:
    outcome = read(FORMAT, order(1, "|60=20240102-09:30:00.123456789"))
    assert outcome.frame["TransactTime"].dt.nanosecond().to_list() == [123456789]


def test_prices_are_exact() -> None:
    texts = ["0.1", "-.5", "00023.230", "12345678901234567890123", "0.000000000000001", "5."]
    outcome = read(FORMAT, b"".join(fix(f"35=8|6={text}") for text in texts))
    assert values(outcome, "AvgPx") == [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("44=1e5", "type"),
        ("44=1,5", "type"),
        ("44=.", "type"),
        ("44=0.0000000000000001", "type"),
        ("44=123456789012345678901234", "type"),
        ("44=", "empty_field"),
        ("34=1.5", "type"),
        ("34=٣", "type"),
        ("43=y", "type"),
        ("60=20240230-09:30:00", "type"),
        ("60=20240102-09:30:60", "type"),
        ("60=2024-01-02", "type"),
        ("75=20241301", "type"),
        ("x=1", "syntax"),
        ("0=1", "syntax"),
        ("58", "syntax"),
        ("58=a|58=b", "duplicate_field"),
        ("9999=a|9999=b", "duplicate_field"),
        ("95=4|58=x", "data_length"),
        ("95=x|96=abc", "data_length"),
        ("95=2|96=abc", "data_length"),
        ("453=x", "group_size"),
        ("453=2|448=A|447=D|452=1", "group_size"),
        ("453=1|448=A|447=D|452=1|448=B", "group_size"),
        ("453=1|58=x", "group_size"),
        ("453=1|448=A|448=B|447=D", "group_size"),
        ("453=1|448=A|447=D|447=D", "duplicate_field"),
    ],
)
def test_a_bad_message_is_refused_and_its_neighbours_are_kept(field: str, rule: str) -> None:
    bad = fix(f"35=D|{field}")
    data = order(1) + b"\n" + bad + b"\n" + order(3) + b"\n"
    outcome = read(FORMAT, data)
    assert outcome.faults == [(2, rule)]
    assert values(outcome, "MsgSeqNum") == [1, 3] and outcome.lines == [1, 3]
    rejected = outcome.rejected[0]
    assert data[rejected.byte_start : rejected.byte_end] == bad


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"10=", b"10=9", "body_length"),
        (b"38=100", b"38=101", "checksum"),
        (b"9=", b"9=1", "body_length"),
        (b"\x0134=2", b"\x0134=22", "body_length"),
        (b"8=FIX.4.4\x019=", b"8=FIX.4.4\x0135=D\x019=", "header"),
        (b"9=", b"9=9999999", "record_too_long"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b""])
def test_length_and_checksum_are_verified(old: bytes, new: bytes, rule: str, end: bytes) -> None:
    bad = order(2).replace(old, new, 1)
    outcome = read(FORMAT, order(1) + end + bad + end + order(3) + end)
    assert outcome.faults == [(2, rule)]
    assert values(outcome, "MsgSeqNum") == [1, 3] and outcome.lines == [1, 3]


def test_a_cut_off_message_is_refused() -> None:
    outcome = read(FORMAT, order(1) + b"\n" + order(2)[:60] + b"\n" + order(3) + b"\n" + order(4)[:-8])
    assert outcome.faults == [(2, "body_length"), (4, "body_length")]
    assert values(outcome, "MsgSeqNum") == [1, 3]


def test_groups_and_groups_inside_them() -> None:
    body = (
        "35=8|453=2|448=A|447=D|452=1|802=2|523=s|803=1|523=t|803=2|448=B|447=D|452=3|55=IBM|"
        "555=2|600=L1|624=1|687=10.5|539=1|524=P|525=D|538=4|600=L2|624=2|58=end"
    )
    row = read(FORMAT, fix(body)).rows[0]
    assert row["NoPartyIDs"] == [
        {
            "PartyID": "A",
            "PartyIDSource": "D",
            "PartyRole": 1,
            "NoPartySubIDs": [{"PartySubID": "s", "PartySubIDType": 1}, {"PartySubID": "t", "PartySubIDType": 2}],
        },
        {"PartyID": "B", "PartyIDSource": "D", "PartyRole": 3, "NoPartySubIDs": None},
    ]
    assert [leg["LegSymbol"] for leg in row["NoLegs"]] == ["L1", "L2"]
    assert row["NoLegs"][0]["LegQty"] == Decimal("10.5")
    assert row["NoLegs"][0]["NoNestedPartyIDs"] == [
        {"NestedPartyID": "P", "NestedPartyIDSource": "D", "NestedPartyRole": 4}
    ]
    assert (row["Symbol"], row["Text"]) == ("IBM", "end")


def test_types_inside_groups() -> None:
    body = "35=W|55=X|268=2|269=0|270=1.25|271=5|272=20240102|126=20240102-09:30:00.5|346=3|269=1|270=2|271=6"
    outcome = read(FORMAT, fix(body))
    entries = outcome.rows[0]["NoMDEntries"]
    assert entries[0]["MDEntryPx"] == Decimal("1.25") and entries[0]["NumberOfOrders"] == 3
    assert entries[0]["MDEntryDate"] == date(2024, 1, 2)
    assert entries[0]["ExpireTime"] == datetime(2024, 1, 2, 9, 30, 0, 500000, tzinfo=UTC)
    assert entries[1]["MDEntryDate"] is None
    inner = outcome.frame.schema["NoMDEntries"]
    assert isinstance(inner, pl.List)


def test_empty_groups_and_late_ones() -> None:
    outcome = read(FORMAT, fix("35=W|268=0") + fix("35=W|268=1|269=0"), sample_rows=1)
    assert values(outcome, "NoMDEntries") == [None, '[{"MDEntryType":"0"}]']


@pytest.mark.parametrize("shown", [b"\x01", b"|"])
def test_data_fields_hold_separators(shown: bytes) -> None:
    outcome = read(FORMAT, fix(b"35=B|148=h|95=10|96=a|10=000|b|58=x", shown=shown) + b"\n")
    assert values(outcome, "RawData") == [b"a|10=000|b".replace(b"|", shown).decode()]
    text = b"a\n|b"
    outcome = read(FORMAT, fix(b"35=B|354=4|355=" + text + b"|58=x", shown=shown) + b"\n" + order(2, shown=shown))
    assert values(outcome, "EncodedText") == [text.replace(b"|", shown).decode(), None]
    assert outcome.lines == [1, 3]


def test_log_lines_around_messages() -> None:
    data = (
        b"# log of a session\n"
        b"2024-01-02 09:30:00.123 OUT " + order(1, shown=b"|") + b"\n"
        b"\n2024-01-02 09:30:00.124 IN: " + order(2, shown=b"|") + b" " + order(3, shown=b"|") + b"\nno message\n"
    )
    outcome = read(FORMAT, data)
    assert values(outcome, "log_prefix") == ["2024-01-02 09:30:00.123 OUT", "2024-01-02 09:30:00.124 IN:", None]
    assert outcome.lines == [2, 4, 4] and not outcome.rejected
    assert outcome.codes == ["other_text"]


def test_messages_without_lines_are_numbered() -> None:
    assert read(FORMAT, b"".join(order(n) for n in range(1, 6))).lines == [1, 2, 3, 4, 5]


def test_a_checksum_without_its_separator_ends_a_line() -> None:
    outcome = read(FORMAT, order(1)[:-1] + b"\r\n" + order(2)[:-1])
    assert values(outcome, "MsgSeqNum") == [1, 2] and not outcome.rejected


def test_other_separators_and_encodings() -> None:
    assert values(read(FORMAT, order(1, shown=b"^")), "MsgSeqNum") == [1]
    assert values(read(FORMAT, order(1, shown=b"!"), fix={"separator": "!"}), "MsgSeqNum") == [1]
    assert values(read(FORMAT, order(1), fix={"separator": "SOH"}), "MsgSeqNum") == [1]
    latin = fix(b"35=B|58=" + "é".encode("latin-1"))
    assert read(FORMAT, latin + order(2)).faults == [(1, "encoding")]
    assert values(read(FORMAT, latin, encoding="latin-1"), "Text") == ["é"]
    for separator in ("ab", "=", "é", "1"):
        with pytest.raises(ConfigError):
            read(FORMAT, order(1), fix={"separator": separator})
    with pytest.raises(ConfigError):
        read(FORMAT, order(1), encoding="nonsense")
    with pytest.raises(BadInput, match="no FIX message"):
        read(FORMAT, b"8=FOX\n")


def test_columns_can_be_declared() -> None:
    columns = [{"name": "price", "source_name": "Price", "type": "float64"}, {"name": "Symbol"}]
    outcome = read(FORMAT, order(1) + order(2), columns=columns)
    assert outcome.frame.columns == ["price", "Symbol", "_line"]
    assert values(outcome, "price") == [189.5, 189.5]


@pytest.mark.parametrize("size", [1, 50, 1000])
def test_places_do_not_depend_on_how_bytes_come(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"x " + order(1) + b"\nnoise\n" + order(2).replace(b"10=", b"10=1") + order(3) + b"\n" + order(4)[:-20]
    whole = read(FORMAT, data)
    monkeypatch.setattr(messages, "_BLOCK_BYTES", size)
    again = read(FORMAT, data, Dribble)
    assert again.frame.equals(whole.frame) and again.rejected == whole.rejected


def test_hostile_groups_are_bounded() -> None:
    nested = "|".join(["73=1|11=a|78=1|79=b|539=1|524=c|804=1|545=d"] * 1)
    assert not read(FORMAT, fix(f"35=E|{nested}")).rejected
    assert read(FORMAT, order(1) + fix("35=W|268=999999999|269=0")).faults == [(2, "group_size")]
    deep = "|".join(f"{n}=1|{m}=a" for n, m in [(555, 600), (539, 524), (804, 545)])
    assert not read(FORMAT, fix(f"35=8|{deep}")).rejected


def test_data_of_separators_only_is_read_in_no_time() -> None:
    raw = b"\x01" * 600_000
    outcome = read(FORMAT, fix(b"35=B|95=600000|96=" + raw + b"|58=x"))
    assert values(outcome, "RawData") == [raw.decode()] and values(outcome, "Text") == ["x"]


def test_the_dictionary_is_whole() -> None:
    assert len(NAMES) > 700 and len(set(NAMES.values())) == len(NAMES)
    assert {tag for tag, kind in TYPES.items() if kind == "N"} == set(GROUPS)
    assert set(TYPES.values()) <= set("SIDTLBX#N")


def test_detection() -> None:
    for data in (order(1), order(1, shown=b"|"), b"2024 : " + order(1, shown=b"|") + b"\n"):
        assert detect(source_of(data, "x.txt")).format == "fix"


TEXT = st.text(st.characters(exclude_characters="\x01|\r\n\0", exclude_categories=("Cs",)), min_size=1, max_size=12)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(TEXT, st.decimals(-(10**9), 10**9, places=4), st.lists(TEXT, max_size=3)), min_size=1, max_size=6
    ),
    st.booleans(),
)
def test_messages_come_back(rows: list[tuple[str, Decimal, list[str]]], lines: bool) -> None:
    shown, end = (b"|", b"\n") if lines else (b"\x01", b"")
    data = b""
    for number, (text, price, parties) in enumerate(rows, 1):
        group = "".join(f"|448={party}|447=D" for party in parties)
        group = f"|453={len(parties)}{group}" if parties else ""
        data += fix(f"35=D|34={number}|58={text}|44={price}{group}", shown=shown) + end
    outcome = read(FORMAT, data)
    assert not outcome.rejected and outcome.lines == list(range(1, len(rows) + 1))
    for row, (text, price, parties) in zip(outcome.rows, rows, strict=True):
        assert (row["Text"], row["Price"]) == (text, price)
        assert [p["PartyID"] for p in row.get("NoPartyIDs") or []] == parties


@settings(max_examples=100)
@given(st.data())
def test_mutated_messages_are_survived(data: st.DataObject) -> None:
    whole = bytearray(order(1) + b"\n" + fix("35=W|268=2|269=0|270=1|269=1|270=2") + fix("35=B|95=3|96=a\x01b"))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"8=FIX.4.4\x01", b"\x0110=", b"9=5"])
        )
    survives(FORMAT, bytes(whole))


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    survives(FORMAT, data)
    survives(FORMAT, b"8=FIX.4.4\x019=10\x01" + data)
