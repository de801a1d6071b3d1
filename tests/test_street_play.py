"""A permit that is shipped as a file: advised on, decided by the college, valid for the days asked."""

import itertools
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loket import publishing, wording
from loket.definition import MessageChannel
from loket.forms import form_in, validate_answers
from loket.ids import decode_id
from loket.lifecycle import EventType, Stage
from loket.rules import Address, Applicant, Facts, Municipality, Outcome, conclude, evaluate_all
from loket.sandbox import personas
from loket.segments import segments
from loket.settings import Municipality as Settings
from town import OPERATOR, Dossier, Json, Town, nothing_stays_open, opened, until

FILE = Path(__file__).parents[1] / "src" / "loket" / "procedures" / "street-play.yaml"
PERMIT = publishing.load(FILE)
E = EventType
ADVISERS = {
    "police": "medewerker:LoketAdviseur:Politie",
    "technical_department": "medewerker:LoketAdviseur:Technische dienst",
}
DAY = date(2027, 3, 1)
HOME = {"street": "Molenweg", "number": "2", "postal_code": "2999", "city": "Lindebeke"}
_minutes_from_now = itertools.count(1)


def answers(name: str = "Molenweg", /, **changed: Json) -> Json:
    """A form that is filled in, with parts of it changed."""
    whole: Json = {
        "street": {"name": name, "part": "whole", "speed": 30, "bus": False, "side_streets": False},
        "period": {
            "holiday": "summer",
            "formula": "weekly",
            "weekday": "wednesday",
            "first_day": "2027-07-07",
            "last_day": "2027-08-25",
            "starts": "14:00",
            "ends": "20:00",
        },
        "residents": {"asked": 12, "agreed": 8},
        "responsible": [
            {"name": "Jan Mertens", "house_number": "2", "phone": "+32470123456"},
            {"name": "Mia Claes", "house_number": "5", "phone": "+32470123457"},
        ],
        "declaration": {"neighbours": True, "barriers": True, "correct": True},
    }
    return {key: one | changed[key] if key in changed else one for key, one in whole.items()}


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_permit_is_screened_by_rule_advised_on_and_decided_by_the_college() -> None:
    assert PERMIT.stages == (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION)
    assert PERMIT.assessment.ask == ("police", "technical_department")
    assert [(one.kind, one.department) for one in PERMIT.advisers] == [
        ("INTERNAL", "Politie"),
        ("INTERNAL", "Technische dienst"),
    ]
    assert PERMIT.decision is not None
    assert PERMIT.decision.legal_delivery
    assert PERMIT.catalogue is None


def test_every_phase_has_all_rows_of_the_blueprint_and_the_file_says_its_sources() -> None:
    for phase in PERMIT.phases:
        rows = [phase.interaction_point, phase.front_office, phase.back_office, phase.difference]
        assert all(row is not None and len(row.nl) > 20 for row in rows), phase.key
        assert phase.medium
    head = FILE.read_text("utf-8").partition("\nkey:")[0]
    assert "22septies" in head
    assert "# Aannames, na te kijken door de gemeente" in head


FULL = {"applicant": {"name": "Jan Mertens", "address": HOME}, "contact": {}}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, []),
        ({"street": {"part": "part"}}, [["street", "from_number"], ["street", "to_number"]]),
        ({"street": {"part": "part", "from_number": "1", "to_number": "9"}}, []),
        ({"street": {"side_streets": True}}, [["street", "detour"]]),
        ({"street": {"side_streets": True, "detour": "Over de Beekdal."}}, []),
        ({"period": {"formula": "weekly", "weekday": None}}, [["period", "weekday"]]),
        ({"period": {"formula": "consecutive", "weekday": None}}, []),
    ],
)
def test_a_part_of_the_form_is_asked_where_the_answers_make_it_needed(
    changed: dict[str, Json], missing: list[list[str]]
) -> None:
    filled_in: Json = FULL | answers(**changed)
    for part in changed:
        filled_in[part] = {name: one for name, one in filled_in[part].items() if one is not None}
    assert [fault.path for fault in validate_answers(PERMIT, filled_in, "nl")] == missing


def test_the_form_is_there_in_english_too() -> None:
    dutch, english = form_in(PERMIT.form, "nl"), form_in(PERMIT.form, "en")
    texts = re.findall(r"'title': '([^']+)'", str(dutch))
    same = set(texts) & set(re.findall(r"'title': '([^']+)'", str(english)))
    assert same <= {"Box"}, same


def facts(application: Json, **known: object) -> Facts:
    applicant = Applicant(True, 40, False, Address("Molenweg", "2", None, "2999", "Lindebeke", "13999"))
    told: dict[str, Any] = {
        "municipality": Municipality("13999", "Gemeente Lindebeke", "2999"),
        "today": DAY,
        "channel": "ONLINE",
        "application": application,
        "applicant": applicant,
        "duplicates": {"same_street": False},
    }
    return Facts(**(told | known))


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, Outcome.MET),
        ({"street": {"speed": 50}}, Outcome.MET),
        ({"street": {"speed": 70}}, Outcome.NOT_MET),
        ({"street": {"bus": True}}, Outcome.NOT_MET),
        ({"street": {"name": "Markt"}}, Outcome.REFER),
        ({"residents": {"asked": 12, "agreed": 7}}, Outcome.NOT_MET),
        ({"residents": {"asked": 12, "agreed": 13}}, Outcome.NOT_MET),
        ({"period": {"last_day": "2027-07-06"}}, Outcome.NOT_MET),
        ({"period": {"ends": "14:00"}}, Outcome.NOT_MET),
        ({"period": {"last_day": "2027-09-01"}}, Outcome.NOT_MET),
        ({"period": {"holiday": "easter"}}, Outcome.NOT_MET),
        ({"period": {"formula": "consecutive", "last_day": "2027-07-20"}}, Outcome.MET),
        ({"period": {"formula": "consecutive", "last_day": "2027-07-21"}}, Outcome.NOT_MET),
    ],
)
def test_the_rules_say_which_street_can_be_one(changed: dict[str, Json], outcome: Outcome) -> None:
    verdicts = evaluate_all(PERMIT.rules.screening, facts(answers(**changed)))
    assert conclude(verdicts) is outcome, [one for one in verdicts if one.outcome is not Outcome.MET]


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        ({"today": date(2027, 5, 26)}, Outcome.MET),
        ({"today": date(2027, 5, 27)}, Outcome.REFER),
        ({"duplicates": {"same_street": True}}, Outcome.REFER),
        ({"applicant": Applicant(False)}, Outcome.REFER),
    ],
)
def test_a_person_looks_where_the_rules_cannot_tell(known: dict[str, Any], outcome: Outcome) -> None:
    assert conclude(evaluate_all(PERMIT.rules.screening, facts(answers(), **known))) is outcome


@pytest.mark.parametrize(
    ("police", "technical", "outcome"),
    [
        ("POSITIVE", "CONDITIONAL", Outcome.MET),
        ("NEGATIVE", "POSITIVE", Outcome.REFER),
        ("POSITIVE", "NO_REACTION", Outcome.REFER),
        ("POSITIVE", "REQUESTED", Outcome.REFER),
    ],
)
def test_against_advice_nothing_is_proposed_by_itself(police: str, technical: str, outcome: Outcome) -> None:
    known = facts(answers(), advices={"police": police, "technical_department": technical})
    assert conclude(evaluate_all(PERMIT.rules.approval, known)) is outcome


KNOWN: dict[str, wording.Value] = {
    "applicant": "Jan Mertens",
    "reference": "SPEL-2027-004213-7",
    "submitted_on": DAY,
    "decide_by": date(2027, 4, 12),
    "meeting_on": date(2027, 4, 5),
    "valid_from": date(2027, 7, 7),
    "valid_until": date(2027, 8, 25),
    "answer_by": date(2027, 3, 15),
    "question": "Hebt u een plan?",
    "reason": ["Er rijdt een lijnbus."],
    "fact": ["U gaf op dat er een lijnbus rijdt."],
    "legal": ["Artikel 9.2bis"],
    "link_case": "https://www.lindebeke.example/dossiers/SPEL-2027-004213-7",
    "link_draft": "https://www.lindebeke.example/dossiers/SPEL-2027-004213-7/opnieuw",
    "link_answer": "https://www.lindebeke.example/dossiers/SPEL-2027-004213-7/antwoord",
    "link_review": "https://www.lindebeke.example/dossiers/SPEL-2027-004213-7/herziening",
}


@pytest.mark.parametrize("event", PERMIT.texts.messages)
def test_every_message_is_whole_on_every_channel_in_both_languages(event: EventType) -> None:
    for language in ("nl", "en"):
        for channel in MessageChannel:
            said = wording.render(PERMIT, event, channel, language, KNOWN, municipality=Settings())
            assert said.language == language
            assert said.link is not None
            assert not re.search(r"[{}]|None|toelage|premie|allowance", said.text + said.subject), said.text
            if channel is MessageChannel.SMS:
                counted = segments(said.text)
                assert (counted.encoding, counted.count <= 2) == ("GSM-7", True), said.text


def test_who_cannot_sign_in_is_not_told_of_a_draft() -> None:
    known = {name: value for name, value in KNOWN.items() if name != "link_draft"}
    said = wording.render(PERMIT, E.RENEWAL_OFFERED, "LETTER", "nl", known, municipality=Settings())
    assert "staat al klaar" not in said.text
    assert "Vraag het minstens 6 weken vooraf aan." in said.text


# ── a street ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


async def drafted(town: Town, who: str, **changed: Json) -> str:
    """Somebody asks for the own street; the id of the draft."""
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    payload = await town.does(who, "applicationStart", "application { id }", procedure=PERMIT.key)
    draft: str = payload["application"]["id"]
    filled_in = answers(citizen.street, **changed) | {"contact": {"email": citizen.email}}
    await town.does(who, "applicationSetAnswers", id=draft, input=filled_in)
    return draft


async def handed_in(town: Town, who: str, draft: str) -> Dossier:
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def applied(town: Town, who: str, **changed: Json) -> Dossier:
    return await handed_in(town, who, await drafted(town, who, **changed))


async def advised(town: Town, dossier: Dossier, **police: str) -> None:
    """Police and technical department answer what they were asked; `police`: how the police does."""
    asked = (await dossier.read(fields="advices { id adviser }"))["advices"]
    assert {one["adviser"] for one in asked} == {"police", "technical_department"}
    for one in asked:
        opinion = {"opinion": "POSITIVE", "text": "Geen bezwaar."}
        given = opinion | police if one["adviser"] == "police" else opinion
        await town.does(ADVISERS[one["adviser"]], "adviceGive", id=one["id"], input=given)


async def decided(town: Town, dossier: Dossier, result: str = "accepted", **proposed: str) -> None:
    """What was proposed comes before the college, which decides and signs."""
    await town.does(OPERATOR, "decisionPrepare", caseIds=[dossier.id], input=proposed or None)
    at = datetime.now(UTC) + timedelta(days=2, minutes=next(_minutes_from_now))
    meeting = await town.order(
        "minutes", "meetings", body="COLLEGE", date=at.replace(tzinfo=None).isoformat()
    )
    await town.does(OPERATOR, "decisionSendToMinutes", caseIds=[dossier.id], meetingUid=meeting["UID"])
    item: Json = {}

    async def on_agenda() -> bool:
        decision = (await dossier.read(fields="decision { status agendaItem { itemUid } }"))["decision"]
        item.update(decision["agendaItem"])
        return bool(decision["status"] == "ON_AGENDA")

    await until(on_agenda)
    asked = [{"uid": item["itemUid"], "result": result}]
    path = f"meetings/{meeting['UID']}/decide"
    (told,) = (await town.order("minutes", path, items=asked, heldNow=True, tell=True))["items"]
    await town.order("minutes", f"items/{told['UID']}/sign", tell=True)


async def test_a_granted_street_is_a_permit_for_its_days_and_can_be_asked_again_next_year(town: Town) -> None:
    dossier = await applied(town, "burger-1")
    await dossier.until("AWAITING_ADVICE")
    await advised(
        town, dossier, opinion="CONDITIONAL", conditions="Niet op dinsdag.", text="Met de ophaling."
    )
    await dossier.until("ASSESSMENT")
    assert "ASSESS" in await dossier.tasks()
    await decided(town, dossier, conditions="Niet op dinsdag.")
    await dossier.until("COMPLETED")
    seen = await dossier.read(dossier.who, "validFrom validUntil outcome decision { status letter { way } }")
    assert (seen["validFrom"], seen["validUntil"]) == ("2027-07-07", "2027-08-25")
    assert seen["decision"]["status"] == "GRANTED"
    assert seen["decision"]["letter"] is not None
    await _told_of_its_days(town, dossier)
    await _runs_on(town, dossier)
    await _asked_again(town, dossier)
    await nothing_stays_open(town)


async def _told_of_its_days(town: Town, dossier: Dossier) -> None:
    assert (await dossier.dosis())[-2:] == [("Goedgekeurd", "Beslissing"), ("ErkendVergund", "Afgerond")]
    (approved,) = [one for one in await dossier.letters() if "komt er" in one["subject"]]
    assert "woensdag 7 juli 2027" in str(approved)
    assert "woensdag 25 augustus 2027" in str(approved)
    (letter,) = await town.sql(
        "SELECT content, status FROM letter WHERE case_id = :id", id=decode_id(dossier.id, "Case")
    )
    assert letter.content["conditions"] == [
        "Dit geldt van woensdag 7 juli 2027 tot en met woensdag 25 augustus 2027.",
        "Niet op dinsdag.",
    ]
    items = await town.look("minutes", "items")
    (item,) = [one for one in items if dossier.reference in one["externalIdentifier"]]
    assert "van woensdag 7 juli 2027 tot en met woensdag 25 augustus 2027" in item["decision"]
    assert "Mertens" not in str(item["decision"])


async def _runs_on(town: Town, dossier: Dossier) -> None:
    """The case is completed; what was granted still has to begin."""
    assert {"VALIDITY_REMINDER", "VALIDITY_END", "RENEWAL"} <= await dossier.timers()
    holds = "query($on: Date!) { cases(filter: {validOn: $on}) { nodes { reference } } }"
    on = (await town.ask(OPERATOR, holds, on="2027-08-25"))["cases"]["nodes"]
    assert on == [{"reference": dossier.reference}]
    assert (await town.ask(OPERATOR, holds, on="2027-08-26"))["cases"]["nodes"] == []
    await dossier.fires("VALIDITY_REMINDER")
    await dossier.fires("VALIDITY_END")
    seen = await dossier.read(dossier.who, "status validUntil")
    assert seen == {"status": "COMPLETED", "validUntil": "2027-08-25"}
    assert (await dossier.events())[-2:] == ["VALIDITY_ENDING", "VALIDITY_ENDED"]
    assert (await dossier.dosis())[-2:] == [("ErkendVergund", "Afgerond"), ("Uitgevoerd", "Afgerond")]
    subjects = [one["subject"] for one in await dossier.letters()]
    assert [one for one in subjects if "loopt binnenkort af" in one]
    assert [one for one in subjects if "is afgelopen" in one]


async def _asked_again(town: Town, dossier: Dossier) -> None:
    await dossier.fires("RENEWAL")
    mine = "{ viewer { applications { nodes { id status answers prefill { field } case { reference } } } } }"
    nodes = (await town.ask(dossier.who, mine))["viewer"]["applications"]["nodes"]
    (draft,) = [one for one in nodes if one["status"] == "DRAFT"]
    assert (await dossier.read(dossier.who, "renewal { id }"))["renewal"] == {"id": draft["id"]}
    assert (await dossier.read(OPERATOR, "renewal { id }"))["renewal"] is None
    taken_over = draft["answers"]
    assert taken_over["responsible"] == answers()["responsible"]
    assert taken_over["street"] == answers()["street"]
    assert set(taken_over["period"]) == {"holiday", "formula", "weekday", "starts", "ends"}
    assert not {"residents", "declaration"} & set(taken_over)
    assert "/applicant/address/street" in {one["field"] for one in draft["prefill"]}
    (asked,) = [one for one in await dossier.letters() if "Opnieuw" in one["subject"]]
    assert f"/dossiers/{dossier.reference}/opnieuw" in str(asked)
    next_year = {"first_day": "2028-07-05", "last_day": "2028-08-30"}
    rest = {name: answers()[name] for name in ("residents", "declaration")} | {"period": next_year}
    await town.does(dossier.who, "applicationSetAnswers", id=draft["id"], input=rest)
    payload = await town.does(dossier.who, "applicationSubmit", "case { id reference }", id=draft["id"])
    assert payload["case"]["reference"] != dossier.reference
    await town.does(dossier.who, "caseWithdraw", id=payload["case"]["id"])


async def test_a_refused_street_gets_its_letter_and_nothing_holds(town: Town) -> None:
    dossier = await applied(town, "burger-2")
    await dossier.until("AWAITING_ADVICE")
    await advised(town, dossier, opinion="NEGATIVE", text="Sluipverkeer: de straat is de omleiding.")
    await dossier.until("ASSESSMENT")
    why = {"motivationLegal": "Reglement, artikel 7", "motivationFactual": "De straat is dan de omleiding."}
    partly = {"caseIds": [dossier.id], "input": why | {"outcome": "PARTLY_GRANTED"}}
    refusal = await town.refused(OPERATOR, "decisionPrepare", **partly)
    assert (refusal["code"], refusal["path"]) == ("VALIDATION", ["input", "outcome"])
    await decided(town, dossier, outcome="REFUSED", **why)
    await dossier.until("REJECTED")
    seen = await dossier.read(dossier.who, "validFrom validUntil decision { status letter { legalValue } }")
    assert (seen["validFrom"], seen["validUntil"]) == (None, None)
    assert seen["decision"] == {"status": "REFUSED", "letter": {"legalValue": "LEGAL"}}
    assert not {"VALIDITY_REMINDER", "VALIDITY_END", "RENEWAL"} & await dossier.timers()
    assert (await dossier.dosis())[-1] == ("Geweigerd", "Afgerond")
    (told,) = [one for one in await dossier.letters() if "Er is beslist" in one["subject"]]
    assert "omleiding" not in str(told)


async def test_a_permit_that_is_looked_at_again_holds_no_more_until_it_is_granted_anew(town: Town) -> None:
    dossier = await applied(town, "burger-3")
    await dossier.until("AWAITING_ADVICE")
    await advised(town, dossier)
    await dossier.until("ASSESSMENT")
    await decided(town, dossier)
    await dossier.until("COMPLETED")
    await dossier.calm()
    why = {"stage": "DECISION", "reason": "Er komen werken in de straat."}
    await town.does(OPERATOR, "caseReopen", id=dossier.id, input=why)
    seen = await dossier.read(fields="status validFrom validUntil")
    assert seen == {"status": "AWAITING_DECISION", "validFrom": None, "validUntil": None}
    assert not {"VALIDITY_REMINDER", "VALIDITY_END", "RENEWAL"} & await dossier.timers()
    await decided(town, dossier, outcome="GRANTED")
    await dossier.until("COMPLETED")
    assert (await dossier.read(fields="validUntil"))["validUntil"] == "2027-08-25"
    assert {"VALIDITY_REMINDER", "VALIDITY_END", "RENEWAL"} <= await dossier.timers()


async def test_a_street_with_a_bus_is_refused_at_once_with_the_reason(town: Town) -> None:
    dossier = await applied(town, "burger-4", street={"bus": True})
    await dossier.until("INADMISSIBLE")
    (told,) = [one for one in await dossier.letters() if "niet behandelen" in one["subject"]]
    assert "artikel 9.2bis" in str(told)


async def test_a_part_of_a_street_needs_a_plan(town: Town) -> None:
    who, part = "burger-5", {"part": "part", "from_number": "1", "to_number": "9"}
    draft = await drafted(town, who, street=part)
    refusal = await town.refused(who, "applicationSubmit", id=draft)
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["documents", "street-plan"])
    plan = b"%PDF-1.7 de straat"
    announced = {
        "filename": "plan.pdf",
        "mediaType": "application/pdf",
        "size": len(plan),
        "kind": "street-plan",
    }
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=announced)
    assert (await town.served.client.put(upload["uploadUrl"], content=plan)).is_success
    await town.does(who, "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])
    await (await handed_in(town, who, draft)).until("AWAITING_ADVICE")


async def test_the_same_street_in_the_same_holidays_is_a_persons_to_look_at(town: Town) -> None:
    first = await applied(town, "burger-6")
    await first.until("AWAITING_ADVICE")
    second = await applied(town, "burger-13")

    async def referred() -> bool:
        return "REFERRED" in await second.tasks()

    await until(referred)
    assert (await second.read(fields="status"))["status"] == "SCREENING"
    easter = {"holiday": "easter", "first_day": "2027-03-31", "last_day": "2027-04-07"}
    await (await applied(town, "burger-20", period=easter)).until("AWAITING_ADVICE")
