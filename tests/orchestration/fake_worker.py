"""A small stand-in for the worker: follows the same protocol, and misbehaves as the spec's `title` says.

The spec's source has a `title` that nothing reads; tests write into it how this run shall end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from base_ops.core.errors import BadInput, ConfigError, Denied, Transient
from base_ops.core.outcomes import EXIT_CODES, Outcome
from base_ops.core.protocol import Counts, DataRef, ErrorInfo, FieldInfo, QuarantineRef, Request, Result, StepResult

ERRORS = {
    "bad_input": BadInput("The file is torn", code="torn", where="x.csv, row 3", todo="ask for it again"),
    "transient": Transient("The vendor is away", code="http_503"),
    "config_error": ConfigError("No such column", code="no_column"),
    "denied": Denied("The key was refused", code="http_401"),
}


def say(level: str, msg: str) -> None:
    print(json.dumps({"level": level, "msg": msg}), file=sys.stderr, flush=True)


def result_of(request: Request, how: str) -> Result:
    count = 0 if how in ERRORS or how == "bug" else 10
    quarantined = 1 if how == "partial" else 0
    steps = [
        StepResult(
            agent=step.agent,
            action=step.action,
            counts=Counts(rows_in=count, rows_out=count - quarantined, quarantined=quarantined, bytes_in=100),
            quarantine=[QuarantineRef(rule="r", rows=1, uri="q")] if quarantined else [],
        )
        for step in request.steps
    ]
    outputs = [
        DataRef(
            id=f"id{number}",
            kind="staging",
            uri=f"{request.lake_url}/part-{number}",
            name="fx_quotes",
            slice=f"s{number}",
            rows=(count - quarantined) // 2,
            bytes=50,
            fields=[FieldInfo(name="bid", type="double")],
        )
        for number in range(2 if count else 0)
    ]
    error = ErrorInfo.of(ERRORS[how]) if how in ERRORS else ErrorInfo(code="bug", what="Oh") if how == "bug" else None
    status = Outcome(how) if how in list(Outcome) else Outcome.OK
    return Result(
        status=status,
        identity=request.identity,
        steps=steps,
        outputs=outputs,
        commit_keys=["k"],
        started_at="2026-11-20T10:00:00Z",
        seconds=0.5,
        error=error,
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", required=True)
    parser.add_argument("--secrets-fd", type=int)
    args = parser.parse_args()
    request = Request.model_validate_json(Path(args.request).read_text())
    with os.fdopen(args.secrets_fd, "rb") as pipe:
        secrets = json.loads(pipe.read())
    source = request.steps[0].spec.get("source")
    how = (source.get("title") if isinstance(source, dict) else "") or "ok"
    result = result_of(request, how)
    target = Path(str(request.result_uri))

    say("INFO", f"{request.steps[0].agent} begins")
    if how == "tell":  # what this process was given, for the test to look at
        target.with_name("told.json").write_text(
            json.dumps({"argv": sys.argv, "env": dict(os.environ), "secrets": secrets})
        )
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        target.with_name("pids.json").write_text(json.dumps([os.getpid(), child.pid]))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("INFO", "hanging")
        signal.pause()
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "loud":
        print("Traceback: not JSON", file=sys.stderr)
        say("WARNING", "mind 100% of %s")
        say("ERROR", "but fine")
    if how == "other attempt":
        result.identity.attempt = "someone-else"
    if how == "torn result":
        target.write_text('{"status": ')
        return 0
    if how != "no result":
        target.write_text(result.model_dump_json())
    return EXIT_CODES[result.status]


if __name__ == "__main__":
    raise SystemExit(main())
