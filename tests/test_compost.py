"""The first blueprint through its doors: what citizen, staff and every other system see of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from zlib import decompress

import pytest
import zxingcpp

from loket.sandbox import personas
from town import DRIVER, FINANCE, HANDLER, Dossier, Json, Town, opened, until

STAFF = (HANDLER, DRIVER, FINANCE)


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


# ── the straight way ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Story:
    """An's bins, from the first click to the door; what was seen on the way."""

    dossier: Dossier
    started: Json
    resumed: Json
    answers: list[Json]
    """To the same submission, made twice."""
    steps: dict[str, "Step"] = field(default_factory=dict)
    slot: Json = field(default_factory=dict)


@dataclass
class Step:
    case: Json
    phases: dict[str, str]
    actions: dict[str, set[str]]


DRAFT = """application { id status version answers cart { total { amount } lines { product quantity } }
    prefill { field value source editable fetchedAt } issues { path message } documents { filename } }"""


@pytest.fixture(scope="module")
async def story(town: Town) -> Story:
    contact = {"email": "an.peeters@voorbeeld.example", "phone": "+32470000001", "bySms": True}
    await town.does("an", "contactPreferencesSet", input=contact)
    started = (await town.does("an", "applicationStart", DRAFT, procedure="compost-bin"))["application"]
    draft = started["id"]
    given = {"delivery": {"place": "home", "remark": "Naast de garage"}, "declaration": True}
    await town.does("an", "applicationSetAnswers", id=draft, input=given)
    stick = {"option": "beluchtingsstok", "quantity": 1}
    lines = [{"product": "bak", "quantity": 2, "options": [stick]}, {"product": "vat", "quantity": 1}]
    await town.does("an", "applicationSetCart", id=draft, input={"lines": lines})
    await _attach(town, "an", draft, "tuin.png")
    resumed = (await town.ask("an", f"{{ viewer {{ applications(first: 1) {{ nodes {{ ...draft }} }} }} }}"
                              f" fragment draft on Application {{ {DRAFT[13:-1]} }}"))  # fmt: skip
    answers = [
        await town.does("an", "applicationSubmit", "case { id reference status }", id=draft,
                        idempotencyKey="An's first bins")
        for _ in range(2)
    ]  # fmt: skip
    case = answers[0]["case"]
    dossier = Dossier(town, "an", case["id"], case["reference"])
    story = Story(dossier, started, resumed["viewer"]["applications"]["nodes"][0], answers)
    story.steps["to pay"] = await _step(dossier)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    story.steps["to choose"] = await _step(dossier)
    story.slot = (await dossier.slots())[1]
    await town.does("an", "deliveryHoldSlot", caseId=dossier.id, slotId=story.slot["id"])
    story.steps["held"] = await _step(dossier)
    await town.does("an", "deliveryBookSlot", caseId=dossier.id)
    story.steps["planned"] = await _step(dossier)
    delivery = story.steps["planned"].case["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    story.steps["delivered"] = await _step(dossier)
    await dossier.calm()
    return story


async def _step(dossier: Dossier) -> Step:
    shown = await dossier.read("an", "phases { key state }")
    actions = {who: await dossier.actions(who) for who in ("an", *STAFF)}
    return Step(await dossier.read(), {one["key"]: one["state"] for one in shown["phases"]}, actions)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


async def _attach(town: Town, who: str, draft: str, filename: str) -> None:
    content = PNG
    announced = {"filename": filename, "mediaType": "image/png", "size": len(content)}
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=announced)
    answer = await town.served.client.put(upload["uploadUrl"], content=content)
    assert answer.is_success, answer.text
    await town.does(who, "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])


async def test_a_form_comes_prefilled_and_says_from_where_and_when(story: Story) -> None:
    filled = {one["field"]: one for one in story.started["prefill"]}
    assert (filled["/applicant/name"]["value"], filled["/applicant/name"]["source"]) == (
        "An Peeters",
        "magda.person.name",
    )
    assert not filled["/applicant/name"]["editable"]
    assert filled["/contact/email"]["source"] == "contact.email"
    assert filled["/contact/email"]["editable"]
    fetched_at = datetime.fromisoformat(filled["/applicant/address/street"]["fetchedAt"])
    assert timedelta(0) <= datetime.now(UTC) - fetched_at < timedelta(minutes=5)
    assert story.started["answers"]["applicant"]["address"] == {
        "street": "Kerkstraat", "number": "14", "postal_code": "2999", "city": "Lindebeke",
    }  # fmt: skip


async def test_a_draft_is_resumed_where_it_was_left(story: Story) -> None:
    assert story.resumed["status"] == "DRAFT"
    assert story.resumed["answers"]["delivery"]["remark"] == "Naast de garage"
    assert story.resumed["cart"]["lines"] == [
        {"product": "bak", "quantity": 2},
        {"product": "vat", "quantity": 1},
    ]
    assert story.resumed["documents"] == [{"filename": "tuin.png"}]
    assert story.resumed["issues"] == []
    assert story.resumed["version"] > story.started["version"]


async def test_the_same_submission_twice_is_one_case_with_one_answer(town: Town, story: Story) -> None:
    first, second = story.answers
    assert first == second
    mine = await town.ask("an", "{ viewer { cases(first: 10) { nodes { reference } } } }")
    assert [one["reference"] for one in mine["viewer"]["cases"]["nodes"]] == [story.dossier.reference]


async def test_attached_files_go_along_to_the_case_and_to_nobody_else(town: Town, story: Story) -> None:
    files = (await story.dossier.read(HANDLER, "documents { kind filename url }"))["documents"]
    (mine,) = [one for one in files if one["kind"] == "ATTACHMENT"]
    answer = await town.served.client.get(mine["url"])
    assert answer.content == PNG
    assert await story.dossier.read("carla", "documents { filename }") is None


async def test_the_citizen_owes_the_price_of_the_day_less_the_discount_of_the_household(story: Story) -> None:
    invoice = story.steps["to pay"].case["invoice"]
    lines = [(one["description"], one["quantity"], one["amount"]) for one in invoice["lines"]]
    assert lines == [
        ("Compostbak", 2, "80.00"),
        ("Korting eerste stuk: Compostbak", 1, "-12.00"),
        ("Beluchtingsstok", 1, "5.00"),
        ("Compostvat", 1, "30.00"),
        ("Korting eerste stuk: Compostvat", 1, "-6.00"),
    ]
    assert invoice["amount"]["amount"] == "97.00"


async def test_each_step_shows_where_the_case_stands(story: Story) -> None:
    seen = {name: (step.case["status"], step.case["stage"]) for name, step in story.steps.items()}
    assert seen == {
        "to pay": ("AWAITING_PAYMENT", "PAYMENT"),
        "to choose": ("AWAITING_SLOT", "PLANNING"),
        "held": ("AWAITING_SLOT", "PLANNING"),
        "planned": ("AWAITING_DELIVERY", "DELIVERY"),
        "delivered": ("COMPLETED", "DELIVERY"),
    }
    current = {
        name: [key for key, state in step.phases.items() if state == "CURRENT"]
        for name, step in story.steps.items()
    }
    assert current == {
        "to pay": ["payment"],
        "to choose": ["delivery"],
        "held": ["delivery"],
        "planned": ["delivery"],
        "delivered": [],
    }
    assert set(story.steps["delivered"].phases.values()) == {"PAST"}
    assert story.steps["delivered"].case["outcome"] == "COMPLETED"


async def test_each_step_offers_the_applicant_what_can_be_done(story: Story) -> None:
    choose = {"DELIVERY_HOLD_SLOT", "DELIVERY_BOOK_SLOT"}
    assert {name: step.actions["an"] for name, step in story.steps.items()} == {
        "to pay": {"CASE_WITHDRAW", "PAYMENT_START"},
        "to choose": {"CASE_WITHDRAW", *choose},
        "held": {"CASE_WITHDRAW", *choose},
        "planned": {"CASE_WITHDRAW", "DELIVERY_RESCHEDULE"},
        "delivered": set(),
    }


async def test_each_step_offers_staff_what_is_theirs(story: Story) -> None:
    handling = {"CASE_ASSIGN", "CASE_RELEASE", "CASE_SUSPEND", "CASE_RESUME", "CASE_EXTEND_TERM",
                "CASE_ADD_NOTE", "CASE_WITHDRAW", "CASE_CANCEL"}  # fmt: skip
    step = story.steps
    assert step["to pay"].actions[HANDLER] == handling
    assert step["planned"].actions[HANDLER] == {*handling, "DELIVERY_RESCHEDULE"}
    assert step["delivered"].actions[HANDLER] == {"CASE_REOPEN", "CASE_ADD_NOTE"}
    assert step["to pay"].actions[FINANCE] == {"CASE_ADD_NOTE", "PAYMENT_REGISTER"}
    assert step["to choose"].actions[FINANCE] == {"CASE_ADD_NOTE"}
    assert step["to choose"].actions[DRIVER] == {"CASE_ADD_NOTE"}
    assert step["planned"].actions[DRIVER] == {
        "CASE_ADD_NOTE",
        "DELIVERY_CONFIRM",
        "DELIVERY_REPORT_MISSED",
    }


async def test_a_held_place_is_gone_for_others(story: Story) -> None:
    booking = story.steps["held"].case["delivery"]["booking"]
    assert (booking["status"], booking["slot"]["id"]) == ("HELD", story.slot["id"])
    assert booking["slot"]["free"] == story.slot["free"] - 1


async def test_dosis_hears_every_status_in_order(story: Story) -> None:
    assert await story.dossier.dosis() == [
        ("Ingediend", "Samenstelling"),
        ("Ontvankelijk", "Behandeling"),
        ("Goedgekeurd", "Beslissing"),
        ("KlaarVoorBetaling", "Uitvoering"),
        ("Betaald", "Uitvoering"),
        ("Gepland", "Uitvoering"),
        ("Gepland", "Uitvoering"),
        ("Uitgevoerd", "Uitvoering"),
        ("Uitgevoerd", "Afgerond"),
    ]


async def test_the_citizen_gets_one_message_for_what_happened_at_once(town: Town, story: Story) -> None:
    reference = story.dossier.reference
    subjects = [
        f"Wij hebben uw aanvraag {reference} goed ontvangen",
        f"Uw aanvraag {reference} is goedgekeurd: u kunt nu betalen",
        f"Wij hebben uw betaling ontvangen ({reference}): kies uw leverdag",
        f"Uw levering is gepland ({reference})",
        f"Uw bestelling is geleverd ({reference})",
    ]
    assert sorted(one["subject"] for one in await story.dossier.letters()) == sorted(subjects)
    notified = [one["Waarden"] for one in await town.notified("an")]
    assert sorted(one["Status"] for one in notified) == sorted(subjects)
    phone = await town.look("sms", "phone/+32470000001")
    assert len([one for one in phone if reference in one["body"]]) == len(subjects)


async def test_the_books_have_the_invoice_and_its_payment(story: Story) -> None:
    assert await story.dossier.entries() == [("INVOICE", "97.00"), ("PAYMENT", "97.00")]


async def test_the_invoice_and_its_payment_code_come_with_the_message_to_pay(
    town: Town, story: Story
) -> None:
    invoice = story.steps["to pay"].case["invoice"]
    (letter,) = [one for one in await story.dossier.letters() if "betalen" in one["subject"]]
    assert letter["attachments"][0] | {"size": 0} == {
        "filename": f"factuur-{invoice['number']}.pdf",
        "contentType": "application/pdf",
        "size": 0,
    }
    raw = await _raw(town, letter)
    pictures = [part for part in raw.walk() if part.get_content_type() == "image/png"]
    (code,) = zxingcpp.read_barcodes(_dots(pictures[0].get_payload(decode=True)))
    lines = code.text.split("\n")
    assert (lines[0], lines[6], lines[7]) == ("BCD", "BE71096123456769", "EUR97.00")
    digits = "".join(one for one in invoice["structuredReference"] if one.isdigit())
    assert digits in "".join(one for one in code.text if one.isdigit())
    (pdf,) = [part for part in raw.walk() if part.get_content_type() == "application/pdf"]
    assert pdf.get_payload(decode=True).startswith(b"%PDF-")


async def test_the_invitation_carries_the_appointment(story: Story) -> None:
    (letter,) = [one for one in await story.dossier.letters() if "gepland" in one["subject"]]
    calendar = letter["calendar"]
    assert (calendar["method"], calendar["status"], calendar["sequence"]) == ("REQUEST", "CONFIRMED", 0)
    assert _instant(calendar["startsAt"]) == _instant(story.slot["startsAt"])
    assert _instant(calendar["endsAt"]) == _instant(story.slot["endsAt"])
    assert calendar["location"] == "Kerkstraat 14, 2999 Lindebeke"


async def test_the_van_knows_what_to_bring_where(story: Story) -> None:
    (booking,) = await story.dossier.bookings()
    items = {(one["product"], one["quantity"]) for one in booking["items"]}
    assert items >= {("bak", 2), ("vat", 1)}
    address = booking["address"]
    assert (address["street"], address["houseNumber"], address["postalCode"]) == ("Kerkstraat", "14", "2999")
    assert booking["contact"]["name"] == "An Peeters"


async def test_magda_is_let_go_once_the_case_is_over(town: Town, story: Story) -> None:
    await until(lambda: _nobody(town, "an"))
    assert await story.dossier.timers() == set()


async def _nobody(town: Town, who: str) -> bool:
    return await town.registrations(who) == []


async def _raw(town: Town, letter: Json) -> Any:  # noqa: ANN401  # an EmailMessage
    desk = town.served.house.config.urls["desk"]
    place = f"{desk}/systeem/smtp/sim/mailbox/{letter['envelopeTo'][0]}/{letter['number']}.eml"
    return message_from_bytes((await town.served.client.get(place)).content, policy=policy.default)


def _dots(png: bytes) -> memoryview:
    """The grey dots of a PNG in black and white, one bit a dot, as segno writes it."""
    width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    assert png[24] == 1
    at, packed = 8, b""
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        packed += png[at + 8 : at + 8 + size] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    rows, pitch = decompress(packed), 1 + (width + 7) // 8
    dots, line = bytearray(), bytes(pitch - 1)
    for row in range(height):
        how, *told = rows[row * pitch : (row + 1) * pitch]
        assert how in (0, 2)  # as it is, or added to the row above
        line = bytes((one + above) % 256 if how else one for one, above in zip(told, line, strict=True))
        dots += bytes(255 * (line[dot // 8] >> (7 - dot % 8) & 1) for dot in range(width))
    return memoryview(dots).cast("B", (height, width))


def _instant(told: str) -> datetime:
    return datetime.fromisoformat(told)


# ── refused, referred, unknown ────────────────────────────────────────────────────────────────────────

MOTIVATION = {
    "motivationLegal": "Retributiereglement compostbakken, artikel 5",
    "motivationFactual": "Het leveradres ligt in Mol.",
}
ELSEWHERE = {
    "delivery": {
        "place": "other",
        "address": {"street": "Markt", "number": "8", "postal_code": "2400", "city": "Mol"},
    }
}
BY_HAND = {
    "applicant": {
        "address": {"street": "Beekdal", "number": "27", "postal_code": "2999", "city": "Lindebeke"},
    }
}


@pytest.fixture(scope="module")
async def refused(town: Town) -> Dossier:
    """Of Dirk, who lives elsewhere."""
    return await town.applies("dirk")


async def test_who_lives_elsewhere_is_refused_at_once_and_hears_why_in_law_and_in_fact(
    refused: Dossier,
) -> None:
    case = await refused.read()
    assert (case["status"], case["outcome"], case["invoice"]) == ("INADMISSIBLE", "INADMISSIBLE", None)
    (letter,) = [one for one in await refused.letters() if "niet behandelen" in one["subject"]]
    text = " ".join(letter["text"].split())
    assert "Alleen inwoners van Gemeente Lindebeke" in text
    assert "Volgens het Rijksregister had u op" in text
    assert "artikel 2: de verkoop is voorbehouden aan inwoners" in text
    assert "Raad van State" in text
    assert await refused.dosis() == [("Ingediend", "Samenstelling"), ("OnOntvankelijk", "Afgerond")]


async def test_whoever_was_refused_can_have_a_person_look_again(town: Town, refused: Dossier) -> None:
    assert await refused.actions("dirk") == {"CASE_REQUEST_REVIEW"}
    await town.does("dirk", "caseRequestReview", id=refused.id, input={"reason": "Ik verhuisde net."})
    assert await refused.tasks() == ["REVIEW_REQUESTED"]
    await town.does(
        HANDLER, "caseReopen", id=refused.id, input={"stage": "SCREENING", "reason": "Verhuisbewijs gezien"}
    )
    case = await refused.read()
    assert (case["status"], case["round"], case["outcome"]) == ("SCREENING", 2, None)
    assert await refused.tasks() == ["REFERRED"]
    await town.does(HANDLER, "caseDeclareAdmissible", id=refused.id)
    assert (await refused.read())["status"] == "AWAITING_DECISION"
    granted = {"granted": True, "motivationLegal": "Artikel 2", "motivationFactual": "Inwoner sinds kort."}
    await town.does(HANDLER, "decisionTake", caseId=refused.id, input=granted)
    case = await refused.read()
    assert (case["status"], case["decision"]["byRule"]) == ("AWAITING_PAYMENT", False)
    assert await refused.tasks() == []
    assert (await refused.dosis())[2:] == [
        ("InBehandeling", "Beroep"),
        ("InBehandeling", "Behandeling"),
        ("Ontvankelijk", "Behandeling"),
        ("InBehandeling", "Behandeling"),
        ("Goedgekeurd", "Beslissing"),
        ("KlaarVoorBetaling", "Uitvoering"),
    ]


async def test_a_household_over_its_maximum_is_refused_and_may_order_what_it_has_left(town: Town) -> None:
    first = await town.applies(cart={"bak": 2, "vat": 3})
    second = await town.applies(first.who, cart={"bak": 2})
    third = await town.applies(first.who, cart={"bak": 1})
    statuses = [(await one.read())["status"] for one in (first, second, third)]
    assert statuses == ["AWAITING_PAYMENT", "INADMISSIBLE", "AWAITING_PAYMENT"]
    (letter,) = [one for one in await second.letters() if "niet behandelen" in one["subject"]]
    assert "hoogstens 3 compostbakken" in " ".join(letter["text"].split())
    assert (await third.read())["invoice"]["amount"]["amount"] == "40.00"  # the discount was used before


async def test_a_delivery_outside_the_municipality_goes_to_a_person(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    case = await dossier.read()
    assert (case["status"], case["invoice"]) == ("AWAITING_DECISION", None)
    assert await dossier.tasks() == ["DECIDE"]
    assert "DECISION_TAKE" in await dossier.actions(HANDLER)
    assert await dossier.actions(dossier.who) == {"CASE_WITHDRAW"}
    bare = {"granted": False, "motivationLegal": " ", "motivationFactual": "Te ver."}
    refusal = await town.refused(HANDLER, "decisionTake", caseId=dossier.id, input=bare)
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["input", "motivationLegal"])
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input={"granted": False, **MOTIVATION})
    case = await dossier.read()
    assert (case["status"], case["decision"]["status"]) == ("REJECTED", "REFUSED")
    assert await dossier.tasks() == []
    (letter,) = [one for one in await dossier.letters() if "niet goedgekeurd" in one["subject"]]
    text = " ".join(letter["text"].split())
    assert MOTIVATION["motivationLegal"] in text
    assert MOTIVATION["motivationFactual"] in text
    assert "Raad van State" in text
    assert await dossier.actions(dossier.who) == {"CASE_REQUEST_REVIEW"}


async def test_a_question_is_answered_and_the_clock_stands_still_meanwhile(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    question = {"question": "Waarom moet de bak naar Mol?"}
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input=question)
    case = await dossier.read()
    assert case["status"] == "AWAITING_APPLICANT"
    assert [one["endedOn"] for one in case["suspensions"]] == [None]
    (letter,) = [one for one in await dossier.letters() if "iets van u nodig" in one["subject"]]
    assert question["question"] in letter["text"]
    assert await dossier.actions(dossier.who) == {"CASE_SUPPLY_INFORMATION", "CASE_WITHDRAW"}
    await _days_pass(town, dossier, 3)
    due = (await dossier.read())["due"]
    await town.does(
        dossier.who, "caseSupplyInformation", id=dossier.id, input={"answer": "Daar is mijn volkstuin."}
    )
    case = await dossier.read()
    assert case["status"] == "AWAITING_DECISION"
    assert (_day(case["due"]) - _day(due)).days == 3
    assert "REFERRED" in await dossier.tasks()
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input={"granted": True})
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    assert await dossier.tasks() == []


async def test_an_unanswered_question_lapses_and_a_person_decides_on_what_there_is(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input={"question": "Waarom?"})
    assert "ANSWER" in await dossier.timers()
    await dossier.fires("ANSWER")
    assert (await dossier.read())["status"] == "AWAITING_DECISION"
    assert "ANSWER_LAPSED" in await dossier.tasks()
    refusal = await town.refused(
        dossier.who, "caseSupplyInformation", id=dossier.id, input={"answer": "Toch"}
    )
    assert (refusal["code"], refusal["currentStatus"]) == ("TRANSITION_NOT_ALLOWED", "AWAITING_DECISION")
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input={"granted": False, **MOTIVATION})
    assert await dossier.tasks() == []


async def test_the_term_does_not_lapse_while_it_stands_still(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input={"question": "Waarom?"})
    await dossier.fires("TERM")
    await dossier.fires("TERM_ALARM")
    assert not (await dossier.read())["overdue"]
    assert "TERM_LAPSED" not in await dossier.events()
    assert "TERM_ALARM" not in await dossier.tasks()
    assert {"TERM", "TERM_ALARM"} <= await dossier.timers()


async def test_a_term_that_lapses_is_told_and_goes_to_a_person(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    await dossier.fires("TERM_ALARM")
    await dossier.fires("TERM")
    assert (await dossier.read())["overdue"]
    assert {"TERM_ALARM", "TERM_LAPSED"} <= set(await dossier.tasks())
    assert any("nog niet beslist" in one["subject"] for one in await dossier.letters())
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input={"granted": True})
    assert await dossier.tasks() == []
    assert "TERM" not in await dossier.timers()


async def test_without_magda_the_form_is_filled_in_by_hand_and_nothing_is_approved_until_it_is_back(
    town: Town,
) -> None:
    started = await town.does("els", "applicationStart", DRAFT, procedure="compost-bin")
    sources = {one["field"]: one["source"] for one in started["application"]["prefill"]}
    assert "/applicant/address/street" not in sources
    assert sources["/applicant/name"] == "acmidm.name"
    draft = started["application"]["id"]
    given = {**BY_HAND, "contact": {}, "delivery": {"place": "home"}, "declaration": True}
    await town.does("els", "applicationSetAnswers", id=draft, input=given)
    await town.does("els", "applicationSetCart", id=draft,
                    input={"lines": [{"product": "vat", "quantity": 1}]})  # fmt: skip
    case = (await town.does("els", "applicationSubmit", "case { id reference }", id=draft))["case"]
    dossier = Dossier(town, "els", case["id"], case["reference"])
    seen = await dossier.read()
    assert (seen["status"], [one["status"] for one in seen["checks"]]) == ("SCREENING", ["RUNNING"])
    await town.order("magda", "forced", persona="els", code=None)
    seen = await dossier.until("AWAITING_PAYMENT")
    assert [one["status"] for one in seen["checks"]] == ["MET"]
    assert seen["invoice"]["amount"]["amount"] == "24.00"  # the household is known, so its discount is too


async def test_what_magda_said_more_than_a_day_ago_is_asked_again(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who)
    asked = len(await _consultations(town, who))
    await town.sql(
        "UPDATE application SET facts = replace(facts::text, to_char(now() AT TIME ZONE 'UTC', 'YYYY'), '2025')"
        "::jsonb WHERE person_id = (SELECT id FROM person ORDER BY created_at DESC LIMIT 1)"
    )
    payload = await town.does(who, "applicationSubmit", "case { id reference status }", id=draft)
    assert payload["case"]["status"] == "SCREENING"
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("AWAITING_PAYMENT")
    assert len(await _consultations(town, who)) == asked + 2


async def test_whom_the_register_does_not_know_a_person_looks_at(town: Town) -> None:
    dossier = await town.applies("noor", answers=BY_HAND)
    await until(lambda: _has_task(dossier, "SOURCES_UNKNOWN"))
    case = await dossier.read()
    assert (case["status"], [one["status"] for one in case["checks"]]) == ("SCREENING", ["UNKNOWN"])
    await town.does(
        HANDLER, "caseDeclareInadmissible", id=dossier.id,
        input={"motivationLegal": "Artikel 2", "motivationFactual": "Niet gekend in het Rijksregister."},
    )  # fmt: skip
    case = await dossier.read()
    assert case["status"] == "INADMISSIBLE"
    assert await dossier.tasks() == []


async def test_nothing_is_sent_to_a_deceased_and_a_person_looks(town: Town) -> None:
    dossier = await town.applies("gust")
    case = await dossier.read()
    assert case["status"] == "SCREENING"
    assert set(await dossier.tasks()) == {"REFERRED", "NOT_REACHED"}
    await dossier.calm()
    assert await town.notified("gust") == []
    messages = (await dossier.read(HANDLER, "messages(first: 20) { nodes { status reason } }"))["messages"]
    assert {(one["status"], one["reason"]) for one in messages["nodes"]} == {
        ("SKIPPED", "the applicant is deceased")
    }


async def test_a_replaced_national_number_is_followed_under_the_new_one(town: Town) -> None:
    dossier = await town.applies("fatima")
    case = await dossier.read()
    assert case["status"] == "AWAITING_PAYMENT"
    assert "NUMBER_REPLACED" in await dossier.tasks()
    assert (await dossier.read("fatima", "status"))["status"] == "AWAITING_PAYMENT"
    await town.does("fatima", "caseWithdraw", id=dossier.id)
    await until(lambda: _nobody(town, "fatima"))


async def _has_task(dossier: Dossier, kind: str) -> bool:
    return kind in await dossier.tasks()


async def _consultations(town: Town, who: str) -> list[Json]:
    """What MAGDA was asked about somebody, registrations apart."""
    log = await town.look("magda", "log")
    return [one for one in log if _insz(who) in one["insz"] and one["service"].startswith("Geef")]


async def _days_pass(town: Town, dossier: Dossier, days: int) -> None:
    """Let a suspension have begun so many days ago."""
    await town.sql(
        """UPDATE "case" SET suspensions = jsonb_set(suspensions, '{0,from}',
           to_jsonb((now() - make_interval(days => :days))::date::text)) WHERE reference = :reference""",
        days=days,
        reference=dossier.reference,
    )


def _day(told: str) -> date:
    return date.fromisoformat(told)


def _insz(who: str) -> str:
    citizen = personas.person(who)
    assert citizen is not None
    return citizen.insz
