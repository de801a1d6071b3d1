"""Departments apart: who has a role for one of them sees nothing of another's cases, and does nothing there.

What is tried comes from the schema itself, so that a new field or mutation is tried on the day it is there.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import uuid5

import orjson
import pytest
from uuid_utils.compat import uuid7

from loket import departments
from loket.api.context import Caller, Context
from loket.api.engine import Answer
from loket.api.schema import schema
from loket.identity import SERVICES
from loket.ids import decode_id, encode_id, read_id
from loket.lifecycle import Role
from loket.records import ActorKind
from loket.sandbox.bank_files import Line, Sheet, written
from loket.work import Actor
from test_authorisation import (
    FOR_EVERYBODY,
    MUTATIONS,
    OWN_AFFAIRS,
    PNG,
    QUERIES,
    WITH_A_LINK,
    Affairs,
    _keys,
    _missing,
    arguments,
    document,
    fingerprint,
    kind_of_id,
    leaks,
)
from test_back_office import ANSWERS
from town import DRIVER, FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened

SOCIAL, ADVISER = "sofie", "astrid"
EVERY_ROLE = tuple(departments.ROLES)
OF_THE_HOUSE = {
    *("letterBatchMake", "letterBatchProof", "systemPause", "systemResume"),
    *("bankStatementImport", "paymentMatch", "bankEntrySetAside", "reconciliationRun", "journalExport"),
    "comparisonRun",
}
"""What is of no department: not for whoever has a role for some of them."""
OF_CITIZENS = {"experienceRate", "coApplicationConfirm", "coApplicationRefuse"}
"""What no member of staff may do, of whatever department."""
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }"
NO_CASES = OWN_AFFAIRS | WITH_A_LINK | {"applicationStartAtCounter"}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(scope="module")
async def social(town: Town) -> Affairs:
    """A case of the social service with all that came of it, and a draft of its counter."""
    for who in (SOCIAL, HANDLER, DRIVER, FINANCE, OPERATOR, ADVISER):
        await town.ask(who, "{ viewer { kind } }")
    before = await _keys(town)
    case = await _applies(town)
    await case.calm()
    await town.does(SOCIAL, "caseAssign", id=case.id)
    await town.does(SOCIAL, "caseAddNote", id=case.id, input={"text": "nota-sociale-dienst"})
    await town.does(SOCIAL, "caseRequestInformation", id=case.id, input={"question": "vraag-sociaal"})
    announced = {
        "filename": "geheim-attest.png",
        "mediaType": "image/png",
        "size": len(PNG),
        "caseId": case.id,
    }
    upload = await town.does(case.who, "documentUploadStart", "uploadUrl", input=announced)
    assert (await town.served.client.put(upload["uploadUrl"], content=PNG)).is_success
    await town.does(case.who, "caseSupplyInformation", id=case.id, input={"answer": "antwoord-sociaal"})
    said = {"givenName": "Gerda", "familyName": "Geheimhouder"}
    await town.does(SOCIAL, "applicationStartAtCounter", procedure="social-premium", input=said)
    await case.calm()
    await town.sql("UPDATE timer SET due_at = due_at + interval '1 day' WHERE state = 'ARMED'")
    after = await _keys(town)
    keys = {kind: sorted(after[kind] - before[kind], key=str) for kind in after}
    ids = {kind: [encode_id(kind, key) for key in found] for kind, found in keys.items() if found}
    told = {
        "geheim-attest",
        "nota-sociale-dienst",
        "vraag-sociaal",
        "antwoord-sociaal",
        "Geheimhouder",
        case.reference,
    }
    for kind in ids.keys() - FOR_EVERYBODY:
        told |= {*ids[kind], *(str(one) for one in keys[kind])}
    tables = [kind for kind, entity in schema.map.entities.items() if entity.table is not None]
    of_none = {kind: [encode_id(kind, uuid7())] for kind in tables if kind not in ids}
    return Affairs(town, [case], ids | of_none, frozenset(told))


async def _applies(town: Town) -> Dossier:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="social-premium")
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input=ANSWERS)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


def somebody_with(town: Town, *names: str) -> Context:
    """A member of staff with these roles of ACM/IDM, whom nobody met."""
    actor = Actor(
        ActorKind.STAFF,
        "Iemand Anders",
        departments.roles_of(names),
        uuid5(SERVICES, " ".join(names)),
        departments=departments.departments_of(names),
    )
    loket = town.served.loket
    return Context(loket, Caller(loket, actor, "nl"), loket.database)


def outsider(town: Town) -> Context:
    """Who has every role there is, for another department."""
    return somebody_with(town, *(f"{name}-Milieudienst" for name in EVERY_ROLE))


async def answer(context: Context, asked: str, given: Json | None = None) -> Json:
    told: Json = orjson.loads((await schema.answer(asked, context=context, variables=given or {})).body)
    return told


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_works_for_another_department_reads_nothing(town: Town, social: Affairs) -> None:
    context = outsider(town)
    for name, field in QUERIES.items():
        for given in arguments(field, social):
            told = await answer(context, document("query", name, field, given, 1), given)
            codes = {one["extensions"]["code"] for one in told.get("errors", ())}
            assert codes <= {"NOT_FOUND", "VALIDATION"}, (name, given, told)
            assert not leaks(told, social, given), (name, given)


async def test_an_id_of_another_department_is_as_good_as_none(town: Town, social: Affairs) -> None:
    private = [one for kind, found in social.ids.items() if kind not in FOR_EVERYBODY for one in found]
    assert len(private) > 20
    for at in range(0, len(private), 100):
        some = private[at : at + 100]
        told = await answer(outsider(town), NODES, {"ids": some})
        assert told["data"]["nodes"] == [None] * len(some)
    seen = await town.ask(SOCIAL, NODES, ids=private[:100])
    assert None not in [
        node
        for node, one in zip(seen["nodes"], private, strict=False)
        if (named := read_id(one)) and named.kind in {"Case", "Note", "CaseEvent", "Task"}
    ]


async def test_lists_and_their_counts_leave_another_departments_cases_out(
    town: Town, social: Affairs
) -> None:
    case = social.cases[0]
    ask = """query($f: CaseFilter) { cases(filter: $f) { totalCount }
        tasks { nodes { case { reference } } } messages(first: 100) { nodes { case { reference } } } }"""
    wanted = {"procedure": "social-premium"}
    for who, number in ((HANDLER, 0), (DRIVER, 0), (SOCIAL, 1), (FINANCE, 1), (OPERATOR, 1)):
        seen = await town.ask(who, ask, f=wanted)
        assert (who, seen["cases"]["totalCount"]) == (who, number)
        assert (case.reference in str(seen["messages"])) is bool(number)


async def test_nobody_is_said_to_have_looked_at_what_another_department_keeps_from_them(
    town: Town, social: Affairs
) -> None:
    case = social.cases[0]
    looks = "{ viewer { accessLog(first: 100) { nodes { service actor { name } } } } }"
    for ask, given in (
        ("query($r: String!) { case(reference: $r) { id } }", {"r": case.reference}),
        ("query($i: ID!) { node(id: $i) { id } }", {"i": social.ids["Note"][0]}),
        ("query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": [case.id, social.ids["Person"][0]]}),
        ("query($r: String!) { cases(filter: {search: $r}) { totalCount } }", {"r": case.reference}),
    ):
        await town.ask(HANDLER, ask, **given)
        await answer(outsider(town), ask, given)
    seen = await town.ask(case.who, looks)
    names = [one["actor"]["name"] for one in seen["viewer"]["accessLog"]["nodes"]]
    assert not {"Hilde Van Dyck", "Iemand Anders"} & set(names)
    await case.read(SOCIAL, "id")
    seen = await town.ask(case.who, looks)
    names = [one["actor"]["name"] for one in seen["viewer"]["accessLog"]["nodes"]]
    assert "Sofie Leemans" in names


async def test_another_departments_case_cannot_be_followed_and_its_events_are_not_told(
    town: Town, social: Affairs
) -> None:
    case = social.cases[0]
    client, told = town.served.client, {}
    for reference in (case.reference, "SP-2026-000000-0"):
        body = {"query": f'subscription {{ caseEvents(reference: "{reference}") {{ id type }} }}'}
        token = await town.served.token_of(HANDLER)
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        told[reference] = (await client.post("/graphql", json=body, headers=headers)).text
    assert told[case.reference] == told["SP-2026-000000-0"]
    assert "NOT_FOUND" in told[case.reference]
    context = outsider(town)
    cursor = (await answer(context, "{ viewer { cursor } }"))["data"]["viewer"]["cursor"]
    await town.does(SOCIAL, "caseAddNote", id=case.id, input={"text": "nog-een-nota"})
    mine = await town.applies()
    ask = "subscription($c: Cursor) { workQueueEvents(after: $c) { type case { reference } } }"
    parsed = schema.document(ask)
    assert not isinstance(parsed, Answer)
    stream = schema.events(parsed, context=context, variables={"c": cursor})
    async with asyncio.timeout(30), aclosing(stream) as answers:
        async for one in answers:
            seen = orjson.loads(one.body)["data"]["workQueueEvents"]
            assert seen["case"]["reference"] == mine.reference
            break
    await mine.calm()
    await social.cases[0].calm()
    page = "query($c: Cursor) { events(after: $c, first: 100) { case { reference } } }"
    seen = await answer(context, page, {"c": cursor})
    assert {one["case"]["reference"] for one in seen["data"]["events"]} == {mine.reference}


# ── doing ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_works_for_another_department_does_nothing(town: Town, social: Affairs) -> None:
    context = outsider(town)
    before = await fingerprint(town)
    for name, field in MUTATIONS.items():
        if name in NO_CASES:
            continue
        for given in arguments(field, social, kind_of_id(name, field)):
            told = await _refusals(context, name, given)
            assert told == await _refusals(context, name, _missing(given, field)), name
            closed = name in OF_THE_HOUSE | OF_CITIZENS
            wanted = {"NOT_ALLOWED"} if closed else {"NOT_FOUND", "VALIDATION", "REQUIRED"}
            assert {one["code"] for one in told} <= wanted, (name, told)
    assert await fingerprint(town) == before


async def _refusals(context: Context, name: str, given: Json) -> list[Json]:
    """Why nothing was done, also where that is answered case by case."""
    told = await answer(context, document("mutation", name, MUTATIONS[name], given, 2), given)
    assert "errors" not in told, (name, given, told)
    payload = told["data"][name]
    results = payload.get("results") or []
    refused: list[Json] = payload["errors"] or [
        {"code": "NOT_FOUND", "said": _without(one)} for one in results
    ]
    assert refused, (name, given, payload)
    assert all(one["case"] is None for one in results), (name, payload)
    return refused


def _without(result: Json) -> Json:
    return {name: value for name, value in result.items() if name != "caseId"}


async def test_the_counter_of_another_department_is_closed(town: Town, social: Affairs) -> None:
    said = {"givenName": "Ria", "familyName": "Rij"}
    refused = await town.refused(HANDLER, "applicationStartAtCounter", procedure="social-premium", input=said)
    assert refused["code"] == "NOT_ALLOWED"
    (draft,) = [
        one
        for one in social.ids["Application"]
        if (await town.ask(SOCIAL, "query($i: ID!) { application(id: $i) { id } }", i=one))["application"]
    ]
    tried: tuple[tuple[str, Json], ...] = (
        ("applicationSetAnswers", {"input": {}}),
        ("applicationDiscard", {}),
    )
    for action, more in tried:
        assert (await town.refused(HANDLER, action, id=draft, **more))["code"] == "NOT_FOUND"
    await town.does(SOCIAL, "applicationSetAnswers", id=draft, input={"benefits": ["household"]})


async def test_a_role_counts_in_its_own_department_alone(town: Town, social: Affairs) -> None:
    """Handler of one department and finance of another: a handler in the first only."""
    case = social.cases[0]
    both = somebody_with(town, "LoketBehandelaar-Milieudienst", "LoketFinancien-SocialeDienst")
    ask = "query($r: String!) { case(reference: $r) { viewerAvailableActions { action } } }"
    offered = (await answer(both, ask, {"r": case.reference}))["data"]["case"]["viewerAvailableActions"]
    finance = somebody_with(town, "LoketFinancien-SocialeDienst")
    same = (await answer(finance, ask, {"r": case.reference}))["data"]["case"]["viewerAvailableActions"]
    assert offered == same
    assert "CASE_ASSIGN" not in str(offered)
    before = await fingerprint(town)
    tried: tuple[tuple[str, Json], ...] = (
        ("caseAssign", {}),
        ("caseCancel", {"input": {"reason": "zomaar"}}),
        ("decisionPrepare", {"caseIds": [case.id], "idempotencyKey": town.key()}),
        ("adviceRequest", {"caseId": case.id, "input": {"adviser": "social-work"}}),
        ("messageResend", {"id": social.ids["Message"][0]}),
        ("timerFire", {"caseId": case.id, "kind": "TERM"}),
        ("effectRetry", {"id": social.ids["Effect"][0]}),
    )
    for name, more in tried:
        given = {"id": case.id} | more if "caseId" not in str(more.keys()) else more
        codes = {one["code"] for one in await _refusals(both, name, given)}
        assert codes == {"NOT_ALLOWED"}, (name, codes)
    check = next(iter(social.ids.get("Check", ())), None)
    if check is not None:
        refused = await _refusals(both, "checkRepeat", {"id": check})
        assert {one["code"] for one in refused} <= {"TRANSITION_NOT_ALLOWED", "NOT_FOUND"}
    assert await fingerprint(town) == before
    mine = await town.applies()
    told = await answer(
        both,
        'mutation($i: ID!) { caseAddNote(id: $i, input: {text: "x"}) { errors { code } } }',
        {"i": mine.id},
    )
    assert "NOT_FOUND" not in str(told)


async def test_a_case_is_given_to_a_handler_of_its_department_only(town: Town, social: Affairs) -> None:
    case = social.cases[0]
    staff = {
        name: encode_id("StaffMember", key)
        for key, name in await town.sql("SELECT id, given_name FROM staff")
    }
    for name in ("Hilde", "Filip", "Wim", "Astrid"):
        refused = await town.refused(SOCIAL, "caseAssign", id=case.id, handlerId=staff[name])
        assert (refused["code"], refused["path"]) == ("VALIDATION", ["handlerId"])
        assert "Sociale dienst" in refused["message"]
    bulk = await town.does(
        SOCIAL, "caseBulkAssign", "results { case { id } error }", ids=[case.id], handlerId=staff["Hilde"]
    )
    assert bulk["results"][0]["case"] is None
    assert "Sociale dienst" in bulk["results"][0]["error"]
    await town.does(SOCIAL, "caseAssign", id=case.id, handlerId=staff["Greet"])
    seen = await case.read(SOCIAL, "handler { name }")
    assert seen["handler"]["name"] == "Greet Mertens"


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────


MONEY = """{ journalEntries { totalCount nodes { id documentNumber invoice { number } } }
    differences { totalCount nodes { id detail } }
    bankStatements { totalCount nodes { id } } bankEntries { totalCount nodes { id remittance
      suggestions { debtor caseReference invoiceNumber } } } }"""


async def test_books_are_kept_per_department_and_the_bank_by_who_keeps_those_of_all(town: Town) -> None:
    """Money of all goes over one account: an entry's suggestions name citizens of any department."""
    case = await town.applies("an", cart={"vat": 1})
    await case.goes_to_pay()
    number = (await case.read("an", "invoice { number }"))["invoice"]["number"]
    paid = Line(
        Decimal("1.23"), date(2026, 11, 20), date(2026, 11, 20), name="PEETERS AN", text="zonder meer"
    )
    sheet = Sheet(town.served.loket.settings.municipality.iban, 900, date(2026, 11, 19), date(2026, 11, 20),
                  Decimal(0), (paid,))  # fmt: skip
    file = {"name": "dag.xml", "content": b64encode(written("camt08", [sheet])).decode()}
    imported = await town.does(FINANCE, "bankStatementImport", "statements { id }", input=file)
    seen = await town.ask(FINANCE, MONEY)
    assert number in str(seen["journalEntries"])
    assert "Peeters" in str(seen["bankEntries"]["nodes"][0]["suggestions"])
    entry = seen["bankEntries"]["nodes"][0]["id"]
    private = [entry, imported["statements"][0]["id"], seen["journalEntries"]["nodes"][0]["id"]]
    other = "LoketFinancien-SocialeDienst"
    for roles, books in (
        ((other,), False),
        ((other, "LoketBehandelaar-Milieudienst"), False),
        ((other, "LoketBehandelaar", "LoketBeheerder"), False),
        (("LoketFinancien-Milieudienst",), True),
    ):
        context = somebody_with(town, *roles)
        told = (await answer(context, MONEY))["data"]
        assert bool(told["journalEntries"]["totalCount"]) is books, roles
        assert (number in str(told["journalEntries"])) is books
        assert (told["bankStatements"]["totalCount"], told["bankEntries"]["totalCount"]) == (0, 0)
        nodes = (await answer(context, NODES, {"ids": private}))["data"]["nodes"]
        assert nodes[:2] == [None, None]
        assert (nodes[2] is not None) is books
        for name, given in (
            ("paymentMatch", {"id": entry, "input": {"invoiceId": case.id}}),
            ("bankEntrySetAside", {"input": {"ids": [entry], "reason": "weg"}}),
            ("bankEntrySetAside", {"input": {"foreignUntil": "2026-12-31", "reason": "weg"}}),
        ):
            refused = await _refusals(context, name, given | {"idempotencyKey": town.key()})
            assert [one["code"] for one in refused] == ["NOT_ALLOWED"], (roles, name)


async def test_an_answer_that_is_repeated_shows_what_may_be_seen_now(town: Town) -> None:
    """The key is the person's; the department may be another by then."""
    case = await town.applies("an", cart={"vat": 1})
    await case.goes_to_pay()
    invoice = (await case.read("an", "invoice { id }"))["invoice"]["id"]
    before = somebody_with(town, "LoketFinancien-Milieudienst")
    assert before.viewer.actor is not None
    later = replace(
        before.viewer.actor, departments=departments.departments_of(("LoketFinancien-SocialeDienst",))
    )
    after = replace(before, viewer=Caller(town.served.loket, later, "nl"))
    paid = {"amount": "1.00", "method": "COUNTER", "reference": "kas-9", "valueDate": "2026-11-20"}
    given = {"invoiceId": invoice, "input": paid, "idempotencyKey": town.key()}
    asked = document("mutation", "paymentRegister", MUTATIONS["paymentRegister"], given, 2)
    told = (await answer(before, asked, given))["data"]["paymentRegister"]
    assert (told["errors"], told["invoice"]["id"]) == ([], invoice)
    told = (await answer(after, asked, given))["data"]["paymentRegister"]
    assert (told["payment"], told["invoice"]) == (None, None)


# ── what a role says ──────────────────────────────────────────────────────────────────────────────────


def test_a_role_with_departments_holds_for_those_and_one_without_for_all() -> None:
    names = (
        *("LoketBehandelaar-SocialeDienst", "LoketBehandelaar-Milieudienst"),
        *("LoketFinancien-SocialeDienst", "LoketFinancien", "LoketBeheerder-"),
    )
    roles, bounds = departments.roles_of(names), departments.departments_of(names)
    assert departments.roles_at(roles, bounds, "Sociale dienst") == {Role.HANDLER, Role.FINANCE}
    assert departments.roles_at(roles, bounds, "milieudienst") == {Role.HANDLER, Role.FINANCE}
    assert departments.roles_at(roles, bounds, "Cultuur") == {Role.FINANCE}


@pytest.mark.parametrize(
    ("department", "suffix"),
    [
        ("Sociale dienst", "SocialeDienst"),
        ("Burgerzaken & bevolking", "BurgerzakenBevolking"),
        ("Coördinatie / één-loket", "CoordinatieEenLoket"),
        ("Dienst  Leven.", "dienst-leven"),
    ],
)
async def test_a_department_is_known_by_its_letters_in_sql_as_in_a_role(
    town: Town, department: str, suffix: str
) -> None:
    case = await town.applies()
    ((said,),) = await town.sql(
        'UPDATE "case" SET department = :d WHERE id = :id RETURNING department_key',
        d=department,
        id=decode_id(case.id, "Case"),
    )
    assert said == departments.key_of(department) == departments.key_of(suffix)
