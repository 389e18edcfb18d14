"""GraphQL sources, against graphql-core behind a real HTTP server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import Asked, Reply, Script, StillClock, collected, connect, in_turn, serving

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec

QUERY = "query($after: String, $symbol: String) { trades(first: 3, after: $after, symbol: $symbol) { nodes { id } pageInfo { hasNextPage endCursor } } }"
SCHEMA = """
type Query { trades(first: Int!, after: String, symbol: String): Trades! now: String broken: Int }
type Trades { nodes: [Trade!]! pageInfo: PageInfo! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type Trade { id: Int! }
"""


class Trades:
    """Executes queries over a growing list."""

    def __init__(self, count: int) -> None:
        from graphql import build_schema

        self.count, self.schema = count, build_schema(SCHEMA)

    def trades(self, _info: Any, first: int, after: str | None = None, symbol: str | None = None) -> dict[str, Any]:
        start = int(after.removeprefix("c")) if after else 0
        end = min(start + first, self.count)
        info = {"hasNextPage": end < self.count, "endCursor": f"c{end}" if end > start else None}
        return {"nodes": [{"id": n} for n in range(start, end)], "pageInfo": info}

    def broken(self, _info: Any) -> int:
        raise ValueError("no such thing")

    def __call__(self, asked: Asked) -> Reply:
        from graphql import graphql_sync

        body = json.loads(asked.body)
        found = graphql_sync(self.schema, body["query"], self, variable_values=body["variables"])
        return Reply(body=json.dumps(found.formatted).encode(), headers={"Content-Type": "application/json"})


def run(script: Script, home: Path, mode: str = "snapshot", **graphql: Any) -> tuple[list[Any], Any, list[Asked]]:
    with serving(script) as server:
        connect(home, "vendor", host="127.0.0.1", port=server.port, password="a-very-secret-token", extra={"scheme": "http"})  # fmt: skip
        block = {"query": "{ now }", "tries": 2, **graphql}
        output = collected(home, {"id": "s", "connection": "vendor", "mode": mode, "graphql": block}, StillClock())
        return [json.loads(Path(ref.uri).read_bytes()) for ref in output.outputs], output, server.asked


def ids(pages: list[Any]) -> list[int]:
    return [node["id"] for page in pages for node in page["data"]["trades"]["nodes"]]


def test_every_page_of_a_connection_once(tmp_path: Path) -> None:
    pages, output, asked = run(Trades(8), tmp_path, query=QUERY, connection="data.trades", variables={"symbol": "X"}, auth="bearer")  # fmt: skip
    assert ids(pages) == list(range(8))
    assert [ref.name for ref in output.outputs] == [f"/graphql/page-0000{n}.json" for n in (1, 2, 3)]
    assert [json.loads(a.body)["variables"] for a in asked] == [
        {"symbol": "X", "after": after} for after in (None, "c3", "c6")
    ]
    assert {a.headers["authorization"] for a in asked} == {"Bearer a-very-secret-token"}


def test_a_run_goes_on_after_the_one_before(tmp_path: Path) -> None:
    server = Trades(4)
    how = {"query": QUERY, "connection": "data.trades", "resume": True}
    assert ids(run(server, tmp_path, "append", **how)[0]) == [0, 1, 2, 3]
    assert run(server, tmp_path, "append", **how)[1].steps[0].observations["objects_new"] == 0
    server.count = 9
    pages, output, asked = run(server, tmp_path, "append", **how)
    assert ids(pages) == list(range(9))
    assert (json.loads(asked[0].body)["variables"]["after"], output.cursor_after) == ("c4", {"after": "c9"})


def test_records_under_another_name_are_landed(tmp_path: Path) -> None:
    query = QUERY.replace("nodes {", "items: nodes {")
    how = {"query": query, "connection": "data.trades", "resume": True}
    pages, _, _ = run(Trades(4), tmp_path, "append", **how)
    assert [item["id"] for page in pages for item in page["data"]["trades"]["items"]] == [0, 1, 2, 3]


def test_partial_data_is_refused_or_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        run(Trades(1), tmp_path, query="{ broken trades(first: 1) { nodes { id } } }")
    assert (error.value.code, "no such thing" in error.value.found) == ("partial_data", True)
    pages, output, _ = run(Trades(1), tmp_path, query="{ broken trades(first: 1) { nodes { id } } }", partial="keep")
    assert ids(pages) == [0]
    assert "partial_data" in [f.code for f in output.steps[0].findings]


def failed(code: str, status: int = 200) -> Script:
    body = {"errors": [{"message": "no", "extensions": {"code": code}}], "data": None}
    return in_turn(Reply(status, json.dumps(body).encode()))


def page(has_next: bool, cursor: Any) -> Reply:
    body = {"data": {"trades": {"nodes": [{"id": 1}], "pageInfo": {"hasNextPage": has_next, "endCursor": cursor}}}}
    return Reply(body=json.dumps(body).encode())


PAGED = {"query": QUERY, "connection": "data.trades"}
FAILURES: dict[str, tuple[Script, dict[str, Any], type[BaseOpsError], str]] = {
    "a wrong query": (Trades(1), {"query": "{ nothing }"}, ConfigError, "bad_query"),
    "no query": (Trades(1), {"query": "{"}, ConfigError, "bad_query"),
    "refused": (failed("UNAUTHENTICATED"), {}, Denied, "unauthorized"),
    "forbidden": (failed("FORBIDDEN"), {}, Denied, "forbidden"),
    "later": (failed("INTERNAL_SERVER_ERROR"), {}, Transient, "server_error"),
    "bad request": (failed("GRAPHQL_VALIDATION_FAILED", 400), {}, ConfigError, "bad_query"),
    "500 without a body": (in_turn(Reply(500, b"oops")), {}, Transient, "server_error"),
    "400 without a body": (in_turn(Reply(400, b"oops")), {}, ConfigError, "bad_query"),
    "401": (in_turn(Reply(401)), {}, Denied, "unauthorized"),
    "no JSON": (in_turn(Reply(body=b"<html>")), {}, BadInput, "bad_page"),
    "no answer": (in_turn(Reply(body=b"[]")), {}, BadInput, "bad_page"),
    "no pageInfo": (in_turn(Reply(body=b'{"data": {"trades": {}}}')), PAGED, BadInput, "bad_page"),
    "a query that forgets hasNextPage": (Trades(9), {**PAGED, "query": QUERY.replace("hasNextPage", "")}, BadInput, "bad_page"),
    "no endCursor": (in_turn(page(True, None)), PAGED, BadInput, "bad_page"),
    "pages in circles": (in_turn(page(True, "a"), page(True, "b"), page(True, "a")), PAGED, BadInput, "paging_loop"),
    "too many pages": (in_turn(*[page(True, str(n)) for n in range(9)]), {**PAGED, "max_pages": 3}, BadInput, "paging_loop"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart(case: str, tmp_path: Path) -> None:
    script, graphql, kind, code = FAILURES[case]
    with pytest.raises(kind) as error:
        run(script, tmp_path, **graphql)
    assert error.value.code == code
    assert "source s" in error.value.where
    assert not list((tmp_path / "lake" / "landing").rglob("_log/*"))


@pytest.mark.parametrize("graphql", [{"query": "{ a }", "connection": "data.a"}, {"query": "{ a }", "resume": True}])
def test_what_cannot_be_paged_is_refused(graphql: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="connection"):
        SourceSpec.model_validate({"id": "s", "mode": "append", "graphql": graphql})
