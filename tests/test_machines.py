"""Every state, action and role of the parts' tables, tried at the doors, against what the tables say."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from loket.advice import token_of
from loket.errors import Refused
from loket.ids import decode_id
from loket.ids import encode_id as encode
from loket.lifecycle import (
    PARTS,
    Machine,
    PartAction,
    Role,
    TimerKind,
)
from loket.records import Advice, EffectKind
from loket.sandbox.callbacks import loket_signature
from machines import (
    APPLICANT,
    OPERATOR_ALONE,
    STRANGER,
    Bench,
    Door,
    Opens,
    Spot,
    along,
    always,
    at_work,
    bench,
    everybody_signs_in,
    led_to,
    tried,
)
from premiums import Json, check, written
from served import BOOKS, MINUTES, VANS, WORLDLINE
from test_co_applicants import asks, together
from test_hooks import _twilio_signature, paid, transfer, worldline_signature
from test_payouts import GRANTED, plain
from town import FINANCE, HANDLER, Dossier, Town, copied, until

P = PartAction
BY_APPLICANT, BY_HANDLER, BY_FINANCE = (
    frozenset({one}) for one in (Role.APPLICANT, Role.HANDLER, Role.FINANCE)
)
BY_OPERATOR, BY_SECRETARY = frozenset({Role.OPERATOR}), frozenset({Role.SECRETARIAT})
BY_DRIVER, BY_ADVISER = frozenset({Role.FIELD_WORKER}), frozenset({Role.ADVISER})
BY_ITSELF = frozenset({Role.SYSTEM})
IBAN, OTHER = "BE68 5390 0754 7034", "BE71 0961 2345 6769"
ON = "2026-11-20"
WHY = {"reason": "Toch niet."}
IN_WORDS = {"motivationLegal": "Reglement", "motivationFactual": "Nagekeken."}
SIGNED = [
    {"name": "Leen Verhaegen", "function": "burgemeester", "signedOn": ON},
    {"name": "Joris Van den Broeck", "function": "algemeen directeur", "signedOn": ON},
]
_numbers = count(1)


# ── the cases ─────────────────────────────────────────────────────────────────────────────────────────


def _of_the_college(told: Json) -> None:
    """Screened by rule, weighed with a check and advice, decided by the college."""
    plain(told)
    told["stages"] = told["phases"][-1]["stages"] = ["screening", "assessment", "decision", "payout"]
    told["assessment"] = {"by": "handler"}
    told["checks"] = [
        check("increased", "social_status", "answer.statuses.BIM_BVT", statuses=["BIM_BVT"])
        | {"documents": ["certificate"]}
    ]
    told["advisers"] = [
        {"key": "work", "title": "Maatschappelijk werk", "kind": "INTERNAL", "department": "Sociaal",
         "question": "Kent u {applicant}?", "within_days": 14},
        {"key": "region", "title": "Welzijnsregio", "kind": "EXTERNAL", "email": "advies@welzijn.example",
         "question": "Wat vindt u van {reference}?", "within_days": 14},
        {"key": "fod", "title": "FOD", "kind": "MACHINE", "check": "increased", "question": "Ja of nee?"},
    ]  # fmt: skip
    told["decision"] = {
        "by": "COLLEGE",
        "legal_delivery": False,
        "articles_granted": ["Het college kent in {reference} {amount} toe: {benefits}."],
        "articles_refused": ["Het college weigert de premie in {reference}."],
        "agenda": {"proposing_group": "sociale-dienst", "item_title": "{procedure}: beslissingen ({count})"},
    }
    word = {
        "subject": "Op de agenda ({reference})",
        "body": "Het college beslist.",
        "sms": "Het college beslist.",
    }
    told["texts"]["messages"]["DECISION_ON_AGENDA"] = word


@dataclass
class Cases:
    """What there is to try on."""

    bench: Bench
    weighed: Dossier
    asked: dict[str, UUID]
    """The checks and advices of it, by key."""
    unentitled: Dossier
    """Of somebody whom the source says no about."""
    certificate: str
    decided: Dossier
    to_decide: Dossier
    """By a handler."""
    payable: Dossier
    payout: UUID
    bought: Dossier
    planned: Dossier
    taken_back: Dossier
    unconfirmed: Dossier
    """Of which a stranger must confirm."""
    drafter: str
    draft: str
    counter_draft: str
    movement: UUID

    @property
    def town(self) -> Town:
        return self.bench.town


@pytest.fixture(scope="module")
async def there(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cases]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "premium", plain)
    written(folder, "college", _of_the_college)
    written(folder, "samen", together)
    copied(folder, "on-credit", "screening, decision, payment, planning, delivery", unpaid="hand_over")
    home = tmp_path_factory.mktemp("town")
    async with bench(module_database_url, home, procedures=str(folder)) as found:
        await everybody_signs_in(found)
        async with at_work(found):
            made = await _made(found)
        await found.keep()
        yield made


async def _made(bench: Bench) -> Cases:
    town = bench.town
    weighed, unentitled = await _asks(town, "college", "rita"), await _asks(town, "college", "karel")
    certificate = await _hands_over_paper(town, weighed)
    for one, adviser in ((weighed, "work"), (weighed, "region"), (weighed, "fod"), (unentitled, "fod")):
        await town.does(HANDLER, "adviceRequest", caseId=one.id, input={"adviser": adviser})
    decided = await _asks(town, "college")
    await town.does(HANDLER, "decisionPrepare", caseIds=[decided.id], input={"outcome": "GRANTED"})
    await town.does(HANDLER, "decisionSendToMinutes", caseIds=[decided.id])
    await until(lambda: _has(town, "decision", "ON_AGENDA", decided))
    to_decide = await _asks(town, "premium")
    await town.does(HANDLER, "decisionPrepare", caseIds=[to_decide.id], input={"outcome": "GRANTED"})
    payable = await _asks(town, "premium")
    await town.does(HANDLER, "decisionTake", caseId=payable.id, input=GRANTED)
    ordered = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=payable.id)
    bought = await town.applies(procedure="on-credit")
    await bought.goes_to_pay()
    planned, taken_back = await town.applies(), await town.applies()
    for one in (planned, taken_back):
        await _at_the_counter(one)
    await planned.until("AWAITING_SLOT")
    await planned.books()
    await town.does(taken_back.who, "caseWithdraw", id=taken_back.id)
    who = town.somebody()
    draft = await town.fills_in(who)
    for one in (weighed, unentitled, decided, to_decide, payable, bought, planned, taken_back):
        await one.calm()
    asked = await _parts_of(weighed) | {
        f"{key} of another": id for key, id in (await _parts_of(unentitled)).items()
    }
    unconfirmed = await asks(town, STRANGER)
    payout = decode_id(ordered["payout"]["id"], "Payout")
    return Cases(
        bench, weighed, asked, unentitled, certificate, decided, to_decide, payable, payout, bought, planned,
        taken_back, unconfirmed, who, draft, await _at_the_desk(town), await _movement(town),
    )  # fmt: skip


async def _asks(town: Town, procedure: str, who: str = "") -> Dossier:
    """A premium whose handler has it before them, the sources heard."""
    who = who or town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"benefits": ["own"], "iban": IBAN})
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("ASSESSMENT" if procedure == "college" else "AWAITING_DECISION")
    await dossier.calm()
    return dossier


async def _hands_over_paper(town: Town, dossier: Dossier) -> str:
    content = b"%PDF-1.7\n" + bytes(100)
    paper = {"filename": "attest.pdf", "mediaType": "application/pdf", "size": len(content)}
    announced = paper | {"kind": "certificate", "caseId": dossier.id}
    upload = await town.does(HANDLER, "documentUploadStart", "uploadUrl document { id }", input=announced)
    assert (await town.client.put(upload["uploadUrl"], content=content)).is_success
    document: str = upload["document"]["id"]
    return document


async def _at_the_counter(dossier: Dossier) -> None:
    invoice = (await dossier.read(fields="invoice { id outstanding { amount } }"))["invoice"]
    given = {
        "amount": invoice["outstanding"]["amount"],
        "method": "COUNTER",
        "reference": f"kas {next(_numbers)}",
    }
    money = given | {"valueDate": ON}
    await dossier.town.does(FINANCE, "paymentRegister", invoiceId=invoice["id"], input=money)


async def _at_the_desk(town: Town) -> str:
    """A draft of somebody without a national number, entered by a handler."""
    visitor = {"givenName": "Jozef", "familyName": "Zonder Nummer"}
    payload = await town.does(
        HANDLER, "applicationStartAtCounter", "application { id }", procedure="compost-bin", input=visitor
    )
    draft: str = payload["application"]["id"]
    address = {"street": "Beekdal", "number": "9", "postal_code": "2999", "city": "Lindebeke"}
    answers = {
        "applicant": {"address": address},
        "delivery": {"place": "home"},
        "declaration": True,
        "contact": {},
    }
    await town.does(HANDLER, "applicationSetAnswers", id=draft, input=answers)
    cart = {"lines": [{"product": "bak", "quantity": 1}]}
    await town.does(HANDLER, "applicationSetCart", id=draft, input=cart)
    return draft


async def _has(town: Town, table: str, status: str, dossier: Dossier) -> bool:
    return bool(await _one(town, table, dossier, "status") == status)


async def _one(town: Town, table: str, dossier: Dossier, column: str = "id") -> Any:  # noqa: ANN401  # any column
    rows = await town.sql(
        f'SELECT {column} AS found FROM "{table}" WHERE case_id = :id ORDER BY id DESC LIMIT 1',  # noqa: S608  # ours
        id=decode_id(dossier.id, "Case"),
    )
    return rows[0].found


async def _parts_of(dossier: Dossier) -> dict[str, UUID]:
    rows = await dossier.town.sql(
        'SELECT kind AS key, id FROM "check" WHERE case_id = :id UNION ALL'
        " SELECT adviser, id FROM advice WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    return {row.key: row.id for row in rows}


# ── into a state ──────────────────────────────────────────────────────────────────────────────────────

ENDED = {"COMPLETED", "REJECTED", "WITHDRAWN", "CANCELLED"}


async def _set(town: Town, table: str, id: UUID, **columns: object) -> None:
    named = ", ".join(f"{one} = :{one}" for one in columns)
    await town.sql(f'UPDATE "{table}" SET {named} WHERE id = :id', id=id, **columns)  # noqa: S608  # ours


async def _stands(dossier: Dossier, stage: str, status: str) -> None:
    """The case itself, as it is when its part is in that state."""
    id, ended = decode_id(dossier.id, "Case"), status in ENDED
    await _set(dossier.town, "case", id, stage=stage, status=status, outcome=status if ended else None)
    closed_at = "now()" if ended else "NULL"
    await dossier.town.sql(f'UPDATE "case" SET closed_at = {closed_at} WHERE id = :id', id=id)  # noqa: S608  # ours


def _spot(
    there: Cases, dossier: Dossier, table: str, id: UUID, put: Callable[[str], Awaitable[None]]
) -> Spot:
    return Spot(there.bench, table, id, put, dossier, dossier.who)


async def _nothing_more(_: str) -> None:
    """The status says it all."""


# ── the application ───────────────────────────────────────────────────────────────────────────────────


def _drafts(there: Cases) -> list[tuple[Spot, frozenset[Role]]]:
    """One of a citizen's own, and one of the counter: each is for its own maker alone."""
    own = decode_id(there.draft, "Application")
    entered = decode_id(there.counter_draft, "Application")
    return [
        (Spot(there.bench, "application", own, _nothing_more, None, there.drafter), BY_APPLICANT),
        (Spot(there.bench, "application", entered, _nothing_more), BY_HANDLER),
    ]


def _wish(action: str, **more: object) -> Opens:
    """A mutation on the part itself."""

    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        return await spot.wishes(who, action, id=spot.node(spot.table.capitalize()), **more)

    return opens


def _case_wish(action: str, **more: object) -> Opens:
    """A mutation on its case, which most call `caseId`."""

    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        assert spot.case is not None
        named = {"id" if action.startswith("case") else "caseId": spot.case.id}
        return await spot.wishes(who, action, **named, **more)

    return opens


def _as(who: str, opens: Opens) -> Any:  # noqa: ANN401  # as given
    """What follows by itself from what somebody does."""

    async def follows(spot: Spot, _: str | None) -> Iterable[str]:
        return await opens(spot, who)

    return follows


def _deadline(kind: TimerKind) -> Opens:
    async def comes(spot: Spot, _: str | None) -> Iterable[str]:
        case_id = decode_id(spot.case.id, "Case") if spot.case else None
        about = case_id if case_id and kind in OF_THE_CASE else spot.id
        await spot.bench.fires(kind, case_id=case_id, subject=about)
        return ()

    return comes


OF_THE_CASE = {TimerKind.PAYMENT_END, TimerKind.SLOT_END}


def _of_an_application(by: frozenset[Role]) -> list[Door]:
    return [
        Door("applicationSubmit", by, always(P.SUBMIT), _wish("applicationSubmit")),
        Door("applicationDiscard", by, always(P.DISCARD), _wish("applicationDiscard")),
        Door("the draft's deadline", BY_ITSELF, always(P.EXPIRE), _deadline(TimerKind.DRAFT_END)),
    ]


# ── who must confirm ──────────────────────────────────────────────────────────────────────────────────


async def _question_spot(there: Cases) -> Spot:
    async def put(state: str) -> None:
        waits, over = state == "ASKED", state == "WITHDRAWN"
        status = "AWAITING_APPLICANT" if waits else "WITHDRAWN" if over else "SCREENING"
        await _stands(there.unconfirmed, "screening", status)

    row = await _one(there.town, "coapplication", there.unconfirmed)
    spot = _spot(there, there.unconfirmed, "coapplication", row, put)
    spot.confirms = STRANGER
    return spot


def _answers(action: str, **more: object) -> Opens:
    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        return await spot.wishes(who, action, id=spot.node("CoApplication"), **more)

    return opens


BY_OTHER = frozenset({Role.CO_APPLICANT})
QUESTION_DOORS = [
    Door("coApplicationConfirm", BY_OTHER, always(P.CONFIRM), _answers("coApplicationConfirm")),
    Door("coApplicationRefuse", BY_OTHER, always(P.REFUSE), _answers("coApplicationRefuse", input=WHY)),
    Door("nobody answers", BY_ITSELF, always(P.LAPSE), _deadline(TimerKind.CO_APPLICANT_END)),
    Door("caseWithdraw", BY_ITSELF, always(P.WITHDRAW), _as(APPLICANT, _case_wish("caseWithdraw"))),
]


# ── checks and advice ─────────────────────────────────────────────────────────────────────────────────


def _check_spot(there: Cases, key: str = "increased") -> Spot:
    dossier = there.weighed if key == "increased" else there.unentitled
    return _spot(
        there, dossier, "check", there.asked[key], partial(_checked, there.town, there.asked[key], dossier)
    )


async def _checked(town: Town, id: UUID, dossier: Dossier, state: str) -> None:
    """While it runs its question waits, and what found no answer is parked; the rest is done."""
    await _stands(dossier, "assessment", "ASSESSMENT")
    await town.sql(
        "UPDATE effect SET state = :state WHERE case_id = :id AND kind = 'CHECK_ASK'",
        state={"RUNNING": "PENDING", "UNKNOWN": "PARKED"}.get(state, "DONE"),
        id=decode_id(dossier.id, "Case"),
    )


async def _replaces(spot: Spot, who: str | None) -> Iterable[str]:
    wish = {"documentId": spot.known["certificate"]}
    return await spot.wishes(who, "checkReplaceByDocument", id=spot.node("Check"), input=wish)


async def _is_asked(spot: Spot, _: str | None) -> Iterable[str]:
    assert spot.case is not None
    try:
        await spot.bench.carries_out(EffectKind.CHECK_ASK, decode_id(spot.case.id, "Case"))
    except Refused as refusal:
        return [refusal.code]
    return ()


async def _is_skipped(spot: Spot, _: str | None) -> Iterable[str]:
    """An operator leaves the question unasked: then nobody knows."""
    assert spot.case is not None
    rows = await spot.town.sql(
        "SELECT id FROM effect WHERE case_id = :id AND kind = 'CHECK_ASK'", id=decode_id(spot.case.id, "Case")
    )
    return await spot.wishes(OPERATOR_ALONE, "effectSkip", id=encode("Effect", rows[0].id), input=WHY)


CHECK_DOORS = [
    Door("checkRepeat", BY_HANDLER | BY_OPERATOR, always(P.REPEAT), _wish("checkRepeat")),
    Door("checkReplaceByDocument", BY_HANDLER, always(P.REPLACE), _replaces),
    Door("effectSkip", BY_ITSELF, always(P.LEAVE_UNKNOWN), _is_skipped),
    Door("MAGDA says yes", BY_ITSELF, always(P.MEET), _is_asked),
]
REFUSED_CHECK_DOORS = [Door("MAGDA says no", BY_ITSELF, always(P.FAIL_TO_MEET), _is_asked)]

OPINIONS = {
    P.ADVISE_FOR: {"opinion": "POSITIVE", "text": "Ja."},
    P.ADVISE_AGAINST: {"opinion": "NEGATIVE", "text": "Nee."},
    P.ADVISE_WITH_CONDITIONS: {"opinion": "CONDITIONAL", "text": "Ja.", "conditions": "Eenmalig."},
}


def _advice_spot(there: Cases, adviser: str) -> Spot:
    dossier = there.unentitled if adviser == "fod of another" else there.weighed
    of_machine = adviser.startswith("fod")

    async def put(state: str) -> None:
        await _stands(dossier, "assessment", "AWAITING_ADVICE")  # of the other advisers
        if of_machine:  # its check is asked again
            id = there.asked["increased" if adviser == "fod" else "increased of another"]
            await _set(there.town, "check", id, status="RUNNING")
            await _checked(there.town, id, dossier, "RUNNING")

    return _spot(there, dossier, "advice", there.asked[adviser], put)


async def _with_the_link(spot: Spot, input: Json) -> Iterable[str]:
    loket = spot.town.served.loket
    async with loket.database.transaction() as session:
        token = token_of(loket.vault, await session.get_one(Advice, spot.id))
    payload = await spot.town.tries(
        None, "adviceGiveByToken", token=token, input=input | {"name": "Jan Maes"}
    )
    return [one["code"] for one in payload["errors"]]


def _by_link(input: Json) -> Opens:
    return lambda spot, _: _with_the_link(spot, input)


ADVICE_DOORS = [
    *(
        Door(f"adviceGive {action}", BY_HANDLER | BY_ADVISER, always(action), _wish("adviceGive", input=said))
        for action, said in OPINIONS.items()
    ),
    Door("adviceWithdraw", BY_HANDLER, always(P.WITHDRAW), _wish("adviceWithdraw", input=WHY)),
    Door("caseCancel", BY_ITSELF, always(P.WITHDRAW), _as(HANDLER, _case_wish("caseCancel", input=WHY))),
    Door("a reminder", BY_ITSELF, always(P.REMIND), _deadline(TimerKind.ADVICE_REMINDER)),
    Door("its deadline", BY_ITSELF, always(P.LAPSE), _deadline(TimerKind.ADVICE_END)),
]
FOLLOWING_DOORS = [Door("its check is met", BY_ITSELF, always(P.ADVISE_FOR), _is_asked)]
OTHER_FOLLOWING_DOORS = [Door("its check is not met", BY_ITSELF, always(P.ADVISE_AGAINST), _is_asked)]
LINK_DOORS = [
    Door(f"adviceGiveByToken {action}", BY_ADVISER, always(action), _by_link(said), alike=True)
    for action, said in OPINIONS.items()
]


# ── decisions ─────────────────────────────────────────────────────────────────────────────────────────


def _decision_spot(
    there: Cases, dossier: Dossier, id: UUID, proposal: str = "GRANTED", *, away: bool
) -> Spot:
    """`away`: a draft that lies with the minutes system already."""

    async def put(state: str) -> None:
        stage, status = {
            "GRANTED": ("payout", "AWAITING_PAYOUT"),
            "PARTLY_GRANTED": ("payout", "AWAITING_PAYOUT"),
            "REFUSED": ("decision", "REJECTED"),
        }.get(state, ("decision", "AWAITING_DECISION"))
        await _stands(dossier, stage, status)
        amount = None if "REFUSED" in {state, proposal} else "70.50"
        await _set(there.town, "decision", id, proposal=proposal, amount=amount)
        if state in {"DRAFT", "WITHDRAWN"}:
            await there.town.sql("UPDATE decision SET decided_on = NULL WHERE id = :id", id=id)
            if not away:
                await there.town.sql("UPDATE decision SET agenda_item_id = NULL WHERE id = :id", id=id)
        if state in {"TO_CONFIRM", "GRANTED", "PARTLY_GRANTED"}:
            names = [{"name": one["name"], "function": one["function"], "signed_on": ON} for one in SIGNED]
            await there.town.sql(
                "UPDATE decision SET signatories = CAST(:names AS jsonb) WHERE id = :id",
                names=json.dumps(names), id=id,
            )  # fmt: skip

    return _spot(there, dossier, "decision", id, put)


def _recorded(result: str, text: str = "") -> Opens:
    told = {"result": result, "decidedOn": ON, "signatories": SIGNED, "text": text}
    return _case_wish("decisionRecord", input=told)


def _told(result: str, text: str = "") -> Opens:
    """The minutes system's own word, at our hook."""

    async def tells(spot: Spot, _: str | None) -> Iterable[str]:
        assert spot.case is not None
        rows = await spot.town.sql("SELECT * FROM agendaitem")
        (item,) = rows
        told = {
            "externalIdentifier": item.external_identifier, "itemUid": item.item_uid, "body": "COLLEGE",
            "meetingOn": ON, "result": result, "decisionHtml": text, "signatories": SIGNED,
        }  # fmt: skip
        await _notice(spot.town, "/hooks/minutes/decision", MINUTES["hook_secret"], "decision.recorded", told)
        await spot.bench.carries_out(EffectKind.MINUTES_READ, decode_id(spot.case.id, "Case"))
        return ()

    return tells


async def _notice(town: Town, path: str, secret: str, kind: str, data: Json) -> None:
    """Signed as the other system signs it."""
    body = json.dumps(
        {"id": str(uuid7()), "type": kind, "occurredAt": f"{ON}T10:00:00Z", "data": data}
    ).encode()
    answer = await town.client.post(path, content=body, headers=loket_signature(secret)("", body))
    assert answer.status_code == 204, answer.text


async def _is_read(spot: Spot, _: str | None) -> Iterable[str]:
    """The minutes system is asked: the item stands on its agenda."""
    assert spot.case is not None
    (item,) = await spot.town.sql("SELECT id FROM agendaitem")
    id = decode_id(spot.case.id, "Case")
    await spot.bench.carries_out(EffectKind.MINUTES_READ, id, {"item_id": str(item.id)})
    return ()


def _prepared(outcome: str, **more: object) -> Opens:
    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        assert spot.case is not None
        wish = {"outcome": outcome} | more
        return await spot.wishes(who, "decisionPrepare", caseIds=[spot.case.id], input=wish)

    return opens


OUTCOMES = {"GRANTED": P.GRANT, "PARTLY_GRANTED": P.GRANT_PARTLY, "REFUSED": P.REFUSE}
SAID_OTHERWISE = "Het college beslist anders."


def _confirmed(outcome: str) -> Opens:
    amount = {} if outcome == "REFUSED" else {"amount": "70.50"}
    if outcome == "PARTLY_GRANTED":
        amount = {"amount": "20.00"}
    return _case_wish("decisionConfirm", input={"outcome": outcome} | IN_WORDS | amount)


def _of_a_body(proposal: str) -> list[Door]:
    """The body's word, from the secretariat and from its own system, on what was proposed."""
    decides = OUTCOMES[proposal]
    as_proposed = along(decides, TO_CONFIRM=(), GRANTED=(), PARTLY_GRANTED=(), REFUSED=(), WITHDRAWN=())
    changed = along(P.MODIFY, DRAFT=(P.PUT_ON_AGENDA, P.MODIFY))
    postponed = along(P.POSTPONE, DRAFT=(P.PUT_ON_AGENDA, P.POSTPONE))
    removed = along(P.WITHDRAW, GRANTED=(), PARTLY_GRANTED=())
    doors: list[Door] = []
    for by, how, name in ((BY_SECRETARY, _recorded, "decisionRecord"), (BY_ITSELF, _told, "the hook")):
        doors.append(Door(f"{name} ACCEPTED", by, as_proposed, how("ACCEPTED"), tells=True))
        if proposal != "GRANTED":
            continue
        doors += [
            Door(f"{name} MODIFIED", by, changed, how("MODIFIED", SAID_OTHERWISE), tells=True),
            Door(f"{name} POSTPONED", by, postponed, how("POSTPONED"), tells=True),
            Door(f"{name} REMOVED", by, removed, how("REMOVED"), tells=True),
        ]
    if proposal == "GRANTED":
        no = along(P.REFUSE, TO_CONFIRM=())
        doors += [
            Door(
                "decisionRecord REFUSED", BY_SECRETARY, no, _recorded("REFUSED", SAID_OTHERWISE), tells=True
            ),
            Door("the hook REFUSED", BY_ITSELF, no, _told("REFUSED", SAID_OTHERWISE), tells=True),
            Door("the agenda", BY_ITSELF, always(P.PUT_ON_AGENDA), _is_read),
        ]
    return doors


TAKEN = {"granted": True} | IN_WORDS
TO_HANDLE = [
    Door("decisionPrepare", BY_HANDLER, always(P.PREPARE), _prepared("GRANTED")),
    *(
        Door(f"decisionConfirm {outcome}", BY_HANDLER,
             along(action, DRAFT=(), ON_AGENDA=(), POSTPONED=()), _confirmed(outcome))
        for outcome, action in OUTCOMES.items()
    ),
    Door("decisionWithdraw", BY_HANDLER | BY_SECRETARY, always(P.WITHDRAW),
         _case_wish("decisionWithdraw", input=WHY)),
    Door("caseCancel", BY_ITSELF, along(P.WITHDRAW, GRANTED=(), PARTLY_GRANTED=()),
         _as(HANDLER, _case_wish("caseCancel", input=WHY))),
]  # fmt: skip


def _by_a_handler(proposal: str) -> list[Door]:
    """Where no body decides; what was taken back is drafted anew, as the rules say."""
    granted = along(OUTCOMES[proposal], WITHDRAWN=(P.PREPARE, P.GRANT), TO_CONFIRM=())
    refused = along(P.PREPARE, P.REFUSE)
    if proposal == "REFUSED":
        return [
            Door(
                "decisionTake no",
                BY_HANDLER,
                refused,
                _case_wish("decisionTake", input=TAKEN | {"granted": False}),
            )
        ]
    return [Door(f"decisionTake {proposal}", BY_HANDLER, granted, _case_wish("decisionTake", input=TAKEN))]


# ── what is owed, paid and given back ─────────────────────────────────────────────────────────────────


async def _invoice_spot(there: Cases) -> Spot:
    id = await _one(there.town, "invoice", there.bought, "id")

    async def put(state: str) -> None:
        sums = {
            "PARTLY_PAID": "paid = 2",
            "PAID": "paid = amount",
            "CREDITED": "credited = amount",
            "WRITTEN_OFF": "paid = 2, written_off = amount - 2",
        }
        await there.town.sql(f"UPDATE invoice SET {sums.get(state, 'paid = 0')} WHERE id = :id", id=id)  # noqa: S608  # ours
        at = {
            "ISSUED": ("payment", "AWAITING_PAYMENT"),
            "PARTLY_PAID": ("payment", "AWAITING_PAYMENT"),
            "CREDITED": ("planning", "CANCELLED"),
        }
        await _stands(there.bought, *at.get(state, ("planning", "AWAITING_SLOT")))

    return _spot(there, there.bought, "invoice", id, put)


async def _owed(spot: Spot) -> Any:  # noqa: ANN401  # a row
    (row,) = await spot.town.sql(
        "SELECT reference, amount - paid AS outstanding FROM invoice WHERE id = :id", id=spot.id
    )
    return row


def _amount(row: Any, *, full: bool) -> str:  # noqa: ANN401  # a row
    return str(row.outstanding) if full and row.outstanding else "1.00"


def _registered(*, full: bool) -> Opens:
    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        came = {"amount": _amount(await _owed(spot), full=full), "method": "COUNTER", "valueDate": ON}
        came |= {"reference": f"kas {next(_numbers)}"}
        return await spot.wishes(who, "paymentRegister", invoiceId=spot.node("Invoice"), input=came)

    return opens


def _transferred(*, full: bool) -> Opens:
    async def opens(spot: Spot, _: str | None) -> Iterable[str]:
        row = await _owed(spot)
        told = transfer(row.reference, _amount(row, full=full))
        await _books(spot.town, "payment.registered", told)
        return ()

    return opens


async def _books(town: Town, kind: str, data: Json) -> None:
    await _notice(town, "/hooks/accounting", BOOKS["hook_secret"], kind, data)


INVOICE_DOORS = [
    Door("paymentRegister part", BY_FINANCE, always(P.PAY_PART), _registered(full=False), tells=True),
    Door("paymentRegister all", BY_FINANCE, always(P.PAY_FULL), _registered(full=True), tells=True),
    Door("invoiceCredit", BY_FINANCE, always(P.CREDIT), _wish("invoiceCredit", input=WHY)),
    Door(
        "invoiceCredit part",
        BY_FINANCE,
        always(P.CREDIT_PART),
        _wish("invoiceCredit", input=WHY | {"amount": "0.50"}),
    ),
    Door("invoiceWriteOff", BY_FINANCE, always(P.WRITE_OFF), _wish("invoiceWriteOff", input=WHY)),
    Door("a transfer of part", BY_ITSELF, always(P.PAY_PART), _transferred(full=False)),
    Door("a transfer of all", BY_ITSELF, always(P.PAY_FULL), _transferred(full=True)),
    Door("caseCancel", BY_ITSELF, always(P.CREDIT), _as(HANDLER, _case_wish("caseCancel", input=WHY))),
    Door("its deadline", BY_ITSELF, always(P.HAND_OVER), _deadline(TimerKind.PAYMENT_END)),
]


async def _payment_spot(there: Cases, *, opened: bool = True) -> Spot:
    """An attempt to pay online; one that is not `opened` got no page of the payment module."""
    id = await _one(there.town, "payment", there.bought, "id")

    async def put(_: str) -> None:
        if not opened:
            await there.town.sql("UPDATE payment SET checkout_id = NULL WHERE id = :id", id=id)

    return _spot(there, there.bought, "payment", id, put)


def _worldline(status: str, code: int) -> Opens:
    async def tells(spot: Spot, _: str | None) -> Iterable[str]:
        assert spot.case is not None
        checkout = await _one(spot.town, "payment", spot.case, "checkout_id")
        told = json.loads(paid(spot.case.reference, checkout))
        payment = told["payment"] | {"status": status, "statusOutput": {"statusCode": code}}
        await _from_worldline(spot.town, {"type": f"payment.{status.lower()}", "payment": payment})
        return ()

    return tells


async def _from_worldline(town: Town, told: Json) -> None:
    event = {"apiVersion": "v1", "id": str(uuid7()), "created": f"{ON}T10:00:00Z"}
    body = json.dumps(event | {"merchantId": WORLDLINE["merchant_id"]} | told).encode()
    headers = worldline_signature(body)
    answer = await town.client.post("/hooks/payments/worldline", content=body, headers=headers)
    assert answer.status_code == 204, answer.text


PAYMENT_DOORS = [
    Door("Worldline waits", BY_ITSELF, always(P.WAIT), _worldline("CAPTURE_REQUESTED", 91)),
    Door("Worldline captured", BY_ITSELF, always(P.CAPTURE), _worldline("CAPTURED", 9)),
]
UNOPENED_PAYMENT_DOORS = [
    Door("the poll", BY_ITSELF, always(P.FAIL), _deadline(TimerKind.CHECKOUT_POLL)),
]


async def _refund_spot(there: Cases, *, by_transfer: bool = False) -> Spot:
    """What goes back the way that it came, online; or `by_transfer`: then a payout carries it."""
    id = await _one(there.town, "refund", there.taken_back, "id")

    async def put(state: str) -> None:
        if not by_transfer:
            await there.town.sql(
                "UPDATE payment SET method = 'ONLINE', module = 'worldline' FROM refund"
                " WHERE payment.id = refund.payment_id AND refund.id = :id",
                id=id,
            )
            return
        payout = {"ORDERED": "SENT", "DONE": "EXECUTED"}.get(state, "CANCELLED")
        await there.town.sql(
            "INSERT INTO payout (id, case_id, round, refund_id, kind, status, version, amount, payee,"
            " iban_sealed, iban_masked, remittance, ordered_at, executed_on, reason_code, reason)"
            " SELECT :payout, refund.case_id, 1, refund.id, 'REFUND', CAST(:status AS text), 1,"
            "        refund.amount, 'An',"
            "        paid.iban_sealed, paid.iban_masked, '', now(),"
            "        CASE WHEN CAST(:status AS text) = 'EXECUTED' THEN current_date END, '', ''"
            "   FROM refund, payout AS paid WHERE refund.id = :id AND paid.kind = 'PREMIUM'",
            payout=uuid7(), status=payout, id=id,
        )  # fmt: skip

    return _spot(there, there.taken_back, "refund", id, put)


async def _by_the_books(spot: Spot, _: str | None) -> Iterable[str]:
    (row,) = await spot.town.sql("SELECT amount FROM refund WHERE id = :id", id=spot.id)
    told = {"entryId": str(spot.id), "amount": str(row.amount), "currency": "EUR", "executedOn": ON}
    await _books(spot.town, "refund.executed", told)
    return ()


def _bank(result: str) -> Opens:
    """Finance writes down what the bank did with the payout that carries it."""

    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        (row,) = await spot.town.sql("SELECT id FROM payout WHERE refund_id = :id", id=spot.id)
        told = {"result": result, "on": ON}
        return await spot.wishes(who, "payoutRecord", id=encode("Payout", row.id), input=told)

    return opens


async def _came_back(spot: Spot, _: str | None) -> Iterable[str]:
    """Accounting tells that the payout that carries it came back."""
    (row,) = await spot.town.sql("SELECT id, amount FROM payout WHERE refund_id = :id", id=spot.id)
    told = {"payoutId": str(row.id), "amount": str(row.amount), "returnedOn": ON}
    await _books(spot.town, "payout.returned", told)
    return ()


async def _worldline_gives_nothing_back(spot: Spot, _: str | None) -> Iterable[str]:
    known = f"{next(_numbers)}_2"
    await _set(spot.town, "refund", spot.id, provider_refund_id=known)
    refund = {"id": known, "status": "REJECTED", "statusOutput": {"statusCode": 83}}
    refund |= {"refundOutput": {"amountOfMoney": {"amount": 2800, "currencyCode": "EUR"}}}
    await _from_worldline(spot.town, {"type": "refund.rejected", "refund": refund})
    return ()


REFUND_DOORS = [
    Door("Worldline refuses", BY_ITSELF, always(P.FAIL), _worldline_gives_nothing_back),
    Door("refundOrder", BY_FINANCE, always(P.ORDER), _wish("refundOrder")),
    Door("the books paid", BY_ITSELF,
         always(P.COMPLETE), _by_the_books),
]  # fmt: skip
TRANSFER_DOORS = [
    Door("payoutRecord EXECUTED", BY_FINANCE,
         always(P.COMPLETE), _bank("EXECUTED"), tells=True),
    Door("payoutRecord RETURNED", BY_FINANCE,
         along(P.RETURN, DUE=(), ORDERED=(P.FAIL,), FAILED=()), _bank("RETURNED"), tells=True,
         states=("ORDERED", "DONE")),
    Door("the bank returned it", BY_ITSELF,
         along(P.RETURN, DUE=(), ORDERED=(P.FAIL,), FAILED=()), _came_back),
]  # fmt: skip


# ── movements on the account ──────────────────────────────────────────────────────────────────────────


async def _movement(town: Town) -> UUID:
    """Money that came on the municipality's account, and names nothing."""
    statement, entry = uuid7(), uuid7()
    await town.sql(
        "INSERT INTO bankstatement (id, format, iban, statement_key, starts_on, ends_on, opening, closing,"
        " file_name, file_hash, imported_at) VALUES"
        " (:id, 'CODA', 'BE68539007547034', '1', :day, :day, 0, 5, '', '', now())",
        id=statement, day=date.fromisoformat(ON),
    )  # fmt: skip
    await town.sql(
        "INSERT INTO bankentry (id, statement_id, position, status, version, amount, booked_on, value_on,"
        " bank_reference, end_to_end_id, reference, remittance, counterparty_name, counterparty_iban_masked,"
        " return_code, reason)"
        " VALUES (:id, :of, 1, 'OPEN', 1, 5, :day, :day, '', '', '', '', 'An', '', '', '')",
        id=entry, of=statement, day=date.fromisoformat(ON),
    )  # fmt: skip
    return entry


def _movement_spot(there: Cases) -> Spot:
    async def put(state: str) -> None:
        if state == "MATCHED":
            await there.town.sql(
                "UPDATE bankentry SET status = 'MATCHED', payment_id ="
                " (SELECT id FROM payment WHERE status = 'CAPTURED' ORDER BY id LIMIT 1)"
            )

    return Spot(there.bench, "bankentry", there.movement, put, there.bought)


async def _is_matched(spot: Spot, who: str | None) -> Iterable[str]:
    assert spot.case is not None
    invoice = encode("Invoice", await _one(spot.town, "invoice", spot.case))
    return await spot.wishes(
        who, "paymentMatch", id=encode("BankEntry", spot.id), input={"invoiceId": invoice}
    )


async def _is_set_aside(spot: Spot, who: str | None) -> Iterable[str]:
    wish = WHY | {"ids": [encode("BankEntry", spot.id)]}
    return await spot.wishes(who, "bankEntrySetAside", input=wish)


MOVEMENT_DOORS = [
    Door("paymentMatch", BY_FINANCE, always(P.MATCH), _is_matched),
    Door("bankEntrySetAside", BY_FINANCE, always(P.SET_ASIDE), _is_set_aside, tells=True),
]


# ── slots and deliveries ──────────────────────────────────────────────────────────────────────────────


async def _agreed(there: Cases, delivery: str, booking: str) -> None:
    """A delivery and its place in a slot, and the case with them."""
    town, dossier = there.town, there.planned
    place = await _one(town, "booking", dossier)
    part = await _one(town, "delivery", dossier)
    if booking != "BOOKED":
        await town.sql(
            "UPDATE delivery SET starts_at = NULL, ends_at = NULL WHERE id = :id AND status <> 'DELIVERED'",
            id=part,
        )
    await _set(town, "delivery", part, status=delivery)
    await _set(town, "booking", place, status=booking)
    if booking == "RELEASED":
        await town.sql("UPDATE slot SET taken = taken - 1 FROM booking WHERE slot_id = slot.id")
    at = {
        "PLANNED": ("delivery", "AWAITING_DELIVERY"),
        "MISSED": ("delivery", "AWAITING_SLOT"),
        "DELIVERED": ("delivery", "COMPLETED"),
        "CANCELLED": ("delivery", "WITHDRAWN"),
    }
    await _stands(dossier, *at.get(delivery, ("planning", "AWAITING_SLOT")))


async def _delivery_spot(there: Cases) -> Spot:
    async def put(state: str) -> None:
        kept = state in {"PLANNED", "DELIVERED"}
        await _agreed(there, state, "BOOKED" if kept else "RELEASED")
        if state == "DELIVERED":
            await there.town.sql("UPDATE delivery SET delivered_at = now(), delivered_by = 'Wim'")

    return _spot(there, there.planned, "delivery", await _one(there.town, "delivery", there.planned), put)


async def _slot_spot(there: Cases) -> Spot:
    async def put(state: str) -> None:
        await _agreed(there, "PLANNED" if state == "BOOKED" else "TO_PLAN", state)
        if state == "HELD":
            await there.town.sql("UPDATE booking SET expires_at = now() + interval '1 hour'")

    return _spot(there, there.planned, "booking", await _one(there.town, "booking", there.planned), put)


async def _other_slot(spot: Spot) -> str:
    """One that has a place still, and is not the agreed one."""
    rows = await spot.town.sql(
        "SELECT id FROM slot WHERE taken < capacity AND state = 'OPEN'"
        " AND starts_at > now() + interval '4 days'"
        " AND starts_at < now() + interval '14 days' AND id NOT IN (SELECT slot_id FROM booking)"
        " ORDER BY starts_at LIMIT 1"
    )
    return encode("Slot", rows[0].id)


def _elsewhere(action: str) -> Opens:
    async def opens(spot: Spot, who: str | None) -> Iterable[str]:
        return await _case_wish(action, slotId=await _other_slot(spot))(spot, who)

    return opens


def _van(kind: str, **told: object) -> Opens:
    async def tells(spot: Spot, _: str | None) -> Iterable[str]:
        assert spot.case is not None
        delivery = await _one(spot.town, "delivery", spot.case)
        (slot,) = await spot.town.sql(
            "SELECT external_id, version FROM slot JOIN booking ON slot_id = slot.id WHERE case_id = :id",
            id=decode_id(spot.case.id, "Case"),
        )
        known = {"bookingId": str(delivery), "slotId": slot.external_id, "version": slot.version + 1}
        needed = {"slot.cancelled": ("slotId",)}.get(kind, ("bookingId",))
        data = {one: known[one] for one in needed} | told
        await _notice(spot.town, "/hooks/planning", VANS["hook_secret"], kind, data)
        return ()

    return tells


NOT_HOME = {"reason": "Niemand thuis."}
HANDED_OVER = {"deliveredAt": f"{ON}T10:00:00Z", "deliveredBy": "Wim"}
ENDS_IT = along(P.CANCEL, DELIVERED=())
DELIVERY_DOORS = [
    Door("deliveryBookSlot", BY_APPLICANT | BY_HANDLER, always(P.BOOK), _elsewhere("deliveryBookSlot")),
    Door("deliveryReschedule", BY_APPLICANT | BY_HANDLER, always(P.BOOK), _elsewhere("deliveryReschedule")),
    Door("the last day to choose", BY_ITSELF, along(P.BOOK, PLANNED=()), _deadline(TimerKind.SLOT_END)),
    Door("deliveryConfirm", BY_DRIVER, always(P.CONFIRM), _wish("deliveryConfirm")),
    Door("the van was there", BY_ITSELF, always(P.CONFIRM), _van("delivery.confirmed", **HANDED_OVER)),
    Door("deliveryReportMissed", BY_DRIVER, always(P.MISS), _wish("deliveryReportMissed", input=NOT_HOME)),
    Door("nobody was there", BY_ITSELF, always(P.MISS), _van("delivery.missed", **NOT_HOME)),
    Door("deliveryCancel", BY_HANDLER, always(P.LOSE), _wish("deliveryCancel", input=WHY)),
    Door("the slot fell away", BY_ITSELF, always(P.LOSE), _van("slot.cancelled", reason="Feestdag")),
    Door("caseWithdraw", BY_APPLICANT | BY_HANDLER, always(P.CANCEL), _case_wish("caseWithdraw")),
]
SLOT_DOORS = [
    Door("deliveryBookSlot", BY_APPLICANT | BY_HANDLER, always(P.BOOK),
         _case_wish("deliveryBookSlot"), tells=True),
    Door("deliveryHoldSlot", BY_APPLICANT | BY_HANDLER, along(P.RELEASE, BOOKED=()),
         _elsewhere("deliveryHoldSlot"), tells=True),
    Door("deliveryReschedule", BY_APPLICANT | BY_HANDLER, always(P.RELEASE),
         _elsewhere("deliveryReschedule"), tells=True),
    Door("the last day to choose", BY_ITSELF, always(P.BOOK), _deadline(TimerKind.SLOT_END)),
    Door("its time is over", BY_ITSELF, along(P.RELEASE, BOOKED=()), _deadline(TimerKind.HOLD_END)),
    Door("the slot fell away", BY_ITSELF, always(P.RELEASE), _van("slot.cancelled", reason="Feestdag")),
]  # fmt: skip


# ── payouts ───────────────────────────────────────────────────────────────────────────────────────────


def _payout_spot(there: Cases) -> Spot:
    async def put(state: str) -> None:
        await _stands(there.payable, "payout", "COMPLETED" if state == "EXECUTED" else "AWAITING_PAYOUT")
        if state not in {"ORDERED", "DECLINED"}:
            await there.town.sql(
                "UPDATE payout SET approved_at = now(), approved_by_id ="
                " (SELECT id FROM staff WHERE given_name = 'Filip') WHERE id = :id",
                id=there.payout,
            )

    return _spot(there, there.payable, "payout", there.payout, put)


def _bank_tells(kind: str, **more: object) -> Opens:
    async def tells(spot: Spot, _: str | None) -> Iterable[str]:
        await _books(spot.town, kind, {"payoutId": str(spot.id)} | more)
        return ()

    return tells


def _payout_result(result: str) -> Opens:
    return _wish("payoutRecord", input={"result": result, "on": ON, "reasonCode": "MS03"})


def _sent_along(*, answered: bool) -> Opens:
    """The order goes to accounting, which answers or not."""

    async def goes(spot: Spot, _: str | None) -> Iterable[str]:
        assert spot.case is not None
        if not answered:
            await spot.town.fails("accounting", mode="lose_answer", count=2)
        id = decode_id(spot.case.id, "Case")
        await spot.bench.carries_out(EffectKind.PAYOUT_SEND, id, {"payout_id": str(spot.id)})
        await spot.town.recovers("accounting")
        return ()

    return goes


async def _is_looked_up(spot: Spot, _: str | None) -> Iterable[str]:
    """Accounting, which has the order, is asked where it stands."""
    assert spot.case is not None
    id = decode_id(spot.case.id, "Case")
    await spot.bench.carries_out(EffectKind.PAYOUT_READ, id, {"payout_id": str(spot.id)})
    return ()


ONLY_APPROVED = dict.fromkeys(("IN_DOUBT", "SENT"), ())
PAYOUT_DOORS = [
    Door("payoutApprove", BY_FINANCE, always(P.APPROVE), _wish("payoutApprove")),
    Door("payoutDecline", BY_FINANCE, always(P.DECLINE), _wish("payoutDecline", input=WHY)),
    Door("payoutCancel", BY_HANDLER | BY_FINANCE, always(P.CANCEL), _wish("payoutCancel", input=WHY)),
    Door("caseWithdraw", BY_ITSELF, always(P.CANCEL), _as(APPLICANT, _case_wish("caseWithdraw"))),
    Door("payoutRecord EXECUTED", BY_FINANCE, always(P.EXECUTE), _payout_result("EXECUTED"), tells=True),
    Door("payoutRecord REJECTED", BY_FINANCE, always(P.REJECT), _payout_result("REJECTED"), tells=True),
    Door("payoutRecord RETURNED", BY_FINANCE, always(P.RETURN), _payout_result("RETURNED"), tells=True),
    Door("the bank executed", BY_ITSELF, always(P.EXECUTE), _bank_tells("payout.executed")),
    Door("the bank rejected", BY_ITSELF, always(P.REJECT), _bank_tells("payout.rejected", reasonCode="MS03")),
    Door("the bank returned", BY_ITSELF, always(P.RETURN),
         _bank_tells("payout.returned", amount="70.50", returnedOn=ON)),
    Door("the order arrives", BY_ITSELF, along(P.SEND, **ONLY_APPROVED), _sent_along(answered=True)),
    Door("accounting has it", BY_ITSELF, always(P.SEND), _is_looked_up),
    Door("no answer comes", BY_ITSELF, along(P.DOUBT, **ONLY_APPROVED), _sent_along(answered=False)),
]  # fmt: skip


# ── messages ──────────────────────────────────────────────────────────────────────────────────────────


async def _message_spot(there: Cases) -> Spot:
    (row,) = await there.town.sql(
        "SELECT id, effect_id FROM message WHERE case_id = :id AND channel = 'EMAIL'"
        " AND effect_id IS NOT NULL"
        " ORDER BY id LIMIT 1",
        id=decode_id(there.bought.id, "Case"),
    )

    async def put(state: str) -> None:
        sent = {"QUEUED": "PENDING", "FAILED": "PARKED", "SKIPPED": "SKIPPED"}.get(state, "DONE")
        await _set(there.town, "effect", row.effect_id, state=sent)

    spot = _spot(there, there.bought, "message", row.id, put)
    spot.known["effect"] = row.effect_id
    return spot


async def _tried_again(spot: Spot, who: str | None) -> Iterable[str]:
    return await spot.wishes(who, "effectRetry", id=encode("Effect", spot.known["effect"]))


async def _goes_out(spot: Spot, _: str | None) -> Iterable[str]:
    assert spot.case is not None
    id = spot.known["effect"]
    await spot.bench.carries_out(EffectKind.MESSAGE_EMAIL, decode_id(spot.case.id, "Case"), effect_id=id)
    return ()


def _twilio(status: str) -> Opens:
    """A receipt names its message, whatever it went over."""

    async def tells(spot: Spot, _: str | None) -> Iterable[str]:
        path = f"/hooks/sms/twilio?message={spot.id}"
        form = {"MessageSid": f"SM{next(_numbers)}", "MessageStatus": status}
        signed = _twilio_signature(f"{spot.town.served.url}{path}", form)
        answer = await spot.town.client.post(path, data=form, headers=signed)
        assert answer.status_code == 204, answer.text
        return ()

    return tells


MESSAGE_DOORS = [
    Door("effectRetry", BY_OPERATOR, always(P.RESEND), _tried_again, tells=True),
    Door("it goes out", BY_ITSELF, always(P.SEND), _goes_out),
    Door("it was delivered", BY_ITSELF, always(P.DELIVER), _twilio("delivered")),
    Door("it failed", BY_ITSELF, always(P.FAIL), _twilio("undelivered")),
]


# ── all of them ───────────────────────────────────────────────────────────────────────────────────────


async def _all_spots(there: Cases, machine: str) -> list[tuple[Spot, list[Door]]]:
    """What is tried of a machine, and at which doors."""
    match machine:
        case "application":
            return [(spot, _of_an_application(by)) for spot, by in _drafts(there)]
        case "co-application":
            return [(await _question_spot(there), QUESTION_DOORS)]
        case "check":
            yes, no = _check_spot(there), _check_spot(there, "increased of another")
            yes.known["certificate"] = there.certificate
            return [(yes, CHECK_DOORS), (no, REFUSED_CHECK_DOORS)]
        case "advice":
            return [
                (_advice_spot(there, "work"), ADVICE_DOORS),
                (_advice_spot(there, "region"), LINK_DOORS),
                (_advice_spot(there, "fod"), FOLLOWING_DOORS),
                (_advice_spot(there, "fod of another"), OTHER_FOLLOWING_DOORS),
            ]
        case "decision":
            return await _decision_spots(there)
        case "invoice":
            return [(await _invoice_spot(there), INVOICE_DOORS)]
        case "payment":
            unopened = await _payment_spot(there, opened=False)
            return [(await _payment_spot(there), PAYMENT_DOORS), (unopened, UNOPENED_PAYMENT_DOORS)]
        case "refund":
            by_transfer = await _refund_spot(there, by_transfer=True)
            return [(await _refund_spot(there), REFUND_DOORS), (by_transfer, TRANSFER_DOORS)]
        case "movement on the account":
            return [(_movement_spot(there), MOVEMENT_DOORS)]
        case "delivery":
            return [(await _delivery_spot(there), DELIVERY_DOORS)]
        case "slot":
            return [(await _slot_spot(there), SLOT_DOORS)]
        case "payout":
            return [(_payout_spot(there), PAYOUT_DOORS)]
        case "message":
            return [(await _message_spot(there), MESSAGE_DOORS)]
        case _:
            return []


async def _decision_spots(there: Cases) -> list[tuple[Spot, list[Door]]]:
    by_body = await _one(there.town, "decision", there.decided)
    by_hand = await _one(there.town, "decision", there.to_decide)
    spots = []
    for proposal in OUTCOMES:
        away = _decision_spot(there, there.decided, by_body, proposal, away=True)
        here = _decision_spot(there, there.to_decide, by_hand, proposal, away=False)
        spots += [(away, _of_a_body(proposal)), (here, _by_a_handler(proposal))]
    drafted = _decision_spot(there, there.decided, by_body, away=False)
    return [*spots, (drafted, TO_HANDLE)]


DOORS: dict[str, list[Door]] = {
    "application": _of_an_application(BY_APPLICANT) + _of_an_application(BY_HANDLER),
    "co-application": QUESTION_DOORS,
    "check": CHECK_DOORS + REFUSED_CHECK_DOORS,
    "advice": ADVICE_DOORS + LINK_DOORS + FOLLOWING_DOORS + OTHER_FOLLOWING_DOORS,
    "decision": TO_HANDLE + [door for one in OUTCOMES for door in _of_a_body(one) + _by_a_handler(one)],
    "invoice": INVOICE_DOORS,
    "payment": PAYMENT_DOORS + UNOPENED_PAYMENT_DOORS,
    "refund": REFUND_DOORS + TRANSFER_DOORS,
    "movement on the account": MOVEMENT_DOORS,
    "delivery": DELIVERY_DOORS,
    "slot": SLOT_DOORS,
    "payout": PAYOUT_DOORS,
    "message": MESSAGE_DOORS,
}
MACHINES: dict[str, Machine[Any, PartAction]] = {one.name: one for one in PARTS}


@pytest.mark.parametrize("name", DOORS)
async def test_everybody_gets_as_far_as_the_table_says(there: Cases, name: str) -> None:
    wrong: list[str] = []
    for spot, doors in await _all_spots(there, name):
        for door in doors:
            wrong += await tried(MACHINES[name], door, spot)
    assert wrong == [], "\n".join(wrong)


def _driven(name: str) -> set[tuple[str, str, Role]]:
    """Every state, action and role of a machine that some door leads through."""
    found: set[tuple[str, str, Role]] = set()
    machine = MACHINES[name]
    for state, door in ((state, door) for state in machine.states() for door in DOORS.get(name, ())):
        for role in door.by:
            if led_to(machine, door, state, {role}) is None:
                continue
            at = state
            for action in door.way(state):
                step = machine.find(at, action)
                assert step is not None
                taker = role if role in step.by else Role.SYSTEM
                found.add((str(at), str(action), taker))
                at = step.to
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_every_step_is_tried_or_it_is_said_why_it_cannot_be(name: str) -> None:
    driven = _driven(name)
    steps = {(str(step.state), str(step.action), role) for step in MACHINES[name].steps for role in step.by}
    left = {(action, role) for state, action, role in steps - driven}
    told = {(str(action), role) for machine, action, role in NO_DOOR if machine == name}
    assert left - told == set(), "neither tried nor explained"
    assert told - left == set(), "explained, but tried or gone"
    assert driven <= steps


# fmt: off
NO_DOOR: dict[tuple[str, PartAction, Role], str] = {
    ("check", P.REPEAT, Role.SYSTEM): "an old answer is asked anew before a decision: test_assessment.py",
    ("co-application", P.LAPSE, Role.HANDLER): "a deadline does",
    ("delivery", P.CANCEL, Role.SYSTEM): "its case ends unpaid: test_orders_of_stages.py",
    ("message", P.SKIP, Role.SYSTEM): "of a letter whose decision is withdrawn before it leaves",
    ("payout", P.DOUBT, Role.SYSTEM): "of what was sent: a repeated order gets no answer",
    ("payment", P.CAPTURE, Role.FINANCE): "what finance writes down is a payment of its own",
    ("refund", P.ORDER, Role.SYSTEM): "what came online is ordered back as it becomes due: test_hooks.py",
    ("invoice", P.HAND_OVER, Role.FINANCE): "a deadline does",
    ("invoice", P.WRITE_OFF, Role.SYSTEM): "a person gives up, no rule does",
    ("invoice", P.CREDIT_PART, Role.SYSTEM): "a person does, no rule",
    ("invoice", P.CHARGE_BACK, Role.SYSTEM): "the payment module tells: test_payment_modules.py",
    ("invoice", P.CHARGE_BACK, Role.FINANCE): "the payment module tells: test_payment_modules.py",
    ("movement on the account", P.MATCH, Role.SYSTEM): "it names what it is of: test_matching.py",
    ("movement on the account", P.SET_ASIDE, Role.SYSTEM): "it says what it is: test_matching.py",
}
# fmt: on
