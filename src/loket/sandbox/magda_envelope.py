"""MAGDA's envelope: SOAP 1.1 with a signed Body, and inside it questions, answers and exceptions."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidInput, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from loket.sandbox.national_register import Element, element

BRUSSELS = ZoneInfo("Europe/Brussels")
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
Verifier = Callable[[Element], Element]
"""From an envelope to its signed Body; raises `Fault`."""


MESSAGES = {
    "20002": ("MAGDA", "Het INSZ heeft een ongeldige structuur"),
    "20003": ("MAGDA", "De begindatum ligt na de einddatum"),
    "25001": ("MAGDA", "De gevraagde taal wordt niet ondersteund"),
    "30001": ("RR", "Geen gegevens gevonden voor de vraag"),
    "30002": ("RR", "Het INSZ is geannuleerd"),
    "30003": ("RR", "Onbestaand INSZ"),
    "30004": ("RR", "Persoon heeft een nieuw INSZ verkregen"),
    "40003": ("MAGDA", "Geen inschrijving aanwezig voor het INSZ in de vraag"),
    "40005": ("MAGDA", "Toegang geweigerd"),
    "40006": ("MAGDA", "Fout in de autorisatie"),
    "40143": ("MAGDA", "Het INSZ is reeds ingeschreven"),
    "45008": ("MAGDA", "Het gevraagde inkomensjaar bestaat niet"),
    "60006": ("RR", "De bron antwoordt niet"),
    "60007": ("RR", "Het antwoord van de bron is onleesbaar"),
    "70001": ("KSZ", "De bron meldt een bijzonderheid bij het antwoord"),
    "99994": ("RR", "Onverwachte fout bij de bron"),
    "99996": ("MAGDA", "Te veel gelijktijdige bevragingen"),
}
WHOLE_CALL = {"99996"}
"""Codes that refuse the whole call rather than one question."""
KINDS = {"40143": "WAARSCHUWING", "70001": "WAARSCHUWING", "45008": "INFORMATIE"}
"""What each code is, where it is not FOUT: 30004 is the one, or as a warning the other."""


class Fault(Exception):
    """Level 1: the envelope cannot be handled."""


class Exceptional(Exception):
    """An `Uitzondering` instead of an answer or beside it; level 2 for `WHOLE_CALL`, else level 3."""

    def __init__(self, code: str, *, kind: str = "", notes: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.kind = kind or KINDS.get(code, "FOUT")
        self.notes = notes


@dataclass(frozen=True)
class Question:
    """One `Vraag`, with who asks it of which service."""

    service: str
    sender: str
    content: Element

    def text(self, path: str) -> str:
        return (self.content.findtext(path) or "").strip()


@dataclass(frozen=True)
class Answer:
    content: Element
    warnings: tuple[Exceptional, ...] = ()


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


def context(sender: Element, name: str, version: str) -> Element:
    receiver = [
        element(part, sender.findtext(part) or "")
        for part in ("Identificatie", "Referte", "Hoedanigheid", "Gebruiker")
        if sender.findtext(part)
    ]
    return element(
        "Context",
        element("Naam", name),
        element("Versie", version),
        element(
            "Bericht",
            element("Type", "ANTWOORD"),
            _tijdstip(),
            element(
                "Afzender",
                element("Identificatie", "vip.vlaanderen.be"),
                element("Naam", "MagdaGateway"),
                element("Referte", str(uuid.uuid4())),
            ),
            element("Ontvanger", *receiver),
        ),
    )


def uitzondering(wrong: Exceptional) -> Element:
    origin, diagnosis = MESSAGES[wrong.code]
    notes = [
        element("Annotatie", element("Naam", name), element("Waarde", value)) for name, value in wrong.notes
    ]
    return element(
        "Uitzondering",
        element("Identificatie", wrong.code),
        element("Oorsprong", origin),
        element("Type", wrong.kind),
        _tijdstip(),
        element("Diagnose", diagnosis),
        *([element("Annotaties", *notes)] if notes else []),
    )


def _tijdstip() -> Element:
    here = datetime.now(BRUSSELS)
    return element(
        "Tijdstip",
        element("Datum", here.date().isoformat()),
        element("Tijd", here.strftime("%H:%M:%S.") + f"{here.microsecond // 1000:03}"),
    )
