"""Brokers that hand out a message until it is acknowledged: exactly once, by the messages' own identities.

1. Messages are taken, unacknowledged. 2. Their identities are noted beside the landing log. 3. One entry of the log
lands them; its cursor is the run's name, so that of two runs at once the second lands nothing and acknowledges
nothing: what it took is handed out again. 4. They are acknowledged and the note is deleted. A run that dies between
3 and 4 leaves its note: what the broker hands out again is known by it, acknowledged, and not landed a second time.

A message without an identity cannot be known again: it is landed twice rather than lost, with a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from base_ops.core.errors import Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.streams import QueueSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.streams.envelope import Envelope, Headers
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History, Landing

_FORGOTTEN_AFTER = timedelta(days=7)


class QueueRun:
    """One run over such a broker."""

    def __init__(self, site: Site, spec: QueueSpec, history: History, keep: Keep) -> None:
        self.taking = Taking(site, spec, history, keep, Envelope(spec.value, extra=site.source.protocol))
        self.notes = Notes(site, self.taking.run)
        self.handled = self.again = self.unsure = 0
        self._max = spec.max_messages

    @property
    def left(self) -> int:
        """How many more messages this run may handle; 0: it is over."""
        return min(self.taking.left, self._max - self.handled)

    def take(
        self, identity: str | None, facts: bytes, headers: Headers, value: bytes, key: bytes | None = None
    ) -> None:
        """One message; one that has landed already is passed over, to be acknowledged with the rest."""
        self.handled += 1
        if identity is not None and identity in self.notes.landed:
            self.again += 1
            return
        if identity is not None:
            self.notes.taken.append(identity)
        elif self.notes.landed or self.notes.nameless:
            self.unsure += 1
        self.notes.nameless_taken |= identity is None
        self.taking.take(facts, headers, value, key)

    def finish(self, acknowledge: Callable[[], None], close: Callable[[], None]) -> Report:
        """Hand on what was taken. `acknowledge` tells the broker that all of it has landed; `close` always follows."""
        report = self.taking.finish()
        if self.again:
            message = f"{self.again} messages were handed out again and had landed before"
            report.findings.append(Finding(code="duplicate_found", severity="warning", message=message))
        if self.unsure:
            message = f"{self.unsure} messages without an identity may have landed before: an earlier run broke off"
            report.findings.append(Finding(code="may_be_doubled", severity="warning", message=message))
        if self.taking.taken:
            self.notes.write()
            report.cursor_after = {"run": self.taking.run}
        failpoint("stream.noted")

        def after() -> None:
            try:
                if self.handled and (not self.taking.taken or self.notes.has_landed(self.taking.run)):
                    acknowledge()
                    failpoint("stream.acknowledged")
                    self.notes.settle()
            except Transient as error:
                message = f"{error.what}: what landed will be handed out again, and known"
                report.findings.append(Finding(code="not_acknowledged", severity="warning", message=message))
            finally:
                close()

        report.acknowledge = after
        return report


class Notes:
    """Identities of messages that may have landed without having been acknowledged, one file per run."""

    def __init__(self, site: Site, run: str) -> None:
        if site.landing is None:
            raise ValueError("a queue needs the source's landing zone")
        self._landing: Landing = site.landing
        self._run, self._now = run, site.clock.now()
        self._folder = f"{self._landing.folder}/_unacknowledged"
        self.landed: set[str] = set()
        """Of runs that landed and died before they were done."""
        self.nameless = self.nameless_taken = False
        """Whether there were messages without identity in such runs, and in this one."""
        self.taken: list[str] = []
        self._read()

    def _read(self) -> None:
        store = self._landing.store
        names: Any = store.folders(self._folder)
        for name in names:
            note = store.try_read_json(f"{self._folder}/{name}/ids.json")
            if note is None:
                continue
            if self._now - datetime.fromisoformat(note["at"]) > _FORGOTTEN_AFTER:
                store.remove_tree(f"{self._folder}/{name}")
            elif self.has_landed(name):
                self.landed.update(note["ids"])
                self.nameless |= note["nameless"]

    def has_landed(self, run: str) -> bool:
        """Whether the landing log has this run."""
        return any(entry.cursor_after == {"run": run} for entry in self._landing.entries())

    def write(self) -> None:
        """Before landing."""
        note = {"at": self._now.isoformat(), "ids": self.taken, "nameless": self.nameless_taken}
        self._landing.store.create_json(f"{self._folder}/{self._run}/ids.json", note)

    def settle(self) -> None:
        """After acknowledging. Notes of runs that died stay for a week: others may have parts of theirs in hand."""
        self._landing.store.remove_tree(f"{self._folder}/{self._run}")
