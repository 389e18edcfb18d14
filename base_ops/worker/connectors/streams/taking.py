"""One run's part of a stream on its way to landed objects, in bounded memory; and the account of its dead letters."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import BinaryIO, Literal

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.ids import uuid7
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.streams import RECEIVED, StreamSpec
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site
from base_ops.worker.connectors.streams.envelope import Envelope, Headers, Poison
from base_ops.worker.lake.landing import History

_BUFFER_BYTES = 1 << 20


class Taking:
    """Takes messages one by one until the run's bounds; `finish` hands on what is left.

    Raises:
        BadInput: as many dead letters wait as the source allows; a person has to look first.
    """

    def __init__(self, site: Site, spec: StreamSpec, history: History, keep: Keep, envelope: Envelope) -> None:
        if site.mode != "incremental":
            raise ConfigError(
                f"source {site.source.id}: a stream goes on where it stopped, and cannot be collected in full again",
                code="no_full_mode",
                where="spec.mode",
                todo="reprocess: true hands on everything that landed",
            )
        self.site, self.spec, self.report, self.envelope = site, spec, Report(), envelope
        self.run = uuid7()
        self.taken = 0
        self._waiting = history.dead_messages
        self._refuse_to_go_on()
        self._good = _Parts(site, keep, f"{self.run}/messages", spec.part_mb * 1_000_000)
        self._dead = _Parts(site, keep, f"{self.run}/dead-letters", spec.part_mb * 1_000_000)
        self._deadline = time.monotonic() + spec.max_seconds

    @property
    def left(self) -> int:
        """How many more messages this run may take; 0: it is over."""
        if time.monotonic() >= self._deadline or self._waiting >= self.spec.dead_letters_limit:
            return 0
        return self.spec.max_messages - self.taken

    @property
    def seconds_left(self) -> float:
        """How long it may still last."""
        return max(0.0, self._deadline - time.monotonic())

    def take(self, facts: bytes, headers: Headers, value: bytes | None, key: bytes | None = None) -> None:
        """One message: into a landed object, or to the dead letters."""
        self.taken += 1
        try:
            self._good.write(self.envelope.line(facts, headers, value, key))
        except Poison as poison:
            self._dead.write(self.envelope.dead(poison, facts, headers, value, key, self.run), poison.rule)
            self._waiting += 1

    def finish(self) -> Report:
        """Close the files; says in the report what became of dead letters."""
        self._good.close()
        self._dead.close()
        self.report.count(pages=self._good.made)
        if (dead := sum(self._dead.rules.values())) > 0:
            rules = ", ".join(f"{rule} {count}" for rule, count in sorted(self._dead.rules.items()))
            self._tell("dead_letters", f"{dead} messages could not be used and are kept apart: {rules}", "warning")
        if self._waiting >= self.spec.dead_letters_limit:
            self._tell("dead_letters_full", f"{self._waiting} dead letters wait; the source is paused", "error")
        elif self._waiting >= self.spec.dead_letters_alert:
            self._tell("dead_letters_many", f"{self._waiting} dead letters wait to be looked at", "error")
        return self.report

    def _tell(self, code: str, message: str, severity: Literal["warning", "error"]) -> None:
        self.report.findings.append(
            Finding(code=code, severity=severity, message=message, data={"waiting": self._waiting})
        )

    def _refuse_to_go_on(self) -> None:
        if self._waiting >= self.spec.dead_letters_limit:
            raise BadInput(
                f"The source is paused: {self._waiting} dead letters wait",
                code="dead_letters_full",
                where=f"source {self.site.source.id}",
                expected=f"fewer than {self.spec.dead_letters_limit} (dead_letters_limit)",
                todo="settle them, or raise the limit; nothing was taken from the stream, and nothing is lost",
            )


class _Parts:
    """Lines into files `<name>-<n>.ndjson`, each closed and handed on when it is big enough."""

    def __init__(self, site: Site, keep: Keep, name: str, part_bytes: int) -> None:
        self._site, self._keep, self._name = site, keep, name
        self._part_bytes = min(part_bytes, site.source.max_object_bytes)
        self._lines: list[bytes] = []
        self._buffered = self._size = 0
        self._file: BinaryIO | None = None
        self._local = Path()
        self._digest = hashlib.sha256()
        self._rules: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.made = 0

    def write(self, line: bytes, rule: str | None = None) -> None:
        self._lines.append(line)
        self._buffered += len(line)
        if rule is not None:
            self._rules[rule] += 1
        if self._buffered >= _BUFFER_BYTES:
            self._flush()
            if self._size >= self._part_bytes:
                self.close()

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._lines.clear()
        self._buffered = 0
        if self._file is None:
            self._local = self._site.scratch / uuid.uuid4().hex
            self._file, self._size, self._digest = self._local.open("xb"), 0, hashlib.sha256()
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def close(self) -> None:
        """Hand on the file that is open, if any."""
        if self._lines:
            self._flush()
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        path, digest = f"{self._name}-{self.made:03d}.ndjson", self._digest.hexdigest()
        rules = dict(self._rules) or None
        now = self._site.clock.now().astimezone(UTC)
        labels = {name: now.strftime(form) for name, form in RECEIVED.items()}
        self._keep(Fetched(path, self._local, digest, self._size, labels=labels, dead=rules))
        self.made += 1
        self.rules.update(self._rules)
        self._rules.clear()
