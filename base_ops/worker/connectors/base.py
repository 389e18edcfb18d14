"""What a connector is: it fetches what may be new, whole and hashed, and hands each object on."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast

from pydantic import JsonValue

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs import FilesSpec, HttpSpec, SourceSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

_SUFFIX = re.compile(r"(?:\.[A-Za-z][A-Za-z0-9]{0,7}){1,2}$")
_NAMED = 5


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
    cursor_after: JsonValue = None
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
    """One way to reach a source. Made with a Site, used once."""

    def fetch(self, history: History, keep: Keep) -> Report:
        """Hand every object that may be new to `keep`, from any thread, only once it is complete.

        Raises:
            BadInput, Transient, ConfigError, Denied: naming source and object, never a credential.
        """
        ...


def save(chunks: Iterable[bytes], site: Site, name: str) -> tuple[Path, str, int]:
    """Stream chunks to a scratch file: (file, sha256, bytes). Memory holds one chunk.

    Raises:
        BadInput: more than `max_object_bytes`.
    """
    local, digest, size = site.scratch / uuid.uuid4().hex, hashlib.sha256(), 0
    try:
        with local.open("xb") as file:
            for chunk in chunks:
                size += len(chunk)
                check_size(size, site, name)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        local.unlink(missing_ok=True)
        raise
    return local, digest.hexdigest(), size


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
