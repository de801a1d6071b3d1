"""The first blueprint through its doors: what citizen, staff and every other system see of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes, policy
from itertools import permutations
from typing import Any
from uuid import uuid4
from zlib import decompress

import pytest
import zxingcpp

from loket.ids import decode_id, encode_id
from loket.sandbox import personas
from loket.terms import BRUSSELS
from served import VANS
from town import (
    DRIVER,
    FINANCE,
    HANDLER,
    OPERATOR,
    REFUND_SECONDS,
    Dossier,
    Json,
    Town,
    nothing_stays_open,
    opened,
    until,
)

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
    answer = await town.client.put(upload["uploadUrl"], content=content)
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
    answer = await town.client.get(mine["url"])
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
    always = {"EXPERIENCE_RATE"}  # of the phases that are over
    assert {name: step.actions["an"] - always for name, step in story.steps.items()} == {
        "to pay": {"CASE_WITHDRAW", "PAYMENT_START"},
        "to choose": {"CASE_WITHDRAW", *choose},
        "held": {"CASE_WITHDRAW", *choose},
        "planned": {"CASE_WITHDRAW", "DELIVERY_RESCHEDULE"},
        "delivered": set(),
    }
    assert all(always <= step.actions["an"] for step in story.steps.values())


async def test_each_step_offers_staff_what_is_theirs(story: Story) -> None:
    handling = {"CASE_ASSIGN", "CASE_ADD_NOTE", "CASE_WITHDRAW", "CASE_CANCEL"}
    step = story.steps
    assert step["to pay"].actions[HANDLER] - {"MESSAGE_RESEND"} == handling
    changes = {"DELIVERY_RESCHEDULE", "DELIVERY_CANCEL", "MESSAGE_RESEND"}
    assert step["planned"].actions[HANDLER] == handling | changes
    assert step["delivered"].actions[HANDLER] == {"CASE_REOPEN", "CASE_ADD_NOTE", "MESSAGE_RESEND"}
    assert step["to pay"].actions[FINANCE] == {
        "CASE_ADD_NOTE",
        "INVOICE_CREDIT",
        "INVOICE_WRITE_OFF",
        "PAYMENT_REGISTER",
    }
    assert step["to choose"].actions[FINANCE] == {"CASE_ADD_NOTE", "INVOICE_CREDIT"}
    assert step["to choose"].actions[DRIVER] == {"CASE_ADD_NOTE"}
    assert step["planned"].actions[DRIVER] == {
        "CASE_ADD_NOTE",
        "DELIVERY_CONFIRM",
        "DELIVERY_REPORT_MISSED",
    }


async def test_what_is_not_possible_says_why_and_is_refused(town: Town) -> None:
    dossier = await town.applies()
    await dossier.until("AWAITING_PAYMENT")
    assert await _why_not(dossier, dossier.who) == {
        "CASE_SUPPLY_INFORMATION": "Er is niets gevraagd.",
        "CASE_REQUEST_REVIEW": "Het dossier is niet geweigerd.",
        "DELIVERY_HOLD_SLOT": "Er is (nog) niets te leveren.",
        "DELIVERY_BOOK_SLOT": "Er is (nog) niets te leveren.",
        "DELIVERY_RESCHEDULE": "Er is (nog) niets te leveren.",
    }
    why_not = await _why_not(dossier, HANDLER)
    assert why_not["CASE_RESUME"] == "De termijn staat niet stil."
    assert why_not["CASE_RELEASE"] == "Het dossier is aan niemand toegewezen."
    assert why_not["CASE_REOPEN"] == "Het dossier loopt nog."
    assert why_not["DECISION_TAKE"] == "Deze stap is voorbij, of nog niet aan de beurt."
    assert why_not["TASK_COMPLETE"] == "Er staat geen taak open."
    for action, name in (("caseResume", "CASE_RESUME"), ("caseRelease", "CASE_RELEASE")):
        refusal = await town.refused(HANDLER, action, id=dossier.id)
        assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
        assert name not in refusal["allowedActions"]
        assert {"CASE_ASSIGN", "CASE_CANCEL"} < set(refusal["allowedActions"])
    for action, input in (
        ("caseSuspend", {"reason": "verhuist"}),
        ("caseExtendTerm", {"until": "2099-01-01", "reason": "druk"}),
    ):
        # the term is one to decide in, and it was decided
        assert (await town.refused(HANDLER, action, id=dossier.id, input=input))["code"] == (
            "TRANSITION_NOT_ALLOWED"
        )
    await town.does(HANDLER, "caseAssign", id=dossier.id)
    assert "CASE_RELEASE" not in await _why_not(dossier, HANDLER)
    assert (await _why_not(dossier, FINANCE))["REFUND_ORDER"].startswith("Er is geen terugbetaling")
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    assert (await _why_not(dossier, dossier.who))["CASE_WITHDRAW"] == "Het dossier is afgesloten."
    assert (await _why_not(dossier, dossier.who))["PAYMENT_START"] == "Er is geen factuur."


async def _why_not(dossier: Dossier, who: str) -> Json:
    seen = await dossier.read(who, "viewerAvailableActions { action enabled reasonDisabled }")
    offers = seen["viewerAvailableActions"]
    assert all((one["reasonDisabled"] is None) == one["enabled"] for one in offers)
    return {one["action"]: one["reasonDisabled"] for one in offers if not one["enabled"]}


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
    return message_from_bytes((await town.client.get(place)).content, policy=policy.default)


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
    assert await refused.actions("dirk") == {"CASE_REQUEST_REVIEW", "EXPERIENCE_RATE"}
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
    assert await dossier.actions(dossier.who) == {"CASE_WITHDRAW", "EXPERIENCE_RATE"}
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
    assert await dossier.actions(dossier.who) == {"CASE_REQUEST_REVIEW", "EXPERIENCE_RATE"}


async def test_a_cart_shows_what_the_household_gets_off_and_may_still_order(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who, cart={"bak": 2})
    cart, allowance = await _cart(town, who, draft)
    two = {"price": {"amount": "40.00"}, "discount": {"amount": "12.00"}, "amount": {"amount": "68.00"}}
    assert cart == {"total": {"amount": "68.00"}, "lines": [two]}
    assert allowance == {"product": "bak", "maximum": 3, "perYear": True, "ordered": 0, "remaining": 3}
    await town.does(who, "applicationSubmit", id=draft)
    assert (await _cart(town, who, draft))[0] == cart, "also once the first one is ordered"
    cart, allowance = await _cart(town, who, await town.fills_in(who, cart={"bak": 1}))
    one = {"price": {"amount": "40.00"}, "discount": None, "amount": {"amount": "40.00"}}
    assert cart == {"total": {"amount": "40.00"}, "lines": [one]}
    assert (allowance["ordered"], allowance["remaining"]) == (2, 1)


async def _cart(town: Town, who: str, draft: str) -> tuple[Json, Json]:
    lines = "lines { price { amount } discount { amount } amount { amount } }"
    fields = (
        f"cart {{ total {{ amount }} {lines} }} allowances {{ product maximum perYear ordered remaining }}"
    )
    seen = await town.ask(who, f"query($id: ID!) {{ application(id: $id) {{ {fields} }} }}", id=draft)
    (allowance,) = [one for one in seen["application"]["allowances"] if one["product"] == "bak"]
    return seen["application"]["cart"], allowance


async def test_an_invoice_says_to_whom_it_is_paid_and_what_its_code_holds(town: Town) -> None:
    dossier = await town.applies()
    await dossier.until("AWAITING_PAYMENT")
    fields = "invoice { structuredReference payee { name iban bic } epcText }"
    invoice = (await dossier.read(dossier.who, fields))["invoice"]
    municipality = town.served.loket.settings.municipality
    assert invoice["payee"] == {
        "name": municipality.name,
        "iban": municipality.iban,
        "bic": municipality.bic,
    }
    reference = re.sub("[+/]", "", invoice["structuredReference"])
    account = [municipality.bic, municipality.name, municipality.iban]
    assert invoice["epcText"].split("\n") == ["BCD", "002", "1", "SCT", *account, "EUR28.00", "", reference]
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    assert (await dossier.read(dossier.who, fields))["invoice"]["epcText"] is None


async def test_a_question_is_answered_and_the_clock_stands_still_meanwhile(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    question = {"question": "Waarom moet de bak naar Mol?"}
    await town.does(HANDLER, "caseRequestInformation", id=dossier.id, input=question)
    case = await dossier.read()
    assert case["status"] == "AWAITING_APPLICANT"
    asked = "informationRequest { question answerBy awaited }"
    assert (await dossier.read(dossier.who, asked))["informationRequest"] == {
        **question,
        "answerBy": (datetime.now(BRUSSELS).date() + timedelta(days=14)).isoformat(),
        "awaited": True,
    }
    assert [one["endedOn"] for one in case["suspensions"]] == [None]
    (letter,) = [one for one in await dossier.letters() if "iets van u nodig" in one["subject"]]
    assert question["question"] in letter["text"]
    assert await dossier.actions(dossier.who) == {
        "CASE_SUPPLY_INFORMATION",
        "CASE_WITHDRAW",
        "EXPERIENCE_RATE",
    }
    await _days_pass(town, dossier, 3)
    due = (await dossier.read())["due"]
    await town.does(
        dossier.who, "caseSupplyInformation", id=dossier.id, input={"answer": "Daar is mijn volkstuin."}
    )
    assert (await dossier.read(dossier.who, asked))["informationRequest"]["awaited"] is False
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
    await _a_day_passes(town, draft)
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


async def _a_day_passes(town: Town, draft: str) -> None:
    """Let what MAGDA said for a draft have been said so long ago."""
    await town.sql(
        """UPDATE application
              SET facts = jsonb_set(jsonb_set(facts, '{person,fetched_at}', to_jsonb(CAST(:at AS text))),
                                    '{household,fetched_at}', to_jsonb(CAST(:at AS text)))
            WHERE id = :id""",
        at=(datetime.now(UTC) - timedelta(hours=24)).isoformat(),
        id=decode_id(draft, "Application"),
    )


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


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────

WAYS = ("webhook", "return", "poll")


@pytest.mark.parametrize("ways", [*permutations(WAYS), ("return",), ("poll",)], ids=", ".join)
async def test_money_is_heard_however_it_is_told_and_counted_once(town: Town, ways: tuple[str, ...]) -> None:
    dossier = await town.applies()
    async with town.hooks("worldline", "hold" if "webhook" in ways else "lose"):
        page = await dossier.goes_to_pay()
        paid = await town.order("worldline", f"checkouts/{page}/pay")
        for way in ways:
            await _tell(town, dossier, way, paid["redirect"])
    case = await dossier.until("AWAITING_SLOT")
    (payment,) = case["invoice"]["payments"]
    assert (payment["status"], payment["method"], payment["amount"]["amount"]) == (
        "CAPTURED",
        "ONLINE",
        "28.00",
    )
    assert (await dossier.events()).count("PAID") == 1
    assert await dossier.entries() == [("INVOICE", "28.00"), ("PAYMENT", "28.00")]
    assert case["refunds"] == []
    assert "CHECKOUT_POLL" not in await dossier.timers()


async def _tell(town: Town, dossier: Dossier, way: str, redirect: str) -> None:
    if way == "webhook":
        await town.order("worldline", "callbacks/release")
        await until(lambda: _all_heard(town))
    elif way == "return":
        answer = await town.client.get(redirect)
        assert answer.status_code == 303
        assert answer.headers["location"].endswith(f"/dossiers/{dossier.reference}")
    else:
        asked = await town.tries(OPERATOR, "timerFire", caseId=dossier.id, kind="CHECKOUT_POLL")
        assert {one["code"] for one in asked["errors"]} <= {"NOT_FOUND"}  # heard before: nothing to ask
        await dossier.calm()


async def _all_heard(town: Town) -> bool:
    told = await town.look("worldline", "callbacks", type="payment.")
    return all(one["state"] in ("HEARD", "LOST") for one in told)


async def test_webhook_return_and_poll_at_the_same_moment_are_one_payment(town: Town) -> None:
    dossier = await town.applies()
    async with town.hooks("worldline", "hold"):
        page = await dossier.goes_to_pay()
        paid = await town.order("worldline", f"checkouts/{page}/pay")
        await asyncio.gather(*(_tell(town, dossier, way, paid["redirect"]) for way in WAYS))
    await dossier.until("AWAITING_SLOT")
    assert await dossier.entries() == [("INVOICE", "28.00"), ("PAYMENT", "28.00")]
    assert (await dossier.events()).count("PAID") == 1


async def test_a_payment_that_the_bank_confirms_later_is_waited_for(town: Town) -> None:
    dossier = await town.applies()
    page = await dossier.goes_to_pay()
    await town.order("worldline", f"checkouts/{page}/pending")
    await until(lambda: _payments_are(dossier, "PENDING"))
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    (payment,) = [one for one in await town.look("worldline", "payments") if one["checkoutId"] == page]
    await town.order("worldline", f"payments/{payment['id']}/settle", outcome="captured")
    await dossier.until("AWAITING_SLOT")


async def test_after_a_refused_card_another_attempt_pays(town: Town) -> None:
    dossier = await town.applies()
    page = await dossier.goes_to_pay()
    assert await dossier.goes_to_pay() == page
    await town.order("worldline", f"checkouts/{page}/refuse")
    await until(lambda: _payments_are(dossier, "FAILED"))
    assert "PAYMENT_START" in await dossier.actions(dossier.who)
    await dossier.pays()
    case = await dossier.until("AWAITING_SLOT")
    assert sorted(one["status"] for one in case["invoice"]["payments"]) == ["CAPTURED", "FAILED"]
    assert await dossier.entries() == [("INVOICE", "28.00"), ("PAYMENT", "28.00")]


async def test_two_clicks_on_pay_lead_to_one_page(town: Town) -> None:
    dossier = await town.applies()
    pages = await asyncio.gather(*(dossier.goes_to_pay() for _ in range(4)))
    assert len(set(pages)) == 1
    assert len(await town.look("worldline", "checkouts", reference=dossier.reference)) == 1


async def test_what_is_paid_a_second_time_goes_back_by_itself(town: Town) -> None:
    dossier = await town.applies()
    first = await dossier.goes_to_pay()
    await town.sql("UPDATE payment SET expires_at = now() WHERE checkout_id = :page", page=first)
    second = await dossier.goes_to_pay()
    assert second != first
    for page in (first, second):
        await town.order("worldline", f"checkouts/{page}/pay")
    await until(lambda: _refunds_are(dossier, "DONE"))
    case = await dossier.read()
    assert (case["status"], case["invoice"]["status"]) == ("AWAITING_SLOT", "PAID")
    assert [one["amount"]["amount"] for one in case["refunds"]] == ["28.00"]
    assert await _back(town, dossier) == [2800]
    assert await dossier.entries() == [
        ("INVOICE", "28.00"), ("PAYMENT", "28.00"), ("PAYMENT", "28.00"),
        ("REFUND_DUE", "28.00"), ("REFUND", "28.00"),
    ]  # fmt: skip
    assert any("teruggestort" in one["text"] for one in await dossier.letters())


async def test_a_transfer_with_the_structured_reference_pays(town: Town) -> None:
    dossier = await town.applies()
    await dossier.transfers("28.00")
    case = await dossier.until("AWAITING_SLOT")
    (payment,) = case["invoice"]["payments"]
    assert (payment["method"], payment["status"]) == ("TRANSFER", "CAPTURED")
    assert await dossier.entries() == [("INVOICE", "28.00")]  # the books had the money first


async def test_a_part_is_kept_and_the_rest_asked_for(town: Town) -> None:
    dossier = await town.applies()
    await dossier.transfers("20.00")
    await until(lambda: _invoice_is(dossier, "PARTLY_PAID"))
    case = await dossier.read()
    assert (case["status"], case["invoice"]["outstanding"]["amount"]) == ("AWAITING_PAYMENT", "8.00")
    (letter,) = [one for one in await dossier.letters() if "een betaling ontvangen" in one["subject"]]
    assert "€ 20,00" in letter["text"].replace("\u00a0", " ")
    assert "€ 8,00" in letter["text"].replace("\u00a0", " ")
    page = await dossier.goes_to_pay()
    (checkout,) = [one for one in await town.look("worldline", "checkouts") if one["id"] == page]
    assert checkout["amount"] == 800
    await town.order("worldline", f"checkouts/{page}/pay")
    case = await dossier.until("AWAITING_SLOT")
    assert case["invoice"]["paid"]["amount"] == "28.00"


async def test_too_much_by_transfer_goes_back_through_the_books(town: Town) -> None:
    dossier = await town.applies()
    await dossier.transfers("50.00")
    case = await dossier.until("AWAITING_SLOT")
    assert [one["amount"]["amount"] for one in case["refunds"]] == ["22.00"]
    assert await dossier.tasks() == ["REFUND_DUE"]
    assert await dossier.entries() == [("INVOICE", "28.00"), ("REFUND_DUE", "22.00")]
    (thanks,) = [one for one in await dossier.letters() if "uw betaling ontvangen" in one["subject"]]
    assert "uw betaling van € 50,00 ontvangen" in _plain(thanks)
    assert "U betaalde € 22,00 te veel" in _plain(thanks)
    await _executed(town, dossier)
    await until(lambda: _refunds_are(dossier, "DONE"))
    assert await dossier.tasks() == []
    assert any("€ 22,00 teruggestort" in _plain(one) for one in await dossier.letters())


async def test_reminders_go_out_and_without_money_it_ends(town: Town) -> None:
    dossier = await town.applies()
    for _ in range(2):
        await dossier.fires("PAYMENT_REMINDER")
    assert "PAYMENT_REMINDER" not in await dossier.timers()
    reminders = [one for one in await dossier.letters() if "Herinnering" in one["subject"]]
    assert len(reminders) == 2
    assert all(one["attachments"][0]["contentType"] == "application/pdf" for one in reminders)
    await dossier.fires("PAYMENT_END")
    case = await dossier.until("CANCELLED")
    assert case["invoice"]["status"] == "CREDITED"
    assert await dossier.entries() == [("INVOICE", "28.00"), ("COSTS", "5.00"), ("CREDIT_NOTE", "33.00")]
    (letter,) = [one for one in await dossier.letters() if "stopgezet" in one["subject"]]
    assert "Wij ontvingen uw betaling niet op tijd." in _plain(letter)
    assert (await dossier.dosis())[-1] == ("Stopgezet", "Afgerond")
    assert await dossier.timers() == set()
    assert (await town.refused(dossier.who, "paymentStart", invoiceId=case["invoice"]["id"]))["code"] == (
        "NOTHING_DUE"
    )


async def test_money_that_comes_after_the_end_goes_back(town: Town) -> None:
    dossier = await town.applies()
    page = await dossier.goes_to_pay()
    await dossier.fires("PAYMENT_END")
    await dossier.transfers("28.00")
    await town.order("worldline", f"checkouts/{page}/pay")
    await until(lambda: _refunds_are(dossier, "DUE", "DONE"))
    case = await dossier.read()
    assert (case["status"], await dossier.tasks()) == ("CANCELLED", ["REFUND_DUE"])
    assert await _back(town, dossier) == [2800]
    await _executed(town, dossier)
    await until(lambda: _refunds_are(dossier, "DONE", "DONE"))
    assert await dossier.tasks() == []
    assert sorted(await dossier.entries()) == [
        ("CREDIT_NOTE", "28.00"), ("INVOICE", "28.00"), ("PAYMENT", "28.00"),
        ("REFUND", "28.00"), ("REFUND_DUE", "28.00"), ("REFUND_DUE", "28.00"),
    ]  # fmt: skip
    late = [one for one in await dossier.letters() if "een betaling ontvangen" in one["subject"]]
    assert len(late) == 2
    assert all("Wij ontvingen € 28,00" in _plain(one) for one in late)
    assert all("U hoefde € 28,00 niet te betalen" in _plain(one) for one in late)
    assert (await dossier.dosis())[-1] == ("Stopgezet", "Afgerond")


async def test_money_that_comes_after_the_end_is_looked_for_even_if_nobody_tells(town: Town) -> None:
    dossier = await town.applies()
    async with town.hooks("worldline", "lose"):
        page = await dossier.goes_to_pay()
        await town.does(dossier.who, "caseWithdraw", id=dossier.id)
        await town.order("worldline", f"checkouts/{page}/pay")
        await town.sql(
            "UPDATE effect SET retry_at = now() WHERE kind = 'PAYMENT_POLL' AND state = 'PENDING'"
            " AND case_id = :id", id=decode_id(dossier.id, "Case"),
        )  # fmt: skip
        await town.sql("UPDATE lane SET due_at = now() WHERE system = 'payments'")
        await until(lambda: _refunds_are(dossier, "DONE"))
    assert await _back(town, dossier) == [2800]


async def test_who_withdraws_before_paying_owes_nothing_and_may_order_it_all_again(town: Town) -> None:
    dossier = await town.applies(cart={"bak": 3})
    await town.does(dossier.who, "caseWithdraw", id=dossier.id, input={"reason": "Bedacht"})
    case = await dossier.read()
    assert (case["status"], case["outcome"], case["invoice"]["status"]) == (
        "WITHDRAWN", "WITHDRAWN", "CREDITED",
    )  # fmt: skip
    assert case["refunds"] == []
    assert await dossier.entries() == [("INVOICE", "108.00"), ("CREDIT_NOTE", "108.00")]
    assert (await dossier.dosis())[-1] == ("Stopgezet", "Afgerond")
    assert await dossier.timers() == set()
    await until(lambda: _nobody(town, dossier.who))
    again = await town.applies(dossier.who, cart={"bak": 3})
    assert (await again.read())["invoice"]["amount"]["amount"] == "108.00"


async def test_who_withdraws_before_the_delivery_gets_everything_back(town: Town) -> None:
    dossier = await town.applies(cart={"vat": 3})
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    slot = await dossier.books()
    await dossier.calm()
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await until(lambda: _refunds_are(dossier, "DONE"))
    case = await dossier.read()
    assert (case["status"], case["delivery"]["status"]) == ("WITHDRAWN", "CANCELLED")
    assert [one["status"] for one in await dossier.bookings()] == ["CANCELLED"]
    assert await _back(town, dossier) == [8400]
    assert await dossier.entries() == [
        ("INVOICE", "84.00"), ("PAYMENT", "84.00"), ("CREDIT_NOTE", "84.00"),
        ("REFUND_DUE", "84.00"), ("REFUND", "84.00"),
    ]  # fmt: skip
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])
    await until(lambda: _nobody(town, dossier.who))
    (letter,) = [one for one in await dossier.letters() if "ingetrokken" in one["subject"]]
    assert (letter["calendar"]["method"], letter["calendar"]["sequence"]) == ("CANCEL", 1)
    assert "€ 84,00" in _plain(letter)
    again = await town.applies(dossier.who, cart={"vat": 3})
    await again.pays()
    await again.until("AWAITING_SLOT")
    assert [one["free"] for one in await again.slots() if one["id"] == slot["id"]] == [slot["free"]]


async def test_an_open_payment_page_is_closed_with_the_case(town: Town) -> None:
    dossier = await town.applies()
    await dossier.goes_to_pay()
    await dossier.transfers("28.00")
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    delivery = (await dossier.read())["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    case = await dossier.read()
    assert case["status"] == "COMPLETED"
    assert {one["status"] for one in case["invoice"]["payments"]} == {"CAPTURED", "FAILED"}


async def test_money_at_the_counter_is_written_down_once_and_booked(town: Town) -> None:
    dossier = await town.applies()
    invoice = (await dossier.read())["invoice"]["id"]
    paid = {"amount": "28.00", "method": "COUNTER", "reference": f"KAS {dossier.reference}",
            "valueDate": datetime.now(BRUSSELS).date().isoformat()}  # fmt: skip
    for _ in range(2):
        await town.does(FINANCE, "paymentRegister", invoiceId=invoice, input=paid)
    case = await dossier.until("AWAITING_SLOT")
    assert [one["method"] for one in case["invoice"]["payments"]] == ["COUNTER"]
    told = await dossier.read(fields="timeline(first: 50) { nodes { type actor { name } } }")
    by = {one["type"]: one["actor"]["name"] for one in told["timeline"]["nodes"]}
    assert by["PAID"] == "Filip Goossens"
    assert await dossier.entries() == [("INVOICE", "28.00"), ("PAYMENT", "28.00")]


async def test_a_payment_begun_again_with_its_key_is_the_same_page_also_when_the_bank_did_not_answer(
    town: Town,
) -> None:
    dossier, other = await town.applies(), await town.applies()
    for one in (dossier, other):
        await one.until("AWAITING_PAYMENT")
    invoice, others = [(await one.read())["invoice"]["id"] for one in (dossier, other)]
    asked = {"invoiceId": invoice, "idempotencyKey": "betalen-1"}
    await town.fails("worldline", mode="error", count=1)
    refusal = await town.refused(dossier.who, "paymentStart", **asked)
    assert refusal["code"] == "SYSTEM_UNAVAILABLE"
    fields = "checkoutUrl payment { id status }"
    first = await town.does(dossier.who, "paymentStart", fields, **asked)
    assert await town.does(dossier.who, "paymentStart", fields, **asked) == first
    page = first["checkoutUrl"].rpartition("/")[2]
    checkouts = await town.look("worldline", "checkouts", reference=dossier.reference)
    assert [one["token"] for one in checkouts] == [page]
    for changed in ({"returnUrl": town.served.loket.settings.website_url}, {"invoiceId": others}):
        refusal = await town.refused(dossier.who, "paymentStart", **asked | changed)
        assert (refusal["code"], refusal["__typename"]) == ("IDEMPOTENCY_MISMATCH", "IdempotencyMismatch")
    await town.order("worldline", f"checkouts/{checkouts[0]['id']}/pay")
    await dossier.until("AWAITING_SLOT")
    again = await town.does(dossier.who, "paymentStart", fields, **asked)
    assert again["checkoutUrl"] == first["checkoutUrl"]
    assert again["payment"] == {"id": first["payment"]["id"], "status": "CAPTURED"}
    refusal = await town.refused(dossier.who, "paymentStart", invoiceId=invoice)
    assert refusal["code"] == "NOTHING_DUE"


async def test_a_refund_that_the_bank_refuses_is_ordered_again_once_however_many_ask(town: Town) -> None:
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    bank = town.served.house.config.urls["worldline"]
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": None})
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await until(lambda: _asked_back(town, dossier, 1))
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": REFUND_SECONDS})
    (asked,) = await _refunds_at_the_bank(town, dossier)
    await town.order("worldline", f"refunds/{asked['id']}/settle", outcome="rejected")
    await until(lambda: _refunds_are(dossier, "FAILED"))
    assert await dossier.tasks() == ["REFUND_DUE"]
    refund = (await dossier.read())["refunds"][0]["id"]
    assert "REFUND_ORDER" in await dossier.actions(FINANCE)
    assert "TASK_COMPLETE" in await dossier.actions(FINANCE)
    answers = await asyncio.gather(*(town.tries(FINANCE, "refundOrder", id=refund) for _ in range(8)))
    assert sum(not answer["errors"] for answer in answers) == 1
    await until(lambda: _refunds_are(dossier, "DONE"))
    assert await dossier.tasks() == []
    standings = [one["standing"] for one in await _refunds_at_the_bank(town, dossier)]
    assert standings == ["refund_rejected", "refunded"]
    assert (await dossier.entries()).count(("REFUND", "28.00")) == 1


async def test_a_refund_by_transfer_that_comes_back_can_be_paid_back_again_and_never_twice(
    town: Town,
) -> None:
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    bank = town.served.house.config.urls["worldline"]
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": None})
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await until(lambda: _asked_back(town, dossier, 1))
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": REFUND_SECONDS})
    (asked,) = await _refunds_at_the_bank(town, dossier)
    await town.order("worldline", f"refunds/{asked['id']}/settle", outcome="rejected")
    await until(lambda: _refunds_are(dossier, "FAILED"))
    refund = (await dossier.read())["refunds"][0]["id"]
    first = await _by_transfer(town, refund)
    for result, becomes in (("EXECUTED", "DONE"), ("RETURNED", "FAILED")):
        await town.does(FINANCE, "payoutRecord", id=first, input={"result": result, "reasonCode": "AC04"})
        assert await _refunds_are(dossier, becomes)
    assert await dossier.tasks() == ["REFUND_DUE"]
    second = await _by_transfer(town, refund)
    for result, becomes in (("REJECTED", "FAILED"), ("EXECUTED", "DONE")):  # it had left after all
        await town.does(FINANCE, "payoutRecord", id=second, input={"result": result})
        assert await _refunds_are(dossier, becomes)
    assert await dossier.tasks() == []
    refusal = await town.refused(FINANCE, "refundOrder", id=refund)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"


async def _by_transfer(town: Town, refund: str) -> str:
    """A payout that the bank has not carried out yet."""
    account = {"iban": "BE68 5390 0754 7034", "payee": "An Peeters"}
    told = await town.does(FINANCE, "refundOrder", "payout { id }", id=refund, input=account)
    payout: str = told["payout"]["id"]
    await town.does("farah", "payoutApprove", id=payout)
    return payout


async def test_a_handler_cancels_with_a_reason_that_the_citizen_reads(town: Town) -> None:
    dossier = await town.applies()
    refusal = await town.refused(HANDLER, "caseCancel", id=dossier.id, input={"reason": " "})
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["input", "reason"])
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "De leverancier is failliet."})
    (letter,) = [one for one in await dossier.letters() if "stopgezet" in one["subject"]]
    assert "De leverancier is failliet." in letter["text"]
    assert await dossier.entries() == [("INVOICE", "28.00"), ("CREDIT_NOTE", "28.00")]


async def _payments_are(dossier: Dossier, *statuses: str) -> bool:
    case = await dossier.read(dossier.who, "invoice { payments { status } }")
    return sorted(one["status"] for one in case["invoice"]["payments"]) == sorted(statuses)


async def _refunds_are(dossier: Dossier, *statuses: str) -> bool:
    case = await dossier.read(dossier.who, "refunds { status }")
    return sorted(one["status"] for one in case["refunds"]) == sorted(statuses)


async def _invoice_is(dossier: Dossier, status: str) -> bool:
    case = await dossier.read(dossier.who, "invoice { status }")
    return bool(case["invoice"]["status"] == status)


async def _asked_back(town: Town, dossier: Dossier, number: int) -> bool:
    return len(await _refunds_at_the_bank(town, dossier)) == number


async def _back(town: Town, dossier: Dossier) -> list[int]:
    """What the payment module gave back, in cents."""
    return [one["amount"] for one in await _refunds_at_the_bank(town, dossier)]


async def _refunds_at_the_bank(town: Town, dossier: Dossier) -> list[Json]:
    found = await town.look("worldline", "refunds")
    payments = {one["id"] for one in await town.look("worldline", "payments")
                if one["reference"] == dossier.reference}  # fmt: skip
    return [one for one in found if one["paymentId"] in payments]


async def _executed(town: Town, dossier: Dossier) -> None:
    """The financial service pays back what the books say is to be paid back by transfer."""
    await dossier.calm()
    rows = await town.sql(
        "SELECT refund.id FROM refund JOIN payment ON payment.id = refund.payment_id"
        " WHERE refund.case_id = :id AND payment.method = 'TRANSFER'", id=decode_id(dossier.id, "Case"),
    )  # fmt: skip
    for row in rows:
        await town.order("accounting", f"entries/{row.id}/execute")


def _plain(letter: Json) -> str:
    return " ".join(letter["text"].replace("\u00a0", " ").split())


# ── the delivery ──────────────────────────────────────────────────────────────────────────────────────


async def _to_choose(town: Town, **filled_in: Any) -> Dossier:  # noqa: ANN401  # as `applies`
    """The case of somebody who paid and may choose a slot."""
    dossier = await town.applies(**filled_in)
    await dossier.transfers((await dossier.read())["invoice"]["amount"]["amount"])
    await dossier.until("AWAITING_SLOT")
    return dossier


async def _planned(town: Town) -> tuple[Dossier, Json]:
    """The case of somebody who chose, and the slot that the van has all to itself."""
    dossier = await _to_choose(town)
    slot = await _new_slot(town, dossier)
    await dossier.books(slot)
    await dossier.calm()
    return dossier, slot


_times = iter(time(hour, minute) for hour in range(12, 22) for minute in (0, 15, 30))


async def _new_slot(town: Town, dossier: Dossier, capacity: int = 10) -> Json:
    """A slot that nobody else chooses, as this citizen sees it."""
    friday = _day(_coming_fridays()[3])
    starts_at = datetime.combine(friday, next(_times), BRUSSELS)
    times = {"startsAt": starts_at.isoformat(), "endsAt": (starts_at + timedelta(minutes=15)).isoformat()}
    told = await town.order("planning", "slots", **times, capacity=capacity)
    await _read_the_slots_again(town)
    (slot,) = [one for one in await dossier.slots() if _instant(one["startsAt"]) == starts_at]
    return slot | {"external": told["id"]}


def _coming_fridays() -> list[str]:
    today = datetime.now(BRUSSELS).date()
    days = (today + timedelta(days=ahead) for ahead in range(4, 60))
    return [day.isoformat() for day in days if day.weekday() == 4]


async def _read_the_slots_again(town: Town) -> None:
    """Let what Loket knows of the calendar be old."""
    await town.sql("UPDATE slot SET refreshed_at = refreshed_at - interval '1 day'")


async def test_a_place_that_is_held_too_long_is_free_again(town: Town) -> None:
    dossier = await _to_choose(town)
    slot = await _new_slot(town, dossier)
    held = await town.does(dossier.who, "deliveryHoldSlot", "booking { expiresAt }",
                           caseId=dossier.id, slotId=slot["id"])  # fmt: skip
    left = datetime.fromisoformat(held["booking"]["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    await dossier.fires("HOLD_END")
    assert (await town.refused(dossier.who, "deliveryBookSlot", caseId=dossier.id))["code"] == "EXPIRED"
    assert [one["free"] for one in await dossier.slots() if one["id"] == slot["id"]] == [10]
    await dossier.books(slot)
    assert "HOLD_END" not in await dossier.timers()


async def test_holding_another_slot_lets_the_first_one_go(town: Town) -> None:
    dossier = await _to_choose(town)
    slots = [await _new_slot(town, dossier) for _ in range(2)]
    for slot in slots:
        await town.does(dossier.who, "deliveryHoldSlot", caseId=dossier.id, slotId=slot["id"])
    free = {one["id"]: one["free"] for one in await dossier.slots()}
    assert [free[slot["id"]] for slot in slots] == [10, 9]


async def test_another_day_chosen_replaces_the_first_everywhere(town: Town) -> None:
    dossier, first = await _planned(town)
    second = await _new_slot(town, dossier)
    await town.does(dossier.who, "deliveryReschedule", caseId=dossier.id, slotId=second["id"])
    case = await dossier.read()
    assert (case["status"], case["delivery"]["startsAt"]) == ("AWAITING_DELIVERY", second["startsAt"])
    assert [one["slotId"] for one in await dossier.bookings()] == [second["external"]]
    free = {one["id"]: one["free"] for one in await dossier.slots()}
    assert (free[first["id"]], free[second["id"]]) == (10, 9)
    (letter,) = [one for one in await dossier.letters() if "verplaatst" in one["subject"]]
    calendar = letter["calendar"]
    assert (calendar["method"], calendar["sequence"]) == ("REQUEST", 1)
    assert _instant(calendar["startsAt"]) == _instant(second["startsAt"])


async def test_a_handler_calls_a_delivery_off_and_the_citizen_chooses_again(town: Town) -> None:
    dossier, slot = await _planned(town)
    delivery = (await dossier.read())["delivery"]
    reason = {"reason": "De bakken zijn nog niet binnen."}
    await town.does(HANDLER, "deliveryCancel", id=delivery["id"], input=reason)
    case = await dossier.read()
    assert (case["status"], case["delivery"]["status"]) == ("AWAITING_SLOT", "TO_PLAN")
    assert [one["status"] for one in await dossier.bookings()] == ["CANCELLED"]
    (letter,) = [one for one in await dossier.letters() if "gaat niet door" in one["subject"]]
    assert reason["reason"] in letter["text"]
    assert (letter["calendar"]["method"], letter["calendar"]["sequence"]) == ("CANCEL", 1)
    await dossier.books(slot)
    assert [one["status"] for one in await dossier.bookings()] == ["BOOKED"]
    again = [one["calendar"] for one in await dossier.letters() if "is gepland" in one["subject"]]
    assert [one["sequence"] for one in again] == [0, 2]


async def test_a_slot_that_the_van_moves_is_told_with_a_new_appointment(town: Town) -> None:
    dossier, slot = await _planned(town)
    later = {
        name: (_instant(slot[name]) + timedelta(days=1, hours=2)).isoformat()
        for name in ("startsAt", "endsAt")
    }
    await town.order("planning", f"slots/{slot['external']}/move", **later)
    await until(lambda: _starts(dossier, later["startsAt"]))
    assert (await dossier.read())["status"] == "AWAITING_DELIVERY"
    (letter,) = [
        one for one in await dossier.letters() if "moesten uw levering verplaatsen" in one["subject"]
    ]
    assert (letter["calendar"]["method"], letter["calendar"]["sequence"]) == ("REQUEST", 1)
    assert _instant(letter["calendar"]["startsAt"]) == _instant(later["startsAt"])
    assert "DELIVERY_RESCHEDULE" in await dossier.actions(dossier.who)
    await town.does(
        dossier.who, "deliveryReschedule", caseId=dossier.id, slotId=(await dossier.slots())[0]["id"]
    )


async def test_a_move_is_told_also_when_the_calendar_was_read_before_it_was_heard_of(town: Town) -> None:
    dossier, slot = await _planned(town)
    later = {name: (_instant(slot[name]) + timedelta(days=2)).isoformat() for name in ("startsAt", "endsAt")}
    async with town.hooks("planning", "hold"):
        await town.order("planning", f"slots/{slot['external']}/move", **later)
        await _read_the_slots_again(town)
        await dossier.slots()
        await town.order("planning", "callbacks/release")
        await until(lambda: _starts(dossier, later["startsAt"]))
    assert len([one for one in await dossier.letters() if "moesten uw levering" in one["subject"]]) == 1


async def test_a_slot_that_falls_away_is_told_and_another_may_be_chosen(town: Town) -> None:
    dossier, slot = await _planned(town)
    await town.order("planning", f"slots/{slot['external']}/cancel", reason="Bestelwagen defect")
    case = await dossier.until("AWAITING_SLOT")
    assert case["delivery"]["booking"] is None
    (letter,) = [one for one in await dossier.letters() if "gaat niet door" in one["subject"]]
    assert "Bestelwagen defect" in letter["text"]
    assert (letter["calendar"]["method"], letter["calendar"]["sequence"]) == ("CANCEL", 1)
    assert slot["id"] not in {one["id"] for one in await dossier.slots()}
    refusal = await town.refused(dossier.who, "deliveryBookSlot", caseId=dossier.id, slotId=slot["id"])
    assert refusal["code"] == "SLOT_GONE"
    await dossier.books()
    assert (await dossier.dosis())[-2:] == [("Gepland", "Uitvoering"), ("Gepland", "Uitvoering")]
    planned = [
        one["calendar"]["sequence"] for one in await dossier.letters() if "is gepland" in one["subject"]
    ]
    assert planned == [0, 2]


async def test_a_day_without_van_is_told_to_everybody_whom_it_concerns(town: Town) -> None:
    day = _coming_fridays()[-1]
    dossiers = [await _to_choose(town) for _ in range(2)]
    slots = [one for one in await dossiers[0].slots() if one["startsAt"].startswith(day)]
    for dossier, slot in zip(dossiers, slots, strict=True):
        await dossier.books(slot)
        await dossier.calm()
    await town.order("planning", f"days/{day}/cancel", reason="IJzel")
    for dossier in dossiers:
        await dossier.until("AWAITING_SLOT")
        (letter,) = [one for one in await dossier.letters() if "gaat niet door" in one["subject"]]
        assert "IJzel" in letter["text"]
        assert not [one for one in await dossier.slots() if one["startsAt"].startswith(day)]


async def test_who_does_not_choose_is_reminded_and_then_planned_by_itself(town: Town) -> None:
    dossier = await _to_choose(town)
    await dossier.fires("SLOT_REMINDER")
    assert any("kies uw leverdag" in one["subject"] for one in await dossier.letters())
    # nobody looked at the calendar for weeks
    await town.sql("UPDATE slot SET state = 'CLOSED', refreshed_at = refreshed_at - interval '20 days'")
    await dossier.fires("SLOT_END")
    case = await dossier.until("AWAITING_DELIVERY")
    assert case["delivery"]["startsAt"] is not None
    (booking,) = await dossier.bookings()
    assert booking["status"] == "BOOKED"
    assert any("is gepland" in one["subject"] for one in await dossier.letters())
    assert await dossier.timers() == {"DELIVERY_UNCONFIRMED"}


async def test_what_was_held_is_booked_when_the_time_to_choose_is_over(town: Town) -> None:
    dossier = await _to_choose(town)
    slot = await _new_slot(town, dossier)
    await town.does(dossier.who, "deliveryHoldSlot", caseId=dossier.id, slotId=slot["id"])
    await dossier.fires("SLOT_END")
    assert (await dossier.read())["delivery"]["startsAt"] == slot["startsAt"]


async def test_after_a_missed_delivery_it_is_planned_again_and_completed(town: Town) -> None:
    dossier, slot = await _planned(town)
    (booking,) = await dossier.bookings()
    await town.order("planning", f"bookings/{booking['id']}/miss", reason="Poort was op slot")
    case = await dossier.until("AWAITING_SLOT")
    assert case["delivery"]["status"] == "MISSED"
    (letter,) = [one for one in await dossier.letters() if "konden niet leveren" in one["subject"]]
    assert "Poort was op slot" in letter["text"]
    await dossier.books(slot)
    (booking,) = await dossier.bookings()
    assert booking["status"] == "BOOKED"
    await town.order("planning", f"bookings/{booking['id']}/confirm", deliveredBy="Wim")
    case = await dossier.until("COMPLETED")
    assert case["delivery"]["status"] == "DELIVERED"
    assert (await dossier.dosis())[-2:] == [("Uitgevoerd", "Uitvoering"), ("Uitgevoerd", "Afgerond")]


async def test_a_delivery_of_which_nobody_speaks_is_asked_after(town: Town) -> None:
    dossier, _ = await _planned(town)
    await dossier.fires("DELIVERY_UNCONFIRMED")
    assert await dossier.tasks() == ["DELIVERY_UNCONFIRMED"]
    delivery = (await dossier.read())["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    assert (await dossier.read())["status"] == "COMPLETED"
    assert await dossier.tasks() == []


async def test_a_hand_over_heard_twice_is_one(town: Town) -> None:
    dossier, _ = await _planned(town)
    (booking,) = await dossier.bookings()
    await town.order("planning", f"bookings/{booking['id']}/confirm")
    await dossier.until("COMPLETED")
    notices = await town.look("planning", "callbacks", type="delivery.confirmed")
    await town.order("planning", f"callbacks/{notices[-1]['id']}/again")
    delivery = (await dossier.read())["delivery"]
    refusal = await town.refused(DRIVER, "deliveryConfirm", id=delivery["id"])
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    await until(lambda: _heard_twice(town, notices[-1]["id"]))
    events = await dossier.events()
    assert (events.count("DELIVERED"), events.count("COMPLETED")) == (1, 1)
    assert await dossier.tasks() == []
    assert len([one for one in await dossier.letters() if "is geleverd" in one["subject"]]) == 1


async def test_what_was_delivered_after_a_withdrawal_goes_to_a_person(town: Town) -> None:
    dossier, _ = await _planned(town)
    (booking,) = await dossier.bookings()
    await town.does(OPERATOR, "systemPause", system="planning")
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await town.order("planning", f"bookings/{booking['id']}/confirm")
    await until(lambda: _has_task(dossier, "DELIVERED_UNEXPECTEDLY"))
    case = await dossier.read()
    assert (case["status"], case["delivery"]["deliveredAt"] is None) == ("WITHDRAWN", False)
    await town.does(OPERATOR, "systemResume", system="planning")
    await until(lambda: _is_parked(town, dossier))
    failed = await dossier.read(fields="effects { id state kind }")
    (too_late,) = [one for one in failed["effects"] if one["state"] == "PARKED"]
    assert too_late["kind"] == "PLANNING_CANCEL"
    await town.does(OPERATOR, "effectSkip", id=too_late["id"], input={"reason": "Het staat er al."})
    assert (await dossier.dosis())[-1] == ("Stopgezet", "Afgerond")


async def _is_parked(town: Town, dossier: Dossier) -> bool:
    found = await town.ask(OPERATOR, "{ failedEffects(first: 10) { nodes { case { reference } } } }")
    return dossier.reference in [one["case"]["reference"] for one in found["failedEffects"]["nodes"]]


async def test_a_place_that_another_customer_took_is_chosen_again(town: Town) -> None:
    dossier = await _to_choose(town)
    slot = await _new_slot(town, dossier, capacity=1)
    await _another_customer(town, slot)
    await dossier.books(slot)
    await dossier.until("AWAITING_SLOT")
    (letter,) = [one for one in await dossier.letters() if "gaat niet door" in one["subject"]]
    assert "volzet" in letter["text"]
    assert slot["id"] not in {one["id"] for one in await dossier.slots()}
    await _read_the_slots_again(town)
    assert slot["id"] not in {one["id"] for one in await dossier.slots()}
    refusal = await town.refused(dossier.who, "deliveryBookSlot", caseId=dossier.id, slotId=slot["id"])
    assert refusal["code"] == "SLOT_FULL"
    assert refusal["alternatives"]
    await dossier.books()
    assert [one["status"] for one in await dossier.bookings()] == ["BOOKED"]


async def test_a_change_that_the_van_cannot_make_leaves_no_place_behind(town: Town) -> None:
    dossier, first = await _planned(town)
    second = await _new_slot(town, dossier, capacity=1)
    await _another_customer(town, second)
    await town.does(dossier.who, "deliveryReschedule", caseId=dossier.id, slotId=second["id"])
    await dossier.until("AWAITING_SLOT")
    assert [one["status"] for one in await dossier.bookings()] == ["CANCELLED"]
    assert [one["free"] for one in await dossier.slots() if one["id"] == first["id"]] == [10]


async def test_the_van_refuses_an_old_choice_after_the_citizen_made_a_new_one(town: Town) -> None:
    dossier = await _to_choose(town)
    first = await _new_slot(town, dossier, capacity=1)
    second = await _new_slot(town, dossier)
    await _another_customer(town, first)
    await town.does(OPERATOR, "systemPause", system="planning")
    await dossier.books(first)
    await town.does(dossier.who, "deliveryReschedule", caseId=dossier.id, slotId=second["id"])
    await town.does(OPERATOR, "systemResume", system="planning")
    await until(lambda: _booked_in(dossier, second["external"]))
    case = await dossier.read()
    assert (case["status"], case["delivery"]["startsAt"]) == ("AWAITING_DELIVERY", second["startsAt"])


async def test_nothing_can_be_chosen_too_soon_or_on_a_day_without_van(town: Town) -> None:
    dossier = await _to_choose(town)
    today = datetime.now(BRUSSELS).date()
    for slot in await dossier.slots():
        on = _instant(slot["startsAt"]).astimezone(BRUSSELS).date()
        assert on.weekday() == 4
        assert timedelta(days=3) <= on - today <= timedelta(days=60)
    starts_at = datetime.combine(today + timedelta(days=1), time(6), BRUSSELS)
    times = {"startsAt": starts_at.isoformat(), "endsAt": (starts_at + timedelta(hours=1)).isoformat()}
    await town.order("planning", "slots", **times)
    await _read_the_slots_again(town)
    await dossier.slots()
    rows = await town.sql("SELECT id FROM slot WHERE starts_at = :at", at=starts_at)
    slot_id = encode_id("Slot", rows[0].id)
    refusal = await town.refused(dossier.who, "deliveryBookSlot", caseId=dossier.id, slotId=slot_id)
    assert refusal["code"] == "SLOT_GONE"


async def _another_customer(town: Town, slot: Json) -> None:
    """Takes a place in the planning tool, by phone."""
    url = town.served.house.config.urls["planning"]
    number = str(uuid4())
    booking = {
        "id": number,
        "slotId": slot["external"],
        "reference": "TELEFOON-1",
        "items": [{"product": "zand", "quantity": 1, "description": "Zand"}],
        "address": {"street": "Markt", "houseNumber": "1", "postalCode": "2999", "municipality": "Lindebeke",
                    "country": "BE"},
        "contact": {"name": "Iemand anders"},
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {VANS['token']}", "Idempotency-Key": number}
    answer = await town.client.put(f"{url}/v1/bookings/{number}", json=booking, headers=headers)
    assert answer.status_code == 201, answer.text


async def _starts(dossier: Dossier, at: str) -> bool:
    case = await dossier.read(dossier.who, "delivery { startsAt }")
    return _instant(case["delivery"]["startsAt"]) == _instant(at)


async def _booked_in(dossier: Dossier, external: str) -> bool:
    return [(one["slotId"], one["status"]) for one in await dossier.bookings()] == [(external, "BOOKED")]


async def _heard_twice(town: Town, number: str) -> bool:
    found = await town.look("planning", "callbacks", type="delivery.confirmed")
    (notice,) = [one for one in found if one["id"] == number]
    return bool(notice["state"] == "HEARD" and len(notice["attempts"]) == 2)


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)
