"""REST sources: downloads that go on after a break, and rate limits that all tasks of a source share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Asked, Reply, ScriptedServer, StillClock, collected, connect, context, serving

from base_ops.core.errors import Transient

BODY = os.urandom(300_000)


def source(server: ScriptedServer, home: Path, **http: Any) -> dict[str, Any]:
    connect(home, "vendor", host="127.0.0.1", port=server.port, extra={"scheme": "http"})
    return {"id": "s", "connection": "vendor", "mode": "append", "http": {"path": "/v1/big", "timeout_s": 5, **http}}


def ranged(bodies: list[bytes], breaks: int, etags: list[str], able: bool = True) -> Callable[[Asked], Reply]:
    """Cuts the first answers in half; `bodies` and `etags` are of one answer after the other, the last one for good."""
    left = [breaks]

    def script(asked: Asked) -> Reply:
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        etag = etags.pop(0) if len(etags) > 1 else etags[0]
        headers = {"ETag": etag} | ({"Accept-Ranges": "bytes"} if able else {})
        status, start = 200, 0
        if able and asked.headers.get("if-range") == etag and "range" in asked.headers:
            status, start = 206, int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        rest = body[start:]
        if left[0]:
            left[0] -= 1
            return Reply(status, rest[: len(rest) // 2], headers, cut=True)
        return Reply(status, rest, headers)

    return script


CASES: dict[str, tuple[list[bytes], int, list[str], bool, bytes, int]] = {
    # bodies, breaks, etags, whether ranges are known, what is landed, bytes sent for the last request
    "the rest": ([BODY], 1, ['"a"'], True, BODY, 150_000),
    "the rest of the rest": ([BODY], 2, ['"a"'], True, BODY, 75_000),
    "more breaks than tries": ([BODY], 9, ['"a"'], True, BODY, 0),
    "another version": ([BODY, BODY[::-1]], 1, ['"a"', '"b"'], True, BODY[::-1], 300_000),
    "a weak validator": ([BODY], 1, ['W/"a"'], True, BODY, 300_000),
    "no ranges": ([BODY], 1, ['"a"'], False, BODY, 300_000),
}


@pytest.mark.parametrize("case", CASES)
def test_a_body_that_breaks_off(case: str, tmp_path: Path) -> None:
    bodies, breaks, etags, able, landed, _ = CASES[case]
    with serving(ranged(list(bodies), breaks, list(etags), able)) as server:
        output = collected(tmp_path, source(server, tmp_path))
    assert [Path(ref.uri).read_bytes() for ref in output.outputs] == [landed]
    assert len(server.asked) == breaks + 1
    assert ("range" in server.asked[-1].headers) == (able and not etags[0].startswith("W/"))


@pytest.mark.parametrize("range_", ["bytes 5-299999/300000", "bytes 150000-299999/300000", ""])
def test_a_range_that_was_not_asked_for_is_never_taken(range_: str, tmp_path: Path) -> None:
    """Wrong place, wrong version, or no place at all: from the start then."""

    def script(asked: Asked) -> Reply:
        headers = {"ETag": '"a"', "Accept-Ranges": "bytes"}
        if "range" in asked.headers:
            return Reply(206, BODY[150_000:], {"ETag": '"other"', "Content-Range": range_})
        return Reply(200, BODY[:150_000] if len(server.asked) == 1 else BODY, headers, cut=len(server.asked) == 1)

    with serving(script) as server:
        output = collected(tmp_path, source(server, tmp_path))
    assert [Path(ref.uri).read_bytes() for ref in output.outputs] == [BODY]
    assert ["range" in asked.headers for asked in server.asked] == [False, True, False]


def test_a_piece_of_what_was_asked_for_is_not_the_rest(tmp_path: Path) -> None:
    """A server may send less than the range that it was asked for (RFC 9110 §15.3.7)."""

    def script(asked: Asked) -> Reply:
        headers = {"ETag": '"a"', "Accept-Ranges": "bytes"}
        if "range" not in asked.headers:
            return Reply(200, BODY[:100_000], headers, cut=True)
        start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
        piece = BODY[start : start + 70_000]
        return Reply(206, piece, {**headers, "Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(BODY)}"})

    with serving(script) as server:
        output = collected(tmp_path, source(server, tmp_path))
    assert [Path(ref.uri).read_bytes() for ref in output.outputs] == [BODY]
    assert [asked.headers.get("range", "")[6:] for asked in server.asked] == ["", "100000-", "170000-", "240000-"]


def test_nothing_is_left_to_send(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if "range" in asked.headers:
            return Reply(416, b"", {"Content-Range": "bytes */150000"})
        first = len(server.asked) == 1
        return Reply(200, BODY[:150_000], {"ETag": '"a"', "Accept-Ranges": "bytes"}, cut=first)

    with serving(script) as server:
        output = collected(tmp_path, source(server, tmp_path))
    assert [Path(ref.uri).read_bytes() for ref in output.outputs] == [BODY[:150_000]]


def test_a_size_limit_holds_over_all_parts(tmp_path: Path) -> None:
    from base_ops.core.errors import BadInput

    with serving(ranged([BODY], 1, ['"a"'])) as server, pytest.raises(BadInput) as error:
        collected(tmp_path, {**source(server, tmp_path), "max_object_bytes": 200_000})
    assert error.value.code == "object_too_large"


# -- rates


def paged(asked: Asked) -> Reply:
    page = int(asked.params["page"])
    return Reply(body=f"[{page}]".encode() if page < 30 else b"[]")


def test_tasks_of_a_connection_share_its_rate(tmp_path: Path) -> None:
    """Two sources of one vendor: the second one's first call waits for what the first one used up."""
    rate = {"requests": 60, "per_s": 60, "burst": 40}
    clock = StillClock()
    with serving(paged) as server:
        one = source(server, tmp_path, paging={"style": "page"}, rate=rate)
        first = collected(tmp_path, one, clock)
        second = collected(tmp_path, {**one, "id": "other"}, clock)
    findings = [f.code for step in (*first.steps, *second.steps) for f in step.findings]
    assert (len(server.asked), findings.count("rate_limited")) == (60, 2)
    assert sum(clock.slept) >= 20


def test_429_stops_every_task_of_the_connection(tmp_path: Path) -> None:
    """429 with Retry-After 7: the next call is not before 7 s, whoever makes it."""
    clock = StillClock()
    replies = [Reply(429, headers={"Retry-After": "7"})]
    with serving(lambda _asked: replies.pop() if replies else Reply(body=b"[1]")) as server:
        made = source(server, tmp_path, tries=1)
        with pytest.raises(Transient) as error:
            collected(tmp_path, made, clock)
        assert (error.value.code, error.value.retry_after_s, clock.slept) == ("rate_limited", 7, [])
        collected(tmp_path, {**made, "id": "other"}, clock)
    assert sum(clock.slept) == pytest.approx(7, abs=0.01)


def test_the_last_request_of_a_window_makes_all_wait(tmp_path: Path) -> None:
    clock = StillClock()
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}
    with serving(
        lambda asked: Reply(body=paged(asked).body, headers=headers if asked.params["page"] == "3" else {})
    ) as server:
        collected(tmp_path, source(server, tmp_path, paging={"style": "page"}), clock)
    assert sum(clock.slept) == pytest.approx(12, abs=0.01)


def test_no_rate_no_leases(tmp_path: Path) -> None:
    with serving(paged) as server:
        collected(tmp_path, source(server, tmp_path, paging={"style": "page"}, rate=None))
    assert context(tmp_path).lake.store.folders("quotas") == []


# -- each


def test_each_series_is_an_object_with_its_captures(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(
            body=f'["{asked.params["symbol"]}", {asked.params["page"]}]'.encode()
            if asked.params["page"] != "3"
            else b"[]"
        )

    how = {"each": {"symbol": ["EURUSD", "USD JPY"]}, "paging": {"style": "page"}, "params": {"k": "v"}}
    with serving(script) as server:
        output = collected(tmp_path, {**source(server, tmp_path, **how), "slice": "{symbol}"})
    assert [(ref.name, ref.slice, Path(ref.uri).read_bytes()) for ref in output.outputs] == [
        ("/v1/big?symbol=EURUSD/page-00001", "EURUSD", b'["EURUSD", 1]'),
        ("/v1/big?symbol=EURUSD/page-00002", "EURUSD", b'["EURUSD", 2]'),
        ("/v1/big?symbol=USD+JPY/page-00001", "USD_JPY", b'["USD JPY", 1]'),
        ("/v1/big?symbol=USD+JPY/page-00002", "USD_JPY", b'["USD JPY", 2]'),
    ]
    assert len(server.asked) == 6
    assert {asked.params["k"] for asked in server.asked} == {"v"}


def test_one_series_that_fails_lands_nothing(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(500 if asked.params["n"] == "7" else 200, b"[1]")

    with serving(script) as server, pytest.raises(Transient):
        collected(tmp_path, source(server, tmp_path, each={"n": [str(n) for n in range(20)]}, tries=1))
    assert not list((tmp_path / "lake" / "landing").rglob("_log/*"))


def test_a_series_that_is_unchanged_is_not_sent_again(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        etag = f'"{asked.params["n"]}"'
        return (
            Reply(304)
            if asked.headers.get("if-none-match") == etag
            else Reply(body=etag.encode(), headers={"ETag": etag})
        )

    with serving(script) as server:
        made = source(server, tmp_path, each={"n": ["1", "2"]})
        assert collected(tmp_path, made).steps[0].observations["objects_new"] == 2
        again = collected(tmp_path, made).steps[0].observations
    assert (again["objects_new"], again["objects_unchanged"]) == (0, 2)


def test_one_cursor_for_several_series_is_refused() -> None:
    from base_ops.data_ingestion.options.sources.source import SourceSpec

    http = {"path": "/q", "each": {"n": ["1"]}, "cursor_field": "at", "cursor_param": "since"}
    with pytest.raises(ValueError, match="exclude each other"):
        SourceSpec.model_validate({"id": "s", "mode": "append", "http": http})


def test_packed_bodies_are_never_pieced_together(tmp_path: Path) -> None:
    """Ranges count packed bytes, what is kept are unpacked ones."""
    import gzip

    packed = gzip.compress(BODY)
    headers = {"ETag": '"a"', "Accept-Ranges": "bytes", "Content-Encoding": "gzip"}

    def script(asked: Asked) -> Reply:
        first = len(server.asked) == 1
        return Reply(200, packed[: len(packed) // 2] if first else packed, headers, cut=first)

    with serving(script) as server:
        output = collected(tmp_path, source(server, tmp_path))
    assert [Path(ref.uri).read_bytes() for ref in output.outputs] == [BODY]
    assert "range" not in server.asked[1].headers
