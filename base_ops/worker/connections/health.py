"""How a source stands: name, TLS, credentials, listing, one after the other, each with its time.

Nothing is fetched. What is told of a source never holds a secret: addresses, TLS facts, when tokens and certificates
end, what the peer can do.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import JsonValue

from base_ops.core.errors import BaseOpsError, ConfigError, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.authentication import DatabaseTemplate, LdapTemplate, OAuth2Template, QueueTemplate
from base_ops.data_ingestion.options.connections import ConnectorChecks, TlsPolicy
from base_ops.data_ingestion.options.fitting import database_of
from base_ops.data_ingestion.options.sources.web import WebSpec
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connections.credentials import Credentials, credentials_of
from base_ops.worker.connections.http import token_of
from base_ops.worker.connections.jwts import KeySet, verify
from base_ops.worker.connections.ldap import bind
from base_ops.worker.connections.rotation import rotate_by, rotation_finding
from base_ops.worker.connections.tls import certificate_facts, expiry_finding, tls_context
from base_ops.worker.connections.tokens import Token
from base_ops.worker.connectors import open_connector, protocol_of
from base_ops.worker.connectors.base import Site

_TLS_SCHEMES = {"https", "wss"}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "sftp": 22, "ftp": 21, "ftps": 21, "hdfs": 9871,
          "postgresql": 5432, "mysql": 3306, "oracle": 2484, "sqlserver": 1433, "mongo": 27017, "cassandra": 9042,
          "redis": 6379, "kafka": 9092, "rabbitmq": 5671, "activemq": 61614}  # fmt: skip


@dataclass
class Step:
    """One thing that was tried."""

    name: str
    seconds: float
    told: str
    error: BaseOpsError | None = None


@dataclass
class Standing:
    """What was found out about one source."""

    source: str
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def error(self) -> BaseOpsError | None:
        return next((step.error for step in self.steps if step.error is not None), None)


@dataclass
class Inspector:
    """Looks at one source."""

    site: Site
    checks: ConnectorChecks = field(default_factory=ConnectorChecks)
    min_version: str | None = None
    needs_mfa: bool = False
    standing: Standing = field(init=False)
    _token: Token | None = None

    def __post_init__(self) -> None:
        self.standing = Standing(self.site.source.id)

    def look(self) -> Standing:
        """Go through the steps; the first that fails ends it, and is in the standing's `error`."""
        source = self.site.source
        self.standing.facts |= {"source": source.id, "protocol": protocol_of(source)}
        steps: list[tuple[str, Callable[[], str]]] = [("resolve", self._resolve), ("connect", self._connect)]
        if source.authentication is not None:
            steps.append(("authenticate", self._authenticate))
            if self.needs_mfa:
                steps.append(("mfa", self._mfa))
        elif self.needs_mfa:
            steps.append(("mfa", self._no_mfa))
        elif not self.checks.list and self.site.connection is not None:
            steps.append(("authenticate", self._log_in))
        if self.checks.list:
            steps.append(("list", self._list))
        for name, call in steps:
            if not self._step(name, call):
                break
        self._notices()
        return self.standing

    def _step(self, name: str, call: Callable[[], str]) -> bool:
        began = time.perf_counter()
        told, fault = "", None
        try:
            told = self._again(call)
        except BaseOpsError as error:
            told, fault = error.code, error
        self.standing.steps.append(Step(name, time.perf_counter() - began, told, fault))
        return fault is None

    def _again(self, call: Callable[[], str]) -> str:
        tries = self.checks.tries
        return retry(call, tries=tries, backoff=Backoff(), clock=self.site.clock, longest_wait_s=30.0)

    # -- the steps

    def _address(self) -> tuple[str, int, bool] | None:
        """(host, port, whether TLS begins at once), where the source has one."""
        source, found = self.site.source, self.site.connection
        web = isinstance(source.block, WebSpec) or source.influx is not None
        if not web and self._connector not in _PORTS:
            return None
        path = getattr(source.block, "path", "")
        parts = urlsplit(path if "://" in path else "")
        if not parts.hostname:
            host = found.host.split(",")[0].strip() if found is not None else ""  # the first of several brokers
            if found is None or not host or host.startswith("/"):
                return None
            has_port = ":" in host.rpartition("//")[2]
            parts = urlsplit(replace(found, host=host, port=None if has_port else found.port).base_url)
        template = source.authentication
        usual = template.port if isinstance(template, DatabaseTemplate | QueueTemplate) else None
        usual = usual or _PORTS.get(parts.scheme if web else self._connector, 443)
        own = found.port if found is not None and not web else None
        return parts.hostname or "", parts.port or own or usual, web and parts.scheme in _TLS_SCHEMES

    @property
    def _connector(self) -> str:
        source, found = self.site.source, self.site.connection
        if source.sql is None:
            return source.connector
        return database_of(source.sql.database, found.conn_type if found is not None else "")

    def _resolve(self) -> str:
        address = self._address()
        if address is None:
            return "no host of its own"
        host, port, _ = address
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Transient(
                f"The name {host} cannot be resolved", code="unknown_host", where=self._where(), found=str(error.errno)
            ) from None
        self.standing.facts["endpoint"] = f"{host}:{port}"
        return f"{host}: {len({item[4][0] for item in found})} addresses"

    def _connect(self) -> str:
        address = self._address()
        if address is None:
            return "by its library"
        host, port, tls = address
        began, wait = time.perf_counter(), self.site.source.connecting.resolved().connect_s
        try:
            with socket.create_connection((host, port), wait) as raw:
                told = "TCP"
                if tls:
                    with self._context().wrap_socket(raw, server_hostname=host) as wrapped:
                        told = self._tls_facts(wrapped)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(
                "The peer's certificate cannot be verified",
                code="bad_certificate",
                where=self._where(),
                found=error.verify_message,
                todo="add its authority as ca_certificate to the connection, or have it corrected",
            ) from None
        except ssl.SSLError as error:
            raise ConfigError(
                "TLS was not agreed on",
                code="tls_refused",
                where=self._where(),
                expected=f"TLS {self.min_version or self._policy().min_version} or newer",
                found=error.reason or "",
                todo="have the peer brought up to date, or lower tls.min_version",
            ) from None
        except OSError as error:
            raise Transient(
                "The peer cannot be reached", code="unreachable", where=self._where(), found=type(error).__name__
            ) from None
        self._slow(time.perf_counter() - began)
        return told

    def _policy(self) -> TlsPolicy:
        template = self.site.source.authentication
        return template.tls if template is not None else TlsPolicy()

    def _context(self) -> ssl.SSLContext:
        if self.site.source.authentication is not None:
            return tls_context(credentials_of(self.site), min_version=self.min_version)
        from base_ops.worker.connectors.tls import tls_context as context_of_connection

        context = context_of_connection(self.site)
        if self.min_version == "1.3":
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def _tls_facts(self, wrapped: ssl.SSLSocket) -> str:
        version, cipher = wrapped.version() or "", (wrapped.cipher() or ("", "", 0))[0]
        self.standing.facts |= {"tls_version": version, "tls_cipher": cipher}
        data = wrapped.getpeercert(binary_form=True)
        facts = certificate_facts(data, "the peer's") if data else None
        if facts is not None:
            self.standing.facts |= {
                "certificate_ends_at": facts.ends_at.isoformat(),
                "certificate_issuer": facts.issuer,
            }
            notice = expiry_finding(facts, self.site.clock.now(), self._policy().notice_days)
            self.standing.findings += [notice] if notice else []
        return f"{version} {cipher}"

    def _slow(self, seconds: float) -> None:
        self.standing.facts["connect_s"] = round(seconds, 4)
        if seconds > self.checks.connect_slow_s:
            message = f"connecting took {seconds:.1f} s, more than {self.checks.connect_slow_s:g} s"
            self.standing.findings.append(Finding(code="slow_connect", severity="warning", message=message))

    def _authenticate(self) -> str:
        credentials = credentials_of(self.site)
        self.standing.facts["template"] = credentials.name
        tokens = token_of(credentials)
        if tokens is None:
            return self._log_in()
        self._token = tokens.current()
        ends = datetime.fromtimestamp(self._token.expires_at, UTC)
        self.standing.facts |= {"token_ends_at": ends.isoformat(), "token_from_cache": tokens.requests == 0}
        return f"token until {ends:%Y-%m-%d %H:%M} UTC" + (", kept" if tokens.requests == 0 else "")

    def _log_in(self) -> str:
        """By the connector itself, where its protocol logs in; a directory that the connection names is asked too."""
        told = []
        if isinstance(self.site.source.authentication, LdapTemplate):
            credentials = credentials_of(self.site)
            host, _, port = credentials.find("directory").partition(":")
            if host:
                bind(credentials, host, int(port) if port.isdecimal() else None)
                told.append("accepted by the directory")
        log_in: Callable[[], None] | None = getattr(open_connector(self._site()), "log_in", None)
        if log_in is not None:
            log_in()
            told.append("logged in")
        return ", ".join(told) or "with each request"

    def _mfa(self) -> str:
        """The token's own word that several factors were used: `amr`, `acr` (OpenID Connect Core §2, RFC 8176)."""
        credentials = credentials_of(self.site)
        template = credentials.template
        if not isinstance(template, OAuth2Template) or not template.jwks_url or self._token is None:
            return self._no_mfa()
        keys = KeySet(credentials, template.jwks_url)
        claims = verify(credentials, self._token.identity or self._token.value, keys, issuer=template.issuer)
        methods = claims.get("amr")
        named = {str(item) for item in methods} if isinstance(methods, list) else set()
        if named & set(self.checks.mfa_methods) or str(claims.get("acr")) in self.checks.mfa_contexts:
            self.standing.facts["mfa"] = [*sorted(named)]
            return ", ".join(sorted(named)) or str(claims.get("acr"))
        raise credentials.denied(
            f"a token issued without a second factor (amr: {', '.join(sorted(named)) or 'none'})",
            "no_mfa",
            "have the account's sign-in policy ask for several factors",
        )

    def _no_mfa(self) -> str:
        raise ConfigError(
            "Nothing tells whether several factors were used",
            code="no_mfa_evidence",
            where=self._where(),
            expected="authentication of kind oauth2 with jwks_url, so that the token's claims can be checked",
        )

    def _list(self) -> str:
        connector = open_connector(self._site())
        probe: Callable[[], str] | None = getattr(connector, "probe", None)
        if probe is None:
            return "not looked at"
        self.standing.facts["listed"] = told = probe()
        return told

    def _site(self) -> Site:
        """With the least version of TLS that is asked for here."""
        template = self.site.source.authentication
        if self.min_version is None or template is None:
            return self.site
        policy = template.tls.model_copy(update={"min_version": max(self.min_version, template.tls.min_version)})
        source = self.site.source.model_copy(update={"authentication": template.model_copy(update={"tls": policy})})
        return replace(self.site, source=source)

    def _notices(self) -> None:
        """Credentials and certificates of our own that end soon."""
        if self.site.source.authentication is None or self.site.connection is None:
            return
        try:
            credentials: Credentials = credentials_of(self.site)
            due = rotate_by(credentials)
            if due is not None:
                self.standing.facts["rotate_by"] = due.isoformat()
            notices = [rotation_finding(credentials, due, self.site.clock.now())]
            if pem := credentials.find("certificate"):
                own = certificate_facts(pem, "our client")
                if own is not None:
                    self.standing.facts["client_certificate_ends_at"] = own.ends_at.isoformat()
                    notices.append(expiry_finding(own, self.site.clock.now(), credentials.tls.notice_days))
        except ConfigError as error:
            if self.standing.error is None:
                self.standing.steps.append(Step("credentials", 0.0, error.code, error))
            return
        self.standing.findings += [notice for notice in notices if notice is not None]

    def _where(self) -> str:
        name = f", connection {self.site.connection.name}" if self.site.connection else ""
        return f"source {self.site.source.id}{name}"
