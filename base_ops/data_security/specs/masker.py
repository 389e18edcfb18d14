"""What can be asked of the masker: how sensitive values are hidden."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from base_ops.core.spec import Spec


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
