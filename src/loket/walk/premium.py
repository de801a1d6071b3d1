"""The ways that a premium can go: each a script for citizens, civil servants and the outside world."""

from decimal import Decimal
from typing import Any

from loket.walk import offices
from loket.walk.citizen import WalkFailed
from loket.walk.road import Road, premium_of
from loket.walk.scene import LONG_SECONDS, Ending, Scene, Script

Json = dict[str, Any]

STATUSES = "/GeefSociaalStatuutDienst"
"""Where MAGDA is asked about the increased allowance."""
CLOSED = "AC04"
"""What a bank says of an account that is closed (ISO 20022)."""


# --- all the way ------------------------------------------------------------------------------


async def granted(scene: Scene) -> list[Ending]:
    """Applies, is checked and advised on, the college grants all, two people pay it out."""
    road = await Road.begin(scene)
    await road.to_payout()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def refused(scene: Scene) -> list[Ending]:
    """Does not meet the conditions: refused, by registered post, with the way to appeal."""
    road = await Road.begin(scene, premium_of(scene).strange, ebox=False)
    await road.to_decision()
    await road.decide("accepted")
    await road.happens("REJECTED")
    await road.delivered()
    return [road.ending("REJECTED")]


async def partly(scene: Scene) -> list[Ending]:
    """Gets the first of what was asked, and not the rest."""
    premium = premium_of(scene)
    if premium.partly is None:
        raise WalkFailed("of this premium nothing can be granted in part")
    road = await Road.begin(scene, premium.partly)
    await road.to_decision()
    await road.decide("accepted")
    await road.happens("PARTLY_APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.worth(premium.asked[:1]), by="pain002")
    return [road.ending("COMPLETED")]


# --- questions and advice ---------------------------------------------------------------------


async def incomplete(scene: Scene) -> list[Ending]:
    """Something is missing: asked, answered, and then granted."""
    road = await Road.begin(scene)
    await road.apply()
    handler = scene.social_service
    await handler.take_on(road.case_id)
    await handler.ask(road.case_id, "Wilt u ons het attest van uw ziekenfonds bezorgen?")
    await road.happens("INFORMATION_REQUESTED")
    waits = (await road.citizen.look())["suspensions"]
    if not waits or waits[-1]["endedOn"]:
        raise WalkFailed(f"the term runs on while the applicant is asked: {waits}")
    scene.story.tell("case", "the term stands still meanwhile")
    await scene.operator.fire(road.case_id, "ANSWER_REMINDER", "a week passes without an answer")
    await road.happens("INFORMATION_REMINDED")
    await road.citizen.supply("Mijn ziekenfonds bezorgt het u deze week.")
    await road.happens("INFORMATION_SUPPLIED")
    await road.declare_admissible()
    await road.checked()
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


async def no_answer(scene: Scene) -> list[Ending]:
    """Something is missing and nobody answers: the handler goes on with what there is."""
    road = await Road.begin(scene)
    await road.apply()
    handler = scene.social_service
    await handler.ask(road.case_id, "Op welk nummer kunnen wij u bereiken?")
    await road.happens("INFORMATION_REQUESTED")
    await scene.operator.fire(road.case_id, "ANSWER", "the last day to answer passes")
    await road.happens("INFORMATION_LAPSED")
    await road.declare_admissible()
    await road.checked()
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


async def no_reaction(scene: Scene) -> list[Ending]:
    """An adviser is silent: reminded, and at the deadline the case goes on without."""
    road = await Road.begin(scene)
    await road.to_assessment()
    await road.advised(silent=(*road.premium.by_itself, *road.premium.advisers)[0])
    await road.propose()
    return await _grant_and_pay(road)


# --- the body ---------------------------------------------------------------------------------


async def postponed(scene: Scene) -> list[Ending]:
    """The college postpones; the item comes back under another name, and is granted then."""
    road = await Road.begin(scene)
    await road.to_decision()
    item = await road.item()
    await offices.sit(scene.place.outside, item, "delayed", tell=True)
    scene.story.tell("college", "wants to know more first: delayed")
    await road.happens("DECISION_POSTPONED")
    await offices.make_room(scene.place.outside, road.promises.body)
    await offices.bring_back(
        scene.place.outside, (await offices.items(scene.place.outside, road.citizen.item))[-1]
    )
    scene.story.tell("secretary", "puts its successor on the next agenda; nobody tells Loket")
    await scene.operator.fire(road.case_id, "MINUTES_POLL", "Loket looks in the minutes system")
    await road.happens("DECISION_ON_AGENDA")
    await road.decide("accepted", agenda=["delayed"])
    await road.happens("APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def modified(scene: Scene) -> list[Ending]:
    """The college decides otherwise than proposed: the handler confirms what that comes to."""
    road = await Road.begin(scene)
    await road.to_decision()
    less = road.amount - Decimal(5)
    text = f"<p>Het college kent in dossier {road.citizen.reference} een toelage toe van {less} euro.</p>"
    await road.decide("accepted_but_modified", decision=text)
    await road.happens("DECISION_MODIFIED")
    handler = scene.social_service
    await road.citizen.until(
        lambda: handler.find_task("CONFIRM_DECISION", road.citizen.reference), "the task to confirm"
    )
    await road.citizen.until(road.is_signed, "the signatures")
    outcome = {"outcome": "PARTLY_GRANTED", "amount": str(less)}
    motivation = {
        "motivationLegal": "Reglement sociale toelagen, artikel 6: het college kan het bedrag aanpassen.",
        "motivationFactual": "Het college rekende een eerdere tussenkomst van 5 euro aan.",
    }
    await handler.confirm(road.case_id, outcome | motivation)
    await road.happens("PARTLY_APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(less)
    return [road.ending("COMPLETED")]


async def listed(scene: Scene) -> list[Ending]:
    """Three cases on one agenda item with a closed annex: granted, in part, and refused."""
    premium = premium_of(scene)
    fitting = [premium.entitled, premium.partly or premium.entitled, premium.strange]
    roads = [await Road.begin(scene, fits) for fits in fitting]
    for road in roads:
        await road.to_assessment()
        await road.advised()
    handler = scene.social_service
    case_ids = [road.case_id for road in roads]
    await handler.prepare(case_ids)
    for road in roads:
        await road.happens("DECISION_PREPARED", "DECISION_PENDING")
    await offices.make_room(scene.place.outside, roads[0].promises.body)
    item = await handler.send_to_minutes(case_ids)
    for road in roads:
        road.citizen.item = item
        await road.happens("DECISION_ON_AGENDA", seconds=LONG_SECONDS)
    await roads[0].decide("accepted")
    ends = ("APPROVED", "PARTLY_APPROVED" if premium.partly else "APPROVED", "REJECTED")
    for road, end in zip(roads, ends, strict=True):
        road.agenda = ["accepted"]
        await road.happens(*([end] if end == "REJECTED" else [end, "PAYOUT_DUE"]))
        await road.delivered()
    await roads[0].pay(roads[0].amount)
    await roads[1].pay(roads[1].worth(premium.asked[: 1 if premium.partly else None]))
    return [
        road.ending("REJECTED" if end == "REJECTED" else "COMPLETED")
        for road, end in zip(roads, ends, strict=True)
    ]


async def withdrawn(scene: Scene) -> list[Ending]:
    """Withdraws after the decision, with the payout ordered and not approved: nothing is paid."""
    road = await Road.begin(scene)
    await road.to_payout()
    await road.order()
    await road.citizen.withdraw("Ik heb het niet meer nodig.")
    await road.happens("WITHDRAWN")
    payout = (await road.look())["payouts"][-1]
    if payout["status"] != "CANCELLED":
        raise WalkFailed(f"the case was withdrawn, and its payout is {payout['status']}")
    return [road.ending("WITHDRAWN")]


# --- the bank ---------------------------------------------------------------------------------


async def rejected_iban(scene: Scene) -> list[Ending]:
    """The bank knows the account no more: the applicant gives another, and is paid once."""
    road = await Road.begin(scene)
    await road.to_payout()
    order = await road.approve(await road.order())
    await offices.reject(scene.place.outside, order, CLOSED)
    scene.story.tell("bank", "refuses in a pain.002: the account is closed (AC04)")
    road.payouts.append(("REJECTED", road.amount))
    await road.happens("ACCOUNT_NEEDED")
    await road.citizen.correct_account(offices.iban(scene.number()))
    await road.happens("ACCOUNT_CORRECTED")
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def returned(scene: Scene) -> list[Ending]:
    """The money comes back after the end: reopened, another account asked, and paid again."""
    road = await Road.begin(scene)
    await road.to_payout()
    order = await road.pay(road.amount)
    await offices.give_back(scene.place.outside, order, CLOSED)
    scene.story.tell("bank", "of the citizen sends the money back: the account is closed (AC04)")
    road.payouts = [("RETURNED", road.amount)]
    await road.happens_after_the_end("PAYOUT_RETURNED")
    handler = scene.social_service
    await road.citizen.until(
        lambda: handler.find_task("PAYOUT_RETURNED", road.citizen.reference), "the task of returned money"
    )
    await handler.reopen(road.case_id, "PAYOUT", "De bank stuurde het geld terug.")
    await road.happen_together("REOPENED", "ACCOUNT_NEEDED")
    await road.citizen.correct_account(offices.iban(scene.number()))
    await road.happens("ACCOUNT_CORRECTED")
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


# --- when a source is away --------------------------------------------------------------------


async def check_down(scene: Scene) -> list[Ending]:
    """MAGDA's social statuses are down: the check waits visibly, and is answered when they are back."""
    road = await Road.begin(scene)
    await road.apply()
    outside = scene.place.outside
    try:
        await outside.break_service("magda", STATUSES)
        scene.story.tell("outside", "MAGDA's service of social statuses is down")
        await road.admit()
        await road.citizen.happens("EFFECT_RETRIED")
        checks = {one["kind"]: one["status"] for one in (await road.look())["checks"]}
        if "RUNNING" not in checks.values():
            raise WalkFailed(f"the source is down, and yet the checks are {checks}")
        scene.story.tell("case", f"shows what it waits for: {checks}")
    finally:
        await outside.mend()
    scene.story.tell("outside", "the service is back")
    await road.checked(seconds=LONG_SECONDS)
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


# --- parts ------------------------------------------------------------------------------------


async def _grant_and_pay(road: Road) -> list[Ending]:
    await road.decide("accepted")
    await road.happens("APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


# fmt: off
VARIANTS: dict[str, Script] = {
    "granted":          granted,
    "refused":          refused,
    "partly":           partly,
    "incomplete":       incomplete,
    "no-answer":        no_answer,
    "no-reaction":      no_reaction,
    "postponed":        postponed,
    "modified":         modified,
    "list":             listed,
    "withdrawn-late":   withdrawn,
    "rejected-iban":    rejected_iban,
    "returned":         returned,
    "check-down":       check_down,
}
# fmt: on
STAGES = ("SCREENING", "ASSESSMENT", "DECISION", "PAYOUT")
"""The stages that these scripts walk through."""
