"""Which of the listed files are taken, and which are passed over and why: the same for all connectors of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from base_ops.worker.connectors.base import Report, Site, check_size
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.lake.landing import History

_TEMPORARY = (".tmp", ".part", ".partial", ".filepart")


@dataclass(frozen=True)
class Listed:
    """One file as listed. `path` is relative to the pattern's base; `address` is what opens it."""

    path: str
    address: str
    size: int
    changed: float
    """Time of the last change, POSIX seconds."""
    etag: str | None = None
    modified: str | None = None
    inode: int = 0

    @property
    def version(self) -> tuple[int, float, str | None]:
        """What differs between two versions of a file."""
        return self.size, self.changed, self.etag


def wanted(
    files: Iterable[Listed], pattern: PathPattern, site: Site, history: History, report: Report, stable_s: float
) -> Iterator[tuple[Listed, dict[str, str]]]:
    """The files that must be read, each with its captures.

    Passed over: what does not match; hidden, temporary, empty and unstable files (with a finding); files whose
    validators are those of the object that arrived last under their name (counted as unchanged; mode full reads them).

    Raises:
        BadInput: a file above `max_object_bytes`.
    """
    now, every = site.clock.now().timestamp(), site.mode == "full"
    for file in files:
        captures, passed = _captures(file.path, pattern)
        if captures is None:
            continue
        if passed:
            report.note(passed, REASONS[passed], file.path)
        elif file.size == 0:
            report.note("empty_file", REASONS["empty_file"], file.path)
        elif now - file.changed < stable_s:
            report.note("unstable_file", REASONS["unstable_file"], file.path)
        elif not every and _is_known(file, history):
            report.count(unchanged=1)
        else:
            check_size(file.size, site, file.path)
            yield file, captures


REASONS = {
    "hidden_file": "hidden, not taken",
    "temporary_file": "still being written by its name, not taken",
    "empty_file": "empty, not taken",
    "unstable_file": "changed less than stable_s ago, left for the next run",
    "changed_while_read": "changed or gone while it was read, left for the next run",
}


def _captures(path: str, pattern: PathPattern) -> tuple[dict[str, str] | None, str]:
    """(captures or None, why it is passed over); `x.csv.part` is judged by the name it will have."""
    if any(part.startswith(".") for part in path.split("/")):
        folder, _, name = path.rpartition("/")
        shown = f"{folder}/{name.lstrip('.')}" if folder else name.lstrip(".")
        return pattern.match(path) or pattern.match(shown), "hidden_file"
    for suffix in _TEMPORARY:
        if path.lower().endswith(suffix):
            found = pattern.match(path)
            return found if found is not None else pattern.match(path[: -len(suffix)]), "temporary_file"
    return pattern.match(path), ""


def _is_known(file: Listed, history: History) -> bool:
    """Same validators as the newest object of that name. A file that offers none is always read."""
    newest = history.newest(file.path)
    if newest is None or (file.etag is None and file.modified is None):
        return False
    return (newest.bytes, newest.etag, newest.modified) == (file.size, file.etag, file.modified)


def shown(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are shown as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
