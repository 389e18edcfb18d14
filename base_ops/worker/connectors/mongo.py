"""MongoDB: the documents of a collection as lines of canonical Extended JSON, which keeps every BSON type exactly.

Without a cursor the whole collection, in order of `_id`; with one, windows of it, as SQL sources have them (see
`databases/windows.py`): a field of dates, numbers, or `_id` of ObjectIds, whose time has seconds. Reads are of one
moment (read concern snapshot) where the server offers it, which a replica set does; else a finding says that they are
not. Documents without the cursor's field, with one of another kind, or with NaN or infinity in it land as `#other`.

Tested against a simulated peer that speaks the wire protocol: no MongoDB server could be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Context, Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.authentication import CertificateTemplate, DatabaseTemplate, LdapTemplate
from base_ops.data_ingestion.options.sources.databases import MongoSpec
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, save
from base_ops.worker.connectors.databases import windows
from base_ops.worker.connectors.databases.tls import checked_mode
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.tls import pem_files, policy_of
from base_ops.worker.lake.landing import History

_NUMBERS = ["int", "long", "decimal", "double"]
_FINITE = {"$type": _NUMBERS, "$gte": float("-inf"), "$lt": float("inf")}
_DECIMAL128 = Context(prec=34, rounding=ROUND_CEILING)
_PAST_INT64 = 1 << 63
_DENIED = {13, 18, 8000}


class MongoSource:
    """Fetches one collection."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: MongoSpec = site.source.mongo  # type: ignore[assignment]
        self.where = f"source {site.source.id}, mongo collection {self.spec.collection!r}"
        self.report = Report()
        if site.connection is None or not site.connection.schema:
            raise ConfigError(
                "MongoDB needs a connection whose schema names the database", code="no_connection", where=self.where
            )
        self.connection = site.connection

    def fetch(self, history: History, keep: Keep) -> Report:
        state: dict[str, Any] = {}
        with self._errors(), self._client() as client:
            collection = client[self.connection.schema][self.spec.collection]
            with self._session(client) as session:
                wholes: dict[str, Any] = {self.spec.collection: {}}
                if self.spec.cursor is not None:
                    wholes, state = self._windows(collection, session, history)
                for name, condition in wholes.items():
                    self._read(collection, session, name, condition, name in history.wholes, keep)
        self.report.cursor_after = {**state, "after_entry": history.last}
        return self.report

    def _client(self) -> Any:
        found, library = self.connection, require("pymongo", "mongo")
        options: dict[str, Any] = {}
        if checked_mode(self.site, self.where, {"disable"}) != "disable":
            options = {"tls": True, **_tls(self.site)}
        options |= _log_in(self.site)
        if found.extra.get("replicaSet"):
            options["replicaSet"] = found.extra["replicaSet"]
        else:
            options["directConnection"] = True
        return library.MongoClient(
            found.host,
            found.port or 27017,
            serverSelectionTimeoutMS=10_000,
            connectTimeoutMS=10_000,
            socketTimeoutMS=600_000,
            tz_aware=True,
            **{k: v for k, v in options.items() if v is not None},
        )

    def log_in(self) -> None:
        """Log in and leave."""
        with self._errors(), self._client() as client:
            client.admin.command("ping")

    def probe(self) -> str:
        """About how many documents there are."""
        with self._errors(), self._client() as client:
            number = client[self.connection.schema][self.spec.collection].estimated_document_count()
        return f"about {number} documents"

    @contextmanager
    def _session(self, client: Any) -> Iterator[Any]:
        """A session of one moment, or None with a finding."""
        hello = client.admin.command("hello")
        if not hello.get("setName") and hello.get("msg") != "isdbgrid":
            message = f"{self.where}: the server stands alone, so a read is not of one moment"
            self.report.findings.append(Finding(code="no_snapshot", severity="warning", message=message))
            yield None
            return
        with client.start_session(snapshot=True) as session:
            yield session

    # -- windows

    def _windows(self, collection: Any, session: Any, history: History) -> tuple[dict[str, Any], dict[str, Any]]:
        name, field = self.spec.collection, self.spec.cursor or ""
        kind, newest = self._newest(collection, session, field)
        if kind is None:
            return {f"{name}#other": {}}, {}
        saved = windows.saved_bounds(history.cursor, field, kind, self.where)
        lag = windows.lag_of(kind, self.spec.lag_s, self.spec.lag_keys)
        due, bounds = windows.plan(saved, newest, lag)
        if self.site.mode == "full":
            due = list(dict.fromkeys([*windows.known(history.wholes, f"{name}#", kind), *due]))
        wholes = {f"{name}#{w.name(kind)}": {field: self._between(w, kind)} for w in due}
        wholes[f"{name}#other"] = {field: {"$not": _FINITE if kind == "number" else {"$type": self._types(kind)}}}
        texts = [None if value is None else windows.written(value, kind) for value in bounds]
        return wholes, {"column": field, "kind": kind, "bounds": texts}

    def _newest(self, collection: Any, session: Any, field: str) -> tuple[windows.Kind | None, Any]:
        """(kind, greatest value that moves the cursor); times more than an hour ahead do not."""
        objectid = require("bson.objectid", "mongo").ObjectId
        limit = windows.limit_of("utc", self.site.clock.now())
        if field == "_id":
            ranges: dict[windows.Kind, Any] = {"utc": {"$type": "objectId", "$lt": objectid.from_datetime(limit)}}
        else:
            ranges = {"utc": {"$type": "date", "$lte": limit}, "number": _FINITE}
        for kind, condition in ranges.items():
            found = collection.find_one({field: condition}, {field: 1}, sort=[(field, -1)], session=session)
            if found is not None:
                value = found[field]
                if isinstance(value, objectid):
                    value = value.generation_time
                return kind, value if kind == "utc" else _number(value)
        return None, None

    def _between(self, window: windows.Window, kind: windows.Kind) -> dict[str, Any]:
        """The condition of a window; seconds of ObjectIds are whole, so theirs ends before the next second."""
        low, high = (None if v is None else self._bson(v, kind) for v in (window.low, window.high))
        if self.spec.cursor == "_id":
            return {"$type": "objectId", **({"$gte": low} if low is not None else {}), "$lt": high}
        return {"$type": self._types(kind), **({"$gt": low} if low is not None else {}), "$lte": high}

    def _bson(self, value: Any, kind: windows.Kind) -> Any:
        if kind == "number":
            if value == value.to_integral_value() and abs(value) < _PAST_INT64:
                return int(value)
            return require("bson.decimal128", "mongo").Decimal128(_DECIMAL128.create_decimal(value))
        if self.spec.cursor == "_id":
            objectid = require("bson.objectid", "mongo").ObjectId
            return objectid.from_datetime(datetime.fromtimestamp(int(value.timestamp()) + 1, UTC))
        return value

    def _types(self, kind: windows.Kind) -> Any:
        if self.spec.cursor == "_id":
            return "objectId"
        return "date" if kind == "utc" else _NUMBERS

    # -- reading

    def _read(self, collection: Any, session: Any, name: str, condition: Any, is_known: bool, keep: Keep) -> None:
        json_util = require("bson.json_util", "mongo")
        raw = require("bson.raw_bson", "mongo").RawBSONDocument
        options = require("bson.codec_options", "mongo").CodecOptions
        found = collection.with_options(codec_options=options(document_class=raw)).find(
            condition, sort=[("_id", 1)], session=session, batch_size=5_000
        )
        self.report.count(requests=1)
        style = json_util.CANONICAL_JSON_OPTIONS
        lines = (json_util.dumps(document, json_options=style).encode() + b"\n" for document in found)
        number = 0
        for first in lines:
            number += 1
            part = f"{name}/part-{number:05d}.ndjson"
            chunk = chain([first], islice(lines, self.spec.part_rows - 1))
            local, digest, size = save(chunk, self.site, part)
            self.report.count(pages=1)
            keep(Fetched(part, local, digest, size, part_of=name))
        if number == 0 and is_known:
            message = f"{self.where}: {name} has no documents any more; what landed of it before stays"
            self.report.findings.append(Finding(code="emptied", severity="warning", message=message))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        errors = require("pymongo.errors", "mongo")
        try:
            yield
        except BaseOpsError:
            raise
        except errors.OperationFailure as error:
            raise self._told(error.code or 0) from None
        except errors.ConfigurationError:
            raise ConfigError(
                "The connection is not right for MongoDB", code="bad_connection", where=self.where
            ) from None
        except errors.PyMongoError as error:
            what, found = "MongoDB could not be read", type(error).__name__
            raise Transient(what, code="mongo_failed", where=self.where, found=found) from None

    def _told(self, code: int) -> BaseOpsError:
        found = f"error {code}"
        if code in _DENIED:
            what = f"MongoDB refused connection {self.connection.name}"
            return Denied(
                what, code="forbidden", where=self.where, found=found, todo="check login, password and rights"
            )
        return Transient("MongoDB could not be read", code="mongo_failed", where=self.where, found=found)


CONNECTOR = MongoSource


def _number(value: Any) -> Decimal:
    """The least that the server can compare with and that is not below the value: a double has up to 767 digits, and
    0.1 as a double is above 0.1 as a decimal."""
    return _DECIMAL128.create_decimal(value.to_decimal() if hasattr(value, "to_decimal") else Decimal(value))


def _tls(site: Site) -> dict[str, Any]:
    policy_of(site, able=("revocation",))
    pem, authorities = pem_files(site), site.connection.extra.get("sslrootcert") if site.connection else None
    options = {"tlsCAFile": authorities or pem.authorities, "tlsCRLFile": pem.crl}
    if pem.certificate:
        both = Path(pem.certificate)
        both.write_text(both.read_text() + Path(pem.key).read_text())
        options |= {"tlsCertificateKeyFile": pem.certificate, "tlsCertificateKeyFilePassword": pem.password}
    return {name: value or None for name, value in options.items()}


def _log_in(site: Site) -> dict[str, Any]:
    """By the template: SCRAM, X.509, or PLAIN for the accounts of a directory; without one, what the server offers."""
    found, template = site.connection, site.source.authentication
    assert found is not None
    if isinstance(template, CertificateTemplate):
        return {"authMechanism": "MONGODB-X509", "authSource": "$external"}
    if not found.login:
        return {}
    options = {"username": found.login, "password": found.password}
    if isinstance(template, LdapTemplate):
        return options | {"authMechanism": "PLAIN", "authSource": "$external"}
    if isinstance(template, DatabaseTemplate):
        options["authMechanism"] = template.mechanism or "SCRAM-SHA-256"
    return options | {"authSource": str(found.extra.get("authSource", "admin"))}
