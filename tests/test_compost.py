"""The first blueprint through its doors: what citizen, staff and every other system see of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from zlib import decompress

import pytest
import zxingcpp

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
