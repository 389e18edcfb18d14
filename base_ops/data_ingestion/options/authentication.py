"""How a source is authenticated: templates.

A template says *how*; what is secret (passwords, keys, certificates) is in the connection it is used with, under the
names each template's docstring gives. Shipped templates: dags/config/data_ingestion/authentication-templates.yaml.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.connections import TlsPolicy


class AuthenticationTemplate(Spec):
    """What all templates have in common."""

    kind: str
    template: str = ""
    """Name of the shipped template this was made of, for messages."""
    title: str = ""
    """One line for people."""
    tls: TlsPolicy = Field(default_factory=TlsPolicy)
    rotation_days: int | None = Field(90, ge=1)
    """The credential is to be replaced after this long, counted from the connection's `rotated_at`, days."""
    rotation_notice_days: int = Field(7, ge=0)
    """Reported this long before, days."""
    cache_s: float = Field(3600.0, ge=0)
    """A token that does not say how long it lives is kept this long, seconds."""
    refresh_before_s: float = Field(300.0, ge=0)
    """A token with less left than this is replaced, seconds (at most half of its life)."""
    secrets: ClassVar[tuple[str, ...]] = ("password",)
    """Parts of the connection that must be there."""


class OAuth2Template(AuthenticationTemplate):
    """OAuth 2.0 (RFC 6749). login = client id, password = client secret; authorization_code and device_code: also
    refresh_token, which `base-ops sources login` obtains once, since consent needs a person."""

    kind: Literal["oauth2"] = "oauth2"
    grant: Literal["client_credentials", "authorization_code", "device_code"] = "client_credentials"
    token_url: str = ""
    """Token endpoint; default: the connection's extra `token_url`."""
    authorize_url: str = ""
    """authorization_code: where a person consents."""
    device_url: str = ""
    """device_code: device authorization endpoint (RFC 8628)."""
    redirect_uri: str = "http://127.0.0.1:8765/"
    """authorization_code: where the consent comes back to, on this machine."""
    scopes: tuple[str, ...] = ()
    audience: str = ""
    client_authentication: Literal["basic", "post"] = "basic"
    """How the client names itself at the token endpoint (RFC 6749 §2.3.1)."""
    poll_s: float = Field(5.0, gt=0)
    """device_code: seconds between polls."""
    polls: int = Field(120, ge=1)
    """device_code: polls at most."""
    jwks_url: str = ""
    """Keys that sign the tokens, where a token's claims are to be checked (verify_mfa_authentication)."""
    issuer: str = ""
    """Who must have issued them."""
    secrets: ClassVar[tuple[str, ...]] = ()


class JwtTemplate(AuthenticationTemplate):
    """A JWT of our own as bearer token (RFC 7519): RS256, ES256 sign with the connection's private_key (PEM), HS256
    with its password."""

    kind: Literal["jwt"] = "jwt"
    algorithm: Literal["RS256", "HS256", "ES256"] = "RS256"
    issuer: str = ""
    """Default: the connection's login."""
    subject: str = ""
    """Default: the issuer."""
    audience: str = ""
    """Default: the connection's URL."""
    lifetime_s: float = Field(300.0, gt=0)
    skew_s: float = Field(30.0, ge=0)
    """Clocks may differ by this much, seconds: the token is dated back by it."""
    secrets: ClassVar[tuple[str, ...]] = ()


class ApiKeyTemplate(AuthenticationTemplate):
    """A key in a header, a query parameter or as bearer token: password = the key."""

    kind: Literal["api_key"] = "api_key"
    place: Literal["header", "query", "bearer"] = "header"
    name: str = "X-API-Key"
    """Header or query parameter."""
    min_chars: int = Field(1, ge=1)
    max_chars: int = Field(4096, ge=1)
    pattern: Literal["any", "alphanumeric"] = "any"


class BasicTemplate(AuthenticationTemplate):
    """A login and its password, as the protocol sends them (HTTP: RFC 7617), over TLS."""

    kind: Literal["basic"] = "basic"
    secrets: ClassVar[tuple[str, ...]] = ("login", "password")


class DigestTemplate(AuthenticationTemplate):
    """HTTP digest authentication (RFC 7616): login, password."""

    kind: Literal["digest"] = "digest"
    secrets: ClassVar[tuple[str, ...]] = ("login", "password")


class CertificateTemplate(AuthenticationTemplate):
    """A client certificate: certificate and private_key (PEM, in extra), ca_certificate where the peer's authority is
    private, password where the key is encrypted."""

    kind: Literal["certificate"] = "certificate"
    key_type: Literal["rsa", "ec"] = "rsa"
    min_bits: int = Field(2048, ge=256)
    """Of an RSA key; of an EC key the size of its curve."""
    tls: TlsPolicy = TlsPolicy(client_certificate=True)
    rotation_days: int | None = Field(365, ge=1)
    secrets: ClassVar[tuple[str, ...]] = ("certificate", "private_key")


class SamlTemplate(AuthenticationTemplate):
    """A SAML 2.0 assertion of our own, signed with RSA-SHA256, exchanged for an access token (RFC 7522): certificate
    and private_key."""

    kind: Literal["saml2"] = "saml2"
    token_url: str = ""
    issuer: str = ""
    """Default: the connection's login."""
    subject: str = ""
    """Default: the issuer."""
    audience: str = ""
    """Default: the token endpoint."""
    scopes: tuple[str, ...] = ()
    lifetime_s: float = Field(300.0, gt=0)
    secrets: ClassVar[tuple[str, ...]] = ("certificate", "private_key")


class LdapTemplate(AuthenticationTemplate):
    """An account of a directory: login and password go to the peer, over TLS, and the peer asks the directory. With
    `directory` (host[:port]) in the connection's extra, a check asks it too, by a simple bind over TLS (LDAPS)."""

    kind: Literal["ldap"] = "ldap"
    bind_dn: str = "{login}"
    """How the login is written, e.g. uid={login},ou=people,dc=example,dc=org or {login}@corp.example."""
    port: int = Field(636, ge=1, le=65535)
    """Of the directory."""
    connect_s: float = Field(10.0, gt=0)
    secrets: ClassVar[tuple[str, ...]] = ("login", "password")


class DatabaseTemplate(AuthenticationTemplate):
    """A database's own accounts: login, password; oracle: wallet (folder) in extra; always encrypted."""

    secrets: ClassVar[tuple[str, ...]] = ("login", "password")

    kind: Literal["database"] = "database"
    engine: Literal["postgresql", "mysql", "mongodb", "oracle"] = "postgresql"
    port: int = Field(5432, ge=1, le=65535)
    mechanism: str = ""
    """mongodb: SCRAM-SHA-256."""
    max_packet_bytes: int = Field(64 << 20, ge=1024)
    """mysql: largest packet, bytes."""


class CloudTemplate(AuthenticationTemplate):
    """A cloud's service account. aws: login = access key id, password = secret (or the pod's own role). azure: login =
    client id, password = client secret, extra tenant_id. gcp: extra client_email and private_key."""

    kind: Literal["cloud"] = "cloud"
    provider: Literal["aws", "azure", "gcp"] = "aws"
    role_arn: str = ""
    """aws: role to assume."""
    region: str = ""
    lifetime_s: int = Field(3600, ge=900, le=43200)
    scopes: tuple[str, ...] = ()
    """azure, gcp: default: what the connector needs to read."""
    token_url: str = ""
    """Default: the provider's own endpoint ({tenant_id} is put in)."""
    endpoint_url: str = ""
    """aws: another endpoint of STS."""
    secrets: ClassVar[tuple[str, ...]] = ()


class QueueTemplate(AuthenticationTemplate):
    """A message broker over TLS: login, password."""

    kind: Literal["queue"] = "queue"
    broker: Literal["kafka", "rabbitmq"] = "kafka"
    port: int = Field(9093, ge=1, le=65535)
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """kafka: SASL mechanism."""
    secrets: ClassVar[tuple[str, ...]] = ("login", "password")


class HmacTemplate(AuthenticationTemplate):
    """Each request signed with HMAC-SHA256 over method, path with query, time stamp and the body's SHA-256, one per
    line: login = key id, password = key. Each try is signed anew: how old a signature may be (often 300 s) is the
    peer's to say."""

    kind: Literal["hmac"] = "hmac"
    algorithm: Literal["sha256"] = "sha256"
    key_id_header: str = "X-Key-Id"
    timestamp_header: str = "X-Timestamp"
    signature_header: str = "X-Signature"


class SshKeyTemplate(AuthenticationTemplate):
    """A key of SSH instead of a password: login, private_key (PEM or OpenSSH, with private_key_passphrase if it is
    encrypted)."""

    kind: Literal["ssh_key"] = "ssh_key"
    rotation_days: int | None = Field(365, ge=1)
    secrets: ClassVar[tuple[str, ...]] = ("login", "private_key")


class TokenExchangeTemplate(AuthenticationTemplate):
    """A token exchanged for another (RFC 8693): password or subject_token = the token given up."""

    kind: Literal["token_exchange"] = "token_exchange"
    token_url: str = ""
    subject_token_type: str = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name of the RFC
    requested_token_type: str = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
    audience: str = ""
    scopes: tuple[str, ...] = ()
    secrets: ClassVar[tuple[str, ...]] = ()


AnyTemplate = Annotated[
    OAuth2Template
    | JwtTemplate
    | ApiKeyTemplate
    | BasicTemplate
    | DigestTemplate
    | CertificateTemplate
    | SamlTemplate
    | LdapTemplate
    | DatabaseTemplate
    | CloudTemplate
    | QueueTemplate
    | HmacTemplate
    | SshKeyTemplate
    | TokenExchangeTemplate,
    Field(discriminator="kind"),
]


class AuthenticationTemplatesFile(Spec):
    """The file dags/config/data_ingestion/authentication-templates.yaml."""

    templates: dict[str, AnyTemplate]
    """Templates by name; a source says `authentication: {template: name, …}` and may change any key."""
