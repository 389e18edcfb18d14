"""WebSockets, against a real server in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock, collected, connect
from fakes.file_servers import certificate, free_port

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient

TOKEN = "a-very-secret-token"


@contextmanager
def peer(handler: Callable[[Any], None], **options: Any) -> Iterator[int]:
    from websockets.sync.server import serve

    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.socket.getsockname()[1])
        finally:
            server.shutdown()
            thread.join()


def run(port: int, home: Path, extra: dict[str, Any] | None = None, **websocket: Any) -> tuple[list[Any], Any]:
    parts = {"scheme": "http", **(extra or {})}
    connect(home, "vendor", host="127.0.0.1", port=port, password=TOKEN, extra=parts)
    block = {"path": "/feed", "tries": 3, "auth": "bearer", "idle_s": 5, **websocket}
    output = collected(home, {"id": "s", "connection": "vendor", "mode": "append", "websocket": block}, StillClock())
    lines = [line for ref in output.outputs for line in Path(ref.uri).read_text().splitlines()]
    return [json.loads(line) for line in lines], output


def sends(*numbers: int) -> Callable[[Any], None]:
    def handler(socket: Any) -> None:
        for n in numbers:
            socket.send(json.dumps({"seq": n}))

    return handler


def numbers(lines: list[Any]) -> list[int]:
    return [line["value"]["seq"] for line in lines]


def codes(output: Any) -> list[str]:
    return [f.code for f in output.steps[0].findings]


def test_messages_after_a_subscription(tmp_path: Path) -> None:
    heard: list[Any] = []

    def handler(socket: Any) -> None:
        heard.extend([socket.request.path, socket.request.headers["Authorization"], socket.recv(), socket.recv()])
        socket.send('{"a": 1}')
        socket.send(b'{"b": 2}')

    with peer(handler) as port:
        lines, _ = run(port, tmp_path, subscribe=[{"op": "subscribe", "channel": "trades"}, "go"], params={"v": "1"})
    assert heard == ["/feed?v=1", f"Bearer {TOKEN}", '{"op": "subscribe", "channel": "trades"}', "go"]
    assert [(line["kind"], line["value"]) for line in lines] == [("text", {"a": 1}), ("binary", {"b": 2})]


def test_a_bounded_run(tmp_path: Path) -> None:
    with peer(sends(*range(100))) as port:
        assert numbers(run(port, tmp_path, max_messages=7)[0]) == list(range(7))


def test_silence_ends_a_run(tmp_path: Path) -> None:
    over = threading.Event()

    def handler(socket: Any) -> None:
        socket.send('{"seq": 1}')
        over.wait(10)

    with peer(handler) as port:
        assert numbers(run(port, tmp_path, idle_s=0.1)[0]) == [1]
        over.set()


def test_counted_messages_are_taken_once_and_gaps_are_told(tmp_path: Path) -> None:
    with peer(sends(1, 2, 2, 3)) as port:
        lines, output = run(port, tmp_path, sequence="seq")
    assert (numbers(lines), output.cursor_after) == ([1, 2, 3], {"sequence": 3})
    assert "duplicate_messages" in codes(output)
    with peer(sends(3, 4, 7)) as port:
        lines, output = run(port, tmp_path, sequence="seq")
    assert (numbers(lines), output.cursor_after) == ([1, 2, 3, 4, 7], {"sequence": 7})
    assert "messages_missing" in codes(output)


def test_a_server_that_counts_anew_is_told(tmp_path: Path) -> None:
    with peer(sends(7, 8, 9)) as port:
        run(port, tmp_path, sequence="seq")
    with peer(sends(7, 8, 9)) as port:  # sent again
        assert "sequence_restarted" not in codes(run(port, tmp_path, sequence="seq")[1])
    with peer(sends(1, 2)) as port:
        lines, output = run(port, tmp_path, sequence="seq")
    assert (numbers(lines), output.cursor_after) == ([7, 8, 9], {"sequence": 9})
    assert "sequence_restarted" in codes(output)


def test_a_broken_connection_is_made_again(tmp_path: Path) -> None:
    calls = []

    def handler(socket: Any) -> None:
        calls.append(1)
        for n in (1, 2, 3) if len(calls) == 1 else (2, 3, 4):
            socket.send(json.dumps({"seq": n}))
        if len(calls) == 1:
            socket.close(1011, "oops")

    with peer(handler) as port:
        lines, output = run(port, tmp_path, sequence="seq")
    assert (numbers(lines), output.steps[0].observations["retries"]) == ([1, 2, 3, 4], 1)


def refuses(status: HTTPStatus) -> dict[str, Any]:
    return {"process_request": lambda connection, _request: connection.respond(status, "no")}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (HTTPStatus.UNAUTHORIZED, Denied, "unauthorized"),
        (HTTPStatus.NOT_FOUND, ConfigError, "bad_request"),
        (HTTPStatus.SERVICE_UNAVAILABLE, Transient, "server_error"),
    ],
)
def test_refusals_are_told_apart(status: HTTPStatus, kind: type[BaseOpsError], code: str, tmp_path: Path) -> None:
    with peer(sends(), **refuses(status)) as port, pytest.raises(kind) as error:
        run(port, tmp_path)
    assert error.value.code == code
    assert TOKEN not in error.value.text()


def test_a_message_that_is_too_long(tmp_path: Path) -> None:
    with peer(lambda socket: socket.send("x" * 2000)) as port, pytest.raises(BadInput) as error:
        run(port, tmp_path, max_message_bytes=1000)
    assert error.value.code == "message_too_large"


def test_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(Transient) as error:
        run(free_port(), tmp_path)
    assert error.value.code == "unreachable"


def test_encrypted(tmp_path: Path) -> None:
    import ssl

    file, authority = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with peer(sends(1), ssl=context) as port:
        assert numbers(run(port, tmp_path, {"scheme": "https", "ca_certificate": authority})[0]) == [1]
        with pytest.raises(ConfigError) as error:
            run(port, tmp_path, {"scheme": "https"})
    assert error.value.code == "bad_certificate"


def test_a_key_in_the_query_is_sent(tmp_path: Path) -> None:
    from base_ops.data_ingestion.config.sources import fill_template

    heard: list[str] = []

    def handler(socket: Any) -> None:
        heard.append(socket.request.path)
        socket.send('{"seq": 1}')

    with peer(handler) as port:
        connect(tmp_path, "vendor", host="127.0.0.1", port=port, password=TOKEN, extra={"scheme": "http"})
        source = {
            "id": "s",
            "connection": "vendor",
            "mode": "append",
            "authentication": fill_template({"template": "api_key_query", "name": "key"}),
            "websocket": {"path": "/feed", "params": {"v": "1"}, "idle_s": 5},
        }
        collected(tmp_path, source, StillClock())
    assert heard == [f"/feed?v=1&key={TOKEN}"]


def test_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    from fakes.identity import CLIENT, SECRET, identity_provider

    from base_ops.data_ingestion.config.sources import fill_template
    from base_ops.worker.connections.tokens import forget_tokens

    seen: list[str] = []

    def gate(connection: Any, request: Any) -> Any:
        seen.append(request.headers["Authorization"])
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no") if len(seen) == 1 else None

    forget_tokens()
    with identity_provider() as running, peer(sends(1), process_request=gate) as port:
        connect(
            tmp_path, "vendor", host="127.0.0.1", port=port, login=CLIENT, password=SECRET, extra={"scheme": "http"}
        )
        template = {"template": "oauth2_client_credentials", "token_url": f"{running.url}/token"}
        source = {"id": "s", "connection": "vendor", "mode": "append", "authentication": fill_template(template), "websocket": {"path": "/", "idle_s": 5}}  # fmt: skip
        collected(tmp_path, source, StillClock())
        assert len(running.forms) == 2
    assert len(set(seen)) == 2
