"""SOAP 1.1 and 1.2: one call, its answer's envelope as received; faults told apart, WS-Security UsernameToken.

A fault of the server (Server, Receiver) is tried again; one of the caller (Client, Sender) is not; refused
credentials are Denied. Envelopes with a document type are refused, as SOAP demands (SOAP 1.2 part 1, §5).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.web import SoapSpec
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.connectors.web.paging import Ask
from base_ops.worker.lake.landing import History

_ENVELOPES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_REFUSED = (
    "FailedAuthentication",
    "InvalidSecurityToken",
    "FailedCheck",
    "SecurityTokenUnavailable",
    "InvalidSecurity",
)
_VALID_FOR = timedelta(minutes=5)
_SHOWN = 160


class SoapSource:
    """Makes one call; what comes back is one object."""

    def __init__(self, site: Site) -> None:
        self.site, self.report = site, Report()
        assert site.source.soap is not None
        self.spec: SoapSpec = site.source.soap
        self.name = urlsplit(self.spec.path).path
        self.where = f"source {site.source.id}, POST {self.name}"
        self.etree: Any = require("lxml.etree", "worker")
        self._read_body()

    def fetch(self, history: History, keep: Keep) -> Report:
        with Web(self.site, self.report) as web:
            self._refuse_plain_password(web)
            answer = web.get(self._ask(web))
        assert answer is not None
        self.report.count(pages=1)
        action = self.spec.action.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or "call"
        keep(Fetched(f"{self.name}/{action}.xml", answer.local, answer.sha256, answer.bytes))
        return self.report

    def _read_body(self) -> None:
        """What the source says must be XML: told before anything is sent."""
        try:
            self.etree.fromstring(f"<body>{self.spec.body}</body>", self._parser())
        except self.etree.XMLSyntaxError as error:
            raise ConfigError(
                "soap.body is no XML", code="bad_xml", where=f"source {self.site.source.id}, soap.body", found=error.msg
            ) from None

    def _parser(self) -> Any:
        return self.etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)

    def _refuse_plain_password(self, web: Web) -> None:
        if self.spec.security == "none":
            return
        found = self.site.connection
        if found is None or not found.login or not found.password:
            raise ConfigError(
                f"source {self.site.source.id}: soap.security needs a connection with login and password",
                code="no_credentials",
                where="source.connection",
            )
        if self.spec.security == "username_text" and not web.endpoint.startswith("https:") and self.site.env != "dev":
            raise ConfigError(
                f"source {self.site.source.id}: credentials would be sent unencrypted",
                code="insecure_url",
                where=f"connection {found.name}",
                expected="https, or soap.security: username_digest",
            )

    def _ask(self, web: Web) -> Ask:
        action = quoteattr(self.spec.action)
        if self.spec.version == "1.1":
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action}
        else:
            headers = {"Content-Type": f"application/soap+xml; charset=utf-8; action={action}"}
        return Ask(
            web.endpoint,
            self.spec.params,
            content=self._envelope,
            headers=headers,
            accepted=frozenset({400, 500}),
            check=self._check,
        )

    def _envelope(self) -> bytes:
        return (
            f'<?xml version="1.0" encoding="utf-8"?><e:Envelope xmlns:e="{_ENVELOPES[self.spec.version]}">'
            f"<e:Header>{self._token()}</e:Header><e:Body>{self.spec.body}</e:Body></e:Envelope>"
        ).encode()

    def _token(self) -> str:
        """UsernameToken (OASIS WSS profile 1.1, §3.1), made anew for each try: a nonce is good once."""
        found = self.site.connection
        if self.spec.security == "none" or found is None:
            return ""
        now = self.site.clock.now().astimezone(UTC)
        nonce, created = secrets.token_bytes(16), now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        expires = (now + _VALID_FOR).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        kind, password = "PasswordText", found.password
        if self.spec.security == "username_digest":
            digest = hashlib.sha1(nonce + created.encode() + found.password.encode(), usedforsecurity=False).digest()
            kind, password = "PasswordDigest", base64.b64encode(digest).decode()
        profile, utility = f"{_WSS}username-token-profile-1.0", f"{_WSS}wssecurity-utility-1.0.xsd"
        return (
            f'<w:Security xmlns:w="{_WSS}wssecurity-secext-1.0.xsd" xmlns:u="{utility}" e:mustUnderstand="1">'
            f"<u:Timestamp><u:Created>{created}</u:Created><u:Expires>{expires}</u:Expires></u:Timestamp>"
            f"<w:UsernameToken><w:Username>{escape(found.login)}</w:Username>"
            f'<w:Password Type="{profile}#{kind}">{escape(password)}</w:Password>'
            f'<w:Nonce EncodingType="{_WSS}soap-message-security-1.0#Base64Binary">'
            f"{base64.b64encode(nonce).decode()}</w:Nonce><u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
        )

    def _check(self, local: Path, status: int) -> None:
        """Raises what a fault means; reads no further than the first element of the Body."""
        try:
            with local.open("rb") as file:
                fault = self._fault(file)
        except (self.etree.XMLSyntaxError, ValueError) as error:
            if status >= 400:
                fault = ("Server" if status >= 500 else "Client", f"HTTP {status}")
            else:
                raise BadInput(
                    "The answer is no SOAP envelope", code="bad_envelope", where=self.where, found=str(error)[:_SHOWN]
                ) from None
        if fault is not None:
            raise self._error(*fault)

    def _fault(self, file: BinaryIO) -> tuple[str, str] | None:
        """(code, text) of a fault; None for an answer that is none.

        Raises:
            ValueError: no envelope, or one with a document type.
        """
        space, inside = _ENVELOPES[self.spec.version], False
        events = self.etree.iterparse(
            file, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False
        )
        for event, element in events:
            if event == "start" and element.getparent() is None:
                if element.getroottree().docinfo.internalDTD is not None:
                    raise ValueError("a document type")
                if element.tag != f"{{{space}}}Envelope":
                    raise ValueError(f"{element.tag[:_SHOWN]} instead of Envelope of SOAP {self.spec.version}")
            elif event == "start" and element.tag == f"{{{space}}}Body":
                inside = True
            elif (
                event == "start"
                and element.getparent().tag == f"{{{space}}}Body"
                and element.tag != f"{{{space}}}Fault"
            ):
                return None
            elif event == "end" and element.tag == f"{{{space}}}Fault":
                codes = [*element.iterfind("faultcode"), *element.iter(f"{{{space}}}Value")]
                texts = [*element.iterfind("faultstring"), *element.iter(f"{{{space}}}Text")]
                named = " ".join((code.text or "").strip().rsplit(":", 1)[-1] for code in codes)
                return named, ((texts[0].text or "") if texts else "")[:_SHOWN]
        if not inside:
            raise ValueError("no Body")
        return None

    def _error(self, code: str, text: str) -> BaseOpsError:
        found = f"{code}: {text}"
        if any(name in code for name in _REFUSED):
            return Denied("The server refused the credentials", code="unauthorized", where=self.where, found=code)
        if code.split(" ")[0].split(".")[0] in ("Server", "Receiver"):
            return Transient("The server cannot answer now", code="server_error", where=self.where, found=found)
        return ConfigError(
            "The server does not accept the call",
            code="bad_call",
            where=self.where,
            found=found,
            todo="check soap.action, soap.version and soap.body",
        )


CONNECTOR = SoapSource
