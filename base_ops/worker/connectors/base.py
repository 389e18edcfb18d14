"""What a connector is: it fetches what may be new, whole and hashed, and hands each object on."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from pydantic import JsonValue

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.files import FilesSpec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.options.sources.web import HttpSpec, WebSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.connectors.cursor import Rank, rank
from base_ops.worker.lake.landing import History, Landing
from base_ops.worker.secrets import ConnectionInfo

if TYPE_CHECKING:
    from base_ops.worker.breaker import Breaker
    from base_ops.worker.connections.credentials import Keyring

_SUFFIX = re.compile(r"(?:\.[A-Za-z][A-Za-z0-9]{0,7}){1,2}$")
_NAMED = 5
_TIMED = 10_000
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """All that a connector is told: where to fetch, how, and where to put it."""

    source: SourceSpec
    scratch: Path
    connection: ConnectionInfo | None = None
    mode: Literal["full", "incremental", "window"] = "incremental"
    window: tuple[str, str] | None = None
    clock: Clock = field(default_factory=Clock)
    env: str = "dev"
    landing: Landing | None = None
    """The source's landing zone, for connectors that keep notes of their own beside the log."""
    breaker: Breaker | None = None
    """Guards the calls to the peer; its state is shared by all runs."""
    keyring: Keyring | None = None
    """Where tokens are kept."""

    @property
    def web(self) -> WebSpec:
        """The block of a source that is reached over HTTP."""
        return cast(WebSpec, self.source.block)

    @property
    def http(self) -> HttpSpec:
        """The source's HTTP block; only the HTTP connector asks."""
        return cast(HttpSpec, self.source.http)

    @property
    def files(self) -> FilesSpec:
        """The source's files block; only connectors of files ask."""
        return cast(FilesSpec, self.source.files)


@dataclass(frozen=True)
class Fetched:
    """One object, complete on scratch."""

    path: str
    local: Path
    sha256: str
    bytes: int
    labels: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    modified: str | None = None
    part_of: str | None = None
    dead: dict[str, int] | None = None
    """These are not data but dead letters of a stream: messages by the rule that refused them."""

    @property
    def suffix(self) -> str:
        """`.csv.gz` of the source's own name, where it is harmless: a hint for people; content decides."""
        match = _SUFFIX.search(self.path.rsplit("/", 1)[-1])
        return match[0].lower() if match else ""


Keep = Callable[[Fetched], None]


@dataclass
class Report:
    """The account of one collect; threads may write to it."""

    unchanged: int = 0
    pages: int = 0
    requests: int = 0
    retries: int = 0
    times: list[float] = field(default_factory=list)
    """Seconds that answered requests took, the first 10,000 of them."""
    cursor_after: JsonValue = None
    rank: Rank = rank
    """How the source orders its cursors; see `cursor.furthest`."""
    findings: list[Finding] = field(default_factory=list)
    acknowledge: Callable[[], None] | None = None
    """Called once what was fetched is in the landing log: tells the peer that it need not send it again."""
    _notes: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, **by: int) -> None:
        """Add to the counters named."""
        with self._lock:
            for name, number in by.items():
                setattr(self, name, getattr(self, name) + number)

    def took(self, seconds: float) -> None:
        """One answered request."""
        with self._lock:
            if len(self.times) < _TIMED:
                self.times.append(seconds)

    def note(self, code: str, message: str, name: str) -> None:
        """One object that was passed over; objects of one code make one finding."""
        with self._lock:
            self._notes.setdefault(code, (message, []))[1].append(name)

    def all_findings(self) -> list[Finding]:
        """The findings, one per code, with a count and the first names."""
        noted = [
            Finding(
                code=code,
                severity="warning",
                message=f"{len(names)} × {message}: {', '.join(repr(n) for n in sorted(names)[:_NAMED])}"
                + (", …" if len(names) > _NAMED else ""),
                data={"objects": len(names)},
            )
            for code, (message, names) in sorted(self._notes.items())
        ]
        return self.findings + noted


class Connector(Protocol):
    """One way to reach a source. Made with a Site, used once.

    A connector may also offer `probe() -> str`: look at what there is to fetch, without fetching it, and say so in a
    few words (`base-ops sources check`, data_ingestion.connector).
    """

    def fetch(self, history: History, keep: Keep) -> Report:
        """Hand every object that may be new to `keep`, from any thread, only once it is complete.

        Raises:
            BadInput, Transient, ConfigError, Denied: naming source and object, never a credential.
        """
        ...


def all_at_once(work: Callable[[T], object], jobs: Sequence[T], workers: int) -> None:
    """Do all jobs in threads, `workers` at a time; the first failure ends all and is raised."""
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            work(job)
        return
    stop = threading.Event()

    def guarded(job: T) -> None:
        if not stop.is_set():
            work(job)

    with ThreadPoolExecutor(max(1, min(workers, len(jobs)))) as pool:
        try:
            for _ in pool.map(guarded, jobs):
                pass
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


class Part:
    """A download on scratch, hashed while it is written, that can go on after a break. Memory holds one chunk."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.local = site.scratch / uuid.uuid4().hex
        self.restart()

    def restart(self) -> None:
        """Forget what was written."""
        self.size, self._digest = 0, hashlib.sha256()
        self.local.write_bytes(b"")

    def extend(self, chunks: Iterable[bytes]) -> None:
        """Append.

        Raises:
            BadInput: more than `max_object_bytes`.
        """
        with self.local.open("ab") as file:
            for chunk in chunks:
                check_size(self.size + len(chunk), self.site, self.name)
                file.write(chunk)
                self._digest.update(chunk)
                self.size += len(chunk)
            file.flush()
            os.fsync(file.fileno())

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.local.unlink(missing_ok=True)


def save(chunks: Iterable[bytes], site: Site, name: str) -> tuple[Path, str, int]:
    """Stream chunks to a scratch file: (file, sha256, bytes).

    Raises:
        BadInput: more than `max_object_bytes`.
    """
    with Part(site, name) as part:
        part.extend(chunks)
    return part.local, part.sha256, part.size


def check_size(size: int, site: Site, name: str) -> None:
    """Refuse an object above the source's `max_object_bytes`."""
    limit = site.source.max_object_bytes
    if size > limit:
        raise BadInput(
            "An object is larger than the source allows",
            code="object_too_large",
            where=f"source {site.source.id}, object {name!r}",
            expected=f"at most {limit} bytes (source.max_object_bytes)",
            found=f"{size} bytes or more",
            todo="raise max_object_bytes if objects of this size are right",
        )
