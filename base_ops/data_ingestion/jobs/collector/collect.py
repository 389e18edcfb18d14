"""collector.collect_data_from_source: fetch what is new from a source into its landing zone, exactly once.

Input: a source. Output: references to the landed objects that the dataset has not consumed yet, also those of
earlier runs. One log entry per collect that brought something new; killed at any point, a rerun misses nothing
and doubles nothing, since bytes are named by content and the cursor moves in the entry that lands them.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from base_ops.core.errors import ConfigError, Transient
from base_ops.core.ids import fingerprint
from base_ops.core.protocol import Counts, DataRef, Finding, Lineage, StepResult
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.connections.credentials import Keyring
from base_ops.worker.connections.tuning import remember, tuned
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.cursor import furthest
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import DeadLetters, History, LandedObject, Landing, LandingEntry

AGENT = "data_ingestion.collector"
DEAD_LETTERS = "ingestion.dlq"
"""Topic of the events that tell of messages and fetches set aside."""
_LOUD = {"dead_letters_many": "dead_letter_queue_long", "dead_letters_full": "dead_letter_queue_full"}
_RACES = 20
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.\-]+|\.\.+")


def collect(spec: CollectDataFromSourceSpec, ctx: Context, clock: Clock) -> JobOutput:
    """Collect; see the module.

    Raises:
        BadInput, Transient, ConfigError, Denied: naming source and object or URL path, never a credential.
    """
    began, landing = time.monotonic(), ctx.landing(spec.source.id)
    before = landing.history()
    with landing.scratch() as scratch:
        basket = Basket(landing, spec.source)
        site = site_of(spec.source, ctx, clock, scratch, mode=_mode(spec), window=_window(spec, ctx))
        site, chosen = tuned(site)
        report = Report() if ctx.settings.offline else _fetch(site, before, basket)
        remember(site, report)
    new, lost = _commit(site, landing, before, basket, report)
    if report.acknowledge is not None:
        failpoint("collector.before_acknowledge")
        report.acknowledge()
    after = landing.history()
    outputs = hand_on(spec, ctx, landing, after.last)
    step = _account(site, report, basket, before, after, new, outputs)
    if chosen is not None:
        step.observations["connection"] = chosen
    step.seconds = time.monotonic() - began
    return JobOutput(
        steps=[step],
        outputs=outputs,
        lineage=Lineage(inputs=[spec.source.id], outputs=[landing.folder]),
        considered={spec.source.id: after.last},
        adopted=lost and not (new or basket.dead_letters),
        cursor_before=before.cursor,
        cursor_after=after.cursor,
    )


def site_of(
    source: SourceSpec,
    ctx: Context,
    clock: Clock,
    scratch: Path,
    *,
    mode: Literal["full", "incremental", "window"] = "incremental",
    window: tuple[str, str] | None = None,
) -> Site:
    """All that a connector is told of a source."""
    return Site(
        source=source,
        scratch=scratch,
        connection=ctx.secrets.connection(source.connection) if source.connection else None,
        mode=mode,
        window=window,
        clock=clock,
        env=ctx.settings.env,
        breaker=ctx.breaker(source.id, source.connecting.breaker, clock),
        keyring=Keyring(ctx.settings.home.absolute() / "tokens", ctx.secrets.remember, clock),
        landing=ctx.landing(source.id),
    )


def _fetch(site: Site, before: History, basket: Basket) -> Report:
    """Through the circuit breaker that all runs share."""
    with site.breaker.over_all() if site.breaker is not None else nullcontext():
        return open_connector(site).fetch(before, basket.keep)


@dataclass
class Basket:
    """Takes complete objects, from any thread, and stores their bytes; nothing is visible before the log says so."""

    landing: Landing
    source: SourceSpec
    objects: list[LandedObject] = field(default_factory=list)
    dead_letters: list[DeadLetters] = field(default_factory=list)
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, fetched: Fetched) -> None:
        failpoint("collector.after_download")
        stored = self.landing.move_bytes(fetched.local, fetched.sha256, fetched.suffix)
        if fetched.dead is not None:
            dead = DeadLetters(stored=stored, sha256=fetched.sha256, bytes=fetched.bytes, rules=fetched.dead)
            with self._lock:
                self.dead_letters.append(dead)
            return
        item = LandedObject(
            path=fetched.path,
            stored=stored,
            sha256=fetched.sha256,
            bytes=fetched.bytes,
            slice=slice_name(self.source.slice, fetched.labels),
            labels=fetched.labels,
            etag=fetched.etag,
            modified=fetched.modified,
            part_of=fetched.part_of,
        )
        with self._lock:
            self.objects.append(item)
            self.bytes += fetched.bytes


def slice_name(template: str, captures: dict[str, str]) -> str:
    """The template with its captures put in, as a name: slices become parts of paths and keys.

    Raises:
        ConfigError: a capture that the path does not have.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in captures:
            raise ConfigError(
                f"slice names {{{match[1]}}}, which files.path does not capture",
                code="unknown_capture",
                where="source.slice",
                found=f"captures: {', '.join(sorted(captures)) or 'none'}",
            )
        return captures[match[1]]

    text = _NOT_A_NAME.sub("_", re.sub(r"\{([a-z_][a-z0-9_]*)\}", value, template))
    if not text[:1].isalnum():
        text = "x" + text
    return text if len(text) <= 128 else f"{text[:111]}-{fingerprint(text)[:16]}"


def _mode(spec: CollectDataFromSourceSpec) -> Literal["full", "incremental", "window"]:
    """A given window is for APIs that take one; other sources of the pipeline are collected as ever."""
    if spec.window is None or not all(spec.window):
        return spec.mode
    return "window" if spec.source.block.takes_window else "incremental"


def _window(spec: CollectDataFromSourceSpec, ctx: Context) -> tuple[str, str] | None:
    if _mode(spec) != "window":
        return None
    if spec.window is not None and all(spec.window):
        return spec.window
    start, end = ctx.identity.window_start, ctx.identity.window_end
    if start is None or end is None or not spec.source.block.takes_window:
        raise ConfigError(
            f"source {spec.source.id}: there is no window to collect",
            code="no_window",
            where="spec.mode",
            expected="a source that takes a window (http: window_params), and a run with a data interval",
            found="a run without one" if spec.source.block.takes_window else f"a source of {spec.source.protocol}",
        )
    return start, end


def _commit(
    site: Site, landing: Landing, history: History, basket: Basket, report: Report
) -> tuple[list[LandedObject], bool]:
    """Log what is new in one entry: (its objects, whether another attempt came between).

    A lost number means: look again. If the cursor was moved meanwhile, the other attempt fetched what we fetched,
    and ours is dropped; objects that it logged are not logged again.
    """
    cursor, by_cursor = history.cursor, site.source.block.moves_cursor
    for race in range(_RACES):
        new = history.new_objects(basket.objects, site.source.mode)
        doubled = by_cursor and site.mode == "incremental" and history.cursor != cursor
        if doubled:
            basket.dead_letters.clear()
        if doubled or not (new or basket.dead_letters):
            return [], race > 0
        entry = LandingEntry(
            sequence=history.last + 1,
            source=site.source.id,
            objects=new,
            dead_letters=basket.dead_letters,
            mode=site.source.mode,
            cursor_before=history.cursor if site.window is None else None,
            cursor_after=furthest(history.cursor, report.cursor_after, report.rank) if site.window is None else None,
            window=site.window,
            attempt=landing.attempt,
            repeatable=site.source.block.repeatable and not basket.dead_letters,
            landed_at=site.clock.now().astimezone(UTC).isoformat(),
        )
        if _append(landing, entry, site.clock):
            return new, race > 0
        history = landing.history()
    raise Transient(
        f"source {site.source.id}: other attempts kept taking the next number of its landing log",
        code="landing_contention",
        where=landing.store.uri(f"{landing.folder}/_log"),
        todo="collect a source from one pipeline at a time",
    )


def _append(landing: Landing, entry: LandingEntry, clock: Clock) -> bool:
    """False also while another attempt's put of the same number is still under way (S3 says so)."""
    try:
        return landing.append(entry)
    except Transient as error:
        if error.code != "create_conflict":
            raise
        clock.sleep(0.5)
        return False


def hand_on(spec: CollectDataFromSourceSpec, ctx: Context, landing: Landing, last: int) -> list[DataRef]:
    """What the dataset has not consumed, the newest state of each object."""
    consumed = _consumed(spec, ctx)
    return [ref for ref in landing.effective(upto=last) if ref.sequence > consumed]


def _consumed(spec: CollectDataFromSourceSpec, ctx: Context) -> int:
    """The landing log number up to which the dataset's table has taken this source in."""
    if spec.dataset is None or spec.reprocess:
        return 0
    from base_ops.worker.lake.tables import Tables

    return int(Tables(ctx.lake.store).consumed(spec.dataset).get(spec.source.id, 0))


def _account(
    site: Site,
    report: Report,
    basket: Basket,
    before: History,
    after: History,
    new: list[LandedObject],
    outputs: list[DataRef],
) -> StepResult:
    source = site.source.id
    twins = sorted(item.path for item in new if before.twins(item))
    counts: dict[str, JsonValue] = {
        "objects_new": len(new),
        "objects_unchanged": report.unchanged + len(basket.objects) - len(new),
        "pages": report.pages,
        "requests": report.requests,
        "retries": report.retries,
    }
    findings, events = report.all_findings(), [event("collection_completed", source, counts)]
    drift = [finding for finding in findings if finding.code in ("schema_additive", "schema_breaking")]
    events += [event(finding.code, source, dict(finding.data)) for finding in drift]
    if basket.dead_letters:
        dead = {"messages": sum(d.messages for d in basket.dead_letters), "waiting": after.dead_messages}
        counts |= {"dead_letters": dead["messages"], "dead_letters_waiting": dead["waiting"]}
        events.append(event("dead_lettered", DEAD_LETTERS, {"source": source, **dead}))
    events += [
        event(_LOUD[f.code], DEAD_LETTERS, {"source": source, "waiting": f.data.get("waiting")})
        for f in findings
        if f.code in _LOUD
    ]
    if not new:
        findings.append(Finding(code="nothing_new", message=f"{source} has nothing that was not landed before"))
    if twins:
        message = f"{len(twins)} new objects hold the same bytes as earlier ones of another name, e.g. {twins[0]!r}"
        findings.append(Finding(code="duplicate_found", severity="warning", message=message))
        events.append(event("duplicate_found", source, {"objects": len(twins)}))
    return StepResult(
        agent=AGENT,
        action="collect_data_from_source",
        counts=Counts(bytes_in=basket.bytes, bytes_out=sum(item.bytes for item in new)),
        observations={**counts, "handed_on": len(outputs), "considered": {source: after.last}},
        findings=findings,
        events=events,
    )


def event(kind: str, source: str, data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": kind, "subject": source, "data": data}
