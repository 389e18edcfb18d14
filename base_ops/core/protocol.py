"""The protocol between the orchestrator and a job: one Request in, one Result out, both plain JSON.

Neither ever holds a secret: specs carry the *names* of connections.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from base_ops.core.breaker import Admission, BreakerReport
from base_ops.core.errors import BaseOpsError
from base_ops.core.outcomes import Outcome

PROTOCOL_VERSION = 1


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Identity(Document):
    """Which run this work belongs to; also the labels of a pod."""

    dag_id: str = "cli"
    run_id: str = "manual"
    task_id: str = "job"
    map_index: int = -1
    item: str = Field("", description="what this mapped instance is for, e.g. the id of a source")
    try_number: int = 1
    attempt: str = Field(description="UUIDv7 of this attempt; names its folder")
    logical_date: str | None = Field(None, description="ISO 8601, UTC")
    window_start: str | None = Field(None, description="ISO 8601, UTC; start of the data interval of a backfill")
    window_end: str | None = Field(None, description="ISO 8601, UTC; end of the data interval of a backfill")


class StepRequest(Document):
    """One agent's part of the work. A fused request has several, run as one pass."""

    agent: str
    action: str
    spec: dict[str, JsonValue]


class Missing(Document):
    """A source whose part of this run is missing: what its table has of it already stands in for it."""

    why: str
    upto: int = Field(description="landing log number up to which the source counts: what the table has taken in")


class Request(Document):
    """Everything a worker needs to do one piece of work."""

    version: Literal[1] = 1
    steps: list[StepRequest] = Field(min_length=1)
    identity: Identity
    inputs: list[str] = Field(
        default_factory=list, description="URIs of the Results this work builds on, in task order; …#n = output n alone"
    )
    connections: list[str] = Field(default_factory=list, description="names of the connections the specs mention")
    sensitive_columns: list[str] = Field(
        default_factory=list, description="columns some masker of the pipeline hides: never shown in quarantine views"
    )
    breakers: dict[str, Admission] = Field(
        default_factory=dict, description="per peer (source:<id>), what all runs know of it"
    )
    missing: dict[str, str] = Field(
        default_factory=dict, description="per source that failed earlier in this run, why; others go on without it"
    )
    stand_in: str | None = Field(
        None, description="table that stands in for a source of this work that fails: others go on without it"
    )
    share: tuple[int, int] | None = Field(
        None, description="(number, of): of many inputs only these, for a worker that answers for all of them"
    )
    result_uri: str | None = Field(None, description="where the Result is written; that of a share goes to a pipe")
    lake_url: str
    traceparent: str | None = Field(None, description="W3C trace context")


class Counts(Document):
    """Rows of one step. `rows_in + expanded = rows_out + quarantined + sum(dropped) + merged_away`."""

    rows_in: int = 0
    expanded: int = 0
    rows_out: int = 0
    quarantined: int = 0
    dropped: dict[str, int] = Field(default_factory=dict, description="rows left out on purpose, by reason")
    merged_away: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def balance(self) -> int:
        """0 when every row is accounted for."""
        return (
            self.rows_in
            + self.expanded
            - self.rows_out
            - self.quarantined
            - sum(self.dropped.values())
            - self.merged_away
        )

    def plus(self, other: Counts) -> Counts:
        dropped = dict(self.dropped)
        for reason, rows in other.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + rows
        numbers = {n: getattr(self, n) + getattr(other, n) for n in type(self).model_fields if n != "dropped"}
        return Counts(dropped=dropped, **numbers)


class FieldInfo(Document):
    name: str
    type: str = Field(description="Arrow type in text form, e.g. int64, timestamp[us], string")


class DataRef(Document):
    """A published piece of data, named by where it lies and what it holds.

    `id` is its content id (a sha256 or a commit key): what later commit keys are built of.
    """

    id: str
    kind: Literal["landing", "staging", "table", "file"]
    uri: str
    name: str = Field("", description="source id, dataset name or file name")
    source: str = Field("", description="id of the source the data came from; empty once merged")
    slice: str = Field("all", description="the part of the dataset this belongs to, e.g. EURUSD or 2026-11-20")
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    schema_fingerprint: str | None = None
    fields: list[FieldInfo] = Field(default_factory=list)
    sequence: int = Field(0, description="order of arrival within the source (landing log number)")
    labels: dict[str, str] = Field(default_factory=dict, description="values captured from the path, e.g. symbol")
    version: int | None = Field(None, description="table version, for kind=table")


class QuarantineRef(Document):
    """Where rejected records of one rule lie."""

    rule: str
    rows: int
    uri: str
    reason: str = ""


class Finding(Document):
    """Something a person should know: a conflict summary, an ambiguous column, a threshold crossed."""

    code: str
    message: str
    severity: Literal["info", "warning", "error"] = "info"
    data: dict[str, JsonValue] = Field(default_factory=dict)


class ColumnLineage(Document):
    """One output column and the columns it was made of (dataset name, column name)."""

    column: str
    inputs: list[tuple[str, str]]
    transformation: str = "identity"


class Lineage(Document):
    inputs: list[str] = Field(default_factory=list, description="dataset names read")
    outputs: list[str] = Field(default_factory=list, description="dataset names written")
    columns: list[ColumnLineage] = Field(default_factory=list)


class ErrorInfo(Document):
    code: str
    what: str
    where: str = ""
    expected: str = ""
    found: str = ""
    todo: str = ""
    retry_after_s: float | None = None
    outcome: Outcome = Outcome.BUG

    @classmethod
    def of(cls, error: BaseOpsError) -> ErrorInfo:
        return cls(
            code=error.code,
            what=error.what,
            where=error.where,
            expected=error.expected,
            found=error.found,
            todo=error.todo,
            retry_after_s=error.retry_after_s,
            outcome=error.outcome,
        )


class StepResult(Document):
    """What one step of the work did."""

    agent: str
    action: str
    counts: Counts = Field(default_factory=Counts)
    seconds: float = 0.0
    quarantine: list[QuarantineRef] = Field(default_factory=list)
    observations: dict[str, JsonValue] = Field(default_factory=dict)
    findings: list[Finding] = Field(default_factory=list)
    events: list[dict[str, JsonValue]] = Field(
        default_factory=list, description="{type, subject, data} before enveloping"
    )


def check_balance(steps: list[StepResult]) -> None:
    """Refuse an account in which a row is missing or doubled: a bug must not be published."""
    for step in steps:
        if step.counts.balance() != 0:
            raise RuntimeError(f"{step.agent}: {step.counts.balance()} rows are not accounted for in {step.counts}")


class Result(Document):
    """The end of a piece of work; written on failure too."""

    version: Literal[1] = 1
    status: Outcome
    identity: Identity
    steps: list[StepResult] = Field(default_factory=list)
    inputs: list[DataRef] = Field(default_factory=list)
    outputs: list[DataRef] = Field(default_factory=list)
    lineage: Lineage = Field(default_factory=Lineage)
    cursor_before: JsonValue = None
    cursor_after: JsonValue = None
    spec_sha256: str = ""
    code_version: str = ""
    commit_keys: list[str] = Field(default_factory=list)
    considered: dict[str, int] = Field(
        default_factory=dict, description="per source, the landing log number this work and all before it looked at"
    )
    missing: dict[str, Missing] = Field(
        default_factory=dict, description="per source whose part of this run is missing, what stands in for it"
    )
    breakers: list[BreakerReport] = Field(default_factory=list, description="what the calls to each peer came to")
    adopted: bool = Field(False, description="True when everything had been published before: nothing was done")
    started_at: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    startup_seconds: float = Field(0.0, description="process start to first byte of work")
    peak_memory_bytes: int = 0
    error: ErrorInfo | None = None

    @property
    def counts(self) -> Counts:
        """First step's rows in, last step's rows out, everything lost on the way."""
        if not self.steps:
            return Counts()
        total = Counts()
        for step in self.steps:
            total = total.plus(step.counts)
        total.rows_in = self.steps[0].counts.rows_in
        total.rows_out = self.steps[-1].counts.rows_out
        total.bytes_in = self.steps[0].counts.bytes_in
        total.bytes_out = self.steps[-1].counts.bytes_out
        return total

    @property
    def quarantine(self) -> list[QuarantineRef]:
        return [q for step in self.steps for q in step.quarantine]

    @property
    def findings(self) -> list[Finding]:
        return [f for step in self.steps for f in step.findings]
