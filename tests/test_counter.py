"""Applying at the counter: entered by staff, for who cannot or will not do it online."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from loket import counter, numbers
from loket.ids import decode_id
from loket.sandbox import personas
from town import DRIVER, FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened, until

COLLEAGUE, SOCIAL, SECRETARIAT = "greet", "sofie", "sandra"
"""Another handler of the department, and one of another department."""
"""Another handler than the one who entered it."""
ADDRESS = {"street": "Beekdal", "number": "9", "postalCode": "2999", "city": "Lindebeke"}
PDF = b"%PDF-1.7\n" + bytes(100)
DRAFT = """application { id status version channel answers enteredBy { name } documents { id filename }
    prefill { field value source } issues { path } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


def visitor(**changed: Any) -> Json:  # noqa: ANN401  # JSON
    return {"givenName": "Jozef", "familyName": "Zonder Nummer"} | changed


def insz(who: str) -> str:
    citizen = personas.person(who)
    assert citizen is not None
    return citizen.insz


async def begins(town: Town, who: str = HANDLER, **said: Any) -> Json:  # noqa: ANN401  # as `visitor`
    """A draft at the counter, as its handler sees it."""
    payload = await town.does(
        who, "applicationStartAtCounter", DRAFT, procedure="compost-bin", input=visitor(**said)
    )
    draft: Json = payload["application"]
    return draft


async def fills_in(town: Town, draft: Json, who: str = HANDLER) -> None:
    answers = {
        "applicant": {
            "address": {"street": "Beekdal", "number": "9", "postal_code": "2999", "city": "Lindebeke"}
        },
        "delivery": {"place": "home"},
        "declaration": True,
        "contact": {},
    }
    known = {one["field"] for one in draft["prefill"]}
    given = answers if not any("address" in one for one in known) else {**answers, "applicant": {}}
    await town.does(who, "applicationSetAnswers", id=draft["id"], input=given)
    lines = [{"product": "bak", "quantity": 1}]
    await town.does(who, "applicationSetCart", id=draft["id"], input={"lines": lines})


async def applies(town: Town, citizen: str = "", **said: Any) -> Dossier:  # noqa: ANN401  # as `visitor`
    """The case of somebody who was helped at the counter; `citizen` is whose national number was given."""
    if citizen:
        said["nationalNumber"] = insz(citizen)
    draft = await begins(town, **said)
    await fills_in(town, draft)
    payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=draft["id"])
    return Dossier(town, citizen or OPERATOR, payload["case"]["id"], payload["case"]["reference"])


async def messages(dossier: Dossier) -> list[Json]:
    seen = await dossier.read(
        HANDLER, "messages(first: 100) { nodes { about channel status reason body legalValue } }"
    )
    found: list[Json] = seen["messages"]["nodes"]
    return found


# ── with a national number ────────────────────────────────────────────────────────────────────────────


async def test_with_a_national_number_the_sources_are_asked_and_the_citizen_sees_the_case(town: Town) -> None:
    who = town.somebody()
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    draft = await begins(town, nationalNumber=citizen.insz, givenName="Wie", familyName="Verkeerd")
    assert (draft["channel"], draft["enteredBy"]["name"]) == ("COUNTER", "Hilde Van Dyck")
    sources = {one["source"].partition(".")[0] for one in draft["prefill"]}
    assert sources == {"magda"}
    assert citizen.family_name in str(draft["answers"])
    await fills_in(town, draft)
    payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=draft["id"])
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    seen = await dossier.until("AWAITING_PAYMENT")
    assert seen["decision"]["byRule"]
    told = await dossier.read(who, "channel enteredBy { name } applicant { name }")
    assert told == {
        "channel": "COUNTER", "enteredBy": {"name": "Hilde Van Dyck"},
        "applicant": {"name": f"{citizen.given_name} {citizen.family_name}"},
    }  # fmt: skip
    looks = await town.ask(
        who, "{ viewer { accessLog(first: 50) { nodes { service purpose actor { kind name } } } } }"
    )
    asked = [one for one in looks["viewer"]["accessLog"]["nodes"] if one["service"] != "loket"]
    assert asked
    assert {(one["actor"]["kind"], one["purpose"]) for one in asked} == {("STAFF", "compost-bin")}
    assert {one["actor"]["name"] for one in asked} == {"Hilde Van Dyck"}


async def test_who_is_known_already_keeps_the_own_name_and_contact_points(town: Town) -> None:
    await town.does(
        "carla",
        "contactPreferencesSet",
        input={"email": "carla.janssens@voorbeeld.example", "language": "en"},
    )
    await begins(
        town, nationalNumber=insz("carla"), email="iemand.anders@voorbeeld.example", phone="+32470000099",
        givenName="Iemand", familyName="Anders", language="fr",
    )  # fmt: skip
    told = await town.ask(
        "carla", "{ viewer { person { name } contactPreferences { email phone bySms language } } }"
    )
    assert told["viewer"]["person"]["name"] == "Carla Janssens"
    kept = told["viewer"]["contactPreferences"]
    assert (kept["email"], kept["bySms"], kept["language"]) == (
        "carla.janssens@voorbeeld.example", False, "en",
    )  # fmt: skip


async def test_a_number_is_read_as_it_stands_on_the_card_and_refused_when_it_is_none(town: Town) -> None:
    number = insz(town.somebody())
    printed = f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"
    assert (await begins(town, nationalNumber=printed))["prefill"]
    before = await town.sql("SELECT count(*) FROM person")
    wrong = str(int(number[:9]) + 1).rjust(9, "0") + number[9:]
    for fault in (wrong, number[:10], "geen nummer", ""):
        refused = await town.refused(
            HANDLER, "applicationStartAtCounter", procedure="compost-bin", input=visitor(nationalNumber=fault)
        )
        assert (refused["code"], refused["path"]) == ("VALIDATION", ["input", "nationalNumber"])
    assert await town.sql("SELECT count(*) FROM person") == before


async def test_all_faults_in_what_a_visitor_says_are_named_at_once(town: Town) -> None:
    said = visitor(givenName=" ", familyName="x" * 101, birthDate="2200-01-01", language="la")
    payload = await town.tries(HANDLER, "applicationStartAtCounter", procedure="compost-bin", input=said)
    assert {one["path"][1]: one["code"] for one in payload["errors"]} == {
        "givenName": "REQUIRED", "familyName": "VALIDATION", "birthDate": "VALIDATION",
        "language": "VALIDATION",
    }  # fmt: skip


@pytest.mark.parametrize("year", [1912, 1950, 1999, 2000, 2020])
def test_a_national_number_is_checked_for_both_centuries(year: int) -> None:
    number = personas.insz(date(year, 5, 17), 123, test=False)
    assert numbers.is_national_number(number)
    assert not numbers.is_national_number(number[:8] + str((int(number[8]) + 1) % 10) + number[9:])


# ── without one ───────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_number_nothing_is_looked_up_so_a_person_screens_and_cash_at_the_counter_pays(
    town: Town,
) -> None:
    dossier = await applies(town, address=ADDRESS, birthDate="1941-02-03")
    await dossier.calm()
    assert await dossier.tasks() == ["SOURCES_UNKNOWN"]
    seen = await dossier.read(OPERATOR, "status applicant { nationalNumber name } checks { code }")
    assert seen == {
        "status": "SCREENING", "applicant": {"nationalNumber": None, "name": "Jozef Zonder Nummer"},
        "checks": [{"code": "NO_NATIONAL_NUMBER"}],
    }  # fmt: skip
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    invoice = (await dossier.until("AWAITING_PAYMENT"))["invoice"]
    paid = {
        "amount": invoice["outstanding"]["amount"],
        "method": "COUNTER",
        "reference": "kas-1",
        "valueDate": "2026-11-20",
    }
    await town.does(FINANCE, "paymentRegister", invoiceId=invoice["id"], input=paid)
    seen = await dossier.until("AWAITING_SLOT")
    assert [one["method"] for one in seen["invoice"]["payments"]] == ["COUNTER"]
    slots = await town.ask(HANDLER, "query($id: ID!) { deliverySlots(caseId: $id) { id } }", id=dossier.id)
    await town.does(HANDLER, "deliveryBookSlot", caseId=dossier.id, slotId=slots["deliverySlots"][0]["id"])
    delivery = (await dossier.until("AWAITING_DELIVERY"))["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    await dossier.until("COMPLETED")
    await dossier.calm()
    effects = await dossier.read(OPERATOR, "effects { system state lastError }")
    dosis = [one for one in effects["effects"] if one["system"] in {"dosis", "mbp"}]
    assert {(one["state"], one["lastError"]) for one in dosis} == {
        ("SKIPPED", "the applicant has no national number")
    }


async def test_two_visitors_of_the_same_name_are_two_people(town: Town) -> None:
    first, second = [await applies(town, address=ADDRESS) for _ in range(2)]
    one, other = [await each.read(OPERATOR, "applicant { id name }") for each in (first, second)]
    assert one["applicant"]["name"] == other["applicant"]["name"]
    assert one["applicant"]["id"] != other["applicant"]["id"]


async def test_what_is_said_at_the_counter_has_no_source(town: Town) -> None:
    draft = await begins(town, address=ADDRESS)
    assert draft["prefill"] == []
    assert "Zonder Nummer" in str(draft["answers"])


async def test_a_draft_that_is_thrown_away_leaves_nothing_of_the_visitor(town: Town) -> None:
    draft = await begins(town, familyName="Vergeetmij", address=ADDRESS, email="v@voorbeeld.example")
    await town.does(COLLEAGUE, "applicationDiscard", id=draft["id"])
    rows = await town.sql(
        "SELECT p.* FROM person p JOIN application a ON a.person_id = p.id WHERE a.id = :id",
        id=decode_id(draft["id"], "Application"),
    )
    assert "Vergeetmij" not in str(rows)
    assert "Beekdal" not in str(rows)
    assert "v@voorbeeld" not in str(rows)
    known = await begins(town, nationalNumber=insz("els"))
    await town.does(HANDLER, "applicationDiscard", id=known["id"])
    assert (await town.ask("els", "{ viewer { person { familyName } } }"))["viewer"]["person"]["familyName"]


# ── letters ───────────────────────────────────────────────────────────────────────────────────────────


async def test_who_has_nothing_but_an_address_is_written_to(town: Town) -> None:
    dossier = await applies(town, address=ADDRESS | {"box": "3"})
    await dossier.calm()
    told = await messages(dossier)
    ways = {one["channel"]: (one["status"], one["reason"]) for one in told}
    assert ways["MBP"] == ("SKIPPED", "the applicant has no national number")
    assert ways["EMAIL"] == ("SKIPPED", "no e-mail address is known")
    assert ways["LETTER"] == ("QUEUED", "")
    letter = next(one for one in told if one["channel"] == "LETTER")
    assert letter["legalValue"] == "INFORMATIVE"
    assert dossier.reference in letter["body"]
    assert "NOT_REACHED" not in await dossier.tasks()
    rows = await town.sql(
        "SELECT l.way, l.status, l.content, d.filename, d.size FROM letter l"
        " JOIN document d ON d.id = l.document_id WHERE l.case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    assert [(one.way, one.status, one.filename) for one in rows] == [
        ("NORMAL", "QUEUED", f"brief-{dossier.reference}.pdf")
    ]
    assert rows[0].content["lines"] == ["Beekdal 9 bus 3", "2999 Lindebeke"]
    assert rows[0].size > 1000


async def test_without_an_address_too_somebody_is_asked_to_find_the_way(town: Town) -> None:
    dossier = await applies(town)
    await dossier.calm()
    letter = next(one for one in await messages(dossier) if one["channel"] == "LETTER")
    assert (letter["status"], letter["reason"]) == ("QUEUED", "")  # the form says where the visitor lives
    await town.sql("UPDATE person SET address = NULL FROM \"case\" c WHERE c.person_id = person.id"
                   " AND c.id = :id", id=decode_id(dossier.id, "Case"))  # fmt: skip
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "niet meer nodig"})
    await dossier.calm()
    letter = next(
        one for one in await messages(dossier) if one["about"] == "CANCELLED" and one["channel"] == "LETTER"
    )
    assert (letter["status"], letter["reason"]) == ("SKIPPED", "no address is known")
    assert "NOT_REACHED" in await dossier.tasks() + await dossier.tasks("DONE")


async def test_a_phone_alone_is_enough_where_the_message_goes_by_text_and_else_a_letter(town: Town) -> None:
    dossier = await applies(town, address=ADDRESS, phone="+32470123456")
    await dossier.calm()
    for about, ways in _by_event(await messages(dossier)).items():
        assert ("LETTER" in ways) is ("SMS" not in ways), about


def _by_event(told: list[Json]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in told:
        if one["status"] != "SKIPPED":
            found.setdefault(one["about"], set()).add(one["channel"])
    return found


async def test_who_has_a_mailbox_gets_no_letter(town: Town) -> None:
    dossier = await applies(town, email="jozef@voorbeeld.example", address=ADDRESS)
    await dossier.calm()
    assert {one["channel"] for one in await messages(dossier) if one["status"] != "SKIPPED"} == {"EMAIL"}


async def test_letters_go_with_the_days_batch_and_are_sent_once_it_was_posted(town: Town) -> None:
    dossier = await applies(town, address=ADDRESS)
    await dossier.calm()
    fields = "batch { id letters { way case { reference } } }"
    batch = (await town.does(SECRETARIAT, "letterBatchMake", fields))["batch"]
    mine = [one["way"] for one in batch["letters"] if one["case"]["reference"] == dossier.reference]
    assert mine == ["NORMAL"]
    posted = "sequence;reference;registered_number;posted_on"
    await town.does(SECRETARIAT, "letterBatchProof", id=batch["id"], csv=posted)
    letter = next(one for one in await messages(dossier) if one["channel"] == "LETTER")
    assert letter["status"] == "SENT"


# ── whose draft it is ─────────────────────────────────────────────────────────────────────────────────


async def test_any_handler_goes_on_with_it_and_nobody_else(town: Town) -> None:
    draft = await begins(town)
    read = "query($id: ID!) { application(id: $id) { id } node(id: $id) { id } applications { totalCount } }"
    for who in (HANDLER, COLLEAGUE):
        seen = await town.ask(who, read, id=draft["id"])
        assert seen["application"] == seen["node"] == {"id": draft["id"]}
        assert seen["applications"]["totalCount"] > 0
        await town.does(who, "applicationSetAnswers", id=draft["id"], input={"declaration": True})
    for who in (SOCIAL, FINANCE, DRIVER, "an"):
        seen = await town.ask(who, read, id=draft["id"])
        assert seen["application"] is seen["node"] is None
        refused = await town.refused(who, "applicationSetAnswers", id=draft["id"], input={})
        assert refused["code"] in {"NOT_ALLOWED", "NOT_FOUND"}
        refused = await town.refused(
            who, "applicationStartAtCounter", procedure="compost-bin", input=visitor()
        )
        assert refused["code"] == "NOT_ALLOWED"


async def test_a_citizens_own_draft_stays_the_citizens(town: Town) -> None:
    own = await town.fills_in("an")
    for name, more in (
        ("applicationSetAnswers", {"input": {}}), ("applicationSetCart", {"input": {"lines": []}}),
        ("applicationSubmit", {}), ("applicationDiscard", {}),
        ("applicationAttachDocument", {"documentId": own}),
        ("applicationRemoveDocument", {"documentId": own}),
    ):  # fmt: skip
        assert (await town.refused(HANDLER, name, id=own, **more))["code"] == "NOT_FOUND", name
    begun = await town.refused(HANDLER, "applicationStart", procedure="compost-bin")
    assert begun["code"] == "NOT_ALLOWED"


async def test_the_citizen_can_finish_at_home_what_was_begun_at_the_counter(town: Town) -> None:
    who = town.somebody()
    draft = await begins(town, nationalNumber=insz(who))
    await fills_in(town, draft)
    payload = await town.does(who, "applicationSubmit", "case { channel enteredBy { name } }", id=draft["id"])
    assert payload["case"] == {"channel": "COUNTER", "enteredBy": {"name": "Hilde Van Dyck"}}


async def test_drafts_of_the_counter_have_a_bound(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "MAX_OPEN_AT_COUNTER", 1)
    first = await begins(town, who=COLLEAGUE)
    refused = await town.refused(
        COLLEAGUE, "applicationStartAtCounter", procedure="compost-bin", input=visitor()
    )
    assert refused["code"] == "TOO_LARGE"
    await town.does(COLLEAGUE, "applicationDiscard", id=first["id"])
    await begins(town, who=COLLEAGUE)


async def test_a_case_is_handed_in_once_with_all_its_faults_named_before(town: Town) -> None:
    draft = await begins(town)
    payload = await town.tries(HANDLER, "applicationSubmit", id=draft["id"])
    assert {tuple(one["path"][:1]) for one in payload["errors"]} == {("answers",), ("cart",)}
    await fills_in(town, draft)
    key = town.key()
    same = [
        town.does(HANDLER, "applicationSubmit", "case { reference }", id=draft["id"], idempotencyKey=key)
        for _ in range(2)
    ]
    one, other = await asyncio.gather(*same)
    assert one == other
    refused = await town.refused(HANDLER, "applicationSubmit", id=draft["id"])
    assert refused["code"] == "TRANSITION_NOT_ALLOWED"


# ── papers ────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_visitor_brings_is_scanned_into_the_case(town: Town) -> None:
    draft = await begins(town)
    announced = {"filename": "bewijs.pdf", "mediaType": "application/pdf", "size": len(PDF)}
    refused = await town.refused(HANDLER, "documentUploadStart", input=announced)
    assert (refused["code"], refused["path"]) == ("REQUIRED", ["input", "applicationId"])
    theirs = await town.fills_in("bert")
    refused = await town.refused(HANDLER, "documentUploadStart", input=announced | {"applicationId": theirs})
    assert refused["code"] == "NOT_FOUND"
    sent, forgotten = [
        await town.does(
            HANDLER, "documentUploadStart", "uploadUrl document { id }",
            input=announced | {"applicationId": draft["id"]},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert (await town.client.put(sent["uploadUrl"], content=PDF)).is_success
    attached = await town.does(
        HANDLER, "applicationAttachDocument", DRAFT, id=draft["id"], documentId=sent["document"]["id"]
    )
    assert sent["document"]["id"] in {one["id"] for one in attached["application"]["documents"]}
    unsent = await town.refused(
        HANDLER, "applicationAttachDocument", id=draft["id"], documentId=forgotten["document"]["id"]
    )
    assert unsent["code"] == "NOT_FOUND"
    await fills_in(town, draft)
    payload = await town.does(HANDLER, "applicationSubmit", "case { documents { id kind } }", id=draft["id"])
    mine = [one["id"] for one in payload["case"]["documents"] if one["kind"] == "ATTACHMENT"]
    assert mine == [sent["document"]["id"]]


async def test_staff_take_nothing_that_a_citizen_sent_from_home(town: Town) -> None:
    who = town.somebody()
    announced = {"filename": "thuis.pdf", "mediaType": "application/pdf", "size": len(PDF)}
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=announced)
    assert (await town.client.put(upload["uploadUrl"], content=PDF)).is_success
    draft = await begins(town, nationalNumber=insz(who))
    refused = await town.refused(
        HANDLER, "applicationAttachDocument", id=draft["id"], documentId=upload["document"]["id"]
    )
    assert refused["code"] == "NOT_FOUND"


async def test_handlers_hear_of_a_case_that_came_in_at_the_counter(town: Town) -> None:
    cursor = (await town.ask(HANDLER, "{ viewer { cursor } }"))["viewer"]["cursor"]
    dossier = await applies(town)

    async def heard() -> bool:
        told = await town.ask(
            COLLEAGUE,
            "query($after: Cursor) { events(after: $after, first: 100) { type case { reference } } }",
            after=cursor,
        )
        mine = [one["type"] for one in told["events"] if one["case"]["reference"] == dossier.reference]
        return "SUBMITTED" in mine and "TASK_OPENED" in mine

    await until(heard)


# ── who wants letters ─────────────────────────────────────────────────────────────────────────────────


async def _ways(dossier: Dossier) -> set[str]:
    """How the applicant is told that it came in."""
    told = [one for one in await messages(dossier) if one["about"] == "SUBMITTED"]
    return {one["channel"] for one in told if one["status"] != "SKIPPED"}


async def test_who_asks_for_letters_gets_them_in_the_place_of_mail(town: Town) -> None:
    who = town.somebody()
    wanted = {"email": f"{who}@voorbeeld.example", "byLetter": True}
    payload = await town.does(
        who, "contactPreferencesSet", "contactPreferences { byEmail byLetter }", input=wanted
    )
    assert payload["contactPreferences"] == {"byEmail": True, "byLetter": True}
    seen = await town.ask(who, "{ viewer { contactPreferences { byLetter } } }")
    assert seen["viewer"]["contactPreferences"]["byLetter"] is True
    assert await _ways(await town.applies(who)) == {"MBP", "LETTER"}
    await town.does(who, "contactPreferencesSet", input={"byLetter": False})
    assert await _ways(await town.applies(who, cart={"vat": 1})) == {"MBP", "EMAIL"}


async def test_letters_can_be_asked_for_at_the_counter(town: Town) -> None:
    dossier = await applies(town, "els", byLetter=True)
    assert await _ways(dossier) == {"MBP", "LETTER"}
    seen = await town.ask("els", "{ viewer { contactPreferences { byLetter } } }")
    assert seen["viewer"]["contactPreferences"]["byLetter"] is True
