"""The few lake files the orchestrator touches: Requests it writes, Results it reads, both small JSON; sample files.

A local lake needs nothing; a remote one needs fsspec with the protocol's library on the Airflow side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from base_ops.core.errors import Transient, missing_extra
from base_ops.core.ids import path_segment
from base_ops.core.protocol import Identity, Request, Result


def attempt_folder(lake_url: str, identity: Identity) -> str:
    """`<lake>/runs/<dag>/<run>/<task>[/<map index>]/<try>-<attempt>`, every part safe as a path segment."""
    parts = [identity.dag_id, identity.run_id, identity.task_id]
    if identity.map_index >= 0:
        parts.append(str(identity.map_index))
    parts.append(f"{identity.try_number}-{identity.attempt}")
    return "/".join([lake_url.rstrip("/"), "runs", *(path_segment(part) for part in parts)])


def is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def write_request(uri: str, request: Request) -> None:
    """Store a Request beside where its Result will be."""
    _write(uri, request.model_dump_json(indent=1).encode())


def write_if_changed(uri: str, data: bytes) -> None:
    """Store a small file, unless these very bytes are there: what reads it by its date sees no change."""
    if _read(uri) != data:
        _write(uri, data)


def read_result(uri: str) -> Result | None:
    """The Result at `uri`; None where there is none.

    Raises:
        Transient: it is there but cannot be read (cut short, another version).
    """
    raw = _read(uri)
    if raw is None:
        return None
    try:
        return Result.model_validate_json(raw)
    except ValidationError as error:
        raise Transient(
            "A Result cannot be read",
            code="unreadable_result",
            where=uri,
            expected="a complete Result of protocol version 1",
            found=f"{len(raw)} bytes, {error.error_count()} faults",
            todo="retry; if it stays, compare the versions of the worker image and of base_ops in Airflow",
        ) from None


def find_results(runs_url: str) -> list[str]:
    """URIs of all Results under a `runs` folder, sorted."""
    if is_local(runs_url):
        return sorted(str(path) for path in _local(runs_url).rglob("result.json"))
    fs, protocol = _remote(runs_url)
    return sorted(f"{protocol}://{path}" for path in fs.find(runs_url) if path.endswith("/result.json"))


def _read(uri: str) -> bytes | None:
    try:
        return _local(uri).read_bytes() if is_local(uri) else bytes(_remote(uri)[0].cat_file(uri))
    except FileNotFoundError:
        return None


def _write(uri: str, data: bytes) -> None:
    if not is_local(uri):
        _remote(uri)[0].pipe_file(uri, data)
        return
    path = _local(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def _remote(uri: str) -> tuple[Any, str]:
    protocol = uri.split("://", 1)[0]
    try:
        import fsspec

        return fsspec.filesystem(protocol, use_listings_cache=False), protocol
    except ImportError:
        raise missing_extra(protocol, protocol, f"a lake on {protocol}://") from None
