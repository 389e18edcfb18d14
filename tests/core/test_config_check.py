"""`base-ops config check`: whatever is wrong in a configuration folder is told once, with file, line and key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from base_ops.core.config import check_folder, config_dir
from base_ops.core.errors import ConfigError
from base_ops.core.yamlio import parse_yaml

SECRET = "hunter2-hunter2"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcde", "bcdef", strict=True)
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped configuration, to be damaged."""
    shutil.copytree(config_dir(), tmp_path / "config")
    return tmp_path / "config" / "data_ingestion"


WRITTEN: dict[str, tuple[str, str | bytes, str]] = {
    # content of sources/x.yaml, where it is told, what is said
    "a tab": ("id: x\nhttp:\n\tpath: /v1\n", "line 3", "YAML takes no tabs"),
    "an anchor that is not there": ("id: x\nconnection: *c\n", "line 2", "undefined alias"),
    "an anchor that holds itself": ("id: x\nhttp: &a\n  params: *a\n", "line 2", "an anchor holds itself"),
    "an anchor bomb": (BOMB, "line 1", "more than 100000 values"),
    "a wrong key from an anchor": ("id: x\nhttp: &a {path: /v}\nread: {<<: *a}\n", "line 3, key read.path", "not known"),
    "a key that is a list": ("? [a]\n: 1\nid: x\n", "line 1", "a key that is no text"),
    "far too deep": ("id: x\nhttp: " + "[" * 60_000, "line 2", "nested too deeply"),
    "too deep": ("id: x\nhttp: " + "[" * 3000 + "]" * 3000, "line 2", "nested too deeply"),
    "a date that never was": ("id: x\ntitle: 2026-02-30\n", "line 2", "'2026-02-30' is no timestamp"),
    "a control character": (b'id: x\ntitle: "a\x00"\n', "line 2", "control character"),
    "no UTF-8": (b"id: x\ntitle: caf\xe9\n", "line 2", "save the file as UTF-8"),
    "two documents": ("id: x\n---\nid: y\n", "line 2", "another document"),
    "nothing in it": ("", "line 1, key id", "source.id is required"),
    "a list": ("- id: x\n", "line 1", "a map of keys and values"),
    "a list where a map is due": ("id: x\nhttp: [/v1]\n", "line 2, key http", "a map of keys and values"),
    "a number for a text": ("id: 7\nhttp: {path: /v1}\n", "line 1, key id", "write it in quotes"),
    "TLS without quotes": (
        "id: x\nconnection: c\nhttp: {path: /v1}\nauthentication: {template: basic, tls: {min_version: 1.3}}\n",
        "line 4, key authentication.tls.min_version",
        "write 1.3 in quotes",
    ),
    "a weak cipher": (
        "id: x\nconnection: c\nhttp: {path: /v1}\nauthentication: {template: basic, tls: {ciphers: [eNULL]}}\n",
        "line 4, key authentication.tls.ciphers.0",
        "Known: ECDHE-",
    ),
    "a key of another template": (
        "id: x\nconnection: c\nhttp: {path: /v1}\nauthentication: {template: digest, token_urk: x}\n",
        "line 4, key authentication.token_urk",
        "Known: cache_s, kind, refresh_before_s",
    ),
    "a wait without end": ("id: x\nhttp: {path: /v1, timeout_s: .inf}\n", "line 2, key http.timeout_s", "finite"),
    "an unknown format": ("id: x\nhttp: {path: /v1}\nread: {format: parkett}\n", "key read.format", "'parquet'?"),
    "two faults": (
        "id: x\nhttp:\n  path: /v1\n  tires: 3\n  timeout_s: long\n",
        "line 4, key http.tires; line 5, key http.timeout_s",
        "Did you mean 'tries'",
    ),
    "an unknown template": (
        "id: x\nconnection: c\nauthentication: {template: basc}\nhttp: {path: /v1}\n",
        "line 3, key authentication.template",
        "Did you mean 'basic'",
    ),
    "an unknown template and more": (
        "id: x\nconnection: c\nhttp: {path: /v1}\nfilez: {path: /d}\nagreement: {priority: criticl}\n"
        "authentication: {template: basc, nme: y}\n",
        "line 6, key authentication.template; line 4, key filez; line 5, key agreement.priority",
        "Did you mean 'basic'? … source.filez is not known. Did you mean 'files'? … 'critical'",
    ),
    "an unknown template where one is needed": (
        "id: x\nconnection: c\nauthentication: {template: mutal_tls}\nhttp: {path: /v1}\nconnecting: {profile: secure}\n",
        "line 3, key authentication.template",
        "Did you mean 'mutual_tls'? Known: ",
    ),
    "seven faults": (
        "id: x\n" + "".join(f"wrong_{n}: 1\n" for n in range(7)),
        "line 2, key wrong_0; line 3, key wrong_1; line 4, key wrong_2; line 5, key wrong_3; line 6, key wrong_4",
        "; and 2 more",
    ),
    "a password": (f"id: x\npassword: {SECRET}\nhttp: {{path: /v1}}\n", "line 2, key password", "put it into the conn"),
    "a password in a template": (
        f"id: x\nconnection: c\nauthentication: {{template: basic, password: {SECRET}}}\nhttp: {{path: /v1}}\n",
        "line 3, key authentication.password",
        "put it into the connection",
    ),
    "a connection written out": (
        f"id: x\nconnection: {{login: me, password: {SECRET}}}\nhttp: {{path: /v1}}\n",
        "line 2, key connection",
        "{login, password}",
    ),
    "a connection as a URI": (
        f"id: x\nconnection: postgresql://me:{SECRET}@db/x\nsql: {{query: select 1}}\n",
        "line 2, key connection",
        "a connection's name is expected",
    ),
    "a password in an address": (
        f"id: x\nhttp: {{path: 'https://me:{SECRET}@api/v1'}}\n", "line 2, key http.path", "without credentials",
    ),
    "a key in an address": (
        f"id: x\nhttp: {{path: 'https://api/v1?api_key={SECRET}'}}\n", "line 2, key http.path", "see params",
    ),
    "a password in a path": (
        f"id: x\nfiles: {{path: 'sftp://me:{SECRET}@host/*.csv'}}\n", "line 2, key files.path", "put them into the",
    ),
    "a key among parameters": (
        f"id: x\nhttp: {{path: /v1, params: {{api_key: {SECRET}}}}}\n", "line 2, key http.params", "api_key_query",
    ),
    "a token among parameters": (
        f"id: x\nhttp: {{path: /v1, params: {{Access-Token: {SECRET}}}}}\n", "line 2, key http.params", "api_key_query",
    ),
    "a signature among parameters": (
        f"id: x\nhttp: {{path: /v1, params: {{sig: {SECRET}}}}}\n", "line 2, key http.params", "api_key_query",
    ),
    "keys in turn": (
        f"id: x\nhttp: {{path: /v1, each: {{api_key: [{SECRET}]}}}}\n", "line 2, key http.each", "api_key_query",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_a_faulty_source_is_told_with_line_and_key_and_no_secret(case: str, config: Path) -> None:
    content, where, said = WRITTEN[case]
    (config / "sources" / "x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    (fault,) = check_folder(config.parent)[1]
    assert where in fault.where.partition(f"{config / 'sources' / 'x.yaml'}, ")[2]
    assert fault.where.count("line ") == max(1, where.count("line "))
    assert all(part in fault.text() for part in said.split(" … ")) and SECRET not in fault.text()


@pytest.mark.parametrize("param", ["token: USDC", "page_token: a", "next-token: a", "credentials: include", "key: EXR"])
def test_parameters_that_only_sound_like_secrets_are_taken(param: str, config: Path) -> None:
    name, _, value = param.partition(": ")
    (config / "sources" / "x.yaml").write_text(
        f"id: x\nmode: append\nhttp: {{path: /v1, params: {{{param}}}, each: {{{name}: [{value}]}}}}\n"
    )
    assert check_folder(config.parent)[1] == []


CHANGED: dict[str, tuple[str, str, str, str, str]] = {
    # file, what is right, what is wrong, the key that is named, what is said
    "a pool": ("schedules.yaml", "pool: high", "pool: hihg", "schedules.nyse.pool", "Did you mean 'high'"),
    "the backfill's pool": ("schedules.yaml", "pool: low}", "pool: lwo}", "backfill.pool", "Did you mean 'low'"),
    "a window": (
        "schedules.yaml", "maintenance: weekly_shift", "maintenance: weekly_shfit",
        "schedules.daily_batch.when.maintenance", "Did you mean 'weekly_shift'",
    ),
    "a calendar": ("schedules.yaml", "market: XNYS", "market: XNYZ", "schedules.nyse.when.market", "'XNYZ' is not known"),
    "an hour when it is closed": (
        "schedules.yaml", '"*/5 9-16 * * 1-5"', '"*/5 3-4 * * 1-5"', "schedules.nyse.when", "never runs",
    ),
    "a circle": (
        "schedules.yaml", "when: {after: [end_of_day, daily_batch]}", "when: {after: after_end_of_day}",
        "schedules.after_end_of_day.when.after", "these wait for each other",
    ),
    "a schedule to wait for": (
        "schedules.yaml", "after: [end_of_day,", "after: [end_of_dya,", "schedules.after_end_of_day.when.after",
        "Did you mean 'end_of_day'",
    ),
    "a schedule by name": (
        "schedules.yaml", "when: {every: 60s}", "when: {use: nyse}", "schedules.crypto.when", "written out",
    ),
    "itself as fallback": (
        "schedules.yaml", "{source: nasdaq-data-link, quality: 0.9}", "{source: nyse-cloud, quality: 0.9}",
        "fallbacks.nyse-cloud.0.source", "cannot stand in for itself",
    ),
    "a policy": ("retry-policies.yaml", "http: default", "http: defualt", "protocols.http", "Did you mean 'default'"),
    "a code": ("retry-policies.yaml", "deadlock: {", "dead_lock: {", "policies.default.codes.dead_lock", "Did you mean 'deadlock'"),
    "a status": ("retry-policies.yaml", '"502": {', '"5020": {', "policies.default.codes.5020", "neither an HTTP status nor known"),
    "a protocol": ("retry-policies.yaml", "http: default", "htpp: default", "protocols.htpp", "Did you mean 'http'"),
    "a kind of template": (
        "authentication-templates.yaml", "kind: oauth2", "kind: oauth", "templates.oauth2_client_credentials.kind",
        "Did you mean 'oauth2'",
    ),
    "a template's key": (
        "authentication-templates.yaml", "algorithm: RS256", "algoritm: RS256", "templates.jwt_rs256.algoritm",
        "Did you mean 'algorithm'",
    ),
    "a file others lean on": (
        "ingestion-policies.yaml", "failure_tolerance", "failure_tolerence", "failure_tolerence",
        "Did you mean 'failure_tolerance'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_a_fault_of_a_shared_file_is_told_once_where_it_is(case: str, config: Path) -> None:
    name, right, wrong, key, said = CHANGED[case]
    text = (config / name).read_text()
    assert right in text
    (config / name).write_text(text.replace(right, wrong, 1))
    (fault,) = check_folder(config.parent)[1]
    assert fault.where.startswith(f"{config / name}, line ") and fault.where.endswith(f", key {key}")
    assert int(fault.where.partition(", line ")[2].partition(",")[0]) > 1 and said in fault.text()
    assert len(fault.text()) < 900


@pytest.mark.parametrize(
    "name", ["sources/x.yml", "sources/X.YAML", "sources/sub/x.yaml", "schedule.yaml", "../di/x.yaml"]
)
def test_a_file_that_nothing_reads_is_told(name: str, config: Path) -> None:
    (config / name).parent.mkdir(exist_ok=True)
    (config / name).write_text("id: x\nhttp: {path: /v1}\n")
    (fault,) = check_folder(config.parent)[1]
    assert fault.code == "unknown_config" and Path(name).name in fault.where


@pytest.mark.parametrize("text", ['{"a": 1', '{"calendar": "XNYS", "timezone": "Mars/Phobos"}'])
def test_a_broken_calendar_is_told_once(text: str, config: Path) -> None:
    (config / "calendars").mkdir()
    (config / "calendars" / "XNYS.json").write_text(text)
    (fault,) = check_folder(config.parent)[1]
    assert fault.code == "bad_calendar" and "XNYS.json" in fault.where


def test_anchors_and_merged_keys_are_read_and_a_byte_order_mark_is_no_fault(config: Path) -> None:
    (config / "sources" / "x.yaml").write_text("\ufeffid: x\nhttp: {path: /v1}\n", encoding="utf-8")
    assert not check_folder(config.parent)[1]
    document = parse_yaml("a: &a {p: 1}\nb:\n  <<: *a\n  q: 2\n", "f")
    assert document.data["b"] == {"p": 1, "q": 2} and document.line("b", "q") == 4


@pytest.mark.parametrize(("env", "faults"), [("dev", 0), ("prod", 1)])
def test_verification_may_be_off_in_dev_only(
    env: str, faults: int, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASE_ENV", env)
    block = "authentication:\n  template: basic\n  tls: {verify: false}\n"
    (config / "sources" / "x.yaml").write_text(f"id: x\nconnection: c\nhttp: {{path: /v1}}\n{block}")
    found = check_folder(config.parent)[1]
    assert [fault.where for fault in found] == [
        f"{config / 'sources' / 'x.yaml'}, line 6, key authentication.tls.verify"
    ] * faults


def test_a_tag_of_python_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 1"):
        parse_yaml('a: !!python/object/apply:os.system ["true"]\n', "f")
