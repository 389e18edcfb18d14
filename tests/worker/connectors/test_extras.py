"""What is not installed is told with the extra that installs it, by every connector."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock, context

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker import connectors
from base_ops.worker.connectors import known_protocols, open_connector
from base_ops.worker.connectors.base import Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

SOURCES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    # what is asked for: its extra, modules of it, and how a source names it
    "postgresql": ("postgres", ["adbc_driver_manager", "adbc_driver_postgresql"], {"sql": {"table": "t"}}),
    "mysql": ("mysql", ["pymysql"], {"sql": {"table": "t"}}),
    "oracle": ("oracle", ["oracledb"], {"sql": {"table": "t"}}),
    "sqlserver": ("sqlserver", ["pytds"], {"sql": {"table": "t"}}),
    "mongo": ("mongo", ["pymongo"], {"mongo": {"collection": "c"}}),
    "cassandra": ("cassandra", ["cassandra", "cassandra.cluster"], {"cassandra": {"table": "t"}}),
    "redis": ("redis", ["redis"], {"redis": {"key": "k"}}),
    "kafka": ("kafka", ["confluent_kafka", "orjson"], {"kafka": {"topics": ["t"]}}),
    "rabbitmq": ("rabbitmq", ["pika", "orjson"], {"rabbitmq": {"queues": ["q"]}}),
    "activemq": ("activemq", ["stomp", "orjson"], {"activemq": {"queue": "q"}}),
    "kinesis": ("kinesis", ["boto3", "orjson"], {"kinesis": {"stream": "s"}}),
    "pubsub": ("pubsub", ["google.pubsub_v1", "orjson"], {"pubsub": {"subscription": "projects/p/subscriptions/s"}}),
    "websocket": ("websocket", ["websockets.sync.client", "orjson"], {"websocket": {"path": "/w"}}),
    "sse": ("sse", ["orjson"], {"sse": {"path": "/e"}}),
    "sftp": ("sftp", ["asyncssh"], {"files": {"path": "sftp:///d/*"}}),
    "s3": ("s3", ["s3fs"], {"files": {"path": "s3://b/*"}}),
    "gs": ("gs", ["gcsfs"], {"files": {"path": "gs://b/*"}}),
    "abfs": ("abfs", ["azure.storage.blob", "azure.identity"], {"files": {"path": "abfs://b/*"}}),
    "hdfs": ("hdfs", ["requests"], {"files": {"path": "hdfs:///b/*"}}),
    "soap": ("worker", ["lxml.etree"], {"soap": {"path": "/s", "action": "a", "body": "<a/>"}}),
}
NEED_NO_MORE = {"local", "ftp", "http", "graphql", "influx", "sql"}
"""The standard library, what every worker has, and the door to the databases above."""
EXTRAS = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize(("name", "module"), [(name, m) for name, (_, found, _) in SOURCES.items() for m in found])
def test_a_missing_library_names_its_extra(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra, _, block = SOURCES[name]
    mode = "append" if set(block) & {"redis", "kafka", "rabbitmq", "activemq", "kinesis", "pubsub", "websocket", "sse"} else "snapshot"  # fmt: skip
    if "sql" in block:
        block = {"sql": {**block["sql"], "database": name}}
    source = SourceSpec.model_validate({"id": "s", "connection": "c", "mode": mode, **block})
    password = "" if module == "azure.identity" else "p"
    facts = {"sslmode": "disable", "tls": False, "region_name": "us-east-1", "no_host_key_check": True}
    found = ConnectionInfo("c", host="127.0.0.1", port=1, login="me", password=password, schema="db", extra=facts)
    site = Site(source, tmp_path, found, clock=StillClock(), landing=context(tmp_path).landing("s"))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as raised:
        open_connector(site).fetch(History(), lambda fetched: None)
    assert raised.value.code == "missing_extra"
    assert raised.value.todo == f"pip install 'base-ops[{extra}]'"
    assert extra in EXTRAS


def test_no_connector_is_left_out() -> None:
    assert {*SOURCES, *NEED_NO_MORE} == {*known_protocols(), "postgresql", "mysql", "oracle", "sqlserver"}


def test_the_page_of_sources_lists_every_connector_with_its_extra() -> None:
    """As docs/sources.md has it."""
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    table = page[page.index("| connector |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    told = {name: extra for name, _, extra, _ in rows}
    databases = {"postgresql", "mysql", "oracle", "sqlserver", "sqlite"}
    assert told.keys() == {*known_protocols(), *databases} - {"sql"}
    assert told == {name: SOURCES[name][0] if name in SOURCES else "worker" for name in told}
    simulated = {name for name, *_, against in rows if "simulated" in against}
    modules = Path(connectors.__file__).parent
    for name in told:
        folder = modules / "databases" if name in databases else modules
        said = (folder / f"{name}.py").read_text().split('"""')[1].replace("\n", " ")
        assert ("a simulated" in said and "moto" not in said) == (name in simulated), name
