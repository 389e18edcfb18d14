"""Sources made up from a seed: what a person would paste, with what an answer would show, and as much of it missing.

Assumptions, written down so that they can be disputed: a fifth of addresses come without a scheme, one in six servers
listens on a port of its own, one in eight content types is wrong or octet-stream, host names say what they are six
times in ten and one time in twenty say something else; headers and a sample are known half of the time.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from base_ops.data_ingestion.models.source_detection.bodies import (
    BODIES,
    NAMES,
    a_name,
    as_json,
    delimited,
    events,
    feed,
    records,
    rest_body,
    soap,
    wsdl,
)
from base_ops.data_ingestion.models.source_detection.classes import (
    CLASSES,
    CONN_TYPES,
    EXTENSIONS,
    MIMES,
    PORTS,
    SCHEMES,
)
from base_ops.data_ingestion.models.source_detection.clues import Clues

_FIRMS = ("acme", "vendor", "bank", "northwind", "initech", "custodian", "exchange", "fund", "globex", "alpha")
_TLDS = ("com", "net", "io", "org", "internal", "corp.local", "co.uk", "de")


@dataclass(frozen=True)
class Sample:
    """One source and what it is."""

    label: str
    clues: Clues


def samples(seed: int, per_class: int) -> Iterator[Sample]:
    """The same seed makes the same sources."""
    for label in CLASSES:
        rng = random.Random(f"{seed}/{label}")  # noqa: S311 - makes samples, guards nothing
        for _ in range(per_class):
            yield Sample(label, _MAKERS[label](rng, label))


Rng = random.Random


def _domain(rng: Rng) -> str:
    return f"{rng.choice(_FIRMS)}{rng.choice(('', '-data', 'group', str(rng.randint(1, 9))))}.{rng.choice(_TLDS)}"


def _host(rng: Rng, words: str) -> str:
    word = (
        rng.choice(words.split()) if rng.random() < 0.6 else rng.choice(("srv", "prod", "host", "data", "node", "lb"))
    )
    if rng.random() < 0.05:
        word = rng.choice(("api", "mysql", "kafka", "ftp", "stream", "redis", "files", "s3"))
    shape = rng.random()
    if shape < 0.1:
        return f"10.{rng.randint(0, 9)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    if shape < 0.2:
        return rng.choice(("localhost", word, f"{word}-{rng.randint(1, 3)}"))
    return f"{word}{rng.choice(('', str(rng.randint(1, 12)), '-eu', '-prod'))}.{_domain(rng)}"


def _conn(rng: Rng, row: str, share: float = 0.3) -> str:
    if rng.random() < 0.02:
        return "generic"
    return rng.choice(CONN_TYPES[row]) if rng.random() < share else ""


def _updates(rng: Rng, often: float) -> float | None:
    return often * rng.uniform(0.5, 2) if rng.random() < 0.4 else None


_JSON, _XML = ("json",), ("xml",)
_MIME_OF: dict[str, tuple[str, ...]] = {
    "json_file": _JSON, "rest_api": _JSON, "graphql": ("json", "json", "graphql"), "odata": ("json", "xml"),
    "xml_file": _XML, "soap": ("soap", "xml"), "rss_feed": ("rss_feed", "xml"), "fixed_width_file": ("text",),
    "log_file": ("text",), "jsonl_file": ("jsonl_file", "text"), "csv_file": ("csv_file", "csv_file", "text"),
}  # fmt: skip


def _mime(rng: Rng, label: str) -> str:
    if rng.random() < 0.125:
        return rng.choice(("application/octet-stream", "text/plain", "binary/octet-stream"))
    row = rng.choice(_MIME_OF.get(label, (label,)))
    return rng.choice(MIMES[row]) + rng.choice(("", "", "; charset=utf-8"))


def _answer(rng: Rng, label: str, body: Callable[[Rng], bytes], *headers: str) -> tuple[dict[str, str], bytes]:
    """(headers, sample) as far as they are known."""
    known = rng.random()
    told = {name: "1" for name in headers if rng.random() < 0.6}
    told["content-type"] = _mime(rng, label)
    return (told if known < 0.6 else {}), (body(rng)[:4096] if 0.4 < known < 0.9 else b"")


def _base(rng: Rng, words: str, scheme: str = "https") -> str:
    host = _host(rng, words)
    port = f":{rng.choice((*PORTS['http'], rng.randint(1024, 65000)))}" if rng.random() < 0.17 else ""
    bare = rng.random() < 0.08 and "." in host
    return f"{'' if bare else rng.choice((scheme, scheme, scheme, 'http')) + '://'}{host}{port}"


# -- one maker per kind


def _web(
    words: str, paths: str, body: Callable[[Rng], bytes], often: float, *headers: str
) -> Callable[[Rng, str], Clues]:
    def make(rng: Rng, label: str) -> Clues:
        path = rng.choice(paths.split()).format(n=a_name(rng), m=a_name(rng), v=rng.randint(1, 4))
        told, sample = _answer(rng, label, body, *headers)
        return Clues(_base(rng, words) + path, told, sample, _conn(rng, "http", 0.15), None, _updates(rng, often))

    return make


def _socket(rng: Rng, _label: str) -> Clues:
    path = rng.choice(("/ws", "/stream", "/v1/feed", "/socket", "/{n}", "/realtime/{n}", "")).format(n=a_name(rng))
    base = _base(rng, "stream ws feed push api", "wss").replace("http://", "ws://")
    return Clues(base + path, updates_per_day=_updates(rng, 1e5))


def _server(words: str, often: float, tail: Callable[[Rng], str], jdbc: bool = False) -> Callable[[Rng, str], Clues]:
    """What is reached by host and port: databases, brokers, directories, file servers."""

    def make(rng: Rng, label: str) -> Clues:
        host, usual = _host(rng, words), PORTS.get(label, (0,))
        port = rng.choice((usual[0], usual[0], *usual)) if rng.random() < 0.83 else rng.randint(1024, 65000)
        named = rng.random()
        conn = _conn(rng, label) if label in CONN_TYPES else ""
        if named < 0.22:  # without a scheme: the port, the name or the connection must tell
            if not (port in usual or conn or any(word in host for word in words.split())):
                port = usual[0]
            return Clues(f"{host}:{port}{rng.choice(('', tail(rng)))}", {}, b"", conn, None, _updates(rng, often))
        scheme = rng.choice(SCHEMES[label])
        user = rng.choice(("", "", "reader@", "svc:secret@"))
        shown = f":{port}" if rng.random() < 0.6 else ""
        prefix = "jdbc:" if jdbc and named > 0.85 else ""
        if label == "oracle" and prefix:
            return Clues(f"jdbc:oracle:thin:@//{host}:{port}/{a_name(rng)}", {}, b"", conn, None, _updates(rng, often))
        return Clues(f"{prefix}{scheme}://{user}{host}{shown}{tail(rng)}", {}, b"", conn, None, _updates(rng, often))

    return make


def _database(rng: Rng) -> str:
    return f"/{a_name(rng)}"


def _brokers(rng: Rng, label: str) -> Clues:
    if rng.random() < 0.4:
        hosts = [
            f"{_host(rng, 'kafka broker bootstrap')}:{rng.choice((9092, 9092, 9093, 9094))}"
            for _ in range(rng.randint(2, 3))
        ]
        return Clues(",".join(hosts), {}, b"", _conn(rng, "kafka"), None, _updates(rng, 1e6))
    return _server("kafka broker bootstrap redpanda", 1e6, lambda r: r.choice(("", f"/{a_name(r)}")))(rng, label)


def _store(https: str, conn: str) -> Callable[[Rng, str], Clues]:
    """Buckets: by their own scheme, or by the provider's HTTPS address."""

    def make(rng: Rng, label: str) -> Clues:
        bucket = f"{rng.choice(_FIRMS)}-{rng.choice(NAMES)}"
        key = rng.choice(
            (
                f"{a_name(rng)}/{{day}}.csv",
                f"{a_name(rng)}/*.parquet",
                f"{a_name(rng)}/",
                "",
                f"{a_name(rng)}/{a_name(rng)}.json",
            )
        )
        if rng.random() < 0.6:
            return Clues(
                f"{rng.choice(SCHEMES[label])}://{bucket}/{key}", {}, b"", _conn(rng, conn), None, _updates(rng, 2)
            )
        told: dict[str, str] = {}
        if rng.random() < 0.4:
            prefix = {"s3": "x-amz-", "azure_blob": "x-ms-", "gcs": "x-goog-"}[label]
            told = {
                f"{prefix}request-id": "1",
                "content-type": rng.choice(("application/xml", "text/csv", "binary/octet-stream")),
            }
        return Clues(
            "https://" + rng.choice(https.split()).format(b=bucket) + "/" + key.replace("*", "x"),
            told,
            b"",
            _conn(rng, conn),
            None,
            _updates(rng, 2),
        )

    return make


def _local(rng: Rng, _label: str) -> Clues:
    root = rng.choice(("/data", "/mnt/drop", "./in", "drop", "C:/feeds", "file:///srv/feeds", "/home/etl", "../share"))
    end = rng.choice(
        (
            "",
            "/",
            "/*.csv",
            "/{day}.csv.gz",
            "/**",
            "/{symbol}/*.parquet",
            "/in/",
            "/*.json",
            "/{n}_{d}.xml",
            "/{symbol}.zip",
        )
    )
    return Clues(f"{root}/{a_name(rng)}{end}", {}, b"", _conn(rng, "local_dir", 0.15), None, _updates(rng, 1))


def _file(rng: Rng, label: str) -> Clues:
    """A single file: on a web server, in a folder, or by a download address without a telling name."""
    end = rng.choice(EXTENSIONS[label])
    if label == "log_file" and rng.random() < 0.1:
        end = "txt"
    name = f"{a_name(rng)}{rng.choice(('', '_2026-01-05', '-latest'))}"
    told, sample = _answer(rng, label, BODIES[label], "accept-ranges", "last-modified", "etag")
    size = int(10 ** rng.uniform(3, 9)) if rng.random() < 0.5 else None
    packed = (
        ".gz"
        if label in ("csv_file", "json_file", "jsonl_file", "xml_file", "log_file") and rng.random() < 0.08
        else ""
    )
    sample = gzip.compress(b"x", mtime=0) if packed and sample else sample
    where = rng.random()
    if where < 0.35:
        folder = rng.choice(("/data/", "./", "", "/srv/in/", "C:/files/"))
        return Clues(f"{folder}{name}.{end}{packed}", {}, sample, "", size, _updates(rng, 1))
    if where < 0.5 and label not in ("json_file", "xml_file"):  # nothing but what is served tells
        told = {
            "content-type": rng.choice(MIMES[rng.choice(_MIME_OF.get(label, (label,)))]),
            "content-disposition": "1",
        }
        told.setdefault("accept-ranges", "bytes")
        return Clues(
            f"{_base(rng, 'download files data')}/download?id={rng.randint(1, 999)}",
            told,
            BODIES[label](rng)[:4096],
            "",
            size,
            _updates(rng, 1),
        )
    path = rng.choice(("/downloads/", "/files/", "/static/", "/data/2026/", "/", "/export/"))
    return Clues(
        f"{_base(rng, 'download files data www cdn')}{path}{name}.{end}{packed}",
        told,
        sample,
        _conn(rng, "http", 0.1),
        size,
        _updates(rng, 1),
    )


def _sheets(rng: Rng, _label: str) -> Clues:
    key = "".join(rng.choice("ABCDEFabcdef0123456789_-") for _ in range(44))
    tail = rng.choice(("/edit#gid=0", "/export?format=csv", "/export?format=csv&gid=12", "", "/pub?output=csv"))
    host = rng.choice(("docs.google.com", "docs.google.com", "sheets.googleapis.com"))
    url = (
        f"https://{host}/spreadsheets/d/{key}{tail}"
        if host[0] == "d"
        else f"https://{host}/v4/spreadsheets/{key}/values/A1:Z"
    )
    told = {"content-type": rng.choice(("text/csv", "text/html", "application/json"))} if rng.random() < 0.5 else {}
    return Clues(
        url,
        told,
        delimited(rng) if "csv" in tail and rng.random() < 0.5 else b"",
        _conn(rng, "google", 0.2),
        None,
        _updates(rng, 5),
    )


def _sqlite(rng: Rng, _label: str) -> Clues:
    path = rng.choice(("/data/", "./", "/var/lib/app/")) + a_name(rng)
    url = rng.choice(
        (
            f"sqlite:///{path}.db",
            f"{path}.db",
            f"{path}.sqlite",
            f"{path}.sqlite3",
            f"jdbc:sqlite:{path}.db",
            f"{path}.bin",
        )
    )
    known = rng.random() < 0.4 or url.endswith(".bin")
    return Clues(url, {}, b"SQLite format 3\x00" if known else b"", _conn(rng, "sqlite", 0.2), None, _updates(rng, 10))


def _cloud_stream(host: str, short: str, conn: str, path: str) -> Callable[[Rng, str], Clues]:
    def make(rng: Rng, label: str) -> Clues:
        region = rng.choice(("eu-west-1", "us-east-1", "ap-south-1"))
        base = f"https://{host.format(r=region)}"
        named = short.format(n=a_name(rng), r=region)
        url = rng.choice((base, base + path.format(n=a_name(rng)), f"{label}://{a_name(rng)}", named))
        return Clues(url, {}, b"", _conn(rng, conn, 0.3), None, _updates(rng, 1e5))

    return make


def _one_of(texts: str) -> Callable[[Rng], str]:
    """One of several tails of an address, or none."""
    return lambda rng: rng.choice(("", *texts.split())).format(n=a_name(rng))


def _answers(kind: str) -> Callable[[Rng], bytes]:
    def graphql(rng: Rng) -> bytes:
        return as_json(rng, rng.choice(({"data": {a_name(rng): records(rng)}}, {"errors": [{"message": "no query"}]})))

    def odata(rng: Rng) -> bytes:
        return as_json(rng, {"@odata.context": "https://x/$metadata", "value": records(rng)})

    return {"graphql": graphql, "odata": odata, "soap": lambda rng: rng.choice((soap, wsdl))(rng)}[kind]


_FILES = _one_of("/ /out/{n}.csv /{n}/*.xml /in/{{day}}.zip /{n}.txt")
_MAKERS: dict[str, Callable[[Rng, str], Clues]] = {
    "rest_api": _web(
        "api gateway rest",
        "/v{v}/{n} /api/{n} /v{v}/{n}/{m}?limit=100 /{n}?from=2026-01-01&to=2026-02-01 /rest/{n} /{n}/{m} "
        "/api/v{v}/{n}.json?page=1 /fred/{n}?file_type=json&id=1",
        rest_body, 100, "x-ratelimit-remaining", "link", "x-total-count",
    ),
    "graphql": _web(
        "api graph", "/graphql /graphql /api/graphql /v{v}/graphql /gql /graph/query", _answers("graphql"), 100,
        "x-ratelimit-remaining",
    ),
    "soap": _web(
        "ws services api", "/{n}.asmx /services/{n} /{n}.svc?wsdl /ws/{n}?wsdl /soap/{n} /{n}Service.wsdl",
        _answers("soap"), 50,
    ),
    "odata": _web(
        "api services", "/odata/{n} /odata/v{v}/{n} /{n}.svc/{m} /api/odata/{n}?$top=10 /V4/{n}/{m}.svc/",
        _answers("odata"), 50,
    ),
    "rss_feed": _web(
        "www news feeds", "/rss /{n}/feed /feeds/{n}.xml /atom.xml /rss/{n}.rss /{n}?output=atom /news/rss.xml",
        feed, 20, "last-modified",
    ),
    "websocket": _socket,
    "sse": _web(
        "stream events push", "/events /stream /v{v}/stream/{n} /sse /{n}/events /live /subscribe/{n}", events, 1e5
    ),
    "postgresql": _server("postgres pg db", 100, _database, jdbc=True),
    "mysql": _server("mysql mariadb db", 100, _database, jdbc=True),
    "oracle": _server("oracle ora db", 100, _database, jdbc=True),
    "sqlserver": _server("mssql sqlserver db", 100, _one_of("/{n} ;databaseName={n}"), jdbc=True),
    "sqlite": _sqlite,
    "mongodb": _server("mongo mongodb db", 100, _database),
    "cassandra": _server("cassandra scylla", 100, _database),
    "redis": _server("redis cache", 1e4, _one_of("/0 /3")),
    "influxdb": _server("influx influxdb metrics", 1e4, _one_of("/query?db=m /api/v2/query")),
    "ldap": _server("ldap dc ad directory", 5, _one_of("/dc=example,dc=com /ou=people,dc=x,dc=org")),
    "local_dir": _local,
    "sftp": _server("sftp files mft", 1, _FILES),
    "ftp": _server("ftp files", 1, _FILES),
    "s3": _store(
        "{b}.s3.amazonaws.com s3.eu-west-1.amazonaws.com/{b} {b}.s3.us-east-1.amazonaws.com minio.acme.internal/{b}",
        "aws",
    ),
    "azure_blob": _store("{b}.blob.core.windows.net/container {b}.dfs.core.windows.net/data", "azure_blob"),
    "gcs": _store("storage.googleapis.com/{b} storage.cloud.google.com/{b} {b}.storage.googleapis.com", "google"),
    "hdfs": _server("namenode hdfs hadoop", 5, _one_of("/user/{n} /data/{n}/*.parquet /webhdfs/v1/x")),
    "google_sheets": _sheets,
    "kafka": _brokers,
    "kinesis": _cloud_stream(
        "kinesis.{r}.amazonaws.com", "arn:aws:kinesis:{r}:123456789012:stream/{n}", "aws", "/{n}"
    ),
    "pubsub": _cloud_stream(
        "pubsub.googleapis.com", "projects/p-1/subscriptions/{n}", "google", "/v1/projects/p/subscriptions/{n}"
    ),
    "rabbitmq": _server("rabbitmq rabbit mq", 1e5, _one_of("/ /{n} /%2f")),
    "activemq": _server("activemq artemis mq", 1e5, _one_of("/{n}")),
    **dict.fromkeys(BODIES, _file),
}  # fmt: skip
