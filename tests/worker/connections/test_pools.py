"""Several endpoints of one connection: which is asked, and what happens when one is gone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.collecting import Reply, StillClock, serving
from fakes.databases import free_port

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.pools import BalancedTransport, Balancer, Endpoint
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo


def fetch(tmp_path: Path, endpoints: list[Any], balancing: str) -> None:
    """Twelve requests, one after the other."""
    extra = {"scheme": "http", "endpoints": endpoints}
    found = ConnectionInfo(
        "c", host="127.0.0.1", port=1, scheme="http", login="me", password="secret-of-mine", extra=extra
    )
    source = SourceSpec.model_validate(
        {
            "id": "s",
            "connection": "c",
            "authentication": fill_template({"template": "basic"}),
            "connecting": {"settings": {"balancing": balancing, "tries": 1}},
            "http": {"path": "/", "each": {"n": [str(n) for n in range(12)]}, "connections": 1, "rate": None},
        }
    )
    open_connector(Site(source, tmp_path, found, clock=StillClock())).fetch(History(), lambda _: None)


SHARES = {"round_robin": [6, 6], "least_connections": [12, 0], "weighted": [9, 3]}
"""One request at a time: nobody ever has fewer connections than the first."""


@pytest.mark.parametrize("balancing", SHARES)
def test_requests_are_shared(balancing: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(lambda _: Reply(body=b"[]"))) for _ in range(2)]
        urls = [f"http://127.0.0.1:{server.port}" for server in servers]
        fetch(tmp_path, [{"url": urls[0], "weight": 3}, {"url": urls[1], "weight": 1}], balancing)
        assert [len(server.asked) for server in servers] == SHARES[balancing]
        assert all(asked.headers["authorization"].startswith("Basic ") for server in servers for asked in server.asked)


@pytest.mark.parametrize("balancing", SHARES)
def test_one_that_is_gone_is_passed_over(balancing: str, tmp_path: Path) -> None:
    with serving(lambda _: Reply(body=b"[]")) as server:
        fetch(tmp_path, [f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{server.port}"], balancing)
        assert len(server.asked) == 12


def test_a_request_is_under_way_until_its_body_was_read() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(lambda _: Reply(body=b"[]"))) for _ in range(2)]
        ends = [Endpoint(httpx.URL(f"http://127.0.0.1:{server.port}")) for server in servers]
        transport = BalancedTransport(httpx.HTTPTransport(), Balancer(ends, "least_connections"))
        client = stack.enter_context(httpx.Client(transport=transport))
        with client.stream("GET", "http://peer/1"), client.stream("GET", "http://peer/2"):
            assert [end.active for end in ends] == [1, 1]
            assert [len(server.asked) for server in servers] == [1, 1]
        client.get("http://peer/3")
        assert [end.active for end in ends] == [0, 0]


@pytest.mark.parametrize("endpoint", ["https://other.example", "nowhere", {"url": "http://h", "weight": 0}])
def test_what_is_no_endpoint_is_refused(endpoint: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="endpoints of the connection"):
        fetch(tmp_path, [endpoint], "round_robin")
