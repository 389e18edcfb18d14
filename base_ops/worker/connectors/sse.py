"""Server-sent events (WHATWG HTML, §9.2), resumed by Last-Event-ID: the id is the cursor in the landing log.

A run ends after `max_messages` or `max_seconds`, when nothing comes for `idle_s`, or when the server ends the stream.
Each event is one line: `id`, `event`, and its data as `value`; data that is not UTF-8 is kept as it is, as a dead
letter. A server whose events have no ids cannot be resumed:
what it sends between two runs is lost, with a finding.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from base_ops.core.errors import BadInput, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.web import SseSpec
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.selection import shown
from base_ops.worker.connectors.streams.envelope import Envelope
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.lake.landing import History

_LINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Event:
    """One event; `id` is the last id the stream has set, '' for none."""

    id: str
    kind: str
    data: str


@dataclass
class EventReader:
    """Cuts a byte stream into events, in bounded memory."""

    max_bytes: int
    where: str
    last_id: str = ""
    retry_s: float | None = None
    _id: str = ""
    _kind: str = ""
    _data: list[str] = field(default_factory=list)
    _size: int = 0

    def __post_init__(self) -> None:
        self._id = self.last_id

    def read(self, chunks: Iterable[bytes]) -> Iterator[Event]:
        """An event is given out at its blank line; what is unfinished when the stream ends is not an event.

        Raises:
            BadInput: an event longer than `max_bytes`.
        """
        decoder, text, first = codecs.getincrementaldecoder("utf-8")("surrogateescape"), "", True
        self._kind, self._data, self._size, self._id = "", [], 0, self.last_id
        for chunk in chunks:
            text += decoder.decode(chunk)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            held = "\r" if text.endswith("\r") else ""  # may be half of \r\n
            *lines, text = _LINE.split(text.removesuffix(held))
            text += held
            if self._size + len(text) > self.max_bytes:
                raise self._too_long()
            for line in lines:
                if (event := self._line(line)) is not None:
                    yield event
        if text == "\r" and (event := self._line("")) is not None:
            yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        self._size += len(line)
        if self._size > self.max_bytes:
            raise self._too_long()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry_s = int(value[:9]) / 1000
        return None

    def _dispatch(self) -> Event | None:
        self.last_id, data, kind = self._id, self._data, self._kind
        self._data, self._kind, self._size = [], "", 0
        return Event(self.last_id, kind or "message", "\n".join(data)) if data else None

    def _too_long(self) -> BadInput:
        return BadInput(
            "An event is longer than the source allows",
            code="message_too_large",
            where=self.where,
            expected=f"at most {self.max_bytes} characters (sse.max_message_bytes)",
        )


class SseSource:
    """Takes a run's part of the events."""

    def __init__(self, site: Site) -> None:
        self.site = site
        assert site.source.sse is not None
        self.spec: SseSpec = site.source.sse

    def fetch(self, history: History, keep: Keep) -> Report:
        before = history.cursor.get("last_event_id") if isinstance(history.cursor, dict) else ""
        where = f"source {self.site.source.id}, GET {self.spec.path}"
        reader = EventReader(self.spec.max_message_bytes, where, last_id=str(before or ""))
        taking = Taking(self.site, self.spec, history, keep, Envelope(self.spec.value))
        taken_id = reader.last_id
        with Web(self.site, taking.report) as web:

            def listen() -> None:
                nonlocal taken_id
                reader.last_id = taken_id  # what was not taken is sent again
                for event in self._events(web, reader, taking):
                    known = shown(event.id)
                    facts = f'"id":{json.dumps(known)},"event":{json.dumps(shown(event.kind))}'
                    taking.take(facts.encode(), (), event.data.encode(errors="surrogateescape"))
                    taken_id = known
                    if not taking.left:
                        return

            retry(
                listen,
                tries=self.spec.tries,
                backoff=Backoff(base_s=self.spec.backoff_s),
                clock=self.site.clock,
                longest_wait_s=self.spec.max_retry_after_s,
                on_retry=lambda: taking.report.count(retries=1),
                progress=lambda: taking.taken,
            )
        report = taking.finish()
        if taking.taken and not taken_id:
            message = "the events have no ids: what is sent between two runs is lost"
            report.findings.append(Finding(code="not_resumable", severity="warning", message=message))
        report.cursor_after = {"last_event_id": taken_id} if taken_id else None
        return report

    def _events(self, web: Web, reader: EventReader, taking: Taking) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if reader.last_id:
            headers["Last-Event-ID"] = reader.last_id.encode().decode("latin-1")
        idle_s = max(0.001, min(self.spec.idle_s, taking.seconds_left))
        try:
            with web.listen(headers, idle_s) as response:
                if response.status_code == 204:  # the server asks us to stop
                    return
                kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
                if kind != "text/event-stream":
                    raise BadInput(
                        "The answer is no stream of events", code="bad_stream", where=reader.where, found=kind
                    )
                yield from reader.read(response.iter_bytes())
        except Transient as error:
            if error.code != "timeout" or "ReadTimeout" not in error.found:
                raise


CONNECTOR = SseSource
