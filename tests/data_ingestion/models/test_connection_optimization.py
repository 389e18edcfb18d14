"""The connection model: how near it predicts, how good its picks are, and that limits and fallback hold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.collecting import Reply, collected, in_turn, page, serving
from hypothesis import given
from hypothesis import strategies as st

from base_ops.data_ingestion.models.connection_optimization import training
from base_ops.data_ingestion.models.connection_optimization.choose import MODEL, MODULE, Limits, choose, decide
from base_ops.data_ingestion.models.connection_optimization.features import FEATURES
from base_ops.data_ingestion.models.connection_optimization.profiles import profile_settings
from base_ops.data_ingestion.models.connection_optimization.simulator import cost_s, grid, situations
from base_ops.data_ingestion.options.connections import ObservedSpec
from base_ops.worker.models.champion import packaged_file
from base_ops.worker.models.mlp import Mlp, parse_mlp, train_mlp

PACKAGED = packaged_file(MODULE, MODEL)
SEEN = ObservedSpec(requests=500, latency_s=0.2, item_s=0.001, error_share=0.02, slots=20, load=0.4)


@pytest.fixture(scope="module")
def mlp() -> Mlp:
    return parse_mlp(PACKAGED.read_bytes())


def test_the_packaged_model_is_small_text_for_this_code(mlp: Mlp) -> None:
    assert PACKAGED.stat().st_size < 1 << 20 and mlp.features == FEATURES
    assert [weight.shape[1] for weight in mlp.weights] == [128, 64, 32, 1]


def test_predictions_are_within_5_percent_on_situations_of_other_seeds(mlp: Mlp) -> None:
    error = training.mean_error(mlp, seed=4_000_000)
    print(f"mean error {error:.2%}")
    assert error < 0.05


def test_nine_picks_in_ten_are_within_5_percent_of_the_best(mlp: Mlp) -> None:
    shares = training.measure(mlp, seed=5_000_000, number=300)
    print({who: f"{share:.1%}" for who, share in shares.items()})
    assert shares["model"] > 0.9 > shares["rules"]


def test_in_less_than_100_ms_and_little_memory(mlp: Mlp) -> None:
    choose(SEEN, Limits())  # loads the model
    began = time.process_time()
    choice = choose(SEEN, Limits())
    assert time.process_time() - began < 0.1 and choice.decided_by == "model" and choice.model == "packaged"
    mlp_bytes = sum(a.nbytes for a in (*mlp.weights, *mlp.biases)) + len(grid()) * (len(FEATURES) + 128) * 8 * 3
    assert mlp_bytes < 512 << 20


@given(
    pool=st.integers(1, 100), timeout_s=st.floats(1, 600), tries=st.integers(1, 10), batch=st.integers(1, 10_000),
    latency_s=st.floats(1e-3, 60), requests=st.integers(0, 1000), kind=st.sampled_from(["api", "database", "files", "stream"]),
)  # fmt: skip
def test_no_choice_is_beyond_the_limits_of_the_source(
    pool: int, timeout_s: float, tries: int, batch: int, latency_s: float, requests: int, kind: Any
) -> None:
    seen = ObservedSpec(kind=kind, requests=requests, latency_s=latency_s)
    limits = Limits(pool, timeout_s, tries, batch)
    choice = choose(seen, limits)
    assert 1 <= choice.pool <= pool and 0 < choice.timeout_s <= timeout_s
    assert 1 <= choice.tries <= tries and 1 <= choice.batch <= batch
    assert choice.decided_by == "fallback" or requests >= 10


def test_without_a_model_or_enough_requests_the_profile_decides(mlp: Mlp) -> None:
    for choice in (decide(SEEN, Limits(), None), decide(SEEN.model_copy(update={"requests": 3}), Limits(), mlp)):
        settings = (choice.pool, choice.timeout_s, choice.tries, choice.batch)
        assert choice.decided_by == "fallback" and settings == profile_settings(0) and choice.reasons


def test_more_of_what_costs_costs_more() -> None:
    """The simulator is the yardstick: it must not reward what is worse for everyone."""
    made, usual = situations(3, 500), np.tile([8.0, 30.0, 3.0, 100.0], (500, 1))
    base = cost_s(made, usual)
    for worse in (
        {"error_share": made.error_share + 0.2},
        {"latency_s": made.latency_s * 2},
        {"load": 0.95 * np.ones(500)},
    ):
        changed = type(made)(**{**made.__dict__, **worse})
        slower = cost_s(changed, usual)
        mask = made.load < 0.95
        assert (slower[mask] >= base[mask] - 1e-9).all()


def test_it_can_be_made_again_and_learns() -> None:
    made = [training.train(seed=5, number=2000, epochs=2).to_json() for _ in range(2)]
    assert made[0] == made[1]
    x = np.linspace(-1, 1, 4000)[:, None]
    y = np.sin(3 * x[:, 0])
    learned = train_mlp(x, y, features=("x",), hidden=(16, 16), epochs=80, seed=1, about={})
    assert np.abs(parse_mlp(learned.to_json()).predict(x) - y).mean() < 0.05


@pytest.mark.parametrize("fault", ["[]", "{}", '{"format": "base_ops.mlp/1"}', "x"])
def test_what_is_no_model_is_refused(fault: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_mlp(fault)


def test_parts_that_do_not_fit_are_refused(mlp: Mlp) -> None:
    for part, value in (("mean", [0.0]), ("biases_1", [0.0]), ("weights_3", [[float("nan")]] * 32)):
        import json

        raw = json.loads(mlp.to_json())
        with pytest.raises(ValueError, match="fit together|not a model"):
            parse_mlp(json.dumps({**raw, part: value}))


# -- in use


def source(port: int, **connecting: Any) -> dict[str, Any]:
    return {
        "id": "s", "connecting": {"profile": "auto", **connecting},
        "http": {"path": f"http://127.0.0.1:{port}/q", "rate": None, "each": {"n": [str(n) for n in range(15)]}},
    }  # fmt: skip


def test_a_run_with_profile_auto_learns_from_the_runs_before(tmp_path: Path) -> None:
    with serving(lambda asked: page([{"n": asked.params["n"]}])) as server:
        first, second = (collected(tmp_path, source(server.port, settings={"pool": 4})) for _ in range(2))
    chosen = [output.steps[0].observations["connection"] for output in (first, second)]
    assert [choice["decided_by"] for choice in chosen] == ["fallback", "model"]  # type: ignore[index,call-overload]
    assert all(choice["pool"] <= 4 for choice in chosen), "the source's own limit"  # type: ignore[index,call-overload,operator]
    assert "15 requests" in chosen[1]["reasons"][0]  # type: ignore[index,call-overload]


def test_other_profiles_are_left_alone(tmp_path: Path) -> None:
    with serving(in_turn(page([{"id": 1}]))) as server:
        raw = {**source(server.port), "connecting": {"profile": "real_time"}}
        output = collected(tmp_path, raw)
    assert "connection" not in output.steps[0].observations
    assert not list((tmp_path / "lake").rglob("_connection.json"))


def test_a_profile_decides_tries_and_pool_of_http(tmp_path: Path) -> None:
    """`secure` has two tries; what the block says itself goes before."""
    for own, wanted in (({}, 2), ({"tries": 3}, 3)):
        with serving(in_turn(Reply(503))) as server:
            raw = {
                "id": "s", "connecting": {"profile": "secure", "settings": {"mutual_tls": False}},
                "http": {"path": f"http://127.0.0.1:{server.port}/q", **own},
            }  # fmt: skip
            with pytest.raises(Exception, match="cannot answer"):
                collected(tmp_path, raw)
            assert len(server.asked) == wanted
