"""Server-sent events: the parser, and runs that go on where the one before stopped."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Asked, Reply, Script, StillClock, collected, connect, in_turn, serving
from fakes.landed import dead_letters
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.sse import Event, EventReader

E = Event
STREAMS: dict[str, tuple[bytes, list[Event]]] = {
    # the examples of the HTML standard, §9.2.6, and its corners
    "data": (b"data: This is the first message.\n\n", [E("", "message", "This is the first message.")]),
    "two lines": (b"data: a\ndata: b\n\n", [E("", "message", "a\nb")]),
    "kinds": (b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", [E("", "add", "73857293"), E("", "remove", "2153")]),
    "comment, ids": (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", [E("1", "message", "first event"), E("", "message", "second event"), E("", "message", " third event")]),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [E("", "message", ""), E("", "message", "\n")]),
    "carriage returns": (b"id: 1\rdata: a\r\rdata: b\r\n\r\n", [E("1", "message", "a"), E("1", "message", "b")]),
    "byte order mark": ("\ufeffdata: ü\n\n".encode(), [E("", "message", "ü")]),
    "unfinished": (b"data: a\n\nid: 9\ndata: b\n", [E("", "message", "a")]),
    "an id stays": (b"id: 7\ndata: a\n\ndata: b\n\n", [E("7", "message", "a"), E("7", "message", "b")]),
    "an id with a null": (b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n", [E("7", "message", "a"), E("7", "message", "b")]),
    "unknown fields": (b"what: x\nretry: 5x\ndata: a\n\n", [E("", "message", "a")]),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events(case: str, size: int) -> None:
    """The same however the bytes arrive."""
    raw, events = STREAMS[case]
    chunks = [raw[n : n + size] for n in range(0, len(raw), size)]
    assert list(EventReader(1000, "here").read(chunks)) == events


@given(st.binary(max_size=300), st.integers(1, 9))
def test_any_bytes(raw: bytes, size: int) -> None:
    whole = list(EventReader(1000, "here").read([raw]))
    assert list(EventReader(1000, "here").read(raw[n : n + size] for n in range(0, len(raw), size))) == whole


@pytest.mark.parametrize("raw", [b"data: " + b"x" * 2000, b"data: xxx\n" * 300, b"data: x\n" + b"y" * 2000])
def test_an_event_without_end_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput) as error:
        list(EventReader(1000, "here").read(raw[n : n + 64] for n in range(0, len(raw), 64)))
    assert error.value.code == "message_too_large"


STREAM = {"Content-Type": "text/event-stream"}


def run(script: Script, home: Path, **sse: Any) -> tuple[list[dict[str, Any]], Any, list[Asked]]:
    with serving(script) as server:
        connect(home, "vendor", host="127.0.0.1", port=server.port, password="a-very-secret-token", extra={"scheme": "http"})  # fmt: skip
        block = {"path": "/v1/events", "tries": 3, "auth": "bearer", **sse}
        output = collected(home, {"id": "s", "connection": "vendor", "mode": "append", "sse": block}, StillClock())
        lines = [line for ref in output.outputs for line in Path(ref.uri).read_text().splitlines()]
        return [json.loads(line) for line in lines], output, server.asked


def events(first: int, last: int) -> bytes:
    return b"".join(b'id: e%d\nevent: trade\ndata: {"n": %d}\n\n' % (n, n) for n in range(first, last + 1))


def history(count: int, cut_at: int | None = None) -> Script:
    """All events after the last one the client has seen; `cut_at`: the first answer breaks off inside that event."""
    cuts = [cut_at] if cut_at else []

    def script(asked: Asked) -> Reply:
        seen = int(asked.headers.get("last-event-id", "e0")[1:])
        if cuts:
            return Reply(body=events(seen + 1, cuts.pop())[:-9], headers=STREAM, cut=True)
        return Reply(body=events(seen + 1, count), headers=STREAM)

    return script


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [line["value"]["n"] for line in lines]


def test_data_that_is_not_utf_8_is_kept_apart_as_it_is(tmp_path: Path) -> None:
    body = b'id: \xfe\nevent: \xfd\ndata: {"a": "\xff"}\n\nid: e2\ndata: {"n": 2}\n\n'
    lines, output, _ = run(in_turn(Reply(body=body, headers=STREAM)), tmp_path)
    assert ([line["value"] for line in lines], output.cursor_after) == ([{"n": 2}], {"last_event_id": "e2"})
    [dead] = dead_letters(tmp_path, "s")
    assert (dead["id"], base64.b64decode(dead["value_base64"])) == ("\\xfe", b'{"a": "\xff"}')


def test_a_run_goes_on_where_the_one_before_stopped(tmp_path: Path) -> None:
    lines, output, _ = run(history(5), tmp_path)
    assert (lines[0]["id"], lines[0]["event"], lines[0]["value"]) == ("e1", "trade", {"n": 1})
    assert (numbers(lines), output.cursor_after) == ([1, 2, 3, 4, 5], {"last_event_id": "e5"})
    lines, output, asked = run(history(12), tmp_path)
    assert (numbers(lines), output.cursor_after) == (list(range(1, 13)), {"last_event_id": "e12"})
    assert asked[0].headers["last-event-id"] == "e5"
    assert run(history(12), tmp_path)[1].steps[0].observations["objects_new"] == 0


def test_a_bounded_run(tmp_path: Path) -> None:
    lines, output, _ = run(history(50), tmp_path, max_messages=7)
    assert (numbers(lines), output.cursor_after) == (list(range(1, 8)), {"last_event_id": "e7"})
    assert numbers(run(history(50), tmp_path)[0]) == list(range(1, 51))


def test_a_stream_that_breaks_off_goes_on(tmp_path: Path) -> None:
    lines, _, asked = run(history(9, cut_at=4), tmp_path)
    assert numbers(lines) == list(range(1, 10))
    assert [a.headers.get("last-event-id") for a in asked] == [None, "e3"]


def test_silence_ends_a_run(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(hang=True)

    lines, output, asked = run(script, tmp_path, idle_s=0.05)
    assert (lines, len(asked), output.cursor_after) == ([], 1, None)


def test_events_without_ids_are_told(tmp_path: Path) -> None:
    lines, output, _ = run(in_turn(Reply(body=b"data: 1\n\n", headers=STREAM)), tmp_path)
    assert [line["value"] for line in lines] == [1]
    assert "not_resumable" in [f.code for f in output.steps[0].findings]


def test_data_that_is_no_json_goes_to_the_dead_letters(tmp_path: Path) -> None:
    body = b"id: 1\ndata: {\n\n" + b"id: 2\ndata: 2\n\n"
    lines, output, _ = run(in_turn(Reply(body=body, headers=STREAM)), tmp_path)
    assert [line["value"] for line in lines] == [2]
    assert (output.cursor_after, "dead_letters" in [f.code for f in output.steps[0].findings]) == (
        {"last_event_id": "2"},
        True,
    )


@pytest.mark.parametrize(
    ("reply", "kind", "code", "requests"),
    [
        (Reply(401), Denied, "unauthorized", 1),
        (Reply(404), ConfigError, "not_found", 1),
        (Reply(503), Transient, "server_error", 3),
        (Reply(body=b"[]", headers={"Content-Type": "application/json"}), BadInput, "bad_stream", 1),
        (Reply(body=b"data: x", headers=STREAM, cut=True), Transient, "cut_body", 3),
    ],
)
def test_failures_are_told_apart(
    reply: Reply, kind: type[BaseOpsError], code: str, requests: int, tmp_path: Path
) -> None:
    asked = []

    def script(request: Asked) -> Reply:
        asked.append(request)
        return reply

    with pytest.raises(kind) as error:
        run(script, tmp_path)
    assert (error.value.code, len(asked)) == (code, requests)
    assert "a-very-secret-token" not in error.value.text()


def test_a_server_that_has_nothing_more(tmp_path: Path) -> None:
    assert run(in_turn(Reply(204)), tmp_path)[0] == []
