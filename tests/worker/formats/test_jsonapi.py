"""JSON:API documents: resources as flat records, what they lead to resolved, errors told."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.jsonapi import FORMAT


def source(document: Any) -> ByteSource:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ByteSource("x.json", len(data), lambda: io.BytesIO(data))


def read(document: Any, **spec: Any) -> tuple[list[dict[str, Any]], list[Rejected], Reader]:
    found = FORMAT.read(source(document), ReadSpec(**spec))
    batches = list(found.batches())
    rows = [row for b in batches for row in b.frame.drop("_line").to_dicts()]
    return rows, [r for b in batches for r in b.rejected], found


def person(number: str, **attributes: Any) -> dict[str, Any]:
    return {"type": "people", "id": number, **({"attributes": attributes} if attributes else {})}


def article(number: str, **relationships: Any) -> dict[str, Any]:
    return {"type": "articles", "id": number, "attributes": {"title": "t"}, "relationships": relationships}


def to(*numbers: str, many: bool = False) -> dict[str, Any]:
    targets = [{"type": "people", "id": number} for number in numbers]
    return {"data": targets if many else targets[0] if targets else None}


@pytest.mark.parametrize(
    ("data", "included", "rows"),
    [
        ([person("1", name="A")], [], [{"id": "1", "type": "people", "name": "A"}]),
        (person("1", a={"b": 1}), [], [{"id": "1", "type": "people", "a.b": 1}]),
        (
            [article("1", author=to("9"))],
            [person("9", name="Dan", age=3)],
            [
                {"id": "1", "type": "articles", "title": "t"}
                | {"author.id": "9", "author.type": "people", "author.name": "Dan", "author.age": 3}
            ],
        ),
        (
            [article("1", author=to("9"), readers=to("9", "8", "7", many=True)), article("2", author=to(), readers=to(many=True))],
            [person("9", name="Dan"), person("7", name="Eve")],
            [
                {"id": "1", "type": "articles", "title": "t"}
                | {"author.id": "9", "author.type": "people", "author.name": "Dan"}
                | {"readers.id": ["9", "8", "7"], "readers.type": ["people"] * 3, "readers.name": ["Dan", None, "Eve"]},
                {"id": "2", "type": "articles", "title": "t"}
                | {"author.id": None, "author.type": None, "author.name": None}
                | {"readers.id": [], "readers.type": [], "readers.name": None},
            ],
        ),
    ],
)  # fmt: skip
def test_resources(data: Any, included: Any, rows: list[dict[str, Any]]) -> None:
    assert read({"data": data, "included": included})[:2] == (rows, [])


def test_what_has_no_column_is_told() -> None:
    document = {
        "jsonapi": {"version": "1.1"},
        "meta": {"total": 7},
        "links": {"next": "https://example.org/?page=2"},
        "data": [{**article("1", author={"links": {"self": "x"}}), "links": {"self": "y"}}],
        "included": [person("9"), person("9"), {"id": "4"}],
    }
    findings = {f.code: f for f in read(document)[2].findings}
    assert list(findings) == ["next_page", "meta", "left_out"]
    assert findings["meta"].data == {"meta": '{"total":7}'}
    assert "example.org" not in findings["next_page"].message
    assert findings["left_out"].data["counts"] == {
        "included resources given twice (the first one counts)": 1,
        "included resources without type and id": 1,
        "included resources that no record links to": 1,
        "relationships without linkage": 1,
        "links of resources": 1,
    }


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        (7, "not_a_resource"),
        ({"id": "1"}, "not_a_resource"),
        ({"type": "x", "attributes": [1]}, "not_a_resource"),
        ({"type": "x", "relationships": {"r": 1}}, "not_a_resource"),
        ({"type": "x", "relationships": {"r": {"data": "1"}}}, "not_a_resource"),
        ({"type": "x", "relationships": {"r": {"data": {"id": "1"}}}}, "not_a_resource"),
        ({"type": "x", "attributes": {"id": 1}}, "duplicate_key"),
        ({"type": "x", "attributes": {"r": 1}, "relationships": {"r": {"data": None}}}, "duplicate_key"),
    ],
)
def test_a_bad_resource_is_refused_and_its_neighbours_are_kept(resource: Any, rule: str) -> None:
    rows, rejected, _ = read({"data": [person("1"), resource, person("3")]})
    assert ([r["id"] for r in rows], [(r.line, r.rule) for r in rejected]) == (["1", "3"], [(2, rule)])


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"errors": [{"status": "422", "title": "Invalid", "detail": "too short"}]}, "api_errors"),
        ({"data": [], "errors": [1]}, "api_errors"),
        ({"x": 1}, "not_this_format"),
        ([1], "not_this_format"),
        (b'{"data":[', "not_this_format"),
        (b'{"data":[{"type":"x","id":"1","id":"2"}]}', "duplicate_key"),
        (b'{"data":"\xff"}', "encoding"),
        (b'{"data":' + b"[" * 200 + b"]" * 200 + b"}", "too_deep"),
        ({"data": []}, "empty_object"),
    ],
)
def test_documents_without_resources_are_refused(document: Any, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(document)
    assert raised.value.code == code


def test_the_text_of_errors_is_told() -> None:
    with pytest.raises(BadInput, match="422 Invalid too short"):
        read({"errors": [{"status": "422", "title": "Invalid", "detail": "too short"}]})


@pytest.mark.parametrize(
    ("document", "format"),
    [
        ({"data": [person("1", name="A")]}, "jsonapi"),
        ({"links": {}, "data": [person("1", name="A")]}, "jsonapi"),
        ({"jsonapi": {"version": "1.0"}, "data": []}, "jsonapi"),
        ({"errors": [{"status": "500"}]}, "jsonapi"),
        ({"data": [{"id": 1, "name": "x"}]}, "json"),
        ({"data": {"type": "x"}}, "json"),
        ([{"data": 1}], "json"),
        ({"errors": []}, "json"),
    ],
)
def test_detection(document: Any, format: str) -> None:
    assert detect(source(document)).format == format


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "1", "type", "id"]),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "attributes", "relationships", "data", "a"]), v, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(_values, _values, _values)
def test_any_document_is_read_or_refused_and_every_resource_counted(data: Any, included: Any, errors: Any) -> None:
    try:
        rows, rejected, _ = read({"data": data, "included": included, "errors": errors})
    except (BadInput, ConfigError) as error:
        assert error.code in ("api_errors", "empty_object")
    else:
        assert len(rows) + len(rejected) == (len(data) if isinstance(data, list) else 1)
