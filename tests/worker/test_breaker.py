"""The circuit breaker: alone, in a worker, and shared by all runs through the state database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.collecting import Reply, StillClock, in_turn, serving
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.breaker import Admission, BreakerPolicy, BreakerReport, BreakerState, Call
from base_ops.core.errors import BadInput, ConfigError, Transient
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Identity, Result, StepResult
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec
from base_ops.orchestration.breakers import admissions, peers_of
from base_ops.state import StateStore
from base_ops.state.breakers import admit, states
from base_ops.state.record import record
from base_ops.worker.breaker import Breaker
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

POLICY = BreakerPolicy()
T0 = datetime(2026, 11, 20, tzinfo=UTC)


def calls(text: str, start: float = 0.0, every: float = 1.0) -> list[Call]:
    return [Call(at=start + every * n, ok=mark == "+") for n, mark in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("----", "closed"),
        ("-----", "open"),
        ("----+----", "closed"),
        ("-+" * 4, "closed"),  # half of 8 calls: too few to judge
        ("-+-+-+-+--", "open"),  # 6 of 10
        ("+" * 100 + "----", "closed"),
    ],
)
def test_when_it_opens(text: str, phase: str) -> None:
    assert BreakerState().after_all(calls(text), POLICY).phase == phase


def test_it_closes_after_three_trial_calls_and_opens_again_at_the_first_failure() -> None:
    opened = BreakerState().after_all(calls("-----"), POLICY)
    assert opened.seen_at(33.9, POLICY).phase == "open" and opened.seen_at(34.0, POLICY).phase == "half_open"
    assert opened.after_all(calls("+++", 40), POLICY) == BreakerState()
    again = opened.after_all(calls("++-", 40), POLICY)
    assert (again.phase, again.opened_at) == ("open", 42)


@given(st.text("+-", max_size=300), st.floats(0.1, 60))
def test_whatever_comes_the_state_is_one_of_three_and_small(text: str, every: float) -> None:
    state = BreakerState().after_all(calls(text, every=every), POLICY)
    assert len(state.recent) <= 100 and state.in_row <= 100
    if text.endswith("-----"):
        assert state.phase == "open"
    assert BreakerState.model_validate_json(state.model_dump_json()) == state


def test_7_7_after_five_503_no_call_for_30_s_then_three_trial_calls(tmp_path: Path) -> None:
    clock = StillClock(T0)
    breaker = Breaker("source:s", clock=clock)
    with serving(in_turn(*[Reply(503)] * 5, Reply(body=b"[1]"))) as server:

        def fetch() -> None:
            source = SourceSpec.model_validate({"id": "s", "http": {"path": "/q", "tries": 1}})
            found = ConnectionInfo("c", host="127.0.0.1", port=server.port, scheme="http")
            open_connector(Site(source, tmp_path, found, clock=clock, breaker=breaker)).fetch(History(), lambda _: None)

        for _ in range(5):
            with pytest.raises(Transient, match="cannot answer now"):
                fetch()
        for waited in (0, 29.9):
            clock.moment = T0 + timedelta(seconds=waited)
            with pytest.raises(Transient) as caught:
                fetch()
            assert caught.value.code == "circuit_open" and caught.value.retry_after_s == pytest.approx(30 - waited)
        assert len(server.asked) == 5
        clock.moment = T0 + timedelta(seconds=30)
        for _ in range(3):
            assert breaker.phase == "half_open"
            fetch()
        assert breaker.phase == "closed" and len(server.asked) == 8
    assert breaker.changes == ["open", "half_open", "closed"]


def test_no_more_trial_calls_at_once_than_allowed() -> None:
    clock = StillClock(T0)
    breaker = Breaker("p", Admission(state=BreakerState(phase="half_open", opened_at=1)), clock)
    with (
        breaker.guard(),
        breaker.guard(),
        breaker.guard(),
        pytest.raises(Transient, match="under way"),
        breaker.guard(),
    ):
        pass
    assert breaker.phase == "closed"


def test_only_failures_of_the_peer_count() -> None:
    breaker = Breaker("p", clock=StillClock(T0))
    for _ in range(20):
        for error in (BadInput("x", code="x"), ConfigError("x", code="x")):
            with pytest.raises(type(error)), breaker.guard():
                raise error
    assert breaker.phase == "closed"


# -- shared by all runs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    made = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


def ended(attempt: str, text: str, start: datetime = T0, every: float = 1.0) -> Result:
    report = BreakerReport(peer="source:s", calls=calls(text, start.timestamp(), every))
    return Result(
        status=Outcome.TRANSIENT,
        identity=Identity(attempt=attempt),
        steps=[StepResult(agent="data_ingestion.collector", action="collect_data_from_source")],
        breakers=[report],
    )


def test_failures_of_several_runs_add_up_and_each_counts_once(store: StateStore) -> None:
    record(store, ended("a", "---"), "a.json")
    for _ in range(3):  # a sweep that records again
        record(store, ended("a", "---"), "a.json")
    assert states(store)["source:s"].phase == "closed"
    record(store, ended("b", "--", T0 + timedelta(seconds=5)), "b.json")
    assert states(store)["source:s"].phase == "open"
    told = admit(store, {"source:s": POLICY, "source:other": POLICY}, "c", T0 + timedelta(seconds=7))
    assert told["source:s"].state.phase == "open" and told["source:other"].state == BreakerState()


def test_half_open_one_task_makes_the_trial_calls(store: StateStore) -> None:
    record(store, ended("a", "-----"), "a.json")
    later = T0 + timedelta(seconds=60)
    told = {who: admit(store, {"source:s": POLICY}, who, later)["source:s"] for who in ("b", "c", "d")}
    assert [told[who].probing for who in ("b", "c", "d")] == [True, False, False]
    other = Breaker("source:s", told["c"], StillClock(later))
    with pytest.raises(Transient, match="another task"), other.guard():
        pytest.fail("it was called")
    record(store, ended("b", "+++", later), "b.json")
    assert states(store)["source:s"].phase == "closed"
    assert admit(store, {"source:s": POLICY}, "e", later)["source:s"].probing


def test_the_lease_of_a_task_that_died_ends(store: StateStore) -> None:
    record(store, ended("a", "-----"), "a.json")
    later = T0 + timedelta(seconds=60)
    assert admit(store, {"source:s": POLICY}, "b", later)["source:s"].probing
    assert not admit(store, {"source:s": POLICY}, "c", later + timedelta(seconds=599))["source:s"].probing
    assert admit(store, {"source:s": POLICY}, "c", later + timedelta(seconds=601))["source:s"].probing


def test_many_tasks_at_once_get_one_lease(store: StateStore) -> None:
    record(store, ended("a", "-----"), "a.json")
    later = T0 + timedelta(seconds=60)
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda n: admit(store, {"source:s": POLICY}, f"t{n}", later)["source:s"].probing, range(16))
        )
    assert told.count(True) == 1


def test_the_peers_of_a_request_are_its_sources(tmp_path: Path) -> None:
    source = {"id": "s", "http": {"path": "/"}, "connecting": {"breaker": {"failures": 2}}}
    spec = CollectDataFromSourceSpec(source=SourceSpec.model_validate(source))
    assert peers_of([spec]) == {"source:s": BreakerPolicy(failures=2)}
    told: list[tuple[object, ...]] = []

    class Log:
        def warning(self, *args: object) -> None:
            told.append(args)

    assert list(admissions(f"sqlite:///{tmp_path / 's.db'}", [spec], "a", Log())) == ["source:s"] and not told
    (tmp_path / "folder.db").mkdir()
    assert admissions(f"sqlite:///{tmp_path / 'folder.db'}", [spec], "a", Log()) == {} and told
