"""The source-detection model: what it is worth on sources of other seeds, what is proposed, and who decides."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from base_ops.cli import cli
from base_ops.data_ingestion.models.source_detection import training
from base_ops.data_ingestion.models.source_detection.bodies import BODIES
from base_ops.data_ingestion.models.source_detection.classes import CLASSES
from base_ops.data_ingestion.models.source_detection.clues import Clues
from base_ops.data_ingestion.models.source_detection.detect import MIN_CONFIDENCE, MODEL, MODULE, decide, detect
from base_ops.data_ingestion.models.source_detection.features import FEATURES, features_of
from base_ops.data_ingestion.models.source_detection.propose import propose
from base_ops.data_ingestion.models.source_detection.samples import Sample, samples
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.models.champion import packaged_file
from base_ops.worker.models.trees import Trees, load_trees

PACKAGED = packaged_file(MODULE, MODEL)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return load_trees(PACKAGED)


@pytest.fixture(scope="module")
def made() -> list[Sample]:
    """Of a seed that no training sees."""
    return training.held_out(seed=77, per_class=20)


def test_forty_two_classes_and_fifty_features() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 42 and len(FEATURES) == len(set(FEATURES)) == 50
    assert set(BODIES) < set(CLASSES)


def test_the_packaged_model_is_small_text_for_this_code(trees: Trees) -> None:
    assert PACKAGED.stat().st_size < 1 << 20
    assert (trees.features, trees.classes) == (FEATURES, CLASSES)


def test_accuracy_on_sources_of_other_seeds_beside_the_rules(trees: Trees, made: list[Sample]) -> None:
    scores = training.measure(trees, made)
    print(
        {
            who: (round(s.accuracy, 3), round(s.macro_f1, 3), round(s.false_positive_rate, 3))
            for who, s in scores.items()
        }
    )
    for who in ("model", "both"):
        score = scores[who]
        assert score.accuracy >= 0.85 and score.macro_f1 >= 0.80 and score.false_positive_rate <= 0.05
    assert scores["both"].accuracy > scores["rules"].accuracy >= 0.8


def test_accuracy_on_addresses_labelled_by_hand(trees: Trees) -> None:
    found = training.labelled()
    assert {sample.label for sample in found} == set(CLASSES)
    scores = training.measure(trees, found)
    assert scores["both"].accuracy >= 0.9 and scores["both"].accuracy >= scores["rules"].accuracy


def test_in_less_than_200_ms_with_its_reasons(trees: Trees) -> None:
    clues = Clues("https://api.example.com/v1/quotes?limit=10", {"content-type": "application/json"}, b'{"data": []}')
    detect(clues)  # loads the model
    began = time.process_time()
    found = detect(clues)
    assert time.process_time() - began < 0.2
    assert found.kind == "rest_api" and found.decided_by == "model" and found.confidence >= MIN_CONFIDENCE
    assert len(found.best) == 3 and found.because and set(found.because) <= set(FEATURES)


def test_without_a_model_or_its_confidence_the_rules_decide(trees: Trees) -> None:
    alone = decide(Clues("s3://bucket/x.csv"), None)
    assert (alone.kind, alone.decided_by, alone.because) == ("s3", "fallback", ("scheme s3",))
    unsure = next(d for s in samples(5, 40) if (d := decide(s.clues, trees)).best and d.best[0][1] < MIN_CONFIDENCE)
    assert unsure.decided_by == "fallback" and "not sure" in unsure.because[-1]


def test_the_same_seed_makes_the_same_sources_and_the_same_model() -> None:
    assert list(samples(3, 2)) == list(samples(3, 2)) != list(samples(4, 2))
    once, again = (training.train(seed=5, per_class=4).to_json() for _ in range(2))
    assert once == again


@pytest.mark.slow
def test_five_fold_cross_validation() -> None:
    assert min(training.cross_validated(seed=9, per_class=40)) >= 0.85


@pytest.mark.parametrize("url", ["", ":", "://", "http://[::1", "\x00", "a" * 5000, "{", "//x:99999/", "jdbc:"])
def test_any_text_has_features_and_an_answer(url: str) -> None:
    assert features_of(Clues(url, sample=b"\xff\xfe\x00")).shape == (50,)
    assert detect(Clues(url)).kind in CLASSES


PROPOSALS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # address: kind, protocol, its block
    "https://api.x.com/v1/q?limit=5&api_key=s3cret": ("rest_api", "http", {"path": "/v1/q", "params": {"limit": "5"}}),
    "jdbc:postgresql://u:s3cret@db:5432/prod": ("postgresql", "sql", {"database": "postgresql", "table": "CHANGE_ME"}),
    "sftp://sftp.c.com/out/h_{day}.csv": ("sftp", "files", {"path": "sftp:///out/h_{day}.csv"}),
    "https://acct.blob.core.windows.net/cont/a/b.csv": ("azure_blob", "files", {"path": "abfs://cont/a/b.csv"}),
    "https://b1.s3.eu-west-1.amazonaws.com/k.csv": ("s3", "files", {"path": "s3://b1/k.csv"}),
    "https://storage.googleapis.com/b1/k.csv": ("gcs", "files", {"path": "gs://b1/k.csv"}),
    "arn:aws:kinesis:eu-west-1:1:stream/audit": ("kinesis", "kinesis", {"stream": "audit"}),
    "kafka://kafka:9092/ticks": ("kafka", "kafka", {"topics": ["ticks"]}),
    "https://services.odata.org/odata/v4/Orders": (
        "odata", "http",
        {"path": "/odata/v4/Orders", "paging": {"style": "cursor", "next_path": "@odata.nextLink"}, "records": "value"},
    ),
    "/data/oanda/{symbol}.zip": ("local_dir", "files", {"path": "/data/oanda/{symbol}.zip"}),
}  # fmt: skip


@pytest.mark.parametrize("address", PROPOSALS)
def test_what_is_proposed(address: str) -> None:
    kind, protocol, block = PROPOSALS[address]
    assert detect(Clues(address)).kind == kind
    made = propose(kind, Clues(address), "mine")
    assert made.source is not None and made.source[protocol] == block
    assert "s3cret" not in json.dumps(made.source) and "s3cret" not in " ".join(made.notes)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "ldap"])
def test_every_proposal_is_a_source(kind: str) -> None:
    for sample in list(samples(11, 15)):
        if sample.label == kind:
            draft = propose(kind, sample.clues, "mine").source
            SourceSpec.model_validate(draft)


def test_pages_and_records_are_read_off_a_sample() -> None:
    body = b'{"data": [{"id": 1}], "next": "/v1/q?page=2"}'
    draft = propose("rest_api", Clues("https://api.x.com/v1/q", sample=body), "mine").source
    assert draft is not None
    assert draft["http"] == {"path": "/v1/q", "records": "data", "paging": {"style": "cursor", "next_path": "next"}}


def test_the_commands(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["sources", "detect", "kafka:9092", "--json"])
    told = json.loads(done.stdout)
    assert told["kind"] == "kafka" and told["source"]["kafka"] and told["decided_by"] == "model"
    options = ["init", "source", "--id", "quotes", "--config-dir", str(tmp_path)]
    done = CliRunner().invoke(cli, [*options, "--from", "https://api.vendor.com/v1/quotes", "--mode", "snapshot"])
    assert done.exit_code == 0, done.output
    written = yaml.safe_load((tmp_path / "data_ingestion" / "sources" / "quotes.yaml").read_text())
    assert written["http"] == {"path": "/v1/quotes"} and written["connection"] == "quotes"
    assert "define the connection quotes: host api.vendor.com" in done.output
    refused = CliRunner().invoke(cli, [*options, "--from", "ldaps://dc1.corp.local:636", "--force"])
    assert refused.exception is not None and "no connector for ldap" in str(refused.exception)
