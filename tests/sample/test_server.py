"""The sample market as a user starts it: files, connections, the API, and the collector on top."""

from __future__ import annotations

import json
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock, collected, wait_until

from base_ops import sample
from base_ops.core.yamlio import load_yaml
from base_ops.sample import PLANTED, SampleServer, market
from base_ops.sample.control import _is_held

SOURCES = Path(__file__).parents[2] / "dags" / "config" / "data_ingestion" / "sources"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    sample.start(home)
    yield home
    sample.stop(home)


def source(home: Path, name: str) -> dict[str, Any]:
    raw = load_yaml(SOURCES / f"{name}.yaml").data
    if "files" in raw:
        raw["files"]["path"] = re.sub(r"\{\{.*?\}\}", str(home / "sample"), raw["files"]["path"])
    return dict(raw)


def get(url: str, token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_starting_twice_is_starting_once(home: Path) -> None:
    before = (home / "connections" / "sample_api.json").read_bytes()
    key = (home / "connections" / "masking_key.json").read_bytes()
    assert isinstance(sample.start(home), SampleServer)
    assert (home / "connections" / "sample_api.json").read_bytes() == before
    assert (home / "connections" / "masking_key.json").read_bytes() == key


def test_secrets_are_the_owners_alone(home: Path) -> None:
    for file in (home / "connections").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(json.loads(file.read_text())["password"]) >= 32


def test_the_api_needs_its_token(home: Path) -> None:
    server = sample.start(home)
    token = json.loads((home / "connections" / "sample_api.json").read_text())["password"]
    assert server.url.startswith("http://127.0.0.1:")
    assert get(f"{server.url}/v1/quotes")[0] == 401
    assert get(f"{server.url}/v1/quotes", token + "x")[0] == 401
    assert get(f"{server.url}/v1/else", token)[0] == 404
    assert get(f"{server.url}/v1/quotes?cursor=../x", token)[0] == 400
    assert token not in (home / "sample" / "server.log").read_text()


def test_both_vendors_are_collected_and_corrected(home: Path, tmp_path: Path) -> None:
    (tmp_path / "connections").symlink_to(home / "connections")
    clock = StillClock()
    api = collected(tmp_path, source(home, "sample_api"), clock)
    drop = collected(tmp_path, source(home, "sample_drop"), clock)
    records = [r for ref in api.outputs for r in json.loads(Path(ref.uri).read_bytes())["data"]]
    assert records == market.api_rows()
    assert len(records) == PLANTED["sample_api"].rows
    assert {r.name: Path(r.uri).read_bytes() for r in drop.outputs} == market.drop_files()
    assert clock.slept == [1.0]  # the one Retry-After
    assert api.cursor_after == "2025-03-28T22:00:00Z"

    for name in ("sample_api", "sample_drop"):
        assert collected(tmp_path, source(home, name), clock).steps[0].observations["objects_new"] == 0
    sample.correct(home)
    api, drop = (collected(tmp_path, source(home, name), clock) for name in ("sample_api", "sample_drop"))
    assert [len(json.loads(Path(r.uri).read_bytes())["data"]) for r in api.outputs if r.sequence == 2] == [5]
    assert api.cursor_after == market.LATER
    assert {r.name: Path(r.uri).read_bytes() for r in drop.outputs} == market.drop_files(later=True)
    assert sample.start(home).folder == home / "sample"
    assert len(list((home / "sample" / "drop").iterdir())) == 12


def test_stop_ends_only_what_it_started(tmp_path: Path) -> None:
    assert not sample.stop(tmp_path)
    first = sample.start(tmp_path)
    assert _is_held(first.folder)
    assert sample.stop(tmp_path)
    assert not sample.stop(tmp_path)
    assert wait_until(lambda: not (first.folder / "server.json").exists())
    (first.folder / "server.json").write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:1"}))  # left by a crash
    assert not sample.stop(tmp_path)
    second = sample.start(tmp_path)
    assert second.pid != 1
    assert sample.stop(tmp_path)


def test_it_ends_by_itself_when_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from base_ops.sample import server

    api = server.Api(tmp_path)
    api.timeout = 0.01
    monkeypatch.setattr(server, "IDLE_S", 0.02)
    api.serve()
    api.server_close()
