"""data_storage.tier_manager as the worker runs it: Results in, table and Result out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.ids import AgentId, fingerprint
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import DataRef, Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.core.spec import parse_spec
from base_ops.data_storage.jobs.tier_manager import run
from base_ops.data_storage.specs.tier_manager import StoreValidatedDataSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake import Lake
from base_ops.worker.lake.tables import Tables
from base_ops.worker.secrets import Secrets

AGENT = "data_storage.tier_manager"


class Runs:
    """Runs of the job on a lake; each is handed the Result of a task before it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0

    def unit(self, content: dict[Any, Any], slice: str = "all") -> DataRef:
        path = self.root / "staging/fx" / f"{fingerprint(slice, content)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame({"k": list(content), "v": list(content.values())}, schema={"k": pl.Int64, "v": pl.String})
        frame.write_parquet(path)
        return DataRef(
            id=path.stem, kind="staging", uri=str(path), name="fx_merged", slice=slice, rows=frame.height, bytes=1
        )

    def __call__(
        self, *units: DataRef, sensitive: tuple[str, ...] = (), spec: dict[str, Any] | None = None, **considered: int
    ) -> JobOutput:
        self.number += 1
        identity = Identity(attempt=f"attempt-{self.number}")
        lake = Lake(str(self.root), identity.attempt)
        before = Result(status=Outcome.OK, identity=identity, outputs=list(units), considered=considered)
        lake.store.write(f"runs/{self.number}.json", before.model_dump_json().encode())
        raw = {"dataset": "fx", "key": ["k"], **(spec or {})}
        request = Request(
            steps=[StepRequest(agent=AGENT, action="store_validated_data", spec=raw)],
            identity=identity,
            inputs=[lake.store.uri(f"runs/{self.number}.json")],
            sensitive_columns=list(sensitive),
            lake_url=str(self.root),
        )
        settings = Settings(threads=1)
        ctx = Context(request, settings, lake, Secrets(self.root / "connections"), logging.getLogger("test"))
        parsed = parse_spec(AgentId.parse(AGENT), raw)
        assert isinstance(parsed, StoreValidatedDataSpec)
        output = run(parsed, ctx)
        assert [step.counts.balance() for step in output.steps] == [0]
        return output

    def rows(self) -> dict[int, str]:
        return dict(Tables(Lake(str(self.root), "a").store).read("fx").select("k", "v").collect().iter_rows())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_store_accounts_for_every_row(runs: Runs) -> None:
    first = runs(runs.unit({1: "a", 2: "b", 3: "c"}, "x"), runs.unit({9: "z"}, "y"), s=1)
    assert first.steps[0].counts.model_dump() | {"bytes_out": 0} == first.steps[0].counts.model_dump()
    assert (first.steps[0].counts.rows_in, first.steps[0].counts.rows_out) == (4, 4)
    second = runs(runs.unit({1: "a", 2: "B", 4: "d"}, "x"), s=2)
    step = second.steps[0]
    assert (step.agent, step.action) == (AGENT, "store_validated_data")
    assert step.observations == {
        "inserted": 1,
        "changed": 1,
        "unchanged": 1,
        "closed": 1,
        "rows": 4,
        "version": 1,
        "slices": 1,
    }
    assert (step.counts.rows_in, step.counts.rows_out) == (3, 3)
    assert runs.rows() == {1: "a", 2: "B", 4: "d", 9: "z"}


def test_the_output_is_the_table(runs: Runs) -> None:
    output = runs(runs.unit({1: "a"}), s=1)
    (ref,) = output.outputs
    assert (ref.kind, ref.name, ref.rows, ref.version) == ("table", "fx", 1, 0)
    assert ref.uri == str(runs.root / "tables/fx")
    assert [(f.name, f.type) for f in ref.fields] == [("k", "int64"), ("v", "large_string")]
    assert [ref.id] == output.commit_keys
    assert (output.lineage.inputs, output.lineage.outputs) == (["fx_merged"], ["fx"])
    assert [(c.column, c.inputs) for c in output.lineage.columns] == [
        ("k", [("fx_merged", "k")]),
        ("v", [("fx_merged", "v")]),
    ]
    (event,) = output.steps[0].events
    assert (event["type"], event["subject"]) == ("data_stored", "fx")
    assert event["data"]["inserted"] == 1


def test_a_retry_adopts_and_says_nothing_twice(runs: Runs) -> None:
    unit = runs.unit({1: "a"})
    first, again = runs(unit, s=1), runs(unit, s=1)
    assert (first.adopted, again.adopted) == (False, True)
    assert again.commit_keys == first.commit_keys
    assert again.outputs == first.outputs
    assert again.steps[0].events == []
    assert again.steps[0].counts == first.steps[0].counts


def test_stale_work_is_dropped_and_says_so(runs: Runs) -> None:
    newest = runs(runs.unit({1: "new"}), s=2)
    stale = runs(runs.unit({1: "old"}), s=1)
    assert [f.code for f in stale.steps[0].findings] == ["superseded"]
    assert stale.steps[0].counts.dropped == {"superseded": 1}
    assert stale.outputs == newest.outputs
    assert runs.rows() == {1: "new"}


def test_nothing_new_hands_on_the_table(runs: Runs) -> None:
    assert runs(s=1).outputs == []
    stored = runs(runs.unit({1: "a"}), s=1)
    idle = runs(s=2)
    assert (idle.outputs, idle.commit_keys) == (stored.outputs, [])


def test_a_changed_schema_is_a_finding(runs: Runs) -> None:
    unit = runs.unit({1: "a"})
    runs(unit, s=1)
    wider = unit.model_copy(update={"id": "wider", "uri": unit.uri + "2"})
    pl.read_parquet(unit.uri).with_columns(w=1.5).write_parquet(wider.uri)
    (finding,) = runs(wider, s=2).steps[0].findings
    assert (finding.code, finding.data) == ("schema_evolved", {"changes": ["new w"]})
    with pytest.raises(BadInput, match="z: not in the table"):
        pl.read_parquet(unit.uri).with_columns(z=1.5).write_parquet(wider.uri)
        runs(wider.model_copy(update={"id": "z"}), spec={"evolution": "none"}, s=3)


def test_sensitive_values_are_in_no_message(runs: Runs) -> None:
    unit = runs.unit({12345: "a"})
    with pytest.raises(BadInput) as caught:
        runs(unit, unit, sensitive=("k",))
    assert caught.value.code == "duplicate_key"
    assert "12345" not in caught.value.text()


def test_the_record_tells_what_a_commit_was_made_of(runs: Runs) -> None:
    unit = runs.unit({1: "a"})
    output = runs(unit, s=1)
    tables = Tables(Lake(str(runs.root), "a").store)
    record = tables.commit_record("fx", output.commit_keys[0])
    assert record is not None
    assert [DataRef.model_validate(u) for u in record["units"]] == [unit]
    assert record["spec"]["key"] == ["k"]
    why = tables.why("fx", {"k": 1})
    assert why is not None
    assert why.inputs == [unit]


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse_spec(AgentId.parse(AGENT), {"action": "store", "dataset": "fx", "key": ["k"]})
