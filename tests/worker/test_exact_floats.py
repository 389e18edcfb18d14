"""Numbers with more digits than a float64 has: kept as decimals, or their record refused; never rounded in silence."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.exact_floats import changed, has_long_fractions, has_small_exponents, is_kept, may_change
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lineparser import LineParser
from base_ops.worker.formats.records.lines import Lines
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import LineDecoder
from base_ops.worker.formats.registry import get_format


def read(name: str, text: str, **spec: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    data = text.encode()
    reader = get_format(name).read(ByteSource("x", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))
    batches = list(reader.batches())
    return pl.concat([b.frame for b in batches]), [r for b in batches for r in b.rejected]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0.1", True),
        ("0.30000000000000004", True),
        ("1.000000000000000000000", True),
        ("1.00000000000000000001", False),
        ("1234567890.12345678", False),
        ("0.1000000000000000055511151231257827", True),
        ("9007199254740992.0", True),
        ("9007199254740993.0", False),
        ("1e22", True),
        ("1.2976931348623157e307", True),
        ("1e309", False),
        ("5e-324", True),
        ("1e-400", False),
        ("0e-400", True),
        ("1e-99999999999999999999", False),
        ("0.0e-99999999999999999999", True),
        ("1e99999999999999999999", False),
        ("-0.0", True),
        ("0." + "0" * 330 + "1", False),
    ],
)
def test_which_numbers_a_float64_stands_for(text: str, kept: bool) -> None:
    assert is_kept(text) is kept
    assert changed(pl.Series([text]), pl.Series([float(text)])) == ([] if kept or float(text) > 1e308 else [0])


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["%r", "%.17g", "%.18e", "%.25e", "%.30g"]))
def test_what_programs_print_of_a_float_is_kept(value: float, form: str) -> None:
    assert is_kept(form % value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**12), max_value=10**12))
def test_decimals_that_are_kept_are_read_back_to_17_digits(number: Decimal) -> None:
    text = f"{number:f}"
    if is_kept(text):
        assert abs(Decimal(float(text)) - number) <= abs(number) * Decimal("2e-16")
    elif abs(number) < 2**53:
        assert may_change(f'{{"v":{text}}}'.encode())


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.(0{0,3}|0{180,220}|0{300})[0-9]{1,25})?", fullmatch=True),
    st.sampled_from(["", "e5", "E+05", "e-5", "e-0120", "e-99", "e-290", "E-310", "e-400", "e-1000"]),
    st.sampled_from(['{{"v":{}}}', '{{"v" :\t{} }}', '{{"v":[0.5,{},2]}}', '{{"v":[\r{}]}}']),
)
def test_a_number_in_json_that_is_not_kept_is_found_and_no_other(mantissa: str, exponent: str, form: str) -> None:
    number = mantissa + exponent
    if ("." in number or exponent) and abs(float(number)) < 2**53:
        assert may_change(form.format(number).encode()) is not is_kept(number)


USUAL = (
    '"ts":1700000000000000001,"ms":1700000000001,"id":"7be1f3a0-01e-4312-8a5e-4313e-43123456","v":0.012345678901234567'
)


def test_timestamps_and_uuids_are_passed_over() -> None:
    assert not may_change(f"{{{USUAL}}}".encode())
    assert may_change(f'{{{USUAL},"w":0.123456789012345678}}'.encode())


@pytest.mark.parametrize("nested", ["", '"legs":[{"ts":1700000000000000001,"v":0.5}],'])
def test_records_with_them_are_parsed_at_once(nested: str) -> None:
    """Decoded one by one, such lines take five times as long."""
    lines = [f'{{{nested}{USUAL},"k{i % 40}":{i}}}' for i in range(3000)]
    shape = Shape()
    for line in lines[:100]:
        shape.see(LineDecoder(1000).decode(line.encode()))
    layout = Layout(shape, ReadSpec(nested="keep"), open_ended=True)
    parsed = LineParser(layout, 1000).parse(Lines.of("\n".join([*lines, ""]).encode(), 1, 0))
    assert (sum(map(len, parsed.kept)) + sum(map(len, parsed.table_rows)), parsed.special) == (3000, 0)


NUMBERS = ["1.5", "2", "1234567890.12345678"]
EXPECTED = [Decimal(n) for n in NUMBERS]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ndjson", "".join(f'{{"v":{n}}}\n' for n in NUMBERS)),
        ("json", "[" + ",".join(f'{{"v":{n}}}' for n in NUMBERS) + "]"),
        ("yaml", "".join(f"- v: {n}\n" for n in NUMBERS)),
        ("toml", "".join(f"[[r]]\nv = {n}\n" for n in NUMBERS)),
        ("csv", "id,v\n" + "".join(f"1,{n}\n" for n in NUMBERS)),
    ],
)
def test_a_column_with_such_a_number_is_decimal(name: str, text: str) -> None:
    rows, rejected = read(name, text)
    assert rows["v"].to_list() == EXPECTED and rejected == []


@pytest.mark.parametrize("name", ["ndjson", "json"])
def test_one_such_number_among_many_does_not_make_the_others_decimal(name: str) -> None:
    """Finer floats behind the sample would not fit the decimal; the one is refused, as other odd values are."""
    numbers = ["0.25"] * 5 + ["0.33333333333333333333"] + ["0.25"] * 94 + ["1.2345678901234567e-09"] * 100
    lines = [f'{{"v":{n}}}' for n in numbers]
    text = "\n".join(lines) if name == "ndjson" else f"[{','.join(lines)}]"
    rows, rejected = read(name, text, sample_rows=50)
    assert rows["v"].to_list() == [float(n) for n in numbers if "33" not in n]
    assert len(rejected) == 1 and "read.columns" in rejected[0].reason


@pytest.mark.parametrize("exponent", ["-99999999999999999999", "99999999999999999999"])
def test_an_exponent_beyond_all_bounds_refuses_its_record(exponent: str) -> None:
    rows, rejected = read("ndjson", f'{{"v":1.5}}\n{{"v":1e{exponent}}}\n{{"v":1234567890.12345678}}\n')
    assert rows["v"].to_list() == [EXPECTED[0], EXPECTED[2]] and [r.line for r in rejected] == [2]


@pytest.mark.parametrize("name", ["ndjson", "json"])
def test_such_numbers_inside_of_lists_and_objects(name: str) -> None:
    records = [f'{{"l":[{n},null],"o":{{"v":[{{"w":{n}}}]}}}}' for n in NUMBERS]
    text = "\n".join(records) if name == "ndjson" else f"[{','.join(records)}]"
    rows, rejected = read(name, text, nested="keep")
    assert rejected == []
    assert rows["l"].to_list() == [[n, None] for n in EXPECTED]
    assert rows["o"].to_list() == [{"v": [{"w": n}]} for n in EXPECTED]


LATE = ["1234567890.12345678", "1.00000000000000000001", "1e-400", "9007199254740993.0"]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(LATE), st.integers(3, 3000), st.sampled_from(["{n}", "[{n}]", '{{"w": {n}}}', '[{{"w":{n}}}]']))
def test_behind_the_sample_their_records_are_refused(number: str, place: int, form: str) -> None:
    """Whatever way the lines are read: by template, by Arrow, or one by one."""
    lines = [json.dumps({"k": i, "v": None}).replace("null", form.format(n="0.25")) for i in range(3000)]
    lines[place - 1] = lines[place - 1].replace("0.25", number)
    rows, rejected = read("ndjson", "\n".join(lines), sample_rows=2, nested="keep")
    assert [(r.line, r.rule) for r in rejected] == [(place, "type")]
    assert rows["k"].to_list() == [i for i in range(3000) if i != place - 1]


def test_many_kinds_of_lines_are_parsed_at_once_and_looked_at_all_the_same() -> None:
    lines = [f'{{"k{i % 20}":{i},"v":0.5}}' for i in range(20_000)]
    lines[12_345] = '{"k5":1,"v":12345678901.12345678}'
    rows, rejected = read("ndjson", "\n".join(lines), sample_rows=100)
    assert [r.line for r in rejected] == [12_346] and rows.height == 19_999


@pytest.mark.parametrize("number", [*LATE[:2], "0.1234567890123456789", "-1.234567890123456789e5", "1e-400"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("ending", [",x", ""])
def test_cells_behind_the_sample_of_a_table_are_refused(number: str, quoted: bool, ending: str) -> None:
    cell = f'"{number}"' if quoted else number
    lines = [f"{i},0.25{ending}" for i in range(1000)]
    lines[700] = f"700,{cell}{ending}"
    rows, rejected = read("csv", "k,v" + (",t" if ending else "") + "\n" + "\n".join(lines) + "\n", sample_rows=10)
    assert [(r.line, r.rule, r.column) for r in rejected] == [(702, "type", "v")]
    assert rows["k"].to_list() == [i for i in range(1000) if i != 700]


@given(
    st.integers(10**17, 10**22).filter(lambda n: n % 10 != 0),
    st.integers(1, 40),
    st.sampled_from([b",", b'"', b": "]),
    st.integers(0, 9),
)
def test_no_long_fraction_is_overlooked(digits: int, places: int, around: bytes, shift: int) -> None:
    whole, fraction = str(digits)[:-places] or "0", str(digits)[-places:].zfill(places)
    for text in (f"{whole}.{fraction}", f"{digits}e-{places}"):
        found = has_long_fractions(b"x" * shift + around + text.encode() + around + b"y" * 16)
        assert found or len(whole) > 17  # of which the value tells


def test_a_long_fraction_is_found_across_parts() -> None:
    for shift in range(-40, 40):
        text = b"x" * ((1 << 18) + shift) + b",12345678.901234567890," + b"y" * 100
        assert has_long_fractions(text)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: abs(x) < 1e16), max_size=30))
def test_what_programs_print_of_floats_is_passed_over(numbers: list[float]) -> None:
    others = ["1700000000000000000", "1.2.840.113619", "2026-11-30", "192.168.100.200", "0.00000000000000000000025"]
    assert not has_long_fractions(",".join([*map(repr, numbers), *others]).encode())


@pytest.mark.parametrize("number", [*LATE[:2], "0.01234567890123456789"])
def test_cells_behind_a_sample_of_a_program_are_refused_too(number: str) -> None:
    """17 digits are a float's print; 18 are none, in whatever column."""
    lines = [f"{i},{(i + 1) / 7!r},{i / 4}" for i in range(1000)]
    lines[700], lines[800] = f"700,{number},1.5", f"800,0.5,{number}"
    rows, rejected = read("csv", "k,v,w\n" + "\n".join(lines) + "\n", sample_rows=10)
    assert [(r.line, r.rule, r.column) for r in rejected] == [(702, "type", "v"), (802, "type", "w")]
    assert rows.schema["v"] == pl.Float64 and rows.height == 998


def test_one_long_number_in_a_sample_of_a_program_changes_no_type() -> None:
    lines = [f"{i},{(i + 1) / 7!r}" for i in range(1000)]
    lines[3] = "3,0.33333333333333333333"
    rows, rejected = read("csv", "k,v\n" + "\n".join(lines) + "\n")
    assert rows.schema["v"] == pl.Float64 and [r.line for r in rejected] == [5]
    prices = [f"{i},{i}.25" for i in range(1000)]
    prices[3] = "3,0.333333333333333333"
    rows, rejected = read("csv", "k,v\n" + "\n".join(prices) + "\n")
    assert rows.schema["v"] == pl.Decimal(38, 18) and not rejected


@pytest.mark.parametrize("before", [0, 3, (1 << 16) - 3, (1 << 16) - 2, (1 << 16) - 1, 1 << 16])
def test_small_exponents_are_found_wherever_they_stand(before: int) -> None:
    assert has_small_exponents(b"x" * before + b"1e-5,") and has_small_exponents(b"-" * before + b"1E-5")
    assert not has_small_exponents(b"E" * before + b"2024-01-02,1e5,-e,")
