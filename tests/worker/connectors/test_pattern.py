"""Path patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import ConfigError
from base_ops.worker.connectors.pattern import PathPattern, _Match


@pytest.mark.parametrize(
    ("text", "base", "path", "captures"),
    [
        ("/d/{symbol}.zip", "/d", "EURUSD.zip", {"symbol": "EURUSD"}),
        ("/d/{symbol}.zip", "/d", ".zip", None),
        ("/d/{symbol}.zip", "/d", "sub/EURUSD.zip", None),
        ("/d/{symbol}.zip", "/d", "EURUSD.zip.part", None),
        ("/d/{symbol}_{date}.csv", "/d", "EUR_USD_20260105.csv", {"symbol": "EUR_USD", "date": "20260105"}),
        ("/d/{date}/{symbol}_{date}.csv", "/d", "20260105/A_20260105.csv", {"date": "20260105", "symbol": "A"}),
        ("/d/{date}/{symbol}_{date}.csv", "/d", "20260105/A_20260106.csv", None),
        ("/d/{a}-{a}", "/d", "xy-xy-xy-xy", {"a": "xy-xy"}),
        ("/d/*.csv", "/d", "a.csv", {}),
        ("/d/*.csv", "/d", ".csv", {}),
        ("/d/*.csv", "/d", "a/b.csv", None),
        ("/d/**/*.csv", "/d", "b.csv", {}),
        ("/d/**/*.csv", "/d", "a/b/c.csv", {}),
        ("/d/**/{day}/*.csv", "/d", "a/b/c.csv", {"day": "b"}),
        ("/d/**", "/d", "a/b/c", {}),
        ("/d/", "/d", "a/b", {}),
        ("/d/one.csv", "/d", "one.csv", {}),
        ("/d/one.csv", "/d", "onexcsv", None),
        ("/d/a(b)[c].{x}", "/d", "a(b)[c].d", {"x": "d"}),
        ("{x}/f", "", "a/f", {"x": "a"}),
        ("/{x}", "/", "a", {"x": "a"}),
        ("b/p/EUR*", "b/p", "EUR1", {}),
        ("/d/**x/y", "/d", "aax/y", {}),
    ],
)
def test_match(text: str, base: str, path: str, captures: dict[str, str] | None) -> None:
    pattern = PathPattern.parse(text)
    assert pattern.base == base
    assert pattern.match(path) == captures


@pytest.mark.parametrize("text", ["/d/{Symbol}", "/d/{}", "/d/{a", "/d/a}", "/d/{{ params.x }}", "/d/{a.b}"])
def test_bad_braces(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        PathPattern.parse(text)
    assert error.value.code == "bad_pattern"


def test_captures_are_named_once() -> None:
    assert PathPattern.parse("/d/{date}/{symbol}_{date}").captures == ("date", "symbol")


parts = st.lists(st.sampled_from(["a", "b", "/", "*", "**/", "{x}", "{y}", "{x}"]), max_size=7).map("".join)


@given(parts, st.text(alphabet="ab/", max_size=12))
def test_as_a_regular_expression_would(tail: str, path: str) -> None:
    """The same language as the obvious translation, which could take exponential time."""
    pattern = PathPattern("/d", tail)
    seen: set[str] = set()
    text = ""
    for kind, value in pattern.tokens:
        if kind == "capture":
            text += f"(?P={value})" if value in seen else f"(?P<{value}>[^/]+)"
            seen.add(value)
        else:
            text += {"star": "[^/]*", "deep": ".+" if value == "**" else "(?:[^/]*/)*", "text": re.escape(value)}[kind]
    assert (pattern.match(path) is not None) == (re.fullmatch(text, path) is not None)


def test_a_hostile_name_costs_a_bounded_number_of_steps() -> None:
    tail, path = "*a" * 12 + "b", "a" * 250
    match = _Match(PathPattern("/d", tail).tokens, path)
    assert match.at(0, 0, {}) is None
    assert len(match.failed) <= 26 * 251
