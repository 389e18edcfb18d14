"""Options of XML and its dialects."""

from __future__ import annotations

from base_ops.core.spec import Spec


class XmlOptions(Spec):
    """read.xml: which elements are records."""

    record: str | None = None
    """Local name (or path of local names, e.g. Document/Stmt/Ntry) of the element that is a record; default: found."""
    xsd: str | None = None
    """Path of an XML schema (XSD 1.0) on the worker; records that do not fit it are refused. Default: not checked."""
