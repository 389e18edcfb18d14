"""ids, outcomes, specs, settings, YAML: what the rest leans on."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.events import cloud_event
from base_ops.core.ids import AgentId, check_name, commit_key, uuid7
from base_ops.core.outcomes import EXIT_CODES, Outcome, outcome_of_exit
from base_ops.core.protocol import Counts, StepResult, check_balance
from base_ops.core.settings import load_settings
from base_ops.core.spec import parse_spec
from base_ops.core.yamlio import parse_yaml

CONVERTER = AgentId.parse("data_ingestion.converter")


def test_uuid7_is_a_time_ordered_version_7_uuid() -> None:
    first, second = uuid.UUID(uuid7()), uuid.UUID(uuid7())
    assert first.version == second.version == 7
    assert first.variant == uuid.RFC_4122
    assert (first.int >> 80) <= (second.int >> 80)
    assert first != second


@given(st.lists(st.text(min_size=1), max_size=5), st.randoms())
def test_a_commit_key_ignores_the_order_of_inputs_and_nothing_else(inputs: list[str], random) -> None:
    shuffled = list(inputs)
    random.shuffle(shuffled)
    key = commit_key("t", inputs, {"a": 1}, "1")
    assert commit_key("t", shuffled, {"a": 1}, "1") == key
    others = [commit_key("u", inputs, {"a": 1}, "1"), commit_key("t", [*inputs, "x"], {"a": 1}, "1")]
    others += [commit_key("t", inputs, {"a": 2}, "1"), commit_key("t", inputs, {"a": 1}, "2")]
    assert key not in others and len(set(others)) == 4


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a..b", "x" * 129, "a\n"])
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name, "dataset")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(c, o) for o, c in EXIT_CODES.items()] + [(-9, Outcome.TRANSIENT), (137, Outcome.TRANSIENT), (2, Outcome.BUG)],
)
def test_exit_codes(code: int, outcome: Outcome) -> None:
    assert outcome_of_exit(code) is outcome


@pytest.mark.parametrize(
    ("agent", "spec", "message"),
    [
        ("data_ingestion.converter", {"source": "a", "targt": "b"}, "Did you mean 'target'?"),
        ("data_ingestion.converter", {"source": "a"}, "spec.target is required"),
        ("data_ingestion.converter", {"source": "a", "target": "b", "max_error_share": 2}, "less than or equal to 1"),
        ("data_ingestion.convertor", {}, "Did you mean 'data_ingestion.converter'?"),
        ("data_ingestoin.converter", {}, "Did you mean 'data_ingestion'?"),
        ("data_quality.validator", {"rules": [{"check": "range", "colum": "x", "min": 1}]}, "Did you mean 'column'?"),
        ("data_security.masker", {"columns": {}}, "at least 1"),
    ],
)
def test_a_wrong_spec_is_named_with_what_is_known(agent: str, spec: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=".*") as caught:
        parse_spec(AgentId.parse(agent), spec)
    assert message in str(caught.value)


def test_jinja_is_taken_on_trust_until_it_is_rendered() -> None:
    spec = {"source": "{{ params.x }}", "target": "b", "max_error_share": "{{ params.share }}"}
    assert parse_spec(CONVERTER, spec, rendered=False) is None
    with pytest.raises(ConfigError, match="max_error_share"):
        parse_spec(CONVERTER, spec)
    with pytest.raises(ConfigError, match="targt"):
        parse_spec(CONVERTER, {**spec, "targt": 1}, rendered=False)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"BASE_RUNER": "local"}, "Did you mean 'BASE_RUNNER'?"),
        ({"BASE_RUNNER": "docker"}, "BASE_RUNNER has a value that cannot be used"),
        ({"BASE_MEMORY_LIMIT_MB": "lots"}, "BASE_MEMORY_LIMIT_MB"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environment)
    assert message in str(caught.value)


def test_settings_come_from_the_environment() -> None:
    settings = load_settings({"BASE_LAKE_URL": "s3://b/lake", "PATH": "x", "BASE_HOME": "/h"})
    assert (settings.lake, settings.state, str(settings.connections)) == (
        "s3://b/lake",
        "sqlite:////h/state.db",
        "/h/connections",
    )


def test_yaml_knows_the_line_of_every_key() -> None:
    document = parse_yaml("a: 1\nb:\n  c:\n    - x\n    - d: 2\n", "p.yaml")
    assert document.where("b", "c", 1, "d") == "p.yaml, line 5, key b.c.1.d"
    assert document.line("b", "nowhere") == 2


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\na: 2\n", 2), ("a: [1\n", 2), ("a: !!python/object:os.system x\n", 1)]
)
def test_bad_yaml_names_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "p.yaml")
    assert f"p.yaml, line {line}" in caught.value.where


def test_an_account_with_a_missing_row_is_refused() -> None:
    check_balance(
        [StepResult(agent="a.b", action="x", counts=Counts(rows_in=5, rows_out=3, quarantined=1, dropped={"r": 1}))]
    )
    with pytest.raises(RuntimeError, match="1 rows are not accounted for"):
        check_balance([StepResult(agent="a.b", action="x", counts=Counts(rows_in=5, rows_out=4))])


def test_events_are_cloudevents_and_the_same_fact_has_the_same_idempotency_key() -> None:
    one, two = (
        cloud_event(
            agent="data_ingestion.merger", type="merge_completed", subject="fx", data={"n": 1}, correlation_id="r"
        )
        for _ in range(2)
    )
    assert one["source"] == "base/data_ingestion/merger" and one["specversion"] == "1.0"
    assert one["id"] != two["id"] and one["idempotencykey"] == two["idempotencykey"]
    assert all(name.isalnum() and name.islower() for name in one)


def test_an_error_says_what_where_expected_found_and_what_to_do() -> None:
    error = BadInput(
        "The row is short",
        code="ragged_short",
        where="a.csv, line 3",
        expected="5 cells",
        found="4 cells",
        todo="ask the vendor",
    )
    assert (
        str(error)
        == "The row is short. Where: a.csv, line 3. Expected: 5 cells. Found: 4 cells. To do: ask the vendor."
    )
