"""What kind of failure it was: four classes, by the error's code, its HTTP status or SQL number, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from base_ops.data_ingestion.options.retries import CLASS_OF_CODE, FailureClass
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec

_BY_STATUS: dict[int, FailureClass] = {
    401: "persistent", 403: "persistent", 404: "persistent", 407: "persistent", 410: "persistent", 400: "persistent",
    408: "transient", 425: "transient", 429: "transient", 500: "transient", 502: "transient", 503: "transient",
    504: "transient", 206: "partial", 507: "systematic",
}  # fmt: skip
_BY_OUTCOME: dict[str, FailureClass] = {
    "transient": "transient",
    "denied": "persistent",
    "config_error": "persistent",
    "bad_input": "persistent",
    "bug": "systematic",
}
CREDENTIAL_CODES = frozenset({"unauthorized", "forbidden", "proxy_unauthorized", "invalid_client", "invalid_grant"})


@dataclass(frozen=True)
class Classified:
    """A failure's class, and what told it."""

    kind: FailureClass
    told_by: str
    credential: bool = False
    """It was the credential that was refused."""


def classify(failure: FailureSpec) -> Classified:
    """The code decides, then the status, then the outcome; part of the bytes makes a lost connection partial."""
    credential = failure.code in CREDENTIAL_CODES or failure.status in (401, 403)
    if failure.code in CLASS_OF_CODE:
        found, by = CLASS_OF_CODE[failure.code], f"code {failure.code}"
    elif failure.status in _BY_STATUS:
        found, by = _BY_STATUS[failure.status], f"status {failure.status}"
    else:
        found, by = _BY_OUTCOME.get(failure.outcome, "systematic"), f"outcome {failure.outcome}"
    if found == "transient" and failure.bytes_done and failure.code in ("timeout", "read_timeout", "unreachable"):
        return Classified("partial", f"{by}, {failure.bytes_done} bytes had arrived")
    return Classified(found, by, credential)
