"""What can be asked of the encryption manager."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_storage.specs.tier_manager import StoreValidatedDataSpec


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
