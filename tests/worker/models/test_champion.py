"""The champion in MLflow, else the packaged model, else none; which one it was is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.mlflow import FakeMlflow, fake_mlflow

from base_ops.core.settings import Settings
from base_ops.worker.models import champion
from base_ops.worker.models.champion import find_model
from base_ops.worker.models.register import register
from base_ops.worker.models.trees import Trees

NAME, FEATURES = "base-data_ingestion-x", ("a", "b")


def model(mark: str, features: tuple[str, ...] = FEATURES) -> Trees:
    one = np.array([0], np.int32)
    return Trees(
        ("x", "y"), features, np.array([0, -3], np.int32), one, np.array([0.5]), one - 1, one - 2,
        np.array([0.0, 1.0, 0.5]), {"mark": mark},
    )  # fmt: skip


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    path = tmp_path / "model.json"
    path.write_text(model("packaged").to_json())
    return path


@pytest.fixture
def server():
    with fake_mlflow() as running:
        yield running


def find(packaged: Path, server: FakeMlflow | None = None, **settings: object):
    url = server.url if server else ""
    return find_model(Settings(mlflow_tracking_uri=url, **settings), NAME, packaged, FEATURES)


def test_without_a_server_the_packaged_one_decides(packaged):
    found = find(packaged)
    assert (found.origin, found.fitted.about["mark"], found.tried) == ("packaged", "packaged", ())


def test_the_champion_goes_first(packaged, server):
    server.champion(NAME, model("champion").to_json().encode())
    found = find(packaged, server)
    assert (found.origin, found.fitted.about["mark"]) == ("mlflow:1", "champion")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, f"no champion of {NAME}"),
        (b"not json", "JSONDecodeError"),
        (model("x", ("other",)).to_json().encode(), "trained on other features"),
    ],
)
def test_a_champion_that_cannot_be_used(packaged, server, data, why):
    if data is not None:
        server.champion(NAME, data)
    found = find(packaged, server)
    assert found.origin == "packaged" and why in found.tried[0]


def test_a_slow_server_is_not_waited_for(packaged, server, monkeypatch):
    monkeypatch.setattr(champion, "TIMEOUT_S", 0.05)
    server.champion(NAME, model("champion").to_json().encode())
    server.delay_s = 0.4
    found = find(packaged, server)
    assert found.origin == "packaged" and "no answer" in found.tried[0]


def test_nobody_there(packaged):
    found = find_model(Settings(mlflow_tracking_uri="http://127.0.0.1:1"), NAME, packaged, FEATURES)
    assert found.origin == "packaged" and "ConnectError" in found.tried[0]


def test_no_model_at_all(tmp_path):
    assert find(tmp_path / "none").origin == "none"
    (tmp_path / "broken").write_text("{")
    assert find(tmp_path / "broken").origin == "none"


def test_switched_off(packaged):
    assert find(packaged, models=False).origin == "none"


@pytest.mark.filterwarnings("default")
def test_what_is_registered_is_found(packaged, server):
    data = model("new").to_json().encode()
    assert register(server.url, NAME, data, {"seed": 1, "accuracy": 0.99}, promote=False) == "1"
    assert find(packaged, server).origin == "packaged"
    assert register(server.url, NAME, data, {"seed": 1, "accuracy": 0.99}, promote=True) == "2"
    assert find(packaged, server).origin == "mlflow:2"
    assert server.metrics == {"accuracy": 0.99}
