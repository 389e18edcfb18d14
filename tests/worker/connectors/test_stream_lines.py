"""Messages as lines, their files, and what can be said of a stream, without a broker."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import collected, connect
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Site
from base_ops.worker.connectors.streams.envelope import Envelope, Poison, json_time
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.lake.landing import DeadLetters, History, LandingEntry

headers = st.lists(st.tuples(st.text(), st.none() | st.binary() | st.text()), max_size=3)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).map(lambda value: json.dumps(value, indent=2).encode())


@given(value=st.none() | st.binary() | json_texts, key=st.none() | st.binary(), headers=headers)
@pytest.mark.parametrize("kind", ["json", "text", "bytes"])
def test_a_message_is_one_line_or_poison_and_nothing_of_it_is_lost(
    kind: Any, value: bytes | None, key: bytes | None, headers: Any
) -> None:
    envelope = Envelope(kind, "bytes")
    try:
        line = envelope.line(b'"offset":1', headers, value, key)
    except Poison as poison:
        line = envelope.dead(poison, b'"offset":1', headers, value, key, "run")
        told = json.loads(line)
        assert kind != "bytes"
        assert told["value_base64"] == base64.b64encode(value or b"").decode()
        assert told["rule"] == f"not_{kind}"
    else:
        told = json.loads(line)
        assert value is None or told["value"] == _meant(kind, value)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line
    assert told["offset"] == 1
    assert [(h["name"], _header(h)) for h in told["headers"]] == [(n, v.encode() if isinstance(v, str) else v) for n, v in headers]  # fmt: skip


def _meant(kind: str, value: bytes) -> Any:
    if kind == "json":
        return json.loads(value)
    return value.decode() if kind == "text" else base64.b64encode(value).decode()


def _header(told: dict[str, Any]) -> bytes | None:
    if "base64" in told:
        return base64.b64decode(told["base64"])
    return None if told["value"] is None else told["value"].encode()


@pytest.mark.parametrize(
    "value", [b"", b"{", b"NaN", b"{}{}", b"\xef\xbb\xbf{}", b"'a'", b"[1,]", b"\x00", b"01", b'"\xed\xa0\x80"']
)
def test_what_is_not_json_is_poison(value: bytes) -> None:
    with pytest.raises(Poison):
        Envelope("json").line(b'"a":1', (), value)


def test_a_key_that_is_not_text_is_poison() -> None:
    with pytest.raises(Poison, match="the key is not UTF-8"):
        Envelope("json").line(b'"a":1', (), b"{}", b"\xff")


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "null"), (0, '"1970-01-01T00:00:00.000Z"'), (-1, '"1969-12-31T23:59:59.999Z"'), (1 << 62, "null")],
)
def test_times(ms: int | None, text: str) -> None:
    assert json_time(ms).decode() == text


@given(moment=st.datetimes())
def test_times_are_exact(moment: datetime) -> None:
    exact = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    ms = (exact - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert datetime.fromisoformat(json.loads(json_time(ms))) == exact


def taking(tmp_path: Path, kept: list[Fetched], **more: Any) -> Taking:
    source = SourceSpec.model_validate({"id": "s", "mode": "append", "kafka": {"topics": ["t"], **more}})
    return Taking(Site(source, tmp_path), source.kafka, History(), kept.append, Envelope("json"))  # type: ignore[arg-type]


def test_big_parts_are_cut_between_messages(tmp_path: Path) -> None:
    kept: list[Fetched] = []
    run = taking(tmp_path, kept, part_mb=1)
    value = json.dumps("x" * 100_000).encode()
    for number in range(50):
        run.take(b'"n":%d' % number, (), value if number % 2 else b"?")
    run.finish()
    data = [item for item in kept if item.dead is None]
    assert len(data) == 3 and all(item.bytes < 2_300_000 for item in data)
    assert [json.loads(line)["n"] for item in data for line in item.local.read_bytes().splitlines()] == list(
        range(1, 50, 2)
    )
    assert [item.dead for item in kept if item.dead] == [{"not_json": 25}]


def test_settled_dead_letters_do_not_count() -> None:
    def dead(name: str, count: int) -> DeadLetters:
        return DeadLetters(stored=name, sha256=name, bytes=1, rules={"not_json": count, "not_text": 1})

    first = LandingEntry(
        sequence=1, source="s", objects=[], dead_letters=[dead("a", 2), dead("b", 4)], cursor_after={"t": 1}
    )
    second = LandingEntry(sequence=2, source="s", objects=[], settled=["a"])
    assert History([first]).dead_messages == 8
    assert (History([first, second]).dead_messages, History([first, second]).cursor) == (5, {"t": 1})


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"mode": "snapshot", "kafka": {"topics": ["t"]}}, "needs mode: append"),
        ({"mode": "append", "kafka": {"topics": []}}, "at least 1 item"),
        ({"mode": "append", "kafka": {"topics": ["t"], "start": "latest"}}, "a time with its zone"),
        ({"mode": "append", "kinesis": {"stream": "t", "start": "2026-01-05"}}, "a time with its zone"),
        ({"mode": "append", "rabbitmq": {"queues": ["t"], "value": "avro"}}, "'json', 'text' or 'bytes'"),
    ],
)
def test_specs(block: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SourceSpec.model_validate({"id": "s", **block})


# -- TLS: to a server that is not the one that was meant, nothing is said


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[tuple[int, list[bytes], str]]:
    """A TLS server whose certificate is for another name: port, what it was told, its authority (PEM)."""
    authority = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    told: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                plain.settimeout(2)
                with context.wrap_socket(plain, server_side=True) as secure:
                    told.append(secure.recv(1000))
            except OSError:
                plain.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1], told, authority
    over.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def _certificate(folder: Path) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("elsewhere.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return pem.decode()


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "activemq"])
def test_a_server_of_another_name_is_told_nothing(
    protocol: str, trusted: bool, stranger: tuple[int, list[bytes], str], tmp_path: Path
) -> None:
    port, told, authority = stranger
    extra = {"tls": True, "security.protocol": "sasl_ssl", **({"ca_certificate": authority} if trusted else {})}
    connect(tmp_path, "broker", host="127.0.0.1", port=port, login="ann", password="ann-secret", extra=extra)
    block = {"kafka": {"topics": ["t"]}, "rabbitmq": {"queues": ["t"]}, "activemq": {"queue": "t"}}[protocol]
    source = {
        "id": "s",
        "connection": "broker",
        "mode": "append",
        protocol: block,
        "connecting": {"settings": {"connect_s": 1}},
    }
    with pytest.raises(BaseOpsError):
        collected(tmp_path, source)
    assert b"".join(told) == b""


@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "activemq"])
def test_a_certificate_is_verified_outside_env_dev(protocol: str, tmp_path: Path) -> None:
    from fakes.collecting import context

    extra = {"tls": True, "security.protocol": "sasl_ssl", "verify": False}
    connect(tmp_path, "broker", host="broker.example", port=1, login="ann", password="ann-secret", extra=extra)
    block = {"kafka": {"topics": ["t"]}, "rabbitmq": {"queues": ["t"]}, "activemq": {"queue": "t"}}[protocol]
    source = {"id": "s", "connection": "broker", "mode": "append", protocol: block}
    with pytest.raises(ConfigError) as error:
        collected(tmp_path, source, ctx=context(tmp_path, env="prod"))
    assert error.value.code == "unverified_tls"


@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "activemq"])
def test_credentials_do_not_travel_in_clear(protocol: str, tmp_path: Path) -> None:
    from fakes.collecting import context

    extra = {"tls": False, "security.protocol": "sasl_plaintext"}
    connect(tmp_path, "broker", host="broker.example", port=1, login="ann", password="ann-secret", extra=extra)
    block = {"kafka": {"topics": ["t"]}, "rabbitmq": {"queues": ["t"]}, "activemq": {"queue": "t"}}[protocol]
    source = {"id": "s", "connection": "broker", "mode": "append", protocol: block}
    with pytest.raises(ConfigError) as error:
        collected(tmp_path, source, ctx=context(tmp_path, env="prod"))
    assert error.value.code == "insecure_url"
