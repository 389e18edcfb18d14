"""GraphQL: one query, or all pages of a connection in it (Relay's cursor connections), each answer as received.

An answer with errors is told apart: refused credentials, a query that the server does not accept, a server that
cannot answer now; data beside errors is refused, or landed with a finding (`partial: keep`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.web import GraphqlSpec
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site
from base_ops.worker.connectors.web.body import Answer
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.connectors.web.paging import Ask, bad_page, dig, read_json
from base_ops.worker.lake.landing import History

_DENIED = {"UNAUTHENTICATED": "unauthorized", "FORBIDDEN": "forbidden", "UNAUTHORIZED": "unauthorized"}
_LATER = {"INTERNAL_SERVER_ERROR", "RATE_LIMITED", "RATELIMITED", "THROTTLED", "TIMEOUT", "SERVICE_UNAVAILABLE"}
_BODY_OF_ERRORS = frozenset({400, 422, 500})
_SHOWN = 160


class GraphqlSource:
    """Fetches the answers to a query; each page is one object, the collector logs them in one entry."""

    def __init__(self, site: Site) -> None:
        self.site, self.report = site, Report()
        assert site.source.graphql is not None
        self.spec: GraphqlSpec = site.source.graphql
        self.name = urlsplit(self.spec.path).path
        self.where = f"source {site.source.id}, POST {self.name}"

    def probe(self) -> str:
        """Asks the server for its own type name: the smallest query there is."""
        with Web(self.site, self.report) as web:
            answer = web.get(self._ask(web, {}, "{ __typename }"))
            assert answer is not None
            answer.local.unlink()
        return "answers GraphQL"

    def fetch(self, history: History, keep: Keep) -> Report:
        before = history.cursor if self.spec.resume and self.site.mode == "incremental" else None
        start = before.get("after") if isinstance(before, dict) else None
        marker = f"#{start or 'start'}" if self.spec.resume else ""
        whole, after = self.name + marker, start
        with Web(self.site, self.report) as web:
            for number, (answer, body) in enumerate(self._pages(web, start), 1):
                info = self._info(body, number)
                if self.spec.resume and self._is_empty(body):
                    answer.local.unlink()
                else:
                    keep(self._fetched(answer, whole, number))
                after = info.get("endCursor") or after
        if self.spec.resume and after is not None:
            self.report.cursor_after = {"after": after}
        return self.report

    def _pages(self, web: Web, start: JsonValue) -> Iterator[tuple[Answer, Any]]:
        after, seen, number = start, {start}, 0
        while True:
            number += 1
            answer = web.get(self._ask(web, {self.spec.after: after} if self.spec.connection else {}))
            assert answer is not None
            self.report.count(pages=1)
            body = read_json(answer.local, number, self.where)
            yield answer, body
            info = self._info(body, number)
            if info.get("hasNextPage") is not True:
                return
            after = info.get("endCursor")
            if not isinstance(after, str) or not after:
                raise bad_page(self.where, number, "endCursor, since hasNextPage is true", type(after).__name__)
            if after in seen or number >= self.spec.max_pages:
                raise BadInput(
                    "The API's pages do not come to an end",
                    code="paging_loop",
                    where=self.where,
                    found=f"page {number} leads back" if after in seen else f"more than {number} pages",
                )
            seen.add(after)

    def _ask(self, web: Web, more: dict[str, JsonValue], query: str | None = None) -> Ask:
        asked = {"query": query or self.spec.query, "variables": {} if query else {**self.spec.variables, **more}}
        headers = {"Content-Type": "application/json", "Accept": "application/graphql-response+json, application/json"}
        return Ask(
            web.endpoint,
            self.spec.params,
            content=json.dumps(asked).encode,
            headers=headers,
            accepted=_BODY_OF_ERRORS,
            check=self._check,
        )

    def _check(self, local: Path, status: int) -> None:
        """Raises what the answer's errors mean (GraphQL specification, October 2021, §7.1)."""
        try:
            body = read_json(local, 1, self.where)
        except BadInput:
            if status >= 400:
                raise self._error(f"HTTP {status}", "", status) from None
            raise
        if not isinstance(body, dict) or ("data" not in body and "errors" not in body):
            raise bad_page(self.where, 1, "an object with data or errors", type(body).__name__)
        errors = body.get("errors") or []
        if not errors:
            return
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        code = str(dig(first, "extensions.code") or "")
        found = f"{code} {str(first.get('message', ''))[:_SHOWN]}".strip()
        if body.get("data") is None or code in _DENIED:
            raise self._error(found, code, status)
        if self.spec.partial == "refuse":
            raise BadInput(
                "The answer holds errors beside data",
                code="partial_data",
                where=self.where,
                found=found,
                todo="ask the API's owner, or set graphql.partial: keep to land what there is",
            )
        message = f"{len(errors)} errors beside data, e.g. {found}"
        self.report.findings.append(Finding(code="partial_data", severity="warning", message=message))

    def _error(self, found: str, code: str, status: int) -> BaseOpsError:
        if code in _DENIED:
            return Denied("The server refused", code=_DENIED[code], where=self.where, found=found)
        if code in _LATER or status >= 500:
            return Transient("The server cannot answer now", code="server_error", where=self.where, found=found)
        return ConfigError(
            "The server does not accept the query",
            code="bad_query",
            where=self.where,
            found=found,
            todo="check graphql.query and graphql.variables",
        )

    def _info(self, body: Any, number: int) -> dict[str, Any]:
        if self.spec.connection is None:
            return {}
        info = dig(body, f"{self.spec.connection}.pageInfo")
        if not isinstance(info, dict):
            raise bad_page(self.where, number, f"pageInfo at {self.spec.connection}", type(info).__name__)
        if not isinstance(more := info.get("hasNextPage"), bool):  # else a query that forgets it gets one page
            raise bad_page(self.where, number, "hasNextPage in pageInfo, true or false", type(more).__name__)
        return info

    def _is_empty(self, body: Any) -> bool:
        """Only where the page says so: under other names (aliases) there may be something."""
        found = dig(body, str(self.spec.connection))
        lists = [found[name] for name in ("nodes", "edges") if name in found]
        return lists != [] and not any(lists)

    def _fetched(self, answer: Answer, whole: str, number: int) -> Fetched:
        paged = self.spec.connection is not None
        return Fetched(
            path=f"{whole}/page-{number:05d}.json" if paged else f"{whole}.json",
            local=answer.local,
            sha256=answer.sha256,
            bytes=answer.bytes,
            labels={"page": str(number)} if paged else {},
            part_of=whole if paged else None,
        )


CONNECTOR = GraphqlSource
