"""Landing: an append-only log per source of the bytes as received.

    landing/<source>/<sha256 prefix>/<sha256>[.suffix]   the bytes, named by content, immutable
    landing/<source>/_log/<n>.json                        entry n: what arrived, and the cursor before and after

The cursor advances in the very entry that lands the bytes, so no state can run ahead of the data. Entries are
created if absent: of two attempts that land entry n, one wins and the other looks again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, JsonValue

from base_ops.core.ids import check_name
from base_ops.core.protocol import DataRef, Document
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.store import Store, sha256_of


class LandedObject(Document):
    """One object as received."""

    path: str = Field(description="its name at the source, e.g. daily/eurusd.zip or /v1/quotes?window=…")
    stored: str = Field(description="path inside the lake")
    sha256: str
    bytes: int
    slice: str = "all"
    labels: dict[str, str] = Field(default_factory=dict, description="captures of the path")
    etag: str | None = None
    replay_of: str | None = Field(None, description="sha256 of the object whose rejected records this one corrects")


class LandingEntry(Document):
    """One step of the log."""

    sequence: int
    source: str
    objects: list[LandedObject]
    mode: str = "snapshot"
    cursor_before: JsonValue = None
    cursor_after: JsonValue = None
    window: tuple[str, str] | None = None
    attempt: str = ""
    landed_at: str = ""


class Landing:
    """The landing zone of one source."""

    def __init__(self, store: Store, source: str, attempt: str) -> None:
        self.store = store
        self.source = check_name(source, "source")
        self.attempt = attempt

    @property
    def folder(self) -> str:
        return f"landing/{self.source}"

    def entries(self, after: int = 0) -> list[LandingEntry]:
        """All log entries with a sequence above `after`, in order. A gap ends the log."""
        names = self.store.list(f"{self.folder}/_log")
        numbers = sorted(int(n.rsplit("/", 1)[1].removesuffix(".json")) for n in names)
        return [
            LandingEntry.model_validate(self.store.read_json(self._entry_path(number)))
            for number in numbers
            if number > after
        ]

    def _entry_path(self, sequence: int) -> str:
        return f"{self.folder}/_log/{sequence:010d}.json"

    def cursor(self) -> tuple[int, JsonValue]:
        """(last sequence, cursor after it); windows of backfills do not move the cursor."""
        last, cursor = 0, None
        for entry in self.entries():
            last = entry.sequence
            if entry.window is None:
                cursor = entry.cursor_after
        return last, cursor

    def add_bytes(self, local: Path, suffix: str = "") -> tuple[str, str, int]:
        """Store a finished local file under its content's name: (path in the lake, sha256, bytes)."""
        digest, size = sha256_of(local), local.stat().st_size
        stored = f"{self.folder}/{digest[:2]}/{digest}{suffix}"
        if not self.store.exists(stored):
            if self.store.is_local:
                staged = Path(self.store.uri(f"{self.folder}/.tmp-{self.attempt}-{digest}"))
                staged.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(local, staged)
                self.store.put(staged, stored)
            else:
                self.store.fs.put_file(str(local), self.store.uri(stored))
        failpoint("landing.bytes_stored")
        return stored, digest, size

    def append(self, entry: LandingEntry) -> bool:
        """Append one entry; False when another attempt took its number (look again, then decide)."""
        failpoint("landing.before_append")
        won = self.store.create_json(self._entry_path(entry.sequence), entry.model_dump(mode="json"))
        failpoint("landing.after_append")
        return won

    def effective(self, *, upto: int | None = None, slices: Iterable[str] | None = None) -> list[DataRef]:
        """The objects that make up the source's data, as seen at log entry `upto`, in order of arrival.

        snapshot: of each path the newest object, and the corrections that were replayed for it;
        append: every object.
        """
        wanted = None if slices is None else set(slices)
        by_path: dict[str, tuple[int, LandedObject]] = {}
        kept: list[tuple[int, LandedObject]] = []
        replays: list[tuple[int, LandedObject]] = []
        for entry in self.entries():
            if upto is not None and entry.sequence > upto:
                break
            for item in entry.objects:
                if item.replay_of is not None:
                    replays.append((entry.sequence, item))
                elif entry.mode == "snapshot":
                    by_path[item.path] = (entry.sequence, item)
                else:
                    kept.append((entry.sequence, item))
        current = kept + list(by_path.values())
        alive = {item.sha256 for _, item in current}
        current += [(n, item) for n, item in replays if item.replay_of in alive]
        chosen = [(n, i) for n, i in current if wanted is None or i.slice in wanted]
        return [self.ref(n, i) for n, i in sorted(chosen, key=lambda pair: (pair[0], pair[1].path, pair[1].sha256))]

    def ref(self, sequence: int, item: LandedObject) -> DataRef:
        """A landed object as a reference for Results and commit keys."""
        return DataRef(
            id=item.sha256,
            kind="landing",
            uri=self.store.uri(item.stored),
            name=item.path,
            source=self.source,
            slice=item.slice,
            bytes=item.bytes,
            sha256=item.sha256,
            sequence=sequence,
            labels=item.labels,
        )
