"""A source as a whole: exactly one protocol, and what all sources have."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from base_ops.core.errors import did_you_mean
from base_ops.core.spec import Spec, is_template
from base_ops.data_ingestion.options.agreements import AgreementSpec
from base_ops.data_ingestion.options.authentication import AnyTemplate
from base_ops.data_ingestion.options.connections import ConnectionOptions
from base_ops.data_ingestion.options.fitting import connector_of_path, misfit
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.data_ingestion.options.sources.base import ConnectionName, ProtocolSpec
from base_ops.data_ingestion.options.sources.databases import CassandraSpec, InfluxSpec, MongoSpec, RedisSpec, SqlSpec
from base_ops.data_ingestion.options.sources.files import FilesSpec
from base_ops.data_ingestion.options.sources.streams import (
    RECEIVED,
    ActivemqSpec,
    KafkaSpec,
    KinesisSpec,
    PubsubSpec,
    RabbitmqSpec,
    StreamSpec,
)
from base_ops.data_ingestion.options.sources.web import GraphqlSpec, HttpSpec, SoapSpec, SseSpec, WebsocketSpec

_CAPTURE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


PROTOCOLS = (
    "files",
    "http",
    "graphql",
    "soap",
    "sse",
    "websocket",
    "sql",
    "mongo",
    "cassandra",
    "redis",
    "influx",
    "kafka",
    "rabbitmq",
    "activemq",
    "kinesis",
    "pubsub",
)
"""The blocks of a source, of which it has exactly one."""


class SourceSpec(Spec):
    """One feed: where it comes from, how its bytes are read, and which part of the dataset they fill."""

    id: str
    """Name of the source; its folder in the landing zone."""
    title: str = ""
    """One line for people."""
    agreement: AgreementSpec = Field(default_factory=AgreementSpec)
    """What was agreed on: priority, service levels, schedule, retention, purpose."""
    connection: ConnectionName | None = None
    """Name of the Airflow connection with host and credentials."""
    authentication: AnyTemplate | None = None
    """How the connection's credentials are used: `{template: oauth2_client_credentials, token_url: …}` takes a template
    of authentication-templates.yaml and changes what is said beside it."""
    connecting: ConnectionOptions = Field(default_factory=ConnectionOptions)
    """Pool, time-outs, tries, and the circuit breaker all runs share."""
    files: FilesSpec | None = None
    http: HttpSpec | None = None
    graphql: GraphqlSpec | None = None
    soap: SoapSpec | None = None
    sse: SseSpec | None = None
    websocket: WebsocketSpec | None = None
    sql: SqlSpec | None = None
    mongo: MongoSpec | None = None
    cassandra: CassandraSpec | None = None
    redis: RedisSpec | None = None
    influx: InfluxSpec | None = None
    kafka: KafkaSpec | None = None
    rabbitmq: RabbitmqSpec | None = None
    activemq: ActivemqSpec | None = None
    kinesis: KinesisSpec | None = None
    pubsub: PubsubSpec | None = None
    mode: Literal["snapshot", "append"] = "snapshot"
    """snapshot: a newer object of the same name replaces the older one; append: all objects count."""
    slice: str = "all"
    """Which part of the dataset an object fills, from captures, e.g. {symbol}; only touched slices are worked on. A
    stream's captures are the {date}, {hour} and {minute} of receipt, UTC: a slice holds as much as one part may take
    long to be compared with, and keys are unique within it."""
    read: ReadSpec = Field(default_factory=ReadSpec)
    add: dict[str, str] = Field(default_factory=dict)
    """Columns to add to each row, from captures, e.g. symbol: '{symbol}'."""
    max_object_bytes: int = Field(10 << 30, ge=1)
    """A larger object is refused, bytes."""

    @model_validator(mode="after")
    def _one_protocol(self) -> SourceSpec:
        given = [name for name in PROTOCOLS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(given)}" if given else ""
            raise ValueError(f"a source has exactly one of: {', '.join(PROTOCOLS)}{found}")
        if (needed := self.block.needs_mode) not in (None, self.mode):
            why = "fetches only what is new behind a cursor" if needed == "append" else "replaces what it reads again"
            raise ValueError(f"{given[0]} {why}, which needs mode: {needed}")
        return self

    @model_validator(mode="after")
    def _template_fits(self) -> SourceSpec:
        connector = self.connector
        if self.authentication is not None and not (self.files and is_template(self.files.path)):
            if (wrong := misfit(self.authentication, connector)) is not None:
                raise ValueError(f"authentication: {wrong}")
        elif self.authentication is None and self.connecting.resolved().mutual_tls:
            raise ValueError("connecting: mutual TLS needs authentication that says how, e.g. {template: mutual_tls}")
        return self

    @property
    def connector(self) -> str:
        """The connector it needs, by its protocol, or by the scheme of its path."""
        if self.files is not None:
            return connector_of_path(self.files.path)
        return (self.sql.database or "sql") if self.sql is not None else self.protocol

    @property
    def protocol(self) -> str:
        """Name of its protocol block."""
        return next(name for name in PROTOCOLS if getattr(self, name) is not None)

    @property
    def block(self) -> ProtocolSpec:
        """Its protocol block."""
        block: ProtocolSpec = getattr(self, self.protocol)
        return block

    @model_validator(mode="after")
    def _known_captures(self) -> SourceSpec:
        path = self.files.path if self.files else ""
        if is_template(path) or is_template(self.slice):
            return self
        received = RECEIVED if isinstance(self.block, StreamSpec) else ()
        known = [*_CAPTURE.findall(path), *(self.http.each if self.http else ()), *received]
        for name in _CAPTURE.findall(self.slice):
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"slice names {{{name}}}, which files.path does not capture. {hint}")
        return self
