"""A SAML 2.0 bearer assertion, signed with RSA-SHA256 (RFC 7522 §3; SAML Core §2.3.3)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from base_ops.core.errors import missing_extra
from base_ops.data_ingestion.options.authentication import SamlTemplate
from base_ops.worker.connections.credentials import Credentials

_SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


def signed_assertion(credentials: Credentials, recipient: str) -> bytes:
    """The assertion as XML. `recipient`: the token endpoint it is for.

    Raises:
        ConfigError: the library is missing, or key and certificate cannot be used.
    """
    try:
        from lxml import etree
        from signxml.algorithms import SignatureMethod
        from signxml.signer import XMLSigner
    except ImportError:
        raise missing_extra("signxml", "auth", f"the template {credentials.name}") from None
    template = credentials.template
    assert isinstance(template, SamlTemplate)
    now = credentials.keyring.clock.now()
    ends, began = _iso(now + timedelta(seconds=template.lifetime_s)), _iso(now - timedelta(seconds=30))
    issuer = template.issuer or credentials.get("login")

    def tag(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
        element = etree.SubElement(parent, f"{{{_SAML}}}{name}", attributes)
        element.text = text
        return element

    root = etree.Element(
        f"{{{_SAML}}}Assertion",
        {"Version": "2.0", "ID": f"_{uuid.uuid4().hex}", "IssueInstant": _iso(now)},
        nsmap={"saml": _SAML},
    )
    tag(root, "Issuer", issuer)
    etree.SubElement(root, "{http://www.w3.org/2000/09/xmldsig#}Signature", Id="placeholder")
    subject = tag(root, "Subject")
    tag(subject, "NameID", template.subject or issuer, Format=_UNSPECIFIED)
    confirmation = tag(subject, "SubjectConfirmation", Method=_BEARER)
    tag(confirmation, "SubjectConfirmationData", Recipient=recipient, NotOnOrAfter=ends)
    conditions = tag(root, "Conditions", NotBefore=began, NotOnOrAfter=ends)
    tag(tag(conditions, "AudienceRestriction"), "Audience", template.audience or recipient)
    context = tag(tag(root, "AuthnStatement", AuthnInstant=_iso(now)), "AuthnContext")
    tag(context, "AuthnContextClassRef", "urn:oasis:names:tc:SAML:2.0:ac:classes:X509")
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.RSA_SHA256, c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"
    )
    try:
        signed = signer.sign(root, key=credentials.get("private_key"), cert=credentials.get("certificate"))
    except (ValueError, TypeError):
        raise credentials.fault(
            "certificate and private_key of the connection cannot sign", "bad_private_key", expected="PEM, RSA"
        ) from None
    return bytes(etree.tostring(signed))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
