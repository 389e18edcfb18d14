"""What is known of a source before anything is declared: a URL or path, and what an answer showed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

SAMPLE_BYTES = 4096
_SCHEME = re.compile(r"^(?:jdbc:)?([A-Za-z][A-Za-z0-9+.\-]*):(?://|(?=/|thin:|@))")
_HOST_PORT = re.compile(r"^[A-Za-z0-9_.\-\[\]:,]+?:\d{2,5}(?:[/,;]|$)")
_HOST = re.compile(r"^[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+(?:/|$)")
_RESOURCE = re.compile(r"arn:aws:(\w+):|projects/[^/]+/(?:subscriptions|topics)/")
_END = re.compile(r"\.([a-z0-9]{1,8})(?:\.(?:gz|bz2|xz|zst|lz4))?$")


@dataclass(frozen=True)
class Clues:
    """All of it may be missing but the URL."""

    url: str
    """URL, JDBC URL, host:port, or path."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of an answer, names in lower case."""
    sample: bytes = b""
    """First bytes of an answer or object."""
    conn_type: str = ""
    """Type of the Airflow connection, where there is one."""
    size: int | None = None
    """Of the object, bytes."""
    updates_per_day: float | None = None
    """How often something new comes, where it is known."""

    @cached_property
    def scheme(self) -> str:
        """Lower case; `` where the text has none."""
        match = _SCHEME.match(self.url)
        return match[1].lower().split("+")[0] if match else ""

    @cached_property
    def parts(self) -> SplitResult:
        """As a URL; host:port without a scheme counts as one."""
        text = self.url.removeprefix("jdbc:")
        if not self.scheme and (_HOST_PORT.match(text) or (_HOST.match(text) and not text.startswith("."))):
            text = f"//{text}"
        try:
            return urlsplit(text)
        except ValueError:
            return SplitResult(self.scheme, "", self.url, "", "")

    @cached_property
    def host(self) -> str:
        """With its port; of a cloud resource's name, its service."""
        if (named := _RESOURCE.match(self.url)) is not None:
            return named[1] or "pubsub"
        return self.parts.netloc.rpartition("@")[2].lower()

    @cached_property
    def port(self) -> int:
        """0 where none is named."""
        match = re.search(r":(\d{2,5})(?!.*:\d)", self.host)
        return int(match[1]) if match else 0

    @cached_property
    def path(self) -> str:
        return self.parts.path.lower()

    @cached_property
    def extension(self) -> str:
        """Of the last part of the path, without what it is packed in; `` for none."""
        match = _END.search(self.path.rsplit("/", 1)[-1])
        return match[1] if match else ""

    @cached_property
    def mime(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @cached_property
    def text(self) -> str:
        """The sample as far as it is text."""
        return self.sample[:SAMPLE_BYTES].decode("utf-8", "replace")
