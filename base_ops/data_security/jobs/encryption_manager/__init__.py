"""data_security.encryption_manager: columns that only who has the key can read; one file per action.

`encrypt` and `decrypt` are steps of the one-pass engine; the others are jobs of their own.
"""

from __future__ import annotations

from typing import Any

from base_ops.data_security.specs.encryption_manager import DecryptSpec, EncryptSpec, ValidateSecurityRequirementsSpec
from base_ops.worker.context import Context, JobOutput

AGENT = "data_security.encryption_manager"


def needs_all_rows(spec: Any) -> bool:
    """Whether the action is no step."""
    return not isinstance(spec, (EncryptSpec, DecryptSpec))


def step(spec: EncryptSpec | DecryptSpec, ctx: Context) -> Any:
    """The encryption of columns, or the way back."""
    from base_ops.data_security.jobs.encryption_manager.columns import step as made

    return made(spec, ctx)


def run(spec: Any, ctx: Context) -> JobOutput:
    """Do the spec's action; see its file."""
    if isinstance(spec, ValidateSecurityRequirementsSpec):
        from base_ops.data_security.jobs.encryption_manager.requirements import validate_security_requirements

        return validate_security_requirements(spec, ctx)
    from base_ops.data_security.jobs.encryption_manager.store import store_with_encryption

    return store_with_encryption(spec, ctx)
