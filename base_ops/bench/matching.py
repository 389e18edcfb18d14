"""Duplicates and truth discovery on data whose truth is known, with default settings, beside peers.

The corpora are other people's: a folder with splink-datasets (febrl dataset 3, fake_1000 with clerical labels),
er-magellan (pairs of records of two sources) and truth-discovery (books by several hundred sellers).

    python -m base_ops.bench.matching <folder>
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.data_ingestion.options.duplicates import DuplicatesSpec
from base_ops.worker.merge.duplicates import find
from base_ops.worker.merge.truth import choose, learn
from base_ops.worker.merge.truth.claims import plain

THRESHOLD = 0.9


def run(corpora: Path) -> list[dict[str, Any]]:
    """Rows of what, measure, ours, peer and its name; duplicates with precision and recall of ours."""
    return [*duplicates(corpora), *truth(corpora)]


# -- duplicates


def duplicates(corpora: Path) -> list[dict[str, Any]]:
    """F1 of the pairs that clusters imply, against Splink trained as its tutorial does on its stock comparisons."""
    made = []
    febrl, entity = read_febrl(corpora)
    made.append(_row("febrl3", of_clusters(matched(febrl), entity), of_clusters(matched_by_splink(febrl), entity)))
    fake, entity, labels = read_fake(corpora)
    ours, peer = matched(fake), matched_by_splink(fake)
    made.append(_row("fake_1000, all pairs", of_clusters(ours, entity), of_clusters(peer, entity)))
    made.append(_row("fake_1000, clerical labels", of_labels(ours, labels), of_labels(peer, labels)))
    for name in ("Beer", "Fodors-Zagats"):
        records, labels = read_magellan(corpora, name)
        ours, peer = matched(records, between="source"), matched_by_splink(records.drop("source"))
        made.append(_row(f"er-magellan {name}", of_labels(ours, labels), of_labels(peer, labels)))
    return made


Labels = Sequence[tuple[int, int, bool]]
"""Two rows, and whether they are the same."""


def read_febrl(corpora: Path) -> tuple[pl.DataFrame, list[str]]:
    """febrl dataset 3 without its truth, and per row the entity."""
    frame = pl.read_csv(corpora / "splink-datasets/data/febrl/dataset3.csv", infer_schema=False)
    frame = frame.select(pl.col(name).str.strip_chars().replace("", None).alias(name.strip()) for name in frame.columns)
    return frame.drop("rec_id"), frame["rec_id"].str.extract(r"^rec-(\d+)-").to_list()


def read_fake(corpora: Path) -> tuple[pl.DataFrame, list[str], Labels]:
    """fake_1000 without its truth, per row the entity, and the clerical labels."""
    folder = corpora / "splink-datasets/data"
    frame = pl.read_csv(folder / "fake_1000.csv", infer_schema=False)
    labels = pl.read_csv(folder / "fake_1000_labels.csv")
    pairs = labels.select("unique_id_l", "unique_id_r", pl.col("clerical_match_score") >= 0.5).rows()
    return frame.drop("unique_id", "cluster"), frame["cluster"].to_list(), pairs


def read_magellan(corpora: Path, name: str) -> tuple[pl.DataFrame, Labels]:
    """The records of both sources in the labelled pairs of one data set, each once, and the labels."""
    rows: dict[tuple[str, ...], int] = {}
    labels: list[tuple[int, int, bool]] = []
    columns: list[str] = []
    for file in sorted((corpora / "er-magellan/Structured" / name).glob("*.txt.gz")):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            *sides, same = line.split("\t")
            numbers = []
            for source, text in zip(("left", "right"), sides, strict=True):
                columns, values = _parts(text)
                numbers.append(rows.setdefault((source, *values), len(rows)))
            labels.append((numbers[0], numbers[1], same == "1"))
    frame = pl.DataFrame([list(row) for row in rows], ["source", *columns], orient="row")
    return frame.with_columns(pl.all().replace("", None)), labels


def _parts(text: str) -> tuple[list[str], list[str]]:
    parts = re.split(r"COL (\S+) VAL", text)[1:]
    return parts[::2], [value.strip() for value in parts[1::2]]


def matched(frame: pl.DataFrame, between: str | None = None) -> list[int]:
    """Per row its cluster, by the defaults."""
    with tempfile.TemporaryDirectory() as folder:
        found = find(frame, DuplicatesSpec(between=between), Path(folder))
    cluster = list(range(-frame.height, 0))
    for row, number in found.records.select("row", "cluster").iter_rows():
        cluster[row] = number
    return cluster


def matched_by_splink(frame: pl.DataFrame) -> list[int]:
    """Per row its cluster, by Splink: Jaro-Winkler on every column, blocks and training on every column in turn."""
    import duckdb
    import splink.comparison_library as library
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    columns = [f"c{n}" for n in range(frame.width)]
    table = frame.rename(dict(zip(frame.columns, columns, strict=True))).with_row_index("unique_id")
    rules: list[Any] = [block_on(column) for column in columns if table[column].drop_nulls().n_unique() > 100]
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[library.JaroWinklerAtThresholds(column) for column in columns],
        blocking_rules_to_generate_predictions=rules,
    )
    api = DuckDBAPI(duckdb.connect())
    linker = Linker(api.register(table.to_arrow()), settings, log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=5e5, seed=1)
    for rule in rules[:3]:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    scored = linker.inference.predict(warning_mode="never")
    made = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, THRESHOLD)
    cluster = list(range(frame.height))
    for record in made.as_record_list():
        cluster[record["unique_id"]] = record["cluster_id"]
    return cluster


Score = tuple[float, float, float]
"""Precision, recall and F1."""


def of_clusters(found: Sequence[Any], entity: Sequence[Any]) -> Score:
    """Score of the pairs that clusters imply."""
    return _score(_pairs(zip(found, entity, strict=True)), _pairs(found), _pairs(entity))


def _pairs(groups: Iterable[Any]) -> int:
    return sum(n * (n - 1) // 2 for n in Counter(groups).values())


def of_labels(found: Sequence[Any], labels: Labels) -> Score:
    """Score on labelled pairs."""
    said = [(bool(found[a] == found[b]), same) for a, b, same in labels]
    return _score(sum(a and b for a, b in said), sum(a for a, _ in said), sum(b for _, b in said))


def _score(right: int, found: int, there: int) -> Score:
    precision, recall = right / max(found, 1), right / there
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def _row(what: str, ours: Score, peer: Score) -> dict[str, Any]:
    precision, recall, f1 = (round(part, 4) for part in ours)
    row = {"what": what, "measure": "F1", "ours": f1, "peer": round(peer[2], 4), "peer_name": "Splink, stock settings"}
    return {**row, "precision": precision, "recall": recall}


# -- truth discovery


def truth(corpora: Path) -> list[dict[str, Any]]:
    """Accuracy on the books, as written and by their words, against the majority."""
    claims, right = read_books(corpora)
    trust = learn(claims)
    made = []
    for field, frame in claims.items():
        chosen = dict(choose(frame, field, trust).select("key", "value").iter_rows())
        majority = {
            key: Counter(said["value"]).most_common(1)[0][0]
            for (key,), said in frame.group_by("key", maintain_order=True)
        }
        measures: dict[str, Callable[[str], str]] = {"accuracy, as written": str, "accuracy, by words": plain}
        for measure, form in measures.items():
            ours, peer = (_share(said, right[field], form) for said in (chosen, majority))
            row: dict[str, Any] = {"what": f"book {field}", "measure": measure, "ours": ours, "peer": peer}
            made.append({**row, "peer_name": "majority of equal texts"})
    for measure in ("accuracy, as written", "accuracy, by words"):
        rows = [row for row in made if row["measure"] == measure]
        both = {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in ("ours", "peer")}
        made.append({"what": "book, both", "measure": measure, **both, "peer_name": "majority of equal texts"})
    return made


def read_books(corpora: Path) -> tuple[dict[str, pl.DataFrame], dict[str, dict[str, str]]]:
    """Per field the claims (key, source, value), and what is right per key."""
    folder = corpora / "truth-discovery/book"
    frame = pl.read_csv(folder / "claims.csv", infer_schema=False)
    right: dict[str, dict[str, str]] = {"title": {}, "author_list": {}}
    with (folder / "truth_long.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            right[row["attribute"]][row["tid"]] = row["correct_val"]
    columns = {"isbn": "key", "src": "source"}
    claims = {
        name: frame.rename({**columns, name: "value"}).select("key", "source", "value").filter(pl.col("value") != "")
        for name in right
    }
    return claims, right


def _share(said: dict[str, str], right: dict[str, str], form: Callable[[str], str]) -> float:
    return round(sum(key in said and form(said[key]) == form(value) for key, value in right.items()) / len(right), 4)


if __name__ == "__main__":
    for line in run(Path(sys.argv[1])):
        print(json.dumps(line))  # noqa: T201
