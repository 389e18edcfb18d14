"""data_security.masker: hides sensitive columns; the other columns and the number of rows stay.

In: any rows. Out: the same columns, the masked ones as text. Null stays null in every method.

- hash      HMAC-SHA-256 (RFC 2104, FIPS 198-1) of the message `domain 0x1F value`, UTF-8, 64 hex characters
- tokenize  `tok_` and the first 128 bits of that HMAC in base 32 (RFC 4648, lower case, no padding: 26 characters)
- redact    a fixed text
- partial   the ends stay, every character between becomes one mask character

A domain cannot hold 0x1F, so no two (domain, value) pairs share a message. Columns of one key and domain can be
joined, also a hashed one with a tokenized one by whoever sees both.

Values that are not text are masked as one canonical text, so that a number is the same number in every type:
integers in base 10; decimals and floats without trailing zeros (7, 7.0 and 7.00 are `7`), floats in their shortest
round-trip form; booleans `true` and `false`; dates, times and timestamps in ISO 8601 with as many fractional digits
as needed (none, 3, 6 or 9), those with a zone in UTC with `Z`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.data_security.specs.masker import HashMask, Mask, MaskerSpec, PartialMask, RedactMask, TokenizeMask
from base_ops.worker.engine.plan import POINTER, Observation, Plan
from base_ops.worker.memo import Memo

AGENT = "data_security.masker"
MIN_KEY_CHARS = 16
_SEPARATOR = b"\x1f"
_BASE32 = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
_CACHED_VALUES = 200_000
"""Distinct values remembered per column: about 50 MB at most."""


@dataclass
class Masker:
    """The masker bound to its spec; holds the keys, and shows none."""

    action: str
    columns: dict[str, Mask]
    keys: dict[str, bytes] = field(repr=False)
    agent: str = AGENT

    @property
    def key_parts(self) -> dict[str, str]:
        """What changes the output besides the spec, for the commit key: fingerprints of the keys, not the keys."""
        return {
            name: hmac.digest(key, b"base_ops masker key fingerprint", "sha256").hex()[:16]
            for name, key in self.keys.items()
        }

    def plan(self, schema: pl.Schema) -> Plan:
        """One transform per column. Raises ConfigError where a column is not there or cannot be masked."""
        return Plan(
            transforms=tuple(self._masked(name, mask, schema) for name, mask in self.columns.items()),
            observations=tuple(Observation(f"masked_values.{name}", pl.col(name).count()) for name in self.columns),
            column_inputs={name: [name] for name in self.columns},
            transformations={name: f"mask:{mask.method}" for name, mask in self.columns.items()},
        )

    def _masked(self, name: str, mask: Mask, schema: pl.Schema) -> pl.Expr:
        known = [column for column in schema if column != POINTER]
        if name not in known:
            raise ConfigError(
                f"There is no column {name!r} to mask. {did_you_mean(name, known)}",
                code="unknown_column",
                where=f"spec.columns.{name}",
                todo="correct the name; nothing is published while a column to be masked is missing",
            )
        text = canonical_text(name, schema[name])
        masked = self._by_method(name, mask, text)
        return (
            pl.struct(pl.col(name).is_null().alias("null"), masked.alias("text"))
            .map_batches(lambda both: _checked(both, name), return_dtype=pl.String)
            .alias(name)
        )

    def _by_method(self, name: str, mask: Mask, text: pl.Expr) -> pl.Expr:
        if isinstance(mask, RedactMask):
            return pl.when(text.is_not_null()).then(pl.lit(mask.text))
        if isinstance(mask, PartialMask):
            return partial(text, mask)
        spell = _tokens if isinstance(mask, TokenizeMask) else _hex
        keyed = Keyed(self.keys[mask.key], mask.domain, spell, name)
        return text.map_batches(keyed.mask, return_dtype=pl.String)


def step(spec: MaskerSpec, ctx: Any) -> Masker:
    """The masker with its keys. Raises ConfigError where a key is missing or too short; its value is never shown."""
    names = sorted({m.key for m in spec.columns.values() if isinstance(m, (HashMask, TokenizeMask))})
    return Masker(spec.action, dict(spec.columns), {name: _key(name, ctx) for name in names})


def _key(name: str, ctx: Any) -> bytes:
    return ctx.secrets.connection(name).key("masking", MIN_KEY_CHARS).encode()


# -- methods


@dataclass
class Keyed:
    """HMAC of each distinct value once; what was seen before is remembered, up to a bound."""

    key: bytes = field(repr=False)
    domain: str
    spell: Callable[[pl.Series], pl.Series]
    """Digests (binary) to text."""
    column: str
    seen: Memo = field(default_factory=Memo, repr=False)

    def mask(self, values: pl.Series) -> pl.Series:
        """The masked values. Raises BadInput where a value would pass unmasked."""
        masked = self.seen.look_up(values)
        if masked.null_count() == values.null_count():
            return masked
        missing = (values.is_not_null() & masked.is_null()).arg_true()
        unknown = values.gather(missing)
        new = unknown.unique()
        made = self._masked(new)
        room = max(0, _CACHED_VALUES - len(self.seen))
        self.seen.add(new.head(room), made.head(room))
        known = pl.DataFrame([new.alias("value"), made.alias("mask")])
        found = unknown.alias("value").to_frame().join(known, on="value", how="left", maintain_order="left")
        return masked.scatter(missing, found["mask"])

    def _masked(self, distinct: pl.Series) -> pl.Series:
        masked = self.spell(pl.Series(self._digests(distinct.to_list()), dtype=pl.Binary))
        if (distinct == masked).any():
            raise BadInput(
                f"A value of {self.column} equals its mask, so it would be shown",
                code="masking_check_failed",
                where=f"column {self.column}",
                todo="look for masked data in the input; report it otherwise",
            )
        return masked

    def _digests(self, values: list[str]) -> list[bytes]:
        digests = []
        inner, outer = hmac_states(self.key, self.domain.encode() + _SEPARATOR)
        for value in values:
            message, whole = inner.copy(), outer.copy()
            message.update(value.encode())
            whole.update(message.digest())
            digests.append(whole.digest())
        return digests


def hmac_states(key: bytes, prefix: bytes) -> tuple[Any, Any]:
    """Inner and outer SHA-256 of HMAC (RFC 2104, section 2), the inner one fed with `prefix`: copying them for each
    message takes half the time of hmac.digest, which starts from the key every time."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    inner.update(prefix)
    return inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


def _hex(digests: pl.Series) -> pl.Series:
    return digests.bin.encode("hex")


def _tokens(digests: pl.Series) -> pl.Series:
    """`tok_` and 26 base-32 letters of the first 128 bits each, all at once."""
    first = np.frombuffer(b"".join(d[:16] for d in digests), np.uint8).reshape(-1, 16)
    bits = np.pad(np.unpackbits(first, axis=1), ((0, 0), (0, 2))).reshape(-1, 26, 5)
    letters = _BASE32[bits @ np.array([16, 8, 4, 2, 1], np.uint8)]
    texts = pl.Series(np.ascontiguousarray(letters).view("S26").ravel(), dtype=pl.Binary).cast(pl.String)
    return "tok_" + texts


def partial(text: pl.Expr, mask: PartialMask) -> pl.Expr:
    """Keep the ends, hide every character (code point) between; hide all where more than half would be seen."""
    size = text.str.len_chars().cast(pl.Int64)
    shown = mask.keep_first + mask.keep_last
    hide_all = size < 2 * shown
    start = pl.when(hide_all).then(0).otherwise(mask.keep_first)
    hidden = pl.when(hide_all).then(size).otherwise(size - shown)
    middle = text.str.slice(start, hidden).str.replace_all(r"(?s).", mask.character.replace("$", "$$"))
    head = pl.when(hide_all).then(pl.lit("")).otherwise(text.str.slice(0, mask.keep_first))
    tail = pl.when(hide_all).then(pl.lit("")).otherwise(text.str.slice(start + hidden, mask.keep_last))
    return head + middle + tail


def _checked(both: pl.Series, column: str) -> pl.Series:
    """Every value, and nothing else, became a masked text: whatever goes wrong above, nothing passes."""
    masked = both.struct.field("text")
    if not (both.struct.field("null") == masked.is_null()).all():
        raise BadInput(
            f"Not every value of {column} could be masked",
            code="masking_check_failed",
            where=f"column {column}",
            todo="report it",
        )
    return masked


# -- text of values


def canonical_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """The one text of a value, whatever type it came in. Raises ConfigError for nested and binary columns."""
    value = pl.col(name)
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return value.cast(pl.String)
    if dtype == pl.Boolean:
        return pl.when(value).then(pl.lit("true")).when(~value).then(pl.lit("false"))
    if dtype.is_integer():
        return value.cast(pl.String)
    if dtype.is_decimal() or dtype.is_float():
        return value.map_batches(_number_texts, return_dtype=pl.String)
    if dtype == pl.Date:
        return value.dt.to_string("%Y-%m-%d")
    if dtype == pl.Time:
        return value.dt.to_string("%H:%M:%S%.f")
    if isinstance(dtype, pl.Datetime):
        plain = value if dtype.time_zone is None else value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return plain.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + ("" if dtype.time_zone is None else "Z"))
    raise ConfigError(
        f"{name} holds {dtype}, which cannot be masked",
        code="unfit_type",
        where=f"spec.columns.{name}",
        expected="text, numbers, booleans, dates or times",
    )


def _number_texts(values: pl.Series) -> pl.Series:
    distinct = values.drop_nulls().unique()
    texts = pl.Series([_number_text(v) for v in distinct.to_list()], dtype=pl.String)
    return values.replace_strict(distinct, texts, default=None, return_dtype=pl.String)


def _number_text(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else format(value, "f")
    if "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".")
    elif re.fullmatch(r"-?\d+e\+?\d+", text):
        text = str(int(value))  # 1e+16 is an integer
    return "0" if text == "-0" else text
