"""Somebody else must confirm: they are asked themselves, answer themselves, and see nothing more."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta

import orjson
import pytest

from loket.ids import decode_id
from loket.sandbox import personas
from loket.terms import BRUSSELS
from premiums import Json, rule, written
from town import HANDLER, OPERATOR, Dossier, Town, opened

TOGETHER = "has(application.together) && application.together"
FORM: Json = {
    "type": "object",
    "properties": {"together": {"type": "boolean"}, "benefits": {"type": "array"}},
    "if": {"properties": {"together": {"const": True}}, "required": ["together"]},
    "then": {
        "properties": {
            "partner": {
                "type": "object",
                "properties": {
                    "number": {"type": "string", "format": "national-number"},
                    "email": {"type": "string", "format": "email"},
                },
                "required": ["number"],
                "additionalProperties": False,
            }
        },
        "required": ["partner"],
    },
    "unevaluatedProperties": False,
}
QUESTION: Json = {
    "subject": "Wilt u een aanvraag bevestigen?",
    "body": "Dag {co_applicant}.\n\n{applicant} vroeg dit aan, ook voor u. Antwoord tegen {answer_by}.",
    "sms": "{applicant} vraagt u om te bevestigen.",
    "button": {"label": "Bevestigen", "link": "link_confirm"},
}
ANSWERED = {
    "subject": "Er is geantwoord ({reference})",
    "body": "{co_applicant} heeft bevestigd.",
    "sms": "Bevestigd.",
}
LAPSED = {"subject": "Geen antwoord ({reference})", "body": "Er kwam geen antwoord.", "sms": "Geen antwoord."}
WAITING = "coApplications { id status title reference applicant name answers answerBy remark version }"


def together(told: Json) -> None:
    """Who lives together has the other one confirm; without it the application may not be handled."""
    told["form"] = {"schema": FORM, "prefill": [], "translations": {}, "ui": {}}
    told["checks"], told["benefits"], told["documents"] = [], [], []
    told["stages"] = told["phases"][-1]["stages"] = ["screening", "decision"]
    told.pop("assessment")
    told["screening"] = {"by": "rule"}
    told["rules"] = {"screening": [rule("agreed", f"!({TOGETHER}) || co_applicant == 'CONFIRMED'")]}
    told["co_applicant"] = {
        "when": TOGETHER,
        "number_field": "/partner/number",
        "email_field": "/partner/email",
        "answer_within_days": 14,
        "reminder_days": [5, 10],
    }
    messages = told["texts"]["messages"]
    messages.pop("PARTLY_APPROVED")
    messages |= {"CO_APPLICANT_ASKED": QUESTION, "CO_APPLICANT_REMINDED": QUESTION}
    messages |= {"CO_APPLICANT_CONFIRMED": ANSWERED, "CO_APPLICANT_LAPSED": LAPSED}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "samen", together)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


def insz(who: str) -> str:
    person = personas.person(who)
    assert isinstance(person, personas.Citizen)
    return person.insz


async def draft(town: Town, who: str, answers: Json) -> str:
    payload = await town.does(who, "applicationStart", "application { id }", procedure="samen")
    id: str = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=id, input=answers)
    return id


async def asks(town: Town, other: str, *, email: str | None = None) -> Dossier:
    """The case of somebody who names `other`."""
    who = town.somebody()
    partner = {"number": insz(other)} | ({"email": email} if email else {})
    id = await draft(town, who, {"together": True, "partner": partner})
    payload = await town.does(who, "applicationSubmit", "case { id reference status }", id=id)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def question(town: Town, who: str, dossier: Dossier) -> Json:
    """What somebody is asked of this case."""
    seen = await town.ask(who, f"{{ viewer {{ {WAITING} }} }}")
    found: list[Json] = seen["viewer"]["coApplications"]
    (mine,) = [one for one in found if one["reference"] == dossier.reference]
    return mine


async def test_who_must_confirm_is_asked_and_the_rules_speak_once_they_did(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    seen = await dossier.read()
    assert (seen["status"], seen["suspensions"][0]["reason"]) == ("AWAITING_APPLICANT", "CO_APPLICANT")
    assert {"CO_APPLICANT_END", "CO_APPLICANT_REMINDER"} <= await dossier.timers()
    mine = await question(town, other, dossier)
    assert mine["status"] == "ASKED"
    assert mine["answerBy"] is not None
    assert mine["answers"] == {"partner": {"number": f"{insz(other)[:2]}.**.**-***.{insz(other)[-2:]}"}}
    answer = await town.does(other, "coApplicationConfirm", "coApplication { status }", id=mine["id"])
    assert answer["coApplication"]["status"] == "CONFIRMED"
    assert (await dossier.until("AWAITING_DECISION"))["suspensions"][0]["endedOn"] is not None
    assert not {"CO_APPLICANT_END", "CO_APPLICANT_REMINDER"} & await dossier.timers()
    events = await dossier.events()
    assert (
        events.index("CO_APPLICANT_ASKED")
        < events.index("CO_APPLICANT_CONFIRMED")
        < events.index("ADMISSIBLE")
    )


async def test_the_question_goes_to_who_must_confirm_and_to_nobody_else(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other, email="partner@voorbeeld.example")
    await dossier.calm()
    letters = await town.look("smtp", "mailbox/partner@voorbeeld.example")
    (letter,) = [one for one in letters if "bevestigen" in one["subject"]]
    applicant = personas.person(dossier.who)
    assert isinstance(applicant, personas.Citizen)
    assert applicant.name in letter["text"]
    assert f"/medeaanvragen/{dossier.reference}" in letter["text"]
    assert f"Beste {applicant.name}" not in letter["text"]
    assert QUESTION["subject"] in str(await town.notified(other))
    assert QUESTION["subject"] not in str(await town.notified(dossier.who))
    about = "messages(first: 50) { nodes { about } }"
    mine = (await dossier.read(dossier.who, about))["messages"]["nodes"]
    assert {one["about"] for one in mine} == {"SUBMITTED"}
    staff = (await dossier.read(OPERATOR, about))["messages"]["nodes"]
    assert "CO_APPLICANT_ASKED" in {one["about"] for one in staff}
    theirs = await town.ask(other, "{ viewer { messages(first: 50) { nodes { about case { id } } } } }")
    assert theirs["viewer"]["messages"]["nodes"] == []


async def test_who_gave_us_an_address_is_written_to_there(town: Town) -> None:
    other = town.somebody()
    await town.does(
        other, "contactPreferencesSet", input={"email": f"{other}@thuis.example", "byEmail": True}
    )
    dossier = await asks(town, other, email="elders@voorbeeld.example")
    await dossier.calm()
    found = await town.look("smtp", f"mailbox/{other}@thuis.example")
    assert any("bevestigen" in one["subject"] for one in found)
    found = await town.look("smtp", "mailbox/elders@voorbeeld.example")
    assert not [one for one in found if dossier.reference in one["text"]]


async def test_a_number_and_an_address_of_ones_own_tell_nobodys_name(town: Town) -> None:
    """Whoever applies could name anybody, and have the question sent to themselves."""
    other = town.somebody()
    await town.ask(other, "{ viewer { __typename } }")  # known by name, without an address
    dossier = await asks(town, other, email=f"{other}@vreemd.example")
    await dossier.calm()
    person = personas.person(other)
    assert isinstance(person, personas.Citizen)
    (letter,) = await town.look("smtp", f"mailbox/{other}@vreemd.example")
    assert dossier.reference in str(letter)
    for name in person.name.split():
        assert name not in str(letter)
    assert person.name in str(await town.notified(other))


async def test_how_somebody_else_is_reached_is_not_told(town: Town) -> None:
    """That a text message went out says that we know their number."""
    dossier = await asks(town, town.somebody(), email="ander@voorbeeld.example")
    await dossier.calm()
    timeline = "timeline(first: 50) { nodes { type effects { kind state } } }"
    for reader, kinds in ((dossier.who, set()), (OPERATOR, {"MESSAGE_MBP", "MESSAGE_EMAIL"})):
        nodes = (await dossier.read(reader, timeline))["timeline"]["nodes"]
        (asked,) = [one for one in nodes if one["type"] == "CO_APPLICANT_ASKED"]
        assert {one["kind"] for one in asked["effects"]} - {"DOSIS_STATUS"} == kinds


async def test_what_looks_sealed_is_an_answer_as_any_other(town: Town) -> None:
    who = town.somebody()
    given = {"together": False, "partner": {"number": "sealed:zz"}}
    id = await draft(town, who, given)
    answers = "query($id: ID!) { application(id: $id) { answers issues { code } } }"
    assert (await town.ask(who, answers, id=id))["application"] == {"answers": given, "issues": []}
    (row,) = await town.sql("SELECT answers FROM application WHERE id = :id", id=decode_id(id, "Application"))
    assert "zz" not in row.answers["partner"]["number"]
    payload = await town.does(who, "applicationSubmit", "case { status application { answers } }", id=id)
    assert payload["case"]["application"]["answers"] == {"together": False}


async def test_who_does_not_agree_says_why_and_the_rules_decide_on_it(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    mine = await question(town, other, dossier)
    refusal = await town.refused(other, "coApplicationRefuse", id=mine["id"], input={"reason": " "})
    assert refusal["code"] == "REQUIRED"
    await town.does(other, "coApplicationRefuse", id=mine["id"], input={"reason": "Ik woon daar niet."})
    await dossier.until("INADMISSIBLE")
    assert (await question(town, other, dossier))["remark"] == "Ik woon daar niet."
    seen = await dossier.read(
        dossier.who, "coApplication { status name } timeline(first: 50) { nodes { actor { name } } }"
    )
    assert seen["coApplication"] == {"status": "REFUSED", "name": None}
    person = personas.person(other)
    assert isinstance(person, personas.Citizen)
    names = {one["actor"]["name"] for one in seen["timeline"]["nodes"]}
    assert person.name not in names
    again = await town.refused(other, "coApplicationConfirm", id=mine["id"])
    assert again["code"] == "TRANSITION_NOT_ALLOWED"


async def test_no_answer_in_time_is_an_answer_for_the_rules(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    await dossier.fires("CO_APPLICANT_REMINDER")
    assert "CO_APPLICANT_REMINDED" in await dossier.events()
    await dossier.fires("CO_APPLICANT_REMINDER")
    assert (await dossier.events()).count("CO_APPLICANT_REMINDED") == 2
    assert "CO_APPLICANT_REMINDER" not in await dossier.timers()
    await dossier.fires("CO_APPLICANT_END")
    await dossier.until("INADMISSIBLE")
    assert (await question(town, other, dossier))["status"] == "LAPSED"


async def test_nobody_answers_for_who_must_confirm(town: Town) -> None:
    other, stranger = town.somebody(), town.somebody()
    dossier = await asks(town, other)
    mine = await question(town, other, dossier)
    for who in (dossier.who, stranger, HANDLER, None):
        refusal = await town.refused(who, "coApplicationConfirm", id=mine["id"])
        assert refusal["code"] in {"NOT_FOUND", "NOT_ALLOWED", "SIGN_IN_REQUIRED"}, who
    node = "query($id: ID!) { node(id: $id) { id } }"
    for who in (stranger, None):
        assert (await town.ask(who, node, id=mine["id"]))["node"] is None
    theirs = await town.ask(
        other,
        "query($reference: String!) { case(reference: $reference) { id } }",
        reference=dossier.reference,
    )
    assert theirs["case"] is None
    assert (await town.refused(other, "caseWithdraw", id=dossier.id))["code"] == "NOT_FOUND"


async def test_what_is_awaited_of_one_is_not_taken_of_the_other(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    for who in (dossier.who, HANDLER):
        assert "CASE_SUPPLY_INFORMATION" not in await dossier.actions(who)
        refusal = await town.refused(who, "caseSupplyInformation", id=dossier.id, input={"answer": "Ja."})
        assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert (await town.ask(dossier.who, f"{{ viewer {{ {WAITING} }} }}"))["viewer"]["coApplications"] == []


async def test_a_case_that_ends_asks_nobody_any_more(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    mine = await question(town, other, dossier)
    assert mine["status"] == "WITHDRAWN"
    refusal = await town.refused(other, "coApplicationConfirm", id=mine["id"])
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert await dossier.timers() == set()


async def test_a_day_on_which_the_term_stands_still_for_two_reasons_counts_once(town: Town) -> None:
    """A handler suspends it while the sources are asked, which say then that somebody must confirm."""
    other = town.somebody()
    dossier = await asks(town, other)
    await town.sql(
        """UPDATE "case" SET suspensions = CAST(:still AS jsonb) || jsonb_build_array(suspensions -> 0
               || jsonb_build_object('from', CAST(:asked AS text))) WHERE reference = :reference""",
        still=orjson.dumps([{"reason": "Ziekte", "from": f"{_days_ago(5)}", "to": None}]).decode(),
        asked=f"{_days_ago(3)}",
        reference=dossier.reference,
    )
    before = await _due_on(town, dossier)
    mine = await question(town, other, dossier)
    await town.does(other, "coApplicationConfirm", id=mine["id"])
    assert await _due_on(town, dossier) - before == timedelta(days=5)
    assert None not in [one["endedOn"] for one in (await dossier.read())["suspensions"]]


def _days_ago(days: int) -> date:
    return datetime.now(BRUSSELS).date() - timedelta(days=days)


async def _due_on(town: Town, dossier: Dossier) -> date:
    (row,) = await town.sql('SELECT due_on FROM "case" WHERE reference = :it', it=dossier.reference)
    due_on: date = row.due_on
    return due_on


async def test_a_new_round_asks_who_did_not_confirm_before(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    first = await question(town, other, dossier)
    await town.does(other, "coApplicationRefuse", id=first["id"], input={"reason": "Nog niet."})
    await dossier.until("INADMISSIBLE")
    again = {"stage": "SCREENING", "reason": "Beroep."}
    await town.does(HANDLER, "caseReopen", id=dossier.id, input=again)
    await dossier.until("AWAITING_APPLICANT")
    seen = await town.ask(other, f"{{ viewer {{ {WAITING} }} }}")
    second = seen["viewer"]["coApplications"][0]
    assert second["id"] != first["id"]
    await town.does(other, "coApplicationConfirm", id=second["id"])
    assert (await dossier.read())["status"] == "SCREENING"
    assert "REFERRED" in await dossier.tasks()
    await town.does(
        HANDLER,
        "caseDeclareInadmissible",
        id=dossier.id,
        input={"motivationLegal": "Artikel 2", "motivationFactual": "Te laat."},
    )
    await town.does(HANDLER, "caseReopen", id=dossier.id, input=again)
    assert (await dossier.read())["status"] == "SCREENING"
    assert len((await town.ask(other, f"{{ viewer {{ {WAITING} }} }}"))["viewer"]["coApplications"]) == 2


async def test_nobody_is_asked_where_nobody_must_confirm(town: Town) -> None:
    who = town.somebody()
    id = await draft(town, who, {"together": False})
    payload = await town.does(who, "applicationSubmit", "case { status coApplication { id } }", id=id)
    assert payload["case"] == {"status": "AWAITING_DECISION", "coApplication": None}


async def test_nobody_confirms_for_themselves(town: Town) -> None:
    who = town.somebody()
    id = await draft(town, who, {"together": True, "partner": {"number": insz(who)}})
    (refusal,) = (await town.tries(who, "applicationSubmit", id=id))["errors"]
    assert refusal["path"] == ["answers", "partner", "number"]
    issues = "query($id: ID!) { application(id: $id) { issues { path code message } } }"
    (issue,) = (await town.ask(who, issues, id=id))["application"]["issues"]
    assert issue["path"] == refusal["path"]
    assert issue["message"] == refusal["message"]


async def test_a_national_number_stands_nowhere_in_the_open(town: Town) -> None:
    other = town.somebody()
    number = insz(other)
    printed = f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"
    who = town.somebody()
    id = await draft(town, who, {"together": True, "partner": {"number": printed}})
    answers = "query($id: ID!) { application(id: $id) { answers } }"
    assert (await town.ask(who, answers, id=id))["application"]["answers"]["partner"]["number"] == printed
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=id)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await question(town, other, dossier)
    masked = f"{number[:2]}.**.**-***.{number[9:]}"
    for reader in (who, HANDLER):
        seen = await dossier.read(reader, "application { answers }")
        assert seen["application"]["answers"]["partner"]["number"] == masked
    await dossier.calm()
    for table in ("application", '"case"', "event", "effect", "message", "coapplication", "task"):
        for written_ in (number, printed):
            query = f"SELECT FROM {table} t WHERE t::text LIKE :what"  # ours
            assert await town.sql(query, what=f"%{written_}%") == [], table


async def test_staff_at_the_counter_see_a_number_masked_and_leave_it_as_it_is(town: Town) -> None:
    other = town.somebody()
    visitor = {"givenName": "Jozef", "familyName": "Aan De Balie"}
    payload = await town.does(
        HANDLER, "applicationStartAtCounter", "application { id }", procedure="samen", input=visitor
    )
    id = payload["application"]["id"]
    given = {"together": True, "partner": {"number": insz(other)}}
    payload = await town.does(HANDLER, "applicationSetAnswers", "application { answers }", id=id, input=given)
    shown = payload["application"]["answers"]
    assert "*" in shown["partner"]["number"]
    shown["partner"]["email"] = "nieuw@voorbeeld.example"
    await town.does(HANDLER, "applicationSetAnswers", id=id, input=shown)
    payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=id)
    dossier = Dossier(town, HANDLER, payload["case"]["id"], payload["case"]["reference"])
    assert (await question(town, other, dossier))["status"] == "ASKED"


async def test_the_access_log_of_who_must_confirm_holds_nothing_of_magda(town: Town) -> None:
    other = town.somebody()
    dossier = await asks(town, other)
    await dossier.calm()
    seen = await town.ask(other, "{ viewer { accessLog(first: 20) { nodes { service } } } }")
    assert seen["viewer"]["accessLog"]["nodes"] == []
