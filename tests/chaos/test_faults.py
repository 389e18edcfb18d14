"""A source that fails at random, again and again: in the end every row is there, once, and no secret anywhere else.

The standard workflow's chain, agent by agent through the worker's entry point and in this process, since Airflow would
only cost time; what Airflow does, trying a transient end again and giving up on others, is done here.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from base_ops.bench.serving import in_thread
from base_ops.core.ids import uuid7
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.core.yamlio import load_yaml
from base_ops.orchestration.agent import xcom_value
from base_ops.sample import market
from base_ops.sample.faults import FAULTS, Faults
from base_ops.sample.server import CORRECTED, Api, write_private
from base_ops.worker.backoff import Clock
from base_ops.worker.lake import Store
from base_ops.worker.lake.tables import Tables
from base_ops.worker.main import run

pytestmark = pytest.mark.slow
RUNS = int(os.environ.get("CHAOS_FAULT_RUNS", "50"))
AT_A_TIME = 10
PIPELINE = Path(__file__).parents[2] / "dags" / "pipelines" / "base_standard_ingestion_workflow.yaml"
TRIES = 4
"""Of a task, as its `retries` say."""
ATTEMPTS = 12
"""Runs of the workflow until its source was kind enough once: one every six hours."""


class Given(Exception):
    """A task failed for good: the run is over."""


@contextmanager
def unkind(folder: Path, seed: int) -> Iterator[Api]:
    """The sample's API in this process, with faults of its own."""
    folder.mkdir(parents=True)
    dice = random.Random(seed)
    api = Api(folder, faults=Faults(plan={}, share=dice.choice((0.1, 0.3, 0.6)), seed=seed, in_row=3, retry_after="0"))
    with in_thread(api):
        yield api


@dataclass
class Workflow:
    """The pipeline's own specs, run task by task."""

    home: Path
    told: list[str] = field(default_factory=list)
    """What would go to XCom."""

    def __post_init__(self) -> None:
        document = load_yaml(PIPELINE).data
        (source,) = document["sources"]
        source["http"] |= {"path": "/v2/quotes", "backoff_s": 0}
        source["authentication"] = {"kind": "oauth2"}
        source["connecting"] = {"breaker": {"open_s": 0.02}}  # it opens often; how long for is another test's business
        self.source = source
        tasks = {name: task for name, task in document["tasks"].items() if "compensates" not in task}
        self.tasks = {name: (task["agent"], self._filled(task["spec"])) for name, task in tasks.items()}
        self.settings = Settings(home=self.home)

    def _filled(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {name: self.source if value == "${source}" else value for name, value in spec.items()}

    def run(self) -> None:
        """One run. Raises Given where a task fails for good."""
        before: list[str] = []
        for name in self.tasks:
            before = [self._task(name, before)]

    def _task(self, name: str, before: list[str]) -> str:
        for number in range(1, TRIES + 1):
            result, uri = self._try(name, before, number)
            if result.status.is_green:
                self.told.append(json.dumps(xcom_value(result, uri)))
                return uri
            if result.status is not Outcome.TRANSIENT:
                break
        raise Given(f"{name}: {result.error}")

    def _try(self, name: str, before: list[str], number: int) -> tuple[Result, str]:
        agent, spec = self.tasks[name]
        attempt = uuid7()
        uri = f"{self.settings.lake}/runs/chaos/{name}/{number}-{attempt}/result.json"
        body = {key: value for key, value in spec.items() if key != "action"}
        action = spec.get("action") or {"data_ingestion.collector": "collect_data_from_source"}.get(agent) or "run"
        actions = {
            "data_ingestion.converter": "convert_to_standard_format",
            "data_quality.validator": "validate_data_quality",
            "data_storage.tier_manager": "store_validated_data",
        }
        request = Request(
            steps=[StepRequest(agent=agent, action=actions.get(agent, action), spec=body)],
            identity=Identity(dag_id="chaos", run_id="chaos", task_id=name, try_number=number, attempt=attempt),
            inputs=before,
            connections=["sample_v2"],
            lake_url=self.settings.lake,
            result_uri=uri,
        )
        return run(request, self.settings), uri

    def run_until_done(self) -> int:
        """How many runs it took."""
        for number in range(1, ATTEMPTS + 1):
            try:
                self.run()
            except Given:
                continue
            return number
        raise AssertionError(f"the source won {ATTEMPTS} times in a row")


def expected(later: bool) -> Counter[tuple[str, str, str, float]]:
    rows = {(r["symbol"], r["date"], r["updated_at"]): r["close"] for r in market.api_quotes(later=later)}
    return Counter((*key, close) for key, close in rows.items())


def stored(lake: str) -> Counter[tuple[str, str, str, float]]:
    frame = Tables(Store(lake)).read("vendor_quotes").collect()
    return Counter(
        (r["symbol"], str(r["date"]), r["updated_at"].strftime("%Y-%m-%dT%H:%M:%SZ"), r["close"])
        for r in frame.iter_rows(named=True)
    )


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for matters here, not how long."""
    monkeypatch.setattr(Clock, "sleep", lambda _self, seconds: time.sleep(min(seconds, 0.02)))


@pytest.mark.parametrize("part", range(-(-RUNS // AT_A_TIME)))
def test_every_row_once_whatever_the_source_does(part: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = min(AT_A_TIME, RUNS - part * AT_A_TIME)
    first = random.randrange(1 << 30)
    seen: Counter[str] = Counter()
    needed: Counter[int] = Counter()
    for seed in range(first, first + runs):
        home = tmp_path / str(seed)
        with unkind(home / "sample", seed) as api:
            for name, connection in api.connections().items():
                write_private(home / "connections" / f"{name}.json", connection)
            workflow = Workflow(home)
            needed[workflow.run_until_done()] += 1
            assert stored(workflow.settings.lake) == expected(later=False), f"seed {seed}"
            (api.folder / CORRECTED).touch()
            needed[workflow.run_until_done()] += 1
            assert stored(workflow.settings.lake) == expected(later=True), f"seed {seed}"
            secrets = [api.issuer.secret, api.token, *api.issuer.given]
            captured = capfd.readouterr()
            no_secret_in(home, [captured.out, captured.err, *workflow.told], secrets, seed)
            seen.update(api.faults.counted)
    with capfd.disabled():
        print(
            f"\n{runs} runs from seed {first}: {dict(seen)}; runs of the workflow needed: {dict(sorted(needed.items()))}"
        )
    assert runs < AT_A_TIME or set(seen) == set(FAULTS)


def no_secret_in(home: Path, texts: list[str], secrets: list[str], seed: int) -> None:
    """Neither in what was printed or handed on, nor in any file but the connections' own."""
    for text in texts:
        assert not [s for s in secrets if s in text], f"seed {seed}: a secret was printed or handed on"
    for file in (path for path in home.rglob("*") if path.is_file() and path.parent.name != "connections"):
        data = file.read_bytes()
        assert not [s for s in secrets if s.encode() in data], f"seed {seed}: a secret is in {file}"
