"""Files in local folders: walked without following links out of the folder, copied only when whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from base_ops.core.errors import ConfigError
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Changed, Folders
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import Listed, shown

_CHUNK = 1 << 20


class LocalFiles(Folders):
    """Fetches files that match a pattern below a local folder, one after the other."""

    downloads = 1

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.base = Path(self.pattern.base or ".").absolute()

    def parse(self, path: str) -> PathPattern:
        path = path.removeprefix("file://")
        return PathPattern.parse(path + "/" if Path(path).is_dir() else path)

    def listed(self) -> Iterator[Listed]:
        if not self.base.is_dir():
            raise ConfigError(
                f"source {self.site.source.id}: the folder {self.base} does not exist",
                code="no_such_folder",
                where="source.files.path",
                todo="correct the path or create the folder",
            )
        return super().listed()

    def entries(self, folder: str) -> Iterator[Listed | str]:
        """Regular files of a folder. Links to folders are not followed; nor are links to the outside."""
        with os.scandir(self.base / folder) as entries:
            for entry in entries:
                path = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield path
                elif (file := self._file(path, entry)) is not None:
                    yield file

    def _file(self, path: str, entry: os.DirEntry[str]) -> Listed | None:
        target = Path(entry.path)
        if entry.is_symlink():
            target = target.resolve()
            if not target.is_file() or not target.is_relative_to(self.base.resolve()):
                self.report.note(
                    "link_refused", "a link to a folder or out of the source's folder, not taken", shown(path)
                )
                return None
        try:
            facts = target.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        return self._listed(path, target, facts) if stat.S_ISREG(facts.st_mode) else None

    def _listed(self, path: str, target: Path, facts: os.stat_result) -> Listed:
        """`modified` holds both change times; the second cannot be set by a program."""
        newest = max(facts.st_mtime, facts.st_ctime)
        return Listed(
            path=shown(path),
            address=str(target),
            size=facts.st_size,
            changed=facts.st_ctime,
            modified=self.settled(newest, f"{facts.st_mtime_ns}-{facts.st_ctime_ns}"),
            inode=facts.st_ino,
        )

    def read(self, file: Listed, start: int) -> Iterator[bytes]:
        """Raises Changed also where the file was written to meanwhile."""
        try:
            handle = os.open(file.address, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            raise _unreadable(self.site, file.path) from None
        except OSError:  # gone, or a link now
            raise Changed from None
        with os.fdopen(handle, "rb", buffering=0) as source:
            before = os.fstat(handle)
            if before.st_ino != file.inode or before.st_size != file.size or not stat.S_ISREG(before.st_mode):
                raise Changed
            source.seek(start)
            while chunk := source.read(_CHUNK):
                yield chunk
            after = os.fstat(handle)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise Changed


CONNECTOR = LocalFiles


def _unreadable(site: Site, path: str) -> ConfigError:
    return ConfigError(
        f"source {site.source.id}: the file {path!r} may not be read",
        code="unreadable_file",
        where="source.files.path",
        todo="give the worker's user read permission",
    )
