"""SOAP sources, against a server that checks what it is sent."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Asked, Reply, Script, StillClock, collected, connect, in_turn, serving
from lxml import etree

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient

PASSWORD = "a-very-secret <password>&"
SPACES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
SECURITY = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
UTILITY = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"


def envelope(content: str, version: str = "1.1") -> bytes:
    return f'<s:Envelope xmlns:s="{SPACES[version]}"><s:Header/><s:Body>{content}</s:Body></s:Envelope>'.encode()


def fault(code: str, version: str = "1.1", status: int = 500) -> Script:
    if version == "1.1":
        inner = f"<faultcode>{code}</faultcode><faultstring>no</faultstring>"
    else:
        main, _, sub = code.partition(" ")
        sub = f"<s:Subcode><s:Value>{sub}</s:Value></s:Subcode>" if sub else ""
        inner = f"<s:Code><s:Value>{main}</s:Value>{sub}</s:Code><s:Reason><s:Text>no</s:Text></s:Reason>"
    return in_turn(Reply(status, envelope(f"<s:Fault>{inner}</s:Fault>", version)))


ANSWER = envelope('<q:Quotes xmlns:q="urn:q"><q:Quote>1</q:Quote></q:Quotes>')
CALL = '<q:GetQuotes xmlns:q="urn:q"><q:Day>2026-01-05</q:Day></q:GetQuotes>'


def run(script: Script, home: Path, **soap: Any) -> tuple[list[bytes], Any, list[Asked]]:
    with serving(script) as server:
        connect(home, "vendor", host="127.0.0.1", port=server.port, login="me", password=PASSWORD, extra={"scheme": "http"})  # fmt: skip
        block = {"path": "/ws", "action": "urn:q/GetQuotes", "body": CALL, "tries": 2, **soap}
        output = collected(home, {"id": "s", "connection": "vendor", "soap": block}, StillClock())
        return [Path(ref.uri).read_bytes() for ref in output.outputs], output, server.asked


@pytest.mark.parametrize("version", SPACES)
def test_a_call_and_its_answer(version: str, tmp_path: Path) -> None:
    answer = envelope('<q:Quotes xmlns:q="urn:q"/>', version)
    bodies, output, asked = run(in_turn(Reply(body=answer)), tmp_path, version=version)
    assert (bodies, [ref.name for ref in output.outputs]) == ([answer], ["/ws/GetQuotes.xml"])
    root = etree.fromstring(asked[0].body)
    assert root.find(f"{{{SPACES[version]}}}Body/{{urn:q}}GetQuotes/{{urn:q}}Day").text == "2026-01-05"
    kind, action = asked[0].headers["content-type"], asked[0].headers.get("soapaction")
    if version == "1.1":
        assert (kind, action) == ("text/xml; charset=utf-8", '"urn:q/GetQuotes"')
    else:
        assert (kind, action) == ('application/soap+xml; charset=utf-8; action="urn:q/GetQuotes"', None)


def token(asked: Asked) -> dict[str, str]:
    found = etree.fromstring(asked.body).find(f".//{SECURITY}UsernameToken")
    names = {"login": f"{SECURITY}Username", "password": f"{SECURITY}Password", "nonce": f"{SECURITY}Nonce", "created": f"{UTILITY}Created"}  # fmt: skip
    return {key: found.find(name).text for key, name in names.items()}


def test_a_digest_shows_the_password_to_nobody_and_is_made_anew(tmp_path: Path) -> None:
    script = in_turn(Reply(503), Reply(body=ANSWER))
    _, _, asked = run(script, tmp_path, security="username_digest")
    nonces = set()
    for request in asked:
        sent = token(request)
        raw = base64.b64decode(sent["nonce"]) + sent["created"].encode() + PASSWORD.encode()
        assert sent["password"] == base64.b64encode(hashlib.sha1(raw).digest()).decode()
        assert sent["login"] == "me"
        assert datetime.fromisoformat(sent["created"]).tzinfo == UTC
        assert b"secret" not in request.body
        nonces.add(sent["nonce"])
    assert len(nonces) == 2


def test_a_password_as_text(tmp_path: Path) -> None:
    _, _, asked = run(in_turn(Reply(body=ANSWER)), tmp_path, security="username_text")
    assert token(asked[0])["password"] == PASSWORD


FAILURES: dict[str, tuple[Script, dict[str, Any], type[BaseOpsError], str, int]] = {
    "the server's fault": (fault("s:Server"), {}, Transient, "server_error", 2),
    "the caller's fault": (fault("s:Client"), {}, ConfigError, "bad_call", 1),
    "a fault with 200": (fault("s:Client.Day", status=200), {}, ConfigError, "bad_call", 1),
    "refused": (fault("wsse:FailedAuthentication"), {}, Denied, "unauthorized", 1),
    "1.2 receiver": (fault("s:Receiver", "1.2"), {"version": "1.2"}, Transient, "server_error", 2),
    "1.2 sender": (fault("s:Sender", "1.2", 400), {"version": "1.2"}, ConfigError, "bad_call", 1),
    "1.2 refused": (fault("s:Sender wsse:InvalidSecurityToken", "1.2"), {"version": "1.2"}, Denied, "unauthorized", 1),
    "401": (in_turn(Reply(401)), {}, Denied, "unauthorized", 1),
    "500 without an envelope": (in_turn(Reply(500, b"oops")), {}, Transient, "server_error", 2),
    "no envelope": (in_turn(Reply(body=b"<html/>")), {}, BadInput, "bad_envelope", 1),
    "no XML": (in_turn(Reply(body=b"hello")), {}, BadInput, "bad_envelope", 1),
    "nothing": (in_turn(Reply(body=b"")), {}, BadInput, "bad_envelope", 1),
    "no body": (in_turn(Reply(body=ANSWER.replace(b"s:Body", b"s:Other"))), {}, BadInput, "bad_envelope", 1),
    "another version": (in_turn(Reply(body=ANSWER)), {"version": "1.2"}, BadInput, "bad_envelope", 1),
    "a bomb": (in_turn(Reply(body=b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + ANSWER.replace(b">1<", b">&b;<"))), {}, BadInput, "bad_envelope", 1),
    "a body that is no XML": (in_turn(Reply(body=ANSWER)), {"body": "<a>"}, ConfigError, "bad_xml", 0),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart(case: str, tmp_path: Path) -> None:
    script, soap, kind, code, requests = FAILURES[case]
    asked = []

    def noted(request: Asked) -> Reply:
        asked.append(request)
        return script(request)

    with pytest.raises(kind) as error:
        run(noted, tmp_path, security="username_digest", **soap)
    assert (error.value.code, len(asked)) == (code, requests)
    assert "secret" not in error.value.text()
