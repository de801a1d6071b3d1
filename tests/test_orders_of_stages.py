"""The same blueprint in other orders: one line of its file moves the payment or the choice of a slot."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta

import pytest

from loket.ids import decode_id
from loket.terms import BRUSSELS
from town import DRIVER, HANDLER, Dossier, Json, Town, copied, nothing_stays_open, opened, until

# fmt: off
ORDERS = {
    # key of the copy     stages
    "as-shipped":        "screening, decision, payment, planning, delivery",
    "paid-after":        "screening, decision, planning, delivery, payment",
    "paid-before-van":   "screening, decision, planning, payment, delivery",
    "paid-first":        "payment, screening, decision, planning, delivery",
    "planned-first":     "planning, screening, decision, payment, delivery",
}
# fmt: on
ANOTHER_JOURNAL = "paid-first"
WAITS = {"payment": "AWAITING_PAYMENT", "planning": "AWAITING_SLOT", "delivery": "AWAITING_DELIVERY"}
ELSEWHERE = {
    "delivery": {
        "place": "other",
        "address": {"street": "Markt", "number": "8", "postal_code": "2400", "city": "Mol"},
    }
}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    copies = tmp_path_factory.mktemp("procedures")
    for key, stages in ORDERS.items():
        copied(copies, key, stages, journal="VG" if key == ANOTHER_JOURNAL else "VF")
    folder = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, folder, procedures=str(copies)) as found:
        yield found


@pytest.mark.parametrize("key", ORDERS)
async def test_the_blueprint_is_walked_to_its_end_in_this_order(town: Town, key: str) -> None:
    dossier = await town.applies(procedure=key)
    seen = []
    while (status := (await dossier.read(dossier.who, "status"))["status"]) != "COMPLETED":
        seen.append(status)
        await _do_what_it_waits_for(town, dossier, status)
    stages = ORDERS[key].split(", ")
    assert seen == [WAITS[stage] for stage in stages if stage in WAITS]
    assert await dossier.entries() == [("INVOICE", "28.00"), ("PAYMENT", "28.00")]
    assert [one["status"] for one in await dossier.bookings()] == ["BOOKED"]
    assert (await dossier.dosis())[-1] == ("Uitgevoerd", "Afgerond")
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])
    case = await dossier.read()
    assert (case["invoice"]["status"], case["delivery"]["status"]) == ("PAID", "DELIVERED")
    assert case["refunds"] == []


async def _do_what_it_waits_for(town: Town, dossier: Dossier, status: str) -> None:
    if status == "AWAITING_PAYMENT":
        await dossier.pays()
    elif status == "AWAITING_SLOT":
        await dossier.books()
    else:
        delivery = (await dossier.read(dossier.who, "delivery { id }"))["delivery"]
        await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    await until(lambda: _moved_on(dossier, status))


async def _moved_on(dossier: Dossier, status: str) -> bool:
    return bool((await dossier.read(dossier.who, "status"))["status"] != status)


# ── payment at application ────────────────────────────────────────────────────────────────────────────


async def test_paying_comes_with_the_receipt_when_it_is_part_of_the_application(town: Town) -> None:
    dossier = await town.applies(procedure="paid-first")
    case = await dossier.read()
    assert case["status"] == "AWAITING_PAYMENT"
    tomorrow = datetime.now(BRUSSELS).date() + timedelta(days=1)
    assert date.fromisoformat(case["invoice"]["dueOn"]) == tomorrow
    (letter,) = await dossier.letters()
    assert letter["subject"].endswith("goed ontvangen: u kunt nu betalen")
    assert letter["attachments"][0]["contentType"] == "application/pdf"
    assert "PAYMENT_REMINDER" not in await dossier.timers()


async def test_an_application_that_is_not_paid_ends(town: Town) -> None:
    dossier = await town.applies(procedure="paid-first")
    await dossier.fires("PAYMENT_END")
    case = await dossier.until("CANCELLED")
    assert case["invoice"]["status"] == "CREDITED"
    assert await dossier.entries() == [("INVOICE", "28.00"), ("CREDIT_NOTE", "28.00")]
    assert await dossier.dosis() == [
        ("Ingediend", "Samenstelling"), ("KlaarVoorBetaling", "Uitvoering"), ("Stopgezet", "Afgerond"),
    ]  # fmt: skip
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])


async def test_who_paid_and_is_refused_by_rule_is_paid_back_at_once(town: Town) -> None:
    dossier = await town.applies("dirk", procedure="paid-first")
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    await dossier.pays()
    await dossier.until("INADMISSIBLE")
    await until(lambda: _paid_back(dossier))
    assert await dossier.entries() == [
        ("INVOICE", "28.00"), ("PAYMENT", "28.00"), ("CREDIT_NOTE", "28.00"), ("REFUND_DUE", "28.00"),
        ("REFUND", "28.00"),
    ]  # fmt: skip
    (letter,) = [one for one in await dossier.letters() if "niet behandelen" in one["subject"]]
    assert "U betaalde al € 28,00" in _plain(letter)
    assert any("teruggestort" in _plain(one) for one in await dossier.letters())
    assert (await dossier.dosis())[-1] == ("OnOntvankelijk", "Afgerond")


async def test_who_paid_and_is_refused_by_a_handler_is_paid_back(town: Town) -> None:
    dossier = await town.applies(procedure="paid-first", answers=ELSEWHERE)
    await dossier.pays()
    await dossier.until("AWAITING_DECISION")
    refusal = {"granted": False, "motivationLegal": "Artikel 5", "motivationFactual": "Het is in Mol."}
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=refusal)
    await until(lambda: _paid_back(dossier))
    assert (await dossier.read())["status"] == "REJECTED"
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])


# ── payment after the delivery ────────────────────────────────────────────────────────────────────────


async def _delivered(town: Town) -> Dossier:
    """Bins that stand at the door, and are paid afterwards."""
    dossier = await town.applies(procedure="paid-after")
    for status in ("AWAITING_SLOT", "AWAITING_DELIVERY"):
        await _do_what_it_waits_for(town, dossier, status)
    return dossier


async def test_what_was_delivered_cannot_be_withdrawn(town: Town) -> None:
    dossier = await _delivered(town)
    assert await dossier.actions(dossier.who) == {"PAYMENT_START", "EXPERIENCE_RATE"}
    for action, who in (("caseWithdraw", dossier.who), ("caseCancel", HANDLER)):
        refusal = await town.refused(who, action, id=dossier.id, input={"reason": "Toch niet"})
        assert (refusal["code"], refusal["currentStatus"]) == ("TRANSITION_NOT_ALLOWED", "AWAITING_PAYMENT")
    (letter,) = [one for one in await dossier.letters() if "is geleverd" in one["subject"]]
    assert letter["subject"].endswith(": u kunt nu betalen")


async def test_what_was_delivered_and_never_paid_is_handed_over_for_recovery(town: Town) -> None:
    dossier = await _delivered(town)
    for timer in ("PAYMENT_REMINDER", "PAYMENT_REMINDER", "PAYMENT_END"):
        await dossier.fires(timer)
    case = await dossier.until("COMPLETED")
    assert case["invoice"]["status"] == "HANDED_OVER"
    (letter,) = [one for one in await dossier.letters() if "nog altijd niet betaald" in one["subject"]]
    assert "Nog te betalen: € 33,00" in _plain(letter)  # with the costs of the second reminder
    assert case["invoice"]["structuredReference"] in letter["text"]
    assert await dossier.timers() == set()


async def test_money_that_comes_after_the_recovery_began_still_pays(town: Town) -> None:
    dossier = await _delivered(town)
    await dossier.fires("PAYMENT_END")
    await dossier.until("COMPLETED")
    await dossier.transfers("20.00")
    await until(lambda: _outstanding(dossier, "8.00"))
    assert "PAYMENT_START" in await dossier.actions(dossier.who)
    await dossier.pays()
    await until(lambda: _outstanding(dossier, "0.00"))
    case = await dossier.read()
    assert (case["status"], case["invoice"]["status"]) == ("COMPLETED", "PAID")
    assert case["refunds"] == []
    assert (await dossier.dosis())[-1] == ("Uitgevoerd", "Afgerond")


# ── the slot before the payment ───────────────────────────────────────────────────────────────────────


async def test_a_slot_of_somebody_who_is_refused_is_free_again(town: Town) -> None:
    dossier = await town.applies("dirk", procedure="planned-first")
    slot = await dossier.books()
    case = await dossier.until("INADMISSIBLE")
    assert (case["delivery"]["status"], case["delivery"]["booking"]) == ("CANCELLED", None)
    await until(lambda: _given_back(dossier))
    other = await town.applies(procedure="planned-first")
    assert [one["free"] for one in await other.slots() if one["id"] == slot["id"]] == [slot["free"]]


async def test_a_slot_lost_before_the_payment_is_chosen_anew(town: Town) -> None:
    dossier = await town.applies(procedure="paid-before-van")
    slot = (await dossier.slots())[-1]
    await dossier.books(slot)
    (booking,) = await dossier.bookings()
    await town.order("planning", f"slots/{booking['slotId']}/cancel", reason="Bestelwagen defect")
    await until(lambda: _happened(dossier, "SLOT_LOST"))
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    assert (await dossier.events()).count("SLOT_LOST") == 1
    assert len([one for one in await dossier.letters() if "gaat niet door" in one["subject"]]) == 1
    for status in ("AWAITING_SLOT", "AWAITING_DELIVERY"):
        await _do_what_it_waits_for(town, dossier, status)
    assert (await dossier.read())["status"] == "COMPLETED"


async def test_a_new_slot_may_be_chosen_before_the_payment_too(town: Town) -> None:
    dossier = await town.applies(procedure="paid-before-van")
    await dossier.books()
    second = (await dossier.slots())[4]
    await town.does(dossier.who, "deliveryReschedule", caseId=dossier.id, slotId=second["id"])
    case = await dossier.read()
    assert (case["status"], case["delivery"]["startsAt"]) == ("AWAITING_PAYMENT", second["startsAt"])
    assert any("is verplaatst" in one["subject"] for one in await dossier.letters())


async def test_a_slot_that_passed_before_the_money_came_is_chosen_anew(town: Town) -> None:
    dossier = await town.applies(procedure="paid-before-van")
    await dossier.books()
    await dossier.calm()
    await town.sql(
        "UPDATE delivery SET starts_at = now() - interval '1 day', ends_at = now() - interval '22 hours'"
        " WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    await dossier.pays()
    case = await dossier.until("AWAITING_SLOT")
    assert case["delivery"]["booking"] is None
    assert [one["status"] for one in await dossier.bookings()] == ["CANCELLED"]
    assert any("gaat niet door" in one["subject"] for one in await dossier.letters())
    await dossier.books()
    assert (await dossier.read())["status"] == "AWAITING_DELIVERY"


@pytest.mark.parametrize("pays", [True, False], ids=["paid then", "never paid"])
async def test_what_is_handed_over_before_its_turn_is_delivered_once(town: Town, pays: bool) -> None:
    dossier = await town.applies(procedure="paid-before-van")
    await dossier.books()
    (booking,) = await dossier.bookings()
    await town.order("planning", f"bookings/{booking['id']}/confirm")
    await until(lambda: _happened(dossier, "DELIVERED"))
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    assert await dossier.tasks() == ["DELIVERED_UNEXPECTEDLY"]
    if pays:
        await dossier.pays()
    else:
        await dossier.fires("PAYMENT_END")
    case = await dossier.until("COMPLETED")
    assert case["invoice"]["status"] == ("PAID" if pays else "HANDED_OVER")
    assert case["delivery"]["status"] == "DELIVERED"
    assert await dossier.tasks() == []
    assert len([one for one in await dossier.letters() if "is geleverd" in one["subject"]]) == 1
    assert (await dossier.dosis())[-1] == ("Uitgevoerd", "Afgerond")


async def test_invoices_of_two_journals_have_numbers_of_their_own_and_no_reference_in_common(
    town: Town,
) -> None:
    numbers: dict[str, list[int]] = {"VF": [], "VG": []}
    references = []
    for key in ("as-shipped", ANOTHER_JOURNAL, "as-shipped", ANOTHER_JOURNAL):
        invoice = (await (await town.applies(procedure=key)).read())["invoice"]
        journal, _, number = invoice["number"].split("-")
        numbers[journal].append(int(number))
        references.append(invoice["structuredReference"])
    assert all(second == first + 1 for first, second in numbers.values())
    assert len(set(references)) == 4


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)


async def _paid_back(dossier: Dossier) -> bool:
    case = await dossier.read(dossier.who, "refunds { status }")
    return [one["status"] for one in case["refunds"]] == ["DONE"]


async def _outstanding(dossier: Dossier, amount: str) -> bool:
    case = await dossier.read(dossier.who, "invoice { outstanding { amount } }")
    return bool(case["invoice"]["outstanding"]["amount"] == amount)


async def _given_back(dossier: Dossier) -> bool:
    return [one["status"] for one in await dossier.bookings()] == ["CANCELLED"]


async def _happened(dossier: Dossier, event: str) -> bool:
    return event in await dossier.events()


def _plain(letter: Json) -> str:
    return " ".join(letter["text"].replace("\u00a0", " ").split())
