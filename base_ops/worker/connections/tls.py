"""TLS: one policy for every client, the client certificate, and what is known of the peer's certificate.

Revocation is checked against a list (CRL) the connection brings: OpenSSL checks it, online questions (OCSP) are not
asked, since a responder that does not answer would either stop every feed or be worth nothing.
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from base_ops.core.errors import missing_extra
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.authentication import CertificateTemplate
from base_ops.worker.connections.credentials import Credentials

_PARTS = ("ca_certificate", "crl", "certificate", "private_key", "private_key_password")
_SHARED: dict[str, ssl.SSLContext] = {}
_MOST_SHARED = 32
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(
    credentials: Credentials, *, min_version: str | None = None, client_certificate: bool = False
) -> ssl.SSLContext:
    """The client side of a connection, as template and connection say.

    Raises:
        ConfigError: verification switched off outside env=dev; no certificate where one is asked for; a wrong key.
    """
    policy = credentials.tls
    context = ssl.create_default_context(cafile=_authorities())
    context.minimum_version = _VERSIONS[max(min_version or "1.2", policy.min_version)]
    try:
        context.set_ciphers(":".join(policy.ciphers))
    except ssl.SSLError:
        raise credentials.fault(
            "A cipher suite is not known", "bad_cipher", found=", ".join(policy.ciphers), expected="OpenSSL names"
        ) from None
    if ca := credentials.find("ca_certificate"):
        _load_authorities(context, ca, credentials)
    if policy.revocation == "crl":
        _load_authorities(context, credentials.get("crl"), credentials)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if not policy.verify or credentials.connection.extra.get("verify") is False:
        _without_verification(context, credentials)
    if client_certificate or policy.client_certificate or credentials.find("certificate"):
        _load_client_certificate(context, credentials)
    return context


def shared_tls_context(
    credentials: Credentials, *, min_version: str | None = None, client_certificate: bool = False
) -> ssl.SSLContext:
    """`tls_context`, made once for all with the same parts: to read the authorities takes longer than many a part of a
    stream. Whoever gets it must not change it."""
    parts = [credentials.find(name) for name in _PARTS]
    unverified = credentials.connection.extra.get("verify") is False
    told = (credentials.template, credentials.env, min_version, client_certificate, unverified, parts)
    return shared(
        told, lambda: tls_context(credentials, min_version=min_version, client_certificate=client_certificate)
    )


def shared(parts: object, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context made of such parts before, of the last ones that were asked for; else a new one."""
    key = hashlib.sha256(repr(parts).encode()).hexdigest()  # a private key is not to be held for longer than it must
    _SHARED[key] = found = _SHARED.pop(key, None) or make()
    while len(_SHARED) > _MOST_SHARED:
        _SHARED.pop(next(iter(_SHARED)), None)
    return found


def _authorities() -> str | None:
    """certifi's list, as httpx uses it; SSL_CERT_FILE and the system's own where it is not installed."""
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


def _load_authorities(context: ssl.SSLContext, pem: str, credentials: Credentials) -> None:
    try:
        if "X509 CRL" in pem:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # OpenSSL takes lists from files only
                file.write(pem)
                file.flush()
                context.load_verify_locations(cafile=file.name)
        else:
            context.load_verify_locations(cadata=pem)
    except ssl.SSLError:
        what = "ca_certificate or crl of the connection cannot be read"
        raise credentials.fault(what, "bad_certificate", expected="PEM") from None


def _without_verification(context: ssl.SSLContext, credentials: Credentials) -> None:
    if credentials.env != "dev":
        raise credentials.fault(
            "The peer's certificate would not be verified",
            "unverified_tls",
            expected="verify: true",
            found=f"verify: false in env={credentials.env}",
            todo="add the peer's authority as ca_certificate to the connection; only env=dev may go without",
        )
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def _load_client_certificate(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Through a private file that exists only for the call: OpenSSL takes certificates from files only."""
    check_key(credentials)
    password = credentials.find("private_key_password") or None
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_text(f"{credentials.get('certificate').strip()}\n{credentials.get('private_key').strip()}\n")
        try:
            context.load_cert_chain(path, password=password or "")
        except (ssl.SSLError, OSError):
            raise credentials.fault(
                "certificate and private_key of the connection do not fit", "bad_certificate", expected="PEM, a pair"
            ) from None


def check_key(credentials: Credentials) -> None:
    """The kind and size of the client's key, where the template says them.

    Raises:
        ConfigError: unreadable, of another kind, too short.
    """
    template = credentials.template
    if not isinstance(template, CertificateTemplate):
        return
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = load_private_key(credentials)
    kinds = {"rsa": rsa.RSAPrivateKey, "ec": ec.EllipticCurvePrivateKey}
    kind = next((name for name, made in kinds.items() if isinstance(key, made)), "another kind")
    if kind != template.key_type or key.key_size < template.min_bits:
        raise credentials.fault(
            "The private key of the connection is of the wrong kind",
            "bad_private_key",
            expected=f"{template.key_type}, at least {template.min_bits} bits",
            found=f"{kind}, {getattr(key, 'key_size', 0)} bits",
        )


def load_private_key(credentials: Credentials) -> Any:
    """The connection's private_key. Raises: ConfigError where it cannot be read."""
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise missing_extra("cryptography", "auth", f"the template {credentials.name}") from None
    password = credentials.find("private_key_password").encode() or None
    try:
        return load_pem_private_key(credentials.get("private_key").encode(), password)
    except (ValueError, TypeError):
        what = "private_key of the connection cannot be read"
        raise credentials.fault(
            what, "bad_private_key", expected="PEM, with private_key_password if encrypted"
        ) from None


@dataclass(frozen=True)
class CertificateFacts:
    """What may be told of a certificate."""

    whose: str
    subject: str
    issuer: str
    ends_at: datetime

    def days_left(self, now: datetime) -> float:
        return (self.ends_at - now).total_seconds() / 86_400


def certificate_facts(data: bytes | str, whose: str) -> CertificateFacts | None:
    """Of a DER or PEM certificate; None where it cannot be read."""
    with suppress(ImportError, ValueError):
        from cryptography import x509

        read = x509.load_der_x509_certificate if isinstance(data, bytes) else x509.load_pem_x509_certificate
        found = read(data if isinstance(data, bytes) else data.encode())
        return CertificateFacts(
            whose, found.subject.rfc4514_string(), found.issuer.rfc4514_string(), found.not_valid_after_utc
        )
    return None


def expiry_finding(facts: CertificateFacts, now: datetime, notice_days: int) -> Finding | None:
    """Says that a certificate ends soon (the critical alert of the requirement sheet)."""
    left = facts.days_left(now)
    if left >= notice_days:
        return None
    when = facts.ends_at.astimezone(UTC).date().isoformat()
    how = f"ends on {when}, in {left:.0f} days" if left > 0 else f"ended on {when}"
    return Finding(
        code="certificate_expiring",
        severity="error",
        message=f"{facts.whose} certificate ({facts.subject}) {how}",
        data={"whose": facts.whose, "ends_at": facts.ends_at.isoformat(), "days_left": round(left, 1)},
    )
