"""How a source is connected to: TLS policy, profiles of pools and tries, and what is checked of a connection."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from base_ops.core.breaker import BreakerPolicy
from base_ops.core.spec import Spec

Cipher = Literal[
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
]
"""Cipher suites of TLS 1.2 with forward secrecy and authenticated encryption, by OpenSSL name: no others are taken."""
CIPHERS_TLS12: tuple[Cipher, ...] = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
"""Of TLS 1.2; those of TLS 1.3 are fixed by the protocol."""


class TlsPolicy(Spec):
    """What is asked of an encrypted connection."""

    min_version: Literal["1.2", "1.3"] = "1.2"
    """Lowest version of TLS."""
    verify: bool = True
    """Chain, host name and dates of the peer's certificate. False is refused outside env=dev."""
    ciphers: tuple[Cipher, ...] = CIPHERS_TLS12
    """Cipher suites of TLS 1.2 by OpenSSL name; add ECDHE-ECDSA-… for peers with an EC certificate."""
    revocation: Literal["none", "crl"] = "none"
    """crl: the peer's certificate must not be on the list in the connection's extra `crl` (PEM); without a list it is
    refused."""
    client_certificate: bool = False
    """The connection must have certificate and private_key (mutual TLS)."""
    notice_days: int = Field(30, ge=0)
    """A certificate that ends sooner is reported, days."""


class ConnectionProfile(Spec):
    """Pool, time-outs and tries that belong together."""

    pool: int = Field(20, ge=1, le=100)
    """Connections at once."""
    per_host: int = Field(20, ge=1, le=100)
    """Of these to one host."""
    idle: int = Field(5, ge=0, le=100)
    """Connections kept open unused."""
    connect_s: float = Field(30.0, gt=0)
    """To connect, seconds."""
    timeout_s: float = Field(30.0, gt=0)
    """Of each read, seconds."""
    idle_s: float = Field(300.0, ge=0)
    """An unused connection is closed after this long, seconds; 0: no keep-alive."""
    tries: int = Field(3, ge=1, le=10)
    """Of a call that fails in passing."""
    backoff: Literal["exponential", "linear", "fixed"] = "exponential"
    """How the waits between tries grow."""
    backoff_s: float = Field(1.0, ge=0)
    """The first wait, seconds; at most 30 s."""
    balancing: Literal["round_robin", "least_connections", "weighted"] = "round_robin"
    """Which of the connection's `endpoints` is asked; one that fails is passed over."""
    mutual_tls: bool = False
    """The connection must bring a client certificate, and TLS is required."""

    @model_validator(mode="after")
    def _limits_fit(self) -> ConnectionProfile:
        if self.per_host > self.pool and "per_host" in self.model_fields_set:
            raise ValueError(f"per_host={self.per_host} is more than pool={self.pool}")
        return self


PROFILES: dict[str, dict[str, Any]] = {
    "auto": {},
    "standard": {},
    "high_volume": {"pool": 50, "idle": 20, "timeout_s": 300, "tries": 5, "backoff": "exponential"},
    "real_time": {"pool": 10, "per_host": 10, "timeout_s": 30, "tries": 3, "backoff": "linear"},
    "batch": {"pool": 20, "timeout_s": 600, "tries": 10, "backoff": "exponential", "idle_s": 0},
    "secure": {"pool": 5, "per_host": 5, "timeout_s": 60, "tries": 2, "backoff": "exponential", "mutual_tls": True},
}
"""Named profiles; whatever the source says itself goes before."""


class ObservedSpec(Spec):
    """How a peer has answered lately."""

    kind: Literal["api", "database", "files", "stream"] = "api"
    """What it is."""
    requests: int = Field(0, ge=0)
    """How many requests this was seen in."""
    latency_s: float = Field(0.1, gt=0, le=3600)
    """Time of a small request, seconds, the median."""
    item_s: float = Field(1e-4, gt=0, le=60)
    """More for each further record of a request, seconds."""
    spread: float = Field(0.4, gt=0, le=3)
    """Standard deviation of the logarithm of the times."""
    error_share: float = Field(0.01, ge=0, le=1)
    """Share of requests that fail in passing."""
    slots: float = Field(20.0, ge=1)
    """Requests it serves at once, as far as known."""
    load: float = Field(0.3, ge=0, lt=1)
    """Share of these that others take."""
    rate_per_s: float | None = Field(None, gt=0)
    """Requests a second it allows."""


class ConnectionOptions(Spec):
    """How a source is connected to."""

    profile: Literal["auto", "standard", "high_volume", "real_time", "batch", "secure"] = "standard"
    """Named set of pool, time-outs and tries. auto (HTTP): chosen anew for each run by what was seen in the runs
    before; `settings` are its upper limits."""
    settings: ConnectionProfile = Field(default_factory=ConnectionProfile)
    """What is said here goes before the profile."""
    breaker: BreakerPolicy = Field(default_factory=BreakerPolicy)

    def resolved(self) -> ConnectionProfile:
        """The profile with the source's own settings over it."""
        own = self.settings.model_dump(exclude_unset=True)
        return ConnectionProfile.model_validate({**PROFILES[self.profile], **own})


class ConnectorChecks(Spec):
    """What the connector looks at, and how sure it must be."""

    tries: int = Field(3, ge=1, le=10)
    """Of connecting and authenticating where the peer is not ready."""
    list: bool = True
    """Also ask for what there is to fetch (one request, whose body is not read)."""
    connect_slow_s: float = Field(2.0, gt=0)
    """Slower than this from name to TLS is reported, seconds."""
    mfa_methods: tuple[str, ...] = ("mfa", "otp", "hwk", "swk", "fpt", "face", "sms")
    """verify_mfa_authentication: one of these must be in the token's `amr` (RFC 8176), or …"""
    mfa_contexts: tuple[str, ...] = ()
    """… one of these must be its `acr`."""
