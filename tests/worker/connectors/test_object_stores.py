"""Files in Azure (Azurite) and Google Cloud Storage (simulated): the contract that S3 keeps too."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fakes.collecting import Asked, Reply, StillClock, serving, wait_until
from fakes.file_servers import free_port

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server
KEY = base64.b64encode(b"a-very-secret-key").decode()


@dataclass
class Store:
    """A server, with ways to arrange what a test needs."""

    scheme: str
    connection: ConnectionInfo
    put: Callable[[str, str, bytes], None]
    delete: Callable[[str, str], None]
    create: Callable[[str], None]


@contextmanager
def azurite(folder: Path) -> Iterator[Store]:
    """Microsoft's own emulator of Azure Storage, from npm."""
    from azure.storage.blob import BlobServiceClient

    command, port = os.environ.get("TEST_AZURITE") or shutil.which("azurite-blob"), free_port()
    assert command, "npm install -g azurite, or point TEST_AZURITE to azurite-blob"
    running = subprocess.Popen(
        [command, "--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", str(port)],
        cwd=folder,
        env={**os.environ, "AZURITE_ACCOUNTS": f"me:{KEY}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/me"
    found = ConnectionInfo("store", login="me", password=KEY, extra={"account_url": url})
    client = BlobServiceClient(url, credential={"account_name": "me", "account_key": KEY})

    def put(container: str, name: str, body: bytes) -> None:
        client.get_container_client(container).upload_blob(name, body, overwrite=True)

    try:
        assert wait_until(lambda: _listens(port), 30)
        yield Store(
            "abfs", found, put, lambda c, n: client.get_container_client(c).delete_blob(n), client.create_container
        )
    finally:
        client.close()
        running.terminate()
        running.wait()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def gcs() -> Iterator[Store]:
    """Listing by pages of two and reading by generation, as the JSON API (v1) describes them."""
    buckets: dict[str, dict[str, tuple[int, bytes]]] = {}
    generations = iter(range(1, 10**6))

    def script(asked: Asked) -> Reply:
        parts = asked.path.split("/")  # '', storage, v1, b, bucket, o[, name]
        found = buckets.get(parts[4])
        if found is None:
            return Reply(404)
        if len(parts) == 6:
            names = sorted(n for n in found if n.startswith(asked.params.get("prefix", "")))
            start = int(asked.params.get("pageToken", 0))
            items = [
                {"name": n, "size": str(len(found[n][1])), "generation": str(found[n][0]), "updated": datetime.now(UTC).isoformat()}
                for n in names[start : start + 2]
            ]  # fmt: skip
            more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
            return Reply(body=json.dumps({"items": items, **more}).encode())
        name = unquote(parts[6])
        if name not in found or str(found[name][0]) != asked.params["generation"]:
            return Reply(404)
        first, last = asked.headers["range"].removeprefix("bytes=").split("-")
        return Reply(206, found[name][1][int(first) : int(last) + 1])

    with serving(script) as server:
        extra = {"endpoint_url": f"http://127.0.0.1:{server.port}", "token": "anon"}
        yield Store(
            "gs",
            ConnectionInfo("store", extra=extra),
            lambda bucket, name, body: buckets[bucket].__setitem__(name, (next(generations), body)),
            lambda bucket, name: buckets[bucket].__delitem__(name) or None,
            lambda bucket: buckets.__setitem__(bucket, {}),
        )


@pytest.fixture(scope="module", params=["azurite", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with azurite(tmp_path_factory.mktemp("azurite")) if request.param == "azurite" else gcs() as made:
        yield made


@pytest.fixture
def bucket(store: Store) -> str:
    name = f"b{uuid.uuid4().hex}"
    store.create(name)
    return name


def site(store: Store, tmp_path: Path, pattern: str, **more: Any) -> Site:
    source = SourceSpec.model_validate({"id": "s", "files": {"path": f"{store.scheme}://{pattern}"}, **more})
    return Site(source, tmp_path, store.connection, clock=StillClock())


def fetch(where: Site, history: History | None = None) -> tuple[dict[str, bytes], Report, History]:
    taken: dict[str, bytes] = {}
    objects: list[LandedObject] = []

    def keep(f: Fetched) -> None:
        taken[f.path] = f.local.read_bytes()
        assert hashlib.sha256(taken[f.path]).hexdigest() == f.sha256
        objects.append(LandedObject(path=f.path, stored="", sha256=f.sha256, bytes=f.bytes, etag=f.etag))

    report = open_connector(where).fetch(history or History(), keep)
    return taken, report, History([LandingEntry(sequence=1, source="s", objects=objects)])


def test_matching_objects_are_fetched(store: Store, bucket: str, tmp_path: Path) -> None:
    big = bytes(range(256)) * 80_000  # several ranges
    for name, body in {"d/EURUSD.csv": b"1", "d/EURGBP.csv": big, "d/USDJPY.csv": b"3", "d/sub/EURX.csv": b"4", "dd/EURY.csv": b"5", "d/EURZ.csv.part": b"6", "d/EUR ü#1%?.csv": b"7"}.items():  # fmt: skip
        store.put(bucket, name, body)
    taken, report, _ = fetch(site(store, tmp_path, f"{bucket}/d/EUR{{quote}}.csv"))
    assert taken == {"EURUSD.csv": b"1", "EURGBP.csv": big, "EUR ü#1%?.csv": b"7"}
    assert [f.code for f in report.all_findings()] == ["temporary_file"]
    assert fetch(site(store, tmp_path, f"{bucket}/**/*X.csv"))[0] == {"d/sub/EURX.csv": b"4"}
    assert fetch(site(store, tmp_path, f"{bucket}/nothing/*.csv"))[0] == {}


def test_unchanged_objects_are_not_read_again(store: Store, bucket: str, tmp_path: Path) -> None:
    store.put(bucket, "a.csv", b"1")
    store.put(bucket, "b.csv", b"2")
    _, _, history = fetch(site(store, tmp_path, f"{bucket}/*.csv"))
    store.put(bucket, "b.csv", b"3")
    taken, report, _ = fetch(site(store, tmp_path, f"{bucket}/*.csv"), history)
    assert (taken, report.unchanged) == ({"b.csv": b"3"}, 1)


@pytest.mark.parametrize("change", ["replace", "delete", "replace between ranges"])
def test_an_object_that_changes_after_it_was_listed_is_left(
    change: str, store: Store, bucket: str, tmp_path: Path
) -> None:
    store.put(bucket, "a.csv", b"1" * (9 << 20))
    made: Any = open_connector(site(store, tmp_path, f"{bucket}/*.csv"))
    listed, block = list(made._listing()), made.block

    def meddled(file: Any, start: int, stop: int) -> bytes:
        if start or "between" not in change:
            store.delete(bucket, "a.csv") if change == "delete" else store.put(bucket, "a.csv", b"2" * (9 << 20))
        return bytes(block(file, start, stop))

    made.listed, made.block = lambda: listed, meddled
    seen: list[Fetched] = []
    report = made.fetch(History(), seen.append)
    assert (seen, list(tmp_path.iterdir())) == ([], [])
    assert [f.code for f in report.all_findings()] == ["changed_while_read"]


def test_a_bucket_that_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        fetch(site(store, tmp_path, "no-such-bucket/*.csv"))
    assert error.value.code == "no_such_bucket"


def test_wrong_credentials(tmp_path: Path) -> None:
    with azurite(tmp_path) as store:
        store.create("bucket")
        wrong = base64.b64encode(b"wrong-key-1234").decode()
        where = replace(site(store, tmp_path, "bucket/*.csv"), connection=replace(store.connection, password=wrong))
        with pytest.raises(Denied) as error:
            fetch(where)
    assert (wrong in error.value.text(), where.clock.slept) == (False, [])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(401, Denied), (403, Denied), (400, ConfigError), (503, Transient), (500, Transient), (429, Transient)],
)
@pytest.mark.parametrize("scheme", ["gs", "abfs"])
def test_failures_are_told_apart(scheme: str, answer: int, kind: type[BaseOpsError], tmp_path: Path) -> None:
    with serving(lambda _asked: Reply(answer)) as server:
        url = f"http://127.0.0.1:{server.port}"
        extra = {"endpoint_url": url, "token": "anon", "account_url": f"{url}/me"}
        found = ConnectionInfo("store", login="me", password=KEY, extra=extra)
        source = SourceSpec.model_validate({"id": "s", "files": {"path": f"{scheme}://b/*.csv"}})
        where = Site(source, tmp_path, found, clock=StillClock())
        with pytest.raises(kind) as error:
            fetch(where)
        assert len(server.asked) == (4 if kind is Transient else 1)
    assert "connection store" in error.value.where
    assert KEY not in error.value.text()


@pytest.mark.parametrize(("scheme", "library"), [("gs", "gcsfs"), ("abfs", "azure.storage.blob")])
def test_a_missing_library_names_what_to_install(
    scheme: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    source = SourceSpec.model_validate({"id": "s", "files": {"path": f"{scheme}://b/*.csv"}})
    with pytest.raises(ConfigError, match=rf"base-ops\[{scheme}\]"):
        open_connector(Site(source, tmp_path, ConnectionInfo("store", login="me")))
