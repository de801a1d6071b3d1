"""Advice: asked of services and bodies, given in Loket or with a link, and never waited for in vain."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Any

import graphql
import orjson
import pytest

import flemish
from loket import departments
from loket.api.context import Caller, Context
from loket.api.engine import Answer
from loket.api.schema import schema
from loket.ids import decode_id, encode_id
from loket.lifecycle import Role
from loket.records import ActorKind
from loket.terms import morning_of
from loket.vault import token_hash
from loket.work import Actor
from premiums import Json, check, written
from town import FINANCE, HANDLER, OPERATOR, SCHEMA, Dossier, Town, opened, until

ADVISER = "astrid"
BODY, GREEN = "advies@welzijn.example", "milieu@lindebeke.example"
ADVICE = """id adviser title kind status dueOn requestedAt question opinion text conditions givenBy givenAt
    requestedBy { name } check { kind status } documents { filename }"""
ASKED = "query($token: String!) { adviceByToken(token: $token) {"
TOKEN = f"{ASKED} reference procedure adviser question dueOn status documents {{ filename url }} }} }}"
POSITIVE = {"opinion": "POSITIVE", "text": "Wij kennen het gezin."}
WITH_NAME = POSITIVE | {"name": "Jan  Maes"}


def _advisers(told: Json) -> None:
    told["advisers"] = [
        {"key": "work", "title": "Maatschappelijk werk", "kind": "INTERNAL", "department": "Sociaal",
         "question": "Kent u {applicant}?", "within_days": 14, "documents": True},
        {"key": "green", "title": "Milieudienst", "kind": "INTERNAL", "department": "Milieu", "email": GREEN,
         "question": "Is er plaats?", "within_days": 14},
        {"key": "region", "title": {"nl": "Welzijnsregio", "en": "Welfare region"}, "kind": "EXTERNAL",
         "email": BODY, "question": "Wat vindt u van {reference}, van {applicant}?", "within_days": 14},
        {"key": "fod", "title": "FOD", "kind": "MACHINE", "check": "increased", "question": "Ja of nee?"},
        {"key": "never", "title": "Nooit", "kind": "MACHINE", "check": "unasked", "question": "Ja of nee?"},
    ]  # fmt: skip
    told["checks"].append(
        check("unasked", "social_status", "answer.statuses.BIM_BVT", statuses=["BIM_BVT"], when="false")
    )


def _asks_at_once(told: Json) -> None:
    _advisers(told)
    told["assessment"] = {"by": "rule", "ask": ["work", "region", "fod", "never"]}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "toelage", _advisers)
    written(folder, "meteen", _asks_at_once)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def admissible(town: Town, procedure: str = "toelage", who: str = "") -> Dossier:
    """A case that is to be assessed, its checks done."""
    dossier = await applied(town, procedure, who)
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    if procedure == "toelage":
        await until(lambda: _has_task(dossier, "ASSESS"))
    return dossier


async def applied(town: Town, procedure: str = "toelage", who: str = "") -> Dossier:
    who = who or town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"benefits": ["home"]})
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await until(lambda: _has_task(dossier, "REFERRED"))
    return dossier


async def _has_task(dossier: Dossier, kind: str) -> bool:
    return kind in await dossier.tasks()


async def asks(dossier: Dossier, adviser: str, **given: object) -> Json:
    payload = await dossier.town.does(
        HANDLER, "adviceRequest", f"advice {{ {ADVICE} }}", caseId=dossier.id,
        input={"adviser": adviser} | given,
    )  # fmt: skip
    asked: Json = payload["advice"]
    return asked


async def advice_of(dossier: Dossier, adviser: str, who: str | None = None) -> Json:
    found = (await dossier.read(who, f"advices {{ {ADVICE} }}"))["advices"]
    return next((one for one in found if one["adviser"] == adviser), {})


async def mails(dossier: Dossier) -> list[Json]:
    """What the external body was sent about a case, oldest first."""
    await dossier.calm()
    found: list[Json] = await dossier.town.look("smtp", f"mailbox/{BODY}")
    assert [one["complaints"] for one in found if one["complaints"]] == []
    return [one for one in found if dossier.reference in one["subject"]]


async def token_in(dossier: Dossier) -> str:
    """What stands in the link of the last letter."""
    (link,) = {
        *re.findall(
            r"https://www\.lindebeke\.example/advies\?token=([\w-]+)", str((await mails(dossier))[-1])
        )
    }
    return str(link)


async def status(dossier: Dossier) -> str:
    return str((await dossier.read(fields="status"))["status"])


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_handler_asks_with_the_procedures_question_and_deadline_and_the_case_waits(
    town: Town,
) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    assert asked["question"].startswith("Kent u ")
    assert "{" not in asked["question"]
    assert (asked["status"], asked["kind"], asked["title"]) == (
        "REQUESTED",
        "INTERNAL",
        "Maatschappelijk werk",
    )
    assert asked["requestedBy"]["name"] == "Hilde Van Dyck"
    assert asked["dueOn"] == str(_today() + timedelta(days=14))
    assert await status(dossier) == "AWAITING_ADVICE"
    assert "ASSESS" not in await dossier.tasks()
    own = await asks(dossier, "green", question="Past een bak?", dueOn=str(_today()))
    assert (own["question"], own["dueOn"]) == ("Past een bak?", str(_today()))
    assert {"ADVICE_REMINDER", "ADVICE_END"} <= await dossier.timers()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"adviser": "nobody"}, "VALIDATION"),
        ({"adviser": "never"}, "RULE_NOT_MET"),
        ({"adviser": "green", "dueOn": "2020-01-01"}, "VALIDATION"),
        ({"adviser": "green", "dueOn": "2999-01-01"}, "VALIDATION"),
        ({"adviser": "green", "question": "x" * 4001}, "TOO_LARGE"),
        ({"adviser": "work"}, "VALIDATION"),
    ],
)
async def test_what_makes_no_sense_is_not_asked(waiting: Dossier, given: Json, code: str) -> None:
    refusal = await waiting.town.refused(HANDLER, "adviceRequest", caseId=waiting.id, input=given)
    assert refusal["code"] == code


@pytest.fixture(scope="module")
async def waiting(town: Town) -> Dossier:
    """A case that waits for its social workers."""
    dossier = await admissible(town)
    await asks(dossier, "work")
    return dossier


async def test_nothing_is_asked_before_the_assessment_or_by_others(town: Town, waiting: Dossier) -> None:
    early = await applied(town)
    given = {"adviser": "green"}
    refusal = await town.refused(HANDLER, "adviceRequest", caseId=early.id, input=given)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    for who in (FINANCE, ADVISER, waiting.who):
        refusal = await town.refused(who, "adviceRequest", caseId=waiting.id, input=given)
        assert refusal["code"] == "NOT_ALLOWED", who


async def test_the_procedure_asks_at_once_and_the_case_goes_on_when_all_is_in(town: Town) -> None:
    dossier = await admissible(town, "meteen", "rita")

    async def machine_answered() -> bool:
        return bool((await advice_of(dossier, "fod"))["status"] == "POSITIVE")

    await until(machine_answered)
    assert await status(dossier) == "AWAITING_ADVICE"
    assert (await advice_of(dossier, "never"))["status"] == "WITHDRAWN"
    await town.does(ADVISER, "adviceGive", id=(await advice_of(dossier, "work"))["id"], input=POSITIVE)
    assert await status(dossier) == "AWAITING_ADVICE"
    await town.does(None, "adviceGiveByToken", token=await token_in(dossier), input=WITH_NAME)
    assert await status(dossier) == "AWAITING_DECISION"
    events = await dossier.events()
    order = [events.index(one) for one in ("ADVICE_REQUESTED", "ADVICE_GIVEN", "ADVICE_COMPLETE")]
    assert order == sorted(order)


# ── in Loket ──────────────────────────────────────────────────────────────────────────────────────────


async def test_an_adviser_answers_in_loket_and_the_handler_hears_that_all_is_in(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    conditional = {"opinion": "CONDITIONAL", "text": "Ja, maar."}
    refusal = await town.refused(ADVISER, "adviceGive", id=asked["id"], input=conditional)
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["input", "conditions"])
    refusal = await town.refused(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE | {"text": " "})
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["input", "text"])
    given = conditional | {"conditions": "Eerst een huisbezoek."}
    answer = await town.does(
        ADVISER, "adviceGive", "advice { status } case { reference }", id=asked["id"], input=given
    )
    assert answer["advice"] == {"status": "CONDITIONAL"}
    found = await advice_of(dossier, "work")
    assert (found["opinion"], found["text"], found["conditions"]) == (
        "CONDITIONAL",
        "Ja, maar.",
        given["conditions"],
    )
    assert found["givenBy"] == "Astrid Coppens"
    assert await status(dossier) == "ASSESSMENT"
    assert "ASSESS" in await dossier.tasks()
    assert not {"ADVICE_REMINDER", "ADVICE_END"} & await dossier.timers()
    refusal = await town.refused(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"


async def test_the_work_list_of_an_adviser_has_what_is_asked_of_them_alone(
    town: Town, waiting: Dossier
) -> None:
    other = await admissible(town)
    await asks(other, "region")
    document = (
        "query($f: AdviceFilter) { advices(first: 100, filter: $f) { nodes { kind case { reference } } } }"
    )
    seen = (await town.ask(ADVISER, document, f={"mine": True, "open": True}))["advices"]["nodes"]
    assert waiting.reference in {one["case"]["reference"] for one in seen}
    assert {one["kind"] for one in seen} == {"INTERNAL"}
    assert (await town.ask(ADVISER, document))["advices"]["nodes"] >= seen
    assert (await town.ask(HANDLER, document, f={"mine": True}))["advices"]["nodes"] == []
    everything = (await town.ask(HANDLER, document, f={"open": True, "kind": "EXTERNAL"}))["advices"]["nodes"]
    assert other.reference in {one["case"]["reference"] for one in everything}
    assert (await town.ask(HANDLER, document, f={"overdue": True}))["advices"]["nodes"] == []


async def test_an_adviser_sees_of_a_case_what_advice_needs_and_of_other_cases_nothing(
    town: Town, waiting: Dossier
) -> None:
    await asks(waiting, "region")
    other = await admissible(town)
    paper = await _paper(town, waiting)
    asked = """query($r: String!, $o: String!, $ids: [ID!]!) {
        other: case(reference: $o) { id }
        cases(first: 100) { nodes { reference } }
        nodes(ids: $ids) { __typename }
        tasks { nodes { kind } } messages { nodes { subject } } decisions { nodes { id } }
        case(reference: $r) { reference status
            applicant { name email phone birthDate nationalNumber }
            advices { adviser requestedBy { name } } documents { id }
            account decision { id } checks { kind } tasks { kind } notes { text } effects { kind }
            messages { nodes { subject } } timeline { nodes { type } } lastEvent { type } } }"""
    ids = [other.id, await _person(town, waiting)]
    told = await town.ask(ADVISER, asked, r=waiting.reference, o=other.reference, ids=ids)
    assert told["other"] is None
    assert other.reference not in {one["reference"] for one in told["cases"]["nodes"]}
    assert told["nodes"] == [None, None]
    assert [told[name]["nodes"] for name in ("tasks", "messages", "decisions")] == [[], [], []]
    case = told["case"]
    person = case.pop("applicant")
    assert person.pop("name")
    assert {*person.values()} == {None}
    assert case.pop("advices") == [{"adviser": "work", "requestedBy": {"name": "Hilde Van Dyck"}}]
    assert case.pop("documents") == [{"id": paper}]  # the definition says so
    assert (case.pop("reference"), case.pop("status")) == (waiting.reference, "AWAITING_ADVICE")
    assert all(one in (None, [], {"nodes": []}) for one in case.values()), case
    looks = await town.ask(waiting.who, "{ viewer { accessLog(first: 50) { nodes { actor { name } } } } }")
    assert "Astrid Coppens" in str(looks)


async def _paper(town: Town, dossier: Dossier) -> str:
    """A file of the application; and one of the case that is the municipality's own."""
    rows = await town.sql(
        """INSERT INTO document (id, case_id, application_id, kind, filename, media_type, size, sha256,
                                 created_at, stored_at)
           SELECT gen_random_uuid(), c.id, a.id, coalesce('ATTACHMENT', a.status), coalesce(a.status, 'own'),
                  'application/pdf', 5, '', now(), now()
             FROM "case" c LEFT JOIN application a ON a.id = c.application_id WHERE c.id = :id
            UNION ALL
           SELECT gen_random_uuid(), :id, NULL, 'DECISION_DRAFT', 'ontwerp.pdf', 'application/pdf', 5, '',
                  now(), now()
           RETURNING id, application_id""",
        id=decode_id(dossier.id, "Case"),
    )
    return next(encode_id("Document", row.id) for row in rows if row.application_id)


async def _person(town: Town, dossier: Dossier) -> str:
    rows = await town.sql('SELECT person_id FROM "case" WHERE id = :id', id=decode_id(dossier.id, "Case"))
    return encode_id("Person", rows[0].person_id)


async def test_an_adviser_follows_the_advice_that_is_asked_of_them(town: Town, waiting: Dossier) -> None:
    after = (await town.ask(ADVISER, "{ viewer { cursor } }"))["viewer"]["cursor"]
    other = await admissible(town)
    await asks(other, "region")
    mine = await admissible(town)
    asked = await asks(mine, "work")
    await town.does(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE)
    followed = (
        "subscription($a: Cursor) { workQueueEvents(after: $a) { type case { reference } effects { kind } } }"
    )
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {await town.served.token_of(ADVISER)}",
    }
    body = {"query": followed, "variables": {"a": after}}
    seen: list[Json] = []
    async with town.client.stream("POST", "/graphql", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                seen.append(orjson.loads(line[6:])["data"]["workQueueEvents"])
            if len(seen) == 3:
                break
    assert [one["type"] for one in seen] == ["ADVICE_REQUESTED", "ADVICE_GIVEN", "ADVICE_COMPLETE"]
    assert {one["case"]["reference"] for one in seen} == {mine.reference}
    assert [one["effects"] for one in seen] == [[], [], []]


@pytest.mark.parametrize(
    ("roles", "seen"),
    [
        (("LoketAdviseur",), {"work", "green"}),
        (("LoketAdviseur-Sociaal",), {"work"}),
        (("LoketAdviseur-Milieu", "LoketAdviseur-Sociaal"), {"work", "green"}),
        (("LoketAdviseur-Elders",), set()),
    ],
)
async def test_an_adviser_of_a_department_is_asked_what_that_department_is(
    both: Dossier, roles: tuple[str, ...], seen: set[str]
) -> None:
    loket = both.town.served.loket
    actor = Actor(
        ActorKind.STAFF, "Iemand", departments.roles_of(roles), None,
        departments=departments.departments_of(roles),
    )  # fmt: skip
    context = Context(loket, Caller(loket, actor, "nl"), loket.database)
    asked = "query($r: String!) { case(reference: $r) { advices { adviser } } }"
    answer = await schema.answer(asked, context=context, variables={"r": both.reference})
    for key in ("work", "green"):
        assert (f'"{key}"' in answer.body.decode()) is (key in seen)


@pytest.fixture(scope="module")
async def both(town: Town) -> Dossier:
    dossier = await admissible(town)
    await asks(dossier, "work")
    await asks(dossier, "green")
    return dossier


async def test_the_applicant_sees_whom_was_asked_and_how_it_stands_not_what_was_said(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    await town.does(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE)
    seen = await advice_of(dossier, "work", dossier.who)
    assert (seen["title"], seen["status"], seen["dueOn"]) == (
        "Maatschappelijk werk",
        "POSITIVE",
        asked["dueOn"],
    )
    hidden = ("question", "text", "conditions", "givenBy", "requestedBy", "check")
    assert [seen[name] for name in hidden] == [None] * len(hidden)
    assert (await town.post("an", "{ advices { totalCount } }"))["data"]["advices"]["totalCount"] == 0


async def test_each_role_is_offered_what_it_can_do(town: Town, waiting: Dossier) -> None:
    mine = {"ADVICE_REQUEST", "ADVICE_GIVE", "ADVICE_WITHDRAW"}
    assert await waiting.actions(HANDLER) & mine == mine
    assert await waiting.actions(ADVISER) == {"ADVICE_GIVE"}
    for who in (FINANCE, waiting.who):
        assert not await waiting.actions(who) & mine
    external = await admissible(town)
    assert await external.actions(HANDLER) & mine == {"ADVICE_REQUEST"}
    asked = await asks(external, "region")
    assert await external.actions(HANDLER) & mine == mine
    given = await town.does(HANDLER, "adviceGive", "advice { givenBy }", id=asked["id"], input=POSITIVE)
    assert given["advice"]["givenBy"] == "Hilde Van Dyck"
    for who in (FINANCE, external.who, "bert"):
        assert (await town.refused(who, "adviceGive", id=asked["id"], input=POSITIVE))[
            "code"
        ] == "NOT_ALLOWED"
    for missing in (asked["id"], encode_id("Advice", decode_id(external.id, "Case"))):
        assert (await town.refused(ADVISER, "adviceGive", id=missing, input=POSITIVE))["code"] == "NOT_FOUND"


async def test_two_who_act_on_one_case_see_each_other(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    refusal = await town.refused(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE, expectedVersion=1)
    assert refusal["code"] == "VERSION_CONFLICT"


# ── with a link ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_body_elsewhere_answers_once_with_the_link_of_its_letter(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "region")
    (letter,) = await mails(dossier)
    name = (await dossier.read(fields="applicant { name }"))["applicant"]["name"]
    assert name not in str(letter)
    assert dossier.reference in asked["question"]
    token = await token_in(dossier)
    seen = (await town.ask(None, TOKEN, token=token))["adviceByToken"]
    assert (seen["reference"], seen["question"]) == (dossier.reference, asked["question"])
    assert (seen["status"], seen["adviser"], seen["documents"]) == ("REQUESTED", "Welzijnsregio", [])
    refusal = await town.refused(None, "adviceGiveByToken", token=token, input=WITH_NAME | {"name": ""})
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["input", "name"])
    for _ in range(2):  # the same key: the same answer, written down once
        answer = await town.does(
            None,
            "adviceGiveByToken",
            "received",
            token=token,
            input=WITH_NAME,
            idempotencyKey="one and the same",
        )
        assert answer["received"]
    refusal = await town.refused(
        None, "adviceGiveByToken", token=token, input=WITH_NAME | {"text": "Toch niet."},
        idempotencyKey="one and the same",
    )  # fmt: skip
    assert refusal["code"] == "IDEMPOTENCY_MISMATCH"
    found = await advice_of(dossier, "region")
    assert (found["status"], found["givenBy"], found["text"]) == ("POSITIVE", "Jan Maes", POSITIVE["text"])
    assert (await dossier.events()).count("ADVICE_GIVEN") == 1
    last = await dossier.read(dossier.who, "timeline(first: 100) { nodes { type actor { kind name } } }")
    (told,) = [one for one in last["timeline"]["nodes"] if one["type"] == "ADVICE_GIVEN"]
    assert told["actor"] == {"kind": "SERVICE", "name": "Welzijnsregio"}
    assert await status(dossier) == "ASSESSMENT"


async def test_only_the_hash_of_a_token_is_kept(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "region")
    token = await token_in(dossier)
    rows = await town.sql("SELECT token_hash FROM advice WHERE id = :id", id=decode_id(asked["id"], "Advice"))
    assert bytes(rows[0].token_hash) == token_hash(token)
    for table in ("advice", "effect", "event", "timer"):
        assert not await town.sql(
            f"SELECT FROM {table} t WHERE t::text LIKE '%' || :token || '%'", token=token
        )


async def test_a_letter_that_is_sent_again_carries_the_same_link(town: Town) -> None:
    dossier = await admissible(town)
    await asks(dossier, "region")
    first = await token_in(dossier)
    await dossier.fires("ADVICE_REMINDER")
    letters = await mails(dossier)
    assert [one["subject"].startswith("Herinnering") for one in letters] == [False, True]
    assert await token_in(dossier) == first


async def test_links_that_are_of_no_use_all_answer_alike(town: Town) -> None:
    """False, of another purpose, used, taken back, too old, of a case that ended."""
    dossiers = [await admissible(town) for _ in range(4)]
    asked = [await asks(one, "region") for one in dossiers]
    used, withdrawn, old, ended = [await token_in(one) for one in dossiers]
    await town.does(None, "adviceGiveByToken", token=used, input=WITH_NAME)
    await town.does(HANDLER, "adviceWithdraw", id=asked[1]["id"], input={"reason": "Niet meer nodig"})
    assert await status(dossiers[1]) == "ASSESSMENT"
    await town.does(dossiers[3].who, "caseWithdraw", id=dossiers[3].id)
    vault = town.served.loket.vault
    key = decode_id(asked[2]["id"], "Advice")
    past = vault.link("advice", key, datetime.now(UTC) - timedelta(seconds=1))
    await town.sql("UPDATE advice SET token_hash = :hash WHERE id = :id", hash=token_hash(past), id=key)
    other = vault.link("document", key, datetime.now(UTC) + timedelta(days=1))
    unknown = vault.link("advice", decode_id(dossiers[2].id, "Case"), datetime.now(UTC) + timedelta(days=1))
    answers = set()
    for token in (used, withdrawn, old, ended, past, other, unknown, "", "x", "é", old[:-1]):
        assert (await town.ask(None, TOKEN, token=token)) == {"adviceByToken": None}, token
        answers.add(str(await town.refused(None, "adviceGiveByToken", token=token, input=WITH_NAME)))
    assert len(answers) == 1
    assert "EXPIRED" in answers.pop()


async def test_with_a_token_nothing_else_is_readable(town: Town, waiting: Dossier) -> None:
    """Every root field, and every mutation's payload, asked by somebody who has nothing but a link."""
    dossier = await admissible(town)
    await asks(dossier, "region")
    token = await token_in(dossier)
    built = graphql.build_schema(SCHEMA.read_text())
    assert built.query_type is not None
    answer = await town.client.post(
        "/graphql", json={"query": "{ viewer { kind } }"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    for name, field in built.query_type.fields.items():
        if name in {"procedures", "procedure", "adviceByToken"} or name.startswith("_"):
            continue
        given = {argument: _value(one, token, dossier) for argument, one in field.args.items() if _needs(one)}
        declared = ", ".join(f"${one}: {field.args[one].type}" for one in given)
        passed = ", ".join(f"{one}: ${one}" for one in given)
        document = f"query{f'({declared})' if given else ''} {{ {name}{f'({passed})' if given else ''}"
        leaf = graphql.is_leaf_type(graphql.get_named_type(field.type))
        told = await town.post(None, document + ("" if leaf else " { __typename }") + " }", given)
        said = told["data"][name] if told.get("data") else None
        assert said is None or said == [] or said == [None] or set(said) == {"__typename"}, (name, told)
    shown = (await town.ask(None, TOKEN, token=token))["adviceByToken"]
    assert set(shown) == {"reference", "procedure", "adviser", "question", "dueOn", "status", "documents"}
    files = await town.client.get(f"/files/{token}")
    assert files.status_code == 404
    assert (await town.client.put(f"/uploads/{token}", content=b"x")).status_code == 404


def _needs(argument: graphql.GraphQLArgument) -> bool:
    return graphql.is_required_argument(argument)


def _value(argument: graphql.GraphQLArgument, token: str, dossier: Dossier) -> Any:  # noqa: ANN401  # by its type
    kind = graphql.get_named_type(argument.type)
    one: Any = dossier.id if kind.name == "ID" else token
    if isinstance(kind, graphql.GraphQLEnumType):
        one = next(iter(kind.values))
    elif kind.name in {"Date", "DateTime"}:
        one = "2026-01-01" + ("T00:00:00Z" if kind.name == "DateTime" else "")
    elif kind.name == "Int":
        one = 1
    return [one] if "[" in str(argument.type) else one


# ── waiting ───────────────────────────────────────────────────────────────────────────────────────────


async def test_reminders_come_on_the_mornings_that_the_procedure_names(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "region", dueOn=str(_today() + timedelta(days=4)))
    due = date.fromisoformat(asked["dueOn"])
    for days in (3, 0):  # five days before is past already
        (timer,) = await _timers(town, asked)
        assert (timer.number, timer.due_at) == (days, morning_of(due - timedelta(days=days)))
        await dossier.fires("ADVICE_REMINDER")
        assert (await advice_of(dossier, "region"))["status"] == "REMINDED"
    assert await _timers(town, asked) == []
    assert (await dossier.events()).count("ADVICE_REMINDED") == 2
    assert len(await mails(dossier)) == 3


async def _timers(town: Town, asked: Json) -> list[Any]:
    return await town.sql(
        "SELECT number, due_at FROM timer WHERE subject_id = :id AND state = 'ARMED'"
        " AND kind = 'ADVICE_REMINDER'",
        id=decode_id(asked["id"], "Advice"),
    )


async def test_at_the_deadline_the_case_goes_on_and_late_advice_still_counts(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    await asks(dossier, "region")
    await dossier.fires("ADVICE_END")
    assert await status(dossier) == "AWAITING_ADVICE"
    await dossier.fires("ADVICE_END")
    assert await status(dossier) == "ASSESSMENT"
    assert {(await advice_of(dossier, one))["status"] for one in ("work", "region")} == {"NO_REACTION"}
    assert "ASSESS" in await dossier.tasks()
    assert (await dossier.events()).count("ADVICE_LAPSED") == 2
    await town.does(ADVISER, "adviceGive", id=asked["id"], input=POSITIVE)
    assert (await advice_of(dossier, "work"))["status"] == "POSITIVE"
    assert await status(dossier) == "ASSESSMENT"


async def test_after_the_decision_advice_is_too_late(town: Town) -> None:
    dossier = await admissible(town, who="burger-30001")
    asked = await asks(dossier, "work")
    await asks(dossier, "region")
    token = await token_in(dossier)
    for _ in range(2):
        await dossier.fires("ADVICE_END")
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "Dubbel"})
    refusal = await town.refused(HANDLER, "adviceGive", id=asked["id"], input=POSITIVE)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert "beslist" in refusal["message"]
    seen = await town.ask(
        ADVISER, "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }", ids=[dossier.id, asked["id"]]
    )
    assert seen["nodes"] == [None, {"__typename": "Advice"}]  # nobody needs the case any longer
    refusal = await town.refused(None, "adviceGiveByToken", token=token, input=WITH_NAME)
    assert refusal["code"] == "EXPIRED"


# ── machines ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("who", "answer"), [("rita", "POSITIVE"), ("karel", "NEGATIVE")])
async def test_a_machines_advice_is_what_its_check_came_to(town: Town, who: str, answer: str) -> None:
    dossier = await admissible(town, who=who)
    asked = await asks(dossier, "fod")
    assert (asked["status"], asked["opinion"], asked["givenBy"]) == (answer, answer, "FOD")
    assert asked["check"]["kind"] == "increased"
    assert await status(dossier) == "ASSESSMENT"
    refusal = await town.refused(HANDLER, "adviceGive", id=asked["id"], input=POSITIVE)
    assert refusal["code"] == "NOT_ALLOWED"


async def test_a_machine_without_an_answer_is_awaited_until_its_check_has_one_or_a_document_does(
    town: Town,
) -> None:
    who = town.somebody()
    dossier = await applied(town, who=who)
    await town.order("magda", "forced", persona=who, service="GeefSociaalStatuut", code="40005")
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    await until(lambda: _has_task(dossier, "ASSESS"))
    assert (await asks(dossier, "fod"))["status"] == "REQUESTED"
    assert await status(dossier) == "AWAITING_ADVICE"
    await town.order("magda", "forced", persona=who, service="GeefSociaalStatuut", code=None)
    found = (await dossier.read(fields="checks { id kind }"))["checks"]
    (repeated,) = [one["id"] for one in found if one["kind"] == "increased"]
    await town.does(HANDLER, "checkRepeat", id=repeated)

    async def answered() -> bool:
        return (await advice_of(dossier, "fod"))["status"] in {"POSITIVE", "NEGATIVE"}

    await until(answered)
    assert await status(dossier) == "ASSESSMENT"


# ── an end ────────────────────────────────────────────────────────────────────────────────────────────


async def test_advice_is_taken_back_with_a_reason_and_can_be_asked_anew(town: Town) -> None:
    dossier = await admissible(town)
    asked = await asks(dossier, "work")
    refusal = await town.refused(HANDLER, "adviceWithdraw", id=asked["id"], input={"reason": " "})
    assert refusal["code"] == "REQUIRED"
    await town.does(HANDLER, "adviceWithdraw", id=asked["id"], input={"reason": "Verkeerde dienst"})
    assert await status(dossier) == "ASSESSMENT"
    assert (await town.post(ADVISER, "query($id: ID!) { node(id: $id) { id } }", {"id": asked["id"]}))[
        "data"
    ] == {"node": None}
    assert (await asks(dossier, "work"))["status"] == "REQUESTED"


@pytest.mark.parametrize("action", ["caseWithdraw", "caseCancel"])
async def test_no_case_that_ended_waits_for_advice(town: Town, action: str) -> None:
    dossier = await admissible(town)
    await asks(dossier, "work")
    await asks(dossier, "region")
    who = dossier.who if action == "caseWithdraw" else HANDLER
    await town.does(who, action, id=dossier.id, input={"reason": "Genoeg"})
    for adviser in ("work", "region"):
        assert (await advice_of(dossier, adviser, OPERATOR))["status"] == "WITHDRAWN"
    assert not {"ADVICE_REMINDER", "ADVICE_END"} & await dossier.timers()
    assert (await town.post(ADVISER, "query($id: ID!) { node(id: $id) { id } }", {"id": dossier.id}))[
        "data"
    ] == {"node": None}


def _today() -> date:
    return datetime.now(UTC).astimezone(morning_of(date(2026, 1, 1)).tzinfo).date()


# ── a body that answers by machine ────────────────────────────────────────────────────────────────────


async def _own_token(town: Town, **asked: str) -> str:
    """What ACM/IDM gives a body for itself (client credentials)."""
    form = {"grant_type": "client_credentials", "scope": "loket_advies", "audience": "loket"} | asked
    proof = {"client_id": flemish.BODY["client_id"], "client_secret": flemish.BODY["client_secret"]}
    url = f"{town.served.house.config.urls['acmidm']}/op/v1/token"
    answer = await town.client.post(url, data=form | proof)
    token: str = answer.json()["access_token"]
    return token


async def _by_machine(town: Town, token: str, asked: str, **given: object) -> Json:
    headers = {"Authorization": f"Bearer {token}"}
    body = {"query": asked, "variables": given}
    told: Json = (await town.client.post("/graphql", json=body, headers=headers)).json()
    return told


WORK_LIST = """{ advices(filter: {mine: true, open: true}, first: 100) {
    nodes { id adviser reference question case { id } requestedBy { name } } } }"""
GIVES = """mutation($i: ID!, $a: AdviceInput!) {
    adviceGive(id: $i, input: $a) { errors { code } advice { status } } }"""


async def test_a_body_gives_advice_by_machine_and_sees_its_own_questions_alone(town: Town) -> None:
    dossier = await admissible(town)
    asked, other = await asks(dossier, "region"), await asks(dossier, "work")
    token = await _own_token(town)
    found = (await _by_machine(town, token, WORK_LIST))["data"]["advices"]["nodes"]
    assert {one["adviser"] for one in found} == {"region"}
    (mine,) = [one for one in found if one["id"] == asked["id"]]
    assert (mine["reference"], mine["question"]) == (dossier.reference, asked["question"])
    assert mine["case"] is None
    everything = """query($r: String!, $i: [ID!]!) { nodes(ids: $i) { id } case(reference: $r) { id }
        cases { totalCount } messages { totalCount } events { id } tasks { totalCount }
        viewer { kind roles } }"""
    ids = [other["id"], dossier.id]
    seen = (await _by_machine(town, token, everything, r=dossier.reference, i=ids))["data"]
    assert (seen["nodes"], seen["case"], seen["events"]) == ([None, None], None, [])
    assert {seen[one]["totalCount"] for one in ("cases", "messages", "tasks")} == {0}
    assert seen["viewer"] == {"kind": "SERVICE", "roles": ["ADVISER"]}
    refused = await _by_machine(town, token, GIVES, i=other["id"], a=POSITIVE)
    assert refused["data"]["adviceGive"]["errors"] == [{"code": "NOT_FOUND"}]
    given = await _by_machine(town, token, GIVES, i=asked["id"], a=POSITIVE)
    assert given["data"]["adviceGive"] == {"errors": [], "advice": {"status": "POSITIVE"}}
    assert (await advice_of(dossier, "region"))["givenBy"] == "Welzijnsregio"
    note = 'mutation($i: ID!) { caseAddNote(id: $i, input: {text: "x"}) { errors { code } } }'
    refused = await _by_machine(town, token, note, i=dossier.id)
    assert refused["data"]["caseAddNote"]["errors"] == [{"code": "NOT_ALLOWED"}]


@pytest.mark.parametrize("asked", [{"audience": ""}, {"audience": "iemand-anders"}, {"scope": "DosisImport"}])
async def test_a_token_for_something_else_is_no_way_in(town: Town, asked: dict[str, str]) -> None:
    told = await _by_machine(town, await _own_token(town, **asked), WORK_LIST)
    assert told["errors"][0]["extensions"]["code"] == "SIGN_IN_REQUIRED"


# ── what is needed no more, and what mail does not say ────────────────────────────────────────────────


async def test_who_was_asked_hears_that_it_is_needed_no_more(town: Town) -> None:
    dossier = await admissible(town)
    asked, outside = await asks(dossier, "work"), await asks(dossier, "region")
    cursor = (await town.ask(ADVISER, "{ viewer { cursor } }"))["viewer"]["cursor"]
    actor = Actor(ActorKind.STAFF, "Iemand", frozenset({Role.ADVISER}), None)
    context = Context(town.served.loket, Caller(town.served.loket, actor, "nl"), town.served.loket.database)
    for one in (asked, outside):
        await town.does(HANDLER, "adviceWithdraw", id=one["id"], input={"reason": "toch niet nodig"})
    parsed = schema.document(
        "subscription($c: Cursor) { workQueueEvents(after: $c) { id type case { reference } } }"
    )
    assert not isinstance(parsed, Answer)
    stream = schema.events(parsed, context=context, variables={"c": cursor})
    async with asyncio.timeout(30), aclosing(stream) as answers:
        told = orjson.loads((await anext(answers)).body)["data"]["workQueueEvents"]
    assert (told["type"], told["case"]["reference"]) == ("ADVICE_WITHDRAWN", dossier.reference)
    look = "query($i: ID!) { node(id: $i) { id } }"
    assert (await town.ask(ADVISER, look, i=told["id"]))["node"] is not None
    await town.sql(
        "UPDATE event SET occurred_at = occurred_at - interval '1 hour' WHERE id = :id",
        id=decode_id(told["id"], "CaseEvent"),
    )
    assert (await town.ask(ADVISER, look, i=told["id"]))["node"] is None
    last = (await mails(dossier))[-1]
    assert last["subject"] == f"Advies niet meer nodig voor dossier {dossier.reference}"
    assert "token=" not in last["text"]


async def test_a_letter_to_an_adviser_names_no_applicant_whatever_is_asked(town: Town) -> None:
    dossier = await admissible(town, who="an")
    for adviser in ("green", "region"):
        await asks(dossier, adviser, question="Kent u An Peeters van het Dorpsplein?")
    await dossier.calm()
    for address in (GREEN, BODY):
        found = [
            one
            for one in await town.look("smtp", f"mailbox/{address}")
            if dossier.reference in one["subject"]
        ]
        assert found
        assert not [one for one in found if "Peeters" in str(one) or "Dorpsplein?" in str(one)]
        assert "https://www.lindebeke.example/" in found[0]["text"]
