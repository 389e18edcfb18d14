"""The memo finds what it was told and nothing else, also where hashes crowd."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.worker import memo as module
from base_ops.worker.memo import Memo

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=50)


@given(known=st.sets(st.text(max_size=4), max_size=30), asked=TEXTS)
def test_it_finds_what_it_was_told(known: set[str], asked: list[str | None]) -> None:
    memo = Memo()
    texts = pl.Series(sorted(known), dtype=pl.String)
    half = len(texts) // 2
    for part in (texts[:half], texts[half:]):
        memo.add(part, part + "!")
    assert len(memo) == len(known)
    found = memo.look_up(pl.Series("any ^name$", asked, dtype=pl.String))
    assert found.to_list() == [f"{text}!" if text in known else None for text in asked]


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_crowded_slots(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_BITS", bits)
    monkeypatch.setattr(module, "_SPARE_BITS", -8)
    memo = Memo()
    texts = pl.Series([f"ACC{number:06}" for number in range(5000)])
    memo.add(texts, texts + "!")
    assert memo._crowded.height > 0, "no slot was shared: the case is not tested"
    asked = texts.gather(np.random.default_rng(0).integers(0, 5000, 20_000))
    asked = pl.concat([asked, pl.Series(["other", None])])
    assert memo.look_up(asked).to_list() == [*(text + "!" for text in asked[:-2]), None, None]
