"""Opening things to read: a landed object, a staged part, a file; each becomes Members with a Reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.ids import fingerprint
from base_ops.core.protocol import DataRef, Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Reader
from base_ops.worker.engine.unit import OBJECT, Input, Member
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import open_reader
from base_ops.worker.formats.wrappers import open_object
from base_ops.worker.lake.store import Store, sha256_of

_ROWS_PER_BATCH = 1 << 19


def landed_input(ref: DataRef, store: Store, read: ReadSpec, add: dict[str, str]) -> Input:
    """A landed object as a unit of work; an archive has several members."""

    def members(stack: ExitStack, scratch: Path) -> Iterator[Member]:
        local = stack.enter_context(store.as_local(store.path_of(ref.uri), scratch))
        return _members(local, ref.name.rsplit("/", 1)[-1], ref.uri, read)

    return Input(ref, members, add, read.model_dump(mode="json"))


def file_input(uri: str, read: ReadSpec | None = None, add: dict[str, str] | None = None) -> Input:
    """A file by path or URI, outside the lake."""
    folder, _, name = uri.rpartition("/")
    store = Store(folder or ("/" if uri.startswith("/") else "."))
    if not store.exists(name):
        raise BadInput(f"There is no file {uri}", code="file_not_found", where=uri, todo="check the path")
    size = Path(store.uri(name)).stat().st_size if store.is_local else int(store.fs.size(store.uri(name)))
    ref = DataRef(id=fingerprint("file", uri), kind="file", uri=store.uri(name), name=name, bytes=size)

    def members(stack: ExitStack, scratch: Path) -> Iterator[Member]:
        local = stack.enter_context(store.as_local(name, scratch))
        _hash_meanwhile(local, ref, stack)
        return _members(local, name, ref.uri, read or ReadSpec())

    return Input(ref, members, add or {})


def _hash_meanwhile(local: Path, ref: DataRef, stack: ExitStack) -> None:
    """Hash the input beside the reading of it (hashing releases the GIL); done when the stack is left."""

    def work() -> None:
        ref.sha256 = ref.id = sha256_of(local)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    stack.callback(thread.join)


def _members(local: Path, name: str, uri: str, read: ReadSpec) -> Iterator[Member]:
    """One Member per file inside the object; nothing is opened before it is asked for."""
    sources: list[ByteSource] = list(open_object(local, name, read))
    if not sources:
        raise BadInput(f"{name} is an archive without files", code="empty_object", where=uri)
    for source in sources:
        reader = open_reader(source, read)
        yield Member(reader, uri if len(sources) == 1 else f"{uri}!{source.name}")


def staged_member(ref: DataRef, store: Store, stack: ExitStack, scratch: Path) -> Member:
    """A staged part: its pointers count lines of the object it was made of, where there is one."""
    local = stack.enter_context(store.as_local(store.path_of(ref.uri), scratch))
    return Member(StagedReader(local), ref.labels.get(OBJECT, ref.uri))


class StagedReader(Reader):
    """Reads a Parquet part that this project wrote; its pointers are kept, or made (record numbers from 1)."""

    def __init__(self, path: Path) -> None:
        self._lazy = pl.scan_parquet(path, glob=False)
        schema = self._lazy.collect_schema()
        self._has_pointer = POINTER in schema
        self.schema = pl.Schema({name: dtype for name, dtype in schema.items() if name != POINTER})
        self.findings: list[Finding] = []

    def batches(self) -> Iterator[Batch]:
        rows = self._lazy.select(pl.len()).collect(engine="in-memory").item()
        for start in range(0, rows, _ROWS_PER_BATCH):
            frame = self._lazy.slice(start, _ROWS_PER_BATCH).collect(engine="in-memory")
            if not self._has_pointer:
                frame = frame.with_columns(
                    pl.int_range(start + 1, start + 1 + frame.height, dtype=pl.Int64).alias(POINTER)
                )
            yield Batch(frame[[*self.schema, POINTER]])
