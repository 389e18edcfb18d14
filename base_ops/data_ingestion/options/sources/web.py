"""Web protocols beside REST: GraphQL, SOAP, server-sent events, WebSocket."""

from __future__ import annotations

from base_ops.data_ingestion.options.sources.base import ProtocolSpec
from base_ops.data_ingestion.options.sources.streams import StreamSpec


class GraphqlSpec(ProtocolSpec):
    """A GraphQL query."""

    path: str = "/graphql"
    query: str


class SoapSpec(ProtocolSpec):
    """A SOAP call."""

    path: str
    action: str
    body: str


class SseSpec(StreamSpec):
    """Server-sent events."""

    path: str


class WebsocketSpec(StreamSpec):
    """Messages of a WebSocket."""

    path: str
