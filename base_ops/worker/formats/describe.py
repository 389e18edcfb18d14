"""Everything that can be told of an object before it is converted: what `base-ops detect` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from base_ops.core.errors import BaseOpsError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import HEAD_BYTES, ByteSource, Format
from base_ops.worker.formats.beginning import beginning
from base_ops.worker.formats.delimited.encoding import settle_encoding
from base_ops.worker.formats.detect import Detection, choose_format, detect_head, readable_by
from base_ops.worker.formats.foreign import looks_like
from base_ops.worker.formats.wrappers import peel

_TEXTS = frozenset((
    "csv", "json", "ndjson", "jsonapi", "jsonlog", "xml", "soap", "fpml", "fixml", "iso20022", "yaml", "toml", "txt",
    "fixed_width", "common_log", "syslog", "sql_dump", "db2", "email", "swift_mt", "fix",
))  # fmt: skip


@dataclass
class Description:
    """What was found of one object; of an archive, of its first file."""

    name: str
    wrappers: list[str]
    """Outermost first."""
    detection: Detection
    encoding: str | None
    dialect: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    """Type of each column."""
    findings: list[Finding] = field(default_factory=list)
    problem: BaseOpsError | None = None
    """Why its columns cannot be told."""

    def as_json(self) -> dict[str, Any]:
        found = self.detection
        return {
            "name": self.name, "wrappers": self.wrappers, "format": found.format, "confidence": found.confidence,
            "runner_up": found.runner_up, "decided_by": found.decided_by, "model": found.model or None,
            "encoding": self.encoding, "dialect": self.dialect, "columns": self.columns,
            "findings": [finding.model_dump() for finding in self.findings],
            "problem": self.problem.text() if self.problem else None,
        }  # fmt: skip


def describe(source: ByteSource, spec: ReadSpec) -> Description:
    """Look at the first bytes of an object, and at as many records as typing its columns takes.

    Raises:
        BadInput: it is empty, or its wrapper is damaged or refused.
    """
    wrappers, inner = peel(source, spec)
    head = inner.head(HEAD_BYTES)
    if not head:
        choose_format(inner, spec)
    detection = detect_head(head, inner.name)
    encoding = settle_encoding(head, None, complete=len(head) < HEAD_BYTES)[0] if detection.format in _TEXTS else None
    made = Description(inner.name, wrappers, detection, encoding)
    if not detection.is_known and (what := looks_like(head)):
        made.findings.append(Finding(code="looks_like", message=f"{inner.name} looks like {what}"))
    try:
        format, found = choose_format(inner, spec)
        inner = readable_by(format, inner, spec)
        inner, reader = _opened(format, inner, spec)
    except BaseOpsError as error:
        made.problem = error
        return made
    made.findings += [*inner.findings, *found, *(f for f in reader.findings if f.code != "dialect")]
    made.dialect = next((dict(f.data) for f in reader.findings if f.code == "dialect"), {})
    made.encoding = str(made.dialect.get("encoding", made.encoding)) if made.encoding else None
    made.columns = {name: str(dtype) for name, dtype in reader.schema.items()}
    return made


def _opened(format: Format, source: ByteSource, spec: ReadSpec) -> tuple[ByteSource, Reader]:
    """A reader of the object's beginning where that is enough, else of the whole."""
    if (first := beginning(source, format.name)) is not None:
        try:
            return first, format.read(first, spec)
        except BaseOpsError:  # damaged, or cut in the wrong place: the whole tells
            pass
    return source, format.read(source, spec)
