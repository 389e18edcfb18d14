"""data_ingestion.fetch_retry: classes, waits, decisions, segments, dead letters, and the model that may choose."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fakes.collecting import StillClock, collected, context
from fakes.mlflow import fake_mlflow
from hypothesis import given
from hypothesis import strategies as st

from base_ops.cli import cli
from base_ops.core.breaker import BreakerState
from base_ops.core.config import config_dir, load_config
from base_ops.core.errors import ConfigError
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import ErrorInfo, Identity, Result, StepResult
from base_ops.core.settings import Settings
from base_ops.data_ingestion.jobs.fetch_retry import analyze, dead_letters, select
from base_ops.data_ingestion.jobs.fetch_retry.classes import classify
from base_ops.data_ingestion.jobs.fetch_retry.decide import Decision, Surroundings, decide, options
from base_ops.data_ingestion.jobs.fetch_retry.queue import Letter, Queue
from base_ops.data_ingestion.jobs.fetch_retry.segments import missing, plan
from base_ops.data_ingestion.jobs.fetch_retry.waits import wait_s
from base_ops.data_ingestion.jobs.model_trainer import run as train_model
from base_ops.data_ingestion.models.retry_strategy import choose, table, training
from base_ops.data_ingestion.options.retries import BackoffSpec, PartialPolicy, RetryPoliciesFile, RetryPolicySpec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.fetch_retry import (
    AnalyzeFailurePatternsSpec,
    FailureSpec,
    ProcessDeadLettersSpec,
    SelectOptimalRetryStrategySpec,
)
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.lake.store import Store
from base_ops.worker.models.champion import find_model, packaged_file

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)  # files just written have settled
POLICIES = RetryPoliciesFile.model_validate(
    yaml.safe_load((config_dir() / "data_ingestion" / "retry-policies.yaml").read_text())
)


def failure(**more: Any) -> FailureSpec:
    return FailureSpec.model_validate({"source": "s", **more})


def by_rules(failed: FailureSpec, policy: RetryPolicySpec | None = None, **around: Any) -> Decision:
    return decide(failed, policy or POLICIES.of("s", "http"), Surroundings(**around), use_model=False)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"code": "timeout"}, "transient"),
        ({"code": "timeout", "bytes_done": 9}, "partial"),
        ({"code": "rate_limited", "status": 429}, "transient"),
        ({"code": "x", "status": 503}, "transient"),
        ({"code": "cut_body"}, "partial"),
        ({"code": "unauthorized", "outcome": "denied"}, "persistent"),
        ({"code": "x", "status": 404}, "persistent"),
        ({"code": "bad_spec", "outcome": "config_error"}, "persistent"),
        ({"code": "out_of_memory"}, "systematic"),
        ({"code": "what is this", "outcome": "bug"}, "systematic"),
    ],
)
def test_classes(told: dict[str, Any], kind: str) -> None:
    assert classify(failure(**told)).kind == kind


WAITS = {
    "exponential": [1, 2, 4, 8, 16],
    "linear": [1, 6, 11, 16, 21],
    "fixed": [1, 1, 1, 1, 1],
    "fibonacci": [1, 1, 2, 3, 5],
}


@pytest.mark.parametrize("kind", WAITS)
def test_waits(kind: Any) -> None:
    backoff = BackoffSpec(kind=kind, jitter=0)
    assert [wait_s(backoff, n) for n in range(1, 6)] == WAITS[kind]


def test_adaptive_waits_grow_and_ease() -> None:
    backoff = BackoffSpec(kind="adaptive", jitter=0, max_s=600)
    assert [wait_s(backoff, n) for n in (1, 2, 3, 60)] == [1, 1.5, 2.25, 600]
    assert [wait_s(backoff, 1, calls=calls) for calls in ("-", "--", "---", "-" * 100)] == [1, 1.5, 2.25, 600]
    assert wait_s(backoff, 1, calls="----+-") == pytest.approx(1.5**4 * 0.8)
    assert wait_s(backoff, 9, calls="---" + "+" * 20 + "-") == 1, "never below min_s"
    assert wait_s(backoff, 9, calls="-" * 50 + "+-") == pytest.approx(480), "what grew beyond max_s shrinks from there"


def test_the_adaptive_wait_knows_what_other_tasks_met() -> None:
    policy = RetryPolicySpec.model_validate({"default": {"backoff": {"kind": "adaptive", "jitter": 0}}})
    calm, stormy = (
        decide(failure(code="timeout"), policy, Surroundings(breaker=BreakerState(recent=recent)), use_model=False)
        for recent in ("+" * 9 + "-", "--+--+--+-")
    )
    assert (calm.wait_s, stormy.wait_s) == (1, pytest.approx(1.5**6 * 0.8**3))


@given(
    st.sampled_from([*WAITS, "adaptive"]),
    st.integers(1, 10_000),
    st.floats(0, 0.99),
    st.text("+-", max_size=100),
    st.text(max_size=9),
)
def test_waits_are_bounded_and_repeatable(kind: Any, attempt: int, jitter: float, calls: str, seed: str) -> None:
    backoff = BackoffSpec(kind=kind, jitter=jitter)
    wait = wait_s(backoff, attempt, calls=calls, seed=seed)
    assert 0 <= wait <= 300 and wait == wait_s(backoff, attempt, calls=calls, seed=seed)


DECISIONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    # failure, more of the policy, surroundings, action
    "first time-out": ({"code": "timeout"}, {}, {}, "retry"),
    "revoked": ({"code": "unauthorized", "outcome": "denied"}, {}, {}, "refresh_credential"),
    "revoked, replaced": ({"code": "unauthorized", "outcome": "denied", "refreshed": True}, {}, {}, "dead_letter"),
    "not found": ({"code": "not_found", "outcome": "config_error"}, {}, {}, "dead_letter"),
    "broken off": ({"code": "cut_body", "bytes_done": 60, "bytes_total": 100}, {}, {}, "partial"),
    "broken off at the start": ({"code": "cut_body", "bytes_total": 100}, {}, {}, "retry"),
    "used up": ({"code": "x", "status": 504, "attempt": 3}, {}, {}, "dead_letter"),
    "used up, fallback": ({"code": "x", "status": 504, "attempt": 3}, {"fallback": {"options": [{"source": "b"}]}}, {}, "fallback"),
    "fallback was tried": (
        {"code": "x", "status": 504, "attempt": 3, "tried_fallbacks": ["b"]},
        {"fallback": {"options": [{"source": "b"}]}},
        {"cache_age_s": 60},
        "cache",
    ),
    "cache too old": ({"code": "x", "status": 504, "attempt": 3}, {}, {"cache_age_s": 86_401}, "dead_letter"),
    "five in a row": ({"code": "timeout", "failures": 5}, {}, {}, "human"),
}  # fmt: skip


@pytest.mark.parametrize("case", DECISIONS)
def test_decisions(case: str) -> None:
    told, more, around, action = DECISIONS[case]
    policy = RetryPolicySpec.model_validate({**POLICIES.of("s", "http").model_dump(), **more})
    decision = by_rules(failure(**told), policy, **around)
    assert decision.action == action and decision.reasons


SHIPPED = load_config(RetryPoliciesFile, config_dir() / "data_ingestion" / "retry-policies.yaml")


@pytest.mark.parametrize("name", SHIPPED.policies)
def test_every_try_that_a_shipped_policy_promises_is_made(name: str) -> None:
    policy = SHIPPED.policies[name]
    rules = {"timeout": policy.default, **{c: r for c, r in policy.codes.items() if not r.refresh_once}}
    for code, rule in rules.items():
        status = int(code) if code.isdigit() else None
        made = [
            by_rules(failure(code=code, status=status, attempt=n), policy).action for n in range(1, (rule.tries or 30))
        ]
        assert made == ["retry"] * len(made), code
        if rule.tries is not None:
            last = by_rules(failure(code=code, status=status, attempt=rule.tries), policy)
            assert last.action == ("fallback" if policy.fallback.options else "dead_letter")


def test_the_fifth_fetch_in_a_row_that_is_given_up_is_for_a_person(tmp_path: Path) -> None:
    def given_up(run: str) -> str:
        asked = SelectOptimalRetryStrategySpec(source="s", failure=failure(code="timeout", attempt=5))
        step = select.run(asked, context(tmp_path, dag_id="d", run_id=run, task_id="t"), StillClock(NOW)).steps[0]
        return str(step.observations["decision"]["action"])  # type: ignore[index, call-overload]

    assert [given_up(run) for run in ("1", "2", "3", "4", "4", "5")] == ["dead_letter"] * 5 + ["human"]


def test_7_7_retry_after_and_the_breaker_are_waited_for_whoever_chooses() -> None:
    limited = failure(code="rate_limited", status=429, retry_after_s=7)
    opened = BreakerState(phase="open", opened_at=100.0)
    for use_model in (False, True):
        policy = POLICIES.of("s", "http").model_copy(update={"min_confidence": 0.0})
        assert decide(limited, policy, Surroundings(), use_model=use_model).wait_s >= 7
        waited = decide(limited, policy, Surroundings(breaker=opened, now=105.0), use_model=use_model)
        assert waited.wait_s >= 25 and (use_model or waited.wait_s == pytest.approx(25))


def test_weak_fallbacks_and_old_caches_are_flagged() -> None:
    weak = {"fallback": {"options": [{"source": "yahoo", "quality": 0.7}]}, "default": {"tries": 0}}
    decision = by_rules(failure(code="timeout"), RetryPolicySpec.model_validate(weak))
    assert (decision.action, decision.source, decision.degraded) == ("fallback", "yahoo", True)
    good = {
        "fallback": {"options": [{"source": "yahoo", "quality": 0.7}, {"source": "b", "quality": 0.8}]},
        "default": {"tries": 0},
    }
    decision = by_rules(failure(code="timeout"), RetryPolicySpec.model_validate(good))
    assert (decision.source, decision.degraded) == ("b", False)
    for age, stale in ((3600, False), (3601, True)):
        found = by_rules(
            failure(code="timeout"), RetryPolicySpec.model_validate({"default": {"tries": 0}}), cache_age_s=age
        )
        assert (found.action, found.degraded) == ("cache", stale)


def test_streams_go_on_for_ever() -> None:
    decision = by_rules(failure(code="unreachable", attempt=500), POLICIES.of("k", "kafka"))
    assert decision.action == "retry" and decision.wait_s <= 600


@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(-5, 10**9), st.integers(-5, 10**9)), max_size=20),
    st.integers(1, 200),
)
def test_segments_are_exactly_what_is_missing(total: int, done: list[tuple[int, int]], most: int) -> None:
    gaps = missing(total, done)
    cut = plan(total, done, PartialPolicy(segments=most))
    assert sum(b - a for a, b in cut) == sum(b - a for a, b in gaps) and len(cut) <= most + len(gaps)
    for start, stop in cut:
        assert 0 <= start < stop <= total
        assert all(stop <= max(a, 0) or start >= min(b, total) for a, b in done if max(a, 0) < min(b, total))
    assert all(a[1] <= b[0] for a, b in pairwise(cut))


# -- the action on stored Results


def red(
    home: Path, attempt: str, *, code: str = "timeout", at: datetime = NOW, green: bool = False, run: str = "r"
) -> None:
    error = ErrorInfo(code=code, what="it failed", outcome=Outcome.TRANSIENT, found="HTTP 503 x")
    result = Result(
        status=Outcome.OK if green else Outcome.TRANSIENT,
        identity=Identity(dag_id="d", run_id=run, task_id="collect", item="s", attempt=attempt, try_number=2),
        steps=[StepResult(agent="data_ingestion.collector", action="collect_data_from_source")],
        error=None if green else error,
        started_at=at.isoformat(),
    )
    Store(str(home / "lake")).write(f"runs/d/{run}/collect/{attempt}/result.json", result.model_dump_json().encode())


def test_the_failure_of_this_run_is_found_and_the_decision_told(tmp_path: Path) -> None:
    red(tmp_path, "2-b", at=NOW + timedelta(minutes=1), code="server_error")
    red(tmp_path, "1-a")
    spec = SelectOptimalRetryStrategySpec(source="s", policy=RetryPolicySpec(use_model=False))
    ctx = context(tmp_path, dag_id="d", run_id="r", task_id="retry")
    step = select.run(spec, ctx, StillClock(NOW)).steps[0]
    told: Any = step.observations
    assert (told["failure"]["code"], told["failure"]["status"], told["failure"]["attempt"]) == ("server_error", 503, 2)
    assert told["decision"]["action"] == "retry" and told["decision"]["reasons"]
    assert [event["type"] for event in step.events] == ["retry_started"]
    with pytest.raises(ConfigError, match="no failed fetch"):
        select.run(spec, context(tmp_path, dag_id="d", run_id="other"), StillClock(NOW))


def test_what_landed_last_stands_in(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.csv").write_text("a\n1\n")
    clock = StillClock()
    collected(tmp_path, {"id": "s", "files": {"path": f"{tmp_path}/drop/*.csv"}}, clock)
    clock.moment += timedelta(hours=2)
    policy = RetryPolicySpec.model_validate({"default": {"tries": 0}, "use_model": False})
    spec = SelectOptimalRetryStrategySpec(source="s", failure=failure(code="timeout"), policy=policy)
    output = select.run(spec, context(tmp_path), clock)
    assert [ref.name for ref in output.outputs] == ["a.csv"]
    decision: Any = output.steps[0].observations["decision"]
    assert (decision["action"], decision["degraded"]) == ("cache", True)


def test_patterns(tmp_path: Path) -> None:
    for n in range(6):
        red(tmp_path, "1", at=NOW - timedelta(days=n), run=f"r{n}")
        red(tmp_path, "2", at=NOW - timedelta(days=n) + timedelta(seconds=30), run=f"r{n}", green=True)
    red(tmp_path, "1", at=NOW - timedelta(hours=5), run="odd", code="server_error")
    red(tmp_path, "1", at=NOW - timedelta(days=30), run="old")
    step = analyze.run(
        AnalyzeFailurePatternsSpec(action="analyze_failure_patterns"), context(tmp_path), StillClock(NOW)
    ).steps[0]
    told: Any = step.observations["patterns"]
    assert told["s"]["failures"] == 7 and told["s"]["recovered"] == 6 and told["s"]["mean_recovery_s"] == 30
    assert {finding.code for finding in step.findings} == {"failures_cluster", "failures_alike"}


# -- dead letters


def given_up(
    home: Path, source: str = "s", run: str = "r", clock: StillClock | None = None, **policy: Any
) -> StepResult:
    made = RetryPolicySpec.model_validate({"dead_letters": policy, "cache": None, "use_model": False})
    failed = FailureSpec(source=source, code="not_found", outcome="config_error")
    spec = SelectOptimalRetryStrategySpec(source=source, failure=failed, policy=made, request={"mode": "full"})
    ctx = context(home, dag_id="d", run_id=run, task_id="t")
    return select.run(spec, ctx, clock or StillClock(NOW)).steps[0]


def test_a_fetch_given_up_is_one_letter_however_often_it_is_told(tmp_path: Path) -> None:
    for _ in range(3):
        step = given_up(tmp_path)
    assert step.observations["dead_letter_queue_size"] == 1
    (held,) = Queue(Store(str(tmp_path / "lake"))).waiting()
    assert held.letter.request == {"mode": "full"} and held.letter.reasons
    assert given_up(tmp_path, run="r2").observations["dead_letter_queue_size"] == 2


@pytest.mark.parametrize(("items", "code"), [(1, None), (2, "dead_letter_queue_long"), (3, "dead_letter_queue_full")])
def test_people_are_told_of_a_long_queue_and_nothing_is_thrown_away(
    items: int, code: str | None, tmp_path: Path
) -> None:
    for n in range(items):
        step = given_up(tmp_path, run=f"r{n}", alert_items=2, max_items=3)
    assert step.observations["dead_letter_queue_size"] == items
    assert [f.code for f in step.findings[1:]] == ([code] if code else [])


def test_one_pass_replays_expires_and_calls_people(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "a.csv").write_text("a\n1\n")
    good = SourceSpec.model_validate({"id": "good", "files": {"path": f"{drop}/*.csv"}})
    bad = SourceSpec.model_validate({"id": "bad", "files": {"path": f"{tmp_path}/nowhere/*.csv"}})
    given_up(tmp_path, "good")
    given_up(tmp_path, "bad")
    given_up(tmp_path, "unknown")
    given_up(tmp_path, "good", run="old", clock=StillClock(NOW - timedelta(days=8)))
    spec = ProcessDeadLettersSpec.model_validate(
        {"action": "process_dead_letters", "sources": [good, bad], "policy": {"max_replays": 2}}
    )
    output = dead_letters.run(spec, context(tmp_path), StillClock(NOW))
    told = output.steps[0].observations
    assert {k: told[k] for k in ("replayed", "failed_again", "expired", "dead_letter_queue_size")} == {
        "replayed": 1, "failed_again": 1, "expired": 1, "dead_letter_queue_size": 2,
    }  # fmt: skip
    assert [ref.name for ref in output.outputs] == ["a.csv"] and told["unknown_sources"] == ["unknown"]
    again = dead_letters.run(spec, context(tmp_path), StillClock(NOW)).steps[0]
    assert again.observations["waiting_for_people"] == 1
    assert "manual_intervention_required" in [event["type"] for event in again.events]
    last = dead_letters.run(spec, context(tmp_path), StillClock(NOW)).steps[0].observations
    assert (last["replayed"], last["failed_again"], last["dead_letter_queue_size"]) == (0, 0, 2)


def test_after_five_failures_nothing_is_fetched_before_a_person_says_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASE_HOME", str(tmp_path))
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.csv").write_text("a\n1\n")
    source = SourceSpec.model_validate({"id": "s", "files": {"path": f"{tmp_path}/drop/*.csv"}})
    policy = RetryPolicySpec.model_validate({"human": {"approvals": 2, "escalate_s": 600}})
    asked = SelectOptimalRetryStrategySpec(
        source="s", failure=failure(code="timeout", failures=5), policy=policy, request={"mode": "full"}
    )
    clock = StillClock(NOW)
    step = select.run(asked, context(tmp_path, dag_id="d", run_id="r", task_id="t"), clock).steps[0]
    assert [event["type"] for event in step.events] == ["manual_intervention_required"]
    one_pass = ProcessDeadLettersSpec.model_validate({"action": "process_dead_letters", "sources": [source]})

    def passed() -> StepResult:
        return dead_letters.run(one_pass, context(tmp_path), clock).steps[0]

    told = passed()
    assert (told.observations["replayed"], told.observations["waiting_for_people"]) == (0, 1)
    assert told.events[-1]["data"]["escalated"] is False  # type: ignore[index, call-overload]
    clock.moment += timedelta(seconds=601)
    told = passed()
    assert told.observations["escalated"] == 1 and told.events[-1]["data"]["approvals"] == "0 of 2"  # type: ignore[index, call-overload]
    letter = str(step.observations["dead_letter"])[:8]
    cli_of = CliRunner()
    assert "asks (0 of 2)" in cli_of.invoke(cli, ["dead-letters", "list"]).stdout.replace("\n", " ")
    for who in ("ann", "ann"):  # the same person counts once
        assert "1 of 2" in cli_of.invoke(cli, ["dead-letters", "approve", letter, "--as", who]).stdout
    assert passed().observations["replayed"] == 0
    assert "2 of 2" in cli_of.invoke(cli, ["dead-letters", "approve", letter, "--as", "bob"]).stdout
    assert passed().observations["replayed"] == 1
    refused = cli_of.invoke(cli, ["dead-letters", "approve", letter]).exception
    assert isinstance(refused, ConfigError) and refused.code == "nothing_to_approve"


def test_a_letter_is_settled_once(tmp_path: Path) -> None:
    queue = Queue(Store(str(tmp_path)))
    letter = Letter(id="a" * 24, source="s", code="x", failure_class="persistent", at=NOW.isoformat())
    assert queue.put(letter) and not queue.put(letter)
    assert queue.end(letter, "replayed", NOW) and not queue.end(letter, "expired", NOW)
    assert [held.ended for held in queue.held()] == ["replayed"]


def test_the_command(tmp_path: Path, base_home: Path) -> None:
    given_up(tmp_path)
    (item,) = json.loads(CliRunner().invoke(cli, ["dead-letters", "list", "--json"]).stdout)
    start = item["letter"]["id"][:8]
    assert "not_found" in CliRunner().invoke(cli, ["dead-letters", "list"]).stdout
    assert json.loads(CliRunner().invoke(cli, ["dead-letters", "show", start]).stdout)["letter"]["source"] == "s"
    assert "dismissed" in CliRunner().invoke(cli, ["dead-letters", "dismiss", start]).stdout
    assert json.loads(CliRunner().invoke(cli, ["dead-letters", "list", "--json"]).stdout) == []


# -- the model


def test_the_model_beats_the_fixed_policy_by_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    found = table.read(packaged_file(table.MODULE, table.MODEL).read_bytes())
    scores = training.compare(found, seed=77, episodes=4_000)
    with capsys.disabled():
        for name, score in scores.items():
            print(f"\n{name:6} success {score.success:.1%} cost {score.cost:.1f} fetches {score.fetches:.2f}", end="")
    fixed, model = scores["fixed"], scores["model"]
    assert model.cost <= 0.8 * fixed.cost and model.success >= 1.15 * fixed.success
    assert model.fetches <= 0.75 * fixed.fetches and model.reward > scores["rules"].reward


def test_the_same_seed_learns_the_same() -> None:
    one, two = (training.train(3, episodes=300, sweeps=2).to_json() for _ in range(2))
    assert one == two and table.read(one).to_json() == one


def test_the_trainer_keeps_it_measured_beside_the_fixed_policy_and_registers_it(tmp_path: Path) -> None:
    """As its siblings; so small a training is worse than the packaged model, and so does not become the champion."""
    ctx = context(tmp_path)
    with fake_mlflow() as server:
        ctx.settings = ctx.settings.model_copy(update={"mlflow_tracking_uri": server.url})
        spec = ModelTrainerSpec(model="retry_strategy", samples_per_class=4, test_samples_per_class=4)
        output = train_model(spec, ctx)
        assert list(server.versions) == ["base-data_ingestion-retry_strategy"] and not server.aliases
    (step,) = output.steps
    told: Any = step.observations
    assert set(told["accuracy"]) == {"fixed", "rules", "model"} and told["before"] == "packaged"
    assert told["promoted"] is False and told["accuracy_before"] > told["accuracy"]["rules"]
    assert set(told["beside_the_fixed_policy"]) == {"cost", "success", "resources"}
    (ref,) = output.outputs
    kept = table.read(Path(ref.uri).read_bytes())
    failed, around = failure(code="timeout"), Surroundings()
    chosen = choose.choose(failed, options(failed, POLICIES.of("s", "http"), around), 0.0, kept)
    assert chosen.chosen_by == "model"


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"states": []}'])
def test_a_damaged_model_leaves_it_to_the_rules(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.json"
    file.write_text(damage)
    found = find_model(Settings(), "base-data_ingestion-retry_strategy", file, table.FEATURES, table.read)
    assert found.fitted is None and found.tried
    monkeypatch.setattr(choose, "load_model", lambda *_: found)
    failed = failure(code="timeout")
    decision = decide(failed, POLICIES.of("s", "http"), Surroundings())
    assert (decision.action, decision.chosen_by) == ("retry", "fallback")


@given(
    st.sampled_from(["timeout", "rate_limited", "unauthorized", "cut_body", "out_of_memory", "not_found", "?"]),
    st.integers(1, 12), st.integers(0, 100), st.floats(0, 2), st.one_of(st.none(), st.floats(0, 1e5)),
)  # fmt: skip
def test_the_model_chooses_only_what_the_rules_allow(
    code: str, attempt: int, done: int, load: float, after: float | None
) -> None:
    failed = failure(code=code, attempt=attempt, bytes_done=done, bytes_total=100, load=load, retry_after_s=after)
    policy = POLICIES.of("nyse-cloud").model_copy(update={"min_confidence": 0.0})
    decision = decide(failed, policy, Surroundings(cache_age_s=10))
    assert decision.action in decision.allowed
    assert decision.action not in ("retry", "partial") or (
        decision.wait_s >= (after or 0) and decision.failure_class != "persistent"
    )
