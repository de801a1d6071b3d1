"""The ways that buying something can go: each a script for citizens, civil servants and the outside world."""

import asyncio
from decimal import Decimal
from typing import Any

from loket.walk import queries
from loket.walk.citizen import Citizen, WalkFailed, day_and_hour
from loket.walk.expectations import TO_DOOR, TO_PAY, TO_SLOT, Expected, delivered
from loket.walk.outside import SYSTEMS_THAT_FALL
from loket.walk.scene import LONG_SECONDS, Ending, Scene, Script
from loket.walk.van import agreed_slot, drive

Json = dict[str, Any]

SECOND_REMINDER = Decimal("5.00")
"""What it costs, in EUR, as the definition says."""
ELSEWHERE = {"street": "Markt", "number": "1", "postal_code": "2400", "city": "Mol"}


# --- all the way ------------------------------------------------------------------------------


async def straight(scene: Scene) -> list[Ending]:
    """Applies, is approved by rule, pays online, picks a day, changes it, gets the goods."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket, paper=True)
    await pay_online(citizen)
    await citizen.happens("SLOT_NEEDED")
    slot = await citizen.choose()
    await citizen.happens("PLANNED")
    await citizen.reschedule(slot)
    await citizen.happens("RESCHEDULED")
    await _drive(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "RESCHEDULED", "DELIVERED"]
    statuses = [*TO_SLOT, "PLANNED", "RESCHEDULED", *TO_DOOR]
    return [(citizen, delivered(scene.price, messages=messages, statuses=statuses, calendar=[0, 1]))]


async def transfer(scene: Scene) -> list[Ending]:
    """Pays by bank transfer; accounting tells."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await citizen.happens("PAYMENT_DUE")
    await booked(citizen)
    await citizen.transfer()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    # The transfer stands in the books already: accounting told us, we need not tell accounting.
    return [(citizen, delivered(scene.price, entries={"INVOICE": scene.price}))]


async def slot_moved(scene: Scene) -> list[Ending]:
    """The planning tool moves the slot: told, with a new version of the appointment."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await pay_online(citizen)
    await citizen.happens("SLOT_NEEDED")
    day, slot = await _quiet_slot(citizen)
    await citizen.choose(slot)
    await citizen.happens("PLANNED")
    tool_slot = await agreed_slot(citizen)
    moved_to = await citizen.place.outside.move_slot(tool_slot, hours=5)
    scene.story.tell("planner", f"moves the van of {day} to {moved_to:%H:%M}")
    await citizen.happens("SLOT_MOVED")
    await _drive(citizen)
    await citizen.place.outside.move_slot(tool_slot, hours=-5)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "SLOT_MOVED", "DELIVERED"]
    statuses = [*TO_SLOT, "PLANNED", "SLOT_MOVED", *TO_DOOR]
    return [(citizen, delivered(scene.price, messages=messages, statuses=statuses, calendar=[0, 1]))]


async def slot_cancelled(scene: Scene) -> list[Ending]:
    """A whole day is called off: told, and another day is chosen."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await pay_online(citizen)
    await citizen.happens("SLOT_NEEDED")
    day, slot = await _quiet_slot(citizen)
    await citizen.choose(slot)
    await citizen.happens("PLANNED")
    await agreed_slot(citizen)
    await citizen.place.outside.cancel_day(day, "IJzel")
    scene.story.tell("planner", f"calls off all of {day}: black ice")
    await citizen.happens("SLOT_LOST")
    await citizen.place.outside.open_day(day)
    await citizen.choose()
    await citizen.happens("PLANNED")
    await _drive(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "SLOT_LOST", "PLANNED", "DELIVERED"]
    statuses = [*TO_SLOT, "PLANNED", "SLOT_LOST", "PLANNED", *TO_DOOR]
    return [(citizen, delivered(scene.price, messages=messages, statuses=statuses, calendar=[0, 1, 2]))]


async def missed(scene: Scene) -> list[Ending]:
    """The van comes in vain; another day is chosen."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await pay_online(citizen)
    await citizen.happens("SLOT_NEEDED")
    await citizen.choose()
    await citizen.happens("PLANNED")
    await agreed_slot(citizen)
    await citizen.place.outside.miss(citizen.reference)
    scene.story.tell("driver", "finds nobody, and says so at the desk")
    await citizen.happens("MISSED")
    await citizen.choose()
    await citizen.happens("PLANNED")
    await _drive(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "MISSED", "PLANNED", "DELIVERED"]
    statuses = [*TO_SLOT, "PLANNED", "MISSED", "PLANNED", *TO_DOOR]
    return [(citizen, delivered(scene.price, messages=messages, statuses=statuses, calendar=[0, 1, 2]))]


async def nobody_picks(scene: Scene) -> list[Ending]:
    """No day is chosen in time: Loket plans the first free one by itself."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await pay_online(citizen)
    await citizen.happens("SLOT_NEEDED")
    await citizen.slots()
    await scene.operator.fire(citizen.case["id"], "SLOT_REMINDER", "a week passes without a choice")
    await citizen.happens("SLOT_REMINDED")
    await scene.operator.fire(citizen.case["id"], "SLOT_END", "the last day to choose passes")
    await citizen.happens("PLANNED")
    await _drive(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "SLOT_REMINDED", "PLANNED", "DELIVERED"]
    return [(citizen, delivered(scene.price, messages=messages))]


# --- when something stands in the way ----------------------------------------------------------


async def refused(scene: Scene) -> list[Ending]:
    """Lives elsewhere: inadmissible by rule, with reasons; asks for a person, who looks and stands by it."""
    citizen = await scene.citizen("dirk")
    await citizen.apply(scene.basket)
    await citizen.happens("INADMISSIBLE")
    letter = await _mail(citizen, "INADMISSIBLE")
    for wanted in ("Retributiereglement", "Rijksregister", "/herziening", "Raad van State"):
        if wanted not in (letter["html"] or "") + (letter["text"] or ""):
            raise WalkFailed(f"the refusal does not say {wanted!r}")
    scene.story.tell(
        citizen.label, "reads why, on which article it rests, and how to ask for a person or appeal"
    )
    await citizen.ask_review("Ik ben vorige week verhuisd naar Lindebeke.")
    task = await citizen.until(
        lambda: scene.handler.find_task("REVIEW_REQUESTED", citizen.reference), "the handler to find the task"
    )
    scene.story.tell("handler", f"finds the request among the tasks: “{task['data']['reason']}”")
    await scene.handler.reopen(citizen.case["id"], "SCREENING", "De aanvrager vraagt een nieuwe blik.")
    await citizen.happens("REOPENED")
    await citizen.happens("REFERRED")
    await scene.handler.declare_inadmissible(
        citizen.case["id"],
        legal="Retributiereglement compostbakken, artikel 2",
        fact="Op de dag van de aanvraag was u nog in Mol ingeschreven.",
    )
    await citizen.happens("INADMISSIBLE")
    statuses = ["SUBMITTED", "INADMISSIBLE", "REOPENED", "REFERRED", "INADMISSIBLE"]
    messages = ["SUBMITTED", "INADMISSIBLE", "REOPENED", "INADMISSIBLE"]
    return [(citizen, Expected("INADMISSIBLE", statuses, messages))]


async def withdrawn(scene: Scene) -> list[Ending]:
    """Withdraws with the payment page open, pays nevertheless, and is paid back without anybody's doing."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await citizen.happens("PAYMENT_DUE")
    page = await citizen.open_checkout()
    await citizen.withdraw("Ik kreeg een compostbak van mijn buur.")
    await citizen.happens("WITHDRAWN")
    await citizen.pay_at(page)
    scene.story.tell(citizen.label, "pays on the page that is still open in another tab")
    await citizen.happens("REFUNDED", seconds=LONG_SECONDS)
    await scene.operator.retry_waiting(citizen.reference, "PAYMENT_POLL")
    kinds = ("INVOICE", "CREDIT_NOTE", "PAYMENT", "REFUND_DUE", "REFUND")
    expected = Expected(
        "WITHDRAWN",
        [*TO_PAY, "WITHDRAWN"],
        ["SUBMITTED", "APPROVED", "WITHDRAWN", "PAYMENT_RECEIVED", "REFUNDED"],
        entries=dict.fromkeys(kinds, scene.price),
    )
    return [(citizen, expected)]


async def never_paid(scene: Scene) -> list[Ending]:
    """Does not pay: reminded twice, then stopped and told."""
    citizen = await scene.citizen()
    await citizen.apply(scene.basket)
    await citizen.happens("PAYMENT_DUE")
    for told in ("the due date passes", "ten more days pass"):
        await scene.operator.fire(citizen.case["id"], "PAYMENT_REMINDER", told)
        await citizen.happens("PAYMENT_REMINDED")
    await scene.operator.fire(
        citizen.case["id"], "PAYMENT_END", "thirty days after the due date, still nothing"
    )
    await citizen.happens("CANCELLED")
    expected = Expected(
        "CANCELLED",
        [*TO_PAY, "CANCELLED"],
        ["SUBMITTED", "APPROVED", "PAYMENT_REMINDED", "PAYMENT_REMINDED", "CANCELLED"],
        entries={
            "INVOICE": scene.price,
            "COSTS": SECOND_REMINDER,
            "CREDIT_NOTE": scene.price + SECOND_REMINDER,
        },
    )
    return [(citizen, expected)]


async def more_information(scene: Scene) -> list[Ending]:
    """Wants it elsewhere: a rule refers, a handler asks, the citizen answers, the handler approves."""
    citizen = await scene.citizen()
    elsewhere = {"delivery": {"place": "other", "address": ELSEWHERE}}
    await citizen.apply(scene.basket, answers=elsewhere)
    await citizen.happens("REFERRED")
    case_id = citizen.case["id"]
    await citizen.until(lambda: scene.handler.find_task("DECIDE", citizen.reference), "the handler's task")
    await scene.handler.take_on(case_id)
    await scene.handler.ask(case_id, "Op welk adres in Lindebeke mogen wij leveren?")
    await citizen.happens("INFORMATION_REQUESTED")
    await citizen.supply("In Lindebeke zelf, Kerkstraat 1, bij mijn moeder.")
    await citizen.happens("INFORMATION_SUPPLIED")
    await scene.handler.grant(case_id)
    await pay_online(citizen)
    await to_the_door(citizen)
    statuses = [
        "SUBMITTED",
        "ADMISSIBLE",
        "REFERRED",
        "INFORMATION_REQUESTED",
        "INFORMATION_SUPPLIED",
        *TO_SLOT[2:],
    ]
    asked = ["INFORMATION_REQUESTED", "INFORMATION_SUPPLIED"]
    messages = ["SUBMITTED", "ADMISSIBLE", *asked, "APPROVED", "PAID", "PLANNED", "DELIVERED"]
    return [
        (citizen, delivered(scene.price, statuses=[*statuses, "PLANNED", *TO_DOOR], messages=messages)),
    ]


async def household(scene: Scene) -> list[Ending]:
    """Husband and wife order at once, together one more than the maximum: one of them is refused."""
    an, bert = await scene.citizen("an"), await scene.citizen("bert")
    product, left = await _left_for(an, bert)
    shares = (left - left // 2, left // 2 + 1)
    carts = [[{"product": product["key"], "quantity": share}] for share in shares]
    try:
        await asyncio.gather(an.apply(carts[0]), bert.apply(carts[1]))
        ends = [
            await citizen.until(lambda: _decided(citizen), f"a decision for {citizen.name}")  # noqa: B023  # awaited here
            for citizen in (an, bert)
        ]
        if sorted(ends) != ["AWAITING_PAYMENT", "INADMISSIBLE"]:
            raise WalkFailed(f"{product['maximumPerHousehold']} a household, and together they got: {ends}")
        told = dict(zip((an.name, bert.name), ends, strict=True))
        scene.story.tell("household", f"{shares[0]} + {shares[1]} of {left} that were left: {told}")
    finally:
        for citizen in (an, bert):
            if citizen.case and (await citizen.look())["status"] == "AWAITING_PAYMENT":
                await citizen.withdraw("Het was een proef.")
                await citizen.happens("WITHDRAWN")
    endings: list[Ending] = []
    for citizen, end in zip((an, bert), ends, strict=True):
        if end == "INADMISSIBLE":
            statuses, messages = ["SUBMITTED", "INADMISSIBLE"], ["SUBMITTED", "INADMISSIBLE"]
            endings.append((citizen, Expected("INADMISSIBLE", statuses, messages)))
        else:
            amount = Decimal((await citizen.look())["invoice"]["amount"]["amount"])
            books = dict.fromkeys(("INVOICE", "CREDIT_NOTE"), amount)
            messages = ["SUBMITTED", "APPROVED", "WITHDRAWN"]
            endings.append((citizen, Expected("WITHDRAWN", [*TO_PAY, "WITHDRAWN"], messages, entries=books)))
    return endings


# --- when systems are down ---------------------------------------------------------------------


async def magda_down(scene: Scene) -> list[Ending]:
    """MAGDA is down: filled in by hand, the case waits, and goes on by itself when MAGDA is back."""
    outside = scene.place.outside
    citizen = await scene.citizen()
    try:
        await outside.break_down(["magda"])
        scene.story.tell("outside", "MAGDA is down")
        await citizen.apply(scene.basket, by_hand=True)
        await citizen.happens("EFFECT_RETRIED")
        status = (await citizen.look())["status"]
        if status != "SCREENING":
            raise WalkFailed(f"without MAGDA the case should wait in SCREENING, it is {status}")
        scene.story.tell("case", "waits: what is filled in by hand never approves by itself")
    finally:
        await outside.mend()
    scene.story.tell("outside", "MAGDA is back")
    await citizen.happens("PAYMENT_DUE", seconds=LONG_SECONDS)
    await citizen.pay()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    messages = ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "DELIVERED"]
    return [(citizen, delivered(scene.price, messages=messages))]


async def systems_down(scene: Scene) -> list[Ending]:
    """Every system is down when the application is handed in, and all are back later: everything arrives."""
    outside = scene.place.outside
    citizen = await scene.citizen()
    await citizen.start()
    await citizen.fill_in({})
    await citizen.fill_cart(scene.basket)
    try:
        await outside.break_down(SYSTEMS_THAT_FALL)
        scene.story.tell("outside", f"down now: {', '.join(SYSTEMS_THAT_FALL)}, and new tokens of ACM/IDM")
        await citizen.submit()
        await citizen.happens("PAYMENT_DUE")

        async def all_tried() -> bool:
            effects = await scene.operator.effects(citizen.reference)
            tried = {one["system"] for one in effects if one["attemptsMade"] > 1 or one["state"] == "DONE"}
            return tried == {one["system"] for one in effects}

        await citizen.until(all_tried, "each system to be tried twice")
        effects = await scene.operator.effects(citizen.reference)
        waiting = sorted({one["system"] for one in effects if one["state"] == "PENDING"})
        scene.story.tell("case", f"is at AWAITING_PAYMENT; still to be told: {', '.join(waiting)}")
        if (failed := await scene.operator.failed_effects(citizen.reference)) != []:
            raise WalkFailed(f"given up during an outage: {failed}")
    finally:
        await outside.mend()
    scene.story.tell("outside", "all are back")
    await citizen.pay()
    await citizen.happens("PAID")
    await to_the_door(citizen)
    return [(citizen, delivered(scene.price))]


# --- parts ------------------------------------------------------------------------------------


async def pay_online(citizen: Citizen) -> None:
    await citizen.happens("PAYMENT_DUE")
    await citizen.pay()
    await citizen.happens("PAID")


async def to_the_door(citizen: Citizen) -> None:
    """From paid to delivered, without anything special."""
    await citizen.happens("SLOT_NEEDED")
    await from_choice_to_door(citizen)


async def from_choice_to_door(citizen: Citizen) -> None:
    """From the invitation to choose a day to delivered."""
    await citizen.choose()
    await citizen.happens("PLANNED")
    await _drive(citizen)


async def _drive(citizen: Citizen) -> None:
    """Deliver what is booked, to the end."""
    await drive(citizen)
    await citizen.happens("COMPLETED")


async def _quiet_slot(citizen: Citizen) -> tuple[str, Json]:
    """A slot on a day on which nobody else is visited, so that nobody else is troubled; its day."""
    busy = await citizen.place.outside.days_with_visits()
    quiet = [one for one in await citizen.slots() if _day(one) not in busy]
    if not quiet:
        raise WalkFailed("somebody is visited on every day that can be chosen: deliver those, or add a day")
    return _day(quiet[-1]), quiet[-1]


def _day(slot: Json) -> str:
    """In Belgium the van drives by day, so that the day in UTC is the same."""
    return day_and_hour(slot)[:10]


async def booked(citizen: Citizen) -> None:
    """Until accounting has the invoice: before that it would not know what a transfer is for."""
    invoice = (await citizen.look())["invoice"]
    digits = "".join(sign for sign in invoice["structuredReference"] if sign.isdigit())
    await citizen.until(lambda: citizen.place.outside.entries(digits), "accounting to book the invoice")


async def _mail(citizen: Citizen, about: str) -> Json:
    """The e-mail about an event, as it lies in the mailbox."""

    async def arrived() -> Json | None:
        told = (await citizen.client.ask(queries.MESSAGES, reference=citizen.reference))["case"]["messages"][
            "nodes"
        ]
        subjects = {one["subject"] for one in told if one["channel"] == "EMAIL" and one["about"] == about}
        mails = [
            one for one in await citizen.place.outside.mails(citizen.email) if one["subject"] in subjects
        ]
        return mails[-1] if mails else None

    found: Json = await citizen.until(arrived, f"the e-mail about {about}")
    return found


async def _decided(citizen: Citizen) -> str | None:
    status = str((await citizen.look())["status"])
    return status if status in ("AWAITING_PAYMENT", "INADMISSIBLE") else None


async def _left_for(*citizens: Citizen) -> tuple[Json, int]:
    """A product of which the household may still order some this year, and how many.

    Raises:
        WalkFailed: nothing is left; says which cases used it up.
    """
    used: dict[str, int] = {}
    references = []
    for citizen in citizens:
        for case in (await citizen.client.ask(queries.MY_CASES))["viewer"]["cases"]["nodes"]:
            if case["status"] in ("WITHDRAWN", "CANCELLED", "INADMISSIBLE", "REJECTED"):
                continue
            references.append(case["reference"])
            for line in case["application"]["cart"]["lines"]:
                used[line["product"]] = used.get(line["product"], 0) + line["quantity"]
    for product in citizens[0].place.procedure["catalogue"]:
        left = (product["maximumPerHousehold"] or 0) - used.get(product["key"], 0)
        if left > 0:
            return product, left
    raise WalkFailed(
        f"this household has ordered all that it may this year, in {', '.join(references)}: "
        "withdraw one of these, or start with an empty LOKET_HOME"
    )


# fmt: off
VARIANTS: dict[str, Script] = {
    "straight":         straight,
    "refused":          refused,
    "transfer":         transfer,
    "withdrawn":        withdrawn,
    "slot-moved":       slot_moved,
    "slot-cancelled":   slot_cancelled,
    "never-paid":       never_paid,
    "nobody-picks":     nobody_picks,
    "missed":           missed,
    "magda-down":       magda_down,
    "systems-down":     systems_down,
    "more-information": more_information,
    "household":        household,
}
# fmt: on
STAGES = ("SCREENING", "DECISION", "PAYMENT", "PLANNING", "DELIVERY")
"""The stages that these scripts walk through."""
