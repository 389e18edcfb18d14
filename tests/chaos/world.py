"""A small pipeline without Airflow: workers as processes over a lake of their own, as the operator starts them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, Result, StepRequest

RULES = [
    {"check": "range", "column": "price", "min": 0, "exclusive": True},
    {"check": "presence", "column": "symbol"},
]
KEY = ["symbol", "day"]


def source(folder: Path, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "files": {"path": f"{folder}/{name}/{{part}}.zip"},
        "slice": "{part}",
        "read": {
            "columns": [
                {"name": "symbol", "type": "string"},
                {"name": "day", "type": "date"},
                {"name": "price", "type": "float64"},
                {"name": "account", "type": "string"},
            ]
        },
    }


@dataclass
class World:
    """Input files and one lake; `stages` are the pipeline's tasks in order."""

    folder: Path
    lake: Path
    lake_url: str = ""
    """Where the lake is, if it is not the folder `lake`."""
    environment: dict[str, str] = field(default_factory=dict)
    """For the workers, beside their settings."""

    @property
    def url(self) -> str:
        return self.lake_url or str(self.lake)

    def __post_init__(self) -> None:
        keys = self.folder / "connections"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / "mask_key.json").write_text(json.dumps({"conn_type": "generic", "password": "a-key-for-tests-only"}))

    def write_inputs(self, rows: int = 300, correction: bool = False) -> None:
        for number, vendor in enumerate(("a", "b")):
            for part in ("p1", "p2"):
                text = io.StringIO()
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow(["symbol", "day", "price", "account"])
                for i in range(rows):
                    price: object = 10 + i % 7 + (0.5 if number and i % 5 == 0 else 0)
                    if i % 97 == 13:
                        price = -1 if number else "abc"
                    if correction and vendor == "a" and i in (3, 4, 5):
                        price = 99
                    writer.writerow([f"{part}S{i % 20}", f"2026-01-{1 + i // 20:02d}", price, f"ACC{i}"])
                file = self.folder / vendor / f"{part}.zip"
                file.parent.mkdir(parents=True, exist_ok=True)
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr(zipfile.ZipInfo(f"{part}.csv"), text.getvalue())

    def stages(self) -> Iterator[tuple[str, list[StepRequest], list[str]]]:
        """(task, its steps, the tasks before it)."""
        for vendor in ("a", "b"):
            yield (
                f"collect_{vendor}",
                [_step("data_ingestion.collector", source=source(self.folder, vendor), dataset="d")],
                [],
            )
        for vendor in ("a", "b"):
            convert = _step("data_ingestion.converter", source=source(self.folder, vendor), target="staging:d")
            yield (
                f"convert_{vendor}",
                [convert, _step("data_quality.validator", rules=RULES)],
                ["collect_a", "collect_b"],
            )
        merge = _step("data_ingestion.merger", dataset="d", key=KEY, priority=["a", "b"], default={"rule": "priority"})
        yield "merge", [merge], ["convert_a", "convert_b"]
        unique = {"check": "unique", "columns": KEY}
        yield "validate", [_step("data_quality.validator", rules=[*RULES, unique])], ["merge"]
        mask = _step("data_security.masker", columns={"account": {"method": "tokenize", "key": "mask_key"}})
        yield "mask", [mask], ["validate"]
        yield "store", [_step("data_storage.tier_manager", dataset="d", key=KEY)], ["mask"]

    def start(
        self, task: str, steps: list[StepRequest], before: list[str], failpoint: str = ""
    ) -> subprocess.Popen[bytes]:
        attempt = uuid7()
        request = Request(
            steps=steps,
            identity=Identity(task_id=task, attempt=attempt),
            inputs=[f"{self.url}/runs/{name}.json" for name in before],
            lake_url=self.url,
            result_uri=f"{self.url}/runs/{task}.json",
            sensitive_columns=["account"],
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BASE_")}
        environment |= {
            "BASE_CONNECTIONS_DIR": str(self.folder / "connections"),
            "BASE_HOME": str(self.folder / "home"),
            "BASE_FAILPOINT": failpoint,
            "BASE_THREADS": "2",
            **self.environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "base_ops.worker", "--request", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert process.stdin is not None
        process.stdin.write(request.model_dump_json().encode())
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, task: str, steps: list[StepRequest], before: list[str], failpoint: str = "") -> tuple[int, str]:
        process = self.start(task, steps, before, failpoint)
        _, errors = process.communicate(timeout=120)
        return process.returncode, errors.decode()

    def run_all(self) -> dict[str, Result]:
        results = {}
        for task, steps, before in self.stages():
            code, log = self.run(task, steps, before)
            assert code in (0, 3), f"{task}: {code}\n{log}"
            results[task] = self.result(task)
        return results

    def result(self, task: str) -> Result:
        from base_ops.worker.lake import Store

        return Result.model_validate_json(Store(self.url).read_bytes(f"runs/{task}.json"))

    def published(self) -> dict[str, list[tuple[str, int | None]]]:
        """All that is visible in staging: per commit key the hashes and rows of its files, checked against the bytes."""
        found = {}
        for manifest in (self.lake / "staging").rglob("_manifest.json"):
            document = json.loads(manifest.read_text())
            for file in document["files"]:
                data = (manifest.parent / file["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == file["sha256"], (
                    f"{manifest}: {file['path']} is not what it says"
                )
            found[document["commit_key"]] = [(f["sha256"], f["rows"]) for f in document["files"]]
        return found

    def table(self) -> list[tuple[Any, ...]]:
        """The current rows of the table, without its clock."""
        from base_ops.worker.lake import Store
        from base_ops.worker.lake.tables import Tables

        if not (self.lake / "tables" / "d" / "_delta_log").exists():
            return []
        frame = Tables(Store(str(self.lake))).read("d").collect()
        return sorted(frame.select(c for c in frame.columns if not c.startswith("_")).rows())

    def versions(self) -> int:
        """All row versions the table holds, past and present."""
        import deltalake

        return deltalake.DeltaTable(str(self.lake / "tables" / "d")).to_pyarrow_table().num_rows


def _step(agent: str, **spec: Any) -> StepRequest:
    from base_ops.core.ids import AgentId
    from base_ops.core.spec import action_specs, spec_type

    return StepRequest(agent=agent, action=next(iter(action_specs(spec_type(AgentId.parse(agent))))), spec=spec)


def quarantined(lake: Path) -> int:
    files = list((lake / "quarantine").rglob("*.parquet"))
    return sum(pl.read_parquet(f).height for f in files)
