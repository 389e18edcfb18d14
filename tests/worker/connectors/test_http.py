"""REST sources, against a real server that misbehaves on purpose."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import ssl
import tracemalloc
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fakes.certificates import Authority
from fakes.collecting import Asked, Reply, Script, ScriptedServer, StillClock, in_turn, page, serving, wait_until

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

TOKEN = "a-very-secret-token"
OK = Reply(body=b"[1]")


def site(tmp_path: Path, server: ScriptedServer | None, clock: Clock | None = None, **http: Any) -> Site:
    """A site whose connection is the server; `mode`, `window`, `env` and source fields are taken from `http`."""
    port = server.port if server else 1
    outer = {k: http.pop(k) for k in ("mode", "window", "env") if k in http}
    source = {k: http.pop(k) for k in ("max_object_bytes",) if k in http}
    made = SourceSpec.model_validate(
        {
            "id": "s",
            "mode": "append",
            "http": {"path": "/v1/q", "timeout_s": 5, "tries": 3, "backoff_s": 1, **http},
            **source,
        }
    )
    found = ConnectionInfo("vendor", host="127.0.0.1", port=port, scheme="http", login="me", password=TOKEN)
    return Site(made, tmp_path, found, clock=clock or StillClock(), **outer)


def fetch(where: Site, history: History | None = None) -> tuple[list[Fetched], list[bytes], Report]:
    taken: list[Fetched] = []
    report = open_connector(where).fetch(history or History(), taken.append)
    return taken, [f.local.read_bytes() for f in taken], report


FAILURES: dict[str, tuple[Script, dict[str, Any], type[BaseOpsError], str, int]] = {
    # what the server does, how it is asked, what comes of it, requests it saw
    "401": (in_turn(Reply(401)), {"auth": "bearer"}, Denied, "unauthorized", 1),
    "403": (in_turn(Reply(403)), {"auth": "bearer"}, Denied, "forbidden", 1),
    "407": (in_turn(Reply(407)), {}, Denied, "proxy_unauthorized", 1),
    "404": (in_turn(Reply(404)), {}, ConfigError, "not_found", 1),
    "410": (in_turn(Reply(410)), {}, ConfigError, "not_found", 1),
    "400": (in_turn(Reply(400)), {}, ConfigError, "bad_request", 1),
    "422": (in_turn(Reply(422)), {}, ConfigError, "bad_request", 1),
    "304 without a condition": (in_turn(Reply(304)), {}, ConfigError, "bad_request", 1),
    "429 for too long": (in_turn(Reply(429, headers={"Retry-After": "121"})), {}, Transient, "rate_limited", 1),
    "429 for ever": (in_turn(Reply(429, headers={"Retry-After": "1"})), {}, Transient, "rate_limited", 3),
    "500 for ever": (in_turn(Reply(500)), {}, Transient, "server_error", 3),
    "503 for too long": (in_turn(Reply(503, headers={"Retry-After": "9999"})), {}, Transient, "server_error", 1),
    "hang": (in_turn(Reply(hang=True)), {"timeout_s": 0.05, "tries": 2}, Transient, "timeout", 2),
    "cut body": (in_turn(Reply(body=b"[1", cut=True)), {}, Transient, "cut_body", 3),
    "cut chunks": (in_turn(Reply(body=b"[1", cut=True, chunked=True)), {}, Transient, "cut_body", 3),
    "too large": (in_turn(Reply(body=b"x" * 100)), {"max_object_bytes": 99}, BadInput, "object_too_large", 1),
    "another host": (in_turn(Reply(302, headers={"Location": "http://localhost:1/v1/q"})), {"auth": "bearer"}, ConfigError, "foreign_redirect", 1),
    "another scheme": (in_turn(Reply(302, headers={"Location": "https://127.0.0.1/v1/q"})), {}, ConfigError, "foreign_redirect", 1),
    "a file": (in_turn(Reply(302, headers={"Location": "file:///etc/passwd"})), {}, ConfigError, "foreign_redirect", 1),
    "redirects in circles": (in_turn(Reply(302, headers={"Location": "/v1/q"})), {}, ConfigError, "redirect_loop", 6),
    "no JSON": (in_turn(page([1], "b"), Reply(body=b"<html>")), {"paging": {"style": "cursor"}, "records": "data"}, BadInput, "bad_page", 2),
    "deep JSON": (in_turn(Reply(body=b"[" * 100_000)), {"paging": {"style": "page"}}, BadInput, "bad_page", 1),
    "no UTF-8": (in_turn(Reply(body=b'["\xff"]')), {"paging": {"style": "page"}}, BadInput, "bad_page", 1),
    "no records": (in_turn(Reply(body=b'{"date": []}')), {"paging": {"style": "page"}, "records": "data"}, BadInput, "bad_page", 1),
    "odd cursor": (in_turn(page([1], {"a": 1})), {"paging": {"style": "cursor"}, "records": "data"}, BadInput, "bad_page", 1),
    "same cursor": (in_turn(page([1], "b")), {"paging": {"style": "cursor"}, "records": "data"}, BadInput, "paging_loop", 2),
    "cursor in circles": (in_turn(page([1], "b"), page([2], "c"), page([3], "b")), {"paging": {"style": "cursor"}, "records": "data"}, BadInput, "paging_loop", 3),
    "same page": (in_turn(Reply(body=b"[1]")), {"paging": {"style": "page"}}, BadInput, "paging_loop", 2),
    "same link": (in_turn(Reply(body=b"1", headers={"Link": '</v1/q?p=2>; rel="next"'})), {"paging": {"style": "link"}}, BadInput, "paging_loop", 2),
    "link away": (in_turn(Reply(headers={"Link": '<http://localhost:1/v1/q>; rel="next"'})), {"paging": {"style": "link"}}, ConfigError, "foreign_redirect", 1),
    "token away": (in_turn(page([1], "http://localhost:1/v1/q")), {"paging": {"style": "cursor"}, "records": "data"}, ConfigError, "foreign_redirect", 1),
    "too many pages": (in_turn(*[page([n], str(n)) for n in range(9)]), {"paging": {"style": "cursor", "max_pages": 3}, "records": "data"}, BadInput, "paging_loop", 3),
    "gzip that ends early": (in_turn(Reply(body=gzip.compress(b"1\n" * 9999)[:-20], headers={"Content-Encoding": "gzip"})), {}, Transient, "cut_body", 3),
    "gzip without its check": (in_turn(Reply(body=gzip.compress(b"1\n" * 9999)[:-8], headers={"Content-Encoding": "x-gzip"}, chunked=True)), {}, Transient, "cut_body", 3),
    "deflate that ends early": (in_turn(Reply(body=zlib.compress(b"1\n")[:-3], headers={"Content-Encoding": "deflate"})), {}, Transient, "cut_body", 3),
    "zstd that ends early": (in_turn(Reply(body=zstandard.compress(b"1\n" * 9999)[:-3], headers={"Content-Encoding": "zstd"})), {}, Transient, "cut_body", 3),
    "bad zstd": (in_turn(Reply(body=b"no zstd", headers={"Content-Encoding": "zstd"})), {}, Transient, "cut_body", 3),
    "packed in an unknown way": (in_turn(Reply(body=b"1", headers={"Content-Encoding": "br"})), {}, ConfigError, "packed_body", 1),
    "bad gzip": (in_turn(Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"})), {}, Transient, "cut_body", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart(case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script, http, kind, code, requests = FAILURES[case]
    caplog.set_level(logging.DEBUG)
    with serving(script) as server:
        with pytest.raises(kind) as error:
            fetch(site(tmp_path, server, params={"key": "hidden-in-the-query"}, **http))
        wait_until(lambda: len(server.asked) >= requests)  # a client that gave up is ahead of the server's thread
    assert (error.value.code, len(server.asked)) == (code, requests)
    assert "/v1/q" in error.value.where
    assert "source s" in error.value.where
    shown = error.value.text() + caplog.text
    for secret in (TOKEN, "hidden-in-the-query", base64.b64encode(f"me:{TOKEN}".encode()).decode()):
        assert secret not in shown
    if kind is Denied:
        assert "vendor" in error.value.where
    if code == "bad_page":
        assert f"page {requests}" in error.value.where


def self_signed(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody vouches for, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    """Verification cannot be switched off, and trying again would not help."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    clock = StillClock()
    with serving(in_turn(OK), tls) as server:
        where = site(tmp_path, server, clock, auth="bearer")
        where = replace(where, connection=replace(where.connection, scheme="https"))  # type: ignore[type-var]
        with pytest.raises(ConfigError) as error:
            fetch(where)
    assert (error.value.code, clock.slept, server.asked) == ("bad_certificate", [], [])


@pytest.mark.parametrize(
    ("extra", "env", "code"),
    [
        ({"ca_certificate": "its"}, "prod", None),
        ({"ca_certificate": "another"}, "prod", "bad_certificate"),
        ({"ca_certificate": "its", "verify": False}, "prod", "unverified_tls"),
        ({"verify": False}, "dev", None),
    ],
)
def test_a_private_authority_without_a_template(
    extra: dict[str, Any], env: str, code: str | None, tmp_path: Path
) -> None:
    ours = {"its": Authority(), "another": Authority()}
    told = {key: ours[value].certificate if key == "ca_certificate" else value for key, value in extra.items()}
    with serving(in_turn(OK), ours["its"].serving(ours["its"].issue(), tmp_path)) as server:
        where = site(tmp_path, server, StillClock(), auth="bearer", env=env)
        assert where.connection is not None
        where = replace(where, connection=replace(where.connection, scheme="https", extra=told))
        if code is None:
            assert fetch(where)[1] == [b"[1]"]
            return
        with pytest.raises(ConfigError) as error:
            fetch(where)
        assert (error.value.code, server.asked) == (code, [])


def test_a_context_without_a_template_is_made_once_for_the_same_authority(tmp_path: Path) -> None:
    def context(env: str = "dev", **extra: Any) -> ssl.SSLContext:
        where = site(tmp_path, None, env=env)
        assert where.connection is not None
        with Web(replace(where, connection=replace(where.connection, extra=extra)), Report()) as web:
            return web.tls

    one, another = Authority().certificate, Authority().certificate
    assert context(ca_certificate=one) is context(ca_certificate=one)
    assert context(verify=True) is context(ca_certificate="") is context()
    made = [context(), context(ca_certificate=one), context(ca_certificate=another), context(verify=False)]
    made.append(context(ca_certificate=one, verify="false"))
    assert len({id(found) for found in made}) == 5
    assert [found.verify_mode == ssl.CERT_NONE for found in made] == [False, False, False, True, True]
    with pytest.raises(ConfigError):
        context("prod", verify=False)


def test_nothing_answers(tmp_path: Path) -> None:
    with serving(in_turn(OK)) as server:
        where = site(tmp_path, server)
    with pytest.raises(Transient) as error:
        fetch(where)
    assert error.value.code == "unreachable"


RECOVERIES: dict[str, tuple[Script, list[float]]] = {
    "500": (in_turn(Reply(500), Reply(502), OK), [1.0, 2.0]),
    "429": (in_turn(Reply(429, headers={"Retry-After": "7"}), OK), [7.0]),
    "503 with an odd Retry-After": (in_turn(Reply(503, headers={"Retry-After": "soon"}), OK), [1.0]),
    "408": (in_turn(Reply(408), OK), [1.0]),
    "cut body": (in_turn(Reply(body=b"[1", cut=True), OK), [1.0]),
    "cut chunks": (in_turn(Reply(body=b"[1", cut=True, chunked=True), Reply(body=b"[1]", chunked=True)), [1.0]),
    "redirect on the same host": (in_turn(Reply(307, headers={"Location": "/v2/q"}), OK), []),
}


RAW = zlib.compressobj(wbits=-15)
ZSTD = zstandard.ZstdCompressor().compressobj()
PACKED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(b"[1]")),
    "gzip by its other name": ("X-GZIP", gzip.compress(b"[1]")),
    "members": ("gzip", gzip.compress(b"[") + gzip.compress(b"") + gzip.compress(b"1]")),
    "members and zeros": ("gzip", gzip.compress(b"[") + b"\0\0" + gzip.compress(b"1]") + b"\0" * 9),
    "deflate": ("deflate", zlib.compress(b"[1]")),
    "deflate without zlib's frame": ("deflate", RAW.compress(b"[1]") + RAW.flush()),
    "twice": ("deflate, gzip", gzip.compress(zlib.compress(b"[1]"))),
    "zstd": ("zstd", zstandard.compress(b"[1]")),
    "zstd of unknown length, in frames": ("zstd", ZSTD.compress(b"[") + ZSTD.flush() + zstandard.compress(b"1]")),
    "zstd, twice": ("zstd, gzip", gzip.compress(zstandard.compress(b"[1]"))),
    "not at all": ("identity", b"[1]"),
}


@pytest.mark.parametrize("case", PACKED)
def test_bodies_that_are_packed_though_not_asked_to(case: str, tmp_path: Path) -> None:
    encoding, body = PACKED[case]
    with serving(in_turn(Reply(body=body, headers={"Content-Encoding": encoding}))) as server:
        assert fetch(site(tmp_path, server))[1] == [b"[1]"]


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "none", "binary", "7bit", "8bit", "aws-chunked"])
def test_an_encoding_that_names_no_packing_is_told_and_taken(name: str, tmp_path: Path) -> None:
    packed = Reply(body=gzip.compress(b"[2]"), headers={"Content-Encoding": f"gzip, {name}"})
    with serving(in_turn(Reply(body=b"[1]", headers={"Content-Encoding": name}), packed)) as server:
        bodies, report = fetch(site(tmp_path, server, each={"n": ["1", "2"]}, connections=1))[1:]
    assert bodies == [b"[1]", b"[2]"]
    (found,) = report.all_findings()
    assert (found.code, found.data) == ("no_packing", {"objects": 2})
    assert name.lower() in found.message and "/v1/q" in found.message


def test_a_packed_body_is_never_unpacked_beyond_what_is_allowed(tmp_path: Path) -> None:
    """50 million bytes out of a few thousand: the most that is unpacked at once is far below."""
    bomb = Reply(body=zstandard.compress(bytes(50_000_000)), headers={"Content-Encoding": "zstd"})
    tracemalloc.start()
    with serving(in_turn(bomb)) as server, pytest.raises(BadInput) as error:
        fetch(site(tmp_path, server, max_object_bytes=1000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.value.code == "object_too_large"
    assert most < 40_000_000


@pytest.mark.parametrize("case", RECOVERIES)
def test_recoveries(case: str, tmp_path: Path) -> None:
    script, waits = RECOVERIES[case]
    clock = StillClock()
    with serving(script) as server:
        taken, bodies, report = fetch(site(tmp_path, server, clock))
    assert bodies == [b"[1]"]
    assert clock.slept == pytest.approx(waits, rel=0.11)
    assert (report.requests, report.retries) == (len(server.asked), len(waits))
    assert list(tmp_path.iterdir()) == [f.local for f in taken]  # nothing half-read is left


def test_an_empty_page_ends_though_it_names_a_cursor(tmp_path: Path) -> None:
    pages = page([1], "a"), page([2], "b"), page([], "b")
    with serving(in_turn(*pages)) as server:
        _, bodies, _ = fetch(site(tmp_path, server, paging={"style": "cursor"}, records="data"))
    assert (bodies, len(server.asked)) == ([pages[0].body, pages[1].body], 3)


def test_retry_after_as_a_date(tmp_path: Path) -> None:
    clock = StillClock()
    date = format_datetime(clock.now().replace(microsecond=0), usegmt=True)
    with serving(in_turn(Reply(503, headers={"Retry-After": date}), OK)) as server:
        fetch(site(tmp_path, server, clock))
    assert clock.slept == [0.0]


def numbers(asked: Asked, style: str) -> Reply:
    """Seven records, three a page whatever the client asks for."""
    records = list(range(7))
    if style == "page":
        start = 3 * (int(asked.params["page"]) - 1)
        return Reply(body=json.dumps(records[start : start + 3]).encode())
    start = int(asked.params.get("offset" if style == "offset" else "cursor", 0))
    following = start + 3 if start + 3 < 7 else None
    if style == "cursor":
        return page(records[start : start + 3], following)
    if style == "url":
        return page(records[start : start + 3], f"/v1/q?cursor={following}" if following else None)
    headers = (
        {"Link": f'</other>; rel="prev", </v1/q?cursor={following}>; rel="next"'}
        if style == "link" and following
        else {}
    )
    return Reply(body=json.dumps(records[start : start + 3]).encode(), headers=headers)


PAGINGS: dict[str, tuple[dict[str, Any], int]] = {
    "page": ({"paging": {"style": "page", "size_param": "limit", "size": 100}}, 4),
    "offset": ({"paging": {"style": "offset", "size_param": "limit", "size": 100}}, 4),
    "cursor": ({"paging": {"style": "cursor"}, "records": "data"}, 3),
    "url": ({"paging": {"style": "cursor"}, "records": "data"}, 3),
    "link": ({"paging": {"style": "link"}}, 3),
}


@pytest.mark.parametrize("style", PAGINGS)
def test_every_page_once(style: str, tmp_path: Path) -> None:
    """Also where the API hands out fewer records than it is asked for."""
    http, requests = PAGINGS[style]
    with serving(lambda asked: numbers(asked, style)) as server:
        taken, bodies, report = fetch(site(tmp_path, server, params={"k": "v"}, **http))
    found = [json.loads(body) for body in bodies]
    assert [n for body in found for n in (body["data"] if isinstance(body, dict) else body)] == list(range(7))
    assert [f.path for f in taken] == [f"/v1/q/page-0000{n}" for n in (1, 2, 3)]
    assert [f.labels for f in taken] == [{"page": str(n)} for n in (1, 2, 3)]
    assert [f.sha256 for f in taken] == [hashlib.sha256(body).hexdigest() for body in bodies]
    assert {f.part_of for f in taken} == {"/v1/q"}
    assert len(server.asked) == requests == report.pages
    assert server.asked[0].params["k"] == "v"


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ("none", "authorization", None),
        ("bearer", "authorization", f"Bearer {TOKEN}"),
        ("basic", "authorization", "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()),
        ("api_key", "x-api-key", TOKEN),
    ],
)
def test_credentials(auth: str, header: str, value: str | None, tmp_path: Path) -> None:
    with serving(in_turn(Reply(307, headers={"Location": "/v2"}), OK)) as server:
        fetch(site(tmp_path, server, auth=auth))
    assert [asked.headers.get(header) for asked in server.asked] == [value, value]
    assert server.asked[0].headers["accept-encoding"] == "identity"


def history(cursor: Any = None, **newest: Any) -> History:
    objects = [LandedObject(path="/v1/q", stored="x", sha256="0", bytes=1, **newest)] if newest else []
    return History([LandingEntry(sequence=1, source="s", objects=objects, cursor_after=cursor)])


INCREMENTAL = {"records": "data", "cursor_field": "at", "cursor_param": "since"}


@pytest.mark.parametrize(
    ("before", "records", "sent", "after", "path"),
    [
        (None, [{"at": 9}, {"at": 10}], None, 10, "/v1/q#start"),
        (10, [{"at": 11}, {}], "10", 11, "/v1/q#10"),
        (10, [], "10", 10, None),
        ("2025-01-01T00:00:00Z", [{"at": "2025-01-01T00:00:00.5Z"}], "2025-01-01T00:00:00Z", "2025-01-01T00:00:00.5Z", "/v1/q#2025-01-01T00:00:00Z"),
        (None, ["no object"], None, None, "/v1/q#start"),
    ],
)  # fmt: skip
def test_incremental(
    before: Any, records: list[Any], sent: str | None, after: Any, path: str | None, tmp_path: Path
) -> None:
    with serving(in_turn(page(records))) as server:
        taken, _, report = fetch(site(tmp_path, server, **INCREMENTAL), history(before))
    assert server.asked[0].params.get("since") == sent
    assert report.cursor_after == after
    assert [f.path for f in taken] == ([path] if path else [])


def test_values_that_do_not_move_the_cursor_are_reported(tmp_path: Path) -> None:
    with serving(in_turn(page([{"at": "2025-01-01"}, {"at": "9999-01-01"}]))) as server:
        report = fetch(site(tmp_path, server, **INCREMENTAL))[2]
    assert report.cursor_after == "2025-01-01"
    assert [(f.code, f.data) for f in report.findings] == [("cursor_values_ignored", {"values": 1})]


def test_full_asks_for_everything_and_does_not_go_back(tmp_path: Path) -> None:
    with serving(in_turn(page([{"at": 3}]))) as server:
        taken, _, report = fetch(site(tmp_path, server, mode="full", **INCREMENTAL), history(10))
    assert "since" not in server.asked[0].params
    assert (report.cursor_after, taken[0].path) == (10, "/v1/q#full")


def test_a_window_is_asked_for_and_moves_nothing(tmp_path: Path) -> None:
    window = ("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z")
    with serving(in_turn(page([{"at": 99}]))) as server:
        where = site(tmp_path, server, mode="window", window=window, window_params=["from", "to"], **INCREMENTAL)
        taken, _, report = fetch(where, history(10))
    assert server.asked[0].params == {"from": window[0], "to": window[1]}
    assert report.cursor_after is None
    assert taken[0].path == f"/v1/q#{window[0]}--{window[1]}"


@pytest.mark.parametrize(
    ("known", "header", "value"),
    [
        ({"etag": '"abc"'}, "if-none-match", '"abc"'),
        ({"modified": "Thu, 01 Jan 2026 12:00:30 GMT"}, "if-modified-since", "Thu, 01 Jan 2026 12:00:30 GMT"),
    ],
)
def test_unchanged_resources_are_not_sent_again(known: dict[str, str], header: str, value: str, tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return (
            Reply(304)
            if asked.headers.get(header) == value
            else Reply(body=b"1", headers={"ETag": '"abc"', "Last-Modified": "x"})
        )

    with serving(script) as server:
        taken, _, report = fetch(site(tmp_path, server), history(**known))
        again = fetch(site(tmp_path, server, mode="full"), history(**known))[0]
    assert (taken, report.unchanged) == ([], 1)
    assert [(f.etag, f.modified) for f in again] == [('"abc"', "x")]


@pytest.mark.parametrize(
    ("http", "code"),
    [
        ({"path": "http://elsewhere/q"}, "bad_url"),
        ({"mode": "window", "window": ("a", "b")}, "no_window"),
        ({"mode": "window", "window_params": ("a", "b")}, "no_window"),
    ],
)
def test_refused_before_asking(http: dict[str, Any], code: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        fetch(site(tmp_path, None, **http))
    assert error.value.code == code
    assert "pw" not in error.value.text()


@pytest.mark.parametrize(
    ("connection", "env", "code"),
    [
        (None, "dev", "no_credentials"),
        (ConnectionInfo("c", host="127.0.0.1", scheme="http"), "dev", "no_credentials"),
        (ConnectionInfo("c", host="10.0.0.1", scheme="http", password="pw-1234"), "prod", "insecure_url"),
        (ConnectionInfo("c", host="127.0.0.1", scheme="http", password="pw-1234\n"), "dev", "bad_credential"),
        (ConnectionInfo("c", host="127.0.0.1", scheme="http", password="pä-1234"), "dev", "bad_credential"),
    ],
)
def test_credentials_that_cannot_be_sent(
    connection: ConnectionInfo | None, env: str, code: str, tmp_path: Path
) -> None:
    http = {"path": "/q" if connection else "http://127.0.0.1/q", "auth": "bearer"}
    source = SourceSpec.model_validate({"id": "s", "http": http})
    with pytest.raises(ConfigError) as error:
        fetch(Site(source, tmp_path, connection, env=env))
    assert error.value.code == code
    assert "1234" not in error.value.text()
