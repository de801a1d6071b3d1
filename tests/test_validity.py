"""What goes on after a case is completed: for how long it holds, its end, and whether it is wanted again."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from dateutil.relativedelta import relativedelta

from loket import cases, publishing, renewals
from loket.definition import Definition, Validity
from loket.ids import decode_id
from loket.publishing import DefinitionError
from loket.sources import Answers
from loket.systems.magda import PersonFacts
from loket.terms import BRUSSELS
from loket.validity import Period, Unclear, period_of
from loket.work import the_system
from premiums import Json, rule, written
from town import HANDLER, OPERATOR, Dossier, Town, opened, until

DAY = date(2026, 3, 15)


# ── for how long ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("validity", "answers", "period"),
    [
        ({"days": 1}, {}, ("2026-03-15", "2026-03-15")),
        ({"days": 30}, {}, ("2026-03-15", "2026-04-13")),
        ({"months": 12}, {}, ("2026-03-15", "2027-03-14")),
        ({"until": "end_of_year"}, {}, ("2026-03-15", "2026-12-31")),
        ({"from_field": "/a", "months": 1}, {"a": "2027-01-28"}, ("2027-01-28", "2027-02-27")),
        ({"from_field": "/a", "months": 1}, {"a": "2027-01-29"}, ("2027-01-29", "2027-02-28")),
        ({"from_field": "/a", "months": 1}, {"a": "2027-01-31"}, ("2027-01-31", "2027-02-28")),
        ({"from_field": "/a", "months": 1}, {"a": "2028-01-30"}, ("2028-01-30", "2028-02-29")),
        ({"from_field": "/a", "months": 12}, {"a": "2028-02-29"}, ("2028-02-29", "2029-02-28")),
        ({"until_field": "/b/c"}, {"b": {"c": "2026-03-15"}}, ("2026-03-15", "2026-03-15")),
        ({"from_field": "/a", "until": "end_of_year"}, {"a": "2027-05-01"}, ("2027-05-01", "2027-12-31")),
    ],
)
def test_it_holds_as_long_as_the_definition_says(
    validity: Json, answers: Json, period: tuple[str, str]
) -> None:
    first, last = (date.fromisoformat(one) for one in period)
    assert period_of(Validity.model_validate(validity), answers, DAY) == Period(first, last)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({}, "no day at /a"),
        ({"a": "2026-03-16", "b": "2026-03-15"}, "lies before"),
        ({"a": "2026-02-30", "b": "2026-03-15"}, "no day at /a"),
        ({"a": "2026-03-16", "b": "9999-12-31"}, "too far away"),
        ({"a": ["2026-03-16"], "b": "2026-03-15"}, "no day at /a"),
    ],
)
def test_days_that_make_no_sense_are_a_persons_to_look_at(answers: Json, why: str) -> None:
    with pytest.raises(Unclear, match=why):
        period_of(Validity(from_field="/a", until_field="/b"), answers, DAY)


# ── a definition ──────────────────────────────────────────────────────────────────────────────────────

_ASKED: Json = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "street": {"type": "string"},
        "stall": {"type": "object", "properties": {
            "kind": {"type": "string", "enum": ["fish", "bread", "flowers"]},
            "metres": {"type": "integer", "maximum": 10},
        }},
        "days": {"type": "array", "items": {"type": "string", "enum": ["mon", "fri"]}},
        "until": {"type": "string", "format": "date"},
        "declared": {"type": "boolean", "const": True},
    },
}  # fmt: skip


def licence(told: Json) -> None:
    """Granted by rule for a year, and asked again two months before it ends."""
    told["stages"] = told["phases"][-1]["stages"] = ["screening", "decision"]
    told |= {"title": "Standplaats", "checks": [], "documents": [], "benefits": []}
    told |= {"screening": {"by": "rule"}, "decision": {"by": "rule"}}
    told.pop("assessment")
    told["rules"] = {
        "screening": [rule("here", "applicant.address.nis == municipality.nis")],
        "approval": [rule("asked", "has(application.stall)")],
    }
    told["form"] = {
        "schema": _ASKED,
        "prefill": [{"field": "/street", "source": "magda.person.address.street"}],
    }
    told["validity"] = {"months": 12, "reminder_days": [30, 7]}
    told["renewal"] = {"before_end_days": 60, "draft_days": 45}
    messages = told["texts"]["messages"]
    messages.pop("PARTLY_APPROVED", None)
    messages["VALIDITY_ENDING"] = _message("Loopt af", "Tot en met {valid_until}.")
    messages["VALIDITY_ENDED"] = _message("Afgelopen", "Het gold tot en met {valid_until}.")
    messages["RENEWAL_OFFERED"] = _message(
        "Opnieuw", "U kunt het opnieuw vragen.\n\nUw aanvraag: {link_draft}"
    )


def _message(subject: str, body: str) -> Json:
    return {"subject": f"{subject} ({{reference}})", "body": body, "sms": subject}


def until_a_day(told: Json) -> None:
    licence(told)
    told["validity"] = {"until_field": "/until"}
    told["renewal"] = {"after_months": 8, "keep": ["/stall/kind"]}
    told["texts"]["messages"].pop("VALIDITY_ENDING")


def definition(folder: Path, key: str = "licence", **parts: object) -> Definition:
    def change(told: Json) -> None:
        licence(told)
        for name, part in parts.items():
            told[name] = part

    written(folder, key, change)
    return publishing.load(folder / f"{key}.yaml")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"validity": {}}, "it ends by one of until_field, days, months and until, not by nothing"),
        ({"validity": {"months": 1, "days": 3, "reminder_days": [1]}}, "not by days and months"),
        ({"validity": {"until_field": "/never", "reminder_days": [1]}}, "the form has no field /never"),
        ({"validity": {"until_field": "/street", "reminder_days": [1]}}, "must have the format 'date'"),
        ({"validity": {"days": 90, "reminder_days": [30, 90]}}, "the reminder comes before it holds"),
        ({"validity": {"months": 1, "reminder_days": [7, 7]}}, "each day once"),
        ({"renewal": {}}, "it is asked by one of before_end_days and after_months"),
        ({"renewal": {"before_end_days": 1, "after_months": 1}}, "it is asked by one of"),
        ({"renewal": {"after_months": 1, "keep": ["/never"]}}, "the form has no field /never"),
        ({"renewal": {"after_months": 1, "keep": ["/street"]}}, "/street is never taken over"),
        ({"validity": {"days": 60, "reminder_days": [7]}}, "it would be asked again before it holds"),
        (
            {"dosis": {"VALIDITY_ENDED": {"code": "Uitgevoerd", "phase": "Uitvoering"}}},
            "its phase is 'Afgerond'",
        ),
    ],
)
def test_what_makes_no_sense_after_a_case_is_not_published(tmp_path: Path, parts: Json, reason: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        definition(tmp_path, **parts)
    assert [one for one in refused.value.faults if reason in one.reason], refused.value.faults


@pytest.mark.parametrize(
    ("event", "body", "reason"),
    [
        (
            "SUBMITTED",
            "Tot {decide_by}. Geldig tot {valid_until}.",
            "{valid_until} has no value with SUBMITTED",
        ),
        ("APPROVED", "Uw aanvraag: {link_draft}", "{link_draft} has no value with APPROVED"),
        ("VALIDITY_ENDING", "Binnenkort.", "must name {valid_until}"),
        ("RENEWAL_OFFERED", "Wilt u het opnieuw?", "must name {link_draft}"),
    ],
)
def test_what_could_never_be_said_is_not_published(
    tmp_path: Path, event: str, body: str, reason: str
) -> None:
    def change(told: Json) -> None:
        licence(told)
        told["texts"]["messages"][event]["body"] = body

    written(tmp_path, "licence", change)
    with pytest.raises(DefinitionError) as refused:
        publishing.load(tmp_path / "licence.yaml")
    assert [one for one in refused.value.faults if reason in one.reason], refused.value.faults


# ── what is taken over ────────────────────────────────────────────────────────────────────────────────

BEFORE: Json = {
    "street": "Molenweg",
    "stall": {"kind": "fish", "metres": 8},
    "days": ["mon", "fri"],
    "until": "2026-12-31",
    "declared": True,
}


def changed_form(**properties: Json) -> Json:
    schema = _ASKED | {"properties": _ASKED["properties"] | properties}
    return {"schema": schema, "prefill": [{"field": "/street", "source": "magda.person.address.street"}]}


def stall(**properties: Json) -> dict[str, Json]:
    return {"stall": {"type": "object", "additionalProperties": False, "properties": properties}}


@pytest.mark.parametrize(
    ("form", "keep", "left"),
    [
        ({}, [], {"stall": {"kind": "fish", "metres": 8}, "days": ["mon", "fri"], "until": "2026-12-31"}),
        ({}, ["/stall/kind", "/declared"], {"stall": {"kind": "fish"}}),
        (stall(kind={"enum": ["fish"]}, metres={"maximum": 7}), ["/stall"], {"stall": {"kind": "fish"}}),
        (stall(metres={"maximum": 9}), ["/stall"], {"stall": {"metres": 8}}),
        ({"days": {"type": "array", "items": {"enum": ["fri"]}}}, ["/days", "/stall/metres"],
         {"stall": {"metres": 8}}),
        ({"stall": {"type": "string"}}, ["/stall", "/days"], {"days": ["mon", "fri"]}),
    ],
)  # fmt: skip
def test_only_what_fits_the_form_of_today_is_taken_over_and_nothing_that_was_declared(
    tmp_path: Path, form: dict[str, Json], keep: list[str], left: Json
) -> None:
    then = definition(tmp_path, renewal={"after_months": 1, "keep": keep})
    now = definition(
        tmp_path,
        "later",
        form=changed_form(**form),
        rules={"screening": [rule("here", "true")], "approval": [rule("all", "true")]},
    )
    assert renewals.taken_over(then, now, BEFORE) == left


def test_for_how_long_it_is_to_hold_is_asked_anew(tmp_path: Path) -> None:
    validity = {"until_field": "/until", "reminder_days": [7]}
    then = definition(tmp_path, validity=validity, renewal={"after_months": 1})
    assert "until" not in renewals.taken_over(then, then, BEFORE)


# ── in town ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "licence", licence)
    written(folder, "fair", until_a_day)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def granted(town: Town, procedure: str = "licence", who: str = "", **answers: object) -> Dossier:
    who = who or town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    given = {"stall": {"kind": "fish", "metres": 4}, "declared": True} | answers
    await town.does(who, "applicationSetAnswers", id=draft, input=given)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("COMPLETED")
    return dossier


async def comes(town: Town, dossier: Dossier, kind: str, event: str) -> None:
    """Let the day of a deadline be there: the worker sees to it."""
    await town.sql(
        "UPDATE timer SET due_at = now() - interval '1 second'"
        " WHERE case_id = :id AND kind = :kind AND state = 'ARMED'",
        id=decode_id(dossier.id, "Case"), kind=kind,
    )  # fmt: skip

    async def there() -> bool:
        return event in await dossier.events()

    await until(there)


async def drafts(town: Town, who: str) -> list[Json]:
    mine = "{ viewer { applications { nodes { id status answers expiresAt prefill { field } } } } }"
    nodes: list[Json] = (await town.ask(who, mine))["viewer"]["applications"]["nodes"]
    return [one for one in nodes if one["status"] == "DRAFT"]


async def due(town: Town, dossier: Dossier, kind: str) -> tuple[date, int]:
    """The day in Belgium of a deadline that runs, and its number."""
    (row,) = await town.sql(
        "SELECT due_at, number FROM timer WHERE case_id = :id AND kind = :kind AND state = 'ARMED'",
        id=decode_id(dossier.id, "Case"), kind=kind,
    )  # fmt: skip
    return row.due_at.astimezone(BRUSSELS).date(), row.number


async def test_what_is_granted_ends_on_its_day_and_is_asked_again_before_it(town: Town) -> None:
    dossier = await granted(town)
    seen = await dossier.read(dossier.who, "validFrom validUntil")
    today = datetime.now(BRUSSELS).date()
    last = today + relativedelta(months=12) - timedelta(days=1)
    assert seen == {"validFrom": str(today), "validUntil": str(last)}
    assert await due(town, dossier, "VALIDITY_REMINDER") == (last - timedelta(days=30), 30)
    assert await due(town, dossier, "RENEWAL") == (last - timedelta(days=60), 1)
    assert (await due(town, dossier, "VALIDITY_END"))[0] == last + timedelta(days=1)
    await comes(town, dossier, "VALIDITY_REMINDER", "VALIDITY_ENDING")
    assert await due(town, dossier, "VALIDITY_REMINDER") == (last - timedelta(days=7), 7)
    await comes(town, dossier, "RENEWAL", "RENEWAL_OFFERED")
    (draft,) = await drafts(town, dossier.who)
    assert draft["answers"]["stall"] == {"kind": "fish", "metres": 4}
    assert "declared" not in draft["answers"]
    assert [one["field"] for one in draft["prefill"]] == ["/street"]
    expires = datetime.fromisoformat(draft["expiresAt"])
    assert timedelta(days=44) < expires - datetime.now(UTC) < timedelta(days=46)
    await comes(town, dossier, "VALIDITY_END", "VALIDITY_ENDED")
    assert not await dossier.timers()
    assert (await dossier.read(fields="status"))["status"] == "COMPLETED"
    assert (await dossier.events()).count("VALIDITY_ENDING") == 1
    registered = await town.registrations(dossier.who)
    assert len(registered) == 1, "for the draft, no more for the case"


async def test_a_case_of_which_the_days_make_no_sense_is_completed_and_somebody_looks(town: Town) -> None:
    dossier = await granted(town, "fair", until="2020-01-01")
    seen = await dossier.read(fields="validFrom validUntil tasks { kind data }")
    assert (seen["validFrom"], seen["validUntil"]) == (None, None)
    (task,) = seen["tasks"]
    assert task["kind"] == "VALIDITY_UNCLEAR"
    assert "lies before" in task["data"]["why"]
    assert await dossier.timers() == {"RENEWAL"}
    await town.does(
        HANDLER, "caseReopen", id=dossier.id, input={"stage": "DECISION", "reason": "Vergissing."}
    )
    assert "VALIDITY_UNCLEAR" not in await dossier.tasks()
    assert "RENEWAL" not in await dossier.timers()


async def test_a_draft_that_is_not_wanted_is_not_opened_twice(town: Town) -> None:
    dossier = await granted(town)
    await dossier.fires("RENEWAL")
    (draft,) = await drafts(town, dossier.who)
    await town.does(dossier.who, "applicationDiscard", id=draft["id"])
    assert (await town.refused(OPERATOR, "timerFire", caseId=dossier.id, kind="RENEWAL"))[
        "code"
    ] == "NOT_FOUND"
    await _offer(town, dossier)
    assert await drafts(town, dossier.who) == []


async def test_who_asked_it_again_already_is_not_asked(town: Town) -> None:
    dossier = await granted(town)
    started = await town.does(dossier.who, "applicationStart", "application { id }", procedure="licence")
    await dossier.fires("RENEWAL")
    assert [one["id"] for one in await drafts(town, dossier.who)] == [started["application"]["id"]]
    assert "RENEWAL_OFFERED" not in await dossier.events()
    again = await granted(town, who=town.somebody())
    newer = await granted(town, who=again.who)
    await again.fires("RENEWAL")
    assert await drafts(town, again.who) == []
    await newer.fires("RENEWAL")
    assert len(await drafts(town, again.who)) == 1


@pytest.mark.parametrize(
    "known",
    ["deceased_on = current_date", "address = jsonb_set(address, '{nis}', '\"13025\"')"],
    ids=["died", "moved"],
)
async def test_who_died_or_moved_away_is_not_asked(town: Town, known: str) -> None:
    dossier = await granted(town)
    await town.sql(
        f'UPDATE person SET {known} WHERE id = (SELECT person_id FROM "case" WHERE id = :id)',  # noqa: S608  # ours
        id=decode_id(dossier.id, "Case"),
    )
    await dossier.fires("RENEWAL")
    assert "RENEWAL_OFFERED" not in await dossier.events()
    assert await drafts(town, dossier.who) == []


@pytest.mark.parametrize("died_on", [DAY, None])
async def test_what_the_sources_say_now_counts(town: Town, died_on: date | None) -> None:
    dossier = await granted(town)
    told = PersonFacts("1", ("Jan",), "Mertens", None, died_on, None, None, ())
    await _offer(town, dossier, Answers(told, None, datetime.now(UTC)))
    assert ("RENEWAL_OFFERED" in await dossier.events()) is (died_on is None)


async def test_what_is_not_offered_any_more_is_not_asked_again(town: Town) -> None:
    dossier = await granted(town)
    version = ("licence", 1)
    ended = {"valid_to": datetime.now(BRUSSELS).date() - timedelta(days=1)}
    async with town.served.loket.work(the_system("Timer")) as work:
        work.procedures = {version: work.procedures[version].model_copy(update=ended)}
        case = await cases.get(work, _key(dossier))
        assert not await renewals.is_due(work, case)
        await renewals.offer(work, case, None)
        assert case.renewal_id is None


async def _offer(town: Town, dossier: Dossier, heard: Answers | None = None) -> None:
    async with town.served.loket.work(the_system("Timer")) as work:
        await renewals.offer(work, await cases.get(work, _key(dossier)), heard)


def _key(dossier: Dossier) -> UUID:
    key = decode_id(dossier.id, "Case")
    assert isinstance(key, UUID)
    return key


async def test_while_the_sources_are_silent_it_waits_some_days_then_asks(town: Town) -> None:
    dossier = await granted(town)
    await town.fails("magda", mode="error")
    try:
        for number in (2, 3):
            await dossier.fires("RENEWAL")
            assert (await due(town, dossier, "RENEWAL"))[1] == number
            assert await drafts(town, dossier.who) == []
        await dossier.fires("RENEWAL")
    finally:
        await town.recovers("magda")
    (draft,) = await drafts(town, dossier.who)
    assert draft["answers"]["stall"]["kind"] == "fish"


async def test_who_cannot_sign_in_is_asked_to_come_to_the_counter(town: Town) -> None:
    home = {"street": "Beekdal", "number": "9", "postalCode": "2999", "city": "Lindebeke"}
    visitor = {"givenName": "Jozef", "familyName": "Zonder Nummer", "address": home}
    payload = await town.does(
        HANDLER, "applicationStartAtCounter", "application { id }", procedure="licence", input=visitor
    )
    draft = payload["application"]["id"]
    given = {"stall": {"kind": "bread"}, "declared": True}
    await town.does(HANDLER, "applicationSetAnswers", id=draft, input=given)
    payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, OPERATOR, payload["case"]["id"], payload["case"]["reference"])
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    await dossier.until("COMPLETED")
    await dossier.fires("RENEWAL")
    assert "RENEWAL_AT_COUNTER" in await dossier.tasks()
    assert "RENEWAL_OFFERED" in await dossier.events()
    assert (await dossier.read(fields="renewal { id }"))["renewal"] is None
    messages = (await dossier.read(fields="messages { nodes { about channel status body } }"))["messages"][
        "nodes"
    ]
    (asked,) = [one for one in messages if one["about"] == "RENEWAL_OFFERED" and one["status"] != "SKIPPED"]
    assert asked["channel"] == "LETTER"
    assert "opnieuw" in asked["body"]
    assert "/dossiers/" not in asked["body"]
