"""MAGDA's envelope: SOAP 1.1 with a signed Body."""

from collections.abc import Callable

from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidInput, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from loket.sandbox.national_register import Element, element

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
Verifier = Callable[[Element], Element]
"""From an envelope to its signed Body; raises `Fault`."""


class Fault(Exception):
    """Level 1: the envelope cannot be handled."""


def body_of(verify: Verifier, envelope: bytes) -> Element:
    """The one element of the Body, of which only the signed form is read."""
    try:
        parsed = etree.fromstring(envelope, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as wrong:
        raise Fault(f"Het bericht is geen XML: {wrong}") from wrong
    if parsed.tag != f"{{{SOAP}}}Envelope" or parsed.find(f"{{{SOAP}}}Body") is None:
        raise Fault("Het bericht is geen SOAP 1.1-envelope")
    body = verify(parsed)
    if len(body) != 1:
        raise Fault("De Body moet precies één element bevatten")
    return body[0]


def verifier(certificate: str) -> Verifier:
    """Answers the Body of an envelope that `certificate` signed; without a certificate, of any envelope."""
    allowed = SignatureConfiguration(
        require_x509=True,
        signature_methods=frozenset(
            {SignatureMethod.RSA_SHA1, SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA512}
        ),
        digest_algorithms=frozenset({DigestAlgorithm.SHA1, DigestAlgorithm.SHA256, DigestAlgorithm.SHA512}),
    )

    def verify(envelope: Element) -> Element:
        body = envelope.find(f"{{{SOAP}}}Body")
        assert body is not None
        if not certificate:
            return body
        if envelope.find(".//{http://www.w3.org/2000/09/xmldsig#}Signature") is None:
            raise Fault("ERR_025: Verification failure: No signature in message!")
        try:
            result = XMLVerifier().verify(envelope, x509_cert=certificate, expect_config=allowed)
        except (SignXMLException, InvalidInput, ValueError) as wrong:
            raise Fault(f"Verification failure: {wrong}") from wrong
        signed = result[0].signed_xml if isinstance(result, list) else result.signed_xml
        if signed is None or (signed.tag, signed.get("Id")) != (body.tag, body.get("Id")):
            raise Fault("Verification failure: the signature does not cover the Body")
        return signed

    return verify


def fault_element(text: str) -> Element:
    fault = etree.Element(f"{{{SOAP}}}Fault", nsmap={"soapenv": SOAP})
    fault.extend([element("faultcode", "soapenv:Client"), element("faultstring", text)])
    return fault
