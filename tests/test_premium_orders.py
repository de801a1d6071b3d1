"""Premiums with their stages in other orders, decided by others: each is walked until the money is there."""

import io
from collections.abc import AsyncIterator

import pytest
from pypdf import PdfReader

from loket.ids import decode_id
from premiums import Json, check, rule, written
from town import FINANCE, HANDLER, Dossier, Town, nothing_stays_open, opened, until

IBAN = "BE68 5390 0754 7034"
DECISION = """decision { status byRule amount { amount } benefits { key granted }
    letter { way status document { url } } }"""


def _paid(told: Json, *stages: str) -> None:
    """Screened by rule; one sum for everybody, one for nobody, once a year."""
    told["stages"] = [*stages, "payout"]
    told["phases"][-1]["stages"] = told["stages"]
    told["title"] = "Premie"
    told["screening"], told["checks"], told["documents"] = {"by": "rule"}, [], []
    told["rules"] = {"screening": [rule("here", "applicant.address.nis == municipality.nis")]}
    home, own = told["benefits"]
    told["benefits"] = [
        home | {"per": "applicant", "when": "household.members > 50"},
        own | {"when": "claims.own == 'FREE'"},
    ]
    told["form"]["schema"]["properties"]["iban"] = {"type": "string", "format": "iban"}
    told["payout"] = {"account_field": "/iban", "remittance": "Premie {reference}"}
    messages = told["texts"]["messages"]
    messages["PAID_OUT"] = _message("Betaald", "Wij stortten {granted}.")
    messages["ACCOUNT_NEEDED"] = _message("Uw rekening", "{reason} Antwoord voor {answer_by}.")


def _message(subject: str, body: str) -> Json:
    return {"subject": f"{subject} ({{reference}})", "body": body, "sms": body}


def _by_rule_at_once(told: Json) -> None:
    _paid(told, "screening", "decision")
    told.pop("assessment")
    told["decision"] = {"by": "rule"}


def _by_rule_after_a_check(told: Json) -> None:
    _paid(told, "screening", "assessment", "decision")
    told["assessment"], told["decision"] = {"by": "rule"}, {"by": "rule"}
    told["rules"]["approval"] = [rule("resident", "applicant.address.nis == municipality.nis")]
    asked = check("increased", "social_status", "true", statuses=["BIM_BVT"])
    told["checks"] = [asked | {"met": "answer.statuses.BIM_BVT || !answer.statuses.BIM_BVT"}]
    told["benefits"][1]["when"] = "checks.increased == 'MET' && claims.own == 'FREE'"


def _by_a_handler_with_a_letter(told: Json) -> None:
    _paid(told, "screening", "assessment", "decision")
    told["decision"] = {"by": "handler", "legal_delivery": True}
    for event in ("APPROVED", "PARTLY_APPROVED", "REJECTED"):
        told["texts"]["messages"][event] = _message("Er is nieuws", "Kijk in uw dossier.")


PREMIUMS = {
    "by-rule": _by_rule_at_once,
    "by-rule-after-a-check": _by_rule_after_a_check,
    "by-handler": _by_a_handler_with_a_letter,
}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    for key, changed in PREMIUMS.items():
        written(folder, key, changed)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


async def _applies(town: Town, procedure: str, *asked: str) -> Dossier:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    answers = {"benefits": list(asked or ["own"]), "iban": IBAN}
    await town.does(who, "applicationSetAnswers", id=draft, input=answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def _decision(dossier: Dossier) -> Json:
    decision: Json = (await dossier.read(fields=DECISION))["decision"]
    return decision


async def _is_paid(town: Town, dossier: Dossier, amount: str) -> None:
    """Ordered by one, approved by another, executed by the bank: as any premium."""
    payload = await town.does(HANDLER, "payoutOrder", "payout { id amount { amount } }", caseId=dossier.id)
    payout = payload["payout"]
    assert payout["amount"]["amount"] == amount
    await town.does(FINANCE, "payoutApprove", id=payout["id"])

    async def sent() -> bool:
        seen = await dossier.read(fields="payout { status }")
        return bool(seen["payout"]["status"] == "SENT")

    await until(sent)
    await town.order("accounting", f"payouts/{decode_id(payout['id'], 'Payout')}/execute")
    await dossier.until("COMPLETED")


@pytest.mark.parametrize("procedure", ["by-rule", "by-rule-after-a-check"])
async def test_a_rule_grants_writes_the_amount_and_a_person_pays(town: Town, procedure: str) -> None:
    dossier = await _applies(town, procedure)
    await dossier.until("AWAITING_PAYOUT")
    decision = await _decision(dossier)
    assert (decision["status"], decision["byRule"]) == ("GRANTED", True)
    assert decision["amount"]["amount"] == "70.50"
    assert await dossier.tasks() == ["ORDER_PAYOUT"]
    assert "PAYOUT_END" in await dossier.timers()
    await _is_paid(town, dossier, "70.50")


async def test_a_rule_grants_a_part_and_refuses_the_rest(town: Town) -> None:
    dossier = await _applies(town, "by-rule", "own", "home")
    await dossier.until("AWAITING_PAYOUT")
    decision = await _decision(dossier)
    assert (decision["status"], decision["amount"]["amount"]) == ("PARTLY_GRANTED", "70.50")
    assert {one["key"]: one["granted"] for one in decision["benefits"]} == {"home": False, "own": True}


@pytest.mark.parametrize("procedure", ["by-rule", "by-rule-after-a-check"])
async def test_what_no_rule_grants_is_refused_without_money_and_can_be_reviewed(
    town: Town, procedure: str
) -> None:
    dossier = await _applies(town, procedure, "home")
    await dossier.until("REJECTED")
    decision = await _decision(dossier)
    assert (decision["status"], decision["byRule"], decision["amount"]) == ("REFUSED", True, None)
    assert "CASE_REQUEST_REVIEW" in await dossier.actions(dossier.who)
    payout = (await dossier.read(fields="payout { status }"))["payout"]
    assert payout is None


async def test_a_handlers_decision_goes_by_legal_delivery_signed_by_no_body(town: Town) -> None:
    dossier = await _applies(town, "by-handler")
    await dossier.until("ASSESSMENT")
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input={"granted": True})
    decision = await _decision(dossier)
    assert (decision["status"], decision["byRule"]) == ("GRANTED", False)

    async def delivered() -> bool:
        letter = (await _decision(dossier))["letter"]
        return letter is not None and letter["document"] is not None

    await until(delivered)
    letter = (await _decision(dossier))["letter"]
    assert letter["way"] in {"EBOX", "REGISTERED"}
    content = (await town.client.get(letter["document"]["url"])).content
    text = " ".join("\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())
    for said in (
        "uw aanvraag is toegekend",
        "U krijgt € 70,50",
        "BE68",
        "Reglement, artikel 2",
        "Niet akkoord?",
    ):
        assert said in text, said
    assert "5390" not in text
    assert "Ondertekend" not in text
    await _is_paid(town, dossier, "70.50")


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)
