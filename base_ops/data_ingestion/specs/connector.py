"""What can be asked of the connector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.options.sources.source import SourceSpec


class ConnectorSpec(Spec):
    """Connect to a source and say how it stands, without fetching: name, TLS, credentials, listing."""

    action: Literal["establish_secure_connection", "verify_mfa_authentication", "establish_encrypted_connection"] = (
        "establish_secure_connection"
    )
    """verify_mfa_authentication: the token must have been issued after several factors; establish_encrypted_connection:
    TLS 1.3 at least."""
    source: SourceSpec
    """The source to connect to."""
    checks: ConnectorChecks = Field(default_factory=ConnectorChecks)
    """What is looked at."""
