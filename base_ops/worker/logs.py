"""Structured logs: one JSON object a line on stderr, known secrets masked, no data payload."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from base_ops.core.protocol import Request
from base_ops.worker.secrets import Secrets


class JsonFormatter(logging.Formatter):
    """Fields: ts (ISO 8601 UTC), level, module, agent, action, run_id, correlation_id, msg, and error if any."""

    def __init__(self, request: Request, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets
        step = request.steps[0]
        module, agent = step.agent.split(".")
        self._fixed = {
            "module": module,
            "agent": agent,
            "action": step.action,
            "run_id": request.identity.run_id,
            "correlation_id": request.traceparent or request.identity.attempt,
        }

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname,
            **self._fixed,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({name: self._secrets.mask(text) for name, text in line.items()}, ensure_ascii=False)


def start_logging(request: Request, secrets: Secrets, level: str) -> logging.Logger:
    """The worker's logger; libraries' warnings go the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(request, secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log = logging.getLogger("base_ops")
    log.setLevel(level)
    return log
