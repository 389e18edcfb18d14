"""Lake and Work: how a piece of work becomes visible, exactly once.

    staging/<dataset>/<commit key>/<attempt>/part-*      what one attempt wrote; invisible
    staging/<dataset>/<commit key>/_manifest.json        create-if-absent: the first attempt to publish wins

A second attempt, a zombie or a repeated run finds the manifest and adopts it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from base_ops.core.ids import check_name
from base_ops.core.protocol import ColumnLineage, DataRef, Document, StepResult, check_balance
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.store import Store, sha256_of

MANIFEST = "_manifest.json"


class FileEntry(Document):
    """One published file; `path` is relative to the manifest's folder."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(Document):
    """What a commit key stands for: its files, and the account of the work that made them."""

    commit_key: str
    dataset: str
    attempt: str
    files: list[FileEntry]
    outputs: list[DataRef]
    steps: list[StepResult]
    inputs: list[str]
    columns: list[ColumnLineage] = Field(default_factory=list)


@dataclass
class Work:
    """One attempt at one piece of work. Write files with `scratch_file` + `add`, then `publish` once."""

    store: Store
    dataset: str
    commit_key: str
    attempt: str
    scratch: Path
    published: Manifest | None = None
    files: list[FileEntry] = field(default_factory=list)

    @property
    def folder(self) -> str:
        return f"staging/{self.dataset}/{self.commit_key}"

    def scratch_file(self, name: str) -> Path:
        """A local path to write a file at, before `add` moves it into the attempt's folder."""
        return self.scratch / name

    def add(self, local: Path, *, rows: int | None = None) -> FileEntry:
        """Hash a finished scratch file and move it into the attempt's folder (still invisible)."""
        size = local.stat().st_size
        entry = FileEntry(path=f"{self.attempt}/{local.name}", bytes=size, sha256=sha256_of(local), rows=rows)
        failpoint("work.add.before_put")
        self.store.put(local, f"{self.folder}/{entry.path}")
        failpoint("work.add.after_put")
        self.files.append(entry)
        return entry

    def uri(self, entry: FileEntry) -> str:
        return self.store.uri(f"{self.folder}/{entry.path}")

    def publish(
        self,
        outputs: list[DataRef],
        steps: list[StepResult],
        inputs: list[str],
        columns: list[ColumnLineage] | None = None,
    ) -> Manifest:
        """Make this attempt the one everybody sees, or adopt the attempt that was first."""
        check_balance(steps)
        manifest = Manifest(
            commit_key=self.commit_key,
            dataset=self.dataset,
            attempt=self.attempt,
            files=self.files,
            outputs=outputs,
            steps=steps,
            inputs=sorted(inputs),
            columns=columns or [],
        )
        failpoint("work.publish.before")
        won = self.store.create_json(f"{self.folder}/{MANIFEST}", manifest.model_dump(mode="json"))
        failpoint("work.publish.after")
        if not won:
            self.store.remove_tree(f"{self.folder}/{self.attempt}")
            manifest = Manifest.model_validate(self.store.read_json(f"{self.folder}/{MANIFEST}"))
        self.published = manifest
        return manifest


class Lake:
    """The lake as a job sees it."""

    def __init__(self, url: str, attempt: str) -> None:
        self.store = Store(url)
        self.attempt = attempt

    def manifest(self, dataset: str, commit_key: str) -> Manifest | None:
        """The published manifest of a commit key, if there is one."""
        found = self.store.try_read_json(f"staging/{dataset}/{commit_key}/{MANIFEST}")
        return None if found is None else Manifest.model_validate(found)

    @contextmanager
    def work(self, dataset: str, commit_key: str) -> Iterator[Work]:
        """Begin an attempt. Look at `.published` first: if it is set, there is nothing to do but adopt it."""
        for part in dataset.split("/"):
            check_name(part, "dataset")
        published = self.manifest(dataset, commit_key)
        with tempfile.TemporaryDirectory(prefix="base-ops-", dir=self._scratch_root()) as scratch:
            yield Work(self.store, dataset, commit_key, self.attempt, Path(scratch), published)

    def _scratch_root(self) -> str | None:
        """Beside a local lake, so that a finished file moves by rename; the system's folder otherwise."""
        if not self.store.is_local:
            return None
        root = Path(self.store.url) / ".scratch"
        root.mkdir(parents=True, exist_ok=True)
        return str(root)
