"""Store: the few object-store operations everything else is built on, over fsspec URLs.

The one that matters is `create`: it succeeds for exactly one caller (S3 conditional put; a hard link on a
local folder). A store that ignores the condition is refused at start-up.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from base_ops.core.errors import ConfigError, Transient, missing_extra
from base_ops.worker.failpoints import failpoint

_CHUNK = 8 << 20


class Store:
    """Files under one root URL; all paths are relative to it and use `/`."""

    def __init__(self, url: str) -> None:
        """Raises: ConfigError where the URL's protocol has no library installed."""
        self.is_local = "://" not in url or url.startswith("file://")
        self.url = str(Path(url.removeprefix("file://")).absolute()) if self.is_local else url.rstrip("/")
        self._fs: Any = None

    @property
    def fs(self) -> Any:
        """The fsspec file system, made on first use (a local store never needs it)."""
        if self._fs is None:
            import fsspec

            protocol = self.url.split("://", 1)[0]
            try:
                self._fs = fsspec.filesystem(protocol, use_listings_cache=False, **_options(protocol))
            except ImportError:
                raise missing_extra(protocol, protocol, f"a lake on {protocol}://") from None
        return self._fs

    def uri(self, path: str) -> str:
        return f"{self.url}/{path}"

    def path_of(self, uri: str) -> str:
        """The path inside this store of one of its URIs."""
        prefix = self.url + "/"
        if not uri.startswith(prefix):
            raise ConfigError(f"{uri} is not inside the lake", code="outside_lake", expected=f"a URI under {self.url}")
        return uri[len(prefix) :]

    # -- reading

    def exists(self, path: str) -> bool:
        return Path(self.uri(path)).exists() if self.is_local else bool(self.fs.exists(self.uri(path)))

    def open(self, path: str) -> BinaryIO:
        """A readable, seekable binary file."""
        if self.is_local:
            return Path(self.uri(path)).open("rb")
        return self.fs.open(self.uri(path), "rb")  # type: ignore[no-any-return]

    def read_bytes(self, path: str) -> bytes:
        if self.is_local:
            return Path(self.uri(path)).read_bytes()
        return bytes(self.fs.cat_file(self.uri(path)))

    def read_json(self, path: str) -> Any:
        return json.loads(self.read_bytes(path))

    def try_read_json(self, path: str) -> Any | None:
        try:
            return self.read_json(path)
        except FileNotFoundError:
            return None

    def list(self, path: str) -> list[str]:
        """Paths of the files right under a folder (no recursion), sorted; [] where there is none."""
        if self.is_local:
            folder = Path(self.uri(path))
            if not folder.is_dir():
                return []
            return sorted(
                f"{path}/{e.name}" for e in os.scandir(folder) if e.is_file() and not e.name.startswith(".tmp-")
            )
        try:
            found = self.fs.ls(self.uri(path), detail=True)
        except FileNotFoundError:
            return []
        root = self.url.split("://", 1)[1]
        return sorted(f["name"].removeprefix(root + "/") for f in found if f["type"] == "file")

    def folders(self, path: str) -> list[str]:
        """Names of the folders right under a folder, sorted."""
        if self.is_local:
            folder = Path(self.uri(path))
            return sorted(e.name for e in os.scandir(folder) if e.is_dir()) if folder.is_dir() else []
        try:
            found = self.fs.ls(self.uri(path), detail=True)
        except FileNotFoundError:
            return []
        return sorted(f["name"].rstrip("/").rsplit("/", 1)[1] for f in found if f["type"] == "directory")

    # -- writing

    def create(self, path: str, data: bytes) -> bool:
        """Create a file if it is absent. Of any number of callers exactly one gets True."""
        if self.is_local:
            return self._create_local(Path(self.uri(path)), data)
        try:
            self.fs.pipe_file(self.uri(path), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if "ConditionalRequestConflict" in str(error):  # S3: another put of the key is under way
                raise Transient(f"{path} is being written by another attempt", code="create_conflict") from None
            raise
        return True

    def create_json(self, path: str, value: Any) -> bool:
        return self.create(path, json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode())

    def _create_local(self, target: Path, data: bytes) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".tmp-{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            failpoint("store.create.before_link")
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            return True
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, path: str, data: bytes) -> None:
        """Write a file that only its writer names (attempt folders, results); replaces atomically."""
        if self.is_local:
            target = Path(self.uri(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".tmp-{uuid.uuid4().hex}"
            temporary.write_bytes(data)
            temporary.replace(target)
        else:
            self.fs.pipe_file(self.uri(path), data)

    def put(self, local: Path, path: str) -> None:
        """Move a finished local file into the store (a rename where it is on the same disk)."""
        if self.is_local:
            target = Path(self.uri(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(local, target)
        else:
            self.fs.put_file(str(local), self.uri(path))
            local.unlink()

    def remove_tree(self, path: str) -> None:
        """Delete a folder that no manifest names (left-overs of attempts)."""
        if self.is_local:
            shutil.rmtree(self.uri(path), ignore_errors=True)
        elif self.fs.exists(self.uri(path)):
            self.fs.rm(self.uri(path), recursive=True)

    @contextmanager
    def as_local(self, path: str, scratch: Path) -> Iterator[Path]:
        """A local path with the file's bytes: the file itself, or a copy in `scratch` for the time being."""
        if self.is_local:
            yield Path(self.uri(path))
            return
        copy = scratch / f"{uuid.uuid4().hex}-{path.rsplit('/', 1)[-1]}"
        self.fs.get_file(self.uri(path), str(copy))
        try:
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def check_conditional_create(self) -> None:
        """Refuse a store where two creates of one path both succeed.

        Raises:
            ConfigError: the store ignores the condition; two attempts could both publish.
        """
        if self.is_local:
            return
        probe = f"_probe/{uuid.uuid4().hex}"
        try:
            if self.create(probe, b"1") and self.create(probe, b"2"):
                raise ConfigError(
                    f"The object store of {self.url} ignores 'If-None-Match: *' on put",
                    code="no_conditional_put",
                    todo="use a store with conditional puts; without them two attempts can both publish",
                )
        finally:
            self.fs.rm_file(self.uri(probe))


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _options(protocol: str) -> dict[str, Any]:
    """Client options. s3fs itself reads the standard AWS_* variables, AWS_ENDPOINT_URL among them."""
    return {"config_kwargs": {"retries": {"max_attempts": 5, "mode": "standard"}}} if protocol in ("s3", "s3a") else {}
