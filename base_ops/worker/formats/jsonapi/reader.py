"""Reading a JSON:API document: resources with what they are related to, as flat records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.json.reader import load
from base_ops.worker.formats.records.lines import RAW_BYTES
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import BOM, Decoder, Refused, kind_of, refuse_other_encodings, to_json

_MOST_ERRORS, _TEXT_CHARACTERS = 5, 200
_FIELDS = ("id", "type", "attributes", "relationships", "links", "meta", "lid")


def open_jsonapi(source: ByteSource, spec: ReadSpec) -> Reader:
    """A reader of the resources of a document.

    Raises:
        BadInput: too_large, empty_object, not_this_format, api_errors, or the verdict on the document's JSON.
    """
    refuse_other_encodings(spec)
    document = Document(_decoded(load(source), source.name), source.name)
    reader = RecordReader(source.name, spec, document.records)
    reader.findings[:0] = document.findings()
    return reader


def _decoded(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = Decoder().document(data.removeprefix(BOM).decode())
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8", code="encoding", where=f"{name}, byte {error.start}") from None
    except Refused as verdict:
        code = "not_this_format" if verdict.rule == "syntax" else verdict.rule
        raise BadInput(f"{name} cannot be used: {verdict.reason}", code=code, where=name) from None
    if not isinstance(value, dict) or not ("data" in value or "errors" in value or "meta" in value):
        raise BadInput(
            f"{name} is not JSON:API",
            code="not_this_format",
            where=name,
            expected="an object with data, errors or meta",
            found=kind_of(value),
        )
    return value


class Document:
    """A decoded document named `name`. Raises BadInput where it holds errors."""

    def __init__(self, document: dict[str, Any], name: str) -> None:
        self._document = document
        if errors := document.get("errors"):
            raise BadInput(
                f"{name} holds no data, but errors of the API",
                code="api_errors",
                where=name,
                found="; ".join(_error(error) for error in _as_list(errors)[:_MOST_ERRORS]),
                todo="correct the request, or fetch it again",
            )
        self._left_out: Counter[str] = Counter()
        self._linked: set[tuple[str, str]] = set()
        self._included: dict[tuple[str, str], dict[str, Any]] = {}
        for resource in _as_list(document.get("included")):
            if (key := _key(resource)) is None:
                self._left_out["included resources without type and id"] += 1
            elif key in self._included:
                self._left_out["included resources given twice (the first one counts)"] += 1
            else:
                self._included[key] = resource
        self._records = [self._record(number, item) for number, item in enumerate(_as_list(document.get("data")), 1)]

    def records(self) -> Iterator[Record]:
        yield from self._records

    def findings(self) -> list[Finding]:
        """What the document holds that has no column."""
        found = []
        links = self._document.get("links")
        following = links.get("next") if isinstance(links, dict) else None
        if following:
            found.append(Finding(code="next_page", message="the document is a page; a link leads to the next one"))
        if meta := self._document.get("meta"):
            text = to_json(meta)[:1000]
            found.append(Finding(code="meta", message="the document has meta information", data={"meta": text}))
        unlinked = len(self._included.keys() - self._linked)
        if unlinked:
            self._left_out["included resources that no record links to"] = unlinked
        if self._left_out:
            parts = ", ".join(f"{count} {what}" for what, count in sorted(self._left_out.items()))
            found.append(
                Finding(code="left_out", message=f"not in any column: {parts}", data={"counts": dict(self._left_out)})
            )
        return found

    # -- one resource

    def _record(self, number: int, resource: Any) -> Record:
        raw = to_json(resource).encode()[:RAW_BYTES]
        try:
            return Record(number, self._flat(resource), None, raw=raw)
        except Refused as verdict:
            return Record(number, None, verdict, raw=raw)

    def _flat(self, resource: Any) -> dict[str, Any]:
        if not isinstance(resource, dict) or type(resource.get("type")) is not str:
            raise Refused("not_a_resource", "expected a resource, an object with a type")
        flat = {"id": resource.get("id"), "type": resource["type"]}
        if "lid" in resource:
            flat["lid"] = resource["lid"]
        _put(flat, _members(resource, "attributes"))
        relations = _members(resource, "relationships")
        _put(flat, {name: value for name, r in relations.items() if (value := self._related(r)) is not None})
        for member in resource:
            if member in ("links", "meta") or member not in _FIELDS:
                self._left_out[f"{member} of resources"] += 1
        return flat

    def _related(self, relation: Any) -> dict[str, Any] | None:
        """What a relationship leads to; None where it says nothing about that."""
        if not isinstance(relation, dict):
            raise Refused("not_a_resource", "expected a relationship, an object")
        if "data" not in relation:
            self._left_out["relationships without linkage"] += 1
            return None
        linkage = relation["data"]
        if linkage is None:
            return {"id": None, "type": None}
        if isinstance(linkage, dict):
            return self._target(linkage)
        if not isinstance(linkage, list):
            raise Refused("not_a_resource", f"expected linkage, found {kind_of(linkage)}")
        targets = [self._target(item) for item in linkage]
        names = dict.fromkeys(name for target in targets for name in target) or {"id": None, "type": None}
        return {name: [target.get(name) for target in targets] for name in names}

    def _target(self, identifier: Any) -> dict[str, Any]:
        key = _key(identifier)
        if key is None:
            raise Refused("not_a_resource", "linkage has no type and id")
        self._linked.add(key)
        flat = {"id": key[1], "type": key[0]}
        if key in self._included:
            _put(flat, _members(self._included[key], "attributes"))
        return flat


def _put(flat: dict[str, Any], members: dict[str, Any]) -> None:
    if twice := flat.keys() & members.keys():  # JSON:API §7.2: fields share one namespace with id and type
        raise Refused("duplicate_key", "an attribute or relationship has the name of another field", min(twice)[:100])
    flat.update(members)


def _members(resource: dict[str, Any], name: str) -> dict[str, Any]:
    found = resource.get(name)
    if found is not None and not isinstance(found, dict):
        raise Refused("not_a_resource", f"{name} is no object, but {kind_of(found)}")
    return found or {}


def _key(resource: Any) -> tuple[str, str] | None:
    if not isinstance(resource, dict):
        return None
    kind, name = resource.get("type"), resource.get("id", resource.get("lid"))
    return (kind, name) if type(kind) is str and type(name) is str else None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return kind_of(error)
    parts = [str(error[name])[:_TEXT_CHARACTERS] for name in ("status", "code", "title", "detail") if error.get(name)]
    return " ".join(parts) or "an error without text"
