"""REST sources over HTTP: pages as received, incremental by cursor, or by window for backfills."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from urllib.parse import urlencode, urlsplit

from pydantic import JsonValue

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Finding
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, all_at_once
from base_ops.worker.connectors.cursor import Watermark
from base_ops.worker.connectors.web.body import Answer
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.connectors.web.paging import Ask, Page, Pager, dig, read_page
from base_ops.worker.lake.landing import History


class HttpSource:
    """Fetches all pages of one endpoint. Each page is one object; the collector logs them in one entry.

    Names: `/v1/quotes` (one resource), `/v1/quotes?symbol=X` (one of `each`), `/v1/quotes/page-00001` (a snapshot of
    several pages, which replaces the earlier one as a whole), `/v1/quotes#<cursor before, or window>/page-00001`.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.http = site, site.http
        self.report = Report()
        self.name = urlsplit(self.http.path).path
        self.paged = self.http.paging.style != "none"
        if site.mode == "window" and (site.window is None or self.http.window_params is None):
            raise ConfigError(
                f"source {site.source.id}: there is no window to collect",
                code="no_window",
                where="source.http.window_params",
                expected="http.window_params in the source and a run with a data interval",
            )

    def fetch(self, history: History, keep: Keep) -> Report:
        before = history.cursor if self.site.mode == "incremental" else None
        marks, marker = Watermark(self.site.clock.now()), self._marker(before)

        def fetch_series(labels: dict[str, str]) -> None:
            name = self.name + _shown(labels) + marker
            for page, answer in self._pages(web, {**self._params(before), **labels}, history, name):
                if page.records is not None and self.http.cursor_field:
                    marks.take(dig(record, self.http.cursor_field) for record in page.records)
                if answer.bytes and page.records != []:
                    keep(self._fetched(page, answer, name, labels))
                else:
                    answer.local.unlink()

        with Web(self.site, self.report, self.http.connections) as web:
            all_at_once(fetch_series, self._series(), web.connections)
        self._move_cursor(marks, history.cursor)
        return self.report

    def _series(self) -> list[dict[str, str]]:
        """What is asked for: all combinations of `each`; without it, one."""
        return [dict(zip(self.http.each, values, strict=True)) for values in product(*self.http.each.values())]

    def probe(self) -> str:
        """What the endpoint answers, without its body."""
        with Web(self.site, self.report) as web:
            return web.probe()

    def _pages(self, web: Web, params: dict[str, str], history: History, name: str) -> Iterator[tuple[Page, Answer]]:
        where = f"source {self.site.source.id}, GET {self.name}"
        pager = Pager(self.http.paging, Ask(web.endpoint, params), where)
        ask: Ask | None = pager.first
        needs_json = self.http.cursor_field is not None or self.http.paging.style in ("page", "offset", "cursor")
        number = 0
        while ask is not None:
            number += 1
            newest = None if self.paged or self.site.mode == "full" else history.newest(name)
            answer = web.get(ask, newest)
            if answer is None:
                self.report.count(unchanged=1)
                return
            self.report.count(pages=1)
            body, records = None, None
            if needs_json and answer.bytes:
                body, records = read_page(answer.local, self.http.records, number, where)
            page = Page(number, Ask(answer.url, ask.params), answer.sha256, body, records, answer.link)
            ask = pager.following(page)
            yield page, answer

    def _params(self, before: JsonValue) -> dict[str, str]:
        params = dict(self.http.params)
        if self.site.mode == "window" and self.http.window_params and self.site.window:
            params |= dict(zip(self.http.window_params, self.site.window, strict=True))
        elif before is not None and self.http.cursor_param:
            params[self.http.cursor_param] = str(before)
        return params

    def _marker(self, before: JsonValue) -> str:
        """What tells one fetch of the endpoint from another, so that the same fetch gives the same names."""
        if self.site.mode == "window" and self.site.window:
            return "#{}--{}".format(*self.site.window)
        if self.http.cursor_field is None:
            return ""
        return "#full" if self.site.mode == "full" else f"#{'start' if before is None else before}"

    def _fetched(self, page: Page, answer: Answer, whole: str, labels: dict[str, str]) -> Fetched:
        return Fetched(
            path=f"{whole}/page-{page.number:05d}" if self.paged else whole,
            local=answer.local,
            sha256=answer.sha256,
            bytes=answer.bytes,
            labels=labels | ({"page": str(page.number)} if self.paged else {}),
            etag=answer.etag,
            modified=answer.modified,
            part_of=whole if self.paged else None,
        )

    def _move_cursor(self, marks: Watermark, before: JsonValue) -> None:
        if self.http.cursor_field is None or self.site.mode == "window":
            return
        self.report.cursor_after = marks.after(before)
        if marks.ignored:
            self.report.findings.append(
                Finding(
                    code="cursor_values_ignored",
                    severity="warning",
                    message=f"{marks.ignored} values of {self.http.cursor_field!r} are of another kind than the cursor "
                    "or more than an hour in the future: they were landed, but do not move the cursor",
                    data={"values": marks.ignored},
                )
            )


CONNECTOR = HttpSource


def _shown(labels: dict[str, str]) -> str:
    return f"?{urlencode(labels)}" if labels else ""
