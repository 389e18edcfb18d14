"""Redis: a stream behind its ids, or a list, a hash or keys of a pattern as they are now; as lines of JSON.

stream  each run brings the entries after the last id, up to `max_entries` (mode: append): `{"id", "fields"}`. Ids only
        grow and an entry is there as soon as it has one, so nothing comes late. An entry that repeats a field has
        `pairs` instead of `fields`. Entries trimmed before they were read are a finding; a stream made anew is
        refused where its ids tell: it ends before the last id read, or has older entries but not that one.
list    `{"index", "value"}`, hash `{"field", "value"}`: read by one command, so of one moment.
keys    `{"key", "type", "value"}` of strings, hashes, lists, sets and sorted sets, each of one moment.

A value that is not UTF-8 is `{"base64": …}`, an infinite score `"inf"` or `"-inf"`. Tested against a real server.
"""

from __future__ import annotations

import base64
import json
import math
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import JsonValue

from base_ops.core.errors import BadInput, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.databases import RedisSpec
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, save
from base_ops.worker.connectors.databases.tls import checked_mode
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.tls import pem_files, policy_of
from base_ops.worker.lake.landing import History

_PAGE = 1_000
_BEGINNING = (0, 0)


class RedisSource:
    """Fetches what one source says of one Redis."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: RedisSpec = site.source.redis  # type: ignore[assignment]
        self.where = f"source {site.source.id}, redis {self.spec.kind} {self.spec.key!r}"
        self.report = Report()
        if site.connection is None:
            raise ConfigError("Redis needs a connection", code="no_connection", where=self.where)
        self.connection = site.connection

    def fetch(self, history: History, keep: Keep) -> Report:
        with self._errors(), self._client() as client:
            if self.spec.kind == "stream":
                self._fetch_stream(client, history, keep)
            else:
                self._keep_all(self.spec.key, self._state(client), keep)
        return self.report

    def _client(self) -> Any:
        found = self.connection
        options: dict[str, Any] = {}
        if checked_mode(self.site, self.where, {"disable"}) != "disable":
            options = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **_tls(self.site)}
        library = require("redis", "redis")
        return library.Redis(
            host=found.host,
            port=found.port or 6379,
            db=int(found.schema or 0),
            username=found.login or None,
            password=found.password or None,
            socket_connect_timeout=30,
            socket_timeout=60,
            protocol=2,
            retry=require("redis.retry", "redis").Retry(require("redis.backoff", "redis").NoBackoff(), 0),
            **options,
        )

    def log_in(self) -> None:
        """Log in and leave."""
        with self._errors(), self._client() as client:
            client.ping()

    def probe(self) -> str:
        """What kind of entry the key is, or how many keys there are."""
        with self._errors(), self._client() as client:
            if self.spec.kind == "keys":
                return f"{client.dbsize()} keys in all"
            return f"{self.spec.key}: {client.type(self.spec.key).decode()}"

    # -- streams

    def _fetch_stream(self, client: Any, history: History, keep: Keep) -> None:
        client.response_callbacks.pop("XRANGE", None)  # it would make a dict of fields that may repeat
        before = history.cursor if self.site.mode == "incremental" else None
        start = _id(str(before)) if before is not None else _BEGINNING
        self._check_stream(client, start)
        last = [start]
        name = f"{self.spec.key}#{'start' if before is None else before}"
        lines = (_line(_entry(entry)) for entry in self._entries(client, last))
        self._keep_all(name, lines, keep)
        if last[0] > start:
            self.report.cursor_after, self.report.rank = f"{last[0][0]}-{last[0][1]}", rank_of_id

    def _check_stream(self, client: Any, start: tuple[int, int]) -> None:
        """Raises BadInput where the stream was made anew; notes entries that are gone."""
        if not client.exists(self.spec.key):
            return
        facts = client.xinfo_stream(self.spec.key)
        is_behind = _id(facts["last-generated-id"].decode()) < start
        if is_behind or self._lacks(client, facts, start):
            raise BadInput(
                "The stream's ids end before the last one that was read"
                if is_behind
                else "The stream has no entry with the id that was read last, and lost none since",
                code="cursor_ahead",
                where=self.where,
                todo="the stream was made anew: give the source a new id",
            )
        if _id(facts.get("max-deleted-entry-id", b"0-0").decode()) > start:
            self._find("entries_lost", "entries were deleted or trimmed after the last one that was read", "warning")

    def _lacks(self, client: Any, facts: Any, start: tuple[int, int]) -> bool:
        """Whether the stream never had the entry read last: it is not there, yet was neither trimmed, which takes the
        oldest first, nor deleted, which servers from version 7 on tell."""
        if start == _BEGINNING or facts["first-entry"] is None or "max-deleted-entry-id" not in facts:
            return False
        first, deleted = _id(facts["first-entry"][0].decode()), _id(facts["max-deleted-entry-id"].decode())
        identity = f"{start[0]}-{start[1]}"
        return first < start and deleted < start and not client.xrange(self.spec.key, identity, identity, count=1)

    def _entries(self, client: Any, last: list[tuple[int, int]]) -> Iterator[Any]:
        left = self.spec.max_entries
        while left > 0:
            ms, number = last[0]
            page = client.execute_command(
                "XRANGE",
                self.spec.key,
                f"({ms}-{number}" if last[0] > _BEGINNING else "-",
                "+",
                "COUNT",
                min(_PAGE, left),
            )
            self.report.count(pages=1, requests=1)
            for entry in page:
                yield entry
                last[0] = _id(entry[0].decode())
            left -= len(page)
            if len(page) < _PAGE:
                return

    # -- the state of other kinds

    def _state(self, client: Any) -> Iterable[bytes]:
        self.report.count(requests=1)
        if self.spec.kind == "list":
            self._check_size(client.llen(self.spec.key))
            values = client.lrange(self.spec.key, 0, -1)
            return (_line({"index": n, "value": _json(value)}) for n, value in enumerate(values))
        if self.spec.kind == "hash":
            self._check_size(client.hlen(self.spec.key))
            found = sorted(client.hgetall(self.spec.key).items())
            return (_line({"field": _json(field), "value": _json(value)}) for field, value in found)
        keys: set[bytes] = set()
        for key in client.scan_iter(match=self.spec.key, count=_PAGE):
            keys.add(key)
            self._check_size(len(keys))
        return (line for key in sorted(keys) for line in self._key(client, key))

    def _key(self, client: Any, key: bytes) -> Iterator[bytes]:
        kind = client.type(key).decode()
        if kind == "none":  # gone since it was listed
            return
        readers: dict[str, Any] = {
            "string": lambda: _json(client.get(key)),
            "hash": lambda: [[_json(f), _json(v)] for f, v in sorted(client.hgetall(key).items())],
            "list": lambda: [_json(v) for v in client.lrange(key, 0, -1)],
            "set": lambda: [_json(v) for v in sorted(client.smembers(key))],
            "zset": lambda: [[_json(v), _score(s)] for v, s in client.zrange(key, 0, -1, withscores=True)],
        }
        if kind not in readers:
            self.report.note("key_passed_over", f"a key of type {kind}, not taken", str(_json(key)))
            return
        self.report.count(requests=1)
        yield _line({"key": _json(key), "type": kind, "value": readers[kind]()})

    def _check_size(self, entries: int) -> None:
        if entries > self.spec.max_entries:
            raise BadInput(
                "There is more than the source allows",
                code="too_many_entries",
                where=self.where,
                expected=f"at most {self.spec.max_entries} (redis.max_entries)",
                found=f"{entries} or more",
            )

    # -- common

    def _keep_all(self, name: str, lines: Iterable[bytes], keep: Keep) -> None:
        local, digest, size = save(lines, self.site, name)
        if size:
            keep(Fetched(f"{name}.ndjson", local, digest, size))
        else:
            local.unlink()
            self._find("nothing_there", "there is nothing to take; what landed before stays", "info")

    def _find(self, code: str, message: str, severity: Any) -> None:
        self.report.findings.append(Finding(code=code, severity=severity, message=f"{self.where}: {message}"))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        exceptions = require("redis.exceptions", "redis")
        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError):
            raise Denied(
                f"Redis refused connection {self.connection.name}", code="forbidden", where=self.where
            ) from None
        except exceptions.ResponseError as error:
            words = str(error).split(" ", 1)[0]
            if words in ("NOAUTH", "WRONGPASS", "NOPERM"):
                raise Denied(
                    f"Redis refused connection {self.connection.name}", code="forbidden", where=self.where
                ) from None
            raise ConfigError(
                "Redis does not understand what is asked",
                code="redis_refused",
                where=self.where,
                found=words if words.isalpha() and words.isupper() else "",
                todo="check key and kind of the source",
            ) from None
        except (exceptions.RedisError, OSError) as error:
            raise Transient(
                "Redis could not be read", code="redis_failed", where=self.where, found=type(error).__name__
            ) from None


CONNECTOR = RedisSource


def _tls(site: Site) -> dict[str, Any]:
    policy, pem = policy_of(site, able=("min_version", "ciphers")), pem_files(site)
    own = {"ssl_certfile": pem.certificate, "ssl_keyfile": pem.key, "ssl_password": pem.password or None}
    authorities = site.connection.extra.get("sslrootcert") if site.connection else None
    return {
        "ssl_ca_certs": authorities or pem.authorities or None,
        "ssl_min_version": ssl.TLSVersion.TLSv1_3 if policy.min_version == "1.3" else ssl.TLSVersion.TLSv1_2,
        "ssl_ciphers": ":".join(policy.ciphers),
        **(own if pem.certificate else {}),
    }


def rank_of_id(cursor: JsonValue) -> tuple[str, Any] | None:
    """Ids are two numbers: 9-10 is after 9-9."""
    is_id = isinstance(cursor, str) and re.fullmatch(r"[0-9]+(-[0-9]+)?", cursor)
    return ("id", _id(str(cursor))) if is_id else None


def _id(text: str) -> tuple[int, int]:
    ms, _, number = text.partition("-")
    return int(ms), int(number or 0)


def _entry(entry: Any) -> dict[str, JsonValue]:
    identity, flat = entry
    names, values = [_json(n) for n in flat[::2]], [_json(v) for v in flat[1::2]]
    texts = [name for name in names if isinstance(name, str)]
    if len(set(texts)) == len(names):
        return {"id": identity.decode(), "fields": dict(zip(texts, values, strict=True))}
    return {"id": identity.decode(), "pairs": [list(pair) for pair in zip(names, values, strict=True)]}


def _json(value: bytes) -> JsonValue:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _score(score: float) -> JsonValue:
    """JSON has no infinite numbers: they are texts, as Redis writes them."""
    return score if math.isfinite(score) else str(score)


def _line(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
