"""The ways that money can come otherwise than asked: in part, too much, twice, too late, after a letter."""

from decimal import Decimal
from typing import Any

from loket.walk.buying import SECOND_REMINDER, booked, from_choice_to_door, pay_online, to_the_door
from loket.walk.citizen import Citizen, WalkFailed
from loket.walk.expectations import TO_DOOR, TO_PAY, TO_SLOT, Expected, delivered
from loket.walk.road import post_letters
from loket.walk.scene import LONG_SECONDS, Ending, Scene, Script

Json = dict[str, Any]

PART = Decimal("10.00")
"""EUR: less than anything that can be ordered with it."""
DEFAULT_NOTICE = Decimal("15.00")
"""What it costs, in EUR, as the definition says."""


async def part_then_rest(scene: Scene) -> list[Ending]:
    """Transfers a part, is told what is left, and pays the rest online."""
    citizen = await _who_must_pay(scene)
    await _transfers(citizen, PART)
    await citizen.happens("PAYMENT_RECEIVED")
    await citizen.pay()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAYMENT_RECEIVED", "PAID", "PLANNED", "DELIVERED"]
    books = {"INVOICE": scene.price, "PAYMENT": scene.price - PART}
    return [(citizen, delivered(scene.price, messages=messages, entries=books))]


async def overpaid(scene: Scene) -> list[Ending]:
    """Transfers too much; a bookkeeper gives the rest back."""
    citizen = await _who_must_pay(scene)
    await _transfers(citizen, scene.price + PART)
    await citizen.happens("PAID")
    await citizen.happens("SLOT_NEEDED")
    await _is_given_back(citizen)
    await from_choice_to_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "REFUNDED", "PLANNED", "DELIVERED"]
    books = {"INVOICE": scene.price, "REFUND_DUE": PART}
    return [(citizen, delivered(scene.price, messages=messages, entries=books))]


async def paid_twice(scene: Scene) -> list[Ending]:
    """Transfers all of it a second time, and gets that back."""
    citizen = await _who_must_pay(scene)
    await _transfers(citizen, scene.price)
    await citizen.happens("PAID")
    await citizen.happens("SLOT_NEEDED")
    await _transfers(citizen, scene.price)
    await citizen.happens("PAYMENT_RECEIVED")
    await _is_given_back(citizen)
    await from_choice_to_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PAYMENT_RECEIVED", "REFUNDED", "PLANNED", "DELIVERED"]
    books = {"INVOICE": scene.price, "REFUND_DUE": scene.price}
    return [(citizen, delivered(scene.price, messages=messages, entries=books))]


async def paid_too_late(scene: Scene) -> list[Ending]:
    """Pays when the case is cancelled already, and gets it back."""
    citizen = await _who_must_pay(scene)
    await scene.operator.fire(citizen.case["id"], "PAYMENT_END", "the last day to pay is long over")
    await citizen.happens("CANCELLED")
    await _transfers(citizen, scene.price)
    await citizen.happens("PAYMENT_RECEIVED")
    await _is_given_back(citizen)
    expected = Expected(
        "CANCELLED",
        [*TO_PAY, "CANCELLED"],
        ["SUBMITTED", "APPROVED", "CANCELLED", "PAYMENT_RECEIVED", "REFUNDED"],
        entries=dict.fromkeys(("INVOICE", "CREDIT_NOTE", "REFUND_DUE"), scene.price),
    )
    return [(citizen, expected)]


async def default_notice(scene: Scene) -> list[Ending]:
    """Is reminded twice and gets a registered letter; then pays, costs included."""
    citizen = await _who_must_pay(scene)
    await citizen.place.outside.order("ebox", f"/sim/ebox/{citizen.insz}", {"active": False})
    case_id = citizen.case["id"]
    for told in ("five days after the due date", "twenty days after the due date"):
        await scene.operator.fire(case_id, "PAYMENT_REMINDER", told)
        await citizen.happens("PAYMENT_REMINDED")
    await scene.operator.fire(case_id, "DEFAULT_NOTICE", "five weeks after the due date")
    await citizen.happens("DEFAULT_NOTICE_SENT")
    await post_letters(scene, citizen)
    await citizen.happens("LETTER_SENT")
    await citizen.transfer()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    reminded = ["PAYMENT_REMINDED", "PAYMENT_REMINDED", "DEFAULT_NOTICE_SENT"]
    expected = delivered(
        scene.price,
        statuses=[*TO_PAY, "DEFAULT_NOTICE_SENT", "PAID", "SLOT_NEEDED", "PLANNED", *TO_DOOR],
        messages=["SUBMITTED", "APPROVED", *reminded, "PAID", "PLANNED", "DELIVERED"],
        entries={"INVOICE": scene.price, "COSTS": SECOND_REMINDER},
        more_entries=[("COSTS", DEFAULT_NOTICE)],
        letters=["REGISTERED"],
    )
    return [(citizen, expected)]


async def credited(scene: Scene) -> list[Ending]:
    """The municipality takes a part of the invoice back; what is left is paid."""
    citizen = await _who_must_pay(scene)
    invoice = (await citizen.look())["invoice"]
    await scene.finance[0].credit(invoice, str(PART), "Het deksel is op.")
    await citizen.happens("INVOICE_CREDITED")
    await citizen.pay()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "INVOICE_CREDITED", "PAID", "PLANNED", "DELIVERED"]
    books = {"INVOICE": scene.price, "CREDIT_NOTE": PART, "PAYMENT": scene.price - PART}
    return [(citizen, delivered(scene.price, messages=messages, entries=books))]


async def charged_back(scene: Scene) -> list[Ending]:
    """Has the goods, and the bank takes the money back: handed over, and paid once more after all."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await pay_online(citizen)
    await to_the_door(citizen)
    outside = citizen.place.outside
    paid = {one["id"] for one in await outside.checkouts(citizen.reference) if one["how"] == "pay"}
    payments = await outside.read("worldline", "/sim/payments")
    (payment,) = [one for one in payments if one["checkoutId"] in paid]
    await outside.order("worldline", f"/sim/payments/{payment['id']}/chargeback")
    scene.story.tell("outside", "the payer's bank takes the money back")
    await citizen.happens("CHARGED_BACK", seconds=LONG_SECONDS)
    await _transfers(citizen, scene.price)
    await citizen.happens("PAID")
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "DELIVERED", "CHARGED_BACK", "PAID"]
    books = dict.fromkeys(("INVOICE", "PAYMENT", "CHARGEBACK"), scene.price)
    statuses = [*TO_SLOT, "PLANNED", *TO_DOOR]
    expected = delivered(
        scene.price, messages=messages, entries=books, statuses=statuses, open_tasks=["CHARGED_BACK"]
    )
    return [(citizen, expected)]


async def by_statement(scene: Scene) -> list[Ending]:
    """Types the structured communication amid other words; finance imports the CODA file of the bank."""
    citizen = await _who_must_pay(scene)
    invoice = (await citizen.look())["invoice"]
    await _types(citizen, f"compostbak {invoice['structuredReference']} dank u")
    await scene.finance[0].import_statement(await scene.place.outside.statement("coda"))
    await citizen.happens("PAID")
    await to_the_door(citizen)
    return [(citizen, delivered(scene.price))]


async def wrong_reference(scene: Scene) -> list[Ending]:
    """Mistypes the structured communication: finance finds the money, and takes what Loket suggests."""
    citizen = await _who_must_pay(scene)
    finance = scene.finance[0]
    typed = _mistyped((await citizen.look())["invoice"]["structuredReference"])
    await _types(citizen, typed)
    await finance.import_statement(await scene.place.outside.statement("camt02"))
    movement = await citizen.until(
        lambda: finance.find_movement(typed), "the money among what nobody knows the purpose of"
    )
    suggestion = _first_suggestion(movement, citizen.reference)
    scene.story.tell(
        "finance", f"finds {typed} open; suggested because of {', '.join(suggestion['reasons'])}"
    )
    await finance.match(movement, suggestion)
    await citizen.happens("PAID")
    await to_the_door(citizen)
    return [(citizen, delivered(scene.price))]


async def paid_late(scene: Scene) -> list[Ending]:
    """Pays after the first reminder, which costs nothing; the bank's file lies in the watched folder."""
    citizen = await _who_must_pay(scene)
    await scene.operator.fire(citizen.case["id"], "PAYMENT_REMINDER", "five days after the due date")
    await citizen.happens("PAYMENT_REMINDED")
    await _types(citizen, (await citizen.look())["invoice"]["structuredReference"])
    statement = await scene.place.outside.statement("camt08", drop=True)
    scene.story.tell("bank", f"puts {statement['name']} in the folder that Loket watches")
    await citizen.happens("PAID", seconds=LONG_SECONDS)
    await to_the_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAYMENT_REMINDED", "PAID", "PLANNED", "DELIVERED"]
    return [(citizen, delivered(scene.price, messages=messages))]


# --- parts ------------------------------------------------------------------------------------


async def _who_must_pay(scene: Scene) -> Citizen:
    """Somebody with an invoice that accounting has."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await citizen.happens("PAYMENT_DUE")
    await booked(citizen)
    return citizen


async def _transfers(citizen: Citizen, amount: Decimal) -> None:
    invoice = (await citizen.look())["invoice"] or citizen.case["invoice"]
    await citizen.place.outside.transfer(invoice["structuredReference"], str(amount), citizen.name.upper())
    citizen.story.tell(citizen.label, f"transfers {amount} EUR at the bank")


async def _types(citizen: Citizen, text: str) -> None:
    """Transfers all that is due, with a communication that no machine wrote."""
    amount = (await citizen.look())["invoice"]["outstanding"]["amount"]
    await citizen.place.outside.transfer_in_words(text, amount, citizen.persona)
    citizen.story.tell(citizen.label, f"transfers {amount} EUR at the bank and types “{text}”")


def _mistyped(reference: str) -> str:
    """With another first digit: no structured communication any more, for its check digits do not fit."""
    at = next(place for place, sign in enumerate(reference) if sign.isdigit())
    return f"{reference[:at]}{(int(reference[at]) + 1) % 10}{reference[at + 1 :]}"


def _first_suggestion(movement: Json, reference: str) -> Json:
    """Raises `WalkFailed` when what speaks most for it is not the invoice of this case."""
    suggestions: list[Json] = movement["suggestions"]
    if not suggestions or suggestions[0]["caseReference"] != reference:
        raise WalkFailed(f"for {movement['remittance']} Loket suggests {suggestions}, not {reference}")
    if "ALMOST_REFERENCE" not in suggestions[0]["reasons"]:
        raise WalkFailed(f"one digit was mistyped, and Loket does not say so: {suggestions[0]}")
    return suggestions[0]


async def _is_given_back(citizen: Citizen) -> None:
    """A bookkeeper pays back at the bank what must go back; accounting tells."""
    invoice = (await citizen.look())["invoice"] or citizen.case["invoice"]
    digits = "".join(sign for sign in invoice["structuredReference"] if sign.isdigit())

    async def due() -> str | None:
        found = await citizen.place.outside.entries(digits)
        return next((one["entry"]["id"] for one in found if one["entry"]["type"] == "REFUND_DUE"), None)

    entry = await citizen.until(due, "accounting to hear what must go back", seconds=LONG_SECONDS)
    await citizen.place.outside.order("accounting", f"/sim/entries/{entry}/execute")
    citizen.story.tell("bookkeeper", "transfers it back")
    await citizen.happens("REFUNDED")


# fmt: off
VARIANTS: dict[str, Script] = {
    "part-then-rest":  part_then_rest,
    "overpaid":        overpaid,
    "paid-twice":      paid_twice,
    "paid-too-late":   paid_too_late,
    "default-notice":  default_notice,
    "credited":        credited,
    "charged-back":    charged_back,
    "by-statement":    by_statement,
    "wrong-reference": wrong_reference,
    "paid-late":       paid_late,
}
# fmt: on
