# ruff: noqa: DTZ001  (columns without a time zone are part of what is tested)
"""The masker: exact constructions, nothing shown, nothing published when something is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.spec import parse_spec
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.data_security.jobs import masker
from base_ops.data_security.specs.masker import MaskerSpec, PartialMask
from base_ops.worker.engine.onepass import run_pass
from base_ops.worker.engine.plan import POINTER, Batch
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.secrets import Secrets

KEY = "correct horse battery staple"
CTX = SimpleNamespace(
    secrets=Secrets(
        Path("/nowhere"), {"pii": {"password": KEY}, "other": {"password": KEY[::-1]}, "weak": {"password": "hunter2"}}
    )
)
HASH = {"method": "hash", "key": "pii"}
TOKEN = {"method": "tokenize", "key": "pii"}


def bind(columns: dict[str, Any]) -> masker.Masker:
    return masker.step(MaskerSpec(columns=columns), CTX)


def masked(mask: dict[str, Any], values: list[Any], dtype: Any = pl.String) -> list[str | None]:
    frame = pl.DataFrame({"x": values}, schema={"x": dtype})
    out = frame.with_columns(*bind({"x": mask}).plan(frame.schema).transforms)
    assert out.schema == {"x": pl.String}
    return out["x"].to_list()


def reference(value: str, domain: str = "default", key: str = KEY) -> bytes:
    return hmac.new(key.encode(), domain.encode() + b"\x1f" + value.encode(), hashlib.sha256).digest()


VALUES = ["ACC1", "", " ", "日本", "e\u0301", "a\x1fb", "x" * 10_000, None, "ACC1"]


def test_hash_is_hmac_sha_256() -> None:
    assert masked(HASH, VALUES) == [None if v is None else reference(v).hex() for v in VALUES]


def test_token_is_the_first_128_bits_in_base_32() -> None:
    expected = [
        None if v is None else "tok_" + base64.b32encode(reference(v)[:16]).decode().rstrip("=").lower() for v in VALUES
    ]
    assert masked(TOKEN, VALUES) == expected
    assert {len(v) for v in expected if v} == {30}


@given(st.lists(st.one_of(st.none(), st.text())), st.sampled_from(["default", "a", "a.b"]))
def test_equal_values_stay_equal_inside_a_domain(values: list[str | None], domain: str) -> None:
    found = masked({**TOKEN, "domain": domain}, values)
    expected = [
        None if v is None else "tok_" + base64.b32encode(reference(v, domain)[:16]).decode().rstrip("=").lower()
        for v in values
    ]
    assert found == expected


@pytest.mark.parametrize("key", ["k" * 16, "k" * 64, "k" * 65, "ключ-из-кириллицы-длинный"])
def test_keys_of_every_length(key: str) -> None:
    ctx = SimpleNamespace(secrets=Secrets(Path("/nowhere"), {"pii": {"password": key}}))
    plan = masker.step(MaskerSpec(columns={"x": HASH}), ctx).plan(pl.Schema({"x": pl.String}))
    assert pl.DataFrame({"x": ["v"]}).with_columns(*plan.transforms).item() == reference("v", key=key).hex()


def test_domains_and_keys_separate() -> None:
    variants = [HASH, {**HASH, "domain": "other"}, {**HASH, "key": "other"}, {**TOKEN, "domain": "other"}]
    found = [masked(mask, ["ACC1"])[0] for mask in variants]
    assert len(set(found)) == len(variants)


def test_redact() -> None:
    assert masked({"method": "redact"}, ["a", "", "***", None]) == ["***", "***", "***", None]
    assert masked({"method": "redact", "text": "gone"}, [1, None], pl.Int64) == ["gone", None]


@pytest.mark.parametrize(
    ("first", "last", "value", "expected"),
    [
        (0, 4, "1234567890", "******7890"),
        (0, 4, "12345678", "****5678"),
        (0, 4, "1234567", "*******"),
        (0, 4, "", ""),
        (6, 4, "4111111111111111", "****************"),
        (6, 4, "41111111111111112222", "411111**********2222"),
        (1, 1, "日本語です", "日***す"),
        (2, 0, "a\nbcd", "a\n***"),
        (0, 0, "abc", "***"),
        (0, 1, "e\u0301", "*\u0301"),
        (0, 2, "😀😀ab", "**ab"),
    ],
)
def test_partial(first: int, last: int, value: str, expected: str) -> None:
    found = masked({"method": "partial", "keep_first": first, "keep_last": last}, [value, None])
    assert found == [expected, None]


@given(st.text(), st.integers(0, 6), st.integers(0, 4), st.sampled_from("*#$x\\"))
def test_partial_keeps_length_and_shows_at_most_half(value: str, first: int, last: int, character: str) -> None:
    expr = masker.partial(pl.col("x"), PartialMask(keep_first=first, keep_last=last, character=character))
    found = pl.DataFrame({"x": [value]}).select(expr).item()
    hides_all = 2 * (first + last) > len(value)
    tail = value[len(value) - last :] if last else ""
    middle = character * (len(value) - first - last)
    assert found == (character * len(value) if hides_all else value[:first] + middle + tail)


# -- one canonical text per value


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([7], pl.Int64, "7"),
        ([7], pl.UInt8, "7"),
        ([-7], pl.Int128, "-7"),
        ([7.0], pl.Float64, "7"),
        ([Decimal("7.00")], pl.Decimal(10, 2), "7"),
        (["7"], pl.Categorical(), "7"),
        ([0.1], pl.Float64, "0.1"),
        ([Decimal("0.10")], pl.Decimal(10, 2), "0.1"),
        ([-0.0], pl.Float64, "0"),
        ([100.0], pl.Float64, "100"),
        ([1e16], pl.Float64, "10000000000000000"),
        ([1.5e-7], pl.Float64, "1.5e-07"),
        ([float("nan")], pl.Float64, "nan"),
        ([True], pl.Boolean, "true"),
        ([False], pl.Boolean, "false"),
        ([date(2024, 2, 29)], pl.Date, "2024-02-29"),
        ([time(9, 30)], pl.Time, "09:30:00"),
        ([datetime(2024, 2, 29, 1, 2, 3)], pl.Datetime("ns"), "2024-02-29T01:02:03"),
        ([datetime(2024, 2, 29, 1, 2, 3, 500_000)], pl.Datetime("us"), "2024-02-29T01:02:03.500"),
        (
            [datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Zurich"))],
            pl.Datetime("us", "Europe/Zurich"),
            "2024-07-01T10:00:00Z",
        ),
        ([datetime(2024, 7, 1, 10, tzinfo=UTC)], pl.Datetime("ms", "UTC"), "2024-07-01T10:00:00Z"),
    ],
)
def test_canonical_text(values: list[Any], dtype: Any, text: str) -> None:
    assert masked(HASH, [*values, None], dtype) == [reference(text).hex(), None]


# -- fail closed


def test_missing_column() -> None:
    with pytest.raises(ConfigError, match=r"'acount'.*Did you mean 'account'.*nothing is published") as caught:
        bind({"acount": HASH}).plan(pl.Schema({"account": pl.String, POINTER: pl.Int64}))
    assert caught.value.code == "unknown_column"
    with pytest.raises(ConfigError):
        bind({POINTER: {"method": "redact"}}).plan(pl.Schema({"account": pl.String, POINTER: pl.Int64}))


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Struct({"a": pl.String}), pl.Binary(), pl.Duration("us")])
@pytest.mark.parametrize("mask", [HASH, {"method": "redact"}, {"method": "partial"}])
def test_types_without_a_text(dtype: Any, mask: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        bind({"x": mask}).plan(pl.Schema({"x": dtype}))
    assert caught.value.code == "unfit_type"


def test_weak_or_missing_key_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as caught:
        bind({"x": {**HASH, "key": "weak"}})
    assert caught.value.code == "weak_key"
    assert "hunter2" not in caught.value.text()
    with pytest.raises(ConfigError) as caught:
        bind({"x": {**HASH, "key": "nowhere"}})
    assert caught.value.code == "unknown_connection"


def test_domain_cannot_forge_a_message() -> None:
    with pytest.raises(ConfigError, match="domain"):
        parse_spec(AgentId.parse("data_security.masker"), {"columns": {"x": {**HASH, "domain": "a\x1fb"}}})


def test_key_is_in_no_representation() -> None:
    bound = bind({"x": HASH, "y": TOKEN})
    plan = bound.plan(pl.Schema({"x": pl.String, "y": pl.String}))
    shown = (
        repr(bound)
        + repr(plan)
        + str(plan.transforms)
        + repr(bound.key_parts)
        + repr(masker.Keyed(KEY.encode(), "d", masker._hex, "x"))
    )
    assert KEY not in shown
    assert "battery" not in shown


def test_other_key_is_other_work() -> None:
    other = SimpleNamespace(secrets=Secrets(Path("/nowhere"), {"pii": {"password": KEY + "2"}}))
    spec = MaskerSpec(columns={"x": HASH})
    assert masker.step(spec, CTX).key_parts == masker.step(spec, CTX).key_parts != masker.step(spec, other).key_parts


def test_a_value_that_would_pass_unmasked_stops_the_job() -> None:
    keyed = masker.Keyed(KEY.encode(), "default", lambda digests: pl.Series(["a"]), "x")
    with pytest.raises(BadInput) as caught:
        keyed.mask(pl.Series(["a", "a", None]))
    assert caught.value.code == "masking_check_failed"


def test_a_lost_or_invented_value_stops_the_job() -> None:
    for text in (["m", "m"], [None, None]):
        both = pl.DataFrame(
            {"null": [True, False], "text": text}, schema={"null": pl.Boolean, "text": pl.String}
        ).to_struct("both")
        with pytest.raises(BadInput) as caught:
            masker._checked(both, "x")
        assert caught.value.code == "masking_check_failed"


# -- through the engine


class Rows:
    def __init__(self, frames: list[pl.DataFrame]) -> None:
        self.frames = frames
        self.schema = pl.Schema({c: t for c, t in frames[0].schema.items() if c != POINTER})
        self.findings: list[Any] = []

    def batches(self):
        for frame in self.frames:
            yield Batch(frame)


def test_no_secret_byte_is_published(tmp_path: Path) -> None:
    rows = 10_000
    secrets = [f"SECRET-{hashlib.sha256(str(i).encode()).hexdigest()[:20]}" for i in range(rows)]
    frame = pl.DataFrame(
        {"n": range(rows), "a": secrets, "b": secrets, "c": secrets, "d": secrets, POINTER: range(1, rows + 1)},
        schema_overrides={POINTER: pl.Int64},
    )
    bound = bind({"a": HASH, "b": {**TOKEN, "domain": "b"}, "c": {"method": "redact"}, "d": {"method": "partial"}})
    target = tmp_path / "out.ndjson"
    done = run_pass(
        Rows([frame[:4000], frame[4000:]]),
        [bound],
        target,
        object_uri="o",
        dataset="src",
        kind="ndjson",
        write=WriteSpec(),
        quarantine=Quarantine(Store(str(tmp_path / "lake")), "q", tmp_path, ()),
    )
    content = target.read_text()
    assert set(re.findall("SECRET-[0-9a-f]{20}", "".join(secrets))) == set(secrets)
    assert not set(re.findall("SECRET-[0-9a-f]{20}", content)) & set(secrets)
    out = pl.read_ndjson(target)
    assert out["n"].to_list() == list(range(rows))
    assert out["a"].to_list() == [reference(s).hex() for s in secrets]
    assert done.stages[0].observed == {f"masked_values.{c}": rows for c in "abcd"}
    how = {c.column: (c.inputs, c.transformation) for c in done.columns}
    assert how["a"] == ([("src", "a")], "mask:hash")
    assert how["n"] == ([("src", "n")], "identity")


def test_cache_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masker, "_CACHED_VALUES", 3)
    keyed = masker.Keyed(KEY.encode(), "default", masker._hex, "x")
    for values in (["a", "b", "c", "d"], ["d", "e", "a"], ["a", "e"]):
        assert keyed.mask(pl.Series(values)).to_list() == [reference(v).hex() for v in values]
    assert len(keyed.seen) == 3
