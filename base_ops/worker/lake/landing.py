"""Landing: an append-only log per source of the bytes as received.

    landing/<source>/<sha256 prefix>/<sha256>[.suffix]   the bytes, named by content, immutable
    landing/<source>/_log/<n>.json                        entry n: what arrived, and the cursor before and after

The cursor advances in the very entry that lands the bytes, so no state can run ahead of the data. Entries are
created if absent: of two attempts that land entry n, one wins and the other looks again.

What a failed run landed can be withdrawn, by one more entry: the entries it names no longer count, and the cursor is
again what it was before them. Nothing is deleted.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic import Field, JsonValue

from base_ops.core.errors import BadInput
from base_ops.core.ids import check_name
from base_ops.core.protocol import DataRef, Document
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.store import Store, sha256_of

_ENTRY = re.compile(r"(\d{10})\.json")


class LandedObject(Document):
    """One object as received."""

    path: str = Field(description="its name at the source, e.g. daily/eurusd.zip or /v1/quotes#start/page-00001")
    stored: str = Field(description="path inside the lake")
    sha256: str
    bytes: int
    slice: str = "all"
    labels: dict[str, str] = Field(default_factory=dict, description="captures of the path")
    etag: str | None = Field(None, description="the source's ETag: unchanged, it need not be read again")
    modified: str | None = Field(None, description="Last-Modified, or the change times of a local file: as etag")
    part_of: str | None = Field(None, description="snapshot: the whole this is one page of; wholes replace wholes")
    replay_of: str | None = Field(None, description="sha256 of the object whose rejected records this one corrects")

    @property
    def whole(self) -> str:
        """What a newer delivery of the same name replaces: all pages of one collect, or the object itself."""
        return self.part_of or self.path


class DeadLetters(Document):
    """Messages of a stream that cannot be used, set aside in one object; kept until a person settles them."""

    stored: str = Field(description="path inside the lake: one JSON line per message, with its reason")
    sha256: str
    bytes: int
    rules: dict[str, int] = Field(description="messages by the rule that refused them")

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(self.rules.values())


class LandingEntry(Document):
    """One step of the log."""

    sequence: int
    source: str
    objects: list[LandedObject]
    dead_letters: list[DeadLetters] = Field(default_factory=list)
    settled: list[str] = Field(default_factory=list, description="sha256 of dead letters that a person dealt with")
    mode: str = "snapshot"
    cursor_before: JsonValue = None
    cursor_after: JsonValue = None
    window: tuple[str, str] | None = None
    attempt: str = ""
    repeatable: bool = Field(True, description="the source gives the same again when asked from an earlier cursor")
    withdrawn: list[int] = Field(default_factory=list, description="entries that no longer count from here on")
    landed_at: str = ""


def in_effect(entries: Iterable[LandingEntry]) -> list[LandingEntry]:
    """The entries that none of them has withdrawn."""
    entries = list(entries)
    gone = {number for entry in entries for number in entry.withdrawn}
    return [entry for entry in entries if entry.sequence not in gone]


@dataclass(frozen=True)
class Withdrawal:
    """What became of a wish to withdraw entries."""

    entries: tuple[int, ...] = ()
    """Those that are withdrawn."""
    kept: tuple[int, ...] = ()
    """Those that are not, and …"""
    why: str = ""
    """… why."""


class History:
    """What a source's log says at one moment: enough to decide what is new.

    `cursor` is moved by entries that carry one; windows of backfills and replays never move it.
    """

    def __init__(self, entries: Iterable[LandingEntry] = ()) -> None:
        self.last = 0
        self.cursor: JsonValue = None
        self._seen: set[tuple[str, str]] = set()
        self._names: dict[str, set[str]] = {}
        self._newest: dict[str, LandedObject] = {}
        self._wholes: dict[str, dict[str, str]] = {}
        self.dead_letters: dict[str, DeadLetters] = {}
        """By sha256, those that nobody has settled yet."""
        entries = list(entries)
        for entry in in_effect(entries):
            self._take(entry)
        if entries:
            self.last = entries[-1].sequence

    def _take(self, entry: LandingEntry) -> None:
        if entry.window is None and entry.cursor_after is not None:
            self.cursor = entry.cursor_after
        self.dead_letters.update((dead.sha256, dead) for dead in entry.dead_letters)
        for settled in entry.settled:
            self.dead_letters.pop(settled, None)
        arrived: dict[str, dict[str, str]] = {}
        for item in entry.objects:
            if item.replay_of is None:
                self._seen.add((item.path, item.sha256))
                self._names.setdefault(item.sha256, set()).add(item.path)
                self._newest[item.path] = item
                arrived.setdefault(item.whole, {})[item.path] = item.sha256
        self._wholes.update(arrived)

    def newest(self, path: str) -> LandedObject | None:
        """The object that arrived last under this name."""
        return self._newest.get(path)

    @property
    def wholes(self) -> frozenset[str]:
        """Names of all objects and sets of pages that arrived."""
        return frozenset(self._wholes)

    @property
    def dead_messages(self) -> int:
        """How many messages wait in dead letters."""
        return sum(dead.messages for dead in self.dead_letters.values())

    def twins(self, item: LandedObject) -> bool:
        """Whether the same bytes arrived before under another name."""
        return bool(self._names.get(item.sha256, set()) - {item.path})

    def new_objects(self, objects: Iterable[LandedObject], mode: str) -> list[LandedObject]:
        """Those that the log does not yet have, by path.

        append: of content not seen under this name; snapshot: of a whole that differs from the newest one
        (so that a file which returns to earlier bytes is new again, and a set of pages is taken as a whole).
        """
        wholes: dict[str, dict[str, str]] = {}
        for item in objects:
            wholes.setdefault(item.whole, {})[item.path] = item.sha256
        if mode == "append":
            fresh = [i for i in objects if (i.path, i.sha256) not in self._seen]
        else:
            fresh = [i for i in objects if self._wholes.get(i.whole) != wholes[i.whole]]
        return sorted(fresh, key=lambda item: item.path)


class Landing:
    """The landing zone of one source."""

    def __init__(self, store: Store, source: str, attempt: str) -> None:
        self.store = store
        self.source = check_name(source, "source")
        self.attempt = attempt
        self._read: dict[int, LandingEntry] = {}

    @property
    def folder(self) -> str:
        return f"landing/{self.source}"

    # -- the log

    def entries(self, after: int = 0) -> list[LandingEntry]:
        """All log entries with a sequence above `after`, in order; each is read once (entries never change).

        Raises:
            BadInput: an entry between two others is missing, so the log cannot be trusted.
        """
        names = (name.rsplit("/", 1)[1] for name in self.store.list(f"{self.folder}/_log"))
        numbers = sorted(int(match[1]) for name in names if (match := _ENTRY.fullmatch(name)))
        for before, number in pairwise(numbers):
            if number != before + 1:
                raise BadInput(
                    f"The landing log of {self.source} has lost entry {before + 1}",
                    code="landing_log_gap",
                    where=self.store.uri(self._entry_path(before + 1)),
                    todo="restore the entry from a backup of the lake; nothing is collected until then",
                )
        wanted = [number for number in numbers if number > after]
        self._read_entries([number for number in wanted if number not in self._read])
        return [self._read[number] for number in wanted]

    def _read_entries(self, numbers: list[int]) -> None:
        def read(number: int) -> LandingEntry:
            return LandingEntry.model_validate(self.store.read_json(self._entry_path(number)))

        if self.store.is_local or len(numbers) < 2:
            self._read.update((number, read(number)) for number in numbers)
            return
        with ThreadPoolExecutor(16) as pool:
            self._read.update(zip(numbers, pool.map(read, numbers), strict=True))

    def _entry_path(self, sequence: int) -> str:
        return f"{self.folder}/_log/{sequence:010d}.json"

    def history(self) -> History:
        """What the log says now."""
        return History(self.entries())

    def cursor(self) -> tuple[int, JsonValue]:
        """(last sequence, cursor after it); windows of backfills do not move the cursor."""
        history = self.history()
        return history.last, history.cursor

    def append(self, entry: LandingEntry) -> bool:
        """Append one entry; False when another attempt took its number (look again, then decide)."""
        failpoint("landing.before_append")
        won = self.store.create_json(self._entry_path(entry.sequence), entry.model_dump(mode="json"))
        failpoint("landing.after_append")
        return won

    def settle(self, dead_letters: Iterable[str]) -> None:
        """Log that dead letters (by sha256) were dealt with; their bytes stay.

        Raises:
            BadInput: no such dead letters wait.
        """
        wanted = sorted(set(dead_letters))
        while True:
            history = self.history()
            if unknown := [sha256 for sha256 in wanted if sha256 not in history.dead_letters]:
                raise BadInput(
                    f"{self.source} has no such dead letters waiting",
                    code="no_such_dead_letters",
                    where=f"{self.folder}/_log",
                    found=", ".join(unknown),
                )
            entry = LandingEntry(
                sequence=history.last + 1, source=self.source, objects=[], settled=wanted, attempt=self.attempt
            )
            if self.append(entry):
                return

    def withdraw(self, attempts: Collection[str], consumed: int = 0) -> Withdrawal:
        """Log that what these attempts landed no longer counts. Repeatable.

        All of it or nothing: never what a peer will not give again, what a table says it has taken in (`consumed`),
        or what others have gone on from, since moving the cursor back would fetch their part twice.
        """
        while True:
            entries = self.entries()
            current = in_effect(entries)
            mine = [entry for entry in current if entry.attempt in attempts and entry.objects]
            if not mine:
                return Withdrawal()
            numbers = tuple(entry.sequence for entry in mine)
            if why := _why_not(current, mine, consumed):
                return Withdrawal(kept=numbers, why=why)
            last = entries[-1].sequence
            entry = LandingEntry(
                sequence=last + 1, source=self.source, objects=[], withdrawn=list(numbers), attempt=self.attempt
            )
            if self.append(entry):
                return Withdrawal(numbers)

    # -- the bytes

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for downloads, on the lake's own disk where the lake is local."""
        root = Path(self.store.url) / ".scratch" if self.store.is_local else None
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="base-ops-", dir=root) as folder:
            yield Path(folder)

    def add_bytes(self, local: Path, suffix: str = "") -> tuple[str, str, int]:
        """Store a copy of a finished local file under its content's name: (path in the lake, sha256, bytes)."""
        digest = sha256_of(local)
        return self._store(local, digest, suffix, shutil.copyfile), digest, local.stat().st_size

    def move_bytes(self, scratch: Path, sha256: str, suffix: str = "") -> str:
        """Store a finished scratch file, hashed while it was written, under its content's name: path in the lake."""
        stored = self._store(scratch, sha256, suffix, shutil.move)
        scratch.unlink(missing_ok=True)
        return stored

    def _store(self, local: Path, digest: str, suffix: str, transfer: Callable[[Path, Path], object]) -> str:
        stored = f"{self.folder}/{digest[:2]}/{digest}{suffix}"
        if self.store.exists(stored):
            pass
        elif self.store.is_local:  # whole or not at all under its final name, also from another disk
            target = Path(self.store.uri(stored))
            target.parent.mkdir(parents=True, exist_ok=True)
            staged = target.parent / f".tmp-{uuid.uuid4().hex}"
            transfer(local, staged)
            staged.replace(target)
        else:
            self.store.fs.put_file(str(local), self.store.uri(stored))
        failpoint("landing.bytes_stored")
        return stored

    # -- what is to be read

    def effective(self, *, upto: int | None = None, slices: Iterable[str] | None = None) -> list[DataRef]:
        """The objects that make up the source's data, as seen at log entry `upto`, in order of arrival.

        snapshot: of each path (or whole set of pages) the newest, and the corrections that were replayed for it;
        append: every object.
        """
        wanted = None if slices is None else set(slices)
        wholes: dict[str, list[tuple[int, LandedObject]]] = {}
        kept: list[tuple[int, LandedObject]] = []
        replays: list[tuple[int, LandedObject]] = []
        for entry in in_effect(e for e in self.entries() if upto is None or e.sequence <= upto):
            arrived: dict[str, list[tuple[int, LandedObject]]] = {}
            for item in entry.objects:
                if item.replay_of is not None:
                    replays.append((entry.sequence, item))
                elif entry.mode == "snapshot":
                    arrived.setdefault(item.whole, []).append((entry.sequence, item))
                else:
                    kept.append((entry.sequence, item))
            wholes.update(arrived)
        current = kept + [pair for whole in wholes.values() for pair in whole]
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


def _why_not(current: list[LandingEntry], mine: list[LandingEntry], consumed: int) -> str:
    """Why entries must stay; '' if they need not."""
    first = mine[0].sequence
    others = [e for e in current if e.sequence > first and e not in mine and e.window is None and e.cursor_after]
    if not all(entry.repeatable for entry in mine):
        return "the source does not give it again"
    if any(entry.sequence <= consumed for entry in mine):
        return f"a table has taken in what landed up to entry {consumed}"
    if others and any(entry.window is None for entry in mine):
        return f"entry {others[0].sequence} of another run has gone on from it"
    return ""
