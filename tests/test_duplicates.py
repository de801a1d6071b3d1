"""The same asked twice: found by what must be the same, whoever wrote it how, also at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from loket import publishing
from loket.ids import decode_id
from loket.publishing import DefinitionError
from loket.records import Application
from premiums import Json, rule, written
from town import HANDLER, OPERATOR, Dossier, Town, opened, until

FORM: Json = {
    "type": "object",
    "properties": {
        "street": {"type": "string"},
        "day": {"type": "string", "format": "date"},
        "places": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
LIKE = "duplicates { key title reference status }"


def once(*duplicates: Json, by: str = "rule") -> Json:
    return {"duplicates": list(duplicates), "screening": {"by": by}}


def procedure(told: Json, parts: Json) -> None:
    """Screened by the rule that nothing like it is asked already; then decided by a handler."""
    told["form"] = {"schema": FORM, "prefill": [], "translations": {}, "ui": {}}
    told["checks"], told["benefits"], told["documents"] = [], [], []
    told["stages"] = told["phases"][-1]["stages"] = ["screening", "decision"]
    told.pop("assessment")
    told["texts"]["messages"].pop("PARTLY_APPROVED")
    keys = [one["key"] for one in parts["duplicates"]]
    told |= parts | {
        "rules": {"screening": [rule(f"no-{key.replace('_', '-')}", f"!duplicates.{key}") for key in keys]}
    }


STREET: Json = {
    "key": "same_street",
    "title": "Dezelfde straat",
    "same": ["/street", "/day"],
    "period": "open",
}
PROCEDURES: dict[str, Json] = {
    "straat": once(STREET),
    "jaar": once({"key": "again", "title": "Dit jaar al", "same": ["applicant"]}),
    "ooit": once({"key": "ever", "title": "Al ooit", "same": ["household"], "period": "ever"}),
    "thuis": once({"key": "home", "title": "Hetzelfde adres", "same": ["address"]}),
    "nagekeken": once(STREET | {"period": "ever"}, by="rule_then_handler"),
}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    for key, parts in PROCEDURES.items():
        written(folder, key, partial(procedure, parts=parts))
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def asks(town: Town, procedure: str, who: str | None = None, **answers: object) -> Dossier:
    who = who or town.somebody()
    id = await draft(town, procedure, who, answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=id)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def draft(town: Town, procedure: str, who: str, answers: Json) -> str:
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    id: str = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=id, input=answers)
    return id


async def ends(dossier: Dossier) -> str:
    status: str = (await dossier.read())["status"]
    return status


async def test_the_same_answers_are_the_same_however_they_are_written(town: Town) -> None:
    first = await asks(town, "straat", street="Café  Élisabethlaan", day="2027-07-01")
    second = await asks(town, "straat", street="cafe elisabethlaan ", day="2027-07-01")
    other_day = await asks(town, "straat", street="Café Élisabethlaan", day="2027-07-02")
    assert [await ends(one) for one in (first, second, other_day)] == [
        "AWAITING_DECISION",
        "INADMISSIBLE",
        "AWAITING_DECISION",
    ]


async def test_what_was_taken_back_or_refused_does_not_count(town: Town) -> None:
    first = await asks(town, "straat", street="Beek", day="2027-07-01")
    await town.does(first.who, "caseWithdraw", id=first.id)
    second = await asks(town, "straat", street="Beek", day="2027-07-01")
    assert await ends(second) == "AWAITING_DECISION"
    refusal = {"granted": False, "motivationLegal": "Artikel 2", "motivationFactual": "Vol."}
    await town.does(HANDLER, "decisionTake", caseId=second.id, input=refusal)
    assert await ends(await asks(town, "straat", street="Beek", day="2027-07-01")) == "AWAITING_DECISION"


async def test_open_is_also_what_holds_still(town: Town) -> None:
    day = {"street": "Dorp", "day": "2027-07-01"}
    first = await asks(town, "straat", **day)
    await town.does(HANDLER, "decisionTake", caseId=first.id, input={"granted": True})
    await first.until("COMPLETED")
    second = await asks(town, "straat", **day)
    assert await ends(second) == "AWAITING_DECISION"
    await town.does(second.who, "caseWithdraw", id=second.id)
    await town.sql(
        'UPDATE "case" SET valid_until = current_date + 9 WHERE reference = :reference',
        reference=first.reference,
    )
    assert await ends(await asks(town, "straat", **day)) == "INADMISSIBLE"
    await town.sql(
        'UPDATE "case" SET valid_until = current_date - 9 WHERE reference = :reference',
        reference=first.reference,
    )
    assert await ends(await asks(town, "straat", **day)) == "AWAITING_DECISION"


async def test_once_a_year_is_once_in_the_year_in_which_it_was_handed_in(town: Town) -> None:
    first = await asks(town, "jaar")
    assert await ends(await asks(town, "jaar", first.who)) == "INADMISSIBLE"
    assert await ends(await asks(town, "jaar")) == "AWAITING_DECISION"
    await town.sql(
        """UPDATE "case" SET submitted_at = submitted_at - interval '1 year' WHERE reference = :reference""",
        reference=first.reference,
    )
    assert await ends(await asks(town, "jaar", first.who)) == "AWAITING_DECISION"


async def test_a_household_and_an_address_are_those_of_the_register(town: Town) -> None:
    """An and Bert live together, Carla does not."""
    for procedure in ("ooit", "thuis"):
        assert await ends(await asks(town, procedure, "an")) == "AWAITING_DECISION"
        assert await ends(await asks(town, procedure, "bert")) == "INADMISSIBLE"


async def test_what_is_not_known_yet_is_a_persons(town: Town) -> None:
    """Nobody wrote which street: that is no other street, and not the same."""
    dossier = await asks(town, "straat", day="2027-07-01")
    assert await ends(dossier) == "SCREENING"
    assert await dossier.tasks() == ["REFERRED"]


async def test_of_two_at_the_same_moment_one_is_the_first(town: Town) -> None:
    people = [town.somebody() for _ in range(4)]
    drafts = []
    for who in people:
        payload = await town.does(who, "applicationStart", "application { id }", procedure="straat")
        drafts.append(payload["application"]["id"])
        given = {"street": "Tegelijk", "day": "2027-07-01"}
        await town.does(who, "applicationSetAnswers", id=drafts[-1], input=given)
    answers = await asyncio.gather(
        *(
            town.does(who, "applicationSubmit", "case { status }", id=id)
            for who, id in zip(people, drafts, strict=True)
        )
    )
    assert sorted(one["case"]["status"] for one in answers) == ["AWAITING_DECISION"] + ["INADMISSIBLE"] * 3


async def test_who_began_first_and_is_handed_in_last_is_the_second(town: Town) -> None:
    """Their application is held up for a moment, in which somebody else comes through."""
    given, people = {"street": "Ingehaald", "day": "2027-07-01"}, [town.somebody(), town.somebody()]
    slow, fast = [await draft(town, "straat", who, given) for who in people]
    async with town.served.loket.database.transaction() as session:
        await session.get_one(Application, decode_id(slow, "Application"), with_for_update=True)
        handing_in = asyncio.create_task(
            town.does(people[0], "applicationSubmit", "case { status }", id=slow)
        )
        await until(partial(_waits, town))
        first = await town.does(people[1], "applicationSubmit", "case { status }", id=fast)
    second = await handing_in
    assert [one["case"]["status"] for one in (first, second)] == ["AWAITING_DECISION", "INADMISSIBLE"]


async def _waits(town: Town) -> bool:
    return bool(
        await town.sql(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def test_a_handler_sees_which_and_the_citizen_does_not(town: Town) -> None:
    first = await asks(town, "nagekeken", street="Kerk", day="2027-07-01")
    second = await asks(town, "nagekeken", street="KERK", day="2027-07-01")
    tasks = (await second.read(fields="tasks { kind data }"))["tasks"]
    assert tasks[0]["data"]["duplicates"] == {"same_street": [first.reference]}
    assert tasks[0]["data"]["proposal"] == "INADMISSIBLE"
    seen = await second.read(HANDLER, LIKE)
    assert [one["reference"] for one in seen["duplicates"]] == [first.reference]
    assert seen["duplicates"][0]["title"] == "Dezelfde straat"
    # the first came first: the later one sees it, not the other way round
    assert (await first.read(OPERATOR, LIKE))["duplicates"] == []
    assert (await second.read(second.who, LIKE))["duplicates"] is None


async def test_nothing_of_anybody_stands_in_the_index(town: Town) -> None:
    await asks(town, "straat", street="Geheimstraat", day="2027-07-01")
    assert await town.sql("SELECT FROM likeness t WHERE t::text ILIKE '%geheim%'") == []
    (row,) = await town.sql("SELECT length(min(subject_index)) AS length FROM likeness")
    assert row.length == 32


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (once(STREET | {"same": ["/road"]}), "the form has no field /road"),
        (once(STREET, STREET), "the likeness 'same_street' stands twice"),
        (once(STREET | {"same": ["/street", "/street"]}), "each thing once"),
        (once(STREET) | {"rules": {"screening": [rule("here", "true")]}}, "no rule reads duplicates"),
        (once(STREET) | {"rules": {"screening": [rule("here", "!duplicates.street")]}}, "has no 'street'"),
    ],
)
def test_what_would_never_be_found_is_said_before_it_is_published(
    tmp_path: Path, parts: Json, reason: str
) -> None:
    def changed(told: Json) -> None:
        procedure(told, parts)
        told |= parts

    written(tmp_path, "straat", changed)
    with pytest.raises(DefinitionError) as error:
        publishing.load(tmp_path / "straat.yaml")
    assert any(reason in str(one) for one in error.value.faults), error.value.faults
