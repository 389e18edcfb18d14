"""Web protocols: what all have in common, REST, GraphQL, SOAP, server-sent events, WebSocket."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, model_validator

from base_ops.core.spec import Spec, is_template
from base_ops.data_ingestion.options.sources.base import Params, ProtocolSpec, Series
from base_ops.data_ingestion.options.sources.streams import StreamSpec


class RateSpec(Spec):
    """How often a peer may be asked, by all tasks together that use one connection."""

    requests: int = Field(100, ge=1)
    """At most this many …"""
    per_s: float = Field(60.0, gt=0)
    """… in this time, seconds."""
    burst: int | None = Field(None, ge=1)
    """A token bucket of this size, filled with requests / per_s: short bursts may pass the rate. Default: none may, any
    `per_s` seconds see at most `requests`."""


def _without_query(address: str) -> str:
    parts = urlsplit("" if is_template(address) else address)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("expected is a path or URL without credentials, query (see params) and fragment")
    return address


Endpoint = Annotated[str, AfterValidator(_without_query)]


class WebSpec(ProtocolSpec):
    """What all sources over HTTP have in common; host and credentials come from the connection."""

    path: Endpoint
    """Path below the connection's host, e.g. /v1/quotes; or a full URL without credentials and query."""
    params: Params = Field(default_factory=dict)
    """Query parameters."""
    auth: Literal["none", "bearer", "basic", "api_key"] = "none"
    """How the connection's password is sent; bearer is the Authorization header."""
    api_key_header: str = "X-API-Key"
    """Header of auth=api_key."""
    rate: RateSpec | None = RateSpec(burst=200)
    """How often the peer may be asked: its own limit. Default: 100 a minute, bursts of 200; null: no limit."""
    timeout_s: float = Field(30.0, gt=0)
    """Of connecting and of each read, seconds."""
    tries: int = Field(4, ge=1, le=10)
    """Attempts per request; Retry-After is honoured."""
    backoff_s: float = Field(1.0, ge=0)
    """First wait between attempts, doubled each time, at most 30 s."""
    max_retry_after_s: float = Field(120.0, ge=0)
    """A longer Retry-After ends the job as transient, seconds."""


class PagingSpec(Spec):
    """How a REST API hands out pages."""

    style: Literal["none", "page", "offset", "cursor", "link"] = "none"
    param: str | None = None
    """Query parameter of the page number, offset or cursor; default: page, offset, cursor."""
    size_param: str | None = None
    """Query parameter of the page size, if the API has one."""
    size: int = Field(1000, ge=1)
    """Records per page asked for; page and offset end at an empty page, since an API may hand out fewer."""
    next_path: str = "next"
    """cursor: path of the next cursor, or of the next page's URL, in the body; null or absent ends."""
    first: int = 1
    """page: number of the first page."""
    max_pages: int = Field(100_000, ge=1)
    """More pages than this is an error, not a cut."""


class HttpSpec(WebSpec):
    """A REST endpoint; host and credentials come from the connection."""

    each: Series = Field(default_factory=dict)
    """Ask once for each value of these query parameters (each combination of several), e.g. symbol: [EURUSD, …]. The
    values become captures of what is landed."""
    connections: int = Field(10, ge=1, le=1000)
    """each: so many are asked for at once."""
    paging: PagingSpec = Field(default_factory=PagingSpec)
    records: str | None = None
    """Path of the list of records in each page's body; default: the body itself."""
    cursor_field: str | None = None
    """Incremental: field of a record whose greatest value is the cursor."""
    cursor_param: str | None = None
    """Incremental: query parameter that asks for records after the cursor."""
    window_params: tuple[str, str] | None = None
    """Backfill: query parameters of window start and end (ISO 8601)."""

    @model_validator(mode="after")
    def _cursor_both_ways(self) -> HttpSpec:
        if (self.cursor_field is None) != (self.cursor_param is None):
            raise ValueError("cursor_field (what is remembered) and cursor_param (what is sent) go together")
        if self.each and self.cursor_field is not None:
            raise ValueError("one cursor cannot hold for several series: each and cursor_field exclude each other")
        return self

    @property
    def moves_cursor(self) -> bool:
        return self.cursor_field is not None

    @property
    def takes_window(self) -> bool:
        return self.window_params is not None


class GraphqlSpec(WebSpec):
    """A GraphQL query; a connection (Relay's cursor connections) in it is read page by page."""

    path: Endpoint = "/graphql"
    query: str
    """The query, e.g. query($after: String) { trades(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage
    endCursor } } }."""
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    """Values of its variables."""
    connection: str | None = None
    """Path of the connection with pageInfo, e.g. data.trades; default: one page."""
    after: str = "after"
    """Name of the variable that takes endCursor."""
    resume: bool = False
    """Incremental: go on after the endCursor of the run before; needs `connection`, and mode: append."""
    partial: Literal["refuse", "keep"] = "refuse"
    """An answer with data and errors: refuse it, or land it with a finding."""
    max_pages: int = Field(100_000, ge=1)
    """More pages than this is an error, not a cut."""

    @model_validator(mode="after")
    def _pages_need_a_variable(self) -> GraphqlSpec:
        if self.connection is not None and f"${self.after}" not in self.query:
            raise ValueError(f"a connection is read page by page, but the query does not use ${self.after}")
        if self.resume and self.connection is None:
            raise ValueError("resume goes on after an endCursor, which needs connection")
        return self

    @property
    def moves_cursor(self) -> bool:
        return self.resume


class SoapSpec(WebSpec):
    """A SOAP call; its answer's envelope is landed as received."""

    action: str
    """SOAPAction, e.g. urn:quotes/GetQuotes."""
    body: str
    """Content of the envelope's Body: XML that declares its own namespaces."""
    version: Literal["1.1", "1.2"] = "1.1"
    security: Literal["none", "username_digest", "username_text"] = "none"
    """WS-Security UsernameToken of the connection's login and password; username_text over https only."""


class SseSpec(StreamSpec, WebSpec):
    """Server-sent events (text/event-stream), resumed by Last-Event-ID."""

    idle_s: float = Field(10.0, gt=0)
    """A run ends when nothing has come for this long, seconds."""
    max_message_bytes: int = Field(1 << 20, ge=1)
    """A longer event ends the run as bad input."""

    @property
    def moves_cursor(self) -> bool:
        return True


class WebsocketSpec(StreamSpec, WebSpec):
    """Messages of a WebSocket. What is sent while nobody listens is lost; `sequence` tells."""

    subscribe: tuple[JsonValue, ...] = ()
    """Messages to send once connected, in order: texts as they are, others as JSON."""
    ping_s: float = Field(20.0, gt=0)
    """The peer is pinged this often, and taken as gone when a ping is not answered for as long, seconds."""
    idle_s: float = Field(10.0, gt=0)
    """A run ends when no message has come for this long, seconds."""
    max_message_bytes: int = Field(1 << 20, ge=1)
    """A longer message ends the run as bad input."""
    sequence: str | None = None
    """Path of a whole number in each JSON message that counts them: what came before is dropped, a gap is told."""

    @property
    def moves_cursor(self) -> bool:
        return self.sequence is not None
