"""JSON:API documents (application/vnd.api+json, version 1.1); 100 MB at most, read whole.

A record is a resource of `data`: `id`, `type`, its attributes by their names, and per relationship `r`

- to one:  `r.id`, `r.type`, and the attributes of the resource in `included` as `r.<attribute>`;
- to many: the same, as lists in the order of the linkage.

Attributes that are objects are flattened (or kept) as in JSON. Relationships of included resources are not followed.
`errors` refuse the document, with their text. What has no column is told in findings: top-level `meta`, the link to the
next page, `links` and `meta` of resources, relationships without linkage, included resources nothing links to. Values
are exact and keys are checked as in JSON. Options: nested, columns, max_record_bytes (not checked here).
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.values import BOM

_MEMBER = rb'"(?:data|errors|meta|links|included|jsonapi)"\s*:'
_TOP = re.compile(rb"\s*\{\s*" + _MEMBER)
_VERSION = re.compile(rb'"jsonapi"\s*:\s*\{\s*(?:"version"\s*:\s*"1\.\d"|"(?:ext|profile|meta)"\s*:|\})')
_TEXT = rb'"[^"\\]{1,200}"'
_RESOURCE = re.compile(
    rb'"data"\s*:\s*(?:\[\s*)?\{\s*"(?:type|id)"\s*:\s*' + _TEXT + rb'\s*,\s*"(?:type|id)"\s*:\s*' + _TEXT +
    rb'\s*(?:,\s*"(?:attributes|relationships|links)"\s*:\s*\{)'
)  # fmt: skip
_ERROR = re.compile(rb'\s*\{\s*"errors"\s*:\s*\[\s*\{\s*"(?:id|links|status|code|title|detail|source|meta)"\s*:')


class JsonApiFormat:
    """JSON:API documents."""

    name = "jsonapi"
    suffixes = (".jsonapi",)

    def sniff(self, head: bytes, name: str) -> float:
        """Sure where the version is told, or the first resource has the form; its members may stand in any order."""
        text = head.removeprefix(BOM)
        if not _TOP.match(text):
            return 0.0
        if _RESOURCE.search(text):
            return 0.97
        if _VERSION.search(text) and (b'"data"' in text or b'"errors"' in text):
            return 0.96
        return 0.85 if _ERROR.match(text) and not text.lstrip().startswith(b'{"errors":[]') else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.jsonapi.reader import open_jsonapi

        return open_jsonapi(source, spec)


FORMAT = JsonApiFormat()
