"""Premiums in the hands of who wants more than they should have: looks without a trace, and lies."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from loket.forms import is_iban
from loket.ids import decode_id, encode_id
from loket.letters import address_lines
from loket.sandbox import personas
from loket.sepa import check_iban
from premiums import Json, written
from test_advice import TOKEN, admissible, asks, token_in
from town import HANDLER, Town, opened

SECRETARIAT = "sandra"
STAFF = {"greet": "Greet Mertens"}
WORDS = {"motivationLegal": "Reglement", "motivationFactual": "Niet voldaan"}
LOOKS = "{ viewer { accessLog(first: 50) { nodes { service purpose actor { kind name } } } } }"


def _advisers(told: Json) -> None:
    told["advisers"] = [
        {"key": "region", "title": "Welzijnsregio", "kind": "EXTERNAL", "email": "advies@welzijn.example",
         "question": "Wat vindt u van {reference}?", "within_days": 14},
    ]  # fmt: skip


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "toelage", _advisers)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


def _insz(who: str) -> str:
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    return citizen.insz


async def _looks(town: Town, who: str) -> list[str]:
    """Who looked at somebody's data in Loket itself, last first."""
    seen = (await town.ask(who, LOOKS))["viewer"]["accessLog"]["nodes"]
    return [one["actor"]["name"] for one in seen if one["service"] == "loket"]


async def _at_the_counter(town: Town, staff: str = HANDLER, **said: Any) -> str:  # noqa: ANN401  # JSON
    visitor = {"givenName": "Wie", "familyName": "Dan Ook"} | said
    payload = await town.does(
        staff, "applicationStartAtCounter", "application { id }", procedure="toelage", input=visitor
    )
    draft: str = payload["application"]["id"]
    return draft


# ── looks ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_is_looked_up_at_the_counter_sees_by_whom_also_when_no_source_answers(town: Town) -> None:
    who = town.somebody()
    await town.fails("magda", mode="error")
    try:
        await _at_the_counter(town, nationalNumber=_insz(who))
    finally:
        await town.recovers("magda")
    assert await _looks(town, who) == ["Hilde Van Dyck"]


WAYS = {
    "by its id": "query($i: ID!) { application(id: $i) { status } }",
    "as a node": "query($i: ID!) { node(id: $i) { ... on Application { status } } }",
    "by changing nothing": """mutation($i: ID!) { applicationSetAnswers(id: $i, input: {}) {
        application { status } } }""",
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_reads_a_draft_that_a_colleague_began_is_written_down(town: Town, way: str) -> None:
    who = town.somebody()
    draft = await _at_the_counter(town, nationalNumber=_insz(who))
    seen = await town.ask("greet", WAYS[way], i=draft)
    assert "DRAFT" in str(seen)
    assert sorted(await _looks(town, who)) == sorted(["Hilde Van Dyck", STAFF["greet"]])


async def test_who_reaches_for_a_citizens_own_draft_has_seen_nothing_and_is_not_said_to_have(
    town: Town,
) -> None:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="toelage")
    for query in WAYS.values():
        assert "DRAFT" not in str(await town.post(HANDLER, query, {"i": payload["application"]["id"]}))
    assert await _looks(town, who) == []


FOUND = {
    "by a part of the reference": (
        "query($f: CaseFilter) { cases(filter: $f) { nodes { id } } }",
        "reference",
    ),
    "by searching": ("query($f: CaseFilter) { cases(filter: $f) { nodes { id } } }", "search"),
    "by a name": ("query($f: CaseFilter) { cases(filter: $f) { nodes { id } } }", "applicantName"),
    "by its tasks": ("query($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }", "case"),
}


@pytest.mark.parametrize("way", FOUND)
async def test_who_searches_for_one_person_has_looked_at_that_person(town: Town, way: str) -> None:
    dossier = await admissible(town)
    query, name = FOUND[way]
    citizen = personas.person(dossier.who)
    assert isinstance(citizen, personas.Citizen)
    wanted = {
        "reference": dossier.reference[3:],
        "search": f"{citizen.given_name} {citizen.family_name}",
        "applicantName": f"{citizen.given_name} {citizen.family_name}",
        "case": dossier.id,
    }
    seen = await town.ask("greet", query, f={name: wanted[name]})
    assert next(iter(seen.values()))["nodes"]
    assert STAFF["greet"] in await _looks(town, dossier.who)


@pytest.mark.parametrize(
    "filter",
    [
        {"search": "jan", "handler": "abc"},
        {"search": "jan", "handler": encode_id("Case", UUID(int=1))},
        {"search": "x" * 3_000},
        {"search": "' & ! ( :* \\ <-> %s %(x)s {t} $1"},
        {"reference": "%(given0)s"},
        {"search": "jan", "mine": True, "alarm": False, "status": ["SCREENING"], "dueBefore": "2030-01-01"},
    ],
)
@pytest.mark.parametrize("who", [HANDLER, "astrid"])
async def test_a_strange_search_finds_nobody_and_breaks_nothing(town: Town, who: str, filter: Json) -> None:
    await admissible(town)
    asked = "query($f: CaseFilter) { cases(filter: $f) { totalCount } }"
    assert (await town.ask(who, asked, f=filter))["cases"]["totalCount"] == 0


async def test_a_page_of_the_work_queue_is_no_look_at_anybody(town: Town) -> None:
    dossier = await admissible(town)
    before = await _looks(town, dossier.who)
    await town.ask(
        SECRETARIAT, "{ cases(filter: {open: true}) { nodes { reference } } tasks { nodes { id } } }"
    )
    assert await _looks(town, dossier.who) == before


async def test_a_body_elsewhere_that_reads_a_question_with_its_link_is_written_down(town: Town) -> None:
    dossier = await admissible(town)
    await asks(dossier, "region")
    token = await token_in(dossier)
    for _ in range(2):
        assert (await town.ask(None, TOKEN, token=token))["adviceByToken"]
    assert (await _looks(town, dossier.who)).count("Welzijnsregio") == 1
    assert await town.ask(None, TOKEN, token=token[:-1]) == {"adviceByToken": None}
    assert (await _looks(town, dossier.who)).count("Welzijnsregio") == 1


# ── what is not decided yet ───────────────────────────────────────────────────────────────────────────


async def test_a_citizen_sees_no_signature_under_what_is_not_decided_yet(town: Town) -> None:
    dossier = await admissible(town)
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input={"outcome": "REFUSED"} | WORDS)
    await town.sql(
        """UPDATE decision SET document_sha256 = 'abc', text = 'anders',
                  signatories = '[{"name": "Mia Burgemeester", "function": "burgemeester"}]'
            WHERE case_id = :id""",
        id=decode_id(dossier.id, "Case"),
    )
    fields = """decision { status proposal amount { amount } benefits { key } conditions motivationLegal
        motivationFactual text decidedOn signatories { name } documentSha256 document { id } }"""
    seen = (await dossier.read(dossier.who, fields))["decision"]
    assert seen.pop("status") == "DRAFT"
    assert all(one in (None, "", []) for one in seen.values()), seen
    assert (await dossier.read(HANDLER, fields))["decision"]["documentSha256"] == "abc"


# ── letters ───────────────────────────────────────────────────────────────────────────────────────────


async def test_an_address_of_spaces_is_none_and_holds_up_nobody_elses_letters(town: Town) -> None:
    nowhere = {"street": " ", "number": " ", "postalCode": " ", "city": " "}
    refusals = (
        await town.tries(
            HANDLER, "applicationStartAtCounter", procedure="toelage",
            input={"givenName": "Jef", "familyName": "Nergens", "address": nowhere},
        )
    )["errors"]  # fmt: skip
    assert {(one["code"], *one["path"]) for one in refusals} == {("REQUIRED", "input", "address")}
    assert address_lines({"street": " ", "number": " ", "postal_code": " ", "city": " "}) == []
    assert address_lines({"street": "Dorp", "number": "1", "postal_code": " "}) == ["Dorp 1"]


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "iban",
    [
        "TR330006100519786457841326",
        "BE６８５３９００７５４７０３４",
        "BE68 5390 0754 7035",
        "BE68539007547034\u200b",
        "be",
    ],
)
async def test_an_account_that_no_transfer_reaches_is_refused_in_the_form(iban: str) -> None:
    assert not is_iban(iban)


@pytest.mark.parametrize("iban", ["BE68539007547034", "be68 5390 0754 7034", "NL91 ABNA 0417 1643 00"])
async def test_what_the_form_takes_for_an_account_can_be_paid_to(iban: str) -> None:
    assert is_iban(iban)
    assert check_iban(iban)


async def test_an_account_stands_nowhere_in_the_open_not_in_a_draft_either(town: Town) -> None:
    who, iban = town.somebody(), "BE68539007547034"
    payload = await town.does(who, "applicationStart", "application { id }", procedure="social-premium")
    draft = payload["application"]["id"]
    shown = await town.does(
        who, "applicationSetAnswers", "application { answers issues { path } }", id=draft,
        input={"payout": {"iban": iban, "holder": "Mijn Naam"}},
    )  # fmt: skip
    assert shown["application"]["answers"]["payout"]["iban"] == iban
    assert not [one for one in shown["application"]["issues"] if "iban" in one["path"]]
    again = await town.does(
        who, "applicationSetAnswers", "application { answers }", id=draft, input={"benefits": ["household"]}
    )
    assert again["application"]["answers"]["payout"]["iban"] == iban
    declared = {"informed": True, "changes": True, "correct": True}
    assert not await _in_the_open(town, iban)
    await town.does(who, "applicationSetAnswers", id=draft, input={"declaration": declared, "contact": {}})
    await town.does(who, "applicationSubmit", "case { id }", id=draft)
    assert not await _in_the_open(town, iban)
    read = "query($i: ID!) { application(id: $i) { answers case { account } } }"
    seen = (await town.ask(who, read, i=draft))["application"]
    assert seen["answers"]["payout"]["iban"] == seen["case"]["account"] == "BE68 **** **** 7034"


async def _in_the_open(town: Town, text: str) -> list[str]:
    """The tables in which a text stands."""
    tables = await town.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return [
        name
        for (name,) in tables
        if await town.sql(
            f"SELECT FROM \"{name}\" t WHERE t::text LIKE '%' || :text || '%' LIMIT 1", text=text
        )
    ]
