"""How one asks MAGDA: the envelope, its signature, the transport, and what an answer looks like.

Shapes as in the public sources of MAGDA-Mock and of the Flemish association registry.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from lxml.etree import _Element
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.signer import XMLSigner

from loket import settings
from loket.errors import Declined, Unavailable
from loket.systems import calls
from loket.trust import authorities

Element: TypeAlias = _Element
"""lxml has no public name for it."""

NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
BRUSSELS = ZoneInfo("Europe/Brussels")
ANSWER_LIMIT_BYTES = 2 * 1024 * 1024
"""A whole household with its history is some tens of kB."""


@dataclass(frozen=True)
class Service:
    """One MAGDA service, `domain` and `version` as in its URL."""

    name: str
    version: str
    domain: str
    namespace: str

    @property
    def full_version(self) -> str:
        """As in the envelope."""
        return f"{self.version}.0000"


@dataclass(frozen=True)
class Notice:
    """An "uitzondering": `kind` FOUT (not answered), WAARSCHUWING (read it otherwise) or INFORMATIE."""

    code: str
    kind: str
    origin: str | None
    diagnosis: str | None


@dataclass(frozen=True)
class Answer:
    """`content` is the element Inhoud, free of namespaces; `words` is all that the notices say."""

    content: Element | None
    notices: tuple[Notice, ...]
    words: str

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(notice.code for notice in self.notices)


class Line:
    """The connection to MAGDA: our certificate in the TLS handshake, our signature over each question."""

    def __init__(self, section: settings.Magda) -> None:
        """Without URL there is no line: every question is answered by Unavailable.

        Raises:
            SettingsError: the key, the certificate or the algorithm cannot be used.
        """
        self._section = section
        self._seal = _Seal(section) if section.url else None
        self._client = httpx2.AsyncClient(
            timeout=section.timeout_seconds, trust_env=False, verify=tls(section)
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ask(
        self, service: Service, content: Mapping[str, Any], *, reference: str, user: str | None = None
    ) -> Answer:
        """Put `content` (element names to texts or more elements) to `service`.

        Raises:
            Unavailable: not connected, no answer in time, none to be read, or one to another question.
            Declined: refused before any service saw it (certificate, address, envelope).
        """
        if self._seal is None:
            raise Unavailable("magda", "not connected: LOKET_MAGDA_URL is empty")
        envelope = self._envelope(service, content, reference=reference, user=user)
        return _read(await self._post(service, self._seal.signed(envelope)), reference)

    def _envelope(
        self, service: Service, content: Mapping[str, Any], *, reference: str, user: str | None
    ) -> Element:
        envelope = etree.Element(f"{{{NAMESPACE}}}Envelope", nsmap={"s": NAMESPACE})
        etree.SubElement(envelope, f"{{{NAMESPACE}}}Header")
        body = etree.SubElement(envelope, f"{{{NAMESPACE}}}Body", Id="Body")
        # Only the root of the question stands in the service's namespace.
        name = f"{{{service.namespace}}}{service.name}"
        root = etree.SubElement(body, name, nsmap={"m": service.namespace})
        _append(
            root,
            {
                "Verzoek": {
                    "Context": self._context(service, reference, user),
                    "Vragen": {"Vraag": {"Referte": reference, "Inhoud": content}},
                }
            },
        )
        return envelope

    def _context(self, service: Service, reference: str, user: str | None) -> dict[str, Any]:
        now = datetime.now(BRUSSELS)
        return {
            "Naam": service.name,
            "Versie": service.full_version,
            "Bericht": {
                "Type": "VRAAG",
                "Tijdstip": {"Datum": f"{now:%Y-%m-%d}", "Tijd": now.time().isoformat("milliseconds")},
                "Afzender": {
                    "Identificatie": self._section.sender,
                    "Referte": reference,
                    "Hoedanigheid": self._section.quality_code,
                    "Gebruiker": user,
                },
                "Ontvanger": {"Identificatie": "vip.vlaanderen.be"},
            },
        }

    async def _post(self, service: Service, envelope: bytes) -> Element:
        url = self._section.url.format(service=service.name, version=service.version, domain=service.domain)
        headers = {
            "Content-Type": "text/xml;charset=UTF-8",
            "SOAPAction": '""',
            # A compressed answer could grow past every bound while it is unpacked.
            "Accept-Encoding": "identity",
        }
        try:
            async with (
                asyncio.timeout(self._section.timeout_seconds),
                self._client.stream("POST", url, content=envelope, headers=headers) as answer,
            ):
                root = _parsed(await _bounded(answer))
        except (TimeoutError, httpx2.HTTPError) as fault:
            raise Unavailable("magda", f"no answer: {type(fault).__name__}") from fault
        # A SOAP fault comes with HTTP 500, and says more.
        if root is not None and (answer.is_success or next(root.iter("Fault"), None) is not None):
            return root
        status, reason = answer.status_code, f"HTTP {answer.status_code} without a readable envelope"
        if 400 <= status < 500 and status not in calls.NOT_NOW:
            raise Declined("magda", reason, http_status=status)
        wait = calls.retry_after_seconds(answer.headers.get("Retry-After"))
        raise Unavailable("magda", reason, http_status=status, retry_after_seconds=wait)


async def _bounded(answer: httpx2.Response) -> bytes:
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > ANSWER_LIMIT_BYTES:
            raise Unavailable("magda", f"the answer is larger than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(content)


def _parsed(content: bytes) -> Element | None:
    """The envelope without namespaces and prefixes (they differ from platform to platform), or None.

    Entities, DTDs and the network stay shut; a document that brings a DOCTYPE is not SOAP.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root: Element = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        return None
    for element in root.iter("*"):
        element.tag = etree.QName(element).localname
    return root


def _read(root: Element, reference: str) -> Answer:
    """The answer to our question, with the notices of all three levels: fault, reply and answer."""
    notices = tuple(_notice(one) for one in root.iter("Uitzondering"))
    words = " ".join(str(word) for one in root.iter("Uitzonderingen") for word in one.itertext())
    fault = next(root.iter("Fault"), None)
    if fault is not None and not notices:
        said = f"SOAP fault: {text(fault, 'faultstring')}"
        raise (Declined if (text(fault, "faultcode") or "").endswith("Client") else Unavailable)(
            "magda", said
        )
    answer = next(root.iter("Antwoord"), None)
    echoes = {text(answer, "Referte"), text(next(root.iter("Ontvanger"), None), "Referte")} - {None}
    if fault is None and echoes != {reference}:
        raise Unavailable("magda", "the answer belongs to another question")
    content = None if answer is None else answer.find("Inhoud")
    if content is None and not notices:
        raise Unavailable("magda", "the answer is empty")
    return Answer(content, notices, words)


def _notice(element: Element) -> Notice:
    return Notice(
        code=text(element, "Identificatie") or "",
        kind=text(element, "Type") or "FOUT",
        origin=text(element, "Oorsprong"),
        diagnosis=text(element, "Diagnose"),
    )


def text(element: Element | None, path: str) -> str | None:
    """The words of the first element at `path`; None where there is none, or an empty one."""
    return next(iter(texts(element, path)), None)


def texts(element: Element | None, path: str) -> tuple[str, ...]:
    found: list[Element] = [] if element is None else element.findall(path)
    return tuple(words for one in found if (words := (one.text or "").strip()))


def _append(parent: Element, children: Mapping[str, Any]) -> None:
    """Elements by name, in order; a list is as many elements of one name, what is None is left out."""
    for name, value in children.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                _append(etree.SubElement(parent, name), one)
            elif one is not None:
                etree.SubElement(parent, name).text = str(one)


class _Signer(XMLSigner):
    """Signs with SHA-1 too when the setting says so: part of the platform's clients still must."""

    def check_deprecated_methods(self) -> None:
        pass


class _Seal:
    """Our signature over the Body of an envelope, laid beside it in the Header."""

    def __init__(self, section: settings.Magda) -> None:
        self._signer = _signer(section.signature_algorithm)
        self._key = _private_key(section.private_key_file)
        self._certificates = _certificates(section.certificate_file)

    def signed(self, envelope: Element) -> bytes:
        signature = self._signer.sign(
            envelope, key=self._key, cert=self._certificates, reference_uri="#Body", id_attribute="Id"
        )
        envelope[0].append(signature)
        return etree.tostring(envelope, encoding="UTF-8", xml_declaration=True)


def _signer(algorithm: str) -> XMLSigner:
    methods = {method.value.rpartition("#")[2]: method for method in SignatureMethod}
    if not algorithm.startswith("rsa-") or algorithm not in methods:
        raise settings.SettingsError(
            f"LOKET_MAGDA_SIGNATURE_ALGORITHM: {algorithm!r} is not an RSA algorithm of XMLDSig"
        )
    return _Signer(
        method=SignatureConstructionMethod.detached,
        signature_algorithm=methods[algorithm],
        digest_algorithm=DigestAlgorithm.SHA1 if algorithm == "rsa-sha1" else DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )


def _private_key(file: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(Path(file).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as fault:
        raise settings.SettingsError(f"LOKET_MAGDA_PRIVATE_KEY_FILE: {file!r}: {fault}") from fault
    if not isinstance(key, RSAPrivateKey):
        raise settings.SettingsError(f"LOKET_MAGDA_PRIVATE_KEY_FILE: {file!r} holds no RSA key")
    return key


def _certificates(file: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as fault:
        raise settings.SettingsError(f"LOKET_MAGDA_CERTIFICATE_FILE: {file!r}: {fault}") from fault


def tls(section: settings.Magda) -> ssl.SSLContext:
    """With our certificate in the handshake. Raises OSError where key or certificate cannot be used."""
    if not section.url.startswith("https:"):
        return authorities()
    context = ssl.create_default_context()
    context.load_cert_chain(section.certificate_file, section.private_key_file)
    return context
