"""Bulky waste by its file alone: paid with the application, collected on a day that the citizen chooses."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from loket.app import SHIPPED
from town import DRIVER, HANDLER, Dossier, Json, Town, nothing_stays_open, opened, until

KEY = "bulky-waste"
ALLOWED = {"increased_allowance": True}
DRIVES = """query($on: Date!) { deliveries(first: 50, filter: {on: $on}, orderBy: ROUTE) { nodes {
    id startsAt endsAt remark contactName contactPhone address { street number postalCode city }
    items { description quantity } case { reference } } } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


async def _fills_in(town: Town, who: str, *, more: int = 0, **answers: Any) -> str:  # noqa: ANN401  # answers of the form
    """A draft for one collection, with `more` half cubic metres."""
    draft = await town.fills_in(who, procedure=KEY, cart={"collection": 1}, answers=answers)
    options = [{"option": "half-m3", "quantity": more}] if more else []
    lines = [{"product": "collection", "quantity": 1, "options": options}]
    await town.does(who, "applicationSetCart", id=draft, input={"lines": lines})
    return draft


async def _hands_in(town: Town, who: str, draft: str) -> Dossier:
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


async def _applies(town: Town, who: str | None = None, **asked: Any) -> Dossier:  # noqa: ANN401  # as `_fills_in`
    who = who or town.somebody()
    return await _hands_in(town, who, await _fills_in(town, who, **asked))


async def _with_certificate(town: Town, who: str) -> Dossier:
    draft = await _fills_in(town, who, more=2, **ALLOWED)
    paper = b"%PDF-1.7 attest"
    told = {
        "filename": "attest.pdf",
        "mediaType": "application/pdf",
        "size": len(paper),
        "kind": "certificate",
    }
    payload = await town.does(who, "documentUploadStart", "document { id } uploadUrl", input=told)
    path = payload["uploadUrl"].removeprefix(town.served.loket.settings.public_url)
    (await town.client.put(path, content=paper)).raise_for_status()
    await town.does(who, "applicationAttachDocument", id=draft, documentId=payload["document"]["id"])
    return await _hands_in(town, who, draft)


async def _done(dossier: Dossier, event: str) -> bool:
    return event in await dossier.events()


async def test_it_is_paid_planned_and_collected_without_a_hand_but_the_drivers(town: Town) -> None:
    dossier = await _applies(town, more=2, delivery={"place": "home", "remark": "Een zetel, naast de poort."})
    case = await dossier.read()
    assert re.fullmatch(r"GV-\d{4}-\w{6}-\w", dossier.reference)
    assert (case["status"], case["invoice"]["amount"]["amount"]) == ("AWAITING_PAYMENT", "60.00")
    assert case["invoice"]["number"].startswith("GV-")
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    delivery = (await dossier.read())["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    await dossier.until("COMPLETED")
    subjects = [re.sub(r"\(?GV-\S+", "…", one["subject"]) for one in await dossier.letters()]
    assert subjects == [
        "Wij hebben uw aanvraag … goed ontvangen: betaal nu",
        "Uw aanvraag … is betaald en goedgekeurd: kies uw ophaaldag",
        "Wij halen uw grofvuil op …",
        "Uw grofvuil is opgehaald …",
    ]
    said = " ".join(re.sub(r"http\S+", "", one["text"]) for one in await dossier.letters())
    assert "lever" not in said.lower()
    assert await dossier.dosis() == [
        ("Ingediend", "Samenstelling"), ("KlaarVoorBetaling", "Behandeling"), ("Betaald", "Behandeling"),
        ("Ontvankelijk", "Behandeling"), ("Goedgekeurd", "Beslissing"), ("Gepland", "Uitvoering"),
        ("Gepland", "Uitvoering"), ("Uitgevoerd", "Uitvoering"), ("Uitgevoerd", "Afgerond"),
    ]  # fmt: skip
    assert await dossier.entries() == [("INVOICE", "60.00"), ("PAYMENT", "60.00")]
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])


async def test_who_paid_and_may_not_is_paid_back_by_itself(town: Town) -> None:
    dossier = await _applies(town, "dirk")
    await dossier.pays()
    await dossier.until("INADMISSIBLE")

    async def paid_back() -> bool:
        seen = await dossier.read(fields="refunds { status amount { amount } }")
        return [(one["status"], one["amount"]["amount"]) for one in seen["refunds"]] == [("DONE", "20.00")]

    await until(paid_back)
    (letter,) = [one for one in await dossier.letters() if "niet behandelen" in one["subject"]]
    assert "U betaalde al € 20,00" in " ".join(letter["text"].replace("\u00a0", " ").split())
    assert (await dossier.dosis())[-1] == ("OnOntvankelijk", "Afgerond")


async def test_who_does_not_pay_in_time_is_cancelled_and_may_ask_again(town: Town) -> None:
    who = town.somebody()
    dossier = await _applies(town, who)
    await dossier.fires("PAYMENT_END")
    assert (await dossier.until("CANCELLED"))["invoice"]["status"] == "CREDITED"
    draft = await _fills_in(town, who)
    seen = await town.ask(
        who, "query($id: ID!) { application(id: $id) { allowances { product ordered remaining } } }", id=draft
    )
    assert seen["application"]["allowances"] == [{"product": "collection", "ordered": 0, "remaining": 4}]


async def test_no_more_than_two_cubic_metres_go_in_a_cart(town: Town) -> None:
    who = town.somebody()
    draft = await _fills_in(town, who)
    lines = [{"product": "collection", "quantity": 1, "options": [{"option": "half-m3", "quantity": 4}]}]
    refusal = await town.refused(who, "applicationSetCart", id=draft, input={"lines": lines})
    assert refusal["code"] == "VALIDATION"


# ── free of charge ────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_collection_of_the_year_is_free_with_the_certificate_that_a_handler_reads(
    town: Town,
) -> None:
    who = town.somebody()
    dossier = await _with_certificate(town, who)
    assert await _done(dossier, "REFERRED")
    case = await dossier.read()
    assert (case["status"], case["invoice"]) == ("SCREENING", None)
    assert not any("etaal" in one["subject"] for one in await dossier.letters())
    await town.does(HANDLER, "caseDeclareAdmissible", id=dossier.id)
    await dossier.until("AWAITING_SLOT")
    second = await _with_certificate(town, who)
    assert (await second.read())["invoice"]["amount"]["amount"] == "60.00"


async def test_without_the_certificate_nothing_is_free(town: Town) -> None:
    who = town.somebody()
    draft = await _fills_in(town, who, **ALLOWED)
    document = "query($id: ID!) { application(id: $id) { cart { total { amount } free { key } } } }"
    seen = await town.ask(who, document, id=draft)
    assert seen["application"]["cart"] == {"total": {"amount": "20.00"}, "free": []}
    payload = await town.tries(who, "applicationSubmit", "case { id }", id=draft)
    assert payload["case"] is None
    assert ["documents", "certificate"] in [one["path"] for one in payload["errors"]]


# ── the van ───────────────────────────────────────────────────────────────────────────────────────────


async def test_the_driver_sees_what_to_take_where_in_driving_order(town: Town) -> None:
    addresses = [("Kerkstraat", "9"), ("Kerkstraat", "10"), ("Beukenlaan", "3")]
    slot: Json | None = None
    references = []
    for street, number in addresses:
        address = {"street": street, "number": number, "postal_code": "2999", "city": "Lindebeke"}
        where = {"place": "other", "address": address, "remark": f"Een kast, voor nummer {number}."}
        contact = {"phone": "+32470123456"}
        dossier = await _applies(town, more=1, delivery=where, contact=contact)
        await dossier.pays()
        await dossier.until("AWAITING_SLOT")
        slot = await dossier.books(slot or (await dossier.slots())[-1])
        references.append(dossier.reference)
    assert slot is not None
    seen = await town.ask(DRIVER, DRIVES, on=slot["startsAt"][:10])
    stops = [one for one in seen["deliveries"]["nodes"] if one["case"]["reference"] in references]
    found = [(one["address"]["street"], one["address"]["number"]) for one in stops]
    assert found == [("Beukenlaan", "3"), ("Kerkstraat", "9"), ("Kerkstraat", "10")]
    first = stops[0]
    assert first["remark"] == "Een kast, voor nummer 3."
    assert first["contactPhone"] == "+32470123456"
    assert first["contactName"]
    assert [(one["quantity"], one["description"]) for one in first["items"]] == [
        (1, "Ophaling, eerste halve m³ inbegrepen"),
        (1, "Halve m³ extra"),
    ]


async def test_what_was_not_outside_is_collected_another_day_at_no_cost(town: Town) -> None:
    dossier = await _applies(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    delivery = (await dossier.read())["delivery"]
    await town.does(
        DRIVER, "deliveryReportMissed", id=delivery["id"], input={"reason": "Er stond niets buiten."}
    )
    await dossier.until("AWAITING_SLOT")
    (letter,) = [one for one in await dossier.letters() if "niet ophalen" in one["subject"]]
    assert "Er stond niets buiten." in letter["text"]
    await dossier.books()
    assert (await dossier.read())["invoice"]["status"] == "PAID"


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)


# ── a file and no more ────────────────────────────────────────────────────────────────────────────────


def test_nothing_outside_its_file_knows_of_it() -> None:
    source = SHIPPED.parent
    named = [
        str(file.relative_to(source))
        for file in source.rglob("*")
        if file.suffix in {".py", ".sql", ".typ", ".html"} and KEY in file.read_text("utf-8")
    ]
    assert named == []


def test_everything_in_it_is_said_in_english_too() -> None:
    text = Path(SHIPPED / f"{KEY}.yaml").read_text("utf-8")
    messages = text[text.index("\n  messages:\n") : text.index("\ndosis:\n")]
    assert messages.count("\n        nl: ") == messages.count("\n        en: ")
    assert not re.search(r"(?m)^      (subject|body|sms): \S", messages)
