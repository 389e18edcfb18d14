"""Who may ask the sample's second API: OAuth client credentials for tokens that can be revoked; certificates for TLS.

Needs the libraries of the extra `auth`; where they are missing, the encrypted address and the tokens' signatures are.
"""

from __future__ import annotations

import ipaddress
import secrets
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ISSUER = "sample-market"
_LIFE_S = 3600


@dataclass
class Issuer:
    """Gives out tokens, takes them back, and knows which are good."""

    client: str = "base-ops"
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    given: list[str] = field(default_factory=list, repr=False)
    """All tokens ever given out."""
    _good: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _key: Any = None

    def __post_init__(self) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec

            self._key = ec.generate_private_key(ec.SECP256R1())
        except ImportError:
            pass

    def token(self) -> str:
        """A fresh access token, signed where that can be done; says that two factors were used."""
        made = secrets.token_urlsafe(32)
        if self._key is not None:
            import jwt

            now = int(time.time())
            claims = {"iss": ISSUER, "sub": self.client, "iat": now, "exp": now + _LIFE_S, "amr": ["pwd", "otp"]}
            made = jwt.encode({**claims, "jti": made}, self._key, algorithm="ES256", headers={"kid": "sample"})
        with self._lock:
            self._good.add(made)
            self.given.append(made)
        return made

    def knows(self, token: str) -> bool:
        with self._lock:
            return token in self._good

    def revoke(self, token: str) -> None:
        with self._lock:
            self._good.discard(token)

    def keys(self) -> dict[str, Any]:
        """The key that checks the signatures (RFC 7517)."""
        if self._key is None:
            return {"keys": []}
        import jwt

        public: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "sample", "alg": "ES256", "use": "sig"}]}


def tls(host: str) -> tuple[ssl.SSLContext, str] | None:
    """The server's side of TLS 1.3 on an address, and the authority to trust (PEM); None without the library."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        return None
    authority_key, key, now = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), _now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = (
        _dated(x509.CertificateBuilder(), now)
        .subject_name(name)
        .issuer_name(name)
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    own = (
        _dated(x509.CertificateBuilder(), now)
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]))
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.TemporaryDirectory() as folder:  # mode 0700; OpenSSL takes certificates from files only
        file = Path(folder) / "server.pem"
        file.write_bytes(own.public_bytes(pem) + plain)
        context.load_cert_chain(file)
    return context, authority.public_bytes(pem).decode()


def _now() -> datetime:
    return datetime.now(UTC)


def _dated(builder: Any, now: datetime) -> Any:
    from cryptography import x509

    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
    )
