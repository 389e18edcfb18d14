"""data_ingestion.connector: connects to a source and hands on how it stands, never a secret.

Output: observations = the connection descriptor (endpoint, TLS facts, when token and certificates end, what the peer
can do) and the time of each step; findings for certificates and credentials that end soon. No rows, no files.
"""

from __future__ import annotations

import time

from pydantic import JsonValue

from base_ops.core.errors import Denied
from base_ops.core.protocol import StepResult
from base_ops.data_ingestion.specs.connector import ConnectorSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.connections.credentials import Keyring
from base_ops.worker.connections.health import Inspector, Standing
from base_ops.worker.connectors.base import Site
from base_ops.worker.context import Context, JobOutput

AGENT = "data_ingestion.connector"


def run(spec: ConnectorSpec, ctx: Context) -> JobOutput:
    """Connect; see the module.

    Raises:
        Denied, Transient, ConfigError: naming source and template, never a credential.
    """
    return connect(spec, ctx, Clock())


def connect(spec: ConnectorSpec, ctx: Context, clock: Clock) -> JobOutput:
    """`run` with a clock of one's own."""
    began = time.monotonic()
    step = StepResult(agent=AGENT, action=spec.action)
    with ctx.landing(spec.source.id).scratch() as scratch:
        site = Site(
            source=spec.source,
            scratch=scratch,
            connection=ctx.secrets.connection(spec.source.connection) if spec.source.connection else None,
            clock=clock,
            env=ctx.settings.env,
            breaker=ctx.breaker(spec.source.id, spec.source.connecting.breaker, clock),
            keyring=Keyring(ctx.settings.home.absolute() / "tokens", ctx.secrets.remember, clock),
        )
        standing = Inspector(
            site,
            spec.checks,
            min_version="1.3" if spec.action == "establish_encrypted_connection" else None,
            needs_mfa=spec.action == "verify_mfa_authentication",
        ).look()
    step.observations = {**standing.facts, "steps": _steps(standing)}
    step.findings = standing.findings
    step.events = _events(standing)
    step.seconds = time.monotonic() - began
    if standing.error is not None:
        ctx.unfinished.append(step)
        raise standing.error
    return JobOutput(steps=[step])


def _events(standing: Standing) -> list[dict[str, JsonValue]]:
    """How connecting and authenticating went, and what ends soon."""
    failed = isinstance(standing.error, Denied)
    kinds = ["authentication_failure"] if failed else []
    if any(s.name == "authenticate" and s.error is None for s in standing.steps) and not failed:
        kinds.append("authentication_success")
    kinds.append("connection_failed" if standing.error else "connection_established")
    notices: list[dict[str, JsonValue]] = [
        {"type": f.code, "subject": standing.source, "data": dict(f.data)} for f in standing.findings
    ]
    return [*(_event(kind, standing) for kind in kinds), *notices]


def _steps(standing: Standing) -> list[JsonValue]:
    return [{"name": s.name, "seconds": round(s.seconds, 4), "told": s.told} for s in standing.steps]


def _event(kind: str, standing: Standing) -> dict[str, JsonValue]:
    known = ("endpoint", "template", "tls_version", "token_ends_at", "certificate_ends_at")
    data = {name: standing.facts[name] for name in known if name in standing.facts}
    if standing.error is not None:
        data["code"] = standing.error.code
    return {"type": kind, "subject": standing.source, "data": data}
