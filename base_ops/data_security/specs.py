"""Specs of data_security: how sensitive values are found, hidden and encrypted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_storage.specs import StoreValidatedDataSpec


class HashMask(Spec):
    """Replace by the keyed hash HMAC-SHA-256 (RFC 2104), 64 hex characters. Equal values stay equal in a domain."""

    method: Literal["hash"] = "hash"
    key: str
    """Name of the connection whose password is the key."""
    domain: str = Field("default", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """Values are joinable inside a domain, never across domains."""


class TokenizeMask(Spec):
    """Replace by a short opaque token made by keyed HMAC: `tok_` and 26 base-32 characters (128 bits)."""

    method: Literal["tokenize"] = "tokenize"
    key: str
    """Name of the connection whose password is the key."""
    domain: str = Field("default", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """Values are joinable inside a domain, never across domains."""


class RedactMask(Spec):
    """Replace by a fixed text."""

    method: Literal["redact"] = "redact"
    text: str = "***"
    """What stands in place of the value; null stays null."""


class PartialMask(Spec):
    """Keep the ends, hide the middle, keep the length."""

    method: Literal["partial"] = "partial"
    keep_first: int = Field(0, ge=0, le=6)
    """Characters kept at the start."""
    keep_last: int = Field(4, ge=0, le=4)
    """Characters kept at the end. A value that would show more than half of itself is hidden whole."""
    character: str = Field("*", min_length=1, max_length=1)


Mask = Annotated[HashMask | TokenizeMask | RedactMask | PartialMask, Field(discriminator="method")]


class MaskerSpec(Spec):
    """Hide sensitive columns; the schema's columns stay, nothing is published if a column is missing."""

    action: Literal["mask"] = "mask"
    columns: dict[str, Mask] = Field(min_length=1)
    """Per column, the method."""
    source: str | None = None
    """Stand-alone use: a file to mask. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the rows go: a file, or staging:<dataset> (in a pipeline, the default)."""


Level = Literal["public", "internal", "confidential", "restricted"]
LEVELS: tuple[Level, ...] = ("public", "internal", "confidential", "restricted")
"""From open to closed."""


class ClassifierSpec(Spec):
    """Find the columns that hold personal or financial identifiers, by pattern, checksum and name; shows no value."""

    action: Literal["classify_sensitive_data"] = "classify_sensitive_data"
    min_share: float = Field(0.01, gt=0, le=1)
    """A column is taken for a type from this share of its values on; one hit decides for cards and social security
    numbers."""
    levels: dict[str, Level] = Field(default_factory=dict)
    """Columns whose level people have set; what is found can only raise it."""
    floor: Level = "internal"
    """Level of a column in which nothing is found."""
    source: str | None = None
    """Stand-alone use: a file to look at. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the rows go, unchanged: a file, or staging:<dataset> (in a pipeline, the default)."""


class EncryptionSpec(Spec):
    """Which columns are encrypted, and with what."""

    columns: tuple[str, ...] | Literal["classified"] = Field("classified", min_length=1)
    """Their names; classified: those that the classifier before found to be confidential or more."""
    key: str
    """Name of the connection whose password is the key: 32 random bytes or more, as text."""
    context: str = Field("default", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """Bound to each value beside its column's name: it cannot be decrypted as a value of another context."""


class EncryptSpec(EncryptionSpec):
    """Encrypt columns with AES-256-GCM; the same value in the same column and context gives the same text."""

    action: Literal["encrypt"] = "encrypt"
    source: str | None = None
    """Stand-alone use: a file. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the rows go: a file, or staging:<dataset> (in a pipeline, the default)."""


class DecryptSpec(Spec):
    """The way back, for those who have the key: columns become the text they were."""

    action: Literal["decrypt"]
    columns: tuple[str, ...] = Field(min_length=1)
    key: str
    """Name of the connection whose password is the key."""
    context: str = Field("default", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    source: str | None = None
    """Stand-alone use: a file. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the rows go: a file, or staging:<dataset> (in a pipeline, the default)."""


class StoreWithEncryptionSpec(Spec):
    """Encrypt what is sensitive, and store: nothing reaches the table in between."""

    action: Literal["store_with_encryption"]
    encrypt: EncryptionSpec
    """What is encrypted."""
    store: StoreValidatedDataSpec
    """Where it is kept, as data_storage.tier_manager is told."""


class ValidateSecurityRequirementsSpec(Spec):
    """Refuse a source whose declaration does not meet a level: encryption, authentication, keys."""

    action: Literal["validate_security_requirements"]
    source: SourceSpec
    """The source."""
    level: Literal["high", "critical"] = "high"
    """high: encrypted, verified, authenticated; critical: and with credentials that expire by themselves, or a client
    certificate."""
    key: str | None = None
    """Name of the connection whose password encrypts the data; it must be strong enough."""


EncryptionManagerSpec = Annotated[
    EncryptSpec | DecryptSpec | StoreWithEncryptionSpec | ValidateSecurityRequirementsSpec,
    Field(discriminator="action"),
]
