"""One glance at a block: counts are exact, filters let nothing through that they look for, wherever slices end."""

from __future__ import annotations

import re

import pytest
from delimited_kit import read
from hypothesis import given
from hypothesis import strategies as st

from base_ops.worker.formats.delimited import structure
from base_ops.worker.formats.delimited.dialect import Dialect

DELIMITERS = st.sampled_from([",", ";", "\t", "|", " "])


def dialect(delimiter: str, quote: str = '"') -> Dialect:
    return Dialect("utf-8", 0, delimiter, quote, "", False, "\n", 0, "")


@given(st.text("0917Nn,;\t| \n\"'x", max_size=60), DELIMITERS, st.booleans(), st.integers(1, 9))
def test_glance_misses_nothing(text: str, delimiter: str, quoted: bool, size: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "SLICE", size)
        seen = structure.glance(data, dialect(delimiter), quoted=quoted, firsts=b"Nn")
    assert (seen.newlines, seen.delimiters) == (data.count(b"\n"), data.count(delimiter.encode()))
    before = re.escape(delimiter) + r"\n " + ('"' if quoted else "")
    starts = {m.start() for m in re.finditer(rf"(?<=[{before}])[Nn]|\A[Nn]", text)}
    found = seen.firsts.tolist()
    assert starts <= set(found) and len(found) == len(set(found)) and all(text[i] in "Nn" for i in found)
    if re.search(rf"(?:[{before}]|\A)0[0-9]", text):
        assert seen.zero
    if not re.search(r"(?:[^0-9Nnx;|]|[;|]|\A)0", text):
        assert not seen.zero


def test_zero_is_not_seen_in_plain_numbers() -> None:
    data = b"0.5,10,0,2026-01-01T00:00:00,A007\n0.07,20,0,2026-01-02T00:00:00,0x1F\n"
    assert not structure.glance(data[1:], dialect(","), quoted=False, firsts=b"").zero


@pytest.mark.parametrize("repeats", [1, 3000], ids=["distinct", "repeated"])
@pytest.mark.parametrize(
    ("good", "bent", "columns"),
    [
        ("2024-01-01T23:59:00.500000", "2024-01-01T23:58:60.500000", None),
        ("1969-12-31 23:59:00", "1969-12-31 23:58:60", None),
        ("2024-01-01T23:59:00.500000001", "2024-01-01T23:58:60.500000001", None),
        ("31/12/2024 10:01:00", "31/12/2024 10:00:60", [{"name": "t", "type": "timestamp", "format": "%d/%m/%Y %T"}]),
    ],
)
def test_second_60_is_refused_and_not_bent(
    good: str, bent: str, columns: list[dict[str, str]] | None, repeats: int
) -> None:
    lines = ["t,n", *[f"{good},1"] * repeats, *[f"{good},1"] * 30, f"{bent},2", f"{good},3"]
    spec = {"columns": [*columns, {"name": "n"}]} if columns else {}
    found = read("\n".join(lines).encode() + b"\n", **spec)
    assert found.faults == [(repeats + 32, "type")]
    assert found.frame["t"].n_unique() == 1 and found.frame["n"].to_list()[-1] == 3


def test_names_that_polars_takes_for_patterns_are_names() -> None:
    data = b"^a.*$,ab,^$,^{$\n1,x,NULL,2024-01-01\n2,,w,2024-01-02\nbad,y,w,x\n" + b"3,z,w,2024-01-03\n" * 40
    found = read(data)
    assert found.frame.columns[:-1] == ["^a.*$", "ab", "^$", "^{$"]
    assert found.faults == [(4, "type")]
    assert found.rows[1][0] == 2 and found.rows[0][2] is None and found.frame.height == 42
