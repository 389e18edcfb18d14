"""What a dialect is: how the bytes of one delimited text are to be taken apart."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec


@dataclass(frozen=True)
class Dialect:
    """All of it, nothing left to guess. Encodings are Python codec names; the other texts are one ASCII character."""

    encoding: str = "utf-8"
    bom_bytes: int = 0
    delimiter: str = ","
    quote: str = '"'
    """'' for none."""
    escape: str = ""
    """'' where a quote inside quotes is doubled."""
    header: bool = True
    eol: str = "\n"
    """'\\n' (a '\\r' before it belongs to the line end) or '\\r'."""
    skip_lines: int = 0
    """Physical lines before the header or the first record."""
    comment: str = ""
    label_rows: int = 0
    """Records below the header that are no data."""
    padded: bool = False
    """Blanks may stand around a quoted cell, and belong to nothing."""

    @property
    def is_utf8(self) -> bool:
        return self.encoding == "utf-8"

    @property
    def plain_quote(self) -> str:
        """The quote character of rewritten records."""
        return self.quote or '"'

    @property
    def padding(self) -> bytes:
        """The blanks that may stand around a quoted cell."""
        return b" \t".replace(self.delimiter.encode(), b"") if self.padded and self.quote else b""

    def describe(self) -> dict[str, str | int | bool]:
        """For a Finding."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "bom_bytes"}


def check_spec(spec: ReadSpec) -> None:
    """Raises: ConfigError where the spec asks for what no delimited text has."""
    for name in ("delimiter", "quote", "escape"):
        value = getattr(spec, name)
        if value and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
            raise ConfigError(
                f"read.{name}={value!r} cannot be used",
                code="bad_dialect",
                where=f"read.{name}",
                expected="one ASCII character other than a line end",
            )
    if spec.quote and spec.quote == (spec.delimiter or ","):
        raise ConfigError("read.quote and read.delimiter are the same", code="bad_dialect", where="read.quote")
    if spec.encoding:
        codec_name(spec.encoding)


def codec_name(name: str) -> str:
    """Python's own name of an encoding.

    Raises:
        ConfigError: there is no such text encoding.
    """
    try:
        info = codecs.lookup(name)
    except LookupError:
        info = None
    if info is None or not getattr(info, "_is_text_encoding", True):
        raise ConfigError(
            f"The encoding {name!r} is not known",
            code="unknown_encoding",
            where="read.encoding",
            expected="a Python codec, e.g. utf-8, utf-16, latin-1, cp1252",
        )
    return info.name
