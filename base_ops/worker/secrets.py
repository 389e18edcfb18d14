"""Secrets: connections by name, from a pipe, mounted files or the environment; and the mask for logs.

Looked up in this order: the pipe the operator passed (local runner), `<connections>/<name>.json` (a mounted
Kubernetes Secret, or the local folder), `AIRFLOW_CONN_<NAME>` (for `base-ops run` beside an Airflow).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from base_ops.core.errors import ConfigError
from base_ops.core.ids import check_name

MASK = "***"
_NO_SECRETS = ("authentication", "connector")
"""Parts of a connection's extra that say how, as a source's YAML does; masked, no error could name the template."""


@dataclass(frozen=True)
class ConnectionInfo:
    """Host and credentials of one connection; its repr shows no secret."""

    name: str
    host: str = ""
    port: int | None = None
    scheme: str = ""
    login: str = ""
    schema: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    conn_type: str = ""

    @property
    def base_url(self) -> str:
        """`scheme://host[:port]`, https unless the connection says otherwise."""
        if "://" in self.host:
            return self.host.rstrip("/") + (f":{self.port}" if self.port else "")
        return f"{self.scheme or 'https'}://{self.host}" + (f":{self.port}" if self.port else "")

    def key(self, purpose: str, min_chars: int) -> str:
        """The password as a key.

        Raises:
            ConfigError: it is too short to be one.
        """
        if len(self.password) < min_chars:
            raise ConfigError(
                f"The {purpose} key of the connection {self.name!r} is too short",
                code="weak_key",
                where=f"connection {self.name}, password",
                expected=f"at least {min_chars} characters from a random generator",
                todo="openssl rand -base64 32",
            )
        return self.password


class Secrets:
    """Resolves connections and knows every secret value it has handed out, for masking."""

    def __init__(self, folder: Path, piped: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._piped = dict(piped or {})
        self._values: set[str] = set()
        for name in self._piped:
            try:
                self._remember(self._of_pipe(name))
            except ConfigError:  # told to who asks for it; whatever it holds is no less secret
                self._values.update(form for v in _secret_values(self._piped[name]) for form in _forms(v))

    @property
    def piped(self) -> dict[str, Any]:
        """What was handed over through the pipe, for a process that does a share of this one's work."""
        return dict(self._piped)

    def connection(self, name: str) -> ConnectionInfo:
        """Raises: ConfigError listing every place that was tried."""
        check_name(name, "connection")
        file = self._folder / f"{name}.json"
        variable = f"AIRFLOW_CONN_{name.upper()}"
        if name in self._piped:
            found = self._of_pipe(name)
        elif file.is_file():
            found = _read(name, str(file), lambda: _from_mapping(name, json.loads(file.read_text(encoding="utf-8"))))
        elif variable in os.environ:
            found = _read(name, f"${variable}", lambda: _from_text(name, os.environ[variable]))
        else:
            raise ConfigError(
                f"The connection {name!r} is not defined",
                code="unknown_connection",
                found=name,
                where=f"tried in order: Airflow connections (through the operator), {file}, ${variable}",
                todo=f"define it in Airflow (airflow connections add {name} …), or as {file.name} in that folder",
            )
        self._remember(found)
        return found

    def _of_pipe(self, name: str) -> ConnectionInfo:
        return _read(name, "Airflow connections", lambda: _from_mapping(name, self._piped[name]))

    def remember(self, value: str) -> None:
        """Mask this as well: a secret that was obtained with those of a connection, e.g. an access token."""
        if len(value) >= 4:
            self._values.update(_forms(value))

    def mask(self, text: str) -> str:
        """The text with every known secret value replaced, also where it is escaped or encoded."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        return text

    def _remember(self, found: ConnectionInfo) -> None:
        basic = [f"{found.login}:{found.password}"] if found.login and found.password else []  # as one in base64
        told = {key: value for key, value in found.extra.items() if key not in _NO_SECRETS}
        values = [*basic, found.password, *_secret_values(told)]
        self._values.update(form for v in values if len(v) >= 4 for form in _forms(v))


def _forms(value: str) -> set[str]:
    """A secret as it is, and as Python, JSON, URLs and base64 write it."""
    escaped = {repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    urls = {quote(value), quote(value, safe=""), quote_plus(value)}
    raw = value.encode()
    encoded = {encode(raw).decode().rstrip("=") for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    return {value, *escaped, *urls, *encoded}


def _secret_values(value: Any) -> list[str]:
    """All texts inside a connection's extra: any of them may be a secret."""
    if isinstance(value, Mapping):
        return [v for item in value.values() for v in _secret_values(item)]
    if isinstance(value, list):
        return [v for item in value for v in _secret_values(item)]
    return [value] if isinstance(value, str) and len(value) >= 8 else []


def _read(name: str, where: str, load: Callable[[], ConnectionInfo]) -> ConnectionInfo:
    """What `load` makes of a connection; what is wrong with it is told without a word of what it says."""
    try:
        return load()
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ConfigError(
            f"The connection {name!r} cannot be read",
            code="bad_connection",
            where=where,
            expected="a JSON object or URI: host, port (a number), login, password, extra (a JSON object), …",
            found="no JSON" if isinstance(error, json.JSONDecodeError) else "a part of another kind",
            todo="correct it where it is kept",
        ) from None


def _from_mapping(name: str, raw: Mapping[str, Any]) -> ConnectionInfo:
    extra = raw.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra) if extra.strip() else {}
    if not isinstance(extra, Mapping):
        raise TypeError
    text = {key: str(raw.get(key) or "") for key in ("host", "login", "schema", "password", "conn_type", "scheme")}
    text["scheme"] = text["scheme"] or _scheme(text["conn_type"], extra)
    return ConnectionInfo(name=name, port=int(raw["port"]) if raw.get("port") else None, extra=extra, **text)


def _scheme(conn_type: str, extra: Mapping[str, Any]) -> str:
    return conn_type if conn_type in ("http", "https") else str(extra.get("scheme", ""))


def _from_text(name: str, text: str) -> ConnectionInfo:
    """Airflow's two forms of a connection in the environment: JSON, or a URI."""
    if text.lstrip().startswith("{"):
        return _from_mapping(name, json.loads(text))
    parts = urlsplit(text)
    return ConnectionInfo(
        name=name,
        host=unquote(parts.hostname or ""),
        port=parts.port,
        scheme=parts.scheme if parts.scheme in ("http", "https") else "",
        login=unquote(parts.username or ""),
        schema=parts.path.lstrip("/"),
        password=unquote(parts.password or ""),
        extra=dict(parse_qsl(parts.query)),
        conn_type=parts.scheme,
    )
