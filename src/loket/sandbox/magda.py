"""MAGDA in small: SOAP 1.1, signed bodies, registration before every question about a person.

Errors come in three levels: a SOAP fault (the envelope is wrong), `Repliek/Uitzonderingen` (the whole call is
refused) and `Antwoord/Uitzonderingen` (this question is); the last two travel with HTTP status 200. Shapes
follow the public MAGDA-Mock, codes are MAGDA's own. What the National Register says comes from the personas.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from lxml import etree
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.magda_envelope import SOAP, Fault, Verifier, body_of, fault_element, verifier
from loket.sandbox.national_register import Element, element, member, person_element
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.personas import Citizen, citizen_of, citizens, household, is_insz, person
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

BRUSSELS = ZoneInfo("Europe/Brussels")
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
    "40143": ("MAGDA", "Het INSZ is reeds ingeschreven"),
    "60006": ("RR", "De bron antwoordt niet"),
    "99994": ("RR", "Onverwachte fout bij de bron"),
    "99996": ("MAGDA", "Te veel gelijktijdige bevragingen"),
}
WHOLE_CALL = {"99996"}
"""Codes that refuse the whole call rather than one question."""
CHOICES = ("99996", "60006", "99994", "30001", "30002", "30003")
"""What MAGDA can be told to answer about a persona."""


class Exceptional(Exception):
    """An `Uitzondering` instead of an answer; level 2 for the codes of `WHOLE_CALL`, else level 3."""

    def __init__(self, code: str, *, notes: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.notes = notes


@dataclass(frozen=True)
class Question:
    """One `Vraag`, with who asks it."""

    sender: str
    content: Element

    def text(self, path: str) -> str:
        return (self.content.findtext(path) or "").strip()


@dataclass(frozen=True)
class Answer:
    content: Element
    warnings: tuple[Exceptional, ...] = ()


@dataclass(frozen=True)
class Service:
    namespace: str
    insz: str
    """Where in `Inhoud` the national number stands."""
    answer: Callable[[State, Question, str], Answer]


def app(config: Config, state: State) -> Starlette:
    if state.add("switch", "seeded", {}):
        state.put("forced", "els", {"code": "99996"})
    verify = verifier(config.section("magda").get("certificate") or "")

    async def soap(request: Request) -> Response:
        service = request.path_params.get("service")
        reply, status = _handle(state, verify, await request.body(), service)
        envelope = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soapenv": SOAP})
        etree.SubElement(envelope, f"{{{SOAP}}}Header")
        etree.SubElement(envelope, f"{{{SOAP}}}Body").append(reply)
        whole = etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
        return Response(whole, status, media_type="text/xml;charset=UTF-8")

    async def forced(request: Request) -> Response:
        """What to answer: {"persona": "els", "code": "99996" or null}; the persona `*` is everyone."""
        if request.method == "POST":
            as_json = "json" in request.headers.get("content-type", "")
            asked = await request.json() if as_json else await request.form()
            key, code = str(asked.get("persona") or ""), str(asked.get("code") or "")
            if (key != "*" and not isinstance(person(key), Citizen)) or (code and code not in MESSAGES):
                return JSONResponse({"title": "unknown persona or code", "status": 400}, 400)
            if code:
                state.put("forced", key, {"code": code})
            else:
                state.delete("forced", key)
            if not as_json:
                return RedirectResponse(config.desk_url("magda"), 303)
        return JSONResponse({key: document["code"] for key, document in state.items("forced")})

    async def registrations(request: Request) -> Response:
        return JSONResponse(state.all("registration"))

    async def log(request: Request) -> Response:
        return JSONResponse(state.all("log"))

    return Starlette(
        routes=[
            Route("/{service}/soap/WebService", soap, methods=["POST"]),
            Route("/api/Magda-02.00/soap/WebService", soap, methods=["POST"]),
            Route("/sim/forced", forced, methods=["GET", "POST"]),
            Route("/sim/registrations", registrations),
            Route("/sim/log", log),
        ]
    )


def _handle(state: State, verify: Verifier, body: bytes, url: str | None) -> tuple[Element, int]:
    """The reply and its HTTP status; what was asked about whom is logged either way."""
    began = time.monotonic()
    entry: dict[str, Any] = {"at": stamp(), "insz": [], "codes": []}
    try:
        root = body_of(verify, body)
        service, name, version = _service(root, url)
        reply = _reply(state, root, service, name, version, entry)
    except Fault as fault:
        entry["codes"].append(str(fault))
        return fault_element(str(fault)), 500
    else:
        return reply, 200
    finally:
        state.append("log", entry | {"ms": round((time.monotonic() - began) * 1000, 1)})


def _service(root: Element, url: str | None) -> tuple[Service, str, str]:
    name = (root.findtext("Verzoek/Context/Naam") or "").strip()
    version = (root.findtext("Verzoek/Context/Versie") or "").strip()
    service = SERVICES.get((name, version[:5]))
    if service is None:
        raise Fault(f"Onbekende dienst: {name} {version}")
    if url is not None and url != f"{name}Dienst-{version[:5]}":
        raise Fault(f"Dit adres is dat van {url}, gevraagd is {name} {version}")
    if root.tag != f"{{{service.namespace}}}{name}":
        raise Fault(f"Verkeerde naamruimte: {root.tag}")
    return service, name, version


def _reply(
    state: State, root: Element, service: Service, name: str, version: str, entry: dict[str, Any]
) -> Element:
    message = root.find("Verzoek/Context/Bericht")
    sender = None if message is None else message.find("Afzender")
    questions = root.findall("Verzoek/Vragen/Vraag")
    if message is None or sender is None or message.findtext("Type") != "VRAAG" or not questions:
        raise Fault("10001: het verzoek voldoet niet aan het schema")
    for path in ("Tijdstip/Datum", "Tijdstip/Tijd", "Afzender/Identificatie", "Afzender/Referte"):
        if not (message.findtext(path) or "").strip():
            raise Fault(f"10001: het verzoek voldoet niet aan het schema: {path} ontbreekt")
    entry |= {
        "service": name,
        "version": version,
        "sender": sender.findtext("Identificatie"),
        "reference": sender.findtext("Referte"),
        "quality": sender.findtext("Hoedanigheid"),
        "user": sender.findtext("Gebruiker"),
    }
    answers = []
    refused: Exceptional | None = None
    for question in questions:
        try:
            answers.append(_answer(state, service, sender, question, entry))
        except Exceptional as whole:
            refused = whole
    parts = element("Uitzonderingen", _uitzondering(refused)) if refused else element("Antwoorden", *answers)
    reply = etree.Element(f"{{{service.namespace}}}{name}Response", nsmap={"p": service.namespace})
    reply.append(element("Repliek", _context(sender, name, version), parts))
    return reply


def _answer(
    state: State, service: Service, sender: Element, vraag: Element, entry: dict[str, Any]
) -> Element:
    """One `Antwoord`. Raises `Exceptional` only for what refuses the whole call."""
    content = vraag.find("Inhoud")
    if content is None or not vraag.findtext("Referte"):
        raise Fault("10001: het verzoek voldoet niet aan het schema: Vraag/Referte en Vraag/Inhoud")
    question = Question((sender.findtext("Identificatie") or "").strip(), content)
    number = question.text(service.insz)
    entry["insz"].append(number)
    answer = element("Antwoord", element("Referte", vraag.findtext("Referte") or ""))
    try:
        found = service.answer(state, question, _checked(number))
    except Exceptional as wrong:
        entry["codes"].append(wrong.code)
        if wrong.code in WHOLE_CALL:
            raise
        if service.namespace.endswith("vip.vlaanderen.be"):
            answer.append(element("Inhoud", element("Resultaat", "0", Beschrijving="Niet geslaagd")))
        answer.append(element("Uitzonderingen", _uitzondering(wrong)))
        return answer
    answer.append(element("Inhoud", found.content))
    if found.warnings:
        entry["codes"].extend(warning.code for warning in found.warnings)
        warnings = [_uitzondering(warning, kind="WAARSCHUWING") for warning in found.warnings]
        answer.append(element("Uitzonderingen", *warnings))
    return answer


def _checked(number: str) -> str:
    if not is_insz(number):
        raise Exceptional("20002")
    return number


def _register(state: State, question: Question, number: str) -> Answer:
    citizen = citizen_of(number)
    if citizen is None:
        raise Exceptional("30003")
    wanted = question.content.find("Inschrijving")
    assert wanted is not None
    if (wanted.findtext("Identificatie") or "").strip() != question.sender:
        raise Exceptional("40005")
    begin, end = wanted.findtext("Periode/Begin") or "", wanted.findtext("Periode/Einde") or ""
    if not begin:
        raise Fault("10001: het verzoek voldoet niet aan het schema: Periode/Begin ontbreekt")
    if end and end < begin:
        raise Exceptional("20003")
    key = f"{question.sender} {number}"
    known = state.get("registration", key)
    kept = {"sender": question.sender, "insz": number, "begin": begin, "end": end or None}
    warnings = [_replaced(citizen)] if citizen.state == "replaced" else []
    if known is not None and _is_running(known):
        warnings.append(Exceptional("40143"))
        kept["begin"] = min(known["begin"], begin)
    state.put("registration", key, kept | {"at": stamp()})
    return Answer(element("Resultaat", "1", Beschrijving="Geslaagd"), tuple(warnings))


def _unregister(state: State, question: Question, number: str) -> Answer:
    wanted = question.content.find("Uitschrijving")
    assert wanted is not None
    if (wanted.findtext("Identificatie") or "").strip() != question.sender:
        raise Exceptional("40005")
    if not state.delete("registration", f"{question.sender} {number}"):
        raise Exceptional("40003")
    return Answer(element("Resultaat", "1", Beschrijving="Geslaagd"))


def _give_person(state: State, question: Question, number: str) -> Answer:
    citizen = _allowed(state, question, number)
    return Answer(person_element(citizen))


def _give_family(state: State, question: Question, number: str) -> Answer:
    citizen = _allowed(state, question, number)
    members = [member(one, leads=one == household(citizen)[0]) for one in household(citizen)]
    return Answer(element("Gezinsleden", *members))


def _allowed(state: State, question: Question, number: str) -> Citizen:
    """Who is asked about, if this sender may know.

    Raises:
        Exceptional: not registered, busy, gone, replaced or unknown.
    """
    if question.text("Bron") not in ("", "RR", "KSZ") or question.text("Taal") not in ("", "nl", "fr", "de"):
        raise Exceptional("25001" if question.text("Bron") in ("", "RR", "KSZ") else "40005")
    citizen = citizen_of(number)
    forced = state.get("forced", citizen.key if citizen else "") or state.get("forced", "*")
    if forced is not None and forced["code"] in WHOLE_CALL:
        raise Exceptional(forced["code"])
    registration = state.get("registration", f"{question.sender} {number}")
    if registration is None or not _is_running(registration):
        raise Exceptional("40003")
    if forced is not None:
        raise Exceptional(forced["code"])
    if citizen is None:
        raise Exceptional("30003")
    if citizen.state == "unknown":
        raise Exceptional("30001")
    if citizen.state == "replaced":
        raise _replaced(citizen)
    return citizen


def _replaced(citizen: Citizen) -> Exceptional:
    """Where MAGDA really puts the new number is not public; here it is an annotation."""
    return Exceptional("30004", notes=[("INSZ", citizen.replaced_by or "")])


def _is_running(registration: dict[str, Any]) -> bool:
    today = datetime.now(BRUSSELS).date().isoformat()
    end = registration["end"]
    return bool(registration["begin"] <= today) and (end is None or bool(today <= end))


def _context(sender: Element, name: str, version: str) -> Element:
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


def _uitzondering(wrong: Exceptional, *, kind: str = "FOUT") -> Element:
    origin, diagnosis = MESSAGES[wrong.code]
    notes = [
        element("Annotatie", element("Naam", name), element("Waarde", value)) for name, value in wrong.notes
    ]
    return element(
        "Uitzondering",
        element("Identificatie", wrong.code),
        element("Oorsprong", origin),
        element("Type", kind),
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


_PERSON = "http://magda.vlaanderen.be/persoon/soap/"
_REPERTORIUM = "http://webservice.{}dienst-{}.repertorium-{}.vip.vlaanderen.be"
# fmt: off
SERVICES = {
    ("RegistreerInschrijving", "02.00"): Service(
        _REPERTORIUM.format("registreerinschrijving", "02_00", "02_00"), "Inschrijving/INSZ", _register),
    ("RegistreerInschrijving", "02.01"): Service(
        _REPERTORIUM.format("registreerinschrijving", "02_01", "02_01"),
        "Inschrijving/BetrokkenSubject/Subjecten/Subject/Sleutel", _register),
    ("RegistreerUitschrijving", "02.00"): Service(
        _REPERTORIUM.format("registreeruitschrijving", "02_00", "02_00"), "Uitschrijving/INSZ", _unregister),
    ("GeefPersoon", "02.02"): Service(_PERSON + "geefpersoon/v02_02", "Criteria/INSZ", _give_person),
    ("GeefGezinssamenstelling", "02.02"): Service(
        _PERSON + "geefgezinssamenstelling/v02_02", "Criteria/INSZ", _give_family),
}
# fmt: on


def _section(config: Config, state: State) -> Markup:
    address = config.url("magda") + "/sim/forced"
    told = join(
        Markup("<div>{} {} {}</div>").format(
            tag("let op", "wait"),
            f"{_of_key(key)}: {document['code']} {MESSAGES[document['code']][1]}.",
            button(address, "Zet uit", {"persona": key}, kind="quiet"),
        )
        for key, document in state.items("forced")
    )
    choose = Markup(
        '<form method="post" action="{}" class="inline"><label>Antwoord over '
        '<select name="persona"><option value="*">iedereen</option>{}</select></label>'
        '<label>met <select name="code">{}</select></label><button class="quiet">Zet aan</button></form>'
    ).format(
        address,
        join(Markup('<option value="{}">{}</option>').format(one.key, one.name) for one in citizens()),
        join(
            Markup('<option value="{}">{} {}</option>').format(code, code, MESSAGES[code][1])
            for code in CHOICES
        ),
    )
    registrations = [
        (_who(one["insz"]), one["begin"], one["end"] or "open", one["sender"])
        for one in reversed(state.all("registration", 50))
    ]
    log = [
        (
            moment(one["at"]),
            one.get("service", "?"),
            ", ".join(_who(number) for number in one["insz"]),
            one.get("quality"),
            join(tag(code, "bad") for code in one["codes"]) or tag("beantwoord", "good"),
        )
        for one in reversed(state.all("log", 30))
    ]
    return Markup("<div>{}{}</div><h3>Inschrijvingen</h3>{}{}").format(
        told,
        choose,
        table(("Persoon", "Van", "Tot", "Afzender"), registrations, empty="Niemand is ingeschreven."),
        fold("Wettelijk logboek", table(("Wanneer", "Dienst", "Over wie", "Hoedanigheid", "Antwoord"), log)),
    )


def _of_key(key: str) -> str:
    known = person(key)
    return known.name if known else "iedereen"


def _who(number: str) -> str:
    citizen = citizen_of(number)
    return f"{citizen.name} ({number})" if citizen else number


SYSTEM = System(name="magda", title="MAGDA", offset=2, app=app, section=_section)
