"""The sources, policies and format specifications that are shipped, and that names in them lead somewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.collecting import context

from base_ops.cli import cli
from base_ops.core.config import check_folder, config_dir
from base_ops.core.protocol import StepResult
from base_ops.data_ingestion.config.sources import load_source, source_ids
from base_ops.data_ingestion.jobs.scheduler.fallbacks import discover_fallback_sources
from base_ops.data_ingestion.options.agreements import BAD_ROWS_SHARE
from base_ops.data_ingestion.options.policies import FormatSpecificationsFile, load_policies
from base_ops.data_ingestion.options.retries import RetryPoliciesFile, RetryPolicySpec, policy_of
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile, load_schedules
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.converter import ConverterSpec
from base_ops.data_ingestion.specs.scheduler import DiscoverFallbackSourcesSpec
from base_ops.orchestration.request import step_request
from base_ops.worker.connectors import known_protocols, protocol_of
from base_ops.worker.formats.registry import known_formats

CONFIG = config_dir()
SHIPPED: dict[str, tuple[Any, ...]] = {
    # id: protocol, authentication template, requests a minute (HTTP), seconds (HTTP), retention
    "bloomberg-api": ("http", "oauth2_client_credentials", 1000, 30, "7y"),
    "reuters-eikon": ("http", "api_key_header", 500, 45, "5y"),
    "nyse-cloud": ("http", "jwt_rs256", 2000, 20, "10y"),
    "nasdaq-data-link": ("http", "api_key_query", 300, 60, "permanent"),
    "social-sentiment-api": ("http", "api_key_bearer", 100, 30, "2y"),
    "fred-economic-data": ("http", "api_key_query", 120, 30, "permanent"),
    "satellite-imagery": ("http", "oauth2_client_credentials", 50 / 60, 600, "2y"),
    "portfolio-postgres": ("sql", "postgresql", None, 60, "10y"),
    "risk-mysql": ("sql", "mysql", None, 60, "7y"),
    "analytics-mongo": ("mongo", "mongodb", None, 30, "5y"),
    "vendor-oracle": ("sql", "oracle", None, 30, "permanent"),
    "s3-daily-reports": ("s3", "aws_iam", None, 30, "7y"),
    "azure-research-data": ("abfs", "azure_service_principal", None, 30, "5y"),
    "gcs-backup-data": ("gs", "gcp_service_account", None, 30, "1y"),
    "pb-sftp": ("sftp", "ssh_key", None, 30, "10y"),
    "custodian-sftp": ("sftp", "ssh_key", None, 30, "10y"),
    "kafka-market-stream": ("kafka", "kafka_sasl_ssl", None, 30, "7y"),
    "rabbitmq-order-stream": ("rabbitmq", "rabbitmq_tls", None, 30, "10y"),
    "kinesis-audit-logs": ("kinesis", "aws_iam", None, 30, "3y"),
}


def test_the_nineteen_are_there() -> None:
    assert len(SHIPPED) == 19 and set(SHIPPED) < set(source_ids(CONFIG))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_source_says_what_was_agreed_on(name: str) -> None:
    source = SourceSpec.model_validate(load_source(name, CONFIG))
    template = source.authentication.template if source.authentication else None
    rate = getattr(source.block, "rate", None)
    per_minute = rate.requests / rate.per_s * 60 if rate else None
    seconds = source.connecting.resolved().timeout_s
    if source.http is not None and "timeout_s" in source.http.model_fields_set:
        seconds = source.http.timeout_s
    found = (protocol_of(source), template, per_minute, seconds, source.agreement.retention)
    assert found == tuple(v if isinstance(v, str | None) else pytest.approx(v) for v in SHIPPED[name])
    assert protocol_of(source) in known_protocols()
    agreement = source.agreement
    assert agreement.category and agreement.purpose and agreement.lawful_basis and agreement.data_types
    tolerated = load_policies(CONFIG).failure_tolerance[agreement.priority]
    assert agreement.max_error_share == tolerated
    assert ConverterSpec(source=source, target="staging:x").bad_rows_share == tolerated
    assert ConverterSpec(source=source, target="staging:x", max_error_share=0.5).bad_rows_share == 0.5


def test_what_is_tolerated_without_an_agreement() -> None:
    assert ConverterSpec(source="a.csv", target="b.parquet").bad_rows_share == BAD_ROWS_SHARE
    source = SourceSpec.model_validate({"id": "s", "files": {"path": "/d/*.csv"}})
    assert ConverterSpec(source=source, target="staging:x").bad_rows_share == BAD_ROWS_SHARE


def test_a_declared_format_bounds_its_objects_unless_the_source_does(tmp_path: Path) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    sources = tmp_path / "config" / "data_ingestion" / "sources"
    (sources / "a.yaml").write_text("id: a\nfiles: {path: /d/*.csv}\nread: {format: csv}\n")
    (sources / "b.yaml").write_text("id: b\nmax_object_bytes: 7\nfiles: {path: /d/*.csv}\nread: {format: csv}\n")
    (sources / "c.yaml").write_text("id: c\nfiles: {path: /d/*.csv}\n")
    most = [load_source(name, tmp_path / "config").get("max_object_bytes") for name in "abc"]
    assert most == [500 << 20, 7, None]


def test_every_format_is_specified() -> None:
    from base_ops.core.config import load_config

    found = load_config(FormatSpecificationsFile, CONFIG / "data_ingestion" / "format-specifications.yaml")
    assert set(found.formats) == set(known_formats()) - {"raw_text"}


LOST = {
    "a schedule's source": (
        "schedules.yaml", "sources: [bloomberg-api, reuters-eikon]", "sources: [bloomberg-api, forex_api]",
        "schedules.financial_data.sources.1", "'forex_api' is not declared",
    ),
    "a fallback": (
        "schedules.yaml", "- {source: nasdaq-data-link, quality: 0.9}", "- {source: yahoo_finance, quality: 0.7}",
        "fallbacks.nyse-cloud.0.source", "'yahoo_finance' is not declared",
    ),
    "who falls back": (
        "schedules.yaml", "  nyse-cloud:\n", "  nyse-clod:\n", "fallbacks.nyse-clod", "Did you mean 'nyse-cloud'?",
    ),
    "a policy's source": (
        "retry-policies.yaml", "  reuters-eikon: reuters", "  crypto_api: reuters", "sources.crypto_api", "crypto_api",
    ),
    "a policy's fallback": (
        "retry-policies.yaml", "{source: nasdaq-data-link, quality: 0.9}", "{source: nasdaq, quality: 0.9}",
        "policies.nyse.fallback.options.0.source", "'nasdaq' is not declared",
    ),
    "a mapping rule": (
        "ingestion-policies.yaml", "sources: [fred-economic-data]", "sources: [fred]", "mapping_rules.5.sources.0", "fred",
    ),
    "an agreement's schedule": (
        "sources/pb-sftp.yaml", "schedule: prime_broker", "schedule: prime_brokers", "agreement.schedule",
        "Did you mean 'prime_broker'?",
    ),
    "an agreement's retention": (
        "sources/pb-sftp.yaml", "retention: 10y", "retention: ten years", "agreement.retention", "ten years",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_a_name_that_leads_nowhere_is_told_with_file_line_and_key(case: str, tmp_path: Path) -> None:
    file, right, wrong, key, told = LOST[case]
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "data_ingestion" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    line = 1 + path.read_text()[: path.read_text().index(wrong)].count("\n")
    done = CliRunner().invoke(cli, ["config", "check", "--config-dir", str(tmp_path / "config")])
    said = " ".join(done.output.split())
    assert done.exit_code == 30 and "1 are not" in said
    assert f"{path.name}, line {line}, key {key}" in said and told in said


def test_the_shipped_names_lead_somewhere() -> None:
    known = set(source_ids(CONFIG))
    for kind, name in ((SchedulesFile, "schedules"), (RetryPoliciesFile, "retry-policies")):
        from base_ops.core.config import load_config

        named = {source for _, source in load_config(kind, CONFIG / "data_ingestion" / f"{name}.yaml").references()}
        assert named and named <= known
    assert not check_folder(CONFIG)[1] and set(load_schedules(CONFIG).fallbacks) <= known


def test_without_a_declared_fallback_the_same_type_of_data_stands_in(tmp_path: Path) -> None:
    def offered(source: str) -> list[Any]:
        step = StepResult(agent="data_ingestion.scheduler", action="discover_fallback_sources")
        spec = DiscoverFallbackSourcesSpec(action="discover_fallback_sources", source=source)
        discover_fallback_sources(spec.completed(), context(tmp_path), step)
        return list(step.observations["fallbacks"])  # type: ignore[call-overload]

    assert [item["source"] for item in offered("custodian-sftp")] == ["portfolio-postgres", "pb-sftp"]
    assert all(item["degraded"] for item in offered("custodian-sftp"))
    assert offered("nyse-cloud")[0] == {"source": "nasdaq-data-link", "quality": 0.9, "degraded": False}
    assert offered("kinesis-audit-logs") == []


def test_a_request_carries_what_the_configuration_says() -> None:
    """A pod has no configuration: what a spec leaves to it is filled in where the Request is made."""
    failure = {"source": "nyse-cloud", "code": "timeout"}
    retry, _ = step_request("data_ingestion.fetch_retry", {"source": "nyse-cloud", "failure": failure})
    assert retry.spec["policy"] == policy_of("nyse-cloud").model_dump(mode="json", exclude_unset=True)
    asked = {"action": "discover_fallback_sources", "source": "custodian-sftp"}
    fallback, _ = step_request("data_ingestion.scheduler", asked)
    assert fallback.spec["stand_ins"] and "nasdaq-data-link" in fallback.spec["sources"]
    assert fallback.spec["schedules"]["fallbacks"]
    again, _ = step_request("data_ingestion.scheduler", {"action": fallback.action, **fallback.spec})
    assert again == fallback


def test_sources_that_are_not_set_up_say_so_and_fail_nothing(base_home: Path) -> None:
    done = CliRunner().invoke(cli, ["sources", "check", "--json"])
    told = {item["source"]: item for item in json.loads(done.stdout)}
    assert done.exit_code == 0 and set(SHIPPED) < set(told)
    assert all(told[name]["set_up"] is False and not told[name]["ok"] for name in SHIPPED)
    shown = " ".join(CliRunner().invoke(cli, ["sources", "check"]).output.split())
    assert "not set up: connection pb_sftp" in shown and "airflow connections add" in shown
    assert CliRunner().invoke(cli, ["sources", "check", "--source", "pb-sftp"]).exit_code == 30


def test_the_retry_policy_of_a_source_is_its_own_else_that_of_its_protocol(tmp_path: Path) -> None:
    assert policy_of("bloomberg-api").default.backoff.max_s == 60
    assert policy_of("risk-mysql").default.backoff.kind == "linear", "sql"
    assert policy_of("kafka-market-stream").default.tries is None, "streams go on for ever"
    assert policy_of("nyse-cloud").fallback.options[0].source == "nasdaq-data-link"
    assert policy_of("nobody").codes["429"].tries == 10, "the default policy"
    assert policy_of("nobody", tmp_path) == RetryPolicySpec(), "no file"
