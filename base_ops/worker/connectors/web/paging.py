"""How REST APIs hand out pages: what to ask for next, and where the records of a page are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.sources.web import PagingSpec

_MAX_JSON_BYTES = 256 << 20


@dataclass(frozen=True)
class Ask:
    """One request to make: GET, or POST where it has content."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], bytes] | None = None
    """Makes the body anew for each try."""
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: frozenset[int] = frozenset()
    """Status codes whose body is an answer though they tell of an error."""
    check: Callable[[Path, int], None] = lambda _body, _status: None
    """Looks at the body and status of an answer; what it raises counts as the request's failure."""

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        return self.url, tuple(sorted(self.params.items()))


@dataclass(frozen=True)
class Page:
    """One answer: its number from 1, the bytes on scratch and, where paging needs it, the JSON in them."""

    number: int
    ask: Ask
    sha256: str
    body: Any = None
    records: list[Any] | None = None
    link: str | None = None
    """URL of the Link header with rel=next (RFC 8288)."""


class Pager:
    """Decides, page by page, what to ask for next; an API that leads in circles is refused."""

    def __init__(self, spec: PagingSpec, first: Ask, where: str) -> None:
        self.spec, self.where = spec, where
        size = {spec.size_param: str(spec.size)} if spec.size_param else {}
        start = {"page": str(spec.first), "offset": "0"}.get(spec.style)
        self.first = replace(first, params={**first.params, **size, **({self._param: start} if start else {})})
        self._taken = 0
        self._seen = {self.first.identity}
        self._bodies: set[str] = set()

    @property
    def _param(self) -> str:
        return self.spec.param or self.spec.style

    def following(self, page: Page) -> Ask | None:
        """The request after this page, or None at the end.

        Raises:
            BadInput: `paging_loop` where the same page is asked for or handed out twice or there are more than
                `max_pages`; `bad_page` where the body does not say what comes next.
        """
        ask = self._next(page)
        if ask is None or (page.records == [] and ask.identity in self._seen):
            return None  # some APIs hand out a cursor to the last, empty page too
        if ask.identity in self._seen or (page.records and page.sha256 in self._bodies):
            raise self._loop(f"page {page.number} leads back to an earlier one")
        if page.number >= self.spec.max_pages:
            raise self._loop(f"more than {self.spec.max_pages} pages (paging.max_pages)")
        self._seen.add(ask.identity)
        self._bodies.add(page.sha256)
        return ask

    def _next(self, page: Page) -> Ask | None:
        style = self.spec.style
        if style == "link":
            return Ask(urljoin(page.ask.url, page.link)) if page.link else None
        if style == "cursor":
            return self._by_token(page)
        if style == "none" or not page.records:
            return None
        self._taken += len(page.records)
        value = self._taken if style == "offset" else self.spec.first + page.number
        return replace(self.first, params={**self.first.params, self._param: str(value)})

    def _by_token(self, page: Page) -> Ask | None:
        token = dig(page.body, self.spec.next_path) if isinstance(page.body, dict) else None
        if token is None or token == "" or token is False:
            return None
        if isinstance(token, bool) or not isinstance(token, str | int):
            raise bad_page(
                self.where, page.number, f"a text or number at {self.spec.next_path!r}", type(token).__name__
            )
        text = str(token)
        if text.startswith(("http://", "https://", "/")):
            return Ask(urljoin(page.ask.url, text))
        return replace(self.first, params={**self.first.params, self._param: text})

    def _loop(self, found: str) -> BadInput:
        return BadInput(
            "The API's pages do not come to an end",
            code="paging_loop",
            where=self.where,
            found=found,
            todo="check http.paging (style, param, next_path) against the API's documentation",
        )


def dig(body: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none; a key that has dots itself is found first."""
    if isinstance(body, dict) and path in body:
        return body[path]
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def read_page(local: Path, records: str | None, number: int, where: str) -> tuple[Any, list[Any]]:
    """(body, its records) of a JSON page.

    Raises:
        BadInput: `bad_page`, naming the page: no JSON, no list of records, or too large to hold.
    """
    body = read_json(local, number, where)
    found = body if records is None else dig(body, records)
    if isinstance(found, dict) and records is None:
        found = [found]
    if not isinstance(found, list):
        raise bad_page(where, number, f"a list of records at {records or 'the top'!r}", type(found).__name__)
    return body, found


def read_json(local: Path, number: int, where: str) -> Any:
    """The JSON of a page.

    Raises:
        BadInput: `bad_page`: no JSON, or too large to hold.
    """
    if (size := local.stat().st_size) > _MAX_JSON_BYTES:
        raise bad_page(where, number, f"at most {_MAX_JSON_BYTES} bytes of JSON", f"{size} bytes")
    try:
        return json.loads(local.read_bytes())
    except (ValueError, RecursionError) as error:
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise bad_page(where, number, "JSON", f"{type(error).__name__}{at}") from None


def bad_page(where: str, number: int, expected: str, found: str) -> BadInput:
    """A page that cannot be understood; nothing of the collect it belongs to is landed."""
    return BadInput(
        f"Page {number} cannot be read, so that nothing of this collect was landed",
        code="bad_page",
        where=f"{where}, page {number}",
        expected=expected,
        found=found,
        todo="check http.records and http.paging, or ask the source's owner",
    )
