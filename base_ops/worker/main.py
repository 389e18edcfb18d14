"""The worker's entry point: reads a Request, runs its job, writes the Result whatever happens."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from base_ops import __version__
from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.ids import AgentId, fingerprint
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import ErrorInfo, Finding, Request, Result, StepResult, check_balance
from base_ops.core.settings import Settings, load_settings
from base_ops.core.spec import Spec, parse_spec
from base_ops.worker import failpoints
from base_ops.worker.failpoints import arm, failpoint


def main(argv: list[str] | None = None) -> int:
    """Exit code = outcome (core/outcomes.py)."""
    parser = argparse.ArgumentParser(prog="base-ops-worker")
    parser.add_argument("--request", required=True, help="path or lake URI of the Request JSON, env:NAME, or -")
    parser.add_argument("--secrets-fd", type=int, help="file descriptor of a pipe with {connection: {...}} as JSON")
    parser.add_argument("--result-fd", type=int, help="file descriptor of a pipe that takes the Result of a share")
    args = parser.parse_args(argv)
    if args.result_fd is not None:  # others answer for the job, and end this process so that it can tidy up
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        settings = load_settings()
        request = Request.model_validate_json(_read_request(args.request))
        piped = _read_pipe(args.secrets_fd)
    except (BaseOpsError, ValidationError, OSError) as error:
        text = error.text() if isinstance(error, BaseOpsError) else f"The request cannot be read: {error}"
        print(json.dumps({"level": "ERROR", "msg": text}), file=sys.stderr)
        return Outcome.CONFIG_ERROR.exit_code
    result = run(request, settings, piped)
    if args.result_fd is not None:
        with os.fdopen(args.result_fd, "w") as pipe:
            pipe.write(result.model_dump_json())
    return result.status.exit_code


def run(request: Request, settings: Settings, piped: Mapping[str, Any] | None = None) -> Result:
    """Run one Request in this process and store its Result."""
    if settings.threads:
        os.environ.setdefault("POLARS_MAX_THREADS", str(settings.threads))
    arm(settings.failpoint)
    from base_ops.worker.context import Context
    from base_ops.worker.lake import Lake
    from base_ops.worker.logs import start_logging
    from base_ops.worker.secrets import Secrets

    secrets = Secrets(settings.connections, piped)
    log = start_logging(request, secrets, settings.log_level)
    began, cpu = time.perf_counter(), time.process_time()
    result = Result(
        status=Outcome.BUG,
        identity=request.identity,
        spec_sha256=fingerprint([s.model_dump(mode="json") for s in request.steps]),
        code_version=__version__,
        started_at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )
    lake: Lake | None = None
    ctx: Context | None = None
    try:
        lake = Lake(request.lake_url, request.identity.attempt)
        lake.store.check_conditional_create()
        ctx = Context(request, settings, lake, secrets, log)
        work(ctx, result)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise
        known = complete(classify(error), request)
        result.status = known.outcome
        result.error = ErrorInfo.of(known)
        for name in ("what", "where", "expected", "found", "todo"):
            setattr(result.error, name, secrets.mask(getattr(result.error, name)))
        log.error(known.text(), exc_info=None if isinstance(error, BaseOpsError) else error)
        if not result.steps:
            result.steps = (ctx.unfinished if ctx else []) or [
                StepResult(agent=s.agent, action=s.action) for s in request.steps
            ]
    if ctx is not None and ctx.breakers:
        _report_breakers(ctx, result)
    result.seconds = round(time.perf_counter() - began, 3)
    shares = ctx.shares if ctx is not None else []
    result.cpu_seconds = round(time.process_time() - cpu + sum(share.cpu_seconds for share in shares), 3)
    result.peak_memory_bytes = peak_memory_bytes() + sum(share.peak_memory_bytes for share in shares)
    if lake is not None and request.result_uri:
        failpoint("result.before")
        try:
            lake.store.write(lake.store.path_of(request.result_uri), result.model_dump_json(indent=1).encode())
        except (OSError, BaseOpsError) as error:
            log.error("The Result cannot be written to %s: %s", request.result_uri, error)
            result.status = error.outcome if isinstance(error, BaseOpsError) else Outcome.TRANSIENT
        failpoint("result.after")
    if settings.failpoint == "record":
        log.info("failpoints passed: %s", " ".join(sorted(failpoints.seen)))
    counts = result.counts
    log.info(
        "%s: %d rows in, %d out, %d quarantined, %.1f s",
        result.status,
        counts.rows_in,
        counts.rows_out,
        counts.quarantined,
        result.seconds,
    )
    return result


def peak_memory_bytes() -> int:
    """Most memory this process ever held. What getrusage tells begins with the peak of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # no Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def _report_breakers(ctx: Any, result: Result) -> None:
    """What the calls to each peer came to, for the state that all runs share."""
    kinds = {"open": "circuit_breaker_opened", "closed": "circuit_breaker_closed"}
    for peer, breaker in ctx.breakers.items():
        result.breakers.append(breaker.report())
        changed = [{"type": kinds[phase], "subject": peer, "data": {}} for phase in breaker.changes if phase in kinds]
        result.steps[-1].events += changed


def work(ctx: Any, result: Result) -> None:
    """Run the request of a context and fill in what came of it."""
    specs = [_spec(step.agent, {**step.spec, "action": step.action}) for step in ctx.request.steps]
    jobs = [job_module(step.agent) for step in ctx.request.steps]
    if _is_step(jobs[0], specs[0]):
        importlib.import_module("base_ops.worker.formats.reading")
    if not gc.isenabled():  # off while this process imported; what works inside of work finds it on
        gc.freeze()
        gc.enable()
    result.startup_seconds = round(process_age_s(), 3)  # all is imported: the next thing is the first byte of work
    try:
        output = _dispatch(jobs, specs, ctx)
    finally:
        result.considered, result.missing, result.outputs = dict(ctx.considered), dict(ctx.missing), ctx.handed_on
    result.steps = output.steps
    result.inputs = output.inputs
    result.outputs = output.outputs
    result.lineage = output.lineage
    result.commit_keys = output.commit_keys
    result.adopted = output.adopted
    result.cursor_before, result.cursor_after = output.cursor_before, output.cursor_after
    for source, sequence in output.considered.items():
        result.considered[source] = max(sequence, result.considered.get(source, 0))
    check_balance(result.steps)
    result.steps[-1].findings += [_missing(source, found.why) for source, found in result.missing.items()]
    result.status = Outcome.PARTIAL if result.quarantine or result.missing else Outcome.OK


def _missing(source: str, why: str) -> Finding:
    message = f"{source} is missing in this run ({why}); what the table has of it already stands in for it"
    return Finding(code="source_missing", severity="warning", message=message, data={"source": source})


def _dispatch(jobs: list[Any], specs: list[Spec], ctx: Any) -> Any:
    if len(jobs) == 1 and not _is_step(jobs[0], specs[0]):
        return jobs[0].run(specs[0], ctx)
    for job, spec, step in zip(jobs, specs, ctx.request.steps, strict=True):
        if not _is_step(job, spec):
            raise ConfigError(
                f"{step.agent} needs all rows at once and cannot be fused as it is configured",
                code="cannot_fuse",
                todo="give it a task of its own",
            )
    from base_ops.worker.engine.chain import run_chain

    return run_chain(jobs, specs, ctx)


def _is_step(job: Any, spec: Spec) -> bool:
    """Row-wise agents offer `step`; one that for this spec needs all rows says so in `needs_all_rows`."""
    return hasattr(job, "step") and not (hasattr(job, "needs_all_rows") and job.needs_all_rows(spec))


def job_module(agent: str) -> Any:
    """The module of an agent's job, found by convention: <module>/jobs/<agent>."""
    parsed = AgentId.parse(agent)
    return importlib.import_module(f"base_ops.{parsed.module}.jobs.{parsed.agent}")


def _spec(agent: str, raw: Mapping[str, Any]) -> Spec:
    spec = parse_spec(AgentId.parse(agent), raw)
    assert spec is not None
    return spec.completed()


def classify(error: BaseException) -> BaseOpsError:
    """Give a foreign exception its place in the tree; what has none is a bug, with its class named."""
    if isinstance(error, BaseOpsError):
        return error
    name = type(error).__name__
    if name == "PanicException":
        return BaseOpsError(
            f"The polars engine panicked: {error}", code="engine_panic", todo="report it with the object's sha256"
        )
    if isinstance(error, MemoryError):
        return Transient(
            "The job ran out of memory", code="out_of_memory", todo="give it more memory or smaller objects"
        )
    if isinstance(error, FileNotFoundError):
        return BadInput(f"A file is not there: {error.filename or error}", code="file_not_found")
    if isinstance(error, PermissionError):
        return Denied(f"Access to a file was refused: {error.filename or error}", code="access_refused")
    if isinstance(error, OSError):
        return Transient(f"The system failed an operation: {error}", code="os_error")
    return BaseOpsError(f"{name}: {error}", code="bug", todo="report it; the log has the traceback")


_TODO = {
    Outcome.BAD_INPUT: "have the input corrected at its source; the same input will fail again",
    Outcome.TRANSIENT: "try again later; if it stays, look at what is named here",
    Outcome.CONFIG_ERROR: "correct what is named here",
    Outcome.DENIED: "check the credentials and rights",
    Outcome.BUG: "report it; the log has the traceback",
}


def complete(error: BaseOpsError, request: Request) -> BaseOpsError:
    """An error always says where and what to do: what was left out where it was raised, its kind tells."""
    error.where = error.where or ", ".join(step.agent for step in request.steps)
    error.todo = error.todo or _TODO[error.outcome]
    return error


def process_age_s() -> float:
    """Seconds since this process was started, by the kernel's account."""
    try:
        fields = Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return 0.0


def _read_request(where: str) -> str:
    if where == "-":
        return sys.stdin.read()
    if where.startswith("env:"):
        return os.environ.get(where.removeprefix("env:"), "")
    if "://" in where:
        from base_ops.worker.lake.store import Store

        folder, _, name = where.rpartition("/")
        return Store(folder).read_bytes(name).decode()
    return Path(where).read_text()


def _read_pipe(descriptor: int | None) -> dict[str, Any]:
    if descriptor is None:
        return {}
    with os.fdopen(descriptor, "rb") as pipe:
        return dict(json.loads(pipe.read() or b"{}"))


logging.raiseExceptions = False
