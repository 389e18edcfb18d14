"""Hostile and broken inputs through the worker as a process: refused by name and cheaply, or read with the bad rows aside."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from e2e_kit import ROOT, environment
from fakes.collecting import Reply, ScriptedServer, connect, in_turn, serving

from base_ops.core.protocol import Identity, Request, Result, StepRequest

GOOD = [f"{i},name{i},{i}.5" for i in range(200)]
HEADER = "id,name,price"
PEAK_BYTES = 600 << 20
CPU_S = 5.0
"""Of a refusal: CPU time, which a busy machine does not stretch."""
GIB = 1 << 30


def work(home: Path, agent: str, action: str, spec: dict[str, Any], **more: str) -> tuple[int, str, Result]:
    """One worker process; its exit code, its log and its Result."""
    result = home / "lake" / "runs" / "r.json"
    request = Request(
        steps=[StepRequest(agent=agent, action=action, spec=spec)],
        identity=Identity(attempt="01-attempt"),
        lake_url=str(home / "lake"),
        result_uri=str(result),
    )
    done = subprocess.run(
        [sys.executable, "-m", "base_ops.worker", "--request", "-"],
        input=request.model_dump_json().encode(),
        capture_output=True,
        cwd=ROOT,
        env=environment(home, **more),
        timeout=120,
    )
    log = done.stderr.decode()
    assert result.exists(), log
    return done.returncode, log, Result.model_validate_json(result.read_bytes())


def check_error(result: Result, code: int, error: str, log: str) -> None:
    """A failure names what, where and what to do; the exit code, the Result and the log agree."""
    found = result.error
    assert found is not None and found.code == error, found
    assert result.status.exit_code == code and found.outcome.exit_code == code
    assert found.what and found.where and found.todo, found
    said = [json.loads(line) for line in log.splitlines()]
    assert any(line["level"] == "ERROR" and found.what in line["msg"] and found.todo in line["msg"] for line in said)
    assert result.outputs == [] and result.cpu_seconds < CPU_S


# -- files


def text(*bad: tuple[int, str]) -> str:
    """The good rows with bad lines put in, each by its line number in the file."""
    lines = [HEADER, *GOOD]
    for number, line in sorted(bad):
        lines.insert(number - 1, line)
    return "\n".join(lines) + "\n"


def zip_of(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def encrypted() -> bytes:
    """The flag that says so is enough: nobody may try to read on."""
    data = bytearray(zip_of(("a.csv", text().encode())))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def with_symlink() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("good.csv")
        info.size = len(text())
        archive.addfile(info, io.BytesIO(text().encode()))
        link = tarfile.TarInfo("link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


def bomb() -> bytes:
    """1 GiB of zeros, zipped."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("zeros.csv", "w", force_zip64=True) as member,
    ):
        block = bytes(1 << 24)
        for _ in range(GIB // len(block)):
            member.write(block)
    return file.getvalue()


def long_line() -> Iterable[bytes]:
    """A record of 100 MB between good ones."""
    yield text().encode()
    yield b'9999,"'
    for _ in range(100):
        yield b"x" * 1_000_000
    yield b'",1\n'
    yield b"10000,last,1.5\n"


def long_ndjson() -> Iterable[bytes]:
    yield ndjson()
    yield b'{"id": 9999, "name": "'
    for _ in range(100):
        yield b"x" * 1_000_000
    yield b'"}\n{"id": 10000, "name": "last"}\n'


def unfinished(of: bytes) -> Iterable[bytes]:
    """100 MB of one mark after good rows, and no end of line."""
    yield text().encode()
    for _ in range(100):
        yield of * 1_000_000


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"id": range(200), "name": ["n"] * 200}).write_parquet(file)
    return file.getvalue()


def ndjson() -> bytes:
    return b"".join(json.dumps({"id": i, "name": f"n{i}"}).encode() + b"\n" for i in range(200))


def lines_in_quarantine(result: Result) -> dict[str, list[int]]:
    """Per rule the lines kept, which are as many as the Result says."""
    found: dict[str, list[int]] = {ref.rule: [] for ref in result.quarantine}
    for file in {file for ref in result.quarantine for file in Path(ref.uri).glob("*.parquet")}:
        for record in pl.read_parquet(file).iter_rows(named=True):
            assert record["reason"] and record["object"], record
            found[record["rule"]].append(record["line"])
    assert {rule: len(lines) for rule, lines in found.items()} == {ref.rule: ref.rows for ref in result.quarantine}
    return found


@dataclass(frozen=True)
class Case:
    """What a file is, and what must come of it."""

    make: Callable[[], bytes | Iterable[bytes]]
    name: str = "in.csv"
    read: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    rows: int = len(GOOD)
    bad: dict[str, list[int]] = field(default_factory=dict)
    """Quarantine: per rule the line numbers."""
    finding: str | None = None


CASES = {
    # containers
    "truncated gzip": Case(lambda: gzip.compress(text().encode())[:-500], "in.csv.gz", error="truncated"),
    "truncated zip": Case(lambda: zip_of(("a.csv", text().encode()))[:-300], "in.zip", error="truncated"),
    "truncated parquet": Case(lambda: parquet()[:-200], "in.parquet", error="truncated"),
    "garbage after gzip": Case(lambda: gzip.compress(text().encode()) + b"more", "in.csv.gz", error="damaged"),
    "damaged parquet": Case(lambda: parquet()[:4] + b"\xff" * 50 + parquet()[54:], "in.parquet", error="corrupt"),
    "empty file": Case(lambda: b"", error="empty_object"),
    "empty gzip": Case(lambda: gzip.compress(b""), "in.csv.gz", error="empty_object"),
    "zip bomb": Case(bomb, "in.zip", error="zip_bomb"),
    "nested zip bomb": Case(lambda: zip_of(("in.zip", zip_of(("in.zip", bomb())))), "in.zip", error="zip_bomb"),
    "zip too deep": Case(
        lambda: zip_of(("a.zip", zip_of(("b.zip", zip_of(("c.zip", zip_of(("d.csv", b"a\n1\n")))))))),
        "in.zip",
        error="nested_too_deep",
    ),
    "zip entry with ..": Case(lambda: zip_of(("../escaped.csv", text().encode())), "in.zip", error="path_escape"),
    "zip entry absolute": Case(lambda: zip_of(("/tmp/escaped.csv", text().encode())), "in.zip", error="path_escape"),
    "password": Case(encrypted, "in.zip", error="password_protected"),
    "symlink in tar": Case(with_symlink, "in.tar.gz", error="path_escape"),
    # not what the name says
    "parquet named csv": Case(parquet, "in.csv", finding="name_disagrees"),
    "parquet declared csv": Case(parquet, "in.csv", {"format": "csv"}, error="not_this_format"),
    "csv named parquet": Case(lambda: text().encode(), "in.parquet", finding="name_disagrees"),
    "csv declared parquet": Case(lambda: text().encode(), "in.parquet", {"format": "parquet"}, error="not_this_format"),
    "json named csv": Case(ndjson, "in.csv", finding="name_disagrees"),
    "gzip named csv": Case(lambda: gzip.compress(text().encode()), "in.csv"),
    # text
    "latin-1 in declared utf-8": Case(
        lambda: text((7, "900,M\xfcller,1.5"), (50, "901,Jos\xe9,2.5")).encode("latin-1"),
        read={"encoding": "utf-8"},
        bad={"encoding": [7, 50]},
    ),
    "utf-16 without a mark": Case(lambda: text().encode("utf-16-le")),
    "utf-16 in declared utf-8": Case(
        lambda: text().encode("utf-16-le"), read={"encoding": "utf-8", "format": "csv"}, finding="encoding_disagrees"
    ),
    "ragged": Case(
        lambda: text((5, "900,x,1.5,more"), (80, "901,x")).encode(), bad={"ragged_long": [5], "ragged_short": [80]}
    ),
    "nul bytes": Case(lambda: text((9, "900,a\0b,1.5"), (60, "\0\0\0")).encode(), bad={"nul_byte": [9, 60]}),
    "mostly nul bytes": Case(lambda: bytes(100_000), read={"unknown": "refuse"}, error="unknown_format"),
    "an unclosed quote": Case(lambda: text((100, '900,"never closed,1.5')).encode(), bad={"malformed_quote": [100]}),
    "a line of 100 MB": Case(long_line, rows=len(GOOD) + 1, bad={"record_too_long": [202]}),
    "100 MB of commas": Case(lambda: unfinished(b","), bad={"record_too_long": [202]}),
    "100 MB of quotes": Case(lambda: unfinished(b'"'), bad={"record_too_long": [202]}),
    "an ndjson line of 100 MB": Case(long_ndjson, "in.ndjson", rows=len(GOOD) + 1, bad={"record_too_long": [201]}),
    "deep json": Case(lambda: b"[" * 200_000, "in.json", error="too_deep"),
    "a deep ndjson line": Case(
        lambda: ndjson() + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n", "in.ndjson", bad={"too_deep": [201]}
    ),
    "noise": Case(lambda: random.Random(1).randbytes(300_000), read={"unknown": "refuse"}, error="unknown_format"),
    "an error page": Case(
        lambda: b"<!DOCTYPE html><html>" + b"<p>Service unavailable, try later</p>\n" * 30,
        read={"unknown": "refuse"},
        error="unknown_format",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_files(tmp_path: Path, case: Case) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    made = case.make()
    with (inbox / case.name).open("wb") as file:
        for chunk in [made] if isinstance(made, bytes) else made:
            file.write(chunk)
    del made
    target = tmp_path / "out" / "out.parquet"
    target.parent.mkdir()
    spec = {"source": str(inbox / case.name), "target": str(target), "read": case.read}
    code, log, result = work(tmp_path, "data_ingestion.converter", "convert_to_standard_format", spec)
    assert result.peak_memory_bytes < PEAK_BYTES
    assert [f.name for f in inbox.iterdir()] == [case.name], "something was unpacked beside the input"
    assert all(step.counts.balance() == 0 for step in result.steps)
    if case.error:
        assert code == 10, log
        check_error(result, 10, case.error, log)
        assert list(target.parent.iterdir()) == []
        return
    assert code == (3 if case.bad else 0), log
    written = pl.read_parquet(target)
    assert written.height == case.rows == result.counts.rows_out
    assert written["id"].head(len(GOOD)).to_list() == list(range(len(GOOD)))
    assert lines_in_quarantine(result) == case.bad
    if case.finding:
        assert case.finding in [f.code for f in result.findings]


# -- a server


def after(status: int, seconds: int) -> Reply:
    return Reply(status, headers={"Retry-After": str(seconds)})


PAGE = Reply(body=text().encode())
SERVERS: dict[str, tuple[list[Reply], int, str | None, float | None]] = {
    "401": ([Reply(401)], 40, "unauthorized", None),
    "403": ([Reply(403)], 40, "forbidden", None),
    "404": ([Reply(404)], 30, "not_found", None),
    "429, soon": ([after(429, 0), PAGE], 0, None, None),
    "429, much later": ([after(429, 3600)], 20, "rate_limited", 3600),
    "429, always": ([after(429, 0)], 20, "rate_limited", 0),
    "500, once": ([Reply(500), PAGE], 0, None, None),
    "500, always": ([Reply(500)], 20, "server_error", None),
    "hanging": ([Reply(hang=True)], 20, "timeout", None),
    "cut": ([Reply(body=text().encode(), cut=True)], 20, "cut_body", None),
    "a foreign redirect": ([Reply(302, headers={"Location": "http://192.0.2.1/x"})], 30, "foreign_redirect", None),
}


@pytest.mark.parametrize(("replies", "code", "error", "retry_after_s"), SERVERS.values(), ids=SERVERS)
def test_servers(
    tmp_path: Path, replies: list[Reply], code: int, error: str | None, retry_after_s: float | None
) -> None:
    http = {"path": "/v1/quotes", "auth": "bearer", "timeout_s": 0.3, "tries": 2, "backoff_s": 0}
    spec = {"source": {"id": "vendor", "connection": "vendor", "http": http}}
    server: ScriptedServer
    with serving(in_turn(*replies)) as server:
        token = "t0ken-of-the-vendor"
        connect(tmp_path, "vendor", conn_type="http", host="127.0.0.1", port=server.port, password=token)
        returned, log, result = work(tmp_path, "data_ingestion.collector", "collect_data_from_source", spec)
        assert server.asked[0].headers["authorization"] == f"Bearer {token}"
    assert returned == code, log
    assert token not in log + result.model_dump_json()
    landed = list((tmp_path / "lake" / "landing").rglob("_log/*.json"))
    if error is None:
        assert len(result.outputs) == len(landed) == 1
        return
    check_error(result, code, error, log)
    assert result.error is not None and "vendor" in result.error.where
    assert result.error.retry_after_s == retry_after_s
    assert landed == [] and (tmp_path / "lake/runs/r.json").exists()


@pytest.mark.parametrize(
    ("agent", "action", "spec", "code", "error"),
    [
        ("data_ingestion.converter", "convert_to_standard_format", {"source": "/nowhere.csv"}, 30, "bad_spec"),
        (
            "data_ingestion.converter",
            "convert_to_standard_format",
            {"source": "/nowhere.csv", "target": "{home}/o.parquet"},
            10,
            "file_not_found",
        ),
        (
            "data_ingestion.collector",
            "collect_data_from_source",
            {"source": {"id": "v", "connection": "absent", "http": {"path": "/x"}}},
            30,
            "unknown_connection",
        ),
    ],
)
def test_other_failures_are_complete(
    tmp_path: Path, agent: str, action: str, spec: dict[str, Any], code: int, error: str
) -> None:
    filled = {k: v.format(home=tmp_path) if isinstance(v, str) else v for k, v in spec.items()}
    returned, log, result = work(tmp_path, agent, action, filled)
    assert returned == code, log
    check_error(result, code, error, log)
