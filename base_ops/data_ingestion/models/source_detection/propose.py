"""From what a source seems to be to a draft of its YAML, for a person to correct; nothing secret is taken over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from base_ops.data_ingestion.models.source_detection.classes import SCHEMES
from base_ops.data_ingestion.models.source_detection.clues import Clues

_SECRET = re.compile(r"key|token|secret|pass|sig|auth|credential", re.IGNORECASE)
_RECORDS = ("data", "results", "items", "records", "observations", "value", "rows")
_NEXT = ("next", "next_page", "next_cursor", "@odata.nextLink")
_FORMATS = {
    "csv_file": "csv", "json_file": "json", "jsonl_file": "ndjson", "xml_file": "xml", "parquet_file": "parquet",
    "avro_file": "avro", "orc_file": "orc", "pdf_file": "pdf", "rss_feed": "xml",
}  # fmt: skip
_ENGINES = ("postgresql", "mysql", "oracle", "sqlserver", "sqlite")
_SERVERS = {"sftp": "sftp", "ftp": "ftp", "hdfs": "hdfs", "s3": "s3", "azure_blob": "abfs", "gcs": "gs"}
_FILL = "CHANGE_ME"


@dataclass(frozen=True)
class Proposal:
    """A draft and what its author has to see to."""

    source: dict[str, Any] | None
    """As in sources/<id>.yaml; None where base_ops has no connector for the kind."""
    notes: tuple[str, ...] = ()


def propose(kind: str, clues: Clues, source_id: str) -> Proposal:
    """A draft of a source of this kind (one of CLASSES)."""
    notes: list[str] = []
    if kind == "ldap":
        return Proposal(None, ("directories are asked for logins (template openldap, active_directory), not for data",))
    here = not clues.host
    block = (
        {"files": {"path": clues.url.removeprefix("file://")}} if _is_local(kind, here) else _block(kind, clues, notes)
    )
    draft: dict[str, Any] = {"id": source_id, "title": f"{source_id} feed"}
    if not _is_local(kind, here):
        draft["connection"] = re.sub(r"[^a-z0-9_]", "_", source_id.lower())
        notes.insert(0, _connection(clues, draft["connection"]))
    draft |= block
    (protocol,) = block
    if protocol in ("kafka", "kinesis", "pubsub", "rabbitmq", "activemq", "sse", "websocket", "redis"):
        draft["mode"] = "append"
    if kind in _FORMATS and "{" not in clues.extension:
        draft["read"] = {"format": _FORMATS[kind]}
    if _FILL in json.dumps(block):
        notes.append(f"replace {_FILL}: it cannot be told from an address")
    return Proposal(draft, tuple(notes))


def _is_local(kind: str, here: bool) -> bool:
    return here and (kind == "local_dir" or kind.endswith("_file") or kind == "archive")


def _block(kind: str, clues: Clues, notes: list[str]) -> dict[str, Any]:
    if kind in _ENGINES:
        return {"sql": {"database": kind, "table": _FILL}}
    if kind in _SERVERS:
        return {"files": {"path": _server_path(kind, clues)}}
    last = clues.parts.path.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or _FILL
    simple: dict[str, Callable[[], dict[str, Any]]] = {
        "mongodb": lambda: {"mongo": {"collection": _FILL}},
        "cassandra": lambda: {"cassandra": {"table": _FILL}},
        "redis": lambda: {"redis": {"key": _FILL}},
        "influxdb": lambda: {"influx": {"query": f'from(bucket: "{_FILL}") |> range(start: -1d)'}},
        "kafka": lambda: {"kafka": {"topics": [last]}},
        "rabbitmq": lambda: {"rabbitmq": {"queues": [_FILL]}},
        "activemq": lambda: {"activemq": {"queue": last}},
        "kinesis": lambda: {"kinesis": {"stream": clues.url.rsplit("/", 1)[-1] if "stream/" in clues.url else last}},
        "pubsub": lambda: {"pubsub": {"subscription": _subscription(clues)}},
    }
    return simple[kind]() if kind in simple else _web(kind, clues, notes)


def _web(kind: str, clues: Clues, notes: list[str]) -> dict[str, Any]:
    block: dict[str, Any] = {"path": clues.parts.path or "/"}
    query = dict(parse_qsl(clues.parts.query))
    if secret := sorted(name for name in query if _SECRET.search(name)):
        notes.append(f"left out of params, it belongs into the connection: {', '.join(secret)}")
    if params := {name: value for name, value in query.items() if name not in secret}:
        block["params"] = params
    match kind:
        case "graphql":
            return {"graphql": {**block, "query": "query { __typename }"}}
        case "soap":
            return {"soap": {"path": block["path"], "action": f"urn:{_FILL}", "body": f"<{_FILL}/>"}}
        case "sse" | "websocket":
            return {kind: block}
        case "odata":
            return {
                "http": {**block, "paging": {"style": "cursor", "next_path": "@odata.nextLink"}, "records": "value"}
            }
        case "google_sheets":
            key = re.search(r"/d/([\w-]+)", clues.parts.path)
            path = f"/spreadsheets/d/{key[1] if key else _FILL}/export"
            return {"http": {"path": path, "params": {"format": "csv"}}}
        case "rest_api":
            return {"http": {**block, **_pages(clues)}}
    return {"http": block}


def _pages(clues: Clues) -> dict[str, Any]:
    """How the answer hands out records and pages, as far as the sample shows."""
    try:
        body = json.loads(clues.sample)
    except ValueError:
        body = None
    found: dict[str, Any] = {}
    if isinstance(body, dict):
        lists = [name for name in body if isinstance(body[name], list)]
        if records := next((name for name in (*_RECORDS, *lists) if name in lists), None):
            found["records"] = records
        if following := next((name for name in _NEXT if name in body), None):
            found["paging"] = {"style": "cursor", "next_path": following}
    if "link" in clues.headers:
        found["paging"] = {"style": "link"}
    return found


def _server_path(kind: str, clues: Clues) -> str:
    """In the form the connectors know; hosts of file servers are the connection's."""
    path = clues.parts.path.lstrip("/")
    if kind in ("sftp", "ftp", "hdfs"):
        return f"{_SERVERS[kind]}:///{path}"
    if clues.scheme not in SCHEMES["http"]:
        container = clues.parts.netloc.split("@")[0]
    elif kind == "azure_blob" or clues.host.startswith(("s3.", "s3-", "storage.", "minio")):
        container, _, path = path.partition("/")
    else:
        container = re.split(r"\.(?:s3|storage)[.\-]", clues.host)[0]
    return f"{_SERVERS[kind]}://{container or _FILL}/{path}"


def _subscription(clues: Clues) -> str:
    named = re.search(r"projects/[^/]+/subscriptions/[^/?]+", clues.url)
    return named[0] if named else f"projects/{_FILL}/subscriptions/{_FILL}"


def _connection(clues: Clues, name: str) -> str:
    """What the connection should say; a password in the address is not repeated."""
    host = clues.host.rsplit(":", 1)[0] if clues.port and "," not in clues.host else clues.host
    port = f", port {clues.port}" if clues.port and "," not in clues.host else ""
    given = ", and the login and password of the address" if "@" in clues.parts.netloc else ""
    return f"define the connection {name}: host {host or _FILL}{port}{given}"
