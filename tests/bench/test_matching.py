"""Duplicates and truth discovery on other people's data, with default settings."""

import os
from pathlib import Path

import pytest

from base_ops.bench import matching

pytestmark = [pytest.mark.corpora, pytest.mark.filterwarnings("ignore::UserWarning")]

LEAST_F1 = {
    "febrl3": 0.95,
    "fake_1000, all pairs": 0.90,
    "fake_1000, clerical labels": 0.90,
    "er-magellan Beer": 0.80,
    "er-magellan Fodors-Zagats": 0.95,
}


@pytest.fixture(scope="module")
def corpora():
    return Path(os.environ["BASE_CORPORA"])


def test_duplicates(corpora):
    rows = matching.duplicates(corpora)
    for row in rows:
        print(row)
    assert {row["what"] for row in rows} == set(LEAST_F1)
    short = [row for row in rows if row["ours"] < LEAST_F1[row["what"]]]
    assert not short, short
    assert all(row["precision"] >= 0.95 for row in rows), rows
    assert all(row["ours"] >= row["peer"] - 0.005 for row in rows), rows


def test_restaurants_without_the_column_that_gives_them_away(corpora):
    """`class` numbers the restaurants; without it, neighbours on a street must not be taken for the same."""
    records, labels = matching.read_magellan(corpora, "Fodors-Zagats")
    score = matching.of_labels(matching.matched(records.drop("class"), between="source"), labels)
    assert score[0] >= 0.95 and score[1] >= 0.90, score


def test_truth_discovery_beats_the_majority_by_five_points(corpora):
    rows = matching.truth(corpora)
    for row in rows:
        print(row)
    assert len(rows) == 6
    short = [row for row in rows if row["ours"] < row["peer"] + 0.05]
    assert not short, short
