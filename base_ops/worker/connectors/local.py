"""Files in local folders: walked without following links out of the folder, copied only when whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from base_ops.core.errors import ConfigError
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, save
from base_ops.worker.connectors.files import REASONS, Changed, Listed, wanted
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.lake.landing import History

_CHUNK = 1 << 20
_SETTLED_S = 2.0  # coarser than the time stamps of any file system in use


class LocalFiles:
    """Fetches files that match a pattern below a local folder."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.report = Report()
        path = site.files.path.removeprefix("file://")
        self.pattern = PathPattern.parse(path + "/" if Path(path).is_dir() else path)
        self.base = Path(self.pattern.base or ".").absolute()

    def fetch(self, history: History, keep: Keep) -> Report:
        if not self.base.is_dir():
            raise ConfigError(
                f"source {self.site.source.id}: the folder {self.base} does not exist",
                code="no_such_folder",
                where="source.files.path",
                todo="correct the path or create the folder",
            )
        for file, captures in wanted(self._walk(self.base, ""), self.pattern, self.site, history, self.report):
            try:
                keep(self._read(file, captures))
            except Changed:
                self.report.note("changed_while_read", REASONS["changed_while_read"], file.path)
        return self.report

    def _walk(self, folder: Path, prefix: str) -> Iterator[Listed]:
        """Regular files below a folder, by name. Links to folders are not followed; nor are links to the outside."""
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), path + "/")
                continue
            target = Path(entry.path)
            if entry.is_symlink():
                target = target.resolve()
                if not target.is_file() or not target.is_relative_to(self.base.resolve()):
                    self.report.note(
                        "link_refused", "a link to a folder or out of the source's folder, not taken", _text(path)
                    )
                    continue
            try:
                facts = target.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(facts.st_mode):
                yield self._listed(path, target, facts)

    def _listed(self, path: str, target: Path, facts: os.stat_result) -> Listed:
        """`modified` holds both change times (the second cannot be set by a program), once they have settled."""
        settled = self.site.clock.now().timestamp() - max(facts.st_mtime, facts.st_ctime) > _SETTLED_S
        return Listed(
            path=_text(path),
            address=str(target),
            size=facts.st_size,
            changed=facts.st_ctime,
            modified=f"{facts.st_mtime_ns}-{facts.st_ctime_ns}" if settled else None,
            inode=facts.st_ino,
        )

    def _read(self, file: Listed, captures: dict[str, str]) -> Fetched:
        """Copy a file.

        Raises:
            Changed: it is not the listed one any more, or was written to meanwhile.
        """
        try:
            handle = os.open(file.address, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            raise _unreadable(self.site, file.path) from None
        except OSError:  # gone, or a link now
            raise Changed from None
        with os.fdopen(handle, "rb", buffering=0) as source:
            before = os.fstat(handle)
            if before.st_ino != file.inode or not stat.S_ISREG(before.st_mode):
                raise Changed
            local, digest, size = save(iter(lambda: source.read(_CHUNK), b""), self.site, file.path)
            after = os.fstat(handle)
        if size != file.size or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            local.unlink()
            raise Changed
        return Fetched(file.path, local, digest, size, captures, modified=file.modified)


CONNECTOR = LocalFiles


def _text(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are shown as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unreadable(site: Site, path: str) -> ConfigError:
    return ConfigError(
        f"source {site.source.id}: the file {path!r} may not be read",
        code="unreadable_file",
        where="source.files.path",
        todo="give the worker's user read permission",
    )
