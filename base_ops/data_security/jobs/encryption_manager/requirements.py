"""encryption_manager.validate_security_requirements: whether a source's declaration is safe enough."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import JsonValue

from base_ops.core.errors import Denied
from base_ops.core.protocol import StepResult
from base_ops.data_security.jobs.encryption_manager import AGENT
from base_ops.data_security.jobs.encryption_manager.cipher import MIN_KEY_CHARS
from base_ops.data_security.specs.encryption_manager import ValidateSecurityRequirementsSpec
from base_ops.worker.context import Context, JobOutput

_ENCRYPTED = frozenset({"https", "wss", "sftp", "ftps", "s3", "gs", "abfs", "abfss", "az"})
_EXPIRING = frozenset({"oauth2", "jwt", "saml2", "cloud", "token_exchange", "certificate"})


def validate_security_requirements(spec: ValidateSecurityRequirementsSpec, ctx: Context) -> JobOutput:
    """Observations: each requirement, and whether it is met.

    Raises:
        Denied: naming those that are not.
        ConfigError: a connection that is not there.
    """
    met = requirements(spec, ctx)
    told: dict[str, JsonValue] = dict(met)
    data: dict[str, JsonValue] = {"level": spec.level, "requirements": told}
    step = StepResult(agent=AGENT, action=spec.action, observations={"level": spec.level, "requirements": told})
    step.events.append({"type": "security_requirements_checked", "subject": spec.source.id, "data": data})
    missing = [name for name, is_met in met.items() if not is_met]
    if missing:
        ctx.unfinished.append(step)
        raise Denied(
            f"The source {spec.source.id} does not meet the security level {spec.level!r}",
            code="security_requirements",
            where=f"source {spec.source.id}",
            expected=", ".join(met),
            found=f"not met: {', '.join(missing)}",
            todo="correct the source or its connection, or lower the level",
        )
    return JobOutput(steps=[step])


def requirements(spec: ValidateSecurityRequirementsSpec, ctx: Context) -> dict[str, bool]:
    """Each requirement of the level, and whether it is met."""
    source, template = spec.source, spec.source.authentication
    found = ctx.secrets.connection(source.connection) if source.connection else None
    kind = getattr(template, "kind", "")
    met = {
        "encrypted": _scheme(spec, ctx) in _ENCRYPTED or kind in ("database", "queue", "ldap"),
        "peer_verified": template is not None
        and template.tls.verify
        and (found is None or found.extra.get("verify") is not False),
        "authenticated": template is not None and found is not None,
    }
    if spec.level == "critical":
        met["credentials_expire"] = kind in _EXPIRING
    if spec.key is not None:
        met["strong_key"] = len(ctx.secrets.connection(spec.key).password) >= MIN_KEY_CHARS
    return met


def _scheme(spec: ValidateSecurityRequirementsSpec, ctx: Context) -> str:
    """How the source is reached: its own URL's scheme, else its connection's."""
    source = spec.source
    path = str(getattr(source.block, "path", ""))
    if "://" in path:
        return urlsplit(path).scheme
    return urlsplit(ctx.secrets.connection(source.connection).base_url).scheme if source.connection else ""
