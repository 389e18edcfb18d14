"""A user's XML schema (XSD 1.0), checked while a document is read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from base_ops.core.errors import BadInput, ConfigError, missing_extra
from base_ops.worker.formats.records.values import Refused

_MAX_FAULTS = 10_000
_SHOWN = 300


class _NoTree:
    """Keeps nothing: libxml2 validates, and builds no tree."""

    def close(self) -> None:
        return None


class Validator:
    """One pass over a document. What is fed was found well-formed, and holds no entity declarations.

    Args:
        path: of the schema; what it includes or imports is read from local files beside it.

    Raises:
        ConfigError: xsd_not_found, invalid_xsd; missing_extra where lxml is not installed.
    """

    def __init__(self, path: str) -> None:
        try:
            from lxml import etree  # type: ignore[import-untyped]
        except ImportError:
            raise missing_extra("lxml", "worker", "read.xml.xsd") from None
        where = "spec.read.xml.xsd"
        try:
            tree = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True))
            schema = etree.XMLSchema(tree)
        except OSError:
            message = f"The XML schema {path} cannot be read"
            raise ConfigError(message, code="xsd_not_found", where=where, todo="check the path") from None
        except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
            found = str(error)[:_SHOWN]
            raise ConfigError(f"{path} is no XML schema", code="invalid_xsd", where=where, found=found) from None
        self._parser: Any = etree.XMLParser(
            target=_NoTree(), schema=schema, encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=True
        )
        self._error = etree.XMLSyntaxError
        self._faults = 0

    def feed_gap(self, data: bytes) -> None:
        """What lies around records. Raises BadInput (xsd_invalid)."""
        if data and (fault := self._feed(data)):
            self._refuse(fault)

    def check(self, record: bytes) -> Refused | None:
        """Why a record does not fit the schema."""
        fault = self._feed(record)
        return Refused("xsd", fault) if fault else None

    def close(self) -> None:
        """The document has ended. Raises BadInput (xsd_invalid)."""
        with suppress(self._error):  # tells the faults seen before
            self._parser.close()
        if fault := self._new_fault():
            self._refuse(fault)

    def _feed(self, data: bytes) -> str:
        try:
            self._parser.feed(data)
        except self._error as error:
            self._refuse(str(error))
        return self._new_fault()

    def _new_fault(self) -> str:
        log = self._parser.feed_error_log
        if len(log) == self._faults:
            return ""
        fault = log[self._faults].message[:_SHOWN]
        self._faults = len(log)
        if self._faults > _MAX_FAULTS:
            self._refuse(f"more than {_MAX_FAULTS} faults, e.g. {fault}")
        return str(fault)

    @staticmethod
    def _refuse(fault: str) -> None:
        raise BadInput(
            "The document does not fit its XML schema",
            code="xsd_invalid",
            where="spec.read.xml.xsd",
            found=fault[:_SHOWN],
            todo="correct the source or the schema",
        )
