"""A simple bind over TLS (RFC 4511 §4.2), to see that a directory accepts a login: one message out, one back.

No library: the one for Python is unmaintained and cannot be given a TLS policy, and a bind is these forty lines.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable

from base_ops.core.errors import Transient
from base_ops.data_ingestion.options.authentication import LdapTemplate
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.tls import tls_context

_MOST_BYTES = 1 << 16
_SPECIAL = re.compile(r'([,+"\\<>;=]|^[ #]| $)')
INVALID_CREDENTIALS = {32, 34, 48, 49, 50, 53}
"""noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights,
unwillingToPerform."""


def bind(credentials: Credentials, host: str, port: int | None = None) -> None:
    """Ask the directory whether it accepts the connection's login, named as the template says.

    Raises:
        Denied: it does not. Transient: nobody there. ConfigError: its certificate cannot be verified.
    """
    template = credentials.template
    assert isinstance(template, LdapTemplate)
    login = credentials.get("login")
    name = template.bind_dn.replace("{login}", escaped(login) if "={login}" in template.bind_dn else login)
    context, password = tls_context(credentials), credentials.get("password")
    try:
        code = simple_bind(host, port or template.port, context, name, password, template.connect_s)
    except ssl.SSLCertVerificationError as error:
        raise credentials.fault(
            "The directory's certificate cannot be verified",
            "bad_certificate",
            found=error.verify_message,
            todo="add its authority as ca_certificate to the connection",
        ) from None
    except (OSError, ValueError) as error:
        raise _away(credentials, type(error).__name__) from None
    if code:
        found = f"LDAP result code {code}"
        raise credentials.denied(found) if code in INVALID_CREDENTIALS else _away(credentials, found)


def _away(credentials: Credentials, found: str) -> Transient:
    what = "The directory cannot be reached or does not answer"
    return Transient(what, code="unreachable", where=credentials.where, found=found)


def simple_bind(host: str, port: int, context: ssl.SSLContext, name: str, password: str, timeout_s: float) -> int:
    """The directory's result code; 0: it let us in.

    Raises:
        OSError: nobody there, or no TLS. ValueError: the answer is no LDAP, or the password is empty (that would be an
            anonymous bind, which always succeeds; RFC 4513 §5.1.2).
    """
    if not password:
        raise ValueError("an empty password")
    bind = _tlv(0x02, b"\x03") + _tlv(0x04, name.encode()) + _tlv(0x80, password.encode())
    with (
        socket.create_connection((host, port), timeout_s) as raw,
        context.wrap_socket(raw, server_hostname=host) as peer,
    ):
        peer.sendall(_tlv(0x30, _tlv(0x02, b"\x01") + _tlv(0x60, bind)))
        code = _result_code(_message(peer.recv))
        peer.sendall(_tlv(0x30, _tlv(0x02, b"\x02") + _tlv(0x42, b"")))  # unbind
        return code


def escaped(login: str) -> str:
    """A login as the value of a distinguished name (RFC 4514 §2.4)."""
    return _SPECIAL.sub(r"\\\1", login).replace("\0", r"\00")


def _tlv(tag: int, value: bytes) -> bytes:
    """One element in BER, definite length."""
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def _message(receive: Callable[[int], bytes]) -> bytes:
    """The value of the next message. Raises: ValueError."""
    data = b""
    while len(data) <= _MOST_BYTES:
        chunk = receive(4096)
        if not chunk:
            raise ValueError("the answer was cut")
        data += chunk
        try:
            tag, value, _ = _element(data)
        except IndexError:
            continue  # not all of it yet
        if tag == 0x30:
            return value
        break
    raise ValueError("the answer is no LDAP message")


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """(tag, value, what follows). Raises: IndexError where it is not whole; ValueError where it cannot be."""
    tag, size, start = data[0], data[1], 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= 4:
            raise ValueError("a length that cannot be")
        if len(data) < 2 + count:
            raise IndexError
        size, start = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if size > _MOST_BYTES:
        raise ValueError("an answer too large")
    if len(data) < start + size:
        raise IndexError
    return tag, data[start : start + size], data[start + size :]


def _result_code(message: bytes) -> int:
    try:
        _, _, rest = _element(message)
        tag, answer, _ = _element(rest)
        _, code, _ = _element(answer)
    except IndexError:
        raise ValueError("the answer is cut") from None
    if tag != 0x61:
        raise ValueError("the answer is to no bind")
    return int.from_bytes(code, "big")
