"""Replay: rejected records, corrected or as they are, go through the same pipeline again.

The raw records are cut out of the landed object by their line numbers, and land as a new object of the same source
and slice that is marked as a correction of the old one. The next run takes it in like anything new; it counts as
long as the object it corrects does.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from base_ops.core.errors import BadInput, Transient
from base_ops.core.ids import fingerprint
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.wrappers import open_object
from base_ops.worker.lake.landing import LandedObject, Landing, LandingEntry
from base_ops.worker.lake.quarantine import read_quarantine
from base_ops.worker.lake.store import Store

_TRIES = 10
_LINES = {
    "csv": True,
    "db2": False,
    "ndjson": False,
    "jsonlog": False,
    "common_log": False,
    "fixed_width": False,
    "txt": False,
}
"""Formats whose records are lines, and whether a header line comes first."""


@dataclass(frozen=True)
class Rejects:
    """The rejected records of one landed object, raw."""

    source: str
    original: LandedObject
    lines: tuple[int, ...]
    content: bytes
    """A small object of the original's format that holds just these records."""

    @property
    def suffix(self) -> str:
        """Suffix of the unwrapped object, e.g. .csv."""
        name = self.original.path
        for wrapper in (".gz", ".zip", ".zst", ".bz2", ".xz", ".lz4"):
            name = name.removesuffix(wrapper)
        return Path(name).suffix


def rejects_of(store: Store, folder: str, read: ReadSpec, attempt: str) -> list[Rejects]:
    """Cut the rejected records of a quarantine folder out of their landed objects.

    Raises:
        BadInput: the folder is empty, or its records do not point into the landing zone.
    """
    try:
        records = read_quarantine(store, folder)
    except FileNotFoundError:
        raise BadInput(
            f"There is no quarantine at {store.uri(folder)}",
            code="no_quarantine",
            todo="copy the folder from a run's output, e.g. of base-ops demo",
        ) from None
    found = []
    for (uri,), group in records.group_by("object", maintain_order=True):
        lines = tuple(sorted(set(group["line"].to_list())))
        found.append(_cut(store, str(uri), lines, read, attempt))
    return found


def _cut(store: Store, uri: str, lines: tuple[int, ...], read: ReadSpec, attempt: str) -> Rejects:
    stored, _, member = store.path_of(uri).partition("!")
    zone, _, rest = stored.partition("/")
    if zone != "landing":
        raise BadInput(
            f"The records point at {uri}, not at a landed object",
            code="not_replayable",
            expected="records set aside while they were converted or validated per source",
            todo="correct them at their source, or land a corrected file of the source that won the field",
        )
    source = rest.split("/", 1)[0]
    landing = Landing(store, source, attempt)
    original = next(
        (
            item
            for entry in landing.entries()
            for item in entry.objects
            if item.stored == stored and item.replay_of is None
        ),
        None,
    ) or next((i for e in landing.entries() for i in e.objects if i.stored == stored), None)
    if original is None:
        raise BadInput(f"{uri} is not in the landing log of {source}", code="not_landed", where=uri)
    with tempfile.TemporaryDirectory() as scratch, store.as_local(stored, Path(scratch)) as local:
        sources = open_object(local, original.path.rsplit("/", 1)[-1], read)
        chosen = next(s for s in sources if not member or s.name == member)
        content = _records(chosen, lines, read)
    return Rejects(source, original, lines, content)


def _records(source: ByteSource, lines: tuple[int, ...], read: ReadSpec) -> bytes:
    kind = read.format or detect(source).format
    if kind == "json":
        return _json_records(source, lines, read)
    if kind not in _LINES:
        raise BadInput(
            f"Records of {kind} cannot be cut out line by line",
            code="not_replayable",
            expected=f"an object of one of the formats {', '.join(sorted(_LINES))}, json",
            todo="land a corrected file of the source",
        )
    return _text_records(source, set(lines), read, with_header=_LINES[kind])


def _text_records(source: ByteSource, wanted: set[int], read: ReadSpec, *, with_header: bool) -> bytes:
    """Physical lines by number, following a record over lines while a quote is open; the header comes first."""
    quote = (read.quote if read.quote is not None else '"').encode()
    header_line = read.skip_lines + 1 if with_header and read.header is not False else 0
    kept: list[bytes] = []
    open_record = False
    with source.open() as stream:
        for number, line in enumerate(io.BufferedReader(stream), start=1):  # type: ignore[arg-type]
            if number <= header_line or number in wanted or open_record:
                kept.append(line if line.endswith(b"\n") else line + b"\n")
                if with_header and quote and number > header_line:
                    odd = line.count(quote) % 2 == 1
                    open_record = odd != open_record and (number in wanted or open_record)
    return b"".join(kept)


def _json_records(source: ByteSource, numbers: tuple[int, ...], read: ReadSpec) -> bytes:
    with source.open() as stream:
        document: Any = json.load(stream)
    found = document
    path = (read.records or "").split(".") if read.records else []
    for key in path:
        found = found[key]
    records: Any = [found[n - 1] for n in numbers] if isinstance(found, list) else [found]
    for key in reversed(path):
        records = {key: records}
    return json.dumps(records, ensure_ascii=False, indent=1).encode()


def land(store: Store, rejects: Rejects, content: bytes, attempt: str) -> LandingEntry | None:
    """Land `content` as a correction of the object; None where the very same correction landed before."""
    landing = Landing(store, rejects.source, attempt)
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / "replay"
        local.write_bytes(content)
        stored, digest, size = landing.add_bytes(local, rejects.suffix)
    original = rejects.original
    item = LandedObject(
        path=f"{original.path}#replay-{fingerprint(digest, original.sha256)[:12]}",
        stored=stored,
        sha256=digest,
        bytes=size,
        slice=original.slice,
        labels=original.labels,
        replay_of=original.replay_of or original.sha256,
    )
    for _ in range(_TRIES):
        if any(known.path == item.path for entry in landing.entries() for known in entry.objects):
            return None
        last, cursor = landing.cursor()
        entry = LandingEntry(
            sequence=last + 1,
            source=rejects.source,
            objects=[item],
            cursor_before=cursor,
            cursor_after=cursor,
            attempt=attempt,
            landed_at=datetime.now(UTC).isoformat(),
        )
        if landing.append(entry):
            return entry
    raise Transient(f"The landing log of {rejects.source} is written by others all the time", code="landing_busy")


def lines_of(rejects: list[Rejects]) -> Iterator[str]:
    """One line per object, for people."""
    for item in rejects:
        yield f"{item.source}: {item.original.path}, line {', '.join(str(n) for n in item.lines[:20])}"
