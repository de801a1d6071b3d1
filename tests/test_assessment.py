"""Assessment: sources are asked by themselves, their yes or no is kept, and a person hears of the rest."""

import io
import logging
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from loket.ids import decode_id
from loket.lifecycle import TimerKind
from loket.logs import JsonLine
from loket.sandbox import personas
from loket.terms import BRUSSELS
from premiums import Json, benefit, check, written
from town import FINANCE, HANDLER, Dossier, Town, opened, until

CHECKS = "checks { id kind title status code reference endedAt document { id } remark replacedBy { id } }"
LIMIT = [{"from": "2026-01-01", "value": 33500.5}]
PER_CHILD = [{"from": "2026-01-01", "value": 2772.5}]


def _income(told: Json) -> None:
    told["assessment"] = {"by": "rule"}
    told["checks"] = [
        check(
            "income",
            "tax_assessment",
            "answer.found ? answer.household_income <= tables.limit + tables.child * household.dependants"
            " : 'REFER'",
        )
    ]
    told["tables"] = {"limit": LIMIT, "child": PER_CHILD}
    told["benefits"] = [benefit("home", "address", "checks.income == 'MET'")]


def _child(told: Json) -> None:
    told["checks"] = [
        check(
            "child",
            "handicap_file",
            "answer.found && answer.pillar_1 >= 4 && answer.age <= 21",
            of="children",
            when="'child' in application.benefits",
        )
    ]
    told["benefits"] = [benefit("child", "child", "checks.child == 'MET'", check="child")]


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "toelage")
    written(folder, "inkomen", _income)
    written(folder, "kind", _child)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def applies(town: Town, who: str, procedure: str = "toelage", *asked: str) -> Dossier:
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"benefits": list(asked or ["home"])})
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def assessed(town: Town, who: str, procedure: str = "toelage", *asked: str) -> Dossier:
    """The case of somebody whose application a handler found admissible."""
    dossier = await applies(town, who, procedure, *asked)
    await hears(dossier, "REFERRED")
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    return dossier


async def hears(dossier: Dossier, kind: str) -> Json:
    """The data of a task, once it is there."""

    async def there() -> bool:
        return kind in await dossier.tasks()

    await until(there)
    tasks = (await dossier.read(fields="tasks { kind status data }"))["tasks"]
    data: Json = next(one["data"] for one in tasks if one["kind"] == kind and one["status"] == "OPEN")
    return data


async def check_of(dossier: Dossier, key: str = "increased", who: str | None = None) -> Json:
    found: list[Json] = (await dossier.read(who, fields=CHECKS))["checks"]
    return next((one for one in found if one["kind"] == key), {})


async def ended(dossier: Dossier, key: str = "increased") -> Json:
    """A check, once it runs no more."""

    async def there() -> bool:
        return bool((await check_of(dossier, key)).get("status", "RUNNING") != "RUNNING")

    await until(there)
    return await check_of(dossier, key)


async def time_passes(town: Town, dossier: Dossier) -> None:
    """The sources answered two days ago."""
    await town.sql(
        """UPDATE "case" SET facts = jsonb_set(
                    jsonb_set(facts, '{person,fetched_at}', to_jsonb(CAST(:at AS text))),
                    '{household,fetched_at}', to_jsonb(CAST(:at AS text)))
            WHERE id = :id""",
        id=decode_id(dossier.id, "Case"),
        at=(datetime.now(BRUSSELS) - timedelta(days=2)).isoformat(),
    )


# ── screening ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_rules_screen_first_and_a_handler_has_the_last_word_either_way(town: Town) -> None:
    resident, elsewhere = await applies(town, town.somebody()), await applies(town, "dirk")
    assert (await hears(resident, "REFERRED"))["proposal"] == "ADMISSIBLE"
    proposed = await hears(elsewhere, "REFERRED")
    assert (proposed["proposal"], proposed["rules"]) == ("INADMISSIBLE", ["here"])
    assert (await elsewhere.read())["status"] == "SCREENING"


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_source_is_asked_without_a_handler_who_then_hears_that_all_is_in(town: Town) -> None:
    dossier = await assessed(town, "rita")
    await hears(dossier, "ASSESS")
    found = await check_of(dossier)
    assert (found["status"], found["code"], found["title"]) == ("MET", "ANSWERED", "increased")
    assert found["reference"]
    events = await dossier.events()
    order = [events.index(one) for one in ("ASSESSMENT_STARTED", "CHECK_STARTED", "CHECK_ANSWERED")]
    assert order == sorted(order)
    log = await town.ask("rita", "{ viewer { accessLog(first: 50) { nodes { service purpose } } } }")
    assert {"GeefSociaalStatuut-03.00.0000"} <= {
        one["service"] for one in log["viewer"]["accessLog"]["nodes"]
    }


async def test_what_the_source_denies_is_not_met(town: Town) -> None:
    dossier = await assessed(town, "karel")
    assert (await ended(dossier))["status"] == "NOT_MET"


async def test_a_source_that_cannot_answer_now_is_asked_again_until_it_does(town: Town) -> None:
    await town.order("magda", "forced", persona="omar", service="GeefSociaalStatuut", code="99996")
    dossier = await assessed(town, "omar")

    async def tried() -> bool:
        rows = await town.sql(
            "SELECT FROM effect WHERE case_id = :id AND kind = 'CHECK_ASK' AND attempts > 0",
            id=decode_id(dossier.id, "Case"),
        )
        return bool(rows)

    await until(tried)
    assert (await check_of(dossier))["status"] == "RUNNING"
    await town.order("magda", "forced", persona="omar", service="GeefSociaalStatuut", code=None)
    assert (await ended(dossier))["status"] == "MET"


async def test_an_effect_that_is_given_up_leaves_the_check_to_a_person_who_repeats_it(town: Town) -> None:
    await town.order("magda", "forced", persona="ward", service="GeefSociaalStatuut", code="99996")
    dossier = await assessed(town, "ward")
    # as if it had been tried for two days
    await until(lambda: _aged(town, dossier))
    assert (await hears(dossier, "CHECK_FAILED"))["checks"] == {"increased": "UNAVAILABLE"}
    await hears(dossier, "ASSESS")
    found = await check_of(dossier)
    assert found["status"] == "UNKNOWN"
    assert "CHECK_REPEAT" in await dossier.actions(HANDLER)
    await town.order("magda", "forced", persona="ward", service="GeefSociaalStatuut", code=None)
    await town.does(HANDLER, "checkRepeat", "check { status } case { id }", id=found["id"])
    assert (await ended(dossier))["status"] == "MET"
    assert "CHECK_FAILED" not in await dossier.tasks()
    assert not await town.sql(
        "SELECT FROM effect WHERE case_id = :id AND state = 'PARKED'", id=decode_id(dossier.id, "Case")
    )


async def _aged(town: Town, dossier: Dossier) -> bool:
    id = decode_id(dossier.id, "Case")
    await town.sql(
        """INSERT INTO attempt (id, effect_id, number, started_at, ended_at, outcome, error)
           SELECT gen_random_uuid(), effect.id, 100 + n, now() - n * interval '6 hours', now(), 'RETRY', ''
             FROM effect, generate_series(1, 12) AS n
            WHERE effect.case_id = :id AND effect.kind = 'CHECK_ASK'
              AND NOT EXISTS (SELECT FROM attempt WHERE effect_id = effect.id AND number > 100)""",
        id=id,
    )
    rows = await town.sql(
        "SELECT FROM effect WHERE case_id = :id AND kind = 'CHECK_ASK' AND state = 'PARKED'", id=id
    )
    return bool(rows)


async def test_a_refusal_of_the_source_is_a_persons_task_at_once(town: Town) -> None:
    who = town.somebody()
    dossier = await applies(town, who)
    await hears(dossier, "REFERRED")
    await town.order("magda", "forced", persona=who, service="GeefSociaalStatuut", code="40005")
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    found = await ended(dossier)
    assert found["status"] == "UNKNOWN"
    assert "40005" in found["code"]
    assert "CHECK_FAILED" in await dossier.tasks()


# ── a document in its place ───────────────────────────────────────────────────────────────────────────


PDF = b"%PDF-1.7 attest"


async def paper(town: Town, dossier: Dossier, kind: str, who: str = HANDLER) -> str:
    """A file of the case, of a kind, as its applicant or a handler sends it."""
    announced = {"filename": "attest.pdf", "mediaType": "application/pdf", "size": len(PDF), "kind": kind}
    sent = await town.does(
        who, "documentUploadStart", "uploadUrl document { id }", input=announced | {"caseId": dossier.id}
    )
    assert (await town.client.put(sent["uploadUrl"], content=PDF)).is_success
    document: str = sent["document"]["id"]
    return document


async def test_an_applicant_adds_papers_to_the_own_open_case_and_nobody_to_anothers(town: Town) -> None:
    dossier = await assessed(town, "burger-20012")
    mine = await paper(town, dossier, "certificate", dossier.who)
    seen = await dossier.read(dossier.who, "documents { id kind }")
    assert {"id": mine, "kind": "certificate"} in seen["documents"]
    announced = {"filename": "x.pdf", "mediaType": "application/pdf", "size": 5, "caseId": dossier.id}
    stranger = await town.refused("burger-20013", "documentUploadStart", input=announced)
    assert stranger["code"] == "NOT_FOUND"
    wrong = await town.refused(dossier.who, "documentUploadStart", input=announced | {"kind": "loon"})
    assert (wrong["code"], wrong["path"]) == ("VALIDATION", ["input", "kind"])


async def test_a_document_of_the_right_kind_stands_in_for_a_check(town: Town) -> None:
    dossier = await assessed(town, "burger-20002")
    found = await ended(dossier)
    assert found["status"] == "NOT_MET"
    wrong = {"documentId": await paper(town, dossier, "ATTACHMENT")}
    refusal = await town.refused(HANDLER, "checkReplaceByDocument", id=found["id"], input=wrong)
    assert refusal["code"] == "VALIDATION"
    other = await assessed(town, "burger-20004")
    foreign = {"documentId": await paper(town, other, "certificate")}
    refusal = await town.refused(HANDLER, "checkReplaceByDocument", id=found["id"], input=foreign)
    assert refusal["code"] == "NOT_FOUND"
    document = await paper(town, dossier, "certificate")
    given = {"documentId": document, "remark": "Attest van het ziekenfonds"}
    await town.does(HANDLER, "checkReplaceByDocument", id=found["id"], input=given)
    found = await check_of(dossier)
    assert (found["status"], found["document"]) == ("REPLACED", {"id": document})
    assert found["remark"] == "Attest van het ziekenfonds"
    assert found["replacedBy"] is not None
    assert (await check_of(dossier, who=dossier.who))["remark"] is None


async def test_only_handlers_repeat_what_was_answered(town: Town) -> None:
    dossier = await assessed(town, town.somebody())
    found = await ended(dossier)
    refusal = await town.refused(FINANCE, "checkRepeat", id=found["id"])
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    await town.does(HANDLER, "checkRepeat", id=found["id"])
    assert (await ended(dossier))["status"] in {"MET", "NOT_MET"}


# ── incomes ───────────────────────────────────────────────────────────────────────────────────────────


async def test_an_income_is_judged_and_kept_nowhere(town: Town) -> None:
    lines = io.StringIO()
    listener = logging.StreamHandler(lines)
    listener.setFormatter(JsonLine())
    logger = logging.getLogger("loket")
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    try:
        under, over = await assessed(town, "ines", "inkomen"), await assessed(town, "joost", "inkomen")
        together = await assessed(town, "marie", "inkomen")
        found = [(await ended(one, "income"))["status"] for one in (under, over, together)]
        assert found == ["MET", "NOT_MET", "MET"]
        for one in (under, over, together):
            await one.until("AWAITING_DECISION")
            await one.calm()
    finally:
        logger.removeHandler(listener)
        logger.setLevel(logging.NOTSET)
    said = lines.getvalue() + await _everything(town)
    assert under.reference in said
    # 36 250 with two children under 33 500.5 + 2 × 2 772.5; 52 300.75 over it; 21 400 + 9 850.25 together
    for income in ("36250", "3625000", "52300", "5230075", "21400", "2140000", "9850", "985025", "31250"):
        assert re.search(rf"(?<!\d){income}(?!\d)", said) is None, income


async def _everything(town: Town) -> str:
    """All rows of all tables, as text."""
    tables = await town.sql(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    said = []
    for table in tables:
        rows = await town.sql(f"SELECT to_jsonb(t) - 'content' AS row FROM \"{table.name}\" t")  # noqa: S608  # its own names
        said += [_without_ids(row.row) for row in rows]
    return "\n".join(said)


def _without_ids(row: Json) -> str:
    """Identifiers, seals and instants have digits of all kinds."""
    kept = {
        key: value
        for key, value in row.items()
        if not isinstance(value, str) or not (value.startswith("\\x") or key.endswith(("_at", "id", "_hash")))
    }
    kept.pop("reference", None), kept.pop("sha256", None), kept.pop("receipt", None)
    facts = kept.get("facts")
    if isinstance(facts, dict):
        facts.pop("household", None)
    for part in ("seq", "xid", "event_seq", "key", "lane"):
        kept.pop(part, None)
    return str(kept)


async def test_without_an_assessment_the_rule_sees_that_there_is_none(town: Town) -> None:
    dossier = await assessed(town, "paul", "inkomen")
    found = await ended(dossier, "income")
    assert (found["status"], found["code"]) == ("UNKNOWN", "45008")
    await hears(dossier, "ASSESS")
    assert (await dossier.read())["status"] == "ASSESSMENT"


# ── children ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_check_of_children_is_met_for_one_child_who_is_followed_no_longer_than_the_case(
    town: Town,
) -> None:
    dossier = await assessed(town, "lotte", "kind", "child")
    assert (await ended(dossier, "child"))["status"] == "MET"
    stan = personas.person("stan")
    assert stan is not None
    index = town.served.loket.vault.index("insz", stan.insz)
    id = decode_id(dossier.id, "Case")
    rows = await town.sql(
        "SELECT subject_index, person.id FROM \"check\", person WHERE case_id = :id AND kind = 'child'"
        " AND insz_index = subject_index",
        id=id,
    )
    assert [bytes(row.subject_index) for row in rows] == [index]
    claimed = await town.sql("SELECT benefit, subject_index FROM entitlement WHERE case_id = :id", id=id)
    assert [(row.benefit, bytes(row.subject_index)) for row in claimed] == [("child", index)]
    logged = await town.sql("SELECT service FROM accesslog WHERE person_id = :id", id=rows[0].id)
    assert "GeefDossierHandicap-03.00.0000" in {row.service for row in logged}
    facts = (await town.sql('SELECT facts FROM "case" WHERE id = :id', id=id))[0].facts
    assert [sorted(child) for child in facts["household"]["children"]] == [["birth_on", "index", "sealed"]]
    assert stan.insz not in str(facts)
    await town.does("lotte", "caseWithdraw", id=dossier.id)

    async def let_go() -> bool:
        return not [
            one
            for one in await town.look("magda", "registrations")
            if one["insz"] == stan.insz and not one["end"]
        ] and not await town.sql("SELECT FROM magdause WHERE subject_id = :id", id=id)

    await until(let_go)
    assert not await town.sql("SELECT FROM entitlement WHERE case_id = :id", id=id)


async def test_what_the_application_does_not_ask_is_not_looked_up(town: Town) -> None:
    dossier = await assessed(town, "ines", "kind", "home")
    await hears(dossier, "ASSESS")
    assert await check_of(dossier, "child") == {}
    facts = (await town.sql('SELECT facts FROM "case" WHERE id = :id', id=decode_id(dossier.id, "Case")))[0]
    assert facts.facts["checks_round"] == 1


# ── who died, moved, or has another number ────────────────────────────────────────────────────────────


async def test_who_died_meanwhile_gets_no_message_and_no_grant_by_itself(town: Town) -> None:
    dossier = await applies(town, "vera")
    await hears(dossier, "REFERRED")
    await time_passes(town, dossier)
    await town.order("magda", "persons/vera", deceased_on="2026-11-20")
    try:
        await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
        assert (await hears(dossier, "APPLICANT_DECEASED"))["deceased_on"] == "2026-11-20"
        await ended(dossier)
        await town.does(
            HANDLER, "caseRequestInformation", id=dossier.id, input={"question": "Bent u daar nog?"}
        )
        messages = await town.sql(
            "SELECT status, reason FROM message WHERE case_id = :id AND about = 'INFORMATION_REQUESTED'",
            id=decode_id(dossier.id, "Case"),
        )
        assert {(row.status, row.reason) for row in messages} == {("SKIPPED", "the applicant is deceased")}
    finally:
        await town.client.delete(f"{town.served.house.config.urls['magda']}/sim/persons/vera")


async def test_who_moved_out_of_the_municipality_is_a_persons_to_look_at(town: Town) -> None:
    who = town.somebody()
    dossier = await applies(town, who)
    await hears(dossier, "REFERRED")
    await time_passes(town, dossier)
    home = {"street": "Markt", "number": "1", "postal_code": "2400", "city": "Mol", "nis": "13025"}
    await town.order("magda", f"persons/{who}", address=home)
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    assert (await hears(dossier, "APPLICANT_MOVED"))["to"] == "Mol"


async def test_a_number_that_was_replaced_meanwhile_is_asked_under_the_new_one(town: Town) -> None:
    who = "burger-20101"
    dossier = await applies(town, who)
    await hears(dossier, "REFERRED")
    await town.order("magda", f"persons/{who}", replaced_by=True)
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    assert (await ended(dossier))["status"] == "MET"
    assert "NUMBER_REPLACED" in await dossier.tasks()


# ── before anything is decided ────────────────────────────────────────────────────────────────────────

PREPARED = "results { case { status } errors { code message } }"


async def test_what_the_sources_said_a_day_ago_is_asked_again_before_a_decision_is_drafted(
    town: Town,
) -> None:
    dossier = await assessed(town, town.somebody())
    await hears(dossier, "ASSESS")
    first = await ended(dossier)
    await time_passes(town, dossier)
    await town.sql(
        "UPDATE \"check\" SET ended_at = ended_at - interval '25 hours' WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    before = (await dossier.events()).count("CHECK_ANSWERED")
    (told,) = (await town.does(HANDLER, "decisionPrepare", PREPARED, caseIds=[dossier.id]))["results"]
    assert [one["code"] for one in told["errors"]] == ["SYSTEM_UNAVAILABLE"]
    seen = await dossier.read(fields="status decision { status } checks { kind code }")
    assert (seen["status"], seen["decision"]) == ("ASSESSMENT", None)

    async def asked_again() -> bool:
        await dossier.calm()
        return (await dossier.events()).count("CHECK_ANSWERED") == before + 1

    await until(asked_again)
    again = await ended(dossier)
    assert again["status"] == first["status"]
    assert again["reference"] != first["reference"]
    (told,) = (await town.does(HANDLER, "decisionPrepare", PREPARED, caseIds=[dossier.id]))["results"]
    assert (told["case"]["status"], told["errors"]) == ("AWAITING_DECISION", [])


async def test_who_says_the_outcome_does_not_wait_for_the_sources(town: Town) -> None:
    dossier = await assessed(town, town.somebody(), "toelage", "own")
    await hears(dossier, "ASSESS")
    await time_passes(town, dossier)
    wish = {"outcome": "REFUSED", "motivationLegal": "Reglement", "motivationFactual": "Niet voldaan."}
    payload = await town.does(HANDLER, "decisionPrepare", PREPARED, caseIds=[dossier.id], input=wish)
    assert [one["case"]["status"] for one in payload["results"]] == ["AWAITING_DECISION"]


# ── asking the applicant ──────────────────────────────────────────────────────────────────────────────


async def test_a_question_waits_until_the_end_of_a_day_is_repeated_and_goes_on_where_it_was(
    town: Town,
) -> None:
    dossier = await assessed(town, town.somebody())
    await hears(dossier, "ASSESS")
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input={"question": "Waar woont u?"})
    rows = await town.sql(
        "SELECT kind, due_at FROM timer WHERE case_id = :id AND state = 'ARMED'",
        id=decode_id(dossier.id, "Case"),
    )
    due = {row.kind: row.due_at.astimezone(BRUSSELS) for row in rows}
    today = datetime.now(BRUSSELS).date()
    assert due["ANSWER"] == datetime.combine(today + timedelta(days=15), datetime.min.time(), BRUSSELS)
    assert due["ANSWER_REMINDER"].date() == today + timedelta(days=7)
    await dossier.fires(TimerKind.ANSWER_REMINDER)
    events = await dossier.events()
    assert events.count("INFORMATION_REMINDED") == 1
    await dossier.fires(TimerKind.ANSWER_REMINDER)
    assert (await dossier.events()).count("INFORMATION_REMINDED") == 2
    assert "ANSWER_REMINDER" not in await dossier.timers()
    await town.does(dossier.who, "caseSupplyInformation", id=dossier.id, input={"answer": "Hier."})
    assert (await dossier.read())["status"] == "ASSESSMENT"
    assert "ANSWER" not in await dossier.timers()
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input={"question": "En nu?"})
    await dossier.fires(TimerKind.ANSWER)
    assert (await dossier.read())["status"] == "ASSESSMENT"
    assert "ANSWER_LAPSED" in await dossier.tasks()
    assert not {"ANSWER", "ANSWER_REMINDER"} & await dossier.timers()


async def test_a_reopened_case_is_checked_anew(town: Town) -> None:
    dossier = await assessed(town, town.somebody())
    await ended(dossier)
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "Vergissing"})
    given = {"stage": "ASSESSMENT", "reason": "Beroep"}
    await town.does(HANDLER, "caseReopen", id=dossier.id, input=given)

    async def twice() -> bool:
        found = (await dossier.read(fields="checks { kind round status }"))["checks"]
        return [
            one["round"] for one in found if one["kind"] == "increased" and one["status"] != "RUNNING"
        ] == [1, 2]

    await until(twice)
    await hears(dossier, "ASSESS")
