"""MongoDB as a source, against a simulated peer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from fakes.collecting import StillClock
from fakes.mongo import FakeMongo, fake_mongo

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.mongo import MongoSource
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def server() -> Iterator[FakeMongo]:
    with fake_mongo() as made:
        yield made


class Landed:
    """What several runs have landed."""

    def __init__(self, server: FakeMongo, folder: Path, **spec: Any) -> None:
        self.server, self.folder, self.spec = server, folder, spec
        self.wholes: dict[str, list[Any]] = {}
        self.entries: list[LandingEntry] = []
        self.report = Report()

    def run(self, mode: Any = "incremental", env: str = "dev") -> list[str]:
        source = SourceSpec.model_validate({"id": "s", "connection": "m", "mongo": {"collection": "c", **self.spec}})
        info = ConnectionInfo("m", host="127.0.0.1", port=self.server.server_address[1], schema="d", extra={"sslmode": "disable"})  # fmt: skip
        objects: list[LandedObject] = []
        arrived: dict[str, list[Any]] = {}

        def keep(fetched: Fetched) -> None:
            lines = [json.loads(line) for line in fetched.local.read_bytes().splitlines()]
            arrived.setdefault(str(fetched.part_of), []).extend(lines)
            objects.append(LandedObject(path=fetched.path, stored="", sha256=fetched.sha256, bytes=fetched.bytes, part_of=fetched.part_of))  # fmt: skip

        history = History(self.entries)
        self.report = MongoSource(Site(source, self.folder, info, mode=mode, clock=StillClock(), env=env)).fetch(history, keep)  # fmt: skip
        self.wholes |= arrived
        new = history.new_objects(objects, "snapshot")
        self.entries.append(LandingEntry(sequence=history.last + 1, source="s", objects=new, cursor_after=self.report.cursor_after))  # fmt: skip
        return [item.path for item in new]

    def ids(self) -> list[Any]:
        return sorted(int(d["_id"]["$numberInt"]) for found in self.wholes.values() for d in found)


def test_documents_are_kept_exactly(server: FakeMongo, tmp_path: Path) -> None:
    server.documents = [{"_id": 1, "n": Decimal128("1.10"), "l": 2**40, "f": float("nan"), "b": b"\xff", "t": NOW}]
    landed = Landed(server, tmp_path)
    assert landed.run() == ["c/part-00001.ndjson"]
    assert landed.wholes["c"] == [
        {
            "_id": {"$numberInt": "1"},
            "n": {"$numberDecimal": "1.10"},
            "l": {"$numberLong": str(2**40)},
            "f": {"$numberDouble": "NaN"},
            "b": {"$binary": {"base64": "/w==", "subType": "00"}},
            "t": {"$date": {"$numberLong": str(int(NOW.timestamp() * 1000))}},
        }
    ]
    finds = [c for c in server.commands if "find" in c]
    assert all(c["readConcern"]["level"] == "snapshot" for c in finds)


def test_big_collections_come_in_parts(server: FakeMongo, tmp_path: Path) -> None:
    server.documents = [{"_id": n} for n in range(12_000)]
    landed = Landed(server, tmp_path, part_rows=5_000)
    assert landed.run() == [f"c/part-{n:05d}.ndjson" for n in (1, 2, 3)]
    assert landed.ids() == list(range(12_000))
    assert landed.run() == []


@pytest.mark.parametrize("kind", ["date", "number"])
def test_documents_that_come_late_are_neither_lost_nor_doubled(kind: str, server: FakeMongo, tmp_path: Path) -> None:
    landed = Landed(server, tmp_path, cursor="at", lag_s=60, lag_keys=60)

    def at(seconds: int) -> Any:
        return NOW - timedelta(seconds=600 - seconds) if kind == "date" else seconds

    for step in range(8):
        server.documents.append({"_id": step, "at": at(20 * step)})
        landed.run()
        server.documents.append({"_id": 1000 + step, "at": at(20 * step - 50)})
    server.documents += [{"_id": 2000}, {"_id": 2001, "at": "text"}]
    landed.run()
    assert landed.ids() == [*range(8), *range(1000, 1008), 2000, 2001]
    assert landed.run() == []
    assert landed.run("full") == []


def test_numbers_of_any_type_are_a_cursor(server: FakeMongo, tmp_path: Path) -> None:
    """0.1 as a double is above 0.1 as a decimal, and infinity would carry the cursor away."""
    landed = Landed(server, tmp_path, cursor="n", lag_keys=1)
    values = [-1e308, 0.1, Decimal128("0.3"), float("inf"), float("nan"), 5, 1700000000.123, Decimal128("1e30")]
    for number, value in enumerate(values):
        server.documents.append({"_id": number, "n": value})
        landed.run()
        assert landed.ids() == list(range(number + 1))
    assert sorted(d["_id"]["$numberInt"] for d in landed.wholes["c#other"]) == ["3", "4"]


def test_object_ids_are_a_cursor(server: FakeMongo, tmp_path: Path) -> None:
    server.documents = [{"_id": ObjectId.from_datetime(NOW - timedelta(seconds=n))} for n in (900, 500, 10)]
    landed = Landed(server, tmp_path, cursor="_id", lag_s=60)
    landed.run()
    last = NOW - timedelta(seconds=10)
    server.documents += [
        {"_id": ObjectId(f"{int(last.timestamp()):08x}" + "f" * 16)},
        {"_id": ObjectId.from_datetime(NOW)},
    ]
    landed.run()
    found = sorted(d["_id"]["$oid"] for docs in landed.wholes.values() for d in docs)
    assert found == sorted(str(d["_id"]) for d in server.documents)


def test_a_server_alone_has_no_snapshot(tmp_path: Path) -> None:
    with fake_mongo(None) as alone:
        alone.documents = [{"_id": 1}]
        landed = Landed(alone, tmp_path)
        landed.run()
    assert ([f.code for f in landed.report.findings], landed.ids()) == (["no_snapshot"], [1])


@pytest.mark.parametrize(("code", "kind"), [(13, Denied), (18, Denied), (91, Transient)])
def test_failures_are_told_apart_without_a_secret(
    code: int, kind: type[BaseOpsError], server: FakeMongo, tmp_path: Path
) -> None:
    server.fail["find"] = code
    with pytest.raises(kind) as raised:
        Landed(server, tmp_path).run()
    assert "secret" not in str(raised.value)


def test_weaker_tls_is_for_dev_only(server: FakeMongo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Landed(server, tmp_path).run(env="prod")
    assert refused.value.code == "tls_not_verified"


LOG_INS = {
    # template, and the mechanism and place of accounts that the driver is told
    "mongodb": ("SCRAM-SHA-256", "admin"),
    "openldap": ("PLAIN", "$external"),
    "mutual_tls": ("MONGODB-X509", "$external"),
}


@pytest.mark.parametrize("name", LOG_INS)
def test_the_driver_is_told_what_the_template_says(name: str, tmp_path: Path) -> None:
    """Its options are looked at, since no server could be had."""
    from fakes.certificates import Authority

    from base_ops.data_ingestion.config.sources import fill_template
    from base_ops.worker.connectors import open_connector

    authority = Authority()
    issued = authority.issue("client")
    extra = {
        "ca_certificate": authority.certificate,
        "certificate": issued.certificate,
        "private_key": issued.private_key,
    }
    info = ConnectionInfo("m", host="h.example", schema="d", login="me", password="secret-of-mine", extra=extra if name == "mutual_tls" else {})  # fmt: skip
    template = fill_template({"template": name})
    source = SourceSpec.model_validate({"id": "s", "connection": "m", "authentication": template, "mongo": {"collection": "c"}})  # fmt: skip
    made: Any = open_connector(Site(source, tmp_path, info, env="prod"))
    with made._client() as client:
        assert client.options._options.get("tls") is True
        used = client.options.pool_options._credentials
        assert (used.mechanism, used.source) == LOG_INS[name]
