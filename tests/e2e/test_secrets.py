"""Secrets planted in connections are looked for in all that a run writes, prints, stores and starts."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from e2e_kit import ROOT, Done, environment, run
from fakes.collecting import Reply, in_turn, serving

from base_ops import sample
from base_ops.core.protocol import Identity, Request, Result, StepRequest

pytestmark = pytest.mark.slow

ODD = "\"'\\/+=&%µ\n"
"""Marks that are written otherwise in JSON, in URLs and in Python's own notation."""


def planted(odd: str = "") -> str:
    return f"s3cr3t{odd}{secrets.token_hex(12)}"


def forms(secret: str) -> dict[str, bytes]:
    """The ways in which a secret may be written down."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "json": json.dumps(secret)[1:-1].encode(),
        "json in utf-8": json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        "json in json": json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(),
        "repr": repr(secret)[1:-1].encode(),
        "url": quote(secret, safe="").encode(),
        "url path": quote(secret).encode(),
        "form": quote_plus(secret).encode(),
        "hex": raw.hex().encode(),
        "utf-16": secret.encode("utf-16-le"),
        "reversed": raw[::-1],
    }
    for offset in range(3):  # inside longer base64, e.g. of login:password
        text = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        found[f"base64, offset {offset}"] = core = text[(0, 2, 3)[offset] : -2]
        found[f"base64 for urls, offset {offset}"] = core.replace(b"+", b"-").replace(b"/", b"_")
    return found


def places(secret: str, texts: dict[str, bytes]) -> list[str]:
    wanted = forms(secret)
    return [f"{where}: {form}" for where, data in texts.items() for form, text in wanted.items() if text in data]


def files(home: Path) -> dict[str, bytes]:
    """Everything written under a home, but for the connections' own folder."""
    kept = home.rglob("*")
    return {str(f): f.read_bytes() for f in kept if f.is_file() and f.parent.name != "connections"}


def tables(database: Path) -> dict[str, list[str]]:
    """Every row of an SQLite database as text, by table."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        return {name: [repr(row) for row in connection.execute(f'select * from "{name}"')] for name in names}


@dataclass
class Watch:
    """Command lines and environments of the workers of one home, read while they live."""

    home: Path
    seen: dict[str, bytes] = field(default_factory=dict)
    workers: set[int] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.over.is_set():
            for process in (p for p in Path("/proc").iterdir() if p.name.isdigit()):
                with contextlib.suppress(OSError):
                    command = (process / "cmdline").read_bytes()
                    surroundings = (process / "environ").read_bytes()
                    if b"base_ops.worker" in command and str(self.home).encode() in surroundings:
                        self.workers.add(int(process.name))
                        self.seen[f"command line of {process.name}"] = command
                        self.seen[f"environment of {process.name}"] = surroundings
            time.sleep(0.02)


@contextmanager
def watching(home: Path) -> Iterator[Watch]:
    watch = Watch(home)
    thread = threading.Thread(target=watch.look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        thread.join()


@dataclass
class Run:
    """One run of the sample pipeline through Airflow, and all that could be seen of it."""

    home: Path
    done: Done
    watch: Watch
    secrets: dict[str, str]

    @property
    def texts(self) -> dict[str, bytes]:
        said = {"stdout": self.done.out.encode(), "stderr": self.done.err.encode()}
        rows = {f"table {t}": "\n".join(r).encode() for t, r in tables(self.home / "airflow" / "airflow.db").items()}
        return {**said, **files(self.home), **rows, **self.watch.seen}


def go(home: Path, secret: dict[str, str], **connections: dict[str, Any]) -> Run:
    known = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(parts) for name, parts in connections.items()}
    with watching(home) as watch:
        done = run(home, "base_ops.cli", "demo", "--json", **known)
    own = {file.name: json.loads(file.read_text())["password"] for file in (home / "connections").glob("*.json")}
    return Run(home, done, watch, {**secret, **own})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    key = planted(ODD)
    masking = {"conn_type": "generic", "password": key, "extra": {"token": planted()}}
    secret = {"masking key of Airflow": key, "its extra": masking["extra"]["token"]}
    return go(tmp_path_factory.mktemp("good"), secret, masking_key=masking)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The API is asked with a wrong token and says 401."""
    home = tmp_path_factory.mktemp("refused")
    server = sample.start(home)
    token = planted("/+=")
    port = int(server.url.rsplit(":", 1)[1])
    wrong = {"conn_type": "http", "host": "127.0.0.1", "port": port, "password": token, "extra": {"scheme": "http"}}
    try:
        yield go(home, {"wrong token": token}, sample_api=wrong)
    finally:
        sample.stop(home)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    secret = planted(ODD)
    login = base64.b64encode(f"me:{secret}".encode())
    for text in [*forms(secret).values(), b"x" + secret.encode() + b"y", login, repr({"k": secret}).encode()]:
        assert places(secret, {"here": text}), text
    assert places(secret, {"here": forms(planted(ODD))["json"]}) == []


def test_a_run_shows_no_secret(good: Run) -> None:
    assert good.done.code == 0, good.done.err
    files = {f"{name}.json" for name in ("sample_api", "sample_v2", "sample_secure", "masking_key", "encryption_key")}
    assert set(good.secrets) == {"masking key of Airflow", "its extra", *files}
    texts = good.texts
    for name, secret in good.secrets.items():
        assert places(secret, texts) == [], name


def test_the_search_saw_everything(good: Run) -> None:
    """Each place is there and not empty, else finding nothing in it would say nothing."""
    stored = tables(good.home / "airflow" / "airflow.db")
    assert len(stored["xcom"]) >= 8 and len(stored["rendered_task_instance_fields"]) >= 8
    assert "sample_api" in str(stored["rendered_task_instance_fields"]), "the name of a connection is no secret"
    assert len(good.watch.workers) >= 8
    names = " ".join(good.texts)
    for part in ("airflow.db", "airflow.log", "state.db", "request.json", "result.json", "_delta_log", "quarantine"):
        assert part in names, part


def test_a_failed_run_shows_no_secret(refused: Run) -> None:
    assert (refused.done.code, refused.done.document["status"]) == (1, "failed")
    texts = refused.texts
    failed = [r for r in map(read, refused.home.rglob("result.json")) if r.error]
    assert [r.error.code for r in failed if r.error] == ["unauthorized"]
    assert b"401" in texts[str(refused.home / "airflow.log")], "the refusal is told"
    for name, secret in refused.secrets.items():
        assert places(secret, texts) == [], name


# -- one worker


def read(file: Path) -> Result:
    return Result.model_validate_json(file.read_bytes())


def worker(home: Path, agent: str, action: str, spec: dict[str, Any], connection: dict[str, Any]) -> dict[str, bytes]:
    """A worker that is handed one connection through the pipe and must fail: all it printed and wrote."""
    request = Request(
        steps=[StepRequest(agent=agent, action=action, spec=spec)],
        identity=Identity(attempt="01-attempt"),
        lake_url=str(home / "lake"),
        connections=["vendor"],
        result_uri=str(home / "lake" / "runs" / "result.json"),
    )
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        json.dump({"vendor": connection}, pipe)
    done = subprocess.run(
        [sys.executable, "-m", "base_ops.worker", "--request", "-", "--secrets-fd", str(reading)],
        input=request.model_dump_json().encode(),
        capture_output=True,
        cwd=ROOT,
        env=environment(home, BASE_LOG_LEVEL="DEBUG"),
        pass_fds=[reading],
        timeout=60,
    )
    os.close(reading)
    assert done.returncode not in (0, 3), done.stderr.decode()
    assert read(home / "lake" / "runs" / "result.json").error is not None
    return {"stdout": done.stdout, "stderr": done.stderr, **files(home)}


COLLECT = ("data_ingestion.collector", "collect_data_from_source")


@pytest.mark.parametrize("auth", ["bearer", "basic", "api_key"])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_server_that_repeats_what_it_was_sent(tmp_path: Path, auth: str, status: int) -> None:
    """The answer's reason, headers and body hold the credentials; none of it comes through."""
    secret = planted("/+=&%")
    body = f"not this one: {secret} {quote(secret)} {base64.b64encode(f'me:{secret}'.encode()).decode()}".encode()
    with serving(in_turn(Reply(status, body, {"X-Echo": secret, "Location": f"/{quote(secret)}"}))) as server:
        vendor = {"conn_type": "http", "host": "127.0.0.1", "port": server.port, "login": "me", "password": secret}
        http = {"path": "/q", "auth": auth, "tries": 2, "backoff_s": 0}
        spec = {"source": {"id": "vendor", "connection": "vendor", "http": http}}
        assert places(secret, worker(tmp_path, *COLLECT, spec, vendor)) == []
        assert server.asked and places(secret, {"sent": str(server.asked[0].headers).encode()}), "it was never sent"


@pytest.mark.parametrize(
    "connection",
    [
        {"host": "127.0.0.1", "port": 9, "password": "{secret}"},
        {"host": "http://me:{secret}@127.0.0.1:9"},
        {"host": "127.0.0.1", "port": 9, "password": "{secret}\r\nX-Injected: 1"},
        {"host": "{secret}", "password": "{secret}"},
    ],
    ids=["nobody there", "in the host", "a line break", "pasted twice"],
)
def test_connectors_that_fail(tmp_path: Path, connection: dict[str, Any]) -> None:
    secret = planted()
    filled = {k: v.format(secret=secret) if isinstance(v, str) else v for k, v in connection.items()}
    vendor = {"conn_type": "http", **filled}
    http = {"path": "/q", "auth": "bearer" if "password" in connection else "none", "tries": 1}
    spec = {"source": {"id": "vendor", "connection": "vendor", "http": http}}
    assert places(secret, worker(tmp_path, *COLLECT, spec, vendor)) == []


def test_a_short_secret_does_not_break_the_result(tmp_path: Path) -> None:
    """A password that is a word of JSON's own masks texts, not the document around them."""
    spec = {"source": "/nowhere/null.csv", "target": str(tmp_path / "out.parquet")}
    worker(tmp_path, "data_ingestion.converter", "convert_to_standard_format", spec, {"password": "null"})
    error = read(tmp_path / "lake" / "runs" / "result.json").error
    assert error is not None and (error.code, error.where) == ("file_not_found", "/nowhere/***.csv")


@pytest.mark.parametrize("odd", ["", ODD, "/+=&%"], ids=["plain", "odd", "url"])
def test_an_error_that_holds_a_secret_is_masked(tmp_path: Path, odd: str) -> None:
    """In the log and in the Result, however the text around it is written."""
    secret = planted(odd)
    encoded = [base64.b64encode(text.encode()).decode() for text in (secret, f"me:{secret}")]
    spec = {
        "source": f"/nowhere/{secret} {quote(secret, safe='')} {' '.join(encoded)}",
        "target": str(tmp_path / "out.parquet"),
    }
    vendor = {"login": "me", "password": secret}
    texts = worker(tmp_path, "data_ingestion.converter", "convert_to_standard_format", spec, vendor)
    assert places(secret, texts) == []
    assert re.search(rb"/nowhere/\*\*\*", texts["stderr"]), "the rest of the message stays"
