"""MAGDA in small: SOAP 1.1, signed bodies, registration before every question about a person.

Errors come in three levels: a SOAP fault (the envelope is wrong), `Repliek/Uitzonderingen` (the whole call is
refused) and `Antwoord/Uitzonderingen` (this question is); the last two travel with HTTP status 200. Shapes
follow the public MAGDA-Mock, codes are MAGDA's own. What the National Register says comes from the personas.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox import magda_people
from loket.sandbox.magda_desk import life, section
from loket.sandbox.magda_envelope import (
    BRUSSELS,
    KINDS,
    MESSAGES,
    SOAP,
    WHOLE_CALL,
    Answer,
    Exceptional,
    Fault,
    Question,
    Verifier,
    body_of,
    context,
    fault_element,
    uitzondering,
    verifier,
)
from loket.sandbox.magda_people import family, present
from loket.sandbox.magda_social import give_assessment, give_handicap, give_statuses
from loket.sandbox.national_register import Element, element, member, person_element
from loket.sandbox.personas import Citizen, is_insz, person
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System


@dataclass(frozen=True)
class Service:
    namespace: str
    insz: str
    """Where in `Inhoud` the national number stands."""
    answer: Callable[[State, Question, str], Answer] | None = None
    """Of a service that registers somebody."""
    give: Callable[[State, Question, Citizen], Answer] | None = None
    """Of a service that tells about somebody, who must be registered."""
    sources: tuple[str, ...] = ("", "RR", "KSZ")


def app(config: Config, state: State) -> Starlette:
    if state.add("switch", "seeded", {}):
        state.put("forced", "els", {"code": "99996"})
        state.put("forced", "ward/GeefSociaalStatuut", {"code": "99996"})
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
        """What to answer: {"persona": "els", "code": "99996" or null}; the persona `*` is everyone.

        With {"service": "GeefSociaalStatuut"} for that service alone.
        """
        if request.method == "POST":
            as_json = "json" in request.headers.get("content-type", "")
            asked = await request.json() if as_json else await request.form()
            key, code = str(asked.get("persona") or ""), str(asked.get("code") or "")
            if (key != "*" and not isinstance(person(key), Citizen)) or (code and code not in MESSAGES):
                return JSONResponse({"title": "unknown persona or code", "status": 400}, 400)
            key = "/".join(part for part in (key, str(asked.get("service") or "")) if part)
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
            *magda_people.routes(config, state),
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
    parts = element("Uitzonderingen", uitzondering(refused)) if refused else element("Antwoorden", *answers)
    reply = etree.Element(f"{{{service.namespace}}}{name}Response", nsmap={"p": service.namespace})
    reply.append(element("Repliek", context(sender, name, version), parts))
    return reply


def _answer(
    state: State, service: Service, sender: Element, vraag: Element, entry: dict[str, Any]
) -> Element:
    """One `Antwoord`. Raises `Exceptional` only for what refuses the whole call."""
    content = vraag.find("Inhoud")
    if content is None or not vraag.findtext("Referte"):
        raise Fault("10001: het verzoek voldoet niet aan het schema: Vraag/Referte en Vraag/Inhoud")
    question = Question(entry["service"], (sender.findtext("Identificatie") or "").strip(), content)
    number = question.text(service.insz)
    entry["insz"].append(number)
    answer = element("Antwoord", element("Referte", vraag.findtext("Referte") or ""))
    try:
        found = _found(state, service, question, _checked(number))
    except Exceptional as wrong:
        entry["codes"].append(wrong.code)
        if wrong.code in WHOLE_CALL:
            raise
        if service.answer is not None:
            answer.append(element("Inhoud", element("Resultaat", "0", Beschrijving="Niet geslaagd")))
        answer.append(element("Uitzonderingen", uitzondering(wrong)))
        return answer
    answer.append(element("Inhoud", found.content))
    if found.warnings:
        entry["codes"].extend(warning.code for warning in found.warnings)
        warnings = [uitzondering(warning) for warning in found.warnings]
        answer.append(element("Uitzonderingen", *warnings))
    return answer


def _found(state: State, service: Service, question: Question, number: str) -> Answer:
    if service.give is None:
        assert service.answer is not None
        return service.answer(state, question, number)
    citizen = _allowed(state, service, question, number)
    found = service.give(state, question, citizen)
    code = _forced(state, question, citizen)
    return Answer(found.content, (*found.warnings, Exceptional(code))) if code else found


def _checked(number: str) -> str:
    if not is_insz(number):
        raise Exceptional("20002")
    return number


def _register(state: State, question: Question, number: str) -> Answer:
    citizen = present(state, number)
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
    warnings = [_replaced(citizen, kind="WAARSCHUWING")] if citizen.state == "replaced" else []
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


def _give_person(state: State, question: Question, citizen: Citizen) -> Answer:
    return Answer(person_element(citizen, family(state, citizen)[0]))


def _give_family(state: State, question: Question, citizen: Citizen) -> Answer:
    members = family(state, citizen)
    return Answer(element("Gezinsleden", *(member(one, leads=one == members[0]) for one in members)))


def _allowed(state: State, service: Service, question: Question, number: str) -> Citizen:
    """Who is asked about, if this sender may know.

    Raises:
        Exceptional: not registered, busy, gone, replaced or unknown.
    """
    if question.text("Bron") not in service.sources:
        raise Exceptional("40005")
    if question.text("Taal") not in ("", "nl", "fr", "de"):
        raise Exceptional("25001")
    citizen = present(state, number)
    forced = _forced(state, question, citizen)
    if forced in WHOLE_CALL:
        raise Exceptional(forced)
    registration = state.get("registration", f"{question.sender} {number}")
    if registration is None or not _is_running(registration):
        raise Exceptional("40003")
    if forced is not None and KINDS.get(forced) != "WAARSCHUWING":
        raise Exceptional(forced)
    if citizen is None:
        raise Exceptional("30003")
    if citizen.state == "unknown":
        raise Exceptional("30001")
    if citizen.state == "replaced":
        raise _replaced(citizen)
    return citizen


def _forced(state: State, question: Question, citizen: Citizen | None) -> str | None:
    """The code that MAGDA was told to answer: about them before everyone, of this service before all."""
    for who in ([citizen.key] if citizen else []) + ["*"]:
        for key in (f"{who}/{question.service}", who):
            found = state.get("forced", key)
            if found is not None:
                return str(found["code"])
    return None


def _replaced(citizen: Citizen, *, kind: str = "FOUT") -> Exceptional:
    """Where MAGDA really puts the new number is not public; here it is an annotation."""
    return Exceptional("30004", kind=kind, notes=[("INSZ", citizen.replaced_by or "")])


def _is_running(registration: dict[str, Any]) -> bool:
    today = datetime.now(BRUSSELS).date().isoformat()
    end = registration["end"]
    return bool(registration["begin"] <= today) and (end is None or bool(today <= end))


_PERSON = "http://magda.vlaanderen.be/persoon/soap/"
_SOCIAL = "http://magda.vlaanderen.be/soczek/soap/"
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
    ("GeefPersoon", "02.02"): Service(
        _PERSON + "geefpersoon/v02_02", "Criteria/INSZ", give=_give_person),
    ("GeefGezinssamenstelling", "02.02"): Service(
        _PERSON + "geefgezinssamenstelling/v02_02", "Criteria/INSZ", give=_give_family),
    ("GeefSociaalStatuut", "03.00"): Service(
        _SOCIAL + "geefsociaalstatuut/v03_00", "Criteria/INSZ", give=give_statuses),
    ("GeefDossierHandicap", "03.00"): Service(
        _SOCIAL + "geefdossierhandicap/v03_00", "Criteria/ConsultFilesByDateCriteria/ssin",
        give=give_handicap),
    ("GeefAanslagbiljetPersonenbelasting", "02.00"): Service(
        "http://webservice.geefaanslagbiljetpersonenbelastingdienst-02_00.inkomen-02_00.vip.vlaanderen.be",
        "Criteria/INSZ", give=give_assessment, sources=("", "FODFIN")),
}
# fmt: on


SYSTEM = System(name="magda", title="MAGDA", offset=2, app=app, section=section, citizen=life)
