"""Specs of data_ingestion: what can be said about a source, a conversion and a merge."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from base_ops.core.errors import did_you_mean
from base_ops.core.ids import AgentId
from base_ops.core.spec import Spec, is_template, parse_spec
from base_ops.data_ingestion.options.agreements import BAD_ROWS_SHARE, AgreementSpec
from base_ops.data_ingestion.options.agreements import FormatSpecificationsFile as FormatSpecificationsFile
from base_ops.data_ingestion.options.agreements import IngestionPoliciesFile as IngestionPoliciesFile
from base_ops.data_ingestion.options.binary import AvroOptions, ParquetOptions, ProtobufOptions
from base_ops.data_ingestion.options.connections import (
    AnyTemplate,
    ConnectionOptions,
    ConnectorChecks,
)
from base_ops.data_ingestion.options.connections import (
    AuthenticationTemplatesFile as AuthenticationTemplatesFile,
)
from base_ops.data_ingestion.options.duplicates import DuplicatesSpec
from base_ops.data_ingestion.options.fitting import connector_of_path, misfit
from base_ops.data_ingestion.options.layouts import CobolOptions, FixedWidthOptions, SqlDumpOptions
from base_ops.data_ingestion.options.merging import AlignmentSpec, FieldKind, MergeChecks, ShardSpec, TimeKey
from base_ops.data_ingestion.options.messages import EmailOptions, FixOptions, SwiftMtOptions, SyslogOptions
from base_ops.data_ingestion.options.models import ModelTrainerSpec as ModelTrainerSpec
from base_ops.data_ingestion.options.office import DocumentOptions, PdfOptions, TiffOptions, WorkbookOptions
from base_ops.data_ingestion.options.retries import (
    AnalyzeFailurePatternsSpec,
    DeadLetterPolicy,
    SelectOptimalRetryStrategySpec,
)
from base_ops.data_ingestion.options.retries import RetryPoliciesFile as RetryPoliciesFile
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile as SchedulesFile
from base_ops.data_ingestion.options.scheduler import (
    DiscoverFallbackSourcesSpec,
    ForecastLoadSpec,
    Instant,
    PlanBackfillSpec,
    PlanRunsSpec,
)
from base_ops.data_ingestion.options.sources.base import Address, ConnectionName, ProtocolSpec
from base_ops.data_ingestion.options.sources.databases import CassandraSpec, InfluxSpec, MongoSpec, RedisSpec, SqlSpec
from base_ops.data_ingestion.options.sources.streams import (
    RECEIVED,
    ActivemqSpec,
    KafkaSpec,
    KinesisSpec,
    PubsubSpec,
    RabbitmqSpec,
    StreamSpec,
)
from base_ops.data_ingestion.options.sources.web import GraphqlSpec, SoapSpec, SseSpec, WebsocketSpec, WebSpec
from base_ops.data_ingestion.options.truth import TruthSpec
from base_ops.data_ingestion.options.xml import XmlOptions
from base_ops.data_ingestion.presets import with_preset

_CAPTURE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")

# -- how bytes are read, how values are typed


class ColumnSpec(Spec):
    """One column as it should come out."""

    name: str
    """Name in the output."""
    type: str | None = None
    """int64, int32, float64, decimal(p,s), string, boolean, date, time, timestamp, timestamp_utc; default: inferred."""
    format: str | None = None
    """strptime format of dates and times, e.g. %Y%m%d %H:%M; default: ISO 8601. Of numbers in delimited files: an
    example of how they are written, e.g. $1,234.56 or 12.5%."""
    required: bool = False
    """True: a row without a value here goes to quarantine."""
    source_name: str | None = None
    """Name in the source where it differs from `name`."""


class ReadSpec(Spec):
    """How the bytes of an object are to be read. Everything left out is detected from the content."""

    format: str | None = None
    """Name of a format in base_ops/worker/formats/, e.g. csv, ndjson, parquet; default: detected."""
    unknown: Literal["raw_text", "refuse"] = "raw_text"
    """An object of no known format, where neither format nor columns are declared: keep its lines as text, with a
    finding and an event raw_text; or refuse it."""
    encoding: str | None = None
    """Text encoding, e.g. utf-8, latin-1, utf-16; default: detected."""
    delimiter: str | None = None
    """One character between cells; default: detected."""
    quote: str | None = None
    """Quote character; '' for none; default: detected."""
    escape: str | None = None
    """Escape character inside quotes; default: the quote doubled."""
    header: bool | None = None
    """Whether the first record names the columns; default: detected."""
    columns: tuple[ColumnSpec, ...] | None = None
    """The columns in file order (delimited) or by name; default: all, with inferred types."""
    skip_lines: int = Field(0, ge=0)
    """Lines before the header or first record that are not data."""
    comment: str | None = None
    """Lines that begin with this are not data."""
    null_values: tuple[str, ...] = ("", "NULL", "null", "N/A", "NA", "None", "nil")
    """Unquoted cells that mean 'no value'. A quoted empty cell is an empty string, not null."""
    decimal: Literal[".", ","] | None = None
    """Decimal separator; default: detected."""
    sample_rows: int = Field(10_000, ge=1)
    """Records looked at to infer types."""
    max_record_bytes: int = Field(1 << 20, ge=64)
    """A longer record goes to quarantine unread, bytes."""
    max_columns: int = Field(5_000, ge=1)
    """A delimited object with more columns is refused."""
    max_unpacked_bytes: int = Field(10 << 30, ge=1)
    """A compressed object may unpack to at most this, bytes."""
    max_ratio: float = Field(100.0, gt=1)
    """Unpacked to packed size at most, for objects that unpack to more than 10 MiB."""
    records: str | None = None
    """JSON: path of the list of records, e.g. data.items; default: the top-level list or object."""
    nested: Literal["flatten", "keep"] = "flatten"
    """JSON: flatten nested objects to a.b columns, or keep them as structs."""
    xml: XmlOptions = Field(default_factory=XmlOptions)
    fixed_width: FixedWidthOptions | None = None
    cobol: CobolOptions | None = None
    sql_dump: SqlDumpOptions = Field(default_factory=SqlDumpOptions)
    fix: FixOptions = Field(default_factory=FixOptions)
    swift_mt: SwiftMtOptions = Field(default_factory=SwiftMtOptions)
    syslog: SyslogOptions = Field(default_factory=SyslogOptions)
    email: EmailOptions = Field(default_factory=EmailOptions)
    workbook: WorkbookOptions = Field(default_factory=WorkbookOptions)
    pdf: PdfOptions = Field(default_factory=PdfOptions)
    document: DocumentOptions = Field(default_factory=DocumentOptions)
    tiff: TiffOptions = Field(default_factory=TiffOptions)
    parquet: ParquetOptions = Field(default_factory=ParquetOptions)
    avro: AvroOptions = Field(default_factory=AvroOptions)
    protobuf: ProtobufOptions | None = None


class WriteSpec(Spec):
    """How a file is written."""

    format: Literal["parquet", "csv", "ndjson", "json", "arrow", "avro", "delta"] | None = None
    """Default: by the target's suffix."""
    compression: Literal["zstd", "snappy", "gzip", "lz4", "uncompressed"] | None = None
    """Codec of Parquet, Arrow, Avro (gzip: deflate) and Delta; default: zstd, for Avro gzip, which all readers know."""
    compression_level: int | None = 1
    """Level of zstd and gzip."""
    row_group_rows: int | None = Field(None, ge=1)
    """Rows of a Parquet row group; default: as many as polars finds best."""


# -- sources


class FilesSpec(ProtocolSpec):
    """Files under a folder, here or on a server, or a prefix of an object store."""

    path: Address
    """Local path, s3://bucket/…, gs://bucket/…, abfs://container/…, sftp:///…, ftp:///…, ftps:///… or hdfs:///… with
    `*`, `**` and captures such as {symbol} or {date}; `…/`: all below. Servers' hosts come from the connection."""
    stable_s: float = Field(0.0, ge=0)
    """A file must be unchanged for this long before it is taken, seconds; on SFTP, FTP and HDFS servers, whose times
    say little, it must be the same at two looks this far apart."""
    downloads: int = Field(5, ge=1, le=10)
    """Files fetched at once from a server."""


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

    each: dict[str, tuple[str, ...]] = Field(default_factory=dict)
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


# -- agents


class CollectDataFromSourceSpec(Spec):
    """Fetch what is new from a source into the landing zone."""

    action: Literal["collect_data_from_source"] = "collect_data_from_source"
    source: SourceSpec
    """The source to collect from."""
    mode: Literal["full", "incremental", "window"] = "incremental"
    """incremental moves the cursor; window fetches the run's data interval and never moves it."""
    window: tuple[str, str] | None = None
    """Backfill of an API with window_params: from and to (ISO 8601), which sets mode=window; two empty texts: none."""
    dataset: str | None = None
    """Table the data is for: what that table has not consumed yet is handed on, also from earlier runs."""
    reprocess: bool = False
    """Hand on everything, also what the table has consumed (after a change of rules)."""


class DiscoverFilesInDirectorySpec(Spec):
    """Look at what a source of files has, without fetching it: what is new, what is not ready yet, and how much."""

    action: Literal["discover_files_in_directory"]
    source: SourceSpec
    """The source; one of `files`."""
    max_files: int = Field(1_000, ge=1)
    """More new files than this are told as a warning: they are fetched all the same."""
    max_bytes: int = Field(100 * 10**9, ge=1)
    """More new bytes than this are told as a warning."""

    @model_validator(mode="after")
    def _has_files(self) -> DiscoverFilesInDirectorySpec:
        if self.source.files is None:
            raise ValueError(f"source {self.source.id} has no files to discover: it is one of {self.source.protocol}")
        return self


class StreamPart(Spec):
    """One agent of what is done with each part of a stream."""

    agent: str
    """Id of the agent, module.agent."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """Its spec."""


class ProcessStreamingDataSpec(Spec):
    """A stream for a bounded time, in one job: part by part it lands, is worked on and stored, and then the next."""

    action: Literal["process_streaming_data"]
    source: SourceSpec
    """The source; its own max_messages and max_seconds bound one part."""
    dataset: str
    """Table the data is for."""
    then: tuple[tuple[StreamPart, ...], ...] = Field(min_length=1)
    """Work done with each part, in order; agents in one list are one pass, as under `fuse`."""
    max_seconds: float = Field(3_300.0, gt=0)
    """No part begins later than this, seconds; what has begun is finished."""
    max_parts: int | None = Field(None, ge=1)
    """At most so many parts; default: as many as the time allows."""
    idle_parts: int | None = Field(None, ge=1)
    """End once so many parts in a row brought nothing; default: go on listening."""

    @model_validator(mode="after")
    def _parts_are_right(self) -> ProcessStreamingDataSpec:
        if self.source.block.needs_mode != "append":
            raise ValueError(f"source {self.source.id} is no stream: what it brings does not add up")
        for part in (part for stage in self.then for part in stage):
            parse_spec(AgentId.parse(part.agent), part.spec, rendered=False)
        return self


class ReconstructFromMultipleSourcesSpec(Spec):
    """Fetch what one source owes from all that have it; those that fail are passed over."""

    action: Literal["reconstruct_from_multiple_sources"]
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    """The source itself and those that may stand in, best first."""
    dataset: str | None = None
    """Table the data is for: what it has not consumed yet is handed on."""
    min_sources: int = Field(1, ge=1)
    """So many must answer, or have landed something earlier that is still to be taken in."""


class RestoreCursorSpec(Spec):
    """Take back what this run has landed of a source, so that the next run asks for it again; for runs that failed."""

    action: Literal["restore_cursor"]
    source: str
    """Id of the source."""


CollectorSpec = Annotated[
    CollectDataFromSourceSpec
    | DiscoverFilesInDirectorySpec
    | ProcessStreamingDataSpec
    | ReconstructFromMultipleSourcesSpec
    | RestoreCursorSpec,
    Field(discriminator="action"),
]


class ConnectorSpec(Spec):
    """Connect to a source and say how it stands, without fetching: name, TLS, credentials, listing."""

    action: Literal["establish_secure_connection", "verify_mfa_authentication", "establish_encrypted_connection"] = (
        "establish_secure_connection"
    )
    """verify_mfa_authentication: the token must have been issued after several factors; establish_encrypted_connection:
    TLS 1.3 at least."""
    source: SourceSpec
    """The source to connect to."""
    checks: ConnectorChecks = Field(default_factory=ConnectorChecks)
    """What is looked at."""


class ConverterSpec(Spec):
    """Read any format right and write it typed."""

    action: Literal["convert_to_standard_format"] = "convert_to_standard_format"
    source: str | SourceSpec
    """Path or URI of a file; or the source whose landed objects are converted (in a pipeline)."""
    target: str
    """Path or URI of the file to write; or staging:<dataset> (in a pipeline)."""
    read: ReadSpec | None = None
    """How to read; default: the source's own, else detected."""
    write: WriteSpec = Field(default_factory=WriteSpec)
    """How the target is written."""
    add: dict[str, str] = Field(default_factory=dict)
    """Columns to add to each row (constants or {captures})."""
    whole_slices: bool = True
    """All objects of a slice that something new arrived for, so that what is stored replaces the slice; false: the new
    objects alone, to be added to a table with missing_rows: keep (streams)."""
    max_error_share: float | None = Field(None, ge=0, le=1)
    """More bad rows than this share of an object and nothing of it is published; default: what the source's agreement
    tolerates, else 0.05."""

    @property
    def bad_rows_share(self) -> float:
        """max_error_share, or what stands for it."""
        agreed = self.source.agreement.max_error_share if isinstance(self.source, SourceSpec) else None
        return next((share for share in (self.max_error_share, agreed) if share is not None), BAD_ROWS_SHARE)


class ProcessDeadLettersSpec(Spec):
    """One pass over the dead letter queue: expire, replay, report."""

    action: Literal["process_dead_letters"]
    sources: tuple[SourceSpec, ...] = ()
    """Sources whose letters may be replayed; those of others wait."""
    policy: DeadLetterPolicy = Field(default_factory=DeadLetterPolicy)
    """Size, age and batch."""


FetchRetrySpec = Annotated[
    SelectOptimalRetryStrategySpec | AnalyzeFailurePatternsSpec | ProcessDeadLettersSpec,
    Field(discriminator="action"),
]


FieldRule = Literal[
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "most_precise",
    "priority",
    "merge_and_flag",
    "truth_discovery",
    "weighted_average",
    "sum",
    "min",
    "max",
    "expression",
]
RECORD_RULES = (
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "priority",
    "merge_and_flag",
)
"""Rules that choose a record, so that several fields can be taken from it together."""
_ORDERED_OR_WEIGHED = (
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "weighted_average",
)


class MergeFieldSpec(Spec):
    """How conflicts in one field, or in several fields that must stay together, are decided."""

    fields: tuple[str, ...] = ()
    """The fields; left out in `default` only. Several: taken together from one record under the rules that choose a
    record; each for itself under weighted_average, sum, min and max."""
    rule: FieldRule
    by: str | None = None
    """Column that orders records (last/first_write_wins, most_recent, highest_confidence) or weighs them
    (weighted_average)."""
    expression: str | None = None
    """rule=expression: SQL scalar expression over source-qualified values, e.g. coalesce(oanda, fxcm)."""
    ignore_nulls: bool = True
    """Single fields: a record without a value does not win over one with a value."""
    tolerance: float = Field(0.0, ge=0)
    """Numbers at most this far apart are no conflict (same unit as the field)."""
    min_confidence: float = Field(0.0, ge=0, le=1)
    """truth_discovery: a choice less sure than this is left to the better source."""

    @model_validator(mode="after")
    def _rule_has_what_it_needs(self) -> MergeFieldSpec:
        if (self.rule == "expression") != (self.expression is not None):
            raise ValueError("rule: expression and the key expression go together")
        if self.rule in ("most_recent", "highest_confidence") and self.by is None:
            what = "when" if self.rule == "most_recent" else "how sure the source is"
            raise ValueError(f"rule: {self.rule} needs by, the column that tells {what}")
        if self.by is not None and self.rule not in _ORDERED_OR_WEIGHED:
            raise ValueError(f"by has no meaning for rule: {self.rule}; it goes with {', '.join(_ORDERED_OR_WEIGHED)}")
        if self.min_confidence and self.rule != "truth_discovery":
            raise ValueError(f"min_confidence has no meaning for rule: {self.rule}; it goes with truth_discovery")
        if self.rule == "expression" and len(self.fields) > 1:
            raise ValueError("rule: expression gives the value of one field")
        return self


class MergerSpec(Spec):
    """Join records of several sources that speak of the same thing into one, and say how each conflict was decided."""

    action: Literal["merge_processed_files"] = "merge_processed_files"
    dataset: str
    """Name of the merged dataset."""
    preset: str | None = None
    """equity_prices, bond_data, fx_rates, contact_information or transaction_history: what such data usually want;
    whatever else is said here goes before."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that identify a record."""
    time: TimeKey | None = None
    """Records near in time are one: a tolerance, or windows."""
    strategy: Literal["rules", "append"] = "rules"
    """rules: one record per key, conflicts decided by the rules; append: every record stays, in order of key."""
    default: MergeFieldSpec | None = None
    """Rule of all fields not named in `fields`, decided together; default: last_write_wins by arrival."""
    fields: tuple[MergeFieldSpec, ...] = ()
    """Rules of single fields or groups."""
    kinds: Literal["found"] | dict[str, FieldKind] | None = None
    """What fields say, which tells their rule where `fields` has none. found: by their names and types. currency: the
    highest confidence; percentage: weighted average; count: sum; status, date: most recent; category: best source;
    flag: true if any says so; datetime: most precise; measure, text: `default`."""
    numbers: Literal["weighted_average", "sum", "min", "max"] | None = None
    """Rule of all numeric fields that have none by `fields` or `kinds`; default: `default`."""
    confidence: str = "confidence"
    """Column that tells how sure a source is of a record, for kinds and weights, where there is such a column."""
    recency: str = "updated_at"
    """Column that tells when a record was written, for kinds, where there is such a column; else its arrival."""
    priority: tuple[str, ...] = ()
    """Sources, best first (or scores: {bloomberg: 100, reuters: 80}); also breaks ties of every other rule. Unnamed
    sources follow in name order."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each source for weighted_average without `by`, above 0; default 1."""
    rename: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per source: {its column name: name in the merged dataset}."""
    align: AlignmentSpec = Field(default_factory=AlignmentSpec)
    """How columns of other names and types are brought together."""
    checks: MergeChecks = Field(default_factory=MergeChecks)
    """What must hold of sources and result."""
    truth: TruthSpec = Field(default_factory=TruthSpec)
    """How rule: truth_discovery learns how far each source can be trusted."""
    duplicates: DuplicatesSpec | None = None
    """Find merged records that are the same thing under different keys, and mark or delete them."""
    flag_conflicts: bool = False
    """Add a column `_conflicts`: names of the fields in conflict, comma-separated, null where there are none."""
    shard: ShardSpec | None = None
    """Only one part of the keys, where one process is too small for all."""
    lineage: bool = True
    """Keep, per row and field, which source won."""
    inputs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Stand-alone use: per source, Parquet files. In a pipeline the inputs come from the tasks before."""
    target: str | None = None
    """Stand-alone use: folder to write to. In a pipeline: staging."""

    @model_validator(mode="before")
    @classmethod
    def _preset_and_scores(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = with_preset(values)
        scores = values.get("priority")
        if isinstance(scores, dict):
            values = {**values, "priority": sorted(scores, key=lambda source: (-float(scores[source]), source))}
        return values

    @model_validator(mode="after")
    def _time_is_in_the_key(self) -> MergerSpec:
        if self.time is not None and self.time.column not in self.key:
            raise ValueError(f"time.column={self.time.column!r} is not one of key: {', '.join(self.key)}")
        return self

    @model_validator(mode="after")
    def _each_field_once(self) -> MergerSpec:
        rules = (*RECORD_RULES, "truth_discovery")
        if self.default is not None and (self.default.fields or self.default.rule not in rules):
            raise ValueError(f"default names no fields, and its rule is one of {', '.join(rules)}")
        if any(not item.fields for item in self.fields):
            raise ValueError("every item of fields names its fields")
        names = [*self.key, *(name for item in self.fields for name in item.fields)]
        for what, listed in (("field", names), ("source in priority", list(self.priority))):
            twice = sorted({name for name in listed if listed.count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice (keys are decided already): {', '.join(twice)}")
        for source, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"weights.{source} is not above 0: {weight}")
        if bool(self.inputs) != (self.target is not None):
            raise ValueError("inputs and target, the stand-alone use, go together")
        return self


class ValidateSourceAvailabilitySpec(Spec):
    """Whether a source can be fetched from now: its market is open, and it answers."""

    action: Literal["validate_source_availability"] = "validate_source_availability"
    source: SourceSpec
    """The source."""
    market: str | None = None
    """Name of the calendar its data follows, e.g. XNYS; closed, the source counts as not available."""
    connect_when_closed: bool = False
    """Ask the source even while its market is closed."""
    as_of: Instant | None = None
    """Ask the calendar about this moment, ISO 8601; default: now."""


SchedulerSpec = Annotated[
    ValidateSourceAvailabilitySpec | PlanRunsSpec | PlanBackfillSpec | DiscoverFallbackSourcesSpec | ForecastLoadSpec,
    Field(discriminator="action"),
]
