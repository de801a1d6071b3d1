"""The eBox in small, behind MAGDA's Documentendienst: takes in documents that are worth a registered letter.

Who has an eBox: a citizen whose national number ends even, until the desk opens or closes it. The shapes are
assumed, but for `notifications/receivers?ssin=`. What somebody got is at `/sim/ebox/{insz}`; to read its
document there is to open it.
"""

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.acmidm_provider import holder_of
from loket.sandbox.page import button, join, lines, moment, table, tag
from loket.sandbox.personas import Citizen, citizen_of, is_insz
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

SCOPE = "Documentendienst"
DELIVERY_SECONDS = 0.1
"""Until then a message is SENT; `ebox.delivery_seconds` of the configuration replaces it."""
DOCUMENT_BYTES = 10 * 1024 * 1024
SUBJECT_CHARACTERS = 200
LEGAL_VALUES = ("REGISTERED", "INFORMATIVE")

Json = Any
"""Whatever a body may hold; it is checked here."""
Problem = tuple[str, str]
"""The field and what is wrong with it."""


def app(config: Config, state: State) -> Starlette:
    delay = float(config.section("ebox").get("delivery_seconds", DELIVERY_SECONDS))

    def barred(request: Request) -> Response | None:
        holder = holder_of(config, request.headers.get("authorization", ""))
        if holder is None:
            return _refused(401, "UNAUTHORIZED", "Token ontbreekt of is niet meer geldig")
        if SCOPE not in holder["scope"].split():
            return _refused(403, "FORBIDDEN", f"Scope {SCOPE} ontbreekt")
        return None

    async def receivers(request: Request) -> Response:
        if refused := barred(request):
            return refused
        insz = request.query_params.get("ssin", "")
        if not is_insz(insz):
            return _invalid([("ssin", "geen geldig INSZ")])
        if not _is_known(insz):
            return _refused(404, "UNKNOWN_SSIN", "Niemand heeft dit INSZ")
        return JSONResponse({"ssin": insz, "active": is_active(state, insz)})

    async def publish(request: Request) -> Response:
        if refused := barred(request):
            return refused
        try:
            message = orjson.loads(await request.body())
        except orjson.JSONDecodeError as wrong:
            return _invalid([("", f"geen JSON: {wrong}")])
        problems = list(_problems(message))
        if problems:
            return _invalid(problems)
        return _taken_in(config, state, message, delay)

    async def notification(request: Request) -> Response:
        if refused := barred(request):
            return refused
        found = state.get("notification", request.path_params["id"])
        if found is None:
            return _refused(404, "UNKNOWN_NOTIFICATION", "Onbekende notificatie")
        return JSONResponse(_progress(found))

    async def box(request: Request) -> Response:
        insz = request.path_params["insz"]
        if request.method == "GET":
            return JSONResponse({"active": is_active(state, insz), "messages": messages(state, insz)})
        asked = await _switches(request)
        if asked is None or not _is_known(insz):
            return _refused(400, "INVALID", "active en refuses zijn waar of onwaar, van een burger")
        state.put("person", insz, (state.get("person", insz) or {}) | asked)
        return _back(config, request, insz) or JSONResponse({"active": is_active(state, insz)})

    async def document(request: Request) -> Response:
        found = state.get("notification", request.path_params["id"])
        if found is None or found["message"]["ssin"] != request.path_params["insz"]:
            return _refused(404, "UNKNOWN_NOTIFICATION", "Onbekende notificatie")
        if found["opened_at"] is None and found["refused_at"] is None:
            found["opened_at"] = stamp()
            state.put("notification", found["id"], found)
        content = base64.b64decode(found["message"]["document"]["content"])
        return Response(content, media_type="application/pdf")

    return Starlette(
        routes=[
            Route("/notifications/receivers", receivers),
            Route("/notifications", publish, methods=["POST"]),
            Route("/notifications/{id}", notification),
            Route("/sim/ebox/{insz}", box, methods=["GET", "POST"]),
            Route("/sim/ebox/{insz}/{id}/document", document),
        ]
    )


def is_active(state: State, insz: str) -> bool:
    """Whether this person has an eBox: as the desk set it, else by the last digit of the number."""
    chosen = (state.get("person", insz) or {}).get("active")
    return int(insz[-1]) % 2 == 0 if chosen is None else bool(chosen)


def messages(state: State, insz: str) -> list[dict[str, Any]]:
    """What this person got, oldest first, without the bytes of the documents."""
    return [
        _progress(one)
        | {
            "messageId": one["message"]["messageId"],
            "sender": one["message"]["sender"]["kbo"],
            "subject": one["message"]["subject"]["nl"],
            "body": one["message"]["body"]["nl"],
            "category": one["message"]["category"],
            "legalValue": one["message"]["legalValue"],
            "filename": one["message"]["document"]["filename"],
            "sha256": one["message"]["document"]["sha256"],
            "repeats": one["repeats"],
        }
        for one in state.listed("of", insz, "notification")
    ]


def _taken_in(config: Config, state: State, message: dict[str, Any], delay: float) -> Response:
    """A `messageId` that was here before gets its first answer, and is delivered once."""
    insz, key = message["ssin"], message["messageId"].lower()
    digest = hashlib.sha256(orjson.dumps(message, option=orjson.OPT_SORT_KEYS)).hexdigest()
    earlier = state.get("message", key)
    if earlier is not None:
        if earlier["digest"] != digest:
            return _refused(409, "MESSAGE_ID_REUSED", "Dit messageId hoort bij een ander bericht")
        known = state.get("notification", earlier["id"]) or {}
        state.put("notification", earlier["id"], known | {"repeats": known["repeats"] + 1})
        return JSONResponse({"id": earlier["id"], "status": "ACCEPTED"}, 202)
    if message["sender"]["kbo"] != config.municipality.kbo:
        return _refused(403, "SENDER_NOT_ALLOWED", "Deze afzender hoort niet bij de aansluiting")
    if not _is_known(insz):
        return _refused(404, "UNKNOWN_SSIN", "Niemand heeft dit INSZ")
    if not is_active(state, insz):
        return _refused(409, "NO_EBOX", "Deze burger heeft geen actieve eBox")
    id_ = str(uuid.uuid4())
    refuses = bool((state.get("person", insz) or {}).get("refuses"))
    state.put(
        "notification",
        id_,
        {
            "id": id_,
            "message": message,
            "sent_at": stamp(),
            "ready_at": time.time() + delay,
            "opened_at": None,
            "refused_at": stamp() if refuses else None,
            "repeats": 0,
        },
    )
    state.put("message", key, {"id": id_, "digest": digest})
    state.list_under("of", insz, id_)
    return JSONResponse({"id": id_, "status": "ACCEPTED"}, 202)


def _progress(one: dict[str, Any]) -> dict[str, Any]:
    """How far a message came; a time that is not there yet is left out."""
    delivered = one["ready_at"] <= time.time() or one["opened_at"] is not None
    told = {"id": one["id"], "sentAt": one["sent_at"]}
    if one["refused_at"]:
        return told | {
            "status": "REFUSED",
            "refusedAt": one["refused_at"],
            "reason": "De ontvanger aanvaardt geen elektronische aangetekende zendingen",
        }
    if delivered:
        ready = datetime.fromtimestamp(one["ready_at"], UTC).isoformat(timespec="milliseconds")
        told["deliveredAt"] = min(ready, one["opened_at"] or ready)
    if one["opened_at"]:
        told["openedAt"] = one["opened_at"]
    return told | {"status": "OPENED" if one["opened_at"] else "DELIVERED" if delivered else "SENT"}


def _is_known(insz: str) -> bool:
    citizen = citizen_of(insz)
    return citizen is not None and citizen.state not in {"unknown", "deceased", "replaced"}


# --- what a message must hold ------------------------------------------------------------------


def _problems(message: Json) -> Iterator[Problem]:
    if not isinstance(message, dict):
        yield "", "een bericht is een object"
        return
    if not _is_uuid(message.get("messageId")):
        yield "messageId", "geen UUID"
    if not isinstance(message.get("ssin"), str) or not is_insz(message["ssin"]):
        yield "ssin", "geen geldig INSZ"
    if not _is_kbo(_at(message, "sender", "kbo")):
        yield "sender.kbo", "geen geldig ondernemingsnummer"
    for name in ("subject", "body"):
        text = _at(message, name, "nl")
        if not isinstance(text, str) or not text.strip():
            yield f"{name}.nl", "verplicht"
        elif name == "subject" and len(text) > SUBJECT_CHARACTERS:
            yield "subject.nl", f"langer dan {SUBJECT_CHARACTERS} tekens"
    if message.get("legalValue") not in LEGAL_VALUES:
        yield "legalValue", f"een van {', '.join(LEGAL_VALUES)}"
    if not isinstance(message.get("category"), str) or not message["category"].strip():
        yield "category", "verplicht"
    yield from _problems_of_document(message.get("document"))


def _problems_of_document(document: Json) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield "document", "verplicht"
        return
    name = document.get("filename")
    if not isinstance(name, str) or not name.endswith(".pdf") or "/" in name:
        yield "document.filename", "een naam die op .pdf eindigt"
    if document.get("mediaType") != "application/pdf":
        yield "document.mediaType", "application/pdf"
    try:
        content = base64.b64decode(document.get("content") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        yield "document.content", "geen base64"
        return
    if not content.startswith(b"%PDF-"):
        yield "document.content", "geen PDF"
    if len(content) > DOCUMENT_BYTES:
        yield "document.content", "groter dan 10 MB"
    if document.get("sha256") != hashlib.sha256(content).hexdigest():
        yield "document.sha256", "hoort niet bij de inhoud"


def _at(document: Json, *names: str) -> Json:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _is_uuid(text: Json) -> bool:
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_kbo(text: Json) -> bool:
    """Ten digits; the last two are 97 minus the rest of the first eight by 97."""
    if not isinstance(text, str) or len(text) != 10 or not (text.isascii() and text.isdigit()):
        return False
    return int(text[8:]) == 97 - int(text[:8]) % 97


def _invalid(problems: list[Problem]) -> Response:
    errors = [{"field": field, "message": text} for field, text in problems]
    return JSONResponse(
        {"code": "VALIDATION", "title": "Het bericht is geweigerd", "status": 400, "errors": errors}, 400
    )


def _refused(status: int, code: str, text: str) -> Response:
    return JSONResponse({"code": code, "title": text, "status": status}, status)


# --- the desk ----------------------------------------------------------------------------------


async def _switches(request: Request) -> dict[str, bool] | None:
    """`active` and `refuses`, as JSON or as the desk's form has them; None for anything else."""
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = orjson.loads(await request.body())
        else:
            asked = {name: value == "1" for name, value in (await request.form()).items()}
    except orjson.JSONDecodeError:
        return None
    known = isinstance(asked, dict) and asked.keys() <= {"active", "refuses"}
    return asked if known and all(isinstance(one, bool) for one in asked.values()) else None


def _back(config: Config, request: Request, insz: str) -> Response | None:
    """To the citizen's page, for who came from a form."""
    citizen = citizen_of(insz)
    if request.headers.get("content-type", "").startswith("application/json") or citizen is None:
        return None
    return RedirectResponse(f"{config.urls.get('desk', '')}/burger/{citizen.key}", 303)


def _citizen(config: Config, state: State, citizen: Citizen) -> Markup:
    active = is_active(state, citizen.insz)
    here = f"{config.url('ebox')}/sim/ebox/{citizen.insz}"
    switch = button(here, "Sluit de eBox" if active else "Open een eBox", {"active": "0" if active else "1"})
    rows = [
        (
            moment(one["sentAt"]),
            join([one["subject"], Markup("<br>"), lines(one["body"])]),
            tag(one["status"], "bad" if one["status"] == "REFUSED" else "good"),
            Markup('<a href="{}/{}/document">{}</a>').format(here, one["id"], one["filename"]),
        )
        for one in reversed(messages(state, citizen.insz))
    ]
    return Markup("<h3>eBox {}</h3>{}{}").format(
        tag("actief", "good") if active else tag("niet geactiveerd"),
        table(("Wanneer", "Bericht", "Toestand", "Document"), rows, empty="Geen documenten."),
        switch if _is_known(citizen.insz) else "",
    )


def _section(config: Config, state: State) -> Markup:
    taken = state.all("notification")
    repeats = sum(one["repeats"] for one in taken)
    return Markup("<p>{} documenten bezorgd, {} herhalingen.</p>").format(len(taken), repeats)


SYSTEM = System(name="ebox", title="eBox", offset=11, app=app, section=_section, citizen=_citizen)
